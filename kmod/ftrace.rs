// SPDX-License-Identifier: GPL-2.0-only

//! Attachments to kernel functions: the mechanism. `hooks.rs` has the functions.
//!
//! C headers: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h),
//! [`include/linux/kprobes.h`](srctree/include/linux/kprobes.h)
//!
//! ftrace patches a call to a given address into the entry of a function (a "direct call"). The
//! called code runs in the context of the function: no wrapper disables preemption, and it may
//! sleep where the function's caller may. fprobe and kretprobe handlers may not.
//!
//! All functions of a set call one trampoline, so that ftrace patches them, and waits for their
//! users, at once. The stack of the trampoline has the address after the patched entry, which
//! identifies the function.

use crate::bindings;
use crate::ffi::ffi_export;
use crate::read_once::read_once;
use core::ptr::null_mut;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};
use kernel::types::Opaque;

ffi_export!(dmns_dispatch, dmns_livepatched);

/// A kernel function to attach to, and what runs then.
pub(crate) struct Hook {
    pub(crate) function: &'static CStr,
    pub(crate) action: Action,
}

impl Hook {
    /// Returns the name of the function, without that of its module.
    fn name(&self) -> &'static CStr {
        let bytes = self.function.to_bytes_with_nul();
        let name = bytes.split(|byte| *byte == b':').next_back();
        name.and_then(|name| CStr::from_bytes_with_nul(name).ok())
            .unwrap_or(self.function)
    }
}

/// The action that runs when a hooked function is called.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// A function with the signature of the original, at the address that this returns. The
    /// original does not run.
    #[cfg_attr(not(CONFIG_DM_AUDIT), allow(dead_code))]
    Replace(fn() -> usize),
    /// An entry hook. The original runs.
    Entry(unsafe fn(&Args)),
    /// An entry hook, and a function that runs if it returns true. That gets the first three
    /// arguments and the body of the original, which it may call with
    /// [`bindings::dmns_call_original`].
    Wrap(unsafe fn(&Args) -> bool, Wrapper),
    /// A trampoline of its own.
    Trampoline(unsafe extern "C" fn()),
}

/// A function that runs around another one.
pub(crate) type Wrapper = unsafe extern "C" fn(c_ulong, c_ulong, c_ulong, *const c_void) -> c_ulong;

/// The arguments of a hooked function, as registers.
pub(crate) struct Args(bindings::dmns_frame);

impl Args {
    /// Returns the argument with this index, of the first two, as a number.
    pub(crate) fn number(&self, index: usize) -> c_ulong {
        match index {
            0 => self.0.a1,
            _ => self.0.a2,
        }
    }

    /// Returns the argument with this index, of the first two, as a pointer.
    pub(crate) fn pointer<T>(&self, index: usize) -> *mut T {
        self.number(index) as *mut T
    }
}

/// An attached hook, by the address after the patched entry of its function. A free slot has no
/// hook, and the address 0.
struct Slot {
    body: Atomic<u64>,
    hook: Atomic<*mut Hook>,
}

/// More than there are hooks.
static SLOTS: [Slot; 16] = [const {
    Slot {
        body: Atomic::new(0),
        hook: Atomic::new(null_mut()),
    }
}; 16];

/// The address after the entry of the hooked function that has a livepatch; 0 for none.
///
/// The trampoline then finds the address of the livepatch on its stack, which is not known. So one
/// function at a time can have a livepatch.
static LIVEPATCHED: Atomic<u64> = Atomic::new(0);

/// Returns the hook of the function with this address after its entry.
fn find(body: u64) -> Option<&'static Hook> {
    let slot = SLOTS.iter().find(|slot| read_once(&slot.body) == body)?;
    // SAFETY: Null, or a static hook. `hook` is set before `body`.
    unsafe { slot.hook.load(Relaxed).as_ref() }
}

/// Returns the address after the patched entry of the function at `site`.
fn body(site: c_ulong) -> u64 {
    // SAFETY: `site` is the entry of a kernel function that ftrace can patch.
    (unsafe { bindings::dmns_body(site) }) as u64
}

