// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! System calls of guest commands that the libraries do not have.

use anyhow::{Context, Result, bail};
use io_uring::{IoUring, opcode, types};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Turns what a system call returns into a `Result`.
pub(crate) fn done(result: libc::c_long) -> io::Result<libc::c_long> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Calls unshare(2).
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: It takes a number.
    done(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Calls setns(2).
pub(crate) fn setns(ns: &impl AsRawFd, flags: i32) -> io::Result<()> {
    // SAFETY: It takes numbers.
    done(unsafe { libc::setns(ns.as_raw_fd(), flags) }.into()).map(drop)
}

/// Forks a child that runs `act`, and ends with 0, or 1 where that fails.
///
/// The caller has one thread.
pub(crate) fn fork(act: impl FnOnce() -> Result<()>) -> Result<libc::pid_t> {
    // SAFETY: This program has one thread.
    let pid = done(unsafe { libc::fork() }.into()).context("fork")?;
    if pid == 0 {
        run_and_exit(act);
    }
    Ok(pid as libc::pid_t)
}

/// Calls clone(2) as fork(2) does, with these flags, which have no `CLONE_VM`. The child runs `act`
/// and ends as that of [`fork`] does.
pub(crate) fn clone(flags: i32, act: impl FnOnce() -> Result<()>) -> io::Result<libc::pid_t> {
    // SAFETY: Without CLONE_VM and with no stack it is fork(2), and this program has one thread.
    let pid = done(unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) })?;
    if pid == 0 {
        run_and_exit(act);
    }
    Ok(pid as libc::pid_t)
}

/// Runs `act` in a child, and ends it.
pub(crate) fn run_and_exit(act: impl FnOnce() -> Result<()>) -> ! {
    let code = match act() {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e:#}");
            1
        }
    };
    exit(code)
}

/// Ends this process at once.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: It takes a number, and does not return.
    unsafe { libc::_exit(code) }
}

/// Waits until a child ends, and returns its status as waitpid(2) does.
pub(crate) fn wait(pid: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: The kernel writes a number there.
    done(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into())?;
    Ok(status)
}

/// Waits until a child ends. Fails unless it ends with 0.
pub(crate) fn wait_for_success(pid: libc::pid_t) -> Result<()> {
    match wait(pid).context("waitpid")? {
        0 => Ok(()),
        status => bail!("a child has ended with status {status:#x}"),
    }
}

/// Returns the id of a namespace.
pub(crate) fn ns_id(ns: &File) -> Result<u64> {
    /// `NS_GET_ID` of linux/nsfs.h.
    const NS_GET_ID: libc::c_ulong = 0x8008_b70d;
    let mut id = 0_u64;
    // SAFETY: The kernel writes eight bytes there.
    done(unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_ID, &raw mut id) }.into())
        .context("NS_GET_ID")?;
    Ok(id)
}

/// Returns the user namespace that owns a namespace.
pub(crate) fn ns_owner(ns: &File) -> Result<File> {
    /// `NS_GET_USERNS` of linux/nsfs.h.
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: It takes nothing, and returns a new descriptor.
    let owner = done(unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_USERNS) }.into())
        .context("NS_GET_USERNS")?;
    // SAFETY: The descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(owner as i32) }.into())
}

/// Calls ioctl(2) of device mapper's control device. `message` is a `struct dm_ioctl` and what follows
/// it: its size is in it.
pub(crate) fn device_mapper(control: &File, command: u8, message: &mut [u8]) -> io::Result<()> {
    /// `_IOWR(DM_IOCTL, 0, struct dm_ioctl)` of linux/dm-ioctl.h.
    const DM_IOCTL: libc::c_ulong = 0xc138_fd00;
    const SIZE: std::ops::Range<usize> = 12..16;
    let size = message.len() as u32;
    if message.len() < 312 || message[SIZE] != size.to_ne_bytes() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let request = DM_IOCTL | libc::c_ulong::from(command);
    // SAFETY: The kernel reads and writes as many bytes as the message says, which are in it.
    done(unsafe { libc::ioctl(control.as_raw_fd(), request as _, message.as_mut_ptr()) }.into())
        .map(drop)
}

