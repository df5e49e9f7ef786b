// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Violations in devices that are disks of guests.
//!
//! A device may be below the disks of thousands of guests. So a violation is kept once, in the newest epoch of its
//! device. An epoch begins when a guest gets the device, if the one before has violations. A guest's violations are
//! those of the epochs since it got the device.

use super::super::row::{Relation, Violations};
use super::small_map::SmallMap;
use crate::record::by_host::Slot;
use crate::record::device::Device;
use crate::record::host::Host;
use crate::report::id::{Id, Proof};
use hashbrown::{Equivalent, HashMap};
use std::rc::Rc;

/// A device of a guest.
#[derive(Debug)]
pub(crate) struct Hold {
    /// The key of the device: `253:0`, or `dm-0`.
    pub(crate) key: Device,
    /// The guest's disk.
    pub(crate) path: Rc<str>,
    /// The relation of the two.
    pub(crate) relation: Relation,
    /// Its number.
    pub(crate) number: u64,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Epoch {
    /// Number of guests that have had the device since its beginning.
    holds: u32,
    /// In the order in which it was found; path and relation are those of no guest.
    found: Vec<(u64, Violations)>,
}

#[derive(Debug, Default)]
struct Held {
    /// By number: the newest is the last.
    epochs: SmallMap<Epoch>,
    /// Guests that have it, in the order in which they got it.
    guests: SmallMap<Slot>,
}

/// A device and its host, to look it up.
#[derive(Hash)]
struct On<'a>(Host, &'a Device);

impl Equivalent<(Host, Device)> for On<'_> {
    fn equivalent(&self, key: &(Host, Device)) -> bool {
        (self.0, self.1) == (key.0, &key.1)
    }
}

/// The devices that guests have.
#[derive(Debug)]
pub(crate) struct Devices {
    devices: HashMap<(Host, Device), Held>,
    /// Number of devices known by their minor number only.
    minors: usize,
    next: u64,
    /// No disk.
    none: Rc<str>,
    /// No event, kept or not.
    proof: Proof,
}

impl Devices {
    /// Creates an empty set. `proof`: violations keep their events.
    pub(crate) fn new(proof: bool) -> Self {
        Self {
            devices: HashMap::new(),
            minors: 0,
            next: 0,
            none: "".into(),
            proof: Proof::new(proof),
        }
    }

    /// The guest at `at` on `host` has the device `key` from now on.
    pub(crate) fn hold(
        &mut self,
        host: Host,
        key: Device,
        path: Rc<str>,
        relation: Relation,
        at: Slot,
    ) -> Hold {
        self.next += 1;
        let before = self.devices.len();
        let held = self.devices.entry((host, key.clone())).or_default();
        held.guests.add(self.next, at);
        let newest = held.epochs.last();
        let epoch = match newest.filter(|(_, epoch)| epoch.found.is_empty()) {
            Some((number, _)) => number,
            None => {
                held.epochs.add(self.next, Epoch::default());
                self.next
            }
        };
        if let Some(epoch) = held.epochs.get_mut(epoch) {
            epoch.holds += 1;
        }
        if self.devices.len() > before && key.is_minor() {
            self.minors += 1;
        }
        Hold {
            key,
            path,
            relation,
            number: self.next,
            epoch,
        }
    }

    /// A guest on `host` no longer has a device: what was found in it meanwhile, and when that began.
    pub(crate) fn release(&mut self, host: Host, hold: Hold) -> Vec<(u64, Violations)> {
        let Some(held) = self.devices.get_mut(&On(host, &hold.key)) else {
            return Vec::new();
        };
        held.guests.remove(hold.number);
        let mut all: Vec<(u64, Violations)> = Vec::new();
        for (since, found) in held
            .epochs
            .from(hold.epoch)
            .flat_map(|(_, epoch)| &epoch.found)
        {
            merge(&mut all, *since, found);
        }
        for (_, found) in &mut all {
            found.path.clone_from(&hold.path);
            found.relation = hold.relation;
        }
        held.forget(hold.epoch);
        if held.guests.is_empty() {
            self.devices.remove(&On(host, &hold.key));
            self.minors -= usize::from(hold.key.is_minor());
        }
        all
    }

    /// A violation was found in `device` on `host`: `253:0`.
    pub(crate) fn violation(&mut self, host: Host, device: &Device, id: Id, sector: Option<u64>) {
        self.next += 1;
        let now = self.next;
        let minor = self.minor(device);
        for key in [Some(device), minor.as_ref()].into_iter().flatten() {
            let known = self.devices.get_mut(&On(host, key));
            if let Some(epoch) = known.and_then(|held| held.epochs.last_mut()) {
                let none = || Violations::none(device, &self.none, &self.proof);
                epoch.add(now, device, none, id, sector);
            }
        }
    }

