// SPDX-License-Identifier: GPL-2.0-only

//! The module's own configuration: each change is audited, as audit's are, and none is made when
//! audit's is locked (`auditctl -e 2`).

use crate::audit;
use crate::info::Level;
use crate::uapi::config::Change;
use crate::uapi::filter::{
    Command,
    Ids, //
};
use crate::{
    lifetime,
    task, //
};
use kernel::prelude::*;

/// Records that the module was loaded.
pub(crate) fn loaded(dm: bool, ns: bool, level: Level) {
    let info = level as u32;
    audit::config_change(Ok(()), |record| {
        Change::Loaded { dm, ns, info }.head(record);
    });
}

/// Records that the module is being unloaded.
pub(crate) fn unloaded() {
    audit::config_change(Ok(()), |record| Change::Unloaded.head(record));
}

/// Records a change of the level of `NS_INFO`, or the attempt, with its result.
pub(crate) fn level_changed(old: Level, new: Level, result: Result) {
    let change = Change::Info {
        new: new as u32,
        old: old as u32,
    };
    audit::config_change(result, |record| change.head(record));
    if result.is_ok() {
        pr_info!("info={}\n", new as u32);
    }
}

/// Records a command to the filter, with its result.
pub(crate) fn filter_changed(command: &Command, result: Result) {
    let (what, ids) = match *command {
        Command::Select { mode, ids, .. } => (mode.name(), ids),
        Command::Join { id, .. } => ("join", one(id)),
        Command::Clear(id) => ("clear", one(id.unwrap_or(0))),
    };
    audit::config_change(result, |record| Change::Select { what, ids }.head(record));
}

fn one(id: u64) -> Ids {
    let mut ids = Ids::default();
    ids[0] = id;
    ids
}

/// Returns whether the configuration may be changed, as audit lets its own be: in the file `file`.
pub(crate) fn change_allowed(file: &str) -> Result {
    if !task::capable_audit_control() {
        pr_err!(
            "{}: needs CAP_AUDIT_CONTROL in the initial namespaces; not changed\n",
            file
        );
        return Err(EPERM);
    }
    if audit::locked() {
        pr_err!(
            "{}: audit's configuration is locked until the next boot (auditctl -e 2); not changed\n",
            file
        );
        return Err(EPERM);
    }
    Ok(())
}

/// Keeps the module loaded until the next boot, if audit's configuration is locked by now.
pub(crate) fn pin_if_locked() {
    if audit::locked() && lifetime::pin() {
        pr_info!("audit's configuration is locked: this module stays until the next boot\n");
    }
}
