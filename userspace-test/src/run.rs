// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test run`: runs scenarios and judges them.

use crate::arch::Arch;
use crate::calls;
use crate::decode;
use crate::emulation::Stale;
use crate::expect::{self, Outcome};
use crate::guest::{COPY_FILES, DELIVERY, Ended, Guest, Watcher};
use crate::judge;
use crate::needs;
use crate::pattern::Values;
use crate::prepare::Prepared;
use crate::report::{Cause, Verdict};
use crate::scenario::{GuestUse, Requirement, Scenario, Step};
use crate::shared::{self, Shared};
use crate::vm::Machine;
use anyhow::{Context, Result, anyhow, bail};
use dmns_audit_log::line::Line;
use std::cmp::Reverse;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The interval of checks for records that have not come yet.
const RECHECK: Duration = Duration::from_millis(100);

/// A step with a wrong record ends when nothing more has come for this long.
const SETTLED: Duration = Duration::from_secs(2);

/// A step that lacks a record ends when nothing more has come for this long, and nothing is left
/// that could write it.
const SILENT: Duration = Duration::from_secs(5);

/// The timeout of the kernel log of a guest that may not answer.
const KERNEL_LOG: Duration = Duration::from_secs(10);

/// The number of wrong records of a step that are shown.
const SHOWN: usize = 10;

/// The shell of a step in the guest: it prints commands, and stops at the first that fails.
const SHELL: [&str; 4] = ["bash", "-euo", "pipefail", "-c"];
const TRACE: &str = "echo $$ >/run/dmns/step; PS4='$ '; set -x\n";

/// Whether nothing is left that could still write a record: of the step's processes none runs, the
/// module has deferred none, and audit has written all.
const IDLE: &str = "! pgrep -g $(cat /run/dmns/step) >/dev/null &&
    ! grep -sq '^re[ac].*ing' /sys/kernel/security/dmns_audit/baseline &&
    ! awk 'NR > 1 { n += $NF } END { exit n == 0 }' /sys/kernel/security/dmns_audit/counters 2>/dev/null &&
    auditctl -s | grep -qx 'backlog 0'";

/// Runs all scenarios, `jobs` at a time, and reports each verdict as it comes.
pub(crate) fn run_all(
    prepared: &Prepared,
    scenarios: &[Scenario],
    jobs: usize,
    keep_logs: Option<&Path>,
    watcher: &(dyn Fn(&Scenario) -> Watcher + Sync),
    report: &(dyn Fn(&Verdict) + Sync),
) -> Vec<Verdict> {
    // The scenario with the longest timeout begins, so that it does not run alone at the end.
    let mut order: Vec<usize> = (0..scenarios.len()).collect();
    order.sort_by_key(|&i| Reverse(scenarios[i].timeout));
    let queue = Mutex::new(order);
    let is_ready = |i: usize| prepared.has_disk(&scenarios[i].disk());
    let next = || loop {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        match pick(&mut queue, is_ready) {
            None if !queue.is_empty() => {}
            picked => return picked,
        }
        drop(queue);
        thread::sleep(RECHECK);
    };
    let verdicts = Mutex::new(Vec::new());
    let add = |i: usize, verdict: Verdict| {
        let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        report(&verdict);
        verdicts.push((i, verdict));
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, scenarios.len().max(1)) {
            scope.spawn(|| {
                let mut shared = None;
                while let Some(i) = next() {
                    let scenario = &scenarios[i];
                    if scenario.guest == GuestUse::Shared {
                        if let Some(failed) = shared::leave_unless_fit(&mut shared, scenario) {
                            add(usize::MAX, failed);
                        }
                    }
                    let watcher = watcher(scenario);
                    let verdict = run(prepared, scenario, keep_logs, watcher, &mut shared);
                    add(i, verdict);
                }
                if let Some(failed) = shared.and_then(Shared::end) {
                    add(usize::MAX, failed);
                }
            });
        }
    });
    let mut verdicts = verdicts
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    verdicts.sort_by_key(|(i, _)| *i);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Boots a guest, and returns whether its kernel writes records of namespaces.
pub(crate) fn writes_namespaces(prepared: &Prepared) -> Result<bool> {
    let mut guest = Guest::boot(prepared, &Machine::default(), Watcher::none())?;
    guest.set_up(false)?;
    guest.must("unshare --uts true")?;
    guest.mark()?;
    let uts = |line: &String| {
        let ty = Line::parse(line).and_then(|line| line.record_type());
        ty.is_some_and(|ty| ty.name() == "NS_INIT_UTS")
    };
    let writes = guest.log.iter().any(uts);
    guest.power_off()?;
    Ok(writes)
}

