// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest something concerns, found by what is known of it: the process, the device, the UUID.

use super::super::row::{Event, Row};
use super::Guests;
use crate::record::Head;
use crate::record::device::Device;
use crate::record::host::Host;
use crate::report::dm::record::Record;
use crate::report::id::Id;

impl Guests {
    /// Whether what guests are given is told, not only their sessions.
    pub fn tell_resources(&self) -> bool {
        self.resources
    }

    /// Whether some guest may have a mapping as its disk, so that violations matter.
    pub fn have_mappings(&self) -> bool {
        self.mappings
    }

    /// Whether any guest ran in a process that is known.
    pub fn run(&self) -> bool {
        self.processes
    }

    /// The violation that `record` tells was found in the mapping `device`: it concerns those whose disk that is, or
    /// stands on it.
    pub fn violation(&mut self, head: &Head<'_>, record: &Record<'_>, device: &Device) {
        let id = Id::from(head.stamp);
        self.devices.violation(head.host, device, id, record.sector);
        if !self.resources {
            return;
        }
        for (number, uuid) in self.devices.holders(head.host, device) {
            let Some(guest) = self.all.get(head.host, &uuid) else {
                continue;
            };
            let (Some(session), Some((path, tie))) = (&guest.session, guest.disks.held(number))
            else {
                continue;
            };
            let event = Event::Violation {
                target: self.names.get(record.module),
                operation: self.names.get(record.op),
                device: device.clone(),
                path: path.clone(),
                sector: record.sector,
                tie,
            };
            let mut row = Row {
                event,
                start: id,
                ..session.row.like()
            };
            row.proof.add(id);
            self.order += 1;
            self.done.push((self.order, row));
        }
    }

    /// The session of the guest `uuid` that runs on `node`.
    pub fn running(&self, host: Host, uuid: &str) -> Option<&Row> {
        let guest = self.all.get(host, &uuid)?;
        guest.session.as_ref().map(|session| &session.row)
    }

    /// The session whose process is `pid` on `node`.
    pub fn with_pid(&self, host: Host, pid: i64) -> Option<&Row> {
        let uuid = self.pids.get(&(host, pid))?.first()?;
        self.running(host, uuid)
    }

    /// The guest on `node` that has the file `path`.
    pub fn with_resource(&self, host: Host, path: &str) -> Option<&Row> {
        let (order, uuid) = self.holders.last(host, path)?;
        let resources = &self.all.get(host, &uuid)?.resources;
        let open = resources.iter().rfind(|open| open.order == order)?;
        Some(&open.row)
    }
}
