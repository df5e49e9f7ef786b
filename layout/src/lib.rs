// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Models where device-mapper targets keep data, tags and hashes on the devices below.
//!
//! - [`table`]: a line of a mapping's table.
//! - [`integrity`]: dm-integrity: superblock, journal, bitmap, tags, data.
//! - [`verity`]: dm-verity: the tree of hashes, the parity of FEC.
//! - [`below`]: the byte below a sector of a mapping, by its table.
//!
//! The source is drivers/md/ of Linux 7.3; each function names the one that it follows. A layout that
//! a module does not know is an error. Nothing here reads a device.

#![forbid(unsafe_code)]

pub mod below;
pub mod integrity;
pub mod table;
pub mod verity;

use std::error;
use std::fmt;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// A byte below a mapping. `On` has the devices of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Byte<On> {
    /// The device.
    pub on: On,
    /// The byte of it.
    pub byte: u64,
}

/// Why there is no layout, or no place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(String);

impl Unknown {
    /// Returns an error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Unknown {}

/// A place, or the reason why there is none.
pub type Result<T> = std::result::Result<T, Unknown>;
