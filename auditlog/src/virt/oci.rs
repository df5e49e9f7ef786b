// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The records of containers, which `dmns-audit-record oci-hook` writes for a runtime with OCI
//! hooks. They are libvirt's, with two differences: the UUID is the runtime's id, and a start names
//! all eight namespaces.

use super::VirtType;
use super::shape::{
    ACL, CGROUP, CLASS, ID, OP, PATH, RDEV, REASON, RESRC, Shape, VM, VM_PID, field, inner,
    optional, shape,
};
use crate::contract::Syntax;

/// Declares a record that the hook writes.
macro_rules! oci {
    ($ty:ident, $about:literal, $meaning:literal, $($own:expr),+ $(,)?) => {
        shape!(
            $ty,
            $about,
            "dmns-audit-record oci-hook; docs/guide/containers.md",
            $meaning,
            $($own),+
        )
    };
}

/// Declares a record of a container's resource.
macro_rules! resource {
    ($about:literal, $meaning:literal, $($own:expr),+ $(,)?) => {
        oci!(Resource, $about, $meaning, RESRC, REASON, VM, ID, $($own),+)
    };
}

use Syntax::{U64OrUnknown, Untrusted};

/// Their shapes.
pub(super) const SHAPES: [Shape; 10] = [
    oci!(
        Control,
        "op=start virt=oci",
        "a container was made, and its program runs next",
        OP,
        REASON,
        VM,
        ID,
        VM_PID,
        field("pid-ns", U64OrUnknown),
        field("mntns_id", U64OrUnknown),
        field("utsns_id", U64OrUnknown),
        field("ipcns_id", U64OrUnknown),
        field("userns_id", U64OrUnknown),
        field("pidns_id", U64OrUnknown),
        field("netns_id", U64OrUnknown),
        field("cgroupns_id", U64OrUnknown),
        field("timens_id", U64OrUnknown),
        optional("runtime", Untrusted),
        optional("image", Untrusted),
        optional("pod", Untrusted),
        optional("claim-uid", Syntax::U32)
    ),
    oci!(
        Control,
        "op=stop virt=oci",
        "a container has ended",
        OP,
        REASON,
        VM,
        ID,
        VM_PID,
        optional("status", Syntax::U32),
        optional("claim-uid", Syntax::U32)
    ),
    resource!(
        "resrc=fs virt=oci",
        "a folder or file of the host, in a container",
        field("old-fs", Untrusted),
        field("new-fs", Untrusted)
    ),
    resource!(
        "resrc=disk virt=oci",
        "a mapping or block device with a filesystem in a container",
        field("old-disk", Untrusted),
        field("new-disk", Untrusted)
    ),
    resource!(
        "resrc=net virt=oci",
        "an interface of a container, by its MAC",
        field("old-net", Untrusted),
        field("new-net", Untrusted)
    ),
    resource!(
        "resrc=hostdev virt=oci disk=",
        "a block device of the host, for a container",
        field("disk", Untrusted)
    ),
    resource!(
        "resrc=hostdev virt=oci chardev=",
        "a character device of the host, for a container",
        field("chardev", Untrusted)
    ),
    resource!(
        "resrc=cgroup virt=oci class=all",
        "a container may use every device",
        CGROUP,
        CLASS
    ),
    resource!(
        "resrc=cgroup virt=oci class=path",
        "a container may use a device",
        CGROUP,
        CLASS,
        PATH,
        RDEV,
        ACL
    ),
    oci!(
        MachineId,
        "virt=oci",
        "a container's name and labels: a start begins with it",
        VM,
        ID,
        field("vm-ctx", Syntax::Word),
        field("img-ctx", Syntax::Word),
        field("model", Syntax::Word)
    ),
];
