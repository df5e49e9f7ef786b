// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test run`: drives scenarios and judges what comes of them.

use crate::expect::{self, Outcome};
use crate::guest::{Ended, Guest, Watcher};
use crate::judge;
use crate::pattern::Values;
use crate::prepare::Prepared;
use crate::report::Verdict;
use crate::scenario::{Scenario, Step};
use crate::vm::Machine;
use anyhow::{Context, Result, anyhow};
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

/// Runs all scenarios, `jobs` at a time, and tells each verdict as it comes.
pub(crate) fn run_all(
    prepared: &Prepared,
    scenarios: &[Scenario],
    jobs: usize,
    keep_logs: Option<&Path>,
    watcher: &(dyn Fn(&Scenario) -> Watcher + Sync),
    told: &(dyn Fn(&Verdict) + Sync),
) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, scenarios.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(i) else {
                        return;
                    };
                    let verdict = run(prepared, scenario, keep_logs, watcher(scenario));
                    let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
                    told(&verdict);
                    verdicts.push((i, verdict));
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

/// Runs one scenario in a guest of its own.
fn run(
    prepared: &Prepared,
    scenario: &Scenario,
    keep_logs: Option<&Path>,
    watcher: Watcher,
) -> Verdict {
    let started = Instant::now();
    let mut records = Vec::new();
    let problems =
        attempt(prepared, scenario, keep_logs, watcher, &mut records).unwrap_or_else(|e| {
            vec![
                e.chain()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            ]
        });
    Verdict {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        problems,
        records,
        time: started.elapsed(),
    }
}

fn attempt(
    prepared: &Prepared,
    scenario: &Scenario,
    keep_logs: Option<&Path>,
    watcher: Watcher,
    records: &mut Vec<String>,
) -> Result<Vec<String>> {
    let machine = Machine {
        memory: scenario.memory,
        cpus: scenario.cpus,
        kernel_args: scenario.kernel_args.clone(),
        ..Machine::default()
    };
    let mut guest = Guest::boot(prepared, &machine, watcher)?;
    let result = drive(&mut guest, scenario, records);
    if let Some(folder) = keep_logs {
        keep(&mut guest, &folder.join(&scenario.name))?;
    }
    let console = guest.console();
    match result {
        Ok(mut problems) => {
            guest.power_off()?;
            if problems.is_empty() {
                // What came on the way down.
                problems.extend(
                    judge::splat(&console).map(|s| format!("the console has a splat:\n{s}")),
                );
            }
            Ok(problems)
        }
        Err(e) => match judge::splat(&console) {
            Some(splat) => Err(e.context(format!("the console has a splat:\n{splat}"))),
            None => Err(e),
        },
    }
}

/// Does what a scenario says. The log of its steps goes to `records`.
fn drive(guest: &mut Guest, scenario: &Scenario, records: &mut Vec<String>) -> Result<Vec<String>> {
    guest.start_auditd()?;
    if scenario.module {
        guest.must("load")?;
        guest.mark()?;
    }
    let deadline = Instant::now() + scenario.patience();
    let mut problems = Vec::new();
    let mut values = Values::new();
    let mut bound = Values::new();
    let start = guest.log.len();
    let mut from = start;
    for step in &scenario.steps {
        let (found, outcome) = take(guest, step, from, &mut values, &bound, deadline)
            .with_context(|| format!("step \"{}\"", step.title))?;
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("step \"{}\": {problem}", step.title)),
        );
        if !problems.is_empty() {
            // The steps that follow build on this one.
            break;
        }
        bound = outcome.bound;
        from = guest.log.len();
    }
    let complete = problems.is_empty();
    problems.extend(judge::examine(guest, scenario.module)?);
    if complete {
        problems.extend(judge::late(&guest.log[from..]));
    }
    *records = steps_log(guest, start);
    Ok(problems)
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
/// `from` is where its part of the log begins, `values` what the steps before have kept with `value`, to
/// which this one may add, `bound` what their records have bound.
fn take(
    guest: &mut Guest,
    step: &Step,
    from: usize,
    values: &mut Values,
    bound: &Values,
    deadline: Instant,
) -> Result<(Vec<String>, Outcome)> {
    let env: Vec<(String, String)> = values.clone().into_iter().collect();
    let script = format!("{TELL}{}", step.run);
    let shell: Vec<&str> = SHELL.into_iter().chain([script.as_str()]).collect();
    let ended = guest.run(&shell, &env, deadline)?;
    let mut problems = said(step, &ended);

    *values = kept(guest)?;
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
        if outcome.missing.is_empty() || !problems.is_empty() || Instant::now() > deadline {
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

/// What the steps so far have kept with `value`.
fn kept(guest: &mut Guest) -> Result<Values> {
    let listed = guest.must(
        "cd /run/dmns/values 2>/dev/null || exit 0; for f in *; do printf '%s\\t' \"$f\"; cat \"$f\"; echo; done",
    )?;
    Ok(listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Keeps what a guest can tell, as far as it still can.
fn keep(guest: &mut Guest, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(folder.join("audit.log"), guest.log.join("\n") + "\n")?;
    fs::write(folder.join("console"), guest.console())?;
    if let Ok(dmesg) = guest.must("dmesg") {
        fs::write(folder.join("dmesg"), dmesg)?;
    }
    Ok(())
}
