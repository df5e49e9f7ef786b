// SPDX-License-Identifier: GPL-2.0-only

//! Pending records: those of a system call that takes and drops locks. They are emitted where audit
//! ends the event, in order. No lock is held there, so no other task waits with the emitting one.
//!
//! The entry of a task is on the heap, and is found by the address of the task. A task that oopses
//! before the end of its call leaks its entry.
//!
//! `audit_log_exit()` does not run for an event that a rule silences, and a user can let a call
//! sleep for any time before its end. So records that are pending for two seconds are deferred.
//! Records that only the task itself can complete are emitted at the latest when it returns to user
//! space. They hold a reference to the module.

use super::deferred::{
    self,
    wait_for_violations, //
};
use super::event;
use super::hash;
use super::in_flight;
use super::share::Class;
use super::text::{
    RecordText,
    TextList, //
};
use super::{
    Record,
    Wait, //
};
use crate::bindings;
use crate::counters::Outcome;
use crate::lifetime::ModuleRef;
use crate::read_once::{
    jiffies,
    HZ, //
};
use core::ptr::null_mut;
use kernel::alloc::Flags;
use kernel::error::to_result;
use kernel::new_mutex;
use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::sync::{
    Mutex,
    SpinLock, //
};
use kernel::task::Task;
use kernel::types::Opaque;

/// A power of two.
const BUCKETS: usize = 1024;

/// The most records of namespaces that are pending for one event. Further ones are deferred.
const MAX_PER_EVENT: u8 = 64;

/// The number of runs of the worker, one each second, after which an entry is deferred.
const MAX_AGE: u8 = 2;

/// The pending records of one task.
struct Entry {
    /// In a bucket.
    next: Option<KBox<Entry>>,
    task: ARef<Task>,
    /// The texts belong to an event. That is marked, so that a later event of the task is known as
    /// another one.
    in_event: bool,
    texts: TextList,
    count: u8,
    age: u8,
    /// The task emits the texts.
    ending: bool,
    /// The namespace of which it emits the creation now.
    emitting: Option<u64>,
    /// Runs when the task returns to user space. Added to the task where there is a reference.
    work: Opaque<bindings::callback_head>,
    module: Option<ModuleRef>,
}

impl Entry {
    /// Makes an entry for `current`.
    fn new(flags: Flags) -> Option<KBox<Self>> {
        let entry = || Self {
            next: None,
            task: ARef::from(&**kernel::current!()),
            in_event: event::current(),
            texts: TextList::new(),
            count: 0,
            age: 0,
            ending: false,
            emitting: None,
            work: Opaque::zeroed(),
            module: None,
        };
        KBox::new(entry(), flags)
            .or_else(|_| KBox::new(entry(), GFP_ATOMIC))
            .ok()
    }

    /// Returns whether the entry, which is of `current`, has the records of its event.
    fn is_of_event(&self) -> bool {
        self.in_event == event::current() && (!self.in_event || event::marked_pending())
    }

    /// Returns whether another task may defer the texts.
    fn is_deferrable(&self) -> bool {
        self.module.is_none() && !self.ending
    }

    /// Adds a text. The entry is of `current`. With a reference, only `current` can complete the
    /// text. Without one, the entry has no text of another event: see [`defer_stale`].
    fn add(
        &mut self,
        text: KBox<RecordText>,
        module: Option<ModuleRef>,
    ) -> Result<(), KBox<RecordText>> {
        if !self.is_of_event() {
            if self.module.is_some() {
                // They are emitted when the task returns to user space, outside of any event.
                self.in_event = false;
            } else {
                (self.in_event, self.count, self.age) = (event::current(), 0, 0);
            }
        }
        match module {
            None if self.count >= MAX_PER_EVENT => return Err(text),
            Some(module) if self.module.is_none() => {
                if self.arm(module).is_err() {
                    return Err(text);
                }
            }
            _ => {}
        }
        self.count = self.count.saturating_add(1);
        self.texts.push(text);
        Ok(())
    }

    /// Takes the next text, which `current` emits or defers before it takes another. Until then
    /// [`for_each_creation`] finds it in the entry.
    fn take_next(&mut self) -> Option<KBox<RecordText>> {
        let text = self.texts.pop();
        self.ending = text.is_some();
        self.emitting = text.as_ref().and_then(|text| text.created());
        text
    }

