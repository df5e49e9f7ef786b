// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Columns of fields, and their types.

use crate::record::value::Fields;
use dmns_audit_log::forms::NSTYPE;
use dmns_audit_uapi::ns::Kind;

/// The form of a field in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// A number, and null where it is none (`sector=?`).
    Number(&'static str),
    /// Text, as it is written.
    Plain(&'static str),
    /// Text that may be encoded.
    Text(&'static str),
    /// Success or failure.
    Result,
    /// A field of the task, written with the system call.
    Subject,
    /// The namespace's number.
    New,
    /// The number of the one that it was cloned from, or none.
    Old,
    /// The value of `old-disk=`, `old-mem=`, ...
    From,
    /// The value of `new-disk=`, ...
    To,
    /// A field without a column: in the map of other fields.
    Other,
    /// In no column.
    Nothing,
}

/// The column of the field `name` of a record of device mapper or namespaces.
pub(super) fn kernel(name: &str) -> Column {
    match name {
        "module" => Column::Plain("module"),
        "op" => Column::Plain("op"),
        "dev" => Column::Plain("dev"),
        "sector" => Column::Number("sector"),
        "error_msg" => Column::Plain("error_msg"),
        "res" => Column::Result,
        "ns_id" => Column::Number("ns_id"),
        "pid" | "uid" | "auid" | "ses" | "comm" | "exe" | "ppid" | "subj" => Column::Subject,
        // It is in the column `kind`, as the kind in the name of a type is.
        NSTYPE => Column::Nothing,
        "gid" | "euid" | "suid" | "fsuid" | "egid" | "sgid" | "fsgid" | "tty" => Column::Nothing,
        _ => match name.strip_suffix("ns") {
            Some(name) if name.starts_with("old_") => Column::Old,
            Some(name) if Kind::ALL.iter().any(|kind| kind.name() == name) => Column::New,
            _ => Column::Other,
        },
    }
}

/// The column of the field `name` of a record of a guest or a container, or of a boot.
pub(super) fn guest(name: &str) -> Column {
    match name {
        "virt" => Column::Plain("virt"),
        "op" => Column::Plain("op"),
        "reason" => Column::Plain("reason"),
        "vm" => Column::Text("vm"),
        "uuid" => Column::Plain("uuid"),
        "vm-pid" => Column::Number("vm_pid"),
        "init-pid" => Column::Number("init_pid"),
        "pid-ns" => Column::Number("pid_ns"),
        "resrc" => Column::Plain("resrc"),
        "class" => Column::Plain("class"),
        "path" => Column::Text("path"),
        "rdev" => Column::Plain("rdev"),
        "acl" => Column::Plain("acl"),
        "model" => Column::Plain("model"),
        "vm-ctx" => Column::Plain("vm_ctx"),
        "net" => Column::Plain("net"),
        "runtime" => Column::Text("runtime"),
        "image" => Column::Text("image"),
        "pod" => Column::Text("pod"),
        "status" => Column::Number("status"),
        "mntns_id" => Column::Number("mntns_id"),
        "utsns_id" => Column::Number("utsns_id"),
        "ipcns_id" => Column::Number("ipcns_id"),
        "userns_id" => Column::Number("userns_id"),
        "pidns_id" => Column::Number("pidns_id"),
        "netns_id" => Column::Number("netns_id"),
        "cgroupns_id" => Column::Number("cgroupns_id"),
        "timens_id" => Column::Number("timens_id"),
        "res" => Column::Result,
        "pid" | "uid" | "auid" | "ses" | "comm" | "exe" | "ppid" | "subj" => Column::Subject,
        "hostname" | "addr" | "terminal" => Column::Nothing,
        _ if name.starts_with("old-") => Column::From,
        _ if name.starts_with("new-") => Column::To,
        _ => Column::Other,
    }
}

/// The columns of the container of an event.
pub(super) const CONTAINER: [(&str, &str); 8] = [
    ("mntns", "in_mnt"),
    ("utsns", "in_uts"),
    ("ipcns", "in_ipc"),
    ("userns", "in_user"),
    ("pidns", "in_pid"),
    ("netns", "in_net"),
    ("cgroupns", "in_cgroup"),
    ("timens", "in_time"),
];

/// The namespaces that the NS_INFO `record` names, by column.
pub(super) fn container(record: &Fields<'_>) -> Vec<(&'static str, i64)> {
    let number = |(name, column): (&str, &'static str)| {
        let number = record.raw(name)?.parse().ok()?;
        Some((column, number))
    };
    CONTAINER.into_iter().filter_map(number).collect()
}
