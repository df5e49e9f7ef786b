// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `run-guest` with a QEMU that is none, and names that want to forge.

mod readers;

use readers::{check, rows};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `run-guest --log LOG OPTIONS -- COMMAND`. Returns its exit status and what it said.
fn run_guest(log: &Path, options: &[&OsStr], command: &[&str]) -> (Option<i32>, String) {
    let mut arguments: Vec<&OsStr> = ["run-guest", "--timeout", "1", "--log"]
        .map(OsStr::new)
        .to_vec();
    arguments.push(log.as_os_str());
    arguments.extend(options);
    arguments.push(OsStr::new("--"));
    arguments.extend(command.iter().map(OsStr::new));
    let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit-record"))
        .args(arguments)
        .env("TZ", "UTC0")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_qemu_that_does_not_start_is_a_failed_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, (command, says)) in [
        (&["/nonexistent/qemu"][..], "cannot start /nonexistent/qemu"),
        (
            &["false"],
            "the guest did not start: QEMU has closed its monitor (QEMU: exit status: 1)",
        ),
        (
            &["sh", "-c", "kill -9 $$"],
            "(QEMU: signal: 9",
        ),
        // It closes its monitor, and continues.
        (
            &[
                "bash",
                "-c",
                "for fd in /proc/self/fd/*; do fd=${fd##*/}; [ $fd -lt 3 ] || eval \"exec $fd>&-\"; done; exec sleep 100",
            ],
            "(QEMU: signal: 9",
        ),
        (
            &["sh", "-c", "exec sleep 100"],
            "QEMU's monitor does not answer within 1 s",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let log = folder.path().join(number.to_string());
        let (status, said) = run_guest(&log, &["--name", "x"].map(OsStr::new), command);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(check(&log), "");
        let rows = rows(&log, true);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(
            (&rows[0]["event"], &rows[0]["state"]),
            (&"start".into(), &"failed".into())
        );
    }
}

#[test]
fn a_name_is_whatever_it_is_and_forges_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, (name, shown)) in [
        (&b"two words"[..], "two words"),
        (b"it's", "it's"),
        (b"say \"hi\"", "say \"hi\""),
        (b"a\nb", "a\u{fffd}b"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        (b"x res=success'", "x res=success'"),
        (
            b"x' msg='virt=kvm op=start reason=booted vm=\"root\"",
            "x' msg='virt=kvm op=start reason=booted vm=\"root\"",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let log = folder.path().join(number.to_string());
        let (status, said) = run_guest(
            &log,
            &[OsStr::new("--name"), OsStr::from_bytes(name)],
            &["false"],
        );
        assert_eq!(status, Some(2), "{said}");
        assert_eq!(check(&log), "", "{shown}");
        let rows = rows(&log, true);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0]["vm"], shown);
        assert_eq!(fs::read_to_string(&log).expect("text").lines().count(), 2);
    }
}

#[test]
fn what_cannot_be_recorded_rightly_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let long = OsString::from_vec(vec![b'x'; 4096]);
    for (options, command, says) in [
        (
            vec![OsStr::new("--name"), &long],
            &["false"][..],
            "has 4096 bytes, 255 at most",
        ),
        (
            vec![OsStr::new("--name"), OsStr::new("")],
            &["false"],
            "name is empty",
        ),
        (
            vec![OsStr::new("--uuid"), OsStr::new("1-2-3")],
            &["false"],
            "\"1-2-3\" is no UUID: write it as",
        ),
        (
            vec![],
            &["false", "-daemonize"],
            "-daemonize: QEMU must stay in the foreground",
        ),
        (vec![], &["false", "-uuid", "x' res=1"], "is no UUID"),
        (
            vec![OsStr::new("--monitor"), OsStr::new("/nonexistent/socket")],
            &["false"],
            "--monitor /nonexistent/socket: ",
        ),
    ] {
        let (status, said) = run_guest(&log, &options, command);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(says), "{says}: {said}");
    }
    let written = fs::read_to_string(&log).unwrap_or_default();
    assert_eq!(written, "", "nothing was recorded of what was refused");
}
