// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Parses the head of a record: node, type, time and serial number.
//!
//! ```text
//! node=host type=DM_EVENT msg=audit(1630425112.119:194): module=integrity ... res=0<0x1d>NAMES
//! [   12.345678] audit: type=1339 audit(1630425112.119:194): module=integrity ... res=0
//! ```
//!
//! The first is the form of auditd's log, of `ausearch --raw` and of auditd's plugins. The second
//! is the form of the kernel's own log, in `dmesg`, the journal or a syslog. A syslog names the
//! host before it:
//!
//! ```text
//! Nov 21 04:17:59 host audisp-syslog[7]: node=host type=DM_EVENT msg=audit(1630425112.119:194): ...
//! ```

use super::enrichment;
use super::host::Host;
use super::loss::{self, Loss};
use super::short;
use super::spans::Span;
use super::types::Type;
use dmns_audit_log::line::Stamp;
use dmns_audit_uapi::types::RecordType;
use memchr::{memchr, memchr2, memmem};
use std::borrow::Cow;

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A record.
    Record(Head<'a>),
    /// A line between records: an empty line, `ausearch`'s separators, another message of the
    /// kernel.
    Foreign,
    /// A message about missing records.
    Loss(Loss),
    /// A broken record, or a line that no log has.
    Broken(Broken),
}

impl Parsed<'_> {
    /// Returns the loss that it announces: a message, or a record of auditd's own.
    pub fn loss(&self) -> Option<Loss> {
        match self {
            Self::Loss(loss) => Some(*loss),
            Self::Record(head) if head.ty == Type::Other && loss::may_be_record(head.name) => {
                loss::of_record(head.name, head.body)
            }
            _ => None,
        }
    }
}

/// The place and the reason why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The offset in the line.
    pub at: usize,
    /// The expected text.
    pub expected: &'static str,
}

/// A record, with its fields not parsed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// `node=`, where auditd is configured to write it; else the host of the syslog around the
    /// record.
    pub node: Option<&'a [u8]>,
    /// The number of that host, where the line is one of a [log](crate::input::Log); else 0.
    pub host: Host,
    /// The type as it is written: a name, `UNKNOWN[1385]`, a number.
    pub name: &'a [u8],
    /// The type.
    pub ty: Type,
    /// The time and the event.
    pub stamp: Stamp,
    /// The fields, as they are written.
    pub body: &'a [u8],
    /// The spans of its fields in the body; empty if they are not split yet.
    pub spans: &'a [Span],
    /// The offset of the type's name in the line.
    pub name_at: usize,
    /// The offset of the fields in the line.
    pub body_at: usize,
    /// The names that auditd adds to numbers (`log_format = ENRICHED`), empty if none.
    pub enrichment: &'a [u8],
}

impl Head<'_> {
    /// Returns `node=` as text.
    pub fn node_name(&self) -> Option<String> {
        self.node
            .map(|node| String::from_utf8_lossy(node).into_owned())
    }

    /// Returns the name of its type, also if the log has a number for a known type.
    pub fn type_name(&self) -> Cow<'_, str> {
        match self.ty.name() {
            Some(name) => name.into(),
            None => String::from_utf8_lossy(self.name),
        }
    }
}

/// The result of [`parse`], without the line. It is stored apart from the line.
#[derive(Clone, Copy, Debug)]
pub struct Parts(Kept);

#[derive(Clone, Copy, Debug)]
enum Kept {
    /// Places in the line, which is shorter than 2^32 bytes.
    Record {
        ty: Type,
        stamp: Stamp,
        node: Option<(u32, u32)>,
        name: (u32, u32),
        body: (u32, u32),
        /// The begin and the length of the names that auditd adds.
        enrichment: (u32, u32),
    },
    Foreign,
    Loss(Loss),
    Broken(Broken),
}

