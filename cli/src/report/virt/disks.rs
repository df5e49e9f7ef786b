// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which disks of a guest are mappings, and what was found in those while it ran.
//!
//! libvirt names a disk by its path; the records of device mapper name a mapping by its number. A cgroup
//! record of libvirt has both: `class=path path="/dev/mapper/x" rdev=FD:00`. `/dev/dm-N` says it by itself.

use super::row::{Event, Row, Violations};
use crate::record::Head;
use crate::record::value::{Nested, text};
use crate::report::id::{Id, Proof};
use std::collections::HashMap;

/// The disks of a guest.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Paths of disks that the guest has.
    paths: Vec<String>,
    /// Path to device, `253:0`; also of paths that are no disks.
    devices: HashMap<String, String>,
    found: Vec<Violations>,
}

impl Disks {
    /// The guest has a disk.
    pub(super) fn given(&mut self, path: &str) {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
    }

    /// The guest has it no more.
    pub(super) fn taken(&mut self, path: &str) {
        self.paths.retain(|known| known != path);
    }

    /// `path` is the device `rdev`: `FD:00`, in hexadecimal.
    pub(super) fn is_device(&mut self, path: &str, rdev: &str) {
        let parse = |half: &str| u32::from_str_radix(half, 16).ok();
        if let Some((major, minor)) = rdev.split_once(':') {
            if let (Some(major), Some(minor)) = (parse(major), parse(minor)) {
                self.devices
                    .insert(path.to_owned(), format!("{major}:{minor}"));
            }
        }
    }

    /// A violation in the mapping `device`.
    pub(super) fn violation(&mut self, head: &Head<'_>, device: &str) {
        let minor = device.split_once(':').map_or("", |(_, minor)| minor);
        let is_it = |path: &&String| match self.devices.get(*path) {
            Some(known) => known == device,
            None => path.strip_prefix("/dev/dm-") == Some(minor),
        };
        let Some(path) = self.paths.iter().find(is_it) else {
            return;
        };
        let at = match self.found.iter().position(|found| found.device == device) {
            Some(at) => at,
            None => {
                self.found.push(Violations {
                    device: device.to_owned(),
                    path: path.clone(),
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
        let body = text(head.body);
        let sector = Nested::new(&body)
            .raw("sector")
            .and_then(|s| s.parse().ok());
        found.sectors.extend(sector);
    }

    /// The session `row` is over: tells it what was found.
    pub(super) fn tell(&mut self, row: &mut Row) {
        if let Event::Start { violations, .. } = &mut row.event {
            violations.append(&mut self.found);
        }
    }
}
