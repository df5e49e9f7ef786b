// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Hosts by number, so that what belongs to one is found at once, however many there are.

use hashbrown::HashMap;

/// The number of a host: the first that a log names is 0.
pub type Host = usize;

/// The hosts of a log, as `node=` names them. A log without has one, that has no name.
#[derive(Debug, Default)]
pub struct Hosts {
    numbers: HashMap<Box<[u8]>, Host>,
    names: Vec<Option<Box<[u8]>>>,
    /// That of records without `node=`.
    unnamed: Option<Host>,
    /// The one asked for last: records of a host come in a row.
    last: Host,
}

impl Hosts {
    /// The number of the host called `node`, which may be a new one.
    pub fn number(&mut self, node: Option<&[u8]>) -> Host {
        match self.known(node) {
            Some(host) => self.last = host,
            None => {
                self.last = self.names.len();
                match node {
                    Some(node) => drop(self.numbers.insert(node.into(), self.last)),
                    None => self.unnamed = Some(self.last),
                }
                self.names.push(node.map(Box::from));
            }
        }
        self.last
    }

    /// The same, if the log named it before.
    pub fn known(&self, node: Option<&[u8]>) -> Option<Host> {
        match self.names.get(self.last) {
            Some(name) if name.as_deref() == node => Some(self.last),
            _ => match node {
                Some(node) => self.numbers.get(node).copied(),
                None => self.unnamed,
            },
        }
    }
}

/// Something for each host.
#[derive(Debug)]
pub struct PerHost<T> {
    hosts: Hosts,
    all: Vec<T>,
}

impl<T> Default for PerHost<T> {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            all: Vec::new(),
        }
    }
}

impl<T: Default> PerHost<T> {
    /// That of the host called `node`.
    pub fn of(&mut self, node: Option<&[u8]>) -> &mut T {
        let host = self.hosts.number(node);
        if self.all.len() <= host {
            self.all.resize_with(host + 1, T::default);
        }
        &mut self.all[host]
    }

    /// The same, if there is one.
    pub fn known(&self, node: Option<&[u8]>) -> Option<&T> {
        self.all.get(self.hosts.known(node)?)
    }

    /// Those of all hosts, in the order in which the log named them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.iter_mut()
    }
}
