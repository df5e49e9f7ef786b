// SPDX-License-Identifier: GPL-2.0-only

//! Sections: calls of a task into the kernel during which it takes and drops locks. Records that belong to the call
//! are held meanwhile, and emitted when it returns: in its event, in order, and nobody else waits with the task.

use super::deferred;
use super::draft::Text;
use super::Wait;
use crate::bindings;
use crate::counters::{
    self,
    Fate, //
};
use core::ptr::null_mut;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::global_lock;
use kernel::task::Task;

/// A call that a task is in. It lives on the task's stack.
struct Section {
    task: *mut bindings::task_struct,
    /// In [`OPEN`].
    next: *mut Section,
    /// The drafts that are held, the oldest first.
    first: *mut Text,
    last: *mut Text,
}

/// All sections, whose tasks are in them.
struct Open(*mut Section);

// SAFETY: The list is only touched under the lock that it is in. What else is in a section, only its task touches.
unsafe impl Send for Open {}

global_lock! {
    // SAFETY: Initialised by `init()`, before anything is attached.
    unsafe(uninit) static OPEN: SpinLock<Open> = Open(null_mut());
}

/// How many sections there are: mostly none, and then there is nothing to lock.
static COUNT: Atomic<usize> = Atomic::new(0);

/// To be called once, before anything is attached.
pub(crate) fn init() {
    // SAFETY: Called once, and nobody has locked it yet.
    unsafe { OPEN.init() };
}

/// Does `call`. What `current` [holds](super::Draft::hold_or_defer) during it is emitted afterwards; the caller holds no lock,
/// may sleep, and belongs to the event of the call.
pub(crate) fn section<R>(call: impl FnOnce() -> R) -> R {
    let mut section = Section {
        task: Task::current_raw(),
        next: null_mut(),
        first: null_mut(),
        last: null_mut(),
    };
    let this = &raw mut section;
    COUNT.fetch_add(1, Relaxed);
    {
        let mut open = OPEN.lock();
        // SAFETY: `section` is on this stack, and leaves the list before this function returns.
        unsafe { (*this).next = open.0 };
        open.0 = this;
    }
    let result = call();
    {
        let mut open = OPEN.lock();
        let mut link = &raw mut open.0;
        // SAFETY: The list is valid under the lock, and `this` is in it.
        while unsafe { *link } != this {
            // SAFETY: As above.
            link = unsafe { &raw mut (**link).next };
        }
        // SAFETY: As above.
        unsafe { *link = (*this).next };
    }
    COUNT.fetch_sub(1, Relaxed);
    // SAFETY: Nobody finds the section any more; it is valid.
    let mut next = unsafe { (*this).first };
    while !next.is_null() {
        // SAFETY: What a section holds are boxes that were given away in `hold()`; each is taken once.
        let text = unsafe { KBox::from_raw(next) };
        next = text.next;
        emit(text);
    }
    result
}

/// Emits what a section held.
fn emit(text: KBox<Text>) {
    match text.emit(Wait::Allowed) {
        Ok(()) => {}
        // Nobody but the task itself can add who it is.
        Err(Fate::Refused | Fate::RefusedNoWait) if !text.has_task_info() => {
            counters::count(text.ty, Fate::Retried);
            deferred::defer(text);
        }
        Err(fate) => counters::count(text.ty, fate),
    }
}

/// The section that `current` is in; null if there is none.
fn current() -> *mut Section {
    // SAFETY: Reads the preemption count; no requirements. The lock is never taken in an interrupt, which could have
    // interrupted who holds it.
    if COUNT.load(Relaxed) == 0 || !unsafe { bindings::dmns_in_task() } {
        return null_mut();
    }
    let task = Task::current_raw();
    let open = OPEN.lock();
    let mut section = open.0;
    // SAFETY: The list is valid under the lock.
    while !section.is_null() && unsafe { (*section).task } != task {
        // SAFETY: As above.
        section = unsafe { (*section).next };
    }
    section
}

/// Whether `current` is in a section. Callable from any context.
pub(crate) fn in_section() -> bool {
    !current().is_null()
}

/// Holds a draft until the section ends that `current` is in; gives it back if there is none.
pub(super) fn hold(text: KBox<Text>) -> Result<(), KBox<Text>> {
    let section = current();
    if section.is_null() {
        return Err(text);
    }
    let text = KBox::into_raw(text);
    // SAFETY: The section is `current`'s, which is in it: it is valid, and nobody else touches what it holds. The
    // last draft is valid, and ours.
    unsafe {
        if (*section).last.is_null() {
            (*section).first = text;
        } else {
            (*(*section).last).next = text;
        }
        (*section).last = text;
    }
    Ok(())
}
