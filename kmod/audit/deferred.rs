// SPDX-License-Identifier: GPL-2.0-only

//! Deferred records: workers emit them in the order in which they were caused, and wait for auditd
//! in place of the tasks that caused them.
//!
//! Each class of records has a queue, a bound and a worker of its own, so that records that any
//! user can cause do not delay those of device mapper. A record has the time when it was caused,
//! and a serial number of its own.

use super::event::{
    self,
    WorkerEvent, //
};
use super::share::Class;
use super::text::{
    RecordText,
    TextList,
    TextStack, //
};
use super::ticket::Ticket;
use super::turns::Turns;
use super::{
    BufferedRecord,
    Record,
    Type,
    Wait, //
};
use crate::bindings;
use crate::counters::{
    self,
    Outcome, //
};
use crate::lifetime::ModuleRef;
use crate::read_once::jiffies;
use crate::uapi::ns::Namespace;
use crate::uapi::types::RecordType;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::time::msecs_to_jiffies;

static QUEUES: [TextStack; 2] = [const { TextStack::new() }; 2];

/// The workers give up: the module is being unloaded, and audit has refused a record.
static GIVE_UP: Atomic<bool> = Atomic::new(false);

impl Class {
    fn queue(self) -> &'static TextStack {
        &QUEUES[self as usize]
    }

    /// Lets the worker run, `delay` jiffies from now. Callable from any context.
    pub(crate) fn wake(self, delay: c_ulong) {
        // SAFETY: Before the workers are started, and after they are stopped, this does nothing.
        unsafe { bindings::dmns_worker_wake(self as c_uint, delay) };
    }
}

/// Defers a record. Callable from any context.
pub(crate) fn defer(text: KBox<RecordText>) {
    if let Err(text) = try_defer(text) {
        text.class().drop_one(text.owner);
        text.count(Outcome::OverShare);
    }
}

/// Defers a record. Gives it back where its owner has used up the share. Callable from any context.
pub(crate) fn try_defer(text: KBox<RecordText>) -> Result<(), KBox<RecordText>> {
    let Some(mut text) = text.complete() else {
        return Ok(());
    };
    if !text.take_share(false) {
        return Err(text);
    }
    if let Some(ty) = text.counted() {
        counters::deferred(ty, 1);
    }
    push(text.class(), text);
    Ok(())
}

fn push(class: Class, text: KBox<RecordText>) {
    // The first text wakes the worker, which takes all texts that are queued by then. It runs with
    // the next tick, so that a burst is emitted together.
    if class.queue().push(text) {
        class.wake(1);
    }
}

/// Defers all records of a list.
pub(super) fn defer_all(list: &mut TextList) {
    while let Some(text) = list.pop() {
        defer(text);
    }
}

/// Emits the deferred records of device mapper, in order.
///
/// # Safety
///
/// Only the worker of device mapper calls this.
pub(crate) unsafe fn emit_dm() {
    let mut texts = Class::Dm.queue().take();
    while let Some(text) = texts.pop() {
        // SAFETY: By the safety requirements.
        unsafe { emit(Class::Dm, text) };
    }
}

/// The deferred records of namespaces that their worker has taken.
pub(crate) struct Taken {
    turns: Turns,
    /// Records of the time in which the baseline is read.
    later: TextList,
    /// Deletions that wait for the creation, or for the baseline.
    waiting: TextList,
}

impl Taken {
    pub(crate) const fn new() -> Self {
        Self {
            turns: Turns::new(),
            later: TextList::new(),
            waiting: TextList::new(),
        }
    }

    /// Takes all texts out of the queue. Those of readings of the baseline after the one that is `done`
    /// stay behind.
    pub(crate) fn take(&mut self, done: u32) {
        let mut later = TextList::new();
        if self
            .later
            .iter()
            .next()
            .is_some_and(|text| text.reading <= done)
        {
            core::mem::swap(&mut later, &mut self.later);
        }
        for mut texts in [later, Class::Ns.queue().take()] {
            while let Some(mut text) = texts.pop() {
                if text.reading > done {
                    self.later.push(text);
                } else {
                    text.reading = 0;
                    self.turns.push(text);
                }
            }
        }
    }

    /// Lets the deletions that wait have a turn again.
    pub(crate) fn retry(&mut self) {
        while let Some(text) = self.waiting.pop() {
            self.turns.push(text);
        }
    }

    /// Emits a record of each user. Deletions of namespaces that have to `wait`, by id, stay
    /// behind. Returns whether there was any record.
    ///
    /// # Safety
    ///
    /// Only the worker of namespaces calls this.
    pub(crate) unsafe fn emit_round(&mut self, wait: impl Fn(u64) -> bool) -> bool {
        self.turns.round(|text| match text.deleted() {
            Some(id) if wait(id) => self.waiting.push(text),
            // SAFETY: By the safety requirements.
            _ => unsafe { emit(Class::Ns, text) },
        })
    }

    /// Calls `f` with each creation, and each deletion that stays behind or waits: whether it is a
    /// creation, the namespace, and the user namespace that owns it.
    pub(crate) fn for_each_change(
        &self,
        mut f: impl FnMut(bool, &Namespace, u64) -> Result,
    ) -> Result {
        let created = |text: &&RecordText| text.created().is_some();
        let others = Iterator::chain(self.later.iter(), self.waiting.iter());
        for text in Iterator::chain(self.turns.iter().filter(created), others) {
            if let Some(namespace) = &text.namespace {
                f(created(&text), namespace, text.owner_ns)?;
            }
        }
        Ok(())
    }
}

