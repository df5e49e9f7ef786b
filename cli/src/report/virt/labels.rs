// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The newest guest of each label. Labels of ended guests are forgotten, so memory is bounded.

use super::guests::index::Owner;
use crate::record::host::Host;
use crate::record::uuid::Uuid;
use crate::report::id::Proof;
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::rc::Rc;

/// Number of newest starts with labels that are always kept. Older labels are kept while the guest exists.
const MOST: usize = 1 << 14;

/// An SELinux level.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Level {
    /// `s0:c107,c434`, as svirt makes it.
    Pair(u16, u16),
    /// Another.
    Text(Box<str>),
}

impl Level {
    pub(super) fn of(text: &str) -> Self {
        let number = |text: &str| {
            let digits = text.strip_prefix('c')?;
            let is_shortest = !digits.starts_with(['0', '+']) || digits == "0";
            digits.parse().ok().filter(|_| is_shortest)
        };
        let pair = |text: &str| {
            let (one, other) = text.strip_prefix("s0:")?.split_once(',')?;
            Some(Self::Pair(number(one)?, number(other)?))
        };
        pair(text).unwrap_or_else(|| Self::Text(text.into()))
    }
}

/// A guest that has a security label.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) host: Host,
    /// The SELinux level, which svirt gives to one guest of a host at a time.
    pub(super) level: Option<Level>,
    pub(super) vm: Rc<str>,
    /// It is in the name of the AppArmor profile.
    pub(super) uuid: Uuid,
    pub(super) proof: Proof,
}

impl Labelled {
    /// The key of its level.
    fn place(&self) -> (Host, Option<&Level>) {
        (self.host, self.level.as_ref())
    }

    pub(super) fn owner(&self) -> Owner<'_> {
        Owner {
            vm: &self.vm,
            uuid: &self.uuid,
            proof: &self.proof,
        }
    }
}

/// The slot of one of [`Labels`].
type At = u32;

/// Labels by level, and by UUID.
#[derive(Debug)]
pub(super) struct Labels {
    all: Slab<Labelled>,
    /// Oldest first.
    order: VecDeque<At>,
    /// The newest guest of each level of a host.
    levels: HashTable<At>,
    /// The newest label of each guest.
    uuids: HashTable<At>,
    hasher: DefaultHashBuilder,
    most: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            all: Slab::new(),
            order: VecDeque::new(),
            levels: HashTable::new(),
            uuids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            most: MOST,
        }
    }
}

impl Labels {
    /// Adds the label of a guest. `is_there` returns whether a guest still exists.
    pub(super) fn add(&mut self, labelled: Labelled, is_there: impl Fn(&Labelled) -> bool) {
        // 2^32 of them would take 300 GB.
        let at = self.all.insert(labelled) as At;
        let (all, hasher) = (&self.all, &self.hasher);
        let new = of(all, at);
        if new.level.is_some() {
            let same = |own: &At| of(all, *own).place() == new.place();
            let hash = |own: &At| hasher.hash_one(of(all, *own).place());
            enter(&mut self.levels, at, same, hash);
        }
        let same = |own: &At| of(all, *own).uuid == new.uuid;
        let hash = |own: &At| hasher.hash_one(&of(all, *own).uuid);
        enter(&mut self.uuids, at, same, hash);
        self.order.push_back(at);
        // Two for one: what is too much becomes less.
        for _ in 0..2 {
            if self.order.len() > self.most {
                self.pop(&is_there);
            }
        }
    }

    /// Returns the guest with this level on `host`.
    pub(super) fn with_level(&self, host: Host, level: &str) -> Option<&Labelled> {
        let level = Level::of(level);
        let place = (host, Some(&level));
        let same = |own: &At| of(&self.all, *own).place() == place;
        let at = self.levels.find(self.hasher.hash_one(place), same)?;
        Some(of(&self.all, *at))
    }

    /// The guest `uuid`.
    pub(super) fn with_uuid(&self, uuid: &Uuid) -> Option<&Labelled> {
        let same = |own: &At| of(&self.all, *own).uuid == *uuid;
        let at = self.uuids.find(self.hasher.hash_one(uuid), same)?;
        Some(of(&self.all, *at))
    }

