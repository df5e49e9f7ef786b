// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A kernel's configuration, and what it lacks.

use crate::kind::Kind;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The options that the guest needs, each with the reason. All others are of the module or of
/// scenarios.
const GUEST: [(&str, &str); 20] = [
    ("64BIT", "its programs"),
    ("BINFMT_ELF", "its programs"),
    ("BINFMT_SCRIPT", "its commands"),
    ("BLK_DEV_INITRD", "its first process"),
    ("DEVTMPFS", "its devices"),
    ("PROC_FS", "its tools"),
    ("SYSFS", "its tools"),
    ("TMPFS", "its files"),
    ("UNIX", "auditd"),
    ("NET", "auditd"),
    ("AUDIT", "auditd"),
    ("AUDITSYSCALL", "the events of records"),
    ("PCI", "its disk"),
    ("VIRTIO_PCI", "its disk"),
    ("VIRTIO_BLK", "its disk"),
    ("VIRTIO_CONSOLE", "the connection to the harness"),
    ("EROFS_FS", "its disk"),
    ("OVERLAY_FS", "its disk"),
    ("BLK_DEV_LOOP", "mappings"),
    ("BLK_DEV_DM", "mappings"),
];

/// The options that the guest needs by its architecture, which is an option too.
const GUEST_OF: [(&str, &[(&str, &str)]); 2] = [
    ("X86_64", &[("SERIAL_8250_CONSOLE", "its console")]),
    (
        "ARM64",
        &[
            ("SERIAL_AMBA_PL011_CONSOLE", "its console"),
            ("PCI_HOST_GENERIC", "its disk"),
        ],
    ),
];

/// The options that must not be set, each with the reason.
const REFUSED: [(&str, &str); 3] = [
    ("MODULE_SIG_FORCE", "the guest's modules have no signature"),
    ("TRIM_UNUSED_KSYMS", "the module calls others"),
    (
        "ARM64_16K_PAGES",
        "the processor that is emulated has pages of 4 and 64 KiB",
    ),
];

/// The option that must not be set where the module is built. LTO_NONE is the other choice.
const REFUSED_TO_BUILD: (&str, &str) = ("LTO_CLANG", "GNU ld links the module");

/// The options that the module needs: those of `scripts/build/check-kdir.sh`.
const MODULE: [&str; 6] = [
    "RUST",
    "AUDITSYSCALL",
    "KPROBES",
    "DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "PREEMPT_COUNT",
    "SECURITYFS",
];

/// The configuration that guests are tested with, over `x86_64_defconfig` and `kvm_guest.config`.
const FRAGMENT: &str = include_str!("../kernels/common.config");

/// What it needs in addition over the `defconfig` of another architecture.
const OWN: &str = include_str!("../kernels/own.config");

/// The heading of the part of it that only makes the kernel smaller.
const SMALLER: &str = "# Not needed\n";

/// Returns the fragment that makes a configuration fit, with that part if `small`.
pub(crate) fn fragment(small: bool) -> String {
    let common = match FRAGMENT.split_once(SMALLER) {
        Some((needed, _)) if !small => needed.trim_end(),
        _ => FRAGMENT.trim_end(),
    };
    format!("{}\n\n{common}", OWN.trim_end())
}

/// The options that are set, by name, without `CONFIG_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config(BTreeMap<String, String>);

