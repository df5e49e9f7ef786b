// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The names of hosts, each kept once.

use super::head::Head;
use super::host::{Host, PerHost};
use std::rc::Rc;

/// The names of hosts as text, each kept once.
#[derive(Debug, Default)]
pub struct Nodes(PerHost<Option<Rc<str>>>);

impl Nodes {
    /// Returns the name of the host of `head`, if the log has it.
    pub fn of(&mut self, head: &Head<'_>) -> Option<Rc<str>> {
        let node = head.node?;
        let known = self.0.of(head.host);
        let name = known.get_or_insert_with(|| String::from_utf8_lossy(node).into());
        Some(name.clone())
    }

    /// Returns the name of `host`, if it was requested before.
    pub fn known(&self, host: Host) -> Option<Rc<str>> {
        self.0.known(host)?.clone()
    }
}
