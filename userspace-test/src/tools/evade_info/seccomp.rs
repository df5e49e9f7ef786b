// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A filter of seccomp that treats one system call in some way, and lets all others be.

use super::{in_child, killed_by, open_watched, ptrace};
use crate::sys::{done, fork, wait_for_success};
use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::sys::ptrace::Options;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Installs a filter that takes `action` at an openat(2). Returns what seccomp(2) does.
fn filter_openat(action: u32, flags: libc::c_ulong) -> Result<libc::c_long> {
    let filter = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        // The number; unless it is that of openat(2), one on.
        filter(0x20, 0, 0, 0),
        filter(0x15, 0, 1, libc::SYS_openat as u32),
        filter(0x06, 0, 0, action),
        filter(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: It takes numbers.
    let no_new_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    done(no_new_privileges.into()).context("PR_SET_NO_NEW_PRIVS")?;
    // SAFETY: The kernel reads the program, which is as long as it says.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    done(set).context("seccomp")
}

/// Has the kernel log it.
pub(super) fn log() -> Result<()> {
    in_child(|| {
        filter_openat(libc::SECCOMP_RET_LOG, libc::SECCOMP_FILTER_FLAG_LOG)?;
        open_watched().context("it was not opened")
    })
}

/// Has the kernel refuse it.
pub(super) fn errno() -> Result<()> {
    in_child(|| {
        let action = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        filter_openat(action, libc::SECCOMP_FILTER_FLAG_LOG)?;
        let error = open_watched().err().and_then(|e| e.raw_os_error());
        ensure!(error == Some(libc::EPERM), "it was not refused");
        Ok(())
    })
}

/// Has the kernel kill for it.
pub(super) fn kill() -> Result<()> {
    killed_by(Signal::SIGSYS, || {
        filter_openat(libc::SECCOMP_RET_KILL_PROCESS, 0)?;
        open_watched().context("it was not opened")
    })
}

/// Has a tracer make it a setns().
pub(super) fn trace() -> Result<()> {
    let events = [libc::PTRACE_EVENT_SECCOMP];
    ptrace::traced(Options::PTRACE_O_TRACESECCOMP, &events, || {
        filter_openat(libc::SECCOMP_RET_TRACE, 0)?;
        Ok(open_watched()?)
    })
}

/// Has a supervisor let it go on, and answer in its place.
pub(super) fn notify() -> Result<()> {
    /// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of linux/seccomp.h.
    const RECEIVE: libc::c_ulong = 0xc050_2100;
    const SEND: libc::c_ulong = 0xc018_2101;
    const GO_ON: u32 = 1;
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::empty(),
    )?;
    let child = fork(|| {
        let listener = filter_openat(
            libc::SECCOMP_RET_USER_NOTIF,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
        )?;
        send(&theirs, listener as i32)?;
        // SAFETY: The descriptor is new, and nobody else's.
        drop(unsafe { OwnedFd::from_raw_fd(listener as i32) });
        let results = [open_watched_raw(), open_watched_raw()];
        // The supervisor's answer is 0, which no open file has here.
        ensure!(results[0] > 2 && results[1] == 0, "opened as {results:?}");
        Ok(())
    })?;
    let listener = receive(&ours)?;
    for flags in [GO_ON, 0] {
        // SAFETY: All-zero bytes are what the kernel expects there, and valid.
        let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: The kernel writes the request there.
        let received = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut request) };
        done(received.into()).context("SECCOMP_IOCTL_NOTIF_RECV")?;
        let mut answer = libc::seccomp_notif_resp {
            id: request.id,
            val: 0,
            error: 0,
            flags,
        };
        // SAFETY: The kernel reads the answer.
        let sent = unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw mut answer) };
        done(sent.into()).context("SECCOMP_IOCTL_NOTIF_SEND")?;
    }
    wait_for_success(child)
}

/// Opens the file that is watched, and returns the number that it gets.
fn open_watched_raw() -> libc::c_long {
    let path = super::WATCHED.as_ptr();
    // SAFETY: The kernel reads the path.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY, 0) }
}

/// Sends a file descriptor over a socket.
fn send(socket: &OwnedFd, fd: i32) -> Result<()> {
    let fds = [fd];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )
    .context("sendmsg")?;
    Ok(())
}

/// Receives a file descriptor over a socket.
fn receive(socket: &OwnedFd) -> Result<OwnedFd> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .context("recvmsg")?;
    let fd = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: The descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd.context("no descriptor came")?) })
}
