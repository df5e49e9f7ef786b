// SPDX-License-Identifier: GPL-2.0-only

//! Creations of namespaces in flight: their record is pending, or was, and is not emitted yet. The
//! record of the deletion waits for it. A record that was deferred at once needs no such wait: those
//! of a user are emitted in order.
//!
//! Any user can hold a creation in flight for seconds. So ids are kept as such, and the place of an
//! id cannot be known outside.

use super::hash;
use core::num::NonZeroU16;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

/// A power of two.
const BUCKETS: usize = 4096;

/// A cache line of ids.
const PER_BUCKET: usize = 8;

/// The ids of creations in flight; 0 where there is none.
static IDS: [[Atomic<u64>; PER_BUCKET]; BUCKETS] =
    [const { [const { Atomic::new(0) }; PER_BUCKET] }; BUCKETS];

/// The number of creations in flight that their bucket has no place for. Meanwhile the deletions of
/// all ids of the bucket wait.
static EXCESS: [Atomic<u32>; BUCKETS] = [const { Atomic::new(0) }; BUCKETS];

/// A creation that is in flight, until this is dropped.
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
            EXCESS[bucket].fetch_add(1, Relaxed);
        }
        NonZeroU16::new((bucket * (PER_BUCKET + 1) + place + 1) as u16).map(Self)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let number = usize::from(self.0.get() - 1);
        let (bucket, place) = (number / (PER_BUCKET + 1), number % (PER_BUCKET + 1));
        match IDS[bucket].get(place) {
            Some(place) => place.store(0, Release),
            None => {
                EXCESS[bucket].fetch_sub(1, Release);
            }
        }
    }
}

/// Returns whether the creation of the namespace `id` may be in flight.
pub(crate) fn in_flight(id: u64) -> bool {
    let bucket = hash::bucket(id, BUCKETS);
    IDS[bucket].iter().any(|place| place.load(Acquire) == id) || EXCESS[bucket].load(Acquire) != 0
}
