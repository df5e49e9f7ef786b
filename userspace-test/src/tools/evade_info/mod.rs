// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Ways to change namespaces, or to do something that is audited, that could hide from NS_INFO
//! where it was done.
//!
//! A tracer rewrites registers, seccomp's supervisor answers, io_uring works elsewhere.

#[cfg(target_arch = "x86_64")]
mod i386;
mod judge;
mod ptrace;
mod seccomp;
mod uring;
#[cfg(target_arch = "x86_64")]
mod x32;

use crate::sys::{clone, fork, setns, unshare, wait, wait_for_success};
use crate::tools::audit;
#[cfg(not(target_arch = "x86_64"))]
use anyhow::bail;
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, kill, raise, signal};
use nix::sys::socket::{MsgFlags, NetlinkAddr, connect, sendto};
use nix::unistd::{Pid, execv};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The file that a rule of audit watches.
const WATCHED: &CStr = c"/tmp/watched";

/// A program that ends at once.
const TRUE: &CStr = c"/usr/bin/true";

/// Act in a way that could hide from NS_INFO where it was done, or check that nothing did.
#[derive(Args)]
pub(super) struct EvadeInfo {
    #[command(subcommand)]
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
#[command(rename_all = "snake_case")]
enum Way {
    /// Compare every event of a login user in auditd's log with NS_INFO: each has exactly one.
    ///
    /// Prints how many there were of each kind. Exit status: 1 if an event has none, or several.
    Judge {
        /// The login user id.
        auid: u32,
    },
    /// A tracer makes the registers say setns() at an execve().
    PtraceExec,
    /// A tracer makes the registers say setns() at a clone().
    PtraceClone,
    /// A tracer makes the registers say setns() at a fork().
    PtraceFork,
    /// A tracer makes the registers say setns() at an exit.
    PtraceExit,
    /// seccomp logs a system call.
    SeccompLog,
    /// seccomp refuses a system call.
    SeccompErrno,
    /// seccomp kills for a system call.
    SeccompKill,
    /// seccomp has a tracer make a system call a setns().
    SeccompTrace,
    /// seccomp's supervisor answers in the kernel's place.
    SeccompNotify,
    /// A signal kills with a core dump.
    Crash,
    /// unshare() by i386's gate, from a 64-bit program.
    I386Unshare,
    /// setns() by i386's gate.
    I386Setns,
    /// clone() by i386's gate.
    I386Clone,
    /// io_uring opens a file at once.
    UringInline,
    /// A worker of io_uring opens a file.
    UringWorker,
    /// io_uring opens a file on the way out of a setns().
    UringTaskWork,
    /// A worker of io_uring sends a message to audit: an operation that audit does not record.
    UringMessage,
    /// A message to audit.
    PlainMessage,
    /// A child that shares memory until it executes a program.
    Vfork,
    /// Threads enter namespaces while another one replaces the program.
    Threads,
    /// open_tree_attr() makes a mount namespace.
    OpenTreeAttr,
    /// The parent stays, and its child is in another pid namespace.
    ChildElsewhere,
    /// A child enters a pid namespace that exists.
    EnterPid,
    /// A program enters a time namespace.
    ExecTime,
    /// A program enters a time namespace by the execve() of x32, which has its own number and
    /// arguments of 32 bits.
    X32ExecTime,
}

/// Does what is asked.
pub(super) fn run(options: &EvadeInfo) -> Result<ExitCode> {
    match options.way {
        Way::Judge { auid } => return judge::run(auid),
        Way::PtraceExec => ptrace::exec()?,
        Way::PtraceClone => ptrace::clone()?,
        Way::PtraceExit => ptrace::exit()?,
        Way::SeccompLog => seccomp::log()?,
        Way::SeccompErrno => seccomp::errno()?,
        Way::SeccompKill => seccomp::kill()?,
        Way::SeccompTrace => seccomp::trace()?,
        Way::SeccompNotify => seccomp::notify()?,
        Way::Crash => crash()?,
        Way::UringInline => uring::inline()?,
        Way::UringWorker => uring::worker()?,
        Way::UringTaskWork => uring::task_work()?,
        Way::UringMessage => uring::message()?,
        Way::PlainMessage => plain_message()?,
        Way::Vfork => vfork()?,
        Way::Threads => threads()?,
        Way::OpenTreeAttr => open_tree_attr()?,
        Way::ChildElsewhere => child_elsewhere()?,
        Way::EnterPid => enter_pid()?,
        Way::ExecTime => exec_time()?,
        #[cfg(target_arch = "x86_64")]
        Way::PtraceFork => ptrace::fork()?,
        #[cfg(target_arch = "x86_64")]
        Way::I386Unshare => i386::unshare()?,
        #[cfg(target_arch = "x86_64")]
        Way::I386Setns => i386::setns()?,
        #[cfg(target_arch = "x86_64")]
        Way::I386Clone => i386::clone()?,
        #[cfg(target_arch = "x86_64")]
        Way::X32ExecTime => x32::exec_time()?,
        #[cfg(not(target_arch = "x86_64"))]
        Way::PtraceFork | Way::I386Unshare | Way::I386Setns | Way::I386Clone | Way::X32ExecTime => {
            bail!("only x86-64 has this")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the file that is watched.
fn open_watched() -> std::io::Result<()> {
    File::open(WATCHED.to_str().map_err(std::io::Error::other)?).map(drop)
}

/// Opens the uts namespace of this process.
fn uts() -> Result<File> {
    Ok(File::open("/proc/self/ns/uts")?)
}

/// Executes a program that ends at once.
fn exec_true() -> Result<()> {
    execv(TRUE, &[c"true"]).context("execve")?;
    Ok(())
}

/// Does something in a child, which succeeds.
fn in_child(act: impl FnOnce() -> Result<()>) -> Result<()> {
    wait_for_success(fork(act)?)
}

/// Does something in a child, which `signal` kills.
fn killed_by(signal: Signal, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let status = wait(fork(act)?)?;
    ensure!(
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal as i32,
        "the child has ended with status {status:#x}, not by {signal}"
    );
    Ok(())
}

fn crash() -> Result<()> {
    killed_by(Signal::SIGSEGV, || {
        // SAFETY: The default action runs no code of this program, which handles overflows of its
        // stack otherwise.
        unsafe { signal(Signal::SIGSEGV, SigHandler::SigDfl) }?;
        raise(Signal::SIGSEGV)?;
        Ok(())
    })
}

/// Returns a message of type `AUDIT_USER_AUTH`.
fn message() -> Vec<u8> {
    let text = br#"op=evade acct="a" exe="/evade" hostname=? addr=? terminal=? res=success"#;
    audit::message(1100, text)
}

fn plain_message() -> Result<()> {
    let kernel = NetlinkAddr::new(0, 0);
    sendto(
        audit::open()?.as_raw_fd(),
        &message(),
        &kernel,
        MsgFlags::empty(),
    )
    .context("sendto")?;
    Ok(())
}

fn vfork() -> Result<()> {
    // The standard library uses posix_spawn(3), and so CLONE_VFORK.
    let status = Command::new("/usr/bin/true").status()?;
    ensure!(status.success(), "true ended with {status}");
    Ok(())
}

fn threads() -> Result<()> {
    in_child(|| {
        let here = uts()?;
        for _ in 0..3 {
            let here = here.try_clone()?;
            std::thread::spawn(move || {
                loop {
                    let _ = setns(&here, libc::CLONE_NEWUTS);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        exec_true()
    })
}

fn open_tree_attr() -> Result<()> {
    const OPEN_TREE_ATTR: libc::c_long = 467;
    const OPEN_TREE_NAMESPACE: u32 = 2;
    // struct mount_attr of nothing.
    let attributes = [0_u64; 4];
    // SAFETY: The kernel reads the path, and as many bytes of attributes.
    let tree = unsafe {
        libc::syscall(
            OPEN_TREE_ATTR,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            OPEN_TREE_NAMESPACE,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    crate::sys::done(tree).context("open_tree_attr")?;
    Ok(())
}

fn child_elsewhere() -> Result<()> {
    in_child(|| {
        unshare(libc::CLONE_NEWPID).context("unshare")?;
        in_child(|| Ok(()))
    })
}

fn enter_pid() -> Result<()> {
    in_child(|| {
        let first = clone(libc::CLONE_NEWPID, || {
            std::thread::sleep(Duration::from_secs(100));
            Ok(())
        })?;
        let ns = File::open(format!("/proc/{first}/ns/pid"))?;
        setns(&ns, libc::CLONE_NEWPID).context("setns")?;
        in_child(|| Ok(()))?;
        kill(Pid::from_raw(first), Signal::SIGKILL)?;
        wait(first)?;
        Ok(())
    })
}

fn exec_time() -> Result<()> {
    in_child(|| {
        unshare(libc::CLONE_NEWTIME).context("unshare")?;
        exec_true()
    })
}

/// Connects a socket to the kernel.
fn connect_to_kernel(socket: &OwnedFd) -> Result<()> {
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("connect")
}
