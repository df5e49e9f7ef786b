// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges the relations between the values of a record.

use super::finding::Rule;
use dmns_audit_log::rules::{self, Unit};
use dmns_audit_uapi::types::RecordType;

/// Two values that do not agree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) rule: Rule,
    /// The field to show.
    pub(super) field: &'static str,
    pub(super) message: String,
    /// A kernel newer than the contract may be right.
    pub(super) note: bool,
}

fn mismatch(rule: Rule, field: &'static str, message: String) -> Mismatch {
    Mismatch {
        rule,
        field,
        message,
        note: false,
    }
}

/// Judges a record of type `ty`; `value` knows the values of its fields as they are written.
pub(super) fn judge<'a>(ty: RecordType, value: impl Fn(&str) -> Option<&'a str>) -> Vec<Mismatch> {
    match ty {
        RecordType::DmCtrl | RecordType::DmEvent => device_mapper(ty, value),
        RecordType::NsInit(_) | RecordType::NsDel(_) if value("ns_id") == Some("0") => {
            let message = "ns_id=0: ids begin at 1".to_owned();
            vec![mismatch(Rule::ValueRange, "ns_id", message)]
        }
        RecordType::NsInit(kind) => {
            let created = value(&format!("old_{}ns", kind.name())).filter(|old| *old != "(none)");
            match (created, value("owner_ns_id")) {
                (Some(_), Some(owner)) => {
                    let message = format!(
                        "owner_ns_id={owner} in the record of a creation: only those of the baseline have it"
                    );
                    vec![mismatch(Rule::UnexpectedField, "owner_ns_id", message)]
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn device_mapper<'a>(ty: RecordType, value: impl Fn(&str) -> Option<&'a str>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let (Some(module), Some(op)) = (value("module"), value("op")) else {
        return found;
    };
    let known = rules::op(module, op);
    let ctrl = matches!(op, "ctr" | "dtr");
    if ctrl != (ty == RecordType::DmCtrl) {
        let message = format!("op={op} in a record of type {}", ty.name());
        found.push(mismatch(Rule::Operation, "op", message));
    } else if known.is_none() {
        let message = format!("module={module} op={op} is not in the contract");
        found.push(Mismatch {
            note: true,
            ..mismatch(Rule::Operation, "op", message)
        });
    }
    if let (Some(error), Some(res @ ("0" | "1"))) = (value("error_msg"), value("res")) {
        if (error == "'success'") != (res == "1") {
            let message = format!("res={res} with error_msg={error}");
            found.push(mismatch(Rule::Result, "res", message));
        }
    }
    if let (Some(known), Some(sector)) = (known, value("sector")) {
        let counts = known.unit != Unit::None;
        if counts == (sector == "?") {
            let message = match counts {
                true => format!("op={op} has a sector, found ?"),
                false => format!("op={op} belongs to no sector, found {sector}"),
            };
            found.push(mismatch(Rule::Operation, "sector", message));
        }
        if value("res") == Some("1") {
            let message = format!("res=1, but op={op} is a violation");
            found.push(Mismatch {
                note: true,
                ..mismatch(Rule::Result, "res", message)
            });
        }
    }
    found
}
