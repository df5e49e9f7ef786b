// SPDX-License-Identifier: GPL-2.0-only

//! What was found out about a task, kept until anything may have changed it.

use super::Namespaces;
use crate::attach::read_once;
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// A power of two.
const PLACES: usize = 1024;

/// What was found out in this generation. A place has the upper 63 bits of a task's key, and the answer.
static PLACE: [Atomic<u64>; PLACES] = [const { Atomic::new(0) }; PLACES];

/// Goes up with all that an answer depends on: what is selected, which namespaces belong to it, and the `nsproxy` of a task,
/// which it also gives back at its end, before another can have its address.
static GENERATION: Atomic<u64> = Atomic::new(0);

/// Forgets all answers.
pub(super) fn forget() {
    GENERATION.fetch_add(1, Full);
}

/// The answer for a task; `find` finds it out.
#[inline]
pub(super) fn answer<T: Namespaces>(task: &T, find: impl FnOnce(&T) -> bool) -> bool {
    let key = key(task);
    // The lower bits of a product know least of its factors.
    let place = &PLACE[(key >> 32) as usize % PLACES];
    let kept = read_once(place);
    if kept | 1 == key | 1 {
        return kept & 1 != 0;
    }
    let answer = find(task);
    // Whatever has changed since the key was made, this is not found again.
    place.store(key & !1 | u64::from(answer), Relaxed);
    answer
}

/// A number that two tasks, a task in two generations, or with two `nsproxy` have in common once in 2^63 times.
#[inline]
fn key(task: &impl Namespaces) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
    let (task, proxy) = task.addresses();
    let task = (task as u64 ^ read_once(&GENERATION)).wrapping_mul(ODD[0]);
    (task.rotate_left(32) ^ proxy as u64).wrapping_mul(ODD[1])
}
