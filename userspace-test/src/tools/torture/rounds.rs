// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Devices, one after the other: each is made, damaged and used, while a model predicts every result
//! and every record.

use super::geometry::{Covered, Geometry};
use super::ground::{Ground, NAME, TAGS};
use super::kernel_log::KernelLog;
use super::log::Log;
use super::round::{Elements, Interrupted, Round, Sums, catch_signals};
use super::script::Script;
use super::{integrity, shrink, verity};
use crate::mapper::Mapper;
use anyhow::{Context, Result};
use clap::ValueEnum;
use fastrand::Rng;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fmt, fs};

/// What is corrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// dm-integrity.
    Integrity,
    /// dm-crypt with authentication, above dm-integrity.
    Crypt,
    /// dm-verity.
    Verity,
    /// Each of them in turn.
    All,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integrity => "integrity",
            Self::Crypt => "crypt",
            Self::Verity => "verity",
            Self::All => "all",
        })
    }
}

impl Target {
    /// Returns the target of a device.
    fn of(self, device: u64) -> Self {
        match (self, device % 3) {
            (Self::All, 0) => Self::Integrity,
            (Self::All, 1) => Self::Crypt,
            (Self::All, _) => Self::Verity,
            (one, _) => one,
        }
    }

    /// Returns the options of the kernel that it needs.
    pub(crate) fn kernel_options(self) -> &'static [&'static str] {
        match self {
            Self::Integrity => &["DM_INTEGRITY"],
            Self::Crypt => &["DM_INTEGRITY", "DM_CRYPT", "CRYPTO_AUTHENC", "CRYPTO_GCM"],
            Self::Verity => &["DM_VERITY", "DM_VERITY_FEC"],
            Self::All => &[
                "DM_INTEGRITY",
                "DM_CRYPT",
                "CRYPTO_AUTHENC",
                "CRYPTO_GCM",
                "DM_VERITY",
                "DM_VERITY_FEC",
            ],
        }
    }
}

/// Corrupt random devices of device mapper, and compare all that follows with a model.
#[derive(clap::Args)]
pub(crate) struct Torture {
    /// Decides all choices.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Minutes to run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) minutes: u64,
    /// The number of devices, instead of the minutes.
    #[arg(
        long,
        conflicts_with = "minutes",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    pub(crate) devices: Option<u64>,
    /// The first device, by its number.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1 << 40))]
    first: u64,
    /// What to corrupt.
    #[arg(long, value_enum, default_value_t = Target::All)]
    pub(crate) target: Target,
    /// Leave these choices of a device out, by their numbers: what shrinking has found to be of no
    /// influence.
    #[arg(long, value_delimiter = ',', requires = "devices")]
    skip: Vec<u32>,
    /// Print each step.
    #[arg(long)]
    pub(crate) steps: bool,
}

impl Torture {
    /// Returns the command that has these options, and prints each step.
    pub(crate) fn command(&self) -> String {
        let mut command = format!("torture --seed {} --target {}", self.seed, self.target);
        command += &format!(" --first {}", self.first);
        match self.devices {
            Some(devices) => command += &format!(" --devices {devices}"),
            None => command += &format!(" --minutes {}", self.minutes),
        }
        if !self.skip.is_empty() {
            command += &format!(" --skip {}", listed(self.skip.iter()));
        }
        command + " --steps"
    }
}

fn listed<'a>(numbers: impl Iterator<Item = &'a u32>) -> String {
    let numbers: Vec<_> = numbers.map(ToString::to_string).collect();
    numbers.join(",")
}

/// The begin of the line before the scenario of a failure: its name follows. The line after it.
pub(crate) const SCENARIO_BEGIN: &str = "-----BEGIN SCENARIO ";
pub(crate) const SCENARIO_END: &str = "-----END SCENARIO-----";
/// The begin of the first line of a failure, and its last line.
pub(crate) const FAILED: &str = "FAILED seed ";
pub(crate) const REPORTED: &str = "-----END FAILURE-----";
/// The begin of the line with the command that repeats it.
pub(crate) const AGAIN: &str = "again: ";

