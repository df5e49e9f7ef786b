// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kinds of kernel that guests run, as `DMNS_KERNEL` asks for them.

use crate::arch::Arch;
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::time::Duration;

/// The kernel that the guests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Debian's.
    Stock,
    /// Debian's with PREEMPT_RT.
    Rt,
    /// One that checks locks, contexts, lists and leaks: `userspace-test/kernels/debug.config`.
    Debug,
    /// One that checks every access to memory: `userspace-test/kernels/kasan.config`.
    Kasan,
    /// One that is built of Debian's source with patches of `docs/upstream`, and runs without the
    /// module: `scripts/build/intree.sh`.
    Patched(Patches),
    /// The one with all patches, with the checks of [`Kind::Debug`].
    PatchedDebug,
}

/// The patches of `docs/upstream` that a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Patches {
    /// None: what the others are compared with.
    None,
    /// The fixes.
    Fixes,
    /// The fixes, and the records of namespaces.
    Namespaces,
}

impl Kind {
    /// Returns the kind that the environment requests. `DMNS_KERNEL=7.3` is a stock kernel too.
    pub(crate) fn asked() -> Self {
        match std::env::var("DMNS_KERNEL").as_deref() {
            Ok("rt") => Self::Rt,
            Ok("debug") => Self::Debug,
            Ok("kasan") => Self::Kasan,
            Ok("intree") => Self::Patched(Patches::Namespaces),
            Ok("intree-debug") => Self::PatchedDebug,
            Ok("fixes") => Self::Patched(Patches::Fixes),
            Ok("unpatched") => Self::Patched(Patches::None),
            _ => Self::Stock,
        }
    }

    /// Checks that there are such kernels for an architecture.
    pub(crate) fn check(self, arch: Arch) -> Result<()> {
        ensure!(
            matches!(self, Self::Stock | Self::Rt) || arch == Arch::Amd64,
            "DMNS_KERNEL={}: its configuration is for amd64, not {}: unset one of DMNS_KERNEL, DMNS_ARCH and --arch, or build one and give it with --tree",
            std::env::var("DMNS_KERNEL").unwrap_or_default(),
            arch.name()
        );
        Ok(())
    }

    /// Returns the patches that it has, and how `scripts/build/intree.sh` calls it; `None` for a
    /// kernel that the module is for.
    pub(crate) fn patches(self) -> Option<(Patches, &'static str)> {
        match self {
            Self::Patched(Patches::None) => Some((Patches::None, "unpatched")),
            Self::Patched(Patches::Fixes) => Some((Patches::Fixes, "fixes")),
            Self::Patched(Patches::Namespaces) => Some((Patches::Namespaces, "intree")),
            Self::PatchedDebug => Some((Patches::Namespaces, "intree-debug")),
            _ => None,
        }
    }

    /// Returns whether it checks more than a production kernel does.
    pub(crate) fn complains(self) -> bool {
        matches!(self, Self::Debug | Self::PatchedDebug | Self::Kasan)
    }

    /// Returns the factor of timeouts, relative to the stock kernel.
    pub(crate) fn timeout_multiplier(self) -> TimeoutMultiplier {
        TimeoutMultiplier(match self {
            Self::Stock => 1,
            Self::Rt | Self::Patched(_) => 2,
            Self::Debug | Self::PatchedDebug => 5,
            Self::Kasan => 12,
        })
    }

    /// Returns the minimum memory of a guest, MiB: checks need memory.
    pub(crate) fn memory(self) -> u32 {
        match self {
            Self::Stock | Self::Rt | Self::Patched(_) => 0,
            Self::Debug | Self::PatchedDebug => 1536,
            Self::Kasan => 2048,
        }
    }

    /// Returns the processor that is emulated.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            // With five levels of page tables KASAN floods the console while the kernel boots,
            // before any module.
            Self::Kasan if Arch::asked() == Arch::Amd64 => "max,la57=off",
            _ => Arch::asked().cpu(),
        }
    }
}

/// A factor of all timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeoutMultiplier(pub(crate) u32);

impl TimeoutMultiplier {
    /// Returns the timeout of an action that takes `usual` on a stock kernel on a quiet machine.
    pub(crate) fn of(self, usual: Duration) -> Duration {
        usual * self.0
    }
}
