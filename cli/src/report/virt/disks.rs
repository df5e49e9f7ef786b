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

use super::row::{Event, Row, Tie, Violations};
use crate::record::Head;
use crate::report::dm::record::Record;
use crate::report::id::{Id, Proof};
use std::collections::HashMap;

/// The disks of a guest.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Paths of disks that the guest has.
    paths: Vec<String>,
    /// Path to device, `253:0`; also of paths that are no disks.
    devices: HashMap<String, String>,
    /// The last of those paths, while libvirt tells what lies beneath it.
    last: Option<String>,
    /// Device to the path that it lies beneath, as libvirt told.
    beneath: HashMap<String, String>,
    /// The same, as this machine has it.
    now: HashMap<String, String>,
    found: Vec<Violations>,
}

/// Devices of these major numbers are no disks: `/dev/null`, terminals, `/dev/kvm`.
const NO_DISKS: [&str; 3] = ["01:", "05:", "0A:"];

impl Disks {
    /// The guest has a disk, `beneath` which this machine has these devices. Tells all that it may be or stand on.
    pub(super) fn given(&mut self, path: &str, beneath: Vec<String>) -> Vec<String> {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
        for device in &beneath {
            self.now.insert(device.clone(), path.to_owned());
        }
        let mut devices = beneath;
        devices.extend(path.strip_prefix("/dev/dm-").map(by_minor));
        devices
    }

    /// The guest has it no more.
    pub(super) fn taken(&mut self, path: &str) {
        self.paths.retain(|known| known != path);
    }

    /// `path` is the device `rdev`: `FD:00`, in hexadecimal. Tells it, if it may be a disk or lie beneath one.
    pub(super) fn is_device(&mut self, path: &str, rdev: &str) -> Option<String> {
        if NO_DISKS.iter().any(|major| rdev.starts_with(major)) {
            return None;
        }
        let parse = |half: &str| u32::from_str_radix(half, 16).ok();
        let (major, minor) = rdev.split_once(':')?;
        let device = format!("{}:{}", parse(major)?, parse(minor)?);
        if path.starts_with("/dev/block/") {
            let above = self.last.clone()?;
            self.beneath.insert(device.clone(), above);
        } else {
            self.last = Some(path.to_owned());
            self.devices.insert(path.to_owned(), device.clone());
        }
        Some(device)
    }

    /// The disk that `device` is, or lies beneath.
    fn tied(&self, device: &str) -> Option<(String, Tie)> {
        let minor = device.split_once(':').map_or("", |(_, minor)| minor);
        let is_it = |path: &&String| match self.devices.get(*path) {
            Some(known) => known == device,
            None => path.strip_prefix("/dev/dm-") == Some(minor),
        };
        if let Some(path) = self.paths.iter().find(is_it) {
            return Some((path.clone(), Tie::Is));
        }
        for (map, tie) in [(&self.beneath, Tie::Beneath), (&self.now, Tie::Now)] {
            if let Some(path) = map.get(device).filter(|path| self.paths.contains(path)) {
                return Some((path.clone(), tie));
            }
        }
        None
    }

    /// A violation in the mapping `device`: the event that it is to the guest, if it concerns it.
    pub(super) fn violation(&mut self, head: &Head<'_>, device: &str, body: &str) -> Option<Event> {
        let record = Record::parse(body)?;
        let (path, tie) = self.tied(device)?;
        let at = match self.found.iter().position(|found| found.device == device) {
            Some(at) => at,
            None => {
                self.found.push(Violations {
                    device: device.to_owned(),
                    path: path.clone(),
                    tie,
                    count: 0,
                    sectors: Default::default(),
                    proof: Proof::default(),
                });
                self.found.len() - 1
            }
        };
        let found = &mut self.found[at];
        found.count += 1;
        found.proof.add(Id::from(head.stamp));
        found.sectors.extend(record.sector);
        Some(Event::Violation {
            target: record.module.to_owned(),
            operation: record.op.to_owned(),
            device: device.to_owned(),
            path,
            sector: record.sector,
            tie,
        })
    }

    /// The session `row` is over: tells it what was found. The guest has no disks.
    pub(super) fn tell(&mut self, row: &mut Row) {
        if let Event::Start { violations, .. } = &mut row.event {
            violations.append(&mut self.found);
        }
    }
}

/// How the index has a device of which only the minor number is known: `/dev/dm-N`.
pub(super) fn by_minor(minor: &str) -> String {
    format!("dm-{minor}")
}
