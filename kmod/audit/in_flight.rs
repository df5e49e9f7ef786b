// SPDX-License-Identifier: GPL-2.0-only

//! Creations of namespaces in flight: their record is pending, or was, and is not emitted yet. The
//! record of the deletion waits for it. A record that was deferred at once needs no such wait: those
//! of a user are emitted in order.
//!
//! Any user can hold many creations in flight for seconds. So each id is kept, and no user delays
//! the deletions of another. The place of an id is not known outside of the kernel.

use super::hash;
use core::num::NonZeroU16;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::sync::global_lock;

/// A power of two.
const BUCKETS: usize = 4096;

/// A cache line of ids.
const PER_BUCKET: usize = 8;

/// The ids of creations in flight; 0 where there is none.
static IDS: [[Atomic<u64>; PER_BUCKET]; BUCKETS] =
    [const { [const { Atomic::new(0) }; PER_BUCKET] }; BUCKETS];

/// The number of creations in flight that their bucket has no place for. Changes with `CHAINS` locked.
static EXCESS: [Atomic<u32>; BUCKETS] = [const { Atomic::new(0) }; BUCKETS];

/// The id of a creation that its bucket has no place for.
struct Node {
    id: u64,
    next: Option<KBox<Node>>,
}

global_lock! {
    // SAFETY: Initialised by `init()`, before anything is attached.
    unsafe(uninit) static CHAINS: SpinLock<[Option<KBox<Node>>; BUCKETS]> = [const { None }; BUCKETS];
}

/// Prepares the lock.
///
/// # Safety
///
/// To be called once, before anything is attached.
pub(super) unsafe fn init() {
    // SAFETY: By the safety requirements.
    unsafe { CHAINS.init() };
}

/// A creation that is in flight until [`InFlight::end`].
///
/// Has one more than the number of the place; each bucket has one more, for those in excess.
pub(super) struct InFlight(NonZeroU16);

impl InFlight {
    /// Begins before the namespace is visible, and so before its deletion.
    pub(super) fn begin(id: u64) -> Option<Self> {
        let bucket = hash::bucket(id, BUCKETS);
        let place = IDS[bucket]
            .iter()
            .position(|place| place.load(Relaxed) == 0 && place.cmpxchg(0, id, Relaxed).is_ok())
            .unwrap_or(PER_BUCKET);
        if place == PER_BUCKET {
            let node = KBox::new(Node { id, next: None }, GFP_ATOMIC);
            let mut chains = CHAINS.lock();
            if let Ok(mut node) = node {
                node.next = chains[bucket].take();
                chains[bucket] = Some(node);
            }
            EXCESS[bucket].fetch_add(1, Relaxed);
        }
        NonZeroU16::new((bucket * (PER_BUCKET + 1) + place + 1) as u16).map(Self)
    }

    /// Ends, with the id that it began with.
    pub(super) fn end(self, id: u64) {
        let number = usize::from(self.0.get() - 1);
        let (bucket, place) = (number / (PER_BUCKET + 1), number % (PER_BUCKET + 1));
        if let Some(place) = IDS[bucket].get(place) {
            return place.store(0, Release);
        }
        let mut chains = CHAINS.lock();
        let mut rest = chains[bucket].take();
        let mut own = None;
        while let Some(mut node) = rest {
            rest = node.next.take();
            if node.id == id && own.is_none() {
                own = Some(node);
            } else {
                node.next = chains[bucket].take();
                chains[bucket] = Some(node);
            }
        }
        EXCESS[bucket].fetch_sub(1, Release);
        drop(chains);
        drop(own);
    }
}

/// Returns whether the creation of the namespace `id` may be in flight.
pub(crate) fn in_flight(id: u64) -> bool {
    let bucket = hash::bucket(id, BUCKETS);
    IDS[bucket].iter().any(|place| place.load(Acquire) == id)
        || (EXCESS[bucket].load(Acquire) != 0 && in_excess(bucket, id))
}

/// Returns whether the creation may be in flight without a place in its bucket.
fn in_excess(bucket: usize, id: u64) -> bool {
    let chains = CHAINS.lock();
    let mut next = &chains[bucket];
    let mut nodes = 0;
    while let Some(node) = next {
        if node.id == id {
            return true;
        }
        nodes += 1;
        next = &node.next;
    }
    // Without memory for a node, its id is not known.
    nodes < EXCESS[bucket].load(Relaxed)
}
