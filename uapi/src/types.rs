// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The record types: numbers, names, and their sources.
//!
//! C header: `uapi/include/linux/dmns_audit.h` for the new ones; `include/uapi/linux/audit.h` for
//! `AUDIT_DM_CTRL` and `AUDIT_DM_EVENT`.

use super::ns::Kind;

/// The type of a record that dmns-audit emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// A device-mapper target was created or destroyed.
    DmCtrl,
    /// A device-mapper target found an integrity violation.
    DmEvent,
    /// A namespace was created.
    NsInit(Kind),
    /// A namespace was deleted.
    NsDel(Kind),
    /// The eight namespaces of a task.
    NsInfo,
}

/// Number of record types.
pub const COUNT: usize = 3 + 2 * Kind::ALL.len();

impl RecordType {
    /// Every record type, in the order of [`RecordType::index`].
    pub const ALL: [Self; COUNT] = {
        let mut all = [Self::DmCtrl; COUNT];
        all[1] = Self::DmEvent;
        let mut k = 0;
        while k < Kind::ALL.len() {
            all[2 + k] = Self::NsInit(Kind::ALL[k]);
            all[2 + Kind::ALL.len() + k] = Self::NsDel(Kind::ALL[k]);
            k += 1;
        }
        all[COUNT - 1] = Self::NsInfo;
        all
    };

    /// Returns the position in [`RecordType::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::DmCtrl => 0,
            Self::DmEvent => 1,
            Self::NsInit(kind) => 2 + kind as usize,
            Self::NsDel(kind) => 2 + Kind::ALL.len() + kind as usize,
            Self::NsInfo => COUNT - 1,
        }
    }

    /// Returns the number and the name.
    ///
    /// A type keeps its number: a new kind of namespace takes the next free ones. Upstream has
    /// taken 1300..=1339 of the kernel-event range 1300..=1399; the namespace records stay clear of
    /// what it will assign next.
    const fn row(self) -> (u16, &'static str) {
        match self {
            Self::DmCtrl => (1338, "DM_CTRL"),
            Self::DmEvent => (1339, "DM_EVENT"),
            Self::NsInit(Kind::Mnt) => (1380, "NS_INIT_MNT"),
            Self::NsInit(Kind::Uts) => (1381, "NS_INIT_UTS"),
            Self::NsInit(Kind::Ipc) => (1382, "NS_INIT_IPC"),
            Self::NsInit(Kind::User) => (1383, "NS_INIT_USER"),
            Self::NsInit(Kind::Pid) => (1384, "NS_INIT_PID"),
            Self::NsInit(Kind::Net) => (1385, "NS_INIT_NET"),
            Self::NsInit(Kind::Cgroup) => (1386, "NS_INIT_CGROUP"),
            Self::NsInit(Kind::Time) => (1387, "NS_INIT_TIME"),
            Self::NsDel(Kind::Mnt) => (1388, "NS_DEL_MNT"),
            Self::NsDel(Kind::Uts) => (1389, "NS_DEL_UTS"),
            Self::NsDel(Kind::Ipc) => (1390, "NS_DEL_IPC"),
            Self::NsDel(Kind::User) => (1391, "NS_DEL_USER"),
            Self::NsDel(Kind::Pid) => (1392, "NS_DEL_PID"),
            Self::NsDel(Kind::Net) => (1393, "NS_DEL_NET"),
            Self::NsDel(Kind::Cgroup) => (1394, "NS_DEL_CGROUP"),
            Self::NsDel(Kind::Time) => (1395, "NS_DEL_TIME"),
            Self::NsInfo => (1396, "NS_INFO"),
        }
    }

    /// Returns the number on the audit netlink socket.
    pub const fn number(self) -> u16 {
        self.row().0
    }

    /// Returns the name, without the `AUDIT_` that C puts before it.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the type with this number, if it is one of ours.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.number() == number)
    }

    /// Returns the type that a log or a user writes as `name`: `NS_INIT_NET`, `UNKNOWN[1385]` or
    /// `1385`.
    pub fn from_name(name: &str) -> Option<Self> {
        let number = name
            .strip_prefix("UNKNOWN[")
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(name);
        match number.parse() {
            Ok(number) => Self::from_number(number),
            Err(_) => Self::ALL.into_iter().find(|t| t.name() == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::{format, string::String, vec::Vec};

    #[test]
    fn all_is_in_index_order_with_distinct_numbers() {
        for (i, t) in RecordType::ALL.into_iter().enumerate() {
            assert_eq!(t.index(), i, "{}", t.name());
            assert_eq!(RecordType::from_number(t.number()), Some(t));
        }
        assert_eq!(RecordType::from_number(1340), None);
    }

    /// Logs have these numbers: another kind of namespace must not change them.
    #[test]
    fn the_numbers_of_eight_kinds_are_those_of_logs() {
        const KINDS: [Kind; 8] = [
            Kind::Mnt,
            Kind::Uts,
            Kind::Ipc,
            Kind::User,
            Kind::Pid,
            Kind::Net,
            Kind::Cgroup,
            Kind::Time,
        ];
        for (kind, at) in KINDS.into_iter().zip(0..) {
            assert_eq!(RecordType::NsInit(kind).number(), 1380 + at, "{kind:?}");
            assert_eq!(RecordType::NsDel(kind).number(), 1388 + at, "{kind:?}");
        }
        assert_eq!(RecordType::NsInfo.number(), 1396);
    }

    #[test]
    fn a_type_is_found_by_each_of_its_spellings() {
        for t in RecordType::ALL {
            assert_eq!(RecordType::from_name(t.name()), Some(t));
            assert_eq!(RecordType::from_name(&format!("{}", t.number())), Some(t));
            assert_eq!(
                RecordType::from_name(&format!("UNKNOWN[{}]", t.number())),
                Some(t)
            );
        }
        for wrong in ["", "SYSCALL", "UNKNOWN[1385", "UNKNOWN[]", "UNKNOWN[1300]"] {
            assert_eq!(RecordType::from_name(wrong), None, "{wrong}");
        }
    }

    /// The C header says the same as [`RecordType::ALL`]: every `#define AUDIT_<NAME> <number>`.
    #[test]
    fn the_c_header_is_equal() {
        let header = include_str!("../include/linux/dmns_audit.h");
        let defines: Vec<(String, u16)> = header
            .lines()
            .filter_map(|line| line.strip_prefix("#define AUDIT_"))
            .map(|rest| {
                let mut words = rest.split_whitespace();
                let name = words.next().expect("a name");
                let number = words.next().expect("a number").parse().expect("decimal");
                (String::from(name), number)
            })
            .collect();
        let ours: Vec<(String, u16)> = RecordType::ALL
            .into_iter()
            .map(|t| (String::from(t.name()), t.number()))
            .collect();
        assert_eq!(defines, ours);
    }
}
