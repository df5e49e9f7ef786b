// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `--summary`: numbers of all.

use super::row::{Event, Given, Row};
use crate::report::{Id, Options, json_line};
use serde_json::json;
use std::io::{self, Write};

/// Numbers of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    first: Option<Id>,
    last: Option<Id>,
    starts: u64,
    stops: u64,
    resources: u64,
    refusals: u64,
    anomalies: u64,
    downs: u64,
    failures: u64,
    violations: u64,
}

impl Summary {
    /// Counts `row`.
    pub fn count(&mut self, row: &Row) {
        // No assignment yet; counted with the session.
        if matches!(
            row.event,
            Event::Given(Given::Opened { .. }) | Event::Violation { .. }
        ) {
            return;
        }
        for id in [Some(row.start), row.end].into_iter().flatten() {
            self.first = Some(self.first.map_or(id, |first| first.min(id)));
            self.last = Some(self.last.map_or(id, |last| last.max(id)));
        }
        if let Event::Start { violations, .. } = &row.event {
            self.violations += violations.iter().map(|found| found.count).sum::<u64>();
        }
        match row.event {
            _ if row.failed() => self.failures += 1,
            Event::Start { .. } => self.starts += 1,
            Event::Stop { .. } => self.stops += 1,
            Event::Given(_) => self.resources += 1,
            Event::Violation { .. } => {}
            Event::Avc { .. } => self.refusals += 1,
            Event::Anomaly { .. } => self.anomalies += 1,
            Event::Down => self.downs += 1,
        }
    }

    /// Writes auvirt's lines, and two more.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn text(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        let time =
            |id: Option<Id>| id.map_or("undef".to_owned(), |id| options.clock.short(id.seconds));
        let (first, last) = (time(self.first), time(self.last));
        writeln!(out, "Range of time for report:       {first} - {last}")?;
        for (what, number) in [
            ("guest starts:", self.starts),
            ("guest stops:", self.stops),
            ("resource assignments:", self.resources),
            ("related AVCs:", self.refusals),
            ("related anomalies:", self.anomalies),
            ("failed operations:", self.failures),
            ("host shutdowns:", self.downs),
            ("violations in disks:", self.violations),
        ] {
            writeln!(out, "Number of {what:<21} {number}")?;
        }
        Ok(())
    }

    /// Writes the numbers as one object.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn json(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        let object = json!({
            "kind": "summary",
            "first": self.first.map(|id| id.json(options)),
            "last": self.last.map(|id| id.json(options)),
            "starts": self.starts,
            "stops": self.stops,
            "resources": self.resources,
            "avcs": self.refusals,
            "anomalies": self.anomalies,
            "failures": self.failures,
            "downs": self.downs,
            "violations": self.violations,
        });
        json_line(out, &object)
    }
}
