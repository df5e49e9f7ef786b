// SPDX-License-Identifier: GPL-2.0-only

//! A cache of the filter's answers for tasks, until anything may have changed them.

use crate::read_once::read_once;
use crate::task::TaskNs;
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// The upper bits of a key that choose its slot. The lower bits of a product know less of its factors.
const SLOT_BITS: u32 = 10;

/// The answers of this generation. A slot has the key of a task. Its lowest bit is inverted where the
/// answer is yes.
static CACHE: [Atomic<u64>; 1 << SLOT_BITS] = [const { Atomic::new(0) }; 1 << SLOT_BITS];

/// Goes up with all that an answer depends on: what is filtered, which namespaces belong to it, and
/// the `nsproxy` of a task, which it also gives back at its end, before another can have its
/// address.
static GENERATION: Atomic<u64> = Atomic::new(0);

/// What it goes up by, odd. Addresses of tasks differ in few bits: in steps of 1, a difference of
/// generations would cancel one of tasks out.
const STEP: u64 = 0x1656_67b1_9e37_79f9;

/// Invalidates all answers.
pub(super) fn invalidate() {
    GENERATION.fetch_add(STEP, Full);
}

/// Returns the answer for a task; `find` finds it. Each system call passes here: what it takes to find
/// an answer is apart, with the registers that it saves.
#[inline]
pub(super) fn answer(task: TaskNs, find: fn(&TaskNs) -> bool) -> bool {
    let key = key(&task);
    match read_once(slot(key)) ^ key {
        answer @ ..=1 => answer != 0,
        _ => fill(key, task, find),
    }
}

#[cold]
#[inline(never)]
fn fill(key: u64, task: TaskNs, find: fn(&TaskNs) -> bool) -> bool {
    let answer = find(&task);
    // Whatever has changed since the key was made, this is not found again.
    slot(key).store(key ^ u64::from(answer), Relaxed);
    answer
}

#[inline]
fn slot(key: u64) -> &'static Atomic<u64> {
    &CACHE[(key >> (u64::BITS - SLOT_BITS)) as usize]
}

/// Returns a hash of task, `nsproxy` and generation. Collisions have a probability of 2^-63.
#[inline]
fn key(task: &TaskNs) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
    let (task, proxy) = task.addresses();
    let task = (task as u64 ^ read_once(&GENERATION)).wrapping_mul(ODD[0]);
    (task.rotate_left(32) ^ proxy as u64).wrapping_mul(ODD[1])
}
