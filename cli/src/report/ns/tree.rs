// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Builds namespaces from records, and maps numbers to active namespaces.

use super::namespace::Namespace;
use crate::record::event::Serials;
use crate::record::host::{Host, PerHost};
use crate::record::nodes::Nodes;
use crate::record::pending::Pending;
use crate::record::users::Users;
use crate::record::value::{Fields, decoded};
use crate::record::{Head, Type};
use crate::report::id::{Id, Who};
use dmns_audit_uapi::ns::Kind;
use hashbrown::HashMap;
use std::collections::{BTreeSet, VecDeque};
use std::io;

/// Maximum number of creations that wait for their SYSCALL.
const MOST: usize = 4096;

/// Maximum number of deletions with a creation that may follow them in the log: the kernel keeps
/// records that auditd did not take, and writes them later.
const EARLY: usize = 4096;

/// Active namespaces of a host, by place.
#[derive(Debug, Default)]
struct Living {
    by_id: HashMap<u64, u64>,
    by_number: HashMap<(Kind, i32), u64>,
}

/// A namespace that is active, or not reported yet.
#[derive(Debug)]
struct Kept {
    namespace: Namespace,
    host: Host,
    /// Its creation waits for its SYSCALL.
    waits: bool,
    /// It ended, and its creation may follow in the log.
    early: bool,
}

/// All active namespaces.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Nodes,
    living: PerHost<Living>,
    kept: HashMap<u64, Box<Kept>>,
    /// All of [`Tree::kept`], by host.
    of_host: BTreeSet<(Host, u64)>,
    serials: Serials,
    /// Creations that wait for their SYSCALL, which has the program.
    waiting: Pending<u64>,
    /// Namespaces that ended with the last record, and can still be looked up.
    ended: Vec<u64>,
    /// Namespaces that ended without a creation, by host and id; oldest first.
    early: HashMap<(Host, u64), u64>,
    oldest: VecDeque<(Host, u64)>,
    order: u64,
}

/// Fields of a namespace record.
#[derive(Default)]
struct Values {
    number: Option<i32>,
    old: Option<i32>,
    initial: bool,
    id: Option<u64>,
}

fn values(kind: Kind, record: &Fields<'_>) -> Values {
    let mut values = Values::default();
    for field in record.fields() {
        let name = field.name.strip_suffix("ns").unwrap_or_default();
        match name.strip_prefix("old_") {
            Some(old) if old == kind.name() => {
                values.initial = field.value == "(none)";
                values.old = field.value.parse().ok();
            }
            None if name == kind.name() => values.number = field.value.parse().ok(),
            _ if field.name == "ns_id" => values.id = field.value.parse().ok(),
            _ => {}
        }
    }
    values
}

impl Tree {
    /// Returns the namespace at the place `order`, if it is active or ended just now.
    pub fn get(&self, order: u64) -> Option<&Namespace> {
        self.kept.get(&order).map(|kept| &kept.namespace)
    }

    /// Returns the same, mutable.
    pub(super) fn get_mut(&mut self, order: u64) -> Option<&mut Namespace> {
        self.kept.get_mut(&order).map(|kept| &mut kept.namespace)
    }

    /// Returns whether a creation waits for its SYSCALL.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns the active namespace of `head`'s host with this id.
    pub(super) fn with_id(&mut self, head: &Head<'_>, id: u64) -> Option<u64> {
        self.living.of(head.host).by_id.get(&id).copied()
    }

    /// Returns the one with this kind and number, if it is known.
    pub(super) fn known(&mut self, head: &Head<'_>, kind: Kind, number: i32) -> Option<u64> {
        let living = self.living.of(head.host);
        living.by_number.get(&(kind, number)).copied()
    }

    /// Takes an `NS_INIT_*`. Returns the namespace.
    pub fn created(&mut self, kind: Kind, head: &Head<'_>, users: &Users) -> Option<u64> {
        let record = Fields::of(head);
        let Values {
            number,
            old,
            initial,
            id,
        } = values(kind, &record);
        let number = number?;
        self.boots(head);
        // The module was loaded again: the initial ones are recorded again.
        if let Some(known) = id.and_then(|id| self.with_id(head, id)) {
            if initial {
                return Some(known);
            }
        }
        let parent = old.map(|old| self.with_number(head, kind, old));
        if let Some(order) = id.and_then(|id| self.created_late(head, id)) {
            self.starts(order, parent, head, &record, users);
            return Some(order);
        }
        let mut namespace = Namespace::new(self.next(), kind, number, self.nodes.of(head));
        if let Some(parent) = parent.and_then(|parent| self.get_mut(parent)) {
            namespace.descends_from(parent);
        }
        namespace.id = id;
        // A namespace of the baseline that is not initial was created before the log begins.
        namespace.initial = initial && number < 0;
        if namespace.initial || !initial {
            namespace.start = Some(Id::from(head.stamp));
            namespace.maker = Some(Who::of(head, record.fields(), users));
        }
        let order = self.add(head, namespace);
        if !initial {
            self.waits(order, head);
        }
        Some(order)
    }

