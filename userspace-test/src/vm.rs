// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! QEMU: one process, one guest.

use crate::arch::Arch;
use crate::clock::Clock;
use crate::folder::Folder;
use crate::kind::Kind;
use crate::prepare::{self, Disk, Prepared};
use crate::protocol::PORT;
use crate::scenario::Scenario;
use crate::tsc;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// The timeout of QEMU's port.
const START: Duration = Duration::from_secs(30);

/// The timeout of `dmns-audit-record run-guest` at the end of its guest.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The machine of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// MiB. Files of the guest are in memory too.
    pub(crate) memory: u32,
    /// Virtual CPUs.
    pub(crate) cpus: u32,
    /// Whether they run at the same time also if they are emulated.
    pub(crate) parallel: bool,
    /// Added to the kernel's command line.
    pub(crate) kernel_args: String,
    /// Whether an oops ends it at once, as a panic does.
    pub(crate) oops_is_end: bool,
    /// A folder of the host that the guest sees at /mnt/share.
    pub(crate) share: Option<PathBuf>,
    /// Whether the guest's clock counts instructions, one a nanosecond, and nothing else.
    pub(crate) icount: bool,
    /// Whether the guest gets this terminal as `/dev/hvc0`.
    pub(crate) terminal: bool,
    /// The disk that it starts from.
    pub(crate) disk: Disk,
    /// The modules of `userspace-test/modules/` that it has.
    pub(crate) modules: Vec<String>,
    /// Files and folders of the host that are copied into it.
    pub(crate) files: Vec<PathBuf>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            memory: 1024,
            cpus: 1,
            parallel: false,
            kernel_args: String::new(),
            oops_is_end: false,
            share: None,
            icount: false,
            terminal: false,
            disk: Disk::default(),
            modules: Vec::new(),
            files: Vec::new(),
        }
    }
}

impl Machine {
    /// Returns the machine that a scenario requests.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        Self {
            memory: scenario.memory,
            cpus: scenario.cpus,
            parallel: scenario.parallel,
            kernel_args: scenario.kernel_args.clone(),
            // What comes after it proves nothing, and a lock that its task held would keep the
            // steps waiting.
            oops_is_end: scenario.expect_oops.is_none() && scenario.expect_splat.is_none(),
            share: scenario.share.clone(),
            icount: scenario.icount
                && !scenario.parallel
                && !(scenario.fair_vcpus && scenario.cpus > 1),
            disk: scenario.disk(),
            modules: scenario.modules.clone(),
            files: scenario.copied.clone(),
            ..Self::default()
        }
    }

    /// Returns whether its virtual CPUs are emulated in a thread each.
    pub(crate) fn has_threads(&self) -> bool {
        self.parallel && self.cpus > 1 && !has_kvm()
    }
}

/// A running QEMU. It ends when this value is dropped.
pub(crate) struct Vm {
    qemu: Child,
    /// It was started by `dmns-audit-record run-guest`.
    recorded: bool,
    pub(crate) clock: Clock,
    /// Initramfs, console log, socket, process id.
    dir: Folder,
}

