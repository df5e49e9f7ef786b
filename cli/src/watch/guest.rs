// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A record of a guest in a sentence.

use crate::record::resource::{Opened, Resource, succeeded};
use crate::record::value::Fields;
use dmns_audit_log::virt::VirtType;

/// What the record of type `ty` says, without who says it; `None` where it does not say of which guest.
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
        false => format!("fails to {base}"),
    };
    let text = |name: &str| record.text(name).unwrap_or_default();
    Some(match ty {
        VirtType::Control => match record.raw("op")? {
            "start" => format!("{} {vm}{reason}", verb("starts", "start")),
            "stop" => format!("{} {vm}{reason}", verb("stops", "stop")),
            op => format!("{op} of {vm}{reason}"),
        },
        VirtType::Resource => resource(&record, &vm, &reason, verb)?,
        VirtType::MachineId => format!("{} {vm}", verb("labels", "label")),
        VirtType::IntegrityCheck => format!(
            "{} the integrity of {vm} by {}",
            match success {
                true => "confirms",
                false => "refutes",
            },
            text("mechanism")
        ),
        VirtType::Create => format!(
            "{} the image {} of {vm}",
            verb("makes", "make"),
            text("path")
        ),
        VirtType::Destroy => format!(
            "{} the image {} of {vm}",
            verb("destroys", "destroy"),
            text("path")
        ),
        VirtType::MigrateIn => {
            format!("{} {vm} from {}", verb("takes", "take"), text("peer"))
        }
        VirtType::MigrateOut => format!("{} {vm} to {}", verb("sends", "send"), text("peer")),
    })
}

/// A container was made, or has ended.
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
    let claim = number("claim-uid", ", by the word of user ");
    Some(match record.raw("op")? {
        "start" => format!(
            "creates container {name}{}{}{}{claim}",
            text("image", " from "),
            text("pod", " in pod "),
            text("runtime", " by "),
        ),
        "stop" => format!(
            "ends container {name}{}{claim}",
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
        let opens = verb("opens", "open");
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
            "deny" => verb("denies", "deny"),
            _ => verb("allows", "allow"),
        };
        return Some(format!("{verb} {vm} cgroup{what}{reason}"));
    }
    Some(match (resource.old, resource.new) {
        (Some(old), None) => {
            format!(
                "{} {vm} {kind} {old}{reason}",
                verb("takes from", "take from")
            )
        }
        (Some(old), Some(new)) => format!(
            "{} {vm} {kind} {new} instead of {old}{reason}",
            verb("gives", "give")
        ),
        (None, Some(new)) => format!("{} {vm} {kind} {new}{reason}", verb("gives", "give")),
        (None, None) if resource.reason == "detach" => {
            format!("{} {vm} {kind}{reason}", verb("takes from", "take from"))
        }
        // A drive without a medium.
        (None, None) if matches!(record.raw_of(b"new-", kind), Some("?" | "\"?\"")) => {
            format!(
                "{} {vm} {kind}: empty{reason}",
                verb("prepares for", "prepare for")
            )
        }
        (None, None) => format!("{} {vm} {kind}{reason}", verb("gives", "give")),
    })
}
