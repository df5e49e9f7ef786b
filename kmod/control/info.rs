// SPDX-License-Identifier: GPL-2.0-only

//! The file `info`: it holds the [`Level`] of `NS_INFO`, and takes another. At level 0 nothing is
//! attached for it.

use crate::ftrace::Attachments;
use crate::info::{
    self,
    Level, //
};
use crate::{
    config,
    hooks,
    task, //
};
use kernel::fmt;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;

/// The state that the file controls.
#[pin_data]
pub(super) struct InfoFile {
    #[pin]
    attached: Mutex<Option<Attachments>>,
}

impl InfoFile {
    /// Starts at `level`, with what it needs attached.
    pub(super) fn new(level: Level) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let attached =
                attach(level).inspect_err(|_| pr_err!("not loaded, nothing is attached\n"))?;
            level.set();
            Ok(try_pin_init!(Self { attached <- new_mutex!(attached) }))
        })
    }

    /// Goes to another level. If what it needs cannot be attached, or audit's configuration is
    /// locked, the level stays.
    fn set(&self, level: Level) -> Result {
        let before = config::change_allowed("info").and_then(|()| self.attach_for(level));
        let result = before.map(drop);
        let before = before.unwrap_or_else(|_| Level::now());
        config::level_changed(before, level, result);
        if result.is_ok() && before == Level::None && level != Level::None {
            info::record_first_task(task::first_task_info());
        }
        result
    }

    /// Attaches what `level` needs, and sets it. Returns the level before.
    fn attach_for(&self, level: Level) -> Result<Level> {
        let mut attached = self.attached.lock();
        let before = Level::now();
        if level == Level::None {
            if let Some(attached) = &mut *attached {
                attached.detach()?;
            }
            *attached = None;
        } else if attached.is_none() {
            *attached = attach(level)?;
        }
        level.set();
        Ok(before)
    }

    /// Writes the number of the level.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Level::now() as u32)
    }

    /// Takes the number of a level, and goes there.
    pub(super) fn store(&self, text: &[u8]) -> Result {
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

/// Attaches what `level` needs.
fn attach(level: Level) -> Result<Option<Attachments>> {
    if level == Level::None {
        return Ok(None);
    }
    if hooks::kernel_records_namespaces()? {
        pr_err!(
            "info: this kernel records namespaces itself, with features of audit; not changed\n"
        );
        return Err(EEXIST);
    }
    Attachments::new(&hooks::INFO).map(Some)
}
