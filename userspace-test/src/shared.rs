// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A guest that several scenarios use, one after the other: the boot is most of a short scenario's
//! time.
//!
//! A scenario asks for it with `guest = "shared"`. It gets a guest in which only scenarios ran that
//! asked for the same machine, that passed, and that left nothing behind.

use crate::guest::{Guest, Watcher};
use crate::judge;
use crate::report::{Cause, Verdict};
use crate::scenario::Scenario;
use crate::vm::Machine;
use anyhow::Result;

/// A guest that waits for its next scenario.
pub(crate) struct Shared {
    guest: Guest,
    machine: Machine,
    module: bool,
}

impl Shared {
    /// Keeps the guest in which `scenario` has passed.
    pub(crate) fn new(guest: Guest, scenario: &Scenario) -> Self {
        Self {
            guest,
            machine: Machine::of(scenario),
            module: scenario.module,
        }
    }

    /// Returns whether it is the machine that `scenario` requests.
    fn fits(&self, scenario: &Scenario) -> bool {
        self.machine == Machine::of(scenario) && self.module == scenario.module
    }

    /// Hands it over to a scenario.
    pub(crate) fn take(mut self, watcher: Watcher) -> Guest {
        self.guest.watch(watcher);
        self.guest
    }

    /// Powers it off. A verdict only if something is wrong: it belongs to none of the scenarios.
    pub(crate) fn end(self) -> Option<Verdict> {
        let (cause, problem) = match self.guest.power_off() {
            Ok(console) => (Cause::Kernel, judge::splat(&console)?),
            Err(e) => (Cause::Guest, format!("{e:#}")),
        };
        let mut verdict = Verdict::new("shared-guest", "the end of a guest that scenarios shared");
        verdict.fail(cause, [problem]);
        Some(verdict)
    }
}

/// Ends the guest that is kept if it does not fit `scenario`.
pub(crate) fn leave_unless_fit(
    shared: &mut Option<Shared>,
    scenario: &Scenario,
) -> Option<Verdict> {
    shared
        .take_if(|kept| !kept.fits(scenario))
        .and_then(Shared::end)
}

/// Takes away what a scenario may leave, and names what it must not leave.
pub(crate) fn tidy(guest: &mut Guest) -> Result<Vec<String>> {
    let left = guest.must(
        "dmsetup ls | grep -v '^No devices found' || true
         losetup --detach-all
         rm -rf /tmp/* /run/dmns/values /run/dmns/metrics
         cat /var/log/audit/audit.log* | wc -c >/run/dmns/log-before",
    )?;
    Ok(left
        .lines()
        .map(|line| format!("the guest is shared, but this mapping was left: {line}"))
        .collect())
}
