// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest something concerns, found by what is known of it: the process, the device, the UUID.

use super::super::disks::by_minor;
use super::super::row::{Event, Row};
use super::{Guests, Open};
use crate::record::Head;
use crate::record::value::text;
use crate::report::id::{Id, Proof};

impl Guests {
    /// Whether some guest may have a mapping as its disk, so that violations matter.
    pub fn have_mappings(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Whether any guest runs in a process that is known.
    pub fn run(&self) -> bool {
        !self.pids.is_empty()
    }

    /// The guest `uuid` no longer runs in the process `pid`.
    pub(super) fn ends(&mut self, pid: i64, uuid: &str) {
        if let Some(guests) = self.pids.get_mut(&pid) {
            guests.retain(|known| known != uuid);
            if guests.is_empty() {
                self.pids.remove(&pid);
            }
        }
    }

    /// A violation was found in the mapping `device`: it concerns those whose disk that is, or stands on it.
    pub fn violation(&mut self, head: &Head<'_>, device: &str) {
        let minor = device.split_once(':').map_or("", |(_, minor)| minor);
        let body = text(head.body);
        for key in [device.to_owned(), by_minor(minor)] {
            let Some(mut uuids) = self.devices.remove(&key) else {
                continue;
            };
            uuids.retain(|uuid| self.concerns(head, device, &body, uuid));
            if !uuids.is_empty() {
                self.devices.insert(key, uuids);
            }
        }
    }

    /// A violation in `device` may concern the guest `uuid`. Tells whether others still may.
    fn concerns(&mut self, head: &Head<'_>, device: &str, body: &str, uuid: &str) -> bool {
        let Some(hosts) = self.guests.get_mut(uuid) else {
            return false;
        };
        let may = hosts
            .iter()
            .any(|guest| guest.session.is_some() || guest.starting.is_some());
        let Some(guest) = hosts.iter_mut().find(|guest| guest.is_on(head.node)) else {
            return may;
        };
        let Some(session) = &guest.session else {
            return may;
        };
        let mut row = session.row.clone();
        let Some(event) = guest.disks.violation(head, device, body) else {
            return may;
        };
        if self.resources {
            row.event = event;
            row.start = Id::from(head.stamp);
            row.proof = Proof::default();
            row.proof.add(row.start);
            self.order += 1;
            self.done.push((self.order, row));
        }
        may
    }

    /// The session of the guest `uuid` that runs on `node`.
    pub fn running(&self, node: Option<&[u8]>, uuid: &str) -> Option<&Row> {
        let mut hosts = self.guests.get(uuid)?.iter();
        let guest = hosts.find(|guest| guest.is_on(node))?;
        guest.session.as_ref().map(|session| &session.row)
    }

    /// The session whose process is `pid` on `node`.
    pub fn with_pid(&self, node: Option<&[u8]>, pid: i64) -> Option<&Row> {
        let uuids = self.pids.get(&pid)?;
        uuids
            .iter()
            .filter_map(|uuid| self.guests.get(uuid))
            .flatten()
            .find(|guest| guest.pid == Some(pid) && guest.is_on(node))
            .and_then(|guest| guest.session.as_ref())
            .map(|session| &session.row)
    }

    /// The guest on `node` that has the file `path`.
    pub fn with_resource(&self, node: Option<&[u8]>, path: &str) -> Option<&Row> {
        let has =
            |open: &&Open| matches!(&open.row.event, Event::Resource { what, .. } if what == path);
        self.guests
            .values()
            .flatten()
            .filter(|guest| guest.is_on(node))
            .filter_map(|guest| guest.resources.iter().rfind(has))
            .max_by_key(|open| open.order)
            .map(|open| &open.row)
    }
}
