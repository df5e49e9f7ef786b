// SPDX-License-Identifier: GPL-2.0-only

//! Attachments to kernel functions. What they lead to is in `attach/handlers.rs`.
//!
//! C headers: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h),
//! [`include/linux/kprobes.h`](srctree/include/linux/kprobes.h)
//!
//! One of the two places of this module that contain `unsafe`; the other is `audit.rs`.
//!
//! ftrace patches a call or a jump into the entry of a function, to an address of our choice (a "direct
//! call"). What it leads to runs in the function's own context: no wrapper disables preemption, and it
//! may sleep where the function's caller may.

pub(crate) mod alive;
mod calls;
mod handlers;
mod selection;

use crate::bindings;
pub(crate) use handlers::{
    learn_nsfs_dev,
    record_first_task, //
};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::types::Opaque;
pub(crate) use selection::{
    may_control,
    with_namespaces, //
};

/// A kernel function to attach to.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    /// `dm_audit_log_ti()`, replaced.
    DmTarget,
    /// `dm_audit_log_bio()`, replaced.
    DmBio,
    /// `dm_ctl_ioctl()`, surrounded: ioctls hold locks while they make and destroy targets.
    DmIoctl,
    /// `dm_compat_ctl_ioctl()`, likewise.
    #[cfg(CONFIG_COMPAT)]
    DmCompatIoctl,
    /// `__ns_tree_add_raw()`, observed.
    NsAdd,
    /// `__ns_tree_remove()`, observed.
    NsRemove,
    /// `copy_namespaces()`, surrounded: `clone()` makes namespaces in it, some of them under locks.
    Clone,
    /// `ksys_unshare()`, surrounded likewise.
    Unshare,
    /// `create_new_namespace()`, surrounded likewise: it makes a mount namespace for `open_tree()` and `fsmount()`.
    Mount,
    /// `fsmount()` itself, surrounded likewise: it holds a mutex around that.
    Fsmount,
    /// The same for programs of i386.
    #[cfg(CONFIG_IA32_EMULATION)]
    Fsmount32,
    /// `switch_task_namespaces()`, observed.
    NsSwitch,
    /// `audit_log_exit()`, observed.
    AuditExit,
    /// `audit_log_common_recv_msg()`, surrounded, to give it another audit context.
    AuditMessage,
    /// `audit_seccomp()`, surrounded, so that its record belongs to an event.
    Seccomp,
    /// `audit_core_dumps()`, surrounded likewise.
    CoreDump,
    /// `audit_receive()`, surrounded: after it, audit's configuration may be locked.
    AuditReceive,
    /// `__audit_syscall_entry()`, followed, to leave out the event that begins.
    AuditSyscallEntry,
    /// `__audit_uring_entry()`, likewise.
    AuditUringEntry,
    /// `audit_filter()`, surrounded, to answer in its place.
    AuditFilter,
}

extern "C" {
    /// In `trampoline_*.S`.
    fn dmns_trampoline_dm_ioctl();
    fn dmns_trampoline_ns_add();
    fn dmns_trampoline_ns_remove();
    fn dmns_trampoline_clone();
    fn dmns_trampoline_unshare();
    fn dmns_trampoline_mount();
    fn dmns_trampoline_ns_switch();
    fn dmns_trampoline_audit_exit();
    fn dmns_trampoline_audit_message();
    fn dmns_trampoline_seccomp();
    fn dmns_trampoline_core_dump();
    fn dmns_trampoline_audit_receive();
    fn dmns_trampoline_audit_entry();
    fn dmns_trampoline_audit_filter();
}

