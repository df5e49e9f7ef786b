// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! System calls of i386, from a 64-bit program.

use super::in_child;
use crate::sys::wait_for_success;
use anyhow::{Result, bail};
use nix::libc;
use std::arch::asm;
use std::io::Error;
use std::os::fd::AsRawFd;

const CLONE: i32 = 120;
const UNSHARE: i32 = 310;
const SETNS: i32 = 346;

/// Calls a system call by interrupt 0x80, as i386 numbers them.
///
/// # Safety
///
/// The call takes two numbers, and is none that changes the memory of this process.
unsafe fn call(number: i32, first: i32, second: i32) -> Result<i32> {
    let result: i32;
    // SAFETY: The caller promises that the call takes numbers. The kernel clears r8 to r11, and
    // keeps all else. The compiler keeps a register of its own in rbx.
    unsafe {
        asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) i64::from(first) => _,
            inlateout("eax") number => result,
            in("ecx") second,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    match result {
        ..0 => bail!(Error::from_raw_os_error(-result)),
        result => Ok(result),
    }
}

/// Creates a namespace by unshare().
pub(super) fn unshare() -> Result<()> {
    // SAFETY: It takes a number.
    in_child(|| unsafe { call(UNSHARE, libc::CLONE_NEWUTS, 0) }.map(drop))
}

/// Enters a namespace by setns().
pub(super) fn setns() -> Result<()> {
    in_child(|| {
        let here = super::uts()?;
        // SAFETY: It takes numbers.
        unsafe { call(SETNS, here.as_raw_fd(), 0) }.map(drop)
    })
}

/// Creates a namespace by clone().
pub(super) fn clone() -> Result<()> {
    in_child(|| {
        // SAFETY: Without CLONE_VM and with no stack it is fork(2), and this program has one
        // thread.
        match unsafe { call(CLONE, libc::CLONE_NEWUTS | libc::SIGCHLD, 0) }? {
            0 => crate::sys::exit(0),
            pid => wait_for_success(pid),
        }
    })
}
