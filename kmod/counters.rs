// SPDX-License-Identifier: GPL-2.0-only

//! What became of the records, by type: `/sys/kernel/debug/dmns_audit/counters`.
//!
//! The file holds a line of column names, then one line per record type:
//!
//! ```text
//! type number emitted disabled refused refused_nowait
//! DM_CTRL 1338 4 0 0 0
//! ```
//!
//! - `emitted`: handed to audit. Each of these must arrive, or appear in audit's `lost` counter.
//! - `disabled`: not written, since auditing was off (`auditctl -e 0`).
//! - `refused`: audit gave no buffer, although the caller could wait: the backlog stayed full for
//!   `backlog_wait_time`, an exclude rule names the type, or memory ran out.
//! - `refused_nowait`: the same, where the caller could not wait.
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
}

const FATES: usize = 4;

static COUNTS: [[Atomic<u64>; FATES]; types::COUNT] =
    [const { [const { Atomic::new(0) }; FATES] }; types::COUNT];

/// Counts a record of type `ty`. Callable from any context.
pub(crate) fn count(ty: RecordType, fate: Fate) {
    COUNTS[ty.index()][fate as usize].fetch_add(1, Relaxed);
}

/// Says in the kernel log what was counted.
pub(crate) fn log() {
    for ty in RecordType::ALL {
        let [emitted, disabled, refused, refused_nowait] =
            [0, 1, 2, 3].map(|fate| COUNTS[ty.index()][fate].load(Relaxed));
        if emitted + disabled + refused + refused_nowait != 0 {
            pr_info!(
                "counted {} emitted={emitted} disabled={disabled} refused={refused} \
                 refused_nowait={refused_nowait}\n",
                ty.name()
            );
        }
    }
}

/// Writes the table that the module's documentation describes.
pub(crate) fn write(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("type number emitted disabled refused refused_nowait\n")?;
    for ty in RecordType::ALL {
        write!(f, "{} {}", ty.name(), ty.number())?;
        for count in &COUNTS[ty.index()] {
            write!(f, " {}", count.load(Relaxed))?;
        }
        f.write_str("\n")?;
    }
    Ok(())
}
