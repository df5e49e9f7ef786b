// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The events inside a container: those whose NS_INFO names one of its namespaces, or one that was cloned
//! from it.

use super::event::Event;
use super::show;
use super::tree::{Namespace, Tree};
use crate::record::{Head, Type};
use crate::report::Options;
use crate::report::id::Id;
use crate::report::spool::Spool;
use dmns_audit_uapi::ns::{Kind, relative};
use std::collections::VecDeque;
use std::io::{self, Write};

/// How many events are put together at a time.
const MOST: usize = 256;

/// What tells a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// The `ns_id` of one of its namespaces.
    Id(u64),
    /// The kind and number of one of its namespaces.
    Number(Kind, i32),
}

impl Container {
    /// Reads `17` (an `ns_id`), `netns=3`, `net:3`, or `net:[4026531843]` as `/proc/PID/ns` shows it.
    ///
    /// # Errors
    ///
    /// A sentence that says what was expected.
    pub fn parse(value: &str) -> Result<Self, String> {
        if let Ok(id) = value.parse() {
            return Ok(Self::Id(id));
        }
        let explain = || {
            format!(
                "'{value}' is no container: an ns_id (17), netns=3, net:3 or net:[4026531843] expected"
            )
        };
        let (kind, number) = value.split_once(['=', ':']).ok_or_else(explain)?;
        let kind = kind.strip_suffix("ns").unwrap_or(kind);
        let kind = Kind::ALL
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(explain)?;
        let inode = number.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let number = match inode {
            Some(inode) => inode.parse::<u32>().ok().map(relative),
            None => number.parse().ok(),
        };
        Ok(Self::Number(kind, number.ok_or_else(explain)?))
    }

    fn is(&self, namespace: &Namespace) -> bool {
        match *self {
            Self::Id(id) => namespace.id == Some(id),
            Self::Number(kind, number) => (namespace.kind, namespace.number) == (kind, number),
        }
    }
}

/// Collects the events inside a container.
#[derive(Debug)]
pub struct Inside {
    container: Container,
    /// Events of which more may come, oldest first.
    growing: VecDeque<Event>,
    order: u64,
    rows: Spool<Event>,
    columns: show::Events,
    /// What NS_INFO said of the record that comes now.
    seen: Option<Vec<usize>>,
    /// A namespace of the container was seen; any NS_INFO was.
    found: bool,
    informed: bool,
}

impl Inside {
    /// Events inside `container`.
    pub fn new(container: Container) -> Self {
        Self {
            container,
            growing: VecDeque::new(),
            order: 0,
            rows: Spool::default(),
            columns: show::Events::default(),
            seen: None,
            found: false,
            informed: false,
        }
    }

    /// The record that comes now is an NS_INFO that names the namespaces `seen`.
    pub fn info(&mut self, seen: Vec<usize>) {
        self.informed = true;
        self.seen = Some(seen);
    }

    /// A record of any type; `ours` is the namespace that it created or deleted.
    ///
    /// # Errors
    ///
    /// Where rows cannot be kept.
    pub fn record(
        &mut self,
        head: &Head<'_>,
        ours: Option<usize>,
        tree: &Tree,
        options: &Options,
    ) -> io::Result<()> {
        let seen = self.seen.take().unwrap_or_default();
        if head.ty == Type::Eoe || !options.window.has(head.stamp.seconds) {
            return Ok(());
        }
        let id = Id::from(head.stamp);
        let node = head.node_name();
        let at = self
            .growing
            .iter()
            .rposition(|event| event.id == id && event.node == node);
        let at = match at {
            Some(at) => at,
            None => {
                if self.growing.len() == MOST {
                    self.grown(options)?;
                }
                self.growing.push_back(Event::new(id, node));
                self.growing.len() - 1
            }
        };
        let container = self.container;
        let inside = |&at: &usize| tree.descends(at, |namespace| container.is(namespace));
        let event = &mut self.growing[at];
        event.add(head, options);
        event
            .namespaces
            .extend(ours.map(|at| show::name(&tree.all()[at])));
        if seen.iter().chain(&ours).any(inside) {
            event.inside = true;
            self.found = true;
        }
        Ok(())
    }

    /// The oldest event is whole.
    fn grown(&mut self, options: &Options) -> io::Result<()> {
        if let Some(event) = self.growing.pop_front().filter(|event| event.inside) {
            self.order += 1;
            self.columns.measure(&event, options);
            self.rows.push(self.order, &event)?;
        }
        Ok(())
    }

    /// Writes the events.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        while !self.growing.is_empty() {
            self.grown(options)?;
        }
        if options.json {
            return self
                .rows
                .drain(|event| show::json_event(&event, options, out));
        }
        if !self.found {
            return writeln!(out, "no namespace of this container is in the log");
        }
        self.columns.begin(options, out)?;
        let columns = self.columns;
        self.rows.drain(|event| columns.row(&event, options, out))?;
        if !self.informed {
            writeln!(
                out,
                "there are no NS_INFO records, so only creations and deletions are known"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_by_id_or_number() {
        for (text, container) in [
            ("17", Container::Id(17)),
            ("netns=3", Container::Number(Kind::Net, 3)),
            ("net:3", Container::Number(Kind::Net, 3)),
            ("net:[4026531843]", Container::Number(Kind::Net, 3)),
            ("user:-3", Container::Number(Kind::User, -3)),
        ] {
            assert_eq!(Container::parse(text), Ok(container), "{text}");
        }
        for wrong in ["", "net", "foo:3", "net:x", "net:[x]"] {
            assert!(Container::parse(wrong).expect_err(wrong).contains("ns_id"));
        }
    }
}
