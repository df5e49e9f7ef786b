// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A life of a mapping, as it is told.

use super::record::Record;
use crate::ranges::Ranges;
use crate::report::id::{Id, Proof, Who};
use dmns_audit_uapi::rules::{self, Unit};
use serde::{Deserialize, Serialize};

/// From a constructor to the destructor of the same target on the same device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The target: `integrity`.
    pub target: String,
    /// The mapped device: `254:3`.
    pub device: String,
    /// The device is not the mapping, but one beneath: which mapping stands on it, the log does not tell.
    pub beneath: bool,
    /// `node=`, where the log has it.
    pub node: Option<String>,
    /// Who made it, if the log tells.
    pub maker: Option<Who>,
    /// When it was made; `None` if that is not in the log.
    pub start: Option<Id>,
    /// When it ended; `None` if it lives.
    pub end: Option<Id>,
    /// How it ended.
    pub fate: Fate,
    /// How often its table was loaded anew.
    pub reloads: u32,
    /// How many violations were told.
    pub violations: u64,
    /// Where, in the target's own unit.
    pub sectors: Ranges,
    /// The same, by operation and device.
    pub found: Vec<Found>,
    /// The records of constructors and destructors.
    pub proof: Proof,
}

/// How a life stands, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It lives.
    Lives,
    /// It was destroyed.
    Destroyed,
    /// Its constructor failed, and said why.
    Failed(String),
    /// The machine went down.
    Down,
}

/// Violations of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// `op=`.
    pub op: String,
    /// The device that the records name: the mapping, or the one beneath it.
    pub device: String,
    /// How many records.
    pub count: u64,
    /// The first and the last of them.
    pub first: Id,
    /// The last of them.
    pub last: Id,
    /// Where.
    pub sectors: Ranges,
    /// The records.
    pub proof: Proof,
}

impl Life {
    /// One of which only this is known.
    pub(super) fn of(target: &str, device: &str) -> Self {
        Self {
            target: target.to_owned(),
            device: device.to_owned(),
            beneath: false,
            node: None,
            maker: None,
            start: None,
            end: None,
            fate: Fate::Lives,
            reloads: 0,
            violations: 0,
            sectors: Ranges::default(),
            found: Vec::new(),
            proof: Proof::default(),
        }
    }

    /// A violation was found, in the event `id`.
    pub(super) fn violation(&mut self, id: Id, record: &Record<'_>) {
        self.violations += 1;
        let same = |found: &Found| found.op == record.op && found.device == record.dev;
        let at = match self.found.iter().position(same) {
            Some(at) => at,
            None => {
                self.found.push(Found {
                    op: record.op.to_owned(),
                    device: record.dev.to_owned(),
                    count: 0,
                    first: id,
                    last: id,
                    sectors: Default::default(),
                    proof: Proof::default(),
                });
                self.found.len() - 1
            }
        };
        let found = &mut self.found[at];
        found.count += 1;
        found.last = id;
        found.sectors.extend(record.sector);
        found.proof.add(id);
    }

    /// It is over: what was found by each operation and device is put together.
    pub(super) fn sum(&mut self) {
        for found in &self.found {
            self.sectors.merge(&found.sectors);
        }
    }

    /// What `sectors` counts.
    pub fn unit(&self) -> &'static str {
        match self.target.as_str() {
            "verity" => "block",
            _ => "sector",
        }
    }
}

impl Found {
    /// `sector 77480`, `sectors 5-7, 12`, `blocks 3`, or nothing where the violation has no place.
    pub fn places(&self, target: &str, most: usize) -> String {
        let unit = match rules::op(target, &self.op).map(|op| op.unit) {
            Some(Unit::Block) => "block",
            _ => "sector",
        };
        match self.sectors.distinct() {
            0 => String::new(),
            1 => format!("{unit} {}", self.sectors.show(most)),
            _ => format!("{unit}s {}", self.sectors.show(most)),
        }
    }
}
