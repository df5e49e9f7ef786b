// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Namespaces of one user: created one after another, or kept by descriptors and dropped at once.

use super::{User, What, say, unshare, wait_for_input};
use crate::sys::{ns_id, setns};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Create namespaces one after another, and print how many microseconds that takes.
#[derive(clap::Args)]
pub(super) struct Make {
    #[command(flatten)]
    user: User,
    /// Kind of namespace; neither user nor pid.
    #[arg(long, default_value = "uts")]
    kind: What,
    /// Number of namespaces.
    #[arg(long, default_value_t = 1000)]
    count: u32,
    /// Write the id of each to this file, one a line.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
}

/// Creates them. Each is dropped at once: the user goes back to the namespace that he has come
/// from.
pub(super) fn run(make: &Make) -> Result<()> {
    let mut ids = match &make.ids {
        Some(file) => Some(BufWriter::new(
            File::create(file).with_context(|| file.display().to_string())?,
        )),
        None => None,
    };
    make.user.become_it()?;
    make.user.enter(0)?;
    let flags = make.kind.flags();
    unshare(flags).context("unshare")?;
    let home = File::open(make.kind.file())?;
    let begin = Instant::now();
    for _ in 0..make.count {
        unshare(flags).context("unshare")?;
        if let Some(ids) = &mut ids {
            writeln!(ids, "{}", ns_id(&File::open(make.kind.file())?)?)?;
        }
        setns(&home, flags).context("setns")?;
    }
    let took = begin.elapsed().as_micros();
    if let Some(mut ids) = ids {
        ids.flush()?;
    }
    say(&took.to_string());
    Ok(())
}

/// Keep namespaces by file descriptors, and drop them all by an exit.
///
/// Prints `hoarded` when it has them all, and ends at the end of its standard input.
#[derive(clap::Args)]
pub(super) struct Hoard {
    #[command(flatten)]
    user: User,
    /// Kind of namespace; neither user nor pid.
    #[arg(long, default_value = "uts")]
    kind: What,
    /// Number of namespaces.
    #[arg(long, default_value_t = 100_000)]
    count: u32,
}

/// Keeps them until standard input ends.
pub(super) fn hoard(hoard: &Hoard) -> Result<()> {
    hoard.user.become_it()?;
    hoard.user.enter(0)?;
    let mut kept = Vec::new();
    for _ in 0..hoard.count {
        unshare(hoard.kind.flags()).with_context(|| format!("after {}", kept.len()))?;
        kept.push(File::open(hoard.kind.file())?);
    }
    say("hoarded");
    wait_for_input()?;
    // The exit drops them all, as that of any task does.
    std::process::exit(0)
}
