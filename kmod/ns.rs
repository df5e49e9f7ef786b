// SPDX-License-Identifier: GPL-2.0-only

//! Namespaces: the records of creations and deletions. The kernel itself records none.

use crate::audit::deferred::{
    defer,
    try_defer,
    Batch, //
};
use crate::audit::{
    event,
    pending,
    task_flags,
    Owner,
    RecordText, //
};
use crate::counters::Outcome;
use crate::nsfs;
use crate::uapi::ns::{
    Namespace,
    Origin, //
};
use crate::uapi::types::RecordType;
use kernel::prelude::*;

/// Records that `current` creates a namespace, cloned from the one with inode number `old`.
///
/// The creator can hold locks: `namespace_sem` for a mount namespace, `pernet_ops_rwsem` for a
/// network namespace. So the record is pending until the event ends. Where there is no event, or
/// the baseline is being read, a worker emits it.
///
/// Returns whether auditing is on. `reading` is the number of the reading of the baseline, if it is
/// being read.
pub(crate) fn created(ns: &Namespace, old: u32, owner: &Owner, reading: u32) -> bool {
    let ty = RecordType::NsInit(ns.kind);
    let flags = task_flags();
    // The atomic reserve is the last resort, so that a limit of the creator's memory hides no
    // creation.
    let mut text = match RecordText::start(ty, flags, GFP_ATOMIC) {
        Ok(text) => text,
        Err(outcome) => return outcome != Outcome::Disabled,
    };
    text.about(ns, owner);
    text.subject();
    // A record that has an ancestor has a system call in its event.
    let origin = if reading != 0 || !event::current() {
        Origin::Baseline { owner: owner.id }
    } else {
        Origin::Clone { old }
    };
    ns.init_tail(nsfs::dev(), origin, &mut *text);
    if reading != 0 {
        text.reading = reading;
        defer(text);
    } else if let Err(text) = pending::add(text, flags) {
        // A user who uses up the share does not hide a creation so.
        if let Err(text) = try_defer(text).or_else(|text| pending::keep(text, flags)) {
            defer(text);
        }
    }
    true
}

/// Records that a namespace exists when records begin: when the module is loaded, or auditing is
/// switched on. The user namespace with the id `owner` owns it.
pub(crate) fn exists(ns: &Namespace, owner: u64, batch: &Batch) {
    batch.record(RecordType::NsInit(ns.kind), |record| {
        record.subject();
        ns.init_tail(nsfs::dev(), Origin::Baseline { owner }, record);
    });
}

/// Records that a namespace is deleted. `current` is the task that dropped the last reference, or a
/// worker: often not the cause. It can hold any lock, so a worker emits the record, unless it
/// belongs to an event that creates namespaces, and is not of the baseline (`may_join`).
///
/// Returns whether auditing is on.
pub(crate) fn deleted(ns: &Namespace, owner: &Owner, reading: u32, may_join: bool) -> bool {
    let ty = RecordType::NsDel(ns.kind);
    let mut text = match RecordText::start(ty, GFP_ATOMIC, GFP_ATOMIC) {
        Ok(text) => text,
        Err(outcome) => return outcome != Outcome::Disabled,
    };
    text.about(ns, owner);
    text.subject();
    ns.del_tail(nsfs::dev(), &mut *text);
    text.reading = reading;
    let alone = if may_join {
        pending::join(text)
    } else {
        Err(text)
    };
    if let Err(text) = alone {
        defer(text);
    }
    true
}
