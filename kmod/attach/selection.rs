// SPDX-License-Identifier: GPL-2.0-only

//! What selectable audit attaches to, and the namespaces of a task as it sees them.
//!
//! Whether an event is left out is decided once, at its beginning: audit then treats it as if there were no rules, and
//! its filter leaves out what is emitted all the same.
//!
//! None of the handlers here sleeps, so `synchronize_rcu_tasks()` waits for their end: they do without SRCU, which
//! would cost each system call more than they do.

use super::handlers::{
    exported,
    of_task,
    Of, //
};
use crate::audit::event;
use crate::bindings;
use crate::select::{
    self,
    Namespaces, //
};
use crate::uapi::ns::Kind;
use kernel::prelude::*;
use kernel::sync::rcu;

exported!(
    dmns_observe_audit_entry,
    dmns_observe_audit_filter,
    dmns_after_audit_entry,
    dmns_around_audit_filter,
);

/// `__audit_syscall_entry()` and `__audit_uring_entry()`: an event may begin. Returns whether it is left out.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of these functions.
#[no_mangle]
unsafe extern "C" fn dmns_observe_audit_entry() -> bool {
    select::any() && !event::current() && current_left_out()
}

/// Audit's entry has begun the event, or has decided that there is none.
///
/// # Safety
///
/// To be called by the trampoline, at the end of these functions.
#[no_mangle]
unsafe extern "C" fn dmns_after_audit_entry() {
    event::leave_out();
}

/// `audit_filter()`: shall a record of this type be emitted? Returns true for no.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_audit_filter(number: c_int, list: c_uint) -> bool {
    list == bindings::AUDIT_FILTER_EXCLUDE
        && event::in_task()
        && event::left_out().unwrap_or_else(current_left_out)
        && !u16::try_from(number).is_ok_and(select::is_kept)
}

/// The answer of `audit_filter()` for no.
///
/// # Safety
///
/// None: it looks at none of its arguments.
#[no_mangle]
unsafe extern "C" fn dmns_around_audit_filter() -> c_int {
    0
}

/// The namespaces that a task is in.
pub(crate) struct TaskNamespaces {
    /// INVARIANT: `current`, or one whose namespaces do not change while this lives.
    task: *mut bindings::task_struct,
    /// INVARIANT: Its `nsproxy`, not null.
    proxy: *const bindings::nsproxy,
}

impl TaskNamespaces {
    /// Those of the task that runs now; `None` once it has left them, at its end.
    pub(super) fn current() -> Option<Self> {
        let task = kernel::task::Task::current_raw();
        // SAFETY: `current` is valid; only it changes its `nsproxy`.
        let proxy = unsafe { (*task).nsproxy };
        // INVARIANT: Just checked.
        (!proxy.is_null()).then_some(Self { task, proxy })
    }

    /// Those that a task has with this `nsproxy`.
    ///
    /// # Safety
    ///
    /// `task` is `current`, `proxy` valid while this lives.
    pub(super) unsafe fn with(
        task: *mut bindings::task_struct,
        proxy: *const bindings::nsproxy,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self { task, proxy }
    }

    /// The ns_id of the namespace of this kind, 0 for an initial one.
    pub(crate) fn id_unless_initial(&self, kind: Kind) -> u64 {
        // SAFETY: `init_task` never exits, and stays in the initial namespaces.
        let initial = unsafe {
            let task = &raw mut bindings::init_task;
            of_task(kind, Of::Itself, task, (*task).nsproxy)
        };
        // SAFETY: By the type invariants.
        let own = unsafe { of_task(kind, Of::Itself, self.task, self.proxy) };
        if own == initial {
            0
        } else {
            self.id(kind)
        }
    }

    /// Whether the task's pid namespace, or one that it is in, is one of those whose ns_id is `inside`.
    pub(crate) fn pid_namespace_within(&self, inside: impl Fn(u64) -> bool) -> bool {
        // SAFETY: By the type invariants.
        let mut ns = unsafe { bindings::task_active_pid_ns(self.task) };
        while !ns.is_null() {
            // SAFETY: A task's pid namespace is valid, and holds the one it was made in. The offset is that of its
            // `ns_common`.
            let (id, parent) = unsafe {
                (
                    ns_id(ns.byte_add(bindings::DMNS_PID_NS as usize).cast()),
                    (*ns).parent,
                )
            };
            if inside(id) {
                return true;
            }
            ns = parent;
        }
        false
    }
}

impl Namespaces for TaskNamespaces {
    fn id(&self, kind: Kind) -> u64 {
        // SAFETY: By the type invariants.
        unsafe { ns_id(of_task(kind, Of::Itself, self.task, self.proxy)) }
    }

    fn addresses(&self) -> (usize, usize) {
        (self.task as usize, self.proxy as usize)
    }
}

/// Whether what the task that runs now causes is left out.
#[inline]
pub(super) fn current_left_out() -> bool {
    TaskNamespaces::current().is_some_and(|task| select::left_out(&task))
}

/// Calls `f` with the namespaces of the task with this number in the initial pid namespace. `f` must not sleep.
pub(crate) fn with_namespaces(pid: i32, f: impl FnOnce(&TaskNamespaces) -> Result) -> Result {
    let _rcu = rcu::read_lock();
    // SAFETY: RCU keeps what is found. The caller is in the initial pid namespace.
    let task =
        unsafe { bindings::pid_task(bindings::find_vpid(pid), bindings::pid_type_PIDTYPE_PID) };
    if task.is_null() {
        return Err(ESRCH);
    }
    // SAFETY: `task` is valid under RCU. Its `nsproxy` does not change under its lock, and while it has one, it has a
    // pid, too; nor are its credentials freed under RCU.
    unsafe {
        bindings::dmns_lock_task(task);
        let proxy = (*task).nsproxy;
        let result = if proxy.is_null() {
            Err(ESRCH)
        } else {
            // INVARIANT: As said.
            f(&TaskNamespaces { task, proxy })
        };
        bindings::dmns_unlock_task(task);
        result
    }
}

/// Whether the task that runs now may change audit's configuration: as audit demands for its own, with
/// CAP_AUDIT_CONTROL in the initial user and pid namespaces.
///
/// C: `audit_netlink_ok()` in `kernel/audit.c`.
pub(crate) fn may_control() -> bool {
    let current = kernel::task::Task::current_raw();
    // SAFETY: `current` is valid; only it changes its credentials, which live as long as it points to them. It runs, so
    // it has a pid namespace.
    unsafe {
        (*(*current).cred).user_ns == &raw mut bindings::init_user_ns
            && bindings::task_active_pid_ns(current) == &raw mut bindings::init_pid_ns
            && bindings::capable(bindings::CAP_AUDIT_CONTROL as c_int)
    }
}

/// The id of a namespace that is never used again.
///
/// # Safety
///
/// `ns` is valid and initialised.
pub(super) unsafe fn ns_id(ns: *const bindings::ns_common) -> u64 {
    // SAFETY: By the safety requirements; the offset is that of `ns_id`, which is set before the namespace comes into
    // the tree, and not changed while it is there.
    unsafe { *ns.byte_add(bindings::DMNS_NS_ID as usize).cast() }
}
