// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Builds lifetimes of mappings from records.
//!
//! The kernel's quirks:
//!
//! - A constructor that fails is followed by a destructor of the same event. No mapping ended.
//! - A reload of a table is a `ctr`, followed by the `dtr` of the old table. The mapping stays active.
//! - In violations, crypt and verity name the device below the mapping. So does integrity in inline mode. The mapping
//!   above is found by the order of constructors, or because it is the only candidate. `cryptsetup luksOpen` creates
//!   the integrity device, then the crypt one, in one process.

use super::lifetime::{EndReason, Lifetime};
use super::mappings::Mappings;
use super::open::{Details, Named, Open};
use super::record::Record;
use crate::ranges::Ranges;
use crate::record::by_host::Slot;
use crate::record::command;
use crate::record::device::Device;
use crate::record::event::Serials;
use crate::record::host::Host;
use crate::record::nodes::Nodes;
use crate::record::pending::Pending;
use crate::record::users::Users;
use crate::record::value::Fields;
use crate::record::{Head, Type};
use crate::report::Options;
use crate::report::id::{Id, Proof, Who};
use crate::when::Window;
use dmns_audit_uapi::types::RecordType;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Maximum number of mappings that wait for their name.
const NAMING: usize = 1024;

/// Maximum number of command lines of other events that come meanwhile.
const OTHER: u32 = 8;

/// Maximum size of the sectors of all active mappings, in bytes. Beyond it, they are kept less exactly.
const SECTORS: usize = 16 << 20;

/// Maximum number of destructors with a constructor that may follow them in the log: the kernel keeps records that
/// auditd did not take, and writes them later.
const EARLY: usize = 256;

/// A lifetime that ended, and has no constructor so far.
#[derive(Debug)]
struct Early {
    host: Host,
    node: Option<Rc<str>>,
    open: Open,
    end: Id,
}

/// Lifetimes, active and ended.
#[derive(Debug)]
pub struct Lifetimes {
    window: Window,
    /// Lifetimes are reported, with their records or without. `None`: only the mapping of each violation is looked up,
    /// and nothing is counted.
    details: Option<Proof>,
    open: Mappings,
    /// Lifetimes that ended without a constructor, oldest first.
    early: VecDeque<Early>,
    /// Failed constructors that wait for their destructor.
    failed: HashMap<Host, Pending<(Rc<str>, Device)>>,
    /// The newest integrity device of a host, and the process that created it.
    last_integrity: HashMap<Host, (Option<i32>, Device)>,
    /// Mappings that wait for the command line of their event: slot, and place among all.
    naming: Pending<(Slot, u64)>,
    /// Command lines of other events since the last of these mappings.
    others: u32,
    nodes: Nodes,
    serials: Serials,
    order: u64,
    /// Size of the sectors of active mappings in bytes, and its maximum.
    sectors: usize,
    room: usize,
    /// Size that they are reduced to beyond the maximum.
    limit: usize,
    /// Any record was seen.
    pub any: bool,
    /// Ended lifetimes, with their place among all.
    pub done: Vec<(u64, Lifetime)>,
}

impl Lifetimes {
    /// Creates a collection of lifetimes that overlap the period of `options`, and of violations within it.
    pub fn new(options: &Options) -> Self {
        Self {
            details: Some(Proof::new(options.proof)),
            ..Self::mappings(options.window)
        }
    }

