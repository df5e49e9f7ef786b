// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A row of the report.

use crate::ranges::Ranges;
use crate::record::device::Device;
use crate::record::uuid::Uuid;
use crate::report::id::{Id, Proof};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Something that befell a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it was.
    pub event: Event,
    /// `node=`, where the log has it.
    pub node: Option<Rc<str>>,
    /// The guest's name; empty where there is no guest.
    pub vm: Rc<str>,
    /// The guest's UUID.
    pub uuid: Uuid,
    /// Who did it; `?` if not known.
    pub user: Rc<str>,
    /// When it began.
    pub start: Id,
    /// When it ended, if it did.
    pub end: Option<Id>,
    /// Why it ended.
    pub fate: Fate,
    /// Whether it succeeded.
    pub success: bool,
    /// The events that it was made from.
    pub proof: Proof,
}

/// How a session or an assignment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It goes on.
    Open,
    /// It was stopped.
    Stopped,
    /// The guest was started again, without a stop in the log.
    Restarted,
    /// The machine went down.
    Down,
}

/// What befell a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It was started: a session.
    Start {
        /// libvirt's word: `booted`, `restored`.
        reason: Rc<str>,
        /// What was found in mappings that are its disks.
        violations: Vec<Violations>,
    },
    /// It was stopped.
    Stop {
        /// libvirt's word: `shutdown`, `destroyed`.
        reason: Rc<str>,
    },
    /// It was given something.
    Given(Given),
    /// A violation was found in a mapping that one of its disks is, or stands on.
    Violation {
        /// The target that found it.
        target: Rc<str>,
        /// `op=`.
        operation: Rc<str>,
        /// The mapping: `253:0`.
        device: Device,
        /// The guest's disk.
        path: Rc<str>,
        /// Where, in the target's unit.
        sector: Option<u64>,
        /// How the disk and the mapping are tied.
        tie: Tie,
    },
    /// It was refused something, or something of it was refused to another.
    Avc {
        /// What was tried.
        operation: Rc<str>,
        /// `denied` or `granted`.
        result: Rc<str>,
        /// The name of the task that tried.
        comm: Rc<str>,
        /// On what.
        target: Rc<str>,
        /// Of a relabelling: the label.
        context: Rc<str>,
    },
    /// Its process did something unusual.
    Anomaly {
        /// The record's type: `ANOM_ABEND`.
        what: Rc<str>,
        /// The signal that ended it, if one did.
        signal: Option<u32>,
    },
    /// The machine went down.
    Down,
}

/// What a guest is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Given {
    /// A disk, an interface, memory, processors, ...
    Resource {
        /// `disk`, `net`, `mem`, `vcpu`, ...
        kind: Rc<str>,
        /// `start`, `attach`, ...
        reason: Rc<str>,
        /// What: a path, an address, a number.
        what: Rc<str>,
    },
    /// A descriptor was opened for one of its interfaces, before it got the interface.
    Opened {
        /// The interface.
        mac: Rc<str>,
        /// What was opened: `/dev/net/tun`.
        path: Rc<str>,
        /// Which device that is, `0A:C8`, if it is one.
        rdev: Option<Rc<str>>,
        /// Whether the guest got the interface.
        given: bool,
    },
    /// Its cgroup was allowed or refused something.
    Cgroup {
        /// `allow` or `deny`.
        reason: Rc<str>,
        /// `all`, `major`, `path`.
        class: Rc<str>,
        /// `rw`, `rwm`, ...
        acl: Rc<str>,
        /// Which path or category.
        what: Rc<str>,
    },
}

/// How a disk of a guest and a mapping are tied. None of these tells who read: the guest, or the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tie {
    /// The disk is the mapping.
    Is,
    /// The mapping is beneath the disk, as libvirt found it when the guest was given the disk.
    Beneath,
    /// The disk is the mapping or stands on it now, on this machine.
    Now,
}

/// What was found in a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violations {
    /// The mapping: `253:0`.
    pub device: Device,
    /// The path that the guest has as its disk.
    pub path: Rc<str>,
    /// How the two are tied.
    pub tie: Tie,
    /// How many records.
    pub count: u64,
    /// Where, in the target's unit.
    pub sectors: Ranges,
    /// The records.
    pub proof: Proof,
}

impl Violations {
    /// None yet, in `device`, beneath the disk `path`. `proof` is kept, or not, as this one.
    pub(super) fn none(device: &Device, path: &Rc<str>, proof: &Proof) -> Self {
        Self {
            device: device.clone(),
            path: path.clone(),
            tie: Tie::Is,
            count: 0,
            sectors: Ranges::default(),
            proof: proof.another(),
        }
    }
}

impl Row {
    /// Whether it is a session, told also without `--all-events`.
    pub fn is_session(&self) -> bool {
        matches!(self.event, Event::Start { .. })
    }

    /// In one word, as the manual has it.
    pub fn word(&self) -> &'static str {
        match self.event {
            Event::Start { .. } => "start",
            Event::Stop { .. } => "stop",
            Event::Given(_) => "res",
            Event::Violation { .. } => "viol",
            Event::Avc { .. } => "avc",
            Event::Anomaly { .. } => "anom",
            Event::Down => "down",
        }
    }

    /// Whether it is one of those that can fail, and did.
    pub fn failed(&self) -> bool {
        !self.success
            && !matches!(
                self.event,
                Event::Avc { .. } | Event::Anomaly { .. } | Event::Violation { .. }
            )
    }
}
