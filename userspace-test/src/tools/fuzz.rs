// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Random system calls on namespaces, and mappings that are corrupted at random.
//!
//! The kernel's own probes (`namespaces judge`), the counters, and the kernel's complaints check
//! the result.

use crate::sys::{ALL_NS, NS_KINDS, exit, fork};
use anyhow::{Context, Result};
use clap::Args;
use fastrand::Rng;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, getpid, getppid};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The file in which processes write their calls: a count, a tab, and the name of the call.
const LOG: &str = "/tmp/fuzz-did";

/// The maximum number of file descriptors of a process.
const KEPT: usize = 24;

/// The longest that a process may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Do random system calls on namespaces, and corrupt small mappings at random.
#[derive(Args)]
pub(super) struct Fuzz {
    /// Decides all choices.
    seed: u64,
    /// Seconds to run.
    seconds: u64,
}

/// Runs three processes at a time, and mappings between.
pub(super) fn run(fuzz: &Fuzz) -> Result<ExitCode> {
    let end = Instant::now() + Duration::from_secs(fuzz.seconds);
    let mut number = fuzz.seed.wrapping_mul(1_000_000);
    let mut next = || {
        number = number.wrapping_add(1);
        number
    };
    let (mut processes, mut mappings) = (0, 0);
    File::create(LOG).context(LOG)?;
    while Instant::now() < end {
        let mut running = Vec::new();
        for _ in 0..3 {
            let number = next();
            running.push(Pid::from_raw(fork(|| process(number))?));
            processes += 1;
        }
        if processes % 12 == 0 {
            mapping(next())?;
            mappings += 1;
        }
        reap(running);
    }
    println!(
        "seed {}: {processes} processes, {mappings} mappings",
        fuzz.seed
    );
    for (name, count) in sum(&fs::read_to_string(LOG).context(LOG)?)? {
        println!("{count} {name}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until processes end, and kills those that take too long.
fn reap(mut running: Vec<Pid>) {
    let begin = Instant::now();
    while !running.is_empty() && begin.elapsed() < TIMEOUT {
        running.retain(|pid| {
            let ended = waitpid(*pid, Some(WaitPidFlag::WNOHANG));
            matches!(ended, Ok(WaitStatus::StillAlive))
        });
        if !running.is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    for pid in running {
        // It may have ended meanwhile.
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
    }
}

/// Adds up what processes did, by name.
fn sum(log: &str) -> Result<BTreeMap<&str, u64>> {
    let mut sums = BTreeMap::new();
    for line in log.lines() {
        let (count, name) = line.split_once('\t').with_context(|| line.to_owned())?;
        *sums.entry(name).or_default() += count.parse::<u64>()?;
    }
    Ok(sums)
}

/// Does some calls in a process of its own, which `number` decides.
fn process(number: u64) -> Result<()> {
    alarm::set(20);
    let mut process = Process {
        random: Random(Rng::with_seed(number)),
        did: BTreeMap::new(),
        kept: Vec::new(),
    };
    for _ in 0..process.random.0.usize(5..45) {
        process.act();
    }
    let mut lines = String::new();
    for (name, count) in &process.did {
        lines += &format!("{count}\t{name}\n");
    }
    // In a mount namespace of its own it may have lost sight of the file.
    if let Ok(mut log) = OpenOptions::new().append(true).open(LOG) {
        let _ = log.write_all(lines.as_bytes());
    }
    Ok(())
}

/// Random choices.
struct Random(Rng);

impl Random {
    fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())]
    }

    /// Returns the name of a kind of namespace.
    fn kind(&mut self) -> &'static str {
        self.one(&NS_KINDS).name
    }

    /// Returns the bit of one kind of namespace, or 0, which is two times as likely as any bit.
    fn kind_or_none(&mut self) -> i32 {
        let flag = self.one(&NS_KINDS).flag;
        self.one(&[0, 0, flag])
    }

    /// Returns bits of clone(2): kinds of namespaces, and in most cases another bit.
    fn flags(&mut self) -> u32 {
        let mut flags = 0;
        for kind in NS_KINDS {
            if self.0.f64() < 0.3 {
                flags |= kind.flag as u32;
            }
        }
        if flags == 0 {
            flags = self.one(&NS_KINDS).flag as u32;
        }
        let any = 1 << self.0.u32(..32);
        flags | self.one(&[0, 0, 0, 0x100, 0x200, 0x400, 0x800, any])
    }
}

/// Calls a system call with numbers, or with addresses of what stays where it is while it runs.
macro_rules! syscall {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: The arguments are numbers, or addresses of initialized memory that is as large as
        // the call takes it to be. No call changes the memory or the threads of this process
        // otherwise.
        unsafe { libc::syscall($number $(, $argument)*) }
    };
}

