// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Loops that create and delete namespaces as fast as they can.

use super::{User, What, child, done, reap, say, shared, unshare};
use crate::sys::setns;
use anyhow::{Context, Result};
use nix::libc;
use std::fs::File;
use std::io::{Error, Result as Outcome};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Create and delete namespaces in loops.
#[derive(clap::Args)]
pub(super) struct Churn {
    #[command(flatten)]
    user: User,
    /// Namespaces that a turn of a loop creates: any of these, with commas between.
    #[arg(long, value_delimiter = ',', default_value = "uts")]
    kinds: Vec<What>,
    /// Number of loops, each a process.
    #[arg(long, default_value_t = 4)]
    loops: usize,
    /// Seconds to run, unless it is killed before.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

/// Runs the loops until the time is over.
pub(super) fn run(churn: &Churn) -> Result<()> {
    let flags = What::flags_of(&churn.kinds);
    let end = Instant::now() + Duration::from_secs(churn.seconds);
    let turns = shared(2)?;
    churn.user.become_it()?;
    for _ in 0..churn.loops {
        child(|| {
            if flags != 0 && flags & libc::CLONE_NEWUSER == 0 {
                unshare(libc::CLONE_NEWUSER).context("unshare")?;
            }
            let pid_ns = File::open("/proc/self/ns/pid")?;
            while Instant::now() < end {
                for _ in 0..16 {
                    let made = turn(flags, &pid_ns);
                    turns[usize::from(made.is_err())].fetch_add(1, Ordering::Relaxed);
                    if let Err(e) = made {
                        full(&e)?;
                    }
                }
            }
            Ok(())
        })?;
    }
    while reap() {}
    say(&format!(
        "{} loops: {} turns, {} refused",
        churn.loops,
        turns[0].load(Ordering::Relaxed),
        turns[1].load(Ordering::Relaxed)
    ));
    Ok(())
}

/// Creates what `flags` say, and drops what the turn before has created.
fn turn(flags: i32, pid_ns: &File) -> Outcome<()> {
    if flags == 0 {
        for _ in 0..100 {
            // SAFETY: It takes nothing. libc::getppid() is the system call.
            unsafe { libc::getppid() };
        }
        return Ok(());
    }
    if flags & libc::CLONE_NEWUSER != 0 {
        // User namespaces nest: each turn is a task's own.
        // SAFETY: This program has one thread.
        let pid = done(unsafe { libc::fork() }.into())?;
        if pid == 0 {
            let error = unshare(flags).err().and_then(|e| e.raw_os_error());
            // SAFETY: It takes a number, and does not return.
            unsafe { libc::_exit(error.unwrap_or(0)) }
        }
        let mut status = 0;
        // SAFETY: The kernel writes a number there.
        done(unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) }.into())?;
        return match libc::WEXITSTATUS(status) {
            0 => Ok(()),
            error => Err(Error::from_raw_os_error(error)),
        };
    }
    unshare(flags)?;
    if flags & libc::CLONE_NEWPID != 0 {
        // No second one before.
        setns(pid_ns, libc::CLONE_NEWPID)?;
    }
    Ok(())
}

/// Waits a moment where the user has reached a limit: workers free what he has dropped.
fn full(error: &Error) -> Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EAGAIN | libc::ENOMEM | libc::EUSERS) => {
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        }
        _ => Err(Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))).context("churn"),
    }
}
