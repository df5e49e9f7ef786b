// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Selects events by kind, by container and by device.

use super::containers::ContainerContext;
use super::events::Event;
use crate::record::Type;
use crate::record::command::{arguments, mapping};
use crate::record::device::Device;
use crate::record::selector::DeviceSelector;
use crate::record::value::{Fields, text};
use crate::report::ns::container::ContainerSelector;
use clap::ValueEnum;
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::ns::Kind as NsKind;
use dmns_audit_uapi::types::RecordType;
use hashbrown::{HashMap, HashSet};

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Device mapper.
    Dm,
    /// Namespaces and containers.
    Ns,
    /// Guests.
    Virt,
    /// Violations of integrity.
    Violation,
    /// Violations, and everything that failed.
    Error,
}

impl Kind {
    /// Returns whether `event` is of this kind.
    pub fn is(self, event: &Event) -> bool {
        event.records().any(|head| match self {
            Self::Dm => head.ty.topic() == Some("dm"),
            Self::Ns => head.ty.topic() == Some("ns") || is_of_container(&head),
            Self::Virt => head.ty.topic() == Some("virt") && !is_of_container(&head),
            Self::Violation => head.ty == Type::Ours(RecordType::DmEvent),
            Self::Error => {
                let body = text(head.body);
                let record = Fields::new(&body);
                head.ty == Type::Ours(RecordType::DmEvent)
                    || matches!(record.raw("res"), Some("0" | "failed" | "no"))
                    || record.raw("success") == Some("no")
            }
        })
    }
}

fn is_of_container(head: &crate::record::Head<'_>) -> bool {
    matches!(head.ty, Type::Virt(_)) && matches!(Fields::of(head).raw("virt"), Some("oci" | "lxc"))
}

/// Maximum number of names of mappings, and of namespaces, that are kept.
const MOST: usize = 65_536;

/// A host, as `node=` names it.
type Node = Option<Box<[u8]>>;

/// Selects events.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these kinds; none: all.
    pub only: Vec<Kind>,
    /// Only events in this container, or about it.
    pub container: Option<ContainerSelector>,
    /// Only events of this mapping.
    pub device: Option<DeviceSelector>,
    names: HashMap<(Node, String), String>,
    /// The devices of the last event that have a name, with it.
    named: Vec<(String, String)>,
    /// The namespaces of the container: those that have its id, and those that were created in it.
    own: HashSet<(Node, NsKind, i32)>,
    /// Names of the container, if a runtime's id selects it.
    called: HashSet<String>,
}

impl Filter {
    /// Creates a filter.
    pub fn new(
        only: Vec<Kind>,
        container: Option<ContainerSelector>,
        device: Option<DeviceSelector>,
    ) -> Self {
        Self {
            only,
            container,
            device,
            ..Self::default()
        }
    }

