// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges events: the records that have to share a serial number.
//!
//! A missing companion is awaited for a while, and reported if it does not come.

use super::finding::{Finding, Rule};
use super::judge::Judged;
use crate::input::Place;
use crate::record::host::Host;
use crate::record::pending::{Event, Pending};
use crate::record::value::text;
use crate::record::{Head, Type};
use dmns_audit_log::line::{Stamp, fields};
use dmns_audit_log::rules;
use dmns_audit_uapi::types::RecordType;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// The maximum time between a record and its SYSCALL, in seconds of the log. A system call that
/// creates all kinds of namespaces takes more than libauparse's two seconds on a slow machine.
const LONGEST: u64 = 60;

/// The maximum number of events in memory.
const MOST: usize = 1024;

/// A record that an event has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    /// A system call.
    Syscall,
    /// A destructor of this module and device.
    Dtr(String, String),
    /// A record other than NS_INFO.
    Other,
}

/// Judges events.
#[derive(Debug, Default)]
pub struct Grouping {
    /// Findings that wait for a record of their event.
    waiting: Pending<(Missing, Finding)>,
    /// The last events that had a system call, and the last that had any record.
    syscalls: VecDeque<Event>,
    /// The last system calls, and creations that wait for one. A creation that is emitted before the
    /// end of a long call has a serial number of its own, and the time of the event.
    calls: VecDeque<Call>,
    creations: HashMap<Call, Vec<Event>>,
    events: VecDeque<Event>,
    /// This log has SYSCALL records: one shared its event with a judged record.
    audited: bool,
    /// The first record without one, while no record had one.
    unaudited: Option<Finding>,
    lossy: bool,
    /// The second of the last record.
    now: u64,
    /// Records that are compared with the SYSCALL of their event.
    subjects: Pending<Subject>,
}

/// A record with the subject of a system call: its place, its line, and the begin of its fields.
#[derive(Debug)]
struct Subject {
    place: Place,
    line: Vec<u8>,
    body_at: usize,
    body: String,
}

/// Returns the values of [`SUBJECT`] in `body`.
fn subject(body: &str) -> [Option<&str>; SUBJECT.len()] {
    let mut values = [None; SUBJECT.len()];
    for field in fields(body) {
        if let Some(at) = SUBJECT.iter().position(|name| *name == field.name) {
            values[at].get_or_insert(field.value);
        }
    }
    values
}

/// The fields of a subject.
const SUBJECT: [&str; 15] = [
    "ppid", "pid", "auid", "uid", "gid", "euid", "suid", "fsuid", "egid", "sgid", "fsgid", "ses",
    "comm", "exe", "subj",
];

impl Grouping {
    /// Creates the judge. `lossy`: missing records may have been lost.
    pub fn new(lossy: bool) -> Self {
        Self {
            lossy,
            ..Self::default()
        }
    }

    /// Judges a record of the module.
    pub fn ours(&mut self, judged: &Judged<'_>, out: &mut Vec<Finding>) {
        let (ty, stamp) = (judged.ty, judged.head.stamp);
        let event = (judged.head.host, stamp);
        self.expire(stamp, out);
        let name = ty.name();
        let missing = |rule, message: String, contract: &str| {
            let mut finding = judged.finding(rule, message);
            finding.label = format!("serial {}", stamp.serial);
            finding.contract = format!("{contract} (docs/reference/records.md)");
            finding
        };
        if ty != RecordType::NsInfo {
            self.came(event, &Missing::Other);
            remember(&mut self.events, event);
        }
        let op = judged.value("op");
        let dev = judged.value("dev").unwrap_or_default();
        let dtr = || {
            let module = judged.value("module").unwrap_or_default();
            Missing::Dtr(module.to_owned(), dev.to_owned())
        };
        if op == Some("dtr") {
            self.came(event, &dtr());
        }
        if op == Some("ctr") && judged.value("res") == Some("0") {
            let finding = missing(
                Rule::FailedCtr,
                format!("no dtr of {dev} follows the failed ctr in its event"),
                "a constructor that fails is followed by a dtr of the same event",
            );
            self.waiting.push(event, (dtr(), finding.note()));
        }
        let grouping = rules::grouping(ty, op);
        // The initial namespaces are recorded when the module loads. The kernel may load it by
        // itself.
        let initial = matches!(ty, RecordType::NsInit(kind)
            if judged.value(&format!("old_{}ns", kind.name())) == Some("(none)"));
        if ty == RecordType::DmCtrl || matches!(ty, RecordType::NsInit(_)) && !initial {
            let subject = Subject {
                place: judged.place,
                line: judged.line().to_vec(),
                body_at: judged.head.body_at,
                body: text(judged.head.body).into_owned(),
            };
            self.subjects.push(event, subject);
            if self.subjects.len() > MOST {
                self.subjects.pop();
            }
        }
        match grouping {
            rules::Grouping::Syscall if !initial => {
                if self.syscalls.contains(&event) {
                    self.audited = true;
                } else {
                    let finding = missing(
                        Rule::Grouping,
                        format!("{name} shares its event with no SYSCALL"),
                        grouping.describe(),
                    );
                    let pid = judged.number("pid");
                    let call = pid.filter(|_| matches!(ty, RecordType::NsInit(_)));
                    let call = call.map(|pid| (moment(&event), pid));
                    if call.is_some_and(|call| self.calls.contains(&call)) {
                        return;
                    }
                    if let Some(call) = call {
                        self.creations.entry(call).or_default().push(event);
                    }
                    self.waiting.push(event, (Missing::Syscall, finding));
                }
            }
            rules::Grouping::Companion if !self.events.contains(&event) => {
                let finding = missing(
                    Rule::Grouping,
                    format!("{name} shares its event with no other record"),
                    grouping.describe(),
                );
                self.waiting.push(event, (Missing::Other, finding));
            }
            _ => {}
        }
        while self.waiting.len() > MOST {
            let oldest = self.waiting.pop();
            self.never_came(oldest, false, out);
        }
    }

