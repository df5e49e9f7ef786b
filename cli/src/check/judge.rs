// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A record by itself: its fields, their order, and how their values are written.
//!
//! `dmns_audit_uapi::contract::check` stops at the first departure; this tells all of them, and goes on after
//! a field that is missing, foreign or out of place.

use super::finding::{Finding, Rule, Severity, printable};
use super::meaning;
use super::repair::{out_of_range, repair};
use crate::input::Place;
use crate::input::lines::{End, Raw};
use crate::record::Head;
use dmns_audit_uapi::contract::{Field, Syntax, layout};
use dmns_audit_uapi::line::fields;
use dmns_audit_uapi::rules;
use dmns_audit_uapi::types::RecordType;
use std::ops::Range;

/// A record of ours, judged.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Its type.
    pub ty: RecordType,
    /// Where it stands.
    pub place: Place,
    /// What it begins with.
    pub head: &'a Head<'a>,
    raw: &'a Raw<'a>,
    /// The body, one byte a character.
    body: String,
    /// For each field of the layout, where its value is in the body, if it is there.
    values: Vec<Option<Range<usize>>>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// A field that is there: name, and where name and value are in the body.
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

/// The fields of `body`, with their places.
fn found(body: &str) -> Vec<Found<'_>> {
    let base = body.as_ptr() as usize;
    fields(body)
        .map(|field| {
            let value_from = field.value.as_ptr() as usize - base;
            let name_length = match field.name {
                "" => 0,
                name => name.len() + 1,
            };
            Found {
                name: field.name,
                value: field.value,
                from: value_from - name_length.min(value_from),
                value_from,
                to: value_from + field.value.len(),
            }
        })
        .collect()
}

/// `DM_X` or `NS_X` that the contract does not know.
pub fn unknown_type(head: &Head<'_>, place: Place, raw: &Raw<'_>) -> Finding {
    let span = head.name_at..head.name_at + head.name.len();
    let name = printable(head.name);
    let mut finding = Finding::new(
        Rule::UnknownType,
        place,
        raw.text,
        span,
        format!("{name} is no record type of the contract"),
    );
    finding.label = "unknown type".to_owned();
    finding.contract = format!(
        "the types are DM_CTRL, DM_EVENT, NS_INIT_*, NS_DEL_* and NS_INFO, {} to {} \
         (uapi/src/types.rs); `dmns-audit spec` lists them",
        RecordType::DmCtrl.number(),
        RecordType::NsInfo.number()
    );
    finding
}

impl<'a> Judged<'a> {
    /// Judges the record `head` of type `ty`, which is the line `raw`.
    pub fn new(ty: RecordType, head: &'a Head<'a>, place: Place, raw: &'a Raw<'a>) -> Self {
        let body = printable(head.body);
        let found = found(&body);
        let mut judged = Self {
            ty,
            place,
            head,
            raw,
            body: String::new(),
            values: vec![None; layout(ty).len()],
            findings: Vec::new(),
        };
        judged.bytes();
        judged.spacing(&found);
        judged.fields(&found, body.trim_end().len());
        judged.body = body;
        judged.meaning();
        judged
    }

    fn position(&self, name: &str) -> Option<usize> {
        layout(self.ty).iter().position(|field| field.name.is(name))
    }