impl Parts {
    /// Returns the parts of `parsed`, which is `line`.
    pub fn of(line: &[u8], parsed: &Parsed<'_>) -> Self {
        let place = |part: &[u8]| {
            let at = (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
            (at as u32, part.len() as u32)
        };
        Self(match parsed {
            Parsed::Record(head) => {
                let body = (head.body_at as u32, head.body.len() as u32);
                Kept::Record {
                    ty: head.ty,
                    stamp: head.stamp,
                    node: head.node.map(place),
                    name: (head.name_at as u32, head.name.len() as u32),
                    body,
                    enrichment: match head.enrichment.len() {
                        0 => (0, 0),
                        _ => place(head.enrichment),
                    },
                }
            }
            Parsed::Foreign => Kept::Foreign,
            Parsed::Loss(loss) => Kept::Loss(*loss),
            Parsed::Broken(broken) => Kept::Broken(*broken),
        })
    }

    /// Returns whether it is a record of namespaces.
    pub fn is_of_namespaces(&self) -> bool {
        let Kept::Record {
            ty: Type::Ours(ty), ..
        } = self.0
        else {
            return false;
        };
        !matches!(ty, RecordType::DmCtrl | RecordType::DmEvent)
    }

    /// Returns the result of [`parse`] for `line`, which is the same line. `spans` are its fields,
    /// if they are split.
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
                node: node.map(part),
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
            Kept::Loss(loss) => Parsed::Loss(loss),
            Kept::Broken(broken) => Parsed::Broken(broken),
        }
    }
}

/// Parses `line`, which has no newline.
pub fn parse(line: &[u8]) -> Parsed<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"type=") {
        return match record(line, None, 0) {
            Ok(head) => Parsed::Record(head),
            Err(broken) => Parsed::Broken(broken),
        };
    }
    other(line, begin(line))
}

/// Parses a line that does not begin with `type=`, from `begin` on.
fn other(line: &[u8], begin: usize) -> Parsed<'_> {
    let rest = &line[begin..];
    if rest.starts_with(b"type=") {
        return match record(line, None, begin) {
            Ok(head) => Parsed::Record(head),
            Err(broken) => Parsed::Broken(broken),
        };
    }
    if let Some(named) = rest.strip_prefix(b"node=") {
        return match node(line, named, begin) {
            Ok(head) => Parsed::Record(head),
            Err(broken) => Parsed::Broken(broken),
        };
    }
    // Another log around it: its own prefix comes first.
    for start in memmem::find_iter(rest, b"type=") {
        // A byte order mark stands before what RFC 5424 says is UTF-8.
        let before = rest[..start]
            .strip_suffix(b"\xef\xbb\xbf")
            .unwrap_or(&rest[..start]);
        if before.len() < start || matches!(before.last(), Some(b' ' | b'\t')) {
            let node = around(before);
            if let Ok(head) = record(line, node, begin + start) {
                return Parsed::Record(head);
            }
        }
    }
    if let Some(loss) = loss::of_message(rest) {
        return Parsed::Loss(loss);
    }
    if short::is_short(rest) {
        return Parsed::Broken(Broken {
            at: begin,
            expected: "a record with its serial number",
        });
    }
    match is_foreign(line) {
        true => Parsed::Foreign,
        false => Parsed::Broken(Broken {
            at: if begin < line.len() { begin } else { 0 },
            expected: "'type='",
        }),
    }
}

/// Returns the offset of the content of `line`, after a byte order mark and the NULs that a power
/// cut leaves.
fn begin(line: &[u8]) -> usize {
    match line.first() {
        Some(0 | 0xef) => {
            let rest = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            let nuls = rest.iter().position(|&byte| byte != 0);
            line.len() - rest.len() + nuls.unwrap_or(rest.len())
        }
        _ => 0,
    }
}

/// Parses the record of a line that names its node. `named` follows `node=`, which is at `at`.
fn node<'a>(line: &'a [u8], named: &'a [u8], at: usize) -> Result<Head<'a>, Broken> {
    let Some(space) = memchr(b' ', named) else {
        return Err(Broken {
            at: line.len(),
            expected: "a space and 'type='",
        });
    };
    let at = at + b"node=".len() + space + 1;
    match line[at..].starts_with(b"type=") {
        true => record(line, Some(&named[..space]), at),
        false => Err(Broken {
            at,
            expected: "'type='",
        }),
    }
}

