// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which guest got a label last. Guests come and go without end; the labels of those that are gone are forgotten.

use super::guests::index::Owner;
use crate::record::host::Host;
use crate::report::id::Proof;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::rc::Rc;

/// Of so many starts the labels are known in any case; of others, while the guest runs, or has anything.
const MOST: usize = 1 << 14;

/// A guest that has a security label.
#[derive(Clone, Debug)]
pub(super) struct Labelled {
    pub(super) host: Host,
    /// The SELinux level, which svirt gives to one guest of a host at a time.
    pub(super) level: Option<Rc<str>>,
    pub(super) vm: Rc<str>,
    /// It is in the name of the AppArmor profile.
    pub(super) uuid: Rc<str>,
    pub(super) proof: Proof,
}

impl Labelled {
    pub(super) fn owner(&self) -> Owner<'_> {
        Owner {
            vm: &self.vm,
            uuid: &self.uuid,
            proof: &self.proof,
        }
    }
}

/// Labels by level, and by UUID.
#[derive(Debug)]
pub(super) struct Labels {
    /// Oldest first: the number of each is one more than that of the one before.
    all: VecDeque<Labelled>,
    /// The number of the oldest. Numbers begin anew after the last one.
    first: u32,
    levels: HashTable<u32>,
    uuids: HashTable<u32>,
    hasher: DefaultHashBuilder,
    most: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            all: VecDeque::new(),
            first: 0,
            levels: HashTable::new(),
            uuids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            most: MOST,
        }
    }
}

impl Labels {
    /// A guest gets a label. `is_there` tells whether a guest still is.
    pub(super) fn add(&mut self, labelled: Labelled, is_there: impl Fn(&Labelled) -> bool) {
        self.push(labelled);
        // Two for one: what is too much becomes less.
        for _ in 0..2 {
            if self.all.len() > self.most {
                self.pop(&is_there);
            }
        }
    }

    /// Whose level on `host` this is.
    pub(super) fn with_level(&self, host: Host, level: &str) -> Option<&Labelled> {
        let hash = self.hasher.hash_one((host, level));
        let is_it = |&number: &u32| {
            let label = self.numbered(number);
            label.is_some_and(|own| own.host == host && own.level.as_deref() == Some(level))
        };
        self.numbered(*self.levels.find(hash, is_it)?)
    }

    /// The guest `uuid`.
    pub(super) fn with_uuid(&self, uuid: &str) -> Option<&Labelled> {
        let hash = self.hasher.hash_one(uuid);
        let is_it = |&number: &u32| self.numbered(number).is_some_and(|own| *own.uuid == *uuid);
        self.numbered(*self.uuids.find(hash, is_it)?)
    }

    fn numbered(&self, number: u32) -> Option<&Labelled> {
        self.all.get(number.wrapping_sub(self.first) as usize)
    }

    fn push(&mut self, labelled: Labelled) {
        // 2^32 fit no memory.
        let number = self.first.wrapping_add(self.all.len() as u32);
        let (host, level) = (labelled.host, labelled.level.clone());
        let uuid = labelled.uuid.clone();
        self.all.push_back(labelled);
        let Self {
            all,
            first,
            levels,
            uuids,
            hasher,
            ..
        } = self;
        let at = |number: u32| &all[number.wrapping_sub(*first) as usize];
        if let Some(level) = level {
            let level_of = |&number: &u32| {
                hasher.hash_one((
                    at(number).host,
                    at(number).level.as_deref().unwrap_or_default(),
                ))
            };
            let same = |&number: &u32| {
                at(number).host == host && at(number).level.as_ref() == Some(&level)
            };
            let hash = hasher.hash_one((host, &*level));
            *levels
                .entry(hash, same, level_of)
                .or_insert(number)
                .get_mut() = number;
        }
        let uuid_of = |&number: &u32| hasher.hash_one(&*at(number).uuid);
        let same = |&number: &u32| *at(number).uuid == *uuid;
        let hash = hasher.hash_one(&*uuid);
        *uuids.entry(hash, same, uuid_of).or_insert(number).get_mut() = number;
    }

    /// Forgets the oldest, unless the guest is there and got no other label: then it becomes the newest.
    fn pop(&mut self, is_there: impl Fn(&Labelled) -> bool) {
        let Some(oldest) = self.all.pop_front() else {
            return;
        };
        let (number, hasher) = (self.first, &self.hasher);
        self.first = self.first.wrapping_add(1);
        let took_out = |table: &mut HashTable<u32>, hash: u64| {
            let entry = table.find_entry(hash, |&own| own == number);
            entry.map(|entry| entry.remove()).is_ok()
        };
        // Others may have the level meanwhile.
        let level = oldest.level.clone().filter(|level| {
            let hash = hasher.hash_one((oldest.host, &**level));
            took_out(&mut self.levels, hash)
        });
        let newest = took_out(&mut self.uuids, hasher.hash_one(&*oldest.uuid));
        if newest && is_there(&oldest) {
            self.push(Labelled { level, ..oldest });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is told is what the last start said; and it is told of the last starts, and of guests that run.
        #[test]
        fn who_got_it_last_is_told(starts in prop::collection::vec((0u8..12, 0u8..12), 0..80), running: [bool; 12]) {
            let mut labels = Labels { most: 8, ..Labels::default() };
            let mut told: Vec<(String, String, String)> = Vec::new();
            for (number, (guest, level)) in starts.into_iter().enumerate() {
                let (uuid, level, vm) = (guest.to_string(), level.to_string(), number.to_string());
                let labelled = Labelled {
                    host: 7,
                    level: Some((*level).into()),
                    vm: (*vm).into(),
                    uuid: (*uuid).into(),
                    proof: Proof::default(),
                };
                let runs = |own: &Labelled| running[own.uuid.parse::<usize>().expect("a number")];
                labels.add(labelled, runs);
                told.push((uuid, level, vm));
                for (name, runs) in running.into_iter().enumerate() {
                    let name = name.to_string();
                    let last = told.iter().rposition(|(uuid, ..)| *uuid == name);
                    let known = labels.with_uuid(&name).map(|own| &*own.vm);
                    let young = last.is_some_and(|at| at + 4 >= told.len());
                    prop_assert!(known.is_some() || !(young || (runs && last.is_some())));
                    prop_assert!(known.is_none() || known == last.map(|at| &*told[at].2));
                    let last = told.iter().rposition(|(_, level, _)| *level == name);
                    let known = labels.with_level(7, &name).map(|own| &*own.vm);
                    prop_assert!(known.is_some() || last.is_none_or(|at| at + 4 < told.len()));
                    prop_assert!(known.is_none() || known == last.map(|at| &*told[at].2));
                }
                prop_assert!(labels.with_level(6, "0").is_none());
            }
            prop_assert!(labels.all.len() <= 8 + 12);
        }
    }
}