    /// The value of the field called `name`, as it is written.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.position(name)?;
        self.values[at].clone().map(|span| &self.body[span])
    }

    /// The same as a number, if it is one.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.parse().ok()
    }

    /// A finding about the record as a whole.
    pub fn finding(&self, rule: Rule, message: String) -> Finding {
        let head = self.head;
        let whole = head.name_at..head.name_at + head.name.len();
        Finding::new(rule, self.place, self.raw.text, whole, message)
    }

    /// A finding about the field called `name`.
    pub fn finding_in(&self, rule: Rule, name: &str, message: String) -> Finding {
        let at = self.head.body_at;
        let span = match self.position(name).and_then(|at| self.values[at].clone()) {
            Some(span) => at + span.start - name.len() - 1..at + span.end,
            None => at..at + self.body.len(),
        };
        Finding::new(rule, self.place, self.raw.text, span, message)
    }

    /// Tells a finding at `span` of the body. `field` is the one of the layout that it is about.
    fn tell(
        &mut self,
        rule: Rule,
        span: Range<usize>,
        message: String,
        field: Option<usize>,
    ) -> &mut Finding {
        let at = self.head.body_at;
        let mut finding = Finding::new(
            rule,
            self.place,
            self.raw.text,
            at + span.start..at + span.end,
            message,
        );
        let source = rules::source(self.ty);
        finding.contract = match field {
            Some(i) => {
                let field = &layout(self.ty)[i];
                format!(
                    "field {} of {} is {}=, {} ({source})",
                    i + 1,
                    self.ty.name(),
                    field.name,
                    field.syntax.describe()
                )
            }
            None => format!("{} of {} ({source})", rule.summary(), self.ty.name()),
        };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    fn bytes(&mut self) {
        let odd = |b: &u8| !matches!(b, b' '..=b'~');
        if let Some(at) = self.head.body.iter().position(odd) {
            let byte = self.head.body[at];
            let finding = self.tell(
                Rule::Bytes,
                at..at + 1,
                format!("byte 0x{byte:02x} is no printable ASCII"),
                None,
            );
            finding.label = format!("0x{byte:02x}");
            finding.help = Some(
                "what a user can choose is written in hex if it has such a byte; this one was \
                 written as it is, or the file is damaged"
                    .to_owned(),
            );
        }
    }

    fn spacing(&mut self, found: &[Found<'_>]) {
        let mut end = 0;
        for (i, field) in found.iter().enumerate() {
            let gap = field.from - end;
            let expected = usize::from(i > 0);
            if gap != expected {
                let before = match i {
                    0 => "the first field".to_owned(),
                    _ => field.show(),
                };
                self.tell(
                    Rule::Spacing,
                    end..field.from.max(end + 1),
                    format!("{gap} spaces before {before}, {expected} expected"),
                    None,
                );
            }
            end = field.to;
        }
    }

    /// Walks along the layout and what is there, side by side.
    fn fields(&mut self, found: &[Found<'_>], end: usize) {
        let layout = layout(self.ty);
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
                    let finding = self.tell(
                        Rule::DuplicateField,
                        field.from..field.to,
                        format!("{} is there a second time", field.show()),
                        Some(i),
                    );
                    finding.label = "again".to_owned();
                    here += 1;
                }
                // It comes later in the layout: is the one that has to come now still to come?
                Some(i) => {
                    let expected = &layout[next];
                    if found[here..].iter().any(|f| expected.name.is(f.name)) {
                        done[i] = true;
                        let finding = self.tell(
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
                    let finding = self.tell(
                        Rule::UnexpectedField,
                        field.from..field.to,
                        match last {
                            true => format!("{} stands after the last field", field.show()),
                            false => format!("{} is no field of this record", field.show()),
                        },
                        (!last).then_some(next),
                    );
                    finding.label = match layout.get(next) {
                        Some(expected) => format!("{}= expected", expected.name),
                        None => "the record ends before this".to_owned(),
                    };
                    here += 1;
                }
            }
        }
        for i in 0..layout.len() {
            if !done[i] && !layout[i].optional {
                self.missing(i, end..end + 1, None);
                let cut = self.raw.end != End::Newline;
                if let Some(finding) = self.findings.last_mut().filter(|_| cut) {
                    finding.help = Some(
                        "the file ends in this record: it was cut off, or is being written"
                            .to_owned(),
                    );
                }
                // One is enough to say that the end is missing.
                break;
            }
        }
    }

    fn missing(&mut self, field: usize, span: Range<usize>, found: Option<String>) {
        let name = layout(self.ty)[field].name;
        let what = found.unwrap_or_else(|| "the end of the record".to_owned());
        let finding = self.tell(
            Rule::MissingField,
            span,
            format!("{name}= is missing: found {what}"),
            Some(field),
        );
        finding.label = format!("{name}= expected");
    }

    fn judge_value(&mut self, i: usize, found: &Found<'_>) {
        self.values[i] = Some(found.value_from..found.to);
        let field: &Field = &layout(self.ty)[i];
        if field.syntax.accepts(found.value) {
            return;
        }
        let rule = match field.syntax {
            Syntax::Untrusted | Syntax::UntrustedOrNull => Rule::Encoding,
            Syntax::Result | Syntax::Success => Rule::Result,
            _ if out_of_range(field.syntax, found.value) => Rule::ValueRange,
            _ => Rule::ValueSyntax,
        };
        let finding = self.tell(
            rule,
            found.value_from..found.to.max(found.value_from + 1),
            format!("{}: {} expected", found.show(), field.syntax.describe()),
            Some(i),
        );
        finding.label = format!("not {}", field.syntax.describe());
        finding.help = repair(field.syntax, found.value).map(|value| format!("write {value}"));
    }

    /// What values have to do with each other.
    fn meaning(&mut self) {
        for discord in meaning::judge(self.ty, |name| self.value(name)) {
            let field = self.position(discord.field);
            let span = field.and_then(|at| self.values[at].clone());
            let finding = self.tell(
                discord.rule,
                span.unwrap_or_default(),
                discord.message,
                field,
            );
            if discord.note {
                finding.severity = Severity::Note;
            }
        }
    }
}
