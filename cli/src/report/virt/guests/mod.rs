// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Builds rows from libvirt's records: sessions and resources of guests.
//!
//! The start of a guest is recorded in this order: `VIRT_MACHINE_ID`, a `VIRT_RESOURCE` for each resource, `VIRT_CONTROL
//! op=start`. So resources before the start belong to it.

pub(super) mod devices;
mod holders;
pub(super) mod index;
mod open;
mod resources;
mod small_map;

use super::disks::Disks;
use super::machine::Machine;
use super::row::{EndReason, Event, Row};
use crate::record::Head;
use crate::record::by_host::{ByHost, Keyed, Slot};
use crate::record::host::Host;
use crate::record::names::Names;
use crate::record::nodes::Nodes;
use crate::record::users::Users;
use crate::record::uuid::Uuid;
use crate::record::value::Fields;
use crate::report::id::{Id, Proof};
use devices::Devices;
use holders::{Holders, Processes};
use open::{Assignment, Leaving, MIGRATED, Open, ResourceKinds, Session, Started, rows};
use std::io;
use std::num::NonZeroU64;
use std::rc::Rc;

/// A record about a guest.
#[derive(Debug)]
struct GuestRecord<'a> {
    head: &'a Head<'a>,
    record: &'a Fields<'a>,
    users: &'a Users,
    /// The guest's.
    uuid: Uuid,
}

impl<'a> GuestRecord<'a> {
    /// `record`; `None` where it does not say about which guest.
    fn by(head: &'a Head<'a>, record: &'a Fields<'a>, users: &'a Users) -> Option<Self> {
        let uuid = Uuid::of(record.raw("uuid")?);
        Some(Self {
            head,
            record,
            users,
            uuid,
        })
    }
}

#[derive(Debug)]
struct Guest {
    uuid: Uuid,
    session: Option<Box<Session>>,
    resources: Vec<Assignment>,
    /// From which place on resources belong to the session that is about to start.
    starting: Option<NonZeroU64>,
    disks: Disks,
    /// While it moves between two managers of one host: where it comes from.
    leaves: Option<Box<Leaving>>,
}

impl Keyed for Guest {
    type Name<'a> = &'a Uuid;

    fn name(&self) -> &Uuid {
        &self.uuid
    }

    fn is(&self, uuid: &&Uuid) -> bool {
        self.uuid == **uuid
    }
}

/// All guests.
#[derive(Debug)]
pub struct Guests {
    /// By host and UUID: while a guest moves from host to host, it runs on both. One that is off and has nothing is not
    /// here.
    all: ByHost<Guest>,
    /// Violations in devices that are disks of active guests.
    devices: Devices,
    processes: Processes,
    /// The guests that have files.
    holders: Holders,
    nodes: Nodes,
    /// Resources are reported too, not only sessions.
    resources: bool,
    /// Rows keep the events behind them.
    proof: bool,
    /// Some guest had a disk that may be a mapping.
    mappings: bool,
    /// The devices below disks on this machine, with `--layers`.
    machine: Option<Machine>,
    /// Interned texts of rows.
    pub(super) names: Names,
    sorts: ResourceKinds,
    order: u64,
    /// Rows that are over, with their places.
    pub done: Vec<(u64, Row)>,
}

impl Guests {
    /// Creates an empty set. `resources`: report resources, not only sessions. `proof`: keep events. `machine`: look up
    /// devices below disks there, if the log has none.
    pub fn new(resources: bool, proof: bool, machine: Option<Machine>) -> Self {
        Self {
            all: ByHost::default(),
            devices: Devices::new(proof),
            processes: Processes::default(),
            holders: Holders::default(),
            nodes: Nodes::default(),
            resources,
            proof,
            mappings: false,
            machine,
            names: Names::default(),
            sorts: ResourceKinds::default(),
            order: 0,
            done: Vec::new(),
        }
    }

    /// No event, as the proof of a row.
    pub(super) fn no_proof(&self) -> Proof {
        Proof::new(self.proof)
    }

    /// The event `id`, as the proof of a row.
    pub(super) fn proof(&self, id: Id) -> Proof {
        let mut proof = self.no_proof();
        proof.add(id);
        proof
    }

