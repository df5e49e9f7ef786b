// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest has a file.

use super::super::row::{Event, Given};
use super::numbered::Numbered;
use super::open::Has;
use crate::record::by_host::At;
use crate::record::host::Host;
use hashbrown::{Equivalent, HashMap};
use std::rc::Rc;

/// Files of hosts, and the guests that have them, by the place of the row that says so.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<(Host, Rc<str>), Numbered<At>>);

/// A file of a host, to look it up.
#[derive(Hash)]
struct On<'a>(Host, &'a str);

impl Equivalent<(Host, Rc<str>)> for On<'_> {
    fn equivalent(&self, key: &(Host, Rc<str>)) -> bool {
        (self.0, self.1) == (key.0, &*key.1)
    }
}

/// Whether a guest that has `what` has a file.
fn is_file(what: &str) -> bool {
    what.starts_with('/')
}

impl Holders {
    /// The guest at `at` has what `open` says.
    pub(super) fn got(&mut self, host: Host, open: &Has, at: At) {
        if let Some(file) = open.what.resource().filter(|what| is_file(what)) {
            let holders = self.0.entry((host, file.clone())).or_default();
            holders.add(open.order, at);
        }
    }

    /// It no longer has it.
    pub(super) fn lost(&mut self, host: Host, event: &Event, order: u64) {
        let Event::Given(Given::Resource { what, .. }) = event else {
            return;
        };
        if !is_file(what) {
            return;
        }
        let file = On(host, what);
        if let Some(holders) = self.0.get_mut(&file) {
            holders.remove(order);
            if holders.is_empty() {
                self.0.remove(&file);
            }
        }
    }

    /// Who got `file` last and still has it, and the place of the row that says so.
    pub(super) fn last(&self, host: Host, file: &str) -> Option<(u64, At)> {
        let (order, at) = self.0.get(&On(host, file))?.last()?;
        Some((order, *at))
    }
}
