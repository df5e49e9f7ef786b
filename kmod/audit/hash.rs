// SPDX-License-Identifier: GPL-2.0-only

//! A hash of which the result is not known outside, so that no user chooses who shares a bucket.

use crate::bindings;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The multiplier: random, and odd.
static MULTIPLIER: Atomic<u64> = Atomic::new(1);

/// Chooses the hash. To be called before anything is attached.
pub(super) fn init() {
    // SAFETY: No requirements.
    MULTIPLIER.store(unsafe { bindings::get_random_u64() } | 1, Relaxed);
}

/// Returns one of as many buckets, a power of two.
pub(super) fn bucket(key: u64, buckets: usize) -> usize {
    (key.wrapping_mul(MULTIPLIER.load(Relaxed)) >> 32) as usize % buckets
}