    /// Lets [`on_return_to_user`] run when `current` returns to user space. The entry is on the heap,
    /// and of `current`.
    fn arm(&mut self, module: ModuleRef) -> Result {
        let work = self.work.get();
        // SAFETY: The entry is on the heap, and stays there until the work has run: entries with a
        // reference are removed by the work alone. `current` adds it to itself.
        to_result(unsafe {
            (*work).func = Some(on_return_to_user);
            bindings::task_work_add(
                Task::current_raw(),
                work,
                bindings::task_work_notify_mode_TWA_RESUME,
            )
        })?;
        self.module = Some(module);
        Ok(())
    }
}

// SAFETY: All parts may go to another task.
unsafe impl Send for Entry {}

/// The entries of tasks that have one hash.
struct Entries(Option<KBox<Entry>>);

impl Entries {
    fn push(&mut self, mut entry: KBox<Entry>) {
        entry.next = self.0.take();
        self.0 = Some(entry);
    }

    fn pop(&mut self) -> Option<KBox<Entry>> {
        let mut entry = self.0.take()?;
        self.0 = entry.next.take();
        Some(entry)
    }

    /// Returns the entry of `task`.
    fn find(&mut self, task: *const bindings::task_struct) -> Option<&mut Entry> {
        let mut next = self.0.as_deref_mut();
        while let Some(entry) = next {
            if core::ptr::eq(entry.task.as_ptr(), task) {
                return Some(entry);
            }
            next = entry.next.as_deref_mut();
        }
        None
    }

    /// Takes the entries for which `ripe` holds out.
    fn drain(&mut self, ripe: impl Fn(&mut Entry) -> bool) -> Self {
        let (mut kept, mut gone) = (Self(None), Self(None));
        while let Some(mut entry) = self.pop() {
            match ripe(&mut entry) {
                true => gone.push(entry),
                false => kept.push(entry),
            }
        }
        *self = kept;
        gone
    }

    /// Takes the entry of `task` out.
    fn remove(&mut self, task: *const bindings::task_struct) -> Option<KBox<Entry>> {
        self.drain(|entry| core::ptr::eq(entry.task.as_ptr(), task))
            .pop()
    }

    /// Adds the namespaces with a pending creation to `ids`. Returns whether there was room.
    fn creations(&self, ids: &mut KVec<u64>) -> bool {
        for entry in self.iter() {
            let pending = entry.texts.iter().filter_map(RecordText::created);
            for id in Iterator::chain(pending, entry.emitting) {
                if ids.push_within_capacity(id).is_err() {
                    return false;
                }
            }
        }
        true
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        core::iter::successors(self.0.as_deref(), |entry| entry.next.as_deref())
    }
}

