// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The contract: which fields each record has, in which order, with which syntax.
//!
//! The order is fixed. New fields come before `res=`, which is last.

use crate::forms::{
    self,
    Form, //
};
use crate::line::{
    Field as Found,
    Line,
    fields, //
};
use core::fmt;
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;

/// The syntax of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// A word that the kernel chose: no space, not empty.
    Word,
    /// Decimal, 0 to 2^32 - 1.
    U32,
    /// Decimal, 0 to 2^64 - 1.
    U64,
    /// Decimal, -2^31 to 2^31 - 1.
    I32,
    /// A sector or block number in decimal, or `?`.
    Sector,
    /// `254:3`: major and minor number in decimal.
    DevDecimal,
    /// `00:04`: major and minor number in hexadecimal, of two digits or more.
    DevHex,
    /// Text that a user can choose: `"quoted"`, or in upper-case hex.
    Untrusted,
    /// [`Syntax::Untrusted`], or `(null)` for a task without a program file.
    UntrustedOrNull,
    /// Text that the kernel chose, in single quotes.
    Quoted,
    /// An inode number of nsfs minus `PROC_DYNAMIC_FIRST`, or `(none)`.
    OldNamespace,
    /// 0 for failure, 1 for success.
    Result,
    /// Always 1.
    Success,
    /// Decimal, -2^63 to 2^63 - 1.
    I64,
    /// A UUID, in lower case.
    Uuid,
    /// `52:54:00:00:00:01`: the address of an interface, in lower case.
    Mac,
    /// `0A:C8`: major and minor number in upper-case hexadecimal, of two digits or more, or `?` if
    /// it is not a device.
    Rdev,
    /// `88`: a major number in upper-case hexadecimal, of two digits or more.
    MajorHex,
    /// Some of `r`, `w` and `m`.
    Acl,
    /// [`Syntax::Untrusted`], or `?` where it is not known.
    UntrustedOrUnknown,
    /// `success` or `failed`.
    Outcome,
    /// The name that a container runtime gives a container: see [`is_identifier`]; else
    /// [`Syntax::Untrusted`].
    Identifier,
    /// Decimal, 0 to 2^64 - 1, or `?` where it is not known.
    U64OrUnknown,
    /// The name of a kind of namespace, as under `/proc/PID/ns`.
    NsType,
}

impl Syntax {
    /// Returns a description of the syntax, for messages.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Word => "a word",
            Self::U32 => "a decimal number of 32 bits",
            Self::U64 => "a decimal number of 64 bits",
            Self::I32 => "a signed decimal number of 32 bits",
            Self::Sector => "a decimal number or ?",
            Self::DevDecimal => "MAJOR:MINOR in decimal",
            Self::DevHex => "MAJOR:MINOR in hexadecimal, two digits or more each",
            Self::Untrusted => "\"text\" or upper-case hex",
            Self::UntrustedOrNull => "\"text\", upper-case hex or (null)",
            Self::Quoted => "'text'",
            Self::OldNamespace => "a signed decimal number or (none)",
            Self::Result => "0 or 1",
            Self::Success => "1",
            Self::I64 => "a signed decimal number of 64 bits",
            Self::Uuid => "a UUID in lower case",
            Self::Mac => "a MAC address in lower case",
            Self::Rdev => "MAJOR:MINOR in upper-case hexadecimal, two digits or more each, or ?",
            Self::MajorHex => "a number in upper-case hexadecimal, two digits or more",
            Self::Acl => "some of r, w and m",
            Self::UntrustedOrUnknown => "\"text\", upper-case hex or ?",
            Self::Outcome => "success or failed",
            Self::Identifier => "letters, digits and . _ + : -, else \"text\" or upper-case hex",
            Self::U64OrUnknown => "a decimal number of 64 bits or ?",
            Self::NsType => "mnt, uts, ipc, user, pid, net, cgroup or time",
        }
    }

    /// Returns whether `value` has this syntax.
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Word => !value.is_empty(),
            Self::U32 => unsigned::<u32>(value),
            Self::U64 => unsigned::<u64>(value),
            Self::I32 => signed(value),
            Self::Sector => value == "?" || unsigned::<u64>(value),
            Self::DevDecimal => pair(value, unsigned::<u32>),
            Self::DevHex => pair(value, |half| {
                matches!(half.len(), 2..=8)
                    && half.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                    && (half.len() == 2 || !half.starts_with('0'))
            }),
            Self::Untrusted => untrusted(value),
            Self::UntrustedOrNull => value == "(null)" || untrusted(value),
            Self::Quoted => value
                .strip_prefix('\'')
                .and_then(|rest| rest.strip_suffix('\''))
                // The kernel does not escape one within a word.
                .is_some_and(|text| !text.contains("' ") && !text.ends_with('\'')),
            Self::OldNamespace => value == "(none)" || signed(value),
            Self::Result => matches!(value, "0" | "1"),
            Self::Success => value == "1",
            Self::I64 => {
                unsigned::<u64>(value.strip_prefix('-').unwrap_or(value))
                    && value != "-0"
                    && value.parse::<i64>().is_ok()
            }
            Self::Uuid => groups(value, '-', &[8, 4, 4, 4, 12]),
            Self::Mac => groups(value, ':', &[2; 6]),
            Self::Rdev => value == "?" || pair(value, upper_hex),
            Self::MajorHex => upper_hex(value),
            Self::Acl => {
                !value.is_empty() && value.bytes().all(|b| matches!(b, b'r' | b'w' | b'm'))
            }
            Self::UntrustedOrUnknown => value == "?" || untrusted(value),
            Self::Outcome => matches!(value, "success" | "failed"),
            Self::Identifier => is_identifier(value) || untrusted(value),
            Self::U64OrUnknown => value == "?" || unsigned::<u64>(value),
            Self::NsType => forms::kind(value.as_bytes()).is_some(),
        }
    }
}

