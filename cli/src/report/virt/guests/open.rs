// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Active sessions and resources of guests. They are kept small: there may be hundreds of thousands. Data that a row
//! can get at its end is not kept here.

use super::super::row::{EndReason, Event, Given, Row, Violations};
use crate::record::names::Once;
use crate::record::uuid::Uuid;
use crate::report::id::{Id, Proof};
use hashbrown::Equivalent;
use std::rc::Rc;

/// Something that has begun. Of which guest it is, on which host, whoever has it knows.
#[derive(Debug)]
pub(super) struct Open<T> {
    /// Its place among all rows.
    pub(super) order: u64,
    /// The name of the guest at that time.
    pub(super) vm: Rc<str>,
    pub(super) user: Rc<str>,
    pub(super) start: Id,
    pub(super) proof: Proof,
    pub(super) what: T,
}

/// A guest runs.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) reason: Rc<str>,
    /// The process that the guest runs in.
    pub(super) pid: Option<i32>,
    /// The first process of a container.
    pub(super) init: Option<i32>,
    /// Violations in disks that it no longer has.
    pub(super) violations: Vec<Violations>,
}

/// A session of a guest.
pub(super) type Session = Open<Started>;

/// Something that a guest has.
pub(super) type Assignment = Open<AssignedResource>;

impl Started {
    /// The processes that the guest runs in.
    pub(super) fn pids(&self) -> impl Iterator<Item = i32> + use<> {
        [self.pid, self.init].into_iter().flatten()
    }
}

impl From<Started> for Event {
    fn from(started: Started) -> Self {
        Self::Start {
            reason: started.reason,
            violations: started.violations,
        }
    }
}

impl<T: Into<Event>> Open<T> {
    /// The row about it, of the guest `uuid` on `node`, and its place.
    pub(super) fn row(self, node: Option<Rc<str>>, uuid: Uuid) -> (u64, Row) {
        let row = Row {
            event: self.what.into(),
            node,
            vm: self.vm,
            uuid,
            user: self.user,
            start: self.start,
            end: None,
            end_reason: EndReason::Active,
            success: true,
            proof: self.proof,
        };
        (self.order, row)
    }

    /// Returns the row of a failed attempt.
    pub(super) fn failed(self, node: Option<Rc<str>>, uuid: Uuid) -> (u64, Row) {
        let (order, row) = self.row(node, uuid);
        let success = false;
        (order, Row { success, ..row })
    }
}

/// The rows about a session and what the guest has in it.
pub(super) fn rows(
    session: Option<Box<Session>>,
    resources: Vec<Assignment>,
    node: Option<Rc<str>>,
    uuid: Uuid,
) -> impl Iterator<Item = (u64, Row)> {
    let session = session.map(|open| open.row(node.clone(), uuid.clone()));
    let resources = resources.into_iter();
    let resources = resources.map(move |open| open.row(node.clone(), uuid.clone()));
    session.into_iter().chain(resources)
}

/// The reason of a start or a stop by migration.
pub(super) const MIGRATED: &str = "migrated";

/// The source side of a guest that moves between two managers of one host. The second starts it, then the first stops
/// it.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) session: Box<Session>,
    pub(super) resources: Vec<Assignment>,
}

/// The kind of a resource: a [`Given`] without its value. `S`: a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResourceKind<S> {
    Resource {
        kind: S,
        reason: S,
    },
    Opened {
        mac: S,
        rdev: Option<S>,
        given: bool,
    },
    Cgroup {
        reason: S,
        class: S,
        acl: S,
    },
}

/// Interned kinds of resources.
#[derive(Debug, Default)]
pub(super) struct ResourceKinds(Once<ResourceKind<Rc<str>>>);

/// A resource of a guest.
#[derive(Debug)]
pub(super) struct AssignedResource {
    pub(super) sort: Rc<ResourceKind<Rc<str>>>,
    /// The path, the address, the number.
    pub(super) what: Rc<str>,
}

impl<S> ResourceKind<S> {
    fn map<'a, T>(&'a self, text: impl Fn(&'a S) -> T) -> ResourceKind<T> {
        match self {
            Self::Resource { kind, reason } => ResourceKind::Resource {
                kind: text(kind),
                reason: text(reason),
            },
            Self::Opened { mac, rdev, given } => ResourceKind::Opened {
                mac: text(mac),
                rdev: rdev.as_ref().map(text),
                given: *given,
            },
            Self::Cgroup { reason, class, acl } => ResourceKind::Cgroup {
                reason: text(reason),
                class: text(class),
                acl: text(acl),
            },
        }
    }
}

impl Equivalent<Rc<ResourceKind<Rc<str>>>> for ResourceKind<&str> {
    fn equivalent(&self, known: &Rc<ResourceKind<Rc<str>>>) -> bool {
        *self == known.map(|text| &**text)
    }
}

impl ResourceKinds {
    /// `sort`, kept.
    pub(super) fn get(&self, sort: &ResourceKind<&str>) -> Rc<ResourceKind<Rc<str>>> {
        self.0.of(sort, |sort| sort.map(|&text| text.into()))
    }
}

impl AssignedResource {
    /// Returns the interface that it was opened for, if it is attached or not, as `is_given` says.
    pub(super) fn opened_for(&self, is_given: bool) -> Option<&str> {
        match &*self.sort {
            ResourceKind::Opened { mac, given, .. } if *given == is_given => Some(mac),
            _ => None,
        }
    }

    /// If it was opened for an interface: the guest got that, or did not.
    pub(super) fn set_given(&mut self, given: bool, sorts: &ResourceKinds) {
        if let ResourceKind::Opened { mac, rdev, .. } = &*self.sort {
            let (mac, rdev) = (&**mac, rdev.as_deref());
            self.sort = sorts.get(&ResourceKind::Opened { mac, rdev, given });
        }
    }

    /// Returns its value, if it is neither a descriptor nor a cgroup permission.
    pub(super) fn resource(&self) -> Option<&Rc<str>> {
        matches!(*self.sort, ResourceKind::Resource { .. }).then_some(&self.what)
    }
}

impl From<AssignedResource> for Event {
    fn from(AssignedResource { sort, what }: AssignedResource) -> Self {
        Self::Given(match sort.map(Rc::clone) {
            ResourceKind::Resource { kind, reason } => Given::Resource { kind, reason, what },
            ResourceKind::Opened { mac, rdev, given } => Given::Opened {
                mac,
                path: what,
                rdev,
                given,
            },
            ResourceKind::Cgroup { reason, class, acl } => Given::Cgroup {
                reason,
                class,
                acl,
                what,
            },
        })
    }
}
