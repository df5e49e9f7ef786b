// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report ns`: containers, namespaces by kind and ancestry, and the events inside one.
//!
//! - [`options`]: the options.
//! - [`namespace`]: a namespace.
//! - [`tree`]: builds namespaces from records.
//! - [`containers`]: builds containers from namespaces, and from records of runtimes.
//! - `groups`: names of containers without a record, by control group.
//! - `making`: groups namespaces that were created for one container.
//! - [`event`]: an event inside a container.
//! - [`container`]: the events inside a container.
//! - [`branches`]: all namespaces, as a tree.
//! - [`show`], [`show_containers`]: text and JSON.

pub mod branches;
pub mod container;
pub mod containers;
pub mod event;
mod groups;
mod making;
pub mod namespace;
pub mod options;
pub mod show;
pub mod show_containers;
pub mod tree;

use super::candidates::Candidates;
use super::columns::Rows;
use super::{Collector, Options, Who};
use crate::input::Wanted;
use crate::record::pending::Pending;
use crate::record::{Head, Type};
use branches::All;
use container::Inside;
use containers::{Container, Containers};
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;
use namespace::Namespace;
use show_containers::{Summary, Text};
use std::io::{self, Write};
use tree::Tree;

pub use options::NsOptions;

/// Message for a log without records of namespaces.
const MODULE: &str =
    "no records of namespaces in this log: was the module dmns_audit loaded (modprobe dmns_audit)?";

/// Maximum number of violations that wait for the container of their event.
const MOST: usize = 256;

/// Collects containers and namespaces.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    ns_options: &'a NsOptions,
    few: Wanted,
    /// `few` and system calls, while a creation waits for its own.
    more: Wanted,
    all: Wanted,
    tree: Tree,
    containers: Containers,
    inside: Option<Inside>,
    /// Violations that wait for their NS_INFO.
    violations: Pending<()>,
    /// Single namespaces are reported too.
    singles: bool,
    namespaces: All,
    rows: Rows<Container>,
    text: Text,
    summary: Summary,
    /// Records of namespaces were seen.
    any: bool,
    /// Containers, and namespaces, that were not asked for.
    others: u64,
    other_namespaces: u64,
    /// The users and programs of those.
    users: Candidates,
    programs: Candidates,
    /// A container, or a namespace, passed the filter.
    passed: bool,
}

impl<'a> Report<'a> {
    /// Creates a report with `options` and `ns_options`.
    pub fn new(options: &'a Options, ns_options: &'a NsOptions) -> Self {
        Self {
            options,
            ns_options,
            few: Wanted::types(&["NS_I", "NS_D", "SYST", "KERN", "VIRT", "DM_E"]),
            more: Wanted::types(&["NS_I", "NS_D", "SYST", "KERN", "VIRT", "DM_E", "SYSC"]),
            all: Wanted::all(),
            tree: Tree::default(),
            containers: Containers::default(),
            inside: ns_options.container.clone().map(Inside::new),
            violations: Pending::default(),
            singles: ns_options.tree,
            namespaces: All::default(),
            rows: Rows::new(options, show_containers::columns()),
            text: Text::default(),
            summary: Summary::default(),
            any: false,
            others: 0,
            other_namespaces: 0,
            users: Candidates::default(),
            programs: Candidates::default(),
            passed: false,
        }
    }

    /// Returns the message for a report without rows, of containers or of single namespaces.
    fn none(&self, what: &str, others: u64) -> String {
        if !self.any && others == 0 {
            return MODULE.to_owned();
        }
        let asked = self.ns_options.words();
        let window = self.options.window;
        let period = match window.start.is_some() || window.end.is_some() {
            true => " in this period",
            false => "",
        };
        let mut names = String::new();
        if self.ns_options.by.is_some() {
            names.push_str(&self.users.show("users"));
        }
        if self.ns_options.program.is_some() {
            names.push_str(&self.programs.show("programs"));
        }
        match (asked.is_empty() && period.is_empty(), others) {
            (true, _) | (_, 0) => format!("no {what}s"),
            (false, 1) => format!("no {what}{asked}{period}; 1 other is in the log{names}"),
            (false, n) => format!("no {what}{asked}{period}; {n} others are in the log{names}"),
        }
    }

