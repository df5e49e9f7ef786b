// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The mappings that live, and which of them stands on a device: found by index, however many live on however many
//! hosts.

use super::open::{Named, Open};
use super::record::Record;
use crate::record::by_host::{ByHost, Slot};
use crate::record::device::Device;
use crate::record::host::Host;
use dmns_audit_log::rules::{self, Dev};
use hashbrown::{Equivalent, HashMap};
use std::hash::Hash;
use std::rc::Rc;

/// Mappings, and violations of which no mapping is known.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    all: ByHost<Open>,
    /// Mappings with a loaded table, by host, target and the device below, if that is known.
    groups: HashMap<Group, Members>,
}

/// Mappings of a host that stand on the same device.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Group {
    host: Host,
    target: Rc<str>,
    below: Option<Box<Device>>,
}

/// The same, to look it up.
#[derive(Hash)]
struct GroupOf<'a> {
    host: Host,
    target: &'a str,
    below: Option<&'a Device>,
}

impl Equivalent<Group> for GroupOf<'_> {
    fn equivalent(&self, group: &Group) -> bool {
        (self.host, self.target, self.below) == (group.host, &*group.target, group.below.as_deref())
    }
}

/// Number of mappings, and the exclusive or of all slots: the slot of a single one.
#[derive(Debug, Default)]
struct Members {
    number: u32,
    places: Slot,
}

impl Mappings {
    /// Returns the slot of the mapping `named`.
    pub(super) fn find(&self, host: Host, named: &Named<'_>) -> Option<Slot> {
        self.all.find(host, &(named.target, &named.device))
    }

    pub(super) fn at_mut(&mut self, at: Slot) -> Option<&mut Open> {
        self.all.at_mut(at)
    }

    /// Keeps `open`, where no other is called so.
    pub(super) fn add(&mut self, host: Host, open: Open) -> Slot {
        let at = self.all.add(host, open);
        self.enter(host, at);
        at
    }

    pub(super) fn remove(&mut self, host: Host, at: Slot) -> Option<Open> {
        self.leave(host, at);
        self.all.remove(at)
    }

    /// Removes a mapping of `host`.
    pub(super) fn pop(&mut self, host: Host) -> Option<Open> {
        self.remove(host, self.all.last(host)?)
    }

    /// All, in no order.
    pub(super) fn into_all(self) -> impl Iterator<Item = (Host, Open)> {
        self.all.into_all()
    }