    /// Returns whether all events pass.
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.container.is_none() && self.device.is_none()
    }

    /// Returns whether `event`, with this relation to containers, passes. Each event has to be taken, in order.
    pub fn passes(&mut self, event: &Event, context: &ContainerContext) -> bool {
        let in_container = self.is_of_container(event, context);
        let of_device = self.is_of_device(event);
        let of_kind = self.only.is_empty()
            || self.only.iter().any(|kind| kind.is(event))
            || self.only.contains(&Kind::Ns) && context.from_outside.is_some();
        in_container && of_device && of_kind
    }

    /// Returns the name of the device `dev` of the host `node`, if a command line gave it one.
    pub fn name(&self, node: Option<&[u8]>, dev: &str) -> Option<&str> {
        let key = (node.map(Box::from), dev.to_owned());
        self.names.get(&key).map(String::as_str)
    }

    /// Returns the devices of the event that came last, with the names that command lines gave them.
    pub fn named(&self) -> &[(String, String)] {
        &self.named
    }

    fn is_of_device(&mut self, event: &Event) -> bool {
        self.named.clear();
        let node: Node = event.node().map(Box::from);
        let mut is = self.device.is_none();
        let mut argv: Option<Vec<String>> = None;
        for head in event.records() {
            let Type::Ours(ty @ (RecordType::DmCtrl | RecordType::DmEvent)) = head.ty else {
                continue;
            };
            let record = Fields::of(&head);
            let Some(dev) = record.raw("dev") else {
                continue;
            };
            let (op, target) = (record.raw("op"), record.raw("module").unwrap_or_default());
            let key = (node.clone(), dev.to_owned());
            if ty == RecordType::DmCtrl && op == Some("ctr") {
                let argv = argv.get_or_insert_with(|| command(event));
                match mapping(argv, target).filter(|_| self.names.len() < MOST) {
                    Some(name) => drop(self.names.insert(key.clone(), name)),
                    None => drop(self.names.remove(&key)),
                }
            }
            if let Some(name) = self.names.get(&key) {
                self.named.push((dev.to_owned(), name.clone()));
            }
            if let Some(device) = &self.device {
                let here = event.devices().iter().filter(|known| known.device == dev);
                let names = here
                    .flat_map(|known| &known.name)
                    .chain(self.names.get(&key))
                    .map(String::as_str);
                is |= device.is(&Device::of(dev), names);
            }
            // The name ends with the mapping; a reload has both.
            let reloads = event.records().filter(|head| {
                head.ty == Type::Ours(RecordType::DmCtrl)
                    && Fields::of(head).raw("op") == Some("ctr")
            });
            if ty == RecordType::DmCtrl && op == Some("dtr") && reloads.count() == 0 {
                self.names.remove(&key);
            }
        }
        is
    }

    fn is_of_container(&mut self, event: &Event, context: &ContainerContext) -> bool {
        let Some(selector) = self.container.clone() else {
            return true;
        };
        let node: Node = event.node().map(Box::from);
        let mut is = match &selector {
            ContainerSelector::Name(name) => {
                let named = |known: &str| known == name || self.called.contains(known);
                context.inside.as_deref().is_some_and(named)
                    || context.containers().into_iter().any(named)
            }
            _ => false,
        };
        for head in event.records() {
            let record = Fields::of(&head);
            let number = |field: &str| record.raw(field).and_then(|text| text.parse::<i32>().ok());
            match head.ty {
                Type::Ours(RecordType::NsInit(kind) | RecordType::NsDel(kind)) => {
                    let name = format!("{}ns", kind.name());
                    let Some(own) = number(&name) else { continue };
                    let id = record.raw("ns_id").and_then(|id| id.parse().ok());
                    let below = number(&format!("old_{name}"))
                        .is_some_and(|old| self.own.contains(&(node.clone(), kind, old)));
                    let key = (node.clone(), kind, own);
                    let selected = match selector {
                        ContainerSelector::Id(wanted) => id == Some(wanted),
                        ContainerSelector::Number(of, wanted) => (of, wanted) == (kind, own),
                        ContainerSelector::Inode(wanted) => wanted == own,
                        ContainerSelector::Name(_) => false,
                    };
                    let deleted = matches!(head.ty, Type::Ours(RecordType::NsDel(_)));
                    let known = match deleted {
                        true => self.own.remove(&key),
                        false => false,
                    };
                    is |= selected || below || known;
                    if (selected || below) && !deleted && self.own.len() < MOST {
                        self.own.insert(key);
                    }
                }
                Type::Ours(RecordType::NsInfo) => {
                    for kind in NsKind::ALL {
                        let Some(seen) = number(&format!("{}ns", kind.name())) else {
                            continue;
                        };
                        let selected = match selector {
                            ContainerSelector::Number(of, wanted) => (of, wanted) == (kind, seen),
                            ContainerSelector::Inode(wanted) => wanted == seen,
                            _ => false,
                        };
                        is |= selected || self.own.contains(&(node.clone(), kind, seen));
                    }
                }
                Type::Virt(VirtType::Control) => {
                    let (vm, uuid) = (record.text("vm"), record.text("uuid"));
                    if let (ContainerSelector::Name(name), Some(vm), Some(uuid)) =
                        (&selector, vm, uuid)
                    {
                        if name.len() >= 8 && uuid.starts_with(name.as_str()) {
                            self.called.insert(vm.into_owned());
                            is = true;
                        }
                    }
                }
                _ => {}
            }
        }
        is
    }
}

/// Returns the command line of `event`.
fn command(event: &Event) -> Vec<String> {
    let title = |head: crate::record::Head<'_>| {
        let record = Fields::of(&head);
        (head.ty == Type::Proctitle)
            .then(|| record.raw("proctitle").map(arguments))
            .flatten()
    };
    event.records().find_map(title).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::containers::Containers;
    use super::super::events::Events;
    use super::*;
    use std::time::Instant;

    /// Returns the serial numbers of the events of `log` that pass.
    fn passed(log: &str, mut filter: Filter) -> Vec<u64> {
        let (mut events, mut containers) = (Events::default(), Containers::default());
        let mut all = Vec::new();
        for line in log.lines() {
            all.extend(events.record(line.as_bytes(), None, Instant::now()));
        }
        all.extend(events.all());
        let mut serials = Vec::new();
        for event in all {
            let context = containers.classify(&event);
            if filter.passes(&event, &context) {
                serials.push(event.id.serial);
            }
        }
        serials
    }

    #[test]
    fn events_are_selected_by_kind_and_device() {
        let names = include_str!("../../tests/corpus/f-names.log");
        let device = |text: &str| {
            let device = DeviceSelector::parse(text).expect(text);
            Filter::new(Vec::new(), None, Some(device))
        };
        let ledger = passed(names, device("/dev/mapper/ledger"));
        assert_eq!(ledger, passed(names, device("252:4")));
        assert_eq!(ledger.len(), 1);
        assert!(passed(names, device("absent")).is_empty());
        let log = include_str!("../../tests/logs/dm.log");
        let kind = |kind| passed(log, Filter::new(vec![kind], None, None)).len();
        let violations = log.matches("type=DM_EVENT").count();
        assert_eq!(kind(Kind::Violation), violations);
        assert!(kind(Kind::Error) > violations, "a constructor fails");
        assert!(kind(Kind::Dm) > kind(Kind::Error));
        assert_eq!(kind(Kind::Ns), 0);
    }

    #[test]
    fn events_are_selected_by_container() {
        let log = include_str!("../../tests/logs/containers.log");
        let container = |text: &str| {
            let container = ContainerSelector::parse(text).expect(text);
            passed(log, Filter::new(Vec::new(), Some(container), None))
        };
        assert!(container("db").len() > 10);
        assert!(container("absent").is_empty());
        // bwrap's, which has no name.
        assert!(container("53").len() > 1);
        // By the inode number that lsns prints.
        let (net, all) = (container("netns=320"), container("4026532160"));
        assert!(net.len() > 1);
        assert!(net.iter().all(|serial| all.contains(serial)), "{all:?}");
    }
}
