// SPDX-License-Identifier: GPL-2.0-only

//! The event that a record belongs to: the audit context of the task.
//!
//! C header: [`kernel/audit.h`](srctree/kernel/audit.h), private to the kernel's own code;
//! `helpers.c` reads it.

use super::share::Class;
use super::{
    Record,
    Type,
    Wait, //
};
use crate::bindings;
use crate::task::TaskNs;
use kernel::prelude::*;
use kernel::types::NotThreadSafe;

/// The time and the serial number of an event. The number is 0 before the first record of the
/// event.
pub(crate) type Stamp = bindings::dmns_stamp;

/// Returns a stamp of now, without a serial number: with the time that `audit_get_stamp()` takes for a
/// record that stands alone.
pub(super) fn now() -> Stamp {
    let mut now = bindings::timespec64::default();
    // SAFETY: `now` is ours to write. Callable from any context.
    unsafe { bindings::ktime_get_coarse_real_ts64(&raw mut now) };
    Stamp {
        sec: now.tv_sec,
        nsec: now.tv_nsec as u32,
        serial: 0,
    }
}

/// Returns the stamp of the event that `current` is in; `None` if it is in none.
pub(super) fn stamp() -> Option<Stamp> {
    let mut stamp = Stamp::default();
    // SAFETY: `stamp` is ours to write. Only `current` changes its audit context, and this is not
    // an interrupt.
    let known = in_task() && unsafe { bindings::dmns_event_stamp(&raw mut stamp) };
    known.then_some(stamp)
}

/// Makes the event of `current` that of a record which the worker has emitted, and forces audit to
/// write it.
pub(super) fn adopt(serial: u32) {
    // SAFETY: Only `current` changes its audit context, and this is not an interrupt.
    unsafe { bindings::dmns_event_adopt(serial) };
}

/// The time that `audit_log_exit()` runs for `current`: the event is whole, and all may sleep. No
/// lock is held but, in an operation of io_uring, that of the ring, with which audit waits too.
pub(crate) struct EventEnd(NotThreadSafe);

impl EventEnd {
    /// Asserts that.
    ///
    /// # Safety
    ///
    /// The caller runs at the entry of `audit_log_exit()`, and keeps the result to itself.
    pub(crate) unsafe fn assume() -> Self {
        Self(NotThreadSafe)
    }

    /// Returns the effect of the system call of the event on namespaces.
    pub(crate) fn call(&self) -> bindings::dmns_call {
        // SAFETY: By `assume()`, `current` has an audit context.
        unsafe { bindings::dmns_event_call() }
    }
}

/// Returns whether `current` causes what runs now: no interrupt does.
pub(crate) fn in_task() -> bool {
    // SAFETY: Reads the preemption count; no requirements.
    unsafe { bindings::dmns_in_task() }
}

/// The event of `current`, in its audit context.
///
/// # Invariants
///
/// The audit context of `current`, which only `current` changes.
struct Current(*mut bindings::audit_context);

impl Current {
    /// Returns the event; `None` if `current` is in none.
    #[inline]
    fn get() -> Option<Self> {
        // SAFETY: That is `current`.
        unsafe { Self::of(kernel::task::Task::current_raw()) }
    }

    /// Returns the event of `task`; `None` if it is in none.
    ///
    /// # Safety
    ///
    /// `task` is `current`.
    #[inline]
    unsafe fn of(task: *mut bindings::task_struct) -> Option<Self> {
        // SAFETY: `current` is valid, and only `current` itself sets its `audit_context`.
        let context = unsafe { (*task).audit_context };
        if context.is_null() {
            return None;
        }
        // SAFETY: At this offset is an enum.
        let state: c_uint = unsafe {
            *context
                .byte_add(bindings::DMNS_AUDIT_CONTEXT as usize)
                .cast()
        };
        // INVARIANT: As read above.
        (state != bindings::DMNS_AUDIT_UNUSED).then_some(Self(context))
    }

    fn dummy(&self) -> *mut c_int {
        // CAST: At this offset is an int.
        self.0
            .wrapping_byte_add(bindings::DMNS_AUDIT_DUMMY as usize)
            .cast()
    }
}

