// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A guest from its start to its stop.

use super::arguments::{Arguments, is_saved};
use super::changes::between;
use super::emitter::Emitter;
use super::inventory::{Inventory, Taker};
use super::monitor::{Asked, Monitor};
use super::options::Options;
use super::qmp::{Qmp, Trouble};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The interval of polls.
const TICK: Duration = Duration::from_millis(50);

/// The interval of polls for QEMU's end, once its monitor is gone.
const END: Duration = Duration::from_millis(10);

/// A QEMU that runs.
pub struct Session<'a> {
    options: &'a Options,
    qemu: Child,
    qmp: Qmp,
    monitor: Option<Monitor>,
    emitter: Emitter,
    arguments: Arguments,
    folder: PathBuf,
    has: Inventory,
    /// The reason of the stop, from events.
    reason: Option<&'static str>,
    /// The destination of a migration, if there was one.
    sent_to: Option<String>,
    stop: Arc<AtomicBool>,
}

impl<'a> Session<'a> {
    /// Starts `command`, and records its resources.
    ///
    /// # Errors
    ///
    /// If it does not start. That is recorded too.
    pub fn start(
        mut command: Command,
        program: &OsStr,
        arguments: &Arguments,
        folder: &Path,
        options: &'a Options,
        mut emitter: Emitter,
        monitor: Option<Monitor>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, Arc::clone(&stop))?;
        }
        let reason = match &arguments.incoming {
            Some(uri) if is_saved(uri) => "restored",
            Some(_) => "migrated",
            None => "booted",
        };
        let (ours, theirs) = UnixStream::pair()?;
        // QEMU inherits its end, by number.
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let number = theirs.as_raw_fd();
        command
            .arg("-chardev")
            .arg(format!("socket,id=dmns-audit,fd={number}"))
            .args(["-mon", "chardev=dmns-audit,mode=control"]);
        let spawned = command.spawn();
        drop(theirs);
        let mut qemu = match spawned {
            Ok(qemu) => qemu,
            Err(error) => {
                emitter.not_started(reason)?;
                let message = format!("cannot start {}: {error}", program.to_string_lossy());
                return Err(io::Error::new(error.kind(), message));
            }
        };
        let begun = Qmp::begin(ours, options.timeout).and_then(|mut qmp| {
            let kvm = qmp.execute("query-kvm", json!({}))?.unwrap_or_default();
            emitter.accelerated(kvm.get("enabled") == Some(&Value::Bool(true)));
            let has = Taker { arguments, folder }.take(&mut qmp)?;
            Ok((qmp, has))
        });
        let (qmp, has) = match begun {
            Ok(begun) => begun,
            Err(trouble) => {
                // It has not run: it waits for -S, or is gone.
                if !matches!(trouble, Trouble::Gone) || !ends(&mut qemu, options.timeout)? {
                    let _ = qemu.kill();
                }
                let ended = qemu.wait()?;
                emitter.not_started(reason)?;
                return Err(io::Error::other(format!(
                    "the guest did not start: {trouble} (QEMU: {ended})"
                )));
            }
        };
        let mut session = Self {
            options,
            qemu,
            qmp,
            monitor,
            emitter,
            arguments: arguments.clone(),
            folder: folder.to_owned(),
            has,
            reason: None,
            sent_to: None,
            stop,
        };
        let pid = session.qemu.id();
        if let Err(error) = session.emitter.started(&session.has, reason, pid) {
            // What has to be recorded, and is not, does not run.
            let _ = session.qemu.kill();
            let _ = session.qemu.wait();
            return Err(error);
        }
        if !arguments.stopped && arguments.incoming.is_none() {
            let _ = session.qmp.execute("cont", json!({}));
        }
        Ok(session)
    }

    /// Runs until QEMU ends.
    ///
    /// # Errors
    ///
    /// If a required record cannot be written.
    pub fn run(mut self) -> io::Result<u8> {
        let result = self.live();
        if result.is_err() {
            let _ = self.qemu.kill();
        }
        let ended = self.qemu.wait()?;
        let reason = self.reason.unwrap_or(match ended.success() {
            true => "shutdown",
            false => "failed",
        });
        self.emitter.stopped(reason)?;
        result?;
        Ok(status(ended))
    }

    fn live(&mut self) -> io::Result<()> {
        let mut looked = Instant::now();
        let mut signalled = false;
        loop {
            match self.turn(&mut looked) {
                Ok(Ok(())) => {}
                Ok(Err(Trouble::Gone)) => {
                    while let Some(said) = self.qmp.last_words() {
                        self.says_why(&said);
                    }
                    return self.wait_only(signalled);
                }
                Ok(Err(trouble)) => {
                    eprintln!(
                        "dmns-audit-record: {trouble}: what is plugged from now on is not recorded, until the guest stops"
                    );
                    return self.wait_only(signalled);
                }
                Err(error) => return Err(error),
            }
            if self.stop.load(Ordering::Relaxed) && !signalled {
                signalled = true;
                self.terminate();
            }
        }
    }

    /// Waits for the end, and records nothing else.
    fn wait_only(&mut self, mut signalled: bool) -> io::Result<()> {
        while self.qemu.try_wait()?.is_none() {
            std::thread::sleep(END);
            if self.stop.load(Ordering::Relaxed) && !signalled {
                signalled = true;
                self.terminate();
            }
        }
        Ok(())
    }

    /// Passes the request to end on to QEMU.
    fn terminate(&mut self) {
        self.reason.get_or_insert("destroyed");
        if let Ok(pid) = i32::try_from(self.qemu.id()) {
            // An error means that it has ended.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Handles the events since the last turn.
    fn turn(&mut self, looked: &mut Instant) -> io::Result<Result<(), Trouble>> {
        match self.qmp.event(TICK) {
            Ok(Some(event)) => {
                if let Some(monitor) = &mut self.monitor {
                    monitor.event(&event);
                }
                if let Err(trouble) = self.happened(&event)? {
                    return Ok(Err(trouble));
                }
            }
            Ok(None) => {}
            Err(trouble) => return Ok(Err(trouble)),
        }
        while let Some(asked) = self
            .monitor
            .as_mut()
            .and_then(|monitor| monitor.asked(self.qmp.greeting()))
        {
            if let Err(trouble) = self.asked(&asked)? {
                return Ok(Err(trouble));
            }
        }
        if !self.options.poll.is_zero() && looked.elapsed() > self.options.poll {
            *looked = Instant::now();
            return self.look("update");
        }
        Ok(Ok(()))
    }

    fn happened(&mut self, event: &Value) -> io::Result<Result<(), Trouble>> {
        self.says_why(event);
        match event.get("event").and_then(Value::as_str) {
            Some(
                "DEVICE_DELETED"
                | "DEVICE_TRAY_MOVED"
                | "BLOCK_JOB_COMPLETED"
                | "MEMORY_DEVICE_SIZE_CHANGE",
            ) => self.look("update"),
            // After a migration, QEMU waits for `quit`.
            Some("STOP") => Ok(self.was_sent()),
            Some("RESUME") => {
                self.sent_to = None;
                Ok(Ok(()))
            }
            _ => Ok(Ok(())),
        }
    }

    /// Reads the reason of the guest's end from SHUTDOWN.
    fn says_why(&mut self, event: &Value) {
        if event.get("event").and_then(Value::as_str) == Some("SHUTDOWN") {
            let why = event.pointer("/data/reason").and_then(Value::as_str);
            self.reason.get_or_insert(match why {
                Some("guest-shutdown" | "guest-reset") => "shutdown",
                Some("guest-panic") => "crashed",
                _ => "destroyed",
            });
        }
    }

    /// Checks whether the guest stopped because it migrated.
    fn was_sent(&mut self) -> Result<(), Trouble> {
        let Some(to) = &self.sent_to else {
            return Ok(());
        };
        let reason = match is_saved(to.as_bytes()) {
            true => "saved",
            false => "migrated",
        };
        for _ in 0..100 {
            let answer = self
                .qmp
                .execute("query-migrate", json!({}))?
                .unwrap_or_default();
            match answer.get("status").and_then(Value::as_str) {
                Some("completed") => {
                    self.reason = Some(reason);
                    return Ok(());
                }
                Some("failed" | "cancelled") => return Ok(()),
                _ => std::thread::sleep(TICK),
            }
        }
        Ok(())
    }

    /// Handles a client's command.
    fn asked(&mut self, asked: &Asked) -> io::Result<Result<(), Trouble>> {
        let answer = match self.qmp.pass(asked.value.clone()) {
            Ok(answer) => answer,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let failed = answer.get("error").is_some();
        if let Some(monitor) = &mut self.monitor {
            monitor.answer(asked, answer);
        }
        let arguments = asked.value.get("arguments").cloned().unwrap_or_default();
        match asked.command.as_str() {
            "device_add" if failed => {
                let taker = Taker {
                    arguments: &self.arguments,
                    folder: &self.folder,
                };
                match taker.asked_for(&mut self.qmp, &arguments) {
                    Ok(Some((kind, what))) => self.emitter.refused(kind, &what)?,
                    Ok(None) => {}
                    Err(trouble) => return Ok(Err(trouble)),
                }
                Ok(Ok(()))
            }
            _ if failed => Ok(Ok(())),
            "chardev-add" => {
                // The monitor does not report the path of a file again.
                let data = arguments
                    .pointer("/backend/data")
                    .cloned()
                    .unwrap_or_default();
                let path = ["/addr/data/path", "/out", "/device"]
                    .iter()
                    .find_map(|at| data.pointer(at)?.as_str());
                if let (Some(id), Some(path)) = (arguments.get("id").and_then(Value::as_str), path)
                {
                    let path = self.folder.join(OsStr::from_bytes(path.as_bytes()));
                    self.arguments.add_chardev(id, path.as_os_str());
                }
                Ok(Ok(()))
            }
            "migrate" => {
                let uri = arguments.get("uri").and_then(Value::as_str);
                self.sent_to = Some(uri.unwrap_or_default().to_owned());
                Ok(Ok(()))
            }
            command
                if command.starts_with("query-")
                    || command.starts_with("qom-l")
                    || command == "qom-get" =>
            {
                Ok(Ok(()))
            }
            command if command.contains("snapshot") => self.look("snapshot"),
            _ => self.look("update"),
        }
    }

    /// Takes the inventory anew, and records what has changed.
    fn look(&mut self, reason: &str) -> io::Result<Result<(), Trouble>> {
        let taker = Taker {
            arguments: &self.arguments,
            folder: &self.folder,
        };
        let now = match taker.take(&mut self.qmp) {
            Ok(now) => now,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let pid = self.qemu.id();
        for change in between(&self.has, &now) {
            self.emitter.changed(&change, reason, pid)?;
        }
        self.has = now;
        Ok(Ok(()))
    }
}

/// Returns whether `qemu` ends within `patience`.
fn ends(qemu: &mut Child, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    while qemu.try_wait()?.is_none() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(END);
    }
    Ok(true)
}

/// Returns the exit status, as a shell has it.
fn status(ended: ExitStatus) -> u8 {
    match (ended.code(), ended.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(255),
        (None, signal) => 128 + u8::try_from(signal.unwrap_or(0)).unwrap_or(0),
    }
}