/// Returns the host in the prefix of a line: its last word `node=`, else the host of a syslog,
/// which follows the time.
fn around(prefix: &[u8]) -> Option<&[u8]> {
    let mut words = prefix
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    if let Some(node) = words.clone().next_back()?.strip_prefix(b"node=") {
        return Some(node).filter(|node| !node.is_empty());
    }
    let (mut dated, mut timed) = (false, false);
    let host = words.find(|word| {
        let time = is_time(word);
        let of_time = time || is_year(word) || dated && is_zone(word);
        let after = timed && !of_time;
        timed |= time;
        dated |= is_date(word);
        after
    })?;
    // syslog-ng writes where it has the line from: `s_local@host`, `host/relay`.
    let host = host.rsplit(|&byte| byte == b'@').next()?;
    let host = host.split(|&byte| byte == b'/').next()?;
    let facility = memchr(b'.', host).is_some_and(|dot| SEVERITIES.contains(&&host[dot + 1..]));
    (is_host(host) && !facility && !NO_HOSTS.contains(&host)).then_some(host)
}

/// Returns whether `word` ends a time: `04:17:59.123`, `1795400000.123456`,
/// `2026-11-21T04:17:59+01:00`, `12.345678]`.
fn is_time(word: &[u8]) -> bool {
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    match word {
        [.., b']'] => true,
        [a, b, b':', c, d, b':', e, f, ..] => digits(&[*a, *b, *c, *d, *e, *f]),
        _ if word.get(10) == Some(&b'T') => is_date(&word[..10]),
        [seconds @ .., b'.', _, _, _, _, _, _] => seconds.len() >= 10 && digits(seconds),
        _ => false,
    }
}

/// Returns whether `word` is like `2026-11-21`.
fn is_date(word: &[u8]) -> bool {
    let as_date = |(at, b): (usize, &u8)| match at {
        4 | 7 => *b == b'-',
        _ => b.is_ascii_digit(),
    };
    word.len() == 10 && word.iter().enumerate().all(as_date)
}

/// Returns whether `word` is like `2026`, which some programs write after the time.
fn is_year(word: &[u8]) -> bool {
    word.len() == 4 && word.iter().all(u8::is_ascii_digit)
}

/// Returns whether `word` is like `UTC`, `CEST`, `+0100`.
fn is_zone(word: &[u8]) -> bool {
    let zone = |word: &[u8]| word.iter().all(u8::is_ascii_uppercase);
    match word {
        [b'+' | b'-', rest @ ..] => rest.iter().all(|b| b.is_ascii_digit() || *b == b':'),
        _ => matches!(word.len(), 3..=5) && zone(word),
    }
}

const SEVERITIES: [&[u8]; 11] = [
    b"emerg", b"alert", b"crit", b"err", b"error", b"warn", b"warning", b"notice", b"info",
    b"debug", b"panic",
];

/// Words in the place of a host: the streams of a container, and the priority of a message.
const NO_HOSTS: [&[u8]; 7] = [
    b"stdout", b"stderr", b"INFO", b"NOTICE", b"WARNING", b"ERROR", b"DEBUG",
];

/// Returns whether `word` may be the name or the address of a host, and neither the name of a
/// program nor a number.
fn is_host(word: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || b"._:-".contains(b);
    word.iter().all(letter)
        && word.first().is_some_and(u8::is_ascii_alphanumeric)
        && !word.ends_with(b":")
        && !word.iter().all(u8::is_ascii_digit)
}

