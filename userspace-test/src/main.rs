// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The harness of dmns-audit: boots a stock Debian kernel in QEMU, drives real tools there, corrupts
//! what they protect, and judges every audit record.
//!
//! Host side: [`prepare`] makes what a run needs, [`vm`] and [`guest`] hold a guest, [`scenario`],
//! [`pattern`] and [`expect`] say what must appear, [`judge`] what must hold in any run, [`report`] tells
//! the verdict.
//! Guest side: [`agent`], the same program as PID 1.

mod agent;
mod expect;
mod guest;
mod initramfs;
mod interactive;
mod judge;
mod live;
mod pattern;
mod prepare;
mod protocol;
mod report;
mod run;
mod scenario;
mod vm;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use scenario::Scenario;
use std::path::PathBuf;
use std::process::ExitCode;

/// Boots a stock Debian kernel in QEMU with dmns_audit.ko, drives real tools, judges every audit record.
///
/// What is missing (build root, kernel, guest image, module) is made first and kept in
/// $DMNS_CACHE, by default ~/.cache/dmns-audit.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
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
        after_help = "Examples:\n  dmns-test run\n  dmns-test run --live seed-002\n  \
                            dmns-test run --junit out.xml --keep-logs logs/ ./my-scenario.toml"
    )]
    Run(Run),
    /// Open a shell in a guest, with auditd running and the module loaded.
    ///
    /// In it, `records` shows the records so far and `records -f` follows them; `load`, `unload` and
    /// `counter` handle the module. Leave with `exit`.
    Shell(Shell),
    /// Run one command in a guest, with auditd running and the module loaded.
    ///
    /// Its output and exit status become this program's; 125 if it could not be run.
    #[command(after_help = "Examples:\n  dmns-test exec -- unshare -n true\n  \
                            dmns-test exec --share . --audit-log audit.log -- sh /mnt/share/test.sh")]
    Exec(Exec),
    /// The guest's side.
    #[command(hide = true)]
    Agent {
        /// What to do.
        stage: agent::Stage,
    },
}

#[derive(Args)]
struct Run {
    /// Names of scenarios, or files; all of the project's if there is none.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Write a JUnit report here too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Report in KTAP on standard output.
    #[arg(long)]
    ktap: bool,
    /// Keep each guest's audit log, console and kernel log in this folder.
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<PathBuf>,
    /// Show commands and records as they come; one scenario at a time.
    #[arg(long)]
    live: bool,
    /// Guests at the same time; by default as many as there are processors.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Args)]
struct Shell {
    /// Do not load the module.
    #[arg(long)]
    no_module: bool,
    /// Show records in the terminal as they come.
    #[arg(long)]
    live: bool,
    /// Folder to see at /mnt/share.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Memory of the guest, MiB.
    #[arg(long, default_value_t = 2048)]
    memory: u32,
}

#[derive(Args)]
struct Exec {
    /// Folder to see at /mnt/share.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Do not load the module.
    #[arg(long)]
    no_module: bool,
    /// Write auditd's log here.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Memory of the guest, MiB.
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// Seconds that the command may take.
    #[arg(long, default_value_t = 3600)]
    timeout: u64,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn main() -> ExitCode {
    // The kernel starts /init without arguments.
    if std::process::id() == 1 && std::env::args_os().len() == 1 {
        agent::run_as_init();
    }
    let cli = Cli::parse();
    let failed = match cli.command {
        Cmd::Exec(_) => 125,
        _ => 2,
    };
    match act(cli.command) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("dmns-test: {e:#}");
            ExitCode::from(failed)
        }
    }
}

fn act(command: Cmd) -> Result<ExitCode> {
    match command {
        Cmd::Prepare => {
            let prepared = prepare::prepare()?;
            for line in report::versions(&prepared) {
                println!("{line}");
            }
            println!("KDIR    {}", prepared.kernel.join("build").display());
            println!("module  {}", prepared.module.display());
            println!("guest   {}", prepared.guest.display());
            Ok(ExitCode::SUCCESS)
        }
        Cmd::List => {
            for scenario in find(&[])? {
                println!("{:<24} {}", scenario.name, scenario.title);
            }
            Ok(ExitCode::SUCCESS)
        }
        Cmd::Run(options) => run_scenarios(&options),
        Cmd::Shell(options) => interactive::shell(
            &prepare::prepare()?,
            &interactive::Shell {
                module: !options.no_module,
                live: options.live,
                share: options.share,
                memory: options.memory,
            },
        ),
        Cmd::Exec(options) => interactive::exec(
            &prepare::prepare()?,
            &interactive::Exec {
                module: !options.no_module,
                audit_log: options.audit_log,
                share: options.share,
                memory: options.memory,
                timeout: options.timeout,
                command: options.command,
            },
        ),
        Cmd::Agent { stage } => {
            agent::run(stage)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn find(names: &[String]) -> Result<Vec<Scenario>> {
    scenario::find(&prepare::project()?.join("userspace-test/scenarios"), names)
}

fn run_scenarios(options: &Run) -> Result<ExitCode> {
    let scenarios = find(&options.names)?;
    let prepared = prepare::prepare()?;
    let versions = report::versions(&prepared);
    // Standard output belongs to KTAP where that is asked for.
    let say = |line: &str| {
        if options.ktap {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    };
    for version in &versions {
        say(version);
    }
    let jobs = match options.jobs {
        _ if options.live => 1,
        Some(jobs) => jobs,
        None => std::thread::available_parallelism()?.get(),
    };
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
                Box::new(|_| {})
            }
        },
        &|verdict| {
            let word = if verdict.problems.is_empty() {
                "ok"
            } else {
                "FAILED"
            };
            say(&format!(
                "{word:<6} {:<24} {:>4.0} s  {}",
                verdict.name,
                verdict.time.as_secs_f32(),
                verdict.title
            ));
            for problem in &verdict.problems {
                say(&format!("    {}", problem.replace('\n', "\n    ")));
            }
        },
    );
    if options.ktap {
        print!("{}", report::ktap(&verdicts, &versions));
    }
    if let Some(file) = &options.junit {
        report::junit(file, &verdicts, &versions).with_context(|| file.display().to_string())?;
    }
    let (line, failed) = report::summary(&verdicts);
    say(&line);
    Ok(ExitCode::from(u8::from(failed > 0)))
}
