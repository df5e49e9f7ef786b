// SPDX-License-Identifier: GPL-2.0-only

//! Counts the outcomes of records, by type: `/sys/kernel/security/dmns_audit/counters`.
//!
//! The file holds a line of column names, then one line per record type:
//!
//! ```text
//! type number emitted disabled refused refused_nowait no_room over_share retried deferred
//! DM_CTRL 1338 4 0 0 0 0 0 0 0
//! ```
//!
//! - `emitted`: handed to audit. Each of these must arrive, or appear in audit's `lost` counter.
//! - `disabled`: not written, since auditing was off (`auditctl -e 0`).
//! - `refused`: lost: audit gave no buffer, although the caller could wait. An exclude rule names
//!   the type, memory ran out, or the backlog stayed full and the record could not be deferred
//!   (`DM_CTRL`), or audit may not wait (`backlog_wait_time` 0).
//! - `refused_nowait`: lost: the same, where the caller could not wait: the module is being
//!   unloaded.
//! - `no_room`: lost: memory ran out.
//! - `over_share`: lost: could not be deferred, since its owner, a user or a device, has used up its
//!   share of the queue. The files `users` and `devices` list the owners.
//! - `retried`: audit gave no buffer, and counted that as lost; the record was deferred for another
//!   try.
//! - `deferred`: waiting now for the worker to emit them.
//!
//! The counts start at zero when the module loads. When it is unloaded, the kernel log keeps those
//! that are not zero.

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

/// The outcome of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
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
    /// Could not be deferred: the user's share of the queue is used up.
    OverShare,
    /// Refused by audit, and tried again.
    Retried,
}

/// The names of the outcomes, in order.
const OUTCOMES: [&str; 7] = [
    "emitted",
    "disabled",
    "refused",
    "refused_nowait",
    "no_room",
    "over_share",
    "retried",
];

static COUNTS: [[Atomic<u64>; OUTCOMES.len()]; types::COUNT] =
    [const { [const { Atomic::new(0) }; OUTCOMES.len()] }; types::COUNT];

/// The number of deferred records of each type.
static DEFERRED: [Atomic<i64>; types::COUNT] = [const { Atomic::new(0) }; types::COUNT];

/// Notes that `change` more records of type `ty` are deferred. Callable from any context.
pub(crate) fn deferred(ty: RecordType, change: i64) {
    DEFERRED[ty.index()].fetch_add(change, Relaxed);
}

/// Counts a record of type `ty`. Callable from any context.
pub(crate) fn count(ty: RecordType, outcome: Outcome) {
    COUNTS[ty.index()][outcome as usize].fetch_add(1, Relaxed);
}

/// Returns the counts of a type, with their names.
fn counts(ty: RecordType) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = COUNTS[ty.index()].iter().map(|count| count.load(Relaxed));
    OUTCOMES.into_iter().zip(counts)
}

/// Prints what was counted in the kernel log.
pub(crate) fn log() {
    for ty in RecordType::ALL {
        for (outcome, count) in counts(ty).filter(|(_, count)| *count != 0) {
            pr_info!("{}: {outcome}={count}\n", ty.name());
        }
    }
}

/// Writes the table that the module's documentation describes.
pub(crate) fn write(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("type number")?;
    for outcome in OUTCOMES {
        write!(f, " {outcome}")?;
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
