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
use super::mappings::Mappings;
use super::open::{Named, Open, Told};
use super::record::Record;
use crate::ranges::Ranges;
use crate::record::by_host::Slot;
use crate::record::command;
use crate::record::device::Device;
use crate::record::event::Serials;
use crate::record::host::{Host, Nodes};
use crate::record::pending::Pending;
use crate::record::users::Users;
use crate::record::value::Fields;
use crate::record::{Head, Type};
use crate::report::Options;
use crate::report::id::{Id, Proof, Who};
use crate::when::Window;
use dmns_audit_uapi::types::RecordType;
use hashbrown::HashMap;
use std::io;
use std::rc::Rc;

/// How many mappings may wait for their name.
const NAMING: usize = 1024;

/// How many bytes the sectors of all that lives may take. Then they are told less exactly.
const SECTORS: usize = 16 << 20;

/// Lives that go on, and those that ended.
#[derive(Debug)]
pub struct Lives {
    window: Window,
    /// Lives are told, with the records that they were made from or without. `None`: only which mapping a violation is of
    /// is asked for, and nothing is counted.
    told: Option<Proof>,
    open: Mappings,
    /// Constructors that failed, whose destructor is still to come.
    failed: HashMap<Host, Pending<(Rc<str>, Device)>>,
    /// The integrity device that was made last on a host, and by which process.
    last_integrity: HashMap<Host, (Option<i32>, Device)>,
    /// Mappings that wait for the command line of their event: where each is, and its place among all.
    naming: Pending<(Slot, u64)>,
    nodes: Nodes,
    serials: Serials,
    order: u64,
    /// How many bytes the sectors of what lives take, and how many they may.
    sectors: usize,
    room: usize,
    /// How many they are made to take at most where that was too much.
    limit: usize,
    /// Any record was seen.
    pub any: bool,
    /// What ended, with its place among all lives.
    pub done: Vec<(u64, Life)>,
}

impl Lives {
    /// Of lives that the window of `options` has a part of, and of violations within it.
    pub fn new(options: &Options) -> Self {
        Self {
            told: Some(Proof::new(options.proof)),
            ..Self::mappings(options.window)
        }
    }

    /// Those that only tell of which mapping a violation is: nothing is counted, and nothing [`Lives::done`].
    pub fn mappings(window: Window) -> Self {
        Self {
            window,
            told: None,
            open: Mappings::default(),
            failed: HashMap::new(),
            last_integrity: HashMap::new(),
            naming: Pending::default(),
            nodes: Nodes::default(),
            serials: Serials::default(),
            order: 0,
            sectors: 0,
            room: SECTORS,
            limit: SECTORS,
            any: false,
            done: Vec::new(),
        }
    }

    /// A record of any type. Tells the mapped device of a violation.
    pub fn record(&mut self, head: &Head<'_>, users: &Users) -> Option<Device> {
        match head.ty {
            Type::Ours(RecordType::DmCtrl | RecordType::DmEvent) => {
                let fields = Fields::of(head);
                let record = Record::of(&fields)?;
                self.mapper(head, &record, &fields, users)
            }
            Type::KernelBoot | Type::SystemBoot | Type::SystemShutdown => {
                if self.serials.began_anew(head) || head.ty == Type::SystemShutdown {
                    self.down(head);
                }
                None
            }
            Type::Proctitle => {
                self.title(head);
                None
            }
            _ => None,
        }
    }

    /// Whether a command line may name a mapping.
    pub fn is_naming(&self) -> bool {
        !self.naming.is_empty()
    }

    /// The command line of an event.
    fn title(&mut self, head: &Head<'_>) {
        let waiting = self.naming.take(&(head.host, head.stamp), |_| true);
        if waiting.is_empty() {
            return;
        }
        let record = Fields::of(head);
        let argv = record
            .raw("proctitle")
            .map(command::arguments)
            .unwrap_or_default();
        for (at, order) in waiting {
            let Some(open) = self.open.at_mut(at) else {
                continue;
            };
            let target = open.target.clone();
            if let Some(told) = open.told.as_mut().filter(|told| told.order == order) {
                told.name = command::mapping(&argv, &target);
            }
        }
    }