impl Config {
    /// Reads a file: `.config`, or `include/config/auto.conf`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Returns a configuration with these options built in.
    #[cfg(test)]
    pub(crate) fn of<'a>(options: impl Iterator<Item = &'a str>) -> Self {
        Self(
            options
                .map(|name| (name.to_owned(), "y".to_owned()))
                .collect(),
        )
    }

    fn parse(text: &str) -> Self {
        let options = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            // auto.conf has no quotes.
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        });
        Self(options.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Returns whether an option is built in or a module.
    pub(crate) fn has(&self, option: &str) -> bool {
        matches!(self.0.get(option).map(String::as_str), Some("y" | "m"))
    }

    /// Returns the first option that differs from `other`: name, value, other value.
    pub(crate) fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let names = self.0.keys().chain(other.0.keys());
        let value = |config: &Self, name| config.0.get(name).map_or("n", |v| v).to_owned();
        names
            .map(|name| (name.clone(), value(self, name), value(other, name)))
            .find(|(_, one, another)| one != another)
    }

    /// Returns the options of the guest, and with `module` those of the module, that are not set:
    /// "CONFIG_X (its disk)".
    pub(crate) fn lacks(&self, module: bool) -> Vec<String> {
        let of_arch = GUEST_OF.iter().filter(|(arch, _)| self.has(arch));
        let guest = GUEST
            .iter()
            .chain(of_arch.flat_map(|(_, options)| *options))
            .copied();
        let module = MODULE
            .iter()
            .filter(|_| module)
            .map(|name| (*name, "the module"));
        let mut lacks: Vec<String> = Vec::new();
        for (option, what) in guest.chain(module) {
            let text = format!("CONFIG_{option} ({what})");
            if !self.has(option)
                && !lacks
                    .iter()
                    .any(|known| known.starts_with(&format!("CONFIG_{option} ")))
            {
                lacks.push(text);
            }
        }
        lacks
    }

    /// Returns the options that are set, and must not be, with `built` where the module is built:
    /// "CONFIG_X (the reason)".
    pub(crate) fn refused(&self, built: bool) -> Vec<String> {
        REFUSED
            .iter()
            .chain(built.then_some(&REFUSED_TO_BUILD))
            .filter(|(option, _)| self.has(option))
            .map(|(option, why)| format!("CONFIG_{option} ({why})"))
            .collect()
    }

    /// Returns the kind of kernel: how slow it is, and whether it complains.
    pub(crate) fn kind(&self) -> Kind {
        if self.has("KASAN") {
            Kind::Kasan
        } else if self.has("PROVE_LOCKING") || self.has("DEBUG_KMEMLEAK") {
            Kind::Debug
        } else if self.has("PREEMPT_RT") {
            Kind::Rt
        } else {
            Kind::Stock
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "CONFIG_CC_VERSION_TEXT=\"gcc 14\"\nCONFIG_64BIT=y\n# CONFIG_RUST is not set\nCONFIG_DM_CRYPT=m\n";

    #[test]
    fn options_that_are_not_set_are_named_with_what_needs_them() {
        let config = Config::parse(TREE);
        assert!(config.has("DM_CRYPT") && config.has("64BIT"));
        assert!(!config.has("RUST") && !config.has("CC_VERSION_TEXT"));
        let lacks = config.lacks(true);
        assert_eq!(lacks[0], "CONFIG_BINFMT_ELF (its programs)");
        assert!(lacks.contains(&"CONFIG_RUST (the module)".to_owned()));
        assert!(!config.lacks(false).iter().any(|lack| lack.contains("RUST")));
        let arm = Config::parse("CONFIG_ARM64=y\nCONFIG_MODULE_SIG_FORCE=y\n");
        let has = |config: &Config, option| {
            let lacks = config.lacks(false);
            lacks.iter().any(|lack| lack.contains(option))
        };
        assert!(has(&arm, "PL011") && !has(&arm, "8250"));
        let x86 = Config::parse("CONFIG_X86_64=y\n");
        assert!(has(&x86, "8250") && !has(&x86, "PL011"));
        assert_eq!(x86.refused(true), [""; 0]);
        let why = "CONFIG_MODULE_SIG_FORCE (the guest's modules have no signature)";
        assert_eq!(arm.refused(true), [why]);
        let lto = Config::parse("CONFIG_LTO_CLANG=y\n");
        assert_eq!(lto.refused(false), [""; 0]);
        assert_eq!(
            lto.refused(true),
            ["CONFIG_LTO_CLANG (GNU ld links the module)"]
        );
        let both = lacks
            .iter()
            .filter(|lack| lack.contains("CONFIG_AUDITSYSCALL "))
            .count();
        assert_eq!(both, 1, "{lacks:?}");
    }

    #[test]
    fn a_changed_option_is_found_whichever_side_has_it() {
        let built = Config::parse(TREE);
        assert_eq!(built.difference(&built.clone()), None);
        let auto = Config::parse(&(TREE.replace('"', "") + "CONFIG_INITRAMFS_SOURCE=\"\"\n"));
        assert_eq!(built.difference(&auto), None, "auto.conf has no quotes");
        let text = |name: &str, old: &str, new: &str| {
            Some((name.to_owned(), old.to_owned(), new.to_owned()))
        };
        let less = Config::parse(&TREE.replace("CONFIG_DM_CRYPT=m\n", ""));
        assert_eq!(less.difference(&built), text("DM_CRYPT", "n", "m"));
        assert_eq!(built.difference(&less), text("DM_CRYPT", "m", "n"));
    }

    #[test]
    fn the_module_needs_what_check_kdir_checks() {
        let script = include_str!("../../scripts/build/check-kdir.sh");
        let (_, list) = script.split_once("for option in ").expect("a list");
        let (list, _) = list.split_once("; do").expect("its end");
        let checked: Vec<_> = list
            .split_whitespace()
            .filter(|word| *word != "\\")
            .collect();
        assert_eq!(checked, MODULE);
    }

    #[test]
    fn the_fragment_has_what_is_not_in_defconfig_and_can_be_had_without_what_makes_it_small() {
        let (needed, all) = (fragment(false), fragment(true));
        assert!(all.starts_with(&needed) && all.len() > needed.len());
        let config = Config::parse(&needed);
        for option in ["RUST", "DM_AUDIT", "SECURITYFS", "EROFS_FS", "VIRTIO_BLK"] {
            assert!(config.has(option), "{option}");
        }
        assert_eq!(config.refused(true), [""; 0]);
        for (option, _) in REFUSED {
            assert!(needed.contains(&format!("# CONFIG_{option} is not set")));
        }
        // What these depend on is not set in the defconfig of arm64.
        for (option, dependency) in [
            ("FUNCTION_TRACER", "CONFIG_FTRACE=y\n"),
            ("DEBUG_INFO_BTF", "# CONFIG_DEBUG_INFO_REDUCED is not set\n"),
            ("PROC_EVENTS", "CONFIG_CONNECTOR=y\n"),
        ] {
            assert!(
                config.has(option) && needed.contains(dependency),
                "{option}"
            );
        }
        assert!(!needed.contains("CONFIG_SOUND") && all.contains("# CONFIG_SOUND is not set"));
    }

    #[test]
    fn the_checks_of_a_kernel_say_how_slow_it_is() {
        for (option, kind) in [
            ("KASAN", Kind::Kasan),
            ("PROVE_LOCKING", Kind::Debug),
            ("PREEMPT_RT", Kind::Rt),
            ("SMP", Kind::Stock),
        ] {
            assert_eq!(Config::parse(&format!("CONFIG_{option}=y\n")).kind(), kind);
        }
    }
}
