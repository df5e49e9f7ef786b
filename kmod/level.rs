// SPDX-License-Identifier: GPL-2.0-only

//! The switch between the levels of `NS_INFO`: `/sys/kernel/debug/dmns_audit/info` holds the [`Level`], and takes
//! another. At level 0 nothing is attached on behalf of it.

use crate::attach::{
    record_first_task,
    Attachments,
    Hook, //
};
use crate::config;
use crate::info::Level;
use kernel::fmt;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;

/// The switch between the levels.
#[pin_data]
pub(crate) struct Switch {
    /// Whether the records of namespaces are on: then some of the functions are attached to anyway.
    ns: bool,
    #[pin]
    attached: Mutex<Option<Attachments>>,
}

impl Switch {
    /// Starts at `level`, with what it needs attached.
    pub(crate) fn new(level: Level, ns: bool) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let attached =
                attach(level, ns).inspect_err(|_| pr_err!("not loaded, nothing is attached\n"))?;
            level.set();
            Ok(try_pin_init!(Self { ns, attached <- new_mutex!(attached) }))
        })
    }

    /// Goes to another level. If what it needs cannot be attached, or audit's configuration is locked, the level
    /// stays.
    fn set(&self, level: Level) -> Result {
        let before = config::change_allowed("info").and_then(|()| self.attach_for(level));
        let result = before.map(drop);
        let before = before.unwrap_or_else(|_| Level::now());
        config::level_changed(before, level, result);
        if result.is_ok() && before == Level::None && level != Level::None {
            record_first_task();
        }
        result
    }

    /// Attaches what `level` needs, and makes it the level that holds. Returns the one before.
    fn attach_for(&self, level: Level) -> Result<Level> {
        let mut attached = self.attached.lock();
        let before = Level::now();
        if level == Level::None {
            level.set();
            *attached = None;
        } else {
            if attached.is_none() {
                *attached = attach(level, self.ns)?;
            }
            level.set();
        }
        Ok(before)
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
fn attach(level: Level, ns: bool) -> Result<Option<Attachments>> {
    if level == Level::None {
        return Ok(None);
    }
    let hooks = [
        (!ns, Hook::Clone),
        (!ns, Hook::NsSwitch),
        (true, Hook::AuditExit),
        (true, Hook::AuditMessage),
        (true, Hook::Seccomp),
        (true, Hook::CoreDump),
    ];
    Attachments::new(hooks).map(Some)
}
