// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! System calls of x32.

use super::{TRUE, in_child};
use crate::sys::{done, unshare};
use anyhow::{Context, Result, bail};
use nix::libc;

/// The bit that makes a number one of x32.
const X32: libc::c_long = 0x4000_0000;
const EXECVE: libc::c_long = 520;
const EXECVEAT: libc::c_long = 545;

/// Enters a time namespace by execve() and by execveat(): their pointers in arrays have 32 bits.
pub(super) fn exec_time() -> Result<()> {
    let name = low(b"true\0")?;
    let (argv, envp) = ([name, 0], [0_u32]);
    let (path, argv, envp) = (TRUE.as_ptr(), argv.as_ptr(), envp.as_ptr());
    in_child(|| {
        unshare(libc::CLONE_NEWTIME).context("unshare")?;
        // SAFETY: The kernel reads the strings and arrays, which end as it expects.
        done(unsafe { libc::syscall(X32 | EXECVE, path, argv, envp) }).context("execve")?;
        bail!("execve has returned");
    })?;
    in_child(|| {
        unshare(libc::CLONE_NEWTIME).context("unshare")?;
        // SAFETY: As for execve above. The path is absolute.
        done(unsafe { libc::syscall(X32 | EXECVEAT, libc::AT_FDCWD, path, argv, envp, 0) })
            .context("execveat")?;
        bail!("execveat has returned");
    })
}

/// Copies a text to an address of 32 bits, where it stays.
fn low(text: &[u8]) -> Result<u32> {
    let length = 4096;
    assert!(text.len() <= length);
    // SAFETY: It is a new mapping of pages that nothing else uses.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error()).context("mmap");
    }
    // SAFETY: The mapping is at least as long as the text.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), at.cast(), text.len()) };
    u32::try_from(at as usize).context("no address of 32 bits")
}