/// Takes the first of `queue` that is ready.
fn pick(queue: &mut Vec<usize>, is_ready: impl Fn(usize) -> bool) -> Option<usize> {
    let at = queue.iter().position(|&i| is_ready(i))?;
    Some(queue.remove(at))
}

/// Runs one scenario, in a guest of its own or in the one that it shares.
fn run(
    prepared: &Prepared,
    scenario: &Scenario,
    keep_logs: Option<&Path>,
    watcher: Watcher,
    shared: &mut Option<Shared>,
) -> Verdict {
    let started = Instant::now();
    let mut verdict = Verdict::new(&scenario.name, &scenario.title);
    verdict.skipped = needs::lack(prepared, scenario);
    if verdict.skipped.is_some() {
        return verdict;
    }
    if let Err(e) = attempt(prepared, scenario, keep_logs, watcher, shared, &mut verdict) {
        let may_die = Machine::of(scenario).has_threads();
        match e.downcast_ref::<Stale>().filter(|_| may_die) {
            Some(stale) => verdict.skipped = Some(stale.to_string()),
            None => {
                let chain: Vec<_> = e.chain().map(ToString::to_string).collect();
                let cause = if e.downcast_ref::<NotBooted>().is_some() {
                    Cause::Boot
                } else if e.downcast_ref::<Splat>().is_some() {
                    Cause::Kernel
                } else {
                    Cause::Guest
                };
                verdict.fail(cause, [chain.join("\n")]);
            }
        }
    }
    verdict.time = started.elapsed();
    if !verdict.problems.is_empty() {
        let places = decode::places(prepared, &verdict.problems.join("\n"));
        verdict.problems.extend(places);
    }
    verdict
}

fn attempt(
    prepared: &Prepared,
    scenario: &Scenario,
    keep_logs: Option<&Path>,
    watcher: Watcher,
    shared: &mut Option<Shared>,
    verdict: &mut Verdict,
) -> Result<()> {
    let taken = match scenario.guest {
        GuestUse::Shared => shared.take(),
        GuestUse::Own => None,
    };
    let mut guest = match taken {
        Some(taken) => taken.take(watcher),
        None => Guest::boot(prepared, &Machine::of(scenario), watcher).context(NotBooted)?,
    };
    let start = if guest.whole { 0 } else { guest.log.len() };
    let result = drive(&mut guest, scenario, start, verdict);
    if let Some(folder) = keep_logs {
        let folder = folder.join(&scenario.name);
        keep(&mut guest, start, &folder)?;
        verdict.logs = Some(folder);
    }
    let splat = |console: &str| {
        // `judge::examine` has judged it where one is expected; where C is measured, its splats are
        // a metric.
        let rest = match &scenario.expect_oops {
            Some(function) => judge::without_oopses(console, function).0,
            None => console.to_owned(),
        };
        judge::splat(&rest)
            .filter(|_| scenario.expect_splat.is_none() && scenario.judged)
            .map(|splat| format!("the console has a splat:\n{splat}"))
    };
    if let Err(e) = result {
        return Err(match splat(&guest.console()) {
            Some(splat) => e.context(Splat(splat)),
            None => e,
        });
    }
    if scenario.guest == GuestUse::Shared && verdict.problems.is_empty() {
        verdict.fail(Cause::Command, shared::tidy(&mut guest)?);
        if verdict.problems.is_empty() {
            *shared = Some(Shared::new(guest, scenario));
            return Ok(());
        }
    }
    let console = guest.power_off()?;
    if verdict.problems.is_empty() {
        // What came on the way down.
        verdict.fail(Cause::Kernel, splat(&console));
    }
    Ok(())
}

/// A guest that did not boot.
#[derive(Debug)]
struct NotBooted;

impl fmt::Display for NotBooted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the guest did not boot")
    }
}

/// A splat on the console of a guest that failed.
#[derive(Debug)]
struct Splat(String);

