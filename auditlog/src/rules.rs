// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rules beyond a single field: the operations, the records that share an event, and the source of
//! each rule.

use crate::contract::{Field, Name, Syntax};
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;

/// The relation of a record to the other records of its event, which have the same stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// It shares its event with the `SYSCALL` record of its cause, if the kernel audits system
    /// calls.
    Syscall,
    /// It is alone in its event, or in the event of the system call that was running.
    Free,
    /// It shares its event with the record that it explains.
    Companion,
}

impl Grouping {
    /// Returns a description, for messages.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Syscall => "shares the serial number of the SYSCALL that caused it",
            Self::Free => "is alone in its event, or shares the serial number of a SYSCALL",
            Self::Companion => "shares the serial number of the record that it explains",
        }
    }
}

/// An operation (`op=`) of a device-mapper record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// `module=`: the target.
    pub module: &'static str,
    /// `op=`.
    pub name: &'static str,
    /// The record type that has it.
    pub ty: RecordType,
    /// Its meaning.
    pub meaning: &'static str,
    /// The device that `dev=` names.
    pub dev: Dev,
    /// The unit of `sector=`.
    pub unit: Unit,
}

/// The device that `dev=` names in a device-mapper record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dev {
    /// The mapped device.
    Mapped,
    /// The device below it, which has the data.
    Underlying,
    /// The mapped device, or the device below it in inline mode.
    Either,
}

/// The unit of `sector=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing: the field is `?` or missing.
    None,
    /// Sectors of 512 bytes.
    Sector,
    /// Data blocks, as large as the target's table says.
    Block,
}

const fn ctrl(module: &'static str, name: &'static str) -> Op {
    Op {
        module,
        name,
        ty: RecordType::DmCtrl,
        meaning: match name.as_bytes() {
            b"ctr" => "the mapping's table was loaded",
            _ => "the mapping's table was destroyed",
        },
        dev: Dev::Mapped,
        unit: Unit::None,
    }
}

const fn event(
    module: &'static str,
    name: &'static str,
    meaning: &'static str,
    dev: Dev,
    unit: Unit,
) -> Op {
    Op {
        module,
        name,
        ty: RecordType::DmEvent,
        meaning,
        dev,
        unit,
    }
}

/// Every operation that the targets of the kernel's tree record.
///
/// C: the callers of `dm_audit_log_*()` in `drivers/md/dm-integrity.c`, `dm-crypt.c`,
/// `dm-verity-target.c`.
pub const OPS: [Op; 14] = [
    ctrl("integrity", "ctr"),
    ctrl("integrity", "dtr"),
    ctrl("crypt", "ctr"),
    ctrl("crypt", "dtr"),
    ctrl("verity", "ctr"),
    ctrl("verity", "dtr"),
    event(
        "integrity",
        "integrity-checksum",
        "data does not match its checksum",
        Dev::Either,
        Unit::Sector,
    ),
    event(
        "integrity",
        "mac-superblock",
        "the superblock does not match its MAC",
        Dev::Mapped,
        Unit::None,
    ),
    event(
        "integrity",
        "mac-journal",
        "a journal sector does not match its MAC",
        Dev::Mapped,
        Unit::None,
    ),
    event(
        "integrity",
        "integrity-replay-journal",
        "journalled data does not match its checksum",
        Dev::Mapped,
        Unit::None,
    ),
    event(
        "crypt",
        "integrity-aead",
        "data does not match its authentication tag",
        Dev::Underlying,
        Unit::Sector,
    ),
    event(
        "verity",
        "verify-data",
        "a data block does not match its hash",
        Dev::Underlying,
        Unit::Block,
    ),
    event(
        "verity",
        "verify-metadata",
        "a hash block does not match its hash; the number is that of the data block looked up",
        Dev::Underlying,
        Unit::Block,
    ),
    event(
        "verity",
        "max-corrupted-errors",
        "so many blocks are corrupted that verity reports no more",
        Dev::Mapped,
        Unit::None,
    ),
];

/// Returns the operation `name` of the target `module`, if the kernel's tree has it.
pub fn op(module: &str, name: &str) -> Option<&'static Op> {
    OPS.iter().find(|op| op.module == module && op.name == name)
}

/// Returns the relation of a record of type `ty` to the others of its event. `op` is the value of
/// its `op=`, if it has one.
pub fn grouping(ty: RecordType, op: Option<&str>) -> Grouping {
    match ty {
        // A table is loaded by an ioctl; it can be destroyed by a worker.
        RecordType::DmCtrl if op == Some("ctr") => Grouping::Syscall,
        RecordType::NsInit(_) => Grouping::Syscall,
        RecordType::NsInfo => Grouping::Companion,
        RecordType::DmCtrl | RecordType::DmEvent | RecordType::NsDel(_) => Grouping::Free,
    }
}

/// Returns a description of the relation of records of type `ty` to the others of their event.
pub fn describe_grouping(ty: RecordType) -> &'static str {
    match ty {
        RecordType::DmCtrl => {
            "a ctr shares the serial number of the SYSCALL that caused it; a dtr may stand alone"
        }
        ty => grouping(ty, None).describe(),
    }
}

/// Returns the source of the format of records of type `ty`.
pub const fn source(ty: RecordType) -> &'static str {
    match ty {
        RecordType::DmCtrl => "dm_audit_log_ti() in drivers/md/dm-audit.c",
        RecordType::DmEvent => "dm_audit_log_bio() and dm_audit_log_ti() in drivers/md/dm-audit.c",
        RecordType::NsInit(_) => "Namespace::init_tail() in uapi/src/ns.rs",
        RecordType::NsDel(_) => "Namespace::del_tail() in uapi/src/ns.rs",
        RecordType::NsInfo => "docs/reference/records.md",
    }
}

