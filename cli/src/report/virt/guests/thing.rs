// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a guest has, as it is kept while it has it: what many of them have in common is kept once.

use super::super::row::{Event, Given};
use crate::record::names::Once;
use hashbrown::Equivalent;
use std::rc::Rc;

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
