// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! System calls by name: a number means another call on each architecture.

use super::Head;
use super::value::{Fields, enriched};

/// Returns the name of uname(2) for an architecture that `arch=` has in hexadecimal. C:
/// `AUDIT_ARCH_*` in `include/uapi/linux/audit.h`.
pub fn arch(number: &str) -> Option<&'static str> {
    Some(match u32::from_str_radix(number, 16).ok()? {
        0xc000_003e => "x86_64",
        0x4000_0003 => "i386",
        0xc000_00b7 => "aarch64",
        0x4000_0028 => "arm",
        0x28 => "armeb",
        0x8000_0016 => "s390x",
        0x16 => "s390",
        0xc000_0015 => "ppc64le",
        0x8000_0015 => "ppc64",
        0x14 => "ppc",
        0xc000_00f3 => "riscv64",
        0x4000_00f3 => "riscv32",
        0xc000_0102 => "loongarch64",
        0xc000_0008 => "mips64el",
        0x8000_0008 => "mips64",
        0x4000_0008 => "mipsel",
        0x8 => "mips",
        _ => return None,
    })
}

/// Returns the name of the system call `number` on `arch`.
pub fn name(arch: &str, number: &str) -> Option<&'static str> {
    use syscalls as of;
    let number: usize = number.parse().ok()?;
    match arch {
        // Bit 30: the x32 ABI.
        "x86_64" => of::x86_64::Sysno::new(number & !0x4000_0000).map(|call| call.name()),
        "i386" => of::x86::Sysno::new(number).map(|call| call.name()),
        "aarch64" | "loongarch64" => of::aarch64::Sysno::new(number).map(|call| call.name()),
        "arm" | "armeb" => of::arm::Sysno::new(number).map(|call| call.name()),
        "s390x" => of::s390x::Sysno::new(number).map(|call| call.name()),
        "ppc64le" | "ppc64" => of::powerpc64::Sysno::new(number).map(|call| call.name()),
        "riscv64" => of::riscv64::Sysno::new(number).map(|call| call.name()),
        _ => None,
    }
}

/// Returns the system call and the architecture of the SYSCALL record `head`: by auditd's names,
/// else by the kernel's tables, else by number.
pub fn of(head: &Head<'_>, record: &Fields<'_>) -> (Option<String>, Option<String>) {
    let raw = record.raw("arch");
    let known = enriched(head.enrichment, "ARCH")
        .or(raw.and_then(arch))
        .or(raw);
    let number = record.raw("syscall");
    let call = enriched(head.enrichment, "SYSCALL")
        .or_else(|| name(known?, number?))
        .or(number);
    (call.map(str::to_owned), known.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_another_call_on_each_architecture() {
        for (number, call, named) in [
            ("c000003e", "56", "clone"),
            ("c000003e", "272", "unshare"),
            ("c00000b7", "56", "openat"),
            ("c00000b7", "97", "unshare"),
            ("40000003", "310", "unshare"),
            ("80000016", "303", "unshare"),
            ("c0000015", "282", "unshare"),
            ("c00000f3", "97", "unshare"),
            ("40000028", "337", "unshare"),
        ] {
            let arch = arch(number).expect(number);
            assert_eq!(name(arch, call), Some(named), "{arch}");
        }
        assert_eq!(name("x86_64", "99999"), None);
        assert_eq!(name("x86_64", "?"), None);
        assert_eq!(arch("1"), None);
    }
}
