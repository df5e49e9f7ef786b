// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Hosts by number, so that the cost of a search does not depend on their number.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// The number of a host: the first that a log names is 0.
pub type Host = u32;

/// The hosts of a log, as `node=` names them. A log without `node=` has one host without a name.
#[derive(Debug, Default)]
pub struct Hosts {
    /// The names of all, one after the other, and the end of each.
    names: Vec<u8>,
    ends: Vec<usize>,
    numbers: HashTable<Host>,
    hasher: DefaultHashBuilder,
    /// The host of records without `node=`.
    unnamed: Option<Host>,
    /// The host of the last call: records of a host come in a row.
    last: Host,
}

impl Hosts {
    /// Returns the number of the host called `node`, which may be a new one.
    #[inline]
    pub fn number(&mut self, node: Option<&[u8]>) -> Host {
        self.last = match node {
            Some(node) => self.named(node),
            None => match self.unnamed {
                Some(host) => host,
                None => *self
                    .unnamed
                    .insert(add(&mut self.names, &mut self.ends, &[])),
            },
        };
        self.last
    }

    fn named(&mut self, node: &[u8]) -> Host {
        let Self {
            names,
            ends,
            numbers,
            hasher,
            unnamed,
            last,
        } = self;
        if unnamed.is_none_or(|unnamed| unnamed != *last) && name(names, ends, *last) == Some(node)
        {
            return *last;
        }
        let hash = hasher.hash_one(node);
        if let Some(host) = numbers.find(hash, |&host| name(names, ends, host) == Some(node)) {
            return *host;
        }
        let host = add(names, ends, node);
        let hash_of = |&host: &Host| hasher.hash_one(name(names, ends, host).unwrap_or_default());
        *numbers.insert_unique(hash, host, hash_of).get()
    }
}

fn name<'a>(names: &'a [u8], ends: &[usize], host: Host) -> Option<&'a [u8]> {
    let host = host as usize;
    let end = *ends.get(host)?;
    let from = host.checked_sub(1).map_or(0, |before| ends[before]);
    Some(&names[from..end])
}

fn add(names: &mut Vec<u8>, ends: &mut Vec<usize>, node: &[u8]) -> Host {
    names.extend_from_slice(node);
    ends.push(names.len());
    // The names of 2^32 hosts fit no memory.
    (ends.len() - 1) as Host
}

/// A small value for each host.
#[derive(Debug)]
pub struct PerHost<T>(Vec<T>);

impl<T> Default for PerHost<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerHost<T> {
    /// Returns the value of `host`.
    #[inline]
    pub fn of(&mut self, host: Host) -> &mut T {
        let host = host as usize;
        if self.0.len() <= host {
            self.0.resize_with(host + 1, T::default);
        }
        &mut self.0[host]
    }

    /// Returns the value of `host`, if there is one.
    pub fn known(&self, host: Host) -> Option<&T> {
        self.0.get(host as usize)
    }

    /// Returns the values of all hosts, in the order in which the log named them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_name_has_one_number(names in prop::collection::vec(prop::option::of("[ab]{0,3}"), 0..60)) {
            let mut hosts = Hosts::default();
            let mut known: Vec<Option<String>> = Vec::new();
            for name in names {
                let number = hosts.number(name.as_ref().map(String::as_bytes)) as usize;
                match known.iter().position(|other| *other == name) {
                    Some(at) => prop_assert_eq!(number, at),
                    None => {
                        prop_assert_eq!(number, known.len());
                        known.push(name);
                    }
                }
            }
        }
    }
}
