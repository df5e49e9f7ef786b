// SPDX-License-Identifier: GPL-2.0-only OR MIT

use super::*;
use std::io::Cursor;

mod containers;
mod guests;
mod seeded;

#[derive(Default)]
struct Collected(Vec<String>);

impl Reporter for Collected {
    fn finding(&mut self, _: &str, finding: &Finding) -> io::Result<()> {
        self.0.push(format!(
            "{}:{} {} {}: {} `{}`",
            finding.place.line,
            finding.column(),
            finding.severity.name(),
            finding.rule.name(),
            finding.message,
            &finding.line[finding.span.clone()]
        ));
        Ok(())
    }
    fn unmet(&mut self, rule: Rule) -> io::Result<()> {
        self.0.push(format!("unmet: {}", rule.name()));
        Ok(())
    }
    fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        self.0.push(problem.to_string());
        Ok(())
    }
    fn end(&mut self, _: &Totals) -> io::Result<()> {
        Ok(())
    }
}

fn judged(log: &[u8], lossy: bool) -> Vec<String> {
    let mut collected = Collected::default();
    let mut log = Log::stream("log", Cursor::new(log.to_vec()));
    check(&mut log, lossy, &[], &mut collected).expect("no error");
    collected.0
}

fn findings(log: &[u8]) -> Vec<String> {
    judged(log, false)
}

const SYSCALL: &str =
    "type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=16 success=yes exit=0\n";
const CTR: &str = "type=DM_CTRL msg=audit(1.000:1): module=integrity op=ctr ppid=3807 pid=3819 auid=1000 \
    uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts2 ses=3 comm=\"integritysetup\" \
    exe=\"/sbin/integritysetup\" subj==unconfined dev=254:3 error_msg='success' res=1\n";
const EVENT: &str = "type=DM_EVENT msg=audit(1.100:2): module=integrity op=integrity-checksum dev=254:3 \
    sector=77480 res=0\n";
const NET: &str = "type=UNKNOWN[1385] msg=audit(2.000:3): pid=1 uid=0 auid=4294967295 ses=4294967295 \
    subj=unconfined dev=00:05 old_netns=-7 netns=320 ns_id=17 res=1\n";
const NET_GONE: &str = "type=UNKNOWN[1393] msg=audit(3.000:4): pid=12 uid=0 auid=4294967295 \
    ses=4294967295 subj=unconfined dev=00:05 netns=320 ns_id=17 res=1\n";
const UNSHARE: &str =
    "type=SYSCALL msg=audit(2.000:3): arch=c000003e syscall=272 success=yes exit=0\n";

fn log(parts: &[&str]) -> Vec<u8> {
    parts.concat().into_bytes()
}

#[test]
fn a_good_log_is_clean() {
    let good = log(&[CTR, SYSCALL, EVENT, NET, UNSHARE, NET_GONE]);
    assert_eq!(findings(&good), [""; 0]);
}

