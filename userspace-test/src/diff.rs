// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test diff`: the same steps with the module and without it, record for record.
//!
//! dm-audit.c is the judge of device-mapper records. All must be equal except for time and process:
//! timestamps, serial numbers, `pid=`, `ppid=`, and the kernel's worker.

use crate::report;
use crate::scenario::Scenario;
use dmns_audit_log::line::Line;
use dmns_audit_uapi::types::RecordType;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::{BTreeMap, HashSet};

/// A device-mapper record as both sides must write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Record {
    /// Type and fields, in order, without those that differ from run to run.
    fields: Vec<(String, String)>,
}

/// The result for a pair of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Both sides wrote this.
    Equal(Record),
    /// They wrote different values, or different fields: name, C's, ours.
    Differs(Record, String, String, String),
    /// Only dm-audit.c wrote this.
    OnlyC(Record),
    /// Only the module wrote this.
    OnlyModule(Record),
}

/// Returns whether dm-audit.c can judge a scenario. The scenario has device-mapper records only,
/// begins with the module loaded, and does not have `diff = false`.
pub(crate) fn applies(scenario: &Scenario) -> bool {
    let mut types = scenario
        .steps
        .iter()
        .flat_map(|step| &step.expected)
        .filter_map(|expected| RecordType::from_name(&expected.record))
        .peekable();
    scenario.module
        && scenario.diff
        && types.peek().is_some()
        && types.all(|ty| matches!(ty, RecordType::DmCtrl | RecordType::DmEvent))
}

impl Record {
    /// Returns the device-mapper records of a log.
    ///
    /// A record's relation to a system call must be equal too: it is printed as a field.
    pub(crate) fn all(log: &[String]) -> Vec<Self> {
        let lines: Vec<Line<'_>> = log.iter().filter_map(|text| Line::parse(text)).collect();
        let in_syscall: HashSet<u64> = lines
            .iter()
            .filter(|line| line.ty == "SYSCALL")
            .map(|line| line.stamp.serial)
            .collect();
        lines
            .iter()
            .filter_map(|line| {
                let ty = match line.record_type()? {
                    ty @ (RecordType::DmCtrl | RecordType::DmEvent) => ty,
                    _ => return None,
                };
                let with = match in_syscall.contains(&line.stamp.serial) {
                    true => "SYSCALL",
                    false => "alone",
                };
                let head = [("type", ty.name()), ("event", with)];
                let fields = head
                    .into_iter()
                    .chain(line.fields().map(|f| match f.name {
                        "pid" | "ppid" => (f.name, "*"),
                        // Which worker of a pool runs is chance, as its pid is.
                        "comm" if f.value.starts_with("\"kworker/") => (f.name, "\"kworker/*\""),
                        name => (name, f.value),
                    }))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                Some(Self { fields })
            })
            .collect()
    }

    fn field(&self, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    /// Returns the audit point that wrote it: target and operation.
    pub(crate) fn point(&self) -> (String, String) {
        (self.field("module").to_owned(), self.field("op").to_owned())
    }

    /// Returns the body, as the log has it.
    pub(crate) fn body(&self) -> String {
        let fields: Vec<_> = self.fields[2..]
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("{} {}", self.field("type"), fields.join(" "))
    }

    /// Returns the first field in which two records differ: name, ours, theirs.
    fn first_difference(&self, other: &Self) -> Option<(String, String, String)> {
        let none = (String::new(), "(nothing)".to_owned());
        let length = self.fields.len().max(other.fields.len());
        (0..length).find_map(|i| {
            let a = self.fields.get(i).unwrap_or(&none);
            let b = other.fields.get(i).unwrap_or(&none);
            let name = if a.0.is_empty() { &b.0 } else { &a.0 };
            let value = |f: &(String, String)| match &f.0 == name {
                true => f.1.clone(),
                false => format!("({}={})", f.0, f.1),
            };
            (a != b).then(|| (name.clone(), value(a), value(b)))
        })
    }
}

/// Aligns the two streams and compares them pair by pair.
///
/// A buffered read may report a sector several times, depending on readahead. So runs of equal
/// records count as one.
pub(crate) fn compare(c: &[Record], module: &[Record]) -> Vec<Pair> {
    let once = |records: &[Record]| {
        let mut records = records.to_vec();
        records.dedup();
        records
    };
    let (c, module) = (once(c), once(module));
    let mut pairs = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &c, &module) {
        let (olds, news) = (&c[op.old_range()], &module[op.new_range()]);
        if let DiffOp::Equal { .. } = op {
            pairs.extend(news.iter().cloned().map(Pair::Equal));
            continue;
        }
        for i in 0..olds.len().max(news.len()) {
            pairs.push(match (olds.get(i), news.get(i)) {
                (Some(old), Some(new)) => match old.first_difference(new) {
                    Some((name, old, new_value)) => {
                        Pair::Differs(new.clone(), name, old, new_value)
                    }
                    None => Pair::Equal(new.clone()),
                },
                (Some(old), None) => Pair::OnlyC(old.clone()),
                (None, Some(new)) => Pair::OnlyModule(new.clone()),
                (None, None) => continue,
            });
        }
    }
    pairs
}

