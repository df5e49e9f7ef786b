// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the places of the fields of a record, once, in any thread.

use dmns_audit_log::line::{Field, Place, Places, inner_place};

/// The place of a field in the text of its record, which is shorter than 2^32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    key: Key,
    /// The begin of its value. The name, if there is one, and `=` precede it.
    value: u32,
    /// The length of the value.
    length: u32,
}

/// The key of a name: its first letters, and its length above them. A name has at most 65,535 bytes
/// in a line of a log. Of a longer one, the last bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u64);

impl Key {
    /// The number of letters in a key.
    const LETTERS: usize = 6;

    #[inline(always)]
    const fn of(name: &[u8]) -> Self {
        let mut key = Self::with_length(name.len());
        let mut at = 0;
        while at < name.len() && at < Self::LETTERS {
            key |= (name[at] as u64) << (8 * at);
            at += 1;
        }
        Self(key)
    }

    /// Returns the key of the name that begins at `at` in `body` and has `length` letters.
    #[inline(always)]
    fn within(body: &[u8], at: usize, length: usize) -> Self {
        match body.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(eight) => {
                let letters = (1 << (8 * length.min(Self::LETTERS))) - 1;
                Self((u64::from_le_bytes(*eight) & letters) | Self::with_length(length))
            }
            None => Self::of(&body[at..at + length]),
        }
    }

    const fn with_length(length: usize) -> u64 {
        let most = u16::MAX as usize;
        let length = if length < most { length } else { most };
        (length as u64) << (8 * Self::LETTERS)
    }

    /// Returns whether the first letters are these.
    #[inline(always)]
    fn begins_with(self, letters: &[u8; 4]) -> bool {
        self.0 as u32 == u32::from_le_bytes(*letters)
    }

    /// Returns the length of the name.
    fn length(self) -> usize {
        (self.0 >> (8 * Self::LETTERS)) as usize
    }
}

impl Span {
    /// Returns the field in the record `body`.
    pub fn field<'a>(&self, body: &'a str) -> Field<'a> {
        Field {
            name: self.name(body),
            value: self.value(body),
        }
    }

    #[inline]
    fn value<'a>(&self, body: &'a str) -> &'a str {
        let value = self.value as usize;
        &body[value..value + self.length as usize]
    }

    fn name<'a>(&self, body: &'a str) -> &'a str {
        match (self.value as usize, self.key.length()) {
            (_, 0) => "",
            // Of a name that is longer than its key says, what is cut off may end inside a letter.
            (value, length) => body.get(value - 1 - length..value - 1).unwrap_or_default(),
        }
    }
}

/// Returns the value of the first field of `body` that is called `name`. `spans` are its fields.
#[inline(always)]
pub fn value<'a>(body: &'a str, spans: &[Span], name: &str) -> Option<&'a str> {
    // Of a name that the program has written down, the compiler knows it.
    let key = Key::of(name.as_bytes());
    find(
        body,
        spans,
        key,
        (name.len() > Key::LETTERS).then_some(name),
    )
}

/// Finds a value. `name` is set if the key has not all of its letters.
fn find<'a>(body: &'a str, spans: &[Span], key: Key, name: Option<&str>) -> Option<&'a str> {
    let is_it = |span: &&Span| span.key == key && name.is_none_or(|name| span.name(body) == name);
    Some(spans.iter().find(is_it)?.value(body))
}

/// Returns the value of the first field with the name `prefix`, which is ASCII, and then `rest`.
pub fn value_of<'a>(
    body: &'a str,
    spans: &[Span],
    prefix: &[u8; 4],
    rest: &str,
) -> Option<&'a str> {
    let is_it = |span: &&Span| {
        span.key.begins_with(prefix) && span.name(body).get(prefix.len()..) == Some(rest)
    };
    Some(spans.iter().find(is_it)?.value(body))
}

/// Adds the spans of the fields of the record `body`: those before `msg='` first, then those inside
/// it. A record of the kernel has none inside.
pub fn add(body: &[u8], spans: &mut Vec<Span>) {
    let span = |Place { name, value }: Place| Span {
        key: Key::within(body, name.start, name.len()),
        value: value.start as u32,
        length: value.len() as u32,
    };
    match inner_place(body) {
        Some(inner) => {
            let outer = &body[..inner.start - " msg='".len()];
            spans.extend(Places::outer(outer).map(span));
            spans.extend(Places::inner(body, inner).map(span));
        }
        None => spans.extend(Places::outer(body).map(span)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_log::line::{fields, inner, inner_fields};
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        let part = prop_oneof!["[ a=\"'é\u{0}]", "a{3,8}"];
        prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn fields_are_where_they_were_found(outer in text(), within in prop::option::of(text())) {
            let body = match &within {
                Some(within) => format!("{outer} msg='{within}'"),
                None => outer.clone(),
            };
            let mut spans = Vec::new();
            add(body.as_bytes(), &mut spans);
            let mut found = Vec::new();
            match inner(&body) {
                Some((from, inner)) => {
                    found.extend(fields(&body[..from - " msg='".len()]));
                    found.extend(inner_fields(inner));
                }
                None => found.extend(fields(&body)),
            }
            let split: Vec<_> = spans.iter().map(|span| span.field(&body)).collect();
            prop_assert_eq!(&split, &found);
            for name in ["", "a", "aa", "a\u{0}", " ", "=a", "aaaa", "aaaaa", "aaaaaa", "aaaaaaa", "é"] {
                let first = found.iter().find(|field| field.name == name);
                prop_assert_eq!(value(&body, &spans, name), first.map(|field| field.value), "{}", name);
            }
            for rest in ["", "a", "aa", "aaaa", "é"] {
                let first = found.iter().find(|field| field.name.strip_prefix("aaaa") == Some(rest));
                prop_assert_eq!(value_of(&body, &spans, b"aaaa", rest), first.map(|field| field.value), "{}", rest);
            }
        }
    }

    #[test]
    fn a_name_that_is_too_long_breaks_nothing() {
        let body = format!("{}=1 res=0", "é".repeat(40_000));
        let mut spans = Vec::new();
        add(body.as_bytes(), &mut spans);
        assert_eq!(spans[0].field(&body).value, "1");
        assert_eq!(value(&body, &spans, &body[..80_000]), None);
        assert_eq!(value(&body, &spans, "res"), Some("0"));
    }
}
