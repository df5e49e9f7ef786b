// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Distinguishes events and boots by their stamps.
//!
//! The records of an event come close together, but not in a row: records of other processors come
//! between.

use super::host::PerHost;
use super::{Head, Type};

/// The maximum time between the records of an event, in seconds of the log. It is libauparse's.
const PATIENCE: u64 = 2;

/// The distance that serial numbers may go back without a boot, if the clock does not show one. An
/// event that took long has such a number.
const BACK: u64 = 1000;

/// The distance that serial numbers may go back without a boot, whatever the clock shows. Events that
/// are written at the same time may come in any order. One of them may have the time at which its
/// system call began, or its cause was.
const NEAR: u64 = 64;

/// The maximum age of a record of an event that took long, in seconds before the last record.
const LATE: u64 = 120;

/// The maximum time between the kernel's boot and SYSTEM_BOOT, in seconds. Both are the same boot.
const STARTUP: u64 = 900;

/// The distance to the limits of 32 bits at which serial numbers overflowed.
const ROUND: u64 = 1 << 20;

/// Returns whether an event of the second `then` is complete at the second `now`.
pub fn is_over(then: u64, now: u64) -> bool {
    then.saturating_add(PATIENCE) < now
}

/// The last serial number of each host. If they begin anew, the host came up in between.
#[derive(Debug, Default)]
pub struct Serials(PerHost<Last>);

/// The boot of a host.
#[derive(Debug, Default)]
struct Last {
    serial: u64,
    seconds: u64,
    /// journald's name of the boot, as a number.
    boot: Option<u64>,
    /// The time of the boot, until SYSTEM_BOOT.
    began: Option<u64>,
}

impl Serials {
    /// Adds a record. Returns whether its host came up since the one before.
    #[inline]
    pub fn began_anew(&mut self, head: &Head<'_>) -> bool {
        let last = self.0.of(head.host);
        let (serial, seconds) = (head.stamp.serial, head.stamp.seconds);
        if serial > last.serial
            && matches!(head.ty, Type::Ours(_))
            && (head.enrichment.is_empty() || last.boot.is_none() && boot(head).is_none())
        {
            last.serial = serial;
            last.seconds = last.seconds.max(seconds);
            return false;
        }
        last.anew(head)
    }
}

impl Last {
    fn anew(&mut self, head: &Head<'_>) -> bool {
        let (serial, seconds) = (head.stamp.serial, head.stamp.seconds);
        let boot = boot(head);
        let named = boot.is_some() && self.boot.is_some();
        let anew = match head.ty {
            Type::KernelBoot => true,
            Type::SystemBoot => {
                let began = self.began.take();
                began.is_none_or(|began| seconds.saturating_sub(began) >= STARTUP)
            }
            _ if named => boot != self.boot,
            Type::SystemShutdown => false,
            // run-guest and oci-hook number what they append to a file by themselves.
            Type::Virt(_) => self.is_far_back(serial, seconds),
            _ => self.is_back(serial, seconds),
        };
        self.boot = boot.or(self.boot);
        if anew {
            self.began = (head.ty != Type::SystemBoot).then_some(seconds);
            (self.serial, self.seconds) = (serial, seconds);
        } else if serial > self.serial || self.goes_round(serial) {
            self.serial = serial;
            self.seconds = self.seconds.max(seconds);
        }
        anew
    }

    /// Returns whether `serial` is of another boot than the last one.
    fn is_back(&self, serial: u64, seconds: u64) -> bool {
        let near = serial > NEAR && serial.saturating_add(NEAR) >= self.serial;
        let back = serial < self.serial && !near && !self.goes_round(serial);
        back && is_over(self.seconds, seconds) || self.is_far_back(serial, seconds)
    }

    /// Returns whether `serial` is of another boot, and not of an event that took long.
    fn is_far_back(&self, serial: u64, seconds: u64) -> bool {
        let late = seconds < self.seconds && seconds.saturating_add(LATE) >= self.seconds;
        serial.saturating_add(BACK) < self.serial && !late && !self.goes_round(serial)
    }

    fn goes_round(&self, serial: u64) -> bool {
        let end = 1 << 32;
        self.serial < end && self.serial >= end - ROUND && serial < ROUND
    }
}

