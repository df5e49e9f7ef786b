// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Examines the beginning of a log: its records, the order within events, and the hosts.

use super::rank::{hash, own, rank};
use crate::record::Type;
use crate::record::head::{self, Parsed};
use dmns_audit_log::line::Stamp;
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::hash::{BuildHasher, DefaultHasher};

/// The number of bytes of a log that are examined.
pub(super) const LENGTH: usize = 64 << 10;

/// The number of records that are examined.
const RECORDS: usize = 2000;

/// The beginning of a log.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// The stamp and the hash of each record.
    pub(super) records: Vec<(Stamp, u64)>,
    /// The hosts that records name, and whether one names none.
    pub(super) hosts: HashSet<Vec<u8>>,
    pub(super) unnamed: bool,
    /// It has a boot.
    boots: bool,
    /// The number of times that serial numbers of records without a host go far back within
    /// seconds.
    back: u32,
}

/// The minimum time of a boot, in seconds.
const SOON: u64 = 20;

/// The distance that serial numbers do not go back while a machine is up.
const FAR: u64 = 1000;

/// Hashes alike in all samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed;

impl BuildHasher for Fixed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

impl Sample {
    /// Examines `begin`. Its last line may be cut.
    pub(super) fn of(hasher: &impl BuildHasher, begin: &[u8]) -> Self {
        let mut sample = Self::default();
        let mut last: Option<Stamp> = None;
        let whole = match begin.len() >= LENGTH {
            true => memchr::memrchr(b'\n', begin).map_or(begin, |end| &begin[..end]),
            false => begin,
        };
        for line in whole.split(|&byte| byte == b'\n') {
            let Parsed::Record(head) = head::parse(line) else {
                continue;
            };
            let hash = hash(hasher, &head);
            sample.boots |= matches!(head.ty, Type::KernelBoot | Type::SystemBoot);
            match head.node {
                Some(node) => drop(sample.hosts.insert(node.to_vec())),
                None => sample.unnamed = true,
            }
            sample.records.push((head.stamp, hash));
            // run-guest and oci-hook number what they append to a file by themselves, and auditd its
            // own records.
            let own_number = matches!(head.ty, Type::Virt(_)) || head.name.starts_with(b"DAEMON_");
            if head.node.is_none() && !own_number {
                let last = last.replace(head.stamp).unwrap_or(head.stamp);
                let soon =
                    (last.seconds..last.seconds.saturating_add(SOON)).contains(&head.stamp.seconds);
                let back = head.stamp.serial.saturating_add(FAR) < last.serial;
                sample.back += u32::from(soon && back);
            }
            if sample.records.len() == RECORDS {
                break;
            }
        }
        sample
    }

    /// Returns whether a record is in both.
    pub(super) fn shares(&self, other: &Self) -> bool {
        let own: HashSet<u64> = self.records.iter().map(|(_, hash)| *hash).collect();
        other.records.iter().any(|(_, hash)| own.contains(hash))
    }

    /// Returns whether the serial numbers show that the two are of two machines. Then the later of
    /// two close records has the smaller number, and no boot is between them.
    pub(super) fn is_apart(&self, other: &Self) -> bool {
        if self.boots || other.boots {
            return false;
        }
        let mut all: Vec<(Stamp, bool)> = Vec::new();
        all.extend(self.records.iter().map(|(stamp, _)| (*stamp, false)));
        all.extend(other.records.iter().map(|(stamp, _)| (*stamp, true)));
        all.sort_unstable();
        all.windows(2).any(|pair| {
            let ((first, of), (second, than)) = (pair[0], pair[1]);
            // Records of two processors come as they come.
            let back = second.serial.saturating_add(8) < first.serial;
            let far = first.serial.abs_diff(second.serial) > 1_000_000;
            of != than && second.seconds - first.seconds < SOON && (back || far)
        })
    }

    /// Returns whether the serial numbers of records without a host are those of several machines.
    /// They then go far back repeatedly, faster than a boot.
    pub(super) fn is_of_several(&self) -> bool {
        self.back > 1
    }

    /// Returns the host that records name, if it is one, and others name none.
    pub(super) fn other_host(&self) -> Option<&[u8]> {
        let mut hosts = self.hosts.iter().map(Vec::as_slice);
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if self.unnamed => Some(host),
            _ => None,
        }
    }

    /// Returns the time of the first record.
    pub(super) fn first(&self) -> Option<Stamp> {
        self.records.first().map(|(stamp, _)| *stamp)
    }
}

