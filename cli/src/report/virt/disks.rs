// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which disks of a guest are mappings or stand on one, and what was found in those while it ran.
//!
//! libvirt names a disk by its path; the records of device mapper name a mapping by its number. What ties them:
//!
//! - a cgroup record of libvirt has both: `class=path path="/dev/mapper/x" rdev=FD:00`;
//! - after it come those of what lies beneath: `path="/dev/block/253:0" rdev=FD:00`;
//! - `/dev/dm-N` says it by itself;
//! - this machine knows what lies beneath a path now (`machine.rs`), if it is to be asked.
//!
//! Each ties by device and time. That it was the guest who read, and not the host, no record tells.

use super::guests::devices::{Devices, Hold, merge};
use super::row::{Tie, Violations};
use crate::record::by_host::Slot;
use crate::record::device::Device;
use crate::record::host::Host;
use std::rc::Rc;

/// The disks of a guest. It has few, and guests are many.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Paths of disks that the guest has.
    paths: Vec<Rc<str>>,
    /// What is known of devices, if anything is.
    ties: Option<Box<Ties>>,
}

/// What ties disks of a guest to devices.
#[derive(Debug, Default)]
struct Ties {
    /// Path and device, `253:0`; also of paths that are no disks.
    devices: Vec<(Rc<str>, Device)>,
    /// The last of those paths, while libvirt tells what lies beneath it.
    last: Option<Rc<str>>,
    /// Device and the path that it lies beneath, as libvirt told.
    beneath: Vec<(Device, Rc<str>)>,
    /// The same, as this machine has it.
    now: Vec<(Device, Rc<str>)>,
    /// What of those is told about in `Devices`, while the guest runs.
    holds: Vec<Hold>,
    /// What was found before, in devices that the guest no longer has, and when that began.
    found: Vec<(u64, Violations)>,
}

/// Devices of these major numbers are no disks: `/dev/null`, terminals, `/dev/kvm`.
const NO_DISKS: [&str; 3] = ["01:", "05:", "0A:"];

/// What `key` has in `list`.
fn get<'a, K: PartialEq<Q>, Q: ?Sized, V>(list: &'a [(K, V)], key: &Q) -> Option<&'a V> {
    list.iter()
        .find(|(own, _)| own == key)
        .map(|(_, value)| value)
}

/// `key` has `value` from now on.
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

    /// The guest has a disk, `beneath` which this machine has these devices. Tells all that it may be or stand on.
    pub(super) fn given(&mut self, path: &Rc<str>, beneath: &[Device]) -> Vec<Device> {
        if !self.paths.contains(path) {
            self.paths.reserve_exact(1);
            self.paths.push(path.clone());
        }
        for device in beneath {
            set(&mut self.known().now, device.clone(), path.clone());
        }
        let mut devices = beneath.to_vec();
        devices.extend(path.strip_prefix("/dev/dm-").map(Device::by_minor));
        devices
    }

    /// The guest has it no more.
    pub(super) fn taken(&mut self, path: &str) {
        self.paths.retain(|known| **known != *path);
    }

    /// `path` is the device `rdev`: `FD:00`, in hexadecimal. Tells it, if it may be a disk or lie beneath one.
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
            set(&mut ties.beneath, device.clone(), above);
        } else {
            ties.last = Some(path.clone());
            set(&mut ties.devices, path.clone(), device.clone());
        }
        Some(device)
    }

    /// The disk that `device` is, or lies beneath, by what `ties` knows.
    fn tied(&self, ties: &Ties, device: &Device) -> Option<(Rc<str>, Tie)> {
        let minor = match device {
            Device::Number(_, minor) => minor.to_string(),
            Device::Text(_) => String::new(),
        };
        let is_it = |path: &&Rc<str>| match get(&ties.devices, *path) {
            Some(known) => known == device,
            None => path.strip_prefix("/dev/dm-") == Some(&*minor),
        };
        if let Some(path) = self.paths.iter().find(is_it) {
            return Some((path.clone(), Tie::Is));
        }
        for (list, tie) in [(&ties.beneath, Tie::Beneath), (&ties.now, Tie::Now)] {
            if let Some(path) = get(list, device).filter(|path| self.paths.contains(path)) {
                return Some((path.clone(), tie));
            }
        }
        None
    }

    /// The devices that disks are or stand on: what each is found by, the disk's path, and how they are tied.
    fn ties(&self) -> Vec<(Device, Rc<str>, Tie)> {
        let nothing = Ties::default();
        let by = self.ties.as_deref().unwrap_or(&nothing);
        let of = by.beneath.iter().chain(&by.now).map(|(device, _)| device);
        let known = by.devices.iter().map(|(_, device)| device).chain(of);
        let mut ties: Vec<(Device, Rc<str>, Tie)> = Vec::new();
        for device in known {
            if ties.iter().any(|(told, ..)| told == device) {
                continue;
            }
            if let Some((path, tie)) = self.tied(by, device) {
                ties.push((device.clone(), path, tie));
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
                ties.push((Device::by_minor(minor), path.clone(), Tie::Is));
            }
        }
        ties
    }

    /// What is found in its disks from now on is told to the guest at `at` on `host`, which runs.
    pub(super) fn tie(&mut self, devices: &mut Devices, host: Host, at: Slot) {
        let mut ties = self.ties();
        if ties.is_empty() && self.ties.is_none() {
            return;
        }
        let known = self.known();
        for hold in std::mem::take(&mut known.holds) {
            let as_before = |(key, path, tie): &(Device, Rc<str>, Tie)| {
                (key, path, *tie) == (&hold.key, &hold.path, hold.tie)
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
        for (key, path, tie) in ties {
            let hold = devices.hold(host, key, path, tie, at);
            known.holds.push(hold);
        }
    }

    /// A violation by way of the hold `number`: the disk, and how the two are tied.
    pub(super) fn held(&self, number: u64) -> Option<(&Rc<str>, Tie)> {
        let holds = &self.ties.as_deref()?.holds;
        let hold = holds.iter().find(|hold| hold.number == number)?;
        Some((&hold.path, hold.tie))
    }

    /// The session on `host` is over: adds what was found to `violations`.
    pub(super) fn tell(
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

    /// Whether nothing is known.
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
            && self.beneath.is_empty()
            && self.now.is_empty()
            && self.holds.is_empty()
            && self.found.is_empty()
    }
}
