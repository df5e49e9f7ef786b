// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rows in text and JSON. Columns and words are auvirt's.

use super::VirtOptions;
use super::row::{EndReason, Event, Given, Relation, Row, Violations};
use crate::report::columns::Columns;
use crate::report::{Options, json_line};
use crate::table::{Line, Table};
use crate::terminal::{ACTIVE, BAD, NAME, PLAIN, Style};
use crate::when::{Duration, Times};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Maximum number of ranges of sectors in text.
const RANGES: usize = 12;

/// Renders rows as text.
#[derive(Debug)]
pub struct Text {
    times: Times,
    uuid: bool,
}

impl Text {
    /// With what was asked for.
    pub fn new(virt_options: &VirtOptions) -> Self {
        Self {
            times: Times::default(),
            uuid: virt_options.show_uuid,
        }
    }

    /// The columns.
    pub fn columns(&self, options: &Options) -> Columns {
        // auvirt writes no titles.
        let table = Table::untitled(match (options.all_events, self.uuid) {
            (true, true) => &[
                "event", "guest", "uuid", "user", "when", "kind", "reason", "what",
            ],
            (true, false) => &["event", "guest", "user", "when", "kind", "reason", "what"],
            (false, true) => &["guest", "uuid", "user", "when"],
            (false, false) => &["guest", "user", "when"],
        });
        Columns::new(table.or("no guests"))
    }

    /// Renders `row`, and below it the requested details.
    ///
    /// # Errors
    ///
    /// Does not fail: the text is rendered in memory.
    pub fn row(&mut self, row: &Row, options: &Options, line: &mut Line<'_>) -> io::Result<()> {
        if options.all_events {
            line.cell(PLAIN, row.word());
        }
        match &row.node {
            Some(node) => words(line, NAME, &[node, &row.vm]),
            None => line.cell(NAME, &row.vm),
        };
        if self.uuid {
            line.cell(PLAIN, &row.uuid.to_string());
        }
        line.cell(PLAIN, &row.user);
        self.period(row, options, line);
        if options.all_events {
            self.what(row, options, line);
        }
        row.proof.text(options, line.below())?;
        if let Event::Start { violations, .. } = &row.event {
            for found in violations {
                violation(found, options, line.below())?;
                found.proof.text(options, line.below())?;
            }
        }
        Ok(())
    }

    /// `Tue Jan 24 16:28 - 16:28  (00:00)`, `Wed Jan 25 13:55 - failed`, `Wed Jan 25 13:55`.
    fn period(&mut self, row: &Row, options: &Options, line: &mut Line<'_>) {
        let style = match row.end {
            None if row.failed() => BAD,
            None if row.is_session() => ACTIVE,
            _ => PLAIN,
        };
        line.cell(style, self.times.short(&options.clock, row.start.seconds));
        if let Some(end) = row.end {
            let lasted = end.seconds.saturating_sub(row.start.seconds);
            line.add(" - ")
                .add(self.times.hour(&options.clock, end.seconds))
                .add("  ");
            Duration(lasted).show(|part| {
                line.add(part);
            });
            line.add(match row.end_reason {
                EndReason::Active | EndReason::Stopped => "",
                EndReason::Restarted => " restarted",
                EndReason::Down => " host down",
            });
        } else if row.failed() {
            line.add(" - failed");
        }
    }

