// SPDX-License-Identifier: GPL-2.0-only

//! The baseline: the namespaces that exist when records begin, when the module is loaded and when
//! auditing is switched on. The worker of namespaces records each once.
//!
//! While the kernel's list is being read, handlers defer their records instead of adding them to
//! the event. So the worker compares the list with the queue, in one place and without a lock:
//!
//! - A handler queues a creation before the namespace is in the list. If the list has it, the queue
//!   has its creation.
//! - A handler queues a deletion before the namespace leaves the list. If neither the list nor the
//!   queue has its creation, it existed before, and is part of the baseline.
//!
//! Recording takes longer than reading. Meanwhile only the deletions of what is still to be
//! recorded wait.

use crate::audit::deferred::{
    Batch,
    Taken, //
};
use crate::audit::{
    self,
    pending,
    Class, //
};
use crate::bindings::{
    self,
    dmns_namespace, //
};
use crate::{
    ns,
    task, //
};
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};

/// The records of one event. libauparse ends an event two seconds after its time.
const PER_EVENT: usize = 64;

/// The state: the number of the reading, times [`ONE`], and one of those below, with or without
/// [`INTERRUPTED`].
static STATE: Atomic<u32> = Atomic::new(OFF);

/// The handlers of namespaces do nothing: the module is being unloaded, or does not record
/// namespaces.
const OFF: u32 = 0;
/// The baseline is recorded, or its list has been read.
const READ: u32 = 1;
/// The baseline is to be read once auditing is on.
const WANTED: u32 = 2;
/// The same, but not all functions are attached yet.
const ATTACHING: u32 = 3;
/// Auditing was off since the list began to be read: the list lacks what was created meanwhile.
const INTERRUPTED: u32 = 4;

/// The first reading.
const ONE: u32 = 8;

/// What [`done`] returns at the end.
pub(crate) const ALL: u32 = u32::MAX;

fn without_number(state: u32) -> u32 {
    state % INTERRUPTED
}

/// Changes the state as `change` says, if it does. Fully ordered then.
fn update(change: impl Fn(u32) -> Option<u32>) {
    let mut before = STATE.load(Relaxed);
    while let Some(after) = change(before) {
        match STATE.cmpxchg(before, after, Full) {
            Ok(_) => return,
            Err(now) => before = now,
        }
    }
}

/// The number of namespaces that are still to be recorded.
static LEFT: Atomic<usize> = Atomic::new(0);

/// Writes how far the baseline is.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let left = LEFT.load(Relaxed);
    match without_number(STATE.load(Relaxed)) {
        OFF => f.write_str("off\n"),
        WANTED | ATTACHING if !audit::enabled() => f.write_str("waits for auditing\n"),
        WANTED | ATTACHING => f.write_str("reading\n"),
        _ if left != 0 => writeln!(f, "recording {left}"),
        _ => f.write_str("recorded\n"),
    }
}

/// Returns whether the handlers of namespaces record. They do not while the module is being
/// unloaded: one of them may be detached before the other.
pub(crate) fn namespaces_wanted() -> bool {
    STATE.load(Relaxed) != OFF
}

fn number_of(state: u32) -> Option<u32> {
    matches!(without_number(state), WANTED | ATTACHING).then_some(state / ONE)
}

/// Returns the number of the reading that the kernel's list is to be read for, or is being read for; 0
/// for none. Handlers then defer their records.
pub(crate) fn reading() -> u32 {
    number_of(STATE.load(Acquire)).unwrap_or(0)
}

/// Returns the number of the last reading that is done.
pub(crate) fn done() -> u32 {
    let state = STATE.load(Acquire);
    match number_of(state) {
        Some(number) => number - 1,
        None if state == OFF => ALL,
        None => state / ONE,
    }
}

/// Returns whether a part of the list is still to be recorded. To be called after [`reading`], which
/// returned 0.
pub(crate) fn recording() -> bool {
    LEFT.load(Relaxed) != 0
}

