#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Holds the views against `dmns-audit report --format json`, row for row, in the embedded engine (chdb).

    test.py PROGRAM GENERATOR [--hosts N] [--events N] [--seed N] [--figures]

Logs are generated of hosts between which guests move, that reboot, and of which records are missing; each host's log
is in three rotated files. The rows of `export` are cut into pieces and loaded in any order, half of them twice.
`--figures` prints how long each step took, and loads once. scripts/test/fleet.sh installs what this needs.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import tempfile
import time

from chdb import session

HERE = pathlib.Path(__file__).parent


def statements(path):
    lines = path.read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
    return [statement for statement in text.split(";") if statement.strip()]


def rotate(log, folder):
    """Cuts the log of a fleet into one folder for each host, with three rotated files each."""
    def lines():
        with open(log, encoding="utf-8") as file:
            for line in file:
                yield line.split(" ", 1)[0].removeprefix("node="), line

    numbers = collections.Counter(host for host, _ in lines())
    waiting = collections.defaultdict(list)
    written = collections.Counter()

    def write(host):
        # As many as there are in a third of the host's lines go to each file.
        third = numbers[host] // 3 + 1
        for line in waiting.pop(host):
            name = ["audit.log.2", "audit.log.1", "audit.log"][written[host] // third]
            with_name[name].append(line)
            written[host] += 1
        for name, some in with_name.items():
            with open(folder / host / name, "a", encoding="utf-8") as out:
                out.writelines(some)
            some.clear()

    with_name = {name: [] for name in ["audit.log.2", "audit.log.1", "audit.log"]}
    for host in numbers:
        (folder / host).mkdir(parents=True)
    # A log may be larger than memory.
    for host, line in lines():
        waiting[host].append(line)
        if len(waiting[host]) == 1000:
            write(host)
    for host in list(waiting):
        write(host)
    return sorted(numbers)


def run(program, arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True).stdout


class Engine:
    def __init__(self, folder):
        self.session = session.Session(str(folder))
        for name in ["schema.sql", "views.sql"]:
            for statement in statements(HERE / name):
                self.session.query(statement)

    def load(self, path):
        self.session.query(f"INSERT INTO dmns_audit.records FROM INFILE '{path}' FORMAT JSONEachRow")

    def rows(self, query):
        # 64 bits of an id do not fit a double.
        settings = "SETTINGS output_format_json_quote_64bit_integers = 0, join_use_nulls = 0"
        answer = str(self.session.query(f"{query} {settings}", "JSONEachRow"))
        return [json.loads(line) for line in answer.splitlines()]


def moment(seconds, serial):
    return None if seconds is None else f"{seconds}:{serial}"


def identifier(event):
    return event and event["id"]


MOMENTS = """if(isNull(start_time), NULL, concat(toString(toDecimal64(start_time, 3)), ':', toString(start_serial))) AS start_id,
    if(isNull(end_time), NULL, concat(toString(toDecimal64(end_time, 3)), ':', toString(end_serial))) AS end_id"""


def millis(identifier):
    """`10.5:3` and `10.500:3` are the same."""
    if identifier is None:
        return None
    seconds, serial = identifier.split(":")
    return f"{float(seconds):.3f}:{serial}"


def view(engine, name):
    return engine.rows(f"SELECT *, {MOMENTS} FROM dmns_audit.{name}")


def maker(row):
    return (row["by"]["user"], row["by"]["comm"] or "") if row["by"] else (None, None)


def mappings(engine, reported):
    expected = [
        (r["node"], r["target"], r["device"], r["device_is_below"], *maker(r), identifier(r["start"]),
         identifier(r["end"]), r["state"], r["error"], r["reloads"], r["violations"], r["distinct"])
        for r in reported
    ]
    found = [
        (r["host"], r["target"], r["device"], bool(r["device_is_below"]), r["user"], r["comm"], millis(r["start_id"]),
         millis(r["end_id"]), r["state"], r["error"], r["reloads"], r["violations"], r["distinct"])
        for r in view(engine, "mappings")
    ]
    return expected, found


def namespaces(engine, reported):
    expected = [
        (r["node"], r["type"], r["number"], r["ns_id"], r["initial"], *maker(r), identifier(r["start"]),
         identifier(r["end"]), r["state"])
        # Of an ancestor from before the log only a number is known: no record is about it.
        for r in reported if r["ns_id"] is not None
    ]
    found = [
        (r["host"], r["kind"], r["number"], r["ns_id"], bool(r["initial"]), r["user"], r["comm"], millis(r["start_id"]),
         millis(r["end_id"]), r["state"])
        for r in view(engine, "namespaces")
    ]
    return expected, found


def guests(engine, reported):
    expected = [
        (r["node"], r["vm"], r["uuid"], r["user"], r["detail"]["reason"], r["success"], identifier(r["start"]),
         identifier(r["end"]), r["state"])
        for r in reported
    ]
    found = [
        (r["host"], r["vm"], r["uuid"], r["user"], r["reason"], bool(r["success"]), millis(r["start_id"]),
         millis(r["end_id"]), r["state"])
        for r in view(engine, "guests")
    ]
    return expected, found


VIEWS = {
    "mappings": (mappings, ["dm"]),
    "namespaces": (namespaces, ["ns", "--tree"]),
    "guests": (guests, ["virt"]),
}


def compare(name, expected, found):
    # Counted, so that a row that is there twice is not taken for one.
    expected, found = collections.Counter(expected), collections.Counter(found)
    if expected == found and expected:
        return sum(expected.values())
    for what, rows in [("only reported", expected - found), ("only in the view", found - expected)]:
        for row in list(rows)[:5]:
            print(f"{name}: {what}: {row}")
    raise SystemExit(f"{name}: the view and the report differ, or are empty")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("generator")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--events", type=int, default=60000)
    parser.add_argument("--share", type=int, default=900)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--figures", action="store_true")
    ask = parser.parse_args()
    choose = random.Random(ask.seed)

    def timed(what, work):
        begin = time.monotonic()
        result = work()
        if ask.figures:
            print(f"{what}: {time.monotonic() - begin:.1f} s", flush=True)
        return result

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = folder / "fleet.log"
        many = ["--hosts", ask.hosts, "--guests", ask.hosts * 6, "--mappings", ask.hosts * 6, "--namespaces",
                ask.hosts * 8, "--disks", 4, "--brief", "--moves", "--reboots", "--holes"]
        options = ["--events", ask.events, "--share", ask.share, "--seed", ask.seed, *many]
        with open(log, "wb") as out:
            subprocess.run([ask.generator, *map(str, options)], check=True, stdout=out)
        size = log.stat().st_size
        hosts = rotate(log, folder / "hosts")
        log.unlink()
        files = [str(file) for host in hosts for file in sorted((folder / "hosts" / host).iterdir())]

        pieces = []

        def export():
            for host in hosts:
                logs = [str(file) for file in (folder / "hosts" / host).iterdir()]
                rows = run(ask.program, ["export", *logs]).splitlines(keepends=True)
                parts = 1 if ask.figures else 4
                for i in range(parts):
                    piece = folder / f"{host}.{i}.ndjson"
                    piece.write_bytes(b"".join(rows[i::parts]))
                    pieces.append(piece)

        timed("export, a program for each host", export)
        engine = Engine(folder / "engine")
        if not ask.figures:
            pieces += choose.sample(pieces, len(pieces) // 2)
            choose.shuffle(pieces)
        else:
            with open(folder / "all.ndjson", "wb") as out:
                for piece in pieces:
                    out.write(piece.read_bytes())
                    piece.unlink()
            pieces = [folder / "all.ndjson"]
        timed("load", lambda: [engine.load(piece) for piece in pieces])
        compared = {}
        for name, (rows, arguments) in VIEWS.items():
            reported = timed(f"report {arguments[0]}", lambda: run(ask.program, ["report", *arguments, "--format", "json", *files]))
            reported = [json.loads(line) for line in reported.splitlines()]
            expected, found = timed(f"view {name}", lambda: rows(engine, reported))
            compared[name] = compare(name, expected, found)
        # The view of violations has as many as were reported, on each host.
        found = timed("view violations", lambda: engine.rows(
            "SELECT host, sum(violations) AS number FROM dmns_audit.violations GROUP BY host"))
        lifetimes = run(ask.program, ["report", "dm", "--format", "json", *files]).splitlines()
        expected = collections.Counter()
        for lifetime in map(json.loads, lifetimes):
            expected[lifetime["node"]] += lifetime["violations"]
        compare("violations", [(host, number) for host, number in expected.items() if number],
                [(row["host"], row["number"]) for row in found])
        if ask.figures:
            engine.session.query("OPTIMIZE TABLE dmns_audit.records FINAL")
            stored = engine.rows("SELECT sum(bytes_on_disk) AS bytes, sum(rows) AS rows FROM system.parts "
                                 "WHERE active AND table = 'records'")[0]
            print(f"log: {size} bytes, table: {stored['bytes']} bytes, {stored['rows']} rows")
        counts = ", ".join(f"{number} {name}" for name, number in compared.items())
        print(f"the views and the reports of {len(hosts)} hosts are equal: {counts}")


if __name__ == "__main__":
    main()
