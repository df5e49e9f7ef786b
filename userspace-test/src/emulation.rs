// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A guest that died of its emulator, told from one that died of what was tested.
//!
//! The kernel patches its own text while it runs: over an instruction it writes a breakpoint (`int3`, one byte: cc), and
//! later the new instruction. A processor that meets the breakpoint meanwhile is sent on. Emulated in a thread each (MTTCG),
//! processors run translations of the text, and one may still run that of the breakpoint when it is gone: the kernel, which no
//! longer expects one, dies of it. Its last words show the bytes around: where the byte that was run is no `int3`, no
//! processor could have run one, and nothing that the kernel or a module did explains it.

use std::fmt;

/// What shows that a guest died of its emulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    /// Where: `sched_clock_cpu+0x9/0x1f0`.
    at: String,
    /// What stands there.
    byte: String,
}

impl Stale {
    /// Looks for it in the last words of a kernel: in its first oops.
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
        // It goes on behind what it ran: `<90>`.
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
            "the emulator died: it ran an int3 before {at}, where {byte} stands, not cc (stale translation of patched text)"
        )
    }
}

impl std::error::Error for Stale {}

#[cfg(test)]
mod tests {
    use super::*;

    const OOPS: &str = include_str!("testdata/kernel-log/red-oops-int3-stale");

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
