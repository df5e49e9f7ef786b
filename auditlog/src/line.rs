// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Parses a line of an audit log, without a copy.
//!
//! ```text
//! node=host type=DM_EVENT msg=audit(1630425112.119:194): module=integrity op=... res=0<0x1d>ENRICHED=...
//! ```

use crate::masks::{WIDTH, block, mask};
use core::ops::Range;
use memchr::{memchr_iter, memrchr};

/// Separates the record from the names that auditd adds to it (`log_format = ENRICHED`).
const ENRICHMENT: char = '\x1d';

/// The identity of an event: records with equal stamps are of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// Seconds since 1970.
    pub seconds: u64,
    /// Thousandths of a second.
    pub millis: u16,
    /// The serial number, unique since boot.
    pub serial: u64,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// `node=`, where auditd is configured to write it.
    pub node: Option<&'a str>,
    /// The type as it is written: a name, or `UNKNOWN[1385]`.
    pub ty: &'a str,
    /// The time and the event.
    pub stamp: Stamp,
    /// The fields as the kernel wrote them.
    pub body: &'a str,
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The text before `=`; empty for a word without one.
    pub name: &'a str,
    /// The text after it, with its quotes, if any.
    pub value: &'a str,
}

impl<'a> Line<'a> {
    /// Parses `line`. `None` if it is no audit record.
    pub fn parse(line: &'a str) -> Option<Self> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (node, rest) = match line.strip_prefix("node=") {
            Some(rest) => {
                let (node, rest) = rest.split_once(' ')?;
                (Some(node), rest)
            }
            None => (None, line),
        };
        let (ty, rest) = rest.strip_prefix("type=")?.split_once(' ')?;
        let (stamp, rest) = rest.strip_prefix("msg=audit(")?.split_once("):")?;
        let (time, serial) = stamp.split_once(':')?;
        let (seconds, millis) = time.split_once('.')?;
        let body = rest.split(ENRICHMENT).next()?;
        Some(Self {
            node,
            ty,
            stamp: Stamp {
                seconds: seconds.parse().ok()?,
                millis: millis.parse().ok()?,
                serial: serial.parse().ok()?,
            },
            body: body.trim(),
        })
    }

    /// Returns the fields, in order.
    pub fn fields(&self) -> Fields<'a> {
        fields(self.body)
    }

    /// Returns the value of the first field called `name` in `msg='...'`, which records from user
    /// space have.
    pub fn inner_field(&self, name: &str) -> Option<&'a str> {
        let (_, text) = inner(self.body)?;
        inner_fields(text).find(|f| f.name == name).map(|f| f.value)
    }

    /// Returns the value of the first field called `name`, with its quotes, if any.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        field(self.body, name)
    }
}

/// Returns the value of the first of the [`fields`] of `body` that is called `name`. It is faster
/// than [`fields`] for a caller that needs few of many.
pub fn field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    fields(body).find(|f| f.name == name).map(|f| f.value)
}

/// Returns the text in `msg='...'` of a record from user space, and its offset in `body`. A single
/// quote is a letter there, so the last one ends it.
pub fn inner(body: &str) -> Option<(usize, &str)> {
    let place = inner_place(body.as_bytes())?;
    Some((place.start, &body[place]))
}

/// Returns the range of that text in `body`.
pub fn inner_place(body: &[u8]) -> Option<Range<usize>> {
    let begins = |quote: &usize| body[..*quote].ends_with(b" msg=");
    let from = memchr_iter(b'\'', body).find(begins)? + 1;
    let end = memrchr(b'\'', &body[from..]).map_or(body.len(), |length| from + length);
    Some(from..end)
}

/// Returns the fields of `body`, in order. A value in double or single quotes ends at the next
/// quote of its kind.
pub fn fields(body: &str) -> Fields<'_> {
    Fields {
        text: body,
        places: Places::outer(body.as_bytes()),
    }
}

/// Returns the fields of `text`, the content of `msg='...'` of a record from user space. A single
/// quote is a letter there: a guest may be called it's.
pub fn inner_fields(text: &str) -> Fields<'_> {
    Fields {
        text,
        places: Places::inner(text.as_bytes(), 0..text.len()),
    }
}

/// Iterates over fields. See [`fields`] and [`inner_fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    text: &'a str,
    places: Places<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let Place { name, value } = self.places.next()?;
        Some(Field {
            name: &self.text[name],
            value: &self.text[value],
        })
    }
}

/// The range of a field in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text before `=`; empty for a word without one.
    pub name: Range<usize>,
    /// The text after it, with its quotes, if any.
    pub value: Range<usize>,
}

/// Iterates over the places of fields.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    text: &'a [u8],
    at: usize,
    /// A single quote encloses a value too.
    single: bool,
    signs: Signs,
}