/// The sharing of memory, files and signal handlers with a child: not for a process that continues
/// after it.
const SHARING: u32 = 0xf00;

/// A process of the fuzzer.
#[derive(Clone, Copy, Debug)]
enum Act {
    Clone,
    Clone3,
    Drop,
    Fsmount,
    Hostname,
    IdMaps,
    Listns,
    Mount,
    Open,
    Pidfd,
    Pin,
    Private,
    Ptrace,
    Setns,
    Socket,
    Tree,
    Unpin,
    Unshare,
    Uring,
    User,
}

impl Act {
    const ALL: [Self; 20] = [
        Self::Clone,
        Self::Clone3,
        Self::Drop,
        Self::Fsmount,
        Self::Hostname,
        Self::IdMaps,
        Self::Listns,
        Self::Mount,
        Self::Open,
        Self::Pidfd,
        Self::Pin,
        Self::Private,
        Self::Ptrace,
        Self::Setns,
        Self::Socket,
        Self::Tree,
        Self::Unpin,
        Self::Unshare,
        Self::Uring,
        Self::User,
    ];
}

/// A process, which has one thread. All calls concern the process itself.
struct Process {
    random: Random,
    did: BTreeMap<String, u64>,
    kept: Vec<OwnedFd>,
}

impl Process {
    fn act(&mut self) {
        match self.random.one(&Act::ALL) {
            Act::Clone => self.clone(),
            Act::Clone3 => self.clone3(),
            Act::Drop => {
                if !self.kept.is_empty() {
                    let which = self.random.0.usize(..self.kept.len());
                    self.kept.remove(which);
                }
                self.note("close");
            }
            Act::Fsmount => self.fsmount(),
            Act::Hostname => {
                let name = format!("h{}", self.random.0.u32(..100));
                self.call(
                    "sethostname",
                    syscall!(libc::SYS_sethostname, name.as_ptr(), name.len()),
                );
            }
            Act::IdMaps => {
                let (file, text) = self.random.one(&[
                    ("setgroups", "deny"),
                    ("uid_map", "0 0 1"),
                    ("gid_map", "0 0 1"),
                ]);
                let _ = fs::write(format!("/proc/self/{file}"), text);
                self.note("id maps");
            }
            Act::Listns => self.listns(),
            Act::Mount => {
                let kind = self.random.one(&[c"tmpfs", c"proc", c"sysfs"]);
                self.mount("mount", c"none", c"/mnt", kind, 0);
            }
            Act::Open => self.open(),
            Act::Pidfd => self.pidfd(),
            Act::Pin => self.pin(),
            Act::Private => {
                // MS_REC with MS_PRIVATE, MS_SLAVE or MS_SHARED.
                let flags = 0x4000 | self.random.one(&[1 << 18, 1 << 19, 1 << 20]);
                self.mount("make private", c"none", c"/", c"", flags);
            }
            Act::Ptrace => self.ptrace(),
            Act::Setns => {
                if !self.kept.is_empty() {
                    let which = self.random.0.usize(..self.kept.len());
                    let kind = self.random.kind_or_none();
                    let fd = self.kept[which].as_raw_fd();
                    self.call("setns", syscall!(libc::SYS_setns, fd, kind));
                }
            }
            Act::Socket => {
                let socket = syscall!(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM, 0);
                self.keep(socket);
                self.note("socket");
            }
            Act::Tree => {
                let path = self.random.one(&[c"/", c"/tmp", c"/proc", c"."]);
                // OPEN_TREE_CLONE, OPEN_TREE_NAMESPACE, both, O_CLOEXEC, AT_RECURSIVE.
                let flags = self.random.one(&[1, 2, 3, 0x80001, 0x8001]);
                let fd = syscall!(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags);
                self.call("open_tree", fd);
                self.keep(fd);
            }
            Act::Unpin => {
                let target = self.pin_target();
                let flags = self.random.one(&[0, libc::MNT_DETACH]);
                if let Ok(path) = CString::new(target.as_str()) {
                    self.call("umount", syscall!(libc::SYS_umount2, path.as_ptr(), flags));
                }
                let _ = fs::remove_file(target);
            }
            Act::Unshare => {
                let flags = u64::from(self.random.flags());
                self.call("unshare", syscall!(libc::SYS_unshare, flags));
            }
            Act::Uring => self.uring(),
            Act::User => {
                let uid = self.random.one(&[0, 1000, 65534]);
                self.call("setresuid", syscall!(libc::SYS_setresuid, uid, uid, uid));
            }
        }
    }