    /// Creates a collection that only looks up the mapping of a violation, with nothing counted or [`Lifetimes::done`].
    pub fn mappings(window: Window) -> Self {
        Self {
            window,
            details: None,
            open: Mappings::default(),
            early: VecDeque::new(),
            failed: HashMap::new(),
            last_integrity: HashMap::new(),
            naming: Pending::default(),
            others: 0,
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

    /// Takes a record of any type. Returns the mapped device of a violation.
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

    /// Returns whether a command line may name a mapping.
    pub fn is_naming(&self) -> bool {
        !self.naming.is_empty()
    }

    /// Takes the command line of an event.
    fn title(&mut self, head: &Head<'_>) {
        let waiting = self.naming.take(&(head.host, head.stamp), |_| true);
        if waiting.is_empty() {
            self.others += 1;
            if self.others > OTHER {
                self.naming = Pending::default();
            }
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
            if let Some(details) = open
                .details
                .as_mut()
                .filter(|details| details.order == order)
            {
                details.name = command::mapping(&argv, &target);
            }
        }
    }

    /// Takes a record of device mapper, parsed as `record` from `fields`. Returns the mapped device of a violation.
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
                    .details
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
            self.finish(
                open,
                head,
                Some(id),
                EndReason::Failed(record.error.to_owned()),
            );
            return;
        }
        if let Some(early) = self.ended_before(head, &named) {
            return self.starts(early, id, who);
        }
        let known = self.open.find(head.host, &named);
        let loaded = known.and_then(|at| self.open.at_mut(at));
        if let Some(open) = loaded.filter(|open| open.tables > 0) {
            open.tables += 1;
            if let Some(details) = &mut open.details {
                details.reloads += 1;
                details.proof.add(id);
            }
            return;
        }
        let below = match record.module {
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
        open.below = below.map(Box::new);
        // Violations of a lifetime without a constructor, and now a constructor: these are two lifetimes.
        if let Some(old) = known.and_then(|at| self.open.remove(head.host, at)) {
            self.finish(old, head, None, EndReason::Active);
        }
        let order = open.details.as_ref().map(|details| details.order);
        let at = self.open.add(head.host, open);
        if let Some(order) = order {
            if self.naming.len() == NAMING {
                self.naming.pop();
            }
            self.naming.push((head.host, head.stamp), (at, order));
            self.others = 0;
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
            if let Some(details) = &mut open.details {
                details.proof.add(id);
            }
            open.tables -= 1;
            return;
        }
        let open = match known.and_then(|at| self.open.remove(head.host, at)) {
            Some(open) => open,
            None => self.begin(head, named, None, None, users),
        };
        let starts = open.details.as_ref().map(|details| details.start.is_some());
        if starts != Some(false) {
            return self.finish(open, head, Some(id), EndReason::Deleted);
        }
        self.early.push_back(Early {
            host: head.host,
            node: self.nodes.of(head),
            open,
            end: id,
        });
        if self.early.len() > EARLY {
            self.oldest_has_no_start();
        }
    }

    /// Takes the lifetime of `named` that ended after its constructor `head`, which comes later in the log.
    fn ended_before(&mut self, head: &Head<'_>, named: &Named<'_>) -> Option<Early> {
        let at = self.early_of(head, named)?;
        self.early.remove(at)
    }

    /// The constructor of `early` has the identifier `id`.
    fn starts(&mut self, mut early: Early, id: Id, who: Option<Who>) {
        if let Some(details) = &mut early.open.details {
            details.start = Some(id);
            details.maker = who;
            details.proof.add(id);
        }
        let (node, end) = (early.node, Some(early.end));
        let lifetime = self.details(early.open, node, end, EndReason::Deleted);
        self.done.extend(lifetime);
    }

    /// The constructor of the oldest lifetime without one does not follow.
    fn oldest_has_no_start(&mut self) {
        if let Some(Early {
            node, open, end, ..
        }) = self.early.pop_front()
        {
            let lifetime = self.details(open, node, Some(end), EndReason::Deleted);
            self.done.extend(lifetime);
        }
    }

    /// Returns whether the constructor of the same event failed. Each has one destructor.
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
        let (device, below) = self.open.above(head.host, record, &named);
        let by = named.device.clone();
        let named = Named {
            device: device.unwrap_or(named.device),
            ..named
        };
        let at = match self.open.find(head.host, &named) {
            Some(at) => at,
            None if self.is_in_early(head, record, &named, &by, users) => {
                return (!below).then_some(named.device);
            }
            None => {
                let mut open = self.begin(head, named, None, None, users);
                open.is_below = below;
                self.open.add(head.host, open)
            }
        };
        if !self.window.has(id.seconds) {
            return None;
        }
        let open = self.open.at_mut(at)?;
        if let Some(details) = &mut open.details {
            let more = details.violation(id, record, &by, || users.names.get(record.op));
            self.sectors = self.sectors.saturating_add_signed(more);
        }
        let device = (!open.is_below).then(|| open.device.clone());
        if self.sectors > self.room {
            self.coarsen();
        }
        device
    }

    /// Adds a violation to the lifetime that ended after it, and earlier in the log. Returns whether there is one.
    fn is_in_early(
        &mut self,
        head: &Head<'_>,
        record: &Record<'_>,
        named: &Named<'_>,
        by: &Device,
        users: &Users,
    ) -> bool {
        let id = Id::from(head.stamp);
        let Some(at) = self.early_of(head, named) else {
            return false;
        };
        if let (Some(details), true) = (
            &mut self.early[at].open.details,
            self.window.has(id.seconds),
        ) {
            let more = details.violation(id, record, by, || users.names.get(record.op));
            self.sectors = self.sectors.saturating_add_signed(more);
        }
        true
    }

    /// Returns the place of the lifetime of `named` that ended after `head`, and earlier in the log.
    fn early_of(&self, head: &Head<'_>, named: &Named<'_>) -> Option<usize> {
        let id = Id::from(head.stamp);
        self.early.iter().rposition(|early| {
            early.host == head.host
                && id <= early.end
                && *early.open.target == *named.target
                && early.open.device == named.device
        })
    }

