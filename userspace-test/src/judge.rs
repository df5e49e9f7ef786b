// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Judges a run in addition to its scenario. A run fails for a splat, a lost record, counters that
//! do not add up, a record off the contract, or another result of `ausearch`.

use crate::decode::processor;
use crate::expect::show;
use crate::follow;
use crate::guest::{EMITTED, Guest};
use crate::prepare;
use crate::report::{Cause, Verdict};
use crate::scenario::Scenario;
use anyhow::{Context, Result, bail};
use dmns_audit_log::line::Line;
use dmns_audit_uapi::types::RecordType;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Words in the kernel log when something is wrong with the kernel.
const SPLATS: [&str; 23] = [
    "BUG:",
    "WARNING: ",
    "INFO: task ",
    "INFO: rcu",
    "INFO: lockdep",
    "INFO: possible ",
    "INFO: suspicious ",
    "Oops",
    "Call Trace:",
    "Kernel panic",
    "general protection fault",
    "kernel BUG at",
    "Unable to handle kernel",
    "scheduling while atomic",
    "sleeping function called from invalid context",
    "soft lockup",
    "refcount_t: ",
    "------------[ cut here ]",
    // What only a debug kernel says.
    "Redzone overwritten",
    "Poison overwritten",
    "turning off the locking correctness validator",
    "kmemleak: Cannot ",
    "new suspected memory leaks",
];

/// The name of the audit log among the kept logs, and in findings.
pub(crate) const AUDIT_LOG: &str = "audit.log";

/// The timeout of `ausearch`: there may be many records.
const SEARCH: Duration = Duration::from_secs(300);

/// The most lines that one `ausearch` reads. It compares each with all events of the same two
/// seconds: 20,000 events of one second take it twelve times as long as 5,000.
const SLICE: usize = 5_000;

/// Returns the time that ausearch may take for a log.
fn search_time(log: &[String]) -> Duration {
    SEARCH + Duration::from_millis(log.len() as u64 * 4)
}

/// Returns the index of the first of `lines` with a splat.
fn first_splat(lines: &[&str]) -> Option<usize> {
    lines
        .iter()
        .position(|line| SPLATS.iter().any(|splat| line.contains(splat)))
}

/// Returns the first splat in a kernel log, with the lines around it.
pub(crate) fn splat(log: &str) -> Option<String> {
    let lines: Vec<_> = log.lines().collect();
    let at = first_splat(&lines)?;
    Some(lines[at.saturating_sub(2)..lines.len().min(at + 25)].join("\n"))
}

/// Returns a kernel log without the oopses in `function`, and their number. Each report is from its
/// first line to the marker of its end.
pub(crate) fn without_oopses(log: &str, function: &str) -> (String, usize) {
    let expected = format!("{function}+");
    let mut lines: Vec<_> = log.lines().collect();
    let (mut from, mut oopses) = (0, 0);
    while let Some(begin) = first_splat(&lines[from..]).map(|at| from + at) {
        let rest = &lines[begin..];
        let Some(end) = rest
            .iter()
            .position(|line| line.contains("---[ end trace "))
        else {
            break;
        };
        // A report names what was called too: it is the first such line that says where the
        // processor was.
        let place = rest[..end].iter().find_map(|line| processor(line));
        if place.is_some_and(|place| place.starts_with(&expected)) {
            lines.drain(begin..=begin + end);
            oopses += 1;
        } else {
            from = begin + end + 1;
        }
    }
    (lines.join("\n"), oopses)
}

/// The number of records of each type.
type Counts = BTreeMap<RecordType, u64>;

/// Which records the kernel may have emitted in addition to the module.
#[derive(Clone, Copy, Debug)]
struct Itself {
    device_mapper: bool,
    namespaces: bool,
}

/// The module's counters, also those before an unload.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    emitted: Counts,
    /// `(type, column, number)` of records that were not emitted.
    withheld: Vec<(RecordType, String, u64)>,
}

impl Counted {
    /// Reads the table of `/sys/kernel/security/dmns_audit/counters`.
    fn table(&mut self, text: &str) -> Result<()> {
        let mut lines = text.lines();
        let columns: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
        for line in lines {
            let cells: Vec<_> = line.split(' ').collect();
            let ty = cells
                .first()
                .and_then(|name| RecordType::from_name(name))
                .with_context(|| format!("counters: '{line}'"))?;
            for (column, cell) in columns.iter().zip(&cells).skip(2) {
                self.add(ty, column, cell.parse()?);
            }
        }
        Ok(())
    }