/// Begins to record namespaces. To be called before anything is attached.
pub(crate) fn begin() {
    STATE.store(ONE + ATTACHING, Release);
}

/// Lets the worker read the baseline. To be called when all functions are attached.
pub(crate) fn attached() {
    update(|state| {
        let attaching = without_number(state) == ATTACHING;
        attaching.then(|| state - ATTACHING + WANTED)
    });
    auditing_changed();
}

/// Ends to record namespaces: the module is about to detach.
pub(crate) fn end() {
    STATE.store(OFF, Relaxed);
}

/// Lets the worker read the baseline, if auditing is on and that has not been done since. To be
/// called when auditing may have been switched on or off.
pub(crate) fn auditing_changed() {
    if !namespaces_wanted() {
        return;
    }
    if !audit::enabled() {
        // While auditing is off nothing is recorded. The next list has the namespaces that exist
        // then.
        interrupt();
    }
    wake();
}

/// Notes that a change was not recorded, since auditing was off. Callable from any context.
pub(crate) fn missed() {
    interrupt();
    wake();
}

/// Lets the list be read again, when auditing is on.
fn interrupt() {
    update(|state| match without_number(state) {
        OFF => None,
        READ => Some(state - READ + WANTED + ONE),
        _ => Some(state | INTERRUPTED),
    });
}

/// Lets the worker read the list, if that is wanted and auditing is on. Another task may have changed
/// either meanwhile, and then wakes the worker itself.
fn wake() {
    let state = STATE.fetch_add(0, Full);
    if number_of(state).is_some() && audit::enabled() {
        Class::Ns.wake(0);
    }
}

/// The part of the baseline that is still to be recorded, in the order of ids.
pub(crate) struct Baseline {
    list: KVVec<dmns_namespace>,
    recorded: usize,
    /// The namespaces of which tasks emitted the creation when the list was read: their ids.
    being_created: KVVec<dmns_namespace>,
}

impl Baseline {
    /// Returns whether the baseline is to be read now.
    pub(crate) fn is_wanted() -> bool {
        without_number(STATE.load(Acquire)) == WANTED && audit::enabled()
    }

    /// Begins a baseline: waits for calls that began before, and defers pending records. May sleep.
    pub(crate) fn begin() -> Self {
        update(|state| (state & INTERRUPTED != 0).then_some(state & !INTERRUPTED));
        if !audit::enabled() {
            interrupt();
        }
        // Tasks that entered `__ns_tree_add_raw()` or `__ns_tree_remove()` before these were
        // patched have updated the list: neither function sleeps on its way there.
        // SAFETY: The worker may sleep.
        unsafe { bindings::synchronize_rcu_tasks() };
        // Handlers that read the previous state have added their records to their events.
        // SAFETY: As above.
        unsafe { bindings::dmns_handlers_wait() };
        pending::defer_all_pending();
        let mut being_created = KVVec::new();
        let keep = |id| {
            let creation = dmns_namespace {
                id,
                ..Default::default()
            };
            Ok(being_created.push(creation, GFP_KERNEL)?)
        };
        if pending::for_each_creation(keep).is_err() {
            pr_err!("out of memory: a namespace may be recorded twice\n");
        }
        Self {
            list: KVVec::new(),
            recorded: 0,
            being_created,
        }
    }

    /// Reads the kernel's list. `queued` are the texts that were queued until then: those of readings
    /// after the one that is `done` belong to this one. Returns whether there was memory for it. May
    /// sleep.
    pub(crate) fn read(&mut self, queued: &mut Taken, done: u32) -> bool {
        let list = read_list();
        queued.take(done);
        match list.and_then(|list| merge(list, core::mem::take(&mut self.being_created), queued)) {
            Ok(list) => {
                LEFT.store(list.len(), Relaxed);
                self.list = list;
                true
            }
            Err(e) => {
                pr_err!(
                    "namespaces that exist are not recorded ({:?}): unload, then load again\n",
                    e
                );
                false
            }
        }
    }

