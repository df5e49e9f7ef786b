// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The contract of the records of guests.
//!
//! ```text
//! pid=215 uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='virt=qemu op=start reason=booted vm="x"
//! uuid=... vm-pid=282 exe="/usr/sbin/libvirtd" hostname=? addr=? terminal=? res=success'
//! ```
//!
//! What stands before `msg=` is the kernel's ([`OUTER`]), `exe=` and what follows libaudit's. What is between
//! depends on the record, on what it is about, and how: a [`Shape`].

use super::super::contract::{Field, Name, Syntax};
use super::VirtType;

const fn field(name: &'static str, syntax: Syntax) -> Field {
    Field {
        name: Name::Fixed(name),
        syntax,
        optional: false,
    }
}

/// What the kernel writes before `msg=`. C: `audit_log_common_recv_msg()` in `kernel/audit.c`.
pub const OUTER: &[Field] = &[
    field("pid", Syntax::I32),
    field("uid", Syntax::U32),
    field("auid", Syntax::U32),
    field("ses", Syntax::U32),
    Field {
        optional: true,
        ..field("subj", Syntax::Word)
    },
];

/// Where [`OUTER`] comes from.
pub const OUTER_SOURCE: &str = "audit_log_common_recv_msg() in kernel/audit.c";

const REASON: Field = field("reason", Syntax::Word);
const OP: Field = field("op", Syntax::Word);
const RESRC: Field = field("resrc", Syntax::Word);
const VM: Field = field("vm", Syntax::Untrusted);
const UUID: Field = field("uuid", Syntax::Uuid);
const PATH: Field = field("path", Syntax::Untrusted);
const RDEV: Field = field("rdev", Syntax::Rdev);
const ACL: Field = field("acl", Syntax::Acl);
const CGROUP: Field = field("cgroup", Syntax::UntrustedOrUnknown);
const CLASS: Field = field("class", Syntax::Word);
const DEVICE: Field = field("device", Syntax::Untrusted);
const VM_PID: Field = field("vm-pid", Syntax::I64);

/// The fields of `msg='...'`: `virt=`, a record's own, and what libaudit adds.
macro_rules! inner {
    ($($own:expr),+ $(,)?) => {
        &[
            field("virt", Syntax::Word),
            $($own,)+
            field("exe", Syntax::UntrustedOrUnknown),
            field("hostname", Syntax::Word),
            field("addr", Syntax::Word),
            field("terminal", Syntax::Word),
            field("res", Syntax::Outcome),
        ]
    };
}

/// What a record about one sort of thing looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its type.
    pub ty: VirtType,
    /// What it is about: `resrc=disk`, `op=start`; empty where there is one shape only.
    pub about: &'static str,
    /// What it tells.
    pub meaning: &'static str,
    /// Where the format comes from.
    pub source: &'static str,
    /// The fields in `msg='...'`, in order.
    pub fields: &'static [Field],
}

/// Something that a guest has had, and has: `old-disk="?" new-disk="/dev/mapper/x"`.
macro_rules! change {
    ($kind:literal, $syntax:expr, $source:literal, $meaning:literal) => {
        Shape {
            ty: VirtType::Resource,
            about: concat!("resrc=", $kind),
            meaning: $meaning,
            source: concat!($source, "() in libvirt's src/conf/domain_audit.c"),
            fields: inner![
                RESRC,
                REASON,
                VM,
                UUID,
                field(concat!("old-", $kind), $syntax),
                field(concat!("new-", $kind), $syntax),
            ],
        }
    };
}

macro_rules! shape {
    ($ty:ident, $about:literal, $source:literal, $meaning:literal, $($own:expr),+ $(,)?) => {
        Shape {
            ty: VirtType::$ty,
            about: $about,
            meaning: $meaning,
            source: concat!($source, "() in libvirt's src/conf/domain_audit.c"),
            fields: inner![$($own),+],
        }
    };
}

/// A record that the SPEC names and nobody writes yet: its fields are this project's proposal.
macro_rules! proposed {
    ($ty:ident, $meaning:literal, $($own:expr),+ $(,)?) => {
        Shape {
            ty: VirtType::$ty,
            about: "",
            meaning: $meaning,
            source: "SPEC Virtualization Manager Guest Lifecycle Events; docs/virt.md",
            fields: inner![VM, UUID, $($own),+],
        }
    };
}

use Syntax::{I64, Untrusted};

