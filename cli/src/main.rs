// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program `dmns-audit`.

use clap::Parser;
use dmns_audit::args::{Check, CheckFormat, Cli, Command, SpecFormat};
use dmns_audit::check::json::Json;
use dmns_audit::check::sarif::Sarif;
use dmns_audit::check::text::Text;
use dmns_audit::check::{Reporter, check};
use dmns_audit::input::Log;
use dmns_audit::spec;
use dmns_audit::terminal::Terminal;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dmns-audit: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> io::Result<ExitCode> {
    let terminal = Terminal::stdout(cli.color);
    let mut out = BufWriter::new(io::stdout().lock());
    let code = match &cli.command {
        Command::Check(args) => run_check(args, &terminal, &mut out)?,
        Command::Spec(args) => {
            match args.format {
                SpecFormat::Text => spec::text(&terminal, &mut out)?,
                SpecFormat::Markdown => spec::markdown(&mut out)?,
                SpecFormat::Json => spec::json(&mut out)?,
            }
            ExitCode::SUCCESS
        }
    };
    out.flush()?;
    Ok(code)
}

fn run_check(args: &Check, terminal: &Terminal, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut log = Log::open(&args.files)?;
    let mut text;
    let mut json;
    let mut sarif;
    let reporter: &mut dyn Reporter = match args.format {
        CheckFormat::Text => {
            text = Text::new(out, terminal.colour, terminal.width.unwrap_or(140));
            &mut text
        }
        CheckFormat::Json => {
            json = Json(out);
            &mut json
        }
        CheckFormat::Sarif => {
            sarif = Sarif::begin(out)?;
            &mut sarif
        }
    };
    let totals = check(&mut log, reporter)?;
    Ok(match totals {
        totals if totals.problems > 0 => ExitCode::from(2),
        totals if totals.errors > 0 || (args.strict && totals.notes > 0) => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}
