// SPDX-License-Identifier: GPL-2.0-only

//! The text of a record that is emitted later.

use super::event::{
    self,
    Stamp, //
};
use super::in_flight::InFlight;
use super::share::{
    self,
    Change,
    Class,
    Share,
    UNIT, //
};
use super::ticket::Ticket;
use super::{
    label,
    subject,
    Record,
    Type, //
};
use crate::bindings;
use crate::counters::{
    self,
    Outcome, //
};
use crate::uapi::dm::Dev;
use crate::uapi::ns::Namespace;
use crate::uapi::text::Sink;
use crate::uapi::types::RecordType;
use core::ptr::null_mut;
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::Arc;

/// The bytes that need no allocation of their own.
const INLINE: usize = 148;

const _: () = assert!(size_of::<RecordText>() <= UNIT);

/// The owner of a namespace.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// The id of the user namespace that owns it; 0 for the initial user namespace.
    pub(crate) id: u64,
    /// The user who created the outermost user namespace that it is in.
    pub(crate) user: u32,
}

/// The text of a record that cannot be emitted here and now, since other tasks would wait for
/// auditd.
///
/// Takes one allocation of at most [`UNIT`] bytes, unless a security label is uncommonly long.
pub(crate) struct RecordText {
    next: *mut RecordText,
    /// The type; `None` for a fence, which is no record.
    pub(super) ty: Option<Type>,
    /// When the record was caused, and the serial number of its event, if it has one.
    pub(super) stamp: Stamp,
    /// The namespace that was created or deleted.
    pub(super) namespace: Option<Namespace>,
    /// The id of the user namespace that owns it.
    pub(super) owner_ns: u64,
    /// The owner of the record: a user, a device, or the host.
    pub(super) owner: u32,
    /// The record's parts of the owner's share of the queue.
    pub(super) share: Option<Share>,
    /// Set for a creation that was pending: the record of the deletion waits while this exists.
    pub(super) in_flight: Option<InFlight>,
    /// The number of the reading of the baseline in which the namespace was created or deleted; 0 for
    /// none. The baseline may have it.
    pub(crate) reading: u32,
    /// The record comes after the violations that were deferred before it.
    pub(crate) after_violations: bool,
    /// The task that waits for the record waits for this.
    pub(super) ticket: Option<Arc<Ticket>>,
    /// The offset at which `audit_log_task_info()` adds its part.
    task_info_at: Option<u8>,
    len: u8,
    inline: [u8; INLINE],
    /// The part that does not fit into `inline`.
    rest: KVec<u8>,
    flags: Flags,
    complete: bool,
}

// SAFETY: `next` belongs to the list that a text is in. A list has exclusive access to its texts.
unsafe impl Send for RecordText {}

impl RecordText {
    /// Starts the text of a record of type `ty`, caused now. Where `flags` give no memory, `last`
    /// may.
    ///
    /// Returns the outcome where there is no record to write: auditing is off, or memory ran out. It is
    /// counted.
    pub(crate) fn start(ty: RecordType, flags: Flags, last: Flags) -> Result<KBox<Self>, Outcome> {
        let text = match super::enabled() {
            true => Self::new(Some(Type::Counted(ty)), flags)
                .or_else(|| Self::new(Some(Type::Counted(ty)), last))
                .ok_or(Outcome::NoRoom),
            false => Err(Outcome::Disabled),
        };
        text.inspect_err(|outcome| counters::count(ty, *outcome))
    }

    /// Starts the text of a record of type `ty`.
    pub(super) fn new(ty: Option<Type>, flags: Flags) -> Option<KBox<Self>> {
        // Before the allocation, which may wait.
        let stamp = event::now();
        // In place: it is as large as [`UNIT`].
        let text = init!(Self {
            next: null_mut(),
            ty,
            stamp,
            namespace: None,
            owner_ns: 0,
            owner: share::HOST,
            share: None,
            in_flight: None,
            reading: 0,
            after_violations: false,
            ticket: None,
            task_info_at: None,
            len: 0,
            inline: [0; INLINE],
            rest: KVec::new(),
            flags,
            complete: true,
        });
        KBox::init(text, flags).ok()
    }

    /// Returns the type that is counted, if it is.
    pub(super) fn counted(&self) -> Option<RecordType> {
        self.ty.and_then(Type::counted)
    }

