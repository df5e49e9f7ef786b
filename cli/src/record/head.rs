// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What stands before the fields of a record: node, type, time and serial number.
//!
//! ```text
//! node=host type=DM_EVENT msg=audit(1630425112.119:194): module=integrity ... res=0<0x1d>NAMES
//! [   12.345678] audit: type=1339 audit(1630425112.119:194): module=integrity ... res=0
//! ```
//!
//! The first is auditd's log, `ausearch --raw` and what auditd's plugins read; the second is the kernel's
//! own log, as `dmesg`, the journal or a syslog has it.

use super::host::Host;
use super::spans::Span;
use super::types::Type;
use dmns_audit_uapi::line::Stamp;
use memchr::{memchr, memmem};
use std::borrow::Cow;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A record.
    Record(Head<'a>),
    /// Something that has its place in such a file, but is no record: an empty line, `ausearch`'s
    /// separators, another message of the kernel.
    Foreign,
    /// A record, but broken, or nothing that a log has.
    Broken(Broken),
}

/// Where and why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// At which byte of the line.
    pub at: usize,
    /// What has to stand there.
    pub expected: &'static str,
}

/// A record, its fields not yet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// `node=`, where auditd is configured to write it.
    pub node: Option<&'a [u8]>,
    /// The number of that host, where the line is one of a [log](crate::input::Log); else 0.
    pub host: Host,
    /// The type as it is written: a name, `UNKNOWN[1385]`, a number.
    pub name: &'a [u8],
    /// The type.
    pub ty: Type,
    /// When, and of which event.
    pub stamp: Stamp,
    /// The fields, as they are written.
    pub body: &'a [u8],
    /// Where in those its fields are; none where nobody looked yet.
    pub spans: &'a [Span],
    /// At which byte of the line the type's name begins.
    pub name_at: usize,
    /// At which byte of the line the fields begin.
    pub body_at: usize,
    /// The names that auditd adds to numbers (`log_format = ENRICHED`), empty if none.
    pub enrichment: &'a [u8],
}

impl Head<'_> {
    /// `node=` as text.
    pub fn node_name(&self) -> Option<String> {
        self.node
            .map(|node| String::from_utf8_lossy(node).into_owned())
    }

    /// What its type is called, also where the log has a number for it that this program knows.
    pub fn type_name(&self) -> Cow<'_, str> {
        match self.ty.name() {
            Some(name) => name.into(),
            None => String::from_utf8_lossy(self.name),
        }
    }
}

/// What [`parse`] found in a line, without the line: for who keeps the two apart.
#[derive(Clone, Copy, Debug)]
pub struct Parts(Kept);

#[derive(Clone, Copy, Debug)]
enum Kept {
    /// Places in the line, which is shorter than 2^32 bytes. `node` is the length of the name.
    Record {
        ty: Type,
        stamp: Stamp,
        node: Option<u32>,
        name: (u32, u32),
        body: (u32, u32),
        /// Where the names begin that auditd adds, and how long they are.
        enrichment: (u32, u32),
    },
    Foreign,
    Broken(Broken),
}

impl Parts {
    /// What is kept of `parsed`.
    pub fn of(parsed: &Parsed<'_>) -> Self {
        Self(match parsed {
            Parsed::Record(head) => {
                let body = (head.body_at as u32, head.body.len() as u32);
                Kept::Record {
                    ty: head.ty,
                    stamp: head.stamp,
                    node: head.node.map(|node| node.len() as u32),
                    name: (head.name_at as u32, head.name.len() as u32),
                    body,
                    enrichment: match head.enrichment.len() {
                        0 => (0, 0),
                        length => (body.0 + body.1 + 1, length as u32),
                    },
                }
            }
            Parsed::Foreign => Kept::Foreign,
            Parsed::Broken(broken) => Kept::Broken(*broken),
        })
    }

    /// What [`parse`] found in `line`, which is the same line.
    /// `spans` is where its fields are, if somebody looked.
    pub fn parsed<'a>(&self, line: &'a [u8], spans: &'a [Span]) -> Parsed<'a> {
        let part = |(at, length): (u32, u32)| &line[at as usize..][..length as usize];
        match self.0 {
            Kept::Record {
                ty,
                stamp,
                node,
                name,
                body,
                enrichment,
            } => Parsed::Record(Head {
                node: node.map(|length| part(("node=".len() as u32, length))),
                host: 0,
                name: part(name),
                ty,
                stamp,
                body: part(body),
                spans,
                name_at: name.0 as usize,
                body_at: body.0 as usize,
                enrichment: part(enrichment),
            }),
            Kept::Foreign => Parsed::Foreign,
            Kept::Broken(broken) => Parsed::Broken(broken),
        }
    }
}

