// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The place of a record in its event. Records are distinguished by host, time, serial number, type, text and,
//! where an event has the same text twice, which of them it is: so that a log that is loaded twice counts once.

use crate::record::Head;
use crate::record::fnv::fnv;
use dmns_audit_log::line::Stamp;

/// Maximum number of interleaved events of a host.
const MIXED: usize = 4;

/// The place of a record in its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Among those of ours; the first is 0.
    pub(super) number: u32,
    /// Hash of its text.
    pub(super) hash: u64,
    /// Among those of the same text; the first is 0.
    pub(super) copy: u32,
}

/// The last events of a host, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<Event>);

/// The hashes of records.
#[derive(Debug, Default)]
struct Others(Vec<u64>);

/// An event, and the hashes of its records: mostly there is one.
#[derive(Debug)]
struct Event {
    stamp: Stamp,
    first: u64,
    others: Option<Box<Others>>,
}

impl Events {
    pub(super) fn place(&mut self, head: &Head<'_>) -> Place {
        let hash = fnv(&[head.type_name().as_bytes(), head.body]);
        if let Some(event) = self.0.iter_mut().find(|event| event.stamp == head.stamp) {
            let others = &mut event.others.get_or_insert_default().0;
            let known = [event.first].into_iter().chain(others.iter().copied());
            let place = Place {
                number: others.len() as u32 + 1,
                hash,
                copy: known.filter(|other| *other == hash).count() as u32,
            };
            others.push(hash);
            return place;
        }
        if self.0.len() == MIXED {
            self.0.remove(0);
        }
        self.0.reserve_exact(1);
        self.0.push(Event {
            stamp: head.stamp,
            first: hash,
            others: None,
        });
        Place {
            number: 0,
            hash,
            copy: 0,
        }
    }
}