#[test]
fn each_departure_of_a_record_is_reported_at_its_place() {
    for (from, to, expected) in [
        (
            " op=ctr",
            "",
            &["error missing-field: op= is missing: found ppid=3807 `ppid=3807`"][..],
        ),
        (
            "ses=3",
            "ses=-1",
            &["error value-range: expected a decimal number of 32 bits, found `ses=-1` `-1`"],
        ),
        (
            "ses=3",
            "ses=03",
            &["error value-syntax: expected a decimal number of 32 bits, found `ses=03` `03`"],
        ),
        (
            "254:3",
            "fe:03",
            &["error value-syntax: expected MAJOR:MINOR in decimal, found `dev=fe:03` `fe:03`"],
        ),
        (
            "\"integritysetup\"",
            "\"a b\"",
            &[
                "error encoding: expected \"text\" or upper-case hex, found `comm=\"a b\"` `\"a b\"`",
            ],
        ),
        (
            "tty=pts2 ses=3",
            "ses=3 tty=pts2",
            &["error field-order: ses=3 stands before tty= `ses=3`"],
        ),
        (
            "tty=pts2",
            "tty=pts2 tty=pts2",
            &["error duplicate-field: tty=pts2 is there a second time `tty=pts2`"],
        ),
        (
            "tty=pts2",
            "tty=pts2 pty=1",
            &["error unexpected-field: pty=1 is no field of this record `pty=1`"],
        ),
        (
            "tty=pts2",
            " tty=pts2",
            &["error spacing: expected 1 space before tty=pts2, found 2 `  `"],
        ),
        (
            "res=1",
            "res=yes",
            &["error result: expected 0 or 1, found `res=yes` `yes`"],
        ),
        (
            "res=1",
            "res=1 x=2",
            &["error unexpected-field: x=2 stands after the last field `x=2`"],
        ),
        (
            " res=1",
            "",
            &["error missing-field: res= is missing: found the end of the record ``"],
        ),
        (
            "'success'",
            "'No such device'",
            &["error result: res=1 with error_msg='No such device' `1`"],
        ),
        (
            "op=ctr",
            "op=integrity-checksum",
            &[
                "error operation: op=integrity-checksum in a record of type DM_CTRL `integrity-checksum`",
            ],
        ),
        (
            "module=integrity",
            "module=new",
            &["note operation: module=new op=ctr is not in the contract `ctr`"],
        ),
        // Two at once, one before the other.
        (
            "ppid=3807 pid=3819 auid=1000",
            "ppid=x pid=3819 auid=y",
            &[
                "error value-syntax: expected a signed decimal number of 32 bits, found `ppid=x` `x`",
                "error value-syntax: expected a decimal number of 32 bits, found `auid=y` `y`",
            ],
        ),
    ] {
        let text = CTR.replacen(from, to, 1);
        assert_ne!(text, CTR, "{from}");
        let found = findings(&log(&[&text, SYSCALL]));
        let found: Vec<_> = found.iter().filter_map(|f| f.split_once(' ')).collect();
        let judged: Vec<_> = found.iter().map(|(_, judged)| *judged).collect();
        assert_eq!(judged, expected, "{from} -> {to}");
        assert!(found.iter().all(|(place, _)| place.starts_with("1:")));
    }
}

#[test]
fn an_event_has_the_sector_that_its_operation_asks_for() {
    let whole = EVENT.replace("77480", "?");
    assert!(
        findings(&log(&[CTR, SYSCALL, &whole]))[0]
            .contains("operation: op=integrity-checksum has a sector")
    );
    let none = EVENT.replace("integrity-checksum", "mac-journal");
    assert!(
        findings(&log(&[CTR, SYSCALL, &none]))[0]
            .contains("operation: op=mac-journal belongs to no sector")
    );
}

#[test]
fn broken_input_is_reported_once_and_the_rest_is_judged() {
    let mut text = b"\x7fELF\0\0\n\0\xff\n".to_vec();
    text.extend_from_slice(CTR.replace("ses=3", "ses=x").as_bytes());
    text.extend_from_slice(SYSCALL.as_bytes());
    text.extend_from_slice(b"type=DM_EVENT msg=audit(1.10");
    let found = findings(&text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("1:1 error not-a-record: no audit records in lines 1 to 2"));
    assert!(found[1].starts_with(
        "3:156 error value-syntax: expected a decimal number of 32 bits, found `ses=x`"
    ));
    assert!(found[2].starts_with("5:29 error not-a-record: no audit record: expected ':' here"));
}

#[test]
fn a_byte_that_is_no_text_is_reported_and_the_record_still_judged() {
    let mut text = CTR.replace("ses=3", "ses=x").into_bytes();
    text[45] = 0xff;
    text.extend_from_slice(SYSCALL.as_bytes());
    let found = findings(&text);
    assert!(
        found[0].starts_with("1:46 error bytes: byte 0xff"),
        "{found:?}"
    );
    assert!(found.iter().any(|f| f.contains("ses=x")), "{found:?}");
}

