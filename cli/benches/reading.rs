// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo bench -p dmns-audit-cli`: what a record costs, from the file to the report.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use dmns_audit::check::{
    Problem, Reporter, Totals, check,
    finding::{Finding, Rule},
};
use dmns_audit::input::lines::Lines;
use dmns_audit::input::{Log, Wanted};
use dmns_audit::ranges::Ranges;
use dmns_audit::record::head;
use dmns_audit::record::value::Fields;
use dmns_audit::report::{self, Options, dm, virt};
use std::io::{self, Cursor};

fn main() {
    divan::main();
}

const DM: &str = include_str!("../tests/logs/dm.log");
const VIRT: &str = include_str!("../tests/logs/virt.log");

/// Returns a few megabytes, of which one record in twenty is ours.
fn log() -> Vec<u8> {
    let other = "type=PATH msg=audit(1.000:1): item=0 name=\"/var/lib/app/data\" inode=1 dev=fd:01 mode=0100644 \
                 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n";
    let mut log = Vec::new();
    for (i, line) in DM
        .lines()
        .chain(VIRT.lines())
        .cycle()
        .take(1000)
        .enumerate()
    {
        log.extend_from_slice(other.repeat(19 + i % 3).as_bytes());
        log.extend_from_slice(line.as_bytes());
        log.push(b'\n');
    }
    log
}

/// Finds the ends of lines, and which of them are wanted.
#[divan::bench]
fn lines(bencher: Bencher<'_, '_>) {
    let log = log();
    let wanted = Wanted::types(&["DM_C", "DM_E"]);
    bencher.counter(BytesCount::of_slice(&log)).bench(|| {
        let mut lines = Lines::new(&log[..]);
        let mut found = 0;
        while lines.seek(&wanted).is_ok_and(|more| more) {
            found += 1;
        }
        found
    });
}

/// Takes a line apart up to its fields.
#[divan::bench]
fn heads(bencher: Bencher<'_, '_>) {
    let lines: Vec<_> = DM.lines().map(str::as_bytes).collect();
    bencher.counter(ItemsCount::new(lines.len())).bench(|| {
        lines
            .iter()
            .filter(|line| matches!(head::parse(line), head::Parsed::Record(_)))
            .count()
    });
}

/// Takes a record of libvirt apart.
#[divan::bench]
fn fields(bencher: Bencher<'_, '_>) {
    let lines: Vec<_> = VIRT.lines().filter(|line| line.contains("msg='")).collect();
    bencher.counter(ItemsCount::new(lines.len())).bench(|| {
        lines
            .iter()
            .filter(|line| Fields::new(line).raw("vm").is_some())
            .count()
    });
}

struct Nobody;

impl Reporter for Nobody {
    fn finding(&mut self, _: &str, _: &Finding) -> io::Result<()> {
        Ok(())
    }
    fn unmet(&mut self, _: Rule) -> io::Result<()> {
        Ok(())
    }
    fn problem(&mut self, _: &Problem) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self, _: &Totals) -> io::Result<()> {
        Ok(())
    }
}

/// Judges a log.
#[divan::bench]
fn checking(bencher: Bencher<'_, '_>) {
    let log = log();
    bencher
        .counter(BytesCount::of_slice(&log))
        .with_inputs(|| Log::stream("log", Cursor::new(log.clone())))
        .bench_values(|mut log| check(&mut log, false, &[], &mut Nobody));
}

/// Reports mappings.
#[divan::bench]
fn report_dm(bencher: Bencher<'_, '_>) {
    let log = log();
    bencher
        .counter(BytesCount::of_slice(&log))
        .with_inputs(|| Log::stream("log", Cursor::new(log.clone())))
        .bench_values(|mut log| {
            let options = Options::default();
            let mut report = dm::Report::new(&options);
            report::collect(&mut log, &mut report, |_| {})?;
            report.end(&mut io::sink())
        });
}

/// Reports guests.
#[divan::bench]
fn report_virt(bencher: Bencher<'_, '_>) {
    let log = log();
    let ask = virt::VirtOptions::default();
    bencher
        .counter(BytesCount::of_slice(&log))
        .with_inputs(|| Log::stream("log", Cursor::new(log.clone())))
        .bench_values(|mut log| {
            let options = Options {
                all_events: true,
                ..Options::default()
            };
            let mut report = virt::Report::new(&options, &ask);
            report::collect(&mut log, &mut report, |_| {})?;
            report.end(&mut io::sink())
        });
}

/// Adds scattered sectors to a set.
#[divan::bench(args = [100, 10_000, 1_000_000])]
fn ranges(bencher: Bencher<'_, '_>, count: u64) {
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let mut ranges = Ranges::default();
        for i in 0..count {
            ranges.insert(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (1 << 30));
        }
        ranges.distinct()
    });
}
