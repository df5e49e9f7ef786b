// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The events inside a container: those with an NS_INFO that names one of its namespaces, or one that was cloned from
//! it.

use super::containers::Container;
use super::event::Event;
use super::namespace::Namespace;
use super::show;
use super::tree::Tree;
use crate::record::{Head, Type};
use crate::report::Options;
use crate::report::candidates::Candidates;
use crate::report::id::Id;
use crate::report::spool::Spool;
use dmns_audit_uapi::ns::{Kind, PROC_DYNAMIC_FIRST, relative};
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::io::{self, Write};

/// Maximum number of incomplete events.
const MOST: usize = 256;

/// Selects a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerSelector {
    /// The `ns_id` of one of its namespaces.
    Id(u64),
    /// The kind and number of one of its namespaces.
    Number(Kind, i32),
    /// The number of one of its namespaces, of any kind.
    Inode(i32),
    /// Its name, or the beginning of its runtime's id.
    Name(String),
}

impl ContainerSelector {
    /// Reads `17` (an `ns_id`), `netns=3`, `net:3`, `net:[4026531843]` as `/proc/PID/ns` shows it, or `4026531843` as
    /// `lsns` does; what is none of these is a name.
    ///
    /// # Errors
    ///
    /// A sentence that says what was expected.
    pub fn parse(value: &str) -> Result<Self, String> {
        if let Some(number) = of_inode(value) {
            return Ok(Self::Inode(number));
        }
        if let Ok(id) = value.parse() {
            return Ok(Self::Id(id));
        }
        let explain = || {
            format!(
                "'{value}' is no container: a name, an ns_id (17), netns=3, net:3 or net:[4026531843] expected"
            )
        };
        if value.is_empty() {
            return Err(explain());
        }
        let of_kind = value.split_once(['=', ':']).and_then(|(kind, number)| {
            let kind = kind.strip_suffix("ns").unwrap_or(kind);
            let known = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
            Some((known, number))
        });
        let Some((kind, number)) = of_kind else {
            return Ok(Self::Name(value.to_owned()));
        };
        let inode = number.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let number = match inode {
            Some(inode) => inode.parse::<u32>().ok().map(relative),
            None => of_inode(number).or_else(|| number.parse().ok()),
        };
        Ok(Self::Number(kind, number.ok_or_else(explain)?))
    }

    fn is(&self, namespace: &Namespace) -> bool {
        match *self {
            Self::Id(id) => namespace.id == Some(id),
            Self::Number(kind, number) => (namespace.kind(), namespace.number) == (kind, number),
            Self::Inode(number) => namespace.number == number,
            Self::Name(_) => false,
        }
    }

    fn is_container(&self, container: &Container) -> bool {
        let Self::Name(name) = self else {
            return false;
        };
        let begins = |uuid: &String| name.len() >= 8 && uuid.starts_with(name);
        container.name.as_ref() == Some(name) || container.uuid.as_ref().is_some_and(begins)
    }
}

/// Returns the number of the namespace with the inode number `text`, if it is one: no `ns_id` is as great.
fn of_inode(text: &str) -> Option<i32> {
    /// The initial namespaces precede [`PROC_DYNAMIC_FIRST`].
    const FIRST: u32 = PROC_DYNAMIC_FIRST - 16;
    text.parse()
        .ok()
        .filter(|inode: &u32| *inode >= FIRST)
        .map(relative)
}

/// Collects the events inside a container.
#[derive(Debug)]
pub struct Inside {
    selector: ContainerSelector,
    /// Events of which more may come, oldest first; the places of the namespaces that each was in.
    growing: VecDeque<(Event, Vec<u64>)>,
    order: u64,
    rows: Spool<Event>,
    columns: show::Events,
    /// The namespaces of the NS_INFO that is processed.
    seen: Option<Vec<u64>>,
    /// The places of the container's namespaces, and of those that were cloned from them.
    own: HashSet<u64>,
    /// Ids of its namespaces with a place that is not known yet.
    ids: HashSet<u64>,
    /// Any NS_INFO was seen.
    informed: bool,
    /// The containers that have a name.
    names: Candidates,
}

impl Inside {
    /// Creates a collector of the events inside `selector`.
    pub fn new(selector: ContainerSelector) -> Self {
        Self {
            selector,
            growing: VecDeque::new(),
            order: 0,
            rows: Spool::default(),
            columns: show::Events::default(),
            seen: None,
            own: HashSet::new(),
            ids: HashSet::new(),
            informed: false,
            names: Candidates::default(),
        }
    }

    /// The record that comes now is an NS_INFO that names the namespaces `seen`.
    pub fn info(&mut self, seen: Vec<u64>) {
        self.informed = true;
        self.seen = Some(seen);
    }

    /// `container` has got its name: this may be the one.
    pub(super) fn named(&mut self, container: &Container) {
        self.names
            .add(container.name.as_deref().unwrap_or_default());
        if self.selector.is_container(container) {
            let ids = container.namespaces.iter().filter_map(|(.., id)| *id);
            self.ids.extend(ids);
        }
    }

