// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attached and detached resources of guests.

use super::super::row::EndReason;
use super::open::{AssignedResource, Assignment, ResourceKind, ResourceKinds};
use super::{Guest, GuestRecord, Guests};
use crate::record::Head;
use crate::record::resource::{Opened, Resource, succeeded};
use crate::record::users::Users;
use crate::record::value::Fields;
use crate::report::id::Id;

impl Guests {
    /// Takes a `VIRT_RESOURCE`: a resource is attached, detached, or replaced.
    pub fn resource(&mut self, head: &Head<'_>, record: &Fields<'_>, users: &Users) {
        let Some(kind) = record.raw("resrc") else {
            return;
        };
        // What may be tied to mappings concerns sessions too.
        if !self.resources && !matches!(kind, "disk" | "cgroup") {
            return;
        }
        // Of a cgroup, sessions need the path alone.
        let whole = self.resources || kind == "disk";
        let resource = whole.then(|| Resource::of(record)).flatten();
        let Some(entry) = GuestRecord::by(head, record, users) else {
            return;
        };
        self.prepares(&entry, kind, resource.as_ref());
        let Some(resource) = resource.filter(|_| self.resources) else {
            return;
        };
        if kind == "cgroup" {
            self.cgroup(&entry, &resource);
        } else if let Some(opened) = Opened::of(record) {
            self.opened(&entry, &opened);
        } else {
            self.change(&entry, &resource);
        }
    }

    /// Keeps a resource, at the place that `prepares` took.
    fn keep(&mut self, entry: &GuestRecord<'_>, sort: &ResourceKind<&str>, what: &str) {
        let (order, thing) = (self.order, self.thing(sort, what));
        let Some((success, open)) = self.open(entry, order, thing) else {
            return;
        };
        let host = entry.head.host;
        if !success {
            let node = self.nodes.known(host);
            self.done.push(open.failed(node, entry.uuid.clone()));
            return;
        }
        let at = self.place(entry);
        self.holders.got(host, &open, at);
        let Some(guest) = self.all.at_mut(at) else {
            return;
        };
        if guest.resources.len() == guest.resources.capacity() {
            guest.resources.reserve_exact(1 + guest.resources.len() / 2);
        }
        guest.resources.push(open);
    }

    fn thing(&self, sort: &ResourceKind<&str>, what: &str) -> AssignedResource {
        AssignedResource {
            sort: self.sorts.get(sort),
            what: self.names.get(what),
        }
    }

    fn change(&mut self, entry: &GuestRecord<'_>, resource: &Resource<'_>) {
        let id = Id::from(entry.head.stamp);
        let kind = resource.kind;
        let mut known = false;
        if let (Some(old), true) = (&resource.old, resource.success) {
            known = self.taken(entry, kind, old);
        }
        let sort = ResourceKind::Resource {
            kind,
            reason: resource.reason,
        };
        match (&resource.old, &resource.new) {
            (_, Some(new)) => {
                if kind == "net" && resource.success {
                    let at = self.place(entry);
                    if let Some(guest) = self.all.at_mut(at) {
                        guest.gets_interface(new, &self.sorts, id);
                    }
                }
                self.keep(entry, &sort, new);
            }
            // It was given without a record, as libvirt plugs an rng.
            (Some(old), None) if resource.success && !known && resource.reason == "detach" => {
                let event = self.thing(&sort, old).into();
                if let Some((order, mut row)) = self.row(entry, self.order, event) {
                    row.end = Some(id);
                    row.end_reason = EndReason::Stopped;
                    self.done.push((order, row));
                }
            }
            (Some(_), None) => {}
            // A drive without a medium.
            (None, None) if entry.record.raw_of(b"new-", kind) == Some("\"?\"") => {}
            (None, None) if entry.record.raw_of(b"new-", kind) == Some("?") => {}
            (None, None) => self.keep(entry, &sort, ""),
        }
    }

    /// Detaches `old` from the guest. Returns whether it was attached.
    fn taken(&mut self, entry: &GuestRecord<'_>, kind: &str, old: &str) -> bool {
        let Some(guest) = self.guest(entry) else {
            return false;
        };
        let mut ended = Vec::new();
        let is_it = |open: &Assignment| {
            let is_kind = matches!(&*open.what.sort, ResourceKind::Resource { kind: own, .. } if **own == *kind);
            is_kind && *open.what.what == *old
        };
        if let Some(at) = guest.resources.iter().rposition(is_it) {
            ended.push(guest.resources.remove(at));
        }
        let known = !ended.is_empty();
        if kind == "net" {
            // The descriptors go with the interface.
            let of_it = |open: &mut Assignment| open.what.opened_for(true) == Some(old);
            ended.extend(guest.resources.extract(of_it));
        }
        for open in ended {
            self.loses(entry, open);
        }
        known
    }

