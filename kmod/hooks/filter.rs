// SPDX-License-Identifier: GPL-2.0-only

//! The filter: whether an event is filtered is decided once, at its beginning. Audit then treats it as if there were no
//! rules, and its own filter drops what is emitted all the same.
//!
//! None of the handlers here sleeps, so `synchronize_rcu_tasks()` waits for their end: they do without SRCU, which
//! would cost each system call more than they do.

use super::ffi_export;
use crate::audit::event;
use crate::bindings;
use crate::filter;
use crate::task::TaskNs;
use kernel::prelude::*;

ffi_export!(
    dmns_entry_audit_entry,
    dmns_entry_audit_filter,
    dmns_exit_audit_entry,
    dmns_wrap_audit_filter,
);

/// Returns whether what `current` causes is filtered.
#[inline]
pub(super) fn current_filtered() -> bool {
    TaskNs::current().is_some_and(|task| filter::is_filtered(&task))
}

/// `__audit_syscall_entry()` and `__audit_uring_entry()`: an event may begin. Returns whether it is filtered.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of these functions.
#[no_mangle]
unsafe extern "C" fn dmns_entry_audit_entry() -> bool {
    filter::any() && !event::current() && current_filtered()
}

/// Audit's entry has begun the event, or has decided that there is none.
///
/// # Safety
///
/// To be called by the trampoline, at the end of these functions.
#[no_mangle]
unsafe extern "C" fn dmns_exit_audit_entry() {
    event::mark_filtered();
}

/// `audit_filter()`: shall a record of this type be emitted? Returns true for no.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_entry_audit_filter(number: c_int, list: c_uint) -> bool {
    list == bindings::AUDIT_FILTER_EXCLUDE
        && event::in_task()
        && event::filtered().unwrap_or_else(current_filtered)
        && !u16::try_from(number).is_ok_and(filter::never_filtered)
}

/// Returns the answer of `audit_filter()` for no.
///
/// # Safety
///
/// None: it looks at none of its arguments.
#[no_mangle]
unsafe extern "C" fn dmns_wrap_audit_filter() -> c_int {
    0
}
