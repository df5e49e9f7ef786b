// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A tracer that stops its child at an event of ptrace, behind audit's entry, and makes the
//! registers say that a setns() succeeded.

use crate::sys;
use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The offsets of two registers of a traced task in `struct user`.
const ORIG_RAX: usize = 15 * 8;
const RAX: usize = 10 * 8;

/// Traces a child that runs `act`, and rewrites its registers at each of these events.
///
/// The result of `act` is ignored: the tracer changes the results that it sees.
pub(super) fn traced(
    options: Options,
    events: &[i32],
    act: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let pid = Pid::from_raw(sys::fork(|| {
        ptrace::traceme()?;
        raise(Signal::SIGSTOP)?;
        let _ = act();
        Ok(())
    })?);
    waitpid(pid, None)?;
    ptrace::setoptions(pid, options).context("PTRACE_SETOPTIONS")?;
    ptrace::cont(pid, None)?;
    let mut rewritten = 0;
    loop {
        let stopped = match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _) => {
                if ended == pid {
                    break;
                }
                continue;
            }
            WaitStatus::PtraceEvent(stopped, _, event) => {
                if stopped == pid && events.contains(&event) {
                    ptrace::write_user(pid, ORIG_RAX as _, libc::SYS_setns)?;
                    ptrace::write_user(pid, RAX as _, 0)?;
                    rewritten += 1;
                }
                stopped
            }
            other => other.pid().context("nobody has stopped")?,
        };
        ptrace::cont(stopped, None)?;
    }
    ensure!(rewritten > 0, "no such event of ptrace");
    Ok(())
}

/// Rewrites at an execve().
pub(super) fn exec() -> Result<()> {
    let events = [libc::PTRACE_EVENT_EXEC];
    traced(Options::PTRACE_O_TRACEEXEC, &events, super::exec_true)
}

/// Rewrites at a clone().
pub(super) fn clone() -> Result<()> {
    traced(
        Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK,
        &[libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_CLONE],
        || {
            let pid = sys::clone(libc::CLONE_NEWUTS, || Ok(()))?;
            sys::wait_for_success(pid)
        },
    )
}

/// Rewrites at a fork().
pub(super) fn fork() -> Result<()> {
    let events = [libc::PTRACE_EVENT_FORK];
    traced(Options::PTRACE_O_TRACEFORK, &events, || {
        // fork(2) of the C library would call clone(2).
        // SAFETY: This program has one thread.
        match sys::done(unsafe { libc::syscall(libc::SYS_fork) })? {
            0 => sys::exit(0),
            pid => sys::wait_for_success(pid as libc::pid_t),
        }
    })
}

/// Rewrites at an exit.
pub(super) fn exit() -> Result<()> {
    let events = [libc::PTRACE_EVENT_EXIT];
    traced(Options::PTRACE_O_TRACEEXIT, &events, || Ok(()))
}
