// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest something concerns, found by what is known of it: the process, the device, the UUID.

use super::super::row::{Event, Fate, Row};
use super::open::Open;
use super::{Guest, Guests};
use crate::record::Head;
use crate::record::device::Device;
use crate::record::host::Host;
use crate::record::uuid::Uuid;
use crate::report::dm::record::Record;
use crate::report::id::{Id, Proof};
use std::rc::Rc;

/// Whose something is.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The guest's name.
    pub vm: &'a Rc<str>,
    /// Its UUID.
    pub uuid: &'a Uuid,
    /// The events that say so.
    pub proof: &'a Proof,
}

impl<'a> Owner<'a> {
    fn of<T>(guest: &'a Guest, open: &'a Open<T>) -> Self {
        Self {
            vm: &open.vm,
            uuid: &guest.uuid,
            proof: &open.proof,
        }
    }
}

impl Guest {
    /// Itself, if it runs.
    fn running(&self) -> Option<Owner<'_>> {
        Some(Owner::of(self, self.session.as_deref()?))
    }
}

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
        self.processes.any()
    }

    /// The violation that `record` tells was found in the mapping `device`: it concerns those whose disk that is, or
    /// stands on it.
    pub fn violation(&mut self, head: &Head<'_>, record: &Record<'_>, device: &Device) {
        let id = Id::from(head.stamp);
        self.devices.violation(head.host, device, id, record.sector);
        if !self.resources {
            return;
        }
        for (number, at) in self.devices.holders(head.host, device) {
            let Some(guest) = self.all.at(at) else {
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
            let row = Row {
                event,
                node: self.nodes.known(head.host),
                vm: session.vm.clone(),
                uuid: guest.uuid.clone(),
                user: session.user.clone(),
                start: id,
                end: None,
                fate: Fate::Open,
                success: true,
                proof: self.proof(id),
            };
            self.order += 1;
            self.done.push((self.order, row));
        }
    }

    /// Whether the guest `uuid` runs on `host`, is about to, or has anything.
    pub fn knows(&self, host: Host, uuid: &Uuid) -> bool {
        self.all.find(host, &uuid).is_some()
    }

    /// The guest `uuid`, if it runs on `host`.
    pub fn running(&self, host: Host, uuid: &Uuid) -> Option<Owner<'_>> {
        self.all.get(host, &uuid)?.running()
    }

    /// The guest whose process is `pid` on `host`.
    pub fn with_pid(&self, host: Host, pid: i32) -> Option<Owner<'_>> {
        let places = self.processes.of(host, pid);
        let sessions = places.filter_map(|at| {
            let guest = self.all.at(at)?;
            Some((guest, guest.session.as_deref()?))
        });
        // Of several, the first.
        let (guest, session) = sessions.min_by_key(|(_, session)| session.order)?;
        Some(Owner::of(guest, session))
    }

    /// The guest on `host` that has the file `path`.
    pub fn with_resource(&self, host: Host, path: &str) -> Option<Owner<'_>> {
        let (order, at) = self.holders.last(host, path)?;
        let guest = self.all.at(at)?;
        let resource = guest.resources.iter().rfind(|open| open.order == order)?;
        Some(Owner::of(guest, resource))
    }
}
