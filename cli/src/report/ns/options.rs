// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Options of `report ns`.

use super::container::ContainerSelector;
use super::containers::Container;
use super::namespace::Namespace;
use crate::report::{Id, Options, Who};

/// Options of `report ns`.
#[derive(Clone, Debug, Default)]
pub struct NsOptions {
    /// The events inside this one.
    pub container: Option<ContainerSelector>,
    /// Single namespaces, as a tree.
    pub tree: bool,
    /// Only active ones.
    pub active: bool,
    /// Only those that this user created: a name or a user id.
    pub by: Option<String>,
    /// Only those that this program created: its name, or its path.
    pub program: Option<String>,
    /// Numbers only.
    pub summary: bool,
}

impl NsOptions {
    /// Returns the filter as the end of a sentence: ` that is active, that jo created`.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        if self.active {
            words.push("that is active".to_owned());
        }
        match (&self.by, &self.program) {
            (Some(by), Some(program)) => words.push(format!("that {by} created with {program}")),
            (Some(by), None) => words.push(format!("that {by} created")),
            (None, Some(program)) => words.push(format!("that {program} created")),
            (None, None) => {}
        }
        match words.is_empty() {
            true => String::new(),
            false => format!(" {}", words.join(", ")),
        }
    }

    fn made_by(&self, who: Option<&Who>) -> bool {
        let by = |name: &String| who.is_some_and(|who| who.is_user(name));
        let with = |name: &String| who.is_some_and(|who| who.is_program(name));
        self.by.as_ref().is_none_or(by) && self.program.as_ref().is_none_or(with)
    }

    /// Returns whether `namespace` passes the filter.
    pub(super) fn has(&self, namespace: &Namespace, options: &Options) -> bool {
        in_window(namespace.start, namespace.end, options)
            && !(self.active && namespace.end.is_some())
            && self.made_by(namespace.maker.as_ref())
    }

    /// Returns whether `container` passes the filter.
    pub(super) fn has_container(&self, container: &Container, options: &Options) -> bool {
        in_window(container.start, container.end, options)
            && !(self.active && container.end.is_some())
            && self.made_by(container.maker.as_ref())
    }
}

/// Returns whether the lifetime from `start` to `end` overlaps the period of the report.
fn in_window(start: Option<Id>, end: Option<Id>, options: &Options) -> bool {
    let window = options.window;
    let before = |id: Id| {
        window
            .start
            .is_some_and(|start| (id.seconds as i64) < start)
    };
    let after = |id: Id| window.end.is_some_and(|end| id.seconds as i64 > end);
    !end.is_some_and(before) && !start.is_some_and(after)
}
