// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Groups records by event. The records of several events may be interleaved.
//!
//! The event of a system call ends with EOE, however long the call takes. A single record has no such end, so a timeout
//! ends it. An event that a timeout ended too early is not printed twice.

use super::devices::Device;
use crate::record::head::{self, Parsed};
use crate::record::{Head, Type, event};
use crate::report::Id;
use dmns_audit_uapi::types::RecordType;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Maximum number of incomplete events, and of remembered events that were printed before their end.
const MOST: usize = 256;

/// Timeout after a record that is usually alone.
pub const SOON: Duration = Duration::from_millis(200);

/// Timeout after a record of a system call, which ends with EOE unless the task has no audit context. libauparse has the
/// same timeout.
pub const LATER: Duration = Duration::from_secs(2);

/// An event: lines of records that share a stamp.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its stamp.
    pub id: Id,
    /// `node=`, if there is one.
    node: Option<Box<[u8]>>,
    lines: Vec<Vec<u8>>,
    /// The devices that its records name, as they were when these came.
    devices: Vec<Device>,
    /// All its records came.
    whole: bool,
    /// Time at which it counts as complete without another record.
    over: Instant,
}

impl Event {
    /// Its records, in the order in which they came.
    pub fn records(&self) -> impl Iterator<Item = Head<'_>> {
        self.lines
            .iter()
            .filter_map(|line| match head::parse(line) {
                Parsed::Record(head) => Some(head),
                _ => None,
            })
    }

    /// The devices that its records name, as they were when these came; none where the machine was not asked.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Adds the name that the log has of a device, unless the machine was asked.
    pub fn add_name(&mut self, device: &str, name: &str) {
        if self.devices.iter().all(|known| known.device != device) {
            self.devices.push(Device {
                device: device.to_owned(),
                name: Some(name.to_owned()),
                ..Device::default()
            });
        }
    }

    /// `node=`, if there is one.
    pub fn node(&self) -> Option<&[u8]> {
        self.node.as_deref()
    }
}

/// Events of a log, which are read faster than they happened: no timeout ends one.
#[derive(Debug, Default)]
pub struct Grouped {
    /// Oldest first.
    open: VecDeque<Event>,
}

impl Grouped {
    /// Takes the record `head`, which is `line`. Returns the events that are complete now, in order.
    pub fn record(&mut self, head: &Head<'_>, line: &[u8], now: Instant) -> Vec<Event> {
        let id = Id::from(head.stamp);
        let known = self
            .open
            .iter_mut()
            .rfind(|event| event.id == id && event.node.as_deref() == head.node);
        match known {
            Some(event) if head.ty == Type::Eoe => event.whole = true,
            Some(event) => event.lines.push(line.to_vec()),
            None if head.ty == Type::Eoe => {}
            None => self.open.push_back(Event {
                id,
                node: head.node.map(Box::from),
                lines: vec![line.to_vec()],
                devices: Vec::new(),
                whole: false,
                over: now,
            }),
        }
        let mut whole = Vec::new();
        while let Some(first) = self.open.front() {
            let old = event::is_over(first.id.seconds, id.seconds);
            if !(first.whole || old || self.open.len() > MOST) {
                break;
            }
            whole.extend(self.open.pop_front());
        }
        whole
    }

    /// Returns all events at the end of the log.
    pub fn all(&mut self) -> Vec<Event> {
        self.open.drain(..).collect()
    }
}

/// Returns the timeout after a record of type `ty`.
fn patience(ty: Type) -> Duration {
    match ty {
        Type::Ours(RecordType::NsInit(_) | RecordType::DmCtrl) | Type::Syscall => LATER,
        _ => SOON,
    }
}

/// Events with records that may still be missing.
#[derive(Debug, Default)]
pub struct Events {
    /// Oldest first.
    open: VecDeque<Event>,
    /// Events that the timeout ended: more records may follow.
    early: VecDeque<(Id, Option<Box<[u8]>>)>,
}

