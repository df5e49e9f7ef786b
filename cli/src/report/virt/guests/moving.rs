// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A guest that moves between two managers of one host: it is started by the second, then stopped by the first.

use super::{Guests, Open};
use crate::record::host::Host;

/// The reason of such a start, and of such a stop.
pub(super) const MIGRATED: &str = "migrated";

/// What a guest has where it comes from.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) session: Open,
    pub(super) pid: Option<i64>,
    pub(super) resources: Vec<Open>,
}

impl Leaving {
    /// All of it, as it ends.
    pub(super) fn all(self) -> impl Iterator<Item = Open> {
        self.resources.into_iter().chain([self.session])
    }
}

impl Guests {
    /// Where it was to go, it has stopped: it runs on where it came from.
    pub(super) fn stays(&mut self, host: Host, stays: Leaving) {
        if let Some(guest) = self.all.get_mut(host, &&*stays.session.row.uuid) {
            guest.resources = stays.resources;
            self.session_begins(host, stays.pid, stays.session);
        }
    }
}