#[test]
fn a_creation_needs_its_system_call_unless_the_log_has_none() {
    let later = "type=CWD msg=audit(9.000:9): cwd=\"/\"\n";
    // Interleaved with another event, and before or after; on a slow machine long after.
    let other = "type=SYSCALL msg=audit(2.000:99): arch=c000003e syscall=0\n";
    for parts in [
        [CTR, SYSCALL, NET, later, UNSHARE, later],
        [CTR, SYSCALL, NET, other, UNSHARE, later],
        [CTR, SYSCALL, other, UNSHARE, NET, later],
    ] {
        assert_eq!(findings(&log(&parts)), [""; 0]);
    }
    let alone = findings(&log(&[CTR, SYSCALL, NET, later]));
    assert_eq!(
        alone,
        ["3:6 error grouping: NS_INIT_NET shares its event with no SYSCALL `UNKNOWN[1385]`"]
    );
    let lossy = judged(&log(&[CTR, SYSCALL, NET, later]), true);
    assert!(lossy[0].starts_with("3:6 note grouping"), "{lossy:?}");
    // Emitted before the end of a long call, which has another number, the same time and the same pid.
    let of =
        |pid: &str| format!("type=SYSCALL msg=audit(2.000:99): syscall=272 ppid=1 pid={pid}\n");
    let pid = NET
        .split("pid=")
        .nth(1)
        .and_then(|pid| pid.split(' ').next())
        .unwrap_or_default();
    assert_eq!(
        findings(&log(&[CTR, SYSCALL, NET, &of(pid), later])),
        [""; 0]
    );
    let other = findings(&log(&[CTR, SYSCALL, NET, &of("7"), later]));
    assert!(other[0].starts_with("3:6 error grouping"), "{other:?}");
    let cut = findings(&log(&[CTR, SYSCALL, NET]));
    assert!(cut[0].starts_with("3:6 note grouping"), "{cut:?}");
    let none = findings(&log(&[CTR, NET, later]));
    assert_eq!(none.len(), 1);
    assert!(none[0].contains("note grouping") && none[0].contains("events were not judged"));
}

#[test]
fn namespaces_come_before_they_go_and_ids_are_given_once() {
    let says = |parts: &[&str], what: &str| {
        let found = findings(&log(parts));
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{what}: {found:?}"
        );
    };
    says(
        &[NET_GONE],
        "1:120 note deletion-without-creation: the creation of ns_id=17 is not in this log `ns_id=17`",
    );
    says(
        &[NET, UNSHARE, NET_GONE, NET_GONE],
        "error deleted-twice: ns_id=17 is deleted a second time",
    );
    says(
        &[NET, UNSHARE, NET, UNSHARE],
        "error reused-id: ns_id=17 is reused: the netns=320 of line 1",
    );
    says(
        &[NET, UNSHARE, NET_GONE, NET, UNSHARE],
        "error reused-id: ns_id=17 is reused: a deleted namespace had",
    );
    let same_number = NET.replace("ns_id=17", "ns_id=18");
    says(
        &[NET, UNSHARE, &same_number],
        "note reused-number: netns=320 is reused: ns_id=17 of line 1",
    );
    // A deferred deletion may come after the number was given again.
    let log_of = log(&[NET, UNSHARE, &same_number, UNSHARE, NET_GONE]);
    assert_eq!(findings(&log_of), [""; 0]);
    let other_number = NET_GONE.replace("320", "321");
    says(
        &[NET, UNSHARE, &other_number],
        "error deletion-without-creation: ns_id=17 is deleted as netns=321, but was created",
    );
    // kauditd may send a creation after its deletion; the serial numbers have the order.
    assert_eq!(findings(&log(&[NET_GONE, NET, UNSHARE])), [""; 0]);
    let before = NET_GONE.replace("3.000:4", "1.000:2");
    let again = findings(&log(&[&before, NET, UNSHARE]));
    assert!(again[1].contains("error reused-id"), "{again:?}");
    // After a boot, all ids are new.
    let boot = "type=SYSTEM_BOOT msg=audit(2.000:1): pid=1\n";
    assert_eq!(findings(&log(&[NET, UNSHARE, boot, NET, UNSHARE])), [""; 0]);
    // But not after that of another machine.
    let other = format!("node=b {boot}");
    assert_eq!(
        findings(&log(&[NET, UNSHARE, &other, NET, UNSHARE])).len(),
        1
    );
}

