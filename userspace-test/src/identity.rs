// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Names of namespaces that are the same in two runs of the same steps.
//!
//! Numbers and ids differ from guest to guest. Here, the second network namespace that a log
//! creates is `net#2` in each field that means it.

use dmns_audit_log::line::Line;
use dmns_audit_uapi::types::RecordType;
use std::collections::HashMap;

/// The namespaces that a log has created so far.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// How many of each kind.
    created: HashMap<String, usize>,
    /// Names by `ns_id=`.
    by_id: HashMap<String, String>,
    /// Names by kind and number: that of the last one, as numbers are used again.
    by_number: HashMap<(String, String), String>,
}

impl Namespaces {
    /// Returns the fields of a record of namespaces with the names in place of numbers and ids.
    pub(crate) fn fields<'a>(&mut self, line: &Line<'a>) -> Vec<(&'a str, String)> {
        if let Some(RecordType::NsInit(kind)) = line.record_type() {
            let kind = kind.name();
            let count = self.created.entry(kind.to_owned()).or_default();
            *count += 1;
            let name = format!("{kind}#{count}");
            if let Some(id) = line.field("ns_id") {
                self.by_id.insert(id.to_owned(), name.clone());
            }
            if let Some(number) = line.field(&format!("{kind}ns")) {
                let key = (kind.to_owned(), number.to_owned());
                self.by_number.insert(key, name);
            }
        }
        let deleted = match line.record_type() {
            Some(RecordType::NsDel(_)) => line.field("ns_id").and_then(|id| self.by_id.get(id)),
            _ => None,
        };
        line.fields()
            .map(|field| {
                let value = match (field.name, deleted) {
                    // That of nsfs: the order in which filesystems are mounted.
                    ("dev", _) => "*".to_owned(),
                    ("ns_id" | "owner_ns_id", _) => match self.by_id.get(field.value) {
                        Some(name) => name.clone(),
                        None => "older".to_owned(),
                    },
                    // Its number may have a new owner already.
                    (name, Some(deleted)) if name.ends_with("ns") => deleted.clone(),
                    (name, _) => self.number(name, field.value),
                };
                (field.name, value)
            })
            .collect()
    }

    /// Returns the name of the namespace that a field like `old_netns=` has the number of. Initial
    /// ones have negative numbers, which are the same everywhere.
    fn number(&self, name: &str, value: &str) -> String {
        let name = name.strip_suffix("_for_children").unwrap_or(name);
        let kind = name.strip_prefix("old_").unwrap_or(name).strip_suffix("ns");
        match kind {
            Some(kind) if value.parse::<u32>().is_ok() => {
                let key = (kind.to_owned(), value.to_owned());
                self.by_number
                    .get(&key)
                    .map_or("older", |name| name)
                    .to_owned()
            }
            _ => value.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(log: &[(&str, &str)]) -> Vec<String> {
        let mut namespaces = Namespaces::default();
        log.iter()
            .map(|(ty, body)| {
                let text = format!("type={ty} msg=audit(1.000:1): {body}");
                let line = Line::parse(&text).expect("a record");
                let fields = namespaces.fields(&line);
                let shown: Vec<_> = fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
                shown.join(" ")
            })
            .collect()
    }

    #[test]
    fn a_namespace_has_one_name_wherever_it_is_meant() {
        let run = |number: u32, id: u32| {
            named(&[
                (
                    "UNKNOWN[1385]",
                    &format!("pid=9 dev=00:04 old_netns=-7 netns={number} ns_id={id} res=1"),
                ),
                (
                    "UNKNOWN[1385]",
                    &format!(
                        "old_netns={number} netns={} ns_id={} res=1",
                        number + 1,
                        id + 1
                    ),
                ),
                // The number of the first is used again before its deletion is in the log.
                (
                    "UNKNOWN[1385]",
                    &format!("old_netns=-7 netns={number} ns_id={} res=1", id + 9),
                ),
                ("UNKNOWN[1393]", &format!("netns={number} ns_id={id} res=1")),
                (
                    "UNKNOWN[1396]",
                    &format!("netns={} pidns=77 pidns_for_children=-4", number + 1),
                ),
            ])
        };
        let one = run(320, 17);
        assert_eq!(
            one,
            [
                "pid=9 dev=* old_netns=-7 netns=net#1 ns_id=net#1 res=1",
                "old_netns=net#1 netns=net#2 ns_id=net#2 res=1",
                "old_netns=-7 netns=net#3 ns_id=net#3 res=1",
                "netns=net#1 ns_id=net#1 res=1",
                "netns=net#2 pidns=older pidns_for_children=-4",
            ]
        );
        assert_eq!(one, run(7, 400));
    }
}