    /// Returns whether `order` is a namespace of the container, or was cloned from one.
    fn is_own(&mut self, order: u64, tree: &Tree) -> bool {
        if self.own.contains(&order) {
            return true;
        }
        let Some(namespace) = tree.get(order) else {
            return false;
        };
        let own = self.selector.is(namespace)
            || namespace.id.is_some_and(|id| self.ids.contains(&id))
            || namespace
                .ancestors
                .iter()
                .any(|above| self.own.contains(above));
        if own {
            self.own.insert(order);
        }
        own
    }

    /// Takes a record of any type; `ours` is the namespace that it created or deleted.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be kept.
    pub fn record(
        &mut self,
        head: &Head<'_>,
        ours: Option<u64>,
        tree: &Tree,
        options: &Options,
    ) -> io::Result<()> {
        let seen = self.seen.take().unwrap_or_default();
        // Also outside the period: what is cloned from it is its own.
        for order in seen.iter().copied().chain(ours) {
            self.is_own(order, tree);
        }
        if head.ty == Type::Eoe || !options.window.has(head.stamp.seconds) {
            return Ok(());
        }
        let id = Id::from(head.stamp);
        let node = head.node_name();
        let at = self
            .growing
            .iter()
            .rposition(|(event, _)| event.id == id && event.node == node);
        let at = match at {
            Some(at) => at,
            None => {
                if self.growing.len() == MOST {
                    self.grown(tree, options)?;
                }
                self.growing.push_back((Event::new(id, node), Vec::new()));
                self.growing.len() - 1
            }
        };
        let (event, places) = &mut self.growing[at];
        event.add(head, options);
        let name = ours.and_then(|order| tree.get(order)).map(show::name);
        event.namespaces.extend(name);
        places.extend(seen.into_iter().chain(ours));
        Ok(())
    }

    /// The oldest event is whole.
    fn grown(&mut self, tree: &Tree, options: &Options) -> io::Result<()> {
        let Some((event, places)) = self.growing.pop_front() else {
            return Ok(());
        };
        // A runtime names its container only when that is made.
        if places.iter().any(|order| self.is_own(*order, tree)) {
            self.order += 1;
            self.columns.measure(&event, options);
            self.rows.push(self.order, &event)?;
        }
        Ok(())
    }

    /// No more events come.
    pub(super) fn close(&mut self, tree: &Tree, options: &Options) -> io::Result<()> {
        while !self.growing.is_empty() {
            self.grown(tree, options)?;
        }
        Ok(())
    }

    /// Writes the events; `any`: the log has records of namespaces. Returns whether the container is in the log.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, any: bool, options: &Options, out: &mut dyn Write) -> io::Result<bool> {
        if self.own.is_empty() {
            let names = self.names.show("containers");
            let none = match &self.selector {
                _ if !any => super::MODULE.to_owned(),
                ContainerSelector::Name(name) => {
                    format!("no container called {name} is in the log{names}")
                }
                _ => format!("no namespace of this container is in the log{names}"),
            };
            match options.json {
                true => eprintln!("dmns-audit: {none}"),
                false => writeln!(out, "{none}")?,
            }
            return Ok(false);
        }
        if self.order == 0 {
            let none = "no event of this container in this period";
            match options.json {
                true => eprintln!("dmns-audit: {none}"),
                false => writeln!(out, "{none}")?,
            }
            return Ok(true);
        }
        if options.json {
            self.rows
                .drain(|event| show::json_event(&event, options, out))?;
            return Ok(true);
        }
        self.columns.begin(options, out)?;
        let columns = self.columns;
        self.rows.drain(|event| columns.row(&event, options, out))?;
        if !self.informed {
            writeln!(
                out,
                "there are no NS_INFO records, so only creations and deletions are known: load dmns_audit with info=2, or write \
                 2 to /sys/kernel/security/dmns_audit/info"
            )?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_selected_by_id_or_number() {
        for (text, container) in [
            ("17", ContainerSelector::Id(17)),
            ("netns=3", ContainerSelector::Number(Kind::Net, 3)),
            ("net:3", ContainerSelector::Number(Kind::Net, 3)),
            ("net:[4026531843]", ContainerSelector::Number(Kind::Net, 3)),
            ("net:4026531843", ContainerSelector::Number(Kind::Net, 3)),
            ("4026531843", ContainerSelector::Inode(3)),
            ("4026531832", ContainerSelector::Inode(-8)),
            ("user:-3", ContainerSelector::Number(Kind::User, -3)),
            ("web", ContainerSelector::Name("web".to_owned())),
            ("web:blue", ContainerSelector::Name("web:blue".to_owned())),
            ("a=b", ContainerSelector::Name("a=b".to_owned())),
        ] {
            assert_eq!(ContainerSelector::parse(text), Ok(container), "{text}");
        }
        for wrong in ["", "net:x", "net:[x]"] {
            assert!(
                ContainerSelector::parse(wrong)
                    .expect_err(wrong)
                    .contains("ns_id")
            );
        }
    }
}
