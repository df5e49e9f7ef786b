// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! System calls by name: a number means another call on each architecture.
//!
//! Scenarios name them, in expectations (`syscall=unshare`) and in steps (`$SYS_unshare`).

use crate::arch::Arch;
use syscalls::{aarch64, arm, x86, x86_64};

/// The calls that steps make by number. Perl has no names for them.
const OF_STEPS: [&str; 9] = [
    "clone",
    "clone3",
    "fsconfig",
    "fsmount",
    "fsopen",
    "getpriority",
    "open_tree",
    "setns",
    "unshare",
];

/// Calls that are newer than the tables. Of those from 424 on, each has one number everywhere.
const NEWER: [(&str, usize); 1] = [("open_tree_attr", 467)];

/// Returns the variables of steps: `SYS_unshare`, the number on the guest's architecture.
pub(crate) fn variables(arch: Arch) -> impl Iterator<Item = (String, String)> {
    OF_STEPS.into_iter().filter_map(move |name| {
        let number = match arch {
            Arch::Amd64 => name.parse::<x86_64::Sysno>().ok()?.id(),
            Arch::Arm64 => name.parse::<aarch64::Sysno>().ok()?.id(),
        };
        Some((format!("SYS_{name}"), number.to_string()))
    })
}

/// Returns whether `number` is the call `name` on the architecture that a record's `arch=` names.
/// C: `AUDIT_ARCH_*` in `include/uapi/linux/audit.h`.
pub(crate) fn is(arch: &str, number: &str, name: &str) -> bool {
    let Ok(number) = number.parse::<usize>() else {
        return false;
    };
    let found = match arch {
        "c000003e" => x86_64::Sysno::new(number).map(|call| call.name()),
        "40000003" => x86::Sysno::new(number).map(|call| call.name()),
        "c00000b7" => aarch64::Sysno::new(number).map(|call| call.name()),
        "40000028" => arm::Sysno::new(number).map(|call| call.name()),
        _ => None,
    };
    found == Some(name) || NEWER.contains(&(name, number))
}

/// Returns whether it is the name of a system call, on any of these architectures.
pub(crate) fn is_name(name: &str) -> bool {
    name.parse::<x86_64::Sysno>().is_ok()
        || name.parse::<x86::Sysno>().is_ok()
        || name.parse::<aarch64::Sysno>().is_ok()
        || NEWER.iter().any(|(newer, _)| *newer == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_another_number_on_each_architecture() {
        for (arch, number, name) in [
            ("c000003e", "272", "unshare"),
            ("c00000b7", "97", "unshare"),
            ("40000028", "337", "unshare"),
            ("40000003", "310", "unshare"),
            ("40000003", "346", "setns"),
            ("c000003e", "308", "setns"),
            ("c00000b7", "268", "setns"),
            ("c00000b7", "467", "open_tree_attr"),
        ] {
            assert!(is(arch, number, name), "{arch} {number} {name}");
        }
        assert!(!is("c00000b7", "272", "unshare"));
        assert!(is_name("open_tree_attr") && !is_name("unshar") && !is_name("272"));
    }

    #[test]
    fn steps_have_a_number_for_each_call_that_they_make() {
        for (arch, unshare) in [(Arch::Amd64, "272"), (Arch::Arm64, "97")] {
            let variables: Vec<_> = variables(arch).collect();
            assert_eq!(variables.len(), OF_STEPS.len());
            assert!(variables.contains(&("SYS_unshare".to_owned(), unshare.to_owned())));
        }
    }
}
