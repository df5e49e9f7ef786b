// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Containers: what their runtime recorded (VIRT_CONTROL), else what their making shows.
//!
//! Namespaces are made for a container by one system call (crun, lxc, bwrap), or by a few of processes that made each
//! other (runc, crun with a control group's, systemd-nspawn). Those belong together that the same process made, or
//! one that came of it, within seconds, each of another kind. It is a container if it has processes (pid) and files
//! (mnt) of its own, and one thing more. A network may be older, as with a bridge or in a pod: it is not the
//! container's own.

use super::making::{Making, Makings};
use super::namespace::Namespace;
use super::tree::Tree;
use crate::record::Head;
use crate::record::host::Host;
use crate::record::users::Users;
use crate::record::value::{Fields, decoded, text};
use crate::report::id::{Id, Proof, Who};
use dmns_audit_log::line::fields;
use dmns_audit_uapi::ns::{Kind, relative};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// A container, from its making to the end of its processes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Container {
    /// Its place among all.
    pub order: u64,
    /// `node=`, where the log has it.
    pub node: Option<String>,
    /// Its name, where the log has one.
    pub name: Option<String>,
    /// The runtime's id.
    pub uuid: Option<String>,
    /// The runtime that recorded it.
    pub runtime: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// The pod that it is in.
    pub pod: Option<String>,
    /// The task that created it.
    pub maker: Option<Who>,
    /// Time of creation; `None` if that is not in the log.
    pub start: Option<Id>,
    /// Time of its end.
    pub end: Option<Id>,
    /// It ended with the machine.
    pub down: bool,
    /// Exit status of its first process, where its runtime recorded it.
    pub status: Option<i64>,
    /// Its own namespaces: kind, number, id.
    pub namespaces: Vec<(String, i32, Option<u64>)>,
    /// Number of events inside.
    pub events: u64,
    /// Number of violations in those.
    pub violations: u64,
    /// Its runtime recorded it.
    pub recorded: bool,
    /// The events that it was made from.
    pub proof: Proof,
}

impl Container {
    /// Created as a probe, as libvirt's LXC driver does in addition to each container that it records.
    pub(super) fn is_probe(&self) -> bool {
        let of_libvirt = |who: &Who| who.comm.starts_with("libvirt_lxc");
        !self.recorded && self.maker.as_ref().is_some_and(of_libvirt)
    }
}

/// Maximum number of ended containers that may still get their status.
const RECENT: usize = 256;

/// All active containers.
#[derive(Debug, Default)]
pub struct Containers {
    makings: Makings,
    pub(super) living: HashMap<u64, Box<Container>>,
    /// By host and the runtime's id.
    by_uuid: HashMap<(Host, String), u64>,
    /// By host and the id of a namespace, where the log has not its creation.
    by_ns: HashMap<(Host, u64), u64>,
    /// Ended containers, oldest first.
    recent: std::collections::VecDeque<(Host, u64)>,
    order: u64,
    /// Complete containers.
    pub(super) done: Vec<Container>,
}

impl Containers {
    /// Returns the container at the place `order`, if it is active or ended just now.
    pub fn get(&self, order: u64) -> Option<&Container> {
        self.living.get(&order).map(|container| &**container)
    }

    /// A runtime recorded the container with this id.
    pub(super) fn is_recorded(&mut self, head: &Head<'_>, id: &str) -> bool {
        let host = head.host;
        self.by_uuid.contains_key(&(host, id.to_owned()))
    }

    /// The system call `head` made the namespaces `created`.
    pub(super) fn made(&mut self, head: &Head<'_>, created: &[u64], tree: &mut Tree) {
        if created.is_empty() {
            return;
        }
        let body = text(head.body);
        let mut call = Making::default();
        for field in fields(&body) {
            match field.name {
                "pid" => call.pid = field.value.parse().unwrap_or(0),
                "ppid" => call.parent = field.value.parse().unwrap_or(0),
                // clone() and clone3() return the child; others 0.
                "exit" => call.child = field.value.parse().unwrap_or(0),
                _ => {}
            }
        }
        let host = head.host;
        let own = |order: &u64| tree.get(*order).map(|made| (made.kind(), *order));
        call.namespaces = created.iter().filter_map(own).collect();
        let first = tree.get(created[0]);
        let maker = first.and_then(|made| made.maker.clone());
        let Some(made) = self.makings.add(host, Id::from(head.stamp), call, maker) else {
            return;
        };
        let order = match made.container {
            Some(order) => order,
            None => {
                self.order += 1;
                let mut container = Container {
                    order: self.order,
                    node: head.node_name(),
                    maker: made.maker.clone(),
                    start: Some(made.start),
                    ..Container::default()
                };
                container.proof.add(made.start);
                made.container = Some(self.order);
                self.living.insert(self.order, Box::new(container));
                self.order
            }
        };
        let namespaces = made.namespaces.clone();
        for (_, namespace) in namespaces {
            self.has(order, namespace, tree);
        }
    }

