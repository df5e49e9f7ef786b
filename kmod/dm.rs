// SPDX-License-Identifier: GPL-2.0-only

//! Device mapper: what to say in place of `drivers/md/dm-audit.c`.

use crate::audit::{
    self,
    LaterRecord,
    Record,
    Wait, //
};
use crate::uapi::dm::Event;
use crate::uapi::types::RecordType;

/// A target was made or destroyed: C's `dm_audit_log_ti(AUDIT_DM_CTRL, ...)`.
///
/// Called by the task that sent the ioctl, or by the worker that removes a mapping later.
pub(crate) fn control(event: &Event<'_>, error: Option<&[u8]>) {
    if let Some(mut record) = Record::start(RecordType::DmCtrl, Wait::Allowed) {
        event.head(&mut record);
        record.task_info();
        event.ctrl_tail(error, &mut record);
    }
}

/// A target found a violation that belongs to it as a whole: C's `dm_audit_log_ti(AUDIT_DM_EVENT, ...)`.
///
/// Called by a constructor, on resume, or by verity's worker.
pub(crate) fn target_violation(event: &Event<'_>) {
    if let Some(mut record) = Record::start(RecordType::DmEvent, Wait::Allowed) {
        event.head(&mut record);
        event.event_tail(None, &mut record);
    }
}

/// A target found a violation in an I/O: C's `dm_audit_log_bio()`.
///
/// Called by an I/O worker, or by crypt in softirq, where C asks for `GFP_KERNEL` all the same. The I/O must
/// not wait for auditd, so the record is sent by a worker of ours; but for an I/O that completes in the
/// system call that asked for it: that record belongs to the call's event.
pub(crate) fn io_violation(event: &Event<'_>, sector: u64) {
    if audit::in_syscall() {
        if let Some(mut record) = Record::start(RecordType::DmEvent, Wait::Never) {
            event.head(&mut record);
            event.event_tail(Some(sector), &mut record);
        }
    } else if let Some(mut record) = LaterRecord::start(RecordType::DmEvent) {
        event.head(&mut record);
        event.event_tail(Some(sector), &mut record);
    }
}
