// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds guests by process, device or UUID.

use super::super::row::{EndReason, Event, Row};
use super::open::Open;
use super::{Guest, Guests};
use crate::record::Head;
use crate::record::device::Device;
use crate::record::host::Host;
use crate::record::uuid::Uuid;
use crate::report::dm::record::Record;
use crate::report::id::{Id, Proof};
use std::rc::Rc;

/// The guest that something belongs to.
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
    /// Returns whether resources are reported, not only sessions.
    pub fn reports_resources(&self) -> bool {
        self.resources
    }

    /// Returns whether some guest may have a mapping as its disk, so that violations matter.
    pub fn have_mappings(&self) -> bool {
        self.mappings
    }

    /// Returns whether any guest has run in a known process.
    pub fn run(&self) -> bool {
        self.processes.any()
    }

    /// Adds the violation `record` in the mapping `device` to the guests with a disk that is the device, or above it.
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
            let (Some(session), Some((path, relation))) =
                (&guest.session, guest.disks.held(number))
            else {
                continue;
            };
            let event = Event::Violation {
                target: self.names.get(record.module),
                operation: self.names.get(record.op),
                device: device.clone(),
                path: path.clone(),
                sector: record.sector,
                relation,
            };
            let row = Row {
                event,
                node: self.nodes.known(head.host),
                vm: session.vm.clone(),
                uuid: guest.uuid.clone(),
                user: session.user.clone(),
                start: id,
                end: None,
                end_reason: EndReason::Active,
                success: true,
                proof: self.proof(id),
            };
            self.order += 1;
            self.done.push((self.order, row));
        }
    }

    /// Returns whether the guest `uuid` on `host` is active, is about to start, or has resources.
    pub fn knows(&self, host: Host, uuid: &Uuid) -> bool {
        self.all.find(host, &uuid).is_some()
    }

    /// The guest `uuid`, if it runs on `host`.
    pub fn running(&self, host: Host, uuid: &Uuid) -> Option<Owner<'_>> {
        self.all.get(host, &uuid)?.running()
    }

    /// Returns the guest with the process `pid` on `host`.
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
