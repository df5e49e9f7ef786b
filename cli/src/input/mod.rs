// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds audit logs, opens them, and hands out their lines, one after the other, in constant
//! memory.
//!
//! - [`lines`]: cuts a stream into lines.
//! - `parallel`: cuts a file into lines on several processors; `block`: a part of a log, and the
//!   lines found in it.
//! - [`open`]: plain, or compressed with gzip, xz, zstd, bzip2 or lz4, by content.
//! - [`journal`]: journald's copy of audit records.
//! - [`order`]: rotated files, oldest first.
//! - `rank`: the position of a record in its event.
//! - `sample`: examines the beginning of a log.
//! - `sorted`: the records of each event in the order of the kernel.
//! - `copies`: finds records that are in several logs.
//! - [`system`]: finds this system's log.
//! - `machines`: finds the logs of one machine.
//! - [`log`]: all of that as one sequence.

mod block;
mod copies;
pub mod journal;
pub mod lines;
pub mod log;
mod machines;
pub mod open;
pub mod order;
mod parallel;
pub mod progress;
mod rank;
mod sample;
mod sorted;
pub mod system;
pub mod wanted;

pub use crate::record::place::Place;
pub use block::Prefetch;
pub use copies::Repeated;
pub use log::{Early, Log, Problem, Step};
pub use wanted::Wanted;
