// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! ContainerSelector namespaces were made for one container.

use crate::record::host::Host;
use crate::report::id::{Id, Who};
use dmns_audit_uapi::ns::Kind;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Maximum time that the creation of a container takes, in seconds.
const PATIENCE: u64 = 10;

/// Programs that make namespaces for themselves, or to see whether they can.
const NO_RUNTIMES: [&str; 8] = [
    "pasta",
    "passt",
    "slirp4netns",
    "libvirtd",
    "virtlxcd",
    "virtqemud",
    "dockerd",
    "containerd",
];

/// A making: one system call, or several that belong together.
#[derive(Clone, Debug, Default)]
pub(super) struct Making {
    /// The process that made the call, its parent, and its child if the call made one; 0: none.
    pub(super) pid: i64,
    pub(super) parent: i64,
    pub(super) child: i64,
    /// Kind and place of each namespace.
    pub(super) namespaces: Vec<(Kind, u64)>,
}

/// All that was made for what may be a container.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) start: Id,
    pub(super) maker: Option<Who>,
    pub(super) namespaces: Vec<(Kind, u64)>,
    /// Its place among containers, once it is one.
    pub(super) container: Option<u64>,
    /// Number of its calls that can still be found.
    calls: u32,
}

impl Made {
    fn has(&self, kind: Kind) -> bool {
        self.namespaces.iter().any(|(known, _)| *known == kind)
    }

    fn is_container(&self) -> bool {
        let of_daemon = |who: &Who| {
            let program = who.exe.rsplit('/').next().unwrap_or_default();
            NO_RUNTIMES
                .iter()
                .any(|name| who.comm.starts_with(name) || program.starts_with(name))
        };
        self.namespaces.len() >= 3
            && self.has(Kind::Pid)
            && self.has(Kind::Mnt)
            && !self.maker.as_ref().is_some_and(of_daemon)
    }
}

/// A system call that is remembered.
#[derive(Debug)]
struct Call {
    seconds: u64,
    /// ContainerSelector making it belongs to.
    number: u64,
    /// Keys of the index: processes; the parent, negative.
    keys: Vec<(Host, i64)>,
}

/// Makings that may go on.
#[derive(Debug, Default)]
pub(super) struct Makings {
    all: HashMap<u64, Made>,
    /// By host and process: what it made, or what made it.
    of_process: HashMap<(Host, i64), u64>,
    /// By host and parent: what runc's children made, which are siblings.
    of_parent: HashMap<(Host, i64), u64>,
    /// In the order in which they came.
    order: VecDeque<Call>,
    next: u64,
}

impl Makings {
    /// Takes the namespaces that a system call of `maker` created in the event `id`. Returns their container, if they
    /// have one.
    pub(super) fn add(
        &mut self,
        host: Host,
        id: Id,
        call: Making,
        maker: Option<Who>,
    ) -> Option<&mut Made> {
        while let Some(oldest) = self.order.front() {
            let recent = oldest.seconds.saturating_add(PATIENCE) >= id.seconds;
            if recent && self.order.len() < 4096 {
                break;
            }
            self.forget();
        }
        let by_process = self.of_process.get(&(host, call.pid)).copied();
        let by_parent = || self.of_process.get(&(host, call.parent)).copied();
        let runc = |who: &Who| who.comm.starts_with("runc");
        let siblings = || match maker.as_ref().is_some_and(runc) {
            true => self.of_parent.get(&(host, call.parent)).copied(),
            false => None,
        };
        let free = |number: &u64| {
            let known = self.all.get(number);
            known.is_some_and(|known| call.namespaces.iter().all(|(kind, _)| !known.has(*kind)))
        };
        let known = by_process.or_else(by_parent).or_else(siblings).filter(free);
        let number = match known {
            Some(number) => number,
            None => {
                self.next += 1;
                let made = Made {
                    start: id,
                    maker,
                    namespaces: Vec::new(),
                    container: None,
                    calls: 0,
                };
                self.all.insert(self.next, made);
                self.next
            }
        };
        let keys: Vec<_> = [call.pid, call.child]
            .into_iter()
            .filter(|pid| *pid > 0)
            .map(|pid| (host, pid))
            .collect();
        for key in &keys {
            self.of_process.insert(*key, number);
        }
        self.of_parent.insert((host, call.parent), number);
        let mut keys = keys;
        keys.push((host, -call.parent));
        self.order.push_back(Call {
            seconds: id.seconds,
            number,
            keys,
        });
        let made = self.all.get_mut(&number)?;
        made.calls += 1;
        made.namespaces.extend(call.namespaces);
        made.is_container().then_some(made)
    }

    /// Nothing more comes to the oldest call.
    fn forget(&mut self) {
        let Some(Call { number, keys, .. }) = self.order.pop_front() else {
            return;
        };
        for (host, pid) in keys {
            let (map, key) = match pid > 0 {
                true => (&mut self.of_process, (host, pid)),
                false => (&mut self.of_parent, (host, -pid)),
            };
            if map.get(&key) == Some(&number) {
                map.remove(&key);
            }
        }
        if let Some(made) = self.all.get_mut(&number) {
            made.calls -= 1;
            if made.calls == 0 {
                self.all.remove(&number);
            }
        }
    }
}