    /// The creation of `order` waits for its SYSCALL.
    fn waits(&mut self, order: u64, head: &Head<'_>) {
        self.waiting.push((head.host, head.stamp), order);
        if let Some(kept) = self.kept.get_mut(&order) {
            kept.waits = true;
        }
    }

    /// Returns the namespace `id` if its deletion came before its creation `head`.
    fn created_late(&mut self, head: &Head<'_>, id: u64) -> Option<u64> {
        let order = *self.early.get(&(head.host, id))?;
        let end = self.get(order)?.end?;
        (Id::from(head.stamp) <= end).then_some(order)
    }

    /// Takes the creation `head` of the namespace `order`, which has ended.
    fn starts(
        &mut self,
        order: u64,
        parent: Option<u64>,
        head: &Head<'_>,
        record: &Fields<'_>,
        users: &Users,
    ) {
        let mut parent = parent.and_then(|parent| self.get(parent)).cloned();
        let Some(kept) = self.kept.get_mut(&order) else {
            return;
        };
        kept.early = false;
        let namespace = &mut kept.namespace;
        if let Some(parent) = &mut parent {
            namespace.descends_from(parent);
        }
        namespace.start = Some(Id::from(head.stamp));
        namespace.maker = Some(Who::of(head, record.fields(), users));
        if let Some(id) = namespace.id {
            self.early.remove(&(head.host, id));
        }
        self.waits(order, head);
    }

    /// Takes an `NS_DEL_*`. Returns the namespace.
    pub fn deleted(&mut self, kind: Kind, head: &Head<'_>, users: &Users) -> Option<u64> {
        let record = Fields::of(head);
        let Values { number, id, .. } = values(kind, &record);
        let number = number?;
        self.boots(head);
        let living = self.living.of(head.host);
        let known = id.and_then(|id| living.by_id.remove(&id));
        let at = living.by_number.get(&(kind, number)).copied();
        // Made before the log begins: perhaps already known as an ancestor.
        let unnamed = at.filter(|at| self.get(*at).is_some_and(|known| known.id.is_none()));
        let order = match known.or(unnamed) {
            Some(order) => order,
            None => {
                let namespace = Namespace::new(self.next(), kind, number, self.nodes.of(head));
                self.add(head, namespace)
            }
        };
        let living = self.living.of(head.host);
        if living.by_number.get(&(kind, number)) == Some(&order) {
            living.by_number.remove(&(kind, number));
        }
        let who = Who::of(head, record.fields(), users);
        if let Some(namespace) = self.get_mut(order) {
            namespace.id = id.or(namespace.id);
            namespace.end = Some(Id::from(head.stamp));
            namespace.deleter = Some(who);
        }
        self.ended.push(order);
        if let (None, Some(id)) = (known, id) {
            self.may_start_late(head.host, id, order);
        }
        Some(order)
    }

    /// The namespace `order` ended, and its creation may follow.
    fn may_start_late(&mut self, host: Host, id: u64, order: u64) {
        if let Some(kept) = self.kept.get_mut(&order) {
            kept.early = true;
        }
        self.early.insert((host, id), order);
        self.oldest.push_back((host, id));
        while self.oldest.len() > EARLY {
            let oldest = self.oldest.pop_front();
            let order = oldest.and_then(|oldest| self.early.remove(&oldest));
            if let Some(kept) = order.and_then(|order| self.kept.get_mut(&order)) {
                kept.early = false;
                self.ended.extend(order);
            }
        }
    }

    /// Takes an `NS_INFO`, and returns its namespaces. `count`: the event counts as one inside them.
    pub fn info(&mut self, head: &Head<'_>, count: bool) -> Vec<u64> {
        let record = Fields::of(head);
        self.boots(head);
        let mut seen = Vec::new();
        for field in record.fields() {
            let name = field.name.strip_suffix("ns").unwrap_or_default();
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            if let (Some(kind), Ok(number)) = (kind, field.value.parse()) {
                let order = self.with_number(head, kind, number);
                if let Some(namespace) = self.get_mut(order) {
                    namespace.events += u64::from(count);
                }
                seen.push(order);
            }
        }
        seen
    }

