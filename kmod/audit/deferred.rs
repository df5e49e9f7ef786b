// SPDX-License-Identifier: GPL-2.0-only

//! Deferred records: a worker emits them, in the order in which they were deferred, but creations of namespaces first,
//! and waits for auditd in place of the tasks that caused them.
//!
//! A record's time and serial number are those of its emission. It stands alone.

use super::draft::Text;
use super::Wait;
use crate::bindings;
use crate::counters::{
    self,
    Fate, //
};
use crate::uapi::types::RecordType;
use core::ptr::null_mut;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::time::msecs_to_jiffies;

/// At most this many are deferred at the same time; each takes 256 bytes.
const AT_MOST: usize = 1 << 16;

/// The drafts that the worker has not taken yet, the youngest first: creations of namespaces, and others.
static CREATIONS: Atomic<*mut Text> = Atomic::new(null_mut());
static OTHERS: Atomic<*mut Text> = Atomic::new(null_mut());

/// How many are deferred.
static COUNT: Atomic<usize> = Atomic::new(0);

/// Whether records wait for others that come before them: see [`hold_back`].
static HELD_BACK: Atomic<bool> = Atomic::new(false);

/// Whether the module is being unloaded: the worker must not wait for auditd any more.
static LEAVING: Atomic<bool> = Atomic::new(false);

/// Lets the worker emit a record. Callable from any context.
pub(super) fn defer(text: KBox<Text>) {
    if COUNT.load(Relaxed) >= AT_MOST {
        kernel::pr_warn_once!(
            "{} records are deferred: further ones are dropped, and counted (no_room)\n",
            AT_MOST
        );
        counters::count(text.ty, Fate::NoRoom);
        return;
    }
    COUNT.fetch_add(1, Relaxed);
    counters::deferred(text.ty, 1);
    let list = match text.ty {
        RecordType::NsInit(_) => &CREATIONS,
        _ => &OTHERS,
    };
    let text = KBox::into_raw(text);
    let mut first = list.load(Relaxed);
    loop {
        // SAFETY: `text` was a box just now, and is not in the list yet: nobody else has it.
        unsafe { (*text).next = first };
        match list.cmpxchg(first, text, Release) {
            Ok(_) => break,
            Err(other) => first = other,
        }
    }
    // Who puts the first one wakes the worker, which takes all that are there by then.
    if first.is_null() {
        // SAFETY: The worker was started before anything was attached, and goes when nothing is any more.
        unsafe { bindings::dmns_worker_wake() };
    }
}

/// Lets the worker emit nothing until it is called with `false`. To be called between [`Worker::start`] and the end of
/// the worker.
pub(crate) fn hold_back(yes: bool) {
    HELD_BACK.store(yes, Relaxed);
    if !yes {
        // SAFETY: The worker was started, and has not ended.
        unsafe { bindings::dmns_worker_wake() };
    }
}

/// Takes all drafts out of `list`, the oldest first.
fn take(list: &Atomic<*mut Text>) -> *mut Text {
    let mut youngest = list.xchg(null_mut(), Acquire);
    let mut oldest = null_mut();
    while !youngest.is_null() {
        let text = youngest;
        // SAFETY: What was in the list are boxes that were given away in `defer()`; they are ours alone now.
        youngest = unsafe { (*text).next };
        // SAFETY: As above.
        unsafe { (*text).next = oldest };
        oldest = text;
    }
    oldest
}

/// The worker.
#[no_mangle]
extern "C" fn dmns_emit_deferred(_work: *mut bindings::work_struct) {
    if HELD_BACK.load(Relaxed) {
        return;
    }
    // The creation of what is deleted here was deferred before, or while the worker was held back: it is taken too, if it
    // is not emitted yet.
    let others = take(&OTHERS);
    for mut next in [take(&CREATIONS), others] {
        while !next.is_null() {
            // SAFETY: `take()` returns boxes that nobody else has; each is made a box again once.
            let text = unsafe { KBox::from_raw(next) };
            next = text.next;
            emit(&text);
            counters::deferred(text.ty, -1);
            COUNT.fetch_sub(1, Relaxed);
        }
    }
}

/// Emits one record, and waits as long as it takes.
///
/// audit refuses a record when its backlog stayed full for `backlog_wait_time`. It is not lost by that: the worker
/// tries again. It gives up where audit refuses without having waited: by a rule that excludes the type, for want of
/// memory, or with a `backlog_wait_time` of 0, with which audit drops rather than waits.
fn emit(text: &Text) {
    loop {
        let wait = if LEAVING.load(Relaxed) {
            Wait::Never
        } else {
            Wait::Allowed
        };
        let began = jiffies();
        match text.emit(wait) {
            Ok(()) => return,
            Err(Fate::Refused) if jiffies().wrapping_sub(began) >= msecs_to_jiffies(10) => {
                counters::count(text.ty, Fate::Retried);
            }
            Err(fate) => {
                counters::count(text.ty, fate);
                return;
            }
        }
    }
}

fn jiffies() -> c_ulong {
    // SAFETY: `jiffies` is an integer that lives as long as the kernel, and C reads it without a lock.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// The worker, as long as this lives. Nothing may be deferred before or after.
///
/// When it is dropped, what is still deferred is emitted without waiting for auditd. May sleep.
pub(crate) struct Worker(());

impl Worker {
    /// Starts the worker.
    pub(crate) fn start() -> Result<Self> {
        // SAFETY: The init function of a module may sleep.
        if unsafe { bindings::dmns_worker_start() } {
            Ok(Self(()))
        } else {
            pr_err!("the worker that emits deferred records cannot start (ENOMEM)\n");
            Err(ENOMEM)
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        LEAVING.store(true, Relaxed);
        hold_back(false);
        // SAFETY: The worker was started. The init and the exit function of a module may sleep.
        unsafe { bindings::dmns_worker_flush() };
        // SAFETY: As above; nothing is deferred any more.
        unsafe { bindings::dmns_worker_stop() };
    }
}
