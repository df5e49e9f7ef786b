// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The baseline: the namespaces that exist when the module is loaded, or auditing is switched on.
//! Each has one record. The difference from the namespaces in the log before shows what happened
//! while nothing was recorded.

use super::finding::{Finding, Rule};
use super::judge::Judged;
use hashbrown::HashSet;

/// The time without a record of the baseline after which it has ended, in seconds of the log. The module
/// reads the list in slices, and other records come between them.
const SETTLED: u64 = 5;

/// A baseline.
#[derive(Debug)]
pub(super) struct Baseline {
    /// It has all namespaces. An older module recorded the initial ones only.
    complete: bool,
    /// Namespaces that existed before, and are not in the baseline; `None` once they have been
    /// reported.
    before: Option<HashSet<u64>>,
    /// The highest id before the baseline.
    highest: u64,
    /// The number of namespaces that are new in the baseline.
    created: u64,
    /// The highest id in the baseline.
    last: u64,
    /// The second of its last record.
    second: u64,
    /// The lowest id of a namespace that was created after it.
    next: Option<u64>,
    /// The list shows no change: the next creation shows whether ids are missing before it.
    is_silent: bool,
    /// The module was unloaded or loaded after it, or auditing was switched.
    is_interrupted: bool,
    /// The finding to report.
    at: Finding,
}

impl Baseline {
    /// The id of the first namespace of a baseline: the initial ipc namespace. C: `IPC_NS_INIT_ID`.
    pub(super) const FIRST: u64 = 1;

    /// Begins a baseline with the record `judged`. `before` are the namespaces that existed in the
    /// log, with ids up to `highest`.
    pub(super) fn begin(judged: &Judged<'_>, before: HashSet<u64>, highest: u64) -> Self {
        Self {
            complete: judged.value("owner_ns_id").is_some(),
            before: Some(before),
            highest,
            created: 0,
            last: 0,
            second: judged.head.stamp.seconds,
            next: None,
            is_silent: false,
            is_interrupted: false,
            at: judged.finding(Rule::Gap, String::new()).note(),
        }
    }

    /// Returns whether the baseline may have more records.
    pub(super) fn is_open(&self) -> bool {
        self.before.is_some()
    }

    /// Returns whether it lists every namespace, and all records since are in the log.
    pub(super) fn is_complete(&self) -> bool {
        self.complete && !self.is_interrupted
    }

    /// Takes note that no record is made, or none was, until the next baseline.
    pub(super) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Adds the namespace `id`.
    pub(super) fn found(&mut self, id: u64, second: u64) {
        if let Some(before) = &mut self.before {
            self.created += u64::from(!before.remove(&id) && id > self.highest);
            self.last = self.last.max(id);
            self.second = self.second.max(second);
        }
    }

    /// Takes a record of `second` that is not one of the baseline, with the id of the namespace that it
    /// `created`. Returns what [`Self::gap`] does, if the baseline has ended.
    pub(super) fn other(&mut self, created: Option<u64>, second: u64) -> Option<Finding> {
        if self.is_open() || self.is_silent {
            self.next = self.next.into_iter().chain(created).min();
        }
        let is_over = !self.is_open() || second > self.second + SETTLED;
        is_over.then(|| self.gap()).flatten()
    }

    /// Ends the baseline. Returns, once, what happened while nothing was recorded.
    pub(super) fn gap(&mut self) -> Option<Finding> {
        let deleted = match self.before.take() {
            Some(before) => before.len() as u64,
            None if self.is_silent && self.next.is_some() => 0,
            None => return None,
        };
        self.is_silent = false;
        if !self.complete || self.highest == 0 {
            return None;
        }
        let last = self
            .next
            .map_or(0, |id| id.saturating_sub(1))
            .max(self.last);
        let passed = (last.saturating_sub(self.highest)).saturating_sub(self.created);
        if (self.created, deleted, passed) == (0, 0, 0) {
            self.is_silent = self.next.is_none();
            return None;
        }
        let mut finding = self.at.clone();
        finding.message = format!(
            "while nothing was recorded, {} created, {} deleted, and {passed} more both created and deleted",
            were(self.created),
            were(deleted),
        );
        finding.help = Some("the module was not loaded, or auditing was off".to_owned());
        Some(finding)
    }
}

fn were(count: u64) -> String {
    match count {
        1 => "1 namespace was".to_owned(),
        count => format!("{count} namespaces were"),
    }
}
