// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A command that must not wait without bound.

use super::say;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Run a command as root, and print how many milliseconds it takes.
#[derive(clap::Args)]
pub(super) struct Within {
    /// Milliseconds that it may take.
    limit: u64,
    /// The command.
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// The interval of polls of the command.
const TICK: Duration = Duration::from_millis(5);

/// Runs the command. Its standard output goes to standard error.
pub(super) fn run(within: &Within) -> Result<ExitCode> {
    let Some((program, arguments)) = within.command.split_first() else {
        bail!("an empty command");
    };
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .spawn()
        .with_context(|| program.clone())?;
    let limit = Duration::from_millis(within.limit);
    let ended = loop {
        match child.try_wait()? {
            None if begin.elapsed() < limit => std::thread::sleep(TICK),
            ended => break ended,
        }
    };
    let Some(status) = ended else {
        eprintln!(
            "attack: '{}' has not ended after {} ms; it sleeps in:\n{}",
            within.command.join(" "),
            within.limit,
            sleeps_in(child.id())
        );
        return Ok(ExitCode::from(124));
    };
    say(&begin.elapsed().as_millis().to_string());
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(code as u8))
}

/// Returns where the kernel has put a task.
fn sleeps_in(pid: u32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = read("status");
    let state = status
        .lines()
        .find(|line| line.starts_with("State:"))
        .unwrap_or_default();
    format!("{state}\n{}", read("stack"))
}
