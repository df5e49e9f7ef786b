// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Makes lives of records.
//!
//! The kernel's quirks:
//!
//! - A constructor that fails is followed by a destructor of the same event: nothing that lived ended.
//! - A table that is loaded anew is a `ctr`, and the old table's `dtr` follows: the mapping lives on.
//! - crypt and verity name the device beneath the mapping in what they find, and so does integrity in inline
//!   mode. Which mapping stands on it is taken from the order of constructors (`cryptsetup luksOpen` makes the
//!   integrity device, then the crypt one, in one process), or is plain where only one can be meant.

use super::life::{Fate, Life};
use super::mappings::{Key, Mappings, Named};
use super::record::Record;
use crate::record::event::Serials;
use crate::record::host::PerHost;
use crate::record::pending::Pending;
use crate::record::users::Users;
use crate::record::value::text;
use crate::record::{Head, Type};
use crate::report::id::{Id, Proof, Who};
use crate::when::Window;
use dmns_audit_uapi::line::fields;
use dmns_audit_uapi::types::RecordType;
use hashbrown::Equivalent;

#[derive(Debug)]
pub(super) struct Open {
    order: u64,
    pub(super) life: Life,
    /// How many tables are loaded: two, between a reload and its resume.
    pub(super) tables: u32,
    /// The device beneath, if it is known.
    pub(super) beneath: Option<String>,
}

#[cfg(test)]
impl Open {
    pub(super) fn new(order: u64, tables: u32, beneath: Option<String>, life: Life) -> Self {
        Self {
            order,
            life,
            tables,
            beneath,
        }
    }
}

/// What lives on a host.
#[derive(Debug, Default)]
struct Host {
    open: Mappings,
    /// Constructors that failed, whose destructor is still to come.
    failed: Pending<Key>,
    /// The integrity device that was made last, and by which process.
    last_integrity: Option<(Option<i32>, String)>,
}

/// Lives that go on, and those that ended.
#[derive(Debug)]
pub struct Lives {
    window: Window,
    /// Only which mapping a violation is of is asked: they are not counted.
    only_mappings: bool,
    hosts: PerHost<Host>,
    serials: Serials,
    order: u64,
    /// What ended, with its place among all lives.
    pub done: Vec<(u64, Life)>,
}

