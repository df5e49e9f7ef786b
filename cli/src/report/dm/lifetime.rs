// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A lifetime of a mapping, as it is reported.

use crate::ranges::Ranges;
use crate::record::device::Device;
use crate::report::id::{Id, Proof, Who};
use dmns_audit_log::rules::{self, Unit};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Returns whether the operation `op` of `target` is about a hash block above the data block of its number.
pub(super) fn is_above(target: &str, op: &str) -> bool {
    (target, op) == ("verity", "verify-metadata")
}

/// From a constructor to the destructor of the same target on the same device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// The target: `integrity`.
    pub target: Rc<str>,
    /// The mapped device: `254:3`.
    pub device: Device,
    /// The device is not the mapping, but one below. The log does not identify the mapping.
    pub below: bool,
    /// The name of the mapping, where the machine knows it.
    pub name: Option<String>,
    /// `node=`, where the log has it.
    pub node: Option<Rc<str>>,
    /// The task that created it, if the log has it.
    pub maker: Option<Who>,
    /// Time of creation; `None` if that is not in the log.
    pub start: Option<Id>,
    /// Time of the end; `None` if it is active.
    pub end: Option<Id>,
    /// Reason of the end.
    pub end_reason: EndReason,
    /// Number of reloads of its table.
    pub reloads: u32,
    /// Number of violations.
    pub violations: u64,
    /// Sectors or blocks, in the target's own unit.
    pub sectors: Ranges,
    /// The same, by operation and device.
    pub found: Vec<Found>,
    /// The records of constructors and destructors.
    pub proof: Proof,
    /// The files of the corrupt sectors, if they were asked for.
    pub files: Option<FilesFound>,
}

/// The files of corrupt sectors, as they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesFound {
    /// In text.
    pub lines: Vec<String>,
    /// As objects of JSON.
    pub objects: Vec<String>,
}

/// State of a lifetime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// It is active.
    Active,
    /// It was deleted.
    Deleted,
    /// Its constructor failed, with this error.
    Failed(String),
    /// The machine went down.
    Down,
}

/// Violations of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// `op=`.
    pub op: Rc<str>,
    /// The device that the records name: the mapping, or the one below it.
    pub device: Device,
    /// Number of records.
    pub count: u64,
    /// The first and the last of them.
    pub first: Id,
    /// The last of them.
    pub last: Id,
    /// Sectors or blocks.
    pub sectors: Ranges,
    /// The records.
    pub proof: Proof,
}

impl Lifetime {
    /// Returns the unit of `sectors`.
    pub fn unit(&self) -> &'static str {
        match &*self.target {
            "verity" => "block",
            _ => "sector",
        }
    }
}

impl Found {
    /// Returns whether its numbers are data blocks looked up through a corrupt hash block. These are not corrupt on the
    /// data device.
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
