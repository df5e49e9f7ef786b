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

use std::path::Path;

/// What limits an answer about a filesystem that is not mounted.
const NOT_REPLAYED: &str = "its journal was not replayed, so that the device may have older data; mount it read-only to be sure";

/// Returns a path as text. What would disturb a terminal is replaced.
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}
