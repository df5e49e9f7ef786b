// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test run`: drives scenarios and judges what comes of them.

use crate::emulation::Stale;
use crate::expect::{self, Outcome};
use crate::guest::{DELIVERY, Ended, Guest, Watcher};
use crate::judge;
use crate::pattern::Values;
use crate::prepare::Prepared;
use crate::report::Verdict;
use crate::scenario::{GuestUse, Requirement, Scenario, Step};
use crate::shared::{self, Shared};
use crate::vm::Machine;
use anyhow::{Context, Result, anyhow, bail};
use std::cmp::Reverse;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait before records that have not come yet are looked for again.
const RECHECK: Duration = Duration::from_millis(100);

/// How many wrong records of a step are shown.
const SHOWN: usize = 10;

/// How a step reads in the guest: it says what it does, and stops at the first command that fails.
const SHELL: [&str; 4] = ["bash", "-euo", "pipefail", "-c"];
const TELL: &str = "PS4='$ '; set -x\n";

/// Runs all scenarios, `jobs` at a time, and reports each verdict as it comes.
pub(crate) fn run_all(
    prepared: &Prepared,
    scenarios: &[Scenario],
    jobs: usize,
    keep_logs: Option<&Path>,
    watcher: &(dyn Fn(&Scenario) -> Watcher + Sync),
    told: &(dyn Fn(&Verdict) + Sync),
) -> Vec<Verdict> {
    // Who may take longest begins, so that nobody is waited for at the end.
    let mut order: Vec<usize> = (0..scenarios.len()).collect();
    order.sort_by_key(|&i| Reverse(scenarios[i].timeout));
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    let tell = |i: usize, verdict: Verdict| {
        let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        told(&verdict);
        verdicts.push((i, verdict));
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, scenarios.len().max(1)) {
            scope.spawn(|| {
                let mut shared = None;
                while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = &scenarios[i];
                    if scenario.guest == GuestUse::Shared {
                        if let Some(red) = shared::leave_unless_fit(&mut shared, scenario) {
                            tell(usize::MAX, red);
                        }
                    }
                    let watcher = watcher(scenario);
                    let verdict = run(prepared, scenario, keep_logs, watcher, &mut shared);
                    tell(i, verdict);
                }
                if let Some(red) = shared.and_then(Shared::end) {
                    tell(usize::MAX, red);
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
    if let Err(e) = attempt(prepared, scenario, keep_logs, watcher, shared, &mut verdict) {
        let may_die = Machine::of(scenario).has_threads();
        match e.downcast_ref::<Stale>().filter(|_| may_die) {
            Some(stale) => verdict.skipped = Some(stale.to_string()),
            None => {
                let chain: Vec<_> = e.chain().map(ToString::to_string).collect();
                verdict.problems.push(chain.join("\n"));
            }
        }
    }
    verdict.time = started.elapsed();
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
        None => Guest::boot(prepared, &Machine::of(scenario), watcher)?,
    };
    let start = if guest.whole { 0 } else { guest.log.len() };
    let result = drive(&mut guest, scenario, verdict);
    if let Some(folder) = keep_logs {
        keep(&mut guest, start, &folder.join(&scenario.name))?;
    }
    let splat = |console: &str| {
        // `judge::examine` has judged it where one is expected; where C is measured, its splats are a metric.
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
            Some(splat) => e.context(splat),
            None => e,
        });
    }
    if scenario.guest == GuestUse::Shared && verdict.problems.is_empty() {
        verdict.problems.extend(shared::tidy(&mut guest)?);
        if verdict.problems.is_empty() {
            *shared = Some(Shared::new(guest, scenario));
            return Ok(());
        }
    }
    let console = guest.power_off()?;
    if verdict.problems.is_empty() {
        // What came on the way down.
        verdict.problems.extend(splat(&console));
    }
    Ok(())
}

