// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An event in the fields of the Elastic Common Schema. Other fields are in `dmns`.
//!
//! The test below compares every field, its type and its values with the schema's own lists (`cli/tests/ecs/`).

use super::containers::ContainerContext;
use super::events::Event;
use super::files::Located;
use super::print::{first, object, sentence};
use crate::locate::show;
use crate::record::loss::Loss;
use crate::record::value::{Fields, text};
use crate::record::{Head, Type};
use crate::report::{Id, Options, Who};
use dmns_audit_log::line::{field, fields};
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The version of the schema.
pub const VERSION: &str = "9.4.0";

/// Prints `event` as one line, if it is of device mapper, of namespaces or of guests; `context` is its relation to
/// containers. Returns whether it was printed.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn event(
    event: &Event,
    context: &ContainerContext,
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let Some((first, module)) = first(event, context) else {
        return Ok(false);
    };
    let mut all = base(event.id, options, module);
    all.insert(
        "message".to_owned(),
        sentence(event, context, options).into(),
    );
    all["event"]
        .as_object_mut()
        .into_iter()
        .for_each(|object| object.extend(class(&first)));
    let node = event.node().map(|node| text(node).into_owned());
    if let Some(node) = node.or_else(hostname) {
        all.insert("host".to_owned(), json!({ "hostname": node, "name": node }));
    }
    let (process, user) = actor(event, &first, options);
    all.extend(process.map(|process| ("process".to_owned(), process)));
    all.extend(user.map(|user| ("user".to_owned(), user)));
    let inside = || {
        context
            .inside
            .as_ref()
            .map(|name| json!({ "name": **name }))
    };
    all.extend(
        container(&first)
            .or_else(inside)
            .map(|container| ("container".to_owned(), container)),
    );
    let records: Vec<Value> = event.records().map(|head| object(&head)).collect();
    all.insert(
        "dmns".to_owned(),
        json!({ "audit_id": event.id.to_string(), "records": records, "devices": event.devices(), "containers": context.containers() }),
    );
    writeln!(out, "{}", Value::Object(all))?;
    Ok(true)
}

/// Prints the file at the sector of an event that was printed before, as an event of its own.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn located(located: &Located, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    for answer in &located.answers {
        let mut all = base(located.id, options, "dm");
        let message = show::sentences(std::slice::from_ref(answer)).join("; ");
        all.insert("message".to_owned(), message.into());
        let class = json!({ "kind": "enrichment", "category": ["file"], "type": ["info"], "action": "located" });
        if let (Some(event), Value::Object(class)) = (all["event"].as_object_mut(), class) {
            event.extend(class);
        }
        all.extend(hostname().map(|node| {
            let host = json!({ "hostname": node, "name": node });
            ("host".to_owned(), host)
        }));
        let data = answer.places.iter().find_map(|place| place.what.data());
        if let Some(data) = data {
            let path = data.paths.first();
            let file = json!({ "path": path, "inode": data.inode.to_string(), "size": data.size });
            all.insert("file".to_owned(), file);
        }
        let dmns = json!({ "audit_id": located.id.to_string(), "located": show::object(answer) });
        all.insert("dmns".to_owned(), dmns);
        writeln!(out, "{}", Value::Object(all))?;
    }
    Ok(())
}

/// Prints that records were lost on the way here.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn missed(number: u64, out: &mut dyn Write) -> io::Result<()> {
    let message = format!("{number} records were missed: they came faster than they were read");
    pipeline_error(&message, Some(number), out)
}

/// Writes that the log says that records are missing.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn lost(loss: Loss, out: &mut dyn Write) -> io::Result<()> {
    let message = format!("the log says that records are missing: {}", loss.describe());
    pipeline_error(&message, loss.records, out)
}

fn pipeline_error(message: &str, number: Option<u64>, out: &mut dyn Write) -> io::Result<()> {
    let now = jiff::Timestamp::now();
    let event = json!({
        "@timestamp": format!("{now:.3}"),
        "ecs": { "version": VERSION },
        "message": message,
        "event": {
            "module": "dmns", "dataset": "dmns.missed", "provider": "dmns-audit",
            "kind": "pipeline_error", "action": "missed",
        },
        "dmns": { "missed": number },
    });
    writeln!(out, "{event}")
}

