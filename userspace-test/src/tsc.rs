// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The frequency of this machine's time stamp counter (TSC), which an emulated guest reads as its
//! own.
//!
//! Without it, a guest's kernel measures the frequency against a timer that QEMU emulates. If QEMU
//! waits for a processor meanwhile, the result may be wrong by any factor (74 MHz for 2,594: "PIT
//! calibration deviates from HPET"). All timers of the guest then fire too early by that factor.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Returns the frequency in kHz, measured once; `None` if QEMU takes another clock for a guest's
/// TSC.
pub(crate) fn khz() -> Option<u64> {
    static KHZ: OnceLock<Option<u64>> = OnceLock::new();
    *KHZ.get_or_init(|| {
        let (t1, ticks1) = now()?;
        thread::sleep(Duration::from_millis(50));
        let (t2, ticks2) = now()?;
        Some((u128::from(ticks2 - ticks1) * 1_000_000 / (t2 - t1).as_nanos()) as u64)
    })
}

/// Returns the time, and the counter at that time: the closest of some pairs, as others may run in
/// between.
#[cfg(target_arch = "x86_64")]
fn now() -> Option<(Instant, u64)> {
    let pair = || {
        let before = Instant::now();
        // SAFETY: Each x86-64 processor has the instruction, and Linux lets programs use it.
        let ticks = unsafe { core::arch::x86_64::_rdtsc() };
        (before.elapsed(), before, ticks)
    };
    let (_, at, ticks) = (0..100).map(|_| pair()).min_by_key(|pair| pair.0)?;
    Some((at, ticks))
}

#[cfg(not(target_arch = "x86_64"))]
fn now() -> Option<(Instant, u64)> {
    None
}
