// SPDX-License-Identifier: GPL-2.0-only

//! The workers that emit deferred records. Each is on an ordered queue of its own, and so runs once
//! at a time.

use crate::audit::deferred::{
    Class,
    Texts, //
};
use crate::audit::{
    creation_in_flight,
    pending, //
};
use crate::baseline::{
    self,
    Baseline, //
};
use crate::bindings;
use crate::hooks::ffi_export;
use crate::lifetime;
use kernel::prelude::*;
use kernel::sync::global_lock;

ffi_export!(dmns_emit_dm, dmns_emit_ns, dmns_defer_old);

/// The interval, in jiffies, at which the worker checks deletions that wait for their creation.
const LOOK_AGAIN: c_ulong = bindings::HZ as c_ulong / 10;

/// The state that the worker of namespaces keeps between two runs.
struct Kept {
    baseline: Option<Baseline>,
    /// Deletions of namespaces that wait for their creation.
    deletions: Texts,
}

global_lock! {
    // SAFETY: Initialised by `init()`, before the workers start.
    unsafe(uninit) static KEPT: Mutex<Kept> = Kept {
        baseline: None,
        deletions: Texts::new(),
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
    let later = Class::Dm.take().emit(Class::Dm, |_| false);
    debug_assert!(later.is_empty());
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
    let kept = &mut *kept;
    if baseline::reading() && !Baseline::is_wanted() {
        // Not all functions are attached, or auditing is off: records of namespaces that the
        // baseline may have wait for it.
        kept.deletions.append(&mut Class::Ns.take());
        let earlier = kept.deletions.take_earlier();
        kept.deletions
            .append(&mut earlier.emit(Class::Ns, creation_in_flight));
        return;
    }
    if Baseline::is_wanted() {
        let mut baseline = Baseline::begin();
        // Records that were caused before the list is read come first. Their creations are there
        // too, or were emitted.
        kept.deletions.append(&mut Class::Ns.take());
        let earlier = kept.deletions.take_earlier().creations_first();
        let mut later = earlier.emit(Class::Ns, |id| baseline.is_being_created(id));
        kept.deletions.append(&mut later);
        baseline.read(&mut kept.deletions);
        // SAFETY: This is the worker of namespaces.
        let more = unsafe { baseline.record_some() };
        Baseline::list_is_read();
        kept.baseline = more.then_some(baseline);
    }
    loop {
        let more = match &mut kept.baseline {
            // SAFETY: This is the worker of namespaces.
            Some(baseline) => unsafe { baseline.record_some() },
            None => false,
        };
        if !more {
            kept.baseline = None;
        }
        let mut texts = core::mem::replace(&mut kept.deletions, Texts::new());
        texts.append(&mut Class::Ns.take());
        let baseline = kept.baseline.as_ref();
        kept.deletions = texts.emit(Class::Ns, |id| {
            creation_in_flight(id) || baseline.is_some_and(|baseline| baseline.has(id))
        });
        if !more {
            break;
        }
    }
    if !kept.deletions.is_empty() {
        Class::Ns.wake(LOOK_AGAIN);
    }
}

/// Defers records that are pending for too long.
///
/// # Safety
///
/// To be called by the queue of namespaces alone.
#[no_mangle]
unsafe extern "C" fn dmns_defer_old(_work: *mut bindings::work_struct) {
    if pending::defer_old() {
        // SAFETY: The workers run.
        unsafe { bindings::dmns_age_soon() };
    }
}
