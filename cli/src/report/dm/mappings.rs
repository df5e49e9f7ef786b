// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The mappings that live on a host, and which of them stands on a device: found by index, however many live.

use super::lives::Open;
use super::record::Record;
use dmns_audit_uapi::rules::{self, Dev};
use hashbrown::{Equivalent, HashMap, HashSet};

/// What tells a mapping on its host, as a record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named<'a> {
    /// The target: `integrity`.
    pub(super) target: &'a str,
    /// The device: `254:3`.
    pub(super) device: &'a str,
}

/// The same, kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The target: `integrity`.
    pub(super) target: String,
    /// The device: `254:3`.
    pub(super) device: String,
}

impl<'a> Named<'a> {
    /// What `record` names.
    pub(super) fn by(record: &Record<'a>) -> Self {
        Self::new(record.module, record.dev)
    }

    fn new(target: &'a str, device: &'a str) -> Self {
        Self { target, device }
    }

    /// To keep.
    pub(super) fn key(self) -> Key {
        Key {
            target: self.target.to_owned(),
            device: self.device.to_owned(),
        }
    }
}

impl Equivalent<Key> for Named<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        (self.device, self.target) == (&key.device, &key.target)
    }
}

/// Mappings, and violations of which no mapping is known.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    /// In boxes: the map of a host that has one mapping has room for four.
    all: HashMap<Key, Box<Open>>,
    /// By target and the device beneath: the devices of mappings whose table is loaded.
    above: HashMap<Key, HashSet<String>>,
    /// By target: those of which the device beneath is not known.
    free: HashMap<String, HashSet<String>>,
}

impl Mappings {
    pub(super) fn get_mut(&mut self, named: Named<'_>) -> Option<&mut Open> {
        self.all.get_mut(&named).map(|open| &mut **open)
    }

    pub(super) fn has(&self, named: Named<'_>) -> bool {
        self.all.contains_key(&named)
    }

    /// Keeps `open`; tells what was there before.
    pub(super) fn insert(&mut self, open: Open) -> Option<Open> {
        let named = Named::new(&open.life.target, &open.life.device);
        let key = named.key();
        let old = self.remove(named);
        if open.tables > 0 {
            self.place(&open).insert(key.device.clone());
        }
        self.all.insert(key, Box::new(open));
        old
    }

    pub(super) fn remove(&mut self, named: Named<'_>) -> Option<Open> {
        let open = *self.all.remove(&named)?;
        if open.tables > 0 {
            let place = self.place(&open);
            place.remove(named.device);
            if place.is_empty() {
                match &open.beneath {
                    Some(beneath) => self.above.remove(&Named::new(named.target, beneath)),
                    None => self.free.remove(named.target),
                };
            }
        }
        Some(open)
    }

    /// All, in no order.
    pub(super) fn into_all(self) -> impl Iterator<Item = Open> {
        self.all.into_values().map(|open| *open)
    }

    /// Where `open` is in the indexes.
    fn place(&mut self, open: &Open) -> &mut HashSet<String> {
        let target = &open.life.target;
        match &open.beneath {
            Some(beneath) => {
                let key = Named::new(target, beneath).key();
                self.above.entry(key).or_default()
            }
            None => self.free.entry_ref(target.as_str()).or_default(),
        }
    }

    /// The device of the mapping that a violation is of, where that is not the one that `record` names; and whether
    /// only the device beneath it is known.
    pub(super) fn above(&mut self, record: &Record<'_>) -> (Option<String>, bool) {
        let named = Named::by(record);
        let dev = rules::op(record.module, record.op).map_or(Dev::Mapped, |op| op.dev);
        let lives = self.all.get(&named).is_some_and(|open| open.tables > 0);
        if dev == Dev::Mapped || (dev == Dev::Either && lives) {
            return (None, false);
        }
        if let (Some(device), _) = only(self.above.get(&named), named.device) {
            return (Some(device.clone()), false);
        }
        match only(self.free.get(named.target), named.device) {
            (Some(device), _) => {
                let device = device.clone();
                // From the index of those whose device beneath is not known to that of the others.
                if let Some(mut open) = self.remove(Named::new(named.target, &device)) {
                    open.beneath = Some(named.device.to_owned());
                    self.insert(open);
                }
                (Some(device), false)
            }
            // Nothing of the module lives: this may be the mapping itself, if it can be.
            (None, 0) if dev == Dev::Either => (None, false),
            _ => (None, true),
        }
    }
}

/// The only one of `devices` but `named`, if there is just one; and how many there are.
fn only<'a>(devices: Option<&'a HashSet<String>>, named: &str) -> (Option<&'a String>, usize) {
    let Some(devices) = devices else {
        return (None, 0);
    };
    let number = devices.len() - usize::from(devices.contains(named));
    match number {
        1 => (devices.iter().find(|device| *device != named), 1),
        number => (None, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::dm::life::Life;
    use proptest::prelude::*;

    fn open(target: &str, device: &str, tables: u32, beneath: Option<String>) -> Open {
        Open::new(0, tables, beneath, Life::of(target, device))
    }

    /// The same, by looking at each mapping.
    fn above(
        all: &mut [(Key, u32, Option<String>)],
        record: &Record<'_>,
    ) -> (Option<String>, bool) {
        let named = Named::by(record).key();
        let dev = rules::op(record.module, record.op).map_or(Dev::Mapped, |op| op.dev);
        let lives = all
            .iter()
            .any(|(key, tables, _)| *key == named && *tables > 0);
        if dev == Dev::Mapped || (dev == Dev::Either && lives) {
            return (None, false);
        }
        let on = |wanted: Option<&str>, all: &[(Key, u32, Option<String>)]| -> Vec<usize> {
            let other = |key: &Key| key.target == named.target && key.device != named.device;
            (0..all.len())
                .filter(|&at| other(&all[at].0) && all[at].1 > 0)
                .filter(|&at| all[at].2.as_deref() == wanted)
                .collect()
        };
        if let [only] = on(Some(&named.device), all)[..] {
            return (Some(all[only].0.device.clone()), false);
        }
        match on(None, all)[..] {
            [only] => {
                all[only].2 = Some(named.device);
                (Some(all[only].0.device.clone()), false)
            }
            [] if dev == Dev::Either => (None, false),
            _ => (None, true),
        }
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_finds(
            ops in prop::collection::vec((0usize..3, 0u8..5, 0usize..4, prop::option::of(0u8..5)), 0..80),
        ) {
            let mut mappings = Mappings::default();
            let mut list: Vec<(Key, u32, Option<String>)> = Vec::new();
            for (target, device, what, beneath) in ops {
                let (module, op) = [("integrity", "integrity-checksum"), ("crypt", "integrity-aead"),
                                    ("verity", "verify-data")][target];
                let dev = format!("253:{device}");
                let key = Named::new(module, &dev).key();
                match what {
                    0 => {
                        let beneath = beneath.map(|minor| format!("253:{minor}"));
                        mappings.insert(open(module, &dev, 1, beneath.clone()));
                        list.retain(|(known, ..)| *known != key);
                        list.push((key, 1, beneath));
                    }
                    1 => {
                        let removed = mappings.remove(Named::new(module, &dev)).is_some();
                        prop_assert_eq!(removed, list.iter().any(|(known, ..)| *known == key));
                        list.retain(|(known, ..)| *known != key);
                    }
                    _ => {
                        let record = Record { module, op, dev: &dev, ..Record::default() };
                        prop_assert_eq!(mappings.above(&record), above(&mut list, &record));
                    }
                }
            }
        }
    }
}