/// Runs the hook of a called function. Returns 0 if the original is to run, else the address of the
/// function that runs in its place; bit 0 is set for a replacement.
///
/// # Safety
///
/// To be called by the trampoline alone, at the entry of a hooked function.
#[no_mangle]
unsafe extern "C" fn dmns_dispatch(frame: *const bindings::dmns_frame) -> c_ulong {
    // SAFETY: The trampoline has the frame on its stack. `Args` has the layout of it.
    let args = unsafe { &*frame.cast::<Args>() };
    let hook = find(args.0.body as u64).or_else(|| match LIVEPATCHED.load(Relaxed) {
        // A free slot has this address.
        0 => None,
        body => find(body),
    });
    match hook.map(|hook| hook.action) {
        Some(Action::Replace(function)) => function() | 1,
        // SAFETY: The arguments are those of the function that the hook is for.
        Some(Action::Entry(entry)) => unsafe {
            entry(args);
            0
        },
        // SAFETY: The arguments are those of the function that the hook is for.
        Some(Action::Wrap(entry, wrapper)) if unsafe { entry(args) } => wrapper as usize,
        _ => 0,
    }
}

/// Handles a livepatch that is about to be enabled or disabled for the function with the ftrace site
/// `ip`: both share the function if this agrees. Returns 0, or an error if it must not be enabled.
///
/// # Safety
///
/// To be called by ftrace alone.
#[no_mangle]
unsafe extern "C" fn dmns_livepatched(ip: c_ulong, comes: bool) -> c_int {
    let body = (ip + bindings::MCOUNT_INSN_SIZE as c_ulong) as u64;
    let Some(hook) = find(body) else { return 0 };
    if !comes {
        let _ = LIVEPATCHED.cmpxchg(body, 0, Relaxed);
        return 0;
    }
    let before = match hook.action {
        Action::Replace(_) => return EBUSY.to_errno(),
        _ => LIVEPATCHED.cmpxchg(0, body, Full).err().unwrap_or(body),
    };
    if before == body {
        0
    } else {
        EBUSY.to_errno()
    }
}

/// Finds functions by name: a kprobe looks its symbol up. It stays disabled, so nothing is patched
/// for it.
///
/// `ftrace_set_filter()` would take a name too, but it compares it with those of all functions,
/// each time.
///
/// # Invariants
///
/// All are registered.
struct Probes(KVec<KBox<Opaque<bindings::kprobe>>>);

impl Probes {
    fn find(&mut self, function: &'static CStr) -> Result<c_ulong> {
        let probe = KBox::new(Opaque::<bindings::kprobe>::zeroed(), GFP_KERNEL)?;
        self.0.reserve(1, GFP_KERNEL)?;
        // SAFETY: `probe` is ours, and zeroed but for what is set here, which is how C declares
        // one. It stays where it is until it is unregistered.
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
        // SAFETY: By the type invariants all are registered. A `KBox` has the layout of a pointer.
        // The call waits until no probe is in use, before they are freed.
        unsafe {
            bindings::unregister_kprobes(self.0.as_mut_ptr().cast(), self.0.len() as c_int);
        }
    }
}

