// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A record and those before it: what lives, what is deleted, and what has a number.

use super::baseline::Baseline;
use super::finding::{Finding, Rule};
use super::judge::Judged;
use super::virt::JudgedGuest;
use crate::input::Place;
use crate::ranges::Ranges;
use crate::record::Head;
use crate::record::event::Serials;
use crate::record::host::PerHost;
use crate::record::pending::Pending;
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;
use hashbrown::HashMap;

/// C: `PROC_DYNAMIC_FIRST`: the inode number of namespace 0.
const FIRST_INODE: i64 = 0xF000_0000;

/// What lives, for each node.
#[derive(Debug, Default)]
pub struct History {
    /// What is missing may have been lost.
    lossy: bool,
    serials: Serials,
    nodes: PerHost<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Living namespaces, by id.
    namespaces: HashMap<u64, Namespace>,
    /// The same, by kind and number.
    numbers: HashMap<(Kind, i32), u64>,
    /// Ids of namespaces whose number was given again although they still lived: their deletion may be deferred, and
    /// come later. What to say if it does not.
    reused: HashMap<u64, Finding>,
    /// The ids that were ever given.
    given: Ranges,
    /// The namespaces that were alive when records began, or began anew. From there on none is deleted that was not
    /// recorded before.
    baseline: Option<Baseline>,
    /// The highest id that was seen.
    highest: u64,
    /// How many tables of a target are loaded for a device: two, between a reload and its resume.
    mappings: HashMap<(String, String), u32>,
    /// Constructors that failed, and whose destructor is still to come.
    failed: Pending<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Namespace {
    kind: Kind,
    number: i32,
    place: Place,
}

impl History {
    /// `lossy`: what is missing may have been lost.
    pub fn new(lossy: bool) -> Self {
        Self {
            lossy,
            ..Self::default()
        }
    }

    /// The machine of `head` came up: nothing lives there.
    pub fn boot(&mut self, head: &Head<'_>, out: &mut Vec<Finding>) {
        self.serials.began_anew(head);
        std::mem::take(self.nodes.of(head.host)).nothing_is_deferred(out);
    }

    /// There are no more records.
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
            self.boot(judged.head, out);
        }
        let node = self.nodes.of(judged.head.host);
        let alive = matches!(judged.ty, RecordType::NsInit(kind)
            if judged.value(&format!("old_{}ns", kind.name())) == Some("(none)"));
        if !alive {
            node.baseline_ends(out);
        }
        match judged.ty {
            RecordType::NsInit(kind) => node.created(kind, judged, out),
            RecordType::NsDel(kind) => node.deleted(kind, judged, self.lossy, out),
            RecordType::DmCtrl => node.mapping(judged, out),
            RecordType::DmEvent | RecordType::NsInfo => {}
        }
    }

    /// A record of a guest, which may name namespaces.
    pub(super) fn guest(&mut self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let Some(node) = self.nodes.known(judged.head.host) else {
            return;
        };
        match judged.value("op") {
            Some("start") => node.container(judged, out),
            Some("init") => node.init(judged, out),
            _ => {}
        }
    }
}

impl Node {
    fn created(&mut self, kind: Kind, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let name = format!("{}ns", kind.name());
        let (Some(id), Some(number)) = (judged.number("ns_id"), judged.number(&name)) else {
            return;
        };
        if judged.value(&format!("old_{name}")) == Some("(none)") {
            if !self.alive(id, judged, out) {
                return;
            }
        } else if let Some(old) = self.namespaces.get(&id) {
            let message = format!(
                "ns_id={id} is given again: the {}ns={} of line {} still has it",
                old.kind.name(),
                old.number,
                old.place.line
            );
            out.push(judged.finding_in(Rule::ReusedId, "ns_id", message));
        } else if !self.given.insert(id) && self.given.is_exact() {
            let message = format!("ns_id={id} is given again: a namespace had it that was deleted");
            out.push(judged.finding_in(Rule::ReusedId, "ns_id", message));
        } else if let Some(old) = self.numbers.get(&(kind, number)) {
            let at = self.namespaces.get(old).map_or(0, |old| old.place.line);
            let message = format!(
                "{name}={number} is given again: ns_id={old} of line {at} is not deleted in this log"
            );
            let finding = judged.finding_in(Rule::ReusedNumber, &name, message);
            self.reused.insert(*old, finding.note());
        }
        self.numbers.insert((kind, number), id);
        let namespace = Namespace {
            kind,
            number,
            place: judged.place,
        };
        self.namespaces.insert(id, namespace);
        self.highest = self.highest.max(id);
    }

    /// A namespace that was alive when the module was loaded, perhaps again, or auditing switched on. Returns whether it
    /// is recorded for the first time.
    fn alive(&mut self, id: u64, judged: &Judged<'_>, out: &mut Vec<Finding>) -> bool {
        let again = self.namespaces.contains_key(&id);
        let goes_on = self.baseline.as_ref().is_some_and(Baseline::goes_on);
        if again && goes_on && id != Baseline::FIRST {
            let message = format!("ns_id={id} is given again, among the namespaces that are alive");
            out.push(judged.finding_in(Rule::ReusedId, "ns_id", message));
            return false;
        }
        if again || id == Baseline::FIRST {
            // What went by between is not in the log.
            self.baseline_ends(out);
            self.nothing_is_deferred(out);
            self.numbers.clear();
            let before = self.namespaces.drain().map(|(id, _)| id).collect();
            self.baseline = Some(Baseline::begin(judged, before, self.highest));
        }
        self.given.insert(id);
        if let Some(baseline) = &mut self.baseline {
            baseline.found(id);
        }
        true
    }