    /// Takes the system call of an event. Returns the namespaces that it created.
    pub fn syscall(&mut self, head: &Head<'_>, users: &Users) -> Vec<u64> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let event = (head.host, head.stamp);
        let created = self.waiting.take(&event, |_| true);
        let record = Fields::of(head);
        for order in &created {
            self.resolved(*order);
            let Some(maker) = self.get_mut(*order).and_then(|made| made.maker.as_mut()) else {
                continue;
            };
            maker.runs(users, |subject| {
                for field in record.fields() {
                    match field.name {
                        "comm" => subject.comm = users.names.get(&decoded(field.value)),
                        "exe" => subject.exe = users.names.get(&decoded(field.value)),
                        _ => {}
                    }
                }
            });
        }
        created
    }

    /// Takes a creation that has waited too long at the second `now`: it has no SYSCALL.
    pub(super) fn overdue(&mut self, now: u64) -> Option<u64> {
        let order = match self.waiting.len() > MOST {
            true => self.waiting.pop(),
            false => self.waiting.overdue(now),
        }?;
        self.resolved(order);
        Some(order)
    }

    /// Ends the wait of `order`; if it ended meanwhile, it can be reported.
    fn resolved(&mut self, order: u64) {
        if let Some(kept) = self.kept.get_mut(&order) {
            kept.waits = false;
            if kept.namespace.end.is_some() {
                self.ended.push(order);
            }
        }
    }

    /// Ends all namespaces of a host that goes down or came up.
    pub fn down(&mut self, head: &Head<'_>) {
        if self.serials.began_anew(head) || head.ty == Type::SystemShutdown {
            self.ends(head);
        }
    }

    fn ends(&mut self, head: &Head<'_>) {
        *self.living.of(head.host) = Living::default();
        self.early.retain(|(host, _), _| *host != head.host);
        self.oldest.retain(|(host, _)| *host != head.host);
        let id = Id::from(head.stamp);
        for (_, order) in self.of_host.range((head.host, 0)..=(head.host, u64::MAX)) {
            let Some(kept) = self.kept.get_mut(order) else {
                continue;
            };
            if kept.namespace.end.is_none() {
                kept.namespace.end = Some(id);
                kept.namespace.down = true;
                self.ended.push(*order);
            }
            // Ids begin anew too.
            if std::mem::take(&mut kept.early) {
                self.ended.push(*order);
            }
        }
    }

    /// Ends all namespaces of `head`'s host if its serial numbers began anew: it has booted.
    fn boots(&mut self, head: &Head<'_>) {
        if self.serials.began_anew(head) {
            self.ends(head);
        }
    }

    /// Returns the namespace with `number`; an older one than the log, if none is known.
    fn with_number(&mut self, head: &Head<'_>, kind: Kind, number: i32) -> u64 {
        match self.known(head, kind, number) {
            Some(order) => order,
            None => {
                let namespace = Namespace::new(self.next(), kind, number, self.nodes.of(head));
                self.add(head, namespace)
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn add(&mut self, head: &Head<'_>, namespace: Namespace) -> u64 {
        let order = namespace.order;
        let living = self.living.of(head.host);
        if let Some(id) = namespace.id {
            living.by_id.insert(id, order);
        }
        let number = (namespace.kind(), namespace.number);
        living.by_number.insert(number, order);
        self.of_host.insert((head.host, order));
        let kept = Kept {
            namespace,
            host: head.host,
            waits: false,
            early: false,
        };
        self.kept.insert(order, Box::new(kept));
        order
    }

    /// Takes the namespaces that ended before this record. The last value is false for a namespace
    /// that is taken again, since its creation may follow.
    pub(super) fn take_ended(&mut self) -> Vec<(Host, Namespace, bool)> {
        let mut taken = Vec::new();
        for order in std::mem::take(&mut self.ended) {
            match self.kept.get(&order) {
                Some(kept) if kept.waits => continue,
                Some(kept) if kept.early => {
                    taken.push((kept.host, kept.namespace.clone(), false));
                    continue;
                }
                _ => {}
            }
            if let Some(kept) = self.kept.remove(&order) {
                self.of_host.remove(&(kept.host, order));
                taken.push((kept.host, kept.namespace, true));
            }
        }
        taken
    }

    /// Takes the end of the log. Calls `each` with the remaining namespaces, in order of creation.
    pub(super) fn end(
        &mut self,
        mut each: impl FnMut(&Namespace) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left: Vec<u64> = self.kept.keys().copied().collect();
        left.sort_unstable();
        left.iter()
            .filter_map(|order| self.kept.remove(order))
            .try_for_each(|kept| each(&kept.namespace))
    }
}
