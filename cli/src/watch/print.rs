// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Prints an event as a sentence, or as JSON.

use super::containers::ContainerContext;
use super::devices::Device;
use super::events::Event;
use super::files::Located;
use super::guest::{INTEGRITY_CHECK, guest};
use crate::locate::show;
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

/// Returns the record for which `event` is printed, and its topic.
pub fn first<'e>(event: &'e Event, context: &ContainerContext) -> Option<(Head<'e>, &'static str)> {
    let own = event
        .records()
        .find_map(|head| head.ty.topic().map(|topic| (head, topic)));
    // What is done to a container from outside has no record of ours.
    let outside = context.from_outside.as_ref().and(event.records().next());
    own.or(outside.map(|head| (head, "ns")))
}

/// Prints `event`, if it is of device mapper, of namespaces or of guests, or an action on a container from outside;
/// `context` is its relation to containers. Returns whether it was printed.
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
    let Some((_, kind)) = first(event, context) else {
        return Ok(false);
    };
    let sentence = sentence(event, context, options);
    let id = event.id;
    if options.json {
        let records: Vec<Value> = event.records().map(|head| object(&head)).collect();
        let object = json!({
            "kind": kind,
            "time": options.clock.iso(id.seconds, id.millis),
            "id": id.to_string(),
            "node": event.node().map(text),
            "text": sentence,
            "inside": context.inside.as_deref(),
            "containers": context.containers(),
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
/// Fails if `out` cannot be written to.
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

/// Prints the file at the sector of an event that was printed before.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn located(located: &Located, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let id = located.id;
    if options.json {
        let answers: Vec<Value> = located.answers.iter().map(show::object).collect();
        let object = json!({
            "kind": "file",
            "time": options.clock.iso(id.seconds, id.millis),
            "id": id.to_string(),
            "sectors": answers,
        });
        return writeln!(out, "{object}");
    }
    let terminal = &options.terminal;
    let time = format!("{}.{:03}", options.clock.full(id.seconds), id.millis);
    for line in show::sentences(&located.answers) {
        writeln!(
            out,
            "{} {} {}",
            terminal.paint(FAINT, &time),
            terminal.paint(NAME, "file"),
            terminal.paint(BAD, &line)
        )?;
    }
    Ok(())
}

/// Prints that files were not looked up.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn not_located(number: u64, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    if options.json {
        return writeln!(
            out,
            "{}",
            json!({ "kind": "not-located", "sectors": number })
        );
    }
    let what =
        format!("-- {number} sectors were not looked up: `dmns-audit report dm --files` does --");
    writeln!(out, "{}", options.terminal.paint(BAD, &what))
}

/// Prints that records were lost on the way here.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn missed(number: u64, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    if options.json {
        return writeln!(out, "{}", json!({ "kind": "missed", "records": number }));
    }
    let s = if number == 1 { "" } else { "s" };
    let what = format!("-- missed {number} record{s}: they came faster than they were read --");
    writeln!(out, "{}", options.terminal.paint(BAD, &what))
}

/// Prints a loss that the log reports.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
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

