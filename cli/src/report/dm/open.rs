// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An active mapping, with its data so far. It is kept small: there may be a hundred thousand.

use super::lifetime::{EndReason, Found, Lifetime, is_above};
use super::record::Record;
use crate::ranges::Ranges;
use crate::record::by_host::Keyed;
use crate::record::device::Device;
use crate::report::id::{Id, Proof, Who};
use std::rc::Rc;

/// The identity of a mapping on its host, as a record names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named<'a> {
    /// The target: `integrity`.
    pub(super) target: &'a str,
    /// The device: `254:3`.
    pub(super) device: Device,
}

impl<'a> Named<'a> {
    /// Returns the mapping that `record` names.
    pub(super) fn by(record: &Record<'a>) -> Self {
        Self {
            target: record.module,
            device: Device::of(record.dev),
        }
    }
}

/// A mapping, or violations of which no mapping is known.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) target: Rc<str>,
    pub(super) device: Device,
    /// Number of loaded tables: two, between a reload and its resume.
    pub(super) tables: u32,
    /// The device below, if it is known.
    pub(super) below: Option<Box<Device>>,
    /// The device is not the mapping, but one below.
    pub(super) is_below: bool,
    /// Its details; `None` where only mappings are looked up.
    pub(super) details: Option<Box<Details>>,
}

impl Keyed for Open {
    type Name<'a> = (&'a str, &'a Device);

    fn name(&self) -> (&str, &Device) {
        (&self.target, &self.device)
    }

    fn is(&self, name: &(&str, &Device)) -> bool {
        self.name() == *name
    }
}

/// The details of a mapping that a report prints.
#[derive(Debug)]
pub(super) struct Details {
    /// Its place among all lifetimes.
    pub(super) order: u64,
    pub(super) maker: Option<Who>,
    /// Its name in the command line.
    pub(super) name: Option<String>,
    pub(super) start: Option<Id>,
    pub(super) reloads: u32,
    pub(super) found: Vec<Found>,
    pub(super) proof: Proof,
}

impl Details {
    /// Adds a violation of the event `id`. Returns the growth in bytes.
    pub(super) fn violation(
        &mut self,
        id: Id,
        record: &Record<'_>,
        device: &Device,
        op: impl FnOnce() -> Rc<str>,
    ) -> isize {
        let same = |found: &Found| *found.op == *record.op && found.device == *device;
        let at = match self.found.iter().position(same) {
            Some(at) => at,
            None => {
                // Mostly there is no other.
                self.found.reserve_exact(1);
                self.found.push(Found {
                    op: op(),
                    device: device.clone(),
                    count: 0,
                    first: id,
                    last: id,
                    sectors: Ranges::default(),
                    proof: self.proof.another(),
                });
                self.found.len() - 1
            }
        };
        let found = &mut self.found[at];
        found.count += 1;
        found.last = id;
        found.proof.add(id);
        let before = found.sectors.size();
        found.sectors.extend(record.sector);
        found.sectors.size() as isize - before as isize
    }

    /// Returns the size of its sectors in bytes.
    pub(super) fn sectors(&self) -> usize {
        self.found.iter().map(|found| found.sectors.size()).sum()
    }
}

impl Open {
    /// Returns its lifetime, which ended so, and its place among all. `None` if it has no details.
    pub(super) fn lifetime(
        self,
        node: Option<Rc<str>>,
        end: Option<Id>,
        end_reason: EndReason,
    ) -> Option<(u64, Lifetime)> {
        let details = *self.details?;
        let mut proof = details.proof;
        if let Some(end) = end {
            proof.add(end);
        }
        let mut sectors = Ranges::default();
        let corrupt = |found: &&Found| !is_above(&self.target, &found.op);
        for found in details.found.iter().filter(corrupt) {
            sectors.merge(&found.sectors);
        }
        let lifetime = Lifetime {
            target: self.target,
            device: self.device,
            below: self.is_below,
            name: details.name,
            node,
            maker: details.maker,
            start: details.start,
            end,
            end_reason,
            reloads: details.reloads,
            violations: details.found.iter().map(|found| found.count).sum(),
            sectors,
            found: details.found,
            proof,
            files: None,
        };
        Some((details.order, lifetime))
    }
}