impl<'a> Places<'a> {
    /// Returns the places of the [`fields`] of `text`.
    pub fn outer(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            single: true,
            signs: Signs::of(text, 0),
        }
    }

    /// Returns the places of the [`inner_fields`] in that part of `text`.
    pub fn inner(text: &'a [u8], part: Range<usize>) -> Self {
        let text = &text[..part.end];
        Self {
            text,
            at: part.start,
            single: false,
            signs: Signs::of(text, part.start),
        }
    }
}

impl Places<'_> {
    /// Returns the next field if it begins at once, has a name, and ends within the part that
    /// `signs` cover.
    #[inline(always)]
    fn near(&mut self) -> Option<Place> {
        let signs = &self.signs;
        let from = self.at.wrapping_sub(signs.from);
        let ends = (signs.equals | signs.spaces).checked_shr(from.try_into().ok()?)?;
        let value = from + ends.trailing_zeros() as usize + 1;
        if value >= WIDTH || (signs.equals >> (value - 1)) & 1 == 0 {
            return None;
        }
        let end = match *self.text.get(signs.from + value)? {
            b'"' => {
                let quotes = (signs.quotes >> value) & !1;
                value + quotes.trailing_zeros() as usize + 1
            }
            b'\'' if self.single => return None,
            _ => value + (signs.spaces >> value).trailing_zeros() as usize,
        };
        // Where there is none, what is counted are zeroes up to the end and beyond it.
        if end >= WIDTH {
            return None;
        }
        let name = self.at..signs.from + value - 1;
        let value = signs.from + value..signs.from + end;
        self.at = value.end;
        Some(Place { name, value })
    }

    /// Returns the next field, without a bound on its length.
    fn far(&mut self) -> Place {
        let (text, from) = (self.text, self.at);
        let end = self
            .signs
            .next(text, from, |signs| signs.equals | signs.spaces);
        let (name, from) = match text.get(end) {
            Some(b'=') => (from..end, end + 1),
            _ => (from..from, from),
        };
        let quoted = match text.get(from) {
            Some(b'"') => Some(self.signs.next(text, from + 1, |signs| signs.quotes)),
            Some(b'\'') if self.single => apostrophe(text, from + 1),
            _ => None,
        };
        let quoted = quoted.filter(|end| *end < text.len());
        self.at = match quoted {
            Some(end) => end + 1,
            None => self.signs.next(text, from, |signs| signs.spaces),
        };
        let value = from..self.at;
        Place { name, value }
    }
}

/// Returns the apostrophe that ends a value which begins at `from`.
///
/// The kernel does not escape one within, as in `error_msg='Tag size doesn't match the information in
/// superblock'`. The one at the end has a space or nothing behind it. If there is none, it is the first.
fn apostrophe(text: &[u8], from: usize) -> Option<usize> {
    let mut all = memchr_iter(b'\'', text.get(from..)?).map(move |length| from + length);
    let ends = |at: &usize| matches!(text.get(at + 1), None | Some(b' '));
    all.clone().find(ends).or_else(|| all.next())
}

impl Iterator for Places<'_> {
    type Item = Place;

    #[inline(always)]
    fn next(&mut self) -> Option<Place> {
        while *self.text.get(self.at)? == b' ' {
            self.at += 1;
        }
        self.near().or_else(|| {
            self.signs = Signs::of(self.text, self.at);
            Some(self.near().unwrap_or_else(|| self.far()))
        })
    }
}

/// The bytes in a part of a text that end names and values: a bit for each byte, the lowest for the
/// first.
#[derive(Clone, Copy, Debug)]
struct Signs {
    from: usize,
    equals: u64,
    spaces: u64,
    quotes: u64,
}

impl Signs {
    /// Scans `text` from offset `from`. Bytes after its end count as spaces.
    #[inline(always)]
    fn of(text: &[u8], from: usize) -> Self {
        let mut last = [b' '; WIDTH];
        let block = block(text.get(from..).unwrap_or_default(), &mut last);
        Self {
            from,
            equals: mask(block, b'='),
            spaces: mask(block, b' '),
            quotes: mask(block, b'"'),
        }
    }