    /// Names the namespace that was created or deleted.
    pub(crate) fn about(&mut self, namespace: &Namespace, owner: &Owner) {
        self.namespace = Some(*namespace);
        self.owner_ns = owner.id;
        self.owner = owner.user;
        if owner.user == 0 {
            // Its map may not be written yet, which then changes the owner.
            self.begin_flight();
        }
    }

    /// Lets the record of the deletion wait for this one, if it is of a creation.
    pub(super) fn begin_flight(&mut self) {
        if self.in_flight.is_none() {
            self.in_flight = self.created().and_then(InFlight::begin);
        }
    }

    /// Names the device that the record is of.
    pub(crate) fn of_device(&mut self, dev: &Dev) {
        self.owner = dev.major << bindings::MINORBITS | dev.minor;
    }

    /// Returns the class of the record.
    pub(super) fn class(&self) -> Class {
        match self.counted() {
            Some(RecordType::NsInit(_) | RecordType::NsDel(_)) => Class::Ns,
            _ => Class::Dm,
        }
    }

    /// Takes its parts of the owner's share, unless the record has one. Returns whether it has. A
    /// deletion leaves a quarter of the share to creations, unless it is `joined` to one.
    pub(super) fn take_share(&mut self, joined: bool) -> bool {
        if self.share.is_none() {
            let change = match self.counted() {
                Some(RecordType::NsInit(_)) => Some(Change::Created),
                Some(RecordType::NsDel(_)) if !joined => Some(Change::Deleted),
                _ => None,
            };
            let rest = match self.rest.capacity() {
                0 => 0,
                bytes => bytes.next_power_of_two() / UNIT,
            };
            let parts = (1 + rest).min(u8::MAX.into()) as u8;
            self.share = Share::take(self.class(), self.owner, change, parts);
            if self.share.as_ref().is_some_and(Share::is_of_others) {
                // The record of the deletion may be in another list.
                self.begin_flight();
            }
        }
        self.share.is_some()
    }

    /// Returns the id of the namespace, if the record is of its creation.
    pub(super) fn created(&self) -> Option<u64> {
        match self.counted() {
            Some(RecordType::NsInit(_)) => self.namespace.map(|ns| ns.id),
            _ => None,
        }
    }

    /// Returns the id of the namespace, if the record is of its deletion.
    pub(super) fn deleted(&self) -> Option<u64> {
        match self.counted() {
            Some(RecordType::NsDel(_)) => self.namespace.map(|ns| ns.id),
            _ => None,
        }
    }

    /// Adds `pid= uid= auid= ses= subj=`: the short description of `current`.
    pub(crate) fn subject(&mut self) {
        subject().head(self);
        label(self);
    }

    /// Returns whether only `current` can complete the record: see [`RecordText::task_info`].
    pub(super) fn is_own(&self) -> bool {
        self.task_info_at.is_some()
    }

    /// Reserves the place of [`Record::task_info`]. `current` has to emit the record, which
    /// describes the emitting task.
    pub(crate) fn task_info(&mut self) {
        self.task_info_at = Some(self.len);
    }

    /// Returns the text if there was memory for all of it. An incomplete record is counted instead.
    pub(super) fn complete(self: KBox<Self>) -> Option<KBox<Self>> {
        if !self.complete {
            self.count(Outcome::NoRoom);
            return None;
        }
        Some(self)
    }

    /// Counts the outcome of the record.
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(ty) = self.counted() {
            counters::count(ty, outcome);
        } else if self.ty.is_some() && !matches!(outcome, Outcome::Emitted | Outcome::Retried) {
            pr_warn!("CONFIG_CHANGE: refused by audit\n");
        }
    }

    /// Appends `bytes`, for which the inline part has no room, or too little.
    #[cold]
    fn put_beyond(&mut self, bytes: &[u8]) {
        let room = &mut self.inline[usize::from(self.len)..];
        let (now, rest) = bytes.split_at(room.len());
        room.copy_from_slice(now);
        self.len = INLINE as u8;
        let rest = self
            .rest
            .extend_from_slice(rest, self.flags)
            .or_else(|_| self.rest.extend_from_slice(rest, GFP_ATOMIC));
        self.complete &= rest.is_ok();
    }

    /// Hands the text to a record that was started.
    pub(super) fn write(&self, mut record: Record) {
        let inline = &self.inline[..usize::from(self.len)];
        match self.task_info_at {
            Some(at) => {
                let (head, tail) = inline.split_at(at.into());
                record.text(head);
                record.task_info();
                record.text(tail);
            }
            None => record.text(inline),
        }
        record.text(&self.rest);
    }
}