    /// A record of device mapper, which says `record` and all that is in `fields`. Tells the mapped device of a
    /// violation.
    pub fn mapper(
        &mut self,
        head: &Head<'_>,
        record: &Record<'_>,
        fields: &Fields<'_>,
        users: &Users,
    ) -> Option<Device> {
        self.any = true;
        while self.naming.overdue(head.stamp.seconds).is_some() {}
        if self.serials.began_anew(head) {
            self.down(head);
        }
        let named = Named::by(record);
        if head.ty == Type::Ours(RecordType::DmEvent) {
            return self.violation(head, record, named, users);
        }
        match record.op {
            "ctr" => {
                let who = self
                    .told
                    .is_some()
                    .then(|| Who::of(head, fields.fields(), users));
                self.ctr(head, record, named, who, users);
            }
            "dtr" => self.dtr(head, named, users),
            _ => {}
        }
        None
    }

    fn ctr(
        &mut self,
        head: &Head<'_>,
        record: &Record<'_>,
        named: Named<'_>,
        who: Option<Who>,
        users: &Users,
    ) {
        let id = Id::from(head.stamp);
        if !record.success {
            let open = self.begin(head, named, Some(id), who, users);
            let failed = self.failed.entry(head.host).or_default();
            while failed.overdue(id.seconds).is_some() {}
            failed.push((0, head.stamp), (open.target.clone(), open.device.clone()));
            self.finish(open, head, Some(id), Fate::Failed(record.error.to_owned()));
            return;
        }
        let known = self.open.find(head.host, &named);
        let loaded = known.and_then(|at| self.open.at_mut(at));
        if let Some(open) = loaded.filter(|open| open.tables > 0) {
            open.tables += 1;
            if let Some(told) = &mut open.told {
                told.reloads += 1;
                told.proof.add(id);
            }
            return;
        }
        let beneath = match record.module {
            "integrity" => {
                let last = (record.pid, named.device.clone());
                self.last_integrity.insert(head.host, last);
                None
            }
            "crypt" => self
                .last_integrity
                .get(&head.host)
                .filter(|(pid, device)| *pid == record.pid && *device != named.device)
                .map(|(_, device)| device.clone()),
            _ => None,
        };
        let mut open = self.begin(head, named, Some(id), who, users);
        open.tables = 1;
        open.beneath = beneath.map(Box::new);
        // Violations of a life whose constructor was not seen, and now another one: they were two.
        if let Some(old) = known.and_then(|at| self.open.remove(head.host, at)) {
            self.finish(old, head, None, Fate::Lives);
        }
        let order = open.told.as_ref().map(|told| told.order);
        let at = self.open.add(head.host, open);
        if let Some(order) = order {
            if self.naming.len() == NAMING {
                self.naming.pop();
            }
            self.naming.push((head.host, head.stamp), (at, order));
        }
    }

    fn dtr(&mut self, head: &Head<'_>, named: Named<'_>, users: &Users) {
        let id = Id::from(head.stamp);
        if self.had_failed(head, &named) {
            return;
        }
        let known = self.open.find(head.host, &named);
        let loaded = known.and_then(|at| self.open.at_mut(at));
        if let Some(open) = loaded.filter(|open| open.tables > 1) {
            if let Some(told) = &mut open.told {
                told.proof.add(id);
            }
            open.tables -= 1;
            return;
        }
        let open = match known.and_then(|at| self.open.remove(head.host, at)) {
            Some(open) => open,
            None => self.begin(head, named, None, None, users),
        };
        self.finish(open, head, Some(id), Fate::Destroyed);
    }

    /// Whether the constructor of the same event failed: one destructor for each.
    fn had_failed(&mut self, head: &Head<'_>, named: &Named<'_>) -> bool {
        let Some(failed) = self.failed.get_mut(&head.host) else {
            return false;
        };
        let found = failed.take_one(&(0, head.stamp), |(target, device)| {
            (&**target, device) == (named.target, &named.device)
        });
        if failed.is_empty() {
            self.failed.remove(&head.host);
        }
        found.is_some()
    }

    fn violation(
        &mut self,
        head: &Head<'_>,
        record: &Record<'_>,
        named: Named<'_>,
        users: &Users,
    ) -> Option<Device> {
        let id = Id::from(head.stamp);
        let (device, beneath) = self.open.above(head.host, record, &named);
        let by = named.device.clone();
        let named = Named {
            device: device.unwrap_or(named.device),
            ..named
        };
        let at = match self.open.find(head.host, &named) {
            Some(at) => at,
            None => {
                let mut open = self.begin(head, named, None, None, users);
                open.is_beneath = beneath;
                self.open.add(head.host, open)
            }
        };
        if !self.window.has(id.seconds) {
            return None;
        }
        let open = self.open.at_mut(at)?;
        if let Some(told) = &mut open.told {
            let more = told.violation(id, record, &by, || users.names.get(record.op));
            self.sectors = self.sectors.saturating_add_signed(more);
        }
        let device = (!open.is_beneath).then(|| open.device.clone());
        if self.sectors > self.room {
            self.coarsen();
        }
        device
    }

