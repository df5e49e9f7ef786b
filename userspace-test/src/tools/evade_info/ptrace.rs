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

/// Makes the registers of a stopped task say that a setns() succeeded.
#[cfg(target_arch = "x86_64")]
fn rewrite(pid: Pid) -> Result<()> {
    // The offsets in `struct user`.
    const ORIG_RAX: usize = 15 * 8;
    const RAX: usize = 10 * 8;
    ptrace::write_user(pid, ORIG_RAX as _, libc::SYS_setns)?;
    ptrace::write_user(pid, RAX as _, 0)?;
    Ok(())
}

/// Makes the registers of a stopped task say that a setns() succeeded.
#[cfg(target_arch = "aarch64")]
fn rewrite(pid: Pid) -> Result<()> {
    // `NT_ARM_SYSTEM_CALL` in include/uapi/linux/elf.h.
    const SYSTEM_CALL: libc::c_int = 0x404;
    // SAFETY: All-zero registers are valid.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut call = libc::SYS_setns as libc::c_int;
    regset(
        libc::PTRACE_GETREGSET,
        pid,
        libc::NT_PRSTATUS,
        &mut registers,
    )?;
    registers.regs[0] = 0;
    registers.regs[8] = libc::SYS_setns as u64;
    regset(
        libc::PTRACE_SETREGSET,
        pid,
        libc::NT_PRSTATUS,
        &mut registers,
    )?;
    regset(libc::PTRACE_SETREGSET, pid, SYSTEM_CALL, &mut call)
}

/// Reads or writes a set of registers.
#[cfg(target_arch = "aarch64")]
fn regset<T>(request: libc::c_uint, pid: Pid, set: libc::c_int, registers: &mut T) -> Result<()> {
    let mut vector = libc::iovec {
        iov_base: std::ptr::from_mut(registers).cast(),
        iov_len: size_of::<T>(),
    };
    // SAFETY: The vector has the address and the size of `registers`.
    sys::done(unsafe { libc::ptrace(request, pid.as_raw(), set as usize, &raw mut vector) })
        .context("registers")?;
    Ok(())
}

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
                    rewrite(pid)?;
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
#[cfg(target_arch = "x86_64")]
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