    /// Takes note of any other record.
    pub fn other(&mut self, ty: Type, head: &Head<'_>, out: &mut Vec<Finding>) {
        let event = (head.host, head.stamp);
        self.expire(event.1, out);
        if ty == Type::Syscall {
            self.compare(&event, head, out);
            self.audited |= self.came(event, &Missing::Syscall);
            if let Some(pid) = pid(head) {
                let call = (moment(&event), pid);
                for event in self.creations.remove(&call).unwrap_or_default() {
                    self.came(event, &Missing::Syscall);
                }
                remember(&mut self.calls, call);
            }
            remember(&mut self.syscalls, event);
        }
        if ty != Type::Eoe {
            self.came(event, &Missing::Other);
            remember(&mut self.events, event);
        }
    }

    /// Compares the records of `event` with its system call `call`.
    fn compare(&mut self, event: &Event, call: &Head<'_>, out: &mut Vec<Finding>) {
        if self.subjects.is_empty() {
            return;
        }
        while self.subjects.overdue(event.1.seconds).is_some() {}
        let records = self.subjects.take(event, |_| true);
        if records.is_empty() {
            return;
        }
        let body = text(call.body);
        let call = subject(&body);
        for record in records {
            for (at, (own, other)) in subject(&record.body).into_iter().zip(call).enumerate() {
                let (name, Some(own), Some(other)) = (SUBJECT[at], own, other) else {
                    continue;
                };
                if own == other {
                    continue;
                }
                // A value is a part of the body.
                let at = record.body_at + own.as_ptr() as usize - record.body.as_ptr() as usize;
                let span = at - name.len() - 1..(at + own.len()).min(record.line.len());
                let message =
                    format!("{name}={own}, but the SYSCALL of this event has {name}={other}");
                let mut finding =
                    Finding::new(Rule::Subject, record.place, &record.line, span, message);
                finding.contract =
                    format!("{} (docs/reference/records.md)", Rule::Subject.summary());
                out.push(finding);
            }
        }
    }

    /// Reports what is still missing at the end of the log. It may have been cut off.
    pub fn end(&mut self, out: &mut Vec<Finding>) {
        while let Some(oldest) = self.waiting.overdue(self.now) {
            self.never_came(Some(oldest), false, out);
        }
        while let Some(oldest) = self.waiting.pop() {
            self.never_came(Some(oldest), true, out);
        }
        if let Some(mut finding) = self.unaudited.take().filter(|_| !self.audited) {
            finding.message = format!(
                "{}, nor does any other record in this log: events were not judged",
                finding.message
            );
            finding.help = Some(
                "the rule `-a task,never` switches SYSCALL records off; `grep` takes them away, \
                 `ausearch -m TYPE --raw` keeps them"
                    .to_owned(),
            );
            out.push(finding.note());
        }
    }

    fn came(&mut self, event: Event, what: &Missing) -> bool {
        !self
            .waiting
            .take(&event, |(missing, _)| missing == what)
            .is_empty()
    }

    fn expire(&mut self, now: Stamp, out: &mut Vec<Finding>) {
        self.now = now.seconds;
        while let Some(oldest) = self.waiting.overdue(self.now.saturating_sub(LONGEST)) {
            self.never_came(Some(oldest), false, out);
        }
        if self.waiting.is_empty() || self.creations.len() > MOST {
            self.creations.clear();
        }
    }

    /// Reports a companion that has not come.
    fn never_came(
        &mut self,
        companion: Option<(Missing, Finding)>,
        at_end: bool,
        out: &mut Vec<Finding>,
    ) {
        let Some((missing, finding)) = companion else {
            return;
        };
        match missing {
            Missing::Syscall if !self.audited => {
                self.unaudited.get_or_insert(finding);
            }
            _ if at_end => {
                let mut finding = finding.note();
                finding.help.get_or_insert(
                    "the log ends soon after: the rest may not have been written".into(),
                );
                out.push(finding);
            }
            _ if self.lossy => out.push(finding.note()),
            _ => out.push(finding),
        }
    }
}

/// A system call: its host, its time, and its pid.
type Call = ((Host, u64, u16), u64);

fn moment(&(host, stamp): &Event) -> (Host, u64, u16) {
    (host, stamp.seconds, stamp.millis)
}

/// Returns `pid=` of a SYSCALL record.
fn pid(head: &Head<'_>) -> Option<u64> {
    let at = memchr::memmem::find(head.body, b" pid=")? + 5;
    let digits = head.body[at..].split(|byte| !byte.is_ascii_digit()).next();
    std::str::from_utf8(digits?).ok()?.parse().ok()
}

fn remember<T: PartialEq>(events: &mut VecDeque<T>, event: T) {
    if events.back() == Some(&event) {
        return;
    }
    if events.len() == MOST / 16 {
        events.pop_front();
    }
    events.push_back(event);
}
