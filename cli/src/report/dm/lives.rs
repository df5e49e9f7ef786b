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

use super::life::{Fate, Found, Life};
use super::record::Record;
use crate::record::event::{self, Serials};
use crate::record::users::Users;
use crate::record::value::text;
use crate::record::{Head, Type};
use crate::report::id::{Id, Proof, Who};
use crate::when::Window;
use dmns_audit_uapi::line::fields;
use dmns_audit_uapi::rules::{self, Dev};
use dmns_audit_uapi::types::RecordType;
use std::collections::HashMap;

/// Node, target and device.
type Key = (Option<String>, String, String);

#[derive(Debug)]
struct Open {
    order: u64,
    life: Life,
    /// How many tables are loaded: two, between a reload and its resume.
    tables: u32,
    /// The device beneath, if it is known.
    beneath: Option<String>,
}

/// Lives that go on, and those that ended.
#[derive(Debug)]
pub struct Lives {
    window: Window,
    open: HashMap<Key, Open>,
    /// Constructors that failed, whose destructor is still to come.
    failed: Vec<(Id, Key)>,
    /// The last integrity device that was made on each node, and by which process.
    last_integrity: HashMap<Option<String>, (Option<i32>, String)>,
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
            open: HashMap::new(),
            failed: Vec::new(),
            last_integrity: HashMap::new(),
            serials: Serials::default(),
            order: 0,
            done: Vec::new(),
        }
    }

    /// A record of any type. Tells the mapped device of a violation.
    pub fn record(&mut self, head: &Head<'_>, users: &Users) -> Option<String> {
        let node = head.node_name();
        let id = Id::from(head.stamp);
        match head.ty {
            Type::Ours(RecordType::DmCtrl | RecordType::DmEvent) => {}
            Type::SystemBoot | Type::SystemShutdown => {
                self.serials.began_anew(head);
                self.down(&node, id);
                return None;
            }
            _ => return None,
        }
        let body = text(head.body);
        let record = Record::parse(&body)?;
        if self.serials.began_anew(head) {
            self.down(&node, id);
        }
        if head.ty == Type::Ours(RecordType::DmEvent) {
            return self.violation(node, id, &record);
        }
        let key = (node, record.module.to_owned(), record.dev.to_owned());
        match record.op {
            "ctr" => {
                let who = Who::of(head, fields(&body), users);
                self.ctr(key, id, &record, who);
            }
            "dtr" => self.dtr(key, id),
            _ => {}
        }
        None
    }

    fn ctr(&mut self, key: Key, id: Id, record: &Record<'_>, who: Who) {
        if !record.success {
            self.failed
                .retain(|(then, _)| !event::is_over(then.seconds, id.seconds));
            self.failed.push((id, key.clone()));
            let mut open = self.begin(&key, Some(id), Some(who));
            open.life.end = Some(id);
            open.life.fate = Fate::Failed(record.error.to_owned());
            self.finish(open);
            return;
        }
        if let Some(open) = self.open.get_mut(&key) {
            if open.tables > 0 {
                open.tables += 1;
                open.life.reloads += 1;
                open.life.proof.add(id);
                return;
            }
        }
        let beneath = match record.module {
            "integrity" => {
                let made = (record.pid, record.dev.to_owned());
                self.last_integrity.insert(key.0.clone(), made);
                None
            }
            "crypt" => self
                .last_integrity
                .get(&key.0)
                .filter(|(pid, dev)| *pid == record.pid && dev != record.dev)
                .map(|(_, dev)| dev.clone()),
            _ => None,
        };
        let mut open = self.begin(&key, Some(id), Some(who));
        open.tables = 1;
        open.beneath = beneath;
        if let Some(old) = self.open.insert(key, open) {
            // Violations of a life whose constructor was not seen, and now another one: they were two.
            self.finish(old);
        }
    }

    fn dtr(&mut self, key: Key, id: Id) {
        if let Some(at) = self.failed.iter().position(|f| (f.0, &f.1) == (id, &key)) {
            self.failed.swap_remove(at);
            return;
        }
        let mut open = match self.open.remove(&key) {
            Some(open) => open,
            None => self.begin(&key, None, None),
        };
        open.life.proof.add(id);
        open.tables = open.tables.saturating_sub(1);
        if open.tables > 0 {
            self.open.insert(key, open);
            return;
        }
        open.life.end = Some(id);
        open.life.fate = Fate::Destroyed;
        self.finish(open);
    }

    fn violation(&mut self, node: Option<String>, id: Id, record: &Record<'_>) -> Option<String> {
        let (key, beneath) = self.above(node, record);
        if !self.open.contains_key(&key) {
            let mut open = self.begin(&key, None, None);
            open.life.beneath = beneath;
            self.open.insert(key.clone(), open);
        }
        let open = self.open.get_mut(&key)?;
        if !self.window.has(id.seconds) {
            return None;
        }
        let life = &mut open.life;
        life.violations += 1;
        life.sectors.extend(record.sector);
        let same = |found: &&mut Found| found.op == record.op && found.device == record.dev;
        match life.found.iter_mut().find(same) {
            Some(found) => {
                found.count += 1;
                found.last = id;
                found.sectors.extend(record.sector);
                found.proof.add(id);
            }
            None => {
                let mut found = Found {
                    op: record.op.to_owned(),
                    device: record.dev.to_owned(),
                    count: 1,
                    first: id,
                    last: id,
                    sectors: Default::default(),
                    proof: Proof::default(),
                };
                found.sectors.extend(record.sector);
                found.proof.add(id);
                life.found.push(found);
            }
        }
        (!life.beneath).then(|| life.device.clone())
    }

    /// The mapping that a violation is of; and whether only the device beneath it is known.
    fn above(&mut self, node: Option<String>, record: &Record<'_>) -> (Key, bool) {
        let named = (node, record.module.to_owned(), record.dev.to_owned());
        let dev = rules::op(record.module, record.op).map_or(Dev::Mapped, |op| op.dev);
        let lives = self.open.get(&named).is_some_and(|open| open.tables > 0);
        if dev == Dev::Mapped || (dev == Dev::Either && lives) {
            return (named, false);
        }
        let of_module = |key: &Key, open: &Open| {
            key.0 == named.0 && key.1 == named.1 && key.2 != named.2 && open.tables > 0
        };
        let mut known = Vec::new();
        let mut free = Vec::new();
        for (key, open) in self.open.iter().filter(|(key, open)| of_module(key, open)) {
            match &open.beneath {
                Some(beneath) if *beneath == named.2 => known.push(key.clone()),
                Some(_) => {}
                None => free.push(key.clone()),
            }
        }
        if let [only] = &known[..] {
            return (only.clone(), false);
        }
        match &free[..] {
            [only] => {
                let only = only.clone();
                if let Some(open) = self.open.get_mut(&only) {
                    open.beneath = Some(named.2);
                }
                (only, false)
            }
            // Nothing of the module lives: this may be the mapping itself, if it can be.
            [] if dev == Dev::Either => (named, false),
            _ => (named, true),
        }
    }

    /// The machine of `node` goes down or came up: nothing lives.
    fn down(&mut self, node: &Option<String>, id: Id) {
        let gone: Vec<Key> = self
            .open
            .keys()
            .filter(|key| key.0 == *node)
            .cloned()
            .collect();
        for key in gone {
            if let Some(mut open) = self.open.remove(&key) {
                open.life.end = Some(id);
                open.life.fate = Fate::Down;
                open.life.proof.add(id);
                self.finish(open);
            }
        }
        self.failed.clear();
    }

    /// The log ends: what lives, lives.
    pub fn end(&mut self) {
        let open: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        open.into_iter().for_each(|open| self.finish(open));
    }

    fn begin(&mut self, key: &Key, start: Option<Id>, maker: Option<Who>) -> Open {
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
                target: key.1.clone(),
                device: key.2.clone(),
                beneath: false,
                node: key.0.clone(),
                maker,
                start,
                end: None,
                fate: Fate::Lives,
                reloads: 0,
                violations: 0,
                sectors: Default::default(),
                found: Vec::new(),
                proof,
            },
        }
    }

    fn finish(&mut self, open: Open) {
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