/// Returns `event` as a sentence; empty if it has no record of device mapper, namespaces or guests.
pub fn sentence(event: &Event, context: &ContainerContext, options: &Options) -> String {
    // The system call knows the program, where a record does not.
    let caller = event.records().find_map(|head| {
        let body = text(head.body);
        (head.ty == Type::Syscall).then(|| Who::of(&head, fields(&body), &options.users))
    });
    let mut actor = String::new();
    let mut parts: Vec<String> = Vec::new();
    if let Some(what) = &context.from_outside {
        actor = caller.as_ref().map(Who::show).unwrap_or_default();
        parts.push(what.show());
    }
    let mut baseline = Baseline::default();
    for (head, about) in event.records().zip(&context.about) {
        let body = text(head.body);
        if baseline.count(head.ty, &body) {
            continue;
        }
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
    let comes = context.from_outside.is_some();
    if let Some(place) = context.place().filter(|_| !actor.is_empty() && !comes) {
        actor.push_str(&format!(" {place}"));
    }
    // A verb that is repeated is written once.
    let mut sentence = actor;
    let mut last = String::new();
    for part in parts {
        let verb = part.split(' ').next().unwrap_or_default().to_owned();
        let same = verb == last && matches!(verb.as_str(), "created" | "deleted");
        match (sentence.is_empty(), same) {
            (true, _) => sentence.push_str(&part),
            (false, true) => sentence.push_str(&format!(",{}", &part[verb.len()..])),
            (false, false) if last.is_empty() && part.starts_with(INTEGRITY_CHECK) => {
                sentence.push_str(&format!(": {part}"));
            }
            (false, false) if last.is_empty() => sentence.push_str(&format!(" {part}")),
            (false, false) => sentence.push_str(&format!("; {part}")),
        }
        last = verb;
    }
    match (baseline.show(), sentence.is_empty()) {
        (Some(baseline), true) => baseline,
        (Some(baseline), false) => format!("{baseline}; {sentence}"),
        (None, _) => sentence,
    }
}

/// The namespaces of the baseline in one event.
#[derive(Default)]
struct Baseline {
    namespaces: usize,
    initial: usize,
    /// The name of the first one.
    first: String,
}

impl Baseline {
    /// Counts the namespace of the record `body`, if it is one of the baseline.
    fn count(&mut self, ty: Type, body: &str) -> bool {
        let Type::Ours(RecordType::NsInit(kind)) = ty else {
            return false;
        };
        let name = format!("{}ns", kind.name());
        if field(body, &format!("old_{name}")) != Some("(none)") {
            return false;
        }
        let number = field(body, &name).unwrap_or("?");
        let initial = number.starts_with('-');
        if self.namespaces == 0 {
            self.first = format!("{name}={number}{}", ns_id(body));
        }
        self.namespaces += 1;
        self.initial += usize::from(initial);
        true
    }

    /// Returns `baseline: 9 namespaces exist, 8 of them initial`. A single namespace is named. Returns `None` without any.
    fn show(&self) -> Option<String> {
        match (self.namespaces, self.initial) {
            (0, _) => None,
            (1, 0) => Some(format!("baseline: {} exists", self.first)),
            (1, _) => Some(format!("baseline: {} exists, initial", self.first)),
            (all, initial) => Some(format!(
                "baseline: {all} namespaces exist, {initial} of them initial"
            )),
        }
    }
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
        ("ctr", true) => format!("created {module} {dev}"),
        ("ctr", false) => format!("failed to create {module} {dev}: {}", record.error),
        ("dtr", _) => format!("deleted {module} {dev}"),
        (op, _) => format!("{op} {module} {dev}"),
    })
}

/// Returns ` (ns_id 17)`, if the record `body` has one.
fn ns_id(body: &str) -> String {
    let id = field(body, "ns_id").map(|id| format!(" (ns_id {id})"));
    id.unwrap_or_default()
}

fn namespace(ty: RecordType, body: &str) -> Option<String> {
    let value = |name: &str| field(body, name);
    let id = ns_id(body);
    match ty {
        RecordType::NsInit(kind) => {
            let name = format!("{}ns", kind.name());
            let old = value(&format!("old_{name}"))?;
            let number = value(&name)?;
            Some(format!("created {name}={number}{id} from {old}"))
        }
        RecordType::NsDel(kind) => {
            let name = format!("{}ns", kind.name());
            Some(format!("deleted {name}={}{id}", value(&name)?))
        }
        _ => None,
    }
}

/// Returns a record as an object: its type, and its fields as written.
pub(super) fn object(head: &Head<'_>) -> Value {
    let mut all = Map::new();
    for field in Fields::of(head).fields() {
        if !field.name.is_empty() {
            all.insert(field.name.to_owned(), field.value.into());
        }
    }
    json!({ "type": head.type_name(), "fields": all })
}

