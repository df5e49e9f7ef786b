// SPDX-License-Identifier: GPL-2.0-only

//! Audit records.
//!
//! C header: [`include/linux/audit.h`](srctree/include/linux/audit.h)
//!
//! One of the two places of this module that contain `unsafe`; the other is `attach.rs` with its folder.

use crate::bindings;
use crate::counters::{
    self,
    Fate, //
};
use crate::uapi::ns::Subject;
use crate::uapi::text::Sink;
use crate::uapi::types::RecordType;
use core::ptr::NonNull;
use kernel::alloc::AllocError;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

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

/// A record for a place that must not wait, but need not tell which system call caused it: its text is kept,
/// and a worker sends it, which may wait. Records that are kept are sent in the order in which they were
/// dropped.
///
/// The record's time and serial number are those of its sending.
#[must_use = "a record is kept when it is dropped: without its fields it is not worth sending"]
pub(crate) struct LaterRecord {
    /// `None` if memory ran out.
    kept: Option<KBox<Kept>>,
    ty: RecordType,
}

/// A record that waits for the worker.
#[repr(C)]
struct Kept {
    node: bindings::llist_node,
    ty: RecordType,
    body: KVec<u8>,
}

/// At most this many records wait at the same time; each takes some 300 bytes.
const KEEP_AT_MOST: usize = 1 << 16;

/// How many wait.
static KEPT: Atomic<usize> = Atomic::new(0);

/// Whether the module goes, and the worker must not be held up by auditd any more.
static LEAVING: Atomic<bool> = Atomic::new(false);

impl LaterRecord {
    /// Starts a record of type `ty`. Callable from any context.
    pub(crate) fn start(ty: RecordType) -> Option<Self> {
        if !enabled() {
            counters::count(ty, Fate::Disabled);
            return None;
        }
        let kept = || -> Result<KBox<Kept>, AllocError> {
            let kept = Kept {
                node: bindings::llist_node::default(),
                ty,
                body: KVec::with_capacity(128, GFP_ATOMIC)?,
            };
            KBox::new(kept, GFP_ATOMIC)
        };
        let room = KEPT.load(Relaxed) < KEEP_AT_MOST;
        Some(Self {
            kept: room.then(kept).and_then(Result::ok),
            ty,
        })
    }
}

impl Sink for LaterRecord {
    fn put(&mut self, bytes: &[u8]) {
        let Some(kept) = &mut self.kept else { return };
        if kept.body.extend_from_slice(bytes, GFP_ATOMIC).is_err() {
            // Half a record is worse than a count of it.
            self.kept = None;
        }
    }
}

impl Drop for LaterRecord {
    fn drop(&mut self) {
        match self.kept.take() {
            Some(kept) => {
                KEPT.fetch_add(1, Relaxed);
                // SAFETY: `node` is the first member of a `Kept` that nobody else has; the worker takes it
                // from the list once and makes a box of it again.
                unsafe { bindings::dmns_keep(KBox::into_raw(kept).cast()) };
            }
            None => counters::count(self.ty, Fate::NoRoom),
        }
    }
}

/// The worker: sends what was kept.
#[no_mangle]
extern "C" fn dmns_send_kept(_work: *mut bindings::work_struct) {
    // SAFETY: No requirements; what it returns is ours alone.
    let mut node = unsafe { bindings::dmns_take_kept() };
    while !node.is_null() {
        // SAFETY: Every node in the list is the first member of a boxed `Kept` that was given away in
        // `LaterRecord::drop`, and each is taken once.
        let kept = unsafe { KBox::from_raw(node.cast::<Kept>()) };
        node = kept.node.next;
        let wait = if LEAVING.load(Relaxed) {
            Wait::Never
        } else {
            Wait::Allowed
        };
        if let Some(mut record) = Record::start(kept.ty, wait) {
            record.put(&kept.body);
        }
        KEPT.fetch_sub(1, Relaxed);
    }
}

/// Sends what is still kept, without waiting for auditd, and waits until the worker has ended. Nothing may
/// be kept any more. May sleep.
pub(crate) fn send_the_rest() {
    LEAVING.store(true, Relaxed);
    // SAFETY: May sleep, as does our caller.
    unsafe { bindings::dmns_flush_kept() };
}

/// Whether a record that starts here and now would belong to a system call.
///
/// With `audit=1` on the kernel's command line, kernel threads have an audit context too, which is never in
/// use.
pub(crate) fn in_syscall() -> bool {
    // SAFETY: `current` is valid; only `current` itself changes its flags.
    let flags = unsafe { (*kernel::task::Task::current_raw()).flags };
    flags & bindings::PF_KTHREAD == 0 && !context().is_null()
}

/// Whether auditing is on.
pub(crate) fn enabled() -> bool {
    // SAFETY: `audit_enabled` is an integer that lives as long as the kernel; C reads it without a
    // lock too, and an old value does no harm.
    unsafe { (&raw const bindings::audit_enabled).read_volatile() != 0 }
}

/// The audit context of the task that causes what runs now; null in an interrupt.
pub(crate) fn context() -> *mut bindings::audit_context {
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
