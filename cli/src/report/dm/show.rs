// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lifetimes of mappings in text and JSON.

use super::lifetime::{EndReason, Found, Lifetime};
use crate::report::columns::Columns;
use crate::report::{Options, json_line};
use crate::table::{Line, Table};
use crate::terminal::{ACTIVE, BAD, FAINT, NAME, PLAIN};
use crate::when::Times;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Maximum number of ranges of sectors in text.
const RANGES: usize = 12;

/// The columns.
pub fn columns() -> Columns {
    let titles = &[
        "target",
        "device",
        "created by",
        "from",
        "to",
        "violations",
        "distinct",
    ];
    Columns::new(Table::new(titles, &["violations", "distinct"]).or("no device-mapper records"))
}

/// Renders lifetimes as text.
#[derive(Debug, Default)]
pub struct Text {
    times: Times,
}

impl Text {
    /// Renders `lifetime`, and below it the requested details.
    ///
    /// # Errors
    ///
    /// Does not fail: the text is rendered in memory.
    pub fn row(
        &mut self,
        lifetime: &Lifetime,
        options: &Options,
        line: &mut Line<'_>,
    ) -> io::Result<()> {
        let clock = &options.clock;
        line.cell(NAME, &lifetime.target).cell(PLAIN, "");
        match (&lifetime.node, lifetime.below) {
            (_, true) => line.add("above "),
            (Some(node), false) => line.add(node).add(" "),
            (None, false) => line,
        }
        .show(&lifetime.device);
        if let Some(name) = &lifetime.name {
            line.add(" (").add(name).add(")");
        }
        match &lifetime.maker {
            Some(who) => who.cell(line),
            None => line.cell(PLAIN, "?"),
        };
        match lifetime.start {
            Some(start) => line.cell(PLAIN, self.times.full(clock, start.seconds)),
            None => line.cell(PLAIN, "(before log start)"),
        };
        match (&lifetime.end_reason, lifetime.end) {
            (EndReason::Failed(error), _) => line.cell(BAD, "failed: ").add(error),
            (end_reason, Some(end)) => {
                line.cell(PLAIN, self.times.full(clock, end.seconds));
                line.add(if *end_reason == EndReason::Down {
                    " (host down)"
                } else {
                    ""
                })
            }
            (_, None) if lifetime.below || lifetime.start.is_none() => line.cell(PLAIN, "?"),
            (_, None) => line.cell(ACTIVE, "active"),
        };
        let about = if lifetime.sectors.is_exact() {
            ""
        } else {
            ">="
        };
        for (number, about) in [
            (lifetime.violations, ""),
            (lifetime.sectors.distinct(), about),
        ] {
            match number {
                0 => line.cell(FAINT, "0"),
                n => line.cell(BAD, about).show(n),
            };
        }
        lifetime.proof.text(options, line.below())?;
        if options.all_events {
            for found in &lifetime.found {
                writeln!(line.below(), "    {}", violation(lifetime, found, options))?;
                found.proof.text(options, line.below())?;
            }
        }
        for text in lifetime.files.iter().flat_map(|files| &files.lines) {
            writeln!(line.below(), "    {text}")?;
        }
        Ok(())
    }
}

/// `integrity-checksum 10 times from ... to ...: sectors 77480`
fn violation(lifetime: &Lifetime, found: &Found, options: &Options) -> String {
    let op = options.terminal.paint(BAD, &found.op);
    let full = |id: crate::report::Id| options.clock.full(id.seconds);
    let (first, last) = (full(found.first), full(found.last));
    let when = match found.count {
        1 => format!("once, {first}"),
        n if first == last => format!("{n} times, {first}"),
        n => format!("{n} times, {first} to {last}"),
    };
    let mut text = format!("{op} {when}");
    let places = found.places(&lifetime.target, RANGES);
    if !places.is_empty() {
        text.push_str(&format!(": {places}"));
    }
    if found.device != lifetime.device {
        text.push_str(&format!(" of {}", found.device));
    }
    text
}

/// Writes `lifetime` as one object.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn json(lifetime: &Lifetime, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    json_line(out, &object(lifetime, options))
}

/// Returns `lifetime` as an object. docs/reference/report.md has its fields.
pub fn object(lifetime: &Lifetime, options: &Options) -> Value {
    let (state, error) = match &lifetime.end_reason {
        EndReason::Active if lifetime.below || lifetime.start.is_none() => ("unknown", None),
        EndReason::Active => ("active", None),
        EndReason::Deleted => ("ended", None),
        EndReason::Failed(error) => ("failed", Some(error)),
        EndReason::Down => ("host-down", None),
    };
    let ranges = |ranges: &crate::ranges::Ranges| -> Value {
        ranges
            .iter()
            .map(|range| json!([range.start(), range.end()]))
            .collect()
    };
    let found: Vec<Value> = lifetime
        .found
        .iter()
        .map(|found| {
            json!({
                "op": found.op,
                "device": found.device,
                "count": found.count,
                "first": found.first.json(options),
                "last": found.last.json(options),
                "sectors": ranges(&found.sectors),
                "above": found.is_above(&lifetime.target),
                "covered": found.sectors.covered(),
                "exact": found.sectors.is_exact(),
                "proof": options.proof.then(|| found.proof.json()),
            })
        })
        .collect();
    json!({
        "kind": "mapping",
        "target": lifetime.target,
        "device": lifetime.device,
        "name": lifetime.name,
        "device_is_below": lifetime.below,
        "node": lifetime.node,
        "by": lifetime.maker.as_ref().map(|who| who.json()),
        "start": lifetime.start.map(|id| id.json(options)),
        "end": lifetime.end.map(|id| id.json(options)),
        "state": state,
        "error": error,
        "reloads": lifetime.reloads,
        "violations": lifetime.violations,
        "unit": lifetime.unit(),
        "distinct": lifetime.sectors.distinct(),
        "exact": lifetime.sectors.is_exact(),
        "found": options.all_events.then_some(found),
        "files": lifetime.files.as_ref().map(|files| {
            let objects = files.objects.iter();
            objects.filter_map(|text| serde_json::from_str(text).ok()).collect::<Vec<Value>>()
        }),
        "proof": options.proof.then(|| lifetime.proof.json()),
    })
}