    /// Reads the counters that the module logs when it is unloaded.
    fn kernel_log(&mut self, log: &str) -> Result<()> {
        for line in log.lines() {
            let line = line
                .split_once("dmns_audit: ")
                .and_then(|(_, line)| line.split_once(": "));
            let Some((name, counts)) = line else { continue };
            let Some(ty) = RecordType::from_name(name) else {
                continue;
            };
            for word in counts.split(' ') {
                let (column, number) = word.split_once('=').context("NAME=NUMBER expected")?;
                self.add(ty, column, number.parse()?);
            }
        }
        Ok(())
    }

    fn add(&mut self, ty: RecordType, column: &str, number: u64) {
        match (column, number) {
            (_, 0) => {}
            ("emitted", _) => *self.emitted.entry(ty).or_default() += number,
            _ => self.withheld.push((ty, column.to_owned(), number)),
        }
    }

    /// Returns the differences from the records that arrived. The kernel may have emitted records too,
    /// as `itself` says: device mapper's, namespaces'.
    fn compare(&self, arrived: &Counts, itself: Itself) -> Vec<String> {
        let mut problems: Vec<_> = self
            .withheld
            .iter()
            .map(|(ty, why, n)| format!("{n} {} not emitted: {why}", ty.name()))
            .collect();
        for ty in RecordType::ALL {
            let emitted = self.emitted.get(&ty).copied().unwrap_or(0);
            let arrived = arrived.get(&ty).copied().unwrap_or(0);
            let adds_up = match ty {
                RecordType::DmCtrl | RecordType::DmEvent if itself.device_mapper => {
                    arrived >= emitted
                }
                RecordType::DmCtrl | RecordType::DmEvent => arrived == emitted,
                _ if itself.namespaces => arrived >= emitted,
                _ => arrived == emitted,
            };
            if !adds_up {
                problems.push(format!(
                    "{}: the module emitted {emitted}, {arrived} arrived",
                    ty.name()
                ));
            }
        }
        problems
    }
}

/// Returns the number of records of each type of the module in the log.
fn count(log: &[String]) -> Counts {
    let mut counts = Counts::new();
    for line in log {
        if let Some(ty) = Line::parse(line).and_then(|line| line.record_type()) {
            *counts.entry(ty).or_default() += 1;
        }
    }
    counts
}

/// Returns the findings of `dmns-audit check` in `log`, except for those of the rules `known`. Each
/// of these must have one.
///
/// The scenario's part begins at line `start`. A finding there has the line of the kept log.
fn check(
    log: &[String],
    start: usize,
    allow_lost: bool,
    known: &[String],
) -> Result<Option<String>> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(prepare::tool()?);
    command
        .current_dir(folder.path())
        .args(["--color", "never", "check"])
        .arg(if allow_lost { "--lossy" } else { "--strict" })
        .args(known.iter().flat_map(|rule| ["--expect", rule]));
    let (before, own) = log.split_at(start);
    for (name, lines) in [("before.log", before), (AUDIT_LOG, own)] {
        if name == AUDIT_LOG || !lines.is_empty() {
            fs::write(folder.path().join(name), lines.join("\n") + "\n")?;
            command.arg(name);
        }
    }
    let checked = command.output().context("running dmns-audit")?;
    let said = String::from_utf8_lossy(&checked.stdout);
    match checked.status.code() {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(format!("dmns-audit check:\n{}", said.trim_end()))),
        _ => bail!(
            "dmns-audit check ended with {}: {said}{}",
            checked.status,
            String::from_utf8_lossy(&checked.stderr)
        ),
    }
}

/// Returns the records of the module in `log`, which came after all expected ones.
pub(crate) fn late(log: &[String]) -> Vec<String> {
    log.iter()
        .filter_map(|text| Line::parse(text).filter(|line| line.record_type().is_some()))
        .map(|line| format!("unexpected, after the last step: {}", show(&line)))
        .collect()
}

/// Compares the kernel's complaints with those that a control expects. `oopsed`: locks and memory
/// of the tasks that oopsed are lost, and lockdep has been switched off.
fn complaints(
    guest: &mut Guest,
    kernel_log: &str,
    expected: Option<&str>,
    oopsed: bool,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    found.extend(splat(kernel_log).map(|s| format!("the kernel log has a splat:\n{s}")));
    if guest.kind.complains() && !oopsed {
        let leaks = guest.must("leaks")?;
        if !leaks.is_empty() {
            found.push(format!("kmemleak:\n{}", leaks.trim_end()));
        }
        // After its first complaint lockdep looks no more.
        if found.is_empty() {
            let asleep = guest.must("grep -s 'debug_locks: *0' /proc/lockdep_stats || true")?;
            if !asleep.is_empty() {
                found.push("lockdep has been switched off".to_owned());
            }
        }
    }
    let Some(expected) = expected else {
        return Ok(found);
    };
    Ok(match found.as_slice() {
        [] => vec![format!(
            "the kernel did not complain: \"{expected}\" was expected"
        )],
        [splat] if splat.contains(expected) => Vec::new(),
        _ => found,
    })
}