impl Hook {
    fn function(self) -> &'static CStr {
        match self {
            Self::DmTarget => c"dm_audit_log_ti",
            Self::DmBio => c"dm_audit_log_bio",
            Self::DmIoctl => c"dm_ctl_ioctl",
            #[cfg(CONFIG_COMPAT)]
            Self::DmCompatIoctl => c"dm_compat_ctl_ioctl",
            Self::NsAdd => c"__ns_tree_add_raw",
            Self::NsRemove => c"__ns_tree_remove",
            Self::Clone => c"copy_namespaces",
            Self::Unshare => c"ksys_unshare",
            Self::Mount => c"create_new_namespace",
            Self::Fsmount => c"__x64_sys_fsmount",
            #[cfg(CONFIG_IA32_EMULATION)]
            Self::Fsmount32 => c"__ia32_sys_fsmount",
            Self::NsSwitch => c"switch_task_namespaces",
            Self::AuditExit => c"audit_log_exit",
            Self::AuditMessage => c"audit_log_common_recv_msg",
            Self::Seccomp => c"audit_seccomp",
            Self::CoreDump => c"audit_core_dumps",
            Self::AuditReceive => c"audit_receive",
            Self::AuditSyscallEntry => c"__audit_syscall_entry",
            Self::AuditUringEntry => c"__audit_uring_entry",
            Self::AuditFilter => c"audit_filter",
        }
    }

    /// The only caller of the function, which will do as well: clang inlines the function into it.
    fn caller(self) -> Option<&'static CStr> {
        match self {
            Self::Mount => Some(c"open_new_namespace"),
            _ => None,
        }
    }

    /// Where ftrace shall lead the function's callers.
    ///
    /// Bit 0 asks for a jump: the Rust function gets the arguments and returns to the caller, and the
    /// original never runs. Without it, ftrace calls a trampoline, which returns into the original.
    fn direct(self) -> usize {
        let trampoline = match self {
            Self::DmTarget => return handlers::replace_dm_audit_log_ti as *const () as usize | 1,
            Self::DmBio => return handlers::replace_dm_audit_log_bio as *const () as usize | 1,
            Self::DmIoctl => dmns_trampoline_dm_ioctl,
            #[cfg(CONFIG_COMPAT)]
            Self::DmCompatIoctl => dmns_trampoline_dm_ioctl,
            Self::NsAdd => dmns_trampoline_ns_add,
            Self::NsRemove => dmns_trampoline_ns_remove,
            Self::Clone => dmns_trampoline_clone,
            Self::Unshare => dmns_trampoline_unshare,
            Self::Mount | Self::Fsmount => dmns_trampoline_mount,
            #[cfg(CONFIG_IA32_EMULATION)]
            Self::Fsmount32 => dmns_trampoline_mount,
            Self::NsSwitch => dmns_trampoline_ns_switch,
            Self::AuditExit => dmns_trampoline_audit_exit,
            Self::AuditMessage => dmns_trampoline_audit_message,
            Self::Seccomp => dmns_trampoline_seccomp,
            Self::CoreDump => dmns_trampoline_core_dump,
            Self::AuditReceive => dmns_trampoline_audit_receive,
            Self::AuditSyscallEntry | Self::AuditUringEntry => dmns_trampoline_audit_entry,
            Self::AuditFilter => dmns_trampoline_audit_filter,
        };
        let trampoline: unsafe extern "C" fn() = trampoline;
        trampoline as usize
    }
}

/// Where a hook's function is.
struct Place {
    hook: Hook,
    function: &'static CStr,
    address: c_ulong,
}

/// Finds functions by name: a kprobe looks its symbol up. It stays disabled, so nothing is patched for it.
///
/// `ftrace_set_filter()` would take a name too, but it compares it with those of all functions, each time.
///
/// # Invariants
///
/// All are registered.
struct Probes(KVec<KBox<Opaque<bindings::kprobe>>>);

