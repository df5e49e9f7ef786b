// SPDX-License-Identifier: GPL-2.0-only

//! What became of the records, by type: `/sys/kernel/debug/dmns_audit/counters`.
//!
//! The file holds a line of column names, then one line per record type:
//!
//! ```text
//! type number emitted disabled refused refused_nowait no_room retried deferred
//! DM_CTRL 1338 4 0 0 0 0 0 0
//! ```
//!
//! - `emitted`: handed to audit. Each of these must arrive, or appear in audit's `lost` counter.
//! - `disabled`: not written, since auditing was off (`auditctl -e 0`).
//! - `refused`: lost: audit gave no buffer, although the caller could wait. An exclude rule names the type, memory
//!   ran out, or the backlog stayed full and the record could not be deferred (`DM_CTRL`), or audit may not
//!   wait (`backlog_wait_time` 0).
//! - `refused_nowait`: lost: the same, where the caller could not wait: the module is being unloaded.
//! - `no_room`: lost: could not be deferred, since 65536 were, or memory ran out.
//! - `retried`: audit gave no buffer, and counted that as lost; the record was deferred for another try.
//! - `deferred`: waiting now for the worker to emit them.
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
    Acquire,
    Atomic,
    Relaxed,
    Release, //
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
    /// Could not be deferred.
    NoRoom,
    /// Refused by audit, and tried again.
    Retried,
}

/// The names of the fates, in order.
const FATES: [&str; 6] = [
    "emitted",
    "disabled",
    "refused",
    "refused_nowait",
    "no_room",
    "retried",
];

static COUNTS: [[Atomic<u64>; FATES.len()]; types::COUNT] =
    [const { [const { Atomic::new(0) }; FATES.len()] }; types::COUNT];

/// How many of each type are deferred now.
static DEFERRED: [Atomic<i64>; types::COUNT] = [const { Atomic::new(0) }; types::COUNT];

/// Notes that `change` more records of type `ty` are deferred. Callable from any context.
pub(crate) fn deferred(ty: RecordType, change: i64) {
    DEFERRED[ty.index()].fetch_add(change, Release);
}

/// Whether any record of type `ty` is deferred: if not, those that were have been emitted. Callable from any context.
pub(crate) fn any_deferred(ty: RecordType) -> bool {
    DEFERRED[ty.index()].load(Acquire) != 0
}

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
    f.write_str(" deferred\n")?;
    for ty in RecordType::ALL {
        write!(f, "{} {}", ty.name(), ty.number())?;
        for (_, count) in counts(ty) {
            write!(f, " {count}")?;
        }
        writeln!(f, " {}", DEFERRED[ty.index()].load(Relaxed))?;
    }
    Ok(())
}