/// Parses the record that begins with `type=` at `at`.
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
    // auditd 2 has no colon in some messages of its own.
    if name.starts_with(b"DAEMON_") && line[rest.at..].starts_with(b") ") {
        rest.at += 1;
    } else {
        rest.token(b"):", "'):'")?;
    }
    if line.get(rest.at) == Some(&b' ') {
        rest.at += 1;
    }
    let body_at = rest.at;
    let body = &line[body_at..];
    let ty = Type::of(name, body);
    let (body, enrichment) = match memchr2(0x1d, 0, body) {
        Some(end) if body[end] == 0x1d => (&body[..end], &body[end + 1..]),
        Some(end) => {
            // A power cut leaves NULs in a record that was being written. The next one follows
            // them.
            let next = begin(&body[end..]) + end;
            if body[next..].starts_with(b"type=") || body[next..].starts_with(b"node=") {
                if let Parsed::Record(head) = other(line, body_at + next) {
                    return Ok(head);
                }
            }
            enrichment::split(&body[..end])
        }
        // These have no number that auditd has a name for.
        None if matches!(ty, Type::Proctitle | Type::Cwd | Type::Execve | Type::Eoe) => {
            (body, &[][..])
        }
        None => enrichment::split(body),
    };
    Ok(Head {
        node,
        host: 0,
        name,
        ty,
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
    /// Returns the text before the next space, which is skipped. `None` if it is empty.
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

/// Returns whether a log may have this line between its records.
fn is_foreign(line: &[u8]) -> bool {
    let spaces_only = line.iter().all(|b| b.is_ascii_whitespace());
    // ausearch writes these around events.
    let ausearch = line == b"----" || line.starts_with(b"time->") || line == b"<no matches>";
    // <6> of klogd, the month of a syslog, the year of an ISO date.
    let stamped = match line {
        [b'<', b'0'..=b'9', ..] => true,
        [a, b, c, b' ', day @ (b' ' | b'0'..=b'9'), ..] => {
            *day != b'\0' && MONTHS.contains(&&[*a, *b, *c])
        }
        [a, b, c, d, b'-', ..] => [a, b, c, d].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    let stamped = stamped || is_stamped(line);
    // `journalctl` begins and divides its output so.
    let journal = line.starts_with(b"-- ");
    (spaces_only || ausearch || stamped || journal) && line.iter().all(|&b| b >= b' ' || b == b'\t')
}

/// Returns whether `line` begins with the time of a kernel's log or of a syslog, in any language.
fn is_stamped(line: &[u8]) -> bool {
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    // `[   12.3]`, `[Di Nov 24 06:00:01 2026]`, `[Nov24 06:00]`, `[  +0.000004]` of dmesg.
    if let Some(rest) = line.strip_prefix(b"[") {
        let end = memchr(b']', &rest[..rest.len().min(48)]);
        return end.is_some_and(|end| {
            rest[..end].iter().any(u8::is_ascii_digit)
                && !rest[..end].iter().any(|byte| b",;\"'{}=".contains(byte))
        });
    }
    // `6,339,5140900,-;` of /dev/kmsg, and ` SUBSYSTEM=acpi` after it.
    if let Some(end) = memchr(b';', &line[..line.len().min(64)]) {
        let mut parts = line[..end].split(|&byte| byte == b',');
        if parts.clone().count() >= 4 && parts.by_ref().take(3).all(digits) {
            return true;
        }
    }
    if let [b' ', b'A'..=b'Z', rest @ ..] = line {
        let letter = |b: &&u8| b.is_ascii_uppercase() || **b == b'_';
        let name = rest.iter().take_while(letter).count();
        return rest.get(name) == Some(&b'=');
    }
    let mut words = line
        .split(|&byte| byte == b' ' || byte == b'\t')
        .filter(|word| !word.is_empty())
        .take(6);
    words.any(|word| match word {
        [number @ .., b']'] => {
            let (seconds, rest) = number.split_at(memchr(b'.', number).unwrap_or(0));
            digits(seconds) && rest.len() > 1 && digits(&rest[1..])
        }
        _ => is_time(word),
    })
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_log::line::Line;
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
            "[   12.345678] host kernel: audit: type=1339 ",
            "Nov 21 04:17:59 host kern.notice kernel: [   12.3] audit: type=1339 ",
            "Nov 21 04:17:59 kernel: audit: type=1339 ",
            "<165>1 2026-11-21T04:17:59Z host audisp-syslog - - - type=DM_EVENT msg=",
            "Sat 2026-11-21 04:17:59 UTC host kernel: audit: type=1339 ",
            "Sat 2026-11-21 04:17:59 CEST host some.service kernel: audit: type=1339 ",
            "1630425112.123456 host kernel: audit: type=1339 ",
            "[   12.345678 <    0.1>] host kernel: audit: type=1339 ",
            "[Sat Nov 21 04:17:59 2026] audit: type=1339 ",
            "Nov 21 04:17:59 2026 host kernel: audit: type=1339 ",
            "<13>nov. 21 04:17:59 host type=DM_EVENT msg=",
            "2026-11-21T04:17:59.123456+01:00 host audispd type=DM_EVENT msg=",
            "Nov 21 04:17:59 s_local@host audispd: type=DM_EVENT msg=",
            "Nov 21 04:17:59 host/relay audispd: type=DM_EVENT msg=",
            "<165>1 2026-11-21T04:17:59Z host audispd 3 - [timeQuality tzKnown=\"1\"] \u{feff}type=DM_EVENT msg=",
            "2026-11-21T04:17:59+00:00\taudit.log\ttype=DM_EVENT msg=",
            "2026-11-21T04:17:59.123456789Z stdout F type=DM_EVENT msg=",
            "auditd-1  | type=DM_EVENT msg=",
            "\u{feff}type=DM_EVENT msg=",
            "\0\0\0\0type=DM_EVENT msg=",
            "type=PATH msg=audit(1.000:1): item=0 na\0\0\0\0type=DM_EVENT msg=",
        ] {
            for suffix in [
                "",
                "\r",
                "\x1dUID=\"root\"",
                "#035UID=\"root\"",
                " UID=\"root\"",
                "\0\0",
            ] {
                let line = format!("{prefix}audit(1630425112.119:194): {body}{suffix}");
                let head = head(&line);
                assert_eq!(head.ty, Type::Ours(RecordType::DmEvent), "{line}");
                assert_eq!(head.stamp, stamp, "{line}");
                assert_eq!(head.body, body.as_bytes(), "{line}");
                assert_eq!(&line[head.body_at..][..6], "module", "{line}");
                let host = match prefix {
                    _ if prefix.starts_with("node=") => Some(&b"a.example"[..]),
                    _ if [" host ", "@host", "host/"]
                        .iter()
                        .any(|part| prefix.contains(part)) =>
                    {
                        Some(&b"host"[..])
                    }
                    _ => None,
                };
                assert_eq!(head.node, host, "{line}");
            }
        }
    }

    #[test]
    fn lines_between_records_are_foreign() {
        for line in [
            "",
            "  ",
            "----",
            "time->Mon Jan 23 17:02:18 2012",
            "[    0.000000] Linux version 7.2.12",
            "Nov  1 04:17:59 host systemd[1]: Started type=simple",
            "-- Boot 0123 --",
            "[Tue Nov 24 05:59:00 2026] Linux version 7.2.12",
            "[Di Nov 24 05:59:00 2026] Linux version 7.2.12",
            "[Nov24 06:00] Linux version 7.2.12",
            "[  +0.000004] usb 1-1: new device",
            "kern  :info  : [    0.000000] Linux version 7.2.12",
            "6,339,5140900,-;NET: Registered protocol family 17",
            " SUBSYSTEM=acpi",
            "Tue 2026-11-24 06:00:00 UTC anvil systemd[1]: Started it.",
            "M\u{e4}r 24 06:00:01 anvil systemd[1]: Started it.",
            "1795500003.123456 anvil systemd[1]: Started it.",
            "24.11.2026 06:00:01 anvil systemd[1]: Started it.",
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Foreign, "{line}");
        }
    }

    #[test]
    fn a_broken_record_has_its_place() {
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
            ("[\"a\", 5]", 0, "'type='"),
            ("module=integrity op=ctr dev=253:1", 0, "'type='"),
        ] {
            assert_eq!(
                parse(line.as_bytes()),
                Parsed::Broken(Broken { at, expected }),
                "{line}"
            );
        }
    }

    #[test]
    fn a_node_within_a_syslog_line_counts_more_than_its_host() {
        let line = "Nov 21 04:17:59 loghost audisp-syslog[7]: node=a type=CWD msg=audit(1.002:3): cwd=\"/\"";
        assert_eq!(head(line).node, Some(&b"a"[..]));
        assert_eq!(head(line).stamp.serial, 3);
        let parsed = parse(line.as_bytes());
        let kept = Parts::of(line.as_bytes(), &parsed).parsed(line.as_bytes(), &[]);
        assert_eq!(kept, parsed);
    }

    #[test]
    fn a_message_of_auditd_2_is_a_record() {
        let line =
            "type=DAEMON_CONFIG msg=audit(1.477:34) config changed, auid=0 pid=1512 res=success";
        assert_eq!(
            head(line).body,
            b"config changed, auid=0 pid=1512 res=success"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(line: Vec<u8>) {
            let _ = parse(&line);
        }

        /// This parser agrees with that of the contract.
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
