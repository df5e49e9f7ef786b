// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A row, as far as it is known, already written as JSON.

use super::ExportOptions;
use super::events::Place;
use super::fields::{self, Column};
use crate::record::call;
use crate::record::device::Device;
use crate::record::users::{UNSET, Users};
use crate::record::value::{Fields, decoded, enriched};
use crate::record::{Head, Type};
use dmns_audit_uapi::types::RecordType;
use serde::Serialize;

/// A row that is being written.
#[derive(Debug)]
pub(super) struct Row {
    json: Vec<u8>,
    subject: Subject,
    /// Its NS_INFO was exported.
    placed: bool,
}

/// Who, as the record or its system call says.
#[derive(Debug, Default)]
struct Subject {
    user: Option<String>,
    /// Numbers and texts, as they are written.
    pid: Option<i64>,
    ppid: Option<i64>,
    uid: Option<u32>,
    auid: Option<u32>,
    ses: Option<u32>,
    comm: Option<String>,
    exe: Option<String>,
    subj: Option<String>,
    syscall: Option<String>,
    arch: Option<String>,
    success: Option<bool>,
    key: Option<String>,
}

impl Subject {
    /// Adds the fields of `record` that the row does not have yet.
    fn add(&mut self, head: &Head<'_>, record: &Fields<'_>, users: &Users) {
        for field in record.fields() {
            let value = field.value;
            let text = || Some(decoded(value).into_owned());
            match field.name {
                "pid" if self.pid.is_none() => self.pid = value.parse().ok(),
                "ppid" if self.ppid.is_none() => self.ppid = value.parse().ok(),
                "uid" if self.uid.is_none() => self.uid = value.parse().ok(),
                "auid" if self.auid.is_none() => self.auid = value.parse().ok(),
                "ses" if self.ses.is_none() => self.ses = value.parse().ok(),
                "comm" if self.comm.is_none() => self.comm = text(),
                "exe" if self.exe.is_none() && value != "(null)" => self.exe = text(),
                "subj" if self.subj.is_none() => self.subj = Some(value.to_owned()),
                _ => {}
            }
        }
        if self.user.is_none() {
            let (name, id) = match self.auid.filter(|&auid| auid != UNSET) {
                Some(auid) => ("auid", Some(auid)),
                None => ("uid", self.uid),
            };
            self.user = match enriched(head.enrichment, name) {
                Some(known) => Some(known.to_owned()),
                None => id.map(|id| users.name(id).into_owned()),
            };
        }
    }
}

/// Writes `"name":value,`.
fn put(json: &mut Vec<u8>, name: &str, value: impl Serialize) {
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    // Into memory, and of types that cannot fail.
    let _ = serde_json::to_writer(&mut *json, &value);
    json.push(b',');
}

impl Row {
    /// Returns the row of the record `head`, from a host that booted at `boot`.
    pub(super) fn of(
        head: &Head<'_>,
        record: &Fields<'_>,
        options: &ExportOptions,
        boot: Option<(u64, u16)>,
        place: Place,
    ) -> Self {
        let mut json = Vec::with_capacity(640);
        json.push(b'{');
        match head.node {
            Some(node) => put(&mut json, "host", String::from_utf8_lossy(node)),
            None => put(&mut json, "host", &options.host),
        }
        put(&mut json, "boot", boot.map(millis));
        let time = millis((head.stamp.seconds, head.stamp.millis));
        put(&mut json, "time", time);
        put(&mut json, "serial", head.stamp.serial);
        put(&mut json, "type", head.type_name());
        put(&mut json, "n", place.number);
        put(&mut json, "hash", place.hash);
        put(&mut json, "copy", place.copy);
        let mut subject = Subject::default();
        if head.ty != Type::Ours(RecordType::NsInfo) {
            columns(&mut json, head, record);
            subject.add(head, record, &options.users);
        }
        Self {
            json,
            subject,
            placed: false,
        }
    }

    /// The system call of its event.
    pub(super) fn syscall(&mut self, head: &Head<'_>, call: &Fields<'_>, users: &Users) {
        let subject = &mut self.subject;
        subject.add(head, call, users);
        (subject.syscall, subject.arch) = call::of(head, call);
        subject.success = call.raw("success").map(|success| success == "yes");
        subject.key = call
            .text("key")
            .filter(|key| key != "(null)")
            .map(|key| key.into_owned());
    }

    /// The mapping that the violation is of.
    pub(super) fn mapping(&mut self, device: &Device) {
        put(&mut self.json, "mapping", device);
    }

    /// The container of its event.
    pub(super) fn container(&mut self, container: &[(&'static str, i64)]) {
        if !std::mem::replace(&mut self.placed, true) {
            for (name, number) in container {
                put(&mut self.json, name, number);
            }
        }
    }

    /// The row, with its newline.
    pub(super) fn end(self) -> Vec<u8> {
        let (mut json, subject) = (self.json, self.subject);
        macro_rules! columns {
            ($($name:ident)*) => {
                $(if let Some(value) = subject.$name {
                    put(&mut json, stringify!($name), value);
                })*
            };
        }
        columns!(user pid ppid uid auid ses comm exe subj syscall arch success key);
        // The last comma.
        json.pop();
        json.extend_from_slice(b"}\n");
        json
    }
}

/// Seconds since 1970 with thousandths, which ClickHouse takes for a DateTime64(3).
fn millis((seconds, millis): (u64, u16)) -> String {
    format!("{seconds}.{millis:03}")
}

fn columns(json: &mut Vec<u8>, head: &Head<'_>, record: &Fields<'_>) {
    let kind = match head.ty {
        Type::Ours(RecordType::NsInit(kind) | RecordType::NsDel(kind)) => Some(kind.name()),
        _ => None,
    };
    if let Some(kind) = kind {
        put(json, "kind", kind);
    }
    let kernel = matches!(head.ty, Type::Ours(_));
    let mut others: Vec<(&str, String)> = Vec::new();
    let all: Vec<_> = record.fields().take(64).collect();
    for (at, field) in all.iter().enumerate() {
        let column = match kernel {
            true => fields::kernel(field.name),
            false => fields::guest(field.name),
        };
        // A field that comes twice counts once, as in reports.
        if all[..at].iter().any(|other| other.name == field.name) {
            continue;
        }
        let value = field.value;
        match column {
            Column::Number(name) => put(json, name, value.parse::<i64>().ok()),
            Column::Plain(name) => put(json, name, value.trim_matches('\'')),
            Column::Text(name) => put(json, name, decoded(value)),
            Column::Result => put(json, "res", matches!(value, "1" | "success" | "yes")),
            Column::New => put(json, "number", value.parse::<i64>().ok()),
            Column::Old => {
                put(json, "initial", value == "(none)");
                put(json, "old_number", value.parse::<i64>().ok());
            }
            Column::From => put(json, "old", decoded_unless_number(value)),
            Column::To => put(json, "new", decoded_unless_number(value)),
            Column::Other => others.push((field.name, decoded_unless_number(value))),
            Column::Subject | Column::Nothing => {}
        }
    }
    if !others.is_empty() {
        let others: std::collections::BTreeMap<_, _> = others.into_iter().collect();
        put(json, "fields", others);
    }
}

/// Decodes `value`, unless it is a number, which could also be read as hexadecimal.
fn decoded_unless_number(value: &str) -> String {
    match value.bytes().all(|b| b.is_ascii_digit()) {
        true => value.to_owned(),
        false => decoded(value).into_owned(),
    }
}
