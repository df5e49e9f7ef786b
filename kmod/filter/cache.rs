// SPDX-License-Identifier: GPL-2.0-only

//! A cache of the filter's answers for tasks, until anything may have changed them.

use crate::read_once::read_once;
use crate::task::TaskNs;
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// A power of two.
const SLOTS: usize = 1024;

/// The answers of this generation. A slot has the upper 63 bits of a task's key, and the answer.
static CACHE: [Atomic<u64>; SLOTS] = [const { Atomic::new(0) }; SLOTS];

/// Goes up with all that an answer depends on: what is filtered, which namespaces belong to it, and
/// the `nsproxy` of a task, which it also gives back at its end, before another can have its
/// address.
static GENERATION: Atomic<u64> = Atomic::new(0);

/// Invalidates all answers.
pub(super) fn invalidate() {
    GENERATION.fetch_add(1, Full);
}

/// Returns the answer for a task; `find` finds it.
#[inline]
pub(super) fn answer(task: &TaskNs, find: impl FnOnce(&TaskNs) -> bool) -> bool {
    let key = key(task);
    // The lower bits of a product know least of its factors.
    let slot = &CACHE[(key >> 32) as usize % SLOTS];
    let kept = read_once(slot);
    if kept | 1 == key | 1 {
        return kept & 1 != 0;
    }
    let answer = find(task);
    // Whatever has changed since the key was made, this is not found again.
    slot.store(key & !1 | u64::from(answer), Relaxed);
    answer
}

/// Returns a hash of task, `nsproxy` and generation. Collisions have a probability of 2^-63.
#[inline]
fn key(task: &TaskNs) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
    let (task, proxy) = task.addresses();
    let task = (task as u64 ^ read_once(&GENERATION)).wrapping_mul(ODD[0]);
    (task.rotate_left(32) ^ proxy as u64).wrapping_mul(ODD[1])
}
