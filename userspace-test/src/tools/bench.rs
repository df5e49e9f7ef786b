// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Measures the cost of records, in the guest. `dmns-test bench` reads the output.

use crate::sys::{exit, fork, unshare, wait_for_success};
use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{pipe, read, write};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

const FILTER: &str = "/sys/kernel/security/dmns_audit/filter";

/// Measures under all conditions.
pub(super) fn run() -> Result<ExitCode> {
    std::env::set_current_dir("/tmp")?;
    set_up()?;
    if !Path::new(super::MODULE).exists() {
        return without_module();
    }
    Bench::new("no module").all()?;
    must("load")?;
    Bench::new("module").all()?;
    for level in [1, 2] {
        set_info(level)?;
        let bench = Bench::new(&format!("module, info={level}"));
        bench.syscalls()?;
        bench.forks()?;
        bench.namespaces()?;
        bench.watched()?;
    }
    set_info(0)?;
    // Filters: of a container, of another one; next to no rule.
    let bench = Bench::new("module, no rule");
    bench.opens_inside()?;
    bench.opens(ON_THE_HOST)?;
    must("auditctl -w /tmp/watched -p r")?;
    Bench::new("module, excluded").opens_excluded()?;
    must(&format!(
        "unshare --fork --pid --mount --uts --ipc --net --cgroup sleep 1000 & sleep 0.5
         pid=$(pgrep sleep)
         echo \"exclude $pid $(namespaces of $pid)\" >{FILTER}
         grep exclude {FILTER}"
    ))?;
    let bench = Bench::new("module, another excluded");
    bench.opens_inside()?;
    bench.opens(ON_THE_HOST)?;
    // Without a rule, as the first line of the table: a rule alone makes audit look at each system
    // call.
    must("auditctl -D")?;
    bench.syscalls()?;
    must(&format!("echo clear >{FILTER}; pkill sleep"))?;
    must("unload")?;
    // The audit package's 41-containers.rules.
    must(
        "auditctl -a always,exit -F arch=b64 -S clone -F 'a0&0x7C020000' -F key=container-create
         auditctl -a always,exit -F arch=b64 -S unshare,setns -F key=container-config",
    )?;
    Bench::new("no module, 41-containers.rules").lifetimes()?;
    must("auditctl -D")?;
    bpf()?;
    must("auditctl -e 0")?;
    Bench::new("auditing off, no module").lifetimes()?;
    must("load")?;
    Bench::new("auditing off, module").lifetimes()?;
    Ok(ExitCode::SUCCESS)
}

/// Measures a kernel without the module: one with patches of `docs/upstream`, or the one that it is
/// compared with.
fn without_module() -> Result<ExitCode> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kinds = ["unpatched", "fixes", "intree"];
    let kind = kinds
        .into_iter()
        .find(|kind| release.contains(&format!("-{kind}-")));
    let kernel = match kind {
        Some("intree") => "series",
        kind => kind.unwrap_or("no module"),
    };
    Bench::new(kernel).all()?;
    if kernel == "series" {
        for (feature, name) in [("2", "ns_changes"), ("3", "both features")] {
            must(&format!("audit-feature {feature} on"))?;
            let bench = Bench::new(&format!("series, {name}"));
            bench.lifetimes()?;
            bench.watched()?;
        }
        must("audit-feature 2 off; audit-feature 3 off")?;
    }
    must("auditctl -e 0")?;
    Bench::new(&format!("auditing off, {kernel}")).lifetimes()?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a shell script. Fails, and prints its standard error, if it does.
fn must(script: &str) -> Result<()> {
    let errors = File::create("/tmp/bench.error")?;
    let status = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .status()?;
    ensure!(
        status.success(),
        "'{script}' failed: {}",
        fs::read_to_string("/tmp/bench.error")?
    );
    Ok(())
}

fn set_info(level: u32) -> Result<()> {
    let file = "/sys/kernel/security/dmns_audit/info";
    fs::write(file, level.to_string()).context(file)
}

/// Prepares devices and a file, and moves auditd's log.
fn set_up() -> Result<()> {
    // Where the harness does not look: reading it is no cost of a record.
    must(
        "sed -i 's#^log_file = .*#log_file = /var/log/audit/bench.log#' /etc/audit/auditd.conf
         kill -HUP $(pidof auditd)
         sleep 1",
    )?;
    must("truncate -s 1M c.img && losetup /dev/loop0 c.img && dmsetup create empty --notable")?;
    must(
        "set -e
         truncate -s 4M i.img
         integritysetup -q format --integrity crc32c i.img
         integritysetup open --integrity crc32c i.img it
         corrupt it --sector 0 --print=byte >at
         integritysetup close it
         corrupt-bytes i.img $(cat at)
         integritysetup open --integrity crc32c i.img it
         blockdev --setra 0 /dev/mapper/it",
    )?;
    must("touch watched")
}

