// SPDX-License-Identifier: GPL-2.0-only

//! The kernel functions that are patched: one table, a row for each.
//!
//! - *Replace*: the function of the module runs in place of the original.
//! - *Entry hook*: the module sees the arguments, and the original runs.
//! - *Wrap*: where the entry hook returns true, the module calls the original itself.
//! - *Exit hook*: where the entry hook returns true, the module runs after the original, by a
//!   trampoline of its own.

mod control;
// Without CONFIG_DM_AUDIT there is nothing to replace.
#[cfg_attr(not(CONFIG_DM_AUDIT), allow(dead_code))]
mod dm;
mod event;
mod filter;
mod ns;

use crate::ftrace::{
    self,
    Action,
    Hook, //
};
use kernel::prelude::*;

extern "C" {
    // In arch/.
    fn dmns_trampoline_audit_entry();
}

/// Builds a row of the table.
const fn hook(function: &'static CStr, action: Action) -> Hook {
    Hook { function, action }
}

/// Names a function of device mapper. Where that is a module, so is the name: a static function of
/// another module may have the same.
#[cfg(all(CONFIG_DM_AUDIT, CONFIG_BLK_DEV_DM = "m"))]
macro_rules! dm_mod {
    ($name:literal) => {
        kernel::c_str!(concat!("dm_mod:", $name))
    };
}
#[cfg(all(CONFIG_DM_AUDIT, not(CONFIG_BLK_DEV_DM = "m")))]
macro_rules! dm_mod {
    ($name:literal) => {
        kernel::c_str!($name)
    };
}

/// Returns whether the kernel records namespaces itself: it has the patches of `docs/upstream`, with
/// CONFIG_AUDIT_NAMESPACES.
pub(crate) fn kernel_records_namespaces() -> Result<bool> {
    // C: kernel/audit_ns.c
    ftrace::exists(c"__audit_ns_add")
}

/// The parts of the module, which parameters switch on and off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Device mapper.
    #[cfg_attr(not(CONFIG_DM_AUDIT), allow(dead_code))]
    Dm,
    /// Namespaces.
    Ns,
    /// NS_INFO, and the filter.
    Tasks,
    /// The hooks that all parts need.
    Always,
}

/// The hooks that the module needs.
#[rustfmt::skip]
pub(crate) static MODULE: &[(Part, Hook)] = &[
    // C: drivers/md/dm-audit.c
    #[cfg(CONFIG_DM_AUDIT)]
    (Part::Dm, hook(dm_mod!("dm_audit_log_ti"), Action::Replace(|| dm::replace_dm_audit_log_ti as *const () as usize))),
    #[cfg(CONFIG_DM_AUDIT)]
    (Part::Dm, hook(dm_mod!("dm_audit_log_bio"), Action::Replace(|| dm::replace_dm_audit_log_bio as *const () as usize))),
    // C: kernel/nstree.c
    (Part::Ns, hook(c"__ns_tree_add_raw", Action::Entry(ns::on_add))),
    (Part::Ns, hook(c"__ns_tree_remove", Action::Entry(ns::on_remove))),
    // C: kernel/nsproxy.c
    (Part::Tasks, hook(c"switch_task_namespaces", Action::Entry(ns::on_switch))),
    (Part::Tasks, hook(c"exit_nsproxy_namespaces", Action::Entry(ns::on_exit))),
    // C: kernel/auditsc.c
    (Part::Always, hook(c"audit_log_exit", Action::Entry(event::on_end))),
    // C: kernel/audit.c
    (Part::Always, hook(c"audit_receive", Action::Wrap(control::on_message, control::wrap_message))),
];

/// The hooks of `NS_INFO`, above level 0.
#[rustfmt::skip]
pub(crate) static INFO: [Hook; 4] = [
    // C: kernel/nsproxy.c
    hook(c"copy_namespaces", Action::Entry(ns::on_clone)),
    // C: kernel/audit.c
    hook(c"audit_log_common_recv_msg", Action::Wrap(event::on_message, event::wrap_message)),
    // C: kernel/auditsc.c
    hook(c"audit_seccomp", Action::Wrap(event::on_seccomp, event::wrap_event)),
    hook(c"audit_core_dumps", Action::Wrap(event::on_core_dump, event::wrap_event)),
];

/// The hooks of the filter, while anything is filtered. Each system call passes one.
#[rustfmt::skip]
pub(crate) static FILTER_ENTRY: [Hook; 2] = [
    // C: kernel/auditsc.c
    hook(c"__audit_syscall_entry", Action::Trampoline(dmns_trampoline_audit_entry)),
    hook(c"__audit_uring_entry", Action::Trampoline(dmns_trampoline_audit_entry)),
];

/// The hook of the filter from the first command on. An event that began while the filter was on is
/// filtered to its end.
#[rustfmt::skip]
pub(crate) static FILTER: [Hook; 1] = [
    // C: kernel/auditfilter.c
    hook(c"audit_filter", Action::Wrap(filter::on_filter, filter::wrap_filter)),
];
