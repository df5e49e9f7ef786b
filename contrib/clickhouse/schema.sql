-- SPDX-License-Identifier: GPL-2.0-only OR MIT
--
-- The table of records, on one machine. What `dmns-audit export` writes goes in as JSONEachRow.
--
-- A row is identified by its key, so one that is loaded twice counts once: the views read with FINAL.

CREATE DATABASE IF NOT EXISTS dmns_audit;

CREATE TABLE IF NOT EXISTS dmns_audit.records
(
    -- Which record.
    host LowCardinality(String),
    boot Nullable(DateTime64(3, 'UTC')),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    serial UInt64 CODEC(Delta, ZSTD),
    type LowCardinality(String),
    n UInt32,
    hash UInt64,
    copy UInt32,
    res Nullable(Bool),

    -- DM_CTRL, DM_EVENT. `mapping` is the mapping that a violation is of, where `dev` may be below it; null if the
    -- log does not have it.
    module LowCardinality(String),
    op LowCardinality(String),
    dev LowCardinality(String),
    mapping Nullable(String),
    sector Nullable(UInt64),
    error_msg LowCardinality(String),

    -- NS_INIT_*, NS_DEL_*
    kind LowCardinality(String),
    number Nullable(Int32),
    old_number Nullable(Int32),
    initial Bool,
    ns_id Nullable(UInt64),

    -- VIRT_*
    virt LowCardinality(String),
    reason LowCardinality(String),
    vm LowCardinality(String),
    uuid String,
    vm_pid Nullable(Int64),
    init_pid Nullable(Int64),
    pid_ns Nullable(UInt64),
    resrc LowCardinality(String),
    old String,
    new String,
    class LowCardinality(String),
    path String,
    rdev LowCardinality(String),
    acl LowCardinality(String),
    model LowCardinality(String),
    vm_ctx String,
    net String,
    runtime LowCardinality(String),
    image LowCardinality(String),
    pod LowCardinality(String),
    status Nullable(Int64),
    mntns_id Nullable(UInt64),
    utsns_id Nullable(UInt64),
    ipcns_id Nullable(UInt64),
    userns_id Nullable(UInt64),
    pidns_id Nullable(UInt64),
    netns_id Nullable(UInt64),
    cgroupns_id Nullable(UInt64),
    timens_id Nullable(UInt64),
    fields Map(LowCardinality(String), String),

    -- Who, and with which system call.
    user LowCardinality(String),
    pid Nullable(Int64),
    ppid Nullable(Int64),
    uid Nullable(UInt32),
    auid Nullable(UInt32),
    ses Nullable(UInt32),
    comm LowCardinality(String),
    exe LowCardinality(String),
    subj LowCardinality(String),
    syscall LowCardinality(String),
    arch LowCardinality(String),
    success Nullable(Bool),
    key LowCardinality(String),

    -- The numbers of the namespaces that the event happened in (NS_INFO).
    in_mnt Nullable(Int32),
    in_uts Nullable(Int32),
    in_ipc Nullable(Int32),
    in_user Nullable(Int32),
    in_pid Nullable(Int32),
    in_net Nullable(Int32),
    in_cgroup Nullable(Int32),
    in_time Nullable(Int32)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (host, time, serial, type, hash, copy);
