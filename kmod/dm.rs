// SPDX-License-Identifier: GPL-2.0-only

//! Device mapper: what to say in place of `drivers/md/dm-audit.c`.

use crate::audit::{
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
    violation(event, None, Wait::Allowed);
}

/// A target found a violation in an I/O: C's `dm_audit_log_bio()`.
///
/// Called by an I/O worker, or by crypt in softirq, where C asks for `GFP_KERNEL` all the same. The I/O
/// must not wait for auditd.
pub(crate) fn io_violation(event: &Event<'_>, sector: u64) {
    violation(event, Some(sector), Wait::Never);
}

fn violation(event: &Event<'_>, sector: Option<u64>, wait: Wait) {
    if let Some(mut record) = Record::start(RecordType::DmEvent, wait) {
        event.head(&mut record);
        event.event_tail(sector, &mut record);
    }
}
