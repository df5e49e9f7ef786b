// SPDX-License-Identifier: GPL-2.0-only

//! The filter: whether an event is filtered is decided once, at its beginning. Audit then treats it
//! as if there were no rules, and its own filter drops what is emitted all the same.
//!
//! None of the handlers here sleeps, so `synchronize_rcu_tasks()` waits for their end: they do
//! without SRCU, which would cost each system call more than they do.

use crate::audit::event;
use crate::bindings;
use crate::ffi::ffi_export;
use crate::filter;
use crate::ftrace::Args;
use crate::task::TaskNs;
use kernel::prelude::*;

ffi_export!(dmns_entry_audit_entry, dmns_exit_audit_entry);

/// Returns whether what `current` causes is filtered.
pub(super) fn current_filtered() -> bool {
    TaskNs::current().is_some_and(filter::is_filtered)
}

/// Handles `__audit_syscall_entry()` and `__audit_uring_entry()`: an event may begin. Returns whether
/// it is filtered.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of these functions.
#[no_mangle]
unsafe extern "C" fn dmns_entry_audit_entry() -> bool {
    event::task_outside().is_some_and(filter::is_filtered)
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

/// Handles `audit_filter()`. Returns whether a record of this type is dropped.
///
/// # Safety
///
/// `args` are those of that function: the type, and the list.
pub(super) unsafe fn on_filter(args: &Args) -> bool {
    let (number, list) = (args.number(0) as c_int, args.number(1) as c_uint);
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
pub(super) unsafe extern "C" fn wrap_filter(
    _: c_ulong,
    _: c_ulong,
    _: c_ulong,
    _: *const c_void,
) -> c_ulong {
    0
}
