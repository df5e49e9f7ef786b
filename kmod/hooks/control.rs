// SPDX-License-Identifier: GPL-2.0-only

//! Changes of audit's configuration: it may be switched on or off, or locked.

use crate::bindings;
use crate::ftrace::Args;
use crate::lifetime::{
    self,
    ModuleRef, //
};
use crate::{
    baseline,
    config,
    task, //
};
use kernel::prelude::*;

/// `audit_receive()`: a message to audit, which may change its configuration. Then a reference to
/// the module is taken.
///
/// # Safety
///
/// None: it looks at no argument.
pub(super) unsafe fn on_message(_: &Args) -> bool {
    // Others than these change nothing, and do not hold the module.
    !lifetime::pinned()
        && task::may_send_control()
        && ModuleRef::get().map(ModuleRef::leak).is_some()
}

/// Wraps a message to audit.
///
/// # Safety
///
/// To be called by the trampoline, after the entry hook has taken a reference to the module.
pub(super) unsafe extern "C" fn wrap_message(
    a1: c_ulong,
    a2: c_ulong,
    a3: c_ulong,
    body: *const c_void,
) -> c_ulong {
    // SAFETY: By the safety requirements.
    let _module = unsafe { ModuleRef::from_leaked() };
    // SAFETY: By the safety requirements.
    let result = unsafe { bindings::dmns_call_original(a1, a2, a3, body) };
    baseline::auditing_changed();
    config::pin_if_locked();
    result
}
