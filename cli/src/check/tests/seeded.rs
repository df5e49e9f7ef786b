// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Faults that a reviewer put into a log: each has its finding, and the log without them has none.

use super::*;

const SUBJECT: &str = "ppid=90 pid=91 auid=1010 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts3 ses=7 \
    comm=\"tool\" exe=\"/usr/sbin/tool\" subj=unconfined";

/// A load of the module with its baseline, a container, a mapping with a violation, and their ends.
fn log() -> String {
    let mut log = String::new();
    let mut line = |ty: &str, serial: u64, body: &str| {
        log.push_str(&format!(
            "type={ty} msg=audit(1795400000.{serial:03}:{serial}): {body}\n"
        ));
    };
    let of = "pid=9 uid=0 auid=4294967295 ses=4294967295 subj=unconfined dev=00:04";
    line(
        "CONFIG_CHANGE",
        5,
        "op=load module=dmns_audit dm=1 ns=1 info=2 auid=4294967295 ses=4294967295 subj=unconfined res=1",
    );
    for (id, (kind, number)) in [
        ("IPC", -1),
        ("UTS", -2),
        ("USER", -3),
        ("PID", -4),
        ("CGROUP", -5),
        ("TIME", -6),
        ("NET", -7),
        ("MNT", -8),
    ]
    .into_iter()
    .enumerate()
    {
        let (id, name) = (id + 1, kind.to_lowercase());
        line(
            &format!("NS_INIT_{kind}"),
            6,
            &format!("{of} old_{name}ns=(none) {name}ns={number} ns_id={id} owner_ns_id=0 res=1"),
        );
    }
    let task = "pid=91 uid=0 auid=1010 ses=7 subj=unconfined dev=00:04";
    line(
        "NS_INIT_NET",
        7,
        &format!("{task} old_netns=-7 netns=300 ns_id=9 res=1"),
    );
    line(
        "NS_INFO",
        7,
        "mntns=-8 utsns=-2 ipcns=-1 userns=-3 pidns=-4 netns=-7 cgroupns=-5 timens=-6",
    );
    line(
        "SYSCALL",
        7,
        &format!(
            "arch=c000003e syscall=272 success=yes exit=0 a0=3 a1=0 a2=0 a3=0 items=0 {SUBJECT} key=(null)"
        ),
    );
    line(
        "NS_INIT_NET",
        8,
        &format!("{task} old_netns=300 netns=301 ns_id=10 res=1"),
    );
    line(
        "NS_INFO",
        8,
        "mntns=-8 utsns=-2 ipcns=-1 userns=-3 pidns=-4 netns=300 cgroupns=-5 timens=-6",
    );
    line(
        "SYSCALL",
        8,
        &format!(
            "arch=c000003e syscall=272 success=yes exit=0 a0=3 a1=0 a2=0 a3=0 items=0 {SUBJECT} key=(null)"
        ),
    );
    // A constructor finds it before its own record.
    line(
        "DM_EVENT",
        9,
        "module=integrity op=mac-superblock dev=253:5 sector=? res=0",
    );
    for (serial, op) in [(10, "ctr"), (12, "dtr")] {
        line(
            "DM_CTRL",
            serial,
            &format!("module=integrity op={op} {SUBJECT} dev=253:4 error_msg='success' res=1"),
        );
        line(
            "SYSCALL",
            serial,
            &format!(
                "arch=c000003e syscall=16 success=yes exit=0 a0=3 a1=0 a2=0 a3=0 items=0 {SUBJECT} key=(null)"
            ),
        );
        if op == "ctr" {
            line(
                "DM_EVENT",
                11,
                "module=integrity op=integrity-checksum dev=253:4 sector=8 res=0",
            );
        }
    }
    line("NS_DEL_NET", 14, &format!("{of} netns=300 ns_id=9 res=1"));
    line("NS_DEL_NET", 15, &format!("{of} netns=301 ns_id=10 res=1"));
    log
}

#[test]
fn a_log_without_faults_has_no_finding() {
    assert_eq!(findings(log().as_bytes()), [""; 0]);
}

