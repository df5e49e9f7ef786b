// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges the sequence of records: active objects, deletions, and the use of numbers.

use super::baseline::Baseline;
use super::finding::{Finding, Rule};
use super::judge::Judged;
use super::virt::JudgedGuest;
use crate::input::Place;
use crate::ranges::Ranges;
use crate::record::Head;
use crate::record::by_host::{ByHost, Keyed, Slot};
use crate::record::device::Device;
use crate::record::event::Serials;
use crate::record::host::PerHost;
use crate::record::pending::Pending;
use dmns_audit_log::line::Stamp;
use dmns_audit_log::virt::container::{inode_of, number_of};
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;
use hashbrown::{HashMap, HashSet};

/// The maximum number of devices that are reported to have no mapping, and of notes that wait for a creation.
const MOST: usize = 1024;

/// The active objects of all hosts.
#[derive(Debug, Default)]
pub struct History {
    /// Missing records may have been lost.
    lossy: bool,
    serials: Serials,
    nodes: PerHost<Node>,
    /// Active namespaces, by id.
    namespaces: ByHost<Namespace>,
    /// Active namespaces, by kind and number.
    numbers: ByHost<Number>,
    mappings: ByHost<Mapping>,
}

#[derive(Debug, Default)]
struct Node {
    /// Namespaces with a number that was reused before their deletion, by id. The deletion may be
    /// deferred, and come later. The finding is reported if it does not.
    reused: HashMap<u64, Finding>,
    /// Deletions without a creation so far, by id.
    ///
    /// A record that auditd does not take in time is sent later (`kauditd_hold_skb()` in
    /// `kernel/audit.c`). So a creation may follow its deletion in the log. The serial numbers have
    /// the order of the kernel.
    early: HashMap<u64, Early>,
    /// The serial number of the first record of the baseline. A record with a lower one may come
    /// later, too.
    baseline_serial: u64,
    /// All ids that were assigned.
    given: Ranges,
    /// The baseline: the namespaces that existed when records began, or began anew. From there on,
    /// each deletion follows a record of its namespace.
    baseline: Option<Box<Baseline>>,
    /// The highest id that was seen.
    highest: u64,
    /// Constructors that failed, and wait for their destructor.
    failed: Option<Box<Pending<Mapping>>>,
    /// The numbers that namespaces had.
    numbers: HashSet<(Kind, i32)>,
    /// The first record that names a number which no namespace had so far. Its creation may follow.
    unknown: HashMap<(Kind, i32), Finding>,
    /// Devices with violations and without a mapping.
    unmapped: HashSet<String>,
}

/// A deletion before its creation, or without one.
#[derive(Debug)]
struct Early {
    serial: u64,
    /// The finding, if the creation does not come.
    finding: Option<Finding>,
}

#[derive(Clone, Copy, Debug)]
struct Namespace {
    id: u64,
    kind: Kind,
    number: i32,
    place: Place,
}

impl Keyed for Namespace {
    type Name<'a> = u64;

    fn name(&self) -> u64 {
        self.id
    }

    fn is(&self, id: &u64) -> bool {
        self.id == *id
    }
}

/// The namespace that has a number.
#[derive(Clone, Copy, Debug)]
struct Number {
    kind: Kind,
    number: i32,
    id: u64,
}

impl Keyed for Number {
    type Name<'a> = (Kind, i32);

    fn name(&self) -> (Kind, i32) {
        (self.kind, self.number)
    }

    fn is(&self, name: &(Kind, i32)) -> bool {
        self.name() == *name
    }
}

/// A mapping with a loaded table.
#[derive(Debug)]
struct Mapping {
    module: Box<str>,
    device: Device,
    /// The number of its tables: two between a reload and its resume.
    tables: u32,
}

impl Keyed for Mapping {
    type Name<'a> = (&'a str, &'a Device);

    fn name(&self) -> (&str, &Device) {
        (&self.module, &self.device)
    }

    fn is(&self, name: &(&str, &Device)) -> bool {
        self.name() == *name
    }
}

