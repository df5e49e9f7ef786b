// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The records of guests, which user space writes: a virtualization manager such as libvirt, or
//! `dmns-audit-record run-guest`.
//!
//! - [`layout`]: which fields each record has, in which order, with which syntax; made of
//!   `libvirt`, `oci` and what both need, `shape`.
//! - [`text`]: writes them.
//! - [`container`]: writes the records of a container.
//!
//! The audit project's "SPEC Virtualization Manager Guest Lifecycle Events" defines the records and
//! their order. libvirt writes them in `src/conf/domain_audit.c`. libaudit appends its fields, and
//! the kernel puts the whole into `msg='...'`.

pub mod container;
pub mod layout;
mod libvirt;
mod oci;
mod shape;
pub mod text;

/// The type of a record of guests. Numbers: libaudit's `audit-records.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VirtType {
    /// A guest was started or stopped.
    Control,
    /// A resource was attached to a guest, or detached from it.
    Resource,
    /// The name of a guest and its security label: a start begins with it.
    MachineId,
    /// The integrity check of a guest's image.
    IntegrityCheck,
    /// A guest's image was created.
    Create,
    /// A guest's image was destroyed.
    Destroy,
    /// A guest came from another host.
    MigrateIn,
    /// A guest went to another host.
    MigrateOut,
}

impl VirtType {
    /// Every type, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Control,
        Self::Resource,
        Self::MachineId,
        Self::IntegrityCheck,
        Self::Create,
        Self::Destroy,
        Self::MigrateIn,
        Self::MigrateOut,
    ];

    /// Returns the number on the audit netlink socket.
    pub const fn number(self) -> u16 {
        2500 + self as u16
    }

    /// Returns the name, without the `AUDIT_` that C puts before it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "VIRT_CONTROL",
            Self::Resource => "VIRT_RESOURCE",
            Self::MachineId => "VIRT_MACHINE_ID",
            Self::IntegrityCheck => "VIRT_INTEGRITY_CHECK",
            Self::Create => "VIRT_CREATE",
            Self::Destroy => "VIRT_DESTROY",
            Self::MigrateIn => "VIRT_MIGRATE_IN",
            Self::MigrateOut => "VIRT_MIGRATE_OUT",
        }
    }

    /// Returns the type with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.number() == number)
    }

    /// Returns the type with this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|ty| ty.name().as_bytes() == name)
    }
}
