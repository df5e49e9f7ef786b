// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rows in text and JSON. The columns and their words are auvirt's, so that who knows it knows this.

use super::Ask;
use super::row::{Event, Fate, Row, Tie, Violations};
use crate::report::{Options, json_line};
use crate::table::{Cell, Table, plain, styled};
use crate::terminal::{BAD, LIVE, NAME};
use crate::when::{self, Minutes};
use serde_json::{Value, json};
use std::io::{self, Write};

/// How many ranges of sectors are told in text.
const RANGES: usize = 12;

/// The table of rows.
#[derive(Debug)]
pub struct Columns {
    table: Table,
    minutes: Minutes,
    all: bool,
    uuid: bool,
    any: bool,
}

impl Columns {
    /// The columns that were asked for.
    pub fn new(ask: &Ask, options: &Options) -> Self {
        // auvirt writes no titles.
        let table = match (options.all_events, ask.show_uuid) {
            (true, true) => Table::untitled(&[
                "event", "guest", "uuid", "user", "when", "kind", "reason", "what",
            ]),
            (true, false) => {
                Table::untitled(&["event", "guest", "user", "when", "kind", "reason", "what"])
            }
            (false, true) => Table::untitled(&["guest", "uuid", "user", "when"]),
            (false, false) => Table::untitled(&["guest", "user", "when"]),
        };
        Self {
            table,
            minutes: Minutes::default(),
            all: options.all_events,
            uuid: ask.show_uuid,
            any: false,
        }
    }

    /// Makes room for `row`.
    pub fn measure(&mut self, row: &Row, options: &Options) {
        self.any = true;
        let cells = self.cells(row, options);
        self.table.measure(&cells);
    }

    /// Says so where there is no row.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to.
    pub fn begin(&mut self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        self.table.fit(&options.terminal);
        match self.any {
            true => Ok(()),
            false => writeln!(out, "no guests"),
        }
    }

    /// Writes `row`, and beneath it what was asked for.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to.
    pub fn row(&mut self, row: &Row, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        let cells = self.cells(row, options);
        self.table.row(&cells, &options.terminal, out)?;
        row.proof.text(options, out)?;
        if let Event::Start { violations, .. } = &row.event {
            for found in violations {
                writeln!(out, "    {}", violation(found, options))?;
                found.proof.text(options, out)?;
            }
        }
        Ok(())
    }

    fn cells<'r>(&mut self, row: &'r Row, options: &Options) -> Vec<Cell<'r>> {
        let mut cells = Vec::new();
        if self.all {
            cells.push(plain(row.word()));
        }
        cells.push(match &row.node {
            Some(node) => styled(NAME, format!("{node} {}", row.vm).trim_end().to_owned()),
            None => styled(NAME, row.vm.as_str()),
        });
        if self.uuid {
            cells.push(plain(row.uuid.as_str()));
        }
        cells.push(plain(row.user.as_str()));
        cells.push(period(row, options, &mut self.minutes));
        if !self.all {
            return cells;
        }
        match &row.event {
            Event::Resource { kind, reason, what } => {
                cells.extend([
                    plain(kind.as_str()),
                    plain(reason.as_str()),
                    plain(what.as_str()),
                ]);
            }
            Event::Opened {
                mac,
                path,
                rdev,
                given,
            } => {
                let rdev = rdev.as_ref().map(|rdev| format!(" ({rdev})"));
                let given = match (row.success, given) {
                    (false, _) | (true, true) => "",
                    (true, false) => ", never given",
                };
                let what = format!("{path}{} for {mac}{given}", rdev.unwrap_or_default());
                cells.extend([plain("net"), plain("open"), plain(what)]);
            }
            Event::Violation {
                target,
                operation,
                device,
                path,
                sector,
                tie,
            } => {
                let sector = sector.map_or(String::new(), |sector| format!("sector {sector} of "));
                let time = options.clock.full(row.start.seconds);
                let millis = row.start.millis;
                let disk = tied(*tie, path);
                let what = format!(
                    "{sector}{device}, {disk}, at {time}.{millis:03} (guest or host read it)"
                );
                cells.extend([
                    styled(BAD, target.as_str()),
                    styled(BAD, operation.as_str()),
                    plain(what),
                ]);
            }
            Event::Cgroup {
                reason,
                class,
                acl,
                what,
            } => {
                let what = [class.as_str(), acl, what].join(" ");
                cells.extend([
                    plain("cgroup"),
                    plain(reason.as_str()),
                    plain(what.trim_end().to_owned()),
                ]);
            }
            Event::Avc {
                operation,
                result,
                comm,
                target,
                context,
            } => {
                let what = [comm.as_str(), target, context].join(" ");
                cells.extend([
                    plain(operation.as_str()),
                    styled(BAD, result.as_str()),
                    plain(what.trim_end().to_owned()),
                ]);
            }
            Event::Anomaly { what, signal } => {
                let signal = signal.map(|signal| format!("signal {signal}"));
                cells.extend([
                    styled(BAD, what.as_str()),
                    plain(signal.unwrap_or_default()),
                    plain(""),
                ]);
            }
            Event::Start { .. } | Event::Stop { .. } | Event::Down => {}
        }
        cells
    }
}

