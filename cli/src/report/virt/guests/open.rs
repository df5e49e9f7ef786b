// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What goes on: sessions, and what guests have. There may be hundreds of thousands, so what can be said in the end, when
//! a row is made of it, is not kept here.

use super::super::row::{Event, Fate, Given, Row, Violations};
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
    /// What the guest was called then.
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
    /// Of a container, its first process.
    pub(super) init: Option<i32>,
    /// What was found in disks that it no longer has.
    pub(super) violations: Vec<Violations>,
}

/// A session of a guest.
pub(super) type Session = Open<Started>;

/// Something that a guest has.
pub(super) type Has = Open<Thing>;

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
            fate: Fate::Open,
            success: true,
            proof: self.proof,
        };
        (self.order, row)
    }

    /// The same of what was tried in vain.
    pub(super) fn failed(self, node: Option<Rc<str>>, uuid: Uuid) -> (u64, Row) {
        let (order, row) = self.row(node, uuid);
        let success = false;
        (order, Row { success, ..row })
    }
}

/// The rows about a session and what the guest has in it.
pub(super) fn rows(
    session: Option<Box<Session>>,
    resources: Vec<Has>,
    node: Option<Rc<str>>,
    uuid: Uuid,
) -> impl Iterator<Item = (u64, Row)> {
    let session = session.map(|open| open.row(node.clone(), uuid.clone()));
    let resources = resources.into_iter();
    let resources = resources.map(move |open| open.row(node.clone(), uuid.clone()));
    session.into_iter().chain(resources)
}

/// The reason of such a start, and of such a stop.
pub(super) const MIGRATED: &str = "migrated";

/// What a guest has where it comes from, while it moves between two managers of one host: it is started by the second,
/// then stopped by the first.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) session: Box<Session>,
    pub(super) resources: Vec<Has>,
}

/// A [`Given`] without that which tells two from each other. `S`: a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sort<S> {
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

/// Sorts, each kept once.
#[derive(Debug, Default)]
pub(super) struct Sorts(Once<Sort<Rc<str>>>);

/// What a guest has.
#[derive(Debug)]
pub(super) struct Thing {
    pub(super) sort: Rc<Sort<Rc<str>>>,
    /// The path, the address, the number.
    pub(super) what: Rc<str>,
}

impl<S> Sort<S> {
    fn map<'a, T>(&'a self, text: impl Fn(&'a S) -> T) -> Sort<T> {
        match self {
            Self::Resource { kind, reason } => Sort::Resource {
                kind: text(kind),
                reason: text(reason),
            },
            Self::Opened { mac, rdev, given } => Sort::Opened {
                mac: text(mac),
                rdev: rdev.as_ref().map(text),
                given: *given,
            },
            Self::Cgroup { reason, class, acl } => Sort::Cgroup {
                reason: text(reason),
                class: text(class),
                acl: text(acl),
            },
        }
    }
}

impl Equivalent<Rc<Sort<Rc<str>>>> for Sort<&str> {
    fn equivalent(&self, known: &Rc<Sort<Rc<str>>>) -> bool {
        *self == known.map(|text| &**text)
    }
}

impl Sorts {
    /// `sort`, kept.
    pub(super) fn get(&self, sort: &Sort<&str>) -> Rc<Sort<Rc<str>>> {
        self.0.of(sort, |sort| sort.map(|&text| text.into()))
    }
}

impl Thing {
    /// The interface that it was opened for, if the guest did not get it or got it, as `given` says.
    pub(super) fn opened_for(&self, is_given: bool) -> Option<&str> {
        match &*self.sort {
            Sort::Opened { mac, given, .. } if *given == is_given => Some(mac),
            _ => None,
        }
    }

    /// If it was opened for an interface: the guest got that, or did not.
    pub(super) fn set_given(&mut self, given: bool, sorts: &Sorts) {
        if let Sort::Opened { mac, rdev, .. } = &*self.sort {
            let (mac, rdev) = (&**mac, rdev.as_deref());
            self.sort = sorts.get(&Sort::Opened { mac, rdev, given });
        }
    }

    /// What it is, if it is neither opened for another thing nor of a cgroup.
    pub(super) fn resource(&self) -> Option<&Rc<str>> {
        matches!(*self.sort, Sort::Resource { .. }).then_some(&self.what)
    }
}

impl From<Thing> for Event {
    fn from(Thing { sort, what }: Thing) -> Self {
        Self::Given(match sort.map(Rc::clone) {
            Sort::Resource { kind, reason } => Given::Resource { kind, reason, what },
            Sort::Opened { mac, rdev, given } => Given::Opened {
                mac,
                path: what,
                rdev,
                given,
            },
            Sort::Cgroup { reason, class, acl } => Given::Cgroup {
                reason,
                class,
                acl,
                what,
            },
        })
    }
}
