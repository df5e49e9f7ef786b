// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The types of record that this program knows: its own, and others of a log.

use dmns_audit_log::forms::offered;
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;

/// The type of a record. Numbers: C, `include/uapi/linux/audit.h` and libaudit's `audit-records.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// A record of the module, or of a kernel that writes them itself.
    Ours(RecordType),
    /// 1300: the system call of an event.
    Syscall,
    /// 1302: a path of an event.
    Path,
    /// 1307: the folder that its paths begin in.
    Cwd,
    /// 1309: the command line of a program that is started.
    Execve,
    /// 1327: the command line of a task.
    Proctitle,
    /// 1320: the end of an event.
    Eoe,
    /// 1400: a refusal of SELinux or AppArmor.
    Avc,
    /// 1700 to 1799 and 2100 to 2199: something unusual, such as a crash.
    Anomaly,
    /// 2500 to 2507: of guests.
    Virt(VirtType),
    /// 2000, `state=initialized`: the kernel came up.
    KernelBoot,
    /// 1127: the machine came up.
    SystemBoot,
    /// 1128: the machine goes down.
    SystemShutdown,
    /// Any other type.
    Other,
}

impl Type {
    /// Returns the type that a log writes as `name`: `SYSCALL`, `UNKNOWN[1385]` or `1300`.
    pub fn from_name(name: &[u8]) -> Self {
        let number = name
            .strip_prefix(b"UNKNOWN[")
            .and_then(|rest| rest.strip_suffix(b"]"))
            .unwrap_or(name);
        if number.first().is_some_and(u8::is_ascii_digit) {
            let text = std::str::from_utf8(number).ok();
            if let Some(number) = text.and_then(|text| text.parse().ok()) {
                return Self::from_number(number);
            }
        }
        match name {
            b"SYSCALL" => Self::Syscall,
            b"PATH" => Self::Path,
            b"CWD" => Self::Cwd,
            b"EXECVE" => Self::Execve,
            b"PROCTITLE" => Self::Proctitle,
            b"EOE" => Self::Eoe,
            b"AVC" => Self::Avc,
            b"SYSTEM_BOOT" => Self::SystemBoot,
            b"SYSTEM_SHUTDOWN" => Self::SystemShutdown,
            _ if name.starts_with(b"VIRT_") => {
                VirtType::from_name(name).map_or(Self::Other, Self::Virt)
            }
            _ if name.starts_with(b"ANOM_") => Self::Anomaly,
            _ if name.starts_with(b"DM_") || name.starts_with(b"NS_") => RecordType::ALL
                .into_iter()
                .find(|ty| ty.name().as_bytes() == name)
                .map_or(Self::Other, Self::Ours),
            _ => Self::Other,
        }
    }

    /// Returns the type of a record that a log calls `name`, with the fields `body`.
    #[inline]
    pub fn of(name: &[u8], body: &[u8]) -> Self {
        match Self::from_name(name) {
            Self::Other if matches!(body, [b'm' | b's', ..]) => Self::by_fields(name, body),
            Self::Other if matches!(name, [b'N' | b'U' | b'1', ..]) => offered(name)
                .and_then(|ty| ty.record_type(body))
                .map_or(Self::Other, Self::Ours),
            ty => ty,
        }
    }

    /// Returns the type of a record with a number that has several meanings.
    fn by_fields(name: &[u8], body: &[u8]) -> Self {
        match name {
            b"KERNEL" | b"2000" | b"UNKNOWN[2000]" if body.starts_with(b"state=initialized") => {
                Self::KernelBoot
            }
            b"URINGOP" | b"1336" | b"UNKNOWN[1336]" if body.starts_with(b"module=") => {
                Self::Ours(RecordType::DmCtrl)
            }
            b"OPENAT2" | b"1337" | b"UNKNOWN[1337]" if body.starts_with(b"module=") => {
                Self::Ours(RecordType::DmEvent)
            }
            _ => Self::Other,
        }
    }

