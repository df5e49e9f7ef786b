// SPDX-License-Identifier: GPL-2.0-only

//! Guards that keep the module in memory while its code runs.
//!
//! - [`HandlerGuard`]: an SRCU reader. It spans code that ends by itself, and never a wait for
//!   audit.
//! - [`ModuleRef`]: a module reference. It spans a wait for audit, or the call of an original
//!   function. `rmmod` fails with EBUSY at once meanwhile.
//!
//! While the module is being loaded it gives out no [`ModuleRef`]: a load that fails frees the module
//! whatever its reference count is. So nothing waits then.
//!
//! The instructions before and after these do not sleep: [`wait_for_handlers`] waits for them with
//! RCU-tasks.

use crate::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::types::NotThreadSafe;

/// A handler that may have slept has ended since [`begin_unload`].
static SLEPT: Atomic<bool> = Atomic::new(false);

/// An SRCU reader: the code of a handler that is running.
#[must_use = "the module can go as soon as this is dropped"]
pub(crate) struct HandlerGuard {
    index: c_int,
    sleeps: bool,
    _not_send: NotThreadSafe,
}

impl HandlerGuard {
    /// Begins to read. Callable from any context but NMI, where no hooked function is called.
    pub(crate) fn new() -> Self {
        Self::begin(true)
    }

    /// Begins to read, for a handler that never sleeps. With PREEMPT_RT it does: in a spinlock.
    pub(crate) fn no_sleep() -> Self {
        Self::begin(cfg!(CONFIG_PREEMPT_RT))
    }

    fn begin(sleeps: bool) -> Self {
        Self {
            // SAFETY: The SRCU structure is static, and initialised by the module loader. `drop`
            // ends the reader.
            index: unsafe { bindings::dmns_handler_begin() },
            sleeps,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        if self.sleeps && !SLEPT.load(Relaxed) {
            SLEPT.store(true, Relaxed);
        }
        // SAFETY: The index comes from `dmns_handler_begin()`, in the same context.
        unsafe { bindings::dmns_handler_end(self.index) };
    }
}

/// The init function runs, and may fail.
const LOADING: u32 = 0;
/// The init function succeeds.
const LOADED: u32 = 1;
/// The module is being unloaded, or its init function fails.
const ENDING: u32 = 2;

static STATE: Atomic<u32> = Atomic::new(LOADING);

/// Returns whether the init function may still fail. Workers then leave their queues alone.
pub(crate) fn loading() -> bool {
    STATE.load(Acquire) == LOADING
}

/// Ends the load: nothing fails any more.
pub(crate) fn loaded() {
    STATE.store(LOADED, Release);
}

/// Begins the end of the module: nothing waits any more.
pub(crate) fn ending() {
    STATE.store(ENDING, Release);
}

/// A reference to the module.
#[must_use = "the module can go as soon as this is dropped"]
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference; `None` while the module is being loaded or unloaded.
    pub(crate) fn get() -> Option<Self> {
        // SAFETY: Code of the module runs, so its `struct module` is valid.
        (STATE.load(Acquire) == LOADED && unsafe { bindings::dmns_module_get() }).then(|| Self(()))
    }

    /// Hands the reference over to code that takes it back with [`ModuleRef::from_leaked`].
    pub(crate) fn leak(self) {
        core::mem::forget(self);
    }

    /// Takes over a reference that was leaked.
    ///
    /// # Safety
    ///
    /// [`ModuleRef::leak`] was called for this call, and for no other.
    pub(crate) unsafe fn from_leaked() -> Self {
        Self(())
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: This is a reference of ours, which is dropped once.
        unsafe { bindings::dmns_module_put() };
    }
}

/// The module stays until the next boot.
static PINNED: Atomic<bool> = Atomic::new(false);

/// Returns whether the module stays until the next boot.
pub(crate) fn pinned() -> bool {
    PINNED.load(Relaxed)
}

/// Keeps the module until the next boot. Returns whether it was not kept before.
pub(crate) fn pin() -> bool {
    if PINNED.xchg(true, Relaxed) {
        return false;
    }
    ModuleRef::get().map(ModuleRef::leak).is_some()
}

/// Waits until every handler that runs now has ended. May sleep.
///
/// No wait for audit is part of it: [`ModuleRef`]s count those.
pub(crate) fn wait_for_handlers() {
    // Tasks between the patched entry and the SRCU reader, which do not sleep there; and
    // interrupts, also on an idle CPU.
    wait_for_instructions();
    // SRCU readers.
    // SAFETY: The caller may sleep.
    unsafe { bindings::dmns_handlers_wait() };
    // Tasks after the end of the SRCU reader.
    wait_for_instructions();
}

/// Begins to unload. To be called before the functions are given back.
pub(crate) fn begin_unload() {
    SLEPT.store(false, Relaxed);
}

/// Waits as [`wait_for_handlers`], when all functions were given back. May sleep.
pub(crate) fn wait_for_last_handlers() {
    // ftrace has waited with RCU-tasks: for the instructions before the SRCU reader, and for each
    // handler that did not sleep.
    // SAFETY: The caller may sleep.
    unsafe { bindings::dmns_handlers_wait() };
    // A handler that slept, and ended before ftrace began to wait, was not asleep any more then:
    // ftrace has waited for it too. One that ended later has set `SLEPT` within its SRCU reader.
    if SLEPT.load(Relaxed) {
        wait_for_instructions();
    }
}

fn wait_for_instructions() {
    // SAFETY: The caller may sleep.
    unsafe {
        bindings::synchronize_rcu_tasks_rude();
        bindings::synchronize_rcu_tasks();
    }
}

/// Checks that the kernel which runs is the build that the module was built for.
///
/// The module writes to private structures, and Debian's kernels have no CONFIG_MODVERSIONS: only
/// the release string ties a module to their layout.
pub(crate) fn check_kernel() -> Result {
    // SAFETY: Both return NUL-terminated strings that are always valid.
    let (built_for, running) = unsafe {
        (
            CStr::from_char_ptr(bindings::dmns_built_for()),
            CStr::from_char_ptr(bindings::dmns_running()),
        )
    };
    if built_for == running {
        return Ok(());
    }
    pr_err!(
        "built for the kernel \"{}\", this is \"{}\": not loaded; build it again\n",
        built_for,
        running
    );
    Err(ENOEXEC)
}
