// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Makes rows of libvirt's records: sessions, and what guests were given.
//!
//! A start of a guest is told in this order: `VIRT_MACHINE_ID`, a `VIRT_RESOURCE` for each thing that the
//! guest is given, `VIRT_CONTROL op=start`. So what was given before the start belongs to it.

mod index;
mod resources;

use super::disks::Disks;
use super::machine::Machine;
use super::row::{Event, Fate, Row};
use crate::record::Head;
use crate::record::users::Users;
use crate::record::value::Nested;
use crate::report::id::{Id, Proof};
use std::collections::HashMap;

/// A row that is not over, and its place among all.
#[derive(Debug)]
struct Open {
    order: u64,
    row: Row,
}

#[derive(Debug, Default)]
struct Guest {
    node: Option<Box<[u8]>>,
    session: Option<Open>,
    /// libvirt's process id of the guest that runs.
    pid: Option<i64>,
    resources: Vec<Open>,
    /// From which place on resources belong to the session that is about to start.
    starting: Option<u64>,
    disks: Disks,
}

impl Guest {
    fn is_on(&self, node: Option<&[u8]>) -> bool {
        self.node.as_deref() == node
    }
}

/// All guests.
#[derive(Debug)]
pub struct Guests {
    /// By UUID. While a guest moves from host to host, it runs on both.
    guests: HashMap<String, Vec<Guest>>,
    /// Resources are told too, not only sessions.
    resources: bool,
    /// Which guests, by UUID, may have a disk that is this device or stands on it. A guest that is off no longer
    /// may, but stays here until its device is looked for.
    devices: HashMap<String, Vec<String>>,
    /// Which guests, by UUID, run in a process of this number.
    pids: HashMap<i64, Vec<String>>,
    /// What lies beneath disks on this machine, if it is to be asked.
    machine: Option<Machine>,
    order: u64,
    /// Rows that are over, with their places.
    pub done: Vec<(u64, Row)>,
}

impl Guests {
    /// No guests yet. `resources`: tell what they are given, not only their sessions. `machine`: where what lies
    /// beneath disks is looked for, if the log does not tell.
    pub fn new(resources: bool, machine: Option<Machine>) -> Self {
        Self {
            guests: HashMap::new(),
            resources,
            devices: HashMap::new(),
            pids: HashMap::new(),
            machine,
            order: 0,
            done: Vec::new(),
        }
    }

    /// A place for a row that others make.
    pub fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// `VIRT_MACHINE_ID`: a start begins.
    pub fn machine_id(&mut self, head: &Head<'_>, record: &Nested<'_>) {
        let order = self.next_order();
        if let Some(guest) = self.guest(head, record) {
            guest.starting.get_or_insert(order);
        }
    }

    fn guest(&mut self, head: &Head<'_>, record: &Nested<'_>) -> Option<&mut Guest> {
        let uuid = record.raw("uuid")?;
        if !self.guests.contains_key(uuid) {
            self.guests.insert(uuid.to_owned(), Vec::new());
        }
        let hosts = self.guests.get_mut(uuid)?;
        let at = match hosts.iter().position(|guest| guest.is_on(head.node)) {
            Some(at) => at,
            None => {
                hosts.push(Guest {
                    node: head.node.map(Box::from),
                    ..Guest::default()
                });
                hosts.len() - 1
            }
        };
        hosts.get_mut(at)
    }

    /// A row about the guest of `record`; `None` where a field is missing that tells which.
    fn row(head: &Head<'_>, record: &Nested<'_>, users: &Users, event: Event) -> Option<Row> {
        let id = Id::from(head.stamp);
        let mut proof = Proof::default();
        proof.add(id);
        Some(Row {
            event,
            node: head.node_name(),
            vm: record.text("vm")?.into_owned(),
            uuid: record.raw("uuid")?.to_owned(),
            user: users.of_field(head.enrichment, "uid", record.raw("uid")?),
            start: id,
            end: None,
            fate: Fate::Open,
            success: matches!(record.raw("res")?, "success" | "1" | "yes"),
            proof,
        })
    }

    /// `VIRT_CONTROL`: the guest is started or stopped.
    pub fn control(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users) {
        let reason = record.raw("reason").unwrap_or_default().to_owned();
        match record.raw("op") {
            Some("start") => self.start(head, record, users, reason),
            Some("stop") => self.stop(head, record, users, reason),
            _ => {}
        }
    }

