// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test torture`: boots a guest and runs the command `torture` there, as a scenario.
//!
//! So what fails any run fails this one: a splat, a record off the contract, counters that differ.

use crate::folder::say_at_signal;
use crate::guest::{Happening, Watcher};
use crate::prepare::Prepared;
use crate::report::{Outcome, say, summary, versions};
use crate::run::run_all;
use crate::scenario::Scenario;
use crate::tools::torture::rounds::{
    AGAIN, FAILED, REPORTED, SCENARIO_BEGIN, SCENARIO_END, Torture,
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::unistd::{AccessFlags, access};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The options of `torture`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    torture: Torture,
    /// Keep the guest's audit log, console and kernel log in this folder.
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<PathBuf>,
}

/// What the guest has said of its run.
#[derive(Debug, Default)]
struct Progress {
    /// The begin of the next line.
    partial: Vec<u8>,
    /// The last step.
    step: Option<String>,
    /// Whether the run has ended by itself.
    has_ended: bool,
    /// The options of this program that choose the kernel, to be repeated.
    kernel: String,
    /// The lines of a failure.
    failure: Option<BTreeSet<String>>,
    /// The scenario that comes: its name and its lines.
    partial_scenario: Option<(String, String)>,
    /// The last whole scenario of what failed.
    scenario: Option<(String, String)>,
}

impl Progress {
    /// Takes output. Returns the lines to show: steps are among them if `shows_steps`.
    fn take(&mut self, bytes: &[u8], shows_steps: bool) -> Vec<String> {
        self.partial.extend(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            let is_step = line.starts_with("device ") && line.contains(" step ");
            if is_step {
                self.step = Some(line.clone());
            }
            if line.starts_with(FAILED) {
                self.failure = Some(BTreeSet::new());
            }
            if let Some(failure) = &mut self.failure {
                failure.insert(line.trim().to_owned());
            }
            self.has_ended |= line == REPORTED
                || line.starts_with("interrupted: ")
                || (line.starts_with("seed ") && line.ends_with(" predicted and matched"));
            if let Some(name) = line.strip_prefix(SCENARIO_BEGIN) {
                self.partial_scenario = Some((name.to_owned(), String::new()));
            } else if line == SCENARIO_END {
                self.scenario = self.partial_scenario.take();
            } else if let Some((_, text)) = &mut self.partial_scenario {
                *text += &format!("{line}\n");
            } else if let Some(command) = line.strip_prefix(AGAIN) {
                lines.push(format!("{AGAIN}dmns-test {}{command}", self.kernel));
            } else if line != REPORTED && (shows_steps || !is_step) {
                lines.push(line);
            }
        }
        lines
    }

    /// Writes the scenario of what failed into a folder. Returns its path.
    fn write_scenario(&self, folder: &Path) -> Result<Option<PathBuf>> {
        let Some((name, text)) = &self.scenario else {
            return Ok(None);
        };
        // A guest that is corrupted chooses no path.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        ensure!(name.chars().all(is_plain), "{name}: not a name");
        let path = folder.join(format!("{name}.toml"));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| path.display().to_string())?;
        Ok(Some(path))
    }

    /// Returns how far it came.
    fn last(&self, seed: u64) -> String {
        match (&self.step, &self.failure) {
            (Some(step), None) => format!("seed {seed}, the last step: {step}"),
            (Some(step), Some(_)) => format!(
                "seed {seed}, while the failure was shrunk, the last step of an attempt: {step}"
            ),
            (None, _) => format!("seed {seed}, before the first step"),
        }
    }

    /// Returns a verdict without what was shown of a failure before.
    fn rest_of(&self, verdict: &str) -> String {
        let is_new = |line: &&str| {
            let known = self.failure.as_ref();
            known.is_none_or(|known| !known.contains(line.trim()))
        };
        let lines: Vec<_> = verdict.lines().filter(is_new).collect();
        lines.join("\n")
    }

    /// Writes the scenario of what failed, and returns the command that runs it.
    fn save(&self, folder: &Path) -> Result<Option<String>> {
        let path = self.write_scenario(folder)?;
        Ok(path.map(|path| format!("dmns-test {}run {}", self.kernel, path.display())))
    }
}

