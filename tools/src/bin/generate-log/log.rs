// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The log that is written.

use crate::random::Random;
use std::io::{self, Write};

/// The log as it grows: time, serial number, output.
pub(crate) struct Log<W> {
    pub(crate) out: W,
    pub(crate) millis: u64,
    pub(crate) serial: u64,
    /// `node=NAME `, or nothing.
    pub(crate) node: String,
    /// The number of events that are still lost.
    pub(crate) lost: u64,
    pub(crate) random: Random,
    pub(crate) plain: bool,
}

impl<W: Write> Log<W> {
    /// Begins an event. Returns the content of `audit(...)`.
    pub(crate) fn event(&mut self) -> String {
        self.millis += self.random.below(100);
        self.serial += 1;
        self.lost = self.lost.saturating_sub(1);
        format!(
            "{}.{:03}:{}",
            self.millis / 1000,
            self.millis % 1000,
            self.serial
        )
    }

    /// Advances the time to the next second.
    pub(crate) fn next_second(&mut self) {
        self.millis = self.millis.next_multiple_of(1000);
    }

    pub(crate) fn record(&mut self, ty: &str, stamp: &str, body: &str) -> io::Result<()> {
        match self.lost {
            0 => writeln!(
                self.out,
                "{}type={ty} msg=audit({stamp}): {body}",
                self.node
            ),
            _ => Ok(()),
        }
    }
}
