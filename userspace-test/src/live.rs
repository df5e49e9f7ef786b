// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Shows the output of a guest as it happens: that of commands, and that of `dmns-audit watch`.

use crate::guest::{Happening, Watcher};
use crate::scenario::Scenario;
use std::io::Write;

/// Announces a scenario.
pub(crate) fn begin(scenario: &Scenario) {
    println!("\n=== {}: {}", scenario.name, scenario.title);
    for line in scenario.why.trim().lines() {
        println!("    {line}");
    }
    println!();
}

/// Prints all of it as it is.
pub(crate) fn watcher() -> Watcher {
    Watcher::live(|happening| {
        let (Happening::Output(_, bytes) | Happening::Event(bytes)) = happening;
        let mut out = std::io::stdout().lock();
        // Nobody to show it to is no reason to stop judging.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    })
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
