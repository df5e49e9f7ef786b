// SPDX-License-Identifier: GPL-2.0-only OR MIT

use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::io::Cursor;

fn rows(log: &[u8]) -> Vec<Value> {
    let mut log = Log::stream("log", Cursor::new(log.to_vec()));
    let options = ExportOptions {
        host: "here".to_owned(),
        users: Users::new("/nonexistent"),
        live: false,
    };
    let mut out = Vec::new();
    let totals = export(&mut log, &options, &mut out, |_| {}).expect("written");
    let rows: Vec<Value> = out
        .split_inclusive(|&b| b == b'\n')
        .map(|row| serde_json::from_slice(row).expect("JSON"))
        .collect();
    assert_eq!(rows.len() as u64, totals.rows);
    rows
}

/// The records of ours in `log`, in order.
fn ours(log: &[u8]) -> Vec<String> {
    let mut log = Log::stream("log", Cursor::new(log.to_vec()));
    let mut found = Vec::new();
    let all = Wanted::all();
    while let Some(step) = log.next_step(&all) {
        if let Step::Line(_, _, Parsed::Record(head)) = step {
            if matches!(
                head.ty,
                Type::Ours(_) | Type::Virt(_) | Type::SystemBoot | Type::SystemShutdown
            ) {
                found.push(head.type_name().into_owned());
            }
        }
    }
    found
}

#[test]
fn each_record_of_ours_is_a_row_in_order() {
    for (name, log) in [
        ("dm", include_str!("../../tests/logs/dm.log")),
        ("ns", include_str!("../../tests/logs/ns.log")),
        ("virt", include_str!("../../tests/logs/virt.log")),
        ("libvirt", include_str!("../../tests/logs/libvirt.log")),
        ("broken", include_str!("../../tests/logs/broken.log")),
    ] {
        let rows = rows(log.as_bytes());
        let types: Vec<_> = rows.iter().map(|row| row["type"].as_str()).collect();
        let expected = ours(log.as_bytes());
        let expected: Vec<_> = expected.iter().map(|ty| Some(ty.as_str())).collect();
        assert_eq!(types, expected, "{name}");
    }
}

#[test]
fn a_row_has_the_system_call_and_the_container_of_its_event() {
    let log = "\
node=a type=UNKNOWN[1385] msg=audit(10.001:5): pid=4 uid=0 auid=1000 ses=3 subj=unconfined dev=00:04 old_netns=-7 netns=3 ns_id=17 res=1
node=b type=UNKNOWN[1385] msg=audit(10.001:5): pid=9 uid=0 auid=7 ses=3 subj=unconfined dev=00:04 old_netns=(none) netns=-7 ns_id=1 res=1
node=a type=DM_EVENT msg=audit(10.002:6): module=integrity op=integrity-checksum dev=253:0 sector=? res=0
node=a type=SYSCALL msg=audit(10.001:5): arch=c000003e syscall=272 success=yes exit=0 ppid=2 pid=4 auid=1000 uid=0 ses=3 comm=612062 exe=\"/usr/bin/unshare\" key=(null)\x1dSYSCALL=unshare AUID=\"jo\"
node=a type=NS_INFO msg=audit(10.001:5): mntns=315 utsns=-2 ipcns=-1 userns=-3 pidns=318 netns=3 cgroupns=-5 timens=-6
node=a type=PROCTITLE msg=audit(10.001:5): proctitle=2F
node=a type=SYSTEM_BOOT msg=audit(20.000:1): pid=1 uid=0 auid=4294967295 ses=4294967295 msg=' comm=\"x\" res=success'
node=a type=DM_EVENT msg=audit(20.002:6): module=crypt op=integrity-aead dev=253:0 sector=8 res=0
";
    let rows = rows(log.as_bytes());
    let printed: Vec<_> = rows
        .iter()
        .map(|row| (row["host"].as_str(), row["type"].as_str()))
        .collect();
    assert_eq!(
        printed[..2],
        [
            (Some("a"), Some("NS_INIT_NET")),
            (Some("b"), Some("NS_INIT_NET"))
        ]
    );
    let made = &rows[0];
    for (name, value) in [
        ("kind", Value::from("net")),
        ("number", 3.into()),
        ("old_number", (-7).into()),
        ("initial", false.into()),
        ("ns_id", 17.into()),
        ("comm", "a b".into()),
        ("syscall", "unshare".into()),
        ("user", "unknown(1000)".into()),
        ("in_pid", 318.into()),
        ("res", true.into()),
        ("boot", Value::Null),
        ("time", "10.001".into()),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    assert_eq!(
        (&rows[1]["initial"], &rows[1]["in_pid"]),
        (&Value::from(true), &Value::Null)
    );
    assert_eq!(rows[2]["sector"], Value::Null);
    let last = rows.last().expect("rows");
    assert_eq!(
        (&last["sector"], &last["boot"]),
        (&8.into(), &"20.000".into())
    );
}

#[test]
fn the_same_record_twice_in_an_event_is_two_rows_and_the_same_log_twice_is_one() {
    let line =
        "type=DM_CTRL msg=audit(1.000:5): module=crypt op=dtr dev=1:2 error_msg='success' res=1\n";
    let key =
        |row: &Value| ["time", "serial", "type", "hash", "copy"].map(|name| row[name].clone());
    let twice = rows(line.repeat(2).as_bytes());
    assert_ne!(key(&twice[0]), key(&twice[1]));
    let again = rows(line.repeat(2).as_bytes());
    assert_eq!(twice, again);
}

proptest! {
    /// However records are mixed, each of ours is a row, and none is changed by its neighbours.
    #[test]
    fn rows_are_those_of_records(events in prop::collection::vec((0u64..9, 0u64..4, 0usize..6), 0..120)) {
        // A log that begins again is left out.
        let mut log = "type=DM_EVENT msg=audit(0.000:9): module=crypt\n".to_owned();
        for (second, serial, ty) in events {
            let (ty, body) = [
                ("NS_INIT_NET", "pid=4 uid=0 auid=1 ses=3 subj=x dev=00:04 old_netns=-7 netns=3 ns_id=17 res=1"),
                ("DM_CTRL", "module=crypt op=ctr pid=5 dev=1:2 error_msg='success' res=1"),
                ("DM_EVENT", "module=crypt op=integrity-aead dev=1:2 sector=5 res=0"),
                ("SYSCALL", "syscall=1 success=yes pid=4 comm=\"c\" exe=\"/e\""),
                ("NS_INFO", "mntns=1 utsns=2 ipcns=3 userns=4 pidns=5 netns=6 cgroupns=7 timens=8"),
                ("PROCTITLE", "proctitle=2F"),
            ][ty];
            log.push_str(&format!("type={ty} msg=audit({second}.000:{serial}): {body}\n"));
        }
        let rows = rows(log.as_bytes());
        let types: Vec<_> = rows.iter().filter_map(|row| row["type"].as_str()).collect();
        prop_assert_eq!(types, ours(log.as_bytes()));
    }
}