/// The order in which a log has the records of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The kernel's order.
    Kernel,
    /// Otherwise.
    Mixed,
    /// `ausearch`'s order, with a line between events: the last one first.
    Divided,
}

/// An event: its host, its stamp, and the last place in it that was seen.
type Seen<'a> = (Option<&'a [u8]>, Stamp, (u8, u64));

/// Returns the order that `begin` shows.
pub(super) fn order(begin: &[u8]) -> Order {
    let begin = &begin[..begin.len().min(LENGTH)];
    let mut order = Order::Kernel;
    // The records of an event are close to each other.
    let mut recent: VecDeque<Seen<'_>> = VecDeque::new();
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', begin) {
        let line = &begin[from..end];
        let before = &begin[..from];
        from = end + 1;
        if line.first() == Some(&b'-') && line.trim_ascii_end() == b"----" {
            return Order::Divided;
        }
        let Parsed::Record(head) = head::parse(line) else {
            continue;
        };
        let at = match head.ty {
            Type::Ours(_) => own(&head),
            _ => 0,
        };
        let place = (rank(&head), at);
        let same = |known: &&mut Seen<'_>| known.1 == head.stamp && known.0 == head.node;
        match recent.iter_mut().rev().find(same) {
            Some((.., highest)) => {
                // NS_INFO may come after all, and a record may be there twice.
                let (rank, most) = (place.0, highest.0);
                let back = rank < 2 && most > 2 || rank < 8 && most > 7;
                let back = back || rank == most && place.1 < highest.1;
                if back && memchr::memmem::find(before, line).is_none() {
                    order = Order::Mixed;
                }
                *highest = place.max(*highest);
            }
            None => {
                if recent.len() == RECENT {
                    recent.pop_front();
                }
                recent.push_back((head.node, head.stamp, place));
            }
        }
    }
    order
}

/// The number of events that are examined together.
const RECENT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Sample {
        Sample::of(&Fixed, text.as_bytes())
    }

    #[test]
    fn auditd_numbers_its_own_records() {
        let line = |ty: &str, serial: u64| format!("type={ty} msg=audit(5.000:{serial}): a\n");
        let pair = |i: u64| line("DAEMON_CONFIG", i % 2 * 9000) + &line("SYSCALL", 1000 + i);
        let log: String = (0..100).map(pair).collect();
        assert!(!of(&log).is_of_several());
        assert!(of(&log.replace("DAEMON_CONFIG", "USER_LOGIN")).is_of_several());
    }

    #[test]
    fn the_order_of_an_events_records_is_seen() {
        let line =
            |ty: &str, serial: u64| format!("type={ty} msg=audit(5.000:{serial}): of={ty}\n");
        let event = [line("DM_CTRL", 1), line("SYSCALL", 1), line("PROCTITLE", 1)];
        let shown = |lines: &[&str]| order(lines.concat().as_bytes());
        assert_eq!(shown(&[&event[0], &event[1], &event[2]]), Order::Kernel);
        assert_eq!(shown(&[&event[1], &event[0], &event[2]]), Order::Mixed);
        assert_eq!(shown(&["----\n", &event[0]]), Order::Divided);
        assert_eq!(
            shown(&[&line("PROCTITLE", 1), &line("SYSCALL", 2)]),
            Order::Kernel
        );
        assert_eq!(shown(&[&event[0], &event[1], &event[0]]), Order::Kernel);
        let of = |id: u64| format!("type=NS_INIT_MNT msg=audit(5.000:1): mntns=1 ns_id={id}\n");
        assert_eq!(shown(&[&of(5), &of(6)]), Order::Kernel);
        assert_eq!(shown(&[&of(6), &of(5)]), Order::Mixed);
        let init = line("NS_INIT_MNT", 1);
        assert_eq!(
            shown(&[&init, &event[1], &line("NS_INFO", 1)]),
            Order::Kernel
        );
    }

    #[test]
    fn two_machines_are_seen_by_their_numbers() {
        let line = |seconds: u64, serial: u64| {
            format!("type=DM_EVENT msg=audit({seconds}.000:{serial}): x=1\n")
        };
        assert!(of(&line(100, 50)).is_apart(&of(&line(105, 20))));
        assert!(!of(&line(100, 50)).is_apart(&of(&line(105, 80))));
        assert!(!of(&line(100, 50)).is_apart(&of(&line(900, 20))));
        assert!(of(&(line(100, 50) + &line(200, 60))).is_apart(&of(&line(190, 9_000_000))));
    }
}
