// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The harness of dmns-audit: boots a stock Debian kernel in QEMU, runs real tools there, corrupts
//! their data, and judges every audit record.
//!
//! Host side: [`prepare`] makes the files of a run, [`vm`] and [`guest`] run a guest, [`scenario`],
//! [`pattern`] and [`expect`] define the expected records, [`judge`] the conditions of every run,
//! [`report`] prints the verdict. [`diff`] and [`metrics`] compare the module with dm-audit.c.
//! Guest side: [`agent`], the same program as PID 1; [`tools`], commands for scenarios, among them
//! [`attack`], the attacks of an ordinary user. Both read auditd's log with [`follow`].

mod agent;
mod arch;
mod attack;
mod bench;
mod calls;
mod clock;
mod config;
mod decode;
mod diff;
mod emulation;
mod expect;
mod folder;
mod follow;
mod guest;
mod identity;
mod image;
mod initramfs;
mod interactive;
mod judge;
mod kind;
mod live;
mod mapper;
mod metrics;
mod needs;
mod own;
mod pattern;
mod prepare;
mod protocol;
mod report;
mod run;
mod scenario;
mod shared;
mod sys;
mod tools;
mod torture;
mod tsc;
mod vm;

use anyhow::{Context, Result, anyhow, bail, ensure};
use arch::Arch;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use guest::Watcher;
use kind::Kind;
use nix::unistd::{AccessFlags, access};
use own::Chosen;
use prepare::{Disk, Needs, Prepared};
use report::{Cause, Outcome, Verdict, say};
use scenario::{Group, Scenario};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tools::corrupt;