/// Takes `line` apart, which has no newline.
pub fn parse(line: &[u8]) -> Parsed<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (node, at) = match line.strip_prefix(b"node=") {
        Some(rest) => match memchr(b' ', rest) {
            Some(space) => (Some(&rest[..space]), 5 + space + 1),
            None => {
                return Parsed::Broken(Broken {
                    at: line.len(),
                    expected: "a space and 'type='",
                });
            }
        },
        None => (None, 0),
    };
    if line[at..].starts_with(b"type=") {
        return match record(line, node, at) {
            Ok(head) => Parsed::Record(head),
            Err(broken) => Parsed::Broken(broken),
        };
    }
    if node.is_none() {
        // Another log around it: its own prefix comes first.
        for start in memmem::find_iter(line, b"type=") {
            if start > 0 && line[start - 1] == b' ' {
                if let Ok(head) = record(line, None, start) {
                    return Parsed::Record(head);
                }
            }
        }
        if is_foreign(line) {
            return Parsed::Foreign;
        }
    }
    Parsed::Broken(Broken {
        at,
        expected: "'type='",
    })
}

/// The record that begins with `type=` at `at`.
fn record<'a>(line: &'a [u8], node: Option<&'a [u8]>, at: usize) -> Result<Head<'a>, Broken> {
    let mut rest = Cursor {
        line,
        at: at + b"type=".len(),
    };
    let name_at = rest.at;
    let name = rest.word().ok_or(Broken {
        at: name_at,
        expected: "the name or number of a type",
    })?;
    // Only the kernel's own log has it without msg=.
    if line[rest.at..].starts_with(b"msg=") {
        rest.at += 4;
    }
    rest.token(b"audit(", "'msg=audit('")?;
    let seconds = rest.number("seconds since 1970")?;
    rest.token(b".", "'.'")?;
    let millis = rest.number("thousandths of a second")?;
    let millis = u16::try_from(millis)
        .ok()
        .filter(|&n| n < 1000)
        .ok_or(Broken {
            at: rest.at,
            expected: "thousandths of a second before this",
        })?;
    rest.token(b":", "':'")?;
    let serial = rest.number("a serial number")?;
    rest.token(b"):", "'):'")?;
    if line.get(rest.at) == Some(&b' ') {
        rest.at += 1;
    }
    let body_at = rest.at;
    let body = &line[body_at..];
    let (body, enrichment) = match memchr(0x1d, body) {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => (body, &[][..]),
    };
    Ok(Head {
        node,
        host: 0,
        name,
        ty: Type::from_name(name),
        stamp: Stamp {
            seconds,
            millis,
            serial,
        },
        body,
        spans: &[],
        name_at,
        body_at,
        enrichment,
    })
}

/// Walks along a line.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// What stands before the next space, which is skipped. `None` where that is nothing.
    fn word(&mut self) -> Option<&'a [u8]> {
        let rest = &self.line[self.at..];
        // It is so short that a search made for long texts takes longer to begin.
        let ends = |byte: &u8| matches!(byte, b' ' | 0x1d);
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at = (self.at + length + 1).min(self.line.len());
        (length > 0).then(|| &rest[..length])
    }

    fn token(&mut self, token: &[u8], expected: &'static str) -> Result<(), Broken> {
        if !self.line[self.at..].starts_with(token) {
            return Err(Broken {
                at: self.at,
                expected,
            });
        }
        self.at += token.len();
        Ok(())
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, Broken> {
        let start = self.at;
        let mut value = Some(0u64);
        while let Some(digit) = self.line.get(self.at).filter(|b| b.is_ascii_digit()) {
            let digit = u64::from(digit - b'0');
            value = value
                .and_then(|v| v.checked_mul(10))
                .and_then(|v| v.checked_add(digit));
            self.at += 1;
        }
        value.filter(|_| self.at > start).ok_or(Broken {
            at: start,
            expected,
        })
    }
}