    fn deleted(&mut self, kind: Kind, judged: &Judged<'_>, lossy: bool, out: &mut Vec<Finding>) {
        let name = format!("{}ns", kind.name());
        let (Some(id), Some(number)) = (judged.number("ns_id"), judged.number::<i32>(&name)) else {
            return;
        };
        self.reused.remove(&id);
        self.highest = self.highest.max(id);
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
                    out.push(judged.finding_in(Rule::NoCreation, &name, message));
                }
            }
            None if self.given.contains(id) && self.given.is_exact() => {
                let message = format!("ns_id={id} is deleted a second time");
                out.push(judged.finding_in(Rule::DeletedTwice, "ns_id", message));
            }
            None => {
                self.given.insert(id);
                let message = format!("the creation of ns_id={id} is not in this log");
                let mut finding = judged.finding_in(Rule::NoCreation, "ns_id", message);
                let complete = self.baseline.as_ref().is_some_and(Baseline::is_complete);
                finding.help = Some(match complete {
                    true => "the log has all that were alive when the module was loaded, and not this one".to_owned(),
                    false => "it was made before the log begins, or before the module was loaded".to_owned(),
                });
                out.push(match complete && !lossy {
                    true => finding,
                    false => finding.note(),
                });
            }
        }
    }

    /// What is found alive has been recorded, if it was.
    fn baseline_ends(&mut self, out: &mut Vec<Finding>) {
        out.extend(self.baseline.as_mut().and_then(Baseline::gap));
    }

    /// A container was started in namespaces with these ids. One that this log does not know is older than the module.
    fn container(&self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let finding =
            |name: &str, message: String| judged.finding(Rule::GuestNamespace, name, message);
        for kind in Kind::ALL {
            let name = format!("{}ns_id", kind.name());
            let Some(id) = judged.value(&name).and_then(|id| id.parse().ok()) else {
                continue;
            };
            match self.namespaces.get(&id) {
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
                    let inode = i64::from(known.number) + FIRST_INODE;
                    let told = judged.value("pid-ns").and_then(|inode| inode.parse().ok());
                    if told.is_some_and(|told: i64| told != inode) {
                        let message = format!("the pid namespace with ns_id={id} is {inode}");
                        out.push(finding("pid-ns", message));
                    }
                }
                Some(_) => {}
                None if self.given.contains(id) && self.given.is_exact() => {
                    let message = format!("{name}={id}: this namespace was deleted before");
                    out.push(finding(&name, message));
                }
                None => {}
            }
        }
    }

    /// A container's first process is in the pid namespace with this inode number.
    fn init(&self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let inode: Option<i64> = judged.value("pid-ns").and_then(|inode| inode.parse().ok());
        let number = inode.and_then(|inode| i32::try_from(inode - FIRST_INODE).ok());
        // Only a log that has had the initial namespaces has all.
        let all = self
            .namespaces
            .values()
            .any(|known| known.kind == Kind::Pid && known.number < 0);
        if let Some(number) = number.filter(|_| all) {
            if !self.numbers.contains_key(&(Kind::Pid, number)) {
                let message = format!("no pidns={number} lives in this log");
                let finding = judged.finding(Rule::GuestNamespace, "pid-ns", message);
                out.push(finding.note());
            }
        }
    }

    /// Deletions that have not come by now do not come any more.
    fn nothing_is_deferred(&mut self, out: &mut Vec<Finding>) {
        let first = out.len();
        out.extend(self.reused.drain().map(|(_, finding)| finding));
        out[first..].sort_by_key(|finding| finding.place);
    }

    fn mapping(&mut self, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let (Some(module), Some(dev)) = (judged.value("module"), judged.value("dev")) else {
            return;
        };
        let stamp = judged.head.stamp;
        let mapping = (module.to_owned(), dev.to_owned());
        match (judged.value("op"), judged.value("res")) {
            (Some("ctr"), Some("0")) => {
                while self.failed.overdue(stamp.seconds).is_some() {}
                self.failed.push((0, stamp), mapping);
            }
            (Some("ctr"), _) => *self.mappings.entry(mapping).or_default() += 1,
            (Some("dtr"), _) => {
                // One destructor for each constructor that failed.
                let mut none = true;
                self.failed.take(&(0, stamp), |failed| {
                    let first = none && *failed == mapping;
                    none &= !first;
                    first
                });
                if !none {
                    return;
                }
                match self.mappings.get_mut(&mapping) {
                    Some(1) => {
                        self.mappings.remove(&mapping);
                    }
                    Some(count) => *count -= 1,
                    None => {
                        let message = format!("the ctr of {module} on {dev} is not in this log");
                        let mut finding = judged.finding_in(Rule::NoCtr, "dev", message).note();
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