impl Pair {
    /// Returns whether both sides wrote the same.
    pub(crate) fn is_equal(&self) -> bool {
        matches!(self, Self::Equal(_))
    }

    /// Returns the record, the module's where there are two.
    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Equal(record)
            | Self::Differs(record, ..)
            | Self::OnlyC(record)
            | Self::OnlyModule(record) => record,
        }
    }

    /// Returns the verdict in a few words.
    pub(crate) fn verdict(&self) -> String {
        match self {
            Self::Equal(_) => "equal".to_owned(),
            Self::Differs(_, name, c, ours) => format!("{name}: C {c}, module {ours}"),
            Self::OnlyC(_) => "only C".to_owned(),
            Self::OnlyModule(_) => "only the module".to_owned(),
        }
    }
}

/// Returns a table in Markdown: each audit point with a real record of it and the verdict over all
/// of its pairs.
pub(crate) fn markdown(results: &[(String, Vec<Pair>)], versions: &[String]) -> String {
    let mut points: BTreeMap<(String, String), Vec<(&str, &Pair)>> = BTreeMap::new();
    for (scenario, pairs) in results {
        for pair in pairs {
            let point = points.entry(pair.record().point()).or_default();
            point.push((scenario, pair));
        }
    }
    let mut text = String::from(
        "# The module compared with dm-audit.c\n\n\
         Made by `dmns-test diff --markdown FILE`: the same steps with the module and without it. Equal means \
         equal in every byte but timestamps, serial numbers, `pid=`, `ppid=` and the number in the name of a \
         kernel worker (`comm=\"kworker/...\"`), and in whether the record \
         shares its event with a system call. Runs of equal records count as one; how many \
         there must be, the scenarios say for both sides.\n\n",
    );
    text.push_str(&report::version_list(versions));
    text.push_str("\n| target | op | pairs | equal | a record | scenarios |\n| --- | --- | --- | --- | --- | --- |\n");
    for ((module, op), pairs) in &points {
        let equal = pairs.iter().filter(|(_, pair)| pair.is_equal()).count();
        // Show what is wrong, where something is.
        let shown = pairs.iter().find(|(_, pair)| !pair.is_equal());
        let (record, note) = match shown {
            Some((_, pair)) => (pair.record(), format!(": {}", pair.verdict())),
            None => (pairs[0].1.record(), String::new()),
        };
        let mut scenarios: Vec<&str> = pairs.iter().map(|(scenario, _)| *scenario).collect();
        scenarios.dedup();
        text.push_str(&format!(
            "| {module} | {op} | {} | {equal}{note} | `{}` | {} |\n",
            pairs.len(),
            record.body().replace('|', "\\|"),
            scenarios.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(serial: u64, ty: &str, body: &str) -> String {
        format!("type={ty} msg=audit(1.000:{serial}): {body}")
    }

    #[test]
    fn time_serial_and_pid_do_not_count_and_all_else_does() {
        let c = [
            log(1, "DM_CTRL", "module=crypt op=ctr ppid=1 pid=2 res=1"),
            log(1, "SYSCALL", "syscall=16"),
            log(2, "DM_EVENT", "module=crypt op=x sector=8 res=0"),
            log(3, "DM_EVENT", "module=crypt op=x sector=8 res=0"),
        ];
        let same = [
            log(7, "DM_CTRL", "module=crypt op=ctr ppid=8 pid=9 res=1"),
            log(7, "SYSCALL", "syscall=16"),
            log(8, "DM_EVENT", "module=crypt op=x sector=8 res=0"),
        ];
        let pairs = compare(&Record::all(&c), &Record::all(&same));
        assert_eq!(pairs.len(), 2);
        assert!(pairs.iter().all(Pair::is_equal), "{pairs:?}");

        let verdicts = |changed: &[String]| -> Vec<String> {
            compare(&Record::all(&c), &Record::all(changed))
                .iter()
                .map(Pair::verdict)
                .collect()
        };
        let worker = |n| {
            log(
                4,
                "DM_CTRL",
                &format!("op=dtr comm=\"kworker/u4:{n}\" res=1"),
            )
        };
        assert_eq!(Record::all(&[worker(0)]), Record::all(&[worker(1)]));
        let mut wrong = same.clone();
        wrong[2] = wrong[2].replace("sector=8", "sector=9");
        assert_eq!(verdicts(&wrong), ["equal", "sector: C 8, module 9"]);
        let mut wrong = same.clone();
        wrong[0] = wrong[0].replace(" ppid=8", "");
        assert_eq!(verdicts(&wrong)[0], "ppid: C *, module (pid=*)");
        assert_eq!(
            verdicts(&[same[0].clone(), same[2].clone()])[0],
            "event: C SYSCALL, module alone"
        );
        assert_eq!(verdicts(&same[..2]), ["equal", "only C"]);
    }
}
