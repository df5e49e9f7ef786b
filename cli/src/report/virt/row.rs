// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A row of the report.

use crate::ranges::Ranges;
use crate::record::device::Device;
use crate::record::uuid::Uuid;
use crate::report::id::{Id, Proof};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// An event of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The kind of event.
    pub event: Event,
    /// `node=`, where the log has it.
    pub node: Option<Rc<str>>,
    /// The guest's name; empty where there is no guest.
    pub vm: Rc<str>,
    /// The guest's UUID.
    pub uuid: Uuid,
    /// The user; `?` if not known.
    pub user: Rc<str>,
    /// Time of its beginning.
    pub start: Id,
    /// Time of its end, if it ended.
    pub end: Option<Id>,
    /// The reason of its end.
    pub end_reason: EndReason,
    /// Success.
    pub success: bool,
    /// The events behind it.
    pub proof: Proof,
}

/// The reason of the end of a session or assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// It is active.
    Active,
    /// It was stopped.
    Stopped,
    /// The guest was started again, without a stop in the log.
    Restarted,
    /// The machine went down.
    Down,
}

/// The kind of an event of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It was started: a session.
    Start {
        /// libvirt's word: `booted`, `restored`.
        reason: Rc<str>,
        /// Violations in its disks.
        violations: Vec<Violations>,
    },
    /// It was stopped.
    Stop {
        /// libvirt's word: `shutdown`, `destroyed`.
        reason: Rc<str>,
    },
    /// A resource was attached.
    Given(Given),
    /// A violation was found in a mapping that is one of its disks, or below one.
    Violation {
        /// The target that found it.
        target: Rc<str>,
        /// `op=`.
        operation: Rc<str>,
        /// The mapping: `253:0`.
        device: Device,
        /// The guest's disk.
        path: Rc<str>,
        /// Sectors or blocks, in the target's unit.
        sector: Option<u64>,
        /// The relation of disk and mapping.
        relation: Relation,
    },
    /// An access by the guest, or to its files, was refused.
    Avc {
        /// The operation.
        operation: Rc<str>,
        /// `denied` or `granted`.
        result: Rc<str>,
        /// The name of the task that tried.
        comm: Rc<str>,
        /// On what.
        target: Rc<str>,
        /// The label of a relabelling.
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

/// A resource of a guest.
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
        /// The opened file: `/dev/net/tun`.
        path: Rc<str>,
        /// Its device number, `0A:C8`, if it is a device.
        rdev: Option<Rc<str>>,
        /// The guest got the interface.
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
        /// The path or category.
        what: Rc<str>,
    },
}

/// The relation of a guest's disk to a mapping. None of these has the reader: guest or host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// The disk is the mapping.
    Same,
    /// The mapping is below the disk, as libvirt found it when it attached the disk.
    Below,
    /// The disk is the mapping or stands on it now, on this machine.
    Inferred,
}

/// Violations in a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violations {
    /// The mapping: `253:0`.
    pub device: Device,
    /// The path that the guest has as its disk.
    pub path: Rc<str>,
    /// The relation of the two.
    pub relation: Relation,
    /// Number of records.
    pub count: u64,
    /// Sectors or blocks, in the target's unit.
    pub sectors: Ranges,
    /// The records.
    pub proof: Proof,
}

impl Violations {
    /// Creates an empty set for `device`, below the disk `path`. Keeps events if `proof` does.
    pub(super) fn none(device: &Device, path: &Rc<str>, proof: &Proof) -> Self {
        Self {
            device: device.clone(),
            path: path.clone(),
            relation: Relation::Same,
            count: 0,
            sectors: Ranges::default(),
            proof: proof.another(),
        }
    }
}

impl Row {
    /// Returns whether it is a session, which is reported also without `--all-events`.
    pub fn is_session(&self) -> bool {
        matches!(self.event, Event::Start { .. })
    }

    /// Returns whether it is a session or a resource that has not ended.
    pub fn is_active(&self) -> bool {
        self.lasts() && !self.failed() && self.end_reason == EndReason::Active
    }

    /// Returns whether it is something that can last.
    pub fn lasts(&self) -> bool {
        matches!(self.event, Event::Start { .. } | Event::Given(_))
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

    /// Returns whether it failed.
    pub fn failed(&self) -> bool {
        !self.success
            && !matches!(
                self.event,
                Event::Avc { .. } | Event::Anomaly { .. } | Event::Violation { .. }
            )
    }
}
