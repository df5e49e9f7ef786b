// SPDX-License-Identifier: GPL-2.0-only

//! Creations of namespaces in flight: their record is not emitted yet. The record of the deletion
//! waits for it.

use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

/// A power of two. Ids are given in turn, so that few that are in flight share a slot.
const SLOTS: usize = 4096;

/// The number of creations in flight, by the remainder of their id. Where two share a slot, a
/// deletion waits for both.
static IN_FLIGHT: [Atomic<u32>; SLOTS] = [const { Atomic::new(0) }; SLOTS];

/// A creation that is in flight, until this is dropped.
pub(super) struct InFlight(u16);

impl InFlight {
    /// Begins before the namespace is visible, and so before its deletion.
    pub(super) fn begin(id: u64) -> Self {
        let slot = id as usize % SLOTS;
        IN_FLIGHT[slot].fetch_add(1, Relaxed);
        Self(slot as u16)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT[usize::from(self.0)].fetch_sub(1, Release);
    }
}

/// Returns whether the creation of the namespace `id` may be in flight.
pub(crate) fn in_flight(id: u64) -> bool {
    IN_FLIGHT[id as usize % SLOTS].load(Acquire) != 0
}
