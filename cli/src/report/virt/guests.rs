// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Makes rows of libvirt's records: sessions, and what guests were given.
//!
//! A start of a guest is told in this order: `VIRT_MACHINE_ID`, a `VIRT_RESOURCE` for each thing that the
//! guest is given, `VIRT_CONTROL op=start`. So what was given before the start belongs to it.

use super::disks::Disks;
use super::row::{Event, Fate, Row};
use crate::record::Head;
use crate::record::users::Users;
use crate::record::value::Nested;
use crate::report::id::{Id, Proof};
use std::collections::HashMap;

/// The resources that have an old and a new value, after which their fields are named.
const CHANGES: [&str; 6] = ["disk", "vcpu", "mem", "rng", "net", "fs"];

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

/// All guests, by UUID.
#[derive(Debug)]
pub struct Guests {
    guests: HashMap<String, Guest>,
    /// Resources are told too, not only sessions.
    resources: bool,
    /// Some guest may have a mapping as its disk.
    mappings: bool,
    order: u64,
    /// Rows that are over, with their places.
    pub done: Vec<(u64, Row)>,
}

impl Guests {
    /// No guests yet. `resources`: tell what they are given, not only their sessions.
    pub fn new(resources: bool) -> Self {
        Self {
            guests: HashMap::new(),
            resources,
            mappings: false,
            order: 0,
            done: Vec::new(),
        }
    }

