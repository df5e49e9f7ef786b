// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A life of a mapping, as it is told.

use crate::ranges::Ranges;
use crate::record::device::Device;
use crate::report::id::{Id, Proof, Who};
use dmns_audit_log::rules::{self, Unit};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Whether the operation `op` of `target` has the number of a data block that was looked up, and is about the hash block
/// above it.
pub(super) fn is_above(target: &str, op: &str) -> bool {
    (target, op) == ("verity", "verify-metadata")
}

/// From a constructor to the destructor of the same target on the same device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The target: `integrity`.
    pub target: Rc<str>,
    /// The mapped device: `254:3`.
    pub device: Device,
    /// The device is not the mapping, but one beneath: which mapping stands on it, the log does not tell.
    pub beneath: bool,
    /// What the mapping is called, where the machine knows it.
    pub name: Option<String>,
    /// `node=`, where the log has it.
    pub node: Option<Rc<str>>,
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
    pub op: Rc<str>,
    /// The device that the records name: the mapping, or the one beneath it.
    pub device: Device,
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
    /// What `sectors` counts.
    pub fn unit(&self) -> &'static str {
        match &*self.target {
            "verity" => "block",
            _ => "sector",
        }
    }
}

impl Found {
    /// Whether its numbers are those of data blocks that were looked up through a corrupt hash block: on the data device
    /// they are not corrupt.
    pub fn is_above(&self, target: &str) -> bool {
        is_above(target, &self.op)
    }

    /// `sector 77480`, `sectors 5-7, 12`, `blocks 3`, or nothing where the violation has no place.
    pub fn places(&self, target: &str, most: usize) -> String {
        let (above, unit) = match rules::op(target, &self.op).map(|op| op.unit) {
            Some(Unit::Block) if self.is_above(target) => ("a hash block above ", "data block"),
            Some(Unit::Block) => ("", "block"),
            _ => ("", "sector"),
        };
        let mut text = match self.sectors.distinct() {
            0 => return String::new(),
            1 => format!("{above}{unit} {}", self.sectors.show(most)),
            _ => format!("{above}{unit}s {}", self.sectors.show(most)),
        };
        if !self.sectors.is_exact() {
            let (ranges, covered) = (self.sectors.iter().len(), self.sectors.covered());
            let distinct = self.sectors.distinct();
            text.push_str(&format!(
                "; in {ranges} ranges, joined: not every {unit} in them is corrupt (they have {covered}, of which at least \
                 {distinct} are)"
            ));
        }
        text
    }
}
