// SPDX-License-Identifier: GPL-2.0-only

//! The deferred records that each owner has: a user, or a device. A record takes a part of its
//! owner's share, one with a long text several. Records beyond the share are dropped, and counted as
//! the owner's.
//!
//! A share is half of what is free, and at least [`MIN`]. So an owner alone has at most a third of the
//! room, and owners that fill theirs one after the other leave some to another. The host has a quarter
//! of the queue of its own.
//!
//! Deletions of namespaces leave a quarter of the share to creations. A deletion may wait for a
//! creation, which so is never kept out by deletions.
//!
//! The user of a namespace is the creator of the outermost user namespace that it is in. Namespaces
//! in no user namespace are the host's, as are records of no device.

use super::hash;
use crate::bindings;
use crate::read_once::{
    jiffies,
    HZ, //
};
use core::num::NonZeroU16;
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::types::NotThreadSafe;

/// The classes of deferred records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Device mapper, and the module's own configuration: privileged users cause them, and disks.
    Dm = bindings::DMNS_WORKER_DM as isize,
    /// Namespaces: any user causes them.
    Ns = bindings::DMNS_WORKER_NS as isize,
}

/// The host, in place of an owner.
pub(crate) const HOST: u32 = bindings::DMNS_USER_HOST;

/// The bytes of a record that are one part of a share. One with a long text takes several parts, and
/// one part may have half as many bytes more.
pub(super) const UNIT: usize = 256;

/// The most parts of a class that are taken at a time.
const MAX: u32 = 1 << 18;

/// The part of them that is the host's.
const HOST_MAX: u32 = MAX / 4;

/// The parts of which an owner has a share also where others have taken all: in all slots together some
/// quarter of the queue more.
const MIN: u32 = 64;

/// The slots of owners that have one hash.
const SLOTS_PER_BUCKET: usize = 8;

/// A power of two.
const BUCKETS: usize = 128;

/// The slot of the host.
const HOST_SLOT: usize = BUCKETS * SLOTS_PER_BUCKET;

/// The slot of owners that find no slot of their own: together they have one share.
const OTHERS_SLOT: usize = HOST_SLOT + 1;

/// The number of slots.
pub(super) const SLOTS: usize = OTHERS_SLOT + 1;

/// The effect on a namespace that a record is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Deleted,
}

/// The shares of one class.
struct Shares {
    /// An owner: the id in the upper half, the number of parts of deferred records in the lower half.
    /// A slot without records is free.
    deferred: [Atomic<u64>; SLOTS],
    /// The dropped records of the owner that has, or had, the slot: the id in the upper half, the
    /// number in the lower half.
    dropped: [Atomic<u64>; SLOTS],
    /// The number of deferred records of creations.
    creations: [Atomic<u32>; SLOTS],
    /// The number of parts in all slots but that of the host.
    of_owners: Atomic<u32>,
}

static SHARES: [Shares; 2] = [const {
    Shares {
        deferred: [const { Atomic::new(0) }; SLOTS],
        dropped: [const { Atomic::new(0) }; SLOTS],
        creations: [const { Atomic::new(0) }; SLOTS],
        of_owners: Atomic::new(0),
    }
}; 2];

/// The time of the last warning, in jiffies.
static WARNED: Atomic<c_ulong> = Atomic::new(0);

/// One record's parts of its owner's share. Gives them back when dropped.
///
/// Has one more than the number of the slot, counted through both classes, and [`CREATION`]; and the
/// number of parts.
pub(super) struct Share(NonZeroU16, u8);

/// The bit of a creation.
const CREATION: u16 = 1 << 15;

/// The time in which one task alone takes a free slot. Interrupts are off.
struct First(c_ulong, NotThreadSafe);

impl First {
    fn lock() -> Self {
        // SAFETY: A spinlock of any context, which is held for some loads. It is not held here:
        // nothing that runs until `drop` takes it.
        Self(unsafe { bindings::dmns_owners_lock() }, NotThreadSafe)
    }
}