/// What devices are made with.
pub(super) struct Bench {
    mapper: Mapper,
    ground: Ground,
    log: Log,
    kernel_log: KernelLog,
    has_buffer_heads: bool,
}

/// A device that was tortured.
pub(super) struct Attempt {
    /// Its target and its options.
    pub(super) shown: String,
    pub(super) steps: Vec<String>,
    pub(super) script: Script,
    /// The elements that were not left out.
    pub(super) met: Vec<u32>,
    /// Why it ended early.
    pub(super) error: Option<anyhow::Error>,
    /// The kernel log of it, if it ended early.
    pub(super) kernel_log: Vec<String>,
}

/// The options of a device.
enum Subject {
    Blocks(Geometry),
    Verity(verity::Geometry),
}

impl Subject {
    fn random(target: Target, rng: &mut Rng) -> Self {
        match target {
            Target::Crypt => Self::Blocks(Geometry::encrypted(rng)),
            Target::Verity => Self::Verity(verity::Geometry::random(rng)),
            Target::Integrity | Target::All => Self::Blocks(Geometry::random(rng, false)),
        }
    }

    fn cover(&self, covered: &mut Covered) {
        match self {
            Self::Blocks(geometry) => geometry.cover(covered),
            Self::Verity(geometry) => geometry.cover(covered),
        }
    }

    fn torture(&self, round: &mut Round<'_>) -> Result<()> {
        match self {
            Self::Blocks(geometry) => integrity::torture(round, geometry),
            Self::Verity(geometry) => verity::torture(round, geometry),
        }
    }

    fn shown(&self, ground: &Ground) -> String {
        match self {
            Self::Blocks(geometry) => {
                let table = geometry.table(0, ground.data(), ground.metadata());
                format!(
                    "{} {}, {} sectors below",
                    table.target,
                    table.arguments.join(" "),
                    geometry.data_sectors
                )
            }
            Self::Verity(geometry) => {
                let table = geometry.shown(ground.mappings());
                format!("{} {}", table.target, table.arguments.join(" "))
            }
        }
    }
}

/// Returns whether the kernel has CONFIG_BUFFER_HEAD. Without kallsyms that is not known.
fn has_buffer_heads() -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let mut lines = symbols.lines();
    lines.any(|line| line.ends_with(" block_write_begin"))
}

impl Bench {
    fn new() -> Result<Self> {
        let mapper = Mapper::open()?;
        Ok(Self {
            ground: Ground::new(&mapper)?,
            log: Log::open()?,
            kernel_log: KernelLog::open()?,
            has_buffer_heads: has_buffer_heads(),
            mapper,
        })
    }

    /// Tortures a device, without the elements of `skip`.
    pub(super) fn attempt(
        &mut self,
        options: &Torture,
        device: u64,
        skip: &BTreeSet<u32>,
        sums: &mut Sums,
        covered: &mut Covered,
    ) -> Result<Attempt> {
        self.kernel_log.begin()?;
        let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(device);
        let mut rng = Rng::with_seed(seed);
        let subject = Subject::random(options.target.of(device), &mut rng);
        subject.cover(covered);
        let (mut steps, mut script) = (Vec::new(), Script::default());
        let mut round = Round {
            mapper: &self.mapper,
            ground: &mut self.ground,
            log: &mut self.log,
            rng,
            elements: Elements::new(seed, skip),
            number: device,
            has_buffer_heads: self.has_buffer_heads,
            version: 0,
            steps: &mut steps,
            script: &mut script,
            compares: true,
            prints: options.steps,
            sums,
            covered,
        };
        let error = subject.torture(&mut round).err();
        let met = std::mem::take(&mut round.elements.met);
        let kernel_log = match error {
            Some(_) => self.kernel_log.lines()?,
            None => Vec::new(),
        };
        Ok(Attempt {
            shown: subject.shown(&self.ground),
            steps,
            script,
            met,
            error,
            kernel_log,
        })
    }

    /// Removes what an attempt has left, and what it has recorded.
    pub(super) fn clean(&mut self) -> Result<()> {
        for name in [NAME, TAGS] {
            // It may not be there.
            let _ = self.mapper.resume(name);
            let _ = self.mapper.remove(name);
        }
        self.log.records()?;
        Ok(())
    }

