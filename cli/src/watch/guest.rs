// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A record of a guest in a sentence.

use crate::record::resource::{Opened, Resource, succeeded};
use crate::record::value::Fields;
use dmns_audit_log::virt::VirtType;

/// The sentence of an integrity check begins so.
pub const INTEGRITY_CHECK: &str = "integrity check";

/// Returns the sentence of a record of type `ty` without its user; `None` if it has no guest.
pub fn guest(ty: VirtType, body: &str) -> Option<String> {
    let record = Fields::new(body);
    let name = record.text("vm")?;
    if ty == VirtType::Control && record.raw("virt") == Some("oci") {
        return container(&record, &name);
    }
    let of = match record.raw("virt") {
        Some("oci" | "lxc") => "container",
        _ => "guest",
    };
    let vm = format!("{of} {name}");
    let reason = record.raw("reason").map(|reason| format!(" ({reason})"));
    let reason = reason.unwrap_or_default();
    let success = succeeded(&record);
    let verb = |plain: &str, base: &str| match success {
        true => plain.to_owned(),
        false => format!("failed to {base}"),
    };
    let text = |name: &str| record.text(name).unwrap_or_default();
    Some(match ty {
        VirtType::Control => match record.raw("op")? {
            "start" => format!("{} {vm}{reason}", verb("started", "start")),
            "stop" => format!("{} {vm}{reason}", verb("stopped", "stop")),
            op => format!("{op} of {vm}{reason}"),
        },
        VirtType::Resource => resource(&record, &vm, &reason, verb)?,
        VirtType::MachineId => format!("{} {vm}", verb("labelled", "label")),
        VirtType::IntegrityCheck => format!(
            "{INTEGRITY_CHECK} {} for {vm} by {}",
            match success {
                true => "passed",
                false => "failed",
            },
            text("mechanism")
        ),
        VirtType::Create => format!(
            "{} the image {} of {vm}",
            verb("created", "create"),
            text("path")
        ),
        VirtType::Destroy => format!(
            "{} the image {} of {vm}",
            verb("deleted", "delete"),
            text("path")
        ),
        VirtType::MigrateIn => {
            format!("{} {vm} from {}", verb("received", "receive"), text("peer"))
        }
        VirtType::MigrateOut => format!("{} {vm} to {}", verb("sent", "send"), text("peer")),
    })
}

/// Returns the sentence of the creation or deletion of a container.
fn container(record: &Fields<'_>, name: &str) -> Option<String> {
    let text = |field: &str, before: &str| match record.text(field) {
        Some(value) => format!("{before}{value}"),
        None => String::new(),
    };
    // Numbers: they would read as text in hexadecimal too.
    let number = |field: &str, before: &str| match record.raw(field) {
        Some(value) => format!("{before}{value}"),
        None => String::new(),
    };
    let claim = number("claim-uid", ", claimed by uid ");
    Some(match record.raw("op")? {
        "start" => format!(
            "created container {name}{}{}{}{claim}",
            text("image", " from "),
            text("pod", " in pod "),
            text("runtime", " by "),
        ),
        "stop" => format!(
            "deleted container {name}{}{claim}",
            number("status", ", status ")
        ),
        op => format!("{op} of container {name}"),
    })
}

fn resource(
    record: &Fields<'_>,
    vm: &str,
    reason: &str,
    verb: impl Fn(&str, &str) -> String,
) -> Option<String> {
    if let Some(opened) = Opened::of(record) {
        let opens = verb("opened", "open");
        return Some(format!(
            "{opens} {} for {} of {vm}",
            opened.show(),
            opened.mac
        ));
    }
    let resource = Resource::of(record)?;
    let kind = resource.kind;
    if kind == "cgroup" {
        let what = match record.raw("class") {
            Some("path") => format!(" {}", record.text("path").unwrap_or_default()),
            Some("major") => format!(" {}", record.raw("category").unwrap_or_default()),
            _ => String::new(),
        };
        let verb = match resource.reason {
            "deny" => verb("denied", "deny"),
            _ => verb("allowed", "allow"),
        };
        return Some(format!("{verb} {vm} cgroup{what}{reason}"));
    }
    let attached = || verb("attached", "attach");
    let detached = || verb("detached", "detach");
    Some(match (resource.old, resource.new) {
        (Some(old), None) => format!("{} {kind} {old} from {vm}{reason}", detached()),
        (Some(old), Some(new)) => format!(
            "{} {kind} {new} to {vm} in place of {old}{reason}",
            attached()
        ),
        (None, Some(new)) => format!("{} {kind} {new} to {vm}{reason}", attached()),
        (None, None) if resource.reason == "detach" => {
            format!("{} {kind} from {vm}{reason}", detached())
        }
        // A drive without a medium.
        (None, None) if matches!(record.raw_of(b"new-", kind), Some("?" | "\"?\"")) => {
            format!("{} empty {kind} to {vm}{reason}", attached())
        }
        (None, None) => format!("{} {kind} to {vm}{reason}", attached()),
    })
}
