// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The two forms of records of namespaces.
//!
//! The module has a type for each kind of namespace. The kernel patches (`docs/upstream`) have the
//! same, and offer three types: NS_INIT, NS_DEL and NS_INFO. The first two name the kind in
//! `nstype=`, before `res=`. All else is equal, so a record has the same [`RecordType`] in both.

use crate::line::{Line, Places};
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;

/// The field that names the kind.
pub const NSTYPE: &str = "nstype";

/// The form of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The type has the kind: `NS_INIT_UTS`.
    TypePerKind,
    /// The field `nstype=` has the kind: `NS_INIT`.
    Offered(&'static Offered),
}

/// A type of record that has the kind of namespace in a field.
#[derive(Debug)]
pub struct Offered {
    /// The number. The maintainers of audit assign another one if they take this form.
    pub number: u16,
    /// The name.
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
    /// Returns what a record about this kind is.
    pub of: fn(Kind) -> RecordType,
}

impl PartialEq for Offered {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Offered {}

/// The types with `nstype=`. NS_INFO is the same in both forms.
pub static OFFERED: [Offered; 2] = [
    Offered {
        number: 1397,
        name: "NS_INIT",
        meaning: "a namespace of the kind nstype= was created",
        of: RecordType::NsInit,
    },
    Offered {
        number: 1398,
        name: "NS_DEL",
        meaning: "a namespace of the kind nstype= was deleted",
        of: RecordType::NsDel,
    },
];

impl Form {
    /// Returns the form of a record with the type `name`, as a log writes it: `NS_INIT`,
    /// `UNKNOWN[1397]` or `1397`.
    pub fn of(name: &[u8]) -> Self {
        offered(name).map_or(Self::TypePerKind, Self::Offered)
    }
}

/// Returns the type with `nstype=` that a log writes as `name`.
pub fn offered(name: &[u8]) -> Option<&'static Offered> {
    let number = name
        .strip_prefix(b"UNKNOWN[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .unwrap_or(name);
    let number = core::str::from_utf8(number).ok()?.parse().ok();
    OFFERED
        .iter()
        .find(|ty| number == Some(ty.number) || ty.name.as_bytes() == name)
}

/// Returns the type of a record that a log calls `name`, with the fields `body`.
pub fn record_type(name: &str, body: &str) -> Option<RecordType> {
    match offered(name.as_bytes()) {
        Some(ty) => ty.record_type(body.as_bytes()),
        None => RecordType::from_name(name),
    }
}

impl Line<'_> {
    /// Returns the type, if it is one of ours, in either form.
    pub fn record_type(&self) -> Option<RecordType> {
        record_type(self.ty, self.body)
    }
}

impl Offered {
    /// Returns what a record of this type with the fields `body` is; `None` without a known kind.
    pub fn record_type(&self, body: &[u8]) -> Option<RecordType> {
        let mut fields = Places::outer(body);
        let nstype = fields.find(|field| &body[field.name.clone()] == NSTYPE.as_bytes())?;
        kind(&body[nstype.value]).map(self.of)
    }
}

/// Returns the kind of namespace with this name.
pub fn kind(name: &[u8]) -> Option<Kind> {
    let mut kinds = Kind::ALL.into_iter();
    kinds.find(|kind| kind.name().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::format;

    #[test]
    fn both_forms_are_the_same_records() {
        for at in Kind::ALL {
            for ty in &OFFERED {
                let body = format!("pid=1 nstype={} res=1", at.name());
                let number = format!("UNKNOWN[{}]", ty.number);
                let expected = Some((ty.of)(at));
                for name in [ty.name, &number, &number[8..12]] {
                    assert_eq!(record_type(name, &body), expected, "{name}");
                    assert_eq!(Form::of(name.as_bytes()), Form::Offered(ty), "{name}");
                }
                let per_kind = (ty.of)(at).name();
                assert_eq!(record_type(per_kind, "pid=1 res=1"), expected);
                assert_eq!(Form::of(per_kind.as_bytes()), Form::TypePerKind);
            }
        }
    }

    #[test]
    fn a_record_without_a_known_kind_is_none() {
        for body in ["", "pid=1 res=1", "nstype=", "nstype=disk", "nstype=UTS"] {
            assert_eq!(record_type("NS_INIT", body), None, "{body}");
        }
        assert_eq!(record_type("NS_INITIAL", "nstype=uts"), None);
    }

    /// No other type has these numbers and names.
    #[test]
    fn the_types_are_distinct() {
        for ty in &OFFERED {
            assert_eq!(RecordType::from_number(ty.number), None, "{}", ty.name);
            assert_eq!(RecordType::from_name(ty.name), None);
        }
    }
}
