// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts records of one event together. They come close to each other, but those of other events between.

use crate::record::head::{self, Parsed};
use crate::record::{Head, Type, event};
use crate::report::Id;
use std::collections::VecDeque;

/// How many events may be incomplete at a time.
const MOST: usize = 256;

/// An event: lines of records that share a stamp.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its stamp.
    pub id: Id,
    /// `node=`, if there is one.
    node: Option<Box<[u8]>>,
    lines: Vec<Vec<u8>>,
    /// All its records came.
    whole: bool,
}

impl Event {
    /// Its records, in the order in which they came.
    pub fn records(&self) -> impl Iterator<Item = Head<'_>> {
        self.lines
            .iter()
            .filter_map(|line| match head::parse(line) {
                Parsed::Record(head) => Some(head),
                _ => None,
            })
    }

    /// `node=`, if there is one.
    pub fn node(&self) -> Option<&[u8]> {
        self.node.as_deref()
    }
}

/// Events whose records may not all have come, oldest first.
#[derive(Debug, Default)]
pub struct Events(VecDeque<Event>);

impl Events {
    /// A record came. Returns the events that are whole now, in order.
    pub fn record(&mut self, line: &[u8]) -> Vec<Event> {
        let Parsed::Record(head) = head::parse(line) else {
            return Vec::new();
        };
        let id = Id::from(head.stamp);
        let known = self
            .0
            .iter()
            .rposition(|event| event.id == id && event.node.as_deref() == head.node);
        let at = match known {
            Some(at) => at,
            None if head.ty == Type::Eoe => return Vec::new(),
            None => {
                self.0.push_back(Event {
                    id,
                    node: head.node.map(Box::from),
                    lines: Vec::new(),
                    whole: false,
                });
                self.0.len() - 1
            }
        };
        let event = &mut self.0[at];
        // The kernel ends the event of a system call with EOE. PROCTITLE is the last before it, and all that
        // auditd hands to plugins of some versions.
        event.whole |= head.ty == Type::Eoe || head.name == b"PROCTITLE" || head.name == b"1327";
        // What user space tells is an event by itself.
        event.whole |= matches!(head.ty, Type::Virt(_));
        if head.ty != Type::Eoe {
            event.lines.push(line.to_vec());
        }
        // One that is behind by many, or by two seconds, has all that it gets.
        let crowded = self.0.len() > MOST;
        let mut whole = Vec::new();
        while let Some(first) = self.0.front() {
            let old = event::is_over(first.id.seconds, id.seconds);
            if !(first.whole || old || crowded && whole.is_empty()) {
                break;
            }
            whole.extend(self.0.pop_front());
        }
        whole
    }

    /// Nothing came for a while: all are whole.
    pub fn all(&mut self) -> Vec<Event> {
        self.0.drain(..).collect()
    }
}
