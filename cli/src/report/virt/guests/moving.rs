// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A guest that moves between two managers of one host: it is started by the second, then stopped by the first.

use super::Guests;
use super::open::{Has, Session};
use crate::record::by_host::At;
use crate::record::host::Host;

/// The reason of such a start, and of such a stop.
pub(super) const MIGRATED: &str = "migrated";

/// What a guest has where it comes from.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) session: Box<Session>,
    pub(super) resources: Vec<Has>,
}

impl Guests {
    /// Where the guest at `at` was to go, it has stopped: it runs on where it came from.
    pub(super) fn stays(&mut self, host: Host, at: At, stays: Leaving) {
        if let Some(guest) = self.all.at_mut(at) {
            guest.resources = stays.resources;
            self.session_begins(host, at, stays.session);
        }
    }
}
