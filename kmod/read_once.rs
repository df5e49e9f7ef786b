// SPDX-License-Identifier: GPL-2.0-only

//! Plain loads: of what every system call reads, and of what C reads without a lock.

use crate::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;

/// Reads a number once, after all that this task has read so before.
///
/// [`Atomic::load`] is a call of a C function each time.
///
/// C: `READ_ONCE()`. That loads are not reordered is x86's promise.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn read_once(number: &Atomic<u64>) -> u64 {
    // SAFETY: The pointer is valid and aligned. Writers write the whole number at once.
    unsafe { number.as_ptr().read_volatile() }
}

/// Returns the time in jiffies.
pub(crate) fn jiffies() -> c_ulong {
    // SAFETY: `jiffies` is an integer that is always valid, and C reads it without a lock.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}
