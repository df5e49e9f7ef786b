// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test diff`: the same steps on two sides, record for record: without the module and with it,
//! or on two kernels.
//!
//! dm-audit.c is the judge of device-mapper records. All must be equal except for time and process:
//! timestamps, serial numbers, `pid=`, `ppid=`, and the kernel's worker. Of namespaces, numbers and
//! ids may differ, the order of deletions, which wait for no one, and the position of NS_INFO in its
//! event. A kernel may have a type for each kind of namespace, or name the kind in `nstype=`.

use crate::identity::Namespaces;
use crate::needs;
use crate::report;
use crate::scenario::Scenario;
use dmns_audit_log::forms::NSTYPE;
use dmns_audit_log::line::Line;
use dmns_audit_uapi::types::RecordType;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Whether both sides write records of namespaces.
    pub(crate) namespaces: bool,
    /// Whether both sides have the module.
    pub(crate) module: bool,
}

/// The names of the two sides, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sides {
    /// The one that judges.
    pub(crate) judge: String,
    /// The one that is judged.
    pub(crate) judged: String,
}

impl Sides {
    /// Names dm-audit.c and the module.
    pub(crate) fn c_and_module() -> Self {
        Self {
            judge: "C".to_owned(),
            judged: "module".to_owned(),
        }
    }
}

/// A record as both sides must write it.
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
    /// They wrote different values, or different fields: name, the judge's, the other's.
    Differs(Record, String, String, String),
    /// Only the judge wrote this.
    OnlyJudge(Record),
    /// Only the side that is judged wrote this.
    OnlyJudged(Record),
}

/// Returns whether the two sides can be compared by a scenario. It expects records that both sides
/// write, and no others, begins with the module loaded, uses it only where both have it, and does
/// not have `diff = false`. How many namespaces it creates does not depend on chance.
pub(crate) fn applies(scenario: &Scenario, scope: Scope) -> bool {
    let mut expected = scenario
        .steps
        .iter()
        .flat_map(|step| &step.expected)
        .map(|expected| (RecordType::from_name(&expected.record), expected))
        .filter(|(ty, expected)| ty.is_some() || expected.record.starts_with("NS_"))
        .peekable();
    scenario.module
        && scenario.diff
        && expected.peek().is_some()
        && expected.all(|(ty, expected)| {
            ty.is_some_and(is_dm) || scope.namespaces && expected.min == expected.max
        })
        && (scope.module || needs::module_word(scenario).is_none())
}

fn is_dm(ty: RecordType) -> bool {
    matches!(ty, RecordType::DmCtrl | RecordType::DmEvent)
}

/// Moves each NS_INFO to the end of its event. The kernel writes it after SYSCALL and before the
/// creations, and the module after the creations and before SYSCALL.
fn info_last(lines: &mut Vec<Line<'_>>) {
    let last: HashMap<u64, usize> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| (line.stamp.serial, at))
        .collect();
    let mut placed: Vec<_> = lines.drain(..).enumerate().collect();
    placed.sort_by_key(|(at, line)| match line.record_type() {
        Some(RecordType::NsInfo) => (last[&line.stamp.serial], true),
        _ => (*at, false),
    });
    lines.extend(placed.into_iter().map(|(_, line)| line));
}

impl Record {
    /// Returns the records of a log that are compared, deletions of namespaces last and sorted.
    ///
    /// A record's relation to a system call must be equal too: it is printed as a field.
    pub(crate) fn all(log: &[String], scope: Scope) -> Vec<Self> {
        let mut lines: Vec<Line<'_>> = log.iter().filter_map(|text| Line::parse(text)).collect();
        info_last(&mut lines);
        let in_syscall: HashSet<u64> = lines
            .iter()
            .filter(|line| line.ty == "SYSCALL")
            .map(|line| line.stamp.serial)
            .collect();
        let mut namespaces = Namespaces::default();
        let (mut records, mut deletions) = (Vec::new(), Vec::new());
        for line in &lines {
            let ty = match line.record_type() {
                Some(ty) if is_dm(ty) || scope.namespaces => ty,
                _ => continue,
            };
            let named = match is_dm(ty) {
                true => line
                    .fields()
                    .map(|f| (f.name, f.value.to_owned()))
                    .collect(),
                false => namespaces.fields(line),
            };
            let with = match in_syscall.contains(&line.stamp.serial) {
                true => "SYSCALL",
                false => "alone",
            };
            let head = [("type", ty.name()), ("event", with)];
            let fields = head
                .into_iter()
                .chain(
                    named.iter().filter(|(name, _)| *name != NSTYPE).map(
                        |(name, value)| match *name {
                            "pid" | "ppid" => (*name, "*"),
                            // Which worker of a pool runs is chance, as its pid is.
                            "comm" if value.starts_with("\"kworker/") => (*name, "\"kworker/*\""),
                            name => (name, value.as_str()),
                        },
                    ),
                )
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            match ty {
                RecordType::NsDel(_) => deletions.push(Self { fields }),
                _ => records.push(Self { fields }),
            }
        }
        deletions.sort();
        records.extend(deletions);
        records
    }

