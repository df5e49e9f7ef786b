// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How long a walk may take, and what it shows meanwhile.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Nothing is shown of what is done sooner.
const SOON: Duration = Duration::from_secs(2);

/// The time of one question, with its progress on standard error, if that is a terminal.
#[derive(Debug)]
pub struct Effort {
    begin: Instant,
    limit: Option<Duration>,
    quiet: bool,
    bar: RefCell<Option<ProgressBar>>,
}

impl Effort {
    /// Begins now. Work ends after `limit`.
    pub fn new(limit: Option<Duration>) -> Self {
        Self {
            begin: Instant::now(),
            limit,
            quiet: !io::stderr().is_terminal(),
            bar: RefCell::default(),
        }
    }

    /// The same, and shows nothing.
    pub fn quiet(limit: Option<Duration>) -> Self {
        let mut effort = Self::new(limit);
        effort.quiet = true;
        effort
    }

    /// Returns whether the time is up.
    pub fn is_up(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.begin.elapsed() >= limit)
    }

    /// Returns the time so far, in words.
    pub fn taken(&self) -> String {
        format!("{:.1} s", self.begin.elapsed().as_secs_f64())
    }

    /// Shows `what`, from two seconds on.
    pub fn show(&self, what: impl FnOnce() -> String) {
        if self.quiet || self.begin.elapsed() < SOON {
            return;
        }
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| {
            let target = ProgressDrawTarget::stderr_with_hz(5);
            let bar = ProgressBar::with_draw_target(None, target);
            if let Ok(style) = ProgressStyle::with_template("{elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(what());
        bar.tick();
    }

    /// Takes away what is shown.
    pub fn done(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Effort {
    fn drop(&mut self) {
        self.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_at_its_limit() {
        assert!(!Effort::quiet(None).is_up());
        assert!(!Effort::quiet(Some(Duration::from_secs(100))).is_up());
        assert!(Effort::quiet(Some(Duration::ZERO)).is_up());
    }
}
