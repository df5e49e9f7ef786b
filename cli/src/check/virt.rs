// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges a record of a guest by itself: the kernel's fields, and those in `msg='...'`.

use super::fields::{Contract, JudgedFields};
use super::finding::{Finding, Rule};
use super::judge::bytes;
use crate::input::Place;
use crate::input::lines::Raw;
use crate::record::Head;
use crate::record::value::decoded;
use crate::record::value::printable;
use dmns_audit_log::line::{inner, inner_fields};
use dmns_audit_log::virt::VirtType;
use dmns_audit_log::virt::layout::{OUTER, OUTER_SOURCE, SHAPES, shape};

/// A record of a guest, with its findings.
#[derive(Debug)]
pub(super) struct JudgedGuest<'a> {
    /// Its type.
    pub(super) ty: VirtType,
    /// Its place.
    pub(super) place: Place,
    /// Its head.
    pub(super) head: &'a Head<'a>,
    raw: &'a Raw<'a>,
    /// The fields in `msg='...'`, if the contract knows the subject.
    fields: Option<JudgedFields<'a>>,
    findings: Vec<Finding>,
}

impl<'a> JudgedGuest<'a> {
    /// Judges the record `head` of type `ty`, which is the line `raw`.
    pub(super) fn new(ty: VirtType, head: &'a Head<'a>, place: Place, raw: &'a Raw<'a>) -> Self {
        let mut judged = Self {
            ty,
            place,
            head,
            raw,
            fields: None,
            findings: Vec::new(),
        };
        let body = printable(head.body);
        judged
            .findings
            .extend(bytes(head, place, raw, (ty.name(), OUTER_SOURCE)));
        match inner(&body) {
            Some((from, text)) => {
                judged.outer(&body, from - " msg='".len());
                judged.ends(&body, from + text.len());
                judged.inner(from, text);
            }
            None => judged.findings.push(judged.at(
                Rule::MissingField,
                body.len()..body.len() + 1,
                "msg= is missing: found the end of the record".to_owned(),
                "what user space writes stands in msg='...'",
            )),
        }
        judged.meaning();
        judged
    }

    /// Returns the value of the field called `name` in `msg='...'`, as it is written.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.fields.as_ref()?.value(name)
    }

    /// Returns a finding about the field called `name`, by `rule`.
    pub(super) fn finding(&self, rule: Rule, name: &str, message: String) -> Finding {
        let span = match &self.fields {
            Some(fields) => fields.span(name),
            None => self.head.body_at..self.head.body_at + self.head.body.len(),
        };
        let mut finding = Finding::new(rule, self.place, self.raw.text, span, message);
        finding.contract = format!("{} (docs/reference/virt-records.md)", rule.summary());
        finding
    }

    /// Returns the findings.
    pub(super) fn findings(self) -> Vec<Finding> {
        let mut findings = self.findings;
        findings.extend(
            self.fields
                .map(|fields| fields.findings)
                .unwrap_or_default(),
        );
        findings
    }

    fn at(
        &self,
        rule: Rule,
        span: std::ops::Range<usize>,
        message: String,
        contract: &str,
    ) -> Finding {
        let at = self.head.body_at;
        let span = at + span.start..at + span.end;
        let mut finding = Finding::new(rule, self.place, self.raw.text, span, message);
        finding.contract = format!("{contract} (docs/reference/virt-records.md)");
        finding
    }

    /// Judges the kernel's fields before `msg=`.
    fn outer(&mut self, body: &str, end: usize) {
        let contract = Contract {
            name: self.ty.name(),
            source: OUTER_SOURCE,
            layout: OUTER,
            inner: false,
        };
        let at = self.head.body_at;
        let outer = JudgedFields::judge(
            contract,
            self.place,
            self.raw,
            at,
            body[..end].to_owned(),
            false,
        );
        self.findings.extend(outer.findings);
    }

    /// Judges the end: the last quote, and nothing after it.
    fn ends(&mut self, body: &str, at: usize) {
        let rest = body[at..].trim_end();
        if rest == "'" {
            return;
        }
        let message = match rest.strip_prefix('\'') {
            None => "msg=' has no end: was the record cut?".to_owned(),
            Some(rest) => format!("{} stands after the last field", rest.trim_start()),
        };
        let finding = self.at(
            Rule::UnexpectedField,
            at..at + rest.len().max(1),
            message,
            "msg='...' is the last field",
        );
        self.findings.push(finding);
    }

    fn inner(&mut self, from: usize, text: &str) {
        let all: Vec<_> = inner_fields(text).collect();
        let value = |name: &str| all.iter().find(|f| f.name == name).map(|f| f.value);
        // Red Hat's Docker writes neither, and another order of fields.
        let docker = || {
            let program = value("exe").map(decoded).unwrap_or_default();
            let is_docker = program
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with("docker"));
            is_docker && value("virt").is_none() && value("uuid").is_none()
        };
        let known = shape(self.ty, value).filter(|_| !docker());
        let Some(shape) = known else {
            let known: Vec<_> = SHAPES
                .iter()
                .filter(|shape| shape.ty == self.ty)
                .map(|shape| shape.about)
                .collect();
            let name = match self.ty {
                VirtType::Control => "op",
                _ => "resrc",
            };
            let message = match value(name) {
                Some(value) => format!("{name}={value} is not in the contract"),
                None => format!("{name}= is missing: what is it about?"),
            };
            let rule = match value(name) {
                Some(_) => Rule::Operation,
                None => Rule::MissingField,
            };
            let span = value(name).map_or(from..from + text.len(), |value| {
                let at = from + (value.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
                at - name.len() - 1..at + value.len()
            });
            let mut finding = self.at(
                rule,
                span,
                message,
                &format!("{} is about {}", self.ty.name(), known.join(", ")),
            );
            // Another manager, or a newer libvirt, may have more.
            if rule == Rule::Operation {
                finding = finding.note();
            }
            self.findings.push(finding);
            return;
        };
        let contract = Contract {
            name: self.ty.name(),
            source: shape.source,
            layout: shape.fields,
            inner: true,
        };
        let at = self.head.body_at + from;
        let mut fields =
            JudgedFields::judge(contract, self.place, self.raw, at, text.to_owned(), true);
        for finding in &mut fields.findings {
            // libvirt does not encode some of its paths. As long as they are plain, nothing is
            // forged.
            let value = &finding.line[finding.span.clone()];
            if finding.rule == Rule::Encoding && value.starts_with('/') {
                *finding = finding.clone().note();
            }
        }
        self.fields = Some(fields);
    }

    /// Judges the relations of values.
    fn meaning(&mut self) {
        let control = self.ty == VirtType::Control && self.value("op") == Some("start");
        let runs = self.value("vm-pid").and_then(|pid| pid.parse::<i64>().ok());
        let runs = runs.map(|pid| pid > 0);
        let init = self.ty == VirtType::Control && self.value("op") == Some("init");
        let pid = self.value("init-pid").and_then(|pid| pid.parse().ok());
        if init && self.value("res") == Some("success") && pid.is_some_and(|pid: i64| pid <= 0) {
            let message = "a container's first process has no number".to_owned();
            let finding = self.finding(Rule::Result, "init-pid", message);
            self.findings.push(finding);
        }
        // A hook may not know it.
        let control = control && self.value("virt") != Some("oci");
        if control && self.value("res") == Some("success") && runs == Some(false) {
            let message = "a guest that was started has no process".to_owned();
            let finding = self.finding(Rule::Result, "vm-pid", message);
            self.findings.push(finding);
        }
    }
}
