// SPDX-License-Identifier: GPL-2.0-only

//! Device mapper: replaces both functions of `drivers/md/dm-audit.c`.

use crate::audit::{
    pending,
    Wait, //
};
use crate::bindings;
use crate::dm;
use crate::lifetime::{
    HandlerGuard,
    ModuleRef, //
};
use crate::nsfs::{
    major,
    minor, //
};
use crate::uapi::dm::{
    Dev,
    Event, //
};
use kernel::prelude::*;

/// Replaces `dm_audit_log_ti()`.
///
/// # Safety
///
/// As for the original: `module` and `op` are NUL-terminated strings, `ti` is a target in a table.
pub(super) unsafe extern "C" fn replace_dm_audit_log_ti(
    audit_type: c_int,
    module: *const c_char,
    op: *const c_char,
    ti: *mut bindings::dm_target,
    result: c_int,
) {
    let guard = HandlerGuard::new();
    // SAFETY: By the safety requirements `ti` is valid and in a table. The table belongs to a
    // mapped device, which holds its disk.
    let (dev, error) = unsafe {
        let disk = bindings::dm_disk(bindings::dm_table_get_md((*ti).table));
        let dev = Dev {
            major: (*disk).major as u32,
            minor: (*disk).first_minor as u32,
        };
        (dev, (*ti).error)
    };
    let event = Event {
        // SAFETY: By the safety requirements.
        module: unsafe { CStr::from_char_ptr(module) }.to_bytes(),
        // SAFETY: By the safety requirements.
        op: unsafe { CStr::from_char_ptr(op) }.to_bytes(),
        dev,
        result,
    };
    match audit_type as u32 {
        bindings::AUDIT_DM_CTRL => {
            // SAFETY: A target sets `error` to a string constant, or leaves it null.
            let error = (!error.is_null()).then(|| unsafe { CStr::from_char_ptr(error) });
            let text = dm::control(&event, error.map(CStr::to_bytes));
            if let Some(text) = text {
                // The worker of a deferred removal holds no lock. A task in an ioctl may hold
                // `md->type_lock`: memory ran out, or the module is being loaded.
                let worker = !pending::returns_to_user();
                match worker.then(ModuleRef::get).flatten() {
                    Some(module) => {
                        drop(guard);
                        pending::emit_now(text, Wait::Allowed(&module));
                    }
                    // The guard alone keeps the module, and nothing waits.
                    None => pending::emit_now(text, Wait::Never),
                }
            }
        }
        bindings::AUDIT_DM_EVENT => dm::violation(&event, None),
        // The original takes no other type either.
        _ => {}
    }
}

/// Replaces `dm_audit_log_bio()`.
///
/// # Safety
///
/// As for the original: `module` and `op` are NUL-terminated strings, `bio` is valid and has a
/// device.
pub(super) unsafe extern "C" fn replace_dm_audit_log_bio(
    module: *const c_char,
    op: *const c_char,
    bio: *mut bindings::bio,
    sector: bindings::sector_t,
    result: c_int,
) {
    let _guard = HandlerGuard::no_sleep();
    // SAFETY: By the safety requirements.
    let dev = unsafe { (*(*bio).bi_bdev).bd_dev };
    let event = Event {
        // SAFETY: By the safety requirements.
        module: unsafe { CStr::from_char_ptr(module) }.to_bytes(),
        // SAFETY: By the safety requirements.
        op: unsafe { CStr::from_char_ptr(op) }.to_bytes(),
        dev: Dev {
            major: major(dev),
            minor: minor(dev),
        },
        result,
    };
    dm::violation(&event, Some(sector));
}
