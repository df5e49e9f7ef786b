// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line.

use crate::terminal::Colour;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Reads the audit records of device mapper, of namespaces and of guests.
#[derive(Debug, Parser)]
#[command(
    name = "dmns-audit",
    version,
    max_term_width = 100,
    after_help = "Logs may be raw or enriched, compressed (gz, xz, zst), rotated, the output of \
                  `ausearch --raw`, or the kernel's own log (dmesg). Without FILE, the system's audit \
                  log is read; `-` is standard input.\n\n\
                  Exit status: 0 all is well; 1 `check` found something; 2 something could not be read, \
                  or the command line is wrong."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// When to colour the output. Example: --color never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold every record of device mapper and namespaces against the contract
    #[command(after_help = "Examples:\n  \
                      dmns-audit check                        the system's log\n  \
                      dmns-audit check audit.log audit.log.1  files, oldest first whatever their order\n  \
                      dmesg | dmns-audit check -              the kernel's log\n  \
                      dmns-audit check --format sarif audit.log >audit.sarif\n\n\
                      Exit status: 0 clean; 1 there are errors (with --strict: or notes); 2 a log could \
                      not be read to its end.")]
    Check(Check),
    /// Print the contract: every record, its fields, and how they are written
    #[command(after_help = "Examples:\n  \
                            dmns-audit spec\n  \
                            dmns-audit spec --format markdown >contract.md\n  \
                            dmns-audit spec --format json | jq '.records[].name'")]
    Spec(Spec),
}

/// `dmns-audit check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Logs; `-` is standard input. None: the system's. Example: audit.log.1 audit.log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// How to tell what is found. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,

    /// Exit with 1 for notes too. Example: check --strict audit.log
    #[arg(long)]
    pub strict: bool,
}

/// How `check` tells what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Like a compiler.
    Text,
    /// One object a line.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

/// `dmns-audit spec`.
#[derive(Args, Debug)]
pub struct Spec {
    /// How to print it. Example: --format markdown
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: SpecFormat,
}

/// How `spec` prints the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpecFormat {
    /// Tables for a terminal.
    Text,
    /// A page of documentation.
    Markdown,
    /// One object.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every option teaches with an example.
    #[test]
    fn every_option_has_an_example() {
        fn walk(command: &clap::Command) {
            for arg in command.get_arguments().filter(|arg| {
                !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
            }) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let (name, id) = (command.get_name(), arg.get_id());
                assert!(help.contains("Example: "), "{name} {id}: {help}");
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