impl fmt::Display for Splat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs a scenario. Its part of the log begins at line `begin`. The result goes to `verdict`.
fn drive(
    guest: &mut Guest,
    scenario: &Scenario,
    begin: usize,
    verdict: &mut Verdict,
) -> Result<()> {
    guest.set_up(scenario.module)?;
    if !scenario.copied.is_empty() {
        guest.must(COPY_FILES)?;
    }
    let deadline = guest.within(scenario.time_limit());
    for requirement in &scenario.requires {
        if !met(guest, requirement, deadline)? {
            verdict.skipped = Some(format!("there is no {} here", requirement.what));
            break;
        }
    }
    let mut values = Values::new();
    let mut bound = Values::new();
    let start = if guest.whole { 0 } else { guest.log.len() };
    let mut from = start;
    let steps = match verdict.skipped {
        None => scenario.steps.as_slice(),
        Some(_) => &[],
    };
    for step in steps {
        let (cause, found, outcome) =
            take(guest, scenario, step, from, &mut values, &bound, deadline)
                .with_context(|| format!("step \"{}\"", step.title))?;
        verdict.fail(
            cause,
            found
                .into_iter()
                .map(|problem| format!("step \"{}\": {problem}", step.title)),
        );
        if !verdict.problems.is_empty() {
            // The steps that follow build on this one.
            break;
        }
        bound = outcome.bound;
        from = guest.log.len();
    }
    if verdict.problems.is_empty() && verdict.skipped.is_none() {
        metrics(guest, scenario, verdict)?;
    }
    if scenario.judged {
        let complete = verdict.problems.is_empty();
        let skipped = verdict.skipped.is_some();
        judge::examine(guest, scenario, begin, skipped, verdict)?;
        if complete {
            verdict.fail(Cause::Records, judge::late(&guest.log[from..]));
        }
    }
    verdict.records = steps_log(guest, start);
    Ok(())
}

/// Returns whether the guest meets a requirement. An unclear answer is an error: a skip must not
/// hide a failure.
fn met(guest: &mut Guest, requirement: &Requirement, deadline: Duration) -> Result<bool> {
    let script = format!("set -eu\n{}", requirement.check);
    let ended = guest.quietly(&["sh", "-c", &script], deadline)?;
    match ended.status {
        0 => Ok(true),
        1 => Ok(false),
        status => bail!(
            "whether there is {}: the check ended with status {status}, neither 0 (yes) nor 1 (no); it said:\n{}",
            requirement.what,
            String::from_utf8_lossy(&ended.both).trim_end()
        ),
    }
}

/// Reads the metrics of a scenario, and compares their names with those that it declares.
fn metrics(guest: &mut Guest, scenario: &Scenario, verdict: &mut Verdict) -> Result<()> {
    let listed = guest.must("cat /run/dmns/metrics 2>/dev/null || true")?;
    let taken: Values = pairs(&listed).collect();
    for name in taken.keys().filter(|name| !scenario.metrics.contains(name)) {
        let problem = format!("\"{name}\" was taken, but is not among `metrics`");
        verdict.fail(Cause::Metrics, [problem]);
    }
    for name in &scenario.metrics {
        match taken.get(name) {
            Some(value) => verdict.metrics.push((name.clone(), value.clone())),
            None => verdict.fail(
                Cause::Metrics,
                [format!("the metric \"{name}\" was not taken")],
            ),
        }
    }
    Ok(())
}

/// Returns auditd's log from line `from` on, without the harness's markers.
fn steps_log(guest: &Guest, from: usize) -> Vec<String> {
    guest.log[from..]
        .iter()
        .filter(|line| !Guest::is_mark(line))
        .cloned()
        .collect()
}

/// Runs a step, and waits until all its records have come, or one is wrong or missing and nothing
/// more comes, or time is up.
///
/// `from` is the line at which its part of the log begins. `values` are those that the steps before
/// saved with `save`; this one may add more. `bound` are the values that their records bound.
fn take(
    guest: &mut Guest,
    scenario: &Scenario,
    step: &Step,
    from: usize,
    values: &mut Values,
    bound: &Values,
    deadline: Duration,
) -> Result<(Cause, Vec<String>, Outcome)> {
    let set = calls::variables(Arch::asked()).chain(scenario.parameters.iter().cloned());
    let env: Vec<(String, String)> = set.chain(values.clone()).collect();
    let script = format!("{TRACE}{}", step.run);
    let shell: Vec<&str> = SHELL.into_iter().chain([script.as_str()]).collect();
    let ended = guest.run(&shell, &env, deadline)?;
    let mut problems = said(step, &ended);
    let cause = match problems.as_slice() {
        [] => Cause::Records,
        _ => Cause::Command,
    };

    *values = kept(guest)?;
    if !scenario.judged {
        return Ok((cause, problems, Outcome::default()));
    }
    // A scenario of hours need not wait for hours for what has not come.
    let deadline = deadline.min(guest.within(DELIVERY));
    let mut settling = Settling::default();
    let mut idle = false;
    let outcome = loop {
        guest.mark()?;
        let log = steps_log(guest, from);
        let outcome = expect::judge(
            &log,
            &step.expected,
            &step.unwanted,
            step.order,
            values,
            bound,
        )
        .map_err(|e| anyhow!(e))?;
        let age = guest.age();
        let silence = settling.silence(log.len(), age);
        if outcome.missing.is_empty() || !problems.is_empty() || age > deadline {
            break outcome;
        }
        // Time does not heal a wrong record, but others may still come to explain it.
        if !outcome.wrong.is_empty() && silence >= guest.usual(SETTLED) {
            break outcome;
        }
        // What was idle before the mark has written all that it will write.
        let silent = silence >= guest.usual(SILENT);
        if silent && idle {
            break outcome;
        }
        idle = silent && guest.is_so(IDLE)?;
        thread::sleep(RECHECK);
    };
    problems.extend(outcome.wrong.iter().take(SHOWN).cloned());
    if outcome.wrong.len() > SHOWN {
        problems.push(format!("... and {} more", outcome.wrong.len() - SHOWN));
    }
    problems.extend(outcome.missing.iter().cloned());
    Ok((cause, problems, outcome))
}

