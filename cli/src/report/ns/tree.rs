// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Makes namespaces of records, and knows which one has a number now.

use crate::record::Head;
use crate::record::event::{self, Serials};
use crate::record::users::Users;
use crate::record::value::{decoded, text};
use crate::report::id::{Id, Proof, Who};
use dmns_audit_uapi::line::fields;
use dmns_audit_uapi::ns::Kind;
use std::collections::{HashMap, VecDeque};

/// How many creations may wait for their SYSCALL.
const MOST: usize = 256;

/// A namespace, from its creation to its deletion.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its kind.
    pub kind: Kind,
    /// Its number: the inode number minus `PROC_DYNAMIC_FIRST`. Recycled.
    pub number: i32,
    /// Its id, which is not recycled; `None` where the log has only its number.
    pub id: Option<u64>,
    /// `node=`, where the log has it.
    pub node: Option<Box<str>>,
    /// The one it was cloned from, by its place in [`Tree::all`].
    pub parent: Option<usize>,
    /// It was there when the machine came up.
    pub initial: bool,
    /// Who created it.
    pub maker: Option<Box<Who>>,
    /// Who ran its deletion, which is often not who caused it.
    pub deleter: Option<Box<Who>>,
    /// When it was created; `None` if that is not in the log. Of an initial one, when it was told.
    pub start: Option<Id>,
    /// When it was deleted, or the machine went down.
    pub end: Option<Id>,
    /// It ended with the machine.
    pub down: bool,
    /// How many events happened inside it.
    pub events: u64,
}

type Node = Option<Box<str>>;

/// All namespaces.
#[derive(Debug, Default)]
pub struct Tree {
    all: Vec<Namespace>,
    by_id: HashMap<(Node, u64), usize>,
    by_number: HashMap<(Node, Kind, i32), usize>,
    serials: Serials,
    /// Creations that wait for their SYSCALL, which tells the program.
    waiting: VecDeque<(Node, Id, usize)>,
}

/// The values that are needed of a namespace record.
#[derive(Default)]
struct Values {
    number: Option<i32>,
    old: Option<i32>,
    initial: bool,
    id: Option<u64>,
}

fn values(kind: Kind, body: &str) -> Values {
    let mut values = Values::default();
    for field in fields(body) {
        let name = field.name.strip_suffix("ns").unwrap_or_default();
        match name.strip_prefix("old_") {
            Some(old) if old == kind.name() => {
                values.initial = field.value == "(none)";
                values.old = field.value.parse().ok();
            }
            None if name == kind.name() => values.number = field.value.parse().ok(),
            _ if field.name == "ns_id" => values.id = field.value.parse().ok(),
            _ => {}
        }
    }
    values
}

fn node(head: &Head<'_>) -> Node {
    head.node_name().map(Into::into)
}

impl Tree {
    /// All namespaces, in the order in which they were created.
    pub fn all(&self) -> &[Namespace] {
        &self.all
    }

    /// Whether a creation waits for its SYSCALL.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// `NS_INIT_*`. Tells the namespace.
    pub fn created(&mut self, kind: Kind, head: &Head<'_>, users: &Users) -> Option<usize> {
        let body = text(head.body);
        let Values {
            number,
            old,
            initial,
            id,
        } = values(kind, &body);
        let number = number?;
        let node = self.node_of(head);
        let stamp = Id::from(head.stamp);
        // The module was loaded again: the initial ones are told again.
        if let Some(known) = id.and_then(|id| self.by_id.get(&(node.clone(), id))) {
            if initial {
                return Some(*known);
            }
        }
        let parent = old.map(|old| self.with_number(&node, kind, old));
        let mut namespace = Namespace::new(kind, number, node.clone());
        namespace.id = id;
        namespace.parent = parent;
        // One that is found alive, and is no initial one, was made before the log begins.
        namespace.initial = initial && number < 0;
        if namespace.initial || !initial {
            namespace.start = Some(stamp);
            namespace.maker = Some(Box::new(Who::of(head, fields(&body), users)));
        }
        let at = self.add(namespace);
        if !initial {
            self.expire(stamp);
            self.waiting.push_back((node, stamp, at));
        }
        Some(at)
    }

    /// `NS_DEL_*`. Tells the namespace.
    pub fn deleted(&mut self, kind: Kind, head: &Head<'_>, users: &Users) -> Option<usize> {
        let body = text(head.body);
        let Values { number, id, .. } = values(kind, &body);
        let (number, node) = (number?, self.node_of(head));
        let stamp = Id::from(head.stamp);
        let known = id.and_then(|id| self.by_id.remove(&(node.clone(), id)));
        let at = match known {
            Some(at) => at,
            None => {
                // Made before the log begins: perhaps already known as an ancestor.
                let unnamed = self
                    .by_number
                    .get(&(node.clone(), kind, number))
                    .copied()
                    .filter(|&at| self.all[at].id.is_none());
                match unnamed {
                    Some(at) => at,
                    None => self.add(Namespace::new(kind, number, node.clone())),
                }
            }
        };
        if self.by_number.get(&(node.clone(), kind, number)) == Some(&at) {
            self.by_number.remove(&(node, kind, number));
        }
        let namespace = &mut self.all[at];
        namespace.id = id;
        namespace.end = Some(stamp);
        namespace.deleter = Some(Box::new(Who::of(head, fields(&body), users)));
        Some(at)
    }

