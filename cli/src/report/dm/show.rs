// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lives of mappings in text and JSON.

use super::life::{Fate, Found, Life};
use crate::report::{Options, json_line};
use crate::table::{Cell, Table, plain, styled};
use crate::terminal::{BAD, FAINT, LIVE, NAME};
use serde_json::{Value, json};
use std::io::{self, Write};

/// How many ranges of sectors are told in text.
const RANGES: usize = 12;

/// The table of lives.
#[derive(Debug)]
pub struct Columns {
    table: Table,
    any: bool,
}

impl Default for Columns {
    fn default() -> Self {
        let titles = &[
            "target",
            "device",
            "made by",
            "from",
            "to",
            "violations",
            "distinct",
        ];
        Self {
            table: Table::new(titles, &["violations", "distinct"]),
            any: false,
        }
    }
}

impl Columns {
    /// Makes room for `life`.
    pub fn measure(&mut self, life: &Life, options: &Options) {
        self.any = true;
        self.table.measure(&cells(life, options));
    }

    /// Writes the titles.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to.
    pub fn begin(&mut self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        if !self.any {
            return writeln!(out, "no device-mapper records");
        }
        self.table.fit(&options.terminal);
        self.table.head(&options.terminal, out)
    }

    /// Writes `life`, and beneath it what was asked for.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to.
    pub fn row(&self, life: &Life, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        self.table
            .row(&cells(life, options), &options.terminal, out)?;
        life.proof.text(options, out)?;
        if options.all_events {
            for found in &life.found {
                writeln!(out, "    {}", violation(life, found, options))?;
                found.proof.text(options, out)?;
            }
        }
        Ok(())
    }
}

fn cells<'a>(life: &Life, options: &Options) -> [Cell<'a>; 7] {
    let device = match (&life.node, life.beneath) {
        (_, true) => format!("on {}", life.device),
        (Some(node), false) => format!("{node} {}", life.device),
        (None, false) => life.device.clone(),
    };
    let maker = life.maker.as_ref().map_or("?".to_owned(), |who| who.show());
    let time = |id: crate::report::Id| options.clock.full(id.seconds);
    let from = life.start.map_or("before the log".to_owned(), time);
    let to = match (&life.fate, life.end) {
        (Fate::Failed(error), _) => styled(BAD, format!("failed: {error}")),
        (Fate::Down, Some(end)) => plain(format!("{} (host down)", time(end))),
        (_, Some(end)) => plain(time(end)),
        (_, None) if life.beneath || life.start.is_none() => plain("?"),
        (_, None) => styled(LIVE, "lives"),
    };
    let about = if life.sectors.is_exact() { "" } else { ">=" };
    let number = |n: u64, about: &str| match n {
        0 => styled(FAINT, "0"),
        n => styled(BAD, format!("{about}{n}")),
    };
    [
        styled(NAME, life.target.clone()),
        plain(device),
        plain(maker),
        plain(from),
        to,
        number(life.violations, ""),
        number(life.sectors.distinct(), about),
    ]
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

/// `life` as an object. docs/cli.md has its fields.
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
                "exact": found.sectors.is_exact(),
                "proof": options.proof.then(|| found.proof.json()),
            })
        })
        .collect();
    json!({
        "kind": "mapping",
        "target": life.target,
        "device": life.device,
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
