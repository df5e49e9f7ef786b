// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual pages and the completions of shells into a folder: `make man`.

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use dmns_audit::args::Cli;
use dmns_audit_recorder::args::Cli as Recorder;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: manual FOLDER"))?;
    let (man, completions) = (folder.join("man1"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for (name, mut command) in [
        ("dmns-audit", Cli::command()),
        ("dmns-audit-record", Recorder::command()),
    ] {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            generate_to(shell, &mut command, name, &completions)?;
        }
        clap_mangen::generate_to(command, &man)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        walk(&Recorder::command());
    }
}