impl Lives {
    /// Of lives that `window` has a part of, and of violations within it.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            only_mappings: false,
            hosts: PerHost::default(),
            serials: Serials::default(),
            order: 0,
            done: Vec::new(),
        }
    }

    /// Those that only tell of which mapping a violation is: nothing is counted, and nothing [`Lives::done`].
    pub fn mappings(window: Window) -> Self {
        Self {
            only_mappings: true,
            ..Self::new(window)
        }
    }

    /// A record of any type. Tells the mapped device of a violation.
    pub fn record(&mut self, head: &Head<'_>, users: &Users) -> Option<&str> {
        match head.ty {
            Type::Ours(RecordType::DmCtrl | RecordType::DmEvent) => {
                let body = text(head.body);
                let record = Record::parse(&body)?;
                self.mapper(head, &record, &body, users)
            }
            Type::SystemBoot | Type::SystemShutdown => {
                self.serials.began_anew(head);
                self.down(head.node, Id::from(head.stamp));
                None
            }
            _ => None,
        }
    }

    /// A record of device mapper, which says `record` and all that is in `body`. Tells the mapped device of a
    /// violation.
    pub fn mapper(
        &mut self,
        head: &Head<'_>,
        record: &Record<'_>,
        body: &str,
        users: &Users,
    ) -> Option<&str> {
        let id = Id::from(head.stamp);
        if self.serials.began_anew(head) {
            self.down(head.node, id);
        }
        if head.ty == Type::Ours(RecordType::DmEvent) {
            return self.violation(head, id, record);
        }
        match record.op {
            "ctr" => {
                let tells = !self.only_mappings;
                let who = tells.then(|| Who::of(head, fields(body), users));
                self.ctr(head, id, record, who);
            }
            "dtr" => self.dtr(head, id, record),
            _ => {}
        }
        None
    }

    fn ctr(&mut self, head: &Head<'_>, id: Id, record: &Record<'_>, who: Option<Who>) {
        let named = Named::by(record);
        if !record.success {
            let host = self.hosts.of(head.node);
            while host.failed.overdue(id.seconds).is_some() {}
            host.failed.push((0, head.stamp), named.key());
            let mut open = self.begin(head, named, Some(id), who);
            open.life.end = Some(id);
            open.life.fate = Fate::Failed(record.error.to_owned());
            self.finish(open);
            return;
        }
        let host = self.hosts.of(head.node);
        if let Some(open) = host.open.get_mut(named).filter(|open| open.tables > 0) {
            open.tables += 1;
            open.life.reloads += 1;
            open.life.proof.add(id);
            return;
        }
        let beneath = match record.module {
            "integrity" => {
                host.last_integrity = Some((record.pid, record.dev.to_owned()));
                None
            }
            "crypt" => host
                .last_integrity
                .as_ref()
                .filter(|(pid, dev)| *pid == record.pid && dev != record.dev)
                .map(|(_, dev)| dev.clone()),
            _ => None,
        };
        let mut open = self.begin(head, named, Some(id), who);
        open.tables = 1;
        open.beneath = beneath;
        if let Some(old) = self.hosts.of(head.node).open.insert(open) {
            // Violations of a life whose constructor was not seen, and now another one: they were two.
            self.finish(old);
        }
    }

    fn dtr(&mut self, head: &Head<'_>, id: Id, record: &Record<'_>) {
        let named = Named::by(record);
        let host = self.hosts.of(head.node);
        // One destructor for each constructor that failed.
        let mut none = true;
        host.failed.take(&(0, head.stamp), |failed| {
            let first = none && named.equivalent(failed);
            none &= !first;
            first
        });
        if !none {
            return;
        }
        if let Some(open) = host.open.get_mut(named).filter(|open| open.tables > 1) {
            open.life.proof.add(id);
            open.tables -= 1;
            return;
        }
        let mut open = match host.open.remove(named) {
            Some(open) => open,
            None => self.begin(head, named, None, None),
        };
        open.life.proof.add(id);
        open.life.end = Some(id);
        open.life.fate = Fate::Destroyed;
        self.finish(open);
    }

    fn violation(&mut self, head: &Head<'_>, id: Id, record: &Record<'_>) -> Option<&str> {
        let (device, beneath) = self.hosts.of(head.node).open.above(record);
        let named = Named {
            target: record.module,
            device: device.as_deref().unwrap_or(record.dev),
        };
        if !self.hosts.of(head.node).open.has(named) {
            let mut open = self.begin(head, named, None, None);
            open.life.beneath = beneath;
            self.hosts.of(head.node).open.insert(open);
        }
        if !self.window.has(id.seconds) {
            return None;
        }
        let life = &mut self.hosts.of(head.node).open.get_mut(named)?.life;
        if !self.only_mappings {
            life.violation(id, record);
        }
        (!life.beneath).then_some(life.device.as_str())
    }

    /// The machine called `node` goes down or came up: nothing lives.
    fn down(&mut self, node: Option<&[u8]>, id: Id) {
        let host = std::mem::take(self.hosts.of(node));
        for mut open in host.open.into_all() {
            open.life.end = Some(id);
            open.life.fate = Fate::Down;
            open.life.proof.add(id);
            self.finish(open);
        }
    }

    /// The log ends: what lives, lives.
    pub fn end(&mut self) {
        let hosts: Vec<Host> = self.hosts.all_mut().map(std::mem::take).collect();
        for open in hosts.into_iter().flat_map(|host| host.open.into_all()) {
            self.finish(open);
        }
    }

    fn begin(
        &mut self,
        head: &Head<'_>,
        named: Named<'_>,
        start: Option<Id>,
        who: Option<Who>,
    ) -> Open {
        self.order += 1;
        let mut proof = Proof::default();
        if let Some(id) = start {
            proof.add(id);
        }
        Open {
            order: self.order,
            tables: 0,
            beneath: None,
            life: Life {
                node: head.node_name(),
                maker: who,
                start,
                proof,
                ..Life::of(named.target, named.device)
            },
        }
    }

    fn finish(&mut self, mut open: Open) {
        if self.only_mappings {
            return;
        }
        open.life.sum();
        let life = &open.life;
        let window = self.window;
        let before = life.end.is_some_and(|end| {
            window
                .start
                .is_some_and(|start| (end.seconds as i64) < start)
        });
        let after = life
            .start
            .is_some_and(|begin| window.end.is_some_and(|end| begin.seconds as i64 > end));
        // A life without a constructor and without a destructor is only its violations.
        let seen = life.start.is_some() || life.fate == Fate::Destroyed;
        let nothing = !seen && life.violations == 0;
        if !before && !after && !nothing {
            self.done.push((open.order, open.life));
        }
    }
}
