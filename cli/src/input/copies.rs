// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds records that are in several logs: a copy, a compressed file and its original, a syslog and
//! auditd's log. Logs are read in the order of time, so that copies are close to each other.

use super::rank;
use crate::record::host::Host;
use crate::record::place::Place;
use crate::record::{Head, event};
use dmns_audit_log::line::Stamp;
use hashbrown::{DefaultHashBuilder, HashMap};
use std::collections::VecDeque;

/// The number of records in memory.
const MOST: usize = 1 << 16;

/// The time that a record stays in memory, in seconds of the logs.
const LONG: u64 = 5;

/// Records that are in several logs, or twice in one, and count once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The number that was left out.
    pub records: u64,
    /// The place of the first.
    pub first: Place,
    /// The line there.
    pub line: Vec<u8>,
}

impl Repeated {
    /// `3 records are in the logs more than once, and count once`
    pub fn describe(&self) -> String {
        match self.records {
            1 => "1 record is in the logs more than once, and counts once".to_owned(),
            records => {
                format!("{records} records are in the logs more than once, and count once")
            }
        }
    }
}

/// A record that came.
#[derive(Debug)]
struct Known {
    host: Host,
    /// The count in each log: a log may have a record several times.
    times: Vec<(usize, u32)>,
}

/// The last records of several logs.
#[derive(Debug, Default)]
pub(super) struct Copies {
    hasher: DefaultHashBuilder,
    known: HashMap<u64, Known>,
    /// Oldest first, with the second in which it came.
    order: VecDeque<(u64, u64)>,
    /// Hosts that turned out to be another one.
    same: HashMap<Host, Host>,
    left_out: LeftOut,
}

/// The number of records that were left out, and the place of the first.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    records: u64,
    first: Option<(Place, Vec<u8>)>,
}

impl LeftOut {
    fn add(&mut self, place: Place, line: &[u8]) {
        self.records += 1;
        self.first.get_or_insert_with(|| (place, line.to_vec()));
    }

    /// Returns the records that were left out.
    pub(super) fn all(&self) -> Option<Repeated> {
        let (first, line) = self.first.as_ref()?;
        Some(Repeated {
            records: self.records,
            first: *first,
            line: line.clone(),
        })
    }
}

/// Finds a log that begins again, as with `cat a a`. Records that are not newer than those before
/// are left out.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The first record.
    first: Option<(Stamp, Vec<u8>)>,
    serial: u64,
    /// The last event of the newest second.
    newest: Option<Stamp>,
    begun: bool,
    pub(super) left_out: LeftOut,
}

impl Again {
    /// Adds the record `head`, at `place`. Returns whether it came before.
    #[inline]
    pub(super) fn came(&mut self, head: &Head<'_>, place: Place, line: &[u8]) -> bool {
        if self.begun || self.first.is_none() || head.stamp.serial == self.serial {
            return self.came_or_first(head, place, line);
        }
        self.newest(head);
        false
    }

    #[inline]
    fn newest(&mut self, head: &Head<'_>) {
        if self
            .newest
            .is_none_or(|newest| newest.seconds <= head.stamp.seconds)
        {
            self.newest = Some(head.stamp);
        }
    }

    #[cold]
    fn came_or_first(&mut self, head: &Head<'_>, place: Place, line: &[u8]) -> bool {
        let newest = self.newest;
        let (stamp, first) = self
            .first
            .get_or_insert_with(|| (head.stamp, line.to_vec()));
        self.serial = stamp.serial;
        // A record may occur twice while its event lasts.
        if *stamp == head.stamp && !self.begun {
            let over = newest.is_some_and(|newest| event::is_over(stamp.seconds, newest.seconds));
            self.begun = over && first == line;
        }
        if self.begun && Some(head.stamp) <= newest {
            self.left_out.add(place, line);
            return true;
        }
        self.newest(head);
        false
    }
}

impl Copies {
    /// Adds the record `head`, at `place` of the log `source`. The logs are at the second `now`.
    /// Returns whether it came before.
    pub(super) fn came(
        &mut self,
        head: &Head<'_>,
        source: usize,
        (place, line): (Place, &[u8]),
        now: u64,
    ) -> bool {
        while let Some(&(key, then)) = self.order.front() {
            if self.order.len() < MOST && then.saturating_add(LONG) >= now {
                break;
            }
            self.order.pop_front();
            self.known.remove(&key);
        }
        let key = rank::hash(&self.hasher, head);
        let known = self.known.entry(key).or_insert_with(|| {
            self.order.push_back((key, now));
            Known {
                host: head.host,
                times: Vec::new(),
            }
        });
        let most = known
            .times
            .iter()
            .map(|(_, times)| *times)
            .max()
            .unwrap_or(0);
        let times = match known.times.iter_mut().find(|(log, _)| *log == source) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                known.times.push((source, 1));
                1
            }
        };
        if times <= most {
            let (host, own) = (known.host, head.host);
            if host != own && !self.same.contains_key(&host) {
                self.same.insert(own, host);
            }
            self.left_out.add(place, line);
            return true;
        }
        false
    }

    /// Returns the host that is the same as `host`.
    pub(super) fn host(&self, host: Host) -> Host {
        self.same.get(&host).copied().unwrap_or(host)
    }

    /// Returns the records that were left out.
    pub(super) fn left_out(&self) -> Option<Repeated> {
        self.left_out.all()
    }
}
