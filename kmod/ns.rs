// SPDX-License-Identifier: GPL-2.0-only

//! Namespaces: what to say when one comes and goes. The kernel itself says nothing.

use crate::audit::{
    Record,
    Wait, //
};
use crate::uapi::ns::{
    Kind,
    Namespace,
    NsfsDev, //
};
use crate::uapi::types::RecordType;

/// A namespace was created by the task that runs now, cloned from the one with inode number `old`;
/// `None` for an initial namespace.
pub(crate) fn created(ns: &Namespace, dev: NsfsDev, old: Option<u32>) {
    let wait = match ns.kind {
        // The creator holds `namespace_sem` for writing: every mount would wait with it.
        Kind::Mnt => Wait::Never,
        // The creator holds `pernet_ops_rwsem`.
        Kind::Net => Wait::Never,
        _ => Wait::Allowed,
    };
    if let Some(mut record) = Record::start(RecordType::NsInit(ns.kind), wait) {
        record.subject();
        ns.init_tail(dev, old, &mut record);
    }
}

/// A namespace was deleted. The task that runs now is the one that dropped the last reference, or a
/// worker: often not the cause.
pub(crate) fn deleted(ns: &Namespace, dev: NsfsDev) {
    let wait = match ns.kind {
        // The worker holds `net_rwsem` for writing.
        Kind::Net => Wait::Never,
        _ => Wait::Allowed,
    };
    if let Some(mut record) = Record::start(RecordType::NsDel(ns.kind), wait) {
        record.subject();
        ns.del_tail(dev, &mut record);
    }
}