impl History {
    /// `lossy`: what is missing may have been lost.
    pub fn new(lossy: bool) -> Self {
        Self {
            lossy,
            ..Self::default()
        }
    }

    /// Ends all objects of the host of `head`, which came up.
    pub fn boot(&mut self, head: &Head<'_>, out: &mut Vec<Finding>) {
        if self.serials.began_anew(head) {
            self.came_up(head, out);
        }
    }

    fn came_up(&mut self, head: &Head<'_>, out: &mut Vec<Finding>) {
        std::mem::take(self.nodes.of(head.host)).nothing_is_deferred(out);
        while self.namespaces.pop(head.host).is_some() {}
        while self.numbers.pop(head.host).is_some() {}
        while self.mappings.pop(head.host).is_some() {}
    }

    /// Reports the findings that wait, at the end of the log.
    pub fn end(&mut self, out: &mut Vec<Finding>) {
        let first = out.len();
        for node in self.nodes.all_mut() {
            node.nothing_is_deferred(out);
            node.baseline_ends(out);
        }
        out[first..].sort_by_key(|finding| finding.place);
    }

    /// A record of ours.
    pub fn ours(&mut self, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        if self.serials.began_anew(judged.head) {
            self.came_up(judged.head, out);
        }
        let node = self.nodes.of(judged.head.host);
        let in_baseline = matches!(judged.ty, RecordType::NsInit(kind)
            if judged.value(&format!("old_{}ns", kind.name())) == Some("(none)"));
        if !in_baseline {
            let created =
                matches!(judged.ty, RecordType::NsInit(_)).then(|| judged.number("ns_id"));
            let second = judged.head.stamp.seconds;
            let baseline = node.baseline.as_mut();
            out.extend(baseline.and_then(|list| list.other(created.flatten(), second)));
        }
        match judged.ty {
            RecordType::NsInit(kind) => self.created(kind, judged, out),
            RecordType::NsDel(kind) => self.deleted(kind, judged, out),
            RecordType::DmCtrl => self.mapping(judged, out),
            RecordType::DmEvent => self.violation(judged, out),
            RecordType::NsInfo if node.is_complete() => {
                for kind in Kind::ALL {
                    self.names(kind, &format!("{}ns", kind.name()), judged);
                }
            }
            RecordType::NsInfo => {}
        }
    }

    /// Takes note that the module was loaded or unloaded, or auditing switched: the log has not all
    /// namespaces until the next baseline.
    pub(super) fn interrupted(&mut self, head: &Head<'_>) {
        let node = self.nodes.of(head.host);
        let before = node.baseline_serial < head.stamp.serial;
        if let Some(baseline) = node.baseline.as_mut().filter(|_| before) {
            baseline.interrupt();
        }
    }

    /// Judges the namespaces that a guest's record names.
    pub(super) fn guest(&mut self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let Some(node) = self.nodes.known(judged.head.host) else {
            return;
        };
        match judged.value("op") {
            Some("start") => self.container(node, judged, out),
            Some("init") => self.init(judged, out),
            _ => {}
        }
    }