/// Measures while a BPF program keeps what a record would have.
fn bpf() -> Result<()> {
    let program = "fentry:vmlinux:__ns_tree_add_raw, fentry:vmlinux:__ns_tree_remove \
        { @[func, pid, uid, args.ns->ns_type, args.ns->inum, args.ns->ns_id] = count(); }";
    let mut tracer = Command::new("bpftrace")
        .args(["-e", program])
        .stdout(File::create("/tmp/seen")?)
        .spawn()
        .context("bpftrace")?;
    loop {
        let functions = fs::read_to_string("/sys/kernel/tracing/enabled_functions")?;
        if functions
            .lines()
            .filter(|line| line.contains("direct"))
            .count()
            >= 2
        {
            break;
        }
        if let Some(status) = tracer.try_wait()? {
            bail!("bpftrace ended with {status}");
        }
        sleep(Duration::from_millis(100));
    }
    Bench::new("no module, BPF fentry").lifetimes()?;
    must("pkill -INT bpftrace")?;
    tracer.wait()?;
    must("test $(grep -c ns_tree_remove seen) -ge 60 || { head seen >&2; false; }")
}

const ON_THE_HOST: &str = "on the host";
const IN_A_CONTAINER: &str = "in a container";

/// Measurements under some conditions.
struct Bench {
    conditions: String,
}

impl Bench {
    fn new(conditions: &str) -> Self {
        Self {
            conditions: conditions.to_owned(),
        }
    }

    /// Measures `act`, and prints a line.
    fn measure(
        &self,
        what: &str,
        rounds: usize,
        mut act: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        // Let the records of what was before go out.
        sleep(Duration::from_millis(500));
        for _ in 0..6 {
            act()?;
        }
        let mut took = vec![0; rounds];
        let begin = now()?;
        for took in &mut took {
            let from = now()?;
            act()?;
            *took = now()? - from;
        }
        let mean = (now()? - begin) as f64 / rounds as f64;
        took.sort_unstable();
        println!(
            "{what}\t{}\t{}\t{}\t{mean:.0}",
            self.conditions,
            took[0],
            took[rounds / 2]
        );
        Ok(())
    }

    /// Returns what is measured, with the remark that makes it a table of its own.
    fn name(&self, what: &str) -> String {
        match self.conditions.starts_with("auditing off") {
            true => format!("{what}, auditing off"),
            false => what.to_owned(),
        }
    }

    /// Measures all that is measured without a rule, then with one.
    fn all(&self) -> Result<()> {
        self.lifetimes()?;
        self.constructor()?;
        self.violation()?;
        self.watched()
    }

    /// Measures what does nothing to devices or files.
    fn lifetimes(&self) -> Result<()> {
        self.syscalls()?;
        self.forks()?;
        self.namespaces()
    }

