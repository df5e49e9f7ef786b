// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Operations of io_uring, which run elsewhere than in a system call of their task.

use super::{WATCHED, connect_to_kernel, uts};
use crate::sys::{done, fork, setns, wait_for_success};
use crate::tools::audit;
use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::unistd::{pipe, write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The maximum number of operations at a time.
const ENTRIES: u32 = 8;

/// Operations and flags of linux/io_uring.h.
const OPENAT: u8 = 18;
const READ: u8 = 22;
const SEND: u8 = 26;
const LINK: u8 = 4;
const ASYNC: u8 = 16;

/// The offsets of the tail and the array of the submission queue in `struct io_uring_params`.
const TAIL: usize = 44;
const ARRAY: usize = 64;

/// The offsets of the completion queue, and of `struct io_uring_cqe`.
const COMPLETED_TAIL: usize = 84;
const COMPLETED_ENTRIES: usize = 100;

/// `struct io_uring_sqe`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Entry {
    operation: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    operation_flags: u32,
    rest: [u64; 4],
}

/// A ring. It stays until the process ends, as all memory does that the kernel works on.
struct Ring {
    fd: OwnedFd,
    rings: *mut u8,
    entries: *mut Entry,
    tail: usize,
    array: usize,
    completed_tail: usize,
    completed_entries: usize,
    queued: u32,
}

impl Ring {
    fn new() -> Result<Self> {
        let mut parameters = [0_u8; 120];
        // SAFETY: The kernel reads and writes `struct io_uring_params`, which has 120 bytes.
        let fd = done(unsafe {
            libc::syscall(libc::SYS_io_uring_setup, ENTRIES, parameters.as_mut_ptr())
        })
        .context("io_uring_setup")?;
        // SAFETY: The descriptor is new, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let at = |offset: usize| {
            let bytes = [0, 1, 2, 3].map(|i| parameters[offset + i]);
            u32::from_ne_bytes(bytes) as usize
        };
        Ok(Self {
            tail: at(TAIL),
            array: at(ARRAY),
            completed_tail: at(COMPLETED_TAIL),
            completed_entries: at(COMPLETED_ENTRIES),
            rings: map(&fd, 0)?.cast(),
            entries: map(&fd, 0x1000_0000)?.cast(),
            fd,
            queued: 0,
        })
    }

    /// Queues an operation.
    fn queue(&mut self, entry: Entry) {
        assert!(self.queued < ENTRIES);
        // SAFETY: The kernel gave the offsets: all is in the page that is mapped. Only this thread
        // writes there.
        unsafe {
            let tail = AtomicU32::from_ptr(self.rings.add(self.tail).cast());
            let next = tail.load(Ordering::Relaxed);
            let slot = next % ENTRIES;
            self.entries.add(slot as usize).write(entry);
            let array: *mut u32 = self.rings.add(self.array).cast();
            array.add(slot as usize).write(slot);
            tail.store(next.wrapping_add(1), Ordering::Release);
        }
        self.queued += 1;
    }

    /// Hands over what is queued, and waits until so many operations are complete.
    fn submit(&mut self, wait: u32) -> Result<()> {
        const GETEVENTS: u32 = 1;
        // SAFETY: It takes numbers.
        let submitted = done(unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                self.queued,
                wait,
                GETEVENTS,
                0_usize,
                0_usize,
            )
        })
        .context("io_uring_enter")?;
        ensure!(
            submitted == i64::from(self.queued),
            "{submitted} of {} operations were handed over",
            self.queued
        );
        self.queued = 0;
        Ok(())
    }

    /// Fails unless so many operations are complete, and each succeeded.
    fn check(&self, count: u32) -> Result<()> {
        // SAFETY: The kernel gave the offsets: all is in the page that is mapped.
        let complete = unsafe { AtomicU32::from_ptr(self.rings.add(self.completed_tail).cast()) }
            .load(Ordering::Acquire);
        ensure!(
            complete == count,
            "{complete} operations are complete, not {count}"
        );
        for i in 0..count as usize {
            // struct io_uring_cqe: user_data, res, flags.
            // SAFETY: The kernel has written so many entries of 16 bytes there.
            let result: i32 = unsafe {
                self.rings
                    .add(self.completed_entries + 16 * i + 8)
                    .cast::<i32>()
                    .read_volatile()
            };
            ensure!(result >= 0, "operation {i}: errno {}", -result);
        }
        Ok(())
    }
}

/// Maps a page of a ring.
fn map(fd: &OwnedFd, offset: libc::off_t) -> Result<*mut libc::c_void> {
    // SAFETY: It is a new mapping that nothing else uses.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            offset,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error()).context("mmap");
    }
    Ok(at)
}

/// Returns the operation that opens the file that is watched.
fn open(flags: u8) -> Entry {
    Entry {
        operation: OPENAT,
        flags,
        fd: libc::AT_FDCWD,
        address: WATCHED.as_ptr() as u64,
        ..Entry::default()
    }
}

/// Opens the file in the system call that hands the operation over.
pub(super) fn inline() -> Result<()> {
    let mut ring = Ring::new()?;
    ring.queue(open(0));
    ring.submit(1)?;
    ring.check(1)
}

/// Opens the file in a worker.
pub(super) fn worker() -> Result<()> {
    let mut ring = Ring::new()?;
    ring.queue(open(ASYNC));
    ring.submit(1)?;
    ring.check(1)
}

/// Opens the file in task work, when a byte comes, on the way out of a setns().
pub(super) fn task_work() -> Result<()> {
    let (out, into) = pipe()?;
    let here = uts()?;
    let byte: &'static mut [u8; 1] = Box::leak(Box::new([0]));
    let mut ring = Ring::new()?;
    ring.queue(Entry {
        operation: READ,
        flags: LINK,
        fd: out.as_raw_fd(),
        address: byte.as_mut_ptr() as u64,
        length: 1,
        ..Entry::default()
    });
    ring.queue(open(0));
    ring.submit(0)?;
    let child = fork(|| {
        std::thread::sleep(Duration::from_millis(200));
        write(&into, b"x")?;
        Ok(())
    })?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        setns(&here, libc::CLONE_NEWUTS).context("setns")?;
    }
    wait_for_success(child)?;
    ring.check(2)
}

/// Sends a message to audit by a worker.
pub(super) fn message() -> Result<()> {
    let audit = audit::open()?;
    connect_to_kernel(&audit)?;
    let message: &'static [u8] = super::message().leak();
    let mut ring = Ring::new()?;
    ring.queue(Entry {
        operation: SEND,
        flags: ASYNC,
        fd: audit.as_raw_fd(),
        address: message.as_ptr() as u64,
        length: message.len() as u32,
        ..Entry::default()
    });
    ring.submit(1)?;
    ring.check(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_size_that_the_kernel_knows() {
        assert_eq!(size_of::<Entry>(), 64);
        assert_eq!(std::mem::offset_of!(Entry, operation_flags), 28);
    }
}