    /// Lets creations belong to their events again. The first part of the list is recorded: no
    /// creation that it lacks comes before it. Where auditing was off meanwhile, the list is read again.
    /// May sleep.
    pub(crate) fn list_is_read() {
        if audit::enabled() {
            update(|state| (state % ONE == WANTED).then(|| state - WANTED + READ));
        }
        // Handlers that read the previous state have queued their records.
        // SAFETY: The worker may sleep.
        unsafe { bindings::dmns_handlers_wait() };
    }

    /// Returns whether the namespace `id` is still to be recorded.
    pub(crate) fn has(&self, id: u64) -> bool {
        has(&self.list[self.recorded..], id)
    }

    /// Records as many as fit into an event. Returns whether there are more.
    ///
    /// # Safety
    ///
    /// Only the worker of namespaces calls this.
    pub(crate) unsafe fn record_some(&mut self) -> bool {
        let end = self.list.len().min(self.recorded + PER_EVENT);
        // SAFETY: By the safety requirements. Nothing else is emitted before `end()`.
        let batch = unsafe { Batch::begin() };
        for found in &self.list[self.recorded..end] {
            if let Some(namespace) = task::from_raw(found.type_, found.inum, found.id) {
                ns::exists(&namespace, found.owner, &batch);
            }
        }
        batch.end();
        self.recorded = end;
        LEFT.store(self.list.len() - end, Relaxed);
        end < self.list.len()
    }
}

/// Removes from `list` the namespaces in `created` and those that `queued` has a creation of. Adds
/// those that `queued` has only a deletion of.
fn merge(
    mut list: KVVec<dmns_namespace>,
    mut created: KVVec<dmns_namespace>,
    queued: &Taken,
) -> Result<KVVec<dmns_namespace>> {
    let mut deleted = KVVec::new();
    queued.for_each_change(|creation, namespace, owner| {
        let change = dmns_namespace {
            id: namespace.id,
            owner,
            type_: namespace.kind.clone_flag(),
            inum: namespace.inum,
        };
        let changes = if creation { &mut created } else { &mut deleted };
        Ok(changes.push(change, GFP_KERNEL)?)
    })?;
    sort_by_id(&mut created);
    list.retain(|found| !has(&created, found.id));
    let listed = list.len();
    for gone in deleted {
        if !has(&list[..listed], gone.id) && !has(&created, gone.id) {
            list.push(gone, GFP_KERNEL)?;
        }
    }
    sort_by_id(&mut list);
    Ok(list)
}

/// Returns whether `sorted` has the namespace `id`.
fn has(sorted: &[dmns_namespace], id: u64) -> bool {
    sorted.binary_search_by_key(&id, |found| found.id).is_ok()
}

/// Sorts by id. objtool does not know the ends of the functions of `core` that sort.
fn sort_by_id(all: &mut [dmns_namespace]) {
    // SAFETY: There are as many.
    unsafe { bindings::dmns_sort_by_id(all.as_mut_ptr(), all.len()) };
}

/// Returns the kernel's list, in the order of ids. May sleep.
fn read_list() -> Result<KVVec<dmns_namespace>> {
    let mut room = 64;
    loop {
        let mut all = KVVec::<dmns_namespace>::with_capacity(room, GFP_KERNEL)?;
        let spare = all.spare_capacity_mut();
        let capacity = spare.len();
        // SAFETY: There is room for `capacity` of them.
        let found = unsafe { bindings::dmns_namespaces(spare.as_mut_ptr().cast(), capacity) };
        if found <= capacity {
            // SAFETY: As many were written.
            unsafe { all.inc_len(found) };
            return Ok(all);
        }
        // More may come meanwhile.
        room = found + found / 8 + 64;
    }
}
