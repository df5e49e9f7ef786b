// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest has a file.

use super::super::row::Event;
use super::Open;
use super::numbered::Numbered;
use crate::record::host::Host;
use hashbrown::{Equivalent, HashMap};
use std::rc::Rc;

/// Files of hosts, and the guests that have them, by the place of the row that says so.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<(Host, Rc<str>), Numbered<Rc<str>>>);

/// A file of a host, to look it up.
#[derive(Hash)]
struct On<'a>(Host, &'a str);

impl Equivalent<(Host, Rc<str>)> for On<'_> {
    fn equivalent(&self, key: &(Host, Rc<str>)) -> bool {
        (self.0, self.1) == (key.0, &*key.1)
    }
}

/// The file that `open` is about.
fn file(open: &Open) -> Option<&Rc<str>> {
    match &open.row.event {
        Event::Resource { what, .. } if what.starts_with('/') => Some(what),
        _ => None,
    }
}

impl Holders {
    /// A guest has what `open` says.
    pub(super) fn got(&mut self, host: Host, open: &Open) {
        if let Some(file) = file(open) {
            let uuid = open.row.uuid.clone();
            let holders = self.0.entry((host, file.clone())).or_default();
            holders.add(open.order, uuid);
        }
    }

    /// It no longer has it.
    pub(super) fn lost(&mut self, host: Host, open: &Open) {
        if let Some(file) = file(open) {
            if let Some(holders) = self.0.get_mut(&On(host, file)) {
                holders.remove(open.order);
                if holders.is_empty() {
                    self.0.remove(&On(host, file));
                }
            }
        }
    }

    /// Who got `file` last and still has it, and the place of the row that says so.
    pub(super) fn last(&self, host: Host, file: &str) -> Option<(u64, &str)> {
        let (order, uuid) = self.0.get(&On(host, file))?.last()?;
        Some((order, uuid))
    }
}
