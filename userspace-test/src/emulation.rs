// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Distinguishes a guest that the emulator killed from one that failed in the test.
//!
//! The kernel patches its own text while it runs: it replaces an instruction by a breakpoint
//! (`int3`, one byte: cc), and later by the new instruction. A processor that meets the breakpoint
//! meanwhile is redirected. Under MTTCG, each processor runs translations of the text in a thread.
//! One may still run that of the breakpoint when it is gone. The kernel, which no longer expects a
//! breakpoint, then crashes. Its oops shows the bytes around. If the byte at the address is not
//! `int3`, no real processor could have run one, and neither the kernel nor a module is the cause.

use std::fmt;

/// The evidence that the emulator killed a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    /// The address: `sched_clock_cpu+0x9/0x1f0`.
    at: String,
    /// The byte there.
    byte: String,
}

impl Stale {
    /// Looks for it in the first oops of a kernel log.
    pub(crate) fn in_log(log: &str) -> Option<Self> {
        let (_, oops) = log.split_once("Oops: ")?;
        let mut lines = oops.lines();
        if !lines.next()?.starts_with("int3: ") {
            return None;
        }
        let mut after = |word: &str| {
            lines
                .by_ref()
                .find_map(|line| Some(line.split_once(word)?.1))
        };
        let at = after("RIP: 0010:")?.trim().to_owned();
        let bytes = after("Code: ")?.split(' ');
        // The next byte is marked: `<90>`.
        let byte = bytes.take_while(|byte| !byte.starts_with('<')).last()?;
        (byte != "cc").then(|| Self {
            at,
            byte: byte.to_owned(),
        })
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, byte } = self;
        write!(
            f,
            "the emulator failed: it ran an int3 before {at}, where {byte} stands, not cc (stale translation of patched text)"
        )
    }
}

impl std::error::Error for Stale {}

#[cfg(test)]
mod tests {
    use super::*;

    const OOPS: &str = include_str!("testdata/kernel-log/splat-oops-int3-stale");

    #[test]
    fn what_is_run_and_does_not_stand_there_is_the_emulators() {
        let stale = Stale::in_log(OOPS).expect("stale");
        assert_eq!(stale.at, "sched_clock_cpu+0x9/0x1f0");
        assert_eq!(stale.byte, "66");
    }

    #[test]
    fn what_stands_there_or_is_no_int3_is_not() {
        for other in [
            OOPS.replace(" 66 <90>", " cc <90>"),
            OOPS.replace("Oops: int3", "Oops: 0002"),
            OOPS.replace("Code:", "code:"),
            // An oops of something else came first.
            format!("[    1.0] Oops: 0002 [#1]\n{OOPS}"),
        ] {
            assert_eq!(Stale::in_log(&other), None, "{other}");
        }
    }
}
