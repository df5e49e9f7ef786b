// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The contract of the records of guests.
//!
//! ```text
//! pid=215 uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='virt=qemu op=start reason=booted vm="x"
//! uuid=... vm-pid=282 exe="/usr/sbin/libvirtd" hostname=? addr=? terminal=? res=success'
//! ```
//!
//! The kernel writes the fields before `msg=` ([`OUTER`]), libaudit `exe=` and the fields after it.
//! The fields between depend on the record and its subject: a [`Shape`].

pub use super::shape::Shape;
use super::shape::field;
use super::{VirtType, libvirt, oci};
use crate::contract::{Field, Syntax};

/// The kernel's fields before `msg=`. C: `audit_log_common_recv_msg()` in `kernel/audit.c`.
pub const OUTER: &[Field] = &[
    field("pid", Syntax::I32),
    field("uid", Syntax::U32),
    field("auid", Syntax::U32),
    field("ses", Syntax::U32),
    Field {
        optional: true,
        ..field("subj", Syntax::Word)
    },
];

/// The source of [`OUTER`].
pub const OUTER_SOURCE: &str = "audit_log_common_recv_msg() in kernel/audit.c";

/// Every shape: libvirt's first.
pub const SHAPES: [Shape; libvirt::SHAPES.len() + oci::SHAPES.len()] = {
    let mut all = [libvirt::SHAPES[0]; libvirt::SHAPES.len() + oci::SHAPES.len()];
    let mut k = 0;
    while k < all.len() {
        all[k] = match k < libvirt::SHAPES.len() {
            true => libvirt::SHAPES[k],
            false => oci::SHAPES[k - libvirt::SHAPES.len()],
        };
        k += 1;
    }
    all
};

impl Shape {
    /// Returns whether a record has this shape. `value` returns the values of its fields.
    fn is<'a>(&self, value: &impl Fn(&str) -> Option<&'a str>) -> bool {
        self.about.split(' ').all(|condition| {
            let (name, wanted) = condition.split_once('=').unwrap_or((condition, ""));
            match (name, wanted) {
                ("", _) => true,
                (name, "") => value(name).is_some(),
                (name, wanted) => value(name) == Some(wanted),
            }
        })
    }
}

/// Returns the shape of a record of type `ty`. `value` returns the values of its fields as they are
/// written. `None` if the contract does not know the subject of the record.
pub fn shape<'a>(ty: VirtType, value: impl Fn(&str) -> Option<&'a str>) -> Option<&'static Shape> {
    // What most shapes begin with is looked up once.
    let kind = value("resrc").or_else(|| value("op"));
    let begins = |shape: &Shape| {
        let of = |name: &str| shape.about.strip_prefix(name);
        let Some(of) = of("resrc=").or_else(|| of("op=")) else {
            return true;
        };
        let rest = kind.and_then(|kind| of.strip_prefix(kind));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut found = SHAPES
        .iter()
        .filter(|shape| shape.ty == ty && begins(shape) && shape.is(&value));
    let first = found.next()?;
    // `resrc=net reason=open` is a `resrc=net` too: the one that asks for more is meant.
    Some(found.fold(first, |best, shape| {
        if shape.about.len() > best.about.len() {
            shape
        } else {
            best
        }
    }))
}