impl Drop for First {
    fn drop(&mut self) {
        // SAFETY: This task holds the lock, with these flags.
        unsafe { bindings::dmns_owners_unlock(self.0) };
    }
}

impl Share {
    /// Takes one record's parts of the share of `owner`. Returns `None` where that is used up.
    ///
    /// Callable from any context.
    pub(super) fn take(
        class: Class,
        owner: u32,
        change: Option<Change>,
        parts: u8,
    ) -> Option<Self> {
        let shares = class.shares();
        loop {
            let mut slot = shares.slot(owner);
            // The first record of an owner takes a free slot, one at a time: else two tasks of an owner
            // could take two.
            let first = shares.is_free(slot).then(First::lock);
            if first.is_some() {
                slot = shares.slot(owner);
            }
            let before = shares.deferred[slot].load(Relaxed);
            let count = before as u32;
            if slot < HOST_SLOT {
                let taken = count != 0 && (before >> 32) as u32 != owner;
                if taken || (count == 0 && first.is_none()) {
                    // Others have changed the slot meanwhile.
                    continue;
                }
            }
            let max = match change {
                Some(Change::Deleted) => shares.max(slot) / 4 * 3,
                _ => shares.max(slot),
            };
            if count + u32::from(parts) > max {
                return None;
            }
            let entry = if count == 0 {
                u64::from(owner) << 32
            } else {
                before
            };
            if shares.deferred[slot]
                .cmpxchg(before, entry + u64::from(parts), Relaxed)
                .is_ok()
            {
                if slot != HOST_SLOT {
                    shares.of_owners.fetch_add(parts.into(), Relaxed);
                }
                let mut number = (class as usize * SLOTS + slot + 1) as u16;
                if change == Some(Change::Created) {
                    shares.creations[slot].fetch_add(1, Relaxed);
                    number |= CREATION;
                }
                return NonZeroU16::new(number).map(|number| Self(number, parts));
            }
        }
    }

    /// Returns the slot of the owner.
    pub(super) fn slot(&self) -> usize {
        self.number() % SLOTS
    }

    /// Returns whether it is that of owners without a slot of their own.
    pub(super) fn is_of_others(&self) -> bool {
        self.slot() == OTHERS_SLOT
    }

    fn number(&self) -> usize {
        usize::from((self.0.get() & !CREATION) - 1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let shares = &SHARES[self.number() / SLOTS];
        if self.0.get() & CREATION != 0 {
            shares.creations[self.slot()].fetch_sub(1, Release);
        }
        shares.deferred[self.slot()].fetch_sub(self.1.into(), Relaxed);
        if self.slot() != HOST_SLOT {
            shares.of_owners.fetch_sub(self.1.into(), Relaxed);
        }
    }
}

impl Class {
    fn shares(self) -> &'static Shares {
        &SHARES[self as usize]
    }

    /// Returns whether nothing is deferred.
    pub(super) fn is_empty(self) -> bool {
        let shares = self.shares();
        let of_host = shares.deferred[HOST_SLOT].load(Relaxed) as u32;
        shares.of_owners.load(Relaxed) == 0 && of_host == 0
    }

    /// Returns whether creations of `owner` are deferred.
    pub(super) fn has_creations(self, owner: u32) -> bool {
        let shares = self.shares();
        shares.creations[shares.slot(owner)].load(Acquire) != 0
    }

