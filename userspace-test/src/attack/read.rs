// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads of sectors, which may fail.

use anyhow::{Context, Result};
use nix::libc;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// Read sectors as root, one at a time and past the page cache, whether they are bad or not.
#[derive(clap::Args)]
pub(super) struct Read {
    /// The device.
    device: PathBuf,
    /// The first sector, of 512 bytes.
    first: u64,
    /// Number of sectors.
    count: u64,
}

/// A sector, where the kernel can read it to without a copy.
#[repr(align(512))]
struct Sector([u8; 512]);

/// Reads them.
pub(super) fn run(read: &Read) -> Result<()> {
    let device = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(&read.device)
        .with_context(|| read.device.display().to_string())?;
    let mut sector = Sector([0; 512]);
    for i in read.first..read.first + read.count {
        // A bad one fails.
        let _ = device.read_at(&mut sector.0, i * 512);
    }
    Ok(())
}