    fn note(&mut self, name: &str) {
        *self.did.entry(name.to_owned()).or_default() += 1;
    }

    /// Counts a call by its result, and returns whether it succeeded.
    fn call(&mut self, name: &str, result: libc::c_long) -> bool {
        match result < 0 {
            true => self.note(&format!("{name} refused")),
            false => self.note(name),
        }
        result >= 0
    }

    /// Keeps a new file descriptor, if there is one.
    fn keep(&mut self, fd: libc::c_long) {
        if fd >= 0 {
            // SAFETY: The descriptor is new, and nobody else's.
            self.kept.push(unsafe { OwnedFd::from_raw_fd(fd as i32) });
            if self.kept.len() > KEPT {
                self.kept.remove(0);
            }
        }
    }

    /// Does some calls in a child of this process, and ends it.
    fn child(&mut self) -> ! {
        for _ in 0..self.random.0.usize(..6) {
            self.act();
        }
        exit(0)
    }

    fn clone(&mut self) {
        let flags = self.random.flags() & !(SHARING | libc::CLONE_NEWTIME as u32) & 0xffff_ff00;
        let flags = flags | libc::SIGCHLD as u32;
        let pid = syscall!(libc::SYS_clone, u64::from(flags), 0, 0, 0, 0);
        if pid == 0 {
            self.child();
        }
        self.call("clone", pid);
    }

    fn clone3(&mut self) {
        let flags = self.random.flags() & !SHARING & 0xffff_ff80;
        // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size,
        // tls, set_tid, ...
        let mut arguments = [0_u64; 11];
        arguments[0] = flags.into();
        arguments[4] = libc::SIGCHLD as u64;
        let pid = syscall!(
            libc::SYS_clone3,
            arguments.as_ptr(),
            size_of_val(&arguments)
        );
        if pid == 0 {
            self.child();
        }
        self.call("clone3", pid);
    }

    fn open(&mut self) {
        let process = self
            .random
            .one(&[0, getpid().as_raw(), 1, getppid().as_raw()]);
        let process = match process {
            0 => "self".to_owned(),
            pid => pid.to_string(),
        };
        let mut names = NS_KINDS.map(|kind| kind.name).to_vec();
        names.extend(["pid_for_children", "time_for_children"]);
        let name = self.random.one(&names);
        if let Ok(file) = File::open(format!("/proc/{process}/ns/{name}")) {
            self.kept.push(file.into());
            if self.kept.len() > KEPT {
                self.kept.remove(0);
            }
            self.note("open");
        }
    }

    fn pidfd(&mut self) {
        let pid = self.random.one(&[getpid().as_raw(), getppid().as_raw(), 1]);
        let fd = syscall!(libc::SYS_pidfd_open, pid, 0);
        if self.call("pidfd_open", fd) {
            let flags = self.random.flags() & ALL_NS as u32;
            self.call("setns by pidfd", syscall!(libc::SYS_setns, fd, flags));
            syscall!(libc::SYS_close, fd);
        }
    }

    fn pin_target(&mut self) -> String {
        format!("/tmp/fuzz-{}-{}", getpid(), self.random.0.u32(..4))
    }

    fn pin(&mut self) {
        let target = self.pin_target();
        if File::create(&target).is_err() {
            return;
        }
        let source = CString::new(format!("/proc/self/ns/{}", self.random.kind()));
        if let (Ok(source), Ok(target)) = (source, CString::new(target)) {
            self.mount("mount a namespace", &source, &target, c"", libc::MS_BIND);
        }
    }

    fn mount(&mut self, name: &str, source: &CStr, target: &CStr, kind: &CStr, flags: u64) {
        let (source, target, kind) = (source.as_ptr(), target.as_ptr(), kind.as_ptr());
        self.call(
            name,
            syscall!(libc::SYS_mount, source, target, kind, flags, 0),
        );
    }

    fn fsmount(&mut self) {
        const FSCONFIG_CMD_CREATE: u32 = 6;
        let kind = self
            .random
            .one(&[c"tmpfs", c"proc", c"ramfs", c"mqueue", c"cgroup2"]);
        let fs = syscall!(libc::SYS_fsopen, kind.as_ptr(), 0);
        if !self.call("fsopen", fs) {
            return;
        }
        self.call(
            "fsconfig",
            syscall!(libc::SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0),
        );
        // FSMOUNT_CLOEXEC, FSMOUNT_NAMESPACE.
        let flags = self.random.one(&[0, 1, 2, 3]);
        let mount = syscall!(libc::SYS_fsmount, fs, flags, 0);
        self.call("fsmount", mount);
        syscall!(libc::SYS_close, fs);
        self.keep(mount);
    }