/// Returns whether `value` is an identifier that needs no encoding. It has letters, digits and `. _
/// + : -`, and does not read as text in hexadecimal.
pub fn is_identifier(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b':' | b'-'))
        && !untrusted(value)
}

/// Returns whether `value` is a number as `%u` writes it: no sign, no leading zero.
fn unsigned<T: core::str::FromStr>(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_digit())
        && (value.len() == 1 || !value.starts_with('0'))
        && value.parse::<T>().is_ok()
}

fn signed(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    unsigned::<u32>(digits) && value != "-0" && value.parse::<i32>().is_ok()
}

/// Returns whether `value` is a number as `%02X` writes it.
fn upper_hex(value: &str) -> bool {
    matches!(value.len(), 2..=8)
        && value
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
        && (value.len() == 2 || !value.starts_with('0'))
}

/// Returns whether `value` has groups of `lengths` lower-case hexadecimal digits, separated by
/// `between`.
fn groups(value: &str, between: char, lengths: &[usize]) -> bool {
    let mut groups = value.split(between);
    let each = lengths.iter().all(|&length| {
        groups.next().is_some_and(|group| {
            group.len() == length
                && group
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    });
    each && groups.next().is_none()
}

fn pair(value: &str, half: impl Fn(&str) -> bool) -> bool {
    value
        .split_once(':')
        .is_some_and(|(major, minor)| half(major) && half(minor))
}

fn untrusted(value: &str) -> bool {
    match value.strip_prefix('"') {
        Some(rest) => rest
            .strip_suffix('"')
            .is_some_and(|text| dmns_audit_uapi::text::is_plain(text.as_bytes())),
        None => {
            !value.is_empty()
                && value.len() % 2 == 0
                && value
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
        }
    }
}

/// A field's name. The names of namespace fields depend on the kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A name that is the same in every record.
    Fixed(&'static str),
    /// `netns`, after the kind.
    Ns(Kind),
    /// `old_netns`, after the kind.
    OldNs(Kind),
}

impl Name {
    /// Returns whether a field of this name is written as `name`.
    pub fn is(self, name: &str) -> bool {
        let of = |kind: Kind, rest: Option<&str>| {
            rest.and_then(|rest| rest.strip_prefix(kind.name())) == Some("ns")
        };
        match self {
            Self::Fixed(fixed) => name == fixed,
            Self::Ns(kind) => of(kind, Some(name)),
            Self::OldNs(kind) => of(kind, name.strip_prefix("old_")),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(name) => f.write_str(name),
            Self::Ns(kind) => write!(f, "{}ns", kind.name()),
            Self::OldNs(kind) => write!(f, "old_{}ns", kind.name()),
        }
    }
}

/// A field that a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// The syntax of its value.
    pub syntax: Syntax,
    /// Whether it may be missing: `subj=`, where no security module labels tasks;
    /// `pidns_for_children=`, where it is that of the task; `owner_ns_id=`, where the creation
    /// itself is recorded.
    pub optional: bool,
}

const fn field(name: &'static str, syntax: Syntax) -> Field {
    Field {
        name: Name::Fixed(name),
        syntax,
        optional: false,
    }
}

const MODULE: Field = field("module", Syntax::Word);
const OP: Field = field("op", Syntax::Word);
const PID: Field = field("pid", Syntax::I32);
const UID: Field = field("uid", Syntax::U32);
const AUID: Field = field("auid", Syntax::U32);
const SES: Field = field("ses", Syntax::U32);
const SUBJ: Field = Field {
    optional: true,
    ..field("subj", Syntax::Word)
};
const DEV: Field = field("dev", Syntax::DevDecimal);
const RES: Field = field("res", Syntax::Result);

/// C: `dm_audit_log_ti()` in `drivers/md/dm-audit.c`, `audit_log_task_info()` in `kernel/audit.c`.
const DM_CTRL: &[Field] = &[
    MODULE,
    OP,
    field("ppid", Syntax::I32),
    PID,
    AUID,
    UID,
    field("gid", Syntax::U32),
    field("euid", Syntax::U32),
    field("suid", Syntax::U32),
    field("fsuid", Syntax::U32),
    field("egid", Syntax::U32),
    field("sgid", Syntax::U32),
    field("fsgid", Syntax::U32),
    field("tty", Syntax::Word),
    SES,
    field("comm", Syntax::Untrusted),
    field("exe", Syntax::UntrustedOrNull),
    SUBJ,
    DEV,
    field("error_msg", Syntax::Quoted),
    RES,
];

/// C: `dm_audit_log_bio()` and `dm_audit_log_ti()` in `drivers/md/dm-audit.c`.
const DM_EVENT: &[Field] = &[MODULE, OP, DEV, field("sector", Syntax::Sector), RES];

/// Returns the fields of NS_INIT of a namespace of `kind`, with `nstype=`.
const fn ns_init(kind: Kind) -> [Field; 12] {
    [
        PID,
        UID,
        AUID,
        SES,
        SUBJ,
        field("dev", Syntax::DevHex),
        Field {
            name: Name::OldNs(kind),
            ..field("", Syntax::OldNamespace)
        },
        Field {
            name: Name::Ns(kind),
            ..field("", Syntax::I32)
        },
        field("ns_id", Syntax::U64),
        Field {
            optional: true,
            ..field("owner_ns_id", Syntax::U64)
        },
        field(forms::NSTYPE, Syntax::NsType),
        field("res", Syntax::Success),
    ]
}

/// The fields of the records of a namespace of one kind, in each form.
#[derive(Clone, Copy)]
struct OfKind {
    init: [Field; 11],
    init_offered: [Field; 12],
    del: [Field; 9],
    del_offered: [Field; 10],
}

const fn of_kind(kind: Kind) -> OfKind {
    let init_offered = ns_init(kind);
    let [
        pid,
        uid,
        auid,
        ses,
        subj,
        dev,
        old,
        ns,
        id,
        owner,
        nstype,
        res,
    ] = init_offered;
    OfKind {
        init: [pid, uid, auid, ses, subj, dev, old, ns, id, owner, res],
        init_offered,
        del: [pid, uid, auid, ses, subj, dev, ns, id, res],
        del_offered: [pid, uid, auid, ses, subj, dev, ns, id, nstype, res],
    }
}

const OF_KINDS: [OfKind; Kind::ALL.len()] = {
    let mut all = [of_kind(Kind::Mnt); Kind::ALL.len()];
    let mut k = 0;
    while k < all.len() {
        all[k] = of_kind(Kind::ALL[k]);
        k += 1;
    }
    all
};

const NS_INFO: [Field; Kind::ALL.len() + 3] = {
    let mut all = [field("", Syntax::I32); Kind::ALL.len() + 3];
    let mut k = 0;
    while k < Kind::ALL.len() {
        all[k].name = Name::Ns(Kind::ALL[k]);
        k += 1;
    }
    all[k] = Field {
        optional: true,
        ..field("pidns_for_children", Syntax::I32)
    };
    all[k + 1] = Field {
        optional: true,
        ..field("timens_for_children", Syntax::I32)
    };
    all[k + 2] = Field {
        optional: true,
        ..field("cgroup", Syntax::UntrustedOrUnknown)
    };
    all
};

/// Returns the fields of a record of type `ty` in this form, in order.
pub fn layout(ty: RecordType, form: Form) -> &'static [Field] {
    static KINDS: [OfKind; Kind::ALL.len()] = OF_KINDS;
    static INFO: [Field; Kind::ALL.len() + 3] = NS_INFO;
    match (ty, form) {
        (RecordType::DmCtrl, _) => DM_CTRL,
        (RecordType::DmEvent, _) => DM_EVENT,
        (RecordType::NsInit(kind), Form::TypePerKind) => &KINDS[kind as usize].init,
        (RecordType::NsInit(kind), Form::Offered(_)) => &KINDS[kind as usize].init_offered,
        (RecordType::NsDel(kind), Form::TypePerKind) => &KINDS[kind as usize].del,
        (RecordType::NsDel(kind), Form::Offered(_)) => &KINDS[kind as usize].del_offered,
        (RecordType::NsInfo, _) => &INFO,
    }
}