    /// Measures 1000 system calls that do nothing.
    fn syscalls(&self) -> Result<()> {
        self.measure(&self.name("1000 getppid()"), 30, || {
            for _ in 0..1000 {
                // SAFETY: It takes nothing.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            Ok(())
        })
    }

    fn forks(&self) -> Result<()> {
        self.measure(&self.name("fork, exit"), 100, || child(0))
    }

    /// Measures the lifetimes of namespaces: the deletion is part of a child's exit.
    fn namespaces(&self) -> Result<()> {
        for (what, rounds, flags) in [
            ("fork, unshare(CLONE_NEWUTS), exit", 200, libc::CLONE_NEWUTS),
            (
                "fork, unshare() of all eight kinds, exit",
                200,
                crate::sys::ALL_NS,
            ),
        ] {
            self.measure(&self.name(what), rounds, || child(flags))?;
        }
        Ok(())
    }

    /// Measures a constructor that fails, and the destructor that cleans up: two records.
    fn constructor(&self) -> Result<()> {
        const DM_TABLE_LOAD: libc::c_ulong = 0xc138_fd09;
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/mapper/control")?;
        let request = table_load();
        self.measure("DM_TABLE_LOAD that fails", 500, || {
            let mut request = request.clone();
            // SAFETY: The kernel reads and writes within the length that the request has.
            let result =
                unsafe { libc::ioctl(control.as_raw_fd(), DM_TABLE_LOAD, request.as_mut_ptr()) };
            ensure!(result == -1, "it did not fail");
            Ok(())
        })
    }

    /// Measures a read of a sector that fails its checksum: one record.
    fn violation(&self) -> Result<()> {
        let device = File::open("/dev/mapper/it")?;
        let mut page = [0; 4096];
        self.measure("read of a corrupt sector", 500, || {
            ensure!(device.read_at(&mut page, 0).is_err(), "it was read");
            Ok(())
        })
    }

    /// Measures with a rule that watches a file, without which no open() is audited.
    fn watched(&self) -> Result<()> {
        must("auditctl -w /tmp/watched -p r")?;
        self.opens(ON_THE_HOST)?;
        self.opens_inside()?;
        must("auditctl -D")
    }

    fn opens(&self, place: &str) -> Result<()> {
        self.measure(&format!("watched open(), {place}"), 500, || {
            let fd = open(c"/tmp/watched");
            ensure!(fd >= 0, "it was not opened");
            // SAFETY: The descriptor is that of the line above, and nobody else's.
            unsafe { libc::syscall(libc::SYS_close, fd) };
            Ok(())
        })
    }

    /// Measures in a uts namespace.
    fn opens_inside(&self) -> Result<()> {
        wait_for_success(fork(|| {
            unshare(libc::CLONE_NEWUTS)?;
            self.opens(IN_A_CONTAINER)
        })?)
    }

    /// Measures in a container with namespaces of its own of six kinds, after it was excluded.
    fn opens_excluded(&self) -> Result<()> {
        let (number, number_in) = pipe()?;
        let (turn, turn_in) = pipe()?;
        let container = fork(|| {
            unshare(crate::sys::ALL_NS & !(libc::CLONE_NEWUSER | libc::CLONE_NEWTIME))?;
            let inside = fork(|| {
                read(&turn, &mut [0])?;
                self.opens(IN_A_CONTAINER)
            })?;
            write(&number_in, &inside.to_ne_bytes())?;
            wait_for_success(inside)
        })?;
        let mut inside = [0; 4];
        ensure!(
            read(&number, &mut inside)? == 4,
            "the container has no number"
        );
        let inside = libc::pid_t::from_ne_bytes(inside);
        must(&format!(
            "echo exclude {inside} $(namespaces of {inside}) >{FILTER}"
        ))?;
        write(&turn_in, b"x")?;
        wait_for_success(container)
    }
}

/// Opens a file, by the cheapest system call that the processor has. Returns the descriptor, or an
/// error.
fn open(path: &std::ffi::CStr) -> libc::c_long {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: The kernel reads the path.
    return unsafe { libc::syscall(libc::SYS_open, path.as_ptr(), libc::O_RDONLY) };
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: As above.
    return unsafe {
        libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::O_RDONLY,
        )
    };
}

/// Runs a child that creates namespaces, or none, and exits.
fn child(flags: i32) -> Result<()> {
    wait_for_success(fork(|| {
        if flags != 0 {
            unshare(flags)?;
        }
        exit(0)
    })?)
}

/// Returns the time in nanoseconds.
fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// Returns a request to load a table that dm-crypt refuses: the key is too short.
fn table_load() -> Vec<u8> {
    const HEAD: usize = 312;
    let parameters = b"aes-xts-plain64 00 0 /dev/loop0 0\0";
    // struct dm_target_spec: first sector, length, status, next, type.
    let mut spec = Vec::new();
    spec.extend(0_u64.to_ne_bytes());
    spec.extend(2048_u64.to_ne_bytes());
    spec.extend([0; 8]);
    spec.extend(padded(b"crypt", 16));
    spec.extend(parameters);
    // struct dm_ioctl: version, data_size, data_start, target_count, open_count, flags, event_nr,
    // padding, dev, name, uuid.
    let size = (HEAD + spec.len()) as u32;
    let mut request = Vec::new();
    for number in [4, 0, 0, size, HEAD as u32, 1, 0, 0, 0, 0] {
        request.extend(number.to_ne_bytes());
    }
    request.extend(0_u64.to_ne_bytes());
    request.extend(padded(b"empty", 128));
    request.resize(HEAD, 0);
    request.extend(spec);
    request
}

/// Returns a text, and zeros up to a length.
fn padded(text: &[u8], length: usize) -> Vec<u8> {
    let mut padded = text.to_vec();
    padded.resize(length, 0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_its_length_and_the_parameters_their_place() {
        let request = table_load();
        assert_eq!(request[12..16], (request.len() as u32).to_ne_bytes());
        assert_eq!(request[312 + 40..][..4], *b"aes-");
        assert_eq!(request[48..53], *b"empty");
    }
}