/// Boots a stock Debian kernel in QEMU with dmns_audit.ko, drives real tools, judges every audit
/// record.
///
/// Missing files (build root, kernel, guest image, module) are made first and kept in $DMNS_CACHE,
/// by default ~/.cache/dmns-audit.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// Factor of all timeouts (boots, records, scenarios), relative to the stock kernel on a quiet
    /// machine. The default depends on DMNS_KERNEL: 1; rt: 2, debug: 5, kasan: 12.
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u32).range(1..))]
    timeout_multiplier: Option<u32>,
    /// Architecture of the guests: arm64 from a checkout. By default that of DMNS_ARCH, or amd64.
    #[arg(long, global = true)]
    arch: Option<Arch>,
    #[command(flatten)]
    kernel: own::Options,
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Subcommand)]
enum Cmd {
    /// Make what runs need, and say where it is.
    Prepare,
    /// List the scenarios.
    List,
    /// Run scenarios and judge them.
    ///
    /// Exit status: 0 if all passed, 1 if one failed, 2 if they could not be run.
    #[command(
        after_help = "Examples:\n  dmns-test run\n  dmns-test run --live dm-integrity-2021\n  \
                            dmns-test run --junit out.xml --keep-logs logs/ ./my-scenario.toml\n  \
                            dmns-test run --share . ./tests/dmns"
    )]
    Run(Run),
    /// Run scenarios with the module and without it, or on two kernels, and compare what both write,
    /// record for record.
    ///
    /// The kernel's own emitter of device-mapper records, dm-audit.c, is the judge, or the kernel of
    /// --against, then also of records of namespaces. Exit status as for run.
    #[command(after_help = "Examples:\n  dmns-test diff\n  \
                            dmns-test diff --markdown docs/results/differential.md integrity-journal\n  \
                            dmns-test diff --tree linux-new --against linux-old\n  \
                            dmns-test diff --against linux-with-records --against-no-module unshare-all")]
    Diff(Compare),
    /// Run the scenarios that take metrics with the module and without it, and print both side by
    /// side, with those of the kernel of --against as a third.
    ///
    /// Without the module, dm-audit.c writes the device-mapper records; its losses are part of the
    /// metrics, and so its records are not judged. Exit status as for run.
    #[command(
        after_help = "Examples:\n  dmns-test metrics --markdown docs/results/figures.md\n  \
                            dmns-test metrics dm-event-flood\n  \
                            dmns-test metrics --against linux-with-records --against-no-module"
    )]
    Metrics(Compare),
    /// Count the instructions that records cost, with the module and without it, and print a table.
    ///
    /// The guest's clock counts instructions (QEMU's -icount), so that a busy machine does not
    /// disturb. It does not count cycles, nor what happens between processors. Takes some minutes.
    Bench(bench::Bench),
    /// Corrupt random devices in a guest, and compare all that follows with a model.
    ///
    /// Each device has random options. It is written, closed, corrupted below, opened, read and written
    /// in several ways. The model predicts what each read returns, and each record. Prints what was
    /// covered. Where something differs, it prints the steps of that device, leaves out those without
    /// influence, and writes a scenario that fails in the same way, into the folder of --keep-logs or
    /// here. The same seed repeats all. With --no-module, the records of dm-audit.c are compared. Exit
    /// status as for run.
    #[command(
        after_help = "Examples:\n  dmns-test torture --seed 7 --minutes 10 --target verity\n  \
                            dmns-test torture --seed 7 --first 31 --devices 1 --steps\n  \
                            dmns-test --no-module torture --minutes 5"
    )]
    Torture(torture::Options),
    /// Corrupt a sector of a mapping of this machine, as root: invert a byte of its data, its tag or its
    /// hash, where the devices below keep it.
    ///
    /// Needs no guest; in a guest the command is `corrupt`. The mapping is active. dm-integrity,
    /// dm-verity, dm-crypt and linear are followed down to a device that is no mapping. A layout that is
    /// not known is an error. The kernel keeps tags, hashes and journals in memory: close the mapping and
    /// open it again where these are corrupted.
    #[command(
        after_help = "Examples:\n  dmns-test corrupt volume --sector 8 --print\n  \
                            dmns-test corrupt volume --sector 8 --what tag\n  \
                            dmns-test corrupt root --sector 4096 --what hash:0"
    )]
    Corrupt(corrupt::Corrupt),
    /// Print the options that a kernel of one's own needs, for the end of its .config.
    ///
    /// make defconfig kvm_guest.config; dmns-test kconfig >>.config; make olddefconfig
    Kconfig {
        /// Also switch off what no guest needs, so that the kernel is built sooner.
        #[arg(long)]
        small: bool,
    },
    /// Open a shell in a guest, with auditd running and the module loaded.
    ///
    /// In it, `records` shows the records so far and `records -f` follows them; `load`, `unload`
    /// and `counter` handle the module. Leave with `exit`.
    Shell(interactive::Shell),
    /// Run one command in a guest, with auditd running and the module loaded.
    ///
    /// Its output and exit status become this program's; 125 if it could not be run, or if the
    /// guest's kernel complained.
    #[command(after_help = "Examples:\n  dmns-test exec -- unshare -n true\n  \
                            dmns-test exec --share . --audit-log audit.log -- sh /mnt/share/test.sh")]
    Exec(interactive::Exec),
    /// The guest's side.
    #[command(hide = true)]
    Agent {
        /// What to do.
        stage: agent::Stage,
    },
}

impl Cmd {
    /// Returns whether it starts guests, or makes what they need.
    fn has_guests(&self) -> bool {
        !matches!(
            self,
            Self::List | Self::Corrupt(_) | Self::Kconfig { .. } | Self::Agent { .. }
        )
    }
}

