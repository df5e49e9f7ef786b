// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where the fields of a record are: found once, also by another thread than the one that asks for them.

use dmns_audit_uapi::line::{Field, Place, Places, inner_place};

/// How many letters of a name are kept.
const LETTERS: usize = size_of::<u32>();

/// Where a field is in the text of its record, which is shorter than 2^32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first letters of its name.
    letters: u32,
    /// How long its name is, which stands before its value, and `=` between them. 0: there is none.
    name: u32,
    /// Where its value begins.
    value: u32,
    /// How long that is.
    length: u32,
}

impl Span {
    /// The field, of the record `body`.
    pub fn field<'a>(&self, body: &'a str) -> Field<'a> {
        Field {
            name: self.name(body),
            value: self.value(body),
        }
    }

    fn value<'a>(&self, body: &'a str) -> &'a str {
        let value = self.value as usize;
        &body[value..value + self.length as usize]
    }

    fn name<'a>(&self, body: &'a str) -> &'a str {
        match (self.value as usize, self.name as usize) {
            (_, 0) => "",
            (value, length) => &body[value - 1 - length..value - 1],
        }
    }
}

/// The value of the first field of `body` that is called `name`. `spans`: where its fields are.
#[inline]
pub fn value<'a>(body: &'a str, spans: &[Span], name: &str) -> Option<&'a str> {
    let (letters, length) = (letters(name.as_bytes()), name.len());
    let is_it = |span: &&Span| {
        let may = span.letters == letters && span.name as usize == length;
        may && (length <= LETTERS || span.name(body) == name)
    };
    spans.iter().find(is_it).map(|span| span.value(body))
}

/// The first letters of `name`, to compare them at once.
#[inline]
fn letters(name: &[u8]) -> u32 {
    match name.first_chunk() {
        Some(first) => u32::from_le_bytes(*first),
        None => name
            .iter()
            .rev()
            .fold(0, |all, letter| (all << 8) | u32::from(*letter)),
    }
}

/// Adds where the fields of the record `body` are: those before `msg='` first, then those inside it. A record of the
/// kernel has none inside.
pub fn add(body: &[u8], spans: &mut Vec<Span>) {
    let span = |Place { name, value }: Place| Span {
        letters: letters(&body[name.clone()]),
        name: name.len() as u32,
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
    use dmns_audit_uapi::line::{fields, inner, inner_fields};
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        let part = prop_oneof!["[ a=\"'é\u{0}]", "a{3,5}"];
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
            let told: Vec<_> = spans.iter().map(|span| span.field(&body)).collect();
            prop_assert_eq!(&told, &found);
            for name in ["", "a", "aa", " ", "=a", "aaaa", "aaaaa", "é"] {
                let first = found.iter().find(|field| field.name == name);
                prop_assert_eq!(value(&body, &spans, name), first.map(|field| field.value), "{}", name);
            }
        }
    }
}
