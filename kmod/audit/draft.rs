// SPDX-License-Identifier: GPL-2.0-only

//! The text of a record that is emitted later.

use super::{
    deferred,
    label,
    section,
    subject,
    Record,
    Wait, //
};
use crate::counters::{
    self,
    Fate, //
};
use crate::uapi::text::Sink;
use crate::uapi::types::RecordType;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use kernel::alloc::Flags;
use kernel::prelude::*;

/// The text of a record, for a place where the record itself cannot be emitted: others would wait for auditd.
///
/// Who writes it finishes it with [`Draft::hold_or_defer`] or [`Draft::defer`].
#[must_use = "a draft that is dropped is a record lost"]
pub(crate) struct Draft {
    ty: RecordType,
    /// `None` if memory ran out.
    text: Option<KBox<Text>>,
}

/// What is kept of a record: one allocation of 256 bytes, unless a security label is uncommonly long.
pub(super) struct Text {
    /// In a list of drafts.
    pub(super) next: *mut Text,
    pub(super) ty: RecordType,
    /// The namespace whose creation or deletion it is; 0 for none.
    pub(super) ns_id: u64,
    /// In the table of creations that sections have, the next one in the same place. This and `then` belong to the lock
    /// of that table.
    pub(super) beside: UnsafeCell<*mut Text>,
    /// Of a creation there, the deletion that follows it.
    pub(super) then: UnsafeCell<*mut Text>,
    /// Where `audit_log_task_info()` adds its part.
    task_info_at: Option<u8>,
    len: u8,
    short: [u8; 184],
    /// What found no room in `short`.
    long: KVec<u8>,
}

impl Draft {
    /// Starts the draft of a record of type `ty`. Callable from any context.
    ///
    /// Returns `None` where there will be no record: auditing is off.
    pub(crate) fn start(ty: RecordType) -> Option<Self> {
        if !super::enabled() {
            counters::count(ty, Fate::Disabled);
            return None;
        }
        let text = Text {
            next: null_mut(),
            ty,
            ns_id: 0,
            beside: UnsafeCell::new(null_mut()),
            then: UnsafeCell::new(null_mut()),
            task_info_at: None,
            len: 0,
            short: [0; 184],
            long: KVec::new(),
        };
        Some(Self {
            ty,
            text: KBox::new(text, GFP).ok(),
        })
    }

    /// The record is of the creation or deletion of this namespace: the deletion follows the creation.
    pub(crate) fn of_namespace(&mut self, id: u64) {
        if let Some(text) = &mut self.text {
            text.ns_id = id;
        }
    }

    /// Adds `pid= uid= auid= ses= subj=`: who `current` is, in short.
    pub(crate) fn subject(&mut self) {
        subject().head(self);
        label(self);
    }

    /// Adds what [`Record::task_info`] does, of the task that emits the record: in a section only.
    pub(crate) fn task_info(&mut self) {
        if let Some(text) = &mut self.text {
            text.task_info_at = Some(text.len);
        }
    }

    /// Lets the section hold the record that `current` is in, which emits it at its end; outside of any, defers it to
    /// the worker. A deletion follows the creation that another section holds. Callable from any context.
    pub(crate) fn hold_or_defer(self) {
        self.finish(section::hold);
    }

    /// Defers the record to the worker, whatever section `current` is in. Callable from any context.
    pub(crate) fn defer(self) {
        self.finish(Err);
    }

    fn finish(self, hold: impl FnOnce(KBox<Text>) -> Result<(), KBox<Text>>) {
        // Half a record is worse than a count of it.
        let Some(text) = self.text else {
            return counters::count(self.ty, Fate::NoRoom);
        };
        if let Err(text) = hold(text) {
            deferred::defer(text);
        }
    }
}

/// The writer of a draft may hold any lock.
const GFP: Flags = GFP_ATOMIC;

impl Sink for Draft {
    fn put(&mut self, bytes: &[u8]) {
        let Some(text) = &mut self.text else { return };
        let len = usize::from(text.len);
        let room = &mut text.short[len..];
        let (now, rest) = bytes.split_at(bytes.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        text.len += now.len() as u8;
        if text.long.extend_from_slice(rest, GFP).is_err() {
            self.text = None;
        }
    }
}

impl Text {
    /// Whether the task that caused the record has to emit it.
    pub(super) fn has_task_info(&self) -> bool {
        self.task_info_at.is_some()
    }

    /// Emits the record, or says why not: then it has not been counted.
    pub(super) fn emit(&self, wait: Wait) -> Result<(), Fate> {
        let mut record = Record::attempt(self.ty, wait)?;
        let short = &self.short[..usize::from(self.len)];
        match self.task_info_at {
            Some(at) => {
                let (head, tail) = short.split_at(at.into());
                record.put(head);
                record.task_info();
                record.put(tail);
            }
            None => record.put(short),
        }
        record.put(&self.long);
        Ok(())
    }
}