#[derive(Args)]
struct Run {
    /// Names of scenarios, files, or folders of files; all of the project's if there is none.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All scenarios that run in this guest image, instead of those in the usual one.
    #[arg(long, value_name = "IMAGE", conflicts_with = "names")]
    image: Option<String>,
    /// All scenarios that take minutes each, instead of the others.
    #[arg(long, conflicts_with_all = ["names", "image"])]
    long: bool,
    /// Folder that every guest sees at /mnt/share.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Start guests through `dmns-audit-record run-guest`, which appends their records to this file
    /// (and to this machine's audit, if it may): `dmns-audit report virt FILE` prints them.
    #[arg(long, value_name = "FILE")]
    guest_log: Option<PathBuf>,
    /// Write a JUnit report here too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// End with the exit status that `git bisect run` expects: 0 if what ran passed, 1 if something
    /// failed, 125 if nothing could be judged: no kernel, no module, no boot, or all skipped.
    #[arg(long)]
    bisect: bool,
    /// Find mistakes in the arguments, and end: for scripts/bisect.sh, before it builds.
    #[arg(long, hide = true, requires = "bisect")]
    dry_run: bool,
    /// Report in KTAP on standard output.
    #[arg(long)]
    ktap: bool,
    /// Keep each guest's audit log, console and kernel log in this folder.
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<PathBuf>,
    /// Show commands, and events as `dmns-audit watch` prints them, as they come; one scenario at a
    /// time.
    #[arg(long)]
    live: bool,
    /// Guests at the same time; by default as many as there are processors.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Run each so many times.
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// Virtual CPUs of every guest, whatever its scenario says.
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Several virtual CPUs run at the same time also where they are emulated, in a thread each,
    /// and no clock counts instructions. A guest that its emulator kills in the kernel's own text
    /// patching is a skip, which says so.
    #[arg(long)]
    parallel: bool,
    /// A parameter of scenarios: $NAME in their steps, such as the cycles of soak.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    set: Vec<(String, String)>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// The options of runs with the module and without it.
#[derive(Args)]
struct Both {
    /// Names of scenarios, or files; all that this can be done with if there is none.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Write the table here, in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Guests at the same time; by default as many as there are processors.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// The options of comparisons, which may have another kernel.
#[derive(Args)]
struct Compare {
    #[command(flatten)]
    both: Both,
    /// Compare with this kernel (`diff`: instead of the same one without the module): a built tree, an
    /// image with --against-modules, or `debian`.
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// The modules of an image that --against names.
    #[arg(long, value_name = "DIR", requires = "against")]
    against_modules: Option<PathBuf>,
    /// A dmns_audit.ko that is built for the kernel of --against, instead of building one.
    #[arg(
        long,
        value_name = "KO",
        requires = "against",
        conflicts_with = "against_no_module"
    )]
    against_module: Option<PathBuf>,
    /// Do not load the module there: that kernel's own records are compared.
    #[arg(long, requires = "against")]
    against_no_module: bool,
}

impl Compare {
    /// Finds the kernel to compare `chosen` with, if it is another.
    fn against(&self, chosen: &Chosen) -> Result<Option<Chosen>> {
        let Some(path) = &self.against else {
            return Ok(None);
        };
        let options = own::Options::of(
            path,
            self.against_modules.clone(),
            self.against_module.clone(),
            self.against_no_module,
        )?;
        let against = options.choose(Arch::asked()).context("--against")?;
        ensure!(
            !chosen.is(&against),
            "--against {}: the same kernel with the same module: give another, or --against-no-module",
            path.display()
        );
        Ok(Some(against))
    }
}

