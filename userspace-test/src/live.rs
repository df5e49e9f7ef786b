// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Shows what happens in a guest while it happens.

use crate::guest::{Happening, Watcher};
use crate::scenario::Scenario;
use dmns_audit_uapi::line::Line;
use dmns_audit_uapi::types::RecordType;
use std::io::{IsTerminal, Write};

/// Announces a scenario.
pub(crate) fn begin(scenario: &Scenario) {
    println!("\n=== {}: {}", scenario.name, scenario.title);
    for line in scenario.why.trim().lines() {
        println!("    {line}");
    }
    println!();
}

/// Prints what commands say as it is, and each record of ours on a line of its own.
pub(crate) fn watcher() -> Watcher {
    let colour = std::io::stdout().is_terminal();
    Box::new(move |happening| {
        let mut out = std::io::stdout().lock();
        // Nobody to show it to is no reason to stop judging.
        let _ = match happening {
            Happening::Output(_, bytes) => out.write_all(bytes),
            Happening::Record(line) => match record(line, colour) {
                Some(text) => writeln!(out, "{text}"),
                None => Ok(()),
            },
        };
        let _ = out.flush();
    })
}

/// A record of ours for a person to read; `None` for any other.
pub(crate) fn record(line: &str, colour: bool) -> Option<String> {
    let line = Line::parse(line)?;
    let ty = line.record_type()?;
    let (on, off) = match (colour, ty) {
        (false, _) => ("", ""),
        (true, RecordType::DmEvent) => ("\x1b[1;31m", "\x1b[0m"),
        (true, RecordType::DmCtrl) => ("\x1b[33m", "\x1b[0m"),
        (true, _) => ("\x1b[36m", "\x1b[0m"),
    };
    Some(format!(
        "  {on}>> {}.{:03}:{} {} {}{off}",
        line.stamp.seconds,
        line.stamp.millis,
        line.stamp.serial,
        ty.name(),
        line.body
    ))
}
