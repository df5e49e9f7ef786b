// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A booted guest, from the host's side: runs commands, reads records, powers off.

use crate::arch;
use crate::emulation::Stale;
use crate::initramfs::Initramfs;
use crate::kind::{Kind, TimeoutMultiplier};
use crate::prepare::{self, Prepared, SYSTEMD};
use crate::protocol::{Stream, ToGuest, ToHost, receive, send};
use crate::tools;
use crate::vm::{Machine, Vm};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The timeout from power-on to the agent, and from the agent's "done" to power-off.
const BOOT: Duration = Duration::from_secs(120);

/// The timeout of a record from the kernel to auditd's log.
pub(crate) const DELIVERY: Duration = Duration::from_secs(60);

/// The number of lines of the console that are shown when a guest hangs or crashes.
const TAIL: usize = 30;

/// Waits until the module has recorded its baseline, and has deferred no record any more.
pub(crate) const EMITTED: &str = "while grep -sq '^re[ac].*ing' /sys/kernel/security/dmns_audit/baseline || \
    awk 'NR > 1 { n += $NF } END { exit n == 0 }' /sys/kernel/security/dmns_audit/counters 2>/dev/null; do sleep 0.1; done";

/// The scripts that scenarios find in the guest, next to the real tools and to [`tools`].
const COMMANDS: &[(&str, &str)] = &[
    ("attribute", include_str!("../guest/attribute")),
    ("audit-feature", include_str!("../guest/audit-feature")),
    ("auparse", include_str!("../guest/auparse")),
    ("block-links", include_str!("../guest/block-links")),
    ("containers-up", include_str!("../guest/containers-up")),
    ("counter", include_str!("../guest/counter")),
    ("device", include_str!("../guest/device")),
    ("docker-up", include_str!("../guest/docker-up")),
    ("domain-xml", include_str!("../guest/domain-xml")),
    ("fake-egd", include_str!("../guest/fake-egd")),
    ("has-dm-target", include_str!("../guest/has-dm-target")),
    ("hostile", include_str!("../guest/hostile")),
    ("in-tree", include_str!("../guest/in-tree")),
    ("leaks", include_str!("../guest/leaks")),
    ("libvirt-up", include_str!("../guest/libvirt-up")),
    ("livepatch", include_str!("../guest/livepatch")),
    ("load", include_str!("../guest/load")),
    ("metric", include_str!("../guest/metric")),
    ("qmp", include_str!("../guest/qmp")),
    ("records", include_str!("../guest/records")),
    ("save", include_str!("../guest/save")),
    ("serial-send", include_str!("../guest/serial-send")),
    ("soak", include_str!("../guest/soak")),
    ("time-ns-drop", include_str!("../guest/time-ns-drop")),
    ("trigger-events", include_str!("../guest/trigger-events")),
    ("unload", include_str!("../guest/unload")),
    ("uptime-ms", include_str!("../guest/uptime-ms")),
    ("wait-drained", include_str!("../guest/wait-drained")),
];

/// Returns the scripts that scenarios find in the guest.
#[cfg(test)]
pub(crate) fn commands() -> &'static [(&'static str, &'static str)] {
    COMMANDS
}

/// Returns whether the guest has a command of the harness with this name.
pub(crate) fn is_own_command(name: &str) -> bool {
    COMMANDS.iter().any(|(own, _)| *own == name) || tools::is_tool(name)
}

/// auditd's configuration to run `dmns-audit`.
const PLUGIN: &[u8] = include_bytes!("../../contrib/auditd/dmns-audit.conf");

/// The configuration by which engines run it as a hook.
const HOOKS: &[(&str, &str)] = &[
    (
        "dmns-audit.json",
        include_str!("../../contrib/oci/dmns-audit.json"),
    ),
    ("dmns-runc", include_str!("../../contrib/oci/dmns-runc")),
];

/// The folder of a scenario's `files` in the initramfs.
const FILES: &str = "dmns/files";

/// Copies them to where steps begin.
pub(crate) const COPY_FILES: &str = "cp -r /run/dmns/files/. /tmp";

