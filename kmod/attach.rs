// SPDX-License-Identifier: GPL-2.0-only

//! Attachments to kernel functions. What they lead to is in `attach/handlers.rs`.
//!
//! C header: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h)
//!
//! One of the two places of this module that contain `unsafe`; the other is `audit.rs`.
//!
//! ftrace patches a call or a jump into the entry of a function, to an address of our choice (a "direct
//! call"). What it leads to runs in the function's own context: no wrapper disables preemption, and it
//! may sleep where the function's caller may.

mod handlers;

use crate::bindings;
pub(crate) use handlers::{
    learn_nsfs_dev,
    record_first_task,
    record_initial_namespaces, //
};
use kernel::error::to_result;
use kernel::prelude::*;
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
    /// `switch_task_namespaces()`, observed.
    NsSwitch,
    /// `audit_log_exit()`, observed.
    AuditExit,
    /// `audit_log_common_recv_msg()`, given another audit context.
    AuditMessage,
}

extern "C" {
    /// In `trampoline_*.S`.
    fn dmns_trampoline_ns_add();
    fn dmns_trampoline_ns_remove();
    fn dmns_trampoline_ns_switch();
    fn dmns_trampoline_audit_exit();
    fn dmns_trampoline_audit_message();
}

impl Hook {
    fn function(self) -> &'static CStr {
        match self {
            Self::DmTarget => c"dm_audit_log_ti",
            Self::DmBio => c"dm_audit_log_bio",
            Self::NsAdd => c"__ns_tree_add_raw",
            Self::NsRemove => c"__ns_tree_remove",
            Self::NsSwitch => c"switch_task_namespaces",
            Self::AuditExit => c"audit_log_exit",
            Self::AuditMessage => c"audit_log_common_recv_msg",
        }
    }

    /// Where ftrace shall lead the function's callers.
    ///
    /// Bit 0 asks for a jump: the Rust function gets the arguments and returns to the caller, and the
    /// original never runs. Without it, ftrace calls a trampoline, which returns into the original.
    fn direct(self) -> usize {
        match self {
            Self::DmTarget => handlers::replace_dm_audit_log_ti as *const () as usize | 1,
            Self::DmBio => handlers::replace_dm_audit_log_bio as *const () as usize | 1,
            Self::NsAdd => dmns_trampoline_ns_add as *const () as usize,
            Self::NsRemove => dmns_trampoline_ns_remove as *const () as usize,
            Self::NsSwitch => dmns_trampoline_ns_switch as *const () as usize,
            Self::AuditExit => dmns_trampoline_audit_exit as *const () as usize,
            Self::AuditMessage => dmns_trampoline_audit_message as *const () as usize,
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
            // The kernel has the function, ftrace_set_filter() has found it: a filter that is empty all the same
            // lacks the memory for its entry, of which match_records() does not tell.
            let e = if e == EINVAL { ENOMEM } else { e };
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
    } else if error == ENOMEM {
        "the kernel is out of memory: free some, then load again"
    } else {
        "ftrace cannot patch it (see /sys/kernel/tracing/enabled_functions)"
    };
    pr_err!("{}: cannot attach ({:?}): {}\n", function, error, advice);
}

/// Says which of `files` debugfs lacks in `dir`: where it could not make one, the kernel crate does not tell.
pub(crate) fn tell_missing_files(dir: &CStr, files: [&CStr; 2]) {
    // SAFETY: `dir` is NUL-terminated; null asks for the root of debugfs.
    let found = unsafe { bindings::debugfs_lookup(dir.as_char_ptr(), core::ptr::null_mut()) };
    for file in files {
        let mut has = false;
        if !found.is_null() {
            // SAFETY: `file` is NUL-terminated, `found` a directory that we hold. dput() takes back what
            // debugfs_lookup() has given, and null.
            unsafe {
                let entry = bindings::debugfs_lookup(file.as_char_ptr(), found);
                has = !entry.is_null();
                bindings::dput(entry);
            }
        }
        if !has {
            pr_err!(
                "debugfs could not make {}/{}: it is off, or memory is short; unload, then load again\n",
                dir,
                file
            );
        }
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
    /// Attaches to each of `hooks`.
    pub(crate) fn new(hooks: impl IntoIterator<Item = Hook>) -> Result<Self> {
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
        // SAFETY: Our caller may sleep.
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
    }
}
