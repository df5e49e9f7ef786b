// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Decodes fields and their values.
//!
//! The kernel's records are `name=value`. Records from user space, such as libvirt's, have their
//! own fields one level below: `pid=1 ... msg='op=start vm="x" ... res=success'`.

use super::head::Head;
use super::spans::{self, Span};
use dmns_audit_log::line::{Field, fields};
use std::borrow::Cow;

/// Returns the body of a record as text. Invalid UTF-8 is replaced.
pub fn text(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}

/// The fields of a record. A record from user space has those before `msg='`, and those inside it.
/// They are split once, and looked up often.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    body: Cow<'a, str>,
    spans: Cow<'a, [Span]>,
}

impl<'a> Fields<'a> {
    /// Returns the fields of the record `head`.
    pub fn of(head: &Head<'a>) -> Self {
        match (text(head.body), head.spans) {
            // If the text had invalid UTF-8, its fields are at other offsets.
            (body @ Cow::Owned(_), _) | (body, []) => Self::split(body),
            (body, spans) => Self {
                body,
                spans: Cow::Borrowed(spans),
            },
        }
    }

    /// Splits `body`.
    pub fn new(body: &'a str) -> Self {
        Self::split(Cow::Borrowed(body))
    }

    fn split(body: Cow<'a, str>) -> Self {
        let mut all = Vec::with_capacity(24);
        spans::add(body.as_bytes(), &mut all);
        let spans = Cow::Owned(all);
        Self { body, spans }
    }

    /// Returns the record as it is written.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns the fields, those before `msg='` first.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.spans.iter().map(|span| span.field(&self.body))
    }

    /// Returns the value of the first field called `name`, as it is written.
    #[inline]
    pub fn raw(&self, name: &str) -> Option<&str> {
        spans::value(&self.body, &self.spans, name)
    }

    /// Returns the value of the first field with the name `prefix` and then `rest`: `old-disk`.
    #[inline]
    pub fn raw_of(&self, prefix: &[u8; 4], rest: &str) -> Option<&str> {
        spans::value_of(&self.body, &self.spans, prefix, rest)
    }

    /// Returns the value of the first field called `name`, decoded.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.raw(name).map(decoded)
    }
}

/// Returns whether `byte` is printable ASCII.
pub const fn is_letter(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Returns whether all of `text` is printable ASCII.
pub fn is_printable(text: &[u8]) -> bool {
    match (text.first_chunk(), text.last_chunk()) {
        // Most words have a few letters.
        (Some(first), Some(last)) if text.len() <= 16 => {
            !has_other(u64::from_le_bytes(*first)) && !has_other(u64::from_le_bytes(*last))
        }
        // It examines all bytes, which is faster than a search for the first.
        _ => text.iter().fold(true, |all, &byte| all & is_letter(byte)),
    }
}

/// Returns whether one of eight bytes is no printable ASCII.
const fn has_other(eight: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // The highest bit of a byte is set if it is 128 or more, below 32, or 127. The subtraction and
    // the addition carry into the next byte only from such a byte.
    (eight | eight.wrapping_sub(ONES * 32) | eight.wrapping_add(ONES)) & (ONES << 7) != 0
}

/// Returns the text that `value` stands for: without quotes, or from hexadecimal.
///
/// For fields that may be encoded (comm, exe, vm, paths). It must not be called for a number, which
/// reads as hex too: only the field's name distinguishes the two.
pub fn decoded(value: &str) -> Cow<'_, str> {
    if let Some(text) = value.strip_prefix('"') {
        return Cow::Borrowed(text.strip_suffix('"').unwrap_or(text));
    }
    let hex = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    if value.is_empty() || value.len() % 2 != 0 {
        return Cow::Borrowed(value);
    }
    let bytes: Option<Vec<u8>> = value
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((hex(pair[0])? << 4) | hex(pair[1])?))
        .collect();
    match bytes {
        // Control characters would reach the terminal.
        Some(bytes) => String::from_utf8_lossy(&bytes)
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
        None => Cow::Borrowed(value),
    }
}

/// Returns auditd's name for the field `name`: `uid` of `UID="root" AUID="unset"` is `root`.
pub fn enriched<'a>(enrichment: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(enrichment).ok()?;
    fields(text)
        .find(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value.trim_matches('"'))
        .filter(|value| !value.is_empty())
}

/// Returns `line` with one character for each byte, so that columns stay the same.
pub fn printable(line: &[u8]) -> String {
    let letter = |&byte: &u8| if is_letter(byte) { byte } else { b'?' };
    let letters = line.iter().map(letter);
    String::from_utf8(letters.collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_uapi::text::untrusted;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_the_kernel_encodes_is_decoded(value in "[^\\p{Cc}]{1,30}") {
            let mut out = Vec::new();
            untrusted(&mut out, value.as_bytes());
            let encoded = String::from_utf8(out).expect("ASCII");
            prop_assert_eq!(decoded(&encoded), value);
        }

        #[test]
        fn printable_is_what_each_byte_is(mut text in prop::collection::vec(b' '..=b'~', 0..40), other: u8, at: usize) {
            if let Some(byte) = (!text.is_empty()).then_some(at % text.len().max(1)) {
                text[byte] = other;
            }
            prop_assert_eq!(is_printable(&text), text.iter().all(|byte| is_letter(*byte)));
        }

        #[test]
        fn any_text_is_taken_without_a_panic(body: String, names: Vec<u8>) {
            let _ = Fields::new(&body).raw("x");
            let _ = decoded(&body);
            let _ = enriched(&names, "uid");
        }
    }

    #[test]
    fn a_record_of_libvirt_is_taken_apart() {
        let body = "pid=2433 uid=0 auid=4294967295 ses=4294967295 subj=s:r:t:s0 msg='virt=kvm op=start \
                    reason=booted vm=\"it's\" uuid=7bcae45c vm-pid=12 exe=\"/usr/sbin/libvirtd\" hostname=? \
                    addr=? terminal=? res=success'";
        let record = Fields::new(body);
        for (name, value) in [
            ("uid", "0"),
            ("op", "start"),
            ("vm-pid", "12"),
            ("res", "success"),
        ] {
            assert_eq!(record.raw(name), Some(value), "{name}");
        }
        assert_eq!(record.text("vm").as_deref(), Some("it's"));
        assert_eq!(record.raw("msg"), None);
        let kernel = Fields::new("comm=\"a b\" error_msg='no such device' res=1");
        assert_eq!(kernel.raw("error_msg"), Some("'no such device'"));
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(decoded("\"cut"), "cut");
        assert_eq!(decoded("612062"), "a b");
        assert_eq!(decoded("61206"), "61206");
        assert_eq!(decoded("/dev/loop0"), "/dev/loop0");
        assert_eq!(decoded("1B5B33316D"), "\u{fffd}[31m");
        assert_eq!(
            enriched(b"UID=\"root\" AUID=\"unset\"", "auid"),
            Some("unset")
        );
        assert_eq!(enriched(b"UID=\"root\"", "gid"), None);
    }
}