/// `Tue Jan 24 16:28 - 16:28  (00:00)`, `Wed Jan 25 13:55 - failed`, `Wed Jan 25 13:55`.
fn period<'a>(row: &Row, options: &Options, minutes: &mut Minutes) -> Cell<'a> {
    let start = minutes.short(&options.clock, row.start.seconds).to_owned();
    match row.end {
        Some(end) => {
            let hour = minutes.hour(&options.clock, end.seconds);
            let lasted = when::duration(end.seconds.saturating_sub(row.start.seconds));
            let why = match row.fate {
                Fate::Open | Fate::Stopped => "",
                Fate::Restarted => " restarted",
                Fate::Down => " host down",
            };
            plain(format!("{start} - {hour}  {lasted}{why}"))
        }
        None if row.failed() => styled(BAD, format!("{start} - failed")),
        None if row.is_session() => styled(LIVE, start),
        None => plain(start),
    }
}

/// How a mapping and the disk `path` are tied. That it was the guest who read, no record tells.
fn tied(tie: Tie, path: &str) -> String {
    match tie {
        Tie::Is => format!("disk {path}"),
        Tie::Beneath => format!("beneath disk {path}"),
        Tie::Now => format!("beneath disk {path} as it is now"),
    }
}

/// `3 violations in /dev/mapper/x (253:0): sectors 5-7`
fn violation(found: &Violations, options: &Options) -> String {
    let s = if found.count == 1 { "" } else { "s" };
    let count = options
        .terminal
        .paint(BAD, &format!("{} violation{s}", found.count));
    let beneath = match found.tie {
        Tie::Is => "in",
        Tie::Beneath | Tie::Now => "beneath",
    };
    let mut text = format!("{count} {beneath} {} ({})", found.path, found.device);
    if !found.sectors.is_empty() {
        text.push_str(&format!(": at {}", found.sectors.show(RANGES)));
    }
    text
}

/// For JSON: how a mapping and a disk are tied.
fn word(tie: Tie) -> &'static str {
    match tie {
        Tie::Is => "is",
        Tie::Beneath => "beneath",
        Tie::Now => "now",
    }
}

/// Writes `row` as one object.
///
/// # Errors
///
/// Where `out` cannot be written to.
pub fn json(row: &Row, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    json_line(out, &object(row, options))
}

/// `row` as an object. docs/cli.md has its fields.
pub fn object(row: &Row, options: &Options) -> Value {
    let detail = match &row.event {
        Event::Start { reason, violations } => {
            let violations: Vec<Value> = violations
                .iter()
                .map(|found| {
                    let ranges: Value = found
                        .sectors
                        .iter()
                        .map(|range| json!([range.start(), range.end()]))
                        .collect();
                    json!({
                        "device": found.device,
                        "path": found.path,
                        "tie": word(found.tie),
                        "count": found.count,
                        "sectors": ranges,
                        "proof": options.proof.then(|| found.proof.json()),
                    })
                })
                .collect();
            json!({ "reason": reason, "violations": violations })
        }
        Event::Stop { reason } => json!({ "reason": reason }),
        Event::Resource { kind, reason, what } => {
            json!({ "resource": kind, "reason": reason, "what": what })
        }
        Event::Opened {
            mac,
            path,
            rdev,
            given,
        } => json!({
            "resource": "net",
            "reason": "open",
            "what": path,
            "rdev": rdev,
            "mac": mac,
            "given": given,
        }),
        Event::Violation {
            target,
            operation,
            device,
            path,
            sector,
            tie,
        } => json!({
            "target": target,
            "operation": operation,
            "device": device,
            "path": path,
            "sector": sector,
            "tie": word(*tie),
        }),
        Event::Cgroup {
            reason,
            class,
            acl,
            what,
        } => {
            json!({ "resource": "cgroup", "reason": reason, "class": class, "acl": acl, "what": what })
        }
        Event::Avc {
            operation,
            result,
            comm,
            target,
            context,
        } => json!({
            "operation": operation,
            "result": result,
            "comm": comm,
            "target": target,
            "context": context,
        }),
        Event::Anomaly { what, signal } => json!({ "what": what, "signal": signal }),
        Event::Down => json!({}),
    };
    let state = match row.fate {
        _ if row.failed() => "failed",
        Fate::Open => "open",
        Fate::Stopped => "ended",
        Fate::Restarted => "restarted",
        Fate::Down => "host-down",
    };
    // Only what can last has a state.
    let lasts = matches!(
        row.event,
        Event::Start { .. } | Event::Resource { .. } | Event::Opened { .. } | Event::Cgroup { .. }
    );
    json!({
        "kind": "guest",
        "event": row.word(),
        "node": row.node,
        "vm": row.vm,
        "uuid": row.uuid,
        "user": row.user,
        "start": row.start.json(options),
        "end": row.end.map(|id| id.json(options)),
        "state": lasts.then_some(state),
        "success": row.success,
        "detail": detail,
        "proof": options.proof.then(|| row.proof.json()),
    })
}
