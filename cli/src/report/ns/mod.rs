// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report ns`: the tree of namespaces by kind and ancestry, and what happened inside one.
//!
//! - [`tree`]: makes namespaces of records.
//! - [`event`]: what an event was.
//! - [`container`]: the events inside a container.
//! - [`show`]: text and JSON.

pub mod container;
pub mod event;
pub mod show;
pub mod tree;

use super::{Collector, Id, Options};
use crate::input::Wanted;
use crate::record::{Head, Type};
use container::{Container, Inside};
use dmns_audit_uapi::types::RecordType;
use std::io::{self, Write};
use tree::{Namespace, Tree};

/// Collects namespaces.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    few: Wanted,
    /// The same and system calls, while a creation waits for its own.
    more: Wanted,
    all: Wanted,
    tree: Tree,
    inside: Option<Inside>,
}

impl<'a> Report<'a> {
    /// A report as `options` ask for it; with `container`, of what happened inside that.
    pub fn new(options: &'a Options, container: Option<Container>) -> Self {
        Self {
            options,
            few: Wanted::types(&["NS_I", "NS_D", "SYST"]),
            more: Wanted::types(&["NS_I", "NS_D", "SYST", "SYSC"]),
            all: Wanted::all(),
            tree: Tree::default(),
            inside: container.map(Inside::new),
        }
    }

    /// What was collected so far.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Writes the report.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to, or rows cannot be read back.
    pub fn end(self, out: &mut dyn Write) -> io::Result<()> {
        let options = self.options;
        match self.inside {
            Some(inside) => inside.end(options, out),
            None if options.json => show::json_tree(&self.tree, options, out),
            None => show::tree(&self.tree, options, out),
        }
    }
}

/// Whether `namespace` lived in the period that was asked for.
fn in_window(namespace: &Namespace, options: &Options) -> bool {
    let window = options.window;
    let before = |id: Id| {
        window
            .start
            .is_some_and(|start| (id.seconds as i64) < start)
    };
    let after = |id: Id| window.end.is_some_and(|end| id.seconds as i64 > end);
    !namespace.end.is_some_and(before) && !namespace.start.is_some_and(after)
}

impl Collector for Report<'_> {
    fn wanted(&self) -> &Wanted {
        match (&self.inside, self.tree.is_waiting()) {
            (Some(_), _) => &self.all,
            (None, true) => &self.more,
            (None, false) => &self.few,
        }
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        let users = &self.options.users;
        let ours = match head.ty {
            Type::Ours(RecordType::NsInit(kind)) => self.tree.created(kind, head, users),
            Type::Ours(RecordType::NsDel(kind)) => self.tree.deleted(kind, head, users),
            Type::Ours(RecordType::NsInfo) => {
                let count = self.options.window.has(head.stamp.seconds);
                let seen = self.tree.info(head, count);
                if let Some(inside) = &mut self.inside {
                    inside.info(seen);
                }
                None
            }
            Type::Syscall => {
                self.tree.syscall(head);
                None
            }
            Type::SystemBoot | Type::SystemShutdown => {
                self.tree.down(head);
                None
            }
            _ => None,
        };
        match &mut self.inside {
            Some(inside) => inside.record(head, ours, &self.tree, self.options),
            None => Ok(()),
        }
    }
}
