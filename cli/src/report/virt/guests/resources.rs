// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What guests are given and lose.

use super::super::row::{Event, Fate};
use super::{Guests, Open};
use crate::record::Head;
use crate::record::users::Users;
use crate::record::value::Nested;
use crate::report::id::Id;

/// The resources that have an old and a new value, after which their fields are named.
const CHANGES: [&str; 6] = ["disk", "vcpu", "mem", "rng", "net", "fs"];

impl Guests {
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
