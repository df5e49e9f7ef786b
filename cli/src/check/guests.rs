// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges the sequence of a guest's records: the begin of a start, one stop for each start, a
//! descriptor for each interface, an attach for each detach.
//!
//! The cost of a record does not depend on the number of guests.

use super::finding::{Finding, Rule};
use super::virt::JudgedGuest;
use crate::record::Head;
use crate::record::by_host::{ByHost, Keyed};
use crate::record::host::PerHost;
use dmns_audit_log::virt::VirtType;

/// The state of all guests.
#[derive(Debug, Default)]
pub(super) struct Guests {
    all: ByHost<Guest>,
    /// The number of times that each host went down or came up.
    downs: PerHost<u32>,
    /// Records may be missing.
    lossy: bool,
}

#[derive(Debug, Default)]
struct Guest {
    uuid: Box<str>,
    /// The value of `downs` of its host at its last record.
    downs: u32,
    /// The number of its instances: two, while it moves from one libvirt of the host to another.
    runs: u32,
    /// A record of this log shows whether it ran. A record that is missing since then is an error.
    known: bool,
    /// VIRT_MACHINE_ID came since it was last started.
    named: bool,
    /// Interfaces with an open descriptor that are not attached yet.
    opened: Vec<String>,
    /// Its resources, and the count of each: kind and value. Amounts are not here.
    has: Vec<(Box<str>, u32)>,
}

impl Keyed for Guest {
    type Name<'a> = &'a str;

    fn name(&self) -> &str {
        &self.uuid
    }

    fn is(&self, uuid: &&str) -> bool {
        *self.uuid == **uuid
    }
}

impl Guests {
    /// Creates the judge. `lossy`: missing records may have been lost.
    pub(super) fn new(lossy: bool) -> Self {
        Self {
            lossy,
            ..Self::default()
        }
    }

    /// Ends the guests of the host of `head`, which goes down or came up. A host may have very
    /// many, so each is updated at its next record.
    pub(super) fn down(&mut self, head: &Head<'_>) {
        *self.downs.of(head.host) += 1;
    }

    /// Judges a record of a guest.
    pub(super) fn record(&mut self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let Some(uuid) = judged.value("uuid") else {
            return;
        };
        let host = judged.head.host;
        let downs = *self.downs.of(host);
        let at = self.all.find(host, &uuid).unwrap_or_else(|| {
            let guest = Guest {
                uuid: uuid.into(),
                downs,
                ..Guest::default()
            };
            self.all.add(host, guest)
        });
        let Some(guest) = self.all.at_mut(at) else {
            return;
        };
        if guest.downs != downs {
            // This log named it before, so it is off.
            *guest = Guest {
                uuid: std::mem::take(&mut guest.uuid),
                downs,
                known: true,
                ..Guest::default()
            };
        }
        let before = out.len();
        let success = judged.value("res") == Some("success");
        match (judged.ty, judged.value("op")) {
            (VirtType::MachineId, _) => {
                guest.named = true;
                if guest.runs == 0 {
                    guest.has.clear();
                    guest.opened.clear();
                }
            }
            (VirtType::Control, Some("start")) => guest.starts(judged, success, out),
            (VirtType::Control, Some("stop")) if success => guest.stops(judged, out),
            (VirtType::Control, Some("init")) if success => guest.init(judged, out),
            (VirtType::Resource, _) if success => guest.resource(judged, out),
            _ => {}
        }
        if self.lossy {
            for finding in &mut out[before..] {
                *finding = finding.clone().note();
            }
        }
    }
}

