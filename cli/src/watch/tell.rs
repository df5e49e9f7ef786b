// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An event in a sentence, or as JSON.

use super::containers::Told;
use super::devices::Device;
use super::events::Event;
use super::guest::guest;
use crate::record::loss::Loss;
use crate::record::value::{Fields, text};
use crate::record::{Head, Type};
use crate::report::dm::record::Record;
use crate::report::{Id, Options, Who};
use crate::terminal::{BAD, FAINT, NAME};
use dmns_audit_log::line::{field, fields};
use dmns_audit_log::rules::{self, Unit};
use dmns_audit_uapi::types::RecordType;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The record for which `event` is printed, and what it is about.
pub(super) fn first<'e>(event: &'e Event, told: &Told) -> Option<(Head<'e>, &'static str)> {
    let own = event
        .records()
        .find_map(|head| head.ty.topic().map(|topic| (head, topic)));
    // What is done to a container from outside has no record of ours.
    let outside = told.from_outside.as_ref().and(event.records().next());
    own.or(outside.map(|head| (head, "ns")))
}

/// Prints `event`, if it is of device mapper, of namespaces or of guests, or what is done to a container from
/// outside; `told` is what it is to containers. Says whether it was.
///
/// # Errors
///
/// Where `out` cannot be written to.
pub fn event(
    event: &Event,
    told: &Told,
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let Some((_, kind)) = first(event, told) else {
        return Ok(false);
    };
    let sentence = sentence(event, told, options);
    let id = event.id;
    if options.json {
        let records: Vec<Value> = event.records().map(|head| object(&head)).collect();
        let object = json!({
            "kind": kind,
            "time": options.clock.iso(id.seconds, id.millis),
            "id": id.to_string(),
            "node": event.node().map(text),
            "text": sentence,
            "inside": told.inside.as_deref(),
            "containers": told.containers(),
            "records": records,
            "devices": event.devices(),
        });
        writeln!(out, "{object}")?;
        return Ok(true);
    }
    let terminal = &options.terminal;
    let time = format!("{}.{:03}", options.clock.full(id.seconds), id.millis);
    let node = event.node().map(|node| format!(" {}", text(node)));
    let bad = event.records().any(|head| {
        head.ty == Type::Ours(RecordType::DmEvent) || {
            let body = text(head.body);
            matches!(Fields::new(&body).raw("res"), Some("0" | "failed"))
        }
    });
    writeln!(
        out,
        "{}{} {} {}{}",
        terminal.paint(FAINT, &time),
        node.unwrap_or_default(),
        terminal.paint(NAME, &format!("{kind:<4}")),
        match bad {
            true => terminal.paint(BAD, &sentence),
            false => sentence,
        },
        match options.proof {
            true => terminal.paint(FAINT, &format!(" [{id}]")),
            false => String::new(),
        }
    )?;
    Ok(true)
}

/// Writes the records for which `event` was printed, as a log has them.
///
/// # Errors
///
/// Where `out` cannot be written to.
pub fn records(event: &Event, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    for head in event.records().filter(|head| head.ty.topic().is_some()) {
        let line = format!(
            "    {} {}: {}",
            head.type_name(),
            Id::from(head.stamp),
            text(head.body)
        );
        writeln!(out, "{}", options.terminal.paint(FAINT, &line))?;
    }
    Ok(())
}

/// Prints that records were lost on the way here.
///
/// # Errors
///
/// Where `out` cannot be written to.
pub fn missed(number: u64, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    if options.json {
        return writeln!(out, "{}", json!({ "kind": "missed", "records": number }));
    }
    let s = if number == 1 { "" } else { "s" };
    let what = format!("-- missed {number} record{s}: they came faster than they were read --");
    writeln!(out, "{}", options.terminal.paint(BAD, &what))
}

/// Writes that the log says that records are missing.
///
/// # Errors
///
/// Where `out` cannot be written to.
pub fn lost(loss: Loss, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    if options.json {
        let object =
            json!({ "kind": "missed", "records": loss.records, "what": loss.what.describe() });
        return writeln!(out, "{object}");
    }
    let what = format!(
        "-- the log says that records are missing: {} --",
        loss.describe()
    );
    writeln!(out, "{}", options.terminal.paint(BAD, &what))
}

