// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Shows the progress on standard error, if that is a terminal and the logs are long.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Read};
use std::time::Duration;

/// The size below which nothing is shown: the work is done before it is read.
const LONG: u64 = 64 << 20;

/// The progress bar, if there is one.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows nothing.
    pub fn none() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Creates the bar for `total` bytes of logs; 0 if that is not known.
    pub fn of(total: u64) -> Self {
        if !io::stderr().is_terminal() || (total != 0 && total < LONG) {
            return Self::none();
        }
        let bar = ProgressBar::with_draw_target(
            (total != 0).then_some(total),
            ProgressDrawTarget::stderr_with_hz(5),
        );
        let template = match total {
            0 => "{bytes} read, {bytes_per_sec}, {elapsed}",
            _ => "{bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} to go",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        // A pipe may wait for a user: show nothing at first.
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// Counts what is read through the result.
    pub fn watch<R: Read>(&self, source: R) -> Watched<R> {
        Watched {
            source,
            bar: self.0.clone(),
        }
    }

    /// Counts `bytes` that were read.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Takes the bar away while `work` writes.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.suspend(work)
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}

/// A source with a count of its bytes. See [`Progress::watch`].
#[derive(Debug)]
pub struct Watched<R> {
    source: R,
    bar: ProgressBar,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(out)?;
        self.bar.inc(length as u64);
        Ok(length)
    }
}