/// Judges a guest after `scenario`, or its skip, before power-off. Its part of the log begins at
/// line `start`. The reasons why the run fails go to `verdict`.
pub(crate) fn examine(
    guest: &mut Guest,
    scenario: &Scenario,
    start: usize,
    skipped: bool,
    verdict: &mut Verdict,
) -> Result<()> {
    // Whether the module was there, with all its parts, before anything else was done; and whether
    // audit may lose records, so that they are not counted.
    let (module_first, allow_lost) = (scenario.module, scenario.allow_lost);
    // What the module has deferred is not counted as emitted yet.
    guest.must(EMITTED)?;
    guest.mark()?;
    let kernel_log = guest.must("dmesg")?;
    let expected = scenario
        .expect_splat
        .as_ref()
        .filter(|_| !skipped)
        .map(|text| text.get_ref().as_str());
    let oopsing = scenario.expect_oops.as_deref().filter(|_| !skipped);
    let (kernel_log, oopses) = match oopsing {
        Some(function) => without_oopses(&kernel_log, function),
        None => (kernel_log, 0),
    };
    verdict.fail(
        Cause::Kernel,
        complaints(guest, &kernel_log, expected, oopses > 0)?,
    );
    if let Some(function) = oopsing.filter(|_| oopses == 0) {
        let problem = format!("the kernel did not oops in {function}()");
        verdict.fail(Cause::Kernel, [problem]);
    }
    let mut problems = Vec::new();

    let status = guest.must("auditctl -s")?;
    let lost = status.lines().find_map(|line| line.strip_prefix("lost "));
    if lost != Some("0") && !allow_lost {
        problems.push(format!("audit lost records: {}", lost.unwrap_or(&status)));
    }

    let mut counted = Counted::default();
    counted.kernel_log(&kernel_log)?;
    counted
        .table(&guest.must("cat /sys/kernel/security/dmns_audit/counters 2>/dev/null || true")?)?;
    let arrived = count(&guest.log);
    let itself = Itself {
        device_mapper: !module_first
            || kernel_log.contains("dmns_audit: dm_audit_log_ti: detached"),
        namespaces: kernel_log.contains("dmns_audit: this kernel records namespaces itself"),
    };
    // Where the kernel writes the records, nothing counts them.
    if !allow_lost && guest.has_module {
        problems.extend(counted.compare(&arrived, itself));
    }
    let findings = match skipped {
        true => [].as_slice(),
        false => &scenario.expected_findings,
    };
    problems.extend(check(&guest.log, start, allow_lost, findings)?);
    problems.extend(cross_check(guest, &arrived)?);
    verdict.fail(Cause::Log, problems);
    Ok(())
}

/// Lets `ausearch` count too, in the files that auditd has kept: by number, and in the way it
/// writes the type. auditd removes the oldest file beyond `num_logs`.
fn cross_check(guest: &mut Guest, arrived: &Counts) -> Result<Vec<String>> {
    if arrived.is_empty() {
        return Ok(Vec::new());
    }
    let files = format!("ls -rv {}* | xargs", follow::PATH);
    let first_kept = guest.must(&format!("{files} head -qn1 | head -n1"))?;
    let removed = guest
        .log
        .iter()
        .position(|line| line == first_kept.trim_end())
        .unwrap_or(0);
    let removed = count(&guest.log[..removed]);
    let numbers: Vec<_> = arrived.keys().map(|ty| ty.number().to_string()).collect();
    let search = format!("ausearch --raw -m {}", numbers.join(","));
    let command = if guest.log.len() <= SLICE {
        format!("{search} --input-logs </dev/null")
    } else {
        // It ends with 1 where it finds nothing.
        format!("{files} cat | split -l {SLICE} --filter '{search} || [ $? = 1 ]'")
    };
    let found = guest.must_within(search_time(&guest.log), &command)?;
    // -m selects events; other records of the same event come along.
    let mut counts = Counts::new();
    let mut in_form = Counts::new();
    for line in found.lines() {
        let Some(ty) = Line::parse(line).and_then(|line| line.record_type()) else {
            continue;
        };
        *counts.entry(ty).or_default() += 1;
        if line.starts_with(&form(ty)) {
            *in_form.entry(ty).or_default() += 1;
        }
    }
    let of = |counts: &Counts, ty| counts.get(ty).copied().unwrap_or(0);
    Ok(arrived
        .iter()
        .map(|(ty, all)| (ty, all - of(&removed, ty)))
        .filter(|(ty, expected)| of(&counts, ty) != *expected || of(&in_form, ty) != *expected)
        .map(|(ty, expected)| {
            format!(
                "{}: {expected} in the log, but '{command}' finds {}, {} of them as '{}'",
                ty.name(),
                of(&counts, ty),
                of(&in_form, ty),
                form(*ty)
            )
        })
        .collect())
}

