// SPDX-License-Identifier: GPL-2.0-only

//! Which namespaces a task is in: `NS_INFO`, joined to the event that it explains.
//!
//! `/sys/kernel/debug/dmns_audit/info` holds the [`Level`], and takes another. At level 0 nothing is attached
//! on behalf of this file.

use crate::attach::{
    record_first_task,
    Attachments,
    Hook, //
};
use crate::audit::{
    Record,
    Wait, //
};
use crate::uapi::ns::Info;
use crate::uapi::types::RecordType;
use kernel::fmt;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;

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

/// What a system call does to namespaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It is one of those that can make them: `clone()`, `clone3()`, `unshare()`, `open_tree()`, `fsmount()`.
    Makes,
    /// It is a `setns()`, which has not failed.
    Enters,
    /// Neither.
    Other,
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

    fn now() -> Self {
        match LEVEL.load(Relaxed) {
            0 => Self::None,
            1 => Self::Changes,
            _ => Self::Contained,
        }
    }
}

/// An event is about to be written, of a task in the namespaces `info` that leaves the system call `call`.
///
/// The call may have changed them: what is told is what holds at its end.
pub(crate) fn event(call: Call, info: impl FnOnce() -> Info) {
    let wherever = match (Level::now(), call) {
        // `entering()` tells the one in the middle.
        (Level::None, _) | (_, Call::Enters) | (Level::Changes, Call::Other) => return,
        (_, Call::Makes) => true,
        (Level::Contained, Call::Other) => false,
    };
    let info = info();
    if wherever || !info.is_initial() {
        record(&info);
    }
}

/// A task is about to enter the namespaces that `info` tells. The record makes audit write the event of the
/// `setns()`, which it does not do otherwise unless a rule asks for it.
pub(crate) fn entering(call: Call, info: impl FnOnce() -> Info) {
    if call == Call::Enters && Level::now() != Level::None {
        record(&info());
    }
}

/// Whether a message of a task in the namespaces `info` shall share the event of the system call that sends it.
///
/// The kernel makes such a message an event of its own, to which no record can be joined later.
pub(crate) fn joins_messages(info: impl FnOnce() -> Info) -> bool {
    Level::now() == Level::Contained && !info().is_initial()
}

/// Tells the namespaces of a task, in the event of what runs now.
///
/// No lock is held where this is called, and `audit_log_exit()` is about to ask for memory in the same way.
pub(crate) fn record(info: &Info) {
    if let Some(mut record) = Record::start(RecordType::NsInfo, Wait::Allowed) {
        info.body(&mut record);
    }
}

/// The switch between the levels.
#[pin_data]
pub(crate) struct Switch {
    #[pin]
    attached: Mutex<Option<Attachments>>,
}

impl Switch {
    /// Starts at `level`, with what it needs attached.
    pub(crate) fn new(level: Level) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let attached =
                attach(level).inspect_err(|_| pr_err!("not loaded, nothing is attached\n"))?;
            LEVEL.store(level as u32, Relaxed);
            Ok(try_pin_init!(Self { attached <- new_mutex!(attached) }))
        })
    }

    /// Goes to another level. If what it needs cannot be attached, the level stays.
    fn set(&self, level: Level) -> Result {
        let mut attached = self.attached.lock();
        if level == Level::None {
            LEVEL.store(level as u32, Relaxed);
            *attached = None;
        } else {
            let begins = attached.is_none();
            if begins {
                *attached = attach(level)?;
            }
            LEVEL.store(level as u32, Relaxed);
            if begins {
                record_first_task();
            }
        }
        pr_info!("info={}\n", level as u32);
        Ok(())
    }

    /// Writes the number of the level.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Level::now() as u32)
    }

    /// Reads the number of a level, and goes there.
    pub(crate) fn store(&self, from: &mut UserSliceReader) -> Result {
        let mut text = [0; 4];
        let length = from.len();
        let text = text.get_mut(..length).ok_or(EINVAL)?;
        from.read_slice(text)?;
        let level = match text.trim_ascii() {
            [digit @ b'0'..=b'9'] => Level::from_number(digit - b'0'),
            _ => None,
        };
        match level {
            Some(level) => self.set(level),
            None => {
                pr_err!("info: must be 0, 1 or 2; not changed\n");
                Err(EINVAL)
            }
        }
    }
}

/// What `level` needs.
fn attach(level: Level) -> Result<Option<Attachments>> {
    if level == Level::None {
        return Ok(None);
    }
    Attachments::new([Hook::NsSwitch, Hook::AuditExit, Hook::AuditMessage]).map(Some)
}