/// A log of which every other record was filtered out: more holes than are kept.
#[test]
fn a_log_with_many_holes_is_not_accused() {
    let text: String = (1..30_000)
        .map(|i| {
            let number = format!("netns={i} ns_id={}", i * 3 % 30_001 + 1);
            (NET.to_owned() + NET_GONE).replace("netns=320 ns_id=17", &number)
        })
        .collect();
    let wrong = findings(&log(&[UNSHARE, &text]));
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn mappings_are_made_before_they_go() {
    let dtr = CTR
        .replace("op=ctr", "op=dtr")
        .replace("1.000:1", "1.500:7");
    assert_eq!(findings(&log(&[CTR, SYSCALL, &dtr])), [""; 0]);
    let found = findings(&log(&[&dtr]));
    assert!(
        found[0].contains("note dtr-without-ctr: the ctr of integrity on 254:3"),
        "{found:?}"
    );
    // A failed constructor cleans up by itself; an active mapping stays active.
    let failed = CTR.replace("'success' res=1", "'bad' res=0");
    let inner = dtr.replace("1.500:7", "1.000:1");
    assert_eq!(findings(&log(&[&failed, &inner, SYSCALL])), [""; 0]);
    let lonely = findings(&log(&[&failed, SYSCALL, &dtr]));
    assert!(
        lonely.iter().any(|f| f.contains("note failed-ctr")),
        "{lonely:?}"
    );
}

#[test]
fn an_unknown_type_of_ours_is_reported() {
    let found = findings(b"type=NS_INIT_FOO msg=audit(1.000:1): pid=1\n");
    assert_eq!(
        found,
        ["1:6 error unknown-type: NS_INIT_FOO is no record type of the contract `NS_INIT_FOO`"]
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>, body in "[ -~]{0,80}", ty in 1338u16..1400) {
        let mut text = format!("type=UNKNOWN[{ty}] msg=audit(1.000:1): {body}\n").into_bytes();
        text.extend_from_slice(&bytes);
        findings(&text);
    }
}

proptest::proptest! {
    /// A record that the contract's own check refuses has a finding here. A record without findings
    /// passes that check.
    #[test]
    fn it_is_never_milder_than_the_contract(
        ty in 0usize..dmns_audit_uapi::types::COUNT + 2 * 8,
        drop in proptest::option::of(0usize..21),
        swap in proptest::option::of((0usize..20, 0usize..20)),
        value in proptest::option::of((0usize..21, "[0-9a-fA-F:\"'?x()-]{0,6}")),
    ) {
        use dmns_audit_log::contract::{self, layout};
        use dmns_audit_log::forms::{Form, NSTYPE, OFFERED};
        use dmns_audit_log::{line::Line, rules};
        use dmns_audit_uapi::{ns::Kind, types::{COUNT, RecordType}};
        let (ty, form) = match ty.checked_sub(COUNT) {
            None => (RecordType::ALL[ty], Form::TypePerKind),
            Some(at) => {
                let offered = &OFFERED[at / 8];
                ((offered.of)(Kind::ALL[at % 8]), Form::Offered(offered))
            }
        };
        let number = match form {
            Form::TypePerKind => ty.number(),
            Form::Offered(offered) => offered.number,
        };
        let value_of = |field: &contract::Field| match (field.name, ty) {
            (contract::Name::Fixed(NSTYPE), RecordType::NsInit(kind) | RecordType::NsDel(kind)) => kind.name(),
            _ => rules::example(field),
        };
        let mut fields: Vec<String> = layout(ty, form)
            .iter()
            .map(|field| format!("{}={}", field.name, value_of(field)))
            .collect();
        if let Some((at, value)) = value {
            if let Some(field) = fields.get_mut(at) {
                let name = field.split('=').next().unwrap_or_default().to_owned();
                *field = format!("{name}={value}");
            }
        }
        if let Some((a, b)) = swap {
            if a < fields.len() && b < fields.len() {
                fields.swap(a, b);
            }
        }
        if let Some(at) = drop.filter(|&at| at < fields.len()) {
            fields.remove(at);
        }
        let text = format!("type=UNKNOWN[{number}] msg=audit(1.000:1): {}", fields.join(" "));
        let line = Line::parse(&text).expect("a record");
        let refused = contract::check(ty, &line).is_err();
        let found = findings(text.as_bytes());
        let errors = found.iter().filter(|found| found.contains(" error ")).count();
        proptest::prop_assert!(!refused || errors > 0, "{text}");
        // Without nstype= it is of no type of the contract.
        let structure = ["field", "value", "encoding", "spacing", "bytes", "result", "operation", "unknown-type"];
        let clean = !found.iter().any(|found| structure.iter().any(|rule| found.contains(rule)));
        proptest::prop_assert!(!clean || !refused, "{text}: {found:?}");
    }
}

/// Returns a record of the baseline; the first one follows the load.
fn existing(serial: u64, id: u64) -> String {
    let load = match id {
        1 => format!(
            "type=CONFIG_CHANGE msg=audit({serial}.000:{serial}): op=load module=dmns_audit dm=1 ns=1 info=0 auid=0 ses=1 \
             subj=unconfined res=1\n"
        ),
        _ => String::new(),
    };
    load + &format!(
        "type=UNKNOWN[1385] msg=audit({serial}.000:{serial}): pid=1 uid=0 auid=4294967295 ses=4294967295 subj=unconfined \
         dev=00:05 old_netns=(none) netns={id} ns_id={id} owner_ns_id=3 res=1\n"
    )
}

fn gone(serial: u64, id: u64) -> String {
    format!(
        "type=UNKNOWN[1393] msg=audit({serial}.000:{serial}): pid=1 uid=0 auid=4294967295 ses=4294967295 subj=unconfined \
         dev=00:05 netns={id} ns_id={id} res=1\n"
    )
}

#[test]
fn a_deletion_without_creation_is_an_error_where_the_log_has_the_baseline() {
    let complete = [existing(5, 1), existing(5, 30), gone(6, 30)].concat();
    assert_eq!(findings(complete.as_bytes()), [""; 0]);
    let stray = complete.clone() + &gone(7, 31);
    let found = findings(stray.as_bytes());
    assert!(
        found[0].contains("error deletion-without-creation: the creation of ns_id=31"),
        "{found:?}"
    );
    let call = [NET, UNSHARE].concat().replace("2.000:3", "6.000:6");
    let late = stray.clone() + &call.replace("ns_id=17", "ns_id=31");
    assert_eq!(findings(late.as_bytes()), [""; 0]);
    let lossy = super::tests::judged(stray.as_bytes(), true);
    assert!(
        lossy[0].contains("note deletion-without-creation"),
        "{lossy:?}"
    );
    // The kernel names one twice.
    let twice = [existing(5, 1), existing(5, 30), existing(5, 30)].concat();
    let found = findings(twice.as_bytes());
    assert!(found[0].contains("error reused-id"), "{found:?}");
}

#[test]
fn what_happened_between_two_loads_is_counted_once() {
    let log = [
        existing(5, 1),
        existing(5, 30),
        existing(5, 31),
        gone(6, 31),
        // 30 is gone, 33 is new, 32 and 34 came and went; then a deletion of each that is left.
        existing(9, 1),
        existing(9, 33),
        existing(9, 35),
        gone(10, 33),
        gone(11, 35),
    ];
    let found = findings(log.concat().as_bytes());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains(
            "note gap: while nothing was recorded, 2 namespaces were created, 1 namespace was deleted, and 2 more both \
             created and deleted"
        ),
        "{found:?}"
    );
    // Records of before the second list come after it.
    let call = |serial: u64| {
        [NET, UNSHARE]
            .concat()
            .replace("2.000:3", &format!("{serial}.000:{serial}"))
            .replace("netns=320 ns_id=17", "netns=33 ns_id=33")
    };
    let late = |serial| {
        let (deletion, creation) = (gone(serial, 30), call(serial));
        let log = [
            existing(5, 1),
            existing(5, 30),
            existing(9, 1),
            existing(9, 33),
            deletion,
            creation,
        ];
        findings(log.concat().as_bytes())
    };
    assert_eq!(late(8).len(), 1, "{:?}", late(8));
    assert!(
        late(10).iter().any(|f| f.contains("error deleted-twice")),
        "{:?}",
        late(10)
    );
    assert!(
        late(10).iter().any(|f| f.contains("error reused-id")),
        "{:?}",
        late(10)
    );
    // The list shows nothing; the first creation after it shows that 31 and 32 came and went. Later ones count no more.
    let passed = [
        existing(5, 1),
        existing(5, 30),
        existing(9, 1),
        existing(9, 30),
        gone(10, 30),
        call(11),
        call(12).replace("netns=33 ns_id=33", "netns=40 ns_id=40"),
    ];
    let found = findings(passed.concat().as_bytes());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("0 namespaces were created, 0 namespaces were deleted, and 2 more both created and deleted"),
        "{found:?}"
    );
    // Other records come between those of a baseline, which is read in slices. A creation with a lower id may come later.
    let slices = [
        existing(5, 1),
        existing(5, 30),
        existing(9, 1),
        EVENT.replace("1.100:2", "9.100:10"),
        call(11).replace("netns=33 ns_id=33", "netns=40 ns_id=40"),
        existing(9, 30).replace(":9)", ":12)"),
        call(13),
    ];
    let found = findings(slices.concat().as_bytes());
    assert!(
        found
            .iter()
            .any(|f| f.contains("0 namespaces were deleted, and 2 more")),
        "{found:?}"
    );
    // Nothing happened between.
    let quiet = [
        existing(5, 1),
        existing(5, 30),
        existing(9, 1),
        existing(9, 30),
    ]
    .concat();
    assert_eq!(findings(quiet.as_bytes()), [""; 0]);
}
