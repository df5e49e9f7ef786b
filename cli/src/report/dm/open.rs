// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A mapping that lives, and what is known of it so far. There may be a hundred thousand: it is kept small.

use super::life::{Fate, Found, Life, is_above};
use super::record::Record;
use crate::ranges::Ranges;
use crate::record::by_host::Keyed;
use crate::record::device::Device;
use crate::report::id::{Id, Proof, Who};
use std::rc::Rc;

/// What tells a mapping on its host, as a record names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named<'a> {
    /// The target: `integrity`.
    pub(super) target: &'a str,
    /// The device: `254:3`.
    pub(super) device: Device,
}

impl<'a> Named<'a> {
    /// What `record` names.
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
    /// How many tables are loaded: two, between a reload and its resume.
    pub(super) tables: u32,
    /// The device beneath, if it is known.
    pub(super) beneath: Option<Box<Device>>,
    /// The device is not the mapping, but one beneath.
    pub(super) is_beneath: bool,
    /// What is told of it; nothing, where only mappings are asked for.
    pub(super) told: Option<Box<Told>>,
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

/// What is told of a mapping.
#[derive(Debug)]
pub(super) struct Told {
    /// Its place among all lives.
    pub(super) order: u64,
    pub(super) maker: Option<Who>,
    /// What the command line calls it.
    pub(super) name: Option<String>,
    pub(super) start: Option<Id>,
    pub(super) reloads: u32,
    pub(super) found: Vec<Found>,
    pub(super) proof: Proof,
}

impl Told {
    /// A violation was found, in the event `id`. Tells by how many bytes it has grown.
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

    /// How many bytes its sectors take.
    pub(super) fn sectors(&self) -> usize {
        self.found.iter().map(|found| found.sectors.size()).sum()
    }
}

impl Open {
    /// Its life, which ended so; and its place among all. `None` where nothing is told.
    pub(super) fn life(
        self,
        node: Option<Rc<str>>,
        end: Option<Id>,
        fate: Fate,
    ) -> Option<(u64, Life)> {
        let told = *self.told?;
        let mut proof = told.proof;
        if let Some(end) = end {
            proof.add(end);
        }
        let mut sectors = Ranges::default();
        let corrupt = |found: &&Found| !is_above(&self.target, &found.op);
        for found in told.found.iter().filter(corrupt) {
            sectors.merge(&found.sectors);
        }
        let life = Life {
            target: self.target,
            device: self.device,
            beneath: self.is_beneath,
            name: told.name,
            node,
            maker: told.maker,
            start: told.start,
            end,
            fate,
            reloads: told.reloads,
            violations: told.found.iter().map(|found| found.count).sum(),
            sectors,
            found: told.found,
            proof,
        };
        Some((told.order, life))
    }
}