/// Does what a scenario says. What comes of it goes to `verdict`.
fn drive(guest: &mut Guest, scenario: &Scenario, verdict: &mut Verdict) -> Result<()> {
    guest.set_up(scenario.module)?;
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
        let (found, outcome) = take(guest, scenario, step, from, &mut values, &bound, deadline)
            .with_context(|| format!("step \"{}\"", step.title))?;
        verdict.problems.extend(
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
        verdict
            .problems
            .extend(judge::examine(guest, scenario, skipped)?);
        if complete {
            verdict.problems.extend(judge::late(&guest.log[from..]));
        }
    }
    verdict.records = steps_log(guest, start);
    Ok(())
}

/// Whether the guest has what a scenario needs. Anything but a clear yes or no is an error: a skip must not
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

/// Gathers the metrics that a scenario took, and compares them with those that it was to take.
fn metrics(guest: &mut Guest, scenario: &Scenario, verdict: &mut Verdict) -> Result<()> {
    let listed = guest.must("cat /run/dmns/metrics 2>/dev/null || true")?;
    let taken: Values = pairs(&listed).collect();
    for name in taken.keys().filter(|name| !scenario.metrics.contains(name)) {
        verdict
            .problems
            .push(format!("\"{name}\" was taken, but is not among `metrics`"));
    }
    for name in &scenario.metrics {
        match taken.get(name) {
            Some(value) => verdict.metrics.push((name.clone(), value.clone())),
            None => verdict
                .problems
                .push(format!("the metric \"{name}\" was not taken")),
        }
    }
    Ok(())
}

/// What auditd's log holds from line `from` on, without our own markers.
fn steps_log(guest: &Guest, from: usize) -> Vec<String> {
    guest.log[from..]
        .iter()
        .filter(|line| !Guest::is_mark(line))
        .cloned()
        .collect()
}

/// Runs a step, and waits until all its records have come or time is up.
///
/// `from` is where its part of the log begins, `values` what the steps before have kept with `save`, to
/// which this one may add, `bound` what their records have bound.
fn take(
    guest: &mut Guest,
    scenario: &Scenario,
    step: &Step,
    from: usize,
    values: &mut Values,
    bound: &Values,
    deadline: Duration,
) -> Result<(Vec<String>, Outcome)> {
    let set = scenario.parameters.iter().cloned();
    let env: Vec<(String, String)> = set.chain(values.clone()).collect();
    let script = format!("{TELL}{}", step.run);
    let shell: Vec<&str> = SHELL.into_iter().chain([script.as_str()]).collect();
    let ended = guest.run(&shell, &env, deadline)?;
    let mut problems = said(step, &ended);

    *values = kept(guest)?;
    if !scenario.judged {
        return Ok((problems, Outcome::default()));
    }
    // A scenario of hours need not wait for hours for what has not come.
    let deadline = deadline.min(guest.within(DELIVERY));
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
        if outcome.missing.is_empty() || !problems.is_empty() || guest.age() > deadline {
            break outcome;
        }
        thread::sleep(RECHECK);
    };
    problems.extend(outcome.wrong.iter().take(SHOWN).cloned());
    if outcome.wrong.len() > SHOWN {
        problems.push(format!("... and {} more", outcome.wrong.len() - SHOWN));
    }
    problems.extend(outcome.missing.iter().cloned());
    Ok((problems, outcome))
}

/// What is wrong with how a step's shell ended and what it said.
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

/// What the steps so far have kept with `save`.
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

/// Keeps what a guest still has: of its log, what came from line `start` on.
fn keep(guest: &mut Guest, start: usize, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(
        folder.join("audit.log"),
        guest.log[start..].join("\n") + "\n",
    )?;
    fs::write(folder.join("console"), guest.console())?;
    if let Ok(dmesg) = guest.must("dmesg") {
        fs::write(folder.join("dmesg"), dmesg)?;
    }
    Ok(())
}
