// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A record and those before it: what lives, what is deleted, and what has a number.

use super::finding::{Finding, Rule};
use super::judge::Judged;
use crate::input::Place;
use crate::input::lines::Raw;
use crate::ranges::Ranges;
use crate::record::Head;
use dmns_audit_uapi::line::Stamp;
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;
use std::collections::HashMap;

/// How far serial numbers may go back without a boot between: records of an event that took long.
const BACK: u64 = 1000;

/// What lives, for each node.
#[derive(Debug, Default)]
pub struct History {
    nodes: HashMap<Option<Box<[u8]>>, Node>,
}

#[derive(Debug, Default)]
struct Node {
    last: Option<Stamp>,
    /// Living namespaces, by id.
    namespaces: HashMap<u64, Namespace>,
    /// The same, by kind and number.
    numbers: HashMap<(Kind, i32), u64>,
    /// The ids that were ever given.
    given: Ranges,
    /// How many tables of a target are loaded for a device: two, between a reload and its resume.
    mappings: HashMap<(String, String), u32>,
    /// Constructors that failed, and whose destructor is still to come.
    failed: Vec<(Stamp, String, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Namespace {
    kind: Kind,
    number: i32,
    place: Place,
}

impl History {
    /// The machine came up: nothing lives.
    pub fn boot(&mut self) {
        self.nodes.clear();
    }

    /// A record of ours.
    pub fn ours(
        &mut self,
        ty: RecordType,
        head: &Head<'_>,
        judged: &Judged,
        place: Place,
        raw: &Raw<'_>,
        out: &mut Vec<Finding>,
    ) {
        let node = self.nodes.entry(head.node.map(Box::from)).or_default();
        let booted = node
            .last
            .is_some_and(|last| head.stamp.serial + BACK < last.serial);
        if booted {
            *node = Node::default();
        }
        node.last = Some(head.stamp);
        let tell = |rule, field: &str, message: String| {
            let span = judged.span(field, head.body_at);
            Finding::new(rule, place, raw.text, span, message)
        };
        match ty {
            RecordType::NsInit(kind) => node.created(kind, judged, place, tell, out),
            RecordType::NsDel(kind) => node.deleted(kind, judged, tell, out),
            RecordType::DmCtrl => node.mapping(head.stamp, judged, tell, out),
            RecordType::DmEvent | RecordType::NsInfo => {}
        }
    }
}

impl Node {
    fn created(
        &mut self,
        kind: Kind,
        judged: &Judged,
        place: Place,
        tell: impl Fn(Rule, &str, String) -> Finding,
        out: &mut Vec<Finding>,
    ) {
        let name = format!("{}ns", kind.name());
        let (Some(id), Some(number)) = (judged.number("ns_id"), judged.number(&name)) else {
            return;
        };
        if judged.value(&format!("old_{name}")) == Some("(none)") {
            // The module was loaded, perhaps again: what went by between is not in the log.
            if self.namespaces.contains_key(&id) {
                self.namespaces.clear();
                self.numbers.clear();
            }
        } else if !self.given.insert(id) {
            let message = match self.namespaces.get(&id) {
                Some(old) => format!(
                    "ns_id={id} is given again: the {}ns={} of line {} still has it",
                    old.kind.name(),
                    old.number,
                    old.place.line
                ),
                None => format!("ns_id={id} is given again: a namespace had it that was deleted"),
            };
            out.push(tell(Rule::ReusedId, "ns_id", message));
        } else if let Some(old) = self.numbers.get(&(kind, number)) {
            // A mount namespace's number is free before its deletion is told.
            if kind != Kind::Mnt {
                let at = self.namespaces.get(old).map_or(0, |old| old.place.line);
                let message = format!(
                    "{name}={number} is given again: ns_id={old} of line {at} was not deleted in this log"
                );
                out.push(tell(Rule::ReusedNumber, &name, message).note());
            }
        }
        self.numbers.insert((kind, number), id);
        let namespace = Namespace {
            kind,
            number,
            place,
        };
        self.namespaces.insert(id, namespace);
    }

    fn deleted(
        &mut self,
        kind: Kind,
        judged: &Judged,
        tell: impl Fn(Rule, &str, String) -> Finding,
        out: &mut Vec<Finding>,
    ) {
        let name = format!("{}ns", kind.name());
        let (Some(id), Some(number)) = (judged.number("ns_id"), judged.number::<i32>(&name)) else {
            return;
        };
        match self.namespaces.remove(&id) {
            Some(old) => {
                if self.numbers.get(&(old.kind, old.number)) == Some(&id) {
                    self.numbers.remove(&(old.kind, old.number));
                }
                if (old.kind, old.number) != (kind, number) {
                    let message = format!(
                        "ns_id={id} is deleted as {name}={number}, but was created as {}ns={} in line {}",
                        old.kind.name(),
                        old.number,
                        old.place.line
                    );
                    out.push(tell(Rule::NoCreation, &name, message));
                }
            }
            None if self.given.contains(id) => {
                let message = format!("ns_id={id} is deleted a second time");
                out.push(tell(Rule::DeletedTwice, "ns_id", message));
            }
            None => {
                self.given.insert(id);
                let message = format!("the creation of ns_id={id} is not in this log");
                let mut finding = tell(Rule::NoCreation, "ns_id", message).note();
                finding.help = Some(
                    "it was made before the log begins, or before the module was loaded".to_owned(),
                );
                out.push(finding);
            }
        }
    }

    fn mapping(
        &mut self,
        stamp: Stamp,
        judged: &Judged,
        tell: impl Fn(Rule, &str, String) -> Finding,
        out: &mut Vec<Finding>,
    ) {
        let (Some(module), Some(dev)) = (judged.value("module"), judged.value("dev")) else {
            return;
        };
        let mapping = (module.to_owned(), dev.to_owned());
        match (judged.value("op"), judged.value("res")) {
            (Some("ctr"), Some("0")) => {
                self.failed
                    .retain(|(then, ..)| then.seconds + 2 >= stamp.seconds);
                self.failed.push((stamp, mapping.0, mapping.1));
            }
            (Some("ctr"), _) => *self.mappings.entry(mapping).or_default() += 1,
            (Some("dtr"), _) => {
                let failed = self
                    .failed
                    .iter()
                    .position(|f| f == &(stamp, mapping.0.clone(), mapping.1.clone()));
                if let Some(at) = failed {
                    self.failed.swap_remove(at);
                    return;
                }
                match self.mappings.get_mut(&mapping) {
                    Some(1) => {
                        self.mappings.remove(&mapping);
                    }
                    Some(count) => *count -= 1,
                    None => {
                        let message = format!("the ctr of {module} on {dev} is not in this log");
                        let mut finding = tell(Rule::NoCtr, "dev", message).note();
                        finding.help =
                            Some("it may have been made before the log begins".to_owned());
                        out.push(finding);
                    }
                }
            }
            _ => {}
        }
    }
}