/// How long a step's part of the log has not grown.
#[derive(Debug, Default)]
struct Settling {
    /// Its lines, and the time at which they were first so many.
    last: Option<(usize, Duration)>,
}

impl Settling {
    /// Returns how long the log, which has `lines` lines at time `now`, has had so many.
    fn silence(&mut self, lines: usize, now: Duration) -> Duration {
        match self.last {
            Some((known, since)) if known == lines => now.saturating_sub(since),
            _ => {
                self.last = Some((lines, now));
                Duration::ZERO
            }
        }
    }
}

/// Returns the problems of a step's exit status and output.
fn said(step: &Step, ended: &Ended) -> Vec<String> {
    let output = String::from_utf8_lossy(&ended.both);
    let mut problems = Vec::new();
    if ended.status != step.status {
        problems.push(format!(
            "the shell ended with status {}, not {}; it said:\n{}",
            ended.status,
            step.status,
            output.trim_end()
        ));
    }
    for text in &step.output {
        if !output.contains(text.get_ref()) {
            problems.push(format!(
                "\"{}\" is not in what the shell said:\n{}",
                text.get_ref(),
                output.trim_end()
            ));
        }
    }
    problems
}

/// Returns the values that the steps so far saved with `save`.
fn kept(guest: &mut Guest) -> Result<Values> {
    let listed = guest.must(
        "cd /run/dmns/values 2>/dev/null || exit 0; for f in *; do printf '%s\\t' \"$f\"; cat \"$f\"; echo; done",
    )?;
    Ok(pairs(&listed).collect())
}

/// Names and values, a pair a line with a tab between.
fn pairs(listed: &str) -> impl Iterator<Item = (String, String)> {
    listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// Keeps the logs of a guest: of auditd's, from line `start` on.
fn keep(guest: &mut Guest, start: usize, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(
        folder.join(judge::AUDIT_LOG),
        guest.log[start..].join("\n") + "\n",
    )?;
    fs::write(folder.join("console"), guest.console())?;
    if let Ok(dmesg) = guest.must_within(KERNEL_LOG, "dmesg") {
        fs::write(folder.join("dmesg"), dmesg)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_waits_for_its_disk_does_not_hold_up_others() {
        let mut queue = vec![3, 0, 2, 1];
        assert_eq!(pick(&mut queue, |i| i < 2), Some(0));
        assert_eq!(pick(&mut queue, |i| i < 2), Some(1));
        assert_eq!(pick(&mut queue, |i| i < 2), None, "none is ready");
        assert_eq!(pick(&mut queue, |i| i < 3), Some(2));
        assert_eq!(pick(&mut queue, |_| true), Some(3));
        assert_eq!(pick(&mut queue, |_| true), None);
    }

    #[test]
    fn the_silence_of_a_log_begins_anew_when_it_grows() {
        let mut settling = Settling::default();
        let mut silence = |lines, second| {
            let silence = settling.silence(lines, Duration::from_secs(second));
            silence.as_secs()
        };
        assert_eq!(silence(3, 10), 0);
        assert_eq!(silence(3, 11), 1);
        assert_eq!(silence(4, 12), 0, "it has grown");
        assert_eq!(silence(4, 13), 1);
        assert_eq!(silence(4, 14), 2);
        assert_eq!(silence(5, 15), 0);
    }
}
