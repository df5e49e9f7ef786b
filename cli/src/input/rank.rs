// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The position of a record in its event, and its identity.

use crate::record::value::Fields;
use crate::record::{Head, Type};
use dmns_audit_uapi::types::RecordType;
use std::hash::BuildHasher;

/// Hashes the identity of a record: its stamp and its fields, in any form of log.
pub(super) fn hash(hasher: &impl BuildHasher, head: &Head<'_>) -> u64 {
    hasher.hash_one((head.stamp, head.body.trim_ascii_end()))
}

/// Returns the position of a record in its event.
pub(super) fn rank(head: &Head<'_>) -> u8 {
    match head.ty {
        Type::Ours(RecordType::NsInfo) => 2,
        Type::Ours(_) => 1,
        Type::Syscall => 3,
        Type::Execve => 5,
        Type::Cwd => 6,
        Type::Path => 7,
        Type::Proctitle => 8,
        Type::Eoe => 9,
        _ if AFTER.contains(&head.name) => 4,
        // A message of a program, or a refusal of a security module.
        _ => 0,
    }
}

/// Other records that the kernel writes after the SYSCALL of their event.
const AFTER: [&[u8]; 14] = [
    b"IPC",
    b"SOCKETCALL",
    b"CONFIG_CHANGE_AFTER",
    b"SOCKADDR",
    b"IPC_SET_PERM",
    b"MQ_OPEN",
    b"MQ_SENDRECV",
    b"MQ_NOTIFY",
    b"MQ_GETSETATTR",
    b"FD_PAIR",
    b"OBJ_PID",
    b"BPRM_FCAPS",
    b"CAPSET",
    b"MMAP",
];

/// Distinguishes a record from others of its type in its event.
pub(super) fn own(head: &Head<'_>) -> u64 {
    let ordered = matches!(
        head.ty,
        Type::Path
            | Type::Execve
            | Type::Ours(RecordType::NsInit(_) | RecordType::NsDel(_) | RecordType::DmCtrl)
    );
    if !ordered {
        return 0;
    }
    let record = Fields::of(head);
    let number = |name: &str| {
        record
            .raw(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    };
    match head.ty {
        Type::Ours(RecordType::NsInit(_) | RecordType::NsDel(_)) => number("ns_id"),
        // A destructor follows a constructor that failed.
        Type::Ours(RecordType::DmCtrl) => u64::from(record.raw("op") != Some("ctr")),
        Type::Path => number("item"),
        // The first has argc=, and others begin where it ends.
        Type::Execve => record
            .fields()
            .find_map(|field| {
                let digits = field.name.strip_prefix('a')?;
                digits.split(['_', '[']).next()?.parse().ok()
            })
            .unwrap_or(0),
        _ => 0,
    }
}
