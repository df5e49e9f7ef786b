// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What goes on: sessions, and what guests have. There may be hundreds of thousands, so what can be said in the end, when
//! a row is made of it, is not kept here.

use super::super::row::{Event, Fate, Row, Violations};
use super::thing::Thing;
use crate::record::uuid::Uuid;
use crate::report::id::{Id, Proof};
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
