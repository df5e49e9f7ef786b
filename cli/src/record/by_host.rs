// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A table of the objects of all hosts. An object is found by its host and its key; the objects of
//! a host are found when it goes down. A host with few objects costs few bytes.

use super::host::Host;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::cell::Cell;
use std::hash::{BuildHasher, Hash};

/// An object with a key that is unique on its host.
pub trait Keyed {
    /// The key, as a record has it.
    type Name<'a>: Hash
    where
        Self: 'a;

    /// Returns the key, which must not change while the object is in the table.
    fn name(&self) -> Self::Name<'_>;

    /// Returns whether its key is `name`.
    fn is(&self, name: &Self::Name<'_>) -> bool;
}

/// The place of an object, for as long as it is in the table.
pub type Slot = u32;

/// No place.
const NONE: Slot = Slot::MAX;

/// The number of adjacent entries. An entry does not move when the table grows.
const PART: usize = 1 << 10;

#[derive(Debug)]
struct Entry<T> {
    host: Host,
    /// The neighbours of the host. In an empty entry, `next` is the next empty one.
    next: Slot,
    before: Slot,
    thing: Option<T>,
}

/// Objects of type `T`.
#[derive(Debug)]
pub struct ByHost<T> {
    table: HashTable<Slot>,
    hasher: DefaultHashBuilder,
    /// The entry that was found last: a record's object is requested several times.
    found: Cell<Slot>,
    parts: Vec<Vec<Entry<T>>>,
    /// The first empty entry.
    empty: Slot,
    /// By host: the object that was added last.
    last: Vec<Slot>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            found: Cell::new(NONE),
            parts: Vec::new(),
            empty: NONE,
            last: Vec::new(),
        }
    }
}

fn entry<T>(parts: &[Vec<Entry<T>>], at: Slot) -> Option<&Entry<T>> {
    let at = at as usize;
    parts.get(at / PART)?.get(at % PART)
}

fn entry_mut<T>(parts: &mut [Vec<Entry<T>>], at: Slot) -> Option<&mut Entry<T>> {
    let at = at as usize;
    parts.get_mut(at / PART)?.get_mut(at % PART)
}

fn hash_of<T: Keyed>(hasher: &DefaultHashBuilder, host: Host, name: &T::Name<'_>) -> u64 {
    hasher.hash_one((host, name))
}

impl<T: Keyed> ByHost<T> {
    /// Returns the slot of the object `name` of `host`.
    #[inline]
    pub fn find(&self, host: Host, name: &T::Name<'_>) -> Option<Slot> {
        let is_it = |&at: &Slot| {
            entry(&self.parts, at).is_some_and(|entry| {
                entry.host == host && entry.thing.as_ref().is_some_and(|thing| thing.is(name))
            })
        };
        if is_it(&self.found.get()) {
            return Some(self.found.get());
        }
        let hash = hash_of::<T>(&self.hasher, host, name);
        let at = self.table.find(hash, is_it).copied();
        self.found.set(at.unwrap_or(NONE));
        at
    }

    /// Returns the object `name` of `host`.
    pub fn get(&self, host: Host, name: &T::Name<'_>) -> Option<&T> {
        self.at(self.find(host, name)?)
    }

    /// Returns a mutable reference to it.
    pub fn get_mut(&mut self, host: Host, name: &T::Name<'_>) -> Option<&mut T> {
        self.at_mut(self.find(host, name)?)
    }

    /// Returns the object in the slot `at`.
    pub fn at(&self, at: Slot) -> Option<&T> {
        entry(&self.parts, at)?.thing.as_ref()
    }

    /// Returns a mutable reference to it.
    pub fn at_mut(&mut self, at: Slot) -> Option<&mut T> {
        entry_mut(&mut self.parts, at)?.thing.as_mut()
    }

    /// Adds `thing` to `host`, which has no other object with its key.
    pub fn add(&mut self, host: Host, thing: T) -> Slot {
        if self.last.len() <= host as usize {
            self.last.resize(host as usize + 1, NONE);
        }
        let hash = hash_of::<T>(&self.hasher, host, &thing.name());
        let before = self.last[host as usize];
        let new = Entry {
            host,
            next: NONE,
            before,
            thing: Some(thing),
        };
        let at = match entry_mut(&mut self.parts, self.empty) {
            Some(entry) => {
                let at = std::mem::replace(&mut self.empty, entry.next);
                *entry = new;
                at
            }
            None => self.append(new),
        };
        self.last[host as usize] = at;
        if let Some(entry) = entry_mut(&mut self.parts, before) {
            entry.next = at;
        }
        let (hasher, parts) = (&self.hasher, &self.parts);
        self.table.insert_unique(hash, at, |&at| {
            let entry = entry(parts, at);
            let of = entry.and_then(|entry| Some((entry.host, entry.thing.as_ref()?)));
            of.map_or(0, |(host, thing)| hash_of::<T>(hasher, host, &thing.name()))
        });
        at
    }