    /// Returns the message for a report of objects or numbers.
    fn word(&self) -> Option<&'static str> {
        (!self.any && self.others == 0 && (self.options.json || self.ns_options.summary))
            .then_some(MODULE)
    }

    /// Single namespaces are asked for too, for [`Report::visit`].
    pub fn with_namespaces(mut self) -> Self {
        self.singles = true;
        self
    }

    /// Writes the report. Returns whether the filter matched, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, out: &mut dyn Write) -> io::Result<bool> {
        self.close()?;
        let (options, ns_options) = (self.options, self.ns_options);
        if let Some(word) = self.word() {
            eprintln!("dmns-audit: {word}");
        }
        let filtered = ns_options.active || ns_options.by.is_some() || ns_options.program.is_some();
        let matched = !filtered || self.passed;
        let mut none = self.none("container", self.others);
        self.rows.set_none(none.clone());
        if ns_options.tree {
            none = self.none("namespace", self.other_namespaces);
        }
        if let Some(inside) = self.inside {
            return inside.end(self.any, options, out);
        }
        if ns_options.summary {
            match options.json {
                true => self.summary.json(out)?,
                false => self.summary.text(out)?,
            }
            return Ok(matched);
        }
        if !matched && options.json {
            eprintln!("dmns-audit: {none}");
        }
        match (ns_options.tree, options.json) {
            (true, true) => self.namespaces.json(options, ns_options, out)?,
            (true, false) => self.namespaces.text(options, ns_options, &none, out)?,
            (false, _) => self.rows.end(options, out, show_containers::json)?,
        }
        match self.summary.alone() {
            _ if options.json || ns_options.tree => {}
            0 => {}
            1 => writeln!(out, "1 namespace more is in no container: --tree shows it")?,
            alone => writeln!(
                out,
                "{alone} namespaces more are in no container: --tree shows them"
            )?,
        }
        Ok(matched)
    }

    /// Calls the functions with all containers and all namespaces of a report that keeps objects.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be read back.
    pub fn visit(
        mut self,
        container: impl FnMut(&Container),
        namespace: impl FnMut(&Namespace),
    ) -> io::Result<()> {
        self.close()?;
        self.rows.visit(container)?;
        self.namespaces
            .visit(self.options, self.ns_options, namespace)
    }

    /// Takes the end of the log.
    fn close(&mut self) -> io::Result<()> {
        if let Some(inside) = &mut self.inside {
            inside.close(&self.tree, self.options)?;
        }
        let mut tree = std::mem::take(&mut self.tree);
        for (host, namespace, whole) in tree.take_ended() {
            self.containers.ended(host, &namespace);
            if whole {
                self.report_namespace(&namespace)?;
            }
        }
        tree.end(|namespace| self.report_namespace(namespace))?;
        self.containers.end();
        self.take()
    }

    fn report_namespace(&mut self, namespace: &Namespace) -> io::Result<()> {
        if self.inside.is_some() {
            return Ok(());
        }
        match self.ns_options.has(namespace, self.options) {
            true => {
                self.passed |= self.ns_options.tree;
                self.summary.namespace(namespace);
            }
            false => {
                self.other_namespaces += 1;
                self.add(namespace.maker.as_ref());
            }
        }
        match self.singles {
            true => self.namespaces.push(namespace),
            false => Ok(()),
        }
    }

    /// Keeps the names of a task that created what was not asked for.
    fn add(&mut self, maker: Option<&Who>) {
        if let Some(who) = maker {
            self.users.add(&who.user);
            self.programs.add(&who.comm);
        }
    }

    fn take(&mut self) -> io::Result<()> {
        for container in std::mem::take(&mut self.containers.done) {
            if container.is_probe() {
                continue;
            }
            if !self.ns_options.has_container(&container, self.options) {
                self.others += 1;
                self.add(container.maker.as_ref());
            } else {
                self.any = true;
                self.passed = true;
                self.summary.container(&container);
                let (order, options) = (container.order, self.options);
                let text = &mut self.text;
                self.rows.push(order, &container, |line| {
                    text.row(&container, options, line)
                })?;
            }
        }
        Ok(())
    }

    /// Releases what ended with the records before.
    fn leave(&mut self) -> io::Result<()> {
        for (host, namespace, whole) in self.tree.take_ended() {
            self.containers.ended(host, &namespace);
            if whole {
                self.report_namespace(&namespace)?;
            }
        }
        self.take()
    }

    /// `NS_INFO`: the event was in the namespaces `seen`. Returns the container, if that has got its name from it.
    fn informed(&mut self, head: &Head<'_>, seen: &[u64]) -> Option<u64> {
        let event = (head.host, head.stamp);
        let found = self.violations.take(&event, |()| true).len() as u64;
        let order = self.containers.inside(seen, &self.tree)?;
        let counts = self.options.window.has(head.stamp.seconds);
        self.containers.count(order, u64::from(counts), found);
        let named = self.containers.grouped(head, order, seen, &self.tree);
        named.then_some(order)
    }

    /// The container `order` has a name: if it is the one that was asked for, its namespaces are known.
    fn named(&mut self, order: Option<u64>) {
        let named = order.and_then(|order| self.containers.get(order));
        if let (Some(inside), Some(container)) = (&mut self.inside, named) {
            inside.named(container);
        }
    }
}

impl Collector for Report<'_> {
    fn wanted(&self) -> &Wanted {
        match (&self.inside, self.tree.is_waiting()) {
            (Some(_), _) => &self.all,
            (None, true) => &self.more,
            (None, false) => &self.few,
        }
    }

    fn ever(&self) -> &Wanted {
        match &self.inside {
            Some(_) => &self.all,
            None => &self.more,
        }
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.leave()?;
        while self.tree.overdue(head.stamp.seconds).is_some() {}
        let users = &self.options.users;
        self.any |= matches!(
            head.ty,
            Type::Ours(RecordType::NsInit(_) | RecordType::NsDel(_) | RecordType::NsInfo)
        );
        let mut ours = None;
        match head.ty {
            Type::Ours(RecordType::NsInit(kind)) => ours = self.tree.created(kind, head, users),
            Type::Ours(RecordType::NsDel(kind)) => ours = self.tree.deleted(kind, head, users),
            Type::Ours(RecordType::NsInfo) => {
                let count = self.options.window.has(head.stamp.seconds);
                let seen = self.tree.info(head, count);
                let named = self.informed(head, &seen);
                self.named(named);
                if let Some(inside) = &mut self.inside {
                    inside.info(seen);
                }
            }
            Type::Ours(RecordType::DmEvent) => {
                let event = (head.host, head.stamp);
                self.violations.push(event, ());
                if self.violations.len() > MOST {
                    self.violations.pop();
                }
            }
            Type::Syscall => {
                let created = self.tree.syscall(head, users);
                self.containers.made(head, &created, &mut self.tree);
            }
            Type::Virt(VirtType::Control) => {
                let named = self.containers.control(head, &mut self.tree, users);
                self.named(named);
            }
            Type::KernelBoot | Type::SystemBoot | Type::SystemShutdown => self.tree.down(head),
            _ => {}
        }
        match &mut self.inside {
            Some(inside) => inside.record(head, ours, &self.tree, self.options),
            None => Ok(()),
        }
    }
}