impl Drop for RecordText {
    fn drop(&mut self) {
        if let (Some(in_flight), Some(id)) = (self.in_flight.take(), self.created()) {
            in_flight.end(id);
        }
    }
}

impl Sink for RecordText {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.inline.get_mut(usize::from(self.len)..);
        match room.and_then(|room| room.get_mut(..bytes.len())) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len() as u8;
            }
            None => self.put_beyond(bytes),
        }
    }
}

/// A list of texts, the oldest first.
///
/// # Invariants
///
/// `first` and what follows it by `next` are boxes that this list owns. `last` is the last of them;
/// both are null where the list is empty.
pub(super) struct TextList {
    first: *mut RecordText,
    last: *mut RecordText,
}

// SAFETY: The list owns its texts.
unsafe impl Send for TextList {}

impl TextList {
    pub(super) const fn new() -> Self {
        // INVARIANT: The list is empty.
        Self {
            first: null_mut(),
            last: null_mut(),
        }
    }

    /// Adds a text at the end.
    pub(super) fn push(&mut self, mut text: KBox<RecordText>) {
        text.next = null_mut();
        let text = KBox::into_raw(text);
        if self.last.is_null() {
            self.first = text;
        } else {
            // SAFETY: By the type invariants `last` is a text of this list.
            unsafe { (*self.last).next = text };
        }
        // INVARIANT: `text` is a box that this list owns alone, and the last one.
        self.last = text;
    }

    /// Takes the oldest text.
    pub(super) fn pop(&mut self) -> Option<KBox<RecordText>> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: By the type invariants `first` is a box of this list.
        let text = unsafe { KBox::from_raw(self.first) };
        // INVARIANT: The list owns what follows.
        self.first = text.next;
        if self.first.is_null() {
            self.last = null_mut();
        }
        Some(text)
    }

    /// Takes the parts of its owner's share for each text, or for none. Returns whether all have
    /// theirs. Deletions leave nothing to creations here: a creation is deferred with them.
    pub(super) fn take_shares(&mut self) -> bool {
        let all = self.iter_mut().all(|text| text.take_share(true));
        if !all {
            // Others of the owner may complete theirs.
            self.iter_mut().for_each(|text| text.share = None);
        }
        all
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut RecordText> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            // SAFETY: By the type invariants `next` is null, or a text that this list owns. The list
            // is borrowed, and each text is returned once.
            let this = unsafe { next.as_mut() }?;
            next = this.next;
            Some(this)
        })
    }

    /// Returns the texts, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RecordText> {
        // SAFETY: By the type invariants what is passed is null, or a text of this list, which does
        // not change while it is borrowed.
        let text = |text: *mut RecordText| unsafe { text.as_ref() };
        core::iter::successors(text(self.first), move |before| text(before.next))
    }
}

impl Drop for TextList {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// Texts that any context adds to, also interrupts, and one worker takes.
pub(super) struct TextStack(kernel::sync::atomic::Atomic<*mut RecordText>);

impl TextStack {
    pub(super) const fn new() -> Self {
        Self(kernel::sync::atomic::Atomic::new(null_mut()))
    }

    /// Adds a text. Returns whether there was none.
    pub(super) fn push(&self, text: KBox<RecordText>) -> bool {
        use kernel::sync::atomic::{
            Relaxed,
            Release, //
        };
        let text = KBox::into_raw(text);
        let mut first = self.0.load(Relaxed);
        loop {
            // SAFETY: `text` was a box just now, and is not in the stack yet: no other task has it.
            unsafe { (*text).next = first };
            match self.0.cmpxchg(first, text, Release) {
                Ok(_) => return first.is_null(),
                Err(other) => first = other,
            }
        }
    }

    /// Takes all texts. What this task has read before is not read later: the baseline reads the
    /// kernel's list, then takes what handlers added before they changed that.
    pub(super) fn take(&self) -> TextList {
        let mut youngest = self.0.xchg(null_mut(), kernel::sync::atomic::Full);
        let mut list = TextList::new();
        // INVARIANT: What was in the stack are boxes that were given away in `push()`; they are the
        // list's alone now.
        list.last = youngest;
        while !youngest.is_null() {
            let text = youngest;
            // SAFETY: `text` was in the stack: it was a box, which no other task has any more.
            unsafe {
                youngest = (*text).next;
                (*text).next = list.first;
            }
            list.first = text;
        }
        list
    }
}