    fn field(&self, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    /// Returns the audit point that wrote it: target and operation, or the type of a record of
    /// namespaces.
    pub(crate) fn point(&self) -> (String, String) {
        match self.field("type") {
            "DM_CTRL" | "DM_EVENT" => {
                (self.field("module").to_owned(), self.field("op").to_owned())
            }
            ty => ("namespaces".to_owned(), ty.to_owned()),
        }
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
                (Some(old), None) => Pair::OnlyJudge(old.clone()),
                (None, Some(new)) => Pair::OnlyJudged(new.clone()),
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

    /// Returns the record, that of the side that is judged where there are two.
    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Equal(record)
            | Self::Differs(record, ..)
            | Self::OnlyJudge(record)
            | Self::OnlyJudged(record) => record,
        }
    }

    /// Returns the verdict in a few words.
    pub(crate) fn verdict(&self, sides: &Sides) -> String {
        let Sides { judge, judged } = sides;
        match self {
            Self::Equal(_) => "equal".to_owned(),
            Self::Differs(_, name, of_judge, other) => {
                format!("{name}: {judge} {of_judge}, {judged} {other}")
            }
            Self::OnlyJudge(_) => format!("only {judge}"),
            Self::OnlyJudged(_) => format!("only {judged}"),
        }
    }
}

