// SPDX-License-Identifier: GPL-2.0-only

//! What the functions that we attach to are handed, turned into plain values for `dm.rs`, `ns.rs` and `info.rs`.

use crate::bindings;
use crate::info::Call;
use crate::uapi::dm::{
    Dev,
    Event, //
};
use crate::uapi::ns::{
    Info,
    Kind,
    Namespace,
    NsfsDev, //
};
use crate::{
    audit,
    dm,
    info,
    ns, //
};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::rcu;

/// The time that a handler runs. [`super::Attachments`] waits for its end before the module goes.
#[must_use = "the module can go as soon as this is dropped"]
struct Handling(c_int);

impl Handling {
    fn begin() -> Self {
        // SAFETY: Callable from any context but NMI, where nothing that we attach to is called. `drop` ends
        // what this begins.
        Self(unsafe { bindings::dmns_handler_begin() })
    }
}

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
        bindings::AUDIT_DM_EVENT => dm::target_violation(&event),
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
    dm::io_violation(&event, sector);
}

/// `__ns_tree_add_raw()` is about to make a namespace visible. Called by the trampoline.
///
/// # Safety
///
/// `ns` is an initialised namespace that the caller alone knows yet.
#[no_mangle]
unsafe extern "C" fn dmns_observe_ns_add(ns: *const bindings::ns_common) {
    let _handling = Handling::begin();
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
    ns::created(&namespace, nsfs(), Some(old));
}

/// `__ns_tree_remove()` is about to make a namespace invisible. Called by the trampoline.
///
/// # Safety
///
/// `ns` is a namespace in the tree, which the caller is about to free.
#[no_mangle]
unsafe extern "C" fn dmns_observe_ns_remove(ns: *const bindings::ns_common) {
    let _handling = Handling::begin();
    // SAFETY: By the safety requirements.
    if let Some(namespace) = unsafe { namespace(ns) } {
        ns::deleted(&namespace, nsfs());
    }
}

/// `switch_task_namespaces()` is about to give a task another `nsproxy`. Called by the trampoline.
///
/// # Safety
///
/// `task` is `current`, or one that does not run yet; `proxy` is valid, or null for a task that exits.
#[no_mangle]
unsafe extern "C" fn dmns_observe_ns_switch(
    task: *mut bindings::task_struct,
    proxy: *const bindings::nsproxy,
) {
    let _handling = Handling::begin();
    if !proxy.is_null() && task == kernel::task::Task::current_raw() && audit::in_syscall() {
        // SAFETY: `task` is `current`, `proxy` is valid.
        info::entering(call(), || unsafe { info(task, proxy) });
    }
}

/// `audit_log_exit()` is about to write the event of a system call. Called by the trampoline.
#[no_mangle]
extern "C" fn dmns_observe_audit_exit() {
    let _handling = Handling::begin();
    let call = match call() {
        // SAFETY: `current` leaves its system call, or is a worker of io_uring, which enters nothing.
        Call::Enters if unsafe { bindings::dmns_call_failed() } => Call::Other,
        call => call,
    };
    let current = kernel::task::Task::current_raw();
    // SAFETY: `current` is valid, and has its `nsproxy` until long after its last event.
    info::event(call, || unsafe { info(current, (*current).nsproxy) });
}

/// `audit_log_common_recv_msg()` is about to write a message from user space, with the audit context that it
/// is handed: with null, the message is an event of its own. Called by the trampoline; what this returns takes
/// the place of `context`.
///
/// # Safety
///
/// `context` is null or the audit context of `current`, which sends the message.
#[no_mangle]
unsafe extern "C" fn dmns_observe_audit_message(
    context: *mut bindings::audit_context,
) -> *mut bindings::audit_context {
    let _handling = Handling::begin();
    if !context.is_null() || !audit::in_syscall() {
        return context;
    }
    let current = kernel::task::Task::current_raw();
    // SAFETY: `current` is valid, sends a message, and so has an `nsproxy`.
    if info::joins_messages(|| unsafe { info(current, (*current).nsproxy) }) {
        audit::context()
    } else {
        context
    }
}

/// What the system call that `current` is in does to namespaces.
fn call() -> Call {
    // SAFETY: `current` is in a system call, or a worker of io_uring, which says so.
    match unsafe { bindings::dmns_call() } {
        bindings::DMNS_CALL_MAKES => Call::Makes,
        bindings::DMNS_CALL_ENTERS => Call::Enters,
        _ => Call::Other,
    }
}

/// The namespace that `ns` is; `None` for a kind that this module does not know.
///
/// # Safety
///
/// `ns` is valid and initialised.
unsafe fn namespace(ns: *const bindings::ns_common) -> Option<Namespace> {
    // SAFETY: By the safety requirements. `ns_id` is set once, when the namespace is made, and shares its
    // place only with the RCU head that frees it, after its removal from the tree.
    let (ns_type, inum, id) = unsafe {
        let id: *const u64 = ns.byte_add(bindings::DMNS_NS_ID as usize).cast();
        ((*ns).ns_type, (*ns).inum, *id)
    };
    let kind = Kind::from_clone_flag(ns_type);
    if kind.is_none() {
        kernel::pr_warn_once!("namespace of unknown type {:#x}: not recorded\n", ns_type);
    }
    kind.map(|kind| Namespace { kind, inum, id })
}

/// The namespaces that a task is in; an `nsproxy` also holds those that it would clone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
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
unsafe fn of_task(
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
    Info {
        inums: Kind::ALL.map(|kind| {
            // SAFETY: By the safety requirements; a namespace is valid as long as who holds it.
            unsafe { (*of_task(kind, Of::Itself, task, proxy)).inum }
        }),
    }
}

/// Says in which namespaces the first task is.
///
/// Together with the initial namespaces this makes a log complete that begins here.
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

/// Says of each initial namespace that it was created.
pub(crate) fn record_initial_namespaces() {
    for kind in Kind::ALL {
        // SAFETY: `init_task` is the idle task of the first CPU: it never dies, and stays in the initial
        // namespaces.
        let initial = unsafe {
            let task = &raw mut bindings::init_task;
            namespace(of_task(kind, Of::Children, task, (*task).nsproxy))
        };
        if let Some(initial) = initial {
            ns::created(&initial, nsfs(), None);
        }
    }
}

/// The device of nsfs, as `major << 20 | minor`. It is mounted once, at boot.
static NSFS_DEV: Atomic<u32> = Atomic::new(0);

fn nsfs() -> NsfsDev {
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