pub(super) fn sentence(event: &Event, told: &Told, options: &Options) -> String {
    // The system call knows the program, where a record does not.
    let caller = event.records().find_map(|head| {
        let body = text(head.body);
        (head.ty == Type::Syscall).then(|| Who::of(&head, fields(&body), &options.users))
    });
    let mut actor = String::new();
    let mut parts: Vec<String> = Vec::new();
    if let Some(what) = &told.from_outside {
        actor = caller.as_ref().map(Who::show).unwrap_or_default();
        parts.push(what.show());
    }
    for (head, about) in event.records().zip(&told.about) {
        let body = text(head.body);
        let part = match head.ty {
            Type::Ours(ty @ (RecordType::DmCtrl | RecordType::DmEvent)) => {
                mapping(ty, &body, event.devices())
            }
            Type::Ours(ty @ (RecordType::NsInit(_) | RecordType::NsDel(_))) => {
                let of = about.as_ref().map(|name| format!(" of container {name}"));
                namespace(ty, &body).map(|part| part + &of.unwrap_or_default())
            }
            Type::Virt(ty) => guest(ty, &body),
            _ => None,
        };
        let Some(part) = part else { continue };
        if actor.is_empty() && head.ty != Type::Ours(RecordType::DmEvent) {
            let who = Who::of(&head, fields(&body), &options.users);
            actor = match (&caller, who.comm.is_empty()) {
                (Some(caller), true) => caller.show(),
                _ => who.show(),
            };
        }
        parts.push(part);
    }
    let comes = told.from_outside.is_some();
    let inside = told.inside.as_ref();
    if let Some(name) = inside.filter(|_| !actor.is_empty() && !comes) {
        actor.push_str(&format!(" in container {name}"));
    }
    // The same verb is said once.
    let mut sentence = actor;
    let mut last = String::new();
    for part in parts {
        let verb = part.split(' ').next().unwrap_or_default().to_owned();
        let same = verb == last && matches!(verb.as_str(), "creates" | "deletes" | "finds");
        match (sentence.is_empty(), same) {
            (true, _) => sentence.push_str(&part),
            (false, true) => sentence.push_str(&format!(",{}", &part[verb.len()..])),
            (false, false) if last.is_empty() => sentence.push_str(&format!(" {part}")),
            (false, false) => sentence.push_str(&format!("; {part}")),
        }
        last = verb;
    }
    sentence
}

fn mapping(ty: RecordType, body: &str, devices: &[Device]) -> Option<String> {
    let fields = Fields::new(body);
    let record = Record::of(&fields)?;
    let (module, op) = (record.module, record.op);
    let device = devices.iter().find(|device| device.device == record.dev);
    let dev = match device.and_then(Device::show) {
        Some(about) => format!("{} ({about})", record.dev),
        None => record.dev.to_owned(),
    };
    if ty == RecordType::DmEvent {
        let known = rules::op(module, op);
        let meaning = known.map_or("violation", |op| op.meaning);
        let place = match (record.sector, known.map(|op| op.unit)) {
            (Some(sector), Some(Unit::Block)) => format!(", block {sector}"),
            (Some(sector), _) => format!(", sector {sector}"),
            (None, _) => String::new(),
        };
        return Some(format!("{module} on {dev}{place}: {meaning} ({op})"));
    }
    Some(match (op, record.success) {
        ("ctr", true) => format!("makes {module} {dev}"),
        ("ctr", false) => format!("fails to make {module} {dev}: {}", record.error),
        ("dtr", _) => format!("destroys {module} {dev}"),
        (op, _) => format!("{op} {module} {dev}"),
    })
}

fn namespace(ty: RecordType, body: &str) -> Option<String> {
    let value = |name: &str| field(body, name);
    let id = value("ns_id").map(|id| format!(" (ns_id {id})"));
    let id = id.unwrap_or_default();
    match ty {
        RecordType::NsInit(kind) => {
            let name = format!("{}ns", kind.name());
            let old = value(&format!("old_{name}"))?;
            let number = value(&name)?;
            Some(match old {
                "(none)" if number.starts_with('-') => {
                    format!("finds {name}={number}{id}, an initial one")
                }
                "(none)" => format!("finds {name}={number}{id}"),
                old => format!("creates {name}={number}{id} from {old}"),
            })
        }
        RecordType::NsDel(kind) => {
            let name = format!("{}ns", kind.name());
            Some(format!("deletes {name}={}{id}", value(&name)?))
        }
        _ => None,
    }
}

/// A record as an object: its type, and its fields as they are written.
pub(super) fn object(head: &Head<'_>) -> Value {
    let mut all = Map::new();
    for field in Fields::of(head).fields() {
        if !field.name.is_empty() {
            all.insert(field.name.to_owned(), field.value.into());
        }
    }
    json!({ "type": head.type_name(), "fields": all })
}