impl Events {
    /// Takes a record that names `device`, at `now`. Returns the events that are complete now, in order.
    pub fn record(&mut self, line: &[u8], device: Option<Device>, now: Instant) -> Vec<Event> {
        let Parsed::Record(head) = head::parse(line) else {
            return Vec::new();
        };
        let id = Id::from(head.stamp);
        let known = self
            .open
            .iter()
            .rposition(|event| event.id == id && event.node.as_deref() == head.node);
        let at = match known {
            Some(at) => at,
            None if head.ty == Type::Eoe
                || head.ty.topic().is_none() && self.was_printed(&head) =>
            {
                return Vec::new();
            }
            None => {
                self.open.push_back(Event {
                    id,
                    node: head.node.map(Box::from),
                    lines: Vec::new(),
                    devices: Vec::new(),
                    whole: false,
                    over: now,
                });
                self.open.len() - 1
            }
        };
        let event = &mut self.open[at];
        event.over = event.over.max(now + patience(head.ty));
        // The kernel ends the event of a system call with EOE. PROCTITLE is the last before it, and all that
        // auditd hands to plugins of some versions.
        event.whole |= matches!(head.ty, Type::Eoe | Type::Proctitle);
        // A record from user space is an event by itself.
        event.whole |= matches!(head.ty, Type::Virt(_));
        if head.ty != Type::Eoe {
            event.lines.push(line.to_vec());
        }
        event
            .devices
            .extend(device.filter(|device| !event.devices.contains(device)));
        // One that is behind by many, or by two seconds, has all that it gets.
        let crowded = self.open.len() > MOST;
        let mut whole = Vec::new();
        while let Some(first) = self.open.front() {
            let old = event::is_over(first.id.seconds, id.seconds);
            if !(first.whole || old || crowded && whole.is_empty()) {
                break;
            }
            whole.extend(self.pop());
        }
        whole
    }

    /// Returns the events with an expired timeout at `now`, in order.
    pub fn quiet(&mut self, now: Instant) -> Vec<Event> {
        let mut whole = Vec::new();
        while self
            .open
            .front()
            .is_some_and(|first| first.whole || first.over <= now)
        {
            whole.extend(self.pop());
        }
        whole
    }

    /// Returns all events at the end of the input.
    pub fn all(&mut self) -> Vec<Event> {
        self.open.drain(..).collect()
    }

    fn pop(&mut self) -> Option<Event> {
        let first = self.open.pop_front()?;
        if !first.whole {
            if self.early.len() == MOST {
                self.early.pop_front();
            }
            self.early.push_back((first.id, first.node.clone()));
        }
        Some(first)
    }

    /// Returns whether the event of this record was printed before its end.
    fn was_printed(&self, head: &Head<'_>) -> bool {
        let id = Id::from(head.stamp);
        self.early
            .iter()
            .rev()
            .any(|(early, node)| *early == id && node.as_deref() == head.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &[u8] = b"type=1384 msg=audit(5.000:7): pid=1 old_utsns=-2 utsns=9 res=1";
    const DELETED: &[u8] = b"type=1393 msg=audit(5.000:8): pid=1 utsns=9 res=1";

    fn call(serial: u64) -> [Vec<u8>; 3] {
        ["1300", "1327", "1320"]
            .map(|ty| format!("type={ty} msg=audit(5.000:{serial}): x=1").into_bytes())
    }

    #[test]
    fn the_event_of_a_slow_system_call_is_printed_once_and_whole() {
        let (mut events, start) = (Events::default(), Instant::now());
        assert!(events.record(CREATED, None, start).is_empty());
        assert!(events.quiet(start + SOON).is_empty());
        let printed: Vec<_> = call(7)
            .iter()
            .flat_map(|line| events.record(line, None, start + SOON))
            .collect();
        assert_eq!(printed.len(), 1);
        assert_eq!(printed[0].records().count(), 3);
        assert!(events.quiet(start + LATER * 2).is_empty());
        assert!(events.all().is_empty());
    }

    #[test]
    fn what_the_clock_ended_too_early_is_not_printed_again() {
        let (mut events, start) = (Events::default(), Instant::now());
        events.record(DELETED, None, start);
        assert_eq!(events.quiet(start + SOON).len(), 1);
        for line in call(8) {
            assert!(events.record(&line, None, start + SOON).is_empty());
        }
        assert!(events.quiet(start + LATER * 2).is_empty());
        assert!(events.all().is_empty());
        // What is new is printed, late as it is.
        events.record(DELETED, None, start + LATER);
        assert_eq!(events.quiet(start + LATER * 2).len(), 1);
    }

    #[test]
    fn one_whose_end_does_not_come_is_printed_after_a_while() {
        let (mut events, start) = (Events::default(), Instant::now());
        events.record(CREATED, None, start);
        events.record(DELETED, None, start);
        let printed = events.quiet(start + LATER);
        assert_eq!(
            printed.iter().map(|e| e.id.serial).collect::<Vec<_>>(),
            [7, 8]
        );
    }
}
