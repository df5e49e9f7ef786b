// SPDX-License-Identifier: GPL-2.0-only

//! The number of records of namespaces that each user has in the queue. Records beyond a user's
//! share are dropped, and counted for that user.
//!
//! A user is the creator of the outermost user namespace that the namespace is in, or root.

use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The most records that one user has in the queue at a time.
const MAX_PER_USER: u32 = 1 << 16;

/// The slots of users that have one hash.
const SLOTS_PER_BUCKET: usize = 8;

/// A power of two.
const BUCKETS: usize = 128;

/// A user: the id in the upper half, the number of queued records in the lower half. A slot without
/// records is free.
static USERS: [Atomic<u64>; BUCKETS * SLOTS_PER_BUCKET] =
    [const { Atomic::new(0) }; BUCKETS * SLOTS_PER_BUCKET];

/// The dropped records of the user that has, or had, the slot: the id in the upper half, the number
/// in the lower half.
static DROPPED: [Atomic<u64>; BUCKETS * SLOTS_PER_BUCKET] =
    [const { Atomic::new(0) }; BUCKETS * SLOTS_PER_BUCKET];

/// One record's part of a user's share. Gives it back when dropped.
pub(super) struct Share(u16);

impl Share {
    /// Takes one record's part of the share of `uid`. Returns `None` where the user has used it up.
    ///
    /// Callable from any context.
    pub(super) fn take(uid: u32) -> Option<Self> {
        // Fibonacci hashing: ids are given out in ranges.
        let bucket = (uid.wrapping_mul(0x9e37_79b9) >> 16) as usize % BUCKETS * SLOTS_PER_BUCKET;
        let slots = bucket..bucket + SLOTS_PER_BUCKET;
        loop {
            let own = |slot: &usize| {
                let user = USERS[*slot].load(Relaxed);
                user as u32 != 0 && (user >> 32) as u32 == uid
            };
            let free = |slot: &usize| USERS[*slot].load(Relaxed) as u32 == 0;
            // If the bucket has no free slot, the user shares the last one.
            let slot = slots
                .clone()
                .find(own)
                .or_else(|| slots.clone().find(free))
                .unwrap_or(slots.end - 1);
            let before = USERS[slot].load(Relaxed);
            let queued = before as u32;
            if queued >= MAX_PER_USER {
                drop_one(slot, uid);
                return None;
            }
            let user = if queued == 0 {
                u64::from(uid) << 32
            } else {
                before
            };
            if USERS[slot].cmpxchg(before, user + 1, Relaxed).is_ok() {
                return Some(Self(slot as u16));
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        USERS[usize::from(self.0)].fetch_sub(1, Relaxed);
    }
}

/// Counts a record that is dropped as one of `uid`.
fn drop_one(slot: usize, uid: u32) {
    let dropped = &DROPPED[slot];
    let before = dropped.load(Relaxed);
    let same = before != 0 && (before >> 32) as u32 == uid;
    if same {
        dropped.fetch_add(1, Relaxed);
    } else if dropped
        .cmpxchg(before, u64::from(uid) << 32 | 1, Relaxed)
        .is_ok()
    {
        pr_warn!(
            "user {}: {} records of namespaces are deferred: further ones of this user are dropped, and counted (over_share)\n",
            uid,
            MAX_PER_USER
        );
    }
}

/// Writes a line for each user with records in the queue, or of whom some were dropped.
pub(crate) fn write(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("uid queued over_share\n")?;
    for (queued, dropped) in USERS.iter().zip(&DROPPED) {
        let (queued, dropped) = (queued.load(Relaxed), dropped.load(Relaxed));
        let of = |uid: u32, count: u64| {
            if (count >> 32) as u32 == uid {
                count as u32
            } else {
                0
            }
        };
        if queued as u32 != 0 {
            let uid = (queued >> 32) as u32;
            writeln!(f, "{uid} {} {}", queued as u32, of(uid, dropped))?;
        }
        if dropped != 0 && (queued as u32 == 0 || queued >> 32 != dropped >> 32) {
            writeln!(f, "{} 0 {}", dropped >> 32, dropped as u32)?;
        }
    }
    Ok(())
}