/// Whether a log may have this line beside its records.
fn is_foreign(line: &[u8]) -> bool {
    let spaces_only = line.iter().all(|b| b.is_ascii_whitespace());
    // ausearch writes these around events.
    let ausearch = line == b"----" || line.starts_with(b"time->") || line == b"<no matches>";
    // [   12.3] of dmesg, <6> of /dev/kmsg, the month of a syslog, the year of an ISO date.
    let stamped = match line {
        [b'[', b' ' | b'0'..=b'9', ..] | [b'<', b'0'..=b'9', ..] => true,
        [a, b, c, b' ', day @ (b' ' | b'0'..=b'9'), ..] => {
            *day != b'\0' && MONTHS.contains(&&[*a, *b, *c])
        }
        [a, b, c, d, b'-', ..] => [a, b, c, d].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    // `journalctl` begins and divides its output so.
    let journal = line.starts_with(b"-- ");
    (spaces_only || ausearch || stamped || journal) && line.iter().all(|&b| b >= b' ' || b == b'\t')
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_uapi::line::Line;
    use dmns_audit_uapi::types::RecordType;
    use proptest::prelude::*;

    fn head(line: &str) -> Head<'_> {
        match parse(line.as_bytes()) {
            Parsed::Record(head) => head,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_record_in_each_of_its_forms() {
        let body = "module=integrity op=integrity-checksum dev=254:3 sector=77480 res=0";
        let stamp = Stamp {
            seconds: 1630425112,
            millis: 119,
            serial: 194,
        };
        for prefix in [
            "type=DM_EVENT msg=",
            "type=UNKNOWN[1339] msg=",
            "type=1339 msg=",
            "node=a.example type=DM_EVENT msg=",
            "[   12.345678] audit: type=1339 ",
            "audit: type=1339 ",
            "<5>[   12.345678] audit: type=1339 ",
            "Nov 21 04:17:59 host kernel: [   12.3] audit: type=1339 ",
            "2026-11-21T04:17:59+0000 host kernel: audit: type=1339 ",
            "Nov 21 04:17:59 host audisp-syslog[12]: type=DM_EVENT msg=",
        ] {
            for suffix in ["", "\r", "\x1dUID=\"root\""] {
                let line = format!("{prefix}audit(1630425112.119:194): {body}{suffix}");
                let head = head(&line);
                assert_eq!(head.ty, Type::Ours(RecordType::DmEvent), "{line}");
                assert_eq!(head.stamp, stamp, "{line}");
                assert_eq!(head.body, body.as_bytes(), "{line}");
                assert_eq!(&line[head.body_at..][..6], "module", "{line}");
                assert_eq!(head.node.is_some(), prefix.starts_with("node="));
            }
        }
    }

    #[test]
    fn what_stands_beside_records_is_foreign() {
        for line in [
            "",
            "  ",
            "----",
            "time->Mon Jan 23 17:02:18 2012",
            "[    0.000000] Linux version 7.2.12",
            "Nov  1 04:17:59 host systemd[1]: Started type=simple",
            "-- Boot 0123 --",
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Foreign, "{line}");
        }
    }

    #[test]
    fn a_broken_record_is_told_where() {
        for (line, at, expected) in [
            ("type=", 5, "the name or number of a type"),
            ("type=DM_EVENT", 13, "'msg=audit('"),
            ("type=DM_EVENT msg=aud", 18, "'msg=audit('"),
            ("type=DM_EVENT msg=audit(x", 24, "seconds since 1970"),
            (
                "type=DM_EVENT msg=audit(1.1234:5): a",
                30,
                "thousandths of a second before this",
            ),
            (
                "type=DM_EVENT msg=audit(1.2:99999999999999999999): a",
                28,
                "a serial number",
            ),
            ("type=DM_EVENT msg=audit(1.2:3", 29, "'):'"),
            ("node=a", 6, "a space and 'type='"),
            ("node=a b", 7, "'type='"),
            ("\0\0\0", 0, "'type='"),
            ("ype=SYSCALL msg=audit(1.2:3): a", 0, "'type='"),
        ] {
            assert_eq!(
                parse(line.as_bytes()),
                Parsed::Broken(Broken { at, expected }),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(line: Vec<u8>) {
            let _ = parse(&line);
        }

        /// What the contract's own parser takes apart, this one does too, and alike.
        #[test]
        fn uapi_agrees(node in prop::option::of("[a-z.]{1,9}"), ty in "[A-Z_]{1,12}", s: u32, ms in 0u16..1000,
                       serial: u64, body in "[ -~]{0,60}", names in prop::option::of("[ -~]{0,20}")) {
            let node = node.map(|n| format!("node={n} ")).unwrap_or_default();
            let names = names.map(|n| format!("\x1d{n}")).unwrap_or_default();
            let text = format!("{node}type={ty} msg=audit({s}.{ms:03}:{serial}): {body}{names}");
            let line = Line::parse(&text).expect("a record");
            let head = head(&text);
            prop_assert_eq!(head.stamp, line.stamp);
            prop_assert_eq!(head.name, line.ty.as_bytes());
            prop_assert_eq!(head.node, line.node.map(str::as_bytes));
            prop_assert_eq!(head.body.trim_ascii(), line.body.as_bytes());
        }
    }
}
