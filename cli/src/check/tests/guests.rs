// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Records of guests, by themselves and in order.

use super::findings;
use dmns_audit_log::virt::text::Guest;

const GUEST: Guest<'_> = Guest {
    virt: "qemu",
    name: b"my guest",
    uuid: "11111111-2222-3333-4444-555555555555",
    exe: b"/usr/sbin/libvirtd",
};

/// A record: its type, and what writes it.
type Write<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

/// Returns a log with a record of each of `write`.
fn log(write: &[Write<'_>]) -> String {
    let mut log = String::new();
    for (serial, (ty, write)) in write.iter().enumerate() {
        let mut inner = Vec::new();
        write(&mut inner);
        let inner = String::from_utf8(inner).expect("ASCII");
        log.push_str(&format!(
            "type={ty} msg=audit(1.000:{}): pid=215 uid=0 auid=4294967295 ses=4294967295 subj=unconfined \
             msg='{inner}'\u{1d}UID=\"root\" AUID=\"unset\"\n",
            serial + 1
        ));
    }
    log
}

const NAME: Write<'_> = ("VIRT_MACHINE_ID", &|out| {
    GUEST.machine_id(out, "+0:+0", "+0:+0", "dac");
});
const OPEN: Write<'_> = ("VIRT_RESOURCE", &|out| {
    GUEST.net_open(
        out,
        "52:54:00:00:00:01",
        b"/dev/net/tun",
        Some((10, 200)),
        true,
    );
});
const NET: Write<'_> = ("VIRT_RESOURCE", &|out| {
    GUEST.change(
        out,
        "net",
        "start",
        (None, Some(b"52:54:00:00:00:01")),
        true,
    );
});
const START: Write<'_> = ("VIRT_CONTROL", &|out| {
    GUEST.control(out, "start", "booted", 282, true);
});
const STOP: Write<'_> = ("VIRT_CONTROL", &|out| {
    GUEST.control(out, "stop", "shutdown", 0, true);
});
const DETACH: Write<'_> = ("VIRT_RESOURCE", &|out| {
    GUEST.change(out, "rng", "detach", (Some(b"/dev/urandom"), None), true);
});

#[test]
fn a_session_is_clean_and_each_thing_that_is_missing_is_reported() {
    for (records, expected) in [
        (&[NAME, OPEN, NET, START, STOP][..], &[][..]),
        (&[NAME, OPEN, NET, START, STOP, NAME, START, STOP], &[]),
        (&[START, STOP], &["1 note guest-start"]),
        (&[NAME, START, STOP, START], &["4 error guest-start"]),
        (&[STOP, NAME, START], &["1 note guest-stop"]),
        (&[NAME, START, STOP, STOP], &["4 error guest-stop"]),
        (&[NAME, START, NAME, START], &["4 error guest-stop"]),
        (&[NAME, NET, START], &["2 note net-without-open"]),
        (&[NAME, START, DETACH], &["3 note detach-without-attach"]),
        (&[DETACH, NAME, START], &[]),
    ] {
        let found = findings(log(records).as_bytes());
        let found: Vec<String> = found
            .iter()
            .map(|finding| {
                let (place, rest) = finding.split_once(' ').expect("a place");
                let line = place.split(':').next().unwrap_or_default();
                format!("{line} {}", rest.split(':').next().unwrap_or_default())
            })
            .collect();
        assert_eq!(found, expected, "{}", log(records));
    }
}

#[test]
fn a_boot_ends_every_guest() {
    let boot = "type=SYSTEM_BOOT msg=audit(2.000:9): pid=1\n";
    let text = log(&[NAME, START]) + boot + &log(&[NAME, START, STOP]);
    assert_eq!(findings(text.as_bytes()), [""; 0]);
    let stopped = log(&[NAME, START]) + boot + &log(&[STOP]);
    assert!(findings(stopped.as_bytes())[0].contains("error guest-stop"));
}

#[test]
fn each_difference_is_reported_at_its_place() {
    let good = log(&[NAME, OPEN, NET, START]);
    for (from, to, says) in [
        (
            "rdev=0A:C8",
            "rdev=0a:c8",
            "error value-syntax: expected MAJOR:MINOR in upper-case hexadecimal, two digits or more each, or ?, \
             found `rdev=0a:c8`",
        ),
        (
            "net=52:54:00:00:00:01 ",
            "net='52:54:00:00:00:01' ",
            "error value-syntax: expected a MAC address in lower case, found `net='52",
        ),
        (
            "op=start ",
            "",
            "error missing-field: op= is missing: what is it about?",
        ),
        (
            "op=start",
            "op=jump",
            "note operation: op=jump is not in the contract",
        ),
        (
            "resrc=net reason=start",
            "resrc=toy reason=start",
            "note operation: resrc=toy",
        ),
        (
            "vm-pid=282",
            "vm-pid=0",
            "error result: a guest that was started has no process",
        ),
        (
            "vm-pid=282",
            "vm-pid=282 x=1",
            "error unexpected-field: x=1",
        ),
        (
            "model=dac exe",
            "exe",
            "error missing-field: model= is missing",
        ),
        (
            "new-net=\"52",
            "new-net=52",
            "error encoding: expected \"text\" or upper-case hex, found `new-net=52",
        ),
        (
            "res=success'",
            "res=maybe'",
            "error result: expected success or failed, found `res=maybe",
        ),
        (
            "res=success'",
            "res=success",
            "error unexpected-field: msg=' has no end",
        ),
        (
            "res=success'",
            "res=success' y=2",
            "error unexpected-field: y=2 stands after",
        ),
        (
            "subj=unconfined msg=",
            "subj=unconfined ",
            "error missing-field: msg= is missing",
        ),
        (
            "ses=4294967295",
            "ses=-1",
            "error value-range: expected a decimal number of 32 bits, found `ses=-1`",
        ),
        (
            "uuid=1111",
            "uuid=AAAA",
            "error value-syntax: expected a UUID in lower case, found `uuid=AAAA",
        ),
        (
            "VIRT_CONTROL",
            "VIRT_CONTRAL",
            "error unknown-type: VIRT_CONTRAL",
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let found = findings(bad.as_bytes());
        assert!(
            found.iter().any(|finding| finding.contains(says)),
            "{says}: {found:?}"
        );
    }
}

/// libvirt writes some paths as they are. Plain ones are noted; what would forge a field is an
/// error.
#[test]
fn a_path_that_is_not_encoded_is_a_note_while_it_is_plain() {
    let evdev: Write<'_> = ("VIRT_RESOURCE", &|out| {
        GUEST.at(out, ("evdev", "path"), "start", b"/dev/input/event0", true);
    });
    let good = log(&[evdev]);
    assert_eq!(findings(good.as_bytes()), [""; 0]);
    let raw = good.replace("\"/dev/input/event0\"", "/dev/input/event0");
    assert!(findings(raw.as_bytes())[0].contains("note encoding"));
    let forged = good.replace("\"/dev/input/event0\"", "/dev/x res=success exe=\"/bin/x\"");
    assert!(
        findings(forged.as_bytes())
            .iter()
            .any(|finding| finding.contains(" error "))
    );
}
