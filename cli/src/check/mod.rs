// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges each DM, NS and VIRT record of a log against the contract.
//!
//! - [`explain`]: what a rule requires.
//! - [`finding`]: findings and rules.
//! - [`judge`]: a record of the kernel by itself.
//! - `virt`: a record of a guest by itself.
//! - `fields`: compares fields with the contract.
//! - [`grouping`]: a record and its event.
//! - [`history`]: the sequence of records; `baseline`: the namespaces that existed when records
//!   began.
//! - `config`: the module's `CONFIG_CHANGE`.
//! - `guests`: the sequence of guests' records.
//! - [`text`], [`json`], [`sarif`]: the output formats.

mod baseline;
mod config;
pub mod explain;
mod fields;
pub mod finding;
pub mod grouping;
mod guests;
pub mod history;
pub mod json;
pub mod judge;
mod meaning;
mod repair;
pub mod sarif;
pub mod text;
mod virt;

pub use crate::input::Problem;
use crate::input::lines::{End, Raw};
use crate::input::{Log, Place, Prefetch, Repeated, Step, Wanted};
use crate::record::loss::{self, Loss};
use crate::record::{Head, Parsed, Type, form, head};
use config::Config;
use dmns_audit_log::forms;
use finding::{Finding, Rule, Severity};
use grouping::Grouping;
use guests::Guests;
use history::History;
use judge::Judged;
use std::io;
use std::ops::Range;
use virt::JudgedGuest;

/// Receives findings as they are made.
pub trait Reporter {
    /// Reports a finding, in the file called `name`.
    fn finding(&mut self, name: &str, finding: &Finding) -> io::Result<()>;
    /// Reports an expected rule without a finding.
    fn unmet(&mut self, rule: Rule) -> io::Result<()>;
    /// Reports a log that could not be read to its end.
    fn problem(&mut self, problem: &Problem) -> io::Result<()>;
    /// Ends the report.
    fn end(&mut self, totals: &Totals) -> io::Result<()>;
}

/// The totals of a check.
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
    /// Rules that were expected to find something, and did not.
    pub unmet: u64,
}

