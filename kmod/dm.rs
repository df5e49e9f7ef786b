// SPDX-License-Identifier: GPL-2.0-only

//! Device mapper: the records that replace those of `drivers/md/dm-audit.c`.

use crate::audit::deferred::defer;
use crate::audit::{
    pending,
    task_flags,
    RecordText, //
};
use crate::uapi::dm::Event;
use crate::uapi::types::RecordType;
use kernel::prelude::*;

/// Records that a target is constructed or destroyed: C's `dm_audit_log_ti(AUDIT_DM_CTRL, ...)`.
///
/// The task that sent the ioctl holds `md->type_lock` in a constructor, so the record is pending
/// until the event ends. Returns the record where the event has no such end: in the worker that
/// removes a mapping later, which holds no lock.
#[must_use]
pub(crate) fn control(event: &Event<'_>, error: Option<&[u8]>) -> Option<KBox<RecordText>> {
    let flags = task_flags();
    let mut text = RecordText::start(RecordType::DmCtrl, flags, GFP_ATOMIC).ok()?;
    event.head(&mut *text);
    text.task_info();
    event.ctrl_tail(error, &mut *text);
    text.after_violations = event.op == b"dtr";
    pending::add_own(text, flags).err()
}

/// Records that a target found a violation: C's `dm_audit_log_ti(AUDIT_DM_EVENT, ...)` where it
/// belongs to the target as a whole, and `dm_audit_log_bio()` where it belongs to a sector.
///
/// Called by an I/O worker, or by crypt in softirq: the I/O does not wait for auditd, so the record
/// is deferred. Or in an ioctl, which may hold `md->suspend_lock`: the record of a target is
/// pending until the event ends, or for two seconds.
pub(crate) fn violation(event: &Event<'_>, sector: Option<u64>) {
    let Ok(mut text) = RecordText::start(RecordType::DmEvent, GFP_ATOMIC, GFP_ATOMIC) else {
        return;
    };
    event.head(&mut *text);
    event.event_tail(sector, &mut *text);
    text.of_device(&event.dev);
    let text = match sector {
        // In the entry that the DM_CTRL of the ioctl has, or will have.
        None => pending::add(text, GFP_ATOMIC).err(),
        Some(_) => Some(text),
    };
    if let Some(text) = text {
        defer(text);
    }
}
