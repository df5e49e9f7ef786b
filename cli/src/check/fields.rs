// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Compares fields with the contract: presence, order, and the syntax of values.
//!
//! `dmns_audit_log::contract::check` stops at the first difference. This module reports all of
//! them, and continues after a field that is missing, unknown or out of place.

use super::finding::{Finding, Rule};
use super::repair::{out_of_range, repair};
use crate::input::Place;
use crate::input::lines::{End, Raw};
use dmns_audit_log::contract::{Field, Syntax};
use dmns_audit_log::line::{self, Places};
use std::ops::Range;

/// The contract of a record's fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contract {
    /// The record's name.
    pub(super) name: &'static str,
    /// The source of its format.
    pub(super) source: &'static str,
    /// Its fields.
    pub(super) layout: &'static [Field],
    /// They are in `msg='...'`, where a single quote is a letter.
    pub(super) inner: bool,
}

/// The fields of a line, judged.
#[derive(Debug)]
pub(super) struct JudgedFields<'a> {
    contract: Contract,
    place: Place,
    raw: &'a Raw<'a>,
    /// The offset in the line where they begin.
    at: usize,
    /// Their text, one byte a character.
    pub(super) body: String,
    /// For each field of the layout, the range of its value in the body, if it is there.
    pub(super) values: Vec<Option<Range<usize>>>,
    /// The findings about them.
    pub(super) findings: Vec<Finding>,
}

/// A field in the body: its name, and the ranges of name and value.
struct Found<'a> {
    name: &'a str,
    value: &'a str,
    from: usize,
    value_from: usize,
    to: usize,
}

impl Found<'_> {
    fn show(&self) -> String {
        match self.name {
            "" => self.value.to_owned(),
            name => format!("{name}={}", self.value),
        }
    }
}

/// Returns the fields of `body`, with their places.
fn found(body: &str, inner: bool) -> Vec<Found<'_>> {
    let text = body.as_bytes();
    let places = match inner {
        true => Places::inner(text, 0..text.len()),
        false => Places::outer(text),
    };
    let found = places.map(|line::Place { name, value }| Found {
        name: &body[name.clone()],
        value: &body[value.clone()],
        from: name.start,
        value_from: value.start,
        to: value.end,
    });
    found.collect()
}

impl<'a> JudgedFields<'a> {
    /// Judges the fields in `body`, which begin at byte `at` of the line `raw`. `whole`: they are
    /// all of the record.
    pub(super) fn judge(
        contract: Contract,
        place: Place,
        raw: &'a Raw<'a>,
        at: usize,
        body: String,
        whole: bool,
    ) -> Self {
        let mut judged = Self {
            contract,
            place,
            raw,
            at,
            body: String::new(),
            values: vec![None; contract.layout.len()],
            findings: Vec::new(),
        };
        let found = found(&body, contract.inner);
        judged.spacing(&found);
        judged.fields(&found, body.trim_end().len(), whole);
        judged.body = body;
        judged
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let layout = self.contract.layout;
        layout.iter().position(|field| field.name.is(name))
    }