    /// Whether some guest may have a mapping as its disk, so that violations matter.
    pub fn have_mappings(&self) -> bool {
        self.mappings
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
            self.guests.insert(uuid.to_owned(), Guest::default());
        }
        let guest = self.guests.get_mut(uuid)?;
        if guest.node.as_deref() != head.node {
            guest.node = head.node.map(Box::from);
        }
        Some(guest)
    }

    /// What a resource record tells that concerns sessions.
    fn prepares(&mut self, head: &Head<'_>, record: &Nested<'_>, kind: &str) {
        let order = self.next_order();
        let mapping = |path: &str| path.starts_with("/dev/");
        let mut mappings = false;
        let Some(guest) = self.guest(head, record) else {
            return;
        };
        // Without a machine id (no security model), the first resource of a start is its beginning.
        if record.raw("reason") == Some("start") {
            guest.starting.get_or_insert(order);
        }
        let success = matches!(record.raw("res"), Some("success" | "1" | "yes"));
        if kind == "disk" && success {
            if let Some(old) = value(record, "old-disk").filter(|path| mapping(path)) {
                guest.disks.taken(&old);
            }
            if let Some(new) = value(record, "new-disk").filter(|path| mapping(path)) {
                guest.disks.given(&new);
                mappings = true;
            }
        }
        if let ("cgroup", Some("path"), Some(rdev)) =
            (kind, record.raw("class"), record.raw("rdev"))
        {
            if let Some(path) = record.text("path") {
                guest.disks.is_device(&path, rdev);
            }
        }
        self.mappings |= mappings;
    }

    /// A row about the guest of `record`; `None` where a field is missing that tells which.
    fn row(head: &Head<'_>, record: &Nested<'_>, users: &Users, event: Event) -> Option<Row> {
        let id = Id::from(head.stamp);
        let mut proof = Proof::default();
        proof.add(id);
        Some(Row {
            event,
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

    /// `VIRT_RESOURCE`: the guest is given something, loses something, or both.
    pub fn resource(&mut self, head: &Head<'_>, record: &Nested<'_>, users: &Users) {
        let Some(kind) = record.raw("resrc") else {
            return;
        };
        self.prepares(head, record, kind);
        if !self.resources {
            return;
        }
        let reason = record.raw("reason").unwrap_or_default().to_owned();
        let id = Id::from(head.stamp);
        let event = if kind == "cgroup" {
            let class = record.raw("class").unwrap_or_default();
            let what = match class {
                "path" => record.text("path").unwrap_or_default().into_owned(),
                "major" => record.raw("category").unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            Some(Event::Cgroup {
                reason,
                class: class.to_owned(),
                acl: record.raw("acl").unwrap_or_default().to_owned(),
                what,
            })
        } else if CHANGES.contains(&kind) {
            let old = value(record, &format!("old-{kind}"));
            let new = value(record, &format!("new-{kind}"));
            let success = matches!(record.raw("res"), Some("success" | "1" | "yes"));
            if let (Some(old), true) = (&old, success) {
                self.taken(head, record, kind, old, id);
            }
            new.map(|what| Event::Resource {
                kind: kind.to_owned(),
                reason,
                what,
            })
        } else {
            // Host devices, redirected ones, character devices, TPMs, ...: what auvirt passed over.
            let what = ["device", "new-chardev", "path", "backend"]
                .iter()
                .find_map(|name| value(record, name));
            Some(Event::Resource {
                kind: kind.to_owned(),
                reason,
                what: what.unwrap_or_default(),
            })
        };
        let Some(row) = event.and_then(|event| Self::row(head, record, users, event)) else {
            return;
        };
        // The place that `prepares` took.
        let order = self.order;
        let Some(guest) = self.guest(head, record) else {
            return;
        };
        match row.success {
            true => guest.resources.push(Open { order, row }),
            false => self.done.push((order, row)),
        }
    }

    /// The guest no longer has `old`.
    fn taken(&mut self, head: &Head<'_>, record: &Nested<'_>, kind: &str, old: &str, id: Id) {
        let Some(guest) = self.guest(head, record) else {
            return;
        };
        let is_it = |open: &Open| matches!(&open.row.event, Event::Resource { kind: k, what, .. } if k == kind && what == old);
        if let Some(at) = guest.resources.iter().rposition(is_it) {
            let open = guest.resources.remove(at);
            self.over(open, id, Fate::Stopped);
        }
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
        let mut ended = Vec::new();
        if row.success {
            // A session that is still open was not stopped in this log, but it is over.
            let old: Vec<Open> = guest.resources.extract_if_before(since);
            ended.extend(old.into_iter().map(|open| (open, Fate::Restarted)));
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut session.row);
                ended.push((session, Fate::Restarted));
            }
            guest.pid = record.raw("vm-pid").and_then(|pid| pid.parse().ok());
            guest.session = Some(Open { order, row });
        } else {
            let (of_this, rest) = std::mem::take(&mut guest.resources)
                .into_iter()
                .partition(|open| open.order >= since);
            guest.resources = rest;
            ended.extend(Vec::into_iter(of_this).map(|open| (open, Fate::Stopped)));
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
            guest.pid = None;
            let session = guest.session.take().map(|mut session| {
                guest.disks.tell(&mut session.row);
                session
            });
            let mut ended: Vec<Open> = std::mem::take(&mut guest.resources);
            let known = session.is_some();
            ended.extend(session);
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
        for guest in self.guests.values_mut() {
            if guest.node.as_deref() != head.node {
                continue;
            }
            guest.pid = None;
            guest.starting = None;
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut session.row);
                ended.push(session);
            }
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

    /// A violation was found in the mapping `device`.
    pub fn violation(&mut self, head: &Head<'_>, device: &str) {
        for guest in self.guests.values_mut() {
            if guest.node.as_deref() == head.node && guest.session.is_some() {
                guest.disks.violation(head, device);
            }
        }
    }

    /// The session of the guest `uuid` that runs.
    pub fn running(&self, uuid: &str) -> Option<&Row> {
        let guest = self.guests.get(uuid)?;
        guest.session.as_ref().map(|session| &session.row)
    }

    /// The session whose process is `pid` on `node`.
    pub fn with_pid(&self, node: Option<&[u8]>, pid: i64) -> Option<&Row> {
        self.guests
            .values()
            .find(|guest| guest.pid == Some(pid) && guest.node.as_deref() == node)
            .and_then(|guest| guest.session.as_ref())
            .map(|session| &session.row)
    }

    /// The guest that has the file `path`.
    pub fn with_resource(&self, path: &str) -> Option<&Row> {
        let has =
            |open: &&Open| matches!(&open.row.event, Event::Resource { what, .. } if what == path);
        self.guests
            .values()
            .filter_map(|guest| guest.resources.iter().rfind(has))
            .max_by_key(|open| open.order)
            .map(|open| &open.row)
    }

    /// The log ends: what is open stays so.
    pub fn end(&mut self) {
        for (_, mut guest) in self.guests.drain() {
            if let Some(mut session) = guest.session.take() {
                guest.disks.tell(&mut session.row);
                self.done.push((session.order, session.row));
            }
            let open = guest.resources.into_iter();
            self.done.extend(open.map(|open| (open.order, open.row)));
        }
    }
}

trait ExtractBefore {
    fn extract_if_before(&mut self, order: u64) -> Self;
}

impl ExtractBefore for Vec<Open> {
    /// Takes out what came before `order`.
    fn extract_if_before(&mut self, order: u64) -> Self {
        let (before, rest) = std::mem::take(self)
            .into_iter()
            .partition(|open| open.order < order);
        *self = rest;
        before
    }
}

/// The value of `name`, decoded, unless it says that there is none.
fn value(record: &Nested<'_>, name: &str) -> Option<String> {
    let raw = record.raw(name)?;
    let number = raw.bytes().all(|b| b.is_ascii_digit());
    let text = match number {
        true => raw.to_owned(),
        false => record.text(name)?.into_owned(),
    };
    (!matches!(text.as_str(), "" | "0" | "?")).then_some(text)
}