    fn created(&mut self, kind: Kind, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let name = format!("{}ns", kind.name());
        let (Some(id), Some(number)) = (judged.number("ns_id"), judged.number(&name)) else {
            return;
        };
        let host = judged.head.host;
        let serial = judged.head.stamp.serial;
        self.names(kind, &format!("old_{name}"), judged);
        let node = self.nodes.of(host);
        node.numbers.insert((kind, number));
        node.unknown.remove(&(kind, number));
        let before_baseline = serial < node.baseline_serial;
        if judged.value(&format!("old_{name}")) == Some("(none)") {
            if !self.in_baseline(id, judged, out) {
                return;
            }
        } else if let Some(old) = self.namespaces.get(host, &id) {
            if before_baseline {
                return;
            }
            let message = format!(
                "ns_id={id} is reused: the {}ns={} of line {} still has it",
                old.kind.name(),
                old.number,
                old.place.line
            );
            out.push(judged.finding_in(Rule::ReusedId, "ns_id", message));
        } else {
            let node = self.nodes.of(host);
            let deletion = node.early.remove(&id);
            let is_new = node.given.insert(id);
            let precedes = |it: &Early| serial < it.serial;
            if !is_new && (before_baseline || deletion.as_ref().is_some_and(precedes)) {
                return;
            }
            out.extend(deletion.and_then(|it| it.finding));
            if !is_new && node.given.is_exact() {
                let message = format!("ns_id={id} is reused: a deleted namespace had it");
                out.push(judged.finding_in(Rule::ReusedId, "ns_id", message));
            } else if let Some(old) = self.numbers.get(host, &(kind, number)) {
                let of = self.namespaces.get(host, &old.id);
                let (old, at) = (old.id, of.map_or(0, |old| old.place.line));
                let message = format!(
                    "{name}={number} is reused: ns_id={old} of line {at} is not deleted in this log"
                );
                let finding = judged.finding_in(Rule::ReusedNumber, &name, message);
                node.reused.insert(old, finding.note());
            }
        }
        match self.numbers.get_mut(host, &(kind, number)) {
            Some(known) => known.id = id,
            None => drop(self.numbers.add(host, Number { kind, number, id })),
        }
        let namespace = Namespace {
            id,
            kind,
            number,
            place: judged.place,
        };
        match self.namespaces.get_mut(host, &id) {
            Some(known) => *known = namespace,
            None => drop(self.namespaces.add(host, namespace)),
        }
        let node = self.nodes.of(host);
        node.highest = node.highest.max(id);
    }

    /// Judges the number of a namespace of `kind` in the field `field`. Only a log with the baseline has
    /// them all.
    fn names(&mut self, kind: Kind, field: &str, judged: &Judged<'_>) {
        let node = self.nodes.of(judged.head.host);
        let complete = node.is_complete();
        let Some(number) = judged.number::<i32>(field).filter(|_| complete) else {
            return;
        };
        // Those below are initial.
        let key = (kind, number);
        if number < 0 || node.numbers.contains(&key) || node.unknown.contains_key(&key) {
            return;
        }
        let message = format!(
            "no {}ns={number} is in this log, which has the baseline",
            kind.name()
        );
        let mut finding = judged.finding_in(Rule::UnknownNamespace, field, message);
        if self.lossy {
            finding = finding.note();
        }
        node.unknown.insert(key, finding);
    }

    /// Judges the device of a violation.
    fn violation(&mut self, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let (Some(module), Some(dev)) = (judged.value("module"), judged.value("dev")) else {
            return;
        };
        if judged.value("op") == Some("mac-superblock") {
            // A constructor finds it, and fails: its own record comes after this one.
            return;
        }
        let host = judged.head.host;
        let device = Device::of(dev);
        let known = match module {
            // The others name the device below.
            "integrity" => self.mappings.find(host, &(module, &device)).is_some(),
            _ => {
                let flagged = self.nodes.of(host).unmapped.contains(module);
                flagged
                    || self
                        .mappings
                        .of(host)
                        .any(|mapping| *mapping.module == *module)
            }
        };
        if known {
            return;
        }
        let what = match module {
            "integrity" => format!("{module} on {dev}"),
            _ => module.to_owned(),
        };
        let node = self.nodes.of(host);
        if node.unmapped.len() < MOST && node.unmapped.insert(what.clone()) {
            let message = format!("no ctr of {what} is in this log");
            let mut finding = judged
                .finding_in(Rule::ViolationWithoutMapping, "dev", message)
                .note();
            finding.help = Some(
                "the mapping may have been created before the log begins, or integrity is inline and names the device below"
                    .to_owned(),
            );
            out.push(finding);
        }
    }

