// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Events and boots, as far as stamps distinguish them.
//!
//! The records of an event come close together, but not in a row: those of other processors come between.

use super::Head;
use super::host::PerHost;

/// How long the records of an event may take to come, in seconds of the log: as long as libauparse waits.
const PATIENCE: u64 = 2;

/// How far serial numbers may go back without a boot between: records of an event that took long.
const BACK: u64 = 1000;

/// Whether an event of the second `then` gets no more records, now that one of the second `now` came.
pub fn is_over(then: u64, now: u64) -> bool {
    then.saturating_add(PATIENCE) < now
}

/// The last serial number of each node. Where they begin anew, the machine came up in between.
#[derive(Debug, Default)]
pub struct Serials(PerHost<u64>);

impl Serials {
    /// A record came. Returns whether its machine came up since the one before.
    #[inline]
    pub fn began_anew(&mut self, head: &Head<'_>) -> bool {
        let serial = head.stamp.serial;
        let last = std::mem::replace(self.0.of(head.host), serial);
        serial.saturating_add(BACK) < last
    }
}

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
}
