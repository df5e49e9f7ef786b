// SPDX-License-Identifier: GPL-2.0-only

//! What the functions that we attach to are handed, turned into plain values for `dm.rs`, `ns.rs` and `info.rs`.

use super::alive;
use super::selection::{
    ns_id,
    TaskNamespaces, //
};
use crate::bindings;
use crate::uapi::dm::{
    Dev,
    Event, //
};
use crate::uapi::ns::{
    Info,
    Kind,
    Namespace,
    NsfsDev,
    FOR_CHILDREN, //
};
use crate::{
    dm,
    info,
    ns,
    select, //
};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::rcu;
use kernel::types::NotThreadSafe;

/// The time that a handler runs. [`super::Attachments`] waits for its end before the module goes.
#[must_use = "the module can go as soon as this is dropped"]
pub(super) struct Handling(c_int, NotThreadSafe);

impl Handling {
    pub(super) fn begin() -> Self {
        // SAFETY: Callable from any context but NMI, where nothing that we attach to is called. `drop` ends
        // what this begins.
        Self(unsafe { bindings::dmns_handler_begin() }, NotThreadSafe)
    }
}

/// Makes a function callable by its name, and has the compiler hold its signature against the one in `helpers.h`.
/// What `#[export]` is to the kernel's own code.
macro_rules! exported {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            let _ = if true { $crate::bindings::$name } else { $name };
        };)*
    };
}
pub(super) use exported;

exported!(
    dmns_observe_ns_add,
    dmns_observe_ns_remove,
    dmns_observe_ns_switch,
    dmns_observe_audit_exit,
);

impl Drop for Handling {
    fn drop(&mut self) {
        // SAFETY: The index comes from `begin()`, in the same context.
        unsafe { bindings::dmns_handler_end(self.0) };
    }
}

/// Takes the place of `dm_audit_log_ti()` in `drivers/md/dm-audit.c`.
///
/// # Safety
///
/// As for the original: `module` and `op` are NUL-terminated strings, `ti` is a target in a table.
pub(super) unsafe extern "C" fn replace_dm_audit_log_ti(
    audit_type: c_int,
    module: *const c_char,
    op: *const c_char,
    ti: *mut bindings::dm_target,
    result: c_int,
) {
    let _handling = Handling::begin();
    // SAFETY: By the safety requirements `ti` is valid and in a table; the table belongs to a mapped
    // device, whose disk lives as long as it.
    let (dev, error) = unsafe {
        let disk = bindings::dm_disk(bindings::dm_table_get_md((*ti).table));
        let dev = Dev {
            major: (*disk).major as u32,
            minor: (*disk).first_minor as u32,
        };
        (dev, (*ti).error)
    };
    let event = Event {
        // SAFETY: By the safety requirements.
        module: unsafe { CStr::from_char_ptr(module) }.to_bytes(),
        // SAFETY: By the safety requirements.
        op: unsafe { CStr::from_char_ptr(op) }.to_bytes(),
        dev,
        result,
    };
    match audit_type as u32 {
        bindings::AUDIT_DM_CTRL => {
            // SAFETY: A target sets `error` to a string constant, or leaves it null.
            let error = (!error.is_null()).then(|| unsafe { CStr::from_char_ptr(error) });
            dm::control(&event, error.map(CStr::to_bytes));
        }
        bindings::AUDIT_DM_EVENT => dm::violation(&event, None),
        // The original too takes no other type.
        _ => {}
    }
}

/// Takes the place of `dm_audit_log_bio()` in `drivers/md/dm-audit.c`.
///
/// # Safety
///
/// As for the original: `module` and `op` are NUL-terminated strings, `bio` is valid and has a device.
pub(super) unsafe extern "C" fn replace_dm_audit_log_bio(
    module: *const c_char,
    op: *const c_char,
    bio: *mut bindings::bio,
    sector: bindings::sector_t,
    result: c_int,
) {
    let _handling = Handling::begin();
    // SAFETY: By the safety requirements.
    let dev = unsafe { (*(*bio).bi_bdev).bd_dev };
    let event = Event {
        // SAFETY: By the safety requirements.
        module: unsafe { CStr::from_char_ptr(module) }.to_bytes(),
        // SAFETY: By the safety requirements.
        op: unsafe { CStr::from_char_ptr(op) }.to_bytes(),
        dev: Dev {
            major: major(dev),
            minor: minor(dev),
        },
        result,
    };
    dm::violation(&event, Some(sector));
}

