// SPDX-License-Identifier: GPL-2.0-only

//! Attachments to kernel functions, and what those functions are handed.
//!
//! C header: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h)
//!
//! One of the two files of this module that contain `unsafe`; the other is `audit.rs`.
//!
//! ftrace patches a call or a jump into the entry of a function, to an address of our choice (a "direct
//! call"). What it leads to runs in the function's own context: no wrapper disables preemption, and it
//! may sleep where the function's caller may.

use crate::bindings;
use crate::uapi::dm::{
    Dev,
    Event, //
};
use crate::uapi::ns::{
    Kind,
    Namespace,
    NsfsDev, //
};
use crate::{
    audit,
    counters,
    dm,
    ns, //
};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::types::Opaque;

/// A kernel function to attach to.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    /// `dm_audit_log_ti()`, replaced.
    DmTarget,
    /// `dm_audit_log_bio()`, replaced.
    DmBio,
    /// `__ns_tree_add_raw()`, observed.
    NsAdd,
    /// `__ns_tree_remove()`, observed.
    NsRemove,
}

extern "C" {
    /// In `trampoline_*.S`.
    fn dmns_trampoline_ns_add();
    fn dmns_trampoline_ns_remove();
}

impl Hook {
    fn function(self) -> &'static CStr {
        match self {
            Self::DmTarget => c"dm_audit_log_ti",
            Self::DmBio => c"dm_audit_log_bio",
            Self::NsAdd => c"__ns_tree_add_raw",
            Self::NsRemove => c"__ns_tree_remove",
        }
    }

    /// Where ftrace shall lead the function's callers.
    ///
    /// Bit 0 asks for a jump: the Rust function gets the arguments and returns to the caller, and the
    /// original never runs. Without it, ftrace calls a trampoline, which returns into the original.
    fn direct(self) -> usize {
        match self {
            Self::DmTarget => replace_dm_audit_log_ti as *const () as usize | 1,
            Self::DmBio => replace_dm_audit_log_bio as *const () as usize | 1,
            Self::NsAdd => dmns_trampoline_ns_add as *const () as usize,
            Self::NsRemove => dmns_trampoline_ns_remove as *const () as usize,
        }
    }
}

/// One function with our address patched in.
///
/// # Invariants
///
/// `ops` is registered with `register_ftrace_direct()` for `hook.direct()`.
struct Attachment {
    hook: Hook,
    ops: KBox<Opaque<bindings::ftrace_ops>>,
}

