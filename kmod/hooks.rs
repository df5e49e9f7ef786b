// SPDX-License-Identifier: GPL-2.0-only

//! The kernel functions that are patched: one table, a row for each.
//!
//! - *Replace*: the function of the module runs in place of the original.
//! - *Entry hook*: the module sees the arguments, and the original runs.
//! - *Wrap*: where the entry hook returns true, the module calls the original itself.
//! - *Exit hook*: where the entry hook returns true, the module runs behind the original.

mod control;
mod dm;
mod event;
mod filter;
mod ns;

use crate::ftrace::{
    Hook,
    Target, //
};
use crate::lifetime::ModuleRef;

/// Makes a function callable by its name, and has the compiler compare its signature with the one in `helpers.h`.
/// What `#[export]` is to the kernel's own code.
macro_rules! ffi_export {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            let _ = if true { $crate::bindings::$name } else { $name };
        };)*
    };
}
pub(crate) use ffi_export;

extern "C" {
    // In trampoline_*.S.
    fn dmns_trampoline_ns_add();
    fn dmns_trampoline_ns_remove();
    fn dmns_trampoline_ns_switch();
    fn dmns_trampoline_clone();
    fn dmns_trampoline_audit_exit();
    fn dmns_trampoline_audit_message();
    fn dmns_trampoline_seccomp();
    fn dmns_trampoline_core_dump();
    fn dmns_trampoline_audit_receive();
    fn dmns_trampoline_audit_entry();
    fn dmns_trampoline_audit_filter();
}

/// Builds the constants of the table.
macro_rules! table {
    ($($(#[$attribute:meta])* $name:ident: $function:literal, $how:ident $(($trampoline:ident))?;)*) => {
        $($(#[$attribute])* const $name: Hook = Hook {
            function: $function,
            target: table!(@target $how $($trampoline)?),
        };)*
    };
    (@target replace $function:ident) => {
        Target::Jump(|| dm::$function as *const () as usize)
    };
    (@target $how:ident $trampoline:ident) => {
        Target::Call($trampoline)
    };
}

table! {
    // Device mapper. C: drivers/md/dm-audit.c
    DM_TARGET: c"dm_audit_log_ti", replace(replace_dm_audit_log_ti);
    DM_BIO: c"dm_audit_log_bio", replace(replace_dm_audit_log_bio);
    // Namespaces. C: kernel/nstree.c, kernel/nsproxy.c
    NS_ADD: c"__ns_tree_add_raw", entry(dmns_trampoline_ns_add);
    NS_REMOVE: c"__ns_tree_remove", entry(dmns_trampoline_ns_remove);
    NS_SWITCH: c"switch_task_namespaces", entry(dmns_trampoline_ns_switch);
    NS_CLONE: c"copy_namespaces", entry(dmns_trampoline_clone);
    // Events. C: kernel/auditsc.c, kernel/audit.c
    AUDIT_EXIT: c"audit_log_exit", entry(dmns_trampoline_audit_exit);
    AUDIT_MESSAGE: c"audit_log_common_recv_msg", wrap(dmns_trampoline_audit_message);
    SECCOMP: c"audit_seccomp", wrap(dmns_trampoline_seccomp);
    CORE_DUMP: c"audit_core_dumps", wrap(dmns_trampoline_core_dump);
    AUDIT_RECEIVE: c"audit_receive", wrap(dmns_trampoline_audit_receive);
    // The filter. C: kernel/auditsc.c, kernel/auditfilter.c
    SYSCALL_ENTRY: c"__audit_syscall_entry", exit(dmns_trampoline_audit_entry);
    URING_ENTRY: c"__audit_uring_entry", exit(dmns_trampoline_audit_entry);
    AUDIT_FILTER: c"audit_filter", wrap(dmns_trampoline_audit_filter);
}

/// The hooks that the module needs, in the order in which they are attached.
///
/// The end of events comes before what is pending until then. The deletion of namespaces comes before the creation: what is
/// seen when created is seen when deleted.
pub(crate) const MODULE: [(Part, Hook); 7] = [
    (Part::Always, AUDIT_EXIT),
    (Part::Dm, DM_TARGET),
    (Part::Dm, DM_BIO),
    (Part::Ns, NS_REMOVE),
    (Part::Ns, NS_ADD),
    (Part::Always, NS_SWITCH),
    (Part::Always, AUDIT_RECEIVE),
];

/// The parts of the module, which parameters switch on and off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Device mapper.
    Dm,
    /// Namespaces.
    Ns,
    /// What all parts need.
    Always,
}

/// The hooks of `NS_INFO`, above level 0.
pub(crate) const INFO: [Hook; 4] = [NS_CLONE, AUDIT_MESSAGE, SECCOMP, CORE_DUMP];

/// The hooks of the filter, while anything is filtered.
pub(crate) const FILTER_ENTRY: [Hook; 2] = [SYSCALL_ENTRY, URING_ENTRY];

/// The hook of the filter from the first command on. Who was inside an event when the filter ended is still filtered for
/// all of that event.
pub(crate) const FILTER: [Hook; 1] = [AUDIT_FILTER];

/// Runs the wrapper of a call, and gives back the reference to the module that the entry hook took.
///
/// # Safety
///
/// To be called by the wrapper of a function, with a call of [`dmns_call_original`](crate::bindings::dmns_call_original) for the
/// arguments and the body that it got. The entry hook has taken the reference.
unsafe fn wrapped<R>(call: impl FnOnce(&ModuleRef) -> R) -> R {
    // SAFETY: By the safety requirements.
    let module = unsafe { ModuleRef::from_leaked() };
    call(&module)
}