impl Vm {
    /// Starts a guest and connects to its port.
    pub(crate) fn start(
        prepared: &Prepared,
        machine: &Machine,
        initramfs: &[u8],
    ) -> Result<(Self, UnixStream)> {
        let dir = Folder::new()?;
        let initrd = dir.path().join("initrd");
        fs::write(&initrd, initramfs)?;
        let socket = dir.path().join("port");
        let pidfile = dir.path().join("pid");

        // It gets a signal if this program is killed.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "TERM"]);
        if let Some(log) = &prepared.guest_log {
            recorded(&mut qemu, log, dir.path())?;
        }
        let arch = Arch::asked();
        qemu.arg(arch.qemu());
        qemu.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args(["-machine", arch.machine()])
        .args(accelerator(machine, prepared.kind))
        .args([
            "-m",
            &format!("{}M", machine.memory.max(prepared.kind.memory())),
        ])
        .args(["-smp", &machine.cpus.to_string()])
        .arg("-kernel")
        .arg(prepared.kernel.join("vmlinuz"))
        .arg("-initrd")
        .arg(&initrd)
        .arg("-append")
        // Warnings and worse go to the console too, which survives a crash of the guest. The test
        // of the timer is off: on a busy host it fails.
        .arg(command_line(machine))
        .arg("-pidfile")
        .arg(&pidfile)
        .arg("-serial")
        .arg(format!("file:{}", console(dir.path()).display()))
        .arg("-drive")
        .arg(format!(
            "if=none,id=disk,format=raw,readonly=on,file={}",
            escape(&prepared.disk(&machine.disk)?)
        ))
        .args(["-device", "virtio-blk-pci,drive=disk"])
        .args(modules_disk(prepared, machine))
        .args(["-device", "virtio-serial-pci"])
        .arg("-chardev")
        .arg(format!(
            "socket,id=port,server=on,wait=off,path={}",
            escape(&socket)
        ))
        .args([
            "-device",
            &format!("virtserialport,chardev=port,name={PORT}"),
        ]);
        if let Some(share) = &machine.share {
            qemu.arg("-virtfs").arg(format!(
                "local,mount_tag=share,security_model=none,path={}",
                escape(share)
            ));
        }
        if machine.terminal {
            qemu.args(["-chardev", "stdio,id=terminal,signal=off"])
                .args(["-device", "virtconsole,chardev=terminal"]);
        } else {
            qemu.stdin(Stdio::null());
        }
        qemu.stderr(File::create(dir.path().join("qemu"))?);
        let mut vm = Self {
            qemu: qemu
                .spawn()
                .with_context(|| format!("starting {}", arch.qemu()))?,
            recorded: prepared.guest_log.is_some(),
            clock: Clock::starts(pidfile),
            dir,
        };
        loop {
            if let Ok(port) = UnixStream::connect(&socket) {
                return Ok((vm, port));
            }
            if vm.qemu.try_wait()?.is_some() || vm.clock.age() > START {
                bail!(
                    "QEMU did not start: {}",
                    fs::read_to_string(vm.dir.path().join("qemu"))?.trim()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the kernel's text on its console so far.
    pub(crate) fn console(&self) -> String {
        fs::read(console(self.dir.path()))
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""))
            .unwrap_or_default()
    }

    /// Waits until QEMU ends by itself; `None` if it does not within `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let deadline = self.clock.age() + timeout;
        loop {
            match self.qemu.try_wait()? {
                None if self.clock.age() < deadline => thread::sleep(Duration::from_millis(10)),
                ended => return Ok(ended),
            }
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if self.recorded {
            // So that QEMU ends with it.
            let pid = Pid::from_raw(self.qemu.id() as i32);
            let _ = kill(pid, Signal::SIGTERM);
            let _ = self.wait(LAST_WORDS);
        }
        // An error means that it has ended already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Returns the options of the disk with the kernel's modules. A guest with systemd has them on its own.
fn modules_disk(prepared: &Prepared, machine: &Machine) -> Vec<String> {
    if machine.disk.image.as_deref() == Some(prepare::SYSTEMD) {
        return Vec::new();
    }
    let file = escape(&prepared.modules_disk);
    vec![
        "-drive".to_owned(),
        format!("if=none,id=modules,format=raw,readonly=on,file={file}"),
        "-device".to_owned(),
        "virtio-blk-pci,drive=modules".to_owned(),
    ]
}

/// Prepends `dmns-audit-record run-guest` to `command`. The guest's name is that of its folder
/// `dir`.
fn recorded(command: &mut Command, log: &Path, dir: &Path) -> Result<()> {
    command
        .arg(prepare::recorder()?)
        .args(["run-guest", "--timeout", "120", "--name"])
        .arg(dir.file_name().unwrap_or(dir.as_os_str()))
        .arg("--log")
        .arg(log)
        .arg("--");
    Ok(())
}

fn console(dir: &Path) -> PathBuf {
    dir.join("console")
}

/// Returns a path in a QEMU option: a comma would end it.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Returns whether the processor and this user can use KVM for guests.
fn has_kvm() -> bool {
    if Arch::asked() != Arch::Amd64 {
        return false;
    }
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtualizes = processor
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|flags| flags.split(' ').any(|flag| matches!(flag, "vmx" | "svm")));
    let usable = || {
        File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
    };
    virtualizes && usable()
}

/// Returns whether the guest's processors are emulated.
fn is_emulated(machine: &Machine) -> bool {
    machine.icount || !has_kvm()
}

/// Returns the kernel's command line. A panic reboots at once, which ends QEMU (`-no-reboot`).
fn command_line(machine: &Machine) -> String {
    format!(
        "console={} loglevel=5 panic=-1 {}{} {} {} {}",
        Arch::asked().console(),
        if machine.oops_is_end {
            "oops=panic "
        } else {
            ""
        },
        // A kernel hands what it does not know to the first process.
        match Arch::asked() {
            Arch::Amd64 => "no_timer_check",
            Arch::Arm64 => "",
        },
        clocks(machine),
        // khugepaged has the lowest priority. Where others use an emulated processor, it is preempted for
        // longer than RCU waits without a word.
        match is_emulated(machine) {
            true => "transparent_hugepage=never",
            false => "",
        },
        machine.kernel_args
    )
}

/// Returns the kernel arguments about clocks for an emulated guest.
fn clocks(machine: &Machine) -> String {
    if Arch::asked() != Arch::Amd64 || !is_emulated(machine) {
        return String::new();
    }
    let compared = if machine.has_threads() {
        // Most boots that the emulator killed crashed where the kernel, after it found its clocks
        // in step, patches them.
        "tsc=unstable"
    } else if machine.cpus > 1 {
        // Linux 7 compares them between processors, and may wait for ever: docs/upstream/.
        "tsc=nowatchdog"
    } else {
        ""
    };
    // One that counts instructions measures the same each time.
    let khz = if machine.icount { None } else { tsc::khz() };
    match khz {
        Some(khz) => format!("{compared} tsc_early_khz={khz}"),
        None => compared.to_owned(),
    }
}

/// Returns the options of QEMU's accelerator: KVM if it is available, else emulation.
///
/// Under multi-threaded emulation one boot in thirty crashes in the kernel's own text patching
/// (`Oops: int3`, see `emulation.rs`). So several CPUs share a thread there, unless they are to be
/// parallel.
fn accelerator(machine: &Machine, kind: Kind) -> Vec<String> {
    if machine.icount {
        return [
            "-accel",
            "tcg",
            "-cpu",
            kind.cpu(),
            "-icount",
            "shift=0,sleep=off",
        ]
        .map(String::from)
        .to_vec();
    }
    let (accel, cpu) = if has_kvm() {
        ("kvm", "host")
    } else if machine.has_threads() {
        ("tcg,thread=multi", kind.cpu())
    } else if machine.cpus > 1 {
        ("tcg,thread=single", kind.cpu())
    } else {
        ("tcg", kind.cpu())
    };
    ["-accel", accel, "-cpu", cpu].map(String::from).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oops_ends_a_scenario_that_expects_none() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for (file, ends) in [
            ("unshare-all.toml", true),
            ("long/oops.toml", false),
            ("debug/control-sleep.toml", false),
        ] {
            let scenario = Scenario::load(&folder.join(file)).expect(file);
            let line = command_line(&Machine::of(&scenario));
            assert_eq!(
                line.split(' ').any(|word| word == "oops=panic"),
                ends,
                "{line}"
            );
            assert!(line.split(' ').any(|word| word == "panic=-1"), "{line}");
        }
        assert!(!command_line(&Machine::default()).contains("oops="));
    }
}
