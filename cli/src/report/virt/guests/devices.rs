// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is found in the devices that are disks of guests.
//!
//! A device may be beneath the disks of thousands of guests, so a violation is written down once, with the device:
//! in its newest epoch. An epoch begins where a guest gets the device and something was found since the one before.
//! What was found while the guest had it is what is in the epochs since.

use super::super::disks::{by_minor, is_minor};
use super::super::row::{Tie, Violations};
use crate::report::id::Id;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::rc::Rc;

/// That a guest has a device.
#[derive(Debug)]
pub(crate) struct Hold {
    /// What the device is found by: `253:0`, or `dm-0`.
    pub(crate) key: String,
    /// The guest's disk.
    pub(crate) path: Rc<str>,
    /// How the two are tied.
    pub(crate) tie: Tie,
    /// Which one this is.
    pub(crate) number: u64,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Epoch {
    /// How many guests have had the device since its beginning.
    holds: u32,
    /// In the order in which it was found; path and tie are those of no guest.
    found: Vec<(u64, Violations)>,
}

#[derive(Debug, Default)]
struct Device {
    /// By number: the newest is the last.
    epochs: BTreeMap<u64, Epoch>,
    /// UUIDs of those who have it now, in the order in which they got it.
    guests: BTreeMap<u64, Rc<str>>,
}

/// The devices of a host that guests have.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    devices: HashMap<String, Device>,
    /// How many of them are known by their minor number only.
    minors: usize,
    next: u64,
}

impl Devices {
    /// The guest `uuid` has the device `key` from now on.
    pub(crate) fn hold(&mut self, key: String, path: String, tie: Tie, uuid: &Rc<str>) -> Hold {
        self.next += 1;
        let before = self.devices.len();
        let device = self.devices.entry_ref(key.as_str()).or_default();
        device.guests.insert(self.next, uuid.clone());
        let newest = device.epochs.last_key_value();
        let epoch = match newest.filter(|(_, epoch)| epoch.found.is_empty()) {
            Some((&number, _)) => number,
            None => self.next,
        };
        device.epochs.entry(epoch).or_default().holds += 1;
        if self.devices.len() > before && is_minor(&key) {
            self.minors += 1;
        }
        Hold {
            key,
            path: path.into(),
            tie,
            number: self.next,
            epoch,
        }
    }

    /// A guest no longer has a device: what was found in it meanwhile, and when that began.
    pub(crate) fn release(&mut self, hold: Hold) -> Vec<(u64, Violations)> {
        let Some(device) = self.devices.get_mut(&hold.key) else {
            return Vec::new();
        };
        device.guests.remove(&hold.number);
        let mut all: Vec<(u64, Violations)> = Vec::new();
        for (since, found) in device
            .epochs
            .range(hold.epoch..)
            .flat_map(|(_, epoch)| &epoch.found)
        {
            merge(&mut all, *since, found);
        }
        for (_, found) in &mut all {
            found.path.clone_from(&hold.path);
            found.tie = hold.tie;
        }
        device.forget(hold.epoch);
        if device.guests.is_empty() {
            self.devices.remove(&hold.key);
            self.minors -= usize::from(is_minor(&hold.key));
        }
        all
    }

    /// A violation was found in `device`: `253:0`.
    pub(crate) fn violation(&mut self, device: &str, id: Id, sector: Option<u64>) {
        self.next += 1;
        let now = self.next;
        let minor = self.minor(device);
        for key in [Some(device), minor.as_deref()].into_iter().flatten() {
            let known = self.devices.get_mut(key);
            if let Some(epoch) = known.and_then(|device| device.epochs.last_entry()) {
                epoch.into_mut().add(now, device, id, sector);
            }
        }
    }

