// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Makes rows of libvirt's records: sessions, and what guests were given.
//!
//! A start of a guest is told in this order: `VIRT_MACHINE_ID`, a `VIRT_RESOURCE` for each thing that the
//! guest is given, `VIRT_CONTROL op=start`. So what was given before the start belongs to it.

pub(super) mod devices;
mod holders;
mod index;
mod moving;
mod resources;

use super::disks::Disks;
use super::machine::Machine;
use super::row::{Event, Fate, Row};
use crate::record::Head;
use crate::record::host::{Host as Number, PerHost};
use crate::record::names::Names;
use crate::record::users::Users;
use crate::record::value::Nested;
use crate::report::id::{Id, Proof};
use devices::Devices;
use hashbrown::HashMap;
use holders::Holders;
use moving::{Leaving, MIGRATED};
use std::rc::Rc;

/// A row that is not over, and its place among all.
#[derive(Debug)]
struct Open {
    order: u64,
    row: Row,
}

#[derive(Debug, Default)]
struct Guest {
    session: Option<Open>,
    /// The processes that the guest runs in: libvirt's, and of a container the first one.
    pids: Vec<i64>,
    resources: Vec<Open>,
    /// From which place on resources belong to the session that is about to start.
    starting: Option<u64>,
    disks: Disks,
    /// While it moves between two managers of one host: where it comes from.
    leaves: Option<Leaving>,
}

/// What runs on a host, and what it may be asked by.
#[derive(Debug, Default)]
struct Host {
    /// By UUID. One that is off and has nothing is not here.
    guests: HashMap<Rc<str>, Box<Guest>>,
    /// What is found in the devices that are disks of guests that run.
    devices: Devices,
    /// Which guests, by UUID, run in a process of this number.
    pids: HashMap<i64, Vec<Rc<str>>>,
    /// Who has a file.
    holders: Holders,
}

/// All guests.
#[derive(Debug)]
pub struct Guests {
    /// While a guest moves from host to host, it runs on both.
    hosts: PerHost<Host>,
    /// Resources are told too, not only sessions.
    resources: bool,
    /// Some guest had a disk that may be a mapping.
    mappings: bool,
    /// Some guest ran in a process that is known.
    processes: bool,
    /// What lies beneath disks on this machine, if it is to be asked.
    machine: Option<Machine>,
    /// What rows say, each kept once.
    pub(super) names: Names,
    order: u64,
    /// Rows that are over, with their places.
    pub done: Vec<(u64, Row)>,
}

