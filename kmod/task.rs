// SPDX-License-Identifier: GPL-2.0-only

//! The namespaces and capabilities of a task.

use crate::bindings;
use crate::uapi::ns::{
    Info,
    Kind,
    Namespace,
    FOR_CHILDREN, //
};
use kernel::prelude::*;
use kernel::sync::rcu;

/// Which namespace of a task: an `nsproxy` also holds those of future children.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NsRef {
    /// The one that the task's children are created in, or cloned from.
    ForChildren,
    /// The one that the task is in: as under `/proc/PID/ns`.
    Active,
}

/// The namespaces that a task is in.
///
/// # Invariants
///
/// `task` is `current`, or a task that does not change its namespaces while this exists. `proxy` is
/// its `nsproxy`, or the one that it is about to get, and is not null.
pub(crate) struct TaskNs {
    task: *mut bindings::task_struct,
    proxy: *const bindings::nsproxy,
}

impl TaskNs {
    /// Returns the namespaces of `current`; `None` once it has left them, at its end.
    pub(crate) fn current() -> Option<Self> {
        let task = kernel::task::Task::current_raw();
        // SAFETY: `current` is valid, and only `current` changes its `nsproxy`.
        let proxy = unsafe { (*task).nsproxy };
        // INVARIANT: `task` is `current`, `proxy` was just checked.
        (!proxy.is_null()).then_some(Self { task, proxy })
    }

    /// Returns the namespaces that `task` has with `proxy`.
    ///
    /// # Safety
    ///
    /// `task` is `current`, and `proxy` is valid while the result exists.
    pub(crate) unsafe fn with(
        task: *mut bindings::task_struct,
        proxy: *const bindings::nsproxy,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self { task, proxy }
    }

    /// Returns the addresses of the task and of its `nsproxy`.
    pub(crate) fn addresses(&self) -> (*mut bindings::task_struct, *const bindings::nsproxy) {
        (self.task, self.proxy)
    }

    /// Returns the `ns_common` of one namespace.
    fn ns(&self, kind: Kind, which: NsRef) -> *const bindings::ns_common {
        let Self { task, proxy } = *self;
        // SAFETY: By the type invariants. An `nsproxy` and credentials hold the namespaces they
        // name, and a task that runs holds its pid and so its pid namespace. The offsets are those
        // of the `ns_common` in each structure.
        unsafe {
            let (ns, offset): (*const c_void, _) = match kind {
                // Private to fs/mount.h, where it is the first member: helpers.c asserts that.
                Kind::Mnt => ((*proxy).mnt_ns.cast(), 0),
                Kind::Uts => ((*proxy).uts_ns.cast(), bindings::DMNS_UTS_NS),
                Kind::Ipc => ((*proxy).ipc_ns.cast(), bindings::DMNS_IPC_NS),
                Kind::User => {
                    let cred = match which {
                        NsRef::ForChildren => (*task).cred,
                        NsRef::Active => (*task).real_cred,
                    };
                    ((*cred).user_ns.cast(), bindings::DMNS_USER_NS)
                }
                Kind::Pid => match which {
                    NsRef::ForChildren => {
                        ((*proxy).pid_ns_for_children.cast(), bindings::DMNS_PID_NS)
                    }
                    NsRef::Active => (
                        bindings::task_active_pid_ns(task).cast(),
                        bindings::DMNS_PID_NS,
                    ),
                },
                Kind::Net => ((*proxy).net_ns.cast(), bindings::DMNS_NET_NS),
                Kind::Cgroup => ((*proxy).cgroup_ns.cast(), bindings::DMNS_CGROUP_NS),
                Kind::Time => match which {
                    NsRef::ForChildren => {
                        ((*proxy).time_ns_for_children.cast(), bindings::DMNS_TIME_NS)
                    }
                    NsRef::Active => ((*proxy).time_ns.cast(), bindings::DMNS_TIME_NS),
                },
            };
            ns.byte_add(offset as usize).cast()
        }
    }

    fn inum(&self, kind: Kind, which: NsRef) -> u32 {
        // SAFETY: By the type invariants the namespace is valid.
        unsafe { (*self.ns(kind, which)).inum }
    }

    /// Returns the ns_id of the namespace of this kind that the task is in.
    #[inline]
    pub(crate) fn id(&self, kind: Kind) -> u64 {
        // SAFETY: By the type invariants the namespace is valid.
        unsafe { ns_id(self.ns(kind, NsRef::Active)) }
    }

    /// Returns the ns_id of the namespace of this kind that the task is in; 0 for an initial one.
    pub(crate) fn id_unless_initial(&self, kind: Kind) -> u64 {
        // SAFETY: `init_task` never exits, and stays in the initial namespaces.
        // INVARIANT: Likewise.
        let initial = unsafe {
            let task = &raw mut bindings::init_task;
            let proxy = (*task).nsproxy;
            Self { task, proxy }
        };
        if self.ns(kind, NsRef::Active) == initial.ns(kind, NsRef::Active) {
            0
        } else {
            self.id(kind)
        }
    }

