// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program `dmns-audit-record`.

use clap::Parser;
use dmns_audit_recorder::args::{Cli, Command, OciPaths, RunGuest};
use dmns_audit_recorder::{oci, run};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    act(Cli::parse()).unwrap_or_else(|error| {
        eprintln!("dmns-audit-record: {error}");
        ExitCode::from(2)
    })
}

fn act(cli: Cli) -> io::Result<ExitCode> {
    match cli.command {
        Command::RunGuest(args) => run_guest(args),
        Command::OciHook(args) => {
            let OciPaths { socket, state, log } = args.paths;
            let options = oci::Options {
                strict: args.strict,
                socket,
                state,
                log,
            };
            Ok(match oci::hook(&options, io::stdin().lock()) {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(2),
            })
        }
        Command::OciForward(args) => {
            let OciPaths { socket, state, log } = args.paths;
            oci::forward::run(&oci::forward::Options {
                socket,
                state,
                log,
                only_log: args.no_audit,
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::OciWrap(args) => {
            oci::wrap::run(&oci::wrap::Options {
                strict: args.strict,
                command: args.command,
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_guest(args: RunGuest) -> io::Result<ExitCode> {
    let options = run::options::Options {
        name: args.name,
        uuid: args.uuid,
        strict: args.strict,
        monitor: args.monitor,
        log: args.log,
        timeout: Duration::from_secs(args.timeout),
        poll: Duration::from_secs(args.poll),
        command: args.command,
    };
    run::run(&options).map(ExitCode::from)
}
