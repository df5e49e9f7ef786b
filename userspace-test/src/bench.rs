// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test bench`: measures the cost of records, in instructions, with the guest command
//! `bench`.

use crate::guest::{Guest, Happening, Watcher};
use crate::prepare::Prepared;
use crate::report;
use crate::vm::Machine;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The timeout of all measurements.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// The options.
#[derive(Args)]
pub(crate) struct Bench {
    /// Write the table here, in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the measurements here, for --first of another run.
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Measurements of another kernel, which come first in each table.
    #[arg(long, value_name = "FILE")]
    first: Vec<PathBuf>,
}

/// A measurement, in instructions.
#[derive(Debug, PartialEq, Eq)]
struct Measured {
    what: String,
    conditions: String,
    least: u64,
    median: u64,
    mean: u64,
}

impl Measured {
    /// Reads a line of the guest command `bench`.
    fn parse(line: &str) -> Result<Self> {
        let mut parts = line.split('\t');
        let mut part = || parts.next().with_context(|| format!("bench: '{line}'"));
        Ok(Self {
            what: part()?.to_owned(),
            conditions: part()?.to_owned(),
            least: part()?.parse()?,
            median: part()?.parse()?,
            mean: part()?.parse()?,
        })
    }
}

/// Boots a guest with a clock that counts instructions, and measures.
pub(crate) fn bench(prepared: &Prepared, options: &Bench) -> Result<ExitCode> {
    let machine = Machine {
        icount: true,
        ..Machine::default()
    };
    let mut guest = Guest::boot(
        prepared,
        &machine,
        Watcher::new(|happening| {
            if let Happening::Output(_, bytes) = happening {
                eprint!("{}", String::from_utf8_lossy(bytes));
            }
        }),
    )?;
    guest.set_up(false)?;
    // What a fork copies depends on where the program is: in each guest at the same addresses.
    let command = ["setarch", "--addr-no-randomize", "bench"];
    let ended = guest.run(&command, &[], guest.within(TIMEOUT))?;
    ensure!(
        ended.status == 0,
        "measuring ended with status {}",
        ended.status
    );
    let console = guest.power_off()?;
    let splat = crate::judge::splat(&console);
    ensure!(
        splat.is_none(),
        "the console has a splat:\n{}",
        splat.unwrap_or_default()
    );
    let mut lines = String::new();
    for file in &options.first {
        lines += &fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    lines += &ended.text();
    if let Some(file) = &options.lines {
        fs::write(file, &*ended.text()).with_context(|| file.display().to_string())?;
    }
    let measured: Vec<_> = lines.lines().map(Measured::parse).collect::<Result<_>>()?;
    let made_by = match options.first.is_empty() {
        true => "make bench",
        false => "scripts/bench/intree.sh",
    };
    let text = markdown(made_by, &measured, &report::versions(prepared));
    report::say(&text);
    report::write_markdown(options.markdown.as_deref(), &text)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a table for each measurement: its conditions, and the ratio to the first.
fn markdown(made_by: &str, measured: &[Measured], versions: &[String]) -> String {
    let mut text = format!(
        "# What records cost\n\n\
         Made by `{made_by}`: instructions, counted by QEMU (`-icount shift=0`) on one processor, of 30 to 500 \
         rounds. The mean is of all that ran meanwhile: the task, kernel workers, kauditd, auditd. Least and median \
         are of single rounds: what is left for later does not show there. A ratio is of the means, to the first line \
         of its table. The mean of an audited open() differs by some 5 % between runs: it depends on how many records \
         auditd reads at a time. Medians fall on this or that side of the timer's interrupt, some 16,000 instructions.\n\n",
    );
    text.push_str(&report::version_list(versions));
    let mut whats: Vec<&str> = Vec::new();
    for one in measured {
        if !whats.contains(&one.what.as_str()) {
            whats.push(&one.what);
        }
    }
    for what in whats {
        text.push_str(&format!(
            "\n## {what}\n\n| conditions | least | median | mean | ratio |\n| --- | ---: | ---: | ---: | ---: |\n"
        ));
        let of_it: Vec<_> = measured.iter().filter(|one| one.what == what).collect();
        for one in &of_it {
            let ratio = one.mean as f64 / of_it[0].mean as f64;
            text.push_str(&format!(
                "| {} | {} | {} | {} | {ratio:.3} |\n",
                one.conditions, one.least, one.median, one.mean
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_first_of_a_kind() -> Result<()> {
        let lines = [
            "open\tno module\t900\t1100\t1000",
            "fork\tno module\t7\t8\t9",
            "open\tmodule\t1400\t1600\t1500",
        ];
        let measured: Vec<_> = lines
            .into_iter()
            .map(Measured::parse)
            .collect::<Result<_>>()?;
        let table = markdown("make bench", &measured, &[]);
        assert!(
            table.contains(
                "| no module | 900 | 1100 | 1000 | 1.000 |\n| module | 1400 | 1600 | 1500 | 1.500 |\n"
            ),
            "{table}"
        );
        assert!(Measured::parse("open\tmodule").is_err());
        Ok(())
    }
}