    fn remove(self) -> Result<()> {
        self.ground.remove(&self.mapper)
    }
}

/// Tortures devices until the time is up or one differs from the model.
pub(crate) fn run(options: &Torture) -> Result<ExitCode> {
    catch_signals()?;
    let begin = Instant::now();
    let is_over = |device: u64| match options.devices {
        Some(count) => device >= options.first + count,
        None => begin.elapsed() >= Duration::from_secs(options.minutes * 60),
    };
    let mut bench = Bench::new()?;
    let mut sums = Sums::default();
    let mut covered = Covered::default();
    let mut device = options.first;
    let mut said = 0;
    let skip = options.skip.iter().copied().collect();
    while !is_over(device) {
        let attempt = bench.attempt(options, device, &skip, &mut sums, &mut covered)?;
        if let Some(error) = &attempt.error {
            if error.is::<Interrupted>() {
                println!(
                    "interrupted: seed {} device {device}, before step {}",
                    options.seed,
                    attempt.steps.len().saturating_sub(1)
                );
            } else {
                report(&mut bench, options, device, &skip, attempt)?;
            }
            bench.clean().context("what is left cannot be removed")?;
            bench.remove()?;
            return Ok(ExitCode::FAILURE);
        }
        device += 1;
        if begin.elapsed().as_secs() / 10 > said {
            said = begin.elapsed().as_secs() / 10;
            eprintln!(
                "seed {} device {device}, {} s: {} records",
                options.seed,
                begin.elapsed().as_secs(),
                sums.records
            );
        }
    }
    bench.remove()?;
    covered.print();
    println!(
        "seed {}: {} devices in {} s, {} corruptions, {} reads, {} of them failed, {} writes, {} \
         records predicted and matched",
        options.seed,
        device - options.first,
        begin.elapsed().as_secs(),
        sums.corruptions,
        sums.reads,
        sums.failed,
        sums.writes,
        sums.records
    );
    Ok(ExitCode::SUCCESS)
}

/// Prints a device that differs from the model, as it was and with the fewest elements.
fn report(
    bench: &mut Bench,
    options: &Torture,
    device: u64,
    skip: &BTreeSet<u32>,
    attempt: Attempt,
) -> Result<()> {
    println!("{FAILED}{} device {device}", options.seed);
    print(&attempt);
    let again = |skip: &BTreeSet<u32>| {
        let mut command = format!(
            "torture --seed {} --target {} --first {device} --devices 1",
            options.seed, options.target
        );
        if !skip.is_empty() {
            command += &format!(" --skip {}", listed(skip.iter()));
        }
        command
    };
    println!("{AGAIN}{}", again(skip));
    let scenario = |attempt: &Attempt, skip: &BTreeSet<u32>| {
        let error = attempt.error.as_ref().map(|error| format!("{error:#}"));
        let why = format!(
            "Found by: {}\n{}\n{}",
            again(skip),
            attempt.shown,
            error.unwrap_or_default()
        );
        let title = format!("torture, seed {} device {device}", options.seed);
        println!(
            "{SCENARIO_BEGIN}torture-{}-{}-{device}",
            options.target.of(device),
            options.seed
        );
        print!("{}", attempt.script.scenario(&title, &why));
        println!("{SCENARIO_END}");
    };
    // An attempt may end the guest.
    scenario(&attempt, skip);
    let before = attempt.met.len();
    let (skip, least) = shrink::shrink(bench, options, device, skip.clone(), attempt)?;
    if least.met.len() < before {
        println!("SHRUNK from {before} choices to {}", least.met.len());
        print(&least);
        println!("{AGAIN}{}", again(&skip));
        scenario(&least, &skip);
    }
    println!("{REPORTED}");
    Ok(())
}

fn print(attempt: &Attempt) {
    println!("  {}", attempt.shown);
    for (i, step) in attempt.steps.iter().enumerate() {
        println!("  {i}: {step}");
    }
    if let Some(error) = &attempt.error {
        println!("  {error:#}");
    }
    for line in &attempt.kernel_log {
        println!("  kernel: {line}");
    }
}
