-- SPDX-License-Identifier: GPL-2.0-only OR MIT
--
-- Lifetimes of mappings, namespaces and guests, containers, and violations by day, as in `dmns-audit report`.
-- docs/guide/fleet.md says which rows are the same, word for word.
--
-- All are made of the records of a host in order of time. Where a host goes down or comes up, or where its serial
-- numbers begin anew, an epoch ends, and with it everything active.

-- Records of device mapper and namespaces with the epoch that they are in. Serial numbers are compared among those
-- of the same sort, as `report` sees them. Where they go back while the clock goes on by more than an event takes, the host
-- came up in between, also if it had written few records before.
CREATE OR REPLACE VIEW dmns_audit.in_epochs AS
WITH sorted AS
(
    SELECT
        *,
        (toUnixTimestamp64Milli(time), serial, n) AS at,
        toUnixTimestamp(time) AS second,
        lagInFrame(serial, 1, 0) OVER w AS serial_before,
        lagInFrame(second, 1, 0) OVER w AS second_before
    FROM
    (
        SELECT *, arrayJoin(multiIf(startsWith(type, 'DM_'), ['dm'], startsWith(type, 'NS_'), ['ns'], ['dm', 'ns'])) AS sort
        FROM dmns_audit.records FINAL
        WHERE startsWith(type, 'DM_') OR startsWith(type, 'NS_') OR type IN ('SYSTEM_BOOT', 'SYSTEM_SHUTDOWN')
    )
    WINDOW w AS (PARTITION BY host, sort ORDER BY time, serial, n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT
    *,
    type IN ('SYSTEM_BOOT', 'SYSTEM_SHUTDOWN') OR serial + 1000 < serial_before
        OR (serial < serial_before AND second > second_before + 2) AS down,
    sum(down) OVER (PARTITION BY host, sort ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS epoch
FROM sorted;

-- When each epoch ended.
CREATE OR REPLACE VIEW dmns_audit.epoch_ends AS
SELECT host, sort, toUInt64(epoch - 1) AS epoch, time AS down_time, serial AS down_serial
FROM dmns_audit.in_epochs
WHERE down;

CREATE OR REPLACE VIEW dmns_audit.mappings AS
WITH
    -- A constructor that fails is followed by a destructor of the same event: no mapping ended.
    failed AS
    (
        SELECT DISTINCT host, time, serial, module, dev
        FROM dmns_audit.records FINAL
        WHERE type = 'DM_CTRL' AND op = 'ctr' AND NOT res
    ),
    steps AS
    (
        SELECT
            host, epoch, module AS target, at, time, serial, op, sector, user, comm,
            type = 'DM_EVENT' AS violation,
            if(violation, ifNull(mapping, dev), dev) AS device,
            violation AND isNull(mapping) AS is_below,
            dev AS found_in,
            multiIf(violation, 0, op = 'ctr', 1, op = 'dtr', -1, 0) AS change,
            sum(change) OVER w AS total
        FROM dmns_audit.in_epochs
        WHERE sort = 'dm' AND startsWith(type, 'DM_') AND module != '' AND dev != ''
            AND (type = 'DM_EVENT' OR (op IN ('ctr', 'dtr')
                AND (op != 'ctr' OR res)
                AND (op != 'dtr' OR (host, time, serial, module, dev) NOT IN failed)))
        WINDOW w AS (PARTITION BY host, epoch, target, device ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    -- How many tables are loaded: a destructor takes none away where none is.
    counted AS
    (
        SELECT *, total - least(0, min(total) OVER w) AS tables_now
        FROM steps
        WINDOW w AS (PARTITION BY host, epoch, target, device ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    -- A lifetime begins with the first table, and after the last one's destructor.
    bounded AS
    (
        SELECT
            *,
            lagInFrame(tables_now, 1, 0) OVER w AS tables_before,
            lagInFrame(change, 1, 0) OVER w AS change_before,
            tables_before = 0 AND (change = 1 OR change_before = -1) AS begins
        FROM counted
        WINDOW w AS (PARTITION BY host, epoch, target, device ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    numbered AS
    (
        SELECT *, sum(begins) OVER w AS lifetime
        FROM bounded
        WINDOW w AS (PARTITION BY host, epoch, target, device ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    lifetimes AS
    (
        SELECT
            host, epoch, target, device, lifetime,
            countIf(change = 1) AS loads,
            argMinIf((time, serial), at, change = 1) AS first_load,
            argMinIf((user, comm), at, change = 1) AS maker,
            countIf(change = -1 AND tables_now = 0) > 0 AS destroyed,
            argMaxIf((time, serial), at, change = -1) AS destruction,
            countIf(violation) AS violations,
            uniqExactIf(sector, violation AND isNotNull(sector)) AS distinct_sectors,
            violations > 0 AND loads = 0 AND argMinIf(is_below, at, violation) AS device_is_below
        FROM numbered
        GROUP BY host, epoch, target, device, lifetime
    )
SELECT
    host, target, device, device_is_below,
    if(loads > 0, maker.1, NULL) AS user,
    if(loads > 0, maker.2, NULL) AS comm,
    if(loads > 0, first_load.1, NULL) AS start_time,
    if(loads > 0, first_load.2, NULL) AS start_serial,
    multiIf(destroyed, destruction.1, ends.down_serial > 0, ends.down_time, NULL) AS end_time,
    multiIf(destroyed, destruction.2, ends.down_serial > 0, ends.down_serial, NULL) AS end_serial,
    multiIf(destroyed, 'ended', ends.down_serial > 0, 'host-down', loads = 0, 'unknown', 'active') AS state,
    NULL AS error,
    greatest(loads, 1) - 1 AS reloads,
    violations,
    distinct_sectors AS distinct
FROM lifetimes
LEFT JOIN (SELECT * FROM dmns_audit.epoch_ends WHERE sort = 'dm') AS ends USING (host, epoch)
WHERE loads > 0 OR destroyed OR violations > 0
UNION ALL
SELECT
    host, module, dev, false, user, comm, time, serial, time, serial, 'failed', error_msg, 0, 0, 0
FROM dmns_audit.records FINAL
WHERE type = 'DM_CTRL' AND op = 'ctr' AND NOT res;

CREATE OR REPLACE VIEW dmns_audit.namespaces AS
WITH
    steps AS
    (
        SELECT
            host, epoch, kind, number, ns_id, old_number, initial, time, serial, at, user, comm,
            startsWith(type, 'NS_INIT') AS made,
            lagInFrame(made, 1, false) OVER w AS made_before,
            -- The module was loaded again: the initial ones are recorded again.
            if(made, NOT (initial AND made_before), NOT made_before) AS begins
        FROM dmns_audit.in_epochs
        WHERE sort = 'ns' AND (startsWith(type, 'NS_INIT') OR startsWith(type, 'NS_DEL'))
            AND isNotNull(number) AND isNotNull(ns_id)
        WINDOW w AS (PARTITION BY host, epoch, ns_id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    numbered AS
    (
        SELECT *, sum(begins) OVER w AS lifetime
        FROM steps
        WINDOW w AS (PARTITION BY host, epoch, ns_id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    lifetimes AS
    (
        SELECT
            host, epoch, ns_id, lifetime,
            any(kind) AS kind,
            argMin(number, at) AS number,
            countIf(made) > 0 AS seen,
            argMinIf((time, serial, user, comm, initial, old_number), at, made) AS making,
            countIf(NOT made) > 0 AS deleted,
            argMaxIf((time, serial), at, NOT made) AS deletion
        FROM numbered
        GROUP BY host, epoch, ns_id, lifetime
    )
SELECT
    host, kind, number, ns_id,
    if(seen, making.5, number < 0) AS initial,
    if(seen, making.6, NULL) AS parent_number,
    if(seen, making.3, NULL) AS user,
    if(seen, making.4, NULL) AS comm,
    if(seen, making.1, NULL) AS start_time,
    if(seen, making.2, NULL) AS start_serial,
    multiIf(deleted, deletion.1, ends.down_serial > 0, ends.down_time, NULL) AS end_time,
    multiIf(deleted, deletion.2, ends.down_serial > 0, ends.down_serial, NULL) AS end_serial,
    multiIf(deleted, 'ended', ends.down_serial > 0, 'host-down', 'active') AS state
FROM lifetimes
LEFT JOIN (SELECT * FROM dmns_audit.epoch_ends WHERE sort = 'ns') AS ends USING (host, epoch);

-- Sessions of guests, and of what else user space records in the same way.
CREATE OR REPLACE VIEW dmns_audit.guests AS
WITH
    ordered AS
    (
        SELECT
            *,
            (toUnixTimestamp64Milli(time), serial, n) AS at,
            type IN ('SYSTEM_BOOT', 'SYSTEM_SHUTDOWN') AS down,
            sum(down) OVER (PARTITION BY host ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS epoch
        FROM dmns_audit.records FINAL
        WHERE type IN ('SYSTEM_BOOT', 'SYSTEM_SHUTDOWN') OR (type = 'VIRT_CONTROL' AND op IN ('start', 'stop') AND uuid != '')
    ),
    ends AS
    (
        SELECT host, toUInt64(epoch - 1) AS epoch, time AS down_time, serial AS down_serial FROM ordered WHERE down
    ),
    steps AS
    (
        SELECT
            host, epoch, vm, uuid, user, op, reason, virt, time, serial,
            leadInFrame(op, 1, '') OVER w AS next_op,
            leadInFrame(time) OVER w AS next_time,
            leadInFrame(serial) OVER w AS next_serial
        FROM ordered
        WHERE NOT down AND res
        WINDOW w AS (PARTITION BY host, epoch, uuid ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    )
SELECT
    host, virt, vm, uuid, user, reason, true AS success,
    time AS start_time, serial AS start_serial,
    multiIf(next_op != '', next_time, ends.down_serial > 0, ends.down_time, NULL) AS end_time,
    multiIf(next_op != '', next_serial, ends.down_serial > 0, ends.down_serial, NULL) AS end_serial,
    multiIf(next_op = 'start', 'restarted', next_op = 'stop', 'ended', ends.down_serial > 0, 'host-down', 'active') AS state
FROM steps
LEFT JOIN ends USING (host, epoch)
WHERE op = 'start'
UNION ALL
SELECT host, virt, vm, uuid, user, reason, false, time, serial, NULL, NULL, 'failed'
FROM ordered
WHERE NOT down AND op = 'start' AND NOT res;

-- Containers that their runtime recorded, with how many namespaces they were made with.
CREATE OR REPLACE VIEW dmns_audit.containers AS
WITH runs AS
(
    SELECT
        host, uuid, virt,
        argMinIf((time, serial), time, op = 'start') AS start,
        argMaxIf((time, serial), time, op = 'stop') AS stop,
        anyIf(vm, vm != '') AS name,
        anyIf(runtime, runtime != '') AS runtime,
        anyIf(image, image != '') AS image,
        anyIf(pod, pod != '') AS pod,
        anyIf(user, op = 'start') AS user,
        anyIf(pidns_id, op = 'start') AS pidns_id,
        anyIf(mntns_id, op = 'start') AS mntns_id,
        countIf(op = 'stop') AS stops
    FROM dmns_audit.records FINAL
    WHERE type = 'VIRT_CONTROL' AND virt IN ('oci', 'lxc')
    GROUP BY host, uuid, virt
)
SELECT
    host, name, uuid, virt, runtime, image, pod, user, pidns_id, mntns_id,
    start.1 AS start_time,
    if(stops > 0, stop.1, NULL) AS end_time,
    stops = 0 AS active
FROM runs;

-- How many violations were found on each host, on each day.
CREATE OR REPLACE VIEW dmns_audit.violations AS
SELECT
    toDate(time) AS day, host, module AS target, ifNull(mapping, dev) AS device, op,
    count() AS violations,
    uniqExactIf(sector, isNotNull(sector)) AS distinct_sectors,
    min(time) AS first,
    max(time) AS last
FROM dmns_audit.records FINAL
WHERE type = 'DM_EVENT'
GROUP BY day, host, target, device, op;
