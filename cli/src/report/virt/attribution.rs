// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attributes refusals and anomalies to guests, by SELinux level, AppArmor profile, file or process.

use super::guests::Guests;
use super::guests::index::Owner;
use super::labels::{Labelled, Labels, Level};
use super::row::{EndReason, Event, Row};
use crate::record::Head;
use crate::record::names::Names;
use crate::record::users::Users;
use crate::record::uuid::Uuid;
use crate::record::value::{Fields, decoded};
use crate::report::id::Id;

/// The labels of guests.
#[derive(Debug, Default)]
pub struct Attribution {
    labels: Labels,
}

/// `s0:c107,c434` of `system_u:system_r:svirt_t:s0:c107,c434`.
fn level(label: &str) -> Option<&str> {
    let colon = memchr::memchr_iter(b':', label.as_bytes()).nth(2)?;
    Some(&label[colon + 1..]).filter(|level| !level.is_empty())
}

impl Attribution {
    /// Takes a `VIRT_MACHINE_ID`: the label of a guest.
    pub fn machine_id(&mut self, head: &Head<'_>, record: &Fields<'_>, guests: &Guests) {
        let (Some(vm), Some(uuid)) = (record.text("vm"), record.raw("uuid")) else {
            return;
        };
        // Not a label, but a user and a group.
        if record.raw("model") == Some("dac") {
            return;
        }
        let labelled = Labelled {
            host: head.host,
            level: record.raw("vm-ctx").and_then(level).map(Level::of),
            vm: guests.names.get(&vm),
            uuid: Uuid::of(uuid),
            proof: guests.proof(Id::from(head.stamp)),
        };
        let is_there = |of: &Labelled| guests.knows(of.host, &of.uuid);
        self.labels.add(labelled, is_there);
    }

    fn by_level(&self, head: &Head<'_>, label: Option<&str>) -> Option<&Labelled> {
        self.labels.with_level(head.host, label.and_then(level)?)
    }

    /// Takes an `AVC`. Returns its row without a user, if it concerns a guest.
    pub fn refusal(&self, head: &Head<'_>, record: &Fields<'_>, guests: &Guests) -> Option<Row> {
        let names = &guests.names;
        let text = |name: &str| names.get(&record.text(name).unwrap_or_default());
        if let Some(label) = record.raw("scontext") {
            let guest = self.by_level(head, Some(label))?;
            let (result, operation) = selinux(record.body());
            let context = match operation.as_str() {
                "relabelfrom" => label,
                "relabelto" => record.raw("tcontext").unwrap_or_default(),
                _ => "",
            };
            let context = names.get(context);
            let event = Event::Avc {
                operation: names.get(&operation),
                result: names.get(result),
                comm: text("comm"),
                target: text("name"),
                context,
            };
            return Some(row(head, guest.owner(), event, names));
        }
        let result = record.raw("apparmor").map(decoded)?.to_lowercase();
        let profile = text("profile");
        let of_profile = profile
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_prefix("libvirt-"))
            .and_then(|uuid| self.labels.with_uuid(&Uuid::of(uuid)));
        let guest = match of_profile {
            Some(guest) => guest.owner(),
            None => guests.with_resource(head.host, &text("name"))?,
        };
        let event = Event::Avc {
            operation: text("operation"),
            result: names.get(&result),
            comm: text("comm"),
            target: text("name"),
            context: names.get(""),
        };
        Some(row(head, guest, event, names))
    }

    /// Takes an `ANOM_*` of a process, and attributes it to the guest that runs in it.
    pub fn anomaly(
        &self,
        head: &Head<'_>,
        record: &Fields<'_>,
        guests: &Guests,
        users: &Users,
    ) -> Anomaly {
        let names = &guests.names;
        let (nobody, no_proof) = (names.get(""), guests.no_proof());
        let nobody = Owner {
            vm: &nobody,
            uuid: &Uuid::none(),
            proof: &no_proof,
        };
        let event = Event::Anomaly {
            what: names.get(&String::from_utf8_lossy(head.name)),
            signal: record.raw("sig").and_then(|signal| signal.parse().ok()),
        };
        let mut row = row(head, nobody, event, names);
        if let Some(uid) = record.raw("uid") {
            row.user = names.get(&users.of_task(head.enrichment, record.raw("auid"), uid));
        }
        let pid = record.raw("pid").and_then(|pid| pid.parse().ok());
        let of_process = pid.and_then(|pid| guests.with_pid(head.host, pid));
        let session = of_process.or_else(|| {
            let guest = self.by_level(head, record.raw("subj"))?;
            guests.running(head.host, &guest.uuid)
        });
        match session {
            Some(session) => {
                owned_by(&mut row, session);
                Anomaly::Of(row)
            }
            // ANOM_PROMISCUOUS has no pid: its event's SYSCALL does.
            None if pid.is_none() && guests.run() => Anomaly::Waits(row),
            None => Anomaly::OfNobody,
        }
    }
}

/// The attribution of an anomaly.
#[derive(Debug)]
pub enum Anomaly {
    /// A guest's.
    Of(Row),
    /// The guest of the process in its event's SYSCALL, which is still missing.
    Waits(Row),
    /// No guest's.
    OfNobody,
}

/// Sets the guest of `row` to `owner`.
pub fn owned_by(row: &mut Row, owner: Owner<'_>) {
    row.vm.clone_from(owner.vm);
    row.uuid.clone_from(owner.uuid);
    let own = std::mem::replace(&mut row.proof, owner.proof.clone());
    row.proof.extend(&own);
}

fn row(head: &Head<'_>, guest: Owner<'_>, event: Event, names: &Names) -> Row {
    let id = Id::from(head.stamp);
    let mut proof = guest.proof.clone();
    proof.add(id);
    Row {
        event,
        node: head.node_name().map(|node| names.get(&node)),
        vm: guest.vm.clone(),
        uuid: guest.uuid.clone(),
        user: names.get("?"),
        start: id,
        end: None,
        end_reason: EndReason::Active,
        success: true,
        proof,
    }
}

/// `denied` and `read,write` of `avc:  denied  { read write } for ...`.
fn selinux(body: &str) -> (&str, String) {
    let result = body
        .split_whitespace()
        .find(|word| matches!(*word, "denied" | "granted"))
        .unwrap_or_default();
    let operations = body
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(inside, _)| inside.split_whitespace().collect::<Vec<_>>().join(","));
    (result, operations.unwrap_or_default())
}
