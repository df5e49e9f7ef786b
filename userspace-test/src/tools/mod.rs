// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Commands that scenarios use in the guest: this program by another name.
//!
//! `/run/dmns/bin/NAME` is a link to this program. [`run_as_tool`] finds the command by the name
//! that it is run by. A command that a user would type, or would change at a shell, is a script in
//! `guest/` instead.

mod audit;
mod bench;
mod check_counters;
pub(crate) mod corrupt;
mod corrupt_bytes;
mod counters;
mod evade_info;
mod faults;
mod fill_backlog;
mod fuzz;
mod namespaces;
mod other_build;
mod probes;
mod records;
pub(crate) mod torture;

use crate::attack;
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::Path;
use std::process::ExitCode;
use torture::{geometries, rounds};

/// The module, if the guest has it.
const MODULE: &str = "/run/dmns/dmns_audit.ko";

/// The program, as it is run by the name of a command.
#[derive(Parser)]
#[command(multicall = true, max_term_width = 100)]
struct Multicall {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Compare the module's counters with the records that arrived, and with audit's `lost`.
    ///
    /// Prints the sums of all columns. Exit status: 1 if they differ.
    CheckCounters(check_counters::CheckCounters),
    /// Act as an ordinary user who attacks the module.
    Attack(attack::Attack),
    /// Measure what records cost, on a machine with a clock that counts instructions: one a
    /// nanosecond.
    ///
    /// Prints a line for each measurement: what, under which conditions, least, median, mean.
    Bench,
    /// Act in a way that could hide from NS_INFO where it was done, or check that nothing did.
    EvadeInfo(evade_info::EvadeInfo),
    /// Make allocations of the module fail, at random or each in turn.
    ///
    /// For kernels with failslab, fail_page_alloc and their stack filter.
    Faults(faults::Faults),
    /// Keep audit's backlog full: send messages without end.
    ///
    /// The kernel lets who fills the backlog wait for room after each message. A program for each
    /// message (auditctl -m) takes longer than kauditd to drop one, where the kernel is slow.
    FillBacklog,
    /// Corrupt a sector of a mapping: invert a byte of its data, its tag or its hash, where the
    /// devices below keep it.
    ///
    /// The mapping is active. dm-integrity, dm-verity, dm-crypt and linear are followed down to a
    /// device that is no mapping. A layout that is not known is an error. The kernel keeps tags,
    /// hashes and journals in memory: close the mapping and open it again where these are corrupted.
    Corrupt(corrupt::Corrupt),
    /// Invert bytes of a file, and wait until they are stored.
    CorruptBytes(corrupt_bytes::CorruptBytes),
    /// Do random system calls on namespaces, and corrupt small mappings at random.
    ///
    /// Namespaces are created, entered, pinned and dropped, with random flags, users and nesting,
    /// between ptrace, io_uring and the mount API. The same seed gives the same choices. Prints how
    /// many calls there were. The ideas are syzkaller's (sys/linux/namespaces.txt, io_uring.txt,
    /// fs_mount.txt).
    Fuzz(fuzz::Fuzz),
    /// Compare where random devices of dm-integrity keep data and tags with the model.
    ///
    /// Formats each, writes a pattern through it, closes it, and looks for the pattern below. The same
    /// seed gives the same devices. Prints how often each option was covered.
    Geometries(geometries::Geometries),
    /// Print ids of namespaces, and compare records with the kernel's own probes.
    Namespaces(namespaces::Namespaces),
    /// Corrupt random devices of dm-integrity, dm-crypt and dm-verity, and compare all that follows
    /// with a model.
    ///
    /// The model predicts what each read returns, and which records come. The same seed gives the same
    /// devices and steps. Prints what was covered, or the steps of the device that differs, and a
    /// scenario of those that matter.
    Torture(rounds::Torture),
    /// Copy a module as if it were built for another build of the kernel.
    OtherBuild(other_build::OtherBuild),
}

/// Returns the names of all commands.
pub(crate) fn names() -> Vec<String> {
    Tool::augment_subcommands(clap::Command::new("tools"))
        .get_subcommands()
        .map(|tool| tool.get_name().to_owned())
        .collect()
}

/// Returns whether a tool has this name.
pub(crate) fn is_tool(name: &str) -> bool {
    Tool::has_subcommand(name)
}

/// Runs the command that this program's name asks for. Returns `None` if the name is not that of a
/// command.
pub(crate) fn run_as_tool() -> Option<ExitCode> {
    let path = std::env::args_os().next()?;
    let name = Path::new(&path).file_name()?.to_str()?.to_owned();
    if !is_tool(&name) {
        return None;
    }
    match run(Multicall::parse().tool) {
        Ok(code) => Some(code),
        Err(e) => {
            eprintln!("{name}: {e:#}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn run(tool: Tool) -> Result<ExitCode> {
    match tool {
        Tool::CheckCounters(options) => check_counters::run(&options),
        Tool::Attack(attack) => attack::run(&attack),
        Tool::Bench => bench::run(),
        Tool::EvadeInfo(options) => evade_info::run(&options),
        Tool::Faults(options) => faults::run(&options),
        Tool::FillBacklog => fill_backlog::run(),
        Tool::Corrupt(options) => corrupt::run(&options),
        Tool::CorruptBytes(options) => corrupt_bytes::run(&options),
        Tool::Fuzz(options) => fuzz::run(&options),
        Tool::Geometries(options) => geometries::run(&options),
        Tool::Namespaces(options) => namespaces::run(&options),
        Tool::Torture(options) => rounds::run(&options),
        Tool::OtherBuild(options) => other_build::run(&options),
    }
}

/// Returns a status of 1 if `differs`, else 0.
fn status(differs: bool) -> ExitCode {
    match differs {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn commands_are_found_by_the_name_of_the_program() {
        Multicall::command().debug_assert();
        let names = names();
        assert!(names.contains(&"namespaces".to_owned()));
        assert!(names.iter().all(|name| Tool::has_subcommand(name)));
        assert!(!Tool::has_subcommand("dmns-test"));
        let parsed =
            Multicall::try_parse_from(["/run/dmns/bin/corrupt-bytes", "file", "8", "2", "512"]);
        assert!(matches!(
            parsed,
            Ok(Multicall {
                tool: Tool::CorruptBytes(_)
            })
        ));
        assert!(Multicall::try_parse_from(["corrupt-bytes", "file"]).is_err());
    }
}