/// Returns the begin of a record of this type in a log. A type without a name in the audit package
/// has `UNKNOWN`.
fn form(ty: RecordType) -> String {
    match ty {
        RecordType::DmCtrl | RecordType::DmEvent => format!("type={} ", ty.name()),
        _ => format!("type=UNKNOWN[{}] ", ty.number()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splats_are_seen_and_ordinary_lines_are_not() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testdata/kernel-log");
        let mut seen = (0, 0);
        for entry in fs::read_dir(fixtures).expect(fixtures) {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("text");
            let expected = path.to_string_lossy().contains("splat-");
            assert_eq!(splat(&text).is_some(), expected, "{}", path.display());
            seen = (
                seen.0 + usize::from(expected),
                seen.1 + usize::from(!expected),
            );
        }
        assert!(seen.0 >= 5 && seen.1 >= 1, "{seen:?}");
    }

    #[test]
    fn an_oops_is_expected_in_one_function_alone() {
        let report = |function: &str| {
            format!(
                "[ 1.0] BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
                 [ 1.0] Oops: Oops: 0002 [#1] SMP NOPTI\n\
                 [ 1.0] RIP: 0010:{function}+0x5/0x10 [dmns_oops]\n\
                 [ 1.0] Call Trace:\n[ 1.0]  <TASK>\n[ 1.0]  dmns_oops_ctr+0x5/0x10 [dmns_oops]\n\
                 [ 1.0] ---[ end trace 0000000000000000 ]---\n\
                 [ 1.0] RIP: 0010:{function}+0x5/0x10 [dmns_oops]\n"
            )
        };
        let mine = report("dmns_oops_ctr");
        let (log, oopses) = without_oopses(&[&*mine, &*mine].concat(), "dmns_oops_ctr");
        assert_eq!((splat(&log), oopses), (None, 2));
        let other = report("in_section");
        let (log, oopses) = without_oopses(&[&*mine, &*other, &*mine].concat(), "dmns_oops_ctr");
        assert_eq!(oopses, 2);
        assert!(splat(&log).is_some_and(|splat| splat.contains("in_section")));
        let (log, _) = without_oopses(&format!("{mine}[ 2.0] Kernel panic"), "dmns_oops_ctr");
        assert!(splat(&log).is_some());
    }

    #[test]
    fn counters_add_up_or_are_named() -> Result<()> {
        let mut counted = Counted::default();
        counted.table(
            "type number emitted disabled refused refused_nowait\n\
             DM_CTRL 1338 2 0 0 0\nDM_EVENT 1339 0 0 0 3\nNS_INIT_NET 1385 1 0 0 0\n",
        )?;
        counted.kernel_log(
            "[    1.0] dmns_audit: DM_CTRL: emitted=2 disabled=0 refused=0 refused_nowait=0\n\
             [    2.0] dmns_audit: dm_audit_log_ti: detached\n",
        )?;
        let log: Vec<String> = [
            "DM_CTRL",
            "DM_CTRL",
            "DM_CTRL",
            "DM_CTRL",
            "DM_CTRL",
            "UNKNOWN[1385]",
        ]
        .into_iter()
        .map(|ty| format!("type={ty} msg=audit(1.0:1): x=1"))
        .collect();
        let mut arrived = count(&log);
        let both = Itself {
            device_mapper: true,
            namespaces: true,
        };
        let neither = Itself {
            device_mapper: false,
            namespaces: false,
        };
        assert_eq!(
            counted.compare(&arrived, both),
            ["3 DM_EVENT not emitted: refused_nowait"]
        );
        arrived.insert(RecordType::from_name("NS_INIT_NET").expect("a type"), 2);
        assert_eq!(counted.compare(&arrived, both).len(), 1);
        assert_eq!(
            counted.compare(&arrived, neither)[1..],
            [
                "DM_CTRL: the module emitted 4, 5 arrived",
                "NS_INIT_NET: the module emitted 1, 2 arrived"
            ]
        );
        assert_eq!(
            counted.compare(&Counts::new(), both).len(),
            3,
            "lost records are named"
        );
        Ok(())
    }

    #[test]
    fn a_late_record_is_named() {
        let log = [
            "type=USER msg=audit(1.0:1): x".to_owned(),
            "type=DM_EVENT msg=audit(1.0:2): sector=8".to_owned(),
        ];
        assert_eq!(
            late(&log),
            ["unexpected, after the last step: DM_EVENT (event 2) sector=8"]
        );
    }
}
