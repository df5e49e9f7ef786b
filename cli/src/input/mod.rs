// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds audit logs, opens them, and hands out their lines, one after the other, in constant memory.
//!
//! - [`lines`]: cuts a stream into lines.
//! - `beside`: the same on more than one processor; `block`: a part, and what was found in it.
//! - [`open`]: plain, gzip, xz or zstd, by content.
//! - [`journal`]: what journald has of audit.
//! - [`order`]: rotated files, oldest first.
//! - [`system`]: where this system keeps its log.
//! - [`log`]: all of that as one sequence.

mod beside;
mod block;
pub mod journal;
pub mod lines;
pub mod log;
pub mod open;
pub mod order;
pub mod progress;
pub mod system;
pub mod wanted;

pub use block::Ahead;
pub use log::{Log, Place, Problem, Step};
pub use wanted::Wanted;

use std::io;

/// What to do about `error`, where that can be told.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (audit logs are root's: try sudo)",
        io::ErrorKind::UnexpectedEof => " (it ends too early: was it still being written?)",
        _ => "",
    }
}
