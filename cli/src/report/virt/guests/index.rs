// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest something concerns, found by what is known of it: the process, the device, the UUID.

use super::super::row::{Event, Row};
use super::Guests;
use crate::record::Head;
use crate::record::host::Host as Number;
use crate::report::dm::record::Record;
use crate::report::id::{Id, Proof};

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
    pub fn violation(&mut self, head: &Head<'_>, record: &Record<'_>, device: &str) {
        let id = Id::from(head.stamp);
        let host = self.hosts.of(head.host);
        host.devices.violation(device, id, record.sector);
        if !self.resources {
            return;
        }
        for (number, uuid) in host.devices.holders(device) {
            let Some(guest) = host.guests.get(uuid) else {
                continue;
            };
            let (Some(session), Some((path, tie))) = (&guest.session, guest.disks.held(number))
            else {
                continue;
            };
            let event = Event::Violation {
                target: self.names.get(record.module),
                operation: self.names.get(record.op),
                device: self.names.get(device),
                path: path.clone(),
                sector: record.sector,
                tie,
            };
            let mut row = Row {
                event,
                start: id,
                proof: Proof::default(),
                ..session.row.like()
            };
            row.proof.add(id);
            self.order += 1;
            self.done.push((self.order, row));
        }
    }

    /// The session of the guest `uuid` that runs on `node`.
    pub fn running(&self, host: Number, uuid: &str) -> Option<&Row> {
        let guest = self.hosts.known(host)?.guests.get(uuid)?;
        guest.session.as_ref().map(|session| &session.row)
    }

    /// The session whose process is `pid` on `node`.
    pub fn with_pid(&self, host: Number, pid: i64) -> Option<&Row> {
        let uuid = self.hosts.known(host)?.pids.get(&pid)?.first()?;
        self.running(host, uuid)
    }

    /// The guest on `node` that has the file `path`.
    pub fn with_resource(&self, host: Number, path: &str) -> Option<&Row> {
        let host = self.hosts.known(host)?;
        let (order, uuid) = host.holders.last(path)?;
        let resources = &host.guests.get(uuid)?.resources;
        let open = resources.iter().rfind(|open| open.order == order)?;
        Some(&open.row)
    }
}