    /// A place for a row that others make.
    pub fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// `VIRT_MACHINE_ID`: a start begins.
    pub fn machine_id(&mut self, head: &Head<'_>, record: &Fields<'_>, users: &Users) {
        let order = self.next_order();
        if let Some(entry) = GuestRecord::by(head, record, users) {
            if let Some(guest) = self.guest(&entry) {
                guest.starts(order);
            }
        }
    }

    fn guest(&mut self, entry: &GuestRecord<'_>) -> Option<&mut Guest> {
        let at = self.place(entry);
        self.all.at_mut(at)
    }

    /// Returns the slot of the guest of `entry`, which may be a new one.
    fn place(&mut self, entry: &GuestRecord<'_>) -> Slot {
        let host = entry.head.host;
        self.all.find(host, &&entry.uuid).unwrap_or_else(|| {
            let guest = Guest {
                uuid: entry.uuid.clone(),
                session: None,
                resources: Vec::new(),
                starting: None,
                disks: Disks::default(),
                leaves: None,
            };
            self.all.add(host, guest)
        })
    }

    /// A row about the guest of `entry`, at the place `order`; `None` where a field is missing.
    fn row(&mut self, entry: &GuestRecord<'_>, order: u64, event: Event) -> Option<(u64, Row)> {
        let (success, open) = self.open(entry, order, event)?;
        let (order, row) = open.row(self.nodes.of(entry.head), entry.uuid.clone());
        Some((order, Row { success, ..row }))
    }

    /// Returns the success of `entry`, and what it opens at the place `order`; `None` where a field is missing.
    fn open<T>(&mut self, entry: &GuestRecord<'_>, order: u64, what: T) -> Option<(bool, Open<T>)> {
        let (head, record) = (entry.head, entry.record);
        let id = Id::from(head.stamp);
        let success = matches!(record.raw("res")?, "success" | "1" | "yes");
        let (auid, uid) = (record.raw("auid"), record.raw("uid")?);
        let user = entry.users.of_task(head.enrichment, auid, uid);
        let vm = record.text("vm")?;
        // What a guest got before it had under the same name, from the same user.
        let before = self.all.get(head.host, &&entry.uuid);
        let (vm_before, user_before) = before.and_then(Guest::names).unzip();
        let name = |before: Option<&Rc<str>>, text: &str| match before {
            Some(known) if **known == *text => known.clone(),
            _ => self.names.get(text),
        };
        let open = Open {
            order,
            vm: name(vm_before, &vm),
            user: name(user_before, &user),
            start: id,
            proof: self.proof(id),
            what,
        };
        // So that it is known in the end.
        self.nodes.of(head);
        Some((success, open))
    }

