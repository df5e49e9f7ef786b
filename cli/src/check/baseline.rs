// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The namespaces that are alive when the module is loaded, or auditing is switched on: one record each, in one event.
//! Held against what lived in the log before, they show what happened while nothing was recorded.

use super::finding::{Finding, Rule};
use super::judge::Judged;
use hashbrown::HashSet;

/// Such a list.
#[derive(Debug)]
pub(super) struct Baseline {
    /// The whole list; an older module recorded the initial namespaces only.
    complete: bool,
    /// What lived before, and was not found; `None` once that has been reported.
    before: Option<HashSet<u64>>,
    /// The highest id before.
    highest: u64,
    /// How many were found that were not there before.
    born: u64,
    /// The highest id that was found.
    last: u64,
    /// Where to report it.
    at: Finding,
}

impl Baseline {
    /// The id of the namespace that comes first: the initial ipc namespace. C: `IPC_NS_INIT_ID`.
    pub(super) const FIRST: u64 = 1;

    /// `judged` is the first of the list. `before`, with ids up to `highest`, lived in the log before.
    pub(super) fn begin(judged: &Judged<'_>, before: HashSet<u64>, highest: u64) -> Self {
        Self {
            complete: judged.value("owner_ns_id").is_some(),
            before: Some(before),
            highest,
            born: 0,
            last: 0,
            at: judged.finding(Rule::Unrecorded, String::new()).note(),
        }
    }

    /// Whether it has not ended yet.
    pub(super) fn goes_on(&self) -> bool {
        self.before.is_some()
    }

    /// Whether it lists every namespace.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// `id` is alive.
    pub(super) fn found(&mut self, id: u64) {
        if let Some(before) = &mut self.before {
            self.born += u64::from(!before.remove(&id) && id > self.highest);
            self.last = self.last.max(id);
        }
    }

    /// The list has ended. What happened while nothing was recorded, if anything did, is reported once.
    pub(super) fn gap(&mut self) -> Option<Finding> {
        let died = self.before.take()?.len() as u64;
        if !self.complete || self.highest == 0 {
            return None;
        }
        let passed = (self.last.saturating_sub(self.highest)).saturating_sub(self.born);
        if (self.born, died, passed) == (0, 0, 0) {
            return None;
        }
        let mut finding = self.at.clone();
        finding.message = format!(
            "while nothing was recorded, {} created, {} deleted, and {passed} more both created and deleted",
            were(self.born),
            were(died),
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
