// SPDX-License-Identifier: GPL-2.0-only

//! The number of records of namespaces that each user has in the queue. Records beyond a user's
//! share are dropped, and counted for that user.
//!
//! A user is the creator of the outermost user namespace that the namespace is in. Namespaces in no
//! user namespace are the host's, which has a share of its own.

use crate::bindings;
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The host, in place of a user.
pub(crate) const HOST: u32 = bindings::DMNS_HOST;

/// The most records that one user has in the queue at a time.
pub(crate) const MAX_PER_USER: u32 = 1 << 16;

/// The slots of users that have one hash.
const SLOTS_PER_BUCKET: usize = 8;

/// A power of two.
const BUCKETS: usize = 128;

/// The slot of the host.
const HOST_SLOT: usize = BUCKETS * SLOTS_PER_BUCKET;

/// The slot of users that find no slot of their own: together they have one share.
const OTHERS_SLOT: usize = HOST_SLOT + 1;

const SLOTS: usize = OTHERS_SLOT + 1;

/// A user: the id in the upper half, the number of queued records in the lower half. A slot without
/// records is free.
static USERS: [Atomic<u64>; SLOTS] = [const { Atomic::new(0) }; SLOTS];

/// The dropped records of the user that has, or had, the slot: the id in the upper half, the number
/// in the lower half.
static DROPPED: [Atomic<u64>; SLOTS] = [const { Atomic::new(0) }; SLOTS];

/// One record's part of a user's share. Gives it back when dropped.
pub(super) struct Share(u16);

impl Share {
    /// Takes one record's part of the share of `uid`. Returns `None` where the user has used it up.
    ///
    /// Callable from any context.
    pub(super) fn take(uid: u32) -> Option<Self> {
        loop {
            let (slot, uid) = slot(uid);
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

/// Returns the slot of a user, and the id that the slot has.
fn slot(uid: u32) -> (usize, u32) {
    if uid == HOST {
        return (HOST_SLOT, HOST);
    }
    // Fibonacci hashing: ids are given out in ranges.
    let bucket = (uid.wrapping_mul(0x9e37_79b9) >> 16) as usize % BUCKETS * SLOTS_PER_BUCKET;
    let mut slots = bucket..bucket + SLOTS_PER_BUCKET;
    let own = |slot: &usize| {
        let user = USERS[*slot].load(Relaxed);
        user as u32 != 0 && (user >> 32) as u32 == uid
    };
    let free = |slot: &usize| USERS[*slot].load(Relaxed) as u32 == 0;
    match slots.clone().find(own).or_else(|| slots.find(free)) {
        Some(slot) => (slot, uid),
        None => (OTHERS_SLOT, HOST),
    }
}

/// Counts a record that is dropped as one of the user `uid`, which has the slot.
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
        // The count of the user that had the slot before is kept.
        DROPPED[OTHERS_SLOT].fetch_add(u64::from(before as u32), Relaxed);
        pr_warn!(
            "user {}: {} records of namespaces are deferred: further ones of this user are dropped, and counted (over_share)\n",
            Name(slot, uid),
            MAX_PER_USER
        );
    }
}

/// The name of the user in a slot.
struct Name(usize, u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            HOST_SLOT => f.write_str("host"),
            OTHERS_SLOT => f.write_str("others"),
            _ => write!(f, "{}", self.1),
        }
    }
}

/// Writes a line for each user with records in the queue, or of which some were dropped.
pub(crate) fn write(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("uid queued over_share\n")?;
    for (slot, (queued, dropped)) in USERS.iter().zip(&DROPPED).enumerate() {
        let (queued, dropped) = (queued.load(Relaxed), dropped.load(Relaxed));
        let fixed = slot >= HOST_SLOT;
        let same = fixed || queued >> 32 == dropped >> 32;
        if queued as u32 != 0 || (fixed && dropped as u32 != 0) {
            let of_same = if same { dropped as u32 } else { 0 };
            fmt::Display::fmt(&Name(slot, (queued >> 32) as u32), f)?;
            writeln!(f, " {} {of_same}", queued as u32)?;
        }
        if !fixed && dropped as u32 != 0 && (queued as u32 == 0 || !same) {
            writeln!(f, "{} 0 {}", dropped >> 32, dropped as u32)?;
        }
    }
    Ok(())
}