    /// The sectors take too much room: mappings that have more than others get by with less.
    fn coarsen(&mut self) {
        let lives = self.open.all_mut().flat_map(|open| &open.told);
        let sets: usize = lives.map(|told| told.found.len()).sum();
        let most = self.limit / 2 / Ranges::OF_MANY / sets.max(1);
        self.sectors = 0;
        for told in self.open.all_mut().flat_map(|open| &mut open.told) {
            for found in &mut told.found {
                found.sectors.coarsen(most.max(1));
            }
            self.sectors += told.sectors();
        }
        self.room = self.limit.max(2 * self.sectors);
    }

    /// The machine of `head` goes down or came up: nothing lives.
    fn down(&mut self, head: &Head<'_>) {
        while let Some(open) = self.open.pop(head.host) {
            self.finish(open, head, Some(Id::from(head.stamp)), Fate::Down);
        }
        self.failed.remove(&head.host);
        self.last_integrity.remove(&head.host);
    }

    /// The log ends: what lives, lives. Hands out each life that is told, and its place among all.
    ///
    /// # Errors
    ///
    /// What `each` returns.
    pub fn end(&mut self, mut each: impl FnMut(u64, Life) -> io::Result<()>) -> io::Result<()> {
        for (host, open) in std::mem::take(&mut self.open).into_all() {
            let node = self.nodes.known(host);
            if let Some((order, life)) = self.told(open, node, None, Fate::Lives) {
                each(order, life)?;
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        head: &Head<'_>,
        named: Named<'_>,
        start: Option<Id>,
        maker: Option<Who>,
        users: &Users,
    ) -> Open {
        let told = self.told.clone().map(|mut proof| {
            self.order += 1;
            // So that it is known in the end.
            self.nodes.of(head);
            start.into_iter().for_each(|id| proof.add(id));
            Box::new(Told {
                order: self.order,
                maker,
                name: None,
                start,
                reloads: 0,
                found: Vec::new(),
                proof,
            })
        });
        Open {
            target: users.names.get(named.target),
            device: named.device,
            tables: 0,
            beneath: None,
            is_beneath: false,
            told,
        }
    }

    fn finish(&mut self, open: Open, head: &Head<'_>, end: Option<Id>, fate: Fate) {
        if open.told.is_some() {
            let node = self.nodes.of(head);
            let life = self.told(open, node, end, fate);
            self.done.extend(life);
        }
    }

    /// What is told of `open`, which ended so, if anything.
    fn told(
        &mut self,
        open: Open,
        node: Option<Rc<str>>,
        end: Option<Id>,
        fate: Fate,
    ) -> Option<(u64, Life)> {
        self.sectors -= open.told.as_ref().map_or(0, |told| told.sectors());
        let (order, life) = open.life(node, end, fate)?;
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
        (!before && !after && !nothing).then_some((order, life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Parsed, head};

    /// Violations in `mappings` mappings, as many as `each` in each: how many distinct sectors were told, whether exactly,
    /// and the most bytes that sectors took.
    fn told(limit: usize, mappings: u64, each: u64) -> (Vec<(u64, bool)>, usize) {
        let options = Options::default();
        let mut lives = Lives {
            room: limit,
            limit,
            ..Lives::new(&options)
        };
        let mut most = 0;
        for number in 0..mappings * each {
            let (mapping, sector) = (number % mappings, number / mappings * 1000);
            let line = format!(
                "type=DM_EVENT msg=audit(1.000:{number}): module=integrity op=integrity-checksum dev=253:{mapping} \
                 sector={sector} res=0"
            );
            let Parsed::Record(head) = head::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            lives.record(&head, &options.users);
            most = most.max(lives.sectors);
        }
        let mut told = Vec::new();
        lives
            .end(|_, life| {
                told.push((life.sectors.distinct(), life.sectors.is_exact()));
                Ok(())
            })
            .expect("told");
        (told, most)
    }

    #[test]
    fn sectors_of_all_that_lives_have_an_end_and_what_fits_is_exact() {
        assert_eq!(told(1 << 20, 20, 200).0, vec![(200, true); 20]);
        let (told, most) = told(1 << 16, 20, 500);
        assert!(most <= (1 << 16) + 1024, "{most}");
        assert!(
            told.iter()
                .all(|&(distinct, exact)| distinct <= 500 && !exact)
        );
    }
}
