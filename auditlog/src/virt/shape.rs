// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The parts of record shapes: common fields, and the frame around them.

use super::VirtType;
use crate::contract::{Field, Name, Syntax};

pub(super) const fn field(name: &'static str, syntax: Syntax) -> Field {
    Field {
        name: Name::Fixed(name),
        syntax,
        optional: false,
    }
}

pub(super) const fn optional(name: &'static str, syntax: Syntax) -> Field {
    Field {
        optional: true,
        ..field(name, syntax)
    }
}

pub(super) const REASON: Field = field("reason", Syntax::Word);
pub(super) const OP: Field = field("op", Syntax::Word);
pub(super) const RESRC: Field = field("resrc", Syntax::Word);
pub(super) const VM: Field = field("vm", Syntax::Untrusted);
pub(super) const UUID: Field = field("uuid", Syntax::Uuid);
pub(super) const PATH: Field = field("path", Syntax::Untrusted);
pub(super) const RDEV: Field = field("rdev", Syntax::Rdev);
pub(super) const ACL: Field = field("acl", Syntax::Acl);
pub(super) const CGROUP: Field = field("cgroup", Syntax::UntrustedOrUnknown);
pub(super) const CLASS: Field = field("class", Syntax::Word);
pub(super) const DEVICE: Field = field("device", Syntax::Untrusted);
pub(super) const VM_PID: Field = field("vm-pid", Syntax::I64);

/// The runtime's name of a container: an id of 64 hexadecimal digits, or a word of the user's.
pub(super) const ID: Field = field("uuid", Syntax::Identifier);

/// The fields of `msg='...'`: `virt=`, a record's own, and what libaudit adds.
macro_rules! inner {
    ($($own:expr),+ $(,)?) => {
        &[
            field("virt", Syntax::Word),
            $($own,)+
            field("exe", Syntax::UntrustedOrUnknown),
            field("hostname", Syntax::Word),
            field("addr", Syntax::Word),
            field("terminal", Syntax::Word),
            field("res", Syntax::Outcome),
        ]
    };
}

pub(super) use inner;

/// Declares a record: type, subject, source, meaning, and its own fields.
macro_rules! shape {
    ($ty:ident, $about:expr, $source:expr, $meaning:expr, $($own:expr),+ $(,)?) => {
        Shape {
            ty: VirtType::$ty,
            about: $about,
            meaning: $meaning,
            source: $source,
            fields: inner![$($own),+],
        }
    };
}

pub(super) use shape;

/// The layout of a record about one kind of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its type.
    pub ty: VirtType,
    /// Its subject: `resrc=disk`, `op=start`; empty if there is one shape only.
    pub about: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The source of the format.
    pub source: &'static str,
    /// The fields in `msg='...'`, in order.
    pub fields: &'static [Field],
}