/// Emits one record of a worker, and counts the outcome.
///
/// # Safety
///
/// Only the worker of `class` calls this.
unsafe fn emit(class: Class, text: KBox<RecordText>) {
    let mut serial = 0;
    if let Some(ty) = text.ty {
        // SAFETY: By the safety requirements, and the event ends here.
        let event = unsafe { WorkerEvent::begin(class, &text.stamp) };
        match start(&event, ty, &|| text.count(Outcome::Retried)) {
            Ok(record) => {
                text.write(record);
                serial = event.serial();
            }
            Err(outcome) => text.count(outcome),
        }
        if let Some(ty) = ty.counted() {
            counters::deferred(ty, -1);
        }
    }
    if let Some(ticket) = &text.ticket {
        ticket.complete(serial);
    }
}

/// Starts a record in the event of a worker, and waits as long as it takes.
///
/// audit refuses a record when its backlog stayed full for `backlog_wait_time`. The worker then
/// tries again. It gives up where audit refuses without a wait: by a rule that excludes the type,
/// without memory, or with a `backlog_wait_time` of 0, with which audit drops rather than waits.
fn start(event: &WorkerEvent, ty: Type, retried: &dyn Fn()) -> Result<Record, Outcome> {
    loop {
        let module = ModuleRef::get();
        let wait = module.as_ref().map_or(Wait::Never, Wait::Allowed);
        if module.is_none() && GIVE_UP.load(Relaxed) {
            return Err(Outcome::RefusedNoWait);
        }
        let began = jiffies();
        match Record::attempt(event.context(), ty, wait) {
            Err(Outcome::Refused) if jiffies().wrapping_sub(began) >= msecs_to_jiffies(10) => {
                retried();
            }
            Err(Outcome::RefusedNoWait) => {
                // One attempt: each that fails counts as lost, and audit may panic for it (auditctl
                // -f 2).
                GIVE_UP.store(module.is_none(), Relaxed);
                return Err(Outcome::RefusedNoWait);
            }
            result => return result,
        }
    }
}

/// An event of several records that the worker of namespaces emits.
pub(crate) struct Batch(WorkerEvent);

impl Batch {
    /// Begins an event of now.
    ///
    /// # Safety
    ///
    /// Only the worker of namespaces calls this, and emits nothing else before [`Batch::end`].
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: By the safety requirements.
        Self(unsafe { WorkerEvent::begin(Class::Ns, &event::now()) })
    }

    /// Emits a record of type `ty`, of which `write` writes the text.
    pub(crate) fn record(&self, ty: RecordType, write: impl FnOnce(&mut BufferedRecord)) {
        let retried = || counters::count(ty, Outcome::Retried);
        match start(&self.0, Type::Counted(ty), &retried) {
            Ok(record) => write(&mut BufferedRecord::new(record)),
            Err(outcome) => counters::count(ty, outcome),
        }
    }

    /// Ends the event with the record that marks the end for readers.
    pub(crate) fn end(self) {
        if self.0.serial() != 0 {
            drop(start(&self.0, Type::Eoe, &|| {}));
        }
    }
}

/// Waits until the violations that are deferred by now are emitted, at most a minute. Returns
/// whether they are. May sleep, and the caller holds no lock. The reference keeps the module
/// meanwhile.
pub(super) fn wait_for_violations(_: &ModuleRef) -> bool {
    if Class::Dm.is_empty() {
        return true;
    }
    // A fence: no record, but a place in the queue.
    let (Ok(ticket), Some(mut fence)) = (Ticket::new(), RecordText::new(None, GFP_KERNEL)) else {
        return false;
    };
    fence.ticket = Some(ticket.clone());
    push(Class::Dm, fence);
    ticket.wait(60_000).is_some()
}

/// Emits a record in the event of `current`, if audit takes it within a second; else it is emitted
/// later, alone. The caller holds no lock.
///
/// So a task that loads the module, or changes its configuration, does not wait for a full backlog.
pub(crate) fn emit_soon(mut text: KBox<RecordText>) {
    if let Some(stamp) = event::stamp() {
        text.stamp = stamp;
    }
    let Ok(ticket) = Ticket::new() else {
        return defer(text);
    };
    text.ticket = Some(ticket.clone());
    defer(text);
    if let Some(serial @ 1..) = ticket.wait(1_000) {
        event::adopt(serial);
    }
}

/// The workers, as long as this exists. Nothing is emitted before or after.
///
/// While the module is being loaded, they wait for [`Workers::wake`]. When it is dropped, the
/// deferred records are emitted without a wait for auditd. May sleep.
pub(crate) struct Workers(());

impl Workers {
    /// Starts the workers. To be called once.
    pub(crate) fn start() -> Result<Self> {
        // SAFETY: The init function of a module may sleep.
        if unsafe { bindings::dmns_workers_start() } {
            Ok(Self(()))
        } else {
            pr_err!("the workers that emit deferred records cannot start (ENOMEM)\n");
            Err(ENOMEM)
        }
    }

    /// Lets the workers run, once the module is loaded.
    pub(crate) fn wake() {
        Class::Dm.wake(0);
        Class::Ns.wake(0);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // SAFETY: The workers were started. The init and the exit function of a module may sleep.
        // Nothing is deferred any more.
        unsafe { bindings::dmns_workers_stop() };
    }
}