    /// The container `order` has the namespace for its own.
    fn has(&mut self, order: u64, namespace: u64, tree: &mut Tree) {
        let Some(namespace) = tree.get_mut(namespace) else {
            return;
        };
        if namespace.container.is_some() {
            return;
        }
        namespace.container = Some(order);
        if let Some(container) = self.living.get_mut(&order) {
            let kind = namespace.kind().name().to_owned();
            let own = (kind, namespace.number, namespace.id);
            container.namespaces.push(own);
        }
    }

    /// Takes an `NS_INFO` with the namespaces `seen`. Returns their container.
    pub(super) fn inside(&self, seen: &[u64], tree: &Tree) -> Option<u64> {
        let of = |kind: Kind| {
            seen.iter()
                .filter_map(|order| tree.get(*order))
                .filter(|namespace| namespace.kind() == kind)
                .find_map(|namespace| namespace.container)
        };
        of(Kind::Mnt).or_else(|| of(Kind::Pid))
    }

    /// Something happened inside the container `order`.
    pub(super) fn count(&mut self, order: u64, events: u64, violations: u64) {
        if let Some(container) = self.living.get_mut(&order) {
            container.events += events;
            container.violations += violations;
        }
    }

    /// Takes a `VIRT_CONTROL` of a container runtime. Returns the container that got a name.
    pub(super) fn control(
        &mut self,
        head: &Head<'_>,
        tree: &mut Tree,
        users: &Users,
    ) -> Option<u64> {
        let record = Fields::of(head);
        if record.raw("virt").is_none() && record.raw("uuid").is_none() {
            return self.docker(head, &record, users);
        }
        let uuid = record.raw("uuid")?;
        let key = (head.host, uuid.to_owned());
        match (record.raw("virt")?, record.raw("op")?) {
            ("oci", "start") | ("lxc", "init") => {
                let order = self.named(head, &record, tree, users)?;
                self.by_uuid.insert(key, order);
                Some(order)
            }
            ("oci" | "lxc", "stop") => {
                let order = self.by_uuid.remove(&key)?;
                let container = self.living.get_mut(&order)?;
                container.status = record.raw("status").and_then(|text| text.parse().ok());
                container.proof.add(Id::from(head.stamp));
                self.ends(head.host, order, Id::from(head.stamp), false);
                None
            }
            _ => None,
        }
    }

    /// A record of Red Hat's Docker, which has neither `virt=` nor `uuid=`: `vm=` is what the container was made of, and
    /// `vm-pid=` its first process, where that is known. Returns which was named.
    ///
    /// Source: projectatomic/docker `daemon/audit.go` and `api/server/audit.go`.
    fn docker(&mut self, head: &Head<'_>, record: &Fields<'_>, users: &Users) -> Option<u64> {
        let (vm, op) = (record.text("vm")?, record.raw("op")?);
        let docker = record.fields().any(|field| {
            field.name == "exe"
                && decoded(field.value)
                    .rsplit('/')
                    .next()
                    .is_some_and(|exe| exe.starts_with("docker"))
        });
        if !docker || vm.is_empty() || vm == "?" || record.raw("res") == Some("failed") {
            return None;
        }
        let pid = record
            .raw("vm-pid")
            .and_then(|pid| pid.parse::<u64>().ok())
            .filter(|pid| *pid > 0);
        let named = format!("{vm} ");
        let key = |pid: Option<u64>| {
            (
                head.host,
                pid.map_or(named.clone(), |pid| format!("{named}{pid}")),
            )
        };
        let known = self
            .by_uuid
            .get(&key(pid))
            .or_else(|| self.by_uuid.get(&key(None)))
            .copied();
        let id = Id::from(head.stamp);
        if matches!(
            op,
            "stop" | "kill" | "die" | "destroy" | "rm" | "remove" | "delete"
        ) {
            let order = known.or_else(|| self.docker_container(head, record, &vm, None, users))?;
            if let Some(container) = self.living.get_mut(&order) {
                container.proof.add(id);
            }
            self.by_uuid.retain(|_, other| *other != order);
            self.ends(head.host, order, id, false);
            return Some(order);
        }
        let starts = matches!(op, "start" | "create" | "run");
        let order = match known {
            Some(order) => order,
            None => self.docker_container(head, record, &vm, starts.then_some(id), users)?,
        };
        self.by_uuid.remove(&key(None));
        self.by_uuid.insert(key(pid), order);
        if let Some(container) = self.living.get_mut(&order) {
            container.proof.add(id);
        }
        Some(order)
    }