fn main() -> ExitCode {
    // The kernel starts /init without arguments.
    if std::process::id() == 1 && std::env::args_os().len() == 1 {
        agent::run_as_init();
    }
    if let Some(code) = tools::run_as_tool() {
        return code;
    }
    let cli = match Cli::try_parse().and_then(once) {
        Ok(cli) => cli,
        Err(error) => {
            let is_asked = |word| std::env::args().any(|given| given == word);
            let status = match error.use_stderr() {
                false => 0,
                true if is_asked("--bisect") => MISTAKEN,
                true if is_asked("exec") => NOT_RUN,
                true => 2,
            };
            // Nobody may read it.
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    // A mistake in the arguments, and what a kernel may be the reason of.
    let (mistaken, failed) = match &cli.command {
        Cmd::Exec(_) => (NOT_RUN, NOT_RUN),
        Cmd::Run(options) if options.bisect => (MISTAKEN, UNTESTABLE),
        _ => (2, 2),
    };
    let done = match check(&cli) {
        Err(e) => Err((mistaken, e)),
        Ok(arch) => match &cli.command {
            Cmd::Run(options) if options.dry_run => {
                say(arch.name());
                Ok(ExitCode::SUCCESS)
            }
            command if command.has_guests() && !arch.is_here() => match cli.kernel.choose(arch) {
                Err(e) => Err((failed, e)),
                Ok(_) => arch
                    .start_again()
                    .map(|never| match never {})
                    .map_err(|e| (mistaken, e)),
            },
            _ => act(cli.command, cli.timeout_multiplier, &cli.kernel).map_err(|e| (failed, e)),
        },
    };
    match done {
        Ok(code) => code,
        Err((status, e)) => {
            eprintln!("dmns-test: {e:#}");
            ExitCode::from(status)
        }
    }
}

/// Returns `cli`, unless an option is given twice.
fn once(cli: Cli) -> Result<Cli, clap::Error> {
    match twice(std::env::args_os()) {
        Some(option) => Err(Cli::command().error(
            ErrorKind::ArgumentConflict,
            format!("{option} is given twice: leave one out"),
        )),
        None => Ok(cli),
    }
}

/// The options that may stand before the subcommand and after it, with a value.
const ANYWHERE: [&str; 6] = [
    "--timeout-multiplier",
    "--arch",
    "--tree",
    "--kernel",
    "--modules",
    "--module",
];

/// Returns an option that is given twice, before the subcommand and after it. clap would take the
/// second.
fn twice(arguments: impl Iterator<Item = OsString>) -> Option<&'static str> {
    let arguments: Vec<_> = arguments
        .take_while(|argument| argument != "--")
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    ANYWHERE.into_iter().find(|option| {
        let is = |argument: &&String| argument.split('=').next() == Some(*option);
        arguments.iter().filter(is).count() > 1
    })
}

/// Finds mistakes that no other kernel would mend. Returns the architecture of the guests.
fn check(cli: &Cli) -> Result<Arch> {
    if !cli.command.has_guests() {
        return Ok(Arch::Amd64);
    }
    let requested = Arch::requested()?;
    let arch = cli.arch.unwrap_or(requested);
    cli.kernel.conflict()?;
    if !cli.kernel.is_own() {
        Kind::asked().check(arch)?;
    }
    match &cli.command {
        // Of other runs these are found later, and have the same exit status.
        Cmd::Run(options) if options.bisect => {
            let plan = Plan::of(options, Kind::Stock)?;
            plan.needs.suit(cli.kernel.is_own())?;
            cli.kernel.check_module(arch)?;
            prepare::cache()?;
        }
        _ => {}
    }
    Ok(arch)
}

fn act(command: Cmd, multiplier: Option<u32>, kernel: &own::Options) -> Result<ExitCode> {
    let chosen = match command.has_guests() {
        true => kernel.clone(),
        false => own::Options::default(),
    }
    .choose(Arch::asked())?;
    let kind = chosen.kind();
    let prepare = |needs: &Needs| prepare::prepare(&chosen, needs, multiplier);
    let usual = || prepare(&Disk::default().into())?.complete();
    match command {
        Cmd::Prepare => {
            let prepared = usual()?;
            for line in report::versions(&prepared) {
                say(line);
            }
            say(format!(
                "KDIR    {}",
                prepared.kernel.join("build").display()
            ));
            if let Some(module) = &prepared.module {
                say(format!("module  {}", module.display()));
            }
            let guest = prepared.disk(&Disk::default())?;
            say(format!("guest   {}", guest.display()));
            Ok(ExitCode::SUCCESS)
        }
        Cmd::List => {
            // Of a tree that is not built yet as of Debian's.
            let own = kernel.choose(Arch::asked());
            let kind = own.map_or(kind, |chosen| chosen.kind());
            let images = ["libvirt", "runtimes", "packages", "files"].map(Group::Image);
            for group in [Group::Usual, Group::Long].into_iter().chain(images) {
                for scenario in find(&[], group, kind)? {
                    say(format!("{:<30} {}", scenario.name, scenario.title));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Cmd::Run(options) => run_scenarios(&options, kind, &prepare),
        Cmd::Torture(options) => {
            let prepared = prepare(&Disk::default().into())?.complete()?;
            torture::run(&prepared, &options, kernel.words())
        }
        Cmd::Diff(options) => diff_scenarios(&options, &chosen, multiplier),
        Cmd::Metrics(options) => {
            chosen.has_module("metrics")?;
            take_metrics(&options, &chosen, multiplier)
        }
        Cmd::Corrupt(options) => corrupt::run(&options),
        Cmd::Kconfig { small } => {
            say(config::fragment(small));
            Ok(ExitCode::SUCCESS)
        }
        Cmd::Bench(options) => {
            chosen.has_module("bench")?;
            bench::bench(&usual()?, &options)
        }
        Cmd::Shell(options) => {
            interactive::shell(&prepare(&options.disk.disk().into())?.complete()?, &options)
        }
        Cmd::Exec(options) => {
            interactive::exec(&prepare(&options.disk.disk().into())?.complete()?, &options)
        }
        Cmd::Agent { stage } => {
            agent::run(stage)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn find(names: &[String], group: Group<'_>, kind: Kind) -> Result<Vec<Scenario>> {
    let folder = prepare::project()?.join("userspace-test/scenarios");
    scenario::find(&folder, names, group, kind)
}

/// Returns what `scenarios` need.
fn needed_by(scenarios: &[Scenario]) -> Needs {
    Needs {
        disks: scenarios.iter().map(Scenario::disk).collect(),
        test_modules: scenarios
            .iter()
            .any(|scenario| !scenario.modules.is_empty()),
    }
}

/// Makes what is missing.
type Prepare<'a> = &'a dyn Fn(&Needs) -> Result<Prepared>;

/// Returns the number of guests that run at the same time.
fn jobs(asked: Option<usize>) -> Result<usize> {
    match asked {
        Some(jobs) => Ok(jobs),
        None => Ok(std::thread::available_parallelism()?.get()),
    }
}

/// Prints the versions that what follows holds for.
fn say_versions(prepared: &Prepared) -> Vec<String> {
    let versions = report::versions(prepared);
    for version in &versions {
        say(version);
    }
    versions
}

/// Runs scenarios, and returns the verdicts in their order.
fn run_side(prepared: &Prepared, scenarios: &[Scenario], options: &Both) -> Result<Vec<Verdict>> {
    let mut verdicts = run::run_all(
        prepared,
        scenarios,
        jobs(options.jobs)?,
        None,
        &|_| Watcher::none(),
        &|verdict| say(verdict.text()),
    );
    // A verdict that belongs to no scenario comes last, and is a failure.
    match verdicts.split_off(scenarios.len()).first() {
        Some(failed) => bail!("{}", failed.text()),
        None => Ok(verdicts),
    }
}

/// Returns scenarios that run without the module.
fn without_module(scenarios: &[Scenario], judged: bool) -> Vec<Scenario> {
    let mut scenarios = scenarios.to_vec();
    for scenario in &mut scenarios {
        scenario.module = false;
        scenario.judged = judged;
    }
    scenarios
}

/// Runs scenarios with the module and without it, in one go: both sides share the guests' time.
/// Returns the verdicts of both sides, in the order of `scenarios`.
fn run_both(
    prepared: &Prepared,
    scenarios: &[Scenario],
    options: &Both,
    judge_c: bool,
) -> Result<(Vec<Verdict>, Vec<Verdict>)> {
    let without = without_module(scenarios, judge_c);
    let all: Vec<_> = scenarios.iter().cloned().chain(without).collect();
    let mut ours = run_side(prepared, &all, options)?;
    let c = ours.split_off(scenarios.len());
    Ok((ours, c))
}

/// Returns what a kernel is called in a comparison.
fn side_name(side: &Prepared) -> String {
    match side.module {
        Some(_) => side.release.clone(),
        None => format!("{} without the module", side.release),
    }
}

/// Returns what `diff` compares, and the names of the sides. Boots a guest on a kernel without the
/// module, to see whether it writes records of namespaces.
fn sides(ours: &Prepared, other: &Prepared) -> Result<(diff::Scope, diff::Sides)> {
    let writes = |side: &Prepared| match side.module {
        Some(_) => Ok(true),
        None => run::writes_namespaces(side),
    };
    let scope = diff::Scope {
        namespaces: writes(ours)? && writes(other)?,
        module: ours.module.is_some() && other.module.is_some(),
    };
    let (mut judge, judged) = (side_name(other), side_name(ours));
    if judge == judged {
        judge += " (against)";
    }
    Ok((scope, diff::Sides { judge, judged }))
}

fn diff_scenarios(options: &Compare, chosen: &Chosen, multiplier: Option<u32>) -> Result<ExitCode> {
    let against = options.against(chosen)?;
    if against.is_none() {
        chosen
            .has_module("diff")
            .map_err(|e| anyhow!("{e}, or give --against"))?;
    }
    let options = &options.both;
    let mut scenarios = find(&options.names, Group::Both, chosen.kind())?;
    let mut needs = needed_by(&scenarios);
    needs.test_modules &= against.is_some();
    // What the sides write is found in a guest of its own.
    needs.disks.insert(Disk::default());
    let ready = |chosen: &Chosen| prepare::prepare(chosen, &needs, multiplier)?.complete();
    let prepared = ready(chosen)?;
    let other = against.as_ref().map(ready).transpose()?;
    let mut versions = say_versions(&prepared);
    let (scope, sides) = match &other {
        Some(other) => {
            say("against:");
            versions.push("against:".to_owned());
            versions.extend(say_versions(other));
            sides(&prepared, other)?
        }
        None => {
            let scope = diff::Scope {
                namespaces: false,
                module: false,
            };
            (scope, diff::Sides::c_and_module())
        }
    };
    if options.names.is_empty() {
        scenarios.retain(|scenario| diff::applies(scenario, scope));
    }
    for scenario in &scenarios {
        ensure!(
            diff::applies(scenario, scope),
            "{}: only scenarios can be compared that expect records that both sides write ({}) and nothing \
             else, begin with the module loaded, use it only where both sides have it, and do not have diff = false",
            scenario.name,
            match scope.namespaces {
                true => "device-mapper, namespaces",
                false => "device-mapper",
            }
        );
    }
    let (ours, c) = match &other {
        Some(other) => (
            run_side(&prepared, &scenarios, options)?,
            run_side(other, &scenarios, options)?,
        ),
        None => run_both(&prepared, &scenarios, options, true)?,
    };
    let (_, mut failed) = report::summary(&ours);
    failed += report::summary(&c).1;
    let mut results = Vec::new();
    for (ours, c) in ours.iter().zip(&c) {
        if ours.skipped.is_some() || c.skipped.is_some() {
            continue;
        }
        let pairs = diff::compare(
            &diff::Record::all(&c.records, scope),
            &diff::Record::all(&ours.records, scope),
        );
        say(format!("\n{}: {}", ours.name, ours.title));
        for pair in &pairs {
            say(format!(
                "  {:<8} {}",
                pair.verdict(&sides),
                pair.record().body()
            ));
        }
        failed += pairs.iter().filter(|pair| !pair.is_equal()).count();
        results.push((ours.name.clone(), pairs));
    }
    let table = diff::markdown(&results, &versions, &sides);
    report::write_markdown(options.markdown.as_deref(), &table)?;
    let pairs: usize = results.iter().map(|(_, pairs)| pairs.len()).sum();
    say(format!(
        "\n{pairs} pairs of records, {failed} differences or failures"
    ));
    compared(results.len(), failed).map(ExitCode::from)
}

/// Returns the exit status of a comparison by so many scenarios, which were not skipped.
fn compared(scenarios: usize, failed: usize) -> Result<u8> {
    ensure!(
        scenarios > 0 || failed > 0,
        "nothing was compared: each scenario was skipped"
    );
    Ok(u8::from(failed > 0))
}

fn take_metrics(options: &Compare, chosen: &Chosen, multiplier: Option<u32>) -> Result<ExitCode> {
    let against = options.against(chosen)?;
    let options = &options.both;
    let mut scenarios = find(&options.names, Group::Both, chosen.kind())?;
    if options.names.is_empty() {
        scenarios.retain(|scenario| !scenario.metrics.is_empty());
    }
    for scenario in &scenarios {
        ensure!(
            scenario.module && !scenario.metrics.is_empty(),
            "{}: only scenarios with metrics = [...] and begin with the module loaded can be compared \
             with dm-audit.c",
            scenario.name
        );
    }
    let needs = needed_by(&scenarios);
    let ready = |chosen: &Chosen| prepare::prepare(chosen, &needs, multiplier)?.complete();
    let prepared = ready(chosen)?;
    let other = against.as_ref().map(ready).transpose()?;
    let mut versions = say_versions(&prepared);
    let (ours, c) = run_both(&prepared, &scenarios, options, false)?;
    let mut sides = vec![
        ("without the module".to_owned(), c),
        ("with it".to_owned(), ours),
    ];
    if let Some(other) = &other {
        let name = side_name(other);
        say(&name);
        versions.push(name.clone());
        let verdicts = match other.module {
            Some(_) => run_side(other, &scenarios, options)?,
            None => run_side(other, &without_module(&scenarios, false), options)?,
        };
        sides.push((name, verdicts));
    }
    let failed: usize = sides
        .iter()
        .map(|(_, verdicts)| report::summary(verdicts).1)
        .sum();
    let text = metrics::markdown(&sides, &versions);
    say(format!("\n{text}"));
    report::write_markdown(options.markdown.as_deref(), &text)?;
    let verdicts = sides.iter().flat_map(|(_, verdicts)| verdicts);
    let run = verdicts.filter(|verdict| verdict.skipped.is_none());
    compared(run.count(), failed).map(ExitCode::from)
}

/// Each of `scenarios` so many `times`, with a name of its own.
fn repeated(scenarios: Vec<Scenario>, times: usize) -> Vec<Scenario> {
    let once = |time| {
        scenarios.iter().cloned().map(move |mut scenario| {
            if times > 1 {
                scenario.name = format!("{}#{time}", scenario.name);
            }
            scenario
        })
    };
    (1..=times).flat_map(once).collect()
}

/// Creates a file of results.
fn create(path: &Path) -> Result<(File, &Path)> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok((file, path))
}

/// What a run is of, as far as the kernel does not matter.
struct Plan<'a> {
    scenarios: Vec<Scenario>,
    needs: Needs,
    junit: Option<(File, &'a Path)>,
}

impl<'a> Plan<'a> {
    /// Finds the scenarios, and makes the files of results: before the run, which may take hours.
    fn of(options: &'a Run, kind: Kind) -> Result<Self> {
        let group = match &options.image {
            Some(image) => Group::Image(image),
            None if options.long => Group::Long,
            None => Group::Usual,
        };
        let mut scenarios = find(&options.names, group, kind)?;
        let junit = options.junit.as_deref().map(create).transpose()?;
        if let Some(folder) = &options.keep_logs {
            let shown = || folder.display().to_string();
            fs::create_dir_all(folder).with_context(shown)?;
            access(folder, AccessFlags::W_OK).with_context(shown)?;
        }
        let share = interactive::shared(options.share.as_deref())?;
        for scenario in &mut scenarios {
            scenario.named = !options.names.is_empty();
            scenario.share.clone_from(&share);
            scenario.cpus = options.cpus.unwrap_or(scenario.cpus);
            scenario.parallel = options.parallel;
            scenario.parameters.clone_from(&options.set);
        }
        let scenarios = repeated(scenarios, options.repeat);
        let mut needs = needed_by(&scenarios);
        if scenarios.iter().any(needs::probes_namespaces) {
            // Whether the kernel writes them is found in a guest of its own.
            needs.disks.insert(Disk::default());
        }
        Ok(Self {
            scenarios,
            needs,
            junit,
        })
    }
}

fn run_scenarios(options: &Run, kind: Kind, prepare: Prepare<'_>) -> Result<ExitCode> {
    let Plan {
        scenarios,
        needs,
        junit,
    } = Plan::of(options, kind)?;
    let mut prepared = prepare(&needs)?;
    prepared.guest_log.clone_from(&options.guest_log);
    if prepared.module.is_none() && scenarios.iter().any(needs::probes_namespaces) {
        prepared.writes_namespaces = run::writes_namespaces(&prepared)?;
    }
    // If all wait for one disk, they cannot be run without it.
    if prepared.disks.len() == 1 {
        prepared = prepared.complete()?;
    }
    let versions = report::versions(&prepared);
    // Standard output belongs to KTAP where that is asked for.
    let say = |line: &str| {
        if options.ktap {
            eprintln!("{line}");
        } else {
            report::say(line);
        }
    };
    for version in &versions {
        say(version);
    }
    let jobs = if options.live { 1 } else { jobs(options.jobs)? };
    let verdicts = run::run_all(
        &prepared,
        &scenarios,
        jobs,
        options.keep_logs.as_deref(),
        &|scenario| {
            if options.live {
                live::begin(scenario);
                live::watcher()
            } else {
                Watcher::none()
            }
        },
        &|verdict| say(&verdict.text()),
    );
    // With those of the disks that were made meanwhile.
    let versions = report::versions(&prepared);
    if options.ktap {
        report::say(report::ktap(&verdicts, &versions).trim_end());
    }
    if let Some((file, path)) = junit {
        report::junit(file, &verdicts, &versions).with_context(|| path.display().to_string())?;
    }
    let (line, failed) = report::summary(&verdicts);
    say(&line);
    prepared.complete()?;
    Ok(match options.bisect {
        true => ExitCode::from(bisected(&verdicts)),
        false => ExitCode::from(u8::from(failed > 0)),
    })
}

/// The exit status by which `git bisect run` ends: a mistake of the user's is no commit's.
const MISTAKEN: u8 = 255;

/// The exit status of `exec` if the command could not be run.
const NOT_RUN: u8 = 125;

/// The exit status by which `git bisect run` skips a commit.
const UNTESTABLE: u8 = 125;

/// Returns the exit status that `git bisect run` expects.
fn bisected(verdicts: &[Verdict]) -> u8 {
    let mut status = UNTESTABLE;
    for verdict in verdicts {
        match (verdict.outcome(), verdict.cause) {
            (Outcome::Failed(_), Some(Cause::Boot)) => return UNTESTABLE,
            (Outcome::Failed(_), _) => return 1,
            (Outcome::Passed, _) => status = 0,
            (Outcome::Skipped(_), _) => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        let all = ["dmns-test", "run"].iter().chain(arguments);
        match Cli::try_parse_from(all)?.command {
            Cmd::Run(options) => Ok(options),
            _ => unreachable!("run was asked for"),
        }
    }

    /// Returns the error of a run, which must come before anything is prepared.
    fn refused(arguments: &[&str]) -> String {
        let options = run(arguments).expect("arguments");
        let prepare = |_: &Needs| panic!("prepared");
        let error = run_scenarios(&options, Kind::Stock, &prepare).expect_err("refused");
        format!("{error:#}")
    }

    #[test]
    fn git_bisect_skips_a_commit_that_nothing_can_be_judged_of() {
        let passed = || Verdict::new("a", "a");
        let skipped = || Verdict {
            skipped: Some("no option".to_owned()),
            ..passed()
        };
        let failed = |cause| {
            let mut verdict = passed();
            verdict.fail(cause, ["a problem".to_owned()]);
            verdict
        };
        for (verdicts, status) in [
            (vec![passed(), skipped()], 0),
            (vec![skipped()], 125),
            (vec![], 125),
            (vec![passed(), failed(Cause::Records)], 1),
            (vec![failed(Cause::Kernel), failed(Cause::Boot)], 1),
            (vec![failed(Cause::Boot)], 125),
        ] {
            assert_eq!(bisected(&verdicts), status, "{verdicts:?}");
        }
    }

    #[test]
    fn a_comparison_of_nothing_is_no_success() {
        assert_eq!(compared(3, 0).expect("equal"), 0);
        assert_eq!(compared(3, 1).expect("different"), 1);
        assert_eq!(compared(0, 1).expect("failed"), 1);
        let said = compared(0, 0).expect_err("nothing").to_string();
        assert!(said.contains("each scenario was skipped"), "{said}");
    }

    #[test]
    fn a_scenario_that_there_is_not_is_answered_with_those_like_it() {
        for (name, says) in [
            (
                "unshare",
                "did you mean the scenario unshare-all, unshare-each-kind?",
            ),
            ("integrity-crc", "integrity-crc32c"),
            ("verity-dat", "verity-data"),
            (
                "./unshare-all.toml",
                "no folder is called ./unshare-all.toml; did you mean the scenario unshare-all?",
            ),
            ("./mine.toml", "is called ./mine.toml; `dmns-test list`"),
            ("xyz", "is called xyz; `dmns-test list`"),
        ] {
            let said = refused(&[name]);
            assert!(said.contains(says), "{said}\nshould say: {says}");
            assert!(said.len() < 400, "{said}");
        }
    }

    #[test]
    fn what_cannot_be_written_or_read_fails_before_the_run() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::write(path("file"), "").expect("written");
        for (option, value, says) in [
            ("--junit", path("none/junit.xml"), "none/junit.xml: No such"),
            ("--keep-logs", path("file/logs"), "file/logs: Not a dir"),
            ("--share", path("none"), "none: No such file"),
            ("--share", path("file"), "file: not a folder"),
        ] {
            let said = refused(&[option, &value, "unshare-all"]);
            assert!(said.contains(says), "{said}\nshould say: {says}");
        }
    }
}
