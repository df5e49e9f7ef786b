// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `--format sarif`: SARIF 2.1.0, which code hosts and editors show next to the lines.
//!
//! Results are written as they are found, so that memory does not grow with them.

use super::explain::about;
use super::finding::{Finding, Rule, Severity};
use super::{Problem, Reporter, Totals};
use crate::record::fnv::fnv;
use serde_json::{Value, json};
use std::io::{self, Write};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The documents of the package.
const ABOUT: &str = "file:///usr/share/doc/dmns-audit/docs/reference/check.md";
const RULES: &str = "file:///usr/share/doc/dmns-audit/docs/reference/check-rules.md";

/// Writes findings to `W`.
#[derive(Debug)]
pub struct Sarif<W> {
    out: W,
    results: u64,
    problems: Vec<String>,
}

impl<W: Write> Sarif<W> {
    /// Begins the document.
    ///
    /// # Errors
    ///
    /// If `out` cannot be written to.
    pub fn begin(mut out: W) -> io::Result<Self> {
        let rules: Vec<Value> = Rule::ALL
            .iter()
            .map(|rule| {
                let (requires, severity) = about(*rule).unwrap_or_default();
                json!({
                    "id": rule.name(),
                    "shortDescription": { "text": rule.summary() },
                    "help": { "text": format!("Requires: {requires}. Severity: {severity}.") },
                    "helpUri": RULES,
                })
            })
            .collect();
        let driver = json!({
            "name": "dmns-audit",
            "version": env!("CARGO_PKG_VERSION"),
            "informationUri": ABOUT,
            "rules": rules,
        });
        write!(
            out,
            "{{\"$schema\":\"{SCHEMA}\",\"version\":\"2.1.0\",\"runs\":[{{\"tool\":{{\"driver\":{driver}}},\
             \"columnKind\":\"unicodeCodePoints\",\"results\":["
        )?;
        Ok(Self {
            out,
            results: 0,
            problems: Vec::new(),
        })
    }
}

impl<W: Write> Reporter for Sarif<W> {
    fn finding(&mut self, name: &str, finding: &Finding) -> io::Result<()> {
        let mut text = format!("{}. Contract: {}", finding.message, finding.contract);
        if let Some(help) = &finding.help {
            text.push_str(&format!(". {help}"));
        }
        // The line moves when a log grows or is rotated, and the record stays.
        let column = finding.column().to_string();
        let name_of_rule = finding.rule.name();
        let parts = [name_of_rule, &column, &finding.line].map(str::as_bytes);
        let object = json!({
            "ruleId": name_of_rule,
            "partialFingerprints": { "record/v1": format!("{:016x}", fnv(&parts)) },
            "ruleIndex": Rule::ALL.iter().position(|&rule| rule == finding.rule),
            "level": match finding.severity {
                Severity::Error => "error",
                Severity::Note => "note",
            },
            "message": { "text": text },
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": { "uri": uri(name) },
                    "region": {
                        "startLine": finding.place.line,
                        "startColumn": finding.column(),
                        "endColumn": finding.span.end.max(finding.span.start + 1) + 1,
                        "snippet": { "text": finding.line },
                    },
                },
            }],
        });
        let comma = if self.results > 0 { "," } else { "" };
        self.results += 1;
        write!(self.out, "{comma}\n{object}")
    }

    fn unmet(&mut self, rule: Rule) -> io::Result<()> {
        let name = rule.name();
        self.problems
            .push(format!("--expect {name}: nothing was found by {name}"));
        Ok(())
    }

    fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        self.problems.push(problem.to_string());
        Ok(())
    }

    fn end(&mut self, _: &Totals) -> io::Result<()> {
        let notifications: Vec<Value> = self
            .problems
            .iter()
            .map(|text| json!({ "level": "error", "message": { "text": text } }))
            .collect();
        let invocation = json!([{
            "executionSuccessful": self.problems.is_empty(),
            "toolExecutionNotifications": notifications,
        }]);
        writeln!(self.out, "\n],\"invocations\":{invocation}}}]}}")?;
        self.out.flush()
    }
}

/// Returns a path as the URI reference that SARIF requires.
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-~".contains(&b);
    path.bytes()
        .map(|b| match plain(b) {
            true => (b as char).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}
