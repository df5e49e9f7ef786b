// SPDX-License-Identifier: GPL-2.0-only

//! Attachments to kernel functions: the mechanism. `hooks.rs` has the functions.
//!
//! C headers: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h),
//! [`include/linux/kprobes.h`](srctree/include/linux/kprobes.h)
//!
//! ftrace patches a call or a jump into the entry of a function, to an address of our choice (a "direct
//! call"). What it leads to runs in the function's own context: no wrapper disables preemption, and it
//! may sleep where the function's caller may. fprobe and kretprobe handlers may not.

use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A kernel function to attach to, and what runs then.
#[derive(Clone, Copy)]
pub(crate) struct Hook {
    pub(crate) function: &'static CStr,
    pub(crate) target: Target,
}

/// Where ftrace leads the callers of a function.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// To a function with the signature of the original, at the address that this returns. It returns to the caller, and the
    /// original does not run.
    Jump(fn() -> usize),
    /// To a trampoline, which returns into the original, or calls it.
    Call(unsafe extern "C" fn()),
}

impl Target {
    /// Returns the address as ftrace wants it: bit 0 asks for a jump.
    fn address(self) -> usize {
        match self {
            Self::Jump(function) => function() | 1,
            Self::Call(trampoline) => trampoline as usize,
        }
    }
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
/// `ops` is registered with `register_ftrace_direct()` for `hook.target`, or was, and ftrace has not waited yet for who
/// uses it.
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
    fn new(hook: Hook, address: c_ulong) -> Result<Self> {
        let function = hook.function;
        let ops = KBox::new(Opaque::<bindings::ftrace_ops>::zeroed(), GFP_KERNEL)
            .map_err(Error::from)
            .inspect_err(|e| refused(function, *e))?;
        // SAFETY: `ops` is ours. Nobody shall switch ftrace off while functions lead to us
        // (`kernel.ftrace_enabled`).
        unsafe { (*ops.get()).flags = bindings::FTRACE_OPS_FL_PERMANENT as c_ulong };
        if let Target::Call(_) = hook.target {
            // A trampoline takes the address of the original from its stack, where a livepatch has put its own.
            // SAFETY: `ops` is ours.
            unsafe { bindings::dmns_allow_livepatch(ops.get()) };
        }
        // SAFETY: `ops` is zeroed but for what is set here, which is how C declares one, and stays where it is until it is
        // freed.
        to_result(unsafe { bindings::ftrace_set_filter_ip(ops.get(), address, 0, 1) })
            .inspect_err(|e| refused(function, *e))?;
        // SAFETY: `ops` names one function. The address is that of a Rust function with the signature of
        // the one that it replaces, or of a trampoline that keeps the arguments of the one that it
        // leads to.
        let registered =
            unsafe { bindings::register_ftrace_direct(ops.get(), hook.target.address()) };
        to_result(registered).inspect_err(|e| {
            // SAFETY: `ops` is not registered.
            unsafe { bindings::ftrace_free_filter(ops.get()) };
            refused(function, *e);
        })?;
        pr_info!("{}: attached\n", function);
        // INVARIANT: Registered just now.
        Ok(Self { hook, ops })
    }

    /// Gives the function back. Code that was led to us may still run, and still uses `ops`.
    fn detach(&mut self) {
        // ftrace has set FTRACE_OPS_FL_DYNAMIC for an `ops` outside of the kernel's own data: it would wait for who uses it,
        // holding its locks, for each function. `Attachments` waits once for all.
        // SAFETY: `ops` is registered, and only ftrace's functions and we change its flags, none of them now.
        unsafe { (*self.ops.get()).flags &= !(bindings::FTRACE_OPS_FL_DYNAMIC as c_ulong) };
        // SAFETY: By the type invariants `ops` is registered for this address.
        let unregistered = to_result(unsafe {
            bindings::unregister_ftrace_direct(self.ops.get(), self.hook.target.address(), true)
        });
        if let Err(e) = unregistered {
            // The function still leads to our code, and nothing can keep a module whose exit function
            // runs already: nothing but the exit function itself.
            pr_emerg!(
                "{}: ftrace cannot detach ({:?}); this module stays in memory, reboot soon\n",
                self.hook.function,
                e
            );
            loop {
                // SAFETY: The exit and the init function of a module may sleep.
                unsafe { bindings::msleep(60_000) };
            }
        }
        pr_info!("{}: detached\n", self.hook.function);
    }
}

/// Prints why a function cannot be attached to, and what to do.
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

/// A set of attachments. All are made, or none.
///
/// When it is dropped, the functions are given back. Handlers may still run then: see
/// [`wait_for_handlers`](crate::lifetime::wait_for_handlers). May sleep.
pub(crate) struct Attachments(KVec<Attachment>);

impl Attachments {
    /// Attaches to `hooks`.
    pub(crate) fn new(hooks: impl IntoIterator<Item = Hook>) -> Result<Self> {
        let mut probes = Probes(KVec::new());
        let mut places = KVec::new();
        for hook in hooks {
            let address = probes
                .find(hook.function)
                .inspect_err(|e| refused(hook.function, *e))?;
            places.push((hook, address), GFP_KERNEL)?;
        }
        drop(probes);
        let mut this = Self(KVec::with_capacity(places.len(), GFP_KERNEL)?);
        for (hook, address) in places {
            this.0.push(Attachment::new(hook, address)?, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        // The last one first.
        for attachment in self.0.iter_mut().rev() {
            attachment.detach();
        }
        // As ftrace_shutdown() waits before an `ops` is freed: for who looks at it with preemption off, and for who was
        // preempted in a trampoline.
        // SAFETY: The caller may sleep.
        unsafe {
            bindings::synchronize_rcu_tasks_rude();
            bindings::synchronize_rcu_tasks();
        }
    }
}