/// A difference between a record and the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractError<'a> {
    /// Another field is in this one's place, or the record ends there.
    Missing {
        /// The field that the contract requires.
        expected: Name,
        /// The field that is there.
        found: Option<Found<'a>>,
    },
    /// The value has another syntax.
    Value {
        /// The field.
        found: Found<'a>,
        /// The syntax of its value.
        expected: Syntax,
    },
    /// The record continues after its last field.
    Extra(Found<'a>),
}

impl fmt::Display for ContractError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                expected,
                found: Some(found),
            } => write!(
                f,
                "expected {expected}=, found `{}={}`",
                found.name, found.value
            ),
            Self::Missing {
                expected,
                found: None,
            } => write!(f, "expected {expected}=, found the end of the record"),
            Self::Value { found, expected } => write!(
                f,
                "expected {}, found `{}={}`",
                expected.describe(),
                found.name,
                found.value
            ),
            Self::Extra(found) => write!(f, "{}={} after the last field", found.name, found.value),
        }
    }
}

/// Compares `line` with the contract of `ty`, in the form of the line. `Err` is the first difference.
pub fn check<'a>(ty: RecordType, line: &Line<'a>) -> Result<(), ContractError<'a>> {
    let mut found = fields(line.body).peekable();
    for field in layout(ty, Form::of(line.ty.as_bytes())) {
        match found.next_if(|f| field.name.is(f.name)) {
            Some(f) if field.syntax.accepts(f.value) => {}
            Some(f) => {
                return Err(ContractError::Value {
                    found: f,
                    expected: field.syntax,
                });
            }
            None if field.optional => {}
            None => {
                return Err(ContractError::Missing {
                    expected: field.name,
                    found: found.next(),
                });
            }
        }
    }
    match found.next() {
        Some(extra) => Err(ContractError::Extra(extra)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::tests::text;
    use dmns_audit_uapi::dm;
    use dmns_audit_uapi::ns::{Info, Namespace, NsfsDev, Origin, Subject, cgroup_field};
    use proptest::prelude::*;
    use std::{format, string::String, string::ToString};

    fn verdict(ty: RecordType, body: &str) -> Result<(), String> {
        let line = format!("type=UNKNOWN[{}] msg=audit(1.000:1): {body}", ty.number());
        let line = Line::parse(&line).expect("a record");
        check(ty, &line).map_err(|d| d.to_string())
    }

    /// Judges a record with `nstype=`; `None` without a kind.
    fn offered(ty: &forms::Offered, body: &str) -> Option<Result<(), String>> {
        let line = format!("type={} msg=audit(1.000:1): {body}", ty.name);
        let line = Line::parse(&line).expect("a record");
        let ty = line.record_type()?;
        Some(check(ty, &line).map_err(|d| d.to_string()))
    }

    proptest! {
        /// User space accepts the text that the kernel's code writes, for any numbers.
        #[test]
        fn every_namespace_record_keeps_the_contract(
            kind in 0usize..8, pid: i32, uid: u32, auid: u32, ses: u32, major: u32, minor: u32,
            inum: u32, old: Option<u32>, id: u64, owner: u64,
        ) {
            let kind = Kind::ALL[kind];
            let subject = Subject { pid, uid, auid, ses };
            let dev = NsfsDev { major, minor };
            let ns = Namespace { kind, inum, id };
            let origin = match old {
                Some(old) => Origin::Clone { old },
                None => Origin::Baseline { owner },
            };
            let init = text(|out| { subject.head(out); ns.init_tail(dev, origin, out); });
            prop_assert_eq!(verdict(RecordType::NsInit(kind), &init), Ok(()));
            let del = text(|out| { subject.head(out); ns.del_tail(dev, out); });
            prop_assert_eq!(verdict(RecordType::NsDel(kind), &del), Ok(()));
            prop_assert!(verdict(RecordType::NsDel(kind), &init).is_err());
            prop_assert!(verdict(RecordType::NsInit(kind), &del).is_err());
            for (ty, body) in forms::OFFERED.iter().zip([&init, &del]) {
                let with = |field: &str| body.replace(" res=", &format!("{field} res="));
                let own = with(&format!(" nstype={}", kind.name()));
                prop_assert_eq!(offered(ty, &own), Some(Ok(())));
                prop_assert!(verdict((ty.of)(kind), &own).is_err());
                prop_assert_eq!(offered(ty, body), None);
                let another = with(&format!(" nstype={}", Kind::ALL[(kind as usize + 1) % 8].name()));
                prop_assert!(offered(ty, &another).is_some_and(|verdict| verdict.is_err()));
            }
        }

        #[test]
        fn every_info_keeps_the_contract(
            inums: [u32; 8], for_children: [u32; 2], cgroup: Option<std::string::String>,
        ) {
            let info = Info { inums, for_children };
            let body = text(|out| info.body(out));
            prop_assert_eq!(verdict(RecordType::NsInfo, &body), Ok(()));
            let path = cgroup.as_ref().map(String::as_bytes);
            let body = text(|out| { info.body(out); cgroup_field(path, out); });
            prop_assert_eq!(verdict(RecordType::NsInfo, &body), Ok(()));
        }

        #[test]
        fn every_event_keeps_the_contract(
            major: u32, minor: u32, sector: Option<u64>, result in 0i32..2,
        ) {
            let event = dm::Event { module: b"verity", op: b"verify-data", dev: dm::Dev { major, minor }, result };
            let body = text(|out| { event.head(out); event.event_tail(sector, out); });
            prop_assert_eq!(verdict(RecordType::DmEvent, &body), Ok(()));
        }
    }

    const CTRL: &str = "module=integrity op=ctr ppid=3807 pid=3819 auid=1000 uid=0 gid=0 euid=0 suid=0 \
        fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts2 ses=3 comm=\"integritysetup\" \
        exe=\"/sbin/integritysetup\" subj==unconfined dev=254:3 error_msg='success' res=1";

    #[test]
    fn a_control_record_with_and_without_a_label() {
        assert_eq!(verdict(RecordType::DmCtrl, CTRL), Ok(()));
        let bare = CTRL.replace(" subj==unconfined", "");
        assert_eq!(verdict(RecordType::DmCtrl, &bare), Ok(()));
        let hex = CTRL.replace("\"integritysetup\"", "61207265733D31");
        assert_eq!(verdict(RecordType::DmCtrl, &hex), Ok(()));
    }

    #[test]
    fn each_departure_is_named() {
        for (from, to, says) in [
            (" op=ctr", "", "expected op=, found `ppid=3807`"),
            (
                "ses=3",
                "ses=-1",
                "expected a decimal number of 32 bits, found `ses=-1`",
            ),
            (
                "254:3",
                "fe:03",
                "expected MAJOR:MINOR in decimal, found `dev=fe:03`",
            ),
            (
                "'success'",
                "success",
                "expected 'text', found `error_msg=success`",
            ),
            (
                "\"integritysetup\"",
                "\"a b\"",
                "expected \"text\" or upper-case hex, found `comm=\"a b\"`",
            ),
            ("res=1", "res=2", "expected 0 or 1, found `res=2`"),
            (" res=1", "", "expected res=, found the end of the record"),
            ("res=1", "res=1 res=0", "res=0 after the last field"),
            (
                "pid=3819",
                "pid=007",
                "expected a signed decimal number of 32 bits, found `pid=007`",
            ),
        ] {
            assert_eq!(
                verdict(RecordType::DmCtrl, &CTRL.replacen(from, to, 1)),
                Err(String::from(says))
            );
        }
    }
}