    /// Counts a record that is dropped as one of `owner`, which has used up its share.
    pub(super) fn drop_one(self, owner: u32) {
        let shares = self.shares();
        let slot = shares.slot(owner);
        let owner = if slot == OTHERS_SLOT { HOST } else { owner };
        let dropped = &shares.dropped[slot];
        let before = dropped.load(Relaxed);
        if before != 0 && (before >> 32) as u32 == owner {
            add(dropped, 1);
        } else if dropped
            .cmpxchg(before, u64::from(owner) << 32 | 1, Relaxed)
            .is_ok()
        {
            // The count of the owner that had the slot before is kept.
            add(&shares.dropped[OTHERS_SLOT], before as u32);
            // Owners that share a slot would fill the kernel log.
            let (now, before) = (jiffies(), WARNED.load(Relaxed));
            if now.wrapping_sub(before) < HZ || WARNED.cmpxchg(before, now, Relaxed).is_err() {
                return;
            }
            pr_warn!(
                "{}: the share is used up ({} parts): further records are dropped, and counted (over_share)\n",
                Name(self, slot, owner),
                shares.deferred[slot].load(Relaxed) as u32
            );
        }
    }

    /// Writes a line for each owner with deferred records, or of which some were dropped.
    pub(crate) fn write_shares(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dm => "device deferred over_share\n",
            Self::Ns => "uid deferred over_share\n",
        })?;
        let shares = self.shares();
        for (slot, (deferred, dropped)) in shares.deferred.iter().zip(&shares.dropped).enumerate() {
            let (deferred, dropped) = (deferred.load(Relaxed), dropped.load(Relaxed));
            let fixed = slot >= HOST_SLOT;
            let same = fixed || deferred >> 32 == dropped >> 32;
            if deferred as u32 != 0 || (fixed && dropped as u32 != 0) {
                let of_same = if same { dropped as u32 } else { 0 };
                fmt::Display::fmt(&Name(self, slot, (deferred >> 32) as u32), f)?;
                writeln!(f, " {} {of_same}", deferred as u32)?;
            }
            if !fixed && dropped as u32 != 0 && (deferred as u32 == 0 || !same) {
                fmt::Display::fmt(&Name(self, slot, (dropped >> 32) as u32), f)?;
                writeln!(f, " 0 {}", dropped as u32)?;
            }
        }
        Ok(())
    }
}

/// Adds to the number in the lower half, up to its maximum.
fn add(dropped: &Atomic<u64>, count: u32) {
    let mut before = dropped.load(Relaxed);
    while let Err(now) = dropped.cmpxchg(
        before,
        before >> 32 << 32 | u64::from((before as u32).saturating_add(count)),
        Relaxed,
    ) {
        before = now;
    }
}

impl Shares {
    /// Returns whether this is a slot for any owner, and has no records.
    fn is_free(&self, slot: usize) -> bool {
        slot < HOST_SLOT && self.deferred[slot].load(Relaxed) as u32 == 0
    }

    /// Returns the slot of an owner.
    fn slot(&self, owner: u32) -> usize {
        if owner == HOST {
            return HOST_SLOT;
        }
        let bucket = hash::bucket(owner.into(), BUCKETS) * SLOTS_PER_BUCKET;
        let mut slots = bucket..bucket + SLOTS_PER_BUCKET;
        let own = |slot: &usize| {
            let entry = self.deferred[*slot].load(Relaxed);
            entry as u32 != 0 && (entry >> 32) as u32 == owner
        };
        slots
            .clone()
            .find(own)
            .or_else(|| slots.find(|slot| self.is_free(*slot)))
            .unwrap_or(OTHERS_SLOT)
    }

    /// Returns the most records that the owner in a slot may have deferred now.
    fn max(&self, slot: usize) -> u32 {
        if slot == HOST_SLOT {
            HOST_MAX
        } else {
            let free = (MAX - HOST_MAX).saturating_sub(self.of_owners.load(Relaxed));
            MIN.max(free / 2)
        }
    }
}

/// The name of the owner in a slot.
struct Name(Class, usize, u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.1, self.0) {
            (HOST_SLOT, _) => f.write_str("host"),
            (OTHERS_SLOT, _) => f.write_str("others"),
            (_, Class::Ns) => write!(f, "{}", self.2),
            (_, Class::Dm) => write!(f, "{}:{}", self.2 >> 20, self.2 & 0xf_ffff),
        }
    }
}
