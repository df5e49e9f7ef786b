// SPDX-License-Identifier: GPL-2.0-only

//! Plain loads: of what every system call reads, and of what C reads without a lock.

use crate::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;

/// Reads a number once. What this task reads later is read after it.
///
/// The writers of `SLOTS` (`ftrace.rs`), of the filter's `FILTERED` and of its `GENERATION` write with
/// release what they have prepared.
///
/// C: `READ_ONCE()`, since x86 does not reorder loads. [`Atomic::load`] is a call of a C function each
/// time.
#[inline]
pub(crate) fn read_once(number: &Atomic<u64>) -> u64 {
    if cfg!(CONFIG_X86_64) {
        // SAFETY: The pointer is valid and aligned. Writers write the whole number at once.
        unsafe { number.as_ptr().read_volatile() }
    } else {
        number.load(kernel::sync::atomic::Acquire)
    }
}

/// The number of jiffies in a second.
pub(crate) const HZ: c_ulong = bindings::HZ as c_ulong;

/// Returns the time in jiffies.
pub(crate) fn jiffies() -> c_ulong {
    // SAFETY: `jiffies` is an integer that is always valid, and C reads it without a lock.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}
