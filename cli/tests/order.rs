// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The order of the records of an event is of no matter: `ausearch` without `--raw` writes them last to first.

use dmns_audit::check::finding::{Finding, Rule};
use dmns_audit::check::{Problem, Reporter, Totals, check};
use dmns_audit::input::Log;
use dmns_audit::record::head::{Parsed, parse};
use dmns_audit::report::ns::container::ContainerSelector;
use dmns_audit::report::{Options, collect, dm, ns, virt};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Cursor};

const LOGS: [&str; 5] = [
    include_str!("logs/dm.log"),
    include_str!("logs/ns.log"),
    include_str!("logs/containers.log"),
    include_str!("logs/libvirt.log"),
    include_str!("corpus/f-container.log"),
];

#[derive(Default)]
struct Found(Vec<String>);

impl Reporter for Found {
    fn finding(&mut self, _: &str, finding: &Finding) -> io::Result<()> {
        let place = |word: &&str| !word.bytes().any(|b| b.is_ascii_digit());
        let words: Vec<_> = finding.message.split(' ').filter(place).collect();
        self.0
            .push(format!("{} {}", finding.rule.name(), words.join(" ")));
        Ok(())
    }
    fn unmet(&mut self, _: Rule) -> io::Result<()> {
        Ok(())
    }
    fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        self.0.push(problem.to_string());
        Ok(())
    }
    fn end(&mut self, totals: &Totals) -> io::Result<()> {
        self.0.sort();
        self.0.push(format!("{} judged", totals.judged));
        Ok(())
    }
}

/// What all reports and the check say of `text`.
fn answers(text: &str) -> Vec<String> {
    let log = || Log::stream("log", Cursor::new(text.to_owned()));
    let options = Options {
        all_events: true,
        ..Options::default()
    };
    let mut answers = Vec::new();
    let mut add = |out: Vec<u8>| answers.push(String::from_utf8(out).expect("text"));
    let mut out = Vec::new();
    let mut report = dm::Report::new(&options);
    collect(&mut log(), &mut report, |_| {}).expect("read");
    report.end(&mut out).expect("written");
    add(out);
    for ask in [
        ns::NsOptions::default(),
        ns::NsOptions {
            tree: true,
            ..ns::NsOptions::default()
        },
        ns::NsOptions {
            container: Some(ContainerSelector::Id(11)),
            ..ns::NsOptions::default()
        },
        ns::NsOptions {
            container: Some(ContainerSelector::Id(31)),
            ..ns::NsOptions::default()
        },
    ] {
        let mut out = Vec::new();
        let mut report = ns::Report::new(&options, &ask);
        collect(&mut log(), &mut report, |_| {}).expect("read");
        report.end(&mut out).expect("written");
        add(out);
    }
    let mut out = Vec::new();
    let ask = virt::VirtOptions::default();
    let mut report = virt::Report::new(&options, &ask);
    collect(&mut log(), &mut report, |_| {}).expect("read");
    report.end(&mut out).expect("written");
    add(out);
    let mut found = Found::default();
    check(&mut log(), false, &[], &mut found).expect("read");
    answers.push(found.0.join("\n"));
    answers
}

/// The lines of each event of `text`, by the place of its first one.
fn events(text: &str) -> Vec<Vec<&str>> {
    let mut order = Vec::new();
    let mut events: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        let stamp = match parse(line.as_bytes()) {
            Parsed::Record(head) => (head.stamp, head.node_name()),
            other => panic!("{line}: {other:?}"),
        };
        if !events.contains_key(&stamp) {
            order.push(stamp.clone());
        }
        events.entry(stamp).or_default().push(line);
    }
    order.iter().map(|stamp| events[stamp].clone()).collect()
}

#[test]
fn ausearch_gives_the_answers_of_the_raw_log() {
    for log in LOGS {
        let raw = answers(log);
        let mut plain = String::new();
        for event in events(log) {
            plain.push_str("----\ntime->Mon Nov 23 02:13:20 2026\n");
            for line in event.iter().rev() {
                plain.push_str(line);
                plain.push('\n');
            }
        }
        assert_eq!(answers(&plain), raw);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_order_within_an_event_gives_the_same_answers(
        log in 0..LOGS.len(),
        seeds in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        let raw = answers(LOGS[log]);
        let mut mixed = String::new();
        for (number, mut event) in events(LOGS[log]).into_iter().enumerate() {
            let mut seed = seeds[number % seeds.len()] ^ number as u64;
            for last in (1..event.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                event.swap(last, (seed >> 33) as usize % (last + 1));
            }
            mixed.push_str(&event.join("\n"));
            mixed.push('\n');
        }
        prop_assert_eq!(answers(&mixed), raw);
    }
}

/// What a record of an end says counts at once, wherever the log is cut.
#[test]
fn what_ends_with_the_last_record_has_ended() {
    let options = Options {
        json: true,
        ..Options::default()
    };
    let objects = |text: &str, report: &str| -> Vec<serde_json::Value> {
        let mut out = Vec::new();
        let mut log = Log::stream("log", Cursor::new(text.to_owned()));
        match report {
            "dm" => {
                let mut report = dm::Report::new(&options);
                collect(&mut log, &mut report, |_| {}).expect("read");
                report.end(&mut out).expect("written");
            }
            "virt" => {
                let ask = virt::VirtOptions::default();
                let mut report = virt::Report::new(&options, &ask);
                collect(&mut log, &mut report, |_| {}).expect("read");
                report.end(&mut out).expect("written");
            }
            tree => {
                let ask = ns::NsOptions {
                    tree: tree == "tree",
                    ..ns::NsOptions::default()
                };
                let mut report = ns::Report::new(&options, &ask);
                collect(&mut log, &mut report, |_| {}).expect("read");
                report.end(&mut out).expect("written");
            }
        }
        let text = String::from_utf8(out).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect()
    };
    for log in LOGS {
        let lines: Vec<_> = log.lines().collect();
        for report in ["dm", "ns", "tree", "virt"] {
            let whole = objects(log, report);
            for end in 1..=lines.len() {
                let line = lines[end - 1];
                let ends = ["NS_DEL", "[138", "[139", "op=dtr", "op=stop", "SHUTDOWN"];
                if !ends.iter().any(|word| line.contains(word)) {
                    continue;
                }
                let cut = lines[..end].join("\n") + "\n";
                let Parsed::Record(head) = parse(line.as_bytes()) else {
                    continue;
                };
                let id = format!(
                    "{}.{:03}:{}",
                    head.stamp.seconds, head.stamp.millis, head.stamp.serial
                );
                let ended = |rows: &[serde_json::Value]| {
                    rows.iter().filter(|row| row["end"]["id"] == *id).count()
                };
                assert!(
                    ended(&objects(&cut, report)) >= ended(&whole),
                    "{report} at {line}"
                );
            }
        }
    }
}