    fn append(&mut self, entry: Entry<T>) -> Slot {
        if self.parts.last().is_none_or(|part| part.len() == PART) {
            self.parts.push(Vec::with_capacity(PART));
        }
        let full = self.parts.len() - 1;
        let part = &mut self.parts[full];
        part.push(entry);
        // 2^32 fit no memory.
        (full * PART + part.len() - 1) as Slot
    }

    /// Removes the object in the slot `at`.
    pub fn remove(&mut self, at: Slot) -> Option<T> {
        let entry = entry_mut(&mut self.parts, at)?;
        let thing = entry.thing.take()?;
        let (host, next, before) = (entry.host, entry.next, entry.before);
        entry.next = std::mem::replace(&mut self.empty, at);
        match entry_mut(&mut self.parts, next) {
            Some(next) => next.before = before,
            None => self.last[host as usize] = before,
        }
        if let Some(before) = entry_mut(&mut self.parts, before) {
            before.next = next;
        }
        let hash = hash_of::<T>(&self.hasher, host, &thing.name());
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        Some(thing)
    }

    /// Returns the slot of the object of `host` that was added last.
    pub fn last(&self, host: Host) -> Option<Slot> {
        let at = *self.last.get(host as usize)?;
        (at != NONE).then_some(at)
    }

    /// Removes an object of `host`.
    pub fn pop(&mut self, host: Host) -> Option<T> {
        self.remove(self.last(host)?)
    }

    /// Returns the objects of `host`, the last one first.
    pub fn of(&self, host: Host) -> impl Iterator<Item = &T> {
        let first = self.last(host).and_then(|at| entry(&self.parts, at));
        std::iter::successors(first, |of| entry(&self.parts, of.before))
            .filter_map(|entry| entry.thing.as_ref())
    }

    /// Returns mutable references to all objects, in no order.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let entries = self.parts.iter_mut().flatten();
        entries.filter_map(|entry| entry.thing.as_mut())
    }

    /// Returns all objects, in no order. Frees their memory on the way.
    pub fn into_all(self) -> impl Iterator<Item = (Host, T)> {
        let entries = self.parts.into_iter().flatten();
        entries.filter_map(|entry| Some((entry.host, entry.thing?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing(u8, usize);

    impl Keyed for Thing {
        type Name<'a> = u8;

        fn name(&self) -> u8 {
            self.0
        }

        fn is(&self, name: &u8) -> bool {
            self.0 == *name
        }
    }

    proptest! {
        /// The table agrees with a list that is searched from its begin.
        #[test]
        fn it_is_a_list(ops in prop::collection::vec((0u32..3, 0u8..9, 0u8..8), 0..300)) {
            let mut table = ByHost::default();
            let mut list: Vec<(Host, Thing)> = Vec::new();
            for (number, (host, name, op)) in ops.into_iter().enumerate() {
                let known = list.iter().position(|(h, thing)| (*h, thing.0) == (host, name));
                let at = table.find(host, &name);
                prop_assert_eq!(table.get(host, &name), known.map(|at| &list[at].1));
                match (op, at, known) {
                    (0, ..) => {
                        let popped = table.pop(host);
                        let last = list.iter().rposition(|(h, _)| *h == host);
                        prop_assert_eq!(popped, last.map(|at| list.remove(at).1));
                    }
                    (1..=2, Some(at), Some(known)) => {
                        prop_assert_eq!(table.remove(at), Some(list.remove(known).1));
                    }
                    (_, None, None) => {
                        let at = table.add(host, Thing(name, number));
                        prop_assert_eq!(table.at(at).cloned(), Some(Thing(name, number)));
                        list.push((host, Thing(name, number)));
                    }
                    _ => {}
                }
                let of: Vec<_> = table.of(host).cloned().collect();
                let expected = list.iter().rev().filter(|(h, _)| *h == host);
                prop_assert_eq!(of, expected.map(|(_, thing)| thing.clone()).collect::<Vec<_>>());
            }
            let mut all: Vec<_> = table.into_all().collect();
            all.sort_by_key(|(_, thing)| thing.1);
            prop_assert_eq!(all, list);
        }
    }
}