    /// Returns the value of the field called `name`, as it is written.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let at = self.position(name)?;
        self.values[at].clone().map(|span| &self.body[span])
    }

    /// Returns the range of the field called `name` in the line; that of all fields, if there is
    /// none.
    pub(super) fn span(&self, name: &str) -> Range<usize> {
        match self.position(name).and_then(|at| self.values[at].clone()) {
            Some(span) => self.at + span.start - name.len() - 1..self.at + span.end,
            None => self.at..self.at + self.body.len(),
        }
    }

    /// Reports a finding at `span` of the body. `field` is the one of the layout that it is about.
    pub(super) fn report(
        &mut self,
        rule: Rule,
        span: Range<usize>,
        message: String,
        field: Option<usize>,
    ) -> &mut Finding {
        let at = self.at;
        let mut finding = Finding::new(
            rule,
            self.place,
            self.raw.text,
            at + span.start..at + span.end,
            message,
        );
        let Contract {
            name,
            source,
            layout,
            ..
        } = self.contract;
        finding.contract = match field {
            Some(i) => {
                let field = &layout[i];
                format!(
                    "field {} of {name} is {}=, {} ({source})",
                    i + 1,
                    field.name,
                    field.syntax.describe()
                )
            }
            None => format!("{} of {name} ({source})", rule.summary()),
        };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    fn spacing(&mut self, found: &[Found<'_>]) {
        let mut end = 0;
        for (i, field) in found.iter().enumerate() {
            let gap = field.from - end;
            if gap != usize::from(i > 0) {
                let expected = match i {
                    0 => "no space",
                    _ => "1 space",
                };
                let before = match i {
                    0 => "the first field".to_owned(),
                    _ => field.show(),
                };
                self.report(
                    Rule::Spacing,
                    end..field.from.max(end + 1),
                    format!("expected {expected} before {before}, found {gap}"),
                    None,
                );
            }
            end = field.to;
        }
    }

    /// Compares the layout with the fields, in order.
    fn fields(&mut self, found: &[Found<'_>], end: usize, whole: bool) {
        let layout = self.contract.layout;
        let mut done = vec![false; layout.len()];
        let mut next = 0;
        let mut here = 0;
        while here < found.len() {
            while next < layout.len() && done[next] {
                next += 1;
            }
            let field = &found[here];
            let is = layout.iter().position(|l| l.name.is(field.name));
            match is {
                Some(i) if i == next => {
                    done[i] = true;
                    self.judge_value(i, field);
                    here += 1;
                }
                Some(i) if done[i] => {
                    let finding = self.report(
                        Rule::DuplicateField,
                        field.from..field.to,
                        format!("{} is there a second time", field.show()),
                        Some(i),
                    );
                    finding.label = "again".to_owned();
                    here += 1;
                }
                // It comes later in the layout. The expected field may follow.
                Some(i) => {
                    let expected = &layout[next];
                    if found[here..].iter().any(|f| expected.name.is(f.name)) {
                        done[i] = true;
                        let finding = self.report(
                            Rule::FieldOrder,
                            field.from..field.to,
                            format!("{} stands before {}=", field.show(), expected.name),
                            Some(i),
                        );
                        finding.label = format!("{}= has to come first", expected.name);
                        self.judge_value(i, field);
                        here += 1;
                    } else {
                        done[next] = true;
                        if !expected.optional {
                            let found = Some(field.show());
                            self.missing(next, field.from..field.to, found);
                        }
                    }
                }
                None => {
                    let last = next == layout.len();
                    let finding = self.report(
                        Rule::UnexpectedField,
                        field.from..field.to,
                        match last {
                            true => format!("{} stands after the last field", field.show()),
                            false => format!("{} is no field of this record", field.show()),
                        },
                        (!last).then_some(next),
                    );
                    finding.label = match layout.get(next) {
                        Some(expected) => format!("expected {}=", expected.name),
                        None => "the record ends before this".to_owned(),
                    };
                    here += 1;
                }
            }
        }
        for i in 0..layout.len() {
            if !done[i] && !layout[i].optional {
                self.missing(i, end..end + 1, None);
                let cut = whole && self.raw.end != End::Newline;
                if let Some(finding) = self.findings.last_mut().filter(|_| cut) {
                    finding.help = Some(
                        "the file ends in this record: it was cut off, or is being written"
                            .to_owned(),
                    );
                }
                // One finding is enough for a missing end.
                break;
            }
        }
    }

    fn missing(&mut self, field: usize, span: Range<usize>, found: Option<String>) {
        let name = self.contract.layout[field].name;
        let what = found.unwrap_or_else(|| "the end of the record".to_owned());
        let finding = self.report(
            Rule::MissingField,
            span,
            format!("{name}= is missing: found {what}"),
            Some(field),
        );
        finding.label = format!("expected {name}=");
    }

    fn judge_value(&mut self, i: usize, found: &Found<'_>) {
        self.values[i] = Some(found.value_from..found.to);
        let field: &Field = &self.contract.layout[i];
        if field.syntax.accepts(found.value) {
            return;
        }
        let rule = match field.syntax {
            Syntax::Untrusted | Syntax::UntrustedOrNull | Syntax::UntrustedOrUnknown => {
                Rule::Encoding
            }
            Syntax::Result | Syntax::Success | Syntax::Outcome => Rule::Result,
            _ if out_of_range(field.syntax, found.value) => Rule::ValueRange,
            _ => Rule::ValueSyntax,
        };
        let finding = self.report(
            rule,
            found.value_from..found.to.max(found.value_from + 1),
            format!(
                "expected {}, found `{}`",
                field.syntax.describe(),
                found.show()
            ),
            Some(i),
        );
        finding.label = format!("not {}", field.syntax.describe());
        finding.help = repair(field.syntax, found.value).map(|value| format!("write {value}"));
    }
}