#[test]
fn each_seeded_fault_is_found() {
    for (what, with, found) in [
        (
            "netns=300 ns_id=9 res",
            "netns=300 ns_id=9 owner_ns_id=3 res",
            "error unexpected-field: owner_ns_id=3",
        ),
        (
            "_NET msg=audit(1795400000.007:7): pid=91 ",
            "_NET msg=audit(1795400000.007:7): pid=92 ",
            "error subject: pid=92, but the SYSCALL of this event has pid=91 `pid=92`",
        ),
        (
            "op=dtr ppid=90 pid=91 auid=1010",
            "op=dtr ppid=90 pid=91 auid=1011",
            "error subject: auid=1011, but the SYSCALL of this event has auid=1010 `auid=1011`",
        ),
        (
            "old_netns=300 ",
            "old_netns=777 ",
            "error unknown-namespace: no netns=777 is in this log",
        ),
        (
            "pidns=-4 netns=300 ",
            "pidns=444 netns=300 ",
            "error unknown-namespace: no pidns=444 is in this log",
        ),
        (
            "dev=253:4 sector",
            "dev=253:9 sector",
            "note violation-without-mapping: no ctr of integrity on 253:9 is in this log",
        ),
        (
            "info=2",
            "info=7",
            "error config-change: info=7: 0 to 2 expected `info=7`",
        ),
        (
            "type=CONFIG_CHANGE msg=audit(1795400000.005:5): op=load module=dmns_audit",
            "type=CONFIG_CHANGE msg=audit(1795400000.005:5): op=load module=another",
            "note config-change: no CONFIG_CHANGE is near this baseline",
        ),
    ] {
        let seeded = log().replacen(what, with, 1);
        assert_ne!(seeded, log(), "{what}");
        let all = findings(seeded.as_bytes());
        assert_eq!(all.len(), 1, "{with}: {all:?}");
        assert!(all[0].contains(found), "{with}: {all:?}");
    }
    // A deletion that is missing is undecidable, until the module lists what exists.
    let lines: Vec<&str> = log().leak().lines().collect();
    let without: Vec<&str> = lines[..lines.len() - 1].to_vec();
    assert!(findings((without.join("\n") + "\n").as_bytes()).is_empty());
    let again: String = lines[..9]
        .iter()
        .map(|line| {
            line.replace("1795400000.", "1795400100.")
                .replace(":5)", ":25)")
                .replace(":6)", ":26)")
                + "\n"
        })
        .collect();
    let reloaded = without.join("\n") + "\n" + &again;
    let all = findings(reloaded.as_bytes());
    assert!(
        all.len() == 1 && all[0].contains("1 namespace was deleted"),
        "{all:?}"
    );
}

#[test]
fn a_creation_that_comes_later_is_known() {
    let moved: Vec<String> = log().lines().map(str::to_owned).collect();
    let (first, second): (Vec<_>, Vec<_>) =
        moved.into_iter().partition(|line| !line.contains(":7): "));
    let late = first.join("\n") + "\n" + &second.join("\n") + "\n";
    let unknown = findings(late.as_bytes());
    assert!(
        !unknown
            .iter()
            .any(|finding| finding.contains("unknown-namespace")),
        "{unknown:?}"
    );
}

/// A task that exists when the module is loaded again is recorded before the baseline lists its namespaces, and they may
/// have ended by then.
#[test]
fn the_log_has_no_baseline_between_two_loads() {
    let named = "type=NS_INFO msg=audit(1795400009.000:99): mntns=-8 utsns=-2 ipcns=-1 userns=-3 pidns=-4 netns=777 \
         cgroupns=-5 timens=-6\n";
    let unknown = |change: &str| {
        let change = match change {
            "" => String::new(),
            change => format!(
                "type=CONFIG_CHANGE msg=audit(1795400008.000:90): {change} auid=0 ses=1 subj=unconfined res=1\n"
            ),
        };
        let all = findings((log() + &change + named).as_bytes());
        all.iter()
            .any(|finding| finding.contains("unknown-namespace"))
    };
    assert!(unknown(""));
    assert!(unknown("op=set audit_enabled=1 old=1"));
    assert!(unknown("op=set audit_backlog_limit=8192 old=64"));
    assert!(!unknown("op=unload module=dmns_audit"));
    assert!(!unknown("op=load module=dmns_audit dm=1 ns=1 info=2"));
    assert!(!unknown("op=set audit_enabled=1 old=0"));
}

#[test]
fn changes_of_the_module_have_its_values() {
    let change = |body: &str| {
        let line = format!("type=CONFIG_CHANGE msg=audit(5.000:7): {body}\n");
        findings(line.as_bytes())
    };
    let end = "auid=0 ses=1 subj=unconfined res=1";
    for body in [
        "op=unload module=dmns_audit",
        "op=set dmns_audit_info=2 old=0",
        "op=set dmns_audit_select=exclude ns_id=17",
        "op=set dmns_audit_select=clear ns_id=?",
        "op=set audit_backlog_limit=8192 old=64",
    ] {
        assert_eq!(change(&format!("{body} {end}")), [""; 0], "{body}");
    }
    // A level that was refused.
    let refused = "op=set dmns_audit_info=9 old=0 auid=0 ses=1 subj=unconfined res=0";
    assert_eq!(change(refused), [""; 0]);
    for (body, found) in [
        (
            "op=set dmns_audit_info=9 old=0",
            "dmns_audit_info=9: 0 to 2 expected",
        ),
        (
            "op=set dmns_audit_select=all ns_id=17",
            "exclude, only, join or clear expected",
        ),
        ("op=boot module=dmns_audit", "load, unload or set expected"),
        ("op=load module=dmns_audit dm=1 ns=1", "info= is missing"),
    ] {
        let all = change(&format!("{body} {end}"));
        assert!(all.len() == 1 && all[0].contains(found), "{body}: {all:?}");
    }
}