/// Judges all of `log`. `lossy`: records may be missing, so a missing companion is a note. Findings
/// of the rules `expected` are left out. [`Totals::unmet`] counts such rules without a finding.
///
/// # Errors
///
/// If `reporter` cannot write.
pub fn check(
    log: &mut Log,
    lossy: bool,
    expected: &[Rule],
    reporter: &mut dyn Reporter,
) -> io::Result<Totals> {
    let mut check = Check {
        grouping: Grouping::new(lossy),
        history: History::new(lossy),
        guests: Guests::new(lossy),
        lossy,
        expected: expected.iter().map(|&rule| (rule, false)).collect(),
        ..Check::default()
    };
    let wanted = Wanted::all();
    log.search_ahead(Prefetch {
        ever: wanted.clone(),
        likely: wanted.clone(),
        fields: false,
        soon: None,
    });
    loop {
        match log.next_step(&wanted) {
            Some(Step::Line(place, raw, parsed)) => check.line(place, &raw, parsed),
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
    if let Some(repeated) = log.repeated() {
        check.repeated(&repeated);
    }
    check.report(log, reporter)?;
    let unmet = check.expected.iter().filter(|(_, found)| !found);
    check.totals.unmet = unmet.clone().count() as u64;
    for (rule, _) in unmet {
        reporter.unmet(*rule)?;
    }
    reporter.end(&check.totals)?;
    Ok(check.totals)
}

#[derive(Debug, Default)]
struct Check {
    totals: Totals,
    findings: Vec<Finding>,
    grouping: Grouping,
    history: History,
    guests: Guests,
    config: Config,
    lossy: bool,
    /// Rules that are expected to find something, and whether they did.
    expected: Vec<(Rule, bool)>,
    /// Consecutive lines that are not records: the finding of the first, and the last line.
    broken: Option<(Finding, Place)>,
}

impl Check {
    fn line(&mut self, place: Place, raw: &Raw<'_>, parsed: Parsed<'_>) {
        match parsed {
            Parsed::Record(head) => {
                self.broken_ends();
                self.totals.records += 1;
                self.record(place, raw, &head);
            }
            Parsed::Foreign => {}
            Parsed::Loss(loss) => {
                self.broken_ends();
                self.lost(place, raw, 0..raw.text.len(), loss);
            }
            Parsed::Broken(broken) => self.broken(place, raw, broken),
        }
    }

    /// Reports a loss that the log announces.
    fn lost(&mut self, place: Place, raw: &Raw<'_>, span: Range<usize>, loss: Loss) {
        let message = match loss.records {
            Some(1) => format!("1 record was {}", loss.what.describe()),
            Some(records) => format!("{records} records were {}", loss.what.describe()),
            None => format!("records were {}", loss.what.describe()),
        };
        let mut finding = Finding::new(Rule::LostRecords, place, raw.text, span, message).note();
        finding.help = (!self.lossy).then(|| {
            "--lossy makes a note of what lacks another record; a greater backlog (`auditctl -b`) loses fewer".to_owned()
        });
        self.findings.push(finding);
    }

    /// Reports records that are in several logs.
    fn repeated(&mut self, repeated: &Repeated) {
        let span = 0..repeated.line.len();
        let finding = Finding::new(
            Rule::Repeated,
            repeated.first,
            &repeated.line,
            span,
            repeated.describe(),
        );
        self.findings.push(finding.note());
    }

    fn record(&mut self, place: Place, raw: &Raw<'_>, head: &Head<'_>) {
        if head.ty == Type::Other && loss::may_be_record(head.name) {
            if let Some(loss) = loss::of_record(head.name, head.body) {
                self.lost(place, raw, head.name_at..raw.text.len(), loss);
            }
        }
        if let Type::Ours(ty) = head.ty {
            let early = Type::is_first_number(head.name);
            let said = early.then(|| crate::input::Early::said(ty, head.name));
            if let Some(message) = said.flatten() {
                let span = head.name_at..head.name_at + head.name.len();
                let finding = Finding::new(Rule::FirstNumber, place, raw.text, span, message);
                self.findings.push(finding.note());
            }
        }
        match head.ty {
            Type::Ours(ty) => {
                self.totals.judged += 1;
                let judged = Judged::new(ty, head, place, raw);
                self.grouping.ours(&judged, &mut self.findings);
                self.history.ours(&judged, &mut self.findings);
                self.config.ours(&judged);
                self.findings.extend(judged.findings());
            }
            Type::Virt(ty) => {
                self.totals.judged += 1;
                let judged = JudgedGuest::new(ty, head, place, raw);
                self.guests.record(&judged, &mut self.findings);
                self.history.guest(&judged, &mut self.findings);
                self.findings.extend(judged.findings());
                self.grouping.other(head.ty, head, &mut self.findings);
            }
            Type::Other if config::is_config(head.name) => {
                let change = self.config.record(head, place, raw, &mut self.findings);
                self.totals.judged += u64::from(change.ours);
                if change.switches {
                    self.history.interrupted(head);
                }
                self.grouping.other(head.ty, head, &mut self.findings);
            }
            Type::Other if is_of_contract(head.name) => {
                self.findings.push(judge::unknown_type(head, place, raw));
            }
            Type::KernelBoot | Type::SystemBoot | Type::SystemShutdown => {
                self.guests.down(head);
                if head.ty != Type::SystemShutdown {
                    self.history.boot(head, &mut self.findings);
                }
            }
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
                    format!("no audit record: expected {} here", broken.expected),
                );
                finding.label = format!("expected {}", broken.expected);
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
                    End::Newline => None,
                }
                .map(str::to_owned);
                if let Some(form) = form::of_line(raw.text) {
                    finding.help = Some(format!("this is {}; {}", form.describe(), form.instead()));
                }
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
        self.history.end(&mut self.findings);
        self.config.end(&mut self.findings);
    }

    fn report(&mut self, log: &Log, reporter: &mut dyn Reporter) -> io::Result<()> {
        if self.findings.is_empty() {
            return Ok(());
        }
        for (rule, found) in &mut self.expected {
            let before = self.findings.len();
            self.findings.retain(|finding| finding.rule != *rule);
            *found |= self.findings.len() < before;
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

/// Returns whether the contract should know a type of this name.
fn is_of_contract(name: &[u8]) -> bool {
    let mut prefixes = [&b"DM_"[..], b"NS_", b"VIRT_"].into_iter();
    prefixes.any(|prefix| name.starts_with(prefix)) || forms::offered(name).is_some()
}

#[cfg(test)]
mod tests;
