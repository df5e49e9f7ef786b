// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Links disks of a guest to mappings, with the violations found in those while it ran.
//!
//! libvirt names a disk by its path. The records of device mapper name a mapping by its number. The link is one of
//!
//! - a cgroup record of libvirt, which has both: `class=path path="/dev/mapper/x" rdev=FD:00`;
//! - the cgroup records after it, of the devices below: `path="/dev/block/253:0" rdev=FD:00`;
//! - the name `/dev/dm-N`;
//! - the present devices below a path on this machine (`machine.rs`), if `--layers` is given.
//!
//! Each links by device and time. No record has the reader: guest or host.

use super::guests::devices::{Devices, Hold, merge};
use super::row::{Relation, Violations};
use crate::record::by_host::Slot;
use crate::record::device::Device;
use crate::record::host::Host;
use std::rc::Rc;

/// The disks of a guest. It has few, and guests are many.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Paths of disks that the guest has.
    paths: Vec<Rc<str>>,
    /// The known devices, if there are any.
    ties: Option<Box<Ties>>,
}

/// Links between disks of a guest and devices.
#[derive(Debug, Default)]
struct Ties {
    /// Path and device, `253:0`; also of paths that are no disks.
    devices: Vec<(Rc<str>, Device)>,
    /// The last of those paths, while libvirt records the devices below it.
    last: Option<Rc<str>>,
    /// Device, and the path above it, as libvirt recorded them.
    below: Vec<(Device, Rc<str>)>,
    /// The same, as this machine has it now.
    now: Vec<(Device, Rc<str>)>,
    /// The links that `Devices` has, while the guest runs.
    holds: Vec<Hold>,
    /// Violations in devices that the guest no longer has, and their beginning.
    found: Vec<(u64, Violations)>,
}

/// Devices of these major numbers are no disks: `/dev/null`, terminals, `/dev/kvm`.
const NO_DISKS: [&str; 3] = ["01:", "05:", "0A:"];

/// Returns the value of `key` in `list`.
fn get<'a, K: PartialEq<Q>, Q: ?Sized, V>(list: &'a [(K, V)], key: &Q) -> Option<&'a V> {
    list.iter()
        .find(|(own, _)| own == key)
        .map(|(_, value)| value)
}

/// Sets the value of `key`.
fn set<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: K, value: V) {
    match list.iter_mut().find(|(own, _)| *own == key) {
        Some((_, old)) => *old = value,
        None => {
            list.reserve_exact(1);
            list.push((key, value));
        }
    }
}

impl Disks {
    fn known(&mut self) -> &mut Ties {
        self.ties.get_or_insert_default()
    }

    /// Adds a disk, with the devices `below` it on this machine. Returns all devices that it may be, or be above.
    pub(super) fn given(&mut self, path: &Rc<str>, below: &[Device]) -> Vec<Device> {
        if !self.paths.contains(path) {
            self.paths.reserve_exact(1);
            self.paths.push(path.clone());
        }
        for device in below {
            set(&mut self.known().now, device.clone(), path.clone());
        }
        let mut devices = below.to_vec();
        devices.extend(path.strip_prefix("/dev/dm-").map(Device::by_minor));
        devices
    }

    /// Removes a disk.
    pub(super) fn taken(&mut self, path: &str) {
        self.paths.retain(|known| **known != *path);
    }

    /// Takes the device `rdev` of `path`: `FD:00`, in hexadecimal. Returns it, if it may be a disk or below one.
    pub(super) fn is_device(&mut self, path: &Rc<str>, rdev: &str) -> Option<Device> {
        if NO_DISKS.iter().any(|major| rdev.starts_with(major)) {
            return None;
        }
        let parse = |half: &str| u32::from_str_radix(half, 16).ok();
        let (major, minor) = rdev.split_once(':')?;
        let device = Device::Number(parse(major)?, parse(minor)?);
        let ties = self.known();
        if path.starts_with("/dev/block/") {
            let above = ties.last.clone()?;
            set(&mut ties.below, device.clone(), above);
        } else {
            ties.last = Some(path.clone());
            set(&mut ties.devices, path.clone(), device.clone());
        }
        Some(device)
    }

