-- SPDX-License-Identifier: GPL-2.0-only OR MIT
--
-- The same on a cluster called `fleet`: run schema.sql's CREATE DATABASE on it first. Each host's records are on one
-- shard, so the views answer on each shard by themselves, and `FINAL` finds what was loaded twice.
--
--     sed 's/^CREATE TABLE IF NOT EXISTS dmns_audit.records$/& ON CLUSTER fleet/' schema.sql |
--         sed "s/^ENGINE = ReplacingMergeTree$/ENGINE = ReplicatedReplacingMergeTree('\/clickhouse\/tables\/{shard}\/dmns_audit.records', '{replica}')/"
--
-- then views.sql on each, and this. Rows are inserted into `dmns_audit.fleet`.

CREATE TABLE IF NOT EXISTS dmns_audit.fleet ON CLUSTER fleet AS dmns_audit.records
ENGINE = Distributed(fleet, dmns_audit, records, cityHash64(host));

CREATE TABLE IF NOT EXISTS dmns_audit.fleet_mappings ON CLUSTER fleet AS dmns_audit.mappings
ENGINE = Distributed(fleet, dmns_audit, mappings);

CREATE TABLE IF NOT EXISTS dmns_audit.fleet_namespaces ON CLUSTER fleet AS dmns_audit.namespaces
ENGINE = Distributed(fleet, dmns_audit, namespaces);

CREATE TABLE IF NOT EXISTS dmns_audit.fleet_guests ON CLUSTER fleet AS dmns_audit.guests
ENGINE = Distributed(fleet, dmns_audit, guests);

CREATE TABLE IF NOT EXISTS dmns_audit.fleet_containers ON CLUSTER fleet AS dmns_audit.containers
ENGINE = Distributed(fleet, dmns_audit, containers);

CREATE TABLE IF NOT EXISTS dmns_audit.fleet_violations ON CLUSTER fleet AS dmns_audit.violations
ENGINE = Distributed(fleet, dmns_audit, violations);
