// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a filesystem has at a byte of its device.
//!
//! - [`mounts`]: where a device is mounted.
//! - [`mounted`]: a mounted filesystem: the kernel's map of it, and a walk through its files.
//! - [`walk`]: the walk.
//! - [`open`]: files that tasks have open.
//! - [`btrfs`]: btrfs, by its own calls.
//! - [`ext`]: ext2, ext3, ext4 by `debugfs` and `dumpe2fs`.
//! - [`xfs`]: XFS by `xfs_db`.
//! - [`fat`]: what of FAT is in no file.

pub mod btrfs;
pub mod ext;
pub mod fat;
pub mod mounted;
pub mod mounts;
pub mod open;
pub mod walk;
pub mod xfs;

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, makedev, statx};
use std::path::Path;

/// What limits an answer about a filesystem that is not mounted.
const NOT_REPLAYED: &str = "its journal was not replayed, so that the device may have older data; mount it read-only to be sure";

/// What a filesystem has in memory of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The device, as files have it.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// Number of names.
    pub links: u64,
    /// It is a file with data, or a directory.
    pub has_data: bool,
    /// The mount; 0 if the kernel does not say.
    pub mount: u64,
}

/// Returns what is known of `path`, without a question to a server: one that does not answer holds who asks.
pub fn asked(path: &Path) -> Option<About> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let about = statx(
        CWD,
        path,
        flags,
        StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
    )
    .ok()?;
    let kind = FileType::from_raw_mode(about.stx_mode.into());
    let has_mount = about.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Some(About {
        device: makedev(about.stx_dev_major, about.stx_dev_minor),
        inode: about.stx_ino,
        links: about.stx_nlink.into(),
        has_data: matches!(kind, FileType::RegularFile | FileType::Directory),
        mount: about.stx_mnt_id * u64::from(has_mount),
    })
}

/// Returns a path as text. What would disturb a terminal is replaced.
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}
