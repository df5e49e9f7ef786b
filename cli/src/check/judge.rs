// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges a record of the kernel by itself: its fields, and the relations of their values.

use super::fields::{Contract, JudgedFields};
use super::finding::{Finding, Rule, Severity};
use super::meaning;
use crate::input::Place;
use crate::input::lines::Raw;
use crate::record::Head;
use crate::record::value::{is_letter, is_printable, printable};
use dmns_audit_log::contract::layout;
use dmns_audit_log::forms::{Form, NSTYPE};
use dmns_audit_log::rules;
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;

/// A record of the module, with its findings.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Its type.
    pub ty: RecordType,
    /// Its place.
    pub place: Place,
    /// Its head.
    pub head: &'a Head<'a>,
    raw: &'a Raw<'a>,
    fields: JudgedFields<'a>,
}

/// Returns the finding for an unknown type.
pub fn unknown_type(head: &Head<'_>, place: Place, raw: &Raw<'_>) -> Finding {
    let span = head.name_at..head.name_at + head.name.len();
    let name = printable(head.name);
    let (message, label) = match Form::of(head.name) {
        Form::TypePerKind => (
            format!("{name} is no record type of the contract"),
            "unknown type",
        ),
        Form::Offered(_) => (
            format!("{name} has no {NSTYPE}= with a kind of namespace"),
            "of no kind",
        ),
    };
    let mut finding = Finding::new(Rule::UnknownType, place, raw.text, span, message);
    finding.label = label.to_owned();
    finding.contract = format!(
        "the types are DM_CTRL, DM_EVENT, NS_INIT_*, NS_DEL_* and NS_INFO, {} to {}, NS_INIT and NS_DEL with {NSTYPE}=, \
         and eight of guests from {} on (uapi/src/types.rs, auditlog/src/forms.rs, auditlog/src/virt); \
         `dmns-audit spec` lists them",
        RecordType::DmCtrl.number(),
        RecordType::NsInfo.number(),
        VirtType::Control.number()
    );
    finding
}

/// Returns a finding if the record `head`, which is called `name`, is not all printable ASCII.
pub(super) fn bytes(
    head: &Head<'_>,
    place: Place,
    raw: &Raw<'_>,
    (name, source): (&str, &str),
) -> Option<Finding> {
    if is_printable(head.body) {
        return None;
    }
    let at = head.body.iter().position(|&byte| !is_letter(byte))?;
    let byte = head.body[at];
    let at = head.body_at + at;
    let message = format!("byte 0x{byte:02x} is no printable ASCII");
    let mut finding = Finding::new(Rule::Bytes, place, raw.text, at..at + 1, message);
    finding.contract = format!("{} of {name} ({})", Rule::Bytes.summary(), source);
    finding.label = format!("0x{byte:02x}");
    finding.help = Some(
        "untrusted text with such a byte is written in hex; this text is not, or the file is damaged"
            .to_owned(),
    );
    Some(finding)
}

impl<'a> Judged<'a> {
    /// Judges the record `head` of type `ty`, which is the line `raw`.
    pub fn new(ty: RecordType, head: &'a Head<'a>, place: Place, raw: &'a Raw<'a>) -> Self {
        let form = Form::of(head.name);
        let name = match form {
            Form::TypePerKind => ty.name(),
            Form::Offered(offered) => offered.name,
        };
        let contract = Contract {
            name,
            source: rules::source(ty),
            layout: layout(ty, form),
            inner: false,
        };
        let body = printable(head.body);
        let mut fields = JudgedFields::judge(contract, place, raw, head.body_at, body, true);
        if let Some(finding) = bytes(head, place, raw, (contract.name, contract.source)) {
            fields.findings.insert(0, finding);
        }
        let mut judged = Self {
            ty,
            place,
            head,
            raw,
            fields,
        };
        judged.meaning();
        judged
    }

    /// Returns the findings.
    pub fn findings(self) -> Vec<Finding> {
        self.fields.findings
    }

    /// Returns the value of the field called `name`, as it is written.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.value(name)
    }

    /// Returns the value of the field called `name` as a number, if it is one.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.parse().ok()
    }

    /// Returns the line of the record.
    pub(super) fn line(&self) -> &[u8] {
        self.raw.text
    }

    /// Returns a finding about the record as a whole.
    pub fn finding(&self, rule: Rule, message: String) -> Finding {
        let head = self.head;
        let whole = head.name_at..head.name_at + head.name.len();
        Finding::new(rule, self.place, self.raw.text, whole, message)
    }

    /// Returns a finding about the field called `name`.
    pub fn finding_in(&self, rule: Rule, name: &str, message: String) -> Finding {
        let span = self.fields.span(name);
        Finding::new(rule, self.place, self.raw.text, span, message)
    }

    /// Judges the relations of values.
    fn meaning(&mut self) {
        for mismatch in meaning::judge(self.ty, |name| self.value(name)) {
            let field = self.fields.position(mismatch.field);
            let span = field.and_then(|at| self.fields.values[at].clone());
            let finding = self.fields.report(
                mismatch.rule,
                span.unwrap_or_default(),
                mismatch.message,
                field,
            );
            if mismatch.note {
                finding.severity = Severity::Note;
            }
        }
    }
}
