// SPDX-License-Identifier: GPL-2.0-only

//! The workers that emit deferred records. Each is on an ordered queue of its own, and so runs once
//! at a time.

use crate::audit::deferred::{
    self,
    Taken, //
};
use crate::audit::{
    creation_in_flight,
    pending,
    Class, //
};
use crate::baseline::{
    self,
    Baseline, //
};
use crate::bindings;
use crate::ffi::ffi_export;
use crate::lifetime;
use crate::read_once::jiffies;
use kernel::prelude::*;
use kernel::sync::global_lock;

ffi_export!(dmns_emit_dm, dmns_emit_ns, dmns_defer_old);

/// The interval, in jiffies, at which the worker checks deletions that wait for their creation.
const LOOK_AGAIN: c_ulong = bindings::HZ as c_ulong / 10;

/// The state that the worker of namespaces keeps between two runs.
struct Kept {
    baseline: Option<Baseline>,
    taken: Taken,
}

global_lock! {
    // SAFETY: Initialised by `init()`, before the workers start.
    unsafe(uninit) static KEPT: Mutex<Kept> = Kept {
        baseline: None,
        taken: Taken::new(),
    };
}

/// Prepares what the workers keep.
///
/// # Safety
///
/// To be called once, before the workers start.
pub(crate) unsafe fn init() {
    // SAFETY: By the safety requirements.
    unsafe { KEPT.init() };
}

/// Emits the deferred records of device mapper and of the module's configuration.
///
/// # Safety
///
/// To be called by the queue of this class alone.
#[no_mangle]
unsafe extern "C" fn dmns_emit_dm(_work: *mut bindings::work_struct) {
    if lifetime::loading() {
        return;
    }
    // SAFETY: This is the worker of device mapper.
    unsafe { deferred::emit_dm() };
}

/// Emits the baseline in parts, and the deferred records of namespaces between these.
///
/// # Safety
///
/// To be called by the queue of this class alone.
#[no_mangle]
unsafe extern "C" fn dmns_emit_ns(_work: *mut bindings::work_struct) {
    if lifetime::loading() {
        return;
    }
    let mut kept = KEPT.lock();
    let Kept { baseline, taken } = &mut *kept;
    taken.retry();
    let mut retried = jiffies();
    loop {
        if jiffies().wrapping_sub(retried) >= LOOK_AGAIN {
            taken.retry();
            retried = jiffies();
        }
        // While not all functions are attached, or auditing is off, records of namespaces that the
        // baseline may have wait for it.
        taken.take(baseline::reading());
        if baseline.is_none() && Baseline::is_wanted() {
            let mut next = Baseline::begin();
            // What was caused before comes first: the list lacks what is deleted.
            taken.take(true);
            taken.retry();
            // SAFETY: This is the worker of namespaces.
            while unsafe { taken.emit_round(creation_in_flight) } {}
            next.read(taken);
            // The first part is recorded before a creation can belong to its event again.
            // SAFETY: This is the worker of namespaces.
            let more = unsafe { next.record_some() };
            if Baseline::list_is_read() {
                // Also where auditing is off by now: deletions do not stay behind from here on.
                taken.take(false);
            }
            *baseline = more.then_some(next);
            continue;
        }
        let recorded = baseline
            .as_mut()
            // SAFETY: This is the worker of namespaces.
            .is_some_and(|next| !unsafe { next.record_some() });
        if recorded {
            *baseline = None;
            taken.retry();
        }
        let wait = |id| {
            creation_in_flight(id) || baseline.as_ref().is_some_and(|baseline| baseline.has(id))
        };
        // SAFETY: This is the worker of namespaces.
        let emitted = unsafe { taken.emit_round(wait) };
        if !emitted && baseline.is_none() && !Baseline::is_wanted() {
            break;
        }
    }
    if taken.waits() {
        Class::Ns.wake(LOOK_AGAIN);
    }
}

/// Defers records that are pending for too long.
///
/// # Safety
///
/// To be called by the work of its own alone.
#[no_mangle]
unsafe extern "C" fn dmns_defer_old(_work: *mut bindings::work_struct) {
    if pending::defer_old() {
        // SAFETY: The workers run.
        unsafe { bindings::dmns_age_soon() };
    }
}
