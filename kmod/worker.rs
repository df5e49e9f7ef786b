// SPDX-License-Identifier: GPL-2.0-only

//! The workers that emit deferred records. Each is on an ordered queue of its own, and so runs once
//! at a time.

use crate::audit::deferred::{
    self,
    Taken, //
};
use crate::audit::{
    self,
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
use crate::read_once::{
    jiffies,
    HZ, //
};
use core::cell::Cell;
use kernel::prelude::*;
use kernel::sync::global_lock;

ffi_export!(dmns_emit_dm, dmns_emit_ns, dmns_defer_old);

/// The interval, in jiffies, at which the worker checks deletions that wait for their creation.
const LOOK_AGAIN: c_ulong = HZ / 10;

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
    // A deletion waits for its creation, which nothing announces.
    let in_flight = Cell::new(false);
    loop {
        // While not all functions are attached, or auditing is off, records of namespaces that the
        // baseline may have wait for it.
        let done = baseline::done();
        taken.take(done);
        if Baseline::is_wanted() {
            let mut next = Baseline::begin();
            taken.take(done);
            // What was caused before comes first: the list lacks what is deleted. The second time, the
            // creations are emitted for which deletions waited the first time.
            for _ in 0..2 {
                taken.retry();
                // SAFETY: This is the worker of namespaces.
                while unsafe { taken.emit_round(|id| waits(baseline, &in_flight, id)) } {}
            }
            // It replaces the rest of the previous list.
            if next.read(taken, done) {
                // The first part is recorded before a creation can belong to its event again.
                // SAFETY: This is the worker of namespaces.
                let more = unsafe { next.record_some() };
                *baseline = more.then_some(next);
            }
            Baseline::list_is_read();
            taken.retry();
            continue;
        }
        // The rest of a list waits until auditing is on. Then another one replaces it.
        let paused = !audit::enabled() && done != baseline::ALL;
        if !paused && jiffies().wrapping_sub(retried) >= LOOK_AGAIN {
            taken.retry();
            retried = jiffies();
        }
        let recorded = !paused
            && baseline
                .as_mut()
                // SAFETY: This is the worker of namespaces.
                .is_some_and(|next| !unsafe { next.record_some() });
        if recorded {
            *baseline = None;
            taken.retry();
        }
        // SAFETY: This is the worker of namespaces.
        let emitted = unsafe { taken.emit_round(|id| waits(baseline, &in_flight, id)) };
        if !emitted && (paused || baseline.is_none()) {
            break;
        }
    }
    if baseline.is_some() {
        baseline::missed();
    }
    if in_flight.get() {
        Class::Ns.wake(LOOK_AGAIN);
    }
}

/// Returns whether the deletion of a namespace waits: for its creation, which is noted in `in_flight`,
/// or for the baseline.
fn waits(baseline: &Option<Baseline>, in_flight: &Cell<bool>, id: u64) -> bool {
    let waits = creation_in_flight(id);
    if waits {
        in_flight.set(true);
    }
    waits || baseline.as_ref().is_some_and(|baseline| baseline.has(id))
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
