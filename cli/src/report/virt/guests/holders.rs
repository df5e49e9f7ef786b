// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the guest that has a file, or that runs in a process.

use super::super::row::{Event, Given};
use super::open::Assignment;
use super::small_map::SmallMap;
use crate::record::by_host::Slot;
use crate::record::host::Host;
use hashbrown::{DefaultHashBuilder, Equivalent, HashMap, HashTable};
use std::hash::BuildHasher;
use std::rc::Rc;

/// Files of hosts, and the guests that have them, by the place of the row that says so.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<(Host, Rc<str>), SmallMap<Slot>>);

/// A file of a host, to look it up.
#[derive(Hash)]
struct On<'a>(Host, &'a str);

impl Equivalent<(Host, Rc<str>)> for On<'_> {
    fn equivalent(&self, key: &(Host, Rc<str>)) -> bool {
        (self.0, self.1) == (key.0, &*key.1)
    }
}

/// Returns whether `what` is a file.
fn is_file(what: &str) -> bool {
    what.starts_with('/')
}

impl Holders {
    /// The guest at `at` has what `open` says.
    pub(super) fn got(&mut self, host: Host, open: &Assignment, at: Slot) {
        if let Some(file) = open.what.resource().filter(|what| is_file(what)) {
            let holders = self.0.entry((host, file.clone())).or_default();
            holders.add(open.order, at);
        }
    }

    /// Removes a file of a guest.
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

    /// Returns the newest guest that has `file`, and the place of its row.
    pub(super) fn last(&self, host: Host, file: &str) -> Option<(u64, Slot)> {
        let (order, at) = self.0.get(&On(host, file))?.last()?;
        Some((order, *at))
    }
}

/// A process that a guest runs in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    host: Host,
    pid: i32,
    at: Slot,
}

/// The processes that guests run in, each found by its host and number.
#[derive(Debug, Default)]
pub(super) struct Processes {
    table: HashTable<Process>,
    hasher: DefaultHashBuilder,
    /// There was one.
    any: bool,
}

impl Processes {
    /// The guest at `at` runs in the process `pid`.
    pub(super) fn add(&mut self, host: Host, pid: i32, at: Slot) {
        self.any = true;
        let hasher = &self.hasher;
        let hash_of = |of: &Process| hasher.hash_one((of.host, of.pid));
        let process = Process { host, pid, at };
        self.table
            .insert_unique(hash_of(&process), process, hash_of);
    }

    /// Removes a process of a guest.
    pub(super) fn remove(&mut self, host: Host, pid: i32, at: Slot) {
        let process = Process { host, pid, at };
        let hash = self.hasher.hash_one((host, pid));
        if let Ok(entry) = self.table.find_entry(hash, |own| *own == process) {
            entry.remove();
        }
    }

    /// The guests that run in the process `pid`, in no order: hardly more than one.
    pub(super) fn of(&self, host: Host, pid: i32) -> impl Iterator<Item = Slot> {
        let hash = self.hasher.hash_one((host, pid));
        let those = self.table.iter_hash(hash);
        those
            .filter(move |own| (own.host, own.pid) == (host, pid))
            .map(|own| own.at)
    }

    /// Returns whether any guest has run in a known process.
    pub(super) fn any(&self) -> bool {
        self.any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It is a list.
        #[test]
        fn who_runs_in_a_process_is_found(ops in prop::collection::vec((any::<bool>(), 0u32..2, 0i32..3, 0u32..3), 0..80)) {
            let mut processes = Processes::default();
            let mut list = Vec::new();
            for (begins, host, pid, at) in ops {
                match begins {
                    true => {
                        processes.add(host, pid, at);
                        list.push((host, pid, at));
                    }
                    false => {
                        processes.remove(host, pid, at);
                        let known = list.iter().position(|own| *own == (host, pid, at));
                        known.map(|known| list.remove(known));
                    }
                }
                let mut found: Vec<_> = processes.of(host, pid).collect();
                let own = list.iter().filter(|own| (own.0, own.1) == (host, pid));
                let mut expected: Vec<_> = own.map(|own| own.2).collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
                prop_assert!(processes.any() || list.is_empty());
            }
        }
    }
}