    /// Ends the assignment `open`.
    fn loses(&mut self, entry: &GuestRecord<'_>, open: Assignment) {
        let id = entry.head.stamp.into();
        self.over(entry.head.host, &entry.uuid, open, id, EndReason::Stopped);
    }

    fn opened(&mut self, entry: &GuestRecord<'_>, opened: &Opened<'_>) {
        let sort = ResourceKind::Opened {
            mac: opened.mac,
            rdev: opened.rdev,
            given: false,
        };
        self.keep(entry, &sort, &opened.path);
    }

    fn cgroup(&mut self, entry: &GuestRecord<'_>, resource: &Resource<'_>) {
        let record = entry.record;
        let class = record.raw("class").unwrap_or_default();
        let what = match class {
            "path" => record.text("path").unwrap_or_default(),
            "major" => record.raw("category").unwrap_or_default().into(),
            _ => "".into(),
        };
        let acl = record.raw("acl").unwrap_or_default();
        if resource.reason == "deny" && resource.success {
            let ended = match self.guest(entry) {
                Some(guest) => guest.is_denied(class, &what, acl),
                None => Vec::new(),
            };
            for open in ended {
                self.loses(entry, open);
            }
        }
        let sort = ResourceKind::Cgroup {
            reason: resource.reason,
            class,
            acl,
        };
        self.keep(entry, &sort, &what);
    }

    /// Takes the part of a resource record that concerns sessions.
    fn prepares(&mut self, entry: &GuestRecord<'_>, kind: &str, resource: Option<&Resource<'_>>) {
        let record = entry.record;
        let order = self.next_order();
        let disk = resource.filter(|resource| resource.success && kind == "disk");
        let new = disk.and_then(|disk| disk.new.as_deref());
        let below = match (&mut self.machine, new) {
            (Some(machine), Some(new)) => machine.below(new).to_vec(),
            _ => Vec::new(),
        };
        let path = match kind {
            "cgroup" => record.text("path").map(|path| self.names.get(&path)),
            _ => None,
        };
        let new = new.map(|new| self.names.get(new));
        let at = self.place(entry);
        let Some(guest) = self.all.at_mut(at) else {
            return;
        };
        // Without a machine id (no security model), the first resource of a start is its beginning.
        let reason = record.raw("reason");
        if reason == Some("start") {
            guest.starts(order);
        }
        let mut devices = Vec::new();
        if let Some(disk) = disk {
            if let Some(old) = &disk.old {
                guest.disks.taken(old);
            }
            if let Some(new) = &new {
                devices = guest.disks.given(new, &below);
            }
        } else if let ("cgroup", Some("path"), Some(rdev)) =
            (kind, record.raw("class"), record.raw("rdev"))
        {
            let allowed = |_: &_| reason != Some("deny") && succeeded(record);
            match path.filter(allowed) {
                Some(path) => devices.extend(guest.disks.is_device(&path, rdev)),
                None => return,
            }
        } else {
            return;
        }
        self.mappings |= !devices.is_empty();
        if let Some(guest) = self.all.at_mut(at) {
            if guest.session.is_some() {
                guest.disks.relation(&mut self.devices, entry.head.host, at);
            }
        }
    }
}

impl Guest {
    /// Attaches the interface `mac`, with the descriptors opened for it.
    fn gets_interface(&mut self, mac: &str, sorts: &ResourceKinds, id: Id) {
        for open in &mut self.resources {
            if open.what.opened_for(false) == Some(mac) {
                open.what.set_given(true, sorts);
                open.proof.add(id);
            }
        }
    }

    /// Returns the cgroup permissions that a denial ends.
    fn is_denied(&mut self, class: &str, what: &str, acl: &str) -> Vec<Assignment> {
        let ends = |open: &mut Assignment| match &*open.what.sort {
            ResourceKind::Cgroup {
                reason,
                class: c,
                acl: allowed,
            } if **reason == *"allow" => {
                class == "all"
                    || (**c == *class
                        && *open.what.what == *what
                        && allowed.chars().all(|letter| acl.contains(letter)))
            }
            _ => false,
        };
        self.resources.extract(ends)
    }
}

/// Removes the matching items, and keeps the order of the rest.
trait Extract<T> {
    fn extract(&mut self, is_it: impl FnMut(&mut T) -> bool) -> Vec<T>;
}

impl<T> Extract<T> for Vec<T> {
    fn extract(&mut self, mut is_it: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let Some(first) = self.iter_mut().position(&mut is_it) else {
            return Vec::new();
        };
        let mut rest = self.split_off(first).into_iter();
        let mut out: Vec<T> = rest.next().into_iter().collect();
        for mut item in rest {
            match is_it(&mut item) {
                true => out.push(item),
                false => self.push(item),
            }
        }
        out
    }
}