    /// Reduces the sectors of the mappings that have the most.
    fn coarsen(&mut self) {
        let lifetimes = self.open.all_mut().flat_map(|open| &open.details);
        let sets: usize = lifetimes.map(|details| details.found.len()).sum();
        let most = self.limit / 2 / Ranges::OF_MANY / sets.max(1);
        self.sectors = 0;
        for details in self.open.all_mut().flat_map(|open| &mut open.details) {
            for found in &mut details.found {
                found.sectors.coarsen(most.max(1));
            }
            self.sectors += details.sectors();
        }
        self.room = self.limit.max(2 * self.sectors);
    }

    /// Ends all lifetimes of the host of `head`, which went down or came up.
    fn down(&mut self, head: &Head<'_>) {
        while self.early.iter().any(|early| early.host == head.host) {
            self.oldest_has_no_start();
        }
        while let Some(open) = self.open.pop(head.host) {
            self.finish(open, head, Some(Id::from(head.stamp)), EndReason::Down);
        }
        self.failed.remove(&head.host);
        self.last_integrity.remove(&head.host);
    }

    /// Takes the end of the log. Calls `each` with each active lifetime to report, and its place among all.
    ///
    /// # Errors
    ///
    /// Returns the errors of `each`.
    pub fn end(&mut self, mut each: impl FnMut(u64, Lifetime) -> io::Result<()>) -> io::Result<()> {
        while !self.early.is_empty() {
            self.oldest_has_no_start();
        }
        for (order, lifetime) in self.done.drain(..) {
            each(order, lifetime)?;
        }
        for (host, open) in std::mem::take(&mut self.open).into_all() {
            let node = self.nodes.known(host);
            if let Some((order, lifetime)) = self.details(open, node, None, EndReason::Active) {
                each(order, lifetime)?;
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
        let details = self.details.clone().map(|mut proof| {
            self.order += 1;
            // So that it is known in the end.
            self.nodes.of(head);
            start.into_iter().for_each(|id| proof.add(id));
            Box::new(Details {
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
            below: None,
            is_below: false,
            details,
        }
    }

    fn finish(&mut self, open: Open, head: &Head<'_>, end: Option<Id>, end_reason: EndReason) {
        if open.details.is_some() {
            let node = self.nodes.of(head);
            let lifetime = self.details(open, node, end, end_reason);
            self.done.extend(lifetime);
        }
    }

    /// Returns the lifetime of `open`, which ended so, if it is reported.
    fn details(
        &mut self,
        open: Open,
        node: Option<Rc<str>>,
        end: Option<Id>,
        end_reason: EndReason,
    ) -> Option<(u64, Lifetime)> {
        self.sectors -= open.details.as_ref().map_or(0, |details| details.sectors());
        let (order, lifetime) = open.lifetime(node, end, end_reason)?;
        let window = self.window;
        let before = lifetime.end.is_some_and(|end| {
            window
                .start
                .is_some_and(|start| (end.seconds as i64) < start)
        });
        let after = lifetime
            .start
            .is_some_and(|begin| window.end.is_some_and(|end| begin.seconds as i64 > end));
        // A lifetime without a constructor and without a destructor is only its violations.
        let seen = lifetime.start.is_some() || lifetime.end_reason == EndReason::Deleted;
        let nothing = !seen && lifetime.violations == 0;
        (!before && !after && !nothing).then_some((order, lifetime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Parsed, head};

    /// Takes `each` violations in each of `mappings` mappings. Returns the distinct sectors of each, whether they are
    /// exact, and the maximum size of the sectors.
    fn details(limit: usize, mappings: u64, each: u64) -> (Vec<(u64, bool)>, usize) {
        let options = Options::default();
        let mut lifetimes = Lifetimes {
            room: limit,
            limit,
            ..Lifetimes::new(&options)
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
            lifetimes.record(&head, &options.users);
            most = most.max(lifetimes.sectors);
        }
        let mut details = Vec::new();
        lifetimes
            .end(|_, lifetime| {
                details.push((lifetime.sectors.distinct(), lifetime.sectors.is_exact()));
                Ok(())
            })
            .expect("details");
        (details, most)
    }

    #[test]
    fn sectors_of_active_mappings_are_bounded_and_exact_below_the_bound() {
        assert_eq!(details(1 << 20, 20, 200).0, vec![(200, true); 20]);
        let (details, most) = details(1 << 16, 20, 500);
        assert!(most <= (1 << 16) + 1024, "{most}");
        assert!(
            details
                .iter()
                .all(|&(distinct, exact)| distinct <= 500 && !exact)
        );
    }
}
