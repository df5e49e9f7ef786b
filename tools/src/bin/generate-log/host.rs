// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The activity of a host: system calls, mappings, namespaces.

use crate::log::Log;
use dmns_audit_uapi::ns::Kind;
use std::collections::HashSet;
use std::io::{self, Write};

const PROGRAMS: [(&str, &str); 6] = [
    ("sshd", "/usr/sbin/sshd"),
    ("bash", "/usr/bin/bash"),
    ("systemd", "/usr/lib/systemd/systemd"),
    ("cron", "/usr/sbin/cron"),
    ("python3", "/usr/bin/python3.11"),
    ("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
];

const TARGETS: [(&str, &str, &str); 3] = [
    ("integrity", "integrity-checksum", "integritysetup"),
    ("crypt", "integrity-aead", "cryptsetup"),
    ("verity", "verify-data", "veritysetup"),
];

/// The active objects of a host.
#[derive(Debug)]
pub(crate) struct Host {
    /// Target and minor number of each mapping.
    mappings: Vec<(usize, u64)>,
    /// The minor numbers that are taken.
    minors: HashSet<u64>,
    minor: u64,
    /// The number of active mappings and namespaces.
    most: (usize, usize),
    /// Kind, number and id of each namespace.
    namespaces: Vec<(Kind, i64, u64)>,
    last_id: u64,
}

impl Host {
    /// Creates a host with at most `most` active mappings and namespaces.
    pub(crate) fn new(most: (usize, usize)) -> Self {
        Self {
            mappings: Vec::new(),
            minors: HashSet::new(),
            minor: 0,
            most,
            namespaces: Vec::new(),
            last_id: 0,
        }
    }

    /// Boots the host: no object is active, and serial numbers begin anew. After a crash, no
    /// shutdown is recorded.
    pub(crate) fn boots<W: Write>(&mut self, log: &mut Log<W>, crashed: bool) -> io::Result<()> {
        let body = "pid=1 uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg=' comm=\"systemd-update-utmp\" \
                    exe=\"/usr/lib/systemd/systemd-update-utmp\" hostname=? addr=? terminal=? res=success'";
        if !crashed {
            let stamp = log.event();
            log.record("SYSTEM_SHUTDOWN", &stamp, body)?;
        }
        self.mappings.clear();
        self.minors.clear();
        self.namespaces.clear();
        self.last_id = 0;
        log.serial = 0;
        // It takes a while to come up.
        log.millis += 20_000;
        let stamp = log.event();
        log.record("SYSTEM_BOOT", &stamp, body)
    }

    pub(crate) fn system_call<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let stamp = log.event();
        let (comm, exe) = *log.random.pick(&PROGRAMS);
        let pid = 300 + log.random.below(30000);
        let call = *log.random.pick(&[2, 257, 59, 87, 42]);
        let path = matches!(call, 2 | 257 | 87);
        syscall(log, &stamp, call, pid, comm, exe, if path { 1 } else { 0 })?;
        if path {
            let number = log.random.below(1_000_000);
            log.record("CWD", &stamp, "cwd=\"/root\"")?;
            let body = format!(
                "item=0 name=\"/var/lib/app/data-{number}\" inode={number} dev=fd:01 mode=0100644 ouid=0 ogid=0 \
                 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
            );
            log.record("PATH", &stamp, &body)?;
        }
        let title = "2F7573722F62696E2F707974686F6E33002D63";
        log.record("PROCTITLE", &stamp, &format!("proctitle={title}"))
    }

    /// Writes a constructor, a destructor, or a violation. Their shares do not depend on the number
    /// of mappings.
    pub(crate) fn device_mapper<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let number = self.mappings.len();
        match log.random.below(10) {
            0 | 1 if number < self.most.0 => self.ctr(log),
            0 | 1 => self.dtr(log),
            _ if number == 0 => self.ctr(log),
            _ => {
                let (target, minor) = *log.random.pick(&self.mappings);
                violation(log, target, minor)
            }
        }
    }

    fn ctr<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let target = log.random.below(3) as usize;
        loop {
            self.minor = (self.minor + 1) % (64 + 2 * self.most.0 as u64);
            if self.minors.insert(self.minor) {
                break;
            }
        }
        let stamp = log.event();
        if log.random.below(20) == 0 {
            self.minors.remove(&self.minor);
            ctrl(
                log,
                &stamp,
                target,
                "ctr",
                self.minor,
                "Device lookup failed",
                0,
            )?;
            ctrl(log, &stamp, target, "dtr", self.minor, "success", 1)?;
        } else {
            self.mappings.push((target, self.minor));
            ctrl(log, &stamp, target, "ctr", self.minor, "success", 1)?;
        }
        let tool = TARGETS[target].2;
        syscall(log, &stamp, 16, 4000, tool, "/usr/sbin/dmsetup", 0)
    }

    fn dtr<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let at = log.random.below(self.mappings.len() as u64) as usize;
        let (target, minor) = self.mappings.swap_remove(at);
        self.minors.remove(&minor);
        let stamp = log.event();
        ctrl(log, &stamp, target, "dtr", minor, "success", 1)?;
        syscall(
            log,
            &stamp,
            16,
            4000,
            TARGETS[target].2,
            "/usr/sbin/dmsetup",
            0,
        )
    }

    pub(crate) fn namespace<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let stamp = log.event();
        let number = self.namespaces.len();
        if number >= self.most.1 && log.random.below(2) == 0 || number > self.most.1 {
            let at = log.random.below(self.namespaces.len() as u64) as usize;
            let (kind, number, id) = self.namespaces.swap_remove(at);
            let name = kind.name();
            let body = format!(
                "pid=12 uid=0 auid=4294967295 ses=4294967295 subj=unconfined dev=00:04 {name}ns={number} \
                 ns_id={id} res=1"
            );
            return log.record(&format!("UNKNOWN[{}]", 1388 + kind as u16), &stamp, &body);
        }
        let kind = *log.random.pick(&Kind::ALL);
        let name = kind.name();
        self.last_id += 1;
        let (number, id) = (300 + self.last_id as i64, 100 + self.last_id);
        let old = self
            .namespaces
            .iter()
            .take(64)
            .find(|(other, ..)| *other == kind)
            .map_or(-3, |&(_, number, _)| number);
        self.namespaces.push((kind, number, id));
        let body = format!(
            "pid=4100 uid=0 auid=1000 ses=3 subj=unconfined dev=00:04 old_{name}ns={old} {name}ns={number} \
             ns_id={id} res=1"
        );
        log.record(&format!("UNKNOWN[{}]", 1380 + kind as u16), &stamp, &body)?;
        syscall(log, &stamp, 272, 4100, "unshare", "/usr/bin/unshare", 0)
    }
}

