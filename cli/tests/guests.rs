// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Guests, and logs that are not as they should be: guests of one name, logs that begin or end in the middle.

use dmns_audit_log::virt::text::Guest;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn dmns_audit<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(arguments)
        .env("TZ", "UTC0")
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

/// The rows of `report virt --all-events`.
fn rows(log: &Path) -> Vec<Value> {
    let arguments = ["report", "virt", "--all-events", "--format", "json"].map(OsString::from);
    let output = dmns_audit(arguments.into_iter().chain([log.into()]));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// A log that grows, a record a second.
#[derive(Default)]
struct Log {
    text: String,
    serial: u32,
}

impl Log {
    fn record(&mut self, ty: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let mut inner = Vec::new();
        write(&mut inner);
        self.serial += 1;
        self.text.push_str(&format!(
            "type={ty} msg=audit({0}.000:{0}): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='{1}'\n",
            self.serial,
            String::from_utf8(inner).expect("ASCII")
        ));
        self
    }

    fn starts(&mut self, guest: &Guest<'_>, pid: i64) -> &mut Self {
        self.record("VIRT_MACHINE_ID", |out| {
            guest.machine_id(out, "+0:+0", "+0:+0", "dac")
        });
        self.record("VIRT_CONTROL", |out| {
            guest.control(out, "start", "booted", pid, true)
        })
    }

    fn stops(&mut self, guest: &Guest<'_>) -> &mut Self {
        self.record("VIRT_CONTROL", |out| {
            guest.control(out, "stop", "shutdown", 0, true)
        })
    }

    fn sessions(&self) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, &self.text).expect("written");
        rows(&path)
            .iter()
            .map(|row| {
                let second = |at: &str| {
                    let id = row[at]["id"].as_str().unwrap_or("-");
                    id.split('.').next().unwrap_or_default().to_owned()
                };
                let text = |name: &str| row[name].as_str().unwrap_or_default();
                format!(
                    "{} {} {} {}-{}",
                    text("event"),
                    text("vm"),
                    text("state"),
                    second("start"),
                    second("end")
                )
                .trim_end()
                .to_owned()
            })
            .collect()
    }
}

const A: Guest<'_> = Guest {
    virt: "qemu",
    name: b"web",
    uuid: "11111111-2222-3333-4444-555555555555",
    exe: b"/x",
};
const B: Guest<'_> = Guest {
    uuid: "99999999-2222-3333-4444-555555555555",
    ..A
};

#[test]
fn guests_of_one_name_are_distinguished_by_their_uuid_and_a_uuid_can_be_used_again() {
    let mut log = Log::default();
    log.starts(&A, 10).starts(&B, 11).stops(&A).stops(&B);
    assert_eq!(
        log.sessions(),
        [
            "start web ended 2-5",
            "start web ended 4-6",
            "stop web  5--",
            "stop web  6--"
        ]
    );
    let renamed = Guest { name: b"db", ..A };
    let mut log = Log::default();
    log.starts(&A, 10)
        .stops(&A)
        .starts(&renamed, 10)
        .stops(&renamed);
    assert_eq!(
        log.sessions(),
        [
            "start web ended 2-3",
            "stop web  3--",
            "start db ended 5-6",
            "stop db  6--"
        ]
    );
}

