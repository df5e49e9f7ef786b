// SPDX-License-Identifier: GPL-2.0-only

//! Device mapper: what to say in place of `drivers/md/dm-audit.c`.

use crate::audit::{
    in_section,
    Draft,
    Record,
    Wait, //
};
use crate::uapi::dm::Event;
use crate::uapi::types::RecordType;

/// A target was made or destroyed: C's `dm_audit_log_ti(AUDIT_DM_CTRL, ...)`.
///
/// Called by the task that sent the ioctl, which holds `md->type_lock` in a constructor; the record is emitted when
/// the ioctl returns. Or by the worker that removes a mapping later, which holds no lock. Of an ioctl that began before
/// the module was attached, nobody sees the end: it waits as C does, and with it only who loads another table for the
/// same device (`dm_lock_md_type()`).
pub(crate) fn control(event: &Event<'_>, error: Option<&[u8]>) {
    const TY: RecordType = RecordType::DmCtrl;
    if in_section() {
        if let Some(mut draft) = Draft::start(TY) {
            event.head(&mut draft);
            draft.task_info();
            event.ctrl_tail(error, &mut draft);
            draft.hold_or_defer();
        }
    } else if let Some(mut record) = Record::start(TY, Wait::Allowed) {
        event.head(&mut record);
        record.task_info();
        event.ctrl_tail(error, &mut record);
    }
}

/// A target found a violation: C's `dm_audit_log_ti(AUDIT_DM_EVENT, ...)` where it belongs to the target as a whole,
/// and `dm_audit_log_bio()` where it belongs to a sector.
///
/// Called in an ioctl, which may hold `md->suspend_lock`: the record is emitted when the ioctl returns. Or by an I/O
/// worker, or by crypt in softirq: the I/O must not wait for auditd, so the record is deferred.
pub(crate) fn violation(event: &Event<'_>, sector: Option<u64>) {
    if let Some(mut draft) = Draft::start(RecordType::DmEvent) {
        event.head(&mut draft);
        event.event_tail(sector, &mut draft);
        draft.hold_or_defer();
    }
}