/// Every shape.
pub const SHAPES: [Shape; 30] = [
    shape!(
        Control,
        "op=start",
        "virDomainAuditLifecycle",
        "the guest was started, or could not be",
        OP,
        REASON,
        VM,
        UUID,
        VM_PID
    ),
    shape!(
        Control,
        "op=stop",
        "virDomainAuditLifecycle",
        "the guest was stopped",
        OP,
        REASON,
        VM,
        UUID,
        VM_PID
    ),
    shape!(
        Control,
        "op=init",
        "virDomainAuditInit",
        "a container's first process was started",
        OP,
        VM,
        UUID,
        VM_PID,
        field("init-pid", I64),
        field("pid-ns", I64)
    ),
    change!(
        "disk",
        Untrusted,
        "virDomainAuditDisk",
        "a file or block device as a disk"
    ),
    change!("fs", Untrusted, "virDomainAuditFS", "a folder of the host"),
    change!(
        "net",
        Untrusted,
        "virDomainAuditNet",
        "an interface, by its MAC"
    ),
    shape!(
        Resource,
        "resrc=net reason=open",
        "virDomainAuditNetDevice",
        "a descriptor was opened for an interface; whether the guest gets it, a start or attach of its MAC tells",
        RESRC,
        REASON,
        VM,
        UUID,
        field("net", Syntax::Mac),
        PATH,
        RDEV
    ),
    change!(
        "rng",
        Untrusted,
        "virDomainAuditRNG",
        "a source of entropy: a device, or the socket of an EGD"
    ),
    change!(
        "chardev",
        Untrusted,
        "virDomainAuditChardev",
        "what a serial line, parallel port, channel or console leads to"
    ),
    change!(
        "smartcard",
        Untrusted,
        "virDomainAuditSmartcard",
        "a smartcard"
    ),
    change!("mem", I64, "virDomainAuditMemory", "memory, in KiB"),
    change!("vcpu", I64, "virDomainAuditVcpu", "virtual processors"),
    change!("iothread", I64, "virDomainAuditIOThread", "I/O threads"),
    shape!(
        Resource,
        "resrc=dev",
        "virDomainAuditHostdev",
        "a device of the host",
        RESRC,
        REASON,
        VM,
        UUID,
        field("bus", Syntax::Word),
        DEVICE
    ),
    shape!(
        Resource,
        "resrc=hostdev disk=",
        "virDomainAuditHostdev",
        "a block device of the host, for a container",
        RESRC,
        REASON,
        VM,
        UUID,
        field("disk", Untrusted)
    ),
    shape!(
        Resource,
        "resrc=hostdev chardev=",
        "virDomainAuditHostdev",
        "a character device of the host, for a container",
        RESRC,
        REASON,
        VM,
        UUID,
        field("chardev", Untrusted)
    ),
    shape!(
        Resource,
        "resrc=tpm",
        "virDomainAuditTPM",
        "a TPM of the host",
        RESRC,
        REASON,
        VM,
        UUID,
        DEVICE
    ),
    shape!(
        Resource,
        "resrc=tpm-emulator",
        "virDomainAuditTPM",
        "an emulated TPM, by its socket",
        RESRC,
        REASON,
        VM,
        UUID,
        DEVICE
    ),
    shape!(
        Resource,
        "resrc=shmem",
        "virDomainAuditShmem",
        "memory that guests share",
        RESRC,
        REASON,
        VM,
        UUID,
        field("size", Syntax::U64),
        PATH
    ),
    shape!(
        Resource,
        "resrc=ivshmem-socket",
        "virDomainAuditShmem",
        "memory that a server shares",
        RESRC,
        REASON,
        VM,
        UUID,
        PATH
    ),
    shape!(
        Resource,
        "resrc=evdev",
        "virDomainAuditInput",
        "an input device of the host",
        RESRC,
        REASON,
        VM,
        UUID,
        PATH
    ),
    shape!(
        Resource,
        "resrc=cgroup class=all",
        "virDomainAuditCgroup",
        "every device was allowed or denied",
        RESRC,
        REASON,
        VM,
        UUID,
        CGROUP,
        CLASS
    ),
    shape!(
        Resource,
        "resrc=cgroup class=major",
        "virDomainAuditCgroupMajor",
        "the devices of a major number were allowed or denied",
        RESRC,
        REASON,
        VM,
        UUID,
        CGROUP,
        CLASS,
        field("category", Syntax::Word),
        field("maj", Syntax::MajorHex),
        ACL
    ),
    shape!(
        Resource,
        "resrc=cgroup class=path",
        "virDomainAuditCgroupPath",
        "a device was allowed or denied",
        RESRC,
        REASON,
        VM,
        UUID,
        CGROUP,
        CLASS,
        PATH,
        RDEV,
        ACL
    ),
    shape!(
        MachineId,
        "",
        "virDomainAuditSecurityLabel",
        "a guest's name and labels: a start begins with it",
        VM,
        UUID,
        field("vm-ctx", Syntax::Word),
        field("img-ctx", Syntax::Word),
        field("model", Syntax::Word)
    ),
    proposed!(
        IntegrityCheck,
        "whether the guest's image is as it was left; between the name and the start",
        field("mechanism", Syntax::Word),
        field("action", Syntax::Word)
    ),
    proposed!(Create, "a guest's image was made", PATH),
    proposed!(Destroy, "a guest's image was destroyed", PATH),
    proposed!(
        MigrateIn,
        "a guest came from another host",
        field("peer", Syntax::UntrustedOrUnknown)
    ),
    proposed!(
        MigrateOut,
        "a guest went to another host",
        field("peer", Syntax::UntrustedOrUnknown)
    ),
];

impl Shape {
    /// Whether a record whose fields `value` knows is one of these.
    fn is<'a>(&self, value: &impl Fn(&str) -> Option<&'a str>) -> bool {
        self.about.split(' ').all(|condition| {
            let (name, wanted) = condition.split_once('=').unwrap_or((condition, ""));
            match (name, wanted) {
                ("", _) => true,
                (name, "") => value(name).is_some(),
                (name, wanted) => value(name) == Some(wanted),
            }
        })
    }
}

/// What a record of type `ty` has to look like; `value` knows the values of its fields as they are written. `None`
/// where it is about nothing that the contract knows.
pub fn shape<'a>(ty: VirtType, value: impl Fn(&str) -> Option<&'a str>) -> Option<&'static Shape> {
    // What most shapes begin with is looked up once.
    let kind = value("resrc").or_else(|| value("op"));
    let begins = |shape: &Shape| match shape.about.split_once('=') {
        Some((_, rest)) => rest.split(' ').next() == kind,
        None => true,
    };
    let mut found = SHAPES
        .iter()
        .filter(|shape| shape.ty == ty && begins(shape) && shape.is(&value));
    let first = found.next()?;
    // `resrc=net reason=open` is a `resrc=net` too: the one that asks for more is meant.
    Some(found.fold(first, |best, shape| {
        if shape.about.len() > best.about.len() {
            shape
        } else {
            best
        }
    }))
}