    fn listns(&mut self) {
        const LISTNS: libc::c_long = 470;
        let last = self.random.0.u64(..500);
        let kind = self.random.kind_or_none() as u32;
        // struct ns_id_req: size and spare, the last id seen, kind and spare, owning user
        // namespace.
        let request = [32, last, u64::from(kind), 0];
        let mut ids = [0_u64; 64];
        let count = syscall!(LISTNS, request.as_ptr(), ids.as_mut_ptr(), ids.len(), 0);
        self.call("listns", count);
    }

    /// Stops the parent for a moment.
    fn ptrace(&mut self) {
        let parent = getppid();
        if parent.as_raw() < 100 {
            return;
        }
        let trace =
            |request: libc::c_uint| syscall!(libc::SYS_ptrace, request, parent.as_raw(), 0, 0);
        if self.call("ptrace", trace(libc::PTRACE_SEIZE)) {
            self.call("ptrace", trace(libc::PTRACE_INTERRUPT));
            // It stops in a moment, unless another call keeps it.
            for _ in 0..20 {
                match waitpid(parent, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                    _ => break,
                }
            }
            self.call("ptrace", trace(libc::PTRACE_DETACH));
        }
    }

    fn uring(&mut self) {
        // struct io_uring_params.
        let mut parameters = [0_u8; 120];
        let fd = syscall!(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr());
        if self.call("io_uring_setup", fd) {
            let submit = self.random.0.u32(..3);
            let wait = self.random.one(&[0, 1]);
            let entered = syscall!(
                libc::SYS_io_uring_enter,
                fd,
                submit,
                0,
                wait,
                0_usize,
                0_usize
            );
            self.call("io_uring_enter", entered);
            self.keep(fd);
        }
    }
}

/// Creates a small mapping, corrupts it, reads it, and removes it, as `number` decides.
fn mapping(number: u64) -> Result<()> {
    let mut random = Random(Rng::with_seed(number));
    let name = format!("fuzz{number}");
    let image = format!("/tmp/{name}.img");
    File::create(&image)?.set_len(2 << 20)?;
    let at = random.0.u32(..2 << 20);
    let corrupt = format!("printf x | dd of={image} bs=1 seek={at} conv=notrunc");
    let script = match random.one(&["integrity", "verity", "crypt", "none"]) {
        "integrity" => format!(
            "integritysetup -q --no-wipe format --integrity crc32c {image}; {corrupt}
             integritysetup open --integrity crc32c {image} {name}
             dd if=/dev/mapper/{name} of=/dev/null bs=4096 skip={} count=2 iflag=direct
             integritysetup close {name}",
            random.0.u32(..100)
        ),
        "verity" => format!(
            "veritysetup format {image} {image}.hash; {corrupt}
             veritysetup open {image} {name} {image}.hash {}
             veritysetup close {name}",
            "0".repeat(64)
        ),
        "crypt" => format!(
            "dmsetup create {name} --table '0 {} crypt aes-{} {} 0 /dev/loop0 0'
             dmsetup remove {name}",
            random.one(&[1, 8, 2048]),
            random.one(&["xts-plain64", "cbc-null", "nonsense"]),
            "0".repeat(random.one(&[2, 32, 64]))
        ),
        _ => format!(
            "dmsetup create {name} --notable
             dmsetup {} {name}
             dmsetup remove {name}",
            random.one(&[
                "suspend",
                "resume",
                "clear",
                &format!("message {name} 0 x #")
            ])
        ),
    };
    // Most of it fails, and is meant to.
    Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("sh")?;
    for file in [image.clone(), format!("{image}.hash")] {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_choices() {
        let choices = |seed| {
            let mut random = Random(Rng::with_seed(seed));
            let flags: Vec<u32> = (0..8).map(|_| random.flags()).collect();
            (flags, random.kind(), random.kind_or_none())
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
    }

    #[test]
    fn flags_have_a_kind_of_namespace() {
        let mut random = Random(Rng::with_seed(1));
        for _ in 0..1000 {
            assert_ne!(random.flags() & ALL_NS as u32, 0);
        }
    }

    #[test]
    fn what_processes_did_is_added_up() -> Result<()> {
        let sums = sum("1\topen\n2\tunshare refused\n3\topen\n")?;
        assert_eq!(sums, BTreeMap::from([("open", 4), ("unshare refused", 2)]));
        assert!(sum("x\topen\n").is_err());
        Ok(())
    }
}