fn base(id: Id, options: &Options, module: &str) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert(
        "@timestamp".to_owned(),
        options.clock.iso(id.seconds, id.millis).into(),
    );
    all.insert("ecs".to_owned(), json!({ "version": VERSION }));
    let event = json!({
        "module": "dmns",
        "dataset": format!("dmns.{module}"),
        "provider": "kernel",
        "sequence": id.serial,
        "id": id.to_string(),
    });
    all.insert("event".to_owned(), event);
    all
}

/// `event.kind`, `.category`, `.type`, `.action`, `.outcome` and `.code` of the event that begins with this record.
fn class(head: &Head<'_>) -> Map<String, Value> {
    let record = Fields::of(head);
    let op = record.raw("op").unwrap_or_default();
    let failed = matches!(record.raw("res"), Some("0" | "failed"));
    let (kind, category, ty, action) = match head.ty {
        Type::Ours(RecordType::DmEvent) => ("alert", "host", "info", op.to_owned()),
        Type::Ours(RecordType::DmCtrl) => match op {
            "ctr" => (
                "event",
                "configuration",
                "creation",
                "mapping-created".to_owned(),
            ),
            _ => (
                "event",
                "configuration",
                "deletion",
                "mapping-deleted".to_owned(),
            ),
        },
        Type::Ours(RecordType::NsInit(of)) => {
            let found = record.raw(&format!("old_{}ns", of.name())) == Some("(none)");
            match found {
                true => (
                    "state",
                    "configuration",
                    "info",
                    "namespace-baseline".to_owned(),
                ),
                false => (
                    "event",
                    "configuration",
                    "creation",
                    "namespace-created".to_owned(),
                ),
            }
        }
        Type::Ours(RecordType::NsDel(_)) => (
            "event",
            "configuration",
            "deletion",
            "namespace-deleted".to_owned(),
        ),
        Type::Virt(VirtType::Control) => {
            let ty = match op {
                "start" => "start",
                "stop" => "end",
                _ => "info",
            };
            ("event", "host", ty, format!("guest-{op}"))
        }
        Type::Syscall => ("event", "process", "access", "container-entered".to_owned()),
        _ => (
            "event",
            "host",
            "change",
            head.type_name().to_lowercase().replace('_', "-"),
        ),
    };
    let outcome = match failed && kind != "alert" {
        true => "failure",
        false if kind == "alert" => "unknown",
        false => "success",
    };
    let all = json!({
        "kind": kind, "category": [category], "type": [ty], "action": action, "outcome": outcome,
        "code": head.type_name(),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

/// The process and the user, where a record has them.
fn actor(event: &Event, first: &Head<'_>, options: &Options) -> (Option<Value>, Option<Value>) {
    if first.ty == Type::Ours(RecordType::DmEvent) {
        return (None, None);
    }
    // The system call knows the program, where a record does not.
    let syscall = event.records().find(|head| head.ty == Type::Syscall);
    let head = syscall.as_ref().unwrap_or(first);
    let body = text(head.body);
    let who = Who::of(head, fields(&body), &options.users);
    let parent = field(&body, "ppid").and_then(|pid| pid.parse::<u32>().ok());
    let mut process = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        process.extend(value.map(|value| (name.to_owned(), value)));
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.into());
    put("pid", who.pid.map(Value::from));
    put("name", some(&who.comm));
    put("executable", some(&who.exe));
    put("parent", parent.map(|pid| json!({ "pid": pid })));
    let id = who.auid.or(who.uid).map(|id| id.to_string());
    let user = id.map(|id| json!({ "id": id, "name": who.user }));
    ((!process.is_empty()).then(|| process.into()), user)
}

/// The container, where the record is of one.
fn container(head: &Head<'_>) -> Option<Value> {
    if head.ty != Type::Virt(VirtType::Control) {
        return None;
    }
    let record = Fields::of(head);
    if !matches!(record.raw("virt"), Some("oci" | "lxc")) {
        return None;
    }
    let mut container = Map::new();
    for (name, field) in [("id", "uuid"), ("name", "vm"), ("runtime", "runtime")] {
        if let Some(value) = record.text(field) {
            container.insert(name.to_owned(), value.into_owned().into());
        }
    }
    if let Some(image) = record.text("image") {
        container.insert("image".to_owned(), json!({ "name": image }));
    }
    Some(container.into())
}

/// Returns the name of this machine.
fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::events::Events;
    use std::collections::{BTreeSet, HashMap};
    use std::time::Instant;

    const FIELDS: &str = include_str!("../../tests/ecs/fields.csv");
    const VALUES: &str = include_str!("../../tests/ecs/values.csv");
    const OCI: &str = "type=VIRT_CONTROL msg=audit(9.000:9): pid=7 uid=0 auid=4294967295 ses=4294967295 \
        msg='virt=oci op=start reason=createRuntime vm=\"web\" uuid=\"c0ffee\" vm-pid=77 runtime=\"crun\" \
        image=\"debian:13\" exe=\"/usr/bin/dmns-audit\" hostname=? addr=? terminal=? res=success'";

    fn table(text: &str) -> impl Iterator<Item = Vec<&str>> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(',').collect())
    }

    /// Every field of `value`, by its path, but what is ours.
    fn flat<'a>(path: &str, value: &'a Value, out: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Object(all) => {
                all.iter()
                    .filter(|(name, _)| *name != "dmns")
                    .for_each(|(name, value)| {
                        let path = if path.is_empty() {
                            name.clone()
                        } else {
                            format!("{path}.{name}")
                        };
                        flat(&path, value, out);
                    })
            }
            _ => out.push((path.to_owned(), value)),
        }
    }

    fn printed() -> Vec<Value> {
        let logs = concat!(
            include_str!("../../tests/logs/dm.log"),
            include_str!("../../tests/logs/ns.log"),
            include_str!("../../tests/logs/virt.log")
        );
        let (mut events, now) = (Events::default(), Instant::now());
        let mut out = Vec::new();
        let mut all: Vec<_> = (logs.lines().chain([OCI]))
            .flat_map(|line| events.record(line.as_bytes(), None, now))
            .collect();
        all.extend(events.all());
        for one in &all {
            event(
                one,
                &ContainerContext::default(),
                &Options::default(),
                &mut out,
            )
            .expect("written");
        }
        missed(3, &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect()
    }

    #[test]
    fn every_field_is_one_of_the_schema_with_its_type_and_values() {
        let fields: HashMap<_, _> = table(FIELDS)
            .map(|row| (row[0], (row[1], row.get(2).is_some())))
            .collect();
        let values: HashMap<_, _> = table(VALUES)
            .map(|row| ((row[0], row[1]), row[2..].to_vec()))
            .collect();
        let mut seen = BTreeSet::new();
        let all = printed();
        assert!(all.len() > 20, "{}", all.len());
        for object in &all {
            let mut found = Vec::new();
            flat("", object, &mut found);
            for (path, value) in found {
                let (ty, array) = fields
                    .get(path.as_str())
                    .unwrap_or_else(|| panic!("{path} is no field of the schema"));
                assert_eq!(value.is_array(), *array, "{path}: {value}");
                let fits = match *ty {
                    "long" => value.is_i64() || value.is_u64(),
                    "date" => value
                        .as_str()
                        .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
                    "keyword" | "match_only_text" => value.is_string() || value.is_array(),
                    other => panic!("{path} is {other}"),
                };
                assert!(fits, "{path}: {value} is no {ty}");
                seen.insert(path);
            }
            let event = &object["event"];
            for name in ["kind", "outcome"] {
                if let Some(value) = event[name].as_str() {
                    assert!(
                        values.contains_key(&(format!("event.{name}").as_str(), value)),
                        "{name}: {value}"
                    );
                }
            }
            if let (Some(category), Some(ty)) =
                (event["category"][0].as_str(), event["type"][0].as_str())
            {
                let allowed = &values[&("event.category", category)];
                assert!(allowed.contains(&ty), "{category} does not go with {ty}");
            }
        }
        for name in [
            "@timestamp",
            "ecs.version",
            "message",
            "event.kind",
            "event.category",
            "event.type",
            "host.hostname",
            "process.pid",
            "process.name",
            "process.executable",
            "process.parent.pid",
            "user.name",
            "container.id",
            "container.name",
            "container.runtime",
            "container.image.name",
        ] {
            assert!(seen.contains(name), "{name} was never written");
        }
        assert!(FIELDS.contains(&format!("Schema {VERSION} ")));
    }
}
