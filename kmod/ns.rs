// SPDX-License-Identifier: GPL-2.0-only

//! Namespaces: what to say when one comes and goes. The kernel itself says nothing.

use crate::audit::{
    self,
    Draft,
    Record,
    Wait, //
};
use crate::uapi::ns::{
    Kind,
    Namespace,
    NsfsDev, //
};
use crate::uapi::types::RecordType;

/// A namespace was created by the task that runs now, cloned from the one with inode number `old`.
///
/// The creator can hold locks: `namespace_sem` for a mount namespace, `pernet_ops_rwsem` for a network namespace. So
/// the record is emitted when the call returns that made it.
pub(crate) fn created(ns: &Namespace, dev: NsfsDev, old: u32) {
    if !audit::in_section() && ns.kind == Kind::User {
        // By clone(): copy_creds() holds no lock.
        return record_created(ns, dev, Some(old));
    }
    if let Some(mut draft) = Draft::start(RecordType::NsInit(ns.kind)) {
        draft.subject();
        ns.init_tail(dev, Some(old), &mut draft);
        draft.hold_or_defer();
    }
}

/// A namespace was there when the module was loaded.
pub(crate) fn initial(ns: &Namespace, dev: NsfsDev) {
    record_created(ns, dev, None);
}

fn record_created(ns: &Namespace, dev: NsfsDev, old: Option<u32>) {
    if let Some(mut record) = Record::start(RecordType::NsInit(ns.kind), Wait::Allowed) {
        record.subject();
        ns.init_tail(dev, old, &mut record);
    }
}

/// A namespace was deleted. The task that runs now is the one that dropped the last reference, or a
/// worker: often not the cause. It can hold any lock, so the record is deferred.
pub(crate) fn deleted(ns: &Namespace, dev: NsfsDev) {
    if let Some(mut draft) = Draft::start(RecordType::NsDel(ns.kind)) {
        draft.subject();
        ns.del_tail(dev, &mut draft);
        // A section may hold the creation, which comes first.
        draft.hold_or_defer();
    }
}
