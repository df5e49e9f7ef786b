// SPDX-License-Identifier: GPL-2.0-only

//! The namespaces that a task is in: `NS_INFO`, joined to the event that it explains.

use crate::audit::deferred::emit_soon;
use crate::audit::event::{
    self,
    EventEnd, //
};
use crate::audit::{
    self,
    BufferedRecord,
    RecordText,
    Wait, //
};
use crate::bindings;
use crate::uapi::ns::{
    Info,
    Kind, //
};
use crate::uapi::types::RecordType;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The events that `NS_INFO` comes with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// None.
    None,
    /// Each system call that creates a namespace, or enters one.
    Changes,
    /// These, and every event of a task that is not in all of the initial namespaces.
    Contained,
}

static LEVEL: Atomic<u32> = Atomic::new(0);

impl Level {
    /// Returns the level with this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Changes),
            2 => Some(Self::Contained),
            _ => None,
        }
    }

    /// Returns the level that is set.
    pub(crate) fn now() -> Self {
        Self::from_number(LEVEL.load(Relaxed) as u8).unwrap_or(Self::Contained)
    }

    /// Sets this level.
    pub(crate) fn set(self) {
        LEVEL.store(self as u32, Relaxed);
    }
}

/// Records the namespaces `info` of `current` at the end of an event, where the level asks for it.
///
/// The record has what holds at the end of the system call.
pub(crate) fn event(end: &EventEnd, wait: Wait<'_>, info: impl FnOnce() -> Option<Info>) {
    let level = Level::now();
    let call = match level {
        Level::None => return,
        _ => end.call(),
    };
    if level == Level::Changes && call == bindings::DMNS_CALL_OTHER {
        return;
    }
    let Some(info) = info() else { return };
    let recorded = match call {
        bindings::DMNS_CALL_CREATES | bindings::DMNS_CALL_ENTERS => true,
        // The child is where its parent is not.
        bindings::DMNS_CALL_FORKS => info.children_elsewhere(),
        // It may have entered the time namespace that was its children's.
        bindings::DMNS_CALL_EXECS => !info.is_initial_of(Kind::Time),
        _ => false,
    };
    if recorded || (level == Level::Contained && !info.is_initial()) {
        record_current(&info, wait);
    }
}

/// Returns whether anything is recorded at all.
#[inline]
pub(crate) fn wanted() -> bool {
    Level::now() != Level::None
}

/// Forces the event of `current` to be recorded: the task enters namespaces, or has a child
/// elsewhere.
///
/// Does nothing for a filtered event, unless the task leaves the filtered container: `leaves`.
/// Callable under any lock.
pub(crate) fn force_record_on_ns_change(leaves: impl FnOnce() -> bool) {
    if wanted() && (event::filtered() != Some(true) || leaves()) {
        event::force_record();
    }
}

/// Returns whether a record of a task in the namespaces `info` that belongs to no event shall get
/// one, with `NS_INFO`.
pub(crate) fn wants_event(info: impl FnOnce() -> Option<Info>) -> bool {
    audit::enabled()
        && Level::now() == Level::Contained
        && info().is_some_and(|info| !info.is_initial())
}

/// Records the namespaces of `current`, and at level 2 the control group of one in a container. The
/// caller holds no lock.
pub(crate) fn record_current(info: &Info, wait: Wait<'_>) {
    if let Some(mut record) = BufferedRecord::start(RecordType::NsInfo, wait) {
        info.body(&mut record);
        if Level::now() == Level::Contained && !info.is_initial() {
            record.cgroup();
        }
    }
}

/// Records the namespaces of the first task, in the event of `current`. The caller holds no lock.
///
/// Together with the baseline this makes a log complete that begins here.
pub(crate) fn record_first_task(info: Option<Info>) {
    let Some(info) = info else { return };
    if let Ok(mut text) = RecordText::start(RecordType::NsInfo, GFP_KERNEL, GFP_KERNEL) {
        info.body(&mut *text);
        emit_soon(text);
    }
}
