// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Memory pressure.

use super::{User, say};
use anyhow::{Context, Result, bail};
use nix::libc;
use std::fs;
use std::time::Duration;

/// Allocate memory until the kernel has to reclaim it.
///
/// Prints `short` when it is, and holds on until it is killed.
#[derive(clap::Args)]
pub(super) struct Memory {
    #[command(flatten)]
    user: User,
    /// MiB to leave free.
    #[arg(long, default_value_t = 16)]
    leave: u64,
}

/// The size of an allocation.
const STEP: usize = 1 << 20;

/// Allocates, a step at a time.
pub(super) fn run(memory: &Memory) -> Result<()> {
    memory.user.become_it()?;
    // The kernel's choice, where it runs out of memory, is to be this program.
    fs::write("/proc/self/oom_score_adj", "1000").context("oom_score_adj")?;
    let mut short = false;
    loop {
        if available()? > memory.leave {
            take()?;
        } else {
            if !short {
                say("short");
                short = true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Takes `STEP` bytes of memory, for good.
fn take() -> Result<()> {
    // SAFETY: It is a new mapping of pages that nothing else uses.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            STEP,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        bail!("mmap: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

/// Returns how many MiB the kernel can give without swapping.
fn available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .context("MemAvailable")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib >> 10)
}
