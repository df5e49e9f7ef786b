// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test torture`: boots a guest and runs the command `torture` there, as a scenario.
//!
//! So what fails any run fails this one: a splat, a record off the contract, counters that differ.

use crate::guest::{Happening, Watcher};
use crate::prepare::Prepared;
use crate::report::{Outcome, say, versions};
use crate::run::run_all;
use crate::scenario::Scenario;
use crate::tools::torture::rounds::Torture;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is corrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// dm-integrity.
    Integrity,
}

/// The options of `torture`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    torture: Torture,
    /// What to corrupt.
    #[arg(long, value_enum, default_value_t = Target::Integrity)]
    target: Target,
    /// Keep the guest's audit log, console and kernel log in this folder.
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<PathBuf>,
}

/// Runs it in a guest.
pub(crate) fn run(prepared: &Prepared, options: &Options) -> Result<ExitCode> {
    for version in versions(prepared) {
        say(version);
    }
    let Target::Integrity = options.target;
    let scenario = scenario(&options.torture)?;
    let verdicts = run_all(
        prepared,
        &[scenario],
        1,
        options.keep_logs.as_deref(),
        &|_| {
            Watcher::new(|happening| {
                if let Happening::Output(_, bytes) = happening {
                    let mut out = std::io::stdout().lock();
                    // Nobody to show it to is no reason to stop.
                    let _ = out.write_all(bytes).and_then(|()| out.flush());
                }
            })
        },
        &|verdict| say(verdict.text()),
    );
    let passed = verdicts
        .iter()
        .all(|verdict| matches!(verdict.outcome(), Outcome::Passed));
    Ok(ExitCode::from(u8::from(!passed)))
}

/// Returns the scenario that runs `torture` with these options.
fn scenario(torture: &Torture) -> Result<Scenario> {
    // A device takes seconds where the machine is busy; each of them is a minute at most.
    let seconds = 600 + torture.minutes * 120 + torture.devices.unwrap_or(0) * 60;
    let text = format!(
        "title = \"dm-integrity: random devices with random damage, compared with a model\"\n\
         timeout = {seconds}\n\
         module = true\n\
         in_tree = \"fixes\"\n\
         memory = 2048\n\
         [[step]]\n\
         title = \"torture\"\n\
         run = '''\n{}\n'''\n\
         order = \"any\"\n\
         expect = [\n\
         {{ record = \"DM_CTRL\", fields = \"module=integrity\", at_least = 1 }},\n\
         {{ record = \"DM_EVENT\", fields = \"module=integrity\", at_least = 0 }},\n\
         ]\n",
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

    #[test]
    fn the_scenario_has_the_options() -> Result<()> {
        let words = ["torture", "--seed", "7", "--first", "3", "--devices", "2"];
        let options = Command::try_parse_from(words)?.options;
        let scenario = scenario(&options.torture)?;
        assert_eq!(
            scenario.steps[0].run.trim(),
            "torture --seed 7 --minutes 1 --first 3 --devices 2"
        );
        assert!(scenario.timeout > 600);
        Ok(())
    }
}
