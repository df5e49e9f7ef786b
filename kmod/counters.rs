// SPDX-License-Identifier: GPL-2.0-only

//! What became of the records, by type: `/sys/kernel/debug/dmns_audit/counters`.
//!
//! The file holds a line of column names, then one line per record type:
//!
//! ```text
//! type number emitted disabled refused refused_nowait no_room
//! DM_CTRL 1338 4 0 0 0 0
//! ```
//!
//! - `emitted`: handed to audit. Each of these must arrive, or appear in audit's `lost` counter.
//! - `disabled`: not written, since auditing was off (`auditctl -e 0`).
//! - `refused`: audit gave no buffer, although the caller could wait: the backlog stayed full for
//!   `backlog_wait_time`, an exclude rule names the type, or memory ran out.
//! - `refused_nowait`: the same, where the caller could not wait.
//! - `no_room`: could not be kept until a worker sends it: 65536 are kept, or memory ran out.
//!
//! The counts start at zero when the module loads. When it is unloaded, the kernel log keeps those that
//! are not zero.

use crate::uapi::types::{
    self,
    RecordType, //
};
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// What became of a record.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// Handed to audit.
    Emitted,
    /// Auditing was off.
    Disabled,
    /// Refused by audit, although the caller could wait.
    Refused,
    /// Refused by audit in a place that cannot wait.
    RefusedNoWait,
    /// Could not be kept for later.
    NoRoom,
}

/// The names of the fates, in order.
const FATES: [&str; 5] = [
    "emitted",
    "disabled",
    "refused",
    "refused_nowait",
    "no_room",
];

static COUNTS: [[Atomic<u64>; FATES.len()]; types::COUNT] =
    [const { [const { Atomic::new(0) }; FATES.len()] }; types::COUNT];

/// Counts a record of type `ty`. Callable from any context.
pub(crate) fn count(ty: RecordType, fate: Fate) {
    COUNTS[ty.index()][fate as usize].fetch_add(1, Relaxed);
}

/// The counts of a type, with their names.
fn counts(ty: RecordType) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = COUNTS[ty.index()].iter().map(|count| count.load(Relaxed));
    FATES.into_iter().zip(counts)
}

/// Says in the kernel log what was counted.
pub(crate) fn log() {
    for ty in RecordType::ALL {
        for (fate, count) in counts(ty).filter(|(_, count)| *count != 0) {
            pr_info!("counted {} {fate}={count}\n", ty.name());
        }
    }
}

/// Writes the table that the module's documentation describes.
pub(crate) fn write(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("type number")?;
    for fate in FATES {
        write!(f, " {fate}")?;
    }
    f.write_str("\n")?;
    for ty in RecordType::ALL {
        write!(f, "{} {}", ty.name(), ty.number())?;
        for (_, count) in counts(ty) {
            write!(f, " {count}")?;
        }
        f.write_str("\n")?;
    }
    Ok(())
}