#[cfg(test)]
mod tests {
    use super::super::events::Events;
    use super::*;
    use std::time::Instant;

    /// Returns the sentence of the event of `records`.
    fn said(records: &[&str]) -> String {
        let mut events = Events::default();
        let mut all = Vec::new();
        for record in records {
            let (ty, body) = record.split_once(' ').expect("a type");
            let line = format!("type={ty} msg=audit(1.000:1): {body}");
            all.extend(events.record(line.as_bytes(), None, Instant::now()));
        }
        all.extend(events.all());
        assert_eq!(all.len(), 1);
        let context = super::super::containers::Containers::default().classify(&all[0]);
        sentence(&all[0], &context, &Options::default())
    }

    #[test]
    fn the_baseline_of_an_event_is_one_sentence() {
        let initial = "NS_INIT_UTS uid=0 old_utsns=(none) utsns=-2 ns_id=2 res=1";
        let other = "NS_INIT_NET uid=0 old_netns=(none) netns=31 ns_id=17 res=1";
        let created = "NS_INIT_NET uid=0 old_netns=-7 netns=32 ns_id=18 res=1";
        assert_eq!(
            said(&[initial]),
            "baseline: utsns=-2 (ns_id 2) exists, initial"
        );
        assert_eq!(said(&[other]), "baseline: netns=31 (ns_id 17) exists");
        assert_eq!(
            said(&[initial, initial, other]),
            "baseline: 3 namespaces exist, 2 of them initial"
        );
        assert_eq!(
            said(&[initial, other, created]),
            "baseline: 2 namespaces exist, 1 of them initial; root created netns=32 (ns_id 18) from -7"
        );
    }

    #[test]
    fn a_record_of_a_guest_is_a_sentence() {
        let guest = |ty: &str, fields: &str| {
            said(&[&format!(
                "{ty} pid=1 uid=0 auid=4294967295 msg='virt=kvm vm=\"web\" uuid=u {fields} \
                 exe=\"/x\" hostname=? addr=? terminal=? res=success'"
            )])
        };
        let failed = |ty: &str, fields: &str| {
            said(&[&format!(
                "{ty} pid=1 uid=0 auid=4294967295 msg='virt=kvm vm=\"web\" uuid=u {fields} \
                 exe=\"/x\" hostname=? addr=? terminal=? res=failed'"
            )])
        };
        let check = "mechanism=ima";
        assert_eq!(
            guest("VIRT_INTEGRITY_CHECK", check),
            "root: integrity check passed for guest web by ima"
        );
        assert_eq!(
            failed("VIRT_INTEGRITY_CHECK", check),
            "root: integrity check failed for guest web by ima"
        );
        assert_eq!(
            guest(
                "VIRT_RESOURCE",
                "resrc=disk reason=detach old-disk=\"/a\" new-disk=\"?\""
            ),
            "root detached disk /a from guest web (detach)"
        );
        assert_eq!(
            failed(
                "VIRT_RESOURCE",
                "resrc=disk reason=attach old-disk=\"?\" new-disk=\"/b\""
            ),
            "root failed to attach disk /b to guest web (attach)"
        );
        assert_eq!(
            failed("VIRT_CONTROL", "op=start reason=booted vm-pid=0"),
            "root failed to start guest web (booted)"
        );
    }

    #[test]
    fn a_claimed_record_of_a_container_has_the_uid() {
        let container = |fields: &str| {
            said(&[&format!(
                "VIRT_CONTROL pid=1 uid=0 auid=4294967295 msg='virt=oci vm=\"web\" uuid=u {fields} \
                 exe=\"/x\" hostname=? addr=? terminal=? res=success'"
            )])
        };
        assert_eq!(
            container("op=start image=\"whole:1\" runtime=\"crun\" claim-uid=1000"),
            "root created container web from whole:1 by crun, claimed by uid 1000"
        );
        assert_eq!(
            container("op=stop status=7 claim-uid=1000"),
            "root deleted container web, status 7, claimed by uid 1000"
        );
    }
}