    /// Returns the topic of a record of this type; `None` for other records.
    pub fn topic(self) -> Option<&'static str> {
        match self {
            Self::Ours(RecordType::DmCtrl | RecordType::DmEvent) => Some("dm"),
            Self::Ours(RecordType::NsInit(_) | RecordType::NsDel(_)) => Some("ns"),
            Self::Virt(_) => Some("virt"),
            _ => None,
        }
    }

    /// Returns whether `name` is the type of a device-mapper record in the first patches of 2021.
    /// It can be the number, or the name that this number has now.
    pub fn is_first_number(name: &[u8]) -> bool {
        let number = [
            &b"1336"[..],
            b"1337",
            b"UNKNOWN[1336]",
            b"UNKNOWN[1337]",
            b"URINGOP",
            b"OPENAT2",
        ];
        number.contains(&name)
    }

    /// Returns its name, if it has only one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Ours(ty) => ty.name(),
            Self::Syscall => "SYSCALL",
            Self::Path => "PATH",
            Self::Cwd => "CWD",
            Self::Execve => "EXECVE",
            Self::Proctitle => "PROCTITLE",
            Self::Eoe => "EOE",
            Self::KernelBoot => "KERNEL",
            Self::Avc => "AVC",
            Self::Virt(ty) => ty.name(),
            Self::SystemBoot => "SYSTEM_BOOT",
            Self::SystemShutdown => "SYSTEM_SHUTDOWN",
            Self::Anomaly | Self::Other => return None,
        })
    }

    /// Returns the type with this number.
    pub fn from_number(number: u16) -> Self {
        match number {
            1300 => Self::Syscall,
            1302 => Self::Path,
            1307 => Self::Cwd,
            1309 => Self::Execve,
            1320 => Self::Eoe,
            1327 => Self::Proctitle,
            1400 => Self::Avc,
            1700..=1799 | 2100..=2199 => Self::Anomaly,
            2500..=2507 => VirtType::from_number(number).map_or(Self::Other, Self::Virt),
            1127 => Self::SystemBoot,
            1128 => Self::SystemShutdown,
            _ => RecordType::from_number(number).map_or(Self::Other, Self::Ours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_uapi::ns::Kind;

    #[test]
    fn a_type_is_found_by_each_of_its_spellings() {
        for (names, ty) in [
            (["SYSCALL", "1300", "UNKNOWN[1300]"], Type::Syscall),
            (
                ["VIRT_RESOURCE", "2501", "UNKNOWN[2501]"],
                Type::Virt(VirtType::Resource),
            ),
            (["ANOM_ABEND", "1701", "UNKNOWN[2100]"], Type::Anomaly),
            (
                ["DM_EVENT", "1339", "UNKNOWN[1339]"],
                Type::Ours(RecordType::DmEvent),
            ),
            (["DM_OTHER", "UNKNOWN[", "1300000"], Type::Other),
            (["", "MMAP", "UNKNOWN[]"], Type::Other),
            (["PATH", "1302", "UNKNOWN[1302]"], Type::Path),
            (["PROCTITLE", "1327", "UNKNOWN[1327]"], Type::Proctitle),
        ] {
            for name in names {
                assert_eq!(Type::from_name(name.as_bytes()), ty, "{name}");
            }
            if let Some(name) = ty.name() {
                assert_eq!(Type::from_name(name.as_bytes()), ty, "{name}");
            }
        }
        for (name, body, ty) in [
            (
                "1336",
                "module=integrity op=ctr",
                Type::Ours(RecordType::DmCtrl),
            ),
            (
                "OPENAT2",
                "module=integrity op=x",
                Type::Ours(RecordType::DmEvent),
            ),
            ("OPENAT2", "oflag=0 mode=0 resolve=0x0", Type::Other),
            (
                "2000",
                "state=initialized audit_enabled=0 res=1",
                Type::KernelBoot,
            ),
            ("2000", "state=other", Type::Other),
            (
                "NS_DEL",
                "pid=1 nstype=net res=1\x1dUID=\"root\"",
                Type::Ours(RecordType::NsDel(Kind::Net)),
            ),
            (
                "UNKNOWN[1397]",
                "pid=1 nstype=uts res=1",
                Type::Ours(RecordType::NsInit(Kind::Uts)),
            ),
            ("NS_INIT", "pid=1 nstype=disk res=1", Type::Other),
            ("NS_INIT", "pid=1 res=1", Type::Other),
        ] {
            assert_eq!(
                Type::of(name.as_bytes(), body.as_bytes()),
                ty,
                "{name} {body}"
            );
        }
        for ours in RecordType::ALL {
            assert_eq!(Type::from_name(ours.name().as_bytes()), Type::Ours(ours));
            assert_eq!(Type::from_number(ours.number()), Type::Ours(ours));
        }
    }
}
