// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A namespace, from its creation to its deletion.

use crate::report::id::{Id, Proof, Who};
use dmns_audit_uapi::ns::Kind;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// A namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Namespace {
    /// Its place among all: those created later have a greater one.
    pub order: u64,
    /// Its kind, by its place in [`Kind::ALL`].
    kind: u8,
    /// Its number: the inode number minus `PROC_DYNAMIC_FIRST`. Recycled.
    pub number: i32,
    /// Its id, which is not recycled; `None` where the log has only its number.
    pub id: Option<u64>,
    /// `node=`, where the log has it.
    pub node: Option<Rc<str>>,
    /// Its ancestors, oldest first, by [`Namespace::order`].
    pub ancestors: Rc<[u64]>,
    /// The ancestors of its children, which they share.
    #[serde(skip)]
    below: Option<Rc<[u64]>>,
    /// The one it was cloned from: number and id.
    pub parent: Option<(i32, Option<u64>)>,
    /// It existed at boot.
    pub initial: bool,
    /// The task that created it.
    pub maker: Option<Who>,
    /// The task that ran its deletion, which often did not cause it.
    pub deleter: Option<Who>,
    /// Time of creation; `None` if that is not in the log. For an initial one, time of its record.
    pub start: Option<Id>,
    /// Time of its deletion, or of the machine's shutdown.
    pub end: Option<Id>,
    /// It ended with the machine.
    pub down: bool,
    /// Number of events inside it.
    pub events: u64,
    /// The container that it was created for, by its place among containers.
    pub container: Option<u64>,
}

/// Maximum number of ancestors that are kept. Deeper namespaces are siblings of the last.
const DEEP: usize = 64;

impl Namespace {
    pub(super) fn new(order: u64, kind: Kind, number: i32, node: Option<Rc<str>>) -> Self {
        let kind = Kind::ALL.iter().position(|known| *known == kind);
        Self {
            order,
            kind: kind.unwrap_or(0) as u8,
            number,
            id: None,
            node,
            ancestors: Rc::default(),
            below: None,
            parent: None,
            // Those made before any task have the numbers below the first dynamic one.
            initial: number < 0,
            maker: None,
            deleter: None,
            start: None,
            end: None,
            down: false,
            events: 0,
            container: None,
        }
    }

    /// Sets the parent.
    pub(super) fn descends_from(&mut self, parent: &mut Self) {
        self.parent = Some((parent.number, parent.id));
        let (above, order) = (&parent.ancestors, parent.order);
        let below = parent.below.get_or_insert_with(|| {
            let own = std::iter::once(order).take(DEEP - above.len().min(DEEP));
            above.iter().copied().chain(own).collect()
        });
        self.ancestors = below.clone();
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.kind) % Kind::ALL.len()]
    }

    /// Its place in the tree of its kind: before those that descend from it.
    pub fn path(&self) -> (u8, Vec<u64>) {
        let own = std::iter::once(self.order);
        let path = self.ancestors.iter().copied().chain(own);
        (self.kind, path.collect())
    }

    /// The events that it was made from.
    pub fn proof(&self) -> Proof {
        let mut proof = Proof::default();
        self.start
            .into_iter()
            .chain(self.end)
            .for_each(|id| proof.add(id));
        proof
    }
}
