// SPDX-License-Identifier: GPL-2.0-only

//! The containers that a namespace belongs to: a table that is read at every system call, without a
//! lock.

use crate::read_once::read_once;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

/// A set of containers: a bit for each.
pub(crate) type Set = u64;

/// The number of namespaces with the same hash of ns_id: their ids fill a cache line.
const SLOTS_PER_BUCKET: usize = 8;
/// In the place of an id that is being removed. No namespace has it.
const REMOVING: u64 = u64::MAX;

/// A power of two. With an eighth of the places taken, one new namespace in 100,000 finds its
/// bucket full (Poisson).
const BUCKETS: usize = 1024;

struct Bucket {
    /// 0 where a place is free.
    ids: [Atomic<u64>; SLOTS_PER_BUCKET],
    sets: [Atomic<Set>; SLOTS_PER_BUCKET],
}

/// The containers that namespaces belong to, by ns_id.
///
/// A place is taken by its id, and set free with it. ns_ids are never used again: a task that finds
/// the id of a namespace that it is in reads the set of that namespace, since the namespace exists.
pub(super) struct Members([Bucket; BUCKETS]);

impl Members {
    pub(super) const fn new() -> Self {
        Self(
            [const {
                Bucket {
                    ids: [const { Atomic::new(0) }; SLOTS_PER_BUCKET],
                    sets: [const { Atomic::new(0) }; SLOTS_PER_BUCKET],
                }
            }; BUCKETS],
        )
    }

    fn bucket(&self, id: u64) -> &Bucket {
        // Fibonacci hashing: ids are given out in order.
        let hash = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.0[hash as usize % BUCKETS]
    }

    /// Returns the containers that the namespace belongs to.
    pub(super) fn get(&self, id: u64) -> Set {
        let bucket = self.bucket(id);
        let place = bucket.ids.iter().position(|taken| read_once(taken) == id);
        place.map_or(0, |place| read_once(&bucket.sets[place]))
    }

    /// Adds the namespace to these containers. Returns those that it did not belong to before;
    /// `None` where there is no room. Not called twice at the same time for one namespace.
    pub(super) fn add(&self, id: u64, set: Set) -> Option<Set> {
        let bucket = self.bucket(id);
        if let Some(place) = bucket
            .ids
            .iter()
            .position(|taken| taken.load(Relaxed) == id)
        {
            let before = bucket.sets[place].load(Relaxed);
            bucket.sets[place].store(before | set, Relaxed);
            return Some(set & !before);
        }
        let place = bucket
            .ids
            .iter()
            .position(|taken| taken.cmpxchg(0, id, Acquire).is_ok())?;
        bucket.sets[place].store(set, Relaxed);
        Some(set)
    }

    /// Removes the namespace. Returns the containers that it belonged to.
    pub(super) fn remove(&self, id: u64) -> Set {
        let bucket = self.bucket(id);
        // `forget()` may set the place free meanwhile, and another namespace take it.
        let place = bucket.ids.iter().position(|taken| {
            taken.load(Relaxed) == id && taken.cmpxchg(id, REMOVING, Relaxed).is_ok()
        });
        place.map_or(0, |place| {
            let set = bucket.sets[place].xchg(0, Relaxed);
            bucket.ids[place].store(0, Release);
            set
        })
    }

    /// Removes all namespaces of the containers of `set`.
    pub(super) fn forget(&self, set: Set) {
        for bucket in &self.0 {
            for (taken, members) in bucket.ids.iter().zip(&bucket.sets) {
                let id = taken.load(Relaxed);
                let before = members.load(Relaxed);
                let left = before & !set;
                // The namespace can be deleted meanwhile, and a new one take its place: if that
                // belongs to the same containers, the same holds for it, and its place becomes free
                // when it is deleted.
                if left != before
                    && members.cmpxchg(before, left, Relaxed).is_ok()
                    && left == 0
                    && id != REMOVING
                {
                    let _ = taken.cmpxchg(id, 0, Release);
                }
            }
        }
    }
}