    fn docker_container(
        &mut self,
        head: &Head<'_>,
        record: &Fields<'_>,
        vm: &str,
        start: Option<Id>,
        users: &Users,
    ) -> Option<u64> {
        self.order += 1;
        let container = Container {
            order: self.order,
            node: head.node_name(),
            name: Some(vm.to_owned()),
            runtime: Some("docker".to_owned()),
            image: Some(vm.to_owned()),
            maker: Some(Who::of(head, record.fields(), users)),
            start,
            recorded: true,
            ..Container::default()
        };
        self.living.insert(self.order, Box::new(container));
        Some(self.order)
    }

    /// Returns the container that a runtime recorded; a new one, if its creation is not in the log.
    fn named(
        &mut self,
        head: &Head<'_>,
        record: &Fields<'_>,
        tree: &mut Tree,
        users: &Users,
    ) -> Option<u64> {
        let host = head.host;
        let id = |kind: Kind| record.raw(&format!("{}ns_id", kind.name()))?.parse().ok();
        let ids: Vec<(Kind, u64)> = Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, id(kind)?)))
            .collect();
        // A namespace of the host's own is shared with it.
        let own = |order: &u64, tree: &Tree| tree.get(*order).is_some_and(|known| !known.initial);
        let mut known = Vec::new();
        for kind in [Kind::Pid, Kind::Mnt] {
            let recorded = ids.iter().find(|(k, _)| *k == kind).map(|(_, id)| *id);
            let order = match (recorded, kind) {
                (Some(id), _) => tree.with_id(head, id),
                (None, Kind::Pid) => record
                    .raw("pid-ns")
                    .and_then(|inode| inode.parse::<u32>().ok())
                    .and_then(|inode| tree.known(head, Kind::Pid, relative(inode))),
                _ => None,
            };
            known.extend(order.filter(|order| own(order, tree)));
        }
        let made = known
            .iter()
            .find_map(|order| tree.get(*order).and_then(|namespace| namespace.container));
        let order = made.filter(|order| self.living.contains_key(order));
        let order = order.unwrap_or_else(|| {
            self.order += 1;
            let container = Container {
                order: self.order,
                node: head.node_name(),
                maker: Some(Who::of(head, fields(&text(head.body)), users)),
                start: Some(Id::from(head.stamp)),
                ..Container::default()
            };
            self.living.insert(self.order, Box::new(container));
            self.order
        });
        for namespace in known {
            self.has(order, namespace, tree);
        }
        let container = self.living.get_mut(&order)?;
        let value = |name: &str| record.text(name).map(|text| text.into_owned());
        container.name = value("vm").filter(|name| !name.is_empty());
        container.uuid = value("uuid");
        container.runtime = value("runtime").or_else(|| value("virt").filter(|virt| virt == "lxc"));
        container.image = value("image");
        container.pod = value("pod");
        container.recorded = true;
        container.proof.add(Id::from(head.stamp));
        // The id of a container from before the log identifies its end.
        if container.namespaces.is_empty() {
            for (kind, id) in ids {
                if matches!(kind, Kind::Pid | Kind::Mnt) {
                    self.by_ns.insert((host, id), order);
                }
            }
        }
        Some(order)
    }

    /// The namespace ended: a container ends with its processes.
    pub(super) fn ended(&mut self, host: Host, namespace: &Namespace) {
        let of_id = namespace.id.and_then(|id| self.by_ns.remove(&(host, id)));
        let Some(order) = namespace.container.or(of_id) else {
            return;
        };
        let has_pid = |container: &Container| {
            container
                .namespaces
                .iter()
                .any(|(kind, ..)| kind == Kind::Pid.name())
        };
        let last = match namespace.kind() {
            Kind::Pid => true,
            Kind::Mnt => self.living.get(&order).is_some_and(|own| !has_pid(own)),
            _ => false,
        };
        if let Some(end) = namespace.end.filter(|_| last) {
            if let Some(container) = self.living.get_mut(&order) {
                container.proof.add(end);
            }
            self.ends(host, order, end, namespace.down);
        }
    }

    fn ends(&mut self, host: Host, order: u64, id: Id, down: bool) {
        let Some(container) = self.living.get_mut(&order) else {
            return;
        };
        if container.end.is_some() {
            return;
        }
        container.end = Some(id);
        container.down = down;
        self.recent.push_back((host, order));
        if self.recent.len() > RECENT {
            let Some((host, oldest)) = self.recent.pop_front() else {
                return;
            };
            if let Some(container) = self.living.remove(&oldest) {
                if let Some(uuid) = &container.uuid {
                    self.by_uuid.remove(&(host, uuid.clone()));
                }
                self.done.push(*container);
            }
        }
    }

    /// The log ends.
    pub(super) fn end(&mut self) {
        let living = std::mem::take(&mut self.living).into_values();
        self.done.extend(living.map(|container| *container));
    }
}
