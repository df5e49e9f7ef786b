// SPDX-License-Identifier: GPL-2.0-only

//! The namespaces that are alive when records begin: when the module is loaded, and when auditing is switched on. Each
//! is recorded once, before all other records of namespaces.
//!
//! Until then the *window* is open: from before anything is attached, or from when auditing was found off. A namespace
//! that is created meanwhile is recorded with those that are alive, and so is one that is deleted before the kernel's list
//! is read: the handlers note them. Deletions are deferred, and the worker holds deferred records back.

use super::handlers::{
    nsfs,
    plain, //
};
use crate::audit::{
    self,
    event::Event, //
};
use crate::bindings::{
    self,
    dmns_namespace, //
};
use crate::ns;
use crate::uapi::ns::Namespace;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::global_lock;

/// What happens while the window is open.
struct Window {
    /// Those to record that the kernel's list lacked, or may have lacked, when it was read.
    noted: KVec<dmns_namespace>,
    /// A task records those that are alive.
    listing: bool,
    /// The kernel's list has been read: what is deleted from here on is in it, or is noted.
    read: bool,
}

global_lock! {
    // SAFETY: Initialised by `open()`, before anything is attached.
    unsafe(uninit) static WINDOW: SpinLock<Option<Window>> = None;
}

/// Whether the window is open: mostly not, and then there is nothing to lock.
static OPEN: Atomic<bool> = Atomic::new(false);

/// Whether namespaces are recorded at all.
static WANTED: Atomic<bool> = Atomic::new(false);

/// Whether the handlers of namespaces have anything to record: not any more when the module is being unloaded, for
/// then one of them is detached before the other.
pub(super) fn wanted() -> bool {
    WANTED.load(Relaxed)
}

/// Ends the records of namespaces: the module is about to detach.
pub(crate) fn end() {
    WANTED.store(false, Relaxed);
}

/// The window, as long as this lives. It must come before what is attached, and go after.
pub(crate) struct Alive(());

impl Alive {
    /// Opens the window for the first time. To be called once.
    pub(crate) fn begin() -> Self {
        // SAFETY: Called once, and nobody has locked it yet.
        unsafe { WINDOW.init() };
        open();
        WANTED.store(true, Relaxed);
        Self(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        close();
    }
}

/// Opens the window, unless it is open.
fn open() {
    let mut window = WINDOW.lock();
    let window = window.get_or_insert(Window {
        noted: KVec::new(),
        listing: false,
        read: false,
    });
    if !window.listing {
        // While auditing is off none is recorded: those that live on are in the list.
        window.noted.clear();
    }
    OPEN.store(true, Relaxed);
    audit::hold_back(true);
}

/// Closes the window: the worker goes on.
fn close() {
    // What the window held is freed without the lock.
    let window = {
        let mut window = WINDOW.lock();
        OPEN.store(false, Relaxed);
        window.take()
    };
    drop(window);
    audit::hold_back(false);
}

/// A namespace is about to come into the kernel's list. Returns whether its creation is to be recorded by itself.
pub(super) fn born(namespace: &Namespace, owner: u64) -> bool {
    note(namespace, owner, |_| true) != Noted::Yes
}

/// A namespace is about to leave the kernel's list. Returns whether its deletion must be deferred: its creation is still
/// to be recorded.
pub(super) fn died(namespace: &Namespace, owner: u64) -> bool {
    note(namespace, owner, |window| !window.read) != Noted::Closed
}

/// What became of a namespace that was to be noted.
#[derive(PartialEq, Eq)]
enum Noted {
    /// It is recorded with those that are alive.
    Yes,
    /// There was no need to, or no memory.
    No,
    /// The window is closed, or nothing is recorded.
    Closed,
}

fn note(namespace: &Namespace, owner: u64, wanted: impl FnOnce(&Window) -> bool) -> Noted {
    if !OPEN.load(Relaxed) || !audit::enabled() {
        return Noted::Closed;
    }
    let mut window = WINDOW.lock();
    let Some(window) = window.as_mut() else {
        return Noted::Closed;
    };
    if !wanted(window) {
        return Noted::No;
    }
    let this = dmns_namespace {
        id: namespace.id,
        owner,
        type_: namespace.kind.clone_flag(),
        inum: namespace.inum,
    };
    if window.noted.push(this, GFP_ATOMIC).is_err() {
        kernel::pr_warn_once!("out of memory: a namespace may be recorded twice, or not at all\n");
        return Noted::No;
    }
    Noted::Yes
}

/// Records each namespace that is alive, if auditing is on and this has not been done since it is. The caller holds no
/// lock, and may sleep.
pub(crate) fn record() {
    if !WANTED.load(Relaxed) {
        return;
    }
    if !audit::enabled() {
        return open();
    }
    if !OPEN.load(Relaxed) {
        return;
    }
    match WINDOW.lock().as_mut() {
        Some(window) if !window.listing => window.listing = true,
        _ => return,
    }
    // Who was about to add or remove a namespace when the window opened, and was not noted, is done: neither function
    // sleeps on its way into the list.
    // SAFETY: The caller may sleep.
    unsafe { bindings::synchronize_rcu_tasks() };
    let mut listed = read().inspect_err(|e| {
        pr_err!(
            "live namespaces are not recorded ({:?}): unload, then load again\n",
            e
        );
    });
    // What switches auditing on began as a system call of which audit knows nothing.
    let event = Event::begin();
    // Others are created while these are recorded.
    while let Some(noted) = take() {
        let mut all = core::mem::replace(&mut listed, Ok(KVec::new())).unwrap_or_default();
        merge(&mut all, noted);
        // In a section: what audit refuses for now is deferred.
        audit::section(|| {
            for found in &all {
                if let Some(namespace) = plain(found) {
                    ns::alive(&namespace, nsfs(), found.owner);
                }
            }
        });
    }
    if let Some(event) = event {
        event.end();
    }
}

/// Those that were noted since this was asked last; when there are none, the window is closed.
fn take() -> Option<KVec<dmns_namespace>> {
    {
        let mut window = WINDOW.lock();
        let open = window.as_mut()?;
        let noted = core::mem::take(&mut open.noted);
        if !noted.is_empty() || !open.read {
            open.read = true;
            return Some(noted);
        }
        OPEN.store(false, Relaxed);
        *window = None;
    }
    audit::hold_back(false);
    None
}

/// Adds to `all`, which is in the order of ids, those of `noted` that it lacks.
fn merge(all: &mut KVec<dmns_namespace>, noted: KVec<dmns_namespace>) {
    for one in noted {
        if let Err(at) = all.binary_search_by_key(&one.id, |found| found.id) {
            match all.push(one, GFP_KERNEL) {
                Ok(()) => all[at..].rotate_right(1),
                Err(_) => pr_err!("out of memory: a live namespace is not recorded\n"),
            }
        }
    }
}

/// The kernel's list.
fn read() -> Result<KVec<dmns_namespace>> {
    let mut room = 0;
    loop {
        let mut all = KVec::<dmns_namespace>::with_capacity(room, GFP_KERNEL)?;
        let spare = all.spare_capacity_mut();
        let taken = spare.len();
        // SAFETY: There is room for `taken` of them.
        let found = unsafe { bindings::dmns_namespaces(spare.as_mut_ptr().cast(), taken) };
        if found <= taken {
            // SAFETY: As many were written.
            unsafe { all.inc_len(found) };
            return Ok(all);
        }
        // More may come meanwhile.
        room = found + found / 8 + 64;
    }
}