impl Drop for Entries {
    // Not by recursion.
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[pin_data]
struct Table {
    #[pin]
    buckets: [SpinLock<Entries>; BUCKETS],
    /// Held while texts are neither here nor deferred, on their way.
    #[pin]
    deferring: Mutex<()>,
}

/// The table; null while there is none.
static TABLE: Atomic<*mut Table> = Atomic::new(null_mut());

/// The number of entries. It is mostly 0, and then no lock is taken.
static COUNT: Atomic<usize> = Atomic::new(0);

/// The table of pending records, as long as this exists: from before the first hook to after the
/// last one.
pub(crate) struct Pending(#[allow(dead_code)] Pin<KVBox<Table>>);

impl Pending {
    /// Makes the table.
    ///
    /// # Safety
    ///
    /// To be called once, before anything is attached. The result is dropped when nothing is attached
    /// any more, and all handlers have ended.
    pub(crate) unsafe fn new() -> Result<Self> {
        let table = KVBox::pin_init(
            pin_init!(Table {
                buckets <- pin_init::pin_init_array_from_fn(|_| new_spinlock!(Entries(None))),
                deferring <- new_mutex!(()),
            }),
            GFP_KERNEL,
        )?;
        hash::init();
        // SAFETY: By the safety requirements.
        unsafe { in_flight::init() };
        TABLE.store(core::ptr::from_ref(&*table).cast_mut(), Release);
        Ok(Self(table))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // By the safety requirements of `new()`. The remaining entries belong to calls that sleep, or to
        // tasks that oopsed.
        // SAFETY: The exit and the init function of a module may sleep.
        unsafe { bindings::dmns_age_stop() };
        defer_ripe(|_| true);
        TABLE.store(null_mut(), Relaxed);
    }
}

impl Table {
    /// Returns the table; `None` outside of the time of a [`Pending`].
    fn get() -> Option<&'static Self> {
        // SAFETY: Null, or the table of `Pending`, which is dropped when all handlers have ended. That
        // waits for the workers that call this.
        unsafe { TABLE.load(Acquire).as_ref() }
    }

    fn bucket(&self, task: *const bindings::task_struct) -> &SpinLock<Entries> {
        // Fibonacci hashing: the low bits of an address do not differ.
        let hash = (task as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.buckets[hash as usize % BUCKETS]
    }
}

/// Adds a record to the event that `current` is in. Gives it back if `current` is in none, or has
/// too many.
///
/// The caller may hold any lock; `flags` say whether it may sleep.
pub(crate) fn add(mut text: KBox<RecordText>, flags: Flags) -> Result<(), KBox<RecordText>> {
    let Some(stamp) = event::stamp() else {
        return Err(text);
    };
    // Also without a number: readers find the system call of a creation by the time of its event.
    text.stamp = stamp;
    insert(text, None, flags)
}

/// Keeps a record that cannot be deferred now, until it can. Gives it back if `current` has too many
/// of these.
pub(crate) fn keep(text: KBox<RecordText>, flags: Flags) -> Result<(), KBox<RecordText>> {
    insert(text, None, flags)
}

/// Adds a record that only `current` can complete: see [`RecordText::task_info`]. Gives it back
/// where `current` does not return to user space, or memory ran out.
pub(crate) fn add_own(mut text: KBox<RecordText>, flags: Flags) -> Result<(), KBox<RecordText>> {
    if !returns_to_user() {
        return Err(text);
    }
    let Some(module) = ModuleRef::get() else {
        return Err(text);
    };
    if let Some(stamp) = event::stamp() {
        text.stamp = stamp;
    }
    insert(text, Some(module), flags)
}

/// Returns whether `current` returns to user space: it is no kernel thread, and this is no interrupt.
pub(crate) fn returns_to_user() -> bool {
    // SAFETY: Reads the flags of `current`; no requirements.
    unsafe { bindings::dmns_returns_to_user() }
}

fn insert(
    text: KBox<RecordText>,
    module: Option<ModuleRef>,
    flags: Flags,
) -> Result<(), KBox<RecordText>> {
    let Some(mut text) = text.complete() else {
        return Ok(());
    };
    let Some(table) = Table::get() else {
        return Err(text);
    };
    text.begin_flight();
    if any() {
        defer_stale();
    }
    let bucket = table.bucket(Task::current_raw());
    let mut entry = None;
    // The second time there is an entry: only `current` makes one for itself.
    loop {
        let mut entries = bucket.lock();
        if let Some(entry) = entry.take() {
            entries.push(entry);
            if COUNT.fetch_add(1, Relaxed) == 0 {
                // SAFETY: The workers were started before anything was attached.
                unsafe { bindings::dmns_age_soon() };
            }
        }
        if let Some(entry) = entries.find(Task::current_raw()) {
            entry.add(text, module)?;
            break;
        }
        drop(entries);
        entry = Entry::new(flags);
        if entry.is_none() {
            return Err(text);
        }
    }
    event::force_record();
    event::mark_pending();
    Ok(())
}

/// Adds the deletion of a namespace to the pending records of the event that `current` is in. Gives
/// it back if there are none, or if the creation may be emitted later.
pub(crate) fn join(mut text: KBox<RecordText>) -> Result<(), KBox<RecordText>> {
    if !any() {
        return Err(text);
    }
    let (Some(table), Some(stamp), Some(id)) = (Table::get(), event::stamp(), text.deleted())
    else {
        return Err(text);
    };
    let task = Task::current_raw();
    let mut entries = table.bucket(task).lock();
    let Some(entry) = entries
        .find(task)
        .filter(|entry| entry.in_event && entry.is_of_event() && entry.count < MAX_PER_EVENT)
    else {
        return Err(text);
    };
    let own = entry.texts.iter().any(|text| text.created() == Some(id));
    if !own && (in_flight::in_flight(id) || Class::Ns.has_creations(text.owner)) {
        return Err(text);
    }
    text.stamp = stamp;
    let Some(text) = text.complete() else {
        return Ok(());
    };
    entry.count += 1;
    entry.texts.push(text);
    Ok(())
}

/// Returns whether anything is pending. Callable from any context.
pub(crate) fn any() -> bool {
    COUNT.load(Relaxed) != 0 && event::in_task()
}

/// Takes the next text of `current`, if `right` holds for its entry.
fn take_next(right: impl Fn(&Entry) -> bool) -> Option<KBox<RecordText>> {
    let task = Task::current_raw();
    let mut entries = Table::get()?.bucket(task).lock();
    entries.find(task).filter(|entry| right(entry))?.take_next()
}

/// Removes the entry of `current`, unless that still has to run when the task returns to user
/// space.
fn remove_own() {
    let task = Task::current_raw();
    let gone = Table::get().and_then(|table| {
        let mut entries = table.bucket(task).lock();
        match entries.find(task) {
            Some(entry) if entry.module.is_some() => {
                (entry.ending, entry.emitting) = (false, None);
                None
            }
            _ => entries.remove(task),
        }
    });
    if gone.is_some() {
        COUNT.fetch_sub(1, Relaxed);
    }
}

/// Emits the pending records of the event that ends.
pub(crate) fn emit(_: &event::EventEnd, wait: Wait<'_>) {
    if !any() {
        return;
    }
    defer_stale();
    let mut emission = Emission::new(wait);
    while let Some(text) = take_next(Entry::is_of_event) {
        emission.emit(text);
    }
    remove_own();
}

/// Defers the records of an earlier event of `current`, the end of which was not seen. Callable
/// under any lock.
fn defer_stale() {
    defer_where(|entry| entry.module.is_none() && !entry.is_of_event());
}

/// Defers the pending records of `current`, but for those that only `current` can complete. Callable
/// under any lock.
///
/// An entry holds the memory of its task: one that exits keeps none.
pub(crate) fn defer_own() {
    if any() {
        defer_where(|entry| entry.module.is_none());
        remove_own();
    }
}

/// Defers the pending records of `current`, if `right` holds for its entry.
fn defer_where(right: impl Fn(&Entry) -> bool) {
    while let Some(text) = take_next(&right) {
        deferred::defer(text);
    }
}

/// Defers what is pending now, but for what its task has begun to emit: waits five seconds for
/// that. May sleep.
pub(crate) fn defer_all_pending() {
    defer_ripe(|entry| entry.is_deferrable());
    for _ in 0..100 {
        let Some(table) = Table::get() else { return };
        let ending = |bucket: &SpinLock<Entries>| bucket.lock().iter().any(|entry| entry.ending);
        if !table.buckets.iter().any(ending) {
            return;
        }
        // SAFETY: The caller may sleep.
        unsafe { bindings::msleep(50) };
    }
}

/// Calls `f` with each namespace of which the creation is pending, or being emitted in its event.
pub(crate) fn for_each_creation(mut f: impl FnMut(u64) -> Result) -> Result {
    let Some(table) = Table::get() else {
        return Ok(());
    };
    for bucket in &table.buckets {
        // `f` may sleep.
        let mut ids = KVec::new();
        let mut room = 0;
        while !bucket.lock().creations(&mut ids) {
            room = (2 * room).max(64);
            ids.clear();
            ids.reserve(room, GFP_KERNEL)?;
        }
        for id in ids {
            f(id)?;
        }
    }
    Ok(())
}

/// The emission of the records of one event: they wait once for violations. All but those that only
/// `current` can complete wait for a full backlog until one has waited in vain, or for a minute.
struct Emission<'a> {
    wait: Wait<'a>,
    after_violations: bool,
    /// The wait for violations has ended before these were emitted.
    in_vain: bool,
    backlog_full: bool,
    /// In jiffies.
    waited: c_ulong,
}

impl<'a> Emission<'a> {
    fn new(wait: Wait<'a>) -> Self {
        Self {
            wait,
            after_violations: false,
            in_vain: false,
            backlog_full: false,
            waited: 0,
        }
    }