    /// `NS_INFO`: the namespaces of a task, as they are now. `count`: the event counts as one inside them.
    pub fn info(&mut self, head: &Head<'_>, count: bool) -> Vec<usize> {
        let body = text(head.body);
        let node = self.node_of(head);
        let mut seen = Vec::new();
        for field in fields(&body) {
            let name = field.name.strip_suffix("ns").unwrap_or_default();
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            if let (Some(kind), Ok(number)) = (kind, field.value.parse()) {
                let at = self.with_number(&node, kind, number);
                self.all[at].events += u64::from(count);
                seen.push(at);
            }
        }
        seen
    }

    /// The system call of an event in which a namespace may have been created.
    pub fn syscall(&mut self, head: &Head<'_>) {
        let id = Id::from(head.stamp);
        if self.waiting.is_empty() {
            return;
        }
        let node = node(head);
        let body = text(head.body);
        let of_event = |(n, i, _): &(Node, Id, usize)| *i == id && *n == node;
        let places: Vec<usize> = self
            .waiting
            .iter()
            .filter(|waits| of_event(waits))
            .map(|(.., at)| *at)
            .collect();
        self.waiting.retain(|waits| !of_event(waits));
        for at in places {
            if let Some(maker) = &mut self.all[at].maker {
                for field in fields(&body) {
                    match field.name {
                        "comm" => maker.comm = decoded(field.value).into_owned(),
                        "exe" => maker.exe = decoded(field.value).into_owned(),
                        _ => {}
                    }
                }
            }
        }
        self.expire(id);
    }

    fn expire(&mut self, now: Id) {
        while self.waiting.len() > MOST
            || self
                .waiting
                .front()
                .is_some_and(|(_, then, _)| event::is_over(then.seconds, now.seconds))
        {
            self.waiting.pop_front();
        }
    }

    /// The machine goes down or came up: nothing lives.
    pub fn down(&mut self, head: &Head<'_>) {
        self.serials.began_anew(head);
        self.ends(&node(head), Id::from(head.stamp));
    }

    fn ends(&mut self, node: &Node, id: Id) {
        let living = self.by_id.values().chain(self.by_number.values());
        for &at in living {
            let namespace = &mut self.all[at];
            if namespace.node == *node && namespace.end.is_none() {
                namespace.end = Some(id);
                namespace.down = true;
            }
        }
        self.by_id.retain(|(of, _), _| of != node);
        self.by_number.retain(|(of, ..), _| of != node);
    }

    /// The node of `head`; if its serial numbers began anew, it came up in between.
    fn node_of(&mut self, head: &Head<'_>) -> Node {
        let node = node(head);
        if self.serials.began_anew(head) {
            self.ends(&node, Id::from(head.stamp));
        }
        node
    }

    /// The namespace that has `number` now; one that was there before the log, if none is known.
    fn with_number(&mut self, node: &Node, kind: Kind, number: i32) -> usize {
        match self.by_number.get(&(node.clone(), kind, number)) {
            Some(&at) => at,
            None => self.add(Namespace::new(kind, number, node.clone())),
        }
    }

    fn add(&mut self, namespace: Namespace) -> usize {
        let at = self.all.len();
        let node = namespace.node.clone();
        if let Some(id) = namespace.id {
            self.by_id.insert((node.clone(), id), at);
        }
        let number = (node, namespace.kind, namespace.number);
        self.by_number.insert(number, at);
        self.all.push(namespace);
        at
    }

    /// Whether `at` or one that it descends from is such as `is` says.
    pub fn descends(&self, at: usize, is: impl Fn(&Namespace) -> bool) -> bool {
        let mut next = Some(at);
        while let Some(at) = next {
            if is(&self.all[at]) {
                return true;
            }
            next = self.all[at].parent;
        }
        false
    }
}

impl Namespace {
    /// The events that it was made from.
    pub fn proof(&self) -> Proof {
        let mut proof = Proof::default();
        self.start
            .into_iter()
            .chain(self.end)
            .for_each(|id| proof.add(id));
        proof
    }

    fn new(kind: Kind, number: i32, node: Node) -> Self {
        Self {
            kind,
            number,
            id: None,
            node,
            parent: None,
            // Those made before any task have the numbers below the first dynamic one.
            initial: number < 0,
            maker: None,
            deleter: None,
            start: None,
            end: None,
            down: false,
            events: 0,
        }
    }
}
