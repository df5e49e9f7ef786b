// SPDX-License-Identifier: GPL-2.0-only

//! Audit records.
//!
//! C header: [`include/linux/audit.h`](srctree/include/linux/audit.h)
//!
//! One of the two files of this module that contain `unsafe`; the other is `attach.rs`.

use crate::bindings;
use crate::counters::{
    self,
    Fate, //
};
use crate::uapi::ns::Subject;
use crate::uapi::text::Sink;
use crate::uapi::types::RecordType;
use core::ptr::NonNull;
use kernel::prelude::*;

/// Whether emitting a record may wait: for memory, and for room in the audit backlog.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The caller may sleep, and nobody else waits for it meanwhile.
    Allowed,
    /// The caller must not sleep, or holds a lock or an I/O that others wait for.
    ///
    /// Where the backlog is full the record is lost: audit counts it in `lost`, and so do
    /// [`counters`].
    Never,
}

impl Wait {
    /// What is really allowed here and now: nothing waits where the kernel counts a reason not to sleep.
    fn here(self) -> Self {
        match self {
            // SAFETY: Reads the preemption count and `current`; no requirements.
            Self::Allowed if unsafe { bindings::dmns_may_sleep() } => Self::Allowed,
            _ => Self::Never,
        }
    }

    fn gfp(self) -> bindings::gfp_t {
        match self {
            Self::Allowed => bindings::GFP_KERNEL,
            Self::Never => bindings::GFP_ATOMIC,
        }
    }
}

/// An audit record on its way: it starts, takes its fields, and is sent when dropped.
///
/// Text is gathered here and handed to the audit buffer in as few calls as possible.
///
/// # Invariants
///
/// `buffer` came from `audit_log_start()` and has not been given to `audit_log_end()`; nobody else has
/// it. `len <= text.len()`, and the first `len` bytes of `text` are not in the buffer yet.
#[must_use = "a record is sent when it is dropped: without its fields it is not worth sending"]
pub(crate) struct Record {
    buffer: NonNull<bindings::audit_buffer>,
    text: [u8; 192],
    len: usize,
}

impl Record {
    /// Starts a record of type `ty`.
    ///
    /// In a task it carries the task's audit context, and so shares the serial of the system call that
    /// the task is in, if any. In an interrupt it stands alone.
    ///
    /// Returns `None` where there is no record to write: auditing is off, or audit gave no buffer.
    /// [`counters`] tell which.
    pub(crate) fn start(ty: RecordType, wait: Wait) -> Option<Self> {
        if !enabled() {
            counters::count(ty, Fate::Disabled);
            return None;
        }
        let wait = wait.here();
        // SAFETY: `context()` is null or the audit context of `current`, which stays alive while
        // `current` is here. Both flags of `wait` are valid in the context that it describes.
        let buffer =
            unsafe { bindings::audit_log_start(context(), wait.gfp(), ty.number().into()) };
        let Some(buffer) = NonNull::new(buffer) else {
            counters::count(
                ty,
                match wait {
                    Wait::Allowed => Fate::Refused,
                    Wait::Never => Fate::RefusedNoWait,
                },
            );
            return None;
        };
        counters::count(ty, Fate::Emitted);
        // INVARIANT: `buffer` was just given to us, and no text has been put.
        Some(Self {
            buffer,
            text: [0; 192],
            len: 0,
        })
    }

    /// Adds ` ppid= pid= auid= ... comm= exe= subj=`: who `current` is, in full.
    pub(crate) fn task_info(&mut self) {
        self.flush();
        // SAFETY: By the type invariants the buffer is valid and ours.
        unsafe { bindings::audit_log_task_info(self.buffer.as_ptr()) };
    }

    /// Adds `pid= uid= auid= ses= subj=`: who `current` is, in short.
    pub(crate) fn subject(&mut self) {
        subject().head(self);
        self.flush();
        // SAFETY: By the type invariants the buffer is valid and ours. An error has been reported by
        // audit itself (`audit_panic()`), and leaves the record without `subj=`.
        unsafe { bindings::audit_log_task_context(self.buffer.as_ptr()) };
    }

    fn flush(&mut self) {
        // SAFETY: By the type invariants the buffer is valid and ours. The format takes an `int` and a
        // pointer to at least as many bytes; `len` is at most 192.
        unsafe {
            bindings::audit_log_format(
                self.buffer.as_ptr(),
                c"%.*s".as_char_ptr(),
                self.len as c_int,
                self.text.as_ptr(),
            )
        };
        // INVARIANT: All of the text is in the buffer now.
        self.len = 0;
    }
}

impl Sink for Record {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.len == self.text.len() {
                self.flush();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.text.len() - self.len));
            self.text[self.len..][..now.len()].copy_from_slice(now);
            // INVARIANT: `now` fits, by how it was split.
            self.len += now.len();
            bytes = later;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.flush();
        // SAFETY: By the type invariants the buffer is valid, ours, and not yet ended; it is not used
        // again.
        unsafe { bindings::audit_log_end(self.buffer.as_ptr()) };
    }
}

/// Whether auditing is on.
pub(crate) fn enabled() -> bool {
    // SAFETY: `audit_enabled` is an integer that lives as long as the kernel; C reads it without a
    // lock too, and an old value does no harm.
    unsafe { (&raw const bindings::audit_enabled).read_volatile() != 0 }
}

/// The audit context of the task that causes what runs now; null in an interrupt.
fn context() -> *mut bindings::audit_context {
    // SAFETY: Reads the preemption count; no requirements.
    if !unsafe { bindings::dmns_in_task() } {
        return core::ptr::null_mut();
    }
    // SAFETY: `current` is valid, and only `current` itself sets its `audit_context`.
    unsafe { (*kernel::task::Task::current_raw()).audit_context }
}

fn subject() -> Subject {
    let task = kernel::task::Task::current_raw();
    // SAFETY: `current` is valid. Its thread group id never changes, its credentials, login user id and
    // session id are changed by `current` alone.
    unsafe {
        Subject {
            pid: (*task).tgid,
            uid: (*(*task).cred).uid.val,
            auid: (*task).loginuid.val,
            ses: (*task).sessionid,
        }
    }
}