/// `__ns_tree_add_raw()` is about to make a namespace visible. Called by the trampoline.
///
/// # Safety
///
/// `ns` is an initialised namespace that the caller alone knows yet.
#[no_mangle]
unsafe extern "C" fn dmns_observe_ns_add(ns: *const bindings::ns_common) {
    let _handling = Handling::begin();
    if !alive::wanted() {
        return;
    }
    // SAFETY: By the safety requirements.
    let Some(namespace) = (unsafe { namespace(ns) }) else {
        return;
    };
    let current = kernel::task::Task::current_raw();
    // SAFETY: `current` makes the namespace; what it clones from is its own, and does not change meanwhile.
    let old = unsafe {
        let proxy = (*current).nsproxy;
        (*of_task(namespace.kind, Of::Children, current, proxy)).inum
    };
    // SAFETY: As above; the caller's namespaces own it.
    let owner = unsafe { bindings::dmns_owner(ns) };
    if alive::born(&namespace, owner) {
        ns::created(&namespace, nsfs(), old, owner);
    }
    if let Some(maker) = TaskNamespaces::current() {
        select::born(namespace.kind, namespace.id, &maker);
    }
}

/// `__ns_tree_remove()` is about to make a namespace invisible. Called by the trampoline.
///
/// # Safety
///
/// `ns` is a namespace in the tree, which the caller is about to free.
#[no_mangle]
unsafe extern "C" fn dmns_observe_ns_remove(ns: *const bindings::ns_common) {
    let _handling = Handling::begin();
    if !alive::wanted() {
        return;
    }
    // SAFETY: By the safety requirements.
    if let Some(namespace) = unsafe { namespace(ns) } {
        // SAFETY: As above.
        let owner = unsafe { bindings::dmns_owner(ns) };
        let unborn = alive::died(&namespace, owner);
        ns::deleted(&namespace, nsfs(), unborn);
        select::died(namespace.kind, namespace.id);
    }
}

/// `switch_task_namespaces()` is about to give a task another `nsproxy`: in `setns()`, `unshare()`, or `execve()`, under
/// locks.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_ns_switch(
    task: *mut bindings::task_struct,
    proxy: *const bindings::nsproxy,
) {
    let _handling = Handling::begin();
    select::switched();
    // Without a proxy, it exits.
    if !proxy.is_null() && task == kernel::task::Task::current_raw() {
        // SAFETY: `task` is `current`, and holds `proxy` from here on.
        info::changes(|| !select::left_out(&unsafe { TaskNamespaces::with(task, proxy) }));
    }
}

/// `audit_log_exit()` is about to write the event of a system call or an io_uring operation.
///
/// # Safety
///
/// To be called by the trampoline, at the entry of that function.
#[no_mangle]
unsafe extern "C" fn dmns_observe_audit_exit() {
    let _handling = Handling::begin();
    info::event(current_info);
}

/// The namespaces of the task that runs now, which has not come to its end yet.
pub(super) fn current_info() -> Info {
    let current = kernel::task::Task::current_raw();
    // SAFETY: `current` is valid; only it changes its `nsproxy`, which it has until long after its last event.
    let proxy = unsafe { (*current).nsproxy };
    // SAFETY: As above.
    unsafe { info(current, proxy) }
}

/// The namespace that `ns` is; `None` for a kind that this module does not know.
///
/// # Safety
///
/// `ns` is valid and initialised.
unsafe fn namespace(ns: *const bindings::ns_common) -> Option<Namespace> {
    // SAFETY: By the safety requirements; set once, when the namespace is made.
    let ns_type = unsafe { (*ns).ns_type };
    // SAFETY: As above.
    let inum = unsafe { (*ns).inum };
    // SAFETY: As above.
    let id = unsafe { ns_id(ns) };
    named(ns_type, inum, id)
}

/// The namespace that was found alive.
pub(super) fn plain(found: &bindings::dmns_namespace) -> Option<Namespace> {
    named(found.type_, found.inum, found.id)
}

fn named(ns_type: u32, inum: u32, id: u64) -> Option<Namespace> {
    let kind = Kind::from_clone_flag(ns_type);
    if kind.is_none() {
        kernel::pr_warn_once!("namespace of unknown type {:#x}: not recorded\n", ns_type);
    }
    kind.map(|kind| Namespace { kind, inum, id })
}

/// The namespaces that a task is in; an `nsproxy` also holds those that it would clone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Which its children are made in, or cloned from.
    Children,
    /// Which it is in itself: as under `/proc/PID/ns`.
    Itself,
}