/// Returns the meaning of a record of type `ty`.
pub const fn meaning(ty: RecordType) -> &'static str {
    match ty {
        RecordType::DmCtrl => "a device-mapper target was constructed or destroyed",
        RecordType::DmEvent => "a device-mapper target found a violation",
        RecordType::NsInit(kind) => match kind {
            Kind::Mnt => "a mount namespace was created",
            Kind::Uts => "a UTS namespace was created",
            Kind::Ipc => "an IPC namespace was created",
            Kind::User => "a user namespace was created",
            Kind::Pid => "a PID namespace was created",
            Kind::Net => "a network namespace was created",
            Kind::Cgroup => "a cgroup namespace was created",
            Kind::Time => "a time namespace was created",
        },
        RecordType::NsDel(kind) => match kind {
            Kind::Mnt => "a mount namespace was deleted",
            Kind::Uts => "a UTS namespace was deleted",
            Kind::Ipc => "an IPC namespace was deleted",
            Kind::User => "a user namespace was deleted",
            Kind::Pid => "a PID namespace was deleted",
            Kind::Net => "a network namespace was deleted",
            Kind::Cgroup => "a cgroup namespace was deleted",
            Kind::Time => "a time namespace was deleted",
        },
        RecordType::NsInfo => "the namespaces of the task of this event",
    }
}

/// Returns a value that `field` may have.
pub const fn example(field: &Field) -> &'static str {
    let name = match field.name {
        Name::Fixed(name) => name,
        Name::Ns(_) | Name::OldNs(_) => "",
    };
    match (name.as_bytes(), field.syntax) {
        (b"op", _) => "ctr",
        (b"pid" | b"ppid", _) => "3819",
        (b"tty", _) => "pts2",
        (b"ses", _) => "3",
        (b"subj", _) => "unconfined",
        (b"exe", Syntax::UntrustedOrUnknown) => "\"/usr/sbin/libvirtd\"",
        (b"exe", _) => "\"/usr/sbin/dmsetup\"",
        (b"virt", _) => "qemu",
        (b"reason", _) => "start",
        (b"vm", _) => "\"guest\"",
        (b"resrc", _) => "disk",
        (b"class", _) => "path",
        (b"bus", _) => "usb",
        (b"category", _) => "pty",
        (b"model", _) => "dac",
        (b"mechanism", _) => "dm-verity",
        (b"runtime", _) => "\"crun\"",
        (b"image", _) => "\"docker.io/library/nginx:1\"",
        (b"pod", _) => "\"shop\"",
        (b"pid-ns", _) => "4026532535",
        (b"status", _) => "137",
        (b"action", _) => "none",
        (b"vm-ctx" | b"img-ctx", _) => "+0:+0",
        (b"hostname" | b"addr" | b"terminal", _) => "?",
        (
            b"old-disk" | b"old-fs" | b"old-rng" | b"old-chardev" | b"old-smartcard" | b"old-net",
            _,
        ) => "\"?\"",
        (b"new-net", _) => "\"52:54:00:00:00:01\"",
        (b"new-rng", _) => "\"/dev/urandom\"",
        (_, Syntax::Word) => "integrity",
        (_, Syntax::U32) => "1000",
        (_, Syntax::U64) => "21",
        (_, Syntax::I32) => "3",
        (_, Syntax::Sector) => "77480",
        (_, Syntax::DevDecimal) => "254:3",
        (_, Syntax::DevHex) => "00:04",
        (_, Syntax::Untrusted | Syntax::UntrustedOrNull) => "\"dmsetup\"",
        (_, Syntax::Quoted) => "'success'",
        (_, Syntax::OldNamespace) => "-7",
        (_, Syntax::Result | Syntax::Success) => "1",
        (_, Syntax::I64) => "65536",
        (_, Syntax::Uuid) => "11111111-2222-3333-4444-555555555555",
        (_, Syntax::Mac) => "52:54:00:00:00:01",
        (_, Syntax::Rdev) => "0A:C8",
        (_, Syntax::MajorHex) => "88",
        (_, Syntax::Acl) => "rw",
        (_, Syntax::UntrustedOrUnknown) => "?",
        (_, Syntax::Outcome) => "success",
        (_, Syntax::Identifier) => {
            "9a1d9f7b3d1c5e60f1b2a3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"
        }
        (_, Syntax::U64OrUnknown) => "21",
        (_, Syntax::NsType) => "net",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::layout;
    use crate::forms::{Form, OFFERED};

    #[test]
    fn every_example_is_accepted_by_its_field() {
        for ty in RecordType::ALL {
            for form in [Form::TypePerKind, Form::Offered(&OFFERED[0])] {
                for field in layout(ty, form) {
                    assert!(field.syntax.accepts(example(field)), "{}", field.name);
                }
            }
        }
    }

    #[test]
    fn operations_are_distinguished_by_module_and_name() {
        for known in &OPS {
            let loads = grouping(known.ty, Some(known.name)) == Grouping::Syscall;
            assert_eq!(loads, known.name == "ctr");
            assert_eq!(op(known.module, known.name), Some(known));
            assert_eq!(
                known.ty == RecordType::DmCtrl,
                matches!(known.name, "ctr" | "dtr")
            );
        }
        assert_eq!(op("crypt", "verify-data"), None);
    }
}
