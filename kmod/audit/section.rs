// SPDX-License-Identifier: GPL-2.0-only

//! Sections: calls of a task into the kernel during which it takes and drops locks. Records that belong to the call
//! are held meanwhile, and emitted when it returns: in its event, in order, and nobody else waits with the task.
//!
//! What a call makes and undoes may be freed by a worker before it returns: the deletion follows the creation.

use super::deferred;
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

/// A power of two: ns_ids are given in turn.
const PLACES: usize = 1024;

/// All sections.
struct Open {
    /// Those whose tasks are in them.
    sections: *mut Section,
    /// The creations of namespaces that are held or being emitted, by ns_id.
    creations: [*mut Text; PLACES],
}

// SAFETY: Who finds a section or a draft from here only touches what links them, under the lock that this is in. The rest is
// their task's.
unsafe impl Send for Open {}

impl Open {
    /// The section that `task` is in; null if there is none.
    fn section(&self, task: *mut bindings::task_struct) -> *mut Section {
        let mut section = self.sections;
        // SAFETY: The list is valid under the lock.
        while !section.is_null() && unsafe { (*section).task } != task {
            // SAFETY: As above.
            section = unsafe { (*section).next };
        }
        section
    }

    /// Where the pointer to `section` is, which is in the list.
    fn link(&mut self, section: *mut Section) -> *mut *mut Section {
        let mut link = &raw mut self.sections;
        // SAFETY: The list is valid under the lock, and `section` is in it.
        while unsafe { *link } != section {
            // SAFETY: As above.
            link = unsafe { &raw mut (**link).next };
        }
        link
    }

    /// Where the pointer to the creation of the namespace `id` is; to null if it is neither held nor being emitted.
    fn creation(&mut self, id: u64) -> *mut *mut Text {
        let mut link = &raw mut self.creations[id as usize % PLACES];
        // SAFETY: What is linked is valid under the lock.
        while unsafe { !(*link).is_null() && (**link).ns_id != id } {
            // SAFETY: As above.
            link = unsafe { (**link).beside.get() };
        }
        link
    }
}

global_lock! {
    // SAFETY: Initialised by `init()`, before anything is attached.
    unsafe(uninit) static OPEN: SpinLock<Open> = Open {
        sections: null_mut(),
        creations: [null_mut(); PLACES],
    };
}

/// How many sections there are, with those that emit what they held: mostly none, and then there is nothing to lock.
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
        unsafe { (*this).next = open.sections };
        open.sections = this;
    }
    let result = call();
    {
        let mut open = OPEN.lock();
        // SAFETY: `this` is in the list, and where it is linked from is valid under the lock.
        unsafe { *open.link(this) = (*this).next };
    }
    // SAFETY: Nobody finds the section any more; it is valid.
    let mut next = unsafe { (*this).first };
    while !next.is_null() {
        // SAFETY: What a section holds are boxes that were given away in `hold()`; each is taken once. Through the table,
        // others only touch `beside` and `then`, under the lock.
        let text = unsafe { KBox::from_raw(next) };
        next = text.next;
        emit(text);
    }
    COUNT.fetch_sub(1, Relaxed);
    result
}

/// Emits what a section held.
fn emit(text: KBox<Text>) {
    if let RecordType::NsDel(kind) = text.ty {
        // Its creation may be among those that audit refused: the worker emits both.
        if counters::any_deferred(RecordType::NsInit(kind)) {
            return deferred::defer(text);
        }
    }
    let emitted = text.emit(Wait::Allowed);
    // Until here, a deletion finds the creation that it follows.
    let mut open = OPEN.lock();
    let link = open.creation(text.ns_id);
    // SAFETY: What is linked is valid under the lock. `then` is a box that was given away in `hold()`.
    let then = unsafe {
        if *link == (&raw const *text).cast_mut() {
            *link = *text.beside.get();
        }
        let then = *text.then.get();
        (!then.is_null()).then(|| KBox::from_raw(then))
    };
    match emitted {
        Ok(()) => {}
        // Nobody but the task itself can add who it is.
        Err(Fate::Refused | Fate::RefusedNoWait) if !text.has_task_info() => {
            counters::count(text.ty, Fate::Retried);
            deferred::defer(text);
        }
        Err(fate) => counters::count(text.ty, fate),
    }
    if let Some(deletion) = then {
        deferred::defer(deletion);
    }
}

/// Whether there may be anything to look for here. Callable from any context.
///
/// The lock is never taken in an interrupt, which could have interrupted who holds it.
fn any() -> bool {
    // SAFETY: Reads the preemption count; no requirements.
    COUNT.load(Relaxed) != 0 && unsafe { bindings::dmns_in_task() }
}

/// Whether `current` is in a section. Callable from any context.
pub(crate) fn in_section() -> bool {
    any() && !OPEN.lock().section(Task::current_raw()).is_null()
}

/// Holds a draft until the section ends that `current` is in, or the deletion of a namespace until its creation is
/// emitted that another section holds; gives it back if there is nothing to wait for.
pub(super) fn hold(text: KBox<Text>) -> Result<(), KBox<Text>> {
    if !any() {
        return Err(text);
    }
    let mut open = OPEN.lock();
    let section = open.section(Task::current_raw());
    let link = open.creation(text.ns_id);
    // SAFETY: What is linked is valid under the lock. A section and what it holds is valid for its task, which is
    // `current`, and nobody else changes what it holds.
    unsafe {
        if matches!(text.ty, RecordType::NsDel(_)) && !(*link).is_null() && !holds(section, *link) {
            *(**link).then.get() = KBox::into_raw(text);
            return Ok(());
        }
        if section.is_null() {
            return Err(text);
        }
        let creation = text.ns_id != 0 && matches!(text.ty, RecordType::NsInit(_));
        let text = KBox::into_raw(text);
        if creation {
            *link = text;
        }
        if (*section).last.is_null() {
            (*section).first = text;
        } else {
            (*(*section).last).next = text;
        }
        (*section).last = text;
    }
    Ok(())
}

/// Whether `section` holds `text`.
///
/// # Safety
///
/// `section` is null, or the one that `current` is in.
unsafe fn holds(section: *const Section, text: *const Text) -> bool {
    if section.is_null() {
        return false;
    }
    // SAFETY: By the safety requirements; the drafts of a section are valid.
    unsafe {
        let mut held = (*section).first;
        while !held.is_null() && held.cast_const() != text {
            held = (*held).next;
        }
        !held.is_null()
    }
}
