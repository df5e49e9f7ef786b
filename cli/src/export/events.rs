// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The place of a record in its event. Records are distinguished by host, time, serial number, type, text and,
//! where an event has the same text twice, which of them it is: so that a log that is loaded twice counts once.

use crate::record::Head;
use dmns_audit_uapi::line::Stamp;
use std::collections::VecDeque;

/// How many events of a host may come mixed.
const MIXED: usize = 4;

/// Which record of its event this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Among those of ours; the first is 0.
    pub(super) number: u32,
    /// Of its text.
    pub(super) hash: u64,
    /// Among those of the same text; the first is 0.
    pub(super) copy: u32,
}

/// The last events of a host.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<(Stamp, Vec<u64>)>);

impl Events {
    pub(super) fn place(&mut self, head: &Head<'_>) -> Place {
        let hash = fnv(&[head.type_name().as_bytes(), head.body]);
        let at = self.0.iter().position(|(stamp, _)| *stamp == head.stamp);
        let at = match at {
            Some(at) => at,
            None => {
                // Its room is used again.
                let mut known = match self.0.len() {
                    MIXED => self.0.pop_front().map_or(Vec::new(), |(_, known)| known),
                    _ => Vec::new(),
                };
                known.clear();
                self.0.push_back((head.stamp, known));
                self.0.len() - 1
            }
        };
        let known = &mut self.0[at].1;
        let place = Place {
            number: known.len() as u32,
            hash,
            copy: known.iter().filter(|other| **other == hash).count() as u32,
        };
        known.push(hash);
        place
    }
}

/// FNV-1a: the same on every machine and in every version, as what is in a table has to be.
fn fnv(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