/// Returns a table in Markdown: each audit point with a real record of it and the verdict over all
/// of its pairs.
pub(crate) fn markdown(
    results: &[(String, Vec<Pair>)],
    versions: &[String],
    sides: &Sides,
) -> String {
    let mut points: BTreeMap<(String, String), Vec<(&str, &Pair)>> = BTreeMap::new();
    for (scenario, pairs) in results {
        for pair in pairs {
            let point = points.entry(pair.record().point()).or_default();
            point.push((scenario, pair));
        }
    }
    let c = *sides == Sides::c_and_module();
    let mut text = match c {
        true => "# The module compared with dm-audit.c\n\n\
                 Made by `dmns-test diff --markdown FILE`: the same steps with the module and without it. "
            .to_owned(),
        false => format!(
            "# {} compared with {}\n\n\
             Made by `dmns-test diff --against PATH --markdown FILE`: the same steps on both. Namespaces have \
             names by the order of their creation, and the order of their deletions does not count. ",
            sides.judged, sides.judge
        ),
    };
    text.push_str(
        "Equal means \
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
            Some((_, pair)) => (pair.record(), format!(": {}", pair.verdict(sides))),
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
    use std::path::Path;

    const DM: Scope = Scope {
        namespaces: false,
        module: false,
    };

    #[test]
    fn a_scenario_is_compared_where_both_sides_write_its_records() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let scope = |namespaces, module| Scope { namespaces, module };
        for (name, without, kernels, emitter) in [
            ("integrity-hmac", true, true, true),
            ("unshare-all", false, true, true),
            // NS_DEL_*, so many.
            ("ns-all-paths", false, true, true),
            // At least so many.
            ("ns-balance", false, false, false),
            // It switches the module's level.
            ("info-levels", false, true, false),
        ] {
            let scenario = Scenario::load(&folder.join(format!("{name}.toml"))).expect(name);
            let applies = [(false, false), (true, true), (true, false)]
                .map(|(namespaces, module)| applies(&scenario, scope(namespaces, module)));
            assert_eq!(applies, [without, kernels, emitter], "{name}");
        }
    }

    #[test]
    fn namespaces_are_compared_by_name_and_their_deletions_in_any_order() {
        let run = |first: u64, swap: bool| {
            let (net, uts) = (first, first + 1);
            let mut log = vec![
                log(
                    1,
                    "UNKNOWN[1385]",
                    &format!("old_netns=-7 netns={net} ns_id={net} res=1"),
                ),
                log(
                    1,
                    "UNKNOWN[1381]",
                    &format!("old_utsns=-2 utsns={uts} ns_id={uts} res=1"),
                ),
                log(1, "SYSCALL", "syscall=272"),
                log(
                    2,
                    "UNKNOWN[1389]",
                    &format!("utsns={uts} ns_id={uts} res=1"),
                ),
                log(
                    3,
                    "UNKNOWN[1393]",
                    &format!("netns={net} ns_id={net} res=1"),
                ),
            ];
            if swap {
                log.swap(3, 4);
            }
            log
        };
        let scope = Scope {
            namespaces: true,
            module: true,
        };
        let all = |log: &[String]| Record::all(log, scope);
        assert!(Record::all(&run(4, false), DM).is_empty());
        let pairs = compare(&all(&run(4, false)), &all(&run(90, true)));
        assert_eq!(pairs.len(), 4);
        assert!(pairs.iter().all(Pair::is_equal), "{pairs:?}");
        let mut other = run(90, false);
        other[0] = other[0].replace("old_netns=-7", "old_netns=55");
        let pairs = compare(&all(&run(4, false)), &all(&other));
        let sides = Sides {
            judge: "7.3.4-base".to_owned(),
            judged: "7.3.4-mine".to_owned(),
        };
        assert_eq!(
            pairs[0].verdict(&sides),
            "old_netns: 7.3.4-base -7, 7.3.4-mine older"
        );
        assert_eq!(pairs[0].record().point().1, "NS_INIT_NET");
    }

    /// The log of a kernel with the series, in both of its forms, and the same from the module.
    #[test]
    fn the_records_of_a_kernel_are_those_of_the_module() {
        let info = "mntns=-8 utsns=334 ipcns=-1 userns=-3 pidns=-4 netns=-7 cgroupns=-5 timens=-6";
        let init = "pid=131 uid=0 auid=4294967295 ses=4294967295 subj=unconfined dev=00:07 old_utsns=-2 utsns=334 ns_id=29";
        let del = "pid=131 uid=0 auid=4294967295 ses=4294967295 subj=unconfined dev=00:07 utsns=334 ns_id=29";
        let kernel = [
            log(63, "SYSCALL", "arch=c000003e syscall=272 success=yes"),
            log(63, "UNKNOWN[1396]", info),
            log(63, "UNKNOWN[1381]", &format!("{init} res=1")),
            log(63, "EOE", ""),
            log(65, "UNKNOWN[1389]", &format!("{del} res=1")),
        ];
        let offered = [
            kernel[0].clone(),
            log(63, "NS_INFO", info),
            log(63, "NS_INIT", &format!("{init} nstype=uts res=1")),
            log(65, "NS_DEL", &format!("{del} nstype=uts res=1")),
        ];
        let module = [
            log(9, "UNKNOWN[1381]", &format!("{init} res=1")),
            log(9, "UNKNOWN[1396]", info),
            log(9, "SYSCALL", "arch=c000003e syscall=272 success=yes"),
            log(11, "UNKNOWN[1389]", &format!("{del} res=1")),
        ]
        .map(|line| line.replace("334", "7").replace("ns_id=29", "ns_id=310"));
        let scope = Scope {
            namespaces: true,
            module: false,
        };
        let all = |log: &[String]| Record::all(log, scope);
        for kernel in [&kernel[..], &offered] {
            let pairs = compare(&all(kernel), &all(&module));
            let points: Vec<_> = pairs.iter().map(|pair| pair.record().point().1).collect();
            assert_eq!(points, ["NS_INIT_UTS", "NS_INFO", "NS_DEL_UTS"]);
            assert!(pairs.iter().all(Pair::is_equal), "{pairs:?}");
        }
        let mut wrong = module.clone();
        wrong[1] = wrong[1].replace("utsns=7", "utsns=-2");
        let pairs = compare(&all(&kernel), &all(&wrong));
        assert_eq!(pairs.iter().filter(|pair| !pair.is_equal()).count(), 1);
    }

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
        let all = |log: &[String]| Record::all(log, DM);
        let pairs = compare(&all(&c), &all(&same));
        assert_eq!(pairs.len(), 2);
        assert!(pairs.iter().all(Pair::is_equal), "{pairs:?}");

        let verdicts = |changed: &[String]| -> Vec<String> {
            compare(&all(&c), &all(changed))
                .iter()
                .map(|pair| pair.verdict(&Sides::c_and_module()))
                .collect()
        };
        let worker = |n| {
            log(
                4,
                "DM_CTRL",
                &format!("op=dtr comm=\"kworker/u4:{n}\" res=1"),
            )
        };
        assert_eq!(all(&[worker(0)]), all(&[worker(1)]));
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
