// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What guests are given and lose.

use super::super::row::Fate;
use super::open::{Has, Sort, Sorts, Thing};
use super::{Guest, Guests, Told};
use crate::record::Head;
use crate::record::resource::{Opened, Resource, succeeded};
use crate::record::users::Users;
use crate::record::value::Fields;
use crate::report::id::Id;

impl Guests {
    /// `VIRT_RESOURCE`: the guest is given something, loses something, or both.
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
        let Some(told) = Told::by(head, record, users) else {
            return;
        };
        self.prepares(&told, kind, resource.as_ref());
        let Some(resource) = resource.filter(|_| self.resources) else {
            return;
        };
        if kind == "cgroup" {
            self.cgroup(&told, &resource);
        } else if let Some(opened) = Opened::of(record) {
            self.opened(&told, &opened);
        } else {
            self.change(&told, &resource);
        }
    }

    /// Where nothing else is said: the place that `prepares` took.
    fn keep(&mut self, told: &Told<'_>, sort: &Sort<&str>, what: &str) {
        let (order, thing) = (self.order, self.thing(sort, what));
        let Some((success, open)) = self.open(told, order, thing) else {
            return;
        };
        let host = told.head.host;
        if !success {
            let node = self.nodes.known(host);
            self.done.push(open.failed(node, told.uuid.clone()));
            return;
        }
        let at = self.place(told);
        self.holders.got(host, &open, at);
        let Some(guest) = self.all.at_mut(at) else {
            return;
        };
        if guest.resources.len() == guest.resources.capacity() {
            guest.resources.reserve_exact(1 + guest.resources.len() / 2);
        }
        guest.resources.push(open);
    }

    fn thing(&self, sort: &Sort<&str>, what: &str) -> Thing {
        Thing {
            sort: self.sorts.get(sort),
            what: self.names.get(what),
        }
    }

    fn change(&mut self, told: &Told<'_>, resource: &Resource<'_>) {
        let id = Id::from(told.head.stamp);
        let kind = resource.kind;
        let mut known = false;
        if let (Some(old), true) = (&resource.old, resource.success) {
            known = self.taken(told, kind, old);
        }
        let sort = Sort::Resource {
            kind,
            reason: resource.reason,
        };
        match (&resource.old, &resource.new) {
            (_, Some(new)) => {
                if kind == "net" && resource.success {
                    let at = self.place(told);
                    if let Some(guest) = self.all.at_mut(at) {
                        guest.gets_interface(new, &self.sorts, id);
                    }
                }
                self.keep(told, &sort, new);
            }
            // It was given without a record, as libvirt plugs an rng.
            (Some(old), None) if resource.success && !known && resource.reason == "detach" => {
                let event = self.thing(&sort, old).into();
                if let Some((order, mut row)) = self.row(told, self.order, event) {
                    row.end = Some(id);
                    row.fate = Fate::Stopped;
                    self.done.push((order, row));
                }
            }
            (Some(_), None) => {}
            // A drive without a medium.
            (None, None) if told.record.raw_of(b"new-", kind) == Some("\"?\"") => {}
            (None, None) if told.record.raw_of(b"new-", kind) == Some("?") => {}
            (None, None) => self.keep(told, &sort, ""),
        }
    }

    /// The guest no longer has `old`. Tells whether it was known to have it.
    fn taken(&mut self, told: &Told<'_>, kind: &str, old: &str) -> bool {
        let Some(guest) = self.guest(told) else {
            return false;
        };
        let mut ended = Vec::new();
        let is_it = |open: &Has| {
            let is_kind =
                matches!(&*open.what.sort, Sort::Resource { kind: own, .. } if **own == *kind);
            is_kind && *open.what.what == *old
        };
        if let Some(at) = guest.resources.iter().rposition(is_it) {
            ended.push(guest.resources.remove(at));
        }
        let known = !ended.is_empty();
        if kind == "net" {
            // The descriptors go with the interface.
            let of_it = |open: &mut Has| open.what.opened_for(true) == Some(old);
            ended.extend(guest.resources.extract(of_it));
        }
        for open in ended {
            self.loses(told, open);
        }
        known
    }

    /// The guest has `open` no more.
    fn loses(&mut self, told: &Told<'_>, open: Has) {
        let id = told.head.stamp.into();
        self.over(told.head.host, &told.uuid, open, id, Fate::Stopped);
    }

    fn opened(&mut self, told: &Told<'_>, opened: &Opened<'_>) {
        let sort = Sort::Opened {
            mac: opened.mac,
            rdev: opened.rdev,
            given: false,
        };
        self.keep(told, &sort, &opened.path);
    }

    fn cgroup(&mut self, told: &Told<'_>, resource: &Resource<'_>) {
        let record = told.record;
        let class = record.raw("class").unwrap_or_default();
        let what = match class {
            "path" => record.text("path").unwrap_or_default(),
            "major" => record.raw("category").unwrap_or_default().into(),
            _ => "".into(),
        };
        let acl = record.raw("acl").unwrap_or_default();
        if resource.reason == "deny" && resource.success {
            let ended = match self.guest(told) {
                Some(guest) => guest.is_denied(class, &what, acl),
                None => Vec::new(),
            };
            for open in ended {
                self.loses(told, open);
            }
        }
        let sort = Sort::Cgroup {
            reason: resource.reason,
            class,
            acl,
        };
        self.keep(told, &sort, &what);
    }

    /// What a resource record tells that concerns sessions.
    fn prepares(&mut self, told: &Told<'_>, kind: &str, resource: Option<&Resource<'_>>) {
        let record = told.record;
        let order = self.next_order();
        let disk = resource.filter(|resource| resource.success && kind == "disk");
        let new = disk.and_then(|disk| disk.new.as_deref());
        let beneath = match (&mut self.machine, new) {
            (Some(machine), Some(new)) => machine.beneath(new).to_vec(),
            _ => Vec::new(),
        };
        let path = match kind {
            "cgroup" => record.text("path").map(|path| self.names.get(&path)),
            _ => None,
        };
        let new = new.map(|new| self.names.get(new));
        let at = self.place(told);
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
                devices = guest.disks.given(new, &beneath);
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
                guest.disks.tie(&mut self.devices, told.head.host, at);
            }
        }
    }
}

impl Guest {
    /// It got the interface `mac`: what was opened for that is its own.
    fn gets_interface(&mut self, mac: &str, sorts: &Sorts, id: Id) {
        for open in &mut self.resources {
            if open.what.opened_for(false) == Some(mac) {
                open.what.set_given(true, sorts);
                open.proof.add(id);
            }
        }
    }

    /// Its cgroup is denied something: what ends with that.
    fn is_denied(&mut self, class: &str, what: &str, acl: &str) -> Vec<Has> {
        let ends = |open: &mut Has| match &*open.what.sort {
            Sort::Cgroup {
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

/// Takes out what is asked for, and keeps the order of the rest.
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