    /// Returns the inode number of the namespace that a new one of this kind is cloned from.
    pub(crate) fn parent_inum(&self, kind: Kind) -> u32 {
        self.inum(kind, NsRef::ForChildren)
    }

    /// Returns the inode numbers of all eight namespaces.
    pub(crate) fn info(&self) -> Info {
        Info {
            inums: Kind::ALL.map(|kind| self.inum(kind, NsRef::Active)),
            for_children: FOR_CHILDREN.map(|kind| self.inum(kind, NsRef::ForChildren)),
        }
    }

    /// Returns whether `inside` holds for the ns_id of the task's pid namespace, or of one of its
    /// ancestors.
    pub(crate) fn pid_namespace_within(&self, inside: impl Fn(u64) -> bool) -> bool {
        // SAFETY: By the type invariants.
        let mut ns = unsafe { bindings::task_active_pid_ns(self.task) };
        while !ns.is_null() {
            // SAFETY: A task's pid namespace is valid, and holds its parent. The offset is that of
            // its `ns_common`.
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

/// Calls `f` with the namespaces of the task with this number in the initial pid namespace. `f`
/// must not sleep.
pub(crate) fn with_namespaces<R>(pid: i32, f: impl FnOnce(&TaskNs) -> Result<R>) -> Result<R> {
    let _rcu = rcu::read_lock();
    // SAFETY: RCU keeps what is found. The lookup goes by the pid namespace of `current`: the
    // initial one.
    let task =
        unsafe { bindings::pid_task(bindings::find_vpid(pid), bindings::pid_type_PIDTYPE_PID) };
    if task.is_null() {
        return Err(ESRCH);
    }
    // SAFETY: `task` is valid under RCU. Its `nsproxy` does not change under its lock, which is
    // that of C's `task_lock()`. While it has one, it has a pid, too; nor are its credentials freed under RCU.
    unsafe {
        bindings::spin_lock(&raw mut (*task).alloc_lock);
        let proxy = (*task).nsproxy;
        let result = if proxy.is_null() {
            Err(ESRCH)
        } else {
            // INVARIANT: As said.
            f(&TaskNs { task, proxy })
        };
        bindings::spin_unlock(&raw mut (*task).alloc_lock);
        result
    }
}

/// Returns the namespaces of the first task; `None` where it has none any more.
pub(crate) fn first_task_info() -> Option<Info> {
    let _rcu = rcu::read_lock();
    // SAFETY: The initial pid namespace is static. RCU keeps the reaper that is read here, also
    // where its thread exits and another takes its place. Its `nsproxy` does not change under its
    // lock, which is that of C's `task_lock()`.
    unsafe {
        let first = (&raw const bindings::init_pid_ns.child_reaper).read_volatile();
        bindings::spin_lock(&raw mut (*first).alloc_lock);
        let proxy = (*first).nsproxy;
        // INVARIANT: As said.
        let info = (!proxy.is_null()).then(|| TaskNs { task: first, proxy }.info());
        bindings::spin_unlock(&raw mut (*first).alloc_lock);
        info
    }
}

/// Returns whether `current` is in the initial user and pid namespaces, and has CAP_AUDIT_CONTROL
/// in its effective set.
///
/// Asks no security module, and so leaves no trace.
///
/// C: `audit_netlink_ok()` in `kernel/audit.c`.
pub(crate) fn may_send_control() -> bool {
    // SAFETY: Reads the credentials of `current`; no requirements.
    unsafe { bindings::dmns_has_audit_control() }
}

/// Returns whether `current` may change audit's configuration: as [`may_send_control`], and
/// security modules agree.
pub(crate) fn capable_audit_control() -> bool {
    // SAFETY: `capable()` looks at `current`; no requirements.
    may_send_control() && unsafe { bindings::capable(bindings::CAP_AUDIT_CONTROL as c_int) }
}

/// Returns the namespace that `ns` is; `None` for a kind that this module does not know.
///
/// # Safety
///
/// `ns` is valid and initialised.
pub(crate) unsafe fn namespace(ns: *const bindings::ns_common) -> Option<Namespace> {
    // SAFETY: By the safety requirements. These are set once, when the namespace is created.
    unsafe { from_raw((*ns).ns_type, (*ns).inum, ns_id(ns)) }
}

/// Returns the namespace with these properties; `None` for a kind that this module does not know.
pub(crate) fn from_raw(ns_type: u32, inum: u32, id: u64) -> Option<Namespace> {
    let kind = Kind::from_clone_flag(ns_type);
    if kind.is_none() {
        kernel::pr_warn_once!("namespace of unknown type {:#x}: not recorded\n", ns_type);
    }
    kind.map(|kind| Namespace { kind, inum, id })
}

/// Returns the id of a namespace. Ids are never used again.
///
/// # Safety
///
/// `ns` is valid and initialised.
#[inline]
unsafe fn ns_id(ns: *const bindings::ns_common) -> u64 {
    // SAFETY: By the safety requirements. The offset is that of `ns_id`, which is set before the
    // namespace comes into the tree, and not changed while it is there.
    unsafe { *ns.byte_add(bindings::DMNS_NS_ID as usize).cast() }
}