/// Returns whether `current` is in an event.
#[inline]
pub(crate) fn current() -> bool {
    Current::get().is_some()
}

/// Returns the namespaces of `current` if it is in no event. `current` is read once: each system call
/// passes here.
#[inline]
pub(crate) fn task_outside() -> Option<TaskNs> {
    let ns = TaskNs::current()?;
    let (task, _) = ns.addresses();
    // SAFETY: `TaskNs::current()` has the address of `current`.
    let event = unsafe { Current::of(task) };
    event.is_none().then_some(ns)
}

/// The mark of an event that is filtered: audit does for it what it does where there are no rules.
/// Audit itself knows 0 and 1; it writes 0 for the first record that its filter lets through.
const FILTERED: c_int = 2;

/// Marks the event that `current` is in, if any, as filtered.
#[inline]
pub(crate) fn mark_filtered() {
    if let Some(event) = Current::get() {
        // SAFETY: By the type invariants the pointer is valid, and only `current` accesses it.
        unsafe { *event.dummy() = FILTERED };
    }
}

/// Returns whether the event that `current` is in is filtered; `None` if it is in none.
pub(crate) fn filtered() -> Option<bool> {
    // SAFETY: By the type invariants the pointer is valid, and only `current` writes to it.
    Current::get().map(|event| unsafe { *event.dummy() == FILTERED })
}

/// Returns the audit context of the task that causes what runs now; null in an interrupt.
pub(crate) fn context() -> *mut bindings::audit_context {
    if !in_task() {
        return core::ptr::null_mut();
    }
    // SAFETY: `current` is valid, and only `current` itself sets its `audit_context`.
    unsafe { (*kernel::task::Task::current_raw()).audit_context }
}

/// Forces audit to write the event of the system call that `current` is in. It does not do so
/// otherwise unless a rule asks for it, or a record belongs to the event.
pub(crate) fn force_record() {
    // SAFETY: Only `current` changes its audit context.
    unsafe { bindings::dmns_event_record() };
}

/// Marks the event that `current` is in, if any, as one with pending records.
pub(super) fn mark_pending() {
    // SAFETY: Only `current` changes its audit context, and this is not an interrupt.
    unsafe { bindings::dmns_event_mark() };
}

/// Returns whether the event that `current` is in has pending records, or had some.
pub(super) fn marked_pending() -> bool {
    // SAFETY: Only `current` changes its audit context, and this is not an interrupt.
    unsafe { bindings::dmns_event_marked() }
}

/// An event of its own for the records that `current` emits while this exists.
pub(crate) struct Event(NotThreadSafe);

impl Event {
    /// Begins an event; `None` if `current` is in one already, or cannot have one.
    pub(crate) fn begin() -> Option<Self> {
        if context().is_null() {
            return None;
        }
        // SAFETY: Not in an interrupt; `drop` ends what this begins.
        let begun = unsafe { bindings::dmns_event_begin() };
        begun.then(|| Self(NotThreadSafe))
    }

    /// Ends it with the record that marks the end for readers.
    pub(crate) fn end(self, wait: Wait<'_>) {
        // A reader that misses it takes a later event for the end.
        drop(Record::attempt(context(), Type::Eoe, wait));
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: `begin()` succeeded, for this task.
        unsafe { bindings::dmns_event_end() };
    }
}

/// The event of a record that a worker emits: an audit context of the module's own, which belongs
/// to that worker.
///
/// It gives the record the time when it was caused.
pub(super) struct WorkerEvent(*mut bindings::audit_context);

impl WorkerEvent {
    /// Begins an event with this stamp.
    ///
    /// # Safety
    ///
    /// Only the worker of `class` calls this, and not while it has another event.
    pub(super) unsafe fn begin(class: Class, stamp: &Stamp) -> Self {
        // SAFETY: By the safety requirements only the caller uses this context.
        Self(unsafe { bindings::dmns_worker_event(class as c_uint, stamp) })
    }

    pub(super) fn context(&self) -> *mut bindings::audit_context {
        self.0
    }

    /// Returns the serial number: 0 before the first record.
    pub(super) fn serial(&self) -> u32 {
        // SAFETY: The context is static, and this worker's.
        unsafe { bindings::dmns_worker_event_serial(self.0) }
    }
}
