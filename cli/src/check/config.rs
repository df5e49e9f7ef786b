// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges the module's `CONFIG_CHANGE` records: their values, and their presence before a baseline.

use super::baseline::Baseline;
use super::finding::{Finding, Rule};
use super::judge::Judged;
use crate::input::Place;
use crate::input::lines::Raw;
use crate::record::Head;
use crate::record::host::Host;
use crate::record::value::text;
use dmns_audit_log::line::fields;
use dmns_audit_uapi::types::RecordType;
use hashbrown::HashMap;

/// The maximum time between a baseline and the record of its cause, in seconds of the log.
const NEAR: u64 = 60;

/// The highest level of NS_INFO.
const LEVELS: u64 = 2;

/// Judges `CONFIG_CHANGE`.
#[derive(Debug, Default)]
pub(super) struct Config {
    hosts: HashMap<Host, Changes>,
}

/// The changes of a host.
#[derive(Debug, Default)]
struct Changes {
    /// The second of the last change that causes a baseline.
    last: Option<u64>,
    /// A baseline without one, and its second.
    baseline: Option<(u64, Finding)>,
}

/// Returns whether a record called `name` is a `CONFIG_CHANGE`.
pub(super) fn is_config(name: &[u8]) -> bool {
    matches!(name, b"CONFIG_CHANGE" | b"1305" | b"UNKNOWN[1305]")
}

/// What a `CONFIG_CHANGE` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// It is the module's.
    pub(super) ours: bool,
    /// It begins or ends the recording of namespaces.
    pub(super) switches: bool,
}

impl Config {
    /// Takes a `CONFIG_CHANGE`.
    pub(super) fn record(
        &mut self,
        head: &Head<'_>,
        place: Place,
        raw: &Raw<'_>,
        out: &mut Vec<Finding>,
    ) -> Change {
        let body = text(head.body);
        let value = |name: &str| fields(&body).find(|field| field.name == name);
        let of = |name: &str| value(name).map(|field| field.value);
        let module = of("module") == Some("dmns_audit");
        let loads = of("op") == Some("load") && module;
        let enables = of("audit_enabled").is_some_and(|enabled| enabled != "0");
        if loads || enables {
            let changes = self.hosts.entry(head.host).or_default();
            changes.last = Some(head.stamp.seconds);
            let near = |(at, _): &mut (u64, Finding)| at.abs_diff(head.stamp.seconds) <= NEAR;
            drop(changes.baseline.take_if(near));
        }
        let ours = module || of("dmns_audit_info").is_some() || of("dmns_audit_select").is_some();
        let switched = of("audit_enabled").is_some_and(|enabled| of("old") != Some(enabled));
        let change = Change {
            ours,
            switches: (module || switched) && of("res") != Some("0"),
        };
        if !ours {
            return change;
        }
        let mut wrong = |name: &str, message: String| {
            let at = memchr::memmem::find(head.body, format!("{name}=").as_bytes());
            let length = value(name).map_or(0, |field| name.len() + 1 + field.value.len());
            let span = match at {
                Some(at) => head.body_at + at..head.body_at + at + length,
                None => head.name_at..head.name_at + head.name.len(),
            };
            let mut finding = Finding::new(Rule::ConfigChange, place, raw.text, span, message);
            finding.contract = "CONFIG_CHANGE of the module (docs/reference/records.md)".to_owned();
            out.push(finding);
        };
        let mut number = |name: &str, most: u64| match of(name).map(str::parse::<u64>) {
            Some(Ok(number)) if number <= most => {}
            Some(_) => {
                let found = of(name).unwrap_or_default();
                wrong(name, format!("{name}={found}: 0 to {most} expected"));
            }
            None => wrong(name, format!("{name}= is missing")),
        };
        number("res", 1);
        number("auid", u32::MAX.into());
        number("ses", u32::MAX.into());
        // What is refused may be any number.
        let refused = of("res") == Some("0");
        match of("op") {
            Some("load") => {
                number("dm", 1);
                number("ns", 1);
                number("info", LEVELS);
            }
            Some("unload") => {}
            Some("set") if of("dmns_audit_info").is_some() => {
                number(
                    "dmns_audit_info",
                    if refused { u32::MAX.into() } else { LEVELS },
                );
                number("old", LEVELS);
            }
            Some("set") => match of("dmns_audit_select") {
                Some("exclude" | "only" | "join" | "clear") => {}
                what => wrong(
                    "dmns_audit_select",
                    format!(
                        "dmns_audit_select={}: exclude, only, join or clear expected",
                        what.unwrap_or_default()
                    ),
                ),
            },
            op => wrong(
                "op",
                format!(
                    "op={}: load, unload or set expected",
                    op.unwrap_or_default()
                ),
            ),
        }
        change
    }

    /// Takes a record of the module: a baseline has a cause.
    pub(super) fn ours(&mut self, judged: &Judged<'_>) {
        let RecordType::NsInit(kind) = judged.ty else {
            return;
        };
        let begins = judged.number("ns_id") == Some(Baseline::FIRST)
            && judged.value(&format!("old_{}ns", kind.name())) == Some("(none)");
        if !begins {
            return;
        }
        let now = judged.head.stamp.seconds;
        let changes = self.hosts.entry(judged.head.host).or_default();
        if changes.last.is_some_and(|last| last.abs_diff(now) <= NEAR) {
            return;
        }
        let message = "no CONFIG_CHANGE is near this baseline: neither op=load of the module, nor audit_enabled=1";
        let mut finding = judged
            .finding(Rule::ConfigChange, message.to_owned())
            .note();
        finding.help = Some("a log of some types only does not have it".to_owned());
        changes.baseline.get_or_insert((now, finding));
    }

    /// Reports the baselines without a cause, at the end of the log.
    pub(super) fn end(&mut self, out: &mut Vec<Finding>) {
        let first = out.len();
        let left = self
            .hosts
            .values_mut()
            .filter_map(|changes| changes.baseline.take());
        out.extend(left.map(|(_, finding)| finding));
        out[first..].sort_by_key(|finding| finding.place);
    }
}