    /// All, to change them, but for what they are called and stand on.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Open> {
        self.all.all_mut()
    }

    /// The mapping there is one of its group, if its table is loaded.
    fn enter(&mut self, host: Host, at: Slot) {
        let Some(open) = self.all.at(at).filter(|open| open.tables > 0) else {
            return;
        };
        let group = Group {
            host,
            target: open.target.clone(),
            below: open.below.clone(),
        };
        let members = self.groups.entry(group).or_default();
        members.number += 1;
        members.places ^= at;
    }

    fn leave(&mut self, host: Host, at: Slot) {
        let Some(open) = self.all.at(at).filter(|open| open.tables > 0) else {
            return;
        };
        let group = GroupOf {
            host,
            target: &open.target,
            below: open.below.as_deref(),
        };
        if let Some(members) = self.groups.get_mut(&group) {
            members.number -= 1;
            members.places ^= at;
            if members.number == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// Returns the device of the mapping of a violation, if `record` names another one (`named`), and whether only the
    /// device below it is known.
    pub(super) fn above(
        &mut self,
        host: Host,
        record: &Record<'_>,
        named: &Named<'_>,
    ) -> (Option<Device>, bool) {
        let dev = rules::op(record.module, record.op).map_or(Dev::Mapped, |op| op.dev);
        if dev == Dev::Mapped {
            return (None, false);
        }
        let own = self.find(host, named);
        let own = own.filter(|at| self.all.at(*at).is_some_and(|open| open.tables > 0));
        if dev == Dev::Either && own.is_some() {
            return (None, false);
        }
        if let (Some(above), _) = self.only(host, named, Some(&named.device), own) {
            return (self.device(above), false);
        }
        match self.only(host, named, None, own) {
            (Some(above), _) => {
                // From the group with an unknown device below to another.
                self.leave(host, above);
                if let Some(open) = self.all.at_mut(above) {
                    open.below = Some(Box::new(named.device.clone()));
                }
                self.enter(host, above);
                (self.device(above), false)
            }
            // No mapping of the target is active: this may be the mapping itself, if it can be.
            (None, 0) if dev == Dev::Either => (None, false),
            _ => (None, true),
        }
    }

    fn device(&self, at: Slot) -> Option<Device> {
        self.all.at(at).map(|open| open.device.clone())
    }

    /// The only mapping of the target of `named` that stands on `below`, but for its `own`, if there is just one;
    /// and how many there are.
    fn only(
        &self,
        host: Host,
        named: &Named<'_>,
        below: Option<&Device>,
        own: Option<Slot>,
    ) -> (Option<Slot>, u32) {
        let group = GroupOf {
            host,
            target: named.target,
            below,
        };
        let Some(members) = self.groups.get(&group) else {
            return (None, 0);
        };
        let same = |at: &Slot| {
            self.all
                .at(*at)
                .is_some_and(|open| open.below.as_deref() == below)
        };
        let (number, places) = match own.filter(same) {
            Some(own) => (members.number - 1, members.places ^ own),
            None => (members.number, members.places),
        };
        ((number == 1).then_some(places), number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(target: &str, device: Device, tables: u32, below: Option<Device>) -> Open {
        Open {
            target: target.into(),
            device,
            tables,
            below: below.map(Box::new),
            is_below: false,
            details: None,
        }
    }

    /// A mapping in a list: host, target, device, the device below.
    type Kept = (Host, &'static str, Device, Option<Device>);

    /// The same, by looking at each mapping.
    fn above(
        all: &mut [Kept],
        host: Host,
        record: &Record<'_>,
        named: &Named<'_>,
    ) -> (Option<Device>, bool) {
        let dev = rules::op(record.module, record.op).map_or(Dev::Mapped, |op| op.dev);
        let of = |kept: &Kept| (kept.0, kept.1) == (host, named.target);
        let lifetimes = all.iter().any(|kept| of(kept) && kept.2 == named.device);
        if dev == Dev::Mapped || (dev == Dev::Either && lifetimes) {
            return (None, false);
        }
        let on = |wanted: Option<&Device>, all: &[Kept]| -> Vec<usize> {
            (0..all.len())
                .filter(|&at| of(&all[at]) && all[at].2 != named.device)
                .filter(|&at| all[at].3.as_ref() == wanted)
                .collect()
        };
        if let [only] = on(Some(&named.device), all)[..] {
            return (Some(all[only].2.clone()), false);
        }
        match on(None, all)[..] {
            [only] => {
                all[only].3 = Some(named.device.clone());
                (Some(all[only].2.clone()), false)
            }
            [] if dev == Dev::Either => (None, false),
            _ => (None, true),
        }
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_finds(
            ops in prop::collection::vec(
                (0u32..2, 0usize..3, 0u32..5, 0usize..4, prop::option::of(0u32..5)), 0..160),
        ) {
            let mut mappings = Mappings::default();
            let mut list: Vec<Kept> = Vec::new();
            for (host, target, device, what, below) in ops {
                let (module, op) = [("integrity", "integrity-checksum"), ("crypt", "integrity-aead"),
                                    ("verity", "verify-data")][target];
                let dev = format!("253:{device}");
                let record = Record { module, op, dev: &dev, ..Record::default() };
                let named = Named::by(&record);
                let is_it = |kept: &Kept| (kept.0, kept.1, &kept.2) == (host, module, &named.device);
                let known = mappings.find(host, &named);
                prop_assert_eq!(known.is_some(), list.iter().any(is_it));
                match what {
                    0 | 1 => {
                        if let Some(known) = known {
                            prop_assert!(mappings.remove(host, known).is_some());
                            list.retain(|kept| !is_it(kept));
                        }
                        if what == 0 {
                            let below = below.map(|minor| Device::Number(253, minor));
                            let device = named.device.clone();
                            mappings.add(host, open(module, device.clone(), 1, below.clone()));
                            list.push((host, module, device, below));
                        }
                    }
                    _ => prop_assert_eq!(
                        mappings.above(host, &record, &named),
                        above(&mut list, host, &record, &named)
                    ),
                }
            }
        }
    }
}
