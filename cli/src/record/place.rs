// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The place of a line in a log.

/// The place of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The number of the file; [`Log::name`](crate::input::Log::name) has its name.
    pub file: usize,
    /// The number of the line; the first is 1.
    pub line: u64,
}
