// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest of a host has a file.

use super::super::row::Event;
use super::Open;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Files, and the guests that have them, by the place of the row that says so.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<Rc<str>, BTreeMap<u64, Rc<str>>>);

/// The file that `open` is about.
fn file(open: &Open) -> Option<&Rc<str>> {
    match &open.row.event {
        Event::Resource { what, .. } if what.starts_with('/') => Some(what),
        _ => None,
    }
}

impl Holders {
    /// A guest has what `open` says.
    pub(super) fn got(&mut self, open: &Open) {
        if let Some(file) = file(open) {
            let uuid = open.row.uuid.clone();
            let holders = self.0.entry_ref(file).or_default();
            holders.insert(open.order, uuid);
        }
    }

    /// It no longer has it.
    pub(super) fn lost(&mut self, open: &Open) {
        if let Some(file) = file(open) {
            if let Some(holders) = self.0.get_mut(file) {
                holders.remove(&open.order);
                if holders.is_empty() {
                    self.0.remove(file);
                }
            }
        }
    }

    /// Who got `file` last and still has it, and the place of the row that says so.
    pub(super) fn last(&self, file: &str) -> Option<(u64, &str)> {
        let (&order, uuid) = self.0.get(file)?.last_key_value()?;
        Some((order, uuid))
    }
}