/// The end of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit status; 128 + n after signal n.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard output and standard error as they came.
    pub(crate) both: Vec<u8>,
}

impl Ended {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// An item that is shown as it happens.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    /// A command wrote this.
    Output(Stream, &'a [u8]),
    /// `dmns-audit watch` wrote this, if a [`Watcher`] is `live`.
    Event(&'a [u8]),
}

/// Receives output and events as they happen.
pub(crate) struct Watcher {
    show: Box<dyn FnMut(Happening<'_>)>,
    live: bool,
}

impl Watcher {
    /// Shows nothing.
    pub(crate) fn none() -> Self {
        Self::new(|_| {})
    }

    /// Calls `show` with the output of commands.
    pub(crate) fn new(show: impl FnMut(Happening<'_>) + 'static) -> Self {
        Self {
            show: Box::new(show),
            live: false,
        }
    }

    /// Calls `show` also with the output of `dmns-audit watch`, which runs in the guest meanwhile.
    pub(crate) fn live(show: impl FnMut(Happening<'_>) + 'static) -> Self {
        Self {
            live: true,
            ..Self::new(show)
        }
    }
}

/// A running guest.
pub(crate) struct Guest {
    /// The kernel that it runs.
    pub(crate) kind: Kind,
    timeout_multiplier: TimeoutMultiplier,
    vm: Vm,
    to: UnixStream,
    from: Receiver<Result<ToHost>>,
    /// auditd's log, line by line.
    pub(crate) log: Vec<String>,
    /// The begin of the next line of the log.
    partial: Vec<u8>,
    next_id: u32,
    marks: u32,
    watcher: Watcher,
    /// Whether [`Guest::set_up`] is done.
    ready: bool,
    /// Whether it has the module.
    pub(crate) has_module: bool,
    /// Whether the running command is the harness's own. Its output is not shown.
    ours: bool,
    /// `dmns-audit watch`, while it runs.
    live: Option<u32>,
    /// Whether systemd boots it, and starts auditd and the module. The first step then has the log
    /// from the boot on.
    pub(crate) whole: bool,
}

impl Guest {
    /// Boots a guest. auditd does not run yet, the module is not loaded.
    pub(crate) fn boot(prepared: &Prepared, machine: &Machine, watcher: Watcher) -> Result<Self> {
        let mut initramfs = Initramfs::default();
        initramfs.modules(&prepared.lib_modules())?;
        let own = program(&std::env::current_exe()?)?;
        initramfs.file("init", true, &own);
        initramfs.file("dmns/dmns-test", true, &own);
        let systemd = machine.disk.image.as_deref() == Some(SYSTEMD);
        // There, it is the package's.
        if !systemd {
            initramfs.file("dmns/bin/dmns-audit", true, &program(&prepare::tool()?)?);
        }
        // Others start no guest and no container.
        if matches!(machine.disk.image.as_deref(), Some("libvirt" | "runtimes")) {
            let recorder = program(&prepare::recorder()?)?;
            initramfs.file("dmns/bin/dmns-audit-record", true, &recorder);
        }
        initramfs.file("dmns/dmns-audit.conf", false, PLUGIN);
        for (name, hook) in HOOKS {
            initramfs.file(&format!("dmns/oci/{name}"), false, hook.as_bytes());
        }
        if let Some(module) = &prepared.module {
            let module = fs::read(module).with_context(|| module.display().to_string())?;
            initramfs.file("dmns/dmns_audit.ko", false, &module);
        }
        if let Some(control) = &prepared.control {
            let control = fs::read(control).with_context(|| control.display().to_string())?;
            initramfs.file("dmns/dmns_control.ko", false, &control);
        }
        for name in &machine.modules {
            let folder = prepared.test_modules.as_deref();
            let module = folder
                .context("the test modules were not made")?
                .join(format!("{name}.ko"));
            // A kernel without livepatch has no such module: `requires` skips the scenario.
            if module.exists() {
                let module = fs::read(&module).with_context(|| module.display().to_string())?;
                initramfs.file(&format!("dmns/{name}.ko"), false, &module);
            }
        }
        for path in &machine.files {
            initramfs.copy(FILES, path)?;
        }
        if systemd {
            initramfs.file("systemd", false, b"");
        } else {
            initramfs.file("two-disks", false, b"");
        }
        for name in tools::names() {
            initramfs.link(&format!("dmns/bin/{name}"), "../dmns-test");
        }
        for (name, script) in COMMANDS {
            initramfs.file(&format!("dmns/bin/{name}"), true, script.as_bytes());
        }
        let (vm, port) = Vm::start(prepared, machine, &initramfs.finish())?;

        let (sender, from) = mpsc::channel();
        let mut reader = port.try_clone()?;
        thread::spawn(move || {
            loop {
                let message = match receive(&mut reader) {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => return,
                    Err(e) => Err(e),
                };
                let last = message.is_err();
                if sender.send(message).is_err() || last {
                    return;
                }
            }
        });
        let mut guest = Self {
            kind: prepared.kind,
            timeout_multiplier: prepared.timeout_multiplier,
            vm,
            to: port,
            from,
            log: Vec::new(),
            partial: Vec::new(),
            next_id: 0,
            marks: 0,
            watcher,
            ready: false,
            has_module: prepared.module.is_some(),
            ours: false,
            live: None,
            whole: systemd,
        };
        match guest.next(guest.within(BOOT)).context("booting")? {
            ToHost::Ready => {}
            other => bail!("the agent began with {other:?}"),
        }
        if machine.share.is_some() {
            guest.must("modprobe 9p && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /mnt/share")?;
        }
        // What udev and systemd do on a whole system: the nodes through which these load on demand.
        guest.must("modprobe -a loop dm-mod && ip link set lo up")?;
        Ok(guest)
    }

    /// Makes a booted guest ready, unless it is: starts auditd as Debian configures it, with the
    /// backlog of Debian's rules, unless systemd did, and loads the module if `module`.
    pub(crate) fn set_up(&mut self, module: bool) -> Result<()> {
        if self.ready {
            return Ok(());
        }
        self.must(
            "pgrep -x auditd >/dev/null || \
             { auditd && auditctl -R /etc/audit/audit.rules && auditctl -e 1; } >/dev/null",
        )?;
        if self.watcher.live {
            self.begin_watch()?;
        }
        self.mark()?;
        if self.kind.complains() {
            // What the kernel lost while it booted is not what is looked for.
            self.must("leaks forget")?;
        }
        if module && self.has_module {
            self.must("load")?;
            self.must(EMITTED)?;
            self.mark()?;
        }
        self.ready = true;
        Ok(())
    }

    /// Starts `dmns-audit watch`.
    fn begin_watch(&mut self) -> Result<()> {
        let colour = match std::io::stdout().is_terminal() {
            true => "always",
            false => "never",
        };
        let argv = ["dmns-audit", "--color", colour, "watch", "--records"];
        self.live = Some(self.start(&argv, &[])?);
        // It listens once the kernel has noted that a process does. C: `audit_log_multicast()`.
        let deadline = self.within(DELIVERY);
        while !self
            .log
            .iter()
            .any(|line| line.contains("nl-mcgrp=1 op=connect"))
        {
            self.next(deadline)
                .context("dmns-audit watch does not begin")?;
            ensure!(self.live.is_some(), "dmns-audit watch ended at once");
        }
        Ok(())
    }

    /// Ends it, when it has printed all events.
    fn end_watch(&mut self) -> Result<()> {
        if self.live.is_some() {
            self.must("pkill -x dmns-audit || true")?;
        }
        let deadline = self.within(DELIVERY);
        while self.live.is_some() {
            self.next(deadline)?;
        }
        Ok(())
    }

    /// Returns the run time.
    pub(crate) fn age(&self) -> Duration {
        self.vm.clock.age()
    }

    /// Returns the run time at which an action has taken too long that takes `usual` on a quiet
    /// machine.
    pub(crate) fn within(&self, usual: Duration) -> Duration {
        self.age() + self.usual(usual)
    }

    /// Returns the time that an action takes here that takes `usual` on a quiet machine.
    pub(crate) fn usual(&self, usual: Duration) -> Duration {
        self.timeout_multiplier.of(usual)
    }

    /// Calls `watcher` from now on.
    pub(crate) fn watch(&mut self, watcher: Watcher) {
        self.watcher = watcher;
    }

    fn start(&mut self, argv: &[&str], env: &[(String, String)]) -> Result<u32> {
        let id = self.next_id;
        self.next_id += 1;
        let message = ToGuest::Run {
            id,
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            env: env.to_vec(),
        };
        self.send(&message)?;
        Ok(id)
    }

    /// Runs `argv` until it ends.
    pub(crate) fn run(
        &mut self,
        argv: &[&str],
        env: &[(String, String)],
        deadline: Duration,
    ) -> Result<Ended> {
        let id = self.start(argv, env)?;
        let mut ended = Ended {
            status: 0,
            stdout: Vec::new(),
            both: Vec::new(),
        };
        loop {
            match self.next(deadline) {
                Ok(ToHost::Exit { id: of, status }) if of == id => {
                    ended.status = status;
                    return Ok(ended);
                }
                Ok(ToHost::Output {
                    id: of,
                    stream,
                    bytes,
                }) if of == id => {
                    if !self.ours {
                        (self.watcher.show)(Happening::Output(stream, &bytes));
                    }
                    if stream == Stream::Stdout {
                        ended.stdout.extend(&bytes);
                    }
                    ended.both.extend(bytes);
                }
                Ok(_) => {}
                Err(e) => {
                    // So that what comes next finds the guest in order, if it is.
                    let _ = self.send(&ToGuest::Kill(id));
                    let output = String::from_utf8_lossy(&ended.both).into_owned();
                    return Err(match tail(&output, 10).as_str() {
                        "" => e,
                        said => e.context(format!("the command said last:\n{said}")),
                    });
                }
            }
        }
    }

    /// Runs a command of the harness. Its output is not shown.
    pub(crate) fn quietly(&mut self, argv: &[&str], deadline: Duration) -> Result<Ended> {
        self.ours = true;
        let ended = self.run(argv, &[], deadline);
        self.ours = false;
        ended
    }

    /// Runs a shell command of the harness that has to succeed.
    pub(crate) fn must(&mut self, command: &str) -> Result<String> {
        self.must_within(DELIVERY, command)
    }

    /// Runs a shell command of the harness that has to succeed within `timeout`.
    pub(crate) fn must_within(&mut self, timeout: Duration, command: &str) -> Result<String> {
        let ended = self.quietly(&["sh", "-c", command], self.within(timeout))?;
        ensure!(
            ended.status == 0,
            "in the guest, '{command}' failed with status {}: {}",
            ended.status,
            String::from_utf8_lossy(&ended.both).trim()
        );
        Ok(ended.text())
    }

    /// Returns whether a shell command of the harness succeeds.
    pub(crate) fn is_so(&mut self, command: &str) -> Result<bool> {
        let ended = self.quietly(&["sh", "-c", command], self.within(DELIVERY))?;
        Ok(ended.status == 0)
    }

    /// Waits until all records before this call are in [`Guest::log`]: sends a record of its own
    /// and waits for it.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.marks += 1;
        let mark = format!("dmns-mark-{}", self.marks);
        let from = self.log.len();
        self.must(&format!("auditctl -m {mark}"))?;
        let deadline = self.within(DELIVERY);
        let text = format!("text={mark} ");
        let mut seen = from;
        loop {
            if self.log[seen..].iter().any(|line| line.contains(&text)) {
                return Ok(());
            }
            seen = self.log.len();
            self.next(deadline)
                .context("a marker sent with auditctl does not come back through auditd's log")?;
        }
    }

    /// Returns whether this line is one that [`Guest::mark`] caused.
    pub(crate) fn is_mark(line: &str) -> bool {
        line.contains("dmns-mark-")
    }

    /// Powers the guest off, or returns the reason of a failure. Returns the kernel's text on the
    /// console.
    pub(crate) fn power_off(mut self) -> Result<String> {
        self.end_watch()?;
        self.send(&ToGuest::PowerOff)?;
        let deadline = self.within(BOOT);
        while !matches!(
            self.next(deadline)
                .context("no \"done\" came from the guest")?,
            ToHost::Done
        ) {}
        match self.vm.wait(self.timeout_multiplier.of(BOOT))? {
            Some(status) if status.success() => Ok(self.console()),
            Some(status) => bail!("QEMU ended with {status}"),
            None => Err(self.dead(anyhow!("the guest said \"done\" but did not power off"))),
        }
    }

    fn send(&mut self, message: &ToGuest) -> Result<()> {
        match send(&mut self.to, message).and_then(|()| Ok(self.to.flush()?)) {
            Ok(()) => Ok(()),
            Err(e) => Err(self.dead(e)),
        }
    }

    /// Returns the next message; the log has been taken out of it already.
    fn next(&mut self, deadline: Duration) -> Result<ToHost> {
        let message = loop {
            // Before anybody asks how late it is, which takes longer.
            let received = match self.from.try_recv() {
                Ok(received) => Ok(received),
                Err(_) => {
                    let timeout = deadline.saturating_sub(self.age());
                    self.from.recv_timeout(timeout)
                }
            };
            match received {
                Ok(Ok(message)) => break message,
                Ok(Err(e)) => return Err(self.dead(e)),
                Err(RecvTimeoutError::Timeout) if self.age() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    let waited = self.vm.clock.waited().as_secs();
                    return Err(self.dead(anyhow!(
                        "no answer from the guest in time, not counted {waited} s for which QEMU waited for a processor"
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.dead(anyhow!("the guest is gone")));
                }
            }
        };
        match &message {
            ToHost::AuditLog(bytes) => self.log_grows(bytes),
            ToHost::Output { id, stream, bytes } if Some(*id) == self.live => {
                // It begins before the module is loaded, and reports that.
                if self.ready || *stream == Stream::Stdout {
                    (self.watcher.show)(Happening::Event(bytes));
                }
            }
            ToHost::Exit { id, .. } if Some(*id) == self.live => self.live = None,
            _ => {}
        }
        Ok(message)
    }

    fn log_grows(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            self.partial.extend(part);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
                self.partial.clear();
                self.log.push(line);
            }
        }
    }

    fn dead(&self, error: anyhow::Error) -> anyhow::Error {
        let console = self.vm.console();
        let dead = anyhow!("{error:#}; its console ends:\n{}", tail(&console, TAIL));
        match Stale::in_log(&console) {
            Some(stale) => dead.context(stale),
            None => dead,
        }
    }

    /// Returns the kernel's text on its console so far.
    pub(crate) fn console(&self) -> String {
        self.vm.console()
    }
}

/// Returns the last lines of `text`.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Reads a program that the guest runs. The guest does not have the host's libraries, so it must
/// need none.
fn program(own: &Path) -> Result<Vec<u8>> {
    // Those for another architecture are in a folder of their own.
    let path = &match std::env::var_os(arch::PROGRAMS) {
        Some(folder) => Path::new(&folder).join(own.file_name().unwrap_or_default()),
        None => own.to_owned(),
    };
    let program = fs::read(path)
        .with_context(|| format!("{}: was it built anew meanwhile?", path.display()))?;
    ensure!(
        is_static(&program),
        "{} is linked dynamically: build it with scripts/dmns-test.sh, as the Makefile does",
        path.display()
    );
    Ok(program)
}

/// Returns whether an ELF program needs no interpreter: it has no `PT_INTERP` header.
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    let headers = || {
        let (start, size, count) = (u64_at(32)?, u16_at(54)?, u16_at(56)?);
        Some((0..count).map(move |i| start as usize + usize::from(i) * usize::from(size)))
    };
    headers().is_some_and(|mut headers| {
        headers.all(|at| {
            elf.get(at..at + 4)
                .is_some_and(|ty| ty != PT_INTERP.to_le_bytes())
        })
    })
}
