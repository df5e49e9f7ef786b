// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Counters of the module and of audit.

use super::Text;
use dmns_audit_recorder::audit::kernel::{Audit, Status};
use std::fs;
use std::path::{Path, PathBuf};

/// The counters of this machine.
#[derive(Debug)]
pub(super) struct System {
    counters: PathBuf,
    audit: Option<Audit>,
}

impl System {
    /// Returns the counters of the machine with the root `root`.
    pub(super) fn of(root: &Path) -> Self {
        Self {
            counters: root.join("sys/kernel/security/dmns_audit/counters"),
            audit: match root == Path::new("/") {
                true => Audit::connect().ok(),
                false => None,
            },
        }
    }

    /// Adds them. What cannot be read is left out: the module is not loaded, this user may not ask.
    pub(super) fn text(&mut self, out: &mut Text) {
        let table = fs::read_to_string(&self.counters).unwrap_or_default();
        out.family(
            "dmns_module_loaded",
            "gauge",
            "Whether the module dmns_audit is loaded, and its counters can be read.",
        );
        out.sample(&[], u64::from(!table.is_empty()));
        if !table.is_empty() {
            counters(&table, out);
        }
        if let Some(status) = self.audit.as_mut().and_then(Audit::status) {
            audit(&status, out);
        }
    }
}

/// C: `kmod/counters.rs`, which explains each column.
fn counters(table: &str, out: &mut Text) {
    let mut lines = table
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let columns = lines.next().unwrap_or_default();
    let rows: Vec<_> = lines.collect();
    let mut family = |name, ty, help, lost: bool, of: &dyn Fn(&str) -> bool| {
        out.family(name, ty, help);
        for row in &rows {
            for (column, cell) in columns
                .iter()
                .zip(row)
                .skip(2)
                .filter(|(column, _)| of(column))
            {
                let labels = [("record", row[0]), ("reason", *column)];
                let count = cell.parse().unwrap_or(0);
                out.sample(&labels[..1 + usize::from(lost)], count);
            }
        }
    };
    family(
        "dmns_records_emitted_total",
        "counter",
        "Records that the module handed to audit.",
        false,
        &|c| c == "emitted",
    );
    family(
        "dmns_records_lost_total",
        "counter",
        "Records that the module could not hand to audit.",
        true,
        &|c| {
            matches!(
                c,
                "disabled" | "refused" | "refused_nowait" | "no_room" | "over_share"
            )
        },
    );
    family(
        "dmns_records_retried_total",
        "counter",
        "Records that audit refused at first, and that were deferred.",
        false,
        &|c| c == "retried",
    );
    family(
        "dmns_records_deferred",
        "gauge",
        "Records that wait for the module's worker.",
        false,
        &|c| c == "deferred",
    );
}

/// C: `struct audit_status` in `include/uapi/linux/audit.h`.
fn audit(status: &Status, out: &mut Text) {
    for (name, ty, help, value) in [
        (
            "dmns_audit_enabled",
            "gauge",
            "Whether audit is off (0), on (1) or locked (2).",
            status.enabled,
        ),
        (
            "dmns_audit_lost_total",
            "counter",
            "Records that audit lost, of any sort.",
            status.lost,
        ),
        (
            "dmns_audit_backlog",
            "gauge",
            "Records that wait for auditd.",
            status.backlog,
        ),
        (
            "dmns_audit_backlog_limit",
            "gauge",
            "How many may wait for auditd.",
            status.backlog_limit,
        ),
    ] {
        out.family(name, ty, help);
        out.sample(&[], u64::from(value));
    }
}