    /// Returns the offset of the first byte of `text`, from `at` on, that `which` marks. Returns
    /// the end of the text if there is none.
    #[inline(always)]
    fn next(&mut self, text: &[u8], mut at: usize, which: impl Fn(&Self) -> u64) -> usize {
        while at < text.len() {
            let known = at.wrapping_sub(self.from);
            let found = match known < WIDTH {
                true => which(self) >> known,
                false => 0,
            };
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
            at = if known < WIDTH { self.from + WIDTH } else { at };
            *self = Self::of(text, at);
        }
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_uapi::types::RecordType;
    extern crate std;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn pairs(body: &str) -> Vec<(&str, &str)> {
        fields(body).map(|f| (f.name, f.value)).collect()
    }

    fn slowly(mut rest: &str, single: bool) -> Vec<(&str, &str)> {
        let mut all = Vec::new();
        loop {
            rest = rest.trim_start_matches(' ');
            if rest.is_empty() {
                return all;
            }
            let (name, from) = match rest.find(['=', ' ']) {
                Some(at) if rest[at..].starts_with('=') => (&rest[..at], at + 1),
                _ => ("", 0),
            };
            let quote = rest[from..].chars().next();
            let quote = quote.filter(|&c| c == '"' || (single && c == '\''));
            let quoted = quote.and_then(|quote| {
                let text = &rest[from + 1..];
                let mut ends = text.match_indices(quote);
                let last = ends.clone().find(|(at, _)| {
                    quote == '"' || matches!(text[at + 1..].chars().next(), None | Some(' '))
                });
                last.or_else(|| ends.next()).map(|(at, _)| at)
            });
            let word = rest[from..]
                .find(' ')
                .map_or(rest.len(), |length| from + length);
            let end = quoted.map_or(word, |length| from + length + 2);
            all.push((name, &rest[from..end]));
            rest = &rest[end..];
        }
    }

    #[test]
    fn an_apostrophe_within_a_value_does_not_end_it() {
        let line = "type=DM_CTRL msg=audit(1.002:3): module=integrity dev=253:2 \
                    error_msg='Tag size doesn't match the information in superblock' res=0";
        let line = Line::parse(line).expect("a record");
        let error = "'Tag size doesn't match the information in superblock'";
        assert_eq!(line.field("error_msg"), Some(error));
        assert_eq!(line.field("res"), Some("0"));
    }

    #[test]
    fn a_line_in_each_of_its_forms() {
        let plain =
            "type=DM_EVENT msg=audit(1630425112.119:194): module=integrity sector=77480 res=0";
        let line = Line::parse(plain).expect("a record");
        assert_eq!(line.record_type(), Some(RecordType::DmEvent));
        assert_eq!(
            line.stamp,
            Stamp {
                seconds: 1630425112,
                millis: 119,
                serial: 194
            }
        );
        assert_eq!(line.field("sector"), Some("77480"));
        assert_eq!(line.field("dev"), None);

        let dressed =
            "node=a.example type=UNKNOWN[1385] msg=audit(1.002:3): pid=1 res=1\x1dUID=\"root\"\n";
        let line = Line::parse(dressed).expect("a record");
        assert_eq!(line.node, Some("a.example"));
        assert_eq!(line.record_type(), RecordType::from_number(1385));
        assert_eq!(line.body, "pid=1 res=1");
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in [
            "",
            "type=",
            "type=DM_EVENT",
            "type=DM_EVENT msg=audit(1.2): x=1",
            "type=DM_EVENT msg=audit(a.b:c): x=1",
            "node=only",
            "audit: type=1339",
        ] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }

    #[test]
    fn quotes_hold_spaces_and_a_broken_quote_ends_at_the_space() {
        assert_eq!(
            pairs(r#"comm="a b" error_msg='Device lookup failed' subj==unconfined tail"#),
            [
                ("comm", "\"a b\""),
                ("error_msg", "'Device lookup failed'"),
                ("subj", "=unconfined"),
                ("", "tail")
            ]
        );
        assert_eq!(pairs("a=\"b c=1"), [("a", "\"b"), ("c", "1")]);
        assert_eq!(pairs("a= b=\""), [("a", ""), ("b", "\"")]);
        let inner: Vec<_> = inner_fields("vm=\"it's\" x='a b'")
            .map(|f| f.value)
            .collect();
        assert_eq!(inner, ["\"it's\"", "'a", "b'"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_a_panic(text: std::string::String) {
            let _ = Line::parse(&text).map(|line| line.fields().count());
            let _ = inner_fields(&text).count();
        }

        #[test]
        fn fields_are_those_that_a_search_from_letter_to_letter_finds(text in "[ a=\"'é]{0,200}|([a-z-]{1,9}=[a-z\"0-9:']{0,20} ?){0,20}") {
            prop_assert_eq!(pairs(&text), slowly(&text, true));
            let inner: Vec<_> = inner_fields(&text).map(|f| (f.name, f.value)).collect();
            prop_assert_eq!(inner, slowly(&text, false));
        }

        /// The fields and the spaces between them are the text, with any quotes.
        #[test]
        fn fields_joined_are_the_text(text in "[ a=\"'é]{0,40}") {
            for found in [fields(&text), inner_fields(&text)] {
                let mut rest = text.as_str();
                for field in found {
                    rest = rest.trim_start_matches(' ');
                    if !field.name.is_empty() || rest.starts_with('=') {
                        rest = rest.strip_prefix(field.name).and_then(|r| r.strip_prefix('=')).expect("its name");
                    }
                    rest = rest.strip_prefix(field.value).expect("its value");
                }
                prop_assert_eq!(rest.trim_start_matches(' '), "");
            }
        }
    }
}