    /// `VIRT_CONTROL`: the guest is started or stopped.
    pub fn control(&mut self, head: &Head<'_>, record: &Fields<'_>, users: &Users) {
        let Some(entry) = GuestRecord::by(head, record, users) else {
            return;
        };
        let reason = self.names.get(record.raw("reason").unwrap_or_default());
        match record.raw("op") {
            Some("start") => self.start(&entry, reason),
            Some("stop") => self.stop(&entry, reason),
            // A container's first process: what befalls it befalls the container.
            Some("init") => {
                if let Some(pid) = record.raw("init-pid").and_then(|pid| pid.parse().ok()) {
                    self.runs_in(&entry, pid);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, entry: &GuestRecord<'_>, reason: Rc<str>) {
        let (host, id) = (entry.head.host, Id::from(entry.head.stamp));
        let moves = *reason == *MIGRATED;
        let order = self.next_order();
        let started = Started {
            reason,
            pid: entry.record.raw("vm-pid").and_then(|pid| pid.parse().ok()),
            init: None,
            violations: Vec::new(),
        };
        let Some((success, session)) = self.open(entry, order, started) else {
            return;
        };
        let node = self.nodes.known(host);
        let at = self.place(entry);
        let Some(guest) = self.all.at_mut(at) else {
            return;
        };
        let uuid = &entry.uuid;
        // Where nothing runs, whatever the guest has was given to it for this start.
        let starting = guest.starting.take();
        let since = match guest.session {
            Some(_) => starting.map_or(order, NonZeroU64::get),
            None => 0,
        };
        // They are in the order of their places.
        let mut old = std::mem::take(&mut guest.resources);
        let of_this = match old.partition_point(|open| open.order < since) {
            0 => std::mem::take(&mut old),
            own => old.split_off(own),
        };
        if !success {
            if guest.session.is_none() {
                guest.disks = Disks::default();
            }
            guest.resources = old;
            self.forget(at);
            self.done.push(session.failed(node, uuid.clone()));
            for mut open in of_this {
                // What was opened for a guest that did not start, nobody got.
                open.what.set_given(false, &self.sorts);
                self.over(host, uuid, open, id, EndReason::Stopped);
            }
            return;
        }
        guest.resources = of_this;
        let before = self.session_ends(host, at);
        match (before, self.all.at_mut(at)) {
            (Some(session), Some(guest)) if moves && guest.leaves.is_none() => {
                guest.leaves = Some(Box::new(Leaving {
                    session,
                    resources: old,
                }));
            }
            // A session that is still open was not stopped in this log, but it is over.
            (before, _) => {
                for row in rows(before, old, node, uuid.clone()) {
                    self.ended(host, row, id, EndReason::Restarted);
                }
            }
        }
        self.session_begins(host, at, Box::new(session));
    }

    fn stop(&mut self, entry: &GuestRecord<'_>, reason: Rc<str>) {
        let (host, id) = (entry.head.host, Id::from(entry.head.stamp));
        let moved = *reason == *MIGRATED;
        let order = self.next_order();
        let event = Event::Stop { reason };
        let Some((order, row)) = self.row(entry, order, event) else {
            return;
        };
        let at = self.place(entry);
        let Some(guest) = self.all.at_mut(at) else {
            return;
        };
        // A stop that failed ends nothing.
        if row.success {
            let stays = match (guest.leaves.take(), moved) {
                (Some(leaving), true) => {
                    let (node, uuid) = (row.node.clone(), row.uuid.clone());
                    for row in rows(Some(leaving.session), leaving.resources, node, uuid) {
                        self.ended(host, row, id, EndReason::Stopped);
                    }
                    self.done.push((order, row));
                    return;
                }
                (stays, _) => stays,
            };
            guest.starting = None;
            let resources = std::mem::take(&mut guest.resources);
            let session = self.session_ends(host, at);
            if let Some(stays) = stays {
                self.stays(host, at, *stays);
            } else if let Some(guest) = self.all.at_mut(at) {
                guest.disks = Disks::default();
            }
            self.forget(at);
            let known = session.is_some();
            for row in rows(session, resources, row.node.clone(), row.uuid.clone()) {
                self.ended(host, row, id, EndReason::Stopped);
            }
            // Of a session that began before, nothing is reported, as in auvirt.
            if !known {
                return;
            }
        } else if guest.session.is_none() {
            self.forget(at);
            return;
        }
        self.done.push((order, row));
    }

    /// The guest of `entry`, if it runs, runs in the process `pid` too.
    fn runs_in(&mut self, entry: &GuestRecord<'_>, pid: i32) {
        let host = entry.head.host;
        let Some(at) = self.all.find(host, &&entry.uuid) else {
            return;
        };
        let guest = self.all.at_mut(at);
        if let Some(session) = guest.and_then(|guest| guest.session.as_mut()) {
            if let Some(before) = session.what.init.replace(pid) {
                self.processes.remove(host, before, at);
            }
            self.processes.add(host, pid, at);
        }
    }

    /// A session of the guest at `at` begins.
    fn session_begins(&mut self, host: Host, at: Slot, session: Box<Session>) {
        for pid in session.what.pids() {
            self.processes.add(host, pid, at);
        }
        if let Some(guest) = self.all.at_mut(at) {
            guest.session = Some(session);
            guest.disks.relation(&mut self.devices, host, at);
        }
    }

    /// Takes a failed migration of the guest at `at`: it stays active at its source.
    fn stays(&mut self, host: Host, at: Slot, stays: Leaving) {
        if let Some(guest) = self.all.at_mut(at) {
            guest.resources = stays.resources;
            self.session_begins(host, at, stays.session);
        }
    }

    /// Ends the session of the guest at `at`, if it has one, with the violations in its disks.
    fn session_ends(&mut self, host: Host, at: Slot) -> Option<Box<Session>> {
        let session = self.all.at_mut(at)?.ends(host, &mut self.devices)?;
        for pid in session.what.pids() {
            self.processes.remove(host, pid, at);
        }
        Some(session)
    }

    /// A guest of which nothing is known any more needs no room.
    fn forget(&mut self, at: Slot) {
        let nothing = |guest: &Guest| {
            let idle = guest.session.is_none() && guest.starting.is_none();
            idle && guest.resources.is_empty() && guest.disks.is_empty()
        };
        if self.all.at(at).is_some_and(nothing) {
            self.all.remove(at);
        }
    }

    /// Ends one guest of a machine that goes down. Returns whether something ended with it; `None` if there is no guest.
    pub fn goes_down(&mut self, head: &Head<'_>) -> Option<bool> {
        let at = self.all.last(head.host)?;
        let session = self.session_ends(head.host, at);
        let guest = self.all.remove(at)?;
        let before = self.done.len();
        let node = self.nodes.known(head.host);
        for row in guest.end(session, node) {
            self.ended(head.host, row, head.stamp.into(), EndReason::Down);
        }
        Some(self.done.len() > before)
    }

    /// `SYSTEM_SHUTDOWN`, or `SYSTEM_BOOT` without one: the machine went down.
    pub fn went_down(&mut self, head: &Head<'_>, record: &Fields<'_>, users: &Users) {
        let id = Id::from(head.stamp);
        let uid = record.raw("uid").unwrap_or("?");
        let row = Row {
            event: Event::Down,
            node: self.nodes.of(head),
            vm: self.names.get(""),
            uuid: Uuid::none(),
            user: self
                .names
                .get(&users.of_task(head.enrichment, record.raw("auid"), uid)),
            start: id,
            end: None,
            end_reason: EndReason::Active,
            success: !matches!(record.raw("res"), Some("failed" | "0" | "no")),
            proof: self.proof(id),
        };
        let order = self.next_order();
        self.done.push((order, row));
    }

    /// `open` of the guest `uuid` ends.
    fn over(&mut self, host: Host, uuid: &Uuid, open: Assignment, id: Id, end_reason: EndReason) {
        let row = open.row(self.nodes.known(host), uuid.clone());
        self.ended(host, row, id, end_reason);
    }

    fn ended(&mut self, host: Host, (order, mut row): (u64, Row), id: Id, end_reason: EndReason) {
        self.holders.lost(host, &row.event, order);
        row.end = Some(id);
        row.end_reason = end_reason;
        row.proof.add(id);
        self.done.push((order, row));
    }

    /// The log ends: what is open stays so. Hands out each row that is, and its place among all.
    ///
    /// # Errors
    ///
    /// Returns the errors of `each`.
    pub fn end(mut self, mut each: impl FnMut(u64, Row) -> io::Result<()>) -> io::Result<()> {
        for (host, mut guest) in self.all.into_all() {
            let session = guest.ends(host, &mut self.devices);
            let node = self.nodes.known(host);
            for (order, row) in guest.end(session, node) {
                each(order, row)?;
            }
        }
        Ok(())
    }
}

impl Guest {
    /// Its session ends, if it has one.
    fn ends(&mut self, host: Host, devices: &mut Devices) -> Option<Box<Session>> {
        let mut session = self.session.take()?;
        self.disks
            .end_session(devices, host, &mut session.what.violations);
        Some(session)
    }

    /// Returns its newest name and user, if it has resources from then.
    fn names(&self) -> Option<(&Rc<str>, &Rc<str>)> {
        match (self.resources.last(), &self.session) {
            (Some(open), _) => Some((&open.vm, &open.user)),
            (None, Some(open)) => Some((&open.vm, &open.user)),
            (None, None) => None,
        }
    }

    /// A start begins, if none has, at the place `order`.
    fn starts(&mut self, order: u64) {
        self.starting = self.starting.or(NonZeroU64::new(order));
    }

    /// All that is open of it, and its `session`, as rows with their places.
    fn end(
        self,
        session: Option<Box<Session>>,
        node: Option<Rc<str>>,
    ) -> impl Iterator<Item = (u64, Row)> {
        let leaving = self.leaves.map(|leaving| {
            let session = Some(leaving.session);
            rows(session, leaving.resources, node.clone(), self.uuid.clone())
        });
        let own = rows(session, self.resources, node, self.uuid.clone());
        own.chain(leaving.into_iter().flatten())
    }
}