/// Returns the boot of journald's copy of the record.
fn boot(head: &Head<'_>) -> Option<u64> {
    let id = head.enrichment.strip_prefix(BOOT.as_bytes())?;
    let mut number = 0xcbf2_9ce4_8422_2325u64;
    for byte in id.iter().take_while(|byte| **byte != b' ') {
        number = (number ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    Some(number)
}

/// The field of a boot, in the place of an enriched record's names.
pub const BOOT: &str = "_BOOT_ID=";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::host::Hosts;
    use crate::record::{Parsed, head};

    #[test]
    fn serial_numbers_that_begin_anew_are_a_boot_of_that_node() {
        let (mut serials, mut hosts) = (Serials::default(), Hosts::default());
        for (node, serial, anew) in [
            ("", 5000, false),
            ("node=a ", 9, false),
            ("", 4001, false),
            ("node=a ", 3, false),
            ("", 3000, true),
            ("", u64::MAX, false),
            ("", u64::MAX, false),
            ("", 1, true),
        ] {
            let line = format!("{node}type=EOE msg=audit(1.000:{serial}): ");
            let Parsed::Record(mut head) = head::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            head.host = hosts.number(head.node);
            assert_eq!(serials.began_anew(&head), anew, "{line}");
        }
        assert!(is_over(1, 4) && !is_over(1, 3) && !is_over(u64::MAX, 1));
    }

    fn boots(log: &[(&str, u64, u64, &str)]) -> Vec<bool> {
        let mut serials = Serials::default();
        log.iter()
            .map(|(ty, seconds, serial, rest)| {
                let line = format!("type={ty} msg=audit({seconds}.000:{serial}): {rest}");
                let Parsed::Record(head) = head::parse(line.as_bytes()) else {
                    panic!("{line}");
                };
                serials.began_anew(&head)
            })
            .collect()
    }

    #[test]
    fn a_boot_is_seen_where_serial_numbers_are_small_too() {
        let ours = |seconds, serial| ("DM_EVENT", seconds, serial, "module=x");
        assert_eq!(
            boots(&[ours(100, 300), ours(160, 12), ours(161, 13)]),
            [false, true, false]
        );
        // An event that took long comes late, and is older.
        assert_eq!(
            boots(&[ours(100, 300), ours(90, 12), ours(101, 301)]),
            [false; 3]
        );
        assert_eq!(
            boots(&[ours(100, 90_000), ours(70, 12), ours(101, 90_001)]),
            [false; 3]
        );
        // Two processors write at the same time.
        assert_eq!(
            boots(&[ours(100, 300), ours(101, 299), ours(102, 301)]),
            [false; 3]
        );
        // One of them took long.
        assert_eq!(
            boots(&[ours(100, 300), ours(104, 299), ours(104, 301)]),
            [false; 3]
        );
        assert_eq!(boots(&[ours(100, 30), ours(160, 12)]), [false, true]);
        // 32 bits have an end.
        assert_eq!(
            boots(&[
                ours(100, u64::from(u32::MAX) - 5),
                ours(200, 7),
                ours(201, 8)
            ]),
            [false; 3]
        );
        let kernel = ("2000", 500, 1, "state=initialized audit_enabled=0 res=1");
        let system = ("SYSTEM_BOOT", 520, 9, "pid=1");
        assert_eq!(
            boots(&[ours(499, 3), kernel, ours(510, 5), system, ours(521, 10)]),
            [false, true, false, false, false]
        );
        assert_eq!(
            boots(&[ours(499, 3), system, ours(521, 10)]),
            [false, true, false]
        );
    }

    #[test]
    fn a_boot_that_journald_names_is_one() {
        let of = |serial, id: &str| {
            format!("type=DM_EVENT msg=audit(5.000:{serial}): x=1\x1d{BOOT}{id}")
        };
        let mut serials = Serials::default();
        for (line, anew) in [
            (of(5, "aa"), false),
            (of(9, "aa"), false),
            (of(12, "ab"), true),
            (of(11, "ab"), false),
        ] {
            let Parsed::Record(head) = head::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            assert_eq!(serials.began_anew(&head), anew, "{line}");
        }
    }
}