/// Writes a violation in the mapping `minor`. `target` is an index of [`TARGETS`].
pub(crate) fn violation<W: Write>(log: &mut Log<W>, target: usize, minor: u64) -> io::Result<()> {
    let (module, op, _) = TARGETS[target];
    let sector = log.random.below(1 << 12) * 8;
    let stamp = log.event();
    let body = format!("module={module} op={op} dev=253:{minor} sector={sector} res=0");
    log.record("DM_EVENT", &stamp, &body)
}

pub(crate) fn syscall<W: Write>(
    log: &mut Log<W>,
    stamp: &str,
    call: u64,
    pid: u64,
    comm: &str,
    exe: &str,
    items: u64,
) -> io::Result<()> {
    let (a0, a1) = (log.random.below(1 << 47), log.random.below(1 << 47));
    let body = format!(
        "arch=c000003e syscall={call} success=yes exit=0 a0={a0:x} a1={a1:x} a2=7ffd42eb1590 a3=0 items={items} \
         ppid=1 pid={pid} auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts1 ses=3 \
         comm=\"{comm}\" exe=\"{exe}\" subj=unconfined_u:unconfined_r:unconfined_t:s0 key=\"watch\""
    );
    log.record("SYSCALL", stamp, &body)
}

fn ctrl<W: Write>(
    log: &mut Log<W>,
    stamp: &str,
    target: usize,
    op: &str,
    minor: u64,
    error: &str,
    res: u8,
) -> io::Result<()> {
    let (module, _, tool) = TARGETS[target];
    let body = format!(
        "module={module} op={op} ppid=3807 pid=4000 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 \
         fsgid=0 tty=pts2 ses=3 comm=\"{tool}\" exe=\"/usr/sbin/{tool}\" subj=unconfined dev=253:{minor} \
         error_msg='{error}' res={res}"
    );
    log.record("DM_CTRL", stamp, &body)
}