impl Probes {
    fn find(&mut self, function: &'static CStr) -> Result<c_ulong> {
        let probe = KBox::new(Opaque::<bindings::kprobe>::zeroed(), GFP_KERNEL)?;
        self.0.reserve(1, GFP_KERNEL)?;
        // SAFETY: `probe` is ours, and zeroed but for what is set here, which is how C declares one. It stays where it is
        // until it is unregistered.
        let address = unsafe {
            (*probe.get()).symbol_name = function.as_char_ptr();
            (*probe.get()).flags = bindings::KPROBE_FLAG_DISABLED;
            to_result(bindings::register_kprobe(probe.get()))?;
            (*probe.get()).addr as c_ulong
        };
        // INVARIANT: Registered just now.
        self.0.push(probe, GFP_KERNEL)?;
        Ok(address)
    }

    fn place(&mut self, hook: Hook) -> Result<Place> {
        let mut function = hook.function();
        let address = self
            .find(function)
            .or_else(|e| match hook.caller().filter(|_| e == ENOENT) {
                Some(caller) => self.find(caller).inspect(|_| function = caller),
                None => Err(e),
            })
            .inspect_err(|e| refused(hook.function(), *e))?;
        Ok(Place {
            hook,
            function,
            address,
        })
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. A `KBox` is a pointer; all are freed only when nobody uses them any more, for
        // which this waits once.
        unsafe {
            bindings::unregister_kprobes(self.0.as_mut_ptr().cast(), self.0.len() as c_int);
        }
    }
}

/// A function with our address patched in.
///
/// # Invariants
///
/// `ops` is registered with `register_ftrace_direct()` for `hook.direct()`.
struct Attachment {
    hook: Hook,
    function: &'static CStr,
    ops: KBox<Opaque<bindings::ftrace_ops>>,
}

// SAFETY: ftrace guards its `ftrace_ops` with locks of its own; an attachment may be detached by another
// task than the one that made it.
unsafe impl Send for Attachment {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl Sync for Attachment {}

impl Attachment {
    fn new(place: Place) -> Result<Self> {
        let Place {
            hook,
            function,
            address,
        } = place;
        let ops = KBox::new(Opaque::<bindings::ftrace_ops>::zeroed(), GFP_KERNEL)
            .map_err(Error::from)
            .inspect_err(|e| refused(function, *e))?;
        // SAFETY: `ops` is ours. Nobody shall switch ftrace off while functions lead to us
        // (`kernel.ftrace_enabled`).
        unsafe { (*ops.get()).flags = bindings::FTRACE_OPS_FL_PERMANENT as c_ulong };
        // SAFETY: `ops` is zeroed but for its flags, which is how C declares one, and stays where it is until it is
        // freed.
        to_result(unsafe { bindings::ftrace_set_filter_ip(ops.get(), address, 0, 1) })
            .inspect_err(|e| refused(function, *e))?;
        // SAFETY: `ops` names one function. The address is that of a Rust function with the signature of
        // the one that it replaces, or of a trampoline that keeps the arguments of the one that it
        // observes.
        let registered = unsafe { bindings::register_ftrace_direct(ops.get(), hook.direct()) };
        to_result(registered).inspect_err(|e| {
            // SAFETY: `ops` is not registered.
            unsafe { bindings::ftrace_free_filter(ops.get()) };
            refused(function, *e);
        })?;
        pr_info!("{}: attached\n", function);
        // INVARIANT: Registered just now.
        Ok(Self {
            hook,
            function,
            ops,
        })
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
                self.function,
                e
            );
            loop {
                // SAFETY: The exit and the init function of a module may sleep.
                unsafe { bindings::msleep(60_000) };
            }
        }
        // ftrace has waited until nobody uses `ops` any more: it is not in the kernel's own data
        // (`FTRACE_OPS_FL_DYNAMIC`).
        pr_info!("{}: detached\n", self.function);
    }
}

fn refused(function: &CStr, error: Error) {
    let advice = if error == ENOENT {
        "this kernel lacks it, or has inlined it"
    } else if error == EBUSY {
        "a BPF fentry program, a livepatch or another tracer holds it: detach that \
         (bpftool link, /sys/kernel/livepatch), then load again; or ftrace is off (kernel.ftrace_enabled)"
    } else if error == ENOMEM {
        "the kernel is out of memory: free some, then load again"
    } else {
        "ftrace cannot patch it (see /sys/kernel/tracing/enabled_functions)"
    };
    pr_err!("{}: cannot attach ({:?}): {}\n", function, error, advice);
}