// SAFETY: ftrace guards its `ftrace_ops` with locks of its own; an attachment may be detached by another
// task than the one that made it.
unsafe impl Send for Attachment {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl Sync for Attachment {}

impl Attachment {
    fn new(hook: Hook) -> Result<Self> {
        let function = hook.function();
        let ops = KBox::new(Opaque::zeroed(), GFP_KERNEL)?;
        // SAFETY: `ops` is zeroed, which is how C declares one, and stays where it is until it is freed.
        // ftrace copies the pattern, which is `function` without its NUL, before it returns.
        to_result(unsafe {
            bindings::ftrace_set_filter(
                ops.get(),
                function.as_char_ptr().cast_mut().cast(),
                function.count_bytes() as c_int,
                1,
            )
        })
        .inspect_err(|e| refused(function, *e))?;
        // SAFETY: `ops` names one function. The address is that of a Rust function with the signature of
        // the one that it replaces, or of a trampoline that keeps the arguments of the one that it
        // observes.
        let registered = unsafe { bindings::register_ftrace_direct(ops.get(), hook.direct()) };
        if let Err(e) = to_result(registered) {
            // SAFETY: `ops` is not registered.
            unsafe { bindings::ftrace_free_filter(ops.get()) };
            refused(function, e);
            return Err(e);
        }
        pr_info!("{}: attached\n", function);
        // INVARIANT: Registered just now.
        Ok(Self { hook, ops })
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `ops` is registered for this address.
        let unregistered = to_result(unsafe {
            bindings::unregister_ftrace_direct(self.ops.get(), self.hook.direct(), true)
        });
        if let Err(e) = unregistered {
            // The function still leads to our code, and nothing can keep a module whose exit function
            // runs already: nothing but the exit function itself.
            pr_emerg!(
                "{}: ftrace cannot detach ({:?}); this module stays in memory, reboot soon\n",
                self.hook.function(),
                e
            );
            loop {
                // SAFETY: The exit and the init function of a module may sleep.
                unsafe { bindings::msleep(60_000) };
            }
        }
        // ftrace has waited until nobody uses `ops` any more: it is not in the kernel's own data
        // (`FTRACE_OPS_FL_DYNAMIC`).
        pr_info!("{}: detached\n", self.hook.function());
    }
}

fn refused(function: &CStr, error: Error) {
    let advice = if error == EINVAL {
        "this kernel lacks it, or has inlined it"
    } else if error == EBUSY {
        "a BPF fentry program, a livepatch or another tracer holds it: detach that \
         (bpftool link, /sys/kernel/livepatch), then load again"
    } else {
        "ftrace cannot patch it (see /sys/kernel/tracing/enabled_functions)"
    };
    pr_err!("{}: cannot attach ({:?}): {}\n", function, error, advice);
}

/// A set of attachments. All are made, or none.
///
/// When it is dropped, the functions are given back, and no code of this module runs on their behalf any
/// more: the module may go.
pub(crate) struct Attachments {
    attached: KVec<Attachment>,
}

impl Attachments {
    /// Attaches to each of `hooks`.
    pub(crate) fn new(hooks: impl IntoIterator<Item = Hook>) -> Result<Self> {
        NSFS_DEV.store(nsfs_dev()?, Relaxed);
        let mut this = Self {
            attached: KVec::new(),
        };
        for hook in hooks {
            this.attached.push(Attachment::new(hook)?, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        // No new call is led to us from here on.
        while self.attached.pop().is_some() {}
        // SAFETY: The exit and the init function of a module may sleep.
        unsafe {
            // Who was led to us, but is no handler yet, becomes one now or is gone: there is nothing to
            // sleep on before that. Tasks, then interrupts, which can hit the idle task that RCU-tasks
            // does not look at.
            bindings::synchronize_rcu_tasks();
            bindings::synchronize_rcu();
            // Handlers, perhaps asleep until audit's backlog has room, come to their end.
            bindings::dmns_handlers_wait();
            // Who came to its end has run the last instructions.
            bindings::synchronize_rcu_tasks();
            bindings::synchronize_rcu();
        }
        audit::send_the_rest();
        counters::log();
    }
}

/// The time that a handler runs. [`Attachments`] waits for its end before the module goes.
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
unsafe extern "C" fn replace_dm_audit_log_ti(
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
unsafe extern "C" fn replace_dm_audit_log_bio(
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
    // SAFETY: `current` makes the namespace; what it clones from is its own, and does not change meanwhile.
    let old = unsafe { (*of_task(namespace.kind, kernel::task::Task::current_raw())).inum };
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

/// The namespace of this `kind` that `task` would clone.
///
/// # Safety
///
/// `task` is `current`, or one whose namespaces do not change meanwhile.
unsafe fn of_task(kind: Kind, task: *const bindings::task_struct) -> *const bindings::ns_common {
    // SAFETY: A task that runs has an `nsproxy` and credentials, which hold the namespaces they name.
    // The offsets are those of the `ns_common` in each of the structures.
    unsafe {
        let proxy = (*task).nsproxy;
        let (ns, offset): (*const c_void, _) = match kind {
            // Private to fs/mount.h, where it is the first member.
            Kind::Mnt => ((*proxy).mnt_ns.cast(), 0),
            Kind::Uts => ((*proxy).uts_ns.cast(), bindings::DMNS_UTS_NS),
            Kind::Ipc => ((*proxy).ipc_ns.cast(), bindings::DMNS_IPC_NS),
            Kind::User => ((*(*task).cred).user_ns.cast(), bindings::DMNS_USER_NS),
            Kind::Pid => ((*proxy).pid_ns_for_children.cast(), bindings::DMNS_PID_NS),
            Kind::Net => ((*proxy).net_ns.cast(), bindings::DMNS_NET_NS),
            Kind::Cgroup => ((*proxy).cgroup_ns.cast(), bindings::DMNS_CGROUP_NS),
            Kind::Time => ((*proxy).time_ns_for_children.cast(), bindings::DMNS_TIME_NS),
        };
        ns.byte_add(offset as usize).cast()
    }
}

/// Says of each initial namespace that it was created.
pub(crate) fn record_initial_namespaces() {
    for kind in Kind::ALL {
        // SAFETY: `init_task` is the idle task of the first CPU: it never dies, and stays in the initial
        // namespaces.
        let initial = unsafe { namespace(of_task(kind, &raw const bindings::init_task)) };
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

/// Asks a namespace's own file for the device it is on: the kernel exports no other way.
fn nsfs_dev() -> Result<bindings::dev_t> {
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
        Ok(dev)
    }
}

/// C: `MAJOR()` in `include/linux/kdev_t.h`.
fn major(dev: bindings::dev_t) -> u32 {
    dev >> bindings::MINORBITS
}

/// C: `MINOR()` in `include/linux/kdev_t.h`.
fn minor(dev: bindings::dev_t) -> u32 {
    dev & ((1 << bindings::MINORBITS) - 1)
}
