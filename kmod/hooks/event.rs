// SPDX-License-Identifier: GPL-2.0-only

//! Events: pending records are emitted at their end, and records outside of any event get one at
//! level 2 of `NS_INFO`.
//!
//! A wrapped call holds a reference to the module from its entry hook to the end of its wrapper. So
//! `rmmod` fails with EBUSY while the original function waits for audit, which it does at most for
//! `backlog_wait_time`.

use super::filter::current_filtered;
use crate::audit::event::{
    self,
    Event,
    EventEnd, //
};
use crate::audit::{
    pending,
    Wait, //
};
use crate::bindings;
use crate::ftrace::Args;
use crate::info;
use crate::lifetime::{
    HandlerGuard,
    ModuleRef, //
};
use crate::task::TaskNs;
use crate::uapi::ns::Info;
use kernel::prelude::*;

fn current_info() -> Option<Info> {
    TaskNs::current().map(|task| task.info())
}

/// Handles `audit_log_exit()`, which is about to write the event of a system call or of an io_uring
/// operation. No lock is held but that of the operation's ring.
///
/// # Safety
///
/// That function was called.
pub(super) unsafe fn on_end(_: &Args) {
    if !pending::any() && !info::wanted() {
        return;
    }
    let Some(module) = ModuleRef::get() else {
        // The module is being loaded or unloaded: no task may wait in it.
        let _guard = HandlerGuard::no_sleep();
        return pending::defer_own();
    };
    // SAFETY: By the safety requirements.
    let end = unsafe { EventEnd::assume() };
    pending::emit(&end, Wait::Allowed(&module));
    info::event(&end, Wait::Allowed(&module), current_info);
}

/// Returns whether a record outside of any event shall get one, with `NS_INFO`. Then a reference to
/// the module is taken.
fn wants_event() -> bool {
    !current_filtered()
        && info::wants_event(current_info)
        && ModuleRef::get().map(ModuleRef::leak).is_some()
}

/// Handles `audit_log_common_recv_msg()`, which is about to start the record of a message from user
/// space. It gets the audit context: with null, the message is an event of its own.
///
/// # Safety
///
/// `args` are those of that function.
pub(super) unsafe fn on_message(args: &Args) -> bool {
    args.number(0) == 0 && wants_event()
}

/// Handles `audit_seccomp()`, which runs before audit's entry into a system call.
///
/// # Safety
///
/// None: it looks at no argument.
pub(super) unsafe fn on_seccomp(_: &Args) -> bool {
    wants_event()
}

/// Handles `audit_core_dumps()`, which runs after audit's exit from a system call.
///
/// # Safety
///
/// `args` are those of that function.
pub(super) unsafe fn on_core_dump(args: &Args) -> bool {
    // It records none of these.
    args.number(0) != bindings::SIGQUIT as c_ulong && wants_event()
}

/// Begins an event with `NS_INFO`, unless `current` is in one. `NS_INFO` comes first: readers take
/// some types of record for the last of their event.
fn event_with_info(module: &ModuleRef) -> Option<Event> {
    let event = Event::begin()?;
    if let Some(info) = current_info() {
        info::record_current(&info, Wait::Allowed(module));
    }
    Some(event)
}

/// Wraps a function that emits a record outside of any event: it gets one, with `NS_INFO`.
///
/// # Safety
///
/// To be called by the trampoline, after the entry hook has taken a reference to the module.
pub(super) unsafe extern "C" fn wrap_event(
    a1: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    // SAFETY: By the safety requirements.
    let module = unsafe { ModuleRef::from_leaked() };
    let event = event_with_info(&module);
    // SAFETY: By the safety requirements.
    let result = unsafe { bindings::dmns_call_original(a1, a2, a3, body) };
    if let Some(event) = event {
        event.end(Wait::Allowed(&module));
    }
    result
}

/// Wraps a message from user space: it joins the event of the system call that sends it, or gets
/// one, with `NS_INFO`.
///
/// # Safety
///
/// To be called by the trampoline, after the entry hook has taken a reference to the module.
pub(super) unsafe extern "C" fn wrap_message(
    _context: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    // SAFETY: By the safety requirements.
    let module = unsafe { ModuleRef::from_leaked() };
    // The record that is started takes its stamp along.
    let _event = event_with_info(&module);
    let context = event::context() as c_ulong;
    // SAFETY: By the safety requirements. The context is that of `current`, or null.
    unsafe { bindings::dmns_call_original(context, a2, a3, body) }
}