/// Says which of `files` debugfs lacks in `dir`: where it could not make one, the kernel crate does not report it.
pub(crate) fn tell_missing_files(dir: &CStr, files: [&CStr; 3]) {
    // SAFETY: `dir` is NUL-terminated; null asks for the root of debugfs.
    let found = unsafe { bindings::debugfs_lookup(dir.as_char_ptr(), core::ptr::null_mut()) };
    for file in files {
        let mut entry = core::ptr::null_mut();
        if !found.is_null() {
            // SAFETY: `file` is NUL-terminated, `found` a directory that we hold.
            entry = unsafe { bindings::debugfs_lookup(file.as_char_ptr(), found) };
        }
        if entry.is_null() {
            pr_err!(
                "debugfs: cannot create {}/{} (disabled, or out of memory): unload, then load again\n",
                dir,
                file
            );
        }
        // SAFETY: What debugfs_lookup() has given, or null.
        unsafe { bindings::dput(entry) };
    }
    // SAFETY: As above.
    unsafe { bindings::dput(found) };
}

/// A set of attachments. All are made, or none.
///
/// When it is dropped, the functions are given back, and no code of this module runs on their behalf any
/// more. May sleep.
pub(crate) struct Attachments {
    attached: KVec<Attachment>,
}

impl Attachments {
    /// Attaches to those of `hooks` that are wanted.
    pub(crate) fn new(hooks: impl IntoIterator<Item = (bool, Hook)>) -> Result<Self> {
        let mut probes = Probes(KVec::new());
        let mut places = KVec::new();
        for (_, hook) in hooks.into_iter().filter(|(wanted, _)| *wanted) {
            places.push(probes.place(hook)?, GFP_KERNEL)?;
        }
        drop(probes);
        let mut this = Self {
            attached: KVec::new(),
        };
        for place in places {
            this.attached.push(Attachment::new(place)?, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        // No new call is led to us from here on.
        while self.attached.pop().is_some() {}
        wait_for_handlers();
    }
}

/// Waits until all handlers that run now have come to their end. May sleep.
pub(crate) fn wait_for_handlers() {
    // Who was led to us, but is no handler yet, becomes one now or is gone: there is nothing to
    // sleep on before that. Tasks first.
    // SAFETY: Our caller may sleep.
    unsafe { bindings::synchronize_rcu_tasks() };
    // Then interrupts, which can hit the idle task that RCU-tasks does not look at.
    // SAFETY: As above.
    unsafe { bindings::synchronize_rcu() };
    // Handlers, and the calls that they surround, come to their end.
    // SAFETY: As above.
    unsafe { bindings::dmns_handlers_wait() };
    // Who came to its end has run the last instructions.
    // SAFETY: As above.
    unsafe { bindings::synchronize_rcu_tasks() };
    // SAFETY: As above.
    unsafe { bindings::synchronize_rcu() };
}

/// Reads a number at once, after all that was read so before. For what is read at every system call:
/// [`Atomic::load`] is a call of a C function each time.
///
/// C: `READ_ONCE()`. That loads are not reordered is x86's promise.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn read_once(number: &Atomic<u64>) -> u64 {
    // SAFETY: Valid and aligned; nobody writes it but whole.
    unsafe { number.as_ptr().read_volatile() }
}

/// Whether the module is kept until the next boot.
static PINNED: Atomic<bool> = Atomic::new(false);

fn pinned() -> bool {
    PINNED.load(Relaxed)
}

/// Keeps the module until the next boot. Returns whether it was not kept before.
pub(crate) fn pin() -> bool {
    // SAFETY: Code of this module runs: it is loaded, or about to be.
    !PINNED.xchg(true, Relaxed) && unsafe { bindings::dmns_pin() }
}
