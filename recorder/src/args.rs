// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line.

use crate::oci::memory::STATE;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Writes audit records of guests and containers, for QEMU and for container runtimes.
#[derive(Debug, Parser)]
#[command(
    name = "dmns-audit-record",
    version,
    max_term_width = 100,
    after_help = "`dmns-audit` reads these records: report, check, watch.\n\n\
                  Exit status: 0 all is well; 2 something could not be recorded, or the command line is wrong; \
                  run-guest and oci-wrap: that of the program."
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Returns whether there is a subcommand `name`.
    pub fn has(name: &str) -> bool {
        Self::command().find_subcommand(name).is_some()
    }
}

/// The command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a QEMU without libvirt, and record what libvirt would: its start, its resources, its
    /// stop
    #[command(after_help = "Examples:\n  \
                            dmns-audit-record run-guest --name web -- qemu-system-x86_64 -m 512 -drive file=web.img,if=virtio\n  \
                            dmns-audit-record run-guest --monitor web.sock --strict -- qemu-system-x86_64 ...\n  \
                            dmns-audit report virt --vm web --all-events\n\n\
                            Needs CAP_AUDIT_WRITE. Without it, the guest runs unrecorded, unless --strict. What is \
                            plugged through --monitor is recorded at once; what through another monitor of that QEMU, \
                            when it is looked for (--poll).\n\n\
                            Exit status: QEMU's own; 128 and the signal's number if a signal ended it; 2 if the guest \
                            did not start.")]
    RunGuest(RunGuest),
    /// As a hook of a container runtime: name the container in the audit log, with its namespaces
    #[command(
        after_help = "A container runtime runs it at createRuntime and poststop, with the container's state on \
                            standard input; docs/guide/containers.md has the files for podman, CRI-O, Docker and containerd.\n\n\
                            Examples:\n  \
                            dmns-audit-record oci-hook <state.json\n  \
                            dmns-audit-record oci-hook --strict <state.json\n  \
                            dmns-audit report virt --vm web\n\n\
                            Needs CAP_AUDIT_WRITE, or `dmns-audit-record oci-forward`. Without either, the container runs \
                            unrecorded, unless --strict.\n\n\
                            Exit status: 0; with --strict, 2 where the container is not recorded, so that it does not \
                            start."
    )]
    OciHook(OciHook),
    /// Privileged helper: writes the records of rootless containers' hooks, with the claiming uid
    #[command(after_help = "Examples:\n  \
                            dmns-audit-record oci-forward                        as root; a service does it too\n  \
                            dmns-audit-record oci-forward --socket /tmp/x --log claims.log\n\n\
                            The user is known by SO_PEERCRED, and stands in the record as claim-uid=. A claim is refused \
                            for a process in a user namespace that the user did not create. It runs until it is killed.")]
    OciForward(OciForward),
    /// As the runtime of an engine without hooks.d (Docker): add the hook, and become the real
    /// runtime
    #[command(after_help = "Examples:\n  \
                            dmns-audit-record oci-wrap -- runc create --bundle /run/web web\n  \
                            dockerd --add-runtime dmns=/usr/lib/dmns-audit/dmns-runc\n\n\
                            Exit status: the runtime's own; 2 if it cannot be run.")]
    OciWrap(OciWrap),
}

/// `dmns-audit-record run-guest`.
#[derive(Args, Debug)]
pub struct RunGuest {
    /// The guest's name in its records; without it, that of QEMU's -name. Example: --name web
    #[arg(long, value_name = "NAME")]
    pub name: Option<OsString>,

    /// The guest's UUID in its records; without it, that of QEMU's -uuid, or one made up.
    /// Example: --uuid 11111111-2222-3333-4444-555555555555
    #[arg(long, value_name = "UUID")]
    pub uuid: Option<String>,

    /// Do not run a guest that cannot be recorded. Example: run-guest --strict --
    /// qemu-system-x86_64 ...
    #[arg(long)]
    pub strict: bool,

    /// Offer QEMU's monitor (QMP) at this UNIX socket; resources that are plugged through it are
    /// recorded. Example: --monitor web.sock
    #[arg(long, value_name = "SOCKET")]
    pub monitor: Option<PathBuf>,

    /// Append the records to this file too, as auditd would: where there is no audit. Example:
    /// --log guests.log
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Seconds that QEMU may take to answer. Example: --timeout 120
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,

    /// Interval of checks for resources that were plugged through another monitor, in seconds; 0:
    /// never. Example: --poll 1
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub poll: u64,

    /// QEMU and its arguments. Example: -- qemu-system-x86_64 -m 512
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The common paths of `oci-*`.
#[derive(Args, Clone, Debug)]
pub struct OciPaths {
    /// Socket of `dmns-audit-record oci-forward`. Example: --socket /run/dmns-audit/oci.sock
    #[arg(
        long,
        value_name = "SOCKET",
        default_value = "/run/dmns-audit/oci.sock"
    )]
    pub socket: PathBuf,

    /// Folder with the state between start and stop. Example: --state /run/dmns-audit/oci
    #[arg(long, value_name = "FOLDER", default_value = STATE)]
    pub state: PathBuf,

    /// Append the records to this file too, as auditd would. Example: --log containers.log
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// `dmns-audit-record oci-hook`.
#[derive(Args, Debug)]
pub struct OciHook {
    /// Do not let a container start that cannot be recorded. Example: oci-hook --strict
    #[arg(long)]
    pub strict: bool,

    /// The common paths.
    #[command(flatten)]
    pub paths: OciPaths,
}

/// `dmns-audit-record oci-forward`.
#[derive(Args, Debug)]
pub struct OciForward {
    /// The common paths.
    #[command(flatten)]
    pub paths: OciPaths,

    /// Write to --log only, not to audit: to try it out. Example: --no-audit --log claims.log
    #[arg(long, requires = "log")]
    pub no_audit: bool,
}

/// `dmns-audit-record oci-wrap`.
#[derive(Args, Debug)]
pub struct OciWrap {
    /// Do not let a container start that cannot be recorded. Example: oci-wrap --strict -- runc
    /// create web
    #[arg(long)]
    pub strict: bool,

    /// The runtime and its arguments. Example: -- runc create --bundle /run/web web
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