/// What was opened for an interface is its own, was opened in vain, or could not be.
#[test]
fn a_descriptor_is_tied_to_the_interface_that_got_it() {
    let mac = "52:54:00:00:00:01";
    let open = |log: &mut Log, mac: &str, path: &[u8], success| {
        log.record("VIRT_RESOURCE", |out| {
            A.net_open(out, mac, path, Some((10, 200)), success)
        });
    };
    let mut log = Log::default();
    log.starts(&A, 10);
    open(&mut log, mac, b"/dev/net/tun", true);
    open(&mut log, mac, b"/dev/vhost-net", true);
    open(&mut log, "52:54:00:00:00:02", b"/dev/net/tun", true);
    open(&mut log, "52:54:00:00:00:03", b"/dev/net/tun", false);
    let attached = Some(mac.as_bytes());
    log.record("VIRT_RESOURCE", |out| {
        A.change(out, "net", "attach", (None, attached), true)
    });
    log.record("VIRT_RESOURCE", |out| {
        A.change(out, "net", "detach", (attached, None), true)
    });
    log.stops(&A);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    fs::write(&path, &log.text).expect("written");
    let opened: Vec<String> = rows(&path)
        .iter()
        .filter(|row| row["detail"]["reason"] == "open")
        .map(|row| {
            let detail = &row["detail"];
            let end = row["end"]["id"].as_str().unwrap_or("-");
            format!(
                "{} {} {} {} {end}",
                detail["mac"], detail["what"], detail["given"], row["state"]
            )
        })
        .collect();
    assert_eq!(
        opened,
        [
            "\"52:54:00:00:00:01\" \"/dev/net/tun\" true \"ended\" 8.000:8",
            "\"52:54:00:00:00:01\" \"/dev/vhost-net\" true \"ended\" 8.000:8",
            "\"52:54:00:00:00:02\" \"/dev/net/tun\" false \"ended\" 9.000:9",
            "\"52:54:00:00:00:03\" \"/dev/net/tun\" false \"failed\" -",
        ]
    );
}

/// Whatever of a real libvirt's log is there: nothing that it did rightly is called an error, and every report works.
#[test]
fn a_log_that_begins_or_ends_in_the_middle_is_not_accused() {
    let whole = include_str!("logs/libvirt.log");
    let lines: Vec<&str> = whole
        .lines()
        .filter(|line| line.starts_with("type=VIRT_"))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    for at in (0..lines.len()).step_by(7) {
        for part in [&lines[at..], &lines[..at]] {
            fs::write(&path, part.join("\n") + "\n").expect("written");
            let output = dmns_audit([OsStr::new("check"), path.as_os_str()]);
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{at}: {said}");
            rows(&path);
        }
    }
}

/// libvirt's LXC driver distinguishes a container's first process from its own (`op=init`): a crash of either is the guest's.
#[test]
fn a_crash_of_a_containers_first_process_is_the_guests() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let lxc = "vm=\"lvweb\" uuid=11111111-2222-3333-4444-555555555555 vm-pid=715";
    let of = "exe=\"/usr/sbin/libvirtd\" hostname=? addr=? terminal=? res=success'";
    let who = "pid=1 uid=0 auid=4294967295 ses=4294967295";
    let crash = |serial: u32, pid: u32| {
        format!(
            "type=ANOM_ABEND msg=audit(1.000:{serial}): auid=4294967295 uid=0 gid=0 ses=4294967295 pid={pid} \
             comm=\"sh\" exe=\"/bin/sh\" sig=11 res=1\n"
        )
    };
    let text = crash(1, 717)
        + &format!(
            "type=VIRT_CONTROL msg=audit(1.000:2): {who} msg='virt=lxc op=start reason=booted {lxc} {of}\n"
        )
        + &format!(
            "type=VIRT_CONTROL msg=audit(1.000:3): {who} msg='virt=lxc op=init {lxc} init-pid=717 pid-ns=4026532535 {of}\n"
        )
        + &crash(4, 717)
        + &format!(
            "type=VIRT_CONTROL msg=audit(1.000:5): {who} msg='virt=lxc op=stop reason=shutdown {lxc} {of}\n"
        )
        + &crash(6, 717);
    fs::write(&log, text).expect("written");
    let rows = rows(&log);
    let crashes: Vec<&Value> = rows.iter().filter(|row| row["event"] == "anom").collect();
    assert_eq!(crashes.len(), 1, "{rows:?}");
    assert_eq!(crashes[0]["vm"], "lvweb");
}
