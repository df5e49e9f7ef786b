// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges every record of ours in a log against the contract.
//!
//! - [`finding`]: what is told, and by which rule.
//! - [`judge`]: a record of the kernel by itself.
//! - [`grouping`]: a record and its event.
//! - [`history`]: a record and those before it.
//! - [`text`], [`json`], [`sarif`]: how it is told.

mod fields;
pub mod finding;
pub mod grouping;
pub mod history;
pub mod json;
pub mod judge;
mod meaning;
mod repair;
pub mod sarif;
pub mod text;

pub use crate::input::Problem;
use crate::input::lines::{End, Raw};
use crate::input::{Log, Place, Step, Wanted};
use crate::record::{Head, Parsed, Type, head};
use finding::{Finding, Rule, Severity};
use grouping::Grouping;
use history::History;
use judge::Judged;
use std::io;

/// Takes what is found, as it is found.
pub trait Reporter {
    /// A finding, in the file called `name`.
    fn finding(&mut self, name: &str, finding: &Finding) -> io::Result<()>;
    /// A log that could not be read to its end.
    fn problem(&mut self, problem: &Problem) -> io::Result<()>;
    /// There is no more.
    fn end(&mut self, totals: &Totals) -> io::Result<()>;
}

/// What was seen in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records of every type.
    pub records: u64,
    /// Records that the contract is about.
    pub judged: u64,
    /// Findings of [`Severity::Error`].
    pub errors: u64,
    /// Findings of [`Severity::Note`].
    pub notes: u64,
    /// Logs that could not be read to their end.
    pub problems: u64,
}

/// Judges all of `log`. `lossy`: records may be missing, so what lacks another one is only noted.
///
/// # Errors
///
/// Where `reporter` cannot write.
pub fn check(log: &mut Log, lossy: bool, reporter: &mut dyn Reporter) -> io::Result<Totals> {
    let mut check = Check {
        grouping: Grouping::new(lossy),
        ..Check::default()
    };
    let wanted = Wanted::all();
    loop {
        match log.next_step(&wanted) {
            Some(Step::Line(place, raw)) => check.line(place, &raw),
            Some(Step::Problem(problem)) => {
                check.totals.problems += 1;
                reporter.problem(&problem)?;
                continue;
            }
            None => break,
        }
        check.report(log, reporter)?;
    }
    check.end();
    check.report(log, reporter)?;
    reporter.end(&check.totals)?;
    Ok(check.totals)
}

#[derive(Debug, Default)]
struct Check {
    totals: Totals,
    findings: Vec<Finding>,
    grouping: Grouping,
    history: History,
    /// Lines that are no records and follow each other: the first one's finding, and the last line.
    broken: Option<(Finding, Place)>,
}

impl Check {
    fn line(&mut self, place: Place, raw: &Raw<'_>) {
        match head::parse(raw.text) {
            Parsed::Record(head) => {
                self.broken_ends();
                self.totals.records += 1;
                self.record(place, raw, &head);
            }
            Parsed::Foreign => {}
            Parsed::Broken(broken) => self.broken(place, raw, broken),
        }
    }

    fn record(&mut self, place: Place, raw: &Raw<'_>, head: &Head<'_>) {
        match head.ty {
            Type::Ours(ty) => {
                self.totals.judged += 1;
                let judged = Judged::new(ty, head, place, raw);
                self.grouping.ours(&judged, &mut self.findings);
                self.history.ours(&judged, &mut self.findings);
                self.findings.extend(judged.findings());
            }
            Type::Other if head.name.starts_with(b"DM_") || head.name.starts_with(b"NS_") => {
                self.findings.push(judge::unknown_type(head, place, raw));
            }
            Type::SystemBoot => self.history.boot(head),
            ty => self.grouping.other(ty, head, &mut self.findings),
        }
    }

    fn broken(&mut self, place: Place, raw: &Raw<'_>, broken: head::Broken) {
        match &mut self.broken {
            Some((_, last)) if last.file == place.file && last.line + 1 == place.line => {
                *last = place;
            }
            _ => {
                self.broken_ends();
                let mut finding = Finding::new(
                    Rule::NotARecord,
                    place,
                    raw.text,
                    broken.at..raw.text.len().min(broken.at + 40),
                    format!("no audit record: {} expected here", broken.expected),
                );
                finding.label = format!("{} expected", broken.expected);
                finding.contract =
                    "a line is `type=NAME msg=audit(SECONDS.MILLIS:SERIAL): FIELDS`".to_owned();
                finding.help = match raw.end {
                    End::File => {
                        Some("the file ends in this line: it was cut off, or is being written")
                    }
                    End::Cut => Some("the line is longer than any record; is this a binary file?"),
                    End::Newline if raw.text.contains(&0) => {
                        Some("there are NUL bytes: a crash leaves them in files")
                    }
                    End::Newline if raw.text.starts_with(b"type=") && is_interpreted(raw.text) => {
                        Some("this is interpreted output; use `ausearch --raw`")
                    }
                    End::Newline => None,
                }
                .map(str::to_owned);
                self.broken = Some((finding, place));
            }
        }
    }

    fn broken_ends(&mut self) {
        if let Some((mut finding, last)) = self.broken.take() {
            if last.line > finding.place.line {
                finding.message = format!(
                    "no audit records in lines {} to {}",
                    finding.place.line, last.line
                );
            }
            self.findings.push(finding);
        }
    }

    fn end(&mut self) {
        self.broken_ends();
        self.grouping.end(&mut self.findings);
    }

    fn report(&mut self, log: &Log, reporter: &mut dyn Reporter) -> io::Result<()> {
        if self.findings.is_empty() {
            return Ok(());
        }
        log.aside(|| {
            for finding in self.findings.drain(..) {
                match finding.severity {
                    Severity::Error => self.totals.errors += 1,
                    Severity::Note => self.totals.notes += 1,
                }
                reporter.finding(log.name(finding.place.file), &finding)?;
            }
            Ok(())
        })
    }
}

/// `type=SYSCALL msg=audit(11/21/2026 04:17:59.123:45) : ...` of `ausearch -i`.
fn is_interpreted(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"audit(").is_some_and(|at| {
        line[at..]
            .iter()
            .take_while(|&&b| b != b')')
            .any(|&b| b == b'/')
    })
}

#[cfg(test)]
mod tests;
