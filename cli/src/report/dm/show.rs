// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lives of mappings in text and JSON.

use super::life::{Fate, Found, Life};
use crate::report::columns::Columns;
use crate::report::{Options, json_line};
use crate::table::{Line, Table};
use crate::terminal::{BAD, FAINT, LIVE, NAME, PLAIN};
use crate::when::Times;
use serde_json::{Value, json};
use std::io::{self, Write};

/// How many ranges of sectors are told in text.
const RANGES: usize = 12;

/// The columns.
pub fn columns() -> Columns {
    let titles = &[
        "target",
        "device",
        "made by",
        "from",
        "to",
        "violations",
        "distinct",
    ];
    Columns::new(Table::new(titles, &["violations", "distinct"]).or("no device-mapper records"))
}

/// Renders lives as text.
#[derive(Debug, Default)]
pub struct Text {
    times: Times,
}

impl Text {
    /// Renders `life`, and beneath it what was asked for.
    ///
    /// # Errors
    ///
    /// None: what is rendered is in memory.
    pub fn row(&mut self, life: &Life, options: &Options, line: &mut Line<'_>) -> io::Result<()> {
        let clock = &options.clock;
        line.cell(NAME, &life.target).cell(PLAIN, "");
        match (&life.node, life.beneath) {
            (_, true) => line.add("on "),
            (Some(node), false) => line.add(node).add(" "),
            (None, false) => line,
        }
        .show(&life.device);
        if let Some(name) = &life.name {
            line.add(" (").add(name).add(")");
        }
        match &life.maker {
            Some(who) => who.cell(line),
            None => line.cell(PLAIN, "?"),
        };
        match life.start {
            Some(start) => line.cell(PLAIN, self.times.full(clock, start.seconds)),
            None => line.cell(PLAIN, "before the log"),
        };
        match (&life.fate, life.end) {
            (Fate::Failed(error), _) => line.cell(BAD, "failed: ").add(error),
            (fate, Some(end)) => {
                line.cell(PLAIN, self.times.full(clock, end.seconds));
                line.add(if *fate == Fate::Down {
                    " (host down)"
                } else {
                    ""
                })
            }
            (_, None) if life.beneath || life.start.is_none() => line.cell(PLAIN, "?"),
            (_, None) => line.cell(LIVE, "lives"),
        };
        let about = if life.sectors.is_exact() { "" } else { ">=" };
        for (number, about) in [(life.violations, ""), (life.sectors.distinct(), about)] {
            match number {
                0 => line.cell(FAINT, "0"),
                n => line.cell(BAD, about).show(n),
            };
        }
        life.proof.text(options, line.beneath())?;
        if options.all_events {
            for found in &life.found {
                writeln!(line.beneath(), "    {}", violation(life, found, options))?;
                found.proof.text(options, line.beneath())?;
            }
        }
        Ok(())
    }
}

/// `integrity-checksum 10 times from ... to ...: sectors 77480`
fn violation(life: &Life, found: &Found, options: &Options) -> String {
    let op = options.terminal.paint(BAD, &found.op);
    let full = |id: crate::report::Id| options.clock.full(id.seconds);
    let (first, last) = (full(found.first), full(found.last));
    let when = match found.count {
        1 => format!("once, {first}"),
        n if first == last => format!("{n} times, {first}"),
        n => format!("{n} times, {first} to {last}"),
    };
    let mut text = format!("{op} {when}");
    let places = found.places(&life.target, RANGES);
    if !places.is_empty() {
        text.push_str(&format!(": {places}"));
    }
    if found.device != life.device {
        text.push_str(&format!(" of {}", found.device));
    }
    text
}

/// Writes `life` as one object.
///
/// # Errors
///
/// Where `out` cannot be written to.
pub fn json(life: &Life, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    json_line(out, &object(life, options))
}

/// `life` as an object. docs/reference/report.md has its fields.
pub fn object(life: &Life, options: &Options) -> Value {
    let (state, error) = match &life.fate {
        Fate::Lives if life.beneath || life.start.is_none() => ("unknown", None),
        Fate::Lives => ("lives", None),
        Fate::Destroyed => ("destroyed", None),
        Fate::Failed(error) => ("failed", Some(error)),
        Fate::Down => ("host-down", None),
    };
    let ranges = |ranges: &crate::ranges::Ranges| -> Value {
        ranges
            .iter()
            .map(|range| json!([range.start(), range.end()]))
            .collect()
    };
    let found: Vec<Value> = life
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
                "above": found.is_above(&life.target),
                "covered": found.sectors.covered(),
                "exact": found.sectors.is_exact(),
                "proof": options.proof.then(|| found.proof.json()),
            })
        })
        .collect();
    json!({
        "kind": "mapping",
        "target": life.target,
        "device": life.device,
        "name": life.name,
        "device_is_beneath": life.beneath,
        "node": life.node,
        "by": life.maker.as_ref().map(|who| who.json()),
        "start": life.start.map(|id| id.json(options)),
        "end": life.end.map(|id| id.json(options)),
        "state": state,
        "error": error,
        "reloads": life.reloads,
        "violations": life.violations,
        "unit": life.unit(),
        "distinct": life.sectors.distinct(),
        "exact": life.sectors.is_exact(),
        "found": options.all_events.then_some(found),
        "proof": options.proof.then(|| life.proof.json()),
    })
}
