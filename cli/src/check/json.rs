// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `--format json`: one object a line. docs/reference/check.md describes its fields.

use super::finding::{Finding, Rule};
use super::{Problem, Reporter, Totals};
use serde_json::json;
use std::io::{self, Write};

/// Writes findings to `W`.
#[derive(Debug)]
pub struct Json<W>(pub W);

impl<W: Write> Reporter for Json<W> {
    fn finding(&mut self, name: &str, finding: &Finding) -> io::Result<()> {
        let object = json!({
            "kind": "finding",
            "severity": finding.severity.name(),
            "rule": finding.rule.name(),
            "file": name,
            "line": finding.place.line,
            "column": finding.column(),
            "length": finding.span.len(),
            "message": finding.message,
            "contract": finding.contract,
            "help": finding.help,
            "record": finding.line,
        });
        writeln!(self.0, "{object}")
    }

    fn unmet(&mut self, rule: Rule) -> io::Result<()> {
        let object = json!({
            "kind": "unmet-expectation",
            "rule": rule.name(),
            "message": format!("--expect {0}: nothing was found by {0}", rule.name()),
        });
        writeln!(self.0, "{object}")
    }

    fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        let object = json!({
            "kind": "problem",
            "file": problem.name,
            "line": problem.lines,
            "message": problem.to_string(),
        });
        writeln!(self.0, "{object}")
    }

    fn end(&mut self, totals: &Totals) -> io::Result<()> {
        let object = json!({
            "kind": "totals",
            "records": totals.records,
            "judged": totals.judged,
            "errors": totals.errors,
            "notes": totals.notes,
            "problems": totals.problems,
        });
        writeln!(self.0, "{object}")?;
        self.0.flush()
    }
}
