// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Shows the output of a guest as it happens: that of commands, and that of `dmns-audit watch`.

use crate::guest::{self, Happening, Watcher};
use crate::protocol::Stream;
use crate::report::say;
use crate::scenario::Scenario;
use std::io::Write;

/// Announces a scenario.
pub(crate) fn begin(scenario: &Scenario) {
    say(format!("\n=== {}: {}", scenario.name, scenario.title));
    for line in scenario.why.trim().lines() {
        say(format!("    {line}"));
    }
    say("");
}

/// Prints the output of the steps and the events, without the commands of the harness itself.
pub(crate) fn watcher() -> Watcher {
    let mut output = StepOutput::default();
    Watcher::live(move |happening| {
        let mut out = std::io::stdout().lock();
        // Nobody to show it to is no reason to stop judging.
        let _ = match happening {
            Happening::Output(Stream::Stdout, bytes) | Happening::Event(bytes) => {
                out.write_all(bytes)
            }
            Happening::Output(Stream::Stderr, bytes) => out.write_all(&output.shown(bytes)),
        }
        .and_then(|()| out.flush());
    })
}

/// Standard error of a step: what programs write, and each command before it runs (`set -x`).
#[derive(Default)]
struct StepOutput {
    /// The beginning of a line that may be a command.
    line: Vec<u8>,
    /// The beginning of this line is printed.
    printed: bool,
}

impl StepOutput {
    /// Returns the part of `bytes`, and of what came before, that is to be printed.
    fn shown(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            let ends = part.ends_with(b"\n");
            if self.printed || !self.line.starts_with(b"$") || (ends && !is_own(&self.line)) {
                shown.append(&mut self.line);
                self.printed = !ends;
            } else if ends {
                self.line.clear();
            }
        }
        shown
    }
}

/// Returns whether a line is a command of the harness: also one in a substitution (`$$`).
fn is_own(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let command = line.trim_start_matches('$').split_whitespace().next();
    command.is_some_and(guest::is_own_command)
}

/// Prints the events only, on a terminal that a shell in the guest has in raw mode.
pub(crate) fn with_shell() -> Watcher {
    Watcher::live(|happening| {
        if let Happening::Event(bytes) = happening {
            let text = String::from_utf8_lossy(bytes).replace('\n', "\x1b[K\r\n");
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r{text}").and_then(|()| out.flush());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_harness_are_not_shown() {
        let mut output = StepOutput::default();
        let mut all = Vec::new();
        for bytes in [
            "$ unshare --uts tr",
            "ue\n$$ device it\n$ save dev 253:0\ndd: 5 rec",
            "ords\n$ $x\n",
        ] {
            all.extend(output.shown(bytes.as_bytes()));
        }
        assert_eq!(
            String::from_utf8_lossy(&all),
            "$ unshare --uts true\ndd: 5 records\n$ $x\n"
        );
    }
}