/// The namespace of this `kind` that `task` is in, or would clone, if its `nsproxy` is `proxy`.
///
/// # Safety
///
/// `task` is `current`, or one whose namespaces do not change meanwhile; `proxy` is valid.
pub(super) unsafe fn of_task(
    kind: Kind,
    of: Of,
    task: *mut bindings::task_struct,
    proxy: *const bindings::nsproxy,
) -> *const bindings::ns_common {
    // SAFETY: An `nsproxy` and credentials hold the namespaces they name, and a task that runs holds its pid
    // and so its pid namespace. The offsets are those of the `ns_common` in each of the structures.
    unsafe {
        let (ns, offset): (*const c_void, _) = match kind {
            // Private to fs/mount.h, where it is the first member.
            Kind::Mnt => ((*proxy).mnt_ns.cast(), 0),
            Kind::Uts => ((*proxy).uts_ns.cast(), bindings::DMNS_UTS_NS),
            Kind::Ipc => ((*proxy).ipc_ns.cast(), bindings::DMNS_IPC_NS),
            Kind::User => {
                let cred = match of {
                    Of::Children => (*task).cred,
                    Of::Itself => (*task).real_cred,
                };
                ((*cred).user_ns.cast(), bindings::DMNS_USER_NS)
            }
            Kind::Pid => match of {
                Of::Children => ((*proxy).pid_ns_for_children.cast(), bindings::DMNS_PID_NS),
                Of::Itself => (
                    bindings::task_active_pid_ns(task).cast(),
                    bindings::DMNS_PID_NS,
                ),
            },
            Kind::Net => ((*proxy).net_ns.cast(), bindings::DMNS_NET_NS),
            Kind::Cgroup => ((*proxy).cgroup_ns.cast(), bindings::DMNS_CGROUP_NS),
            Kind::Time => match of {
                Of::Children => ((*proxy).time_ns_for_children.cast(), bindings::DMNS_TIME_NS),
                Of::Itself => ((*proxy).time_ns.cast(), bindings::DMNS_TIME_NS),
            },
        };
        ns.byte_add(offset as usize).cast()
    }
}

/// The eight namespaces that `task` is in, if its `nsproxy` is `proxy`.
///
/// # Safety
///
/// As for [`of_task`].
unsafe fn info(task: *mut bindings::task_struct, proxy: *const bindings::nsproxy) -> Info {
    let inum = |kind, of| {
        // SAFETY: By the safety requirements.
        let ns = unsafe { of_task(kind, of, task, proxy) };
        // SAFETY: A namespace is valid as long as who holds it.
        unsafe { (*ns).inum }
    };
    Info {
        inums: Kind::ALL.map(|kind| inum(kind, Of::Itself)),
        for_children: FOR_CHILDREN.map(|kind| inum(kind, Of::Children)),
    }
}

/// Says in which namespaces the first task is.
///
/// Together with the namespaces that are alive this makes a log complete that begins here.
pub(crate) fn record_first_task() {
    // SAFETY: The initial pid namespace lives as long as the kernel, and so does its reaper, the first task.
    let first = unsafe { bindings::init_pid_ns.child_reaper };
    let info = {
        let _rcu = rcu::read_lock();
        // SAFETY: `first` is valid. Its `nsproxy` does not change under its lock, nor are its credentials
        // freed under RCU.
        unsafe {
            bindings::dmns_lock_task(first);
            let info = info(first, (*first).nsproxy);
            bindings::dmns_unlock_task(first);
            info
        }
    };
    info::record(&info);
}

/// The device of nsfs, as `major << 20 | minor`. It is mounted once, at boot.
static NSFS_DEV: Atomic<u32> = Atomic::new(0);

pub(super) fn nsfs() -> NsfsDev {
    let dev = NSFS_DEV.load(Relaxed);
    NsfsDev {
        major: major(dev),
        minor: minor(dev),
    }
}

/// Asks a namespace's own file for the device of nsfs: the kernel exports no other way. May sleep.
pub(crate) fn learn_nsfs_dev() -> Result {
    const FILE: &CStr = c"/proc/self/ns/net";
    let mut path = bindings::path::default();
    // SAFETY: `FILE` is NUL-terminated, `path` is ours to write. The init function of a module may sleep.
    to_result(unsafe {
        bindings::kern_path(
            FILE.as_char_ptr(),
            bindings::DMNS_LOOKUP_FOLLOW,
            &raw mut path,
        )
    })
    .inspect_err(|e| pr_err!("{}: {:?}: mount /proc, then load again\n", FILE, e))?;
    // SAFETY: `kern_path()` succeeded: `path` holds a dentry, which holds its filesystem, until it is
    // put.
    unsafe {
        let dev = (*(*path.dentry).d_sb).s_dev;
        bindings::path_put(&raw const path);
        NSFS_DEV.store(dev, Relaxed);
    }
    Ok(())
}

/// C: `MAJOR()` in `include/linux/kdev_t.h`.
fn major(dev: bindings::dev_t) -> u32 {
    dev >> bindings::MINORBITS
}

/// C: `MINOR()` in `include/linux/kdev_t.h`.
fn minor(dev: bindings::dev_t) -> u32 {
    dev & ((1 << bindings::MINORBITS) - 1)
}