impl Guests {
    /// No guests yet. `resources`: tell what they are given, not only their sessions. `machine`: where what lies
    /// beneath disks is looked for, if the log does not tell.
    pub fn new(resources: bool, machine: Option<Machine>) -> Self {
        Self {
            hosts: PerHost::default(),
            resources,
            mappings: false,
            processes: false,
            machine,
            names: Names::default(),
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
        let guests = &mut self.hosts.of(head.host).guests;
        if !guests.contains_key(uuid) {
            guests.insert(self.names.get(uuid), Box::default());
        }
        guests.get_mut(uuid).map(|guest| &mut **guest)
    }

    /// A row about the guest of `record`; `None` where a field is missing that tells which.
    fn row(
        &self,
        head: &Head<'_>,
        record: &Nested<'_>,
        users: &Users,
        event: Event,
    ) -> Option<Row> {
        let id = Id::from(head.stamp);
        let user = users.of_field(head.enrichment, "uid", record.raw("uid")?);
        let mut proof = Proof::default();
        proof.add(id);
        Some(Row {
            event,
            node: self.node(head),
            vm: self.names.get(&record.text("vm")?),
            uuid: self.names.get(record.raw("uuid")?),
            user: self.names.get(&user),
            start: id,
            end: None,
            fate: Fate::Open,
            success: matches!(record.raw("res")?, "success" | "1" | "yes"),
            proof,
        })
    }

    fn node(&self, head: &Head<'_>) -> Option<Rc<str>> {
        head.node_name().map(|node| self.names.get(&node))
    }

    /// `VIRT_CONTROL`: the guest is started or stopped.
    pub fn control(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users) {
        let reason = self.names.get(record.raw("reason").unwrap_or_default());
        match record.raw("op") {
            Some("start") => self.start(head, record, users, reason),
            Some("stop") => self.stop(head, record, users, reason),
            // A container's first process: what befalls it befalls the container.
            Some("init") => {
                let pid = record.raw("init-pid").and_then(|pid| pid.parse().ok());
                if let (Some(uuid), Some(pid)) = (record.raw("uuid"), pid) {
                    self.runs_in(head.host, uuid, pid);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users, reason: Rc<str>) {
        let moves = *reason == *MIGRATED;
        let event = Event::Start {
            reason,
            violations: Vec::new(),
        };
        let Some(row) = self.row(head, record, users, event) else {
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
            guest.resources = of_this;
            let from = guest.pids.first().copied();
            let session = self.session_ends(head.host, &row.uuid);
            match (session, self.guest(head, record)) {
                (Some(session), Some(guest)) if moves && guest.leaves.is_none() => {
                    let (pid, resources) = (from, old);
                    guest.leaves = Some(Leaving {
                        session,
                        pid,
                        resources,
                    });
                }
                // A session that is still open was not stopped in this log, but it is over.
                (session, _) => {
                    ended.extend(
                        old.into_iter()
                            .chain(session)
                            .map(|open| (open, Fate::Restarted)),
                    );
                }
            }
            let pid = record.raw("vm-pid").and_then(|pid| pid.parse().ok());
            self.session_begins(head.host, pid, Open { order, row });
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
            self.forget(head.host, &row.uuid);
            self.done.push((order, row));
        }
        for (open, fate) in ended {
            self.over(head.host, open, id, fate);
        }
    }

    fn stop(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users, reason: Rc<str>) {
        let moved = *reason == *MIGRATED;
        let Some(row) = self.row(head, record, users, Event::Stop { reason }) else {
            return;
        };
        let id = row.start;
        let order = self.next_order();
        let Some(guest) = self.guest(head, record) else {
            return;
        };
        // A stop that failed ends nothing.
        if row.success {
            let stays = match (guest.leaves.take(), moved) {
                (Some(leaving), true) => {
                    for open in leaving.all() {
                        self.over(head.host, open, id, Fate::Stopped);
                    }
                    self.done.push((order, row));
                    return;
                }
                (stays, _) => stays,
            };
            guest.starting = None;
            let mut ended: Vec<Open> = std::mem::take(&mut guest.resources);
            let session = self.session_ends(head.host, &row.uuid);
            let known = session.is_some();
            ended.extend(session);
            if let Some(stays) = stays {
                self.stays(head.host, stays);
            } else if let Some(guest) = self.guest(head, record) {
                guest.disks = Disks::default();
            }
            self.forget(head.host, &row.uuid);
            for open in ended {
                self.over(head.host, open, id, Fate::Stopped);
            }
            // Of a session that began before, nothing is told, as auvirt has it.
            if !known {
                return;
            }
        } else if guest.session.is_none() {
            self.forget(head.host, &row.uuid);
            return;
        }
        self.done.push((order, row));
    }

    /// The guest `uuid`, if it is known, runs in the process `pid` too.
    fn runs_in(&mut self, host: Number, uuid: &str, pid: i64) {
        let host = self.hosts.of(host);
        if let Some(guest) = host.guests.get_mut(uuid) {
            self.processes = true;
            guest.pids.push(pid);
            host.pids.entry(pid).or_default().push(self.names.get(uuid));
        }
    }

    /// A session begins, in the process `pid`.
    fn session_begins(&mut self, host: Number, pid: Option<i64>, session: Open) {
        if let Some(pid) = pid {
            self.runs_in(host, &session.row.uuid, pid);
        }
        let host = self.hosts.of(host);
        let Some(guest) = host.guests.get_mut(&session.row.uuid) else {
            return;
        };
        guest.session = Some(session);
        let row = guest.session.as_ref().map(|session| &session.row);
        guest.disks.tie(&mut host.devices, row);
    }

    /// The session of the guest `uuid` ends, if it has one: what was found in its disks is told in it.
    fn session_ends(&mut self, host: Number, uuid: &str) -> Option<Open> {
        let host = self.hosts.of(host);
        let guest = host.guests.get_mut(uuid)?;
        for pid in std::mem::take(&mut guest.pids) {
            if let Some(guests) = host.pids.get_mut(&pid) {
                guests.retain(|known| **known != *uuid);
                if guests.is_empty() {
                    host.pids.remove(&pid);
                }
            }
        }
        let mut session = guest.session.take()?;
        guest.disks.tell(&mut host.devices, &mut session.row);
        Some(session)
    }

    /// A guest of which nothing is known any more needs no room.
    fn forget(&mut self, host: Number, uuid: &str) {
        let guests = &mut self.hosts.of(host).guests;
        let nothing = |guest: &Guest| {
            let idle = guest.session.is_none() && guest.starting.is_none();
            idle && guest.resources.is_empty() && guest.disks.is_empty()
        };
        if guests.get(uuid).map(Box::as_ref).is_some_and(nothing) {
            guests.remove(uuid);
        }
    }

    /// `SYSTEM_SHUTDOWN`, or `SYSTEM_BOOT` without one: no guest runs.
    pub fn down(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users) {
        let id = Id::from(head.stamp);
        let ended = std::mem::take(self.hosts.of(head.host)).end();
        // A boot after a shutdown has nothing to tell.
        let shutdown = head.ty == crate::record::Type::SystemShutdown;
        if !shutdown && ended.is_empty() {
            return;
        }
        for open in ended {
            self.over(head.host, open, id, Fate::Down);
        }
        let uid = record.raw("uid").unwrap_or("?");
        let mut proof = Proof::default();
        proof.add(id);
        let row = Row {
            event: Event::Down,
            node: self.node(head),
            vm: self.names.get(""),
            uuid: self.names.get(""),
            user: self.names.get(&users.of_field(head.enrichment, "uid", uid)),
            start: id,
            end: None,
            fate: Fate::Open,
            success: !matches!(record.raw("res"), Some("failed" | "0" | "no")),
            proof,
        };
        let order = self.next_order();
        self.done.push((order, row));
    }

    fn over(&mut self, host: Number, mut open: Open, id: Id, fate: Fate) {
        self.hosts.of(host).holders.lost(&open);
        open.row.end = Some(id);
        open.row.fate = fate;
        open.row.proof.add(id);
        self.done.push((open.order, open.row));
    }

    /// The log ends: what is open stays so.
    pub fn end(&mut self) {
        let hosts: Vec<Host> = self.hosts.all_mut().map(std::mem::take).collect();
        for open in hosts.into_iter().flat_map(Host::end) {
            self.done.push((open.order, open.row));
        }
    }
}

impl Host {
    /// All that is open on it.
    fn end(mut self) -> Vec<Open> {
        let mut open = Vec::new();
        for mut guest in self.guests.into_values() {
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut self.devices, &mut session.row);
                open.push(session);
            }
            open.append(&mut guest.resources);
            open.extend(guest.leaves.into_iter().flat_map(Leaving::all));
        }
        open
    }
}
