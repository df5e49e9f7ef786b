// SPDX-License-Identifier: GPL-2.0-only

//! Surrounded calls: a trampoline asks an observer whether a call shall be surrounded; then it hands the call over,
//! with the address of the function's body, behind the entry that is patched.
//!
//! While the body runs, the module cannot be unloaded. So no call is surrounded that may wait without bound.

use super::alive;
use super::handlers::{
    current_info,
    exported,
    Handling, //
};
use super::pinned;
use super::selection::current_left_out;
use crate::audit::event::{
    self,
    Event, //
};
use crate::audit::{
    in_section,
    section, //
};
use crate::bindings;
use crate::uapi::ns::Kind;
use crate::{
    config,
    info, //
};
use kernel::prelude::*;

exported!(
    dmns_observe_dm_ioctl,
    dmns_observe_clone,
    dmns_observe_unshare,
    dmns_observe_mount,
    dmns_observe_audit_message,
    dmns_observe_seccomp,
    dmns_observe_core_dump,
    dmns_observe_audit_receive,
    dmns_around_section,
    dmns_around_event,
    dmns_around_audit_message,
    dmns_around_audit_receive,
);

/// All `CLONE_NEW*` flags.
const NEW: u64 = {
    let mut flags = 0;
    let mut k = 0;
    while k < Kind::ALL.len() {
        flags |= Kind::ALL[k].clone_flag() as u64;
        k += 1;
    }
    flags
};

/// Device mapper is about to serve an ioctl. All but one come to their end by themselves.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_dm_ioctl(_file: *mut bindings::file, command: c_uint) -> bool {
    let _handling = Handling::begin();
    command != bindings::DMNS_DM_DEV_WAIT && !in_section()
}

/// `copy_namespaces()`: `current` makes a child.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_clone(flags: u64) -> bool {
    let _handling = Handling::begin();
    if info::wanted() && current_info().children_elsewhere() {
        info::changes(|| false);
    }
    flags & NEW != 0
}

/// `ksys_unshare()`.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_unshare(flags: c_ulong) -> bool {
    let _handling = Handling::begin();
    // `UNSHARE_EMPTY_MNTNS` makes a mount namespace too.
    flags as u64 & (NEW | u64::from(bindings::CLONE_PARENT_SETTID)) != 0
}

/// What makes a mount namespace that its maker need not enter.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_mount() -> bool {
    let _handling = Handling::begin();
    !in_section()
}

/// `audit_log_common_recv_msg()` is about to start the record of a message from user space, with the audit context that
/// it is handed: with null, the message is an event of its own.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_audit_message(context: *mut bindings::audit_context) -> bool {
    let _handling = Handling::begin();
    context.is_null() && joins()
}

/// `audit_seccomp()`: before audit's entry into a system call.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_seccomp() -> bool {
    let _handling = Handling::begin();
    joins()
}

/// `audit_core_dumps()`: behind audit's exit from a system call.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_core_dump(signal: c_long) -> bool {
    let _handling = Handling::begin();
    // It records none of these.
    signal != bindings::SIGQUIT as c_long && joins()
}

/// `audit_receive()`: a message to audit, which may lock its configuration.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_audit_receive() -> bool {
    let _handling = Handling::begin();
    !pinned()
}

/// A call in which records are held, and emitted at its end. The caller holds no lock: an ioctl, or what `clone()`,
/// `unshare()`, `open_tree()` and `fsmount()` do.
///
/// # Safety
///
/// As for [`bindings::dmns_body`].
#[no_mangle]
unsafe extern "C" fn dmns_around_section(
    a1: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    let _handling = Handling::begin();
    // SAFETY: By the safety requirements.
    section(|| unsafe { bindings::dmns_body(a1, a2, a3, body) })
}

/// Whether a record outside of any event gets one, with `NS_INFO`.
fn joins() -> bool {
    !current_left_out() && info::joins(current_info)
}

/// Begins an event, unless `current` is in one, with `NS_INFO` first: readers take some types of record for the last of
/// their event.
fn event_with_info() -> Option<Event> {
    let event = Event::begin()?;
    info::record_current(&current_info());
    Some(event)
}

/// A call that emits a record outside of any event: it gets one, with `NS_INFO`.
///
/// # Safety
///
/// As for [`bindings::dmns_body`].
#[no_mangle]
unsafe extern "C" fn dmns_around_event(
    a1: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    let _handling = Handling::begin();
    let event = event_with_info();
    // SAFETY: By the safety requirements.
    let result = unsafe { bindings::dmns_body(a1, a2, a3, body) };
    if let Some(event) = event {
        event.end();
    }
    result
}

/// A message from user space joins the event of the system call that sends it, or gets one, with `NS_INFO`.
///
/// # Safety
///
/// As for [`bindings::dmns_body`].
#[no_mangle]
unsafe extern "C" fn dmns_around_audit_message(
    _context: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    let _handling = Handling::begin();
    // The record that is started takes its stamp along.
    let _event = event_with_info();
    // SAFETY: By the safety requirements; the context is that of `current`, or null.
    unsafe { bindings::dmns_body(event::context() as c_ulong, a2, a3, body) }
}

/// A message to audit.
///
/// # Safety
///
/// As for [`bindings::dmns_body`].
#[no_mangle]
unsafe extern "C" fn dmns_around_audit_receive(
    a1: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    let _handling = Handling::begin();
    // SAFETY: By the safety requirements.
    let result = unsafe { bindings::dmns_body(a1, a2, a3, body) };
    // It may have been switched on, or off.
    alive::record();
    config::obey_lock();
    result
}
