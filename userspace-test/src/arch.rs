// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The architectures of guests, as `--arch` or `DMNS_ARCH` asks for them.

use crate::prepare;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The environment variable that selects the architecture, here and in the scripts.
const VARIABLE: &str = "DMNS_ARCH";

/// The environment variable with the folder of the guests' programs, if they are not of this machine's
/// architecture.
pub(crate) const PROGRAMS: &str = "DMNS_PROGRAMS";

/// The architecture of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// x86-64, that of this machine.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Arch {
    /// Returns the architecture that the environment requests. [`Self::requested`] has refused other
    /// names.
    pub(crate) fn asked() -> Self {
        Self::requested().unwrap_or(Self::Amd64)
    }

    /// Returns the architecture that the environment requests, if there is such a one.
    pub(crate) fn requested() -> Result<Self> {
        let Some(asked) = std::env::var_os(VARIABLE).filter(|asked| !asked.is_empty()) else {
            return Ok(Self::Amd64);
        };
        let mut all = Self::value_variants().iter().copied();
        match all.find(|arch| asked == arch.name()) {
            Some(arch) => Ok(arch),
            None => bail!(
                "{VARIABLE}={}: there are amd64 and arm64",
                asked.to_string_lossy()
            ),
        }
    }

    /// Returns whether this program has guests of this architecture: `scripts/dmns-test.sh` has started
    /// it for that, or there is no need.
    pub(crate) fn is_here(self) -> bool {
        self == Self::asked() && (self == Self::Amd64 || std::env::var_os(PROGRAMS).is_some())
    }

    /// Starts this program again, with guests of this architecture. The script builds the guest's programs.
    pub(crate) fn start_again(self) -> Result<Infallible> {
        let project = prepare::project()?;
        ensure!(
            project.join("Cargo.toml").exists(),
            "guests of {} need programs that only a checkout builds, and {} is an installed package: use scripts/dmns-test.sh of a checkout",
            self.title(),
            project.display()
        );
        let script = project.join("scripts/dmns-test.sh");
        Err(Command::new(&script)
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, self.name())
            .env_remove(PROGRAMS)
            .exec())
        .with_context(|| format!("starting {}", script.display()))
    }

    /// Returns its name, as Debian has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns its name in messages.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Amd64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the option that a kernel for it has, and its name for ARCH=.
    pub(crate) fn option(self) -> (&'static str, &'static str) {
        match self {
            Self::Amd64 => ("X86_64", "x86_64"),
            Self::Arm64 => ("ARM64", "arm64"),
        }
    }

    /// Returns the image in a tree that was built, and make's target for it.
    pub(crate) fn image(self) -> (&'static str, &'static str) {
        match self {
            Self::Amd64 => ("arch/x86/boot/bzImage", "bzImage"),
            Self::Arm64 => ("arch/arm64/boot/Image", "Image"),
        }
    }

    /// Returns what programs and modules for it have in their header. C: `EM_X86_64`, `EM_AARCH64`.
    pub(crate) fn elf_machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }

    /// Returns the QEMU that emulates it.
    pub(crate) fn qemu(self) -> &'static str {
        match self {
            Self::Amd64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        }
    }

    /// Returns the machine that QEMU emulates.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "q35",
            Self::Arm64 => "virt,gic-version=3",
        }
    }

    /// Returns the processor that QEMU emulates on another one.
    ///
    /// On arm64, `max` spends most of its time on the signatures of pointers.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Self::Amd64 => "max",
            Self::Arm64 => "cortex-a57",
        }
    }

    /// Returns the name of the first serial port.
    pub(crate) fn console(self) -> &'static str {
        match self {
            Self::Amd64 => "ttyS0",
            Self::Arm64 => "ttyAMA0",
        }
    }
}