    /// Returns the disk that `device` is, or is below, by `ties`.
    fn tied(&self, ties: &Ties, device: &Device) -> Option<(Rc<str>, Relation)> {
        let minor = match device {
            Device::Number(_, minor) => minor.to_string(),
            Device::Text(_) => String::new(),
        };
        let is_it = |path: &&Rc<str>| match get(&ties.devices, *path) {
            Some(known) => known == device,
            None => path.strip_prefix("/dev/dm-") == Some(&*minor),
        };
        if let Some(path) = self.paths.iter().find(is_it) {
            return Some((path.clone(), Relation::Same));
        }
        for (list, relation) in [
            (&ties.below, Relation::Below),
            (&ties.now, Relation::Inferred),
        ] {
            if let Some(path) = get(list, device).filter(|path| self.paths.contains(path)) {
                return Some((path.clone(), relation));
            }
        }
        None
    }

    /// Returns the devices of disks: key, the disk's path, and the relation.
    fn ties(&self) -> Vec<(Device, Rc<str>, Relation)> {
        let nothing = Ties::default();
        let by = self.ties.as_deref().unwrap_or(&nothing);
        let of = by.below.iter().chain(&by.now).map(|(device, _)| device);
        let known = by.devices.iter().map(|(_, device)| device).chain(of);
        let mut ties: Vec<(Device, Rc<str>, Relation)> = Vec::new();
        for device in known {
            if ties.iter().any(|(entry, ..)| entry == device) {
                continue;
            }
            if let Some((path, relation)) = self.tied(by, device) {
                ties.push((device.clone(), path, relation));
            }
        }
        for path in &self.paths {
            let minor = path.strip_prefix("/dev/dm-");
            let Some(minor) = minor.filter(|_| get(&by.devices, path).is_none()) else {
                continue;
            };
            let is_it =
                |device: &Device| matches!(device, Device::Number(_, m) if m.to_string() == minor);
            if !ties.iter().any(|(device, ..)| is_it(device)) {
                ties.push((Device::by_minor(minor), path.clone(), Relation::Same));
            }
        }
        ties
    }

    /// Attributes violations in its disks from now on to the active guest at `at` on `host`.
    pub(super) fn relation(&mut self, devices: &mut Devices, host: Host, at: Slot) {
        let mut ties = self.ties();
        if ties.is_empty() && self.ties.is_none() {
            return;
        }
        let known = self.known();
        for hold in std::mem::take(&mut known.holds) {
            let as_before = |(key, path, relation): &(Device, Rc<str>, Relation)| {
                (key, path, *relation) == (&hold.key, &hold.path, hold.relation)
            };
            match ties.iter().position(as_before) {
                Some(at) => {
                    ties.remove(at);
                    known.holds.push(hold);
                }
                None => known.release(devices, host, hold),
            }
        }
        known.holds.reserve_exact(ties.len());
        for (key, path, relation) in ties {
            let hold = devices.hold(host, key, path, relation, at);
            known.holds.push(hold);
        }
    }

    /// Returns the disk of the hold `number`, and its relation to the mapping.
    pub(super) fn held(&self, number: u64) -> Option<(&Rc<str>, Relation)> {
        let holds = &self.ties.as_deref()?.holds;
        let hold = holds.iter().find(|hold| hold.number == number)?;
        Some((&hold.path, hold.relation))
    }

    /// Ends the session on `host`, and adds its violations to `violations`.
    pub(super) fn end_session(
        &mut self,
        devices: &mut Devices,
        host: Host,
        violations: &mut Vec<Violations>,
    ) {
        let Some(known) = &mut self.ties else {
            return;
        };
        for hold in std::mem::take(&mut known.holds) {
            known.release(devices, host, hold);
        }
        known.found.sort_by_key(|(since, _)| *since);
        violations.extend(known.found.drain(..).map(|(_, found)| found));
    }

    /// Returns whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.ties.as_deref().is_none_or(Ties::is_empty)
    }
}

impl Ties {
    fn release(&mut self, devices: &mut Devices, host: Host, hold: Hold) {
        for (since, found) in devices.release(host, hold) {
            merge(&mut self.found, since, &found);
        }
    }

    fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.below.is_empty()
            && self.now.is_empty()
            && self.holds.is_empty()
            && self.found.is_empty()
    }
}
