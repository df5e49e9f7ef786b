// SPDX-License-Identifier: GPL-2.0-only

//! The event that a record belongs to: the audit context of the task.
//!
//! C header: [`kernel/audit.h`](srctree/kernel/audit.h), private to the kernel's own code; `helpers.c` reads it.

use super::{
    Record,
    Wait,
    EOE, //
};
use crate::bindings;
use kernel::prelude::*;
use kernel::types::NotThreadSafe;

/// What a system call did to namespaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It is one of those that can make them: `clone()`, `clone3()`, `unshare()`, `open_tree()`,
    /// `open_tree_attr()`, `fsmount()`.
    Makes,
    /// It is a `setns()` that succeeded.
    Enters,
    /// It is a `fork()` or `vfork()`.
    Forks,
    /// It is an `execve()` or `execveat()`.
    Execs,
    /// None of these.
    Other,
}

impl Call {
    /// The system call whose event is about to be written.
    pub(crate) fn current() -> Self {
        // SAFETY: `current` has an audit context, which `audit_log_exit()` is about to read.
        match unsafe { bindings::dmns_event_call() } {
            bindings::DMNS_CALL_MAKES => Self::Makes,
            bindings::DMNS_CALL_ENTERS => Self::Enters,
            bindings::DMNS_CALL_FORKS => Self::Forks,
            bindings::DMNS_CALL_EXECS => Self::Execs,
            _ => Self::Other,
        }
    }
}

/// Whether the task that runs now causes what runs: no interrupt does.
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
    /// `None` if `current` is in no event.
    #[inline]
    fn get() -> Option<Self> {
        // SAFETY: `current` is valid, and only `current` itself sets its `audit_context`.
        let context = unsafe { (*kernel::task::Task::current_raw()).audit_context };
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

    fn dummy(&mut self) -> &mut c_int {
        // SAFETY: At this offset is an int; by the type invariants nobody else looks at it.
        unsafe { &mut *self.0.byte_add(bindings::DMNS_AUDIT_DUMMY as usize).cast() }
    }
}

/// Whether `current` is in an event.
#[inline]
pub(crate) fn current() -> bool {
    Current::get().is_some()
}

/// An event that is left out: audit does for it what it does where there are no rules. Audit itself knows 0 and 1; it
/// makes 0 of it for the first record that its filter lets through.
const LEFT_OUT: c_int = 2;

/// The event that `current` is in, if any, is left out.
#[inline]
pub(crate) fn leave_out() {
    if let Some(mut event) = Current::get() {
        *event.dummy() = LEFT_OUT;
    }
}

/// Whether the event that `current` is in is left out; `None` if it is in none.
pub(crate) fn left_out() -> Option<bool> {
    Current::get().map(|mut event| *event.dummy() == LEFT_OUT)
}

/// The audit context of the task that causes what runs now; null in an interrupt.
pub(crate) fn context() -> *mut bindings::audit_context {
    if !in_task() {
        return core::ptr::null_mut();
    }
    // SAFETY: `current` is valid, and only `current` itself sets its `audit_context`.
    unsafe { (*kernel::task::Task::current_raw()).audit_context }
}

/// Makes audit write the event of the system call that `current` is in, which it does not do otherwise unless a rule
/// asks for it, or a record belongs to the event.
pub(crate) fn must_be_written() {
    // SAFETY: Only `current` changes its audit context.
    unsafe { bindings::dmns_event_record() };
}

/// An event of its own for the records that `current` emits while this lives.
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

    /// Ends it with the record that says so to readers.
    pub(crate) fn end(self) {
        // A reader that misses it takes a later event for the end.
        drop(Record::of_type(EOE, Wait::Allowed.here()));
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: `begin()` succeeded, for this task.
        unsafe { bindings::dmns_event_end() };
    }
}