    /// Adds a namespace to the baseline. Returns whether this is the first record of it.
    fn in_baseline(&mut self, id: u64, judged: &Judged<'_>, out: &mut Vec<Finding>) -> bool {
        let host = judged.head.host;
        let again = self.namespaces.find(host, &id).is_some();
        let node = self.nodes.of(host);
        let is_open = node.baseline.as_ref().is_some_and(|list| list.is_open());
        if again && is_open && id != Baseline::FIRST {
            let message = format!("ns_id={id} is reused in the baseline");
            out.push(judged.finding_in(Rule::ReusedId, "ns_id", message));
            return false;
        }
        if again || id == Baseline::FIRST {
            // Changes between the two loads are not in the log.
            node.baseline_ends(out);
            node.nothing_is_deferred(out);
            while self.numbers.pop(host).is_some() {}
            let before = std::iter::from_fn(|| self.namespaces.pop(host));
            let before = before.map(|namespace| namespace.id).collect();
            let baseline = Baseline::begin(judged, before, node.highest);
            node.baseline_serial = judged.head.stamp.serial;
            node.baseline = Some(Box::new(baseline));
        }
        node.given.insert(id);
        if let Some(baseline) = &mut node.baseline {
            baseline.found(id, judged.head.stamp.seconds);
        }
        true
    }

    fn deleted(&mut self, kind: Kind, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let name = format!("{}ns", kind.name());
        let (Some(id), Some(number)) = (judged.number("ns_id"), judged.number::<i32>(&name)) else {
            return;
        };
        let host = judged.head.host;
        let node = self.nodes.of(host);
        node.reused.remove(&id);
        node.highest = node.highest.max(id);
        let known = self.namespaces.find(host, &id);
        match known.and_then(|at| self.namespaces.remove(at)) {
            Some(old) => {
                let at = self.numbers.find(host, &(old.kind, old.number));
                let own = |at: &Slot| self.numbers.at(*at).is_some_and(|number| number.id == id);
                if let Some(at) = at.filter(own) {
                    self.numbers.remove(at);
                }
                if (old.kind, old.number) != (kind, number) {
                    let message = format!(
                        "ns_id={id} is deleted as {name}={number}, but was created as {}ns={} in line {}",
                        old.kind.name(),
                        old.number,
                        old.place.line
                    );
                    out.push(judged.finding_in(Rule::DeletionWithoutCreation, &name, message));
                }
            }
            None if node.given.contains(id) && node.given.is_exact() => {
                if judged.head.stamp.serial >= node.baseline_serial {
                    let message = format!("ns_id={id} is deleted a second time");
                    out.push(judged.finding_in(Rule::DeletedTwice, "ns_id", message));
                }
            }
            None => {
                node.given.insert(id);
                let message = format!("the creation of ns_id={id} is not in this log");
                let mut finding =
                    judged.finding_in(Rule::DeletionWithoutCreation, "ns_id", message);
                let complete = node.is_complete();
                finding.help = Some(match complete {
                    true => "the baseline in this log does not have it".to_owned(),
                    false => {
                        "it was created before the log begins, or before the module was loaded"
                            .to_owned()
                    }
                });
                if !complete || self.lossy {
                    finding = finding.note();
                }
                let waits = complete || node.early.len() < MOST;
                let finding = match waits {
                    true => Some(finding),
                    false => {
                        out.push(finding);
                        None
                    }
                };
                let serial = judged.head.stamp.serial;
                node.early.insert(id, Early { serial, finding });
            }
        }
    }

    /// Judges the namespaces of a container's start. One that this log does not have is older than
    /// the module.
    fn container(&self, node: &Node, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let finding =
            |name: &str, message: String| judged.finding(Rule::GuestNamespace, name, message);
        for kind in Kind::ALL {
            let name = format!("{}ns_id", kind.name());
            let Some(id) = judged.value(&name).and_then(|id| id.parse().ok()) else {
                continue;
            };
            match self.namespaces.get(judged.head.host, &id) {
                Some(known) if known.kind != kind => {
                    let message = format!(
                        "{name}={id} is the {}ns={} of line {}",
                        known.kind.name(),
                        known.number,
                        known.place.line
                    );
                    out.push(finding(&name, message));
                }
                Some(known) if kind == Kind::Pid => {
                    let inode = inode_of(known.number);
                    let recorded = judged.value("pid-ns").and_then(|inode| inode.parse().ok());
                    if recorded.is_some_and(|recorded: i64| recorded != inode) {
                        let message = format!("the pid namespace with ns_id={id} is {inode}");
                        out.push(finding("pid-ns", message));
                    }
                }
                Some(_) => {}
                None if node.given.contains(id) && node.given.is_exact() => {
                    let message = format!("{name}={id}: this namespace was deleted before");
                    out.push(finding(&name, message));
                }
                None => {}
            }
        }
    }