    /// Adds the last three columns: the event.
    fn what(&mut self, row: &Row, options: &Options, line: &mut Line<'_>) {
        match &row.event {
            Event::Given(Given::Resource { kind, reason, what }) => {
                line.cell(PLAIN, kind).cell(PLAIN, reason).cell(PLAIN, what);
            }
            Event::Given(Given::Opened {
                mac,
                path,
                rdev,
                given,
            }) => {
                line.cell(PLAIN, "net")
                    .cell(PLAIN, "open")
                    .cell(PLAIN, path);
                if let Some(rdev) = rdev {
                    line.add(" (").add(rdev).add(")");
                }
                line.add(" for ").add(mac).add(match (row.success, given) {
                    (false, _) | (true, true) => "",
                    (true, false) => ", never attached",
                });
            }
            Event::Violation {
                target,
                operation,
                device,
                path,
                sector,
                relation,
            } => {
                line.cell(BAD, target).cell(BAD, operation).cell(PLAIN, "");
                if let Some(sector) = sector {
                    line.add("sector ").number(*sector).add(" of ");
                }
                // No record has the reader: guest or host.
                let (before, after) = match relation {
                    Relation::Same => (", disk ", ""),
                    Relation::Below => (", below disk ", ""),
                    Relation::Inferred => (", below disk ", " as it is now"),
                };
                line.show(device)
                    .add(before)
                    .add(path)
                    .add(after)
                    .add(", at ");
                line.add(self.times.full(&options.clock, row.start.seconds))
                    .add(".")
                    // Three digits.
                    .add(&itoa::Buffer::new().format(1000 + row.start.millis)[1..])
                    .add(" (guest or host read it)");
            }
            Event::Given(Given::Cgroup {
                reason,
                class,
                acl,
                what,
            }) => {
                line.cell(PLAIN, "cgroup").cell(PLAIN, reason);
                words(line, PLAIN, &[class, acl, what]);
            }
            Event::Avc {
                operation,
                result,
                comm,
                target,
                context,
            } => {
                line.cell(PLAIN, operation).cell(BAD, result);
                words(line, PLAIN, &[comm, target, context]);
            }
            Event::Anomaly { what, signal } => {
                line.cell(BAD, what).cell(PLAIN, "");
                if let Some(signal) = signal {
                    line.add("signal ").number(*signal);
                }
            }
            Event::Start { .. } | Event::Stop { .. } | Event::Down => {}
        }
    }
}

/// A cell of `parts` with spaces between, and none at its end.
fn words<'l, 'a>(line: &'l mut Line<'a>, style: Style, parts: &[&str]) -> &'l mut Line<'a> {
    let blank = |part: &&str| part.trim_end().is_empty();
    let last = parts.iter().rposition(|part| !blank(part));
    line.cell(style, "");
    for (at, part) in parts
        .iter()
        .take(last.map_or(0, |last| last + 1))
        .enumerate()
    {
        line.add(if at > 0 { " " } else { "" });
        line.add(if Some(at) == last {
            part.trim_end()
        } else {
            part
        });
    }
    line
}

/// `    3 violations in /dev/mapper/x (253:0): at 5-7`, a line of its own.
fn violation(found: &Violations, options: &Options, out: &mut Vec<u8>) -> io::Result<()> {
    let s = if found.count == 1 { "" } else { "s" };
    let count = format!("{} violation{s}", found.count);
    let below = match found.relation {
        Relation::Same => "in",
        Relation::Below | Relation::Inferred => "below",
    };
    let count = options.terminal.paint(BAD, &count);
    write!(out, "    {count} {below} {} ({})", found.path, found.device)?;
    if !found.sectors.is_empty() {
        write!(out, ": at {}", found.sectors.show(RANGES))?;
    }
    writeln!(out)
}

/// Returns the relation of a mapping and a disk for JSON.
fn word(relation: Relation) -> &'static str {
    match relation {
        Relation::Same => "same",
        Relation::Below => "below",
        Relation::Inferred => "inferred",
    }
}

/// Writes `row` as one object.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn json(row: &Row, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    json_line(out, &object(row, options))
}

/// Returns `row` as an object. docs/reference/report.md has its fields.
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
                        "relation": word(found.relation),
                        "count": found.count,
                        "sectors": ranges,
                        "proof": options.proof.then(|| found.proof.json()),
                    })
                })
                .collect();
            json!({ "reason": reason, "violations": violations })
        }
        Event::Stop { reason } => json!({ "reason": reason }),
        Event::Given(Given::Resource { kind, reason, what }) => {
            json!({ "resource": kind, "reason": reason, "what": what })
        }
        Event::Given(Given::Opened {
            mac,
            path,
            rdev,
            given,
        }) => json!({
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
            relation,
        } => json!({
            "target": target,
            "operation": operation,
            "device": device,
            "path": path,
            "sector": sector,
            "relation": word(*relation),
        }),
        Event::Given(Given::Cgroup {
            reason,
            class,
            acl,
            what,
        }) => {
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
    let state = match row.end_reason {
        _ if row.failed() => "failed",
        EndReason::Active => "active",
        EndReason::Stopped => "ended",
        EndReason::Restarted => "restarted",
        EndReason::Down => "host-down",
    };
    json!({
        "kind": "guest",
        "event": row.word(),
        "node": row.node,
        "vm": row.vm,
        "uuid": row.uuid.to_string(),
        "user": row.user,
        "start": row.start.json(options),
        "end": row.end.map(|id| id.json(options)),
        // Only what can last has a state.
        "state": row.lasts().then_some(state),
        "success": row.success,
        "detail": detail,
        "proof": options.proof.then(|| row.proof.json()),
    })
}