/// Makes a folder, and checks that files can be written there.
fn make_writable(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .and_then(|()| Ok(access(folder, AccessFlags::W_OK)?))
        .with_context(|| format!("{}: no scenario could be written there", folder.display()))
}

fn locked(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs it in a guest. `kernel` has the options of this program that choose it.
pub(crate) fn run(prepared: &Prepared, options: &Options, kernel: String) -> Result<ExitCode> {
    let folder = options.keep_logs.clone().unwrap_or(PathBuf::from("."));
    make_writable(&folder)?;
    for version in versions(prepared) {
        say(version);
    }
    let scenario = scenario(&options.torture)?;
    let (seed, shows_steps) = (options.torture.seed, options.torture.steps);
    let progress = Arc::new(Mutex::new(Progress {
        kernel,
        ..Progress::default()
    }));
    let at_signal = Arc::clone(&progress);
    let at = folder.clone();
    say_at_signal(move || {
        let progress = locked(&at_signal);
        let last = progress.last(seed);
        match progress.save(&at) {
            Ok(Some(command)) => format!("interrupted: {last}\n{command}"),
            Ok(None) => format!("interrupted: {last}"),
            Err(error) => format!("interrupted: {last}\n{error:#}"),
        }
    });
    let verdicts = run_all(
        prepared,
        &[scenario],
        1,
        options.keep_logs.as_deref(),
        &|_| {
            let progress = Arc::clone(&progress);
            Watcher::new(move |happening| {
                if let Happening::Output(_, bytes) = happening {
                    for line in locked(&progress).take(bytes, shows_steps) {
                        say(line);
                    }
                }
            })
        },
        &|verdict| {
            let progress = locked(&progress);
            if matches!(verdict.outcome(), Outcome::Failed(_)) && !progress.has_ended {
                say(format!("ended early: {}", progress.last(seed)));
            }
            say(progress.rest_of(&verdict.text()));
        },
    );
    if let Some(command) = locked(&progress).save(&folder)? {
        say(command);
    }
    let (line, failed) = summary(&verdicts);
    say(line);
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Returns the scenario that runs `torture` with these options.
fn scenario(torture: &Torture) -> Result<Scenario> {
    // A device takes seconds where the machine is busy; each of them is a minute at most. What fails is
    // shrunk.
    let seconds = match torture.devices {
        Some(devices) => 900 + devices * 60,
        None => 900 + torture.minutes * 120,
    };
    let text = format!(
        "title = \"random devices with random damage, compared with a model: {}\"\n\
         timeout = {seconds}\n\
         module = true\n\
         in_tree = \"fixes\"\n\
         memory = 2048\n\
         kernel_args = \"audit=1\"\n\
         options = {:?}\n\
         [[step]]\n\
         title = \"torture\"\n\
         run = '''\n{}\n'''\n\
         order = \"any\"\n\
         expect = [\n\
         {{ record = \"DM_CTRL\", at_least = 1 }},\n\
         {{ record = \"DM_EVENT\", at_least = 0 }},\n\
         ]\n",
        torture.target,
        torture.target.kernel_options(),
        torture.command()
    );
    let mut scenario = Scenario::of_text(&text).context("the scenario of torture")?;
    scenario.name = "torture".to_owned();
    scenario.named = true;
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &str) -> Result<Options, clap::Error> {
        let words = ["torture"].into_iter().chain(words.split_whitespace());
        Ok(Command::try_parse_from(words)?.options)
    }

    #[test]
    fn the_scenario_has_the_options() -> Result<()> {
        let few = options("--seed 7 --first 3 --devices 2 --target verity --skip 1002,2001")?;
        let few = scenario(&few.torture)?;
        assert_eq!(
            few.steps[0].run.trim(),
            "torture --seed 7 --target verity --first 3 --devices 2 --skip 1002,2001 --steps"
        );
        assert_eq!(few.options, ["DM_VERITY", "DM_VERITY_FEC"]);
        assert!(few.timeout > 600);
        let usual = scenario(&options("")?.torture)?;
        assert_eq!(
            usual.steps[0].run.trim(),
            "torture --seed 1 --target all --first 0 --minutes 1 --steps"
        );
        Ok(())
    }

    #[test]
    fn limits_that_contradict_are_refused() {
        for words in [
            "--minutes 1 --devices 1",
            "--devices 0",
            "--minutes 0",
            "--skip 1001",
            "--target linear",
            "--first -1",
        ] {
            assert!(options(words).is_err(), "{words}");
        }
    }

    #[test]
    fn the_last_step_is_known() {
        let mut progress = Progress::default();
        assert_eq!(progress.last(7), "seed 7, before the first step");
        let some = b"seed 7 device 2, 10 s: 5 records\ndevice 2 step 4: re";
        assert_eq!(
            progress.take(some, false),
            ["seed 7 device 2, 10 s: 5 records"]
        );
        assert!(progress.take(b"ad 0..8\ndevice", false).is_empty());
        let last = "seed 7, the last step: device 2 step 4: read 0..8";
        assert_eq!(progress.last(7), last);
        assert!(!progress.has_ended);
        assert_eq!(progress.take(b" 2 step 5: close\n", true).len(), 1);
        progress.take(
            b"seed 7: 3 devices, 9 records predicted and matched\n",
            false,
        );
        assert!(progress.has_ended);
    }

    #[test]
    fn a_failure_is_shown_once_and_repeated_with_the_same_kernel() {
        let mut progress = Progress {
            kernel: "--no-module ".to_owned(),
            ..Progress::default()
        };
        let report = format!("{FAILED}7 device 2\n  0: open\n{AGAIN}torture --seed 7\n");
        assert_eq!(
            progress.take(report.as_bytes(), false),
            [
                "FAILED seed 7 device 2",
                "  0: open",
                "again: dmns-test --no-module torture --seed 7"
            ]
        );
        assert!(!progress.has_ended, "it is shrunk");
        progress.take(b"device 2 step 1: read\n", false);
        assert!(progress.last(7).contains("while the failure was shrunk"));
        let verdict = "FAILED torture\n    exit status 1\n      0: open\n    device 2 step 1: read";
        assert_eq!(
            progress.rest_of(verdict),
            "FAILED torture\n    exit status 1"
        );
        progress.take(format!("{REPORTED}\n").as_bytes(), false);
        assert!(progress.has_ended);
    }

    #[test]
    fn the_scenario_of_a_failure_is_written() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut progress = Progress::default();
        assert_eq!(progress.write_scenario(folder.path())?, None);
        let begin = format!("{SCENARIO_BEGIN}torture-verity-1-2\ntitle = \"\"\n");
        assert!(progress.take(begin.as_bytes(), true).is_empty());
        assert_eq!(progress.write_scenario(folder.path())?, None, "not whole");
        let end = format!("device 1\n{SCENARIO_END}\nand more\n");
        assert_eq!(progress.take(end.as_bytes(), true), ["and more"]);
        let path = progress.write_scenario(folder.path())?;
        let path = path.context("a path")?;
        assert_eq!(path, folder.path().join("torture-verity-1-2.toml"));
        assert_eq!(fs::read_to_string(path)?, "title = \"\"\ndevice 1\n");
        let begin = format!("{SCENARIO_BEGIN}../x\n{SCENARIO_END}\n");
        progress.take(begin.as_bytes(), true);
        assert!(progress.write_scenario(folder.path()).is_err());
        Ok(())
    }
}