    /// Forgets the oldest, unless the guest is there and got no other label: then it becomes the newest.
    fn pop(&mut self, is_there: impl Fn(&Labelled) -> bool) {
        let Some(at) = self.order.pop_front() else {
            return;
        };
        let oldest = of(&self.all, at);
        let is_it = |own: &At| *own == at;
        let level = self.hasher.hash_one(oldest.place());
        let uuid = self.hasher.hash_one(&oldest.uuid);
        if self.uuids.find(uuid, is_it).is_some() && is_there(oldest) {
            self.order.push_back(at);
            return;
        }
        for (table, hash) in [(&mut self.levels, level), (&mut self.uuids, uuid)] {
            if let Ok(entry) = table.find_entry(hash, is_it) {
                entry.remove();
            }
        }
        self.all.remove(at as usize);
    }
}

/// The one at `at`, where one is.
fn of(all: &Slab<Labelled>, at: At) -> &Labelled {
    &all[at as usize]
}

/// `new` is in `table` from now on, in place of the one that is the same there.
fn enter(
    table: &mut HashTable<At>,
    new: At,
    same: impl Fn(&At) -> bool,
    hash: impl Fn(&At) -> u64,
) {
    match table.find_mut(hash(&new), same) {
        Some(old) => *old = new,
        None => drop(table.insert_unique(hash(&new), new, hash)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two of three as svirt makes them.
    fn name_of(level: u8) -> String {
        match level % 3 {
            0 => format!("s0:c{},c{level}", level / 3),
            1 => format!("s0:c0{level},c1"),
            _ => format!("s0:c0,c{level}"),
        }
    }

    #[test]
    fn levels_are_the_same_where_their_texts_are() {
        let texts = [
            "s0:c0,c1",
            "s0:c00,c1",
            "s0:c0,c01",
            "s0:c+0,c1",
            "s0:c1,c0",
            "s0:c0",
            "s0",
            "s1:c0,c1",
            "s0:c0,c65536",
            "s0:c0,c1,c2",
            "s0:c0.c1",
            "",
        ];
        for one in texts {
            for other in texts {
                assert_eq!(
                    Level::of(one) == Level::of(other),
                    one == other,
                    "{one} {other}"
                );
            }
        }
    }

    proptest! {
        /// The newest label of a guest is found, for the newest starts and all active guests.
        #[test]
        fn the_newest_owner_is_found(starts in prop::collection::vec((0u8..12, 0u8..12), 0..80), running: [bool; 12]) {
            let mut labels = Labels { most: 8, ..Labels::default() };
            let mut entry: Vec<(String, String, String)> = Vec::new();
            for (number, (guest, level)) in starts.into_iter().enumerate() {
                let (uuid, level, vm) = (guest.to_string(), name_of(level), number.to_string());
                let labelled = Labelled {
                    host: 7,
                    level: Some(Level::of(&level)),
                    vm: (*vm).into(),
                    uuid: Uuid::of(&uuid),
                    proof: Proof::default(),
                };
                let runs = |own: &Labelled| running[own.uuid.to_string().parse::<usize>().expect("a number")];
                labels.add(labelled, runs);
                entry.push((uuid, level, vm));
                for (guest, runs) in running.into_iter().enumerate() {
                    let name = guest.to_string();
                    let last = entry.iter().rposition(|(uuid, ..)| *uuid == name);
                    let known = labels.with_uuid(&Uuid::of(&name)).map(|own| &*own.vm);
                    let young = last.is_some_and(|at| at + 4 >= entry.len());
                    prop_assert!(known.is_some() || !(young || (runs && last.is_some())));
                    prop_assert!(known.is_none() || known == last.map(|at| &*entry[at].2));
                    let name = name_of(guest as u8);
                    let last = entry.iter().rposition(|(_, level, _)| *level == name);
                    let known = labels.with_level(7, &name).map(|own| &*own.vm);
                    prop_assert!(known.is_some() || last.is_none_or(|at| at + 4 < entry.len()));
                    prop_assert!(known.is_none() || known == last.map(|at| &*entry[at].2));
                }
                prop_assert!(labels.with_level(6, &name_of(0)).is_none());
            }
            prop_assert!(labels.all.len() <= 8 + 12);
            prop_assert_eq!(labels.all.len(), labels.order.len());
        }
    }
}