    /// Judges the pid namespace of a container's first process.
    fn init(&self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let inode: Option<i64> = judged.value("pid-ns").and_then(|inode| inode.parse().ok());
        let number = inode.and_then(number_of);
        // Only a log with the initial namespaces has all.
        let all = self
            .namespaces
            .of(judged.head.host)
            .any(|known| known.kind == Kind::Pid && known.number < 0);
        if let Some(number) = number.filter(|_| all) {
            if self
                .numbers
                .get(judged.head.host, &(Kind::Pid, number))
                .is_none()
            {
                let message = format!("no pidns={number} is active in this log");
                let finding = judged.finding(Rule::GuestNamespace, "pid-ns", message);
                out.push(finding.note());
            }
        }
    }

    fn mapping(&mut self, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let (Some(module), Some(dev)) = (judged.value("module"), judged.value("dev")) else {
            return;
        };
        let (host, stamp) = (judged.head.host, judged.head.stamp);
        let device = Device::of(dev);
        let named = (module, &device);
        let of = |tables| Mapping {
            module: module.into(),
            device: device.clone(),
            tables,
        };
        match (judged.value("op"), judged.value("res")) {
            (Some("ctr"), Some("0")) => {
                let failed = self.nodes.of(host).failed.get_or_insert_default();
                while failed.overdue(stamp.seconds).is_some() {}
                failed.push((0, stamp), of(0));
            }
            (Some("ctr"), _) => match self.mappings.get_mut(host, &named) {
                Some(mapping) => mapping.tables += 1,
                None => drop(self.mappings.add(host, of(1))),
            },
            (Some("dtr"), _) => {
                if self.nodes.of(host).had_failed(stamp, &named) {
                    return;
                }
                let at = self.mappings.find(host, &named);
                match at.and_then(|at| Some((at, self.mappings.at_mut(at)?))) {
                    Some((at, mapping)) if mapping.tables == 1 => {
                        self.mappings.remove(at);
                    }
                    Some((_, mapping)) => mapping.tables -= 1,
                    None => {
                        let message = format!("the ctr of {module} on {dev} is not in this log");
                        let mut finding = judged
                            .finding_in(Rule::DtrWithoutCtr, "dev", message)
                            .note();
                        finding.help = Some(
                            "the mapping may have been created before the log begins".to_owned(),
                        );
                        out.push(finding);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Node {
    /// Returns whether the log has the baseline.
    fn is_complete(&self) -> bool {
        let baseline = self.baseline.as_ref();
        baseline.is_some_and(|list| list.is_complete())
    }

    /// Ends the baseline.
    fn baseline_ends(&mut self, out: &mut Vec<Finding>) {
        out.extend(self.baseline.as_mut().and_then(|list| list.gap()));
    }

    /// Reports the missing records. No record is deferred any more.
    fn nothing_is_deferred(&mut self, out: &mut Vec<Finding>) {
        let first = out.len();
        out.extend(self.reused.drain().map(|(_, finding)| finding));
        out.extend(self.early.drain().filter_map(|(_, early)| early.finding));
        out.extend(self.unknown.drain().map(|(_, finding)| finding));
        out[first..].sort_by_key(|finding| finding.place);
    }

    /// Returns whether the constructor of the same event failed. Each takes one destructor.
    fn had_failed(&mut self, stamp: Stamp, named: &(&str, &Device)) -> bool {
        let Some(failed) = &mut self.failed else {
            return false;
        };
        let found = failed.take_one(&(0, stamp), |failed| failed.is(named));
        if failed.is_empty() {
            self.failed = None;
        }
        found.is_some()
    }
}
