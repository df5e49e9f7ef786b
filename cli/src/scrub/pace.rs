// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Limits the rate at which bytes are read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest sleep, so that a signal is noticed.
const NAP: Duration = Duration::from_millis(200);

/// A rate.
#[derive(Debug)]
pub struct Pace {
    rate: Option<u64>,
    next: Instant,
}

impl Pace {
    /// Limits to `rate` bytes in a second.
    pub fn new(rate: Option<u64>) -> Self {
        Self {
            rate: rate.filter(|rate| *rate > 0),
            next: Instant::now(),
        }
    }

    /// Waits after `bytes` were read, unless `stop` is set.
    pub fn after(&mut self, bytes: u64, stop: &AtomicBool) {
        let Some(rate) = self.rate else { return };
        // What was slower is not made up for.
        self.next = self.next.max(Instant::now()) + due(bytes, rate);
        while !stop.load(Ordering::Relaxed) {
            let left = self.next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

/// Returns the time that `bytes` take.
fn due(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

/// Reads `50M`, `800k`, `1G`, or bytes.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => 64,
    };
    let rate = digits.parse::<u64>().ok();
    let rate = rate.and_then(|n| n.checked_mul(1_u64.checked_shl(shift)?));
    rate.filter(|rate| *rate > 0)
        .ok_or_else(|| format!("'{text}' is no rate: bytes in a second expected, such as 50M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_unit() {
        assert_eq!(parse("50M"), Ok(50 << 20));
        assert_eq!(parse("800k"), Ok(800 << 10));
        assert_eq!(parse("512"), Ok(512));
        for wrong in ["", "M", "0", "5T", "-1", "99999999999G"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_waits_as_long_as_the_rate_says_and_not_when_stopped() {
        assert_eq!(due(1 << 20, 1 << 20), Duration::from_secs(1));
        let begin = Instant::now();
        let mut pace = Pace::new(Some(1 << 20));
        pace.after(1 << 16, &AtomicBool::new(false));
        assert!(begin.elapsed() >= Duration::from_millis(60));
        pace.after(1 << 40, &AtomicBool::new(true));
        Pace::new(None).after(u64::MAX, &AtomicBool::new(false));
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
}