    /// Who has `device`: UUIDs, and by which [`Hold::number`].
    pub(crate) fn holders(&self, device: &str) -> impl Iterator<Item = (u64, &str)> {
        let minor = self.minor(device);
        let minor = minor.and_then(|minor| self.devices.get(&minor));
        let devices = self.devices.get(device).into_iter().chain(minor);
        devices.flat_map(|device| {
            let guests = device.guests.iter();
            guests.map(|(&number, uuid)| (number, &**uuid))
        })
    }

    /// What `device` is known by, where only the minor number is; `None` where nothing is known so.
    fn minor(&self, device: &str) -> Option<String> {
        let (_, minor) = device.split_once(':').filter(|_| self.minors > 0)?;
        Some(by_minor(minor))
    }
}

impl Device {
    /// One guest less has had the device since `epoch`. If that was the last, whoever needs that epoch needs the
    /// one before too.
    fn forget(&mut self, epoch: u64) {
        let Some(of) = self.epochs.get_mut(&epoch) else {
            return;
        };
        of.holds -= 1;
        if of.holds > 0 {
            return;
        }
        let Some(of) = self.epochs.remove(&epoch) else {
            return;
        };
        if let Some((_, before)) = self.epochs.range_mut(..epoch).next_back() {
            for (since, found) in &of.found {
                merge(&mut before.found, *since, found);
            }
        }
    }
}

impl Epoch {
    fn add(&mut self, now: u64, device: &str, id: Id, sector: Option<u64>) {
        let at = self.found.iter().position(|(_, f)| *f.device == *device);
        let at = match at {
            Some(at) => at,
            None => {
                self.found.push((now, Violations::none(device)));
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

    fn name(device: u8) -> String {
        format!("253:{device}")
    }

    /// What the guest has it as: the last is known by its minor number only.
    fn key(device: u8) -> String {
        match device {
            2 => "dm-2".to_owned(),
            device => name(device),
        }
    }

    proptest! {
        /// It tells what each guest would have written down for itself.
        #[test]
        fn each_guest_is_told_what_was_found_while_it_had_the_device(
            ops in prop::collection::vec(prop_oneof![
                3 => (0u8..3).prop_map(Op::Hold),
                2 => (0usize..9).prop_map(Op::Release),
                4 => (0u8..3, 0u64..40).prop_map(|(device, sector)| Op::Violation(device, sector)),
            ], 0..120),
        ) {
            let mut devices = Devices::default();
            let mut held: Vec<(Hold, Vec<(u64, Violations)>)> = Vec::new();
            for (serial, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Hold(device) => {
                        let hold = devices.hold(key(device), "/disk".to_owned(), Tie::Is, &"uuid".into());
                        held.push((hold, Vec::new()));
                    }
                    Op::Release(at) if at < held.len() => {
                        let (hold, own) = held.remove(at);
                        let told: Vec<_> = devices.release(hold).into_iter().map(|(_, v)| v).collect();
                        let own: Vec<_> = own.into_iter().map(|(_, v)| v).collect();
                        prop_assert_eq!(told, own);
                    }
                    Op::Release(_) => {}
                    Op::Violation(device, sector) => {
                        let id = Id { seconds: 1, millis: 0, serial: serial as u64 };
                        let (device, key) = (name(device), key(device));
                        devices.violation(&device, id, Some(sector));
                        for (hold, own) in held.iter_mut().filter(|(hold, _)| hold.key == key) {
                            let mut found = Violations::none(&device);
                            found.path.clone_from(&hold.path);
                            found.count = 1;
                            found.sectors.insert(sector);
                            found.proof.add(id);
                            merge(own, 0, &found);
                        }
                        let holders = devices.holders(&device).count();
                        prop_assert_eq!(holders, held.iter().filter(|(hold, _)| hold.key == key).count());
                    }
                }
            }
            for (hold, _) in held {
                devices.release(hold);
            }
            prop_assert!(devices.devices.is_empty(), "nothing is kept that nobody has");
            prop_assert_eq!(devices.minors, 0);
        }
    }
}
