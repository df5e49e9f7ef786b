// SPDX-License-Identifier: GPL-2.0-only

//! Which namespaces a task is in: `NS_INFO`, joined to the event that it explains.

use crate::audit::event::{
    self,
    Call, //
};
use crate::audit::{
    self,
    Record,
    Wait, //
};
use crate::uapi::ns::{
    Info,
    Kind, //
};
use crate::uapi::types::RecordType;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// With which events `NS_INFO` comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// With none.
    None,
    /// With each system call that makes a namespace, or enters one.
    Changes,
    /// With these, and with every event of a task that is not in all of the initial namespaces.
    Contained,
}

static LEVEL: Atomic<u32> = Atomic::new(0);

impl Level {
    /// The level with this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Changes),
            2 => Some(Self::Contained),
            _ => None,
        }
    }

    /// The level that holds now.
    pub(crate) fn now() -> Self {
        match LEVEL.load(Relaxed) {
            0 => Self::None,
            1 => Self::Changes,
            _ => Self::Contained,
        }
    }

    /// Makes this the level that holds.
    pub(crate) fn set(self) {
        LEVEL.store(self as u32, Relaxed);
    }
}

/// The event of a task in the namespaces `info` is about to be written.
///
/// The record has what holds at the end of the system call.
pub(crate) fn event(info: impl FnOnce() -> Info) {
    let level = Level::now();
    let call = match level {
        Level::None => return,
        _ => Call::current(),
    };
    if level == Level::Changes && call == Call::Other {
        return;
    }
    let info = info();
    let recorded = match call {
        Call::Makes | Call::Enters => true,
        // The child is where its parent is not.
        Call::Forks => info.children_elsewhere(),
        // It may have entered the time namespace that was its children's.
        Call::Execs => !info.is_initial_of(Kind::Time),
        Call::Other => false,
    };
    if recorded || (level == Level::Contained && !info.is_initial()) {
        record_current(&info);
    }
}

/// Whether anything is recorded at all.
pub(crate) fn wanted() -> bool {
    Level::now() != Level::None
}

/// The task that runs now enters namespaces, or makes a child where it is not itself: its event must be written, and
/// [`event`] records where. If it is left out, so is this, unless the task `leaves` the container. Callable under any lock.
pub(crate) fn changes(leaves: impl FnOnce() -> bool) {
    if wanted() && (event::left_out() != Some(true) || leaves()) {
        event::must_be_written();
    }
}

/// Whether a record of a task in the namespaces `info` that belongs to no event shall get one, with `NS_INFO`.
pub(crate) fn joins(info: impl FnOnce() -> Info) -> bool {
    audit::enabled() && Level::now() == Level::Contained && !info().is_initial()
}

/// Records the namespaces of the task that runs now, and at level 2 the control group of one in a container. The caller
/// holds no lock.
pub(crate) fn record_current(info: &Info) {
    if let Some(mut record) = Record::start(RecordType::NsInfo, Wait::Allowed) {
        info.body(&mut record);
        if Level::now() == Level::Contained && !info.is_initial() {
            record.cgroup();
        }
    }
}

/// Records the namespaces of a task, in the event of what runs now. The caller holds no lock.
pub(crate) fn record(info: &Info) {
    if let Some(mut record) = Record::start(RecordType::NsInfo, Wait::Allowed) {
        info.body(&mut record);
    }
}
