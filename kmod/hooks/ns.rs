// SPDX-License-Identifier: GPL-2.0-only

//! Namespaces: each is added to the kernel's tree and removed from it, and tasks change theirs.

use crate::audit::{
    pending,
    Owner, //
};
use crate::bindings;
use crate::ftrace::Args;
use crate::lifetime::HandlerGuard;
use crate::task::{
    self,
    TaskNs, //
};
use crate::{
    baseline,
    filter,
    info,
    ns, //
};

/// Handles `__ns_tree_add_raw()`, which is about to make a namespace visible.
///
/// # Safety
///
/// `args` are those of that function: an initialised namespace that the caller alone knows yet.
pub(super) unsafe fn on_add(args: &Args) {
    let ns = args.pointer::<bindings::ns_common>(0);
    let _guard = HandlerGuard::new();
    if !baseline::namespaces_wanted() {
        return;
    }
    // SAFETY: By the safety requirements.
    let Some(namespace) = (unsafe { task::namespace(ns) }) else {
        return;
    };
    let reading = baseline::reading();
    let Some(creator) = TaskNs::current() else {
        return;
    };
    let old = creator.parent_inum(namespace.kind);
    // SAFETY: By the safety requirements; the namespace holds its owner.
    let owner = unsafe { owner(ns) };
    if !ns::created(&namespace, old, &owner, reading) {
        baseline::missed();
    }
    filter::on_created(namespace.kind, namespace.id, &creator);
}

/// Handles `__ns_tree_remove()`, which is about to make a namespace invisible.
///
/// # Safety
///
/// `args` are those of that function: a namespace in the tree, which the caller is about to free.
pub(super) unsafe fn on_remove(args: &Args) {
    let ns = args.pointer::<bindings::ns_common>(0);
    let _guard = HandlerGuard::no_sleep();
    if !baseline::namespaces_wanted() {
        return;
    }
    let reading = baseline::reading();
    // SAFETY: By the safety requirements.
    if let Some(namespace) = unsafe { task::namespace(ns) } {
        // SAFETY: By the safety requirements; the namespace still holds its owner.
        let owner = unsafe { owner(ns) };
        let may_join = reading == 0 && !baseline::recording();
        if !ns::deleted(&namespace, &owner, reading, may_join) {
            baseline::missed();
        }
        filter::on_deleted(namespace.kind, namespace.id);
    }
}

/// Returns the owner of a namespace.
///
/// # Safety
///
/// `ns` is valid, and holds its owner.
unsafe fn owner(ns: *const bindings::ns_common) -> Owner {
    // SAFETY: By the safety requirements.
    unsafe {
        Owner {
            id: bindings::dmns_owner(ns),
            user: bindings::dmns_user(ns),
        }
    }
}

/// Handles `switch_task_namespaces()`, which is about to give a task another `nsproxy`: in `setns()`,
/// `unshare()`, or `execve()`, under locks.
///
/// # Safety
///
/// `args` are those of that function: a task, and its next `nsproxy`.
pub(super) unsafe fn on_switch(args: &Args) {
    let task = args.pointer::<bindings::task_struct>(0);
    let proxy = args.pointer::<bindings::nsproxy>(1);
    if proxy.is_null() {
        // `on_exit()` has seen it.
        return;
    }
    let _guard = HandlerGuard::no_sleep();
    filter::nsproxy_changed();
    if task == kernel::task::Task::current_raw() {
        // SAFETY: `task` is `current`, and holds `proxy` from here on.
        let next = unsafe { TaskNs::with(task, proxy) };
        info::force_record_on_ns_change(|| !filter::is_filtered(next));
    }
}

/// Handles `exit_nsproxy_namespaces()`: a task exits, after `audit_free()`, or was not created after
/// all. A compiler may take `switch_task_namespaces()` into it, as that of Debian's arm64 kernel does.
///
/// # Safety
///
/// `args` are those of that function: a task.
pub(super) unsafe fn on_exit(args: &Args) {
    let task = args.pointer::<bindings::task_struct>(0);
    let _guard = HandlerGuard::no_sleep();
    filter::nsproxy_changed();
    if task == kernel::task::Task::current_raw() {
        pending::defer_own();
    }
}

/// Handles `copy_namespaces()`: `current` creates a child, which is in other namespaces if `current`
/// has set that up before.
///
/// # Safety
///
/// None: it looks at no argument.
pub(super) unsafe fn on_clone(_: &Args) {
    let _guard = HandlerGuard::no_sleep();
    if info::wanted() && TaskNs::current().is_some_and(|task| task.info().children_elsewhere()) {
        info::force_record_on_ns_change(|| false);
    }
}