    fn start(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users, reason: String) {
        let event = Event::Start {
            reason,
            violations: Vec::new(),
        };
        let Some(row) = Self::row(head, record, users, event) else {
            return;
        };
        let id = row.start;
        let order = self.next_order();
        let Some(guest) = self.guest(head, record) else {
            return;
        };
        // Where nothing runs, whatever the guest has was given to it for this start.
        let starting = guest.starting.take();
        let since = match guest.session {
            Some(_) => starting.unwrap_or(order),
            None => 0,
        };
        let (old, of_this): (Vec<Open>, Vec<Open>) = std::mem::take(&mut guest.resources)
            .into_iter()
            .partition(|open| open.order < since);
        let mut ended = Vec::new();
        if row.success {
            // A session that is still open was not stopped in this log, but it is over.
            guest.resources = of_this;
            ended.extend(old.into_iter().map(|open| (open, Fate::Restarted)));
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut session.row);
                ended.push((session, Fate::Restarted));
            }
            guest.pid = record.raw("vm-pid").and_then(|pid| pid.parse().ok());
            guest.session = Some(Open { order, row });
            if let (Some(pid), Some(uuid)) = (guest.pid, record.raw("uuid")) {
                let guests = self.pids.entry(pid).or_default();
                if !guests.iter().any(|known| known == uuid) {
                    guests.push(uuid.to_owned());
                }
            }
        } else {
            if guest.session.is_none() {
                guest.disks = Disks::default();
            }
            guest.resources = old;
            for mut open in of_this {
                // What was opened for a guest that did not start, nobody got.
                if let Event::Opened { given, .. } = &mut open.row.event {
                    *given = false;
                }
                ended.push((open, Fate::Stopped));
            }
            self.done.push((order, row));
        }
        for (open, fate) in ended {
            self.over(open, id, fate);
        }
    }

    fn stop(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users, reason: String) {
        let Some(row) = Self::row(head, record, users, Event::Stop { reason }) else {
            return;
        };
        let id = row.start;
        let order = self.next_order();
        let Some(guest) = self.guest(head, record) else {
            return;
        };
        // A stop that failed ends nothing.
        if row.success {
            guest.starting = None;
            let pid = guest.pid.take();
            let session = guest.session.take().map(|mut session| {
                guest.disks.tell(&mut session.row);
                session
            });
            guest.disks = Disks::default();
            let mut ended: Vec<Open> = std::mem::take(&mut guest.resources);
            let known = session.is_some();
            ended.extend(session);
            if let (Some(pid), Some(uuid)) = (pid, record.raw("uuid")) {
                self.ends(pid, uuid);
            }
            for open in ended {
                self.over(open, id, Fate::Stopped);
            }
            // Of a session that began before, nothing is told, as auvirt has it.
            if !known {
                return;
            }
        } else if guest.session.is_none() {
            return;
        }
        self.done.push((order, row));
    }

    /// `SYSTEM_SHUTDOWN`, or `SYSTEM_BOOT` without one: no guest runs.
    pub fn down(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users) {
        let id = Id::from(head.stamp);
        let mut ended = Vec::new();
        let guests = self.guests.values_mut().flatten();
        for guest in guests.filter(|guest| guest.is_on(head.node)) {
            guest.pid = None;
            guest.starting = None;
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut session.row);
                ended.push(session);
            }
            guest.disks = Disks::default();
            ended.append(&mut guest.resources);
        }
        // A boot after a shutdown has nothing to tell.
        let shutdown = head.ty == crate::record::Type::SystemShutdown;
        if !shutdown && ended.is_empty() {
            return;
        }
        for open in ended {
            self.over(open, id, Fate::Down);
        }
        let uid = record.raw("uid").unwrap_or("?");
        let mut proof = Proof::default();
        proof.add(id);
        let row = Row {
            event: Event::Down,
            node: head.node_name(),
            vm: String::new(),
            uuid: String::new(),
            user: users.of_field(head.enrichment, "uid", uid),
            start: id,
            end: None,
            fate: Fate::Open,
            success: !matches!(record.raw("res"), Some("failed" | "0" | "no")),
            proof,
        };
        let order = self.next_order();
        self.done.push((order, row));
    }

    fn over(&mut self, mut open: Open, id: Id, fate: Fate) {
        open.row.end = Some(id);
        open.row.fate = fate;
        open.row.proof.add(id);
        self.done.push((open.order, open.row));
    }

    /// The log ends: what is open stays so.
    pub fn end(&mut self) {
        for mut guest in self.guests.drain().flat_map(|(_, hosts)| hosts) {
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut session.row);
                self.done.push((session.order, session.row));
            }
            let open = guest.resources.into_iter();
            self.done.extend(open.map(|open| (open.order, open.row)));
        }
    }
}
