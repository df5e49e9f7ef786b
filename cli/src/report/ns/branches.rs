// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Namespaces in the order of the tree, of which only those that are shown come out, each with its ancestors: in
//! constant memory, however many there are.
//!
//! Going through the tree backwards, those below a namespace and those after it have been seen when it comes: so
//! whether it is shown for their sake, and whether it is the last of its siblings, is known.

use super::NsOptions;
use super::namespace::Namespace;
use super::show::Branches;
use crate::report::spool::Spool;
use crate::report::{Options, json_line};
use std::cmp::Reverse;
use std::io::{self, Write};

/// Maximum depth of a drawn branch.
const DEEP: usize = 60;

/// Kind, and ancestors with itself.
type Path = (u8, Vec<u64>);

/// All namespaces of a log.
#[derive(Debug, Default)]
pub struct All {
    rows: Spool<Namespace, Reverse<Path>>,
}

/// Shown namespaces, from the last to the first; whether each is the last of its siblings.
type Shown = Spool<(Namespace, bool), Reverse<u64>>;

impl All {
    /// Keeps `namespace`.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be kept.
    pub fn push(&mut self, namespace: &Namespace) -> io::Result<()> {
        self.rows.push(Reverse(namespace.path()), namespace)
    }

    /// Returns the namespaces that pass the filter, and their ancestors. Calls `see` with each, from the last to the first.
    fn shown(
        self,
        options: &Options,
        ns_options: &NsOptions,
        mut see: impl FnMut(&Namespace),
    ) -> io::Result<Shown> {
        let mut shown = Shown::default();
        let mut number = 0;
        let mut last: Option<Path> = None;
        // By depth: what the last one that was seen there was cloned from.
        let mut parents: Vec<Option<(u8, u64)>> = Vec::new();
        self.rows.drain(|namespace| {
            let path = namespace.path();
            let above = |(kind, below): &Path| *kind == path.0 && below.starts_with(&path.1);
            if !last.as_ref().is_some_and(above) && !ns_options.has(&namespace, options) {
                return Ok(());
            }
            let depth = namespace.ancestors.len();
            let parent = (path.0, namespace.ancestors.last().copied().unwrap_or(0));
            parents.resize(parents.len().max(depth + 1), None);
            let is_last = parents[depth].replace(parent) != Some(parent);
            see(&namespace);
            number += 1;
            shown.push(Reverse(number), &(namespace, is_last))?;
            last = Some(path);
            Ok(())
        })?;
        Ok(shown)
    }

    /// Calls `each` with the shown namespaces, parents first, and the branch that precedes each.
    fn each(
        shown: Shown,
        mut each: impl FnMut(&Namespace, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        // By depth: which one, its number and id, and whether it is the last of its siblings.
        let mut above: Vec<(u64, (i32, Option<u64>), bool)> = Vec::new();
        shown.drain(|(mut namespace, last)| {
            let depth = namespace.ancestors.len();
            above.truncate(depth);
            // Its id may have become known after its child was made.
            let parent = above
                .last()
                .filter(|(order, ..)| Some(order) == namespace.ancestors.last());
            if let Some((_, parent, _)) = parent {
                namespace.parent = Some(*parent);
            }
            let mut branch = String::new();
            for (.., last) in above.iter().skip(1).take(DEEP) {
                branch.push_str(if *last { "   " } else { "│  " });
            }
            if (1..=DEEP).contains(&depth) {
                branch.push_str(if last { "└─ " } else { "├─ " });
            }
            each(&namespace, &branch)?;
            let own = (namespace.number, namespace.id);
            above.push((namespace.order, own, last));
            Ok(())
        })
    }

    /// Writes the tree of each kind, or `none` where there is no namespace.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn text(
        self,
        options: &Options,
        ns_options: &NsOptions,
        none: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut branches = Branches::default();
        let mut any = false;
        let shown = self.shown(options, ns_options, |namespace| {
            any = true;
            branches.measure(namespace, namespace.ancestors.len().min(DEEP), options);
        })?;
        Self::each(shown, |namespace, branch| {
            branches.row(namespace, branch, options, out)
        })?;
        match any {
            true => Ok(()),
            false => writeln!(out, "{none}"),
        }
    }

    /// Writes each namespace as an object, parents first.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn json(
        self,
        options: &Options,
        ns_options: &NsOptions,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let shown = self.shown(options, ns_options, |_| {})?;
        Self::each(shown, |namespace, _| {
            json_line(out, &super::show::object(namespace, options))
        })
    }

    /// Calls `visit` with each namespace that passes the filter, and its ancestors, parents first.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be read back.
    pub fn visit(
        self,
        options: &Options,
        ns_options: &NsOptions,
        mut visit: impl FnMut(&Namespace),
    ) -> io::Result<()> {
        let shown = self.shown(options, ns_options, |_| {})?;
        Self::each(shown, |namespace, _| {
            visit(namespace);
            Ok(())
        })
    }
}
