// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the names that auditd adds to numbers (`log_format = ENRICHED`).
//!
//! auditd writes the byte 0x1d before them. A program that forwards a record may replace or drop
//! it: rsyslog writes `#035`, `cat -v` writes `^]`, audisp-syslog writes a space.

use memchr::memrchr;

/// The names, which libaudit's `auditd-event.c` makes of the names of fields in upper case. A
/// longer name is before its suffix.
const NAMES: [&[u8]; 20] = [
    b"INODE_UID",
    b"INODE_GID",
    b"OBJ_UID",
    b"OBJ_GID",
    b"OLD-AUID",
    b"SAUID",
    b"IAUID",
    b"OAUID",
    b"FSUID",
    b"FSGID",
    b"EUID",
    b"EGID",
    b"SUID",
    b"SGID",
    b"OUID",
    b"OGID",
    b"AUID",
    b"UID",
    b"GID",
    b"ID",
];

/// The names with a value without quotes.
const PLAIN: [&[u8]; 3] = [b"SYSCALL", b"ARCH", b"SADDR"];

/// The replacements of the byte 0x1d.
const SEPARATORS: [&[u8]; 12] = [
    b"#035",
    b"^]",
    b"\\035",
    b"\\x1d",
    b"\\x1D",
    b"\\u001d",
    b"\\u001D",
    b"<1d>",
    b"<1D>",
    b"<GS>",
    "\u{241d}".as_bytes(),
    "\u{fffd}".as_bytes(),
];

/// Splits a record without the byte 0x1d from the names after it.
#[inline]
pub fn split(body: &[u8]) -> (&[u8], &[u8]) {
    // Nearly all records end otherwise, which their last bytes show.
    match body {
        [.., b'1' | b'0' | b'\'', b'\n' | b' '] | [.., b')' | b'\''] => (body, &[]),
        [.., b'=', b'0'..=b'9'] => (body, &[]),
        _ if last(body.trim_ascii_end()).is_none() => (body, &[]),
        _ => by_name(body),
    }
}

fn by_name(body: &[u8]) -> (&[u8], &[u8]) {
    let whole = body.trim_ascii_end();
    let (mut end, mut found) = (whole.len(), None);
    while let Some(from) = last(&whole[..end]) {
        let before = whole[..from].trim_ascii_end();
        let separator = SEPARATORS.iter().find(|text| before.ends_with(text));
        // Only a space stands between two names.
        let record = match separator {
            Some(text) => before.len() - text.len(),
            None if before.len() == from => end_of_value(before),
            None => before.len(),
        };
        found = Some((whole[..record].trim_ascii_end(), &whole[from..]));
        if separator.is_some() || before.len() == from {
            break;
        }
        end = before.len();
    }
    found.unwrap_or((body, &[]))
}

/// Returns the end of the last value of `record`, which has a foreign text after it. A value that
/// may have any text ends with the record.
fn end_of_value(record: &[u8]) -> usize {
    let word = memrchr(b' ', record).map_or(0, |at| at + 1);
    let part = &record[word..];
    let quote = part.iter().rposition(|b| matches!(b, b'\'' | b'"' | b')'));
    let number = || {
        let value = memchr::memchr(b'=', part)? + 1;
        let odd = |b: &u8| !b.is_ascii_alphanumeric() && !b".:-,/".contains(b);
        let length = part[value..]
            .iter()
            .position(odd)
            .unwrap_or(part.len() - value);
        let last = part[value..value + length]
            .iter()
            .rposition(u8::is_ascii_alphanumeric)?;
        part[value].is_ascii_digit().then_some(value + last)
    };
    let last = quote.or_else(number);
    last.map_or(record.len(), |at| word + at + 1)
}

/// The maximum length of a value without quotes.
const LONGEST: usize = 48;

/// Returns the begin of the last word of `text`, if it is a name and its value.
#[inline]
fn last(text: &[u8]) -> Option<usize> {
    let (value, names): (usize, &[&[u8]]) = match text.last()? {
        b'"' => {
            let value = memrchr(b'"', &text[..text.len() - 1])?;
            // Each of these names ends so.
            if !text[..value].ends_with(b"D=") {
                return None;
            }
            (value, &NAMES)
        }
        b'}' => (memrchr(b'{', text)?, &PLAIN),
        last if last.is_ascii_alphanumeric() || *last == b'_' => {
            let from = text.len().saturating_sub(LONGEST);
            let equals = memrchr(b'=', &text[from..])?;
            (from + equals + 1, &PLAIN)
        }
        _ => return None,
    };
    let name = text[..value].strip_suffix(b"=")?;
    if !name.last()?.is_ascii_uppercase() {
        return None;
    }
    let known = names.iter().find(|known| name.ends_with(known))?;
    Some(name.len() - known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_behind_each_separator() {
        for record in [
            "dev=253:2 error_msg='success' res=1",
            "key=(null)",
            "key=\"UID\"",
            "pid=1 msg='op=start vm=\"a\" res=success'",
            "exe=\"/usr/bin/a\"",
        ] {
            for separator in [
                "#035", "^]", " ", "  ", "", "\\x1d", "\u{241d}", " #035", "^] ", "\\u001D", "?",
                "_", "|", "%1D", "#x1d", "&#29;", "\\x{1d}", "\u{b7}", "\\35", "[GS]", "\u{85}",
                ".",
            ] {
                for names in [
                    "AUID=\"ada\"",
                    "AUID=\"ada\" UID=\"root\"",
                    "ARCH=x86_64 SYSCALL=openat2 AUID=\"unset\" UID=\"a b\" FSGID=\"root\"",
                    "UID=\"root\" ARCH=aarch64 SYSCALL=unshare",
                    "SADDR={ saddr_fam=netlink nlnk-fam=16 nlnk-pid=0 }",
                ] {
                    let line = format!("{record}{separator}{names}");
                    let (body, found) = split(line.as_bytes());
                    assert_eq!(String::from_utf8_lossy(body), record, "{line}");
                    assert_eq!(String::from_utf8_lossy(found), names, "{line}");
                }
            }
        }
    }

    #[test]
    fn a_record_without_names_stays_whole() {
        for record in [
            "",
            "res=1",
            "res=1 ",
            "key=\"x\"",
            "key=\"AUID=\"",
            "sector=4096 res=0 host=store1",
            "sector=4096 res=0 host=\"store1\"",
            "cwd=\"/UID\"",
            "nametype=NORMAL",
            "\"",
            "=\"\"",
            "}",
        ] {
            assert_eq!(
                split(record.as_bytes()),
                (record.as_bytes(), &[][..]),
                "{record}"
            );
        }
    }
}