/// Discards bytes of a block device.
pub(crate) fn discard(device: &File, from: u64, length: u64) -> io::Result<()> {
    /// `BLKDISCARD` of linux/fs.h.
    const BLKDISCARD: libc::c_ulong = 0x1277;
    let range = [from, length];
    // SAFETY: The kernel reads two numbers there.
    done(unsafe { libc::ioctl(device.as_raw_fd(), BLKDISCARD as _, range.as_ptr()) }.into())
        .map(drop)
}

/// Sets how many sectors of a block device are read ahead.
pub(crate) fn set_read_ahead(device: &File, sectors: u32) -> io::Result<()> {
    /// `BLKRASET` of linux/fs.h.
    const BLKRASET: libc::c_ulong = 0x1262;
    let sectors = libc::c_ulong::from(sectors);
    // SAFETY: It takes a number.
    done(unsafe { libc::ioctl(device.as_raw_fd(), BLKRASET as _, sectors) }.into()).map(drop)
}

/// Forgets the pages of a block device.
pub(crate) fn flush_pages(device: &File) -> io::Result<()> {
    /// `BLKFLSBUF` of linux/fs.h.
    const BLKFLSBUF: libc::c_ulong = 0x1261;
    // SAFETY: It takes nothing.
    done(unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF as _, 0) }.into()).map(drop)
}

/// Reads from places of a file, all at once, by one ring of io_uring. Returns what each read returns: the
/// count of bytes, or the number of an error below zero.
pub(crate) fn read_in_ring(file: &File, reads: &mut [(u64, &mut [u8])]) -> io::Result<Vec<i32>> {
    let mut ring = IoUring::new(reads.len() as u32)?;
    for (i, (from, buffer)) in reads.iter_mut().enumerate() {
        let to = (buffer.as_mut_ptr(), buffer.len() as u32);
        let read = opcode::Read::new(types::Fd(file.as_raw_fd()), to.0, to.1).offset(*from);
        // SAFETY: The file and the buffer are there until all reads have ended.
        unsafe { ring.submission().push(&read.build().user_data(i as u64)) }
            .map_err(io::Error::other)?;
    }
    // A signal may end the wait early.
    while ring.completion().len() < reads.len() {
        match ring.submit_and_wait(reads.len()) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    let mut results = vec![0; reads.len()];
    for entry in ring.completion() {
        results[entry.user_data() as usize] = entry.result();
    }
    Ok(results)
}

/// Reads a range of a file by mmap(2). A page that cannot be read is an error, not a signal.
pub(crate) fn read_mapped(file: &File, from: u64, length: usize) -> io::Result<Vec<u8>> {
    // SAFETY: It is a new mapping, of which the kernel chooses the place.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            from as libc::off_t,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The range is the mapping.
    let populated = done(unsafe { libc::madvise(mapped, length, libc::MADV_POPULATE_READ) }.into());
    let read = populated.map(|_| {
        // SAFETY: All pages are there, and nobody writes to them.
        unsafe { std::slice::from_raw_parts(mapped.cast::<u8>(), length) }.to_vec()
    });
    // SAFETY: The range is the mapping, and nothing refers to it any more.
    unsafe { libc::munmap(mapped, length) };
    read
}

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NsKind {
    /// The name in /proc/PID/ns, and in records.
    pub(crate) name: &'static str,
    /// The bit of unshare(2).
    pub(crate) flag: i32,
}

/// All kinds of namespaces, in the order of the record types.
pub(crate) const NS_KINDS: [NsKind; 8] = [
    NsKind {
        name: "mnt",
        flag: libc::CLONE_NEWNS,
    },
    NsKind {
        name: "uts",
        flag: libc::CLONE_NEWUTS,
    },
    NsKind {
        name: "ipc",
        flag: libc::CLONE_NEWIPC,
    },
    NsKind {
        name: "user",
        flag: libc::CLONE_NEWUSER,
    },
    NsKind {
        name: "pid",
        flag: libc::CLONE_NEWPID,
    },
    NsKind {
        name: "net",
        flag: libc::CLONE_NEWNET,
    },
    NsKind {
        name: "cgroup",
        flag: libc::CLONE_NEWCGROUP,
    },
    NsKind {
        name: "time",
        flag: libc::CLONE_NEWTIME,
    },
];

/// The bits of unshare(2) for all kinds of namespaces.
pub(crate) const ALL_NS: i32 = 0x7e02_0080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_all_kinds() {
        assert_eq!(NS_KINDS.iter().fold(0, |all, kind| all | kind.flag), ALL_NS);
    }
}