    fn emit(&mut self, text: KBox<RecordText>) {
        if let (true, false, Wait::Allowed(module)) =
            (text.after_violations, self.after_violations, self.wait)
        {
            // All records of the event were caused by now.
            defer_violations();
            self.in_vain = !wait_for_violations(module);
            self.after_violations = true;
        }
        let own = text.is_own();
        // The creation may have been deferred just now.
        let waits = text.deleted().is_some_and(in_flight::in_flight);
        if waits || (self.backlog_full && !own) {
            return deferred::defer(text);
        }
        // No fence is pending.
        let Some(ty) = text.ty else { return };
        let began = jiffies();
        let result =
            Record::attempt(event::context(), ty, self.wait).map(|record| text.write(record));
        self.waited += jiffies().wrapping_sub(began);
        // The time of a task that was only preempted is shorter.
        let limit = if result.is_ok() { 60 * HZ } else { HZ / 2 };
        self.backlog_full |= self.waited >= limit;
        match result {
            Ok(()) => {}
            // Only the task itself can add its description.
            Err(Outcome::Refused | Outcome::RefusedNoWait) if !own => {
                text.count(Outcome::Retried);
                deferred::defer(text);
            }
            Err(outcome) => text.count(outcome),
        }
    }
}

/// When a record in no event has waited for violations in vain, in jiffies.
static IN_VAIN: Atomic<c_ulong> = Atomic::new(0);

/// Emits a record at once, and waits for audit. The caller holds no lock that others wait for.
pub(crate) fn emit_now(text: KBox<RecordText>, wait: Wait<'_>) {
    let Some(text) = text.complete() else { return };
    let mut emission = Emission::new(wait);
    // Deferred removals follow each other, each with all of its targets: they wait together.
    emission.after_violations = jiffies().wrapping_sub(IN_VAIN.load(Relaxed)) < 60 * HZ;
    emission.emit(text);
    if emission.in_vain {
        IN_VAIN.store(jiffies(), Relaxed);
    }
}

/// Runs when a task returns to user space, or exits: after the end of its event, with no lock held.
///
/// # Safety
///
/// `work` is that of an entry, which was added to `current`.
unsafe extern "C" fn on_return_to_user(work: *mut bindings::callback_head) {
    let _ = work;
    let gone = Table::get().and_then(|table| {
        let task = Task::current_raw();
        table.bucket(task).lock().remove(task)
    });
    let Some(mut entry) = gone else { return };
    COUNT.fetch_sub(1, Relaxed);
    if let Some(module) = entry.module.take() {
        // A rule silenced the event, or there was none.
        let mut emission = Emission::new(Wait::Allowed(&module));
        while let Some(text) = entry.texts.pop() {
            emission.emit(text);
        }
        // Before the reference is dropped.
        drop(entry);
    }
}

/// Defers the records that are pending for longer than a system call takes that does not sleep. To
/// be called each second. Returns whether records are pending.
pub(crate) fn defer_old() -> bool {
    defer_ripe(|entry| {
        entry.age = entry.age.saturating_add(1);
        let old = entry.is_deferrable() && entry.age > MAX_AGE;
        // A user who uses up the share does not hide a creation so.
        old && entry.texts.take_shares()
    });
    COUNT.load(Relaxed) != 0
}

/// Defers the violations that are pending in other tasks: a rule may silence the event, or the call
/// takes long. May sleep.
fn defer_violations() {
    let task = Task::current_raw();
    let own = Table::get().is_some_and(|table| table.bucket(task).lock().find(task).is_some());
    if COUNT.load(Acquire) <= usize::from(own) {
        return;
    }
    let violation = |text: &RecordText| text.class() == Class::Dm;
    defer_ripe(|entry| {
        let ripe = entry.is_deferrable() && entry.texts.iter().any(violation);
        ripe && entry.texts.take_shares()
    });
}

fn defer_ripe(ripe: impl Fn(&mut Entry) -> bool) {
    let Some(table) = Table::get() else { return };
    let _deferring = table.deferring.lock();
    for bucket in &table.buckets {
        let mut gone = bucket.lock().drain(&ripe);
        while let Some(mut entry) = gone.pop() {
            deferred::defer_all(&mut entry.texts);
            COUNT.fetch_sub(1, Release);
        }
    }
}
