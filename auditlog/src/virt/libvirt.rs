// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The records that libvirt writes, and the other records of the SPEC.

use super::VirtType;
use super::shape::{
    ACL,
    CGROUP,
    CLASS,
    DEVICE,
    OP,
    PATH,
    RDEV,
    REASON,
    RESRC,
    Shape,
    UUID,
    VM,
    VM_PID,
    field,
    inner,
    shape, //
};
use crate::contract::Syntax;

/// Declares a record that libvirt writes in this function.
macro_rules! libvirt {
    ($ty:ident, $about:expr, $function:literal, $meaning:literal, $($own:expr),+ $(,)?) => {
        shape!(
            $ty,
            $about,
            concat!($function, "() in libvirt's src/conf/domain_audit.c"),
            $meaning,
            $($own),+
        )
    };
}

/// Declares a record of a guest's resource.
macro_rules! resource {
    ($about:expr, $function:literal, $meaning:literal, $($own:expr),+ $(,)?) => {
        libvirt!(Resource, $about, $function, $meaning, RESRC, REASON, VM, UUID, $($own),+)
    };
}

/// Declares a record of a resource before and after: `old-disk="?" new-disk="/dev/mapper/x"`.
macro_rules! change {
    ($kind:literal, $syntax:expr, $function:literal, $meaning:literal) => {
        resource!(
            concat!("resrc=", $kind),
            $function,
            $meaning,
            field(concat!("old-", $kind), $syntax),
            field(concat!("new-", $kind), $syntax),
        )
    };
}

/// Declares a record of the SPEC that no program writes yet: its fields are this project's proposal.
macro_rules! proposed {
    ($ty:ident, $meaning:literal, $($own:expr),+ $(,)?) => {
        shape!(
            $ty,
            "",
            "SPEC Virtualization Manager Guest Lifecycle Events; docs/reference/virt-records.md",
            $meaning,
            VM,
            UUID,
            $($own),+
        )
    };
}

use Syntax::{I64, Untrusted};

/// Their shapes.
pub(super) const SHAPES: [Shape; 30] = [
    libvirt!(
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
    libvirt!(
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
    libvirt!(
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
    resource!(
        "resrc=net reason=open",
        "virDomainAuditNetDevice",
        "a descriptor was opened for an interface; whether the guest gets it is in a start or attach of its MAC",
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
    resource!(
        "resrc=dev",
        "virDomainAuditHostdev",
        "a device of the host",
        field("bus", Syntax::Word),
        DEVICE
    ),
    resource!(
        "resrc=hostdev disk=",
        "virDomainAuditHostdev",
        "a block device of the host, for a container",
        field("disk", Untrusted)
    ),
    resource!(
        "resrc=hostdev chardev=",
        "virDomainAuditHostdev",
        "a character device of the host, for a container",
        field("chardev", Untrusted)
    ),
    resource!(
        "resrc=tpm",
        "virDomainAuditTPM",
        "a TPM of the host",
        DEVICE
    ),
    resource!(
        "resrc=tpm-emulator",
        "virDomainAuditTPM",
        "an emulated TPM, by its socket",
        DEVICE
    ),
    resource!(
        "resrc=shmem",
        "virDomainAuditShmem",
        "memory that guests share",
        field("size", Syntax::U64),
        PATH
    ),
    resource!(
        "resrc=ivshmem-socket",
        "virDomainAuditShmem",
        "memory that a server shares",
        PATH
    ),
    resource!(
        "resrc=evdev",
        "virDomainAuditInput",
        "an input device of the host",
        PATH
    ),
    resource!(
        "resrc=cgroup class=all",
        "virDomainAuditCgroup",
        "every device was allowed or denied",
        CGROUP,
        CLASS
    ),
    resource!(
        "resrc=cgroup class=major",
        "virDomainAuditCgroupMajor",
        "the devices of a major number were allowed or denied",
        CGROUP,
        CLASS,
        field("category", Syntax::Word),
        field("maj", Syntax::MajorHex),
        ACL
    ),
    resource!(
        "resrc=cgroup class=path",
        "virDomainAuditCgroupPath",
        "a device was allowed or denied",
        CGROUP,
        CLASS,
        PATH,
        RDEV,
        ACL
    ),
    libvirt!(
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
