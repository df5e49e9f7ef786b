// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Patterns of records, as scenarios write them.

use crate::calls;
use dmns_audit_log::line::{self, Line};
use dmns_audit_uapi::types::RecordType;
use std::collections::BTreeMap;

/// Values by name: what `save` set in the guest (`${name}`), what records bound (`@name`).
pub(crate) type Values = BTreeMap<String, String>;

/// A record that must appear.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    /// Its type, as scenarios write it.
    pub(crate) record: String,
    /// Its fields.
    pub(crate) pattern: Pattern,
    /// The minimum count.
    pub(crate) min: u32,
    /// The maximum count.
    pub(crate) max: u32,
    /// A record that must be of the same event: type and fields.
    pub(crate) with: Option<(String, Vec<FieldPattern>)>,
    /// Whether its event must have no SYSCALL record.
    pub(crate) no_syscall: bool,
    /// Records with the same name here are of one event, others are not of it.
    pub(crate) event: Option<String>,
}

/// The fields that a record must have.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// These, among others.
    Some(Vec<FieldPattern>),
    /// These, in this order, and no others.
    All(Vec<FieldPattern>),
}

/// A field and its value.
#[derive(Clone, Debug)]
pub(crate) struct FieldPattern {
    name: String,
    value: Template,
}

/// The pattern of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// `*`: any value.
    Any,
    /// `@name`: any value at first, and the same from then on.
    Bound(String),
    /// This system call, in the field `syscall=`.
    Call(String),
    /// This text, in which `${name}` stands for a value.
    Text(String),
}

impl Template {
    /// Parses `name=value name=value ...`.
    pub(crate) fn parse_fields(text: &str) -> Result<Vec<FieldPattern>, String> {
        line::fields(text)
            .map(|field| {
                if field.name.is_empty() {
                    return Err(format!(
                        "`{}`: expected NAME=VALUE, where VALUE is text, *, @name or ${{name}}",
                        field.value
                    ));
                }
                let is_number = field.value.parse::<u32>().is_ok();
                let is_pattern = field.value.starts_with(['*', '@', '$']);
                Ok(FieldPattern {
                    name: field.name.to_owned(),
                    value: match field.value {
                        "*" => Self::Any,
                        name if field.name == "syscall" && !is_number && !is_pattern => {
                            if !calls::is_name(name) {
                                return Err(format!("`{name}`: no system call has this name"));
                            }
                            Self::Call(name.to_owned())
                        }
                        value => match value.strip_prefix('@') {
                            Some(name) => Self::Bound(name.to_owned()),
                            None => Self::Text(value.to_owned()),
                        },
                    },
                })
            })
            .collect()
    }

    /// Checks the name of a record type.
    pub(crate) fn check_type(text: &str) -> Result<String, String> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let is_name = !stem.is_empty()
            && stem
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if is_name || RecordType::from_name(text).is_some() {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "`{text}`: expected the name of a record type (DM_EVENT, NS_INIT_*, SYSCALL) or its number"
            ))
        }
    }

    fn matches(
        &self,
        line: &Line<'_>,
        value: &str,
        values: &Values,
        bound: &mut Values,
    ) -> Result<bool, String> {
        match self {
            Self::Call(name) => Ok(line
                .field("arch")
                .is_some_and(|arch| calls::is(arch, value, name))),
            Self::Any => Ok(true),
            Self::Bound(name) => match bound.get(name) {
                Some(known) => Ok(known == value),
                None => {
                    bound.insert(name.clone(), value.to_owned());
                    Ok(true)
                }
            },
            Self::Text(text) => Ok(substitute(text, values)? == value),
        }
    }
}

/// `text` with each `${name}` replaced.
fn substitute(text: &str, values: &Values) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("`{text}`: `${{` without `}}`"))?;
        let value = values
            .get(name)
            .ok_or_else(|| format!("`${{{name}}}`: no step has set it with `save {name} ...`"))?;
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns whether a line's type is the one that a scenario calls `name`; `NS_INIT_*` is any that
/// begins so.
pub(crate) fn is_type(line: &Line<'_>, name: &str) -> bool {
    if let Some(prefix) = name.strip_suffix('*') {
        return match line.record_type() {
            Some(ty) => ty.name().starts_with(prefix),
            None => line.ty.starts_with(prefix),
        };
    }
    match RecordType::from_name(name) {
        Some(ty) => line.record_type() == Some(ty),
        None => line.ty == name,
    }
}

/// Returns whether `line` has these fields, among others.
pub(crate) fn has_fields(
    line: &Line<'_>,
    fields: &[FieldPattern],
    values: &Values,
    bound: &mut Values,
) -> Result<bool, String> {
    for field in fields {
        // A record from user space has its own fields in one more level: msg='...'.
        let found = line
            .field(&field.name)
            .or_else(|| line.inner_field(&field.name));
        match found {
            Some(value) if field.value.matches(line, value, values, bound)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

impl Pattern {
    /// Returns whether `line` has these fields. The values of `@name` go to `bound`.
    pub(crate) fn matches(
        &self,
        line: &Line<'_>,
        values: &Values,
        bound: &mut Values,
    ) -> Result<bool, String> {
        match self {
            Self::Some(fields) => has_fields(line, fields, values, bound),
            Self::All(fields) => {
                let mut found = line.fields();
                for field in fields {
                    match found.next() {
                        Some(f)
                            if f.name == field.name
                                && field.value.matches(line, f.value, values, bound)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(found.next().is_none())
            }
        }
    }
}

impl Expectation {
    /// Returns the text that a field must be, if it must be one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let (Pattern::Some(fields) | Pattern::All(fields)) = &self.pattern;
        let field = fields.iter().find(|field| field.name == name)?;
        match &field.value {
            Template::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the pattern in the form of messages.
    pub(crate) fn show(&self) -> String {
        let fields = |fields: &[FieldPattern]| {
            fields
                .iter()
                .map(|f| {
                    let value = match &f.value {
                        Template::Any => "*".to_owned(),
                        Template::Bound(name) => format!("@{name}"),
                        Template::Call(text) | Template::Text(text) => text.clone(),
                    };
                    format!(" {}={value}", f.name)
                })
                .collect::<Vec<_>>()
                .concat()
        };
        let mut text = self.record.clone();
        match &self.pattern {
            Pattern::Some(some) => text.push_str(&fields(some)),
            Pattern::All(all) => text.push_str(&fields(all)),
        }
        if let Some((ty, some)) = &self.with {
            text.push_str(&format!(", with {ty}{}", fields(some)));
        }
        if self.no_syscall {
            text.push_str(", without SYSCALL");
        }
        if let Some(event) = &self.event {
            text.push_str(&format!(", in event \"{event}\""));
        }
        text
    }
}