/// Returns whether the kernel has this function. Nothing is patched.
pub(crate) fn exists(function: &'static CStr) -> Result<bool> {
    match Probes(KVec::new()).find(function) {
        Ok(_) => Ok(true),
        Err(e) if e == ENOENT => Ok(false),
        Err(e) => Err(e),
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

/// Hooks that are attached, all or none, with one `ftrace_ops`.
///
/// When it is dropped, the functions are given back. Handlers may still run then: see
/// [`wait_for_handlers`](crate::lifetime::wait_for_handlers). May sleep.
///
/// # Invariants
///
/// `ops` is registered with `register_ftrace_direct()` for `trampoline`, until `detached`.
pub(crate) struct Attachments {
    ops: KBox<Opaque<bindings::ftrace_ops>>,
    trampoline: usize,
    detached: bool,
    hooks: KVec<(&'static Hook, c_ulong)>,
    /// The kernel log has a line for each hook.
    logged: bool,
}

// SAFETY: ftrace guards its `ftrace_ops` with locks of its own; hooks may be detached by another
// task than the one that attached them.
unsafe impl Send for Attachments {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl Sync for Attachments {}

impl Attachments {
    /// Attaches `hooks`, which all have the same trampoline.
    pub(crate) fn new(hooks: impl IntoIterator<Item = &'static Hook>) -> Result<Self> {
        let mut probes = Probes(KVec::new());
        let mut sites = KVec::new();
        for hook in hooks {
            let site = probes
                .find(hook.function)
                .inspect_err(|e| refused(hook.name(), *e))?;
            sites.push((hook, site), GFP_KERNEL)?;
        }
        drop(probes);
        let mut this = Self::at(sites)?;
        this.logged = true;
        for (hook, _) in &this.hooks {
            pr_info!("{}: attached\n", hook.name());
        }
        Ok(this)
    }

    fn at(sites: KVec<(&'static Hook, c_ulong)>) -> Result<Self> {
        let trampoline = match sites.first().map(|(hook, _)| hook.action) {
            Some(Action::Trampoline(trampoline)) => trampoline,
            _ => bindings::dmns_trampoline,
        } as usize;
        let ops = KBox::new(Opaque::<bindings::ftrace_ops>::zeroed(), GFP_KERNEL)?;
        // SAFETY: `ops` is ours, and not registered. The flag keeps ftrace from being switched off
        // while functions call the module (`kernel.ftrace_enabled`).
        unsafe {
            (*ops.get()).flags = bindings::FTRACE_OPS_FL_PERMANENT as c_ulong;
            (*ops.get()).ops_func = Some(bindings::dmns_share);
        }
        let undo = || {
            Self::free_slots(&sites);
            // SAFETY: `ops` is not registered.
            unsafe { bindings::ftrace_free_filter(ops.get()) };
        };
        for (hook, site) in &sites {
            // SAFETY: `ops` is zeroed but for what is set here, which is how C declares one, and
            // stays where it is until it is freed.
            to_result(unsafe { bindings::ftrace_set_filter_ip(ops.get(), *site, 0, 0) })
                .inspect_err(|e| {
                    undo();
                    refused(hook.name(), *e);
                })?;
        }
        Self::fill_slots(&sites).inspect_err(|_| undo())?;
        // SAFETY: `ops` names functions, and their hooks have slots. The address is that of a
        // trampoline, which keeps the arguments of the function that leads to it.
        let registered = unsafe { bindings::register_ftrace_direct(ops.get(), trampoline) };
        to_result(registered).inspect_err(|e| {
            undo();
            report(&sites, *e);
        })?;
        // INVARIANT: Registered just now.
        Ok(Self {
            ops,
            trampoline,
            detached: false,
            hooks: sites,
            logged: false,
        })
    }

    fn fill_slots(sites: &[(&'static Hook, c_ulong)]) -> Result {
        for (hook, site) in sites {
            let name = hook.name();
            let hook = core::ptr::from_ref(*hook).cast_mut();
            // Two files attach hooks, each under a lock of its own.
            let free = |slot: &&Slot| slot.hook.cmpxchg(null_mut(), hook, Acquire).is_ok();
            let Some(slot) = SLOTS.iter().find(free) else {
                pr_err!("{}: no slot\n", name);
                return Err(ENOSPC);
            };
            slot.body.store(body(*site), Release);
        }
        Ok(())
    }

    /// Frees the slots. No task may be on its way to the hooks any more.
    fn free_slots(sites: &[(&'static Hook, c_ulong)]) {
        for (_, site) in sites {
            let body = body(*site);
            let _ = LIVEPATCHED.cmpxchg(body, 0, Relaxed);
            for slot in &SLOTS {
                if slot.body.load(Acquire) == body {
                    slot.body.store(0, Relaxed);
                    slot.hook.store(null_mut(), Release);
                }
            }
        }
    }

    /// Gives the functions back. If ftrace refuses that, which it does once it has found an error of its
    /// own, functions may still call the module. May sleep.
    pub(crate) fn detach(&mut self) -> Result {
        if self.detached {
            return Ok(());
        }
        // SAFETY: By the type invariants `ops` is registered for this address. The call waits until
        // no task uses `ops`, or is in the trampoline and not yet in a hook: FTRACE_OPS_FL_DYNAMIC.
        to_result(unsafe {
            bindings::unregister_ftrace_direct(self.ops.get(), self.trampoline, true)
        })
        .inspect_err(|e| pr_err!("ftrace cannot detach ({:?}): reboot soon\n", *e))?;
        self.detached = true;
        Self::free_slots(&self.hooks);
        for (hook, _) in self.hooks.iter().filter(|_| self.logged) {
            pr_info!("{}: detached\n", hook.name());
        }
        Ok(())
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        if self.detach().is_ok() {
            return;
        }
        // The functions still call the module. Its exit function runs already, so only an exit
        // function that does not return keeps the module in memory.
        pr_emerg!("this module stays in memory\n");
        loop {
            // SAFETY: The exit and the init function of a module may sleep.
            unsafe { bindings::msleep(60_000) };
        }
    }
}

/// Prints why `sites` cannot be attached to together: which of them cannot alone.
fn report(sites: &[(&'static Hook, c_ulong)], error: Error) {
    let mut found = false;
    if let [(hook, _)] = sites {
        refused(hook.name(), error);
        return;
    }
    for (hook, site) in sites {
        let alone = KVec::from_elem((*hook, *site), 1, GFP_KERNEL);
        // It prints its own reason.
        found |= alone.is_ok_and(|alone| Attachments::at(alone).is_err());
    }
    if !found {
        pr_err!("cannot attach ({:?}): try again\n", error);
    }
}
