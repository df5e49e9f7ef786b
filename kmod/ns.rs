// SPDX-License-Identifier: GPL-2.0-only

//! Namespaces: what is recorded when one is created and deleted. The kernel itself records nothing.

use crate::audit::{
    self,
    Draft,
    Record,
    Wait, //
};
use crate::uapi::ns::{
    Kind,
    Namespace,
    NsfsDev,
    Origin, //
};
use crate::uapi::types::RecordType;

/// A namespace was created by the task that runs now, cloned from the one with inode number `old`. The user namespace
/// with the id `owner` owns it.
///
/// The creator can hold locks: `namespace_sem` for a mount namespace, `pernet_ops_rwsem` for a network namespace. So
/// the record is emitted when the call returns that made it. Of a call that began before the module was attached, nobody
/// knows when it returns, and the worker has no part in its event: what it makes is recorded as what was alive then.
pub(crate) fn created(ns: &Namespace, dev: NsfsDev, old: u32, owner: u64) {
    let origin = Origin::Clone { old };
    if audit::in_section() {
        return draft(ns, dev, origin, ns.id);
    }
    if ns.kind != Kind::User {
        return draft(ns, dev, Origin::Alive { owner }, ns.id);
    }
    // By clone(): copy_creds() holds no lock.
    if let Some(mut record) = Record::start(RecordType::NsInit(ns.kind), Wait::Allowed) {
        record.subject();
        ns.init_tail(dev, origin, &mut record);
    }
}

/// A namespace is alive when records begin: when the module is loaded, or auditing is switched on. The user namespace
/// with the id `owner` owns it.
pub(crate) fn alive(ns: &Namespace, dev: NsfsDev, owner: u64) {
    // Deletions wait for all of these.
    draft(ns, dev, Origin::Alive { owner }, 0);
}

/// `followed_by` names the namespace, whose deletion may come before the record of its creation is emitted.
fn draft(ns: &Namespace, dev: NsfsDev, origin: Origin, followed_by: u64) {
    if let Some(mut draft) = Draft::start(RecordType::NsInit(ns.kind)) {
        draft.of_namespace(followed_by);
        draft.subject();
        ns.init_tail(dev, origin, &mut draft);
        draft.hold_or_defer();
    }
}

/// A namespace was deleted. The task that runs now is the one that dropped the last reference, or a
/// worker: often not the cause. It can hold any lock, so the record is deferred. If it is `unborn`, the record of its
/// creation is still to come.
pub(crate) fn deleted(ns: &Namespace, dev: NsfsDev, unborn: bool) {
    if let Some(mut draft) = Draft::start(RecordType::NsDel(ns.kind)) {
        draft.of_namespace(ns.id);
        draft.subject();
        ns.del_tail(dev, &mut draft);
        if unborn {
            draft.defer();
        } else {
            // A section may hold the creation, which comes first.
            draft.hold_or_defer();
        }
    }
}
