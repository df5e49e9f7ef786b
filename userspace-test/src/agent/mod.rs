// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The guest's side: what runs as `/init` in the initramfs, and as PID 1 after it.
//!
//! 1. [`boot::into_root`], in the initramfs: loads what the disk needs, mounts it under an overlay,
//!    goes there.
//! 2. [`supervise`], in the disk's root: reaps what is left behind, and powers off when the server
//!    ends.
//! 3. [`serve::serve`]: runs commands for the host and sends auditd's log as it grows.

mod boot;
mod serve;

use anyhow::{Context, Result, bail};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::wait;
use nix::unistd::Pid;
use std::process::Command;

/// The folder of the agent in the guest: the program, the module, helper commands, values.
pub(crate) const HOME: &str = "/run/dmns";

/// The stages of the agent, by the argument that it is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stage {
    /// PID 1 in the initramfs.
    Init,
    /// PID 1 on the disk.
    Supervise,
    /// The host's partner.
    Serve,
}

/// Runs `stage`. Does not return to a caller that could continue: PID 1 must not end.
pub(crate) fn run(stage: Stage) -> Result<()> {
    match stage {
        Stage::Init => boot::into_root(),
        Stage::Supervise => supervise(),
        Stage::Serve => serve::serve(),
    }
}

/// Runs the agent as `/init`. Errors before the connection to the host go to the console, which the
/// host keeps.
pub(crate) fn run_as_init() -> ! {
    if let Err(e) = run(Stage::Init) {
        eprintln!("dmns-test agent: {e:#}");
    }
    power_off()
}

fn supervise() -> Result<()> {
    if let Err(e) = supervised() {
        eprintln!("dmns-test agent: {e:#}");
    }
    power_off()
}

fn supervised() -> Result<()> {
    boot::mount_all()?;
    let server = Command::new(format!("{HOME}/dmns-test"))
        .args(["agent", "serve"])
        .spawn()
        .context("starting the server")?;
    let server = Pid::from_raw(server.id().try_into()?);
    // PID 1 inherits every orphan of the guest: reap them all.
    loop {
        let ended = wait()?;
        if ended.pid() == Some(server) {
            match ended {
                nix::sys::wait::WaitStatus::Exited(_, 0) => return Ok(()),
                other => bail!("the server ended: {other:?}"),
            }
        }
    }
}

fn power_off() -> ! {
    nix::unistd::sync();
    // Fails only without CAP_SYS_BOOT. Then the host ends it, at its timeout.
    let _ = reboot(RebootMode::RB_POWER_OFF);
    loop {
        nix::unistd::pause();
    }
}