impl Guest {
    fn starts(&mut self, judged: &JudgedGuest<'_>, success: bool, out: &mut Vec<Finding>) {
        if !self.named {
            let message = "no VIRT_MACHINE_ID of this guest comes before its start".to_owned();
            let finding = judged.finding(Rule::GuestStart, "op", message);
            out.push(self.weigh(finding));
        }
        let moves = judged.value("reason") == Some("migrated");
        if self.runs > 0 && success && !moves {
            let message = "it is started a second time, and was not stopped".to_owned();
            out.push(judged.finding(Rule::GuestStop, "op", message));
            self.runs = 0;
        }
        self.named = false;
        self.known = true;
        self.runs += u32::from(success);
        if self.runs == 0 {
            self.has.clear();
        }
        // A descriptor that is unused by now stays unused.
        self.opened.clear();
    }

    /// Judges the record of a container's first process. libvirt writes it while, or right after,
    /// the container is started.
    fn init(&mut self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        if self.runs == 0 && !self.named {
            let message = "its first process runs, but it was not started".to_owned();
            let finding = judged.finding(Rule::GuestStart, "op", message);
            out.push(self.weigh(finding));
        }
    }

    fn stops(&mut self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        if self.runs == 0 {
            let message = match self.known {
                true => "it is stopped a second time".to_owned(),
                false => "its start is not in this log".to_owned(),
            };
            let finding = judged.finding(Rule::GuestStop, "op", message);
            out.push(self.weigh(finding));
        }
        self.runs = self.runs.saturating_sub(1);
        self.known = true;
        self.named = false;
        if self.runs == 0 {
            self.has.clear();
            self.opened.clear();
        }
    }

    fn resource(&mut self, judged: &JudgedGuest<'_>, out: &mut Vec<Finding>) {
        let (Some(kind), Some(reason)) = (judged.value("resrc"), judged.value("reason")) else {
            return;
        };
        if (kind, reason) == ("net", "open") {
            self.opened.extend(judged.value("net").map(str::to_owned));
            return;
        }
        // Numbers grow and shrink; a device is identified by what it is.
        if matches!(kind, "mem" | "vcpu" | "iothread" | "cgroup") {
            return;
        }
        let value = |prefix: &str| {
            let name = format!("{prefix}{kind}");
            let value = judged.value(&name).filter(|value| *value != "\"?\"")?;
            Some(value)
        };
        let (old, new) = (value("old-"), value("new-"));
        // No kind has a space.
        let what = |value: &str| format!("{kind} {value}").into_boxed_str();
        if let Some(mac) = new {
            let mac = mac.trim_matches('"');
            let known = self.opened.len();
            self.opened.retain(|opened| opened != mac);
            // No descriptor is recorded for a container.
            let vm = judged.value("virt") != Some("oci");
            if vm && kind == "net" && known == self.opened.len() && reason != "update" {
                let message = format!("no descriptor was opened for {mac} in this log");
                let mut finding = judged
                    .finding(Rule::NetWithoutOpen, "new-net", message)
                    .note();
                finding.help = Some(
                    "an interface in user space (passt, vhost-user) needs none; libvirt also records the interfaces of a \
                     start that failed early"
                        .to_owned(),
                );
                out.push(finding);
            }
        }
        if let Some(old) = old {
            let what = what(old);
            match self.has.iter().position(|(own, _)| *own == what) {
                Some(at) if self.has[at].1 > 1 => self.has[at].1 -= 1,
                Some(at) => drop(self.has.swap_remove(at)),
                // Only if this log has the guest's start.
                None if self.runs > 0 => {
                    let message = format!("{old} is detached, but was not attached in this log");
                    let name = format!("old-{kind}");
                    out.push(
                        judged
                            .finding(Rule::DetachWithoutAttach, &name, message)
                            .note(),
                    );
                }
                None => {}
            }
        }
        if let Some(new) = new {
            let what = what(new);
            match self.has.iter_mut().find(|(own, _)| *own == what) {
                Some((_, number)) => *number += 1,
                None => {
                    self.has.reserve_exact(1);
                    self.has.push((what, 1));
                }
            }
        }
    }

    /// Makes `finding` a note if the log may begin in the middle of the guest's records.
    fn weigh(&self, finding: Finding) -> Finding {
        match self.known {
            true => finding,
            false => finding.note(),
        }
    }
}