    /// Returns the guests that have `device` on `host`, with the [`Hold::number`] of each.
    pub(crate) fn holders(&self, host: Host, device: &Device) -> impl Iterator<Item = (u64, Slot)> {
        let minor = self.minor(device);
        let minor = minor.and_then(|minor| self.devices.get(&On(host, &minor)));
        let held = self.devices.get(&On(host, device)).into_iter().chain(minor);
        held.flat_map(|held| held.guests.iter().map(|(number, at)| (number, *at)))
    }

    /// Returns the key of `device` by minor number; `None` if no device is known so.
    fn minor(&self, device: &Device) -> Option<Device> {
        if self.minors == 0 {
            return None;
        }
        match device {
            Device::Number(_, minor) => Some(Device::by_minor(&minor.to_string())),
            Device::Text(text) => Some(Device::by_minor(text.split_once(':')?.1)),
        }
    }
}

impl Held {
    /// One guest less has had the device since `epoch`. If that was the last, whoever needs that epoch needs the
    /// one before too.
    fn forget(&mut self, epoch: u64) {
        let Some(of) = self.epochs.get_mut(epoch) else {
            return;
        };
        of.holds -= 1;
        if of.holds > 0 {
            return;
        }
        let Some(of) = self.epochs.remove(epoch) else {
            return;
        };
        if let Some(before) = self.epochs.before_mut(epoch) {
            for (since, found) in &of.found {
                merge(&mut before.found, *since, found);
            }
        }
    }
}

impl Epoch {
    fn add(
        &mut self,
        now: u64,
        device: &Device,
        none: impl FnOnce() -> Violations,
        id: Id,
        sector: Option<u64>,
    ) {
        let at = self.found.iter().position(|(_, f)| f.device == *device);
        let at = match at {
            Some(at) => at,
            None => {
                // Mostly it is the only one.
                self.found.reserve_exact(1);
                self.found.push((now, none()));
                self.found.len() - 1
            }
        };
        let found = &mut self.found[at].1;
        found.count += 1;
        found.proof.add(id);
        found.sectors.extend(sector);
    }
}

/// Adds what was `found` to what was found before.
pub(crate) fn merge(all: &mut Vec<(u64, Violations)>, since: u64, found: &Violations) {
    match all.iter_mut().find(|(_, f)| f.device == found.device) {
        Some((_, known)) => {
            known.count += found.count;
            known.sectors.merge(&found.sectors);
            known.proof.extend(&found.proof);
        }
        None => all.push((since, found.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Hold(u8),
        Release(usize),
        Violation(u8, u64),
    }

    fn name(device: u8) -> Device {
        Device::Number(253, device.into())
    }

    /// Keys of the guest's devices: the last is known by its minor number only.
    fn key(device: u8) -> Device {
        match device {
            2 => Device::by_minor("2"),
            device => name(device),
        }
    }

    proptest! {
        /// Compares with a list for each guest.
        #[test]
        fn each_guest_has_the_violations_found_while_it_had_the_device(
            ops in prop::collection::vec(prop_oneof![
                3 => (0u8..3).prop_map(Op::Hold),
                2 => (0usize..9).prop_map(Op::Release),
                4 => (0u8..3, 0u64..40).prop_map(|(device, sector)| Op::Violation(device, sector)),
            ], 0..120),
        ) {
            let mut devices = Devices::new(true);
            let mut held: Vec<(Hold, Vec<(u64, Violations)>)> = Vec::new();
            for (serial, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Hold(device) => {
                        let hold = devices.hold(0, key(device), "/disk".into(), Relation::Same, 0);
                        held.push((hold, Vec::new()));
                    }
                    Op::Release(at) if at < held.len() => {
                        let (hold, own) = held.remove(at);
                        let entry: Vec<_> = devices.release(0, hold).into_iter().map(|(_, v)| v).collect();
                        let own: Vec<_> = own.into_iter().map(|(_, v)| v).collect();
                        prop_assert_eq!(entry, own);
                    }
                    Op::Release(_) => {}
                    Op::Violation(device, sector) => {
                        let id = Id { seconds: 1, millis: 0, serial: serial as u64 };
                        let (device, key) = (name(device), key(device));
                        devices.violation(0, &device, id, Some(sector));
                        for (hold, own) in held.iter_mut().filter(|(hold, _)| hold.key == key) {
                            let mut found = Violations::none(&device, &hold.path, &Proof::new(true));
                            found.count = 1;
                            found.sectors.insert(sector);
                            found.proof.add(id);
                            merge(own, 0, &found);
                        }
                        let holders = devices.holders(0, &device).count();
                        prop_assert_eq!(holders, held.iter().filter(|(hold, _)| hold.key == key).count());
                    }
                }
            }
            for (hold, _) in held {
                devices.release(0, hold);
            }
            prop_assert!(devices.devices.is_empty(), "nothing is kept that nobody has");
            prop_assert_eq!(devices.minors, 0);
        }
    }
}
