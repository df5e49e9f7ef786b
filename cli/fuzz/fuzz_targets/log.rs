// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Any bytes as a log, compressed or not: checked, reported in each way, and watched.
#![no_main]

use dmns_audit::check::finding::{Finding, Rule};
use dmns_audit::check::{Problem, Reporter, Totals, check};
use dmns_audit::events::filter::EventFilter;
use dmns_audit::events::{self, Format};
use dmns_audit::html::{self, Page};
use dmns_audit::input::Log;
use dmns_audit::report::ns::container::ContainerSelector;
use dmns_audit::report::{Options, collect, dm, ns, virt};
use dmns_audit::watch::containers::Containers;
use dmns_audit::watch::events::Events;
use dmns_audit::watch::print;
use libfuzzer_sys::fuzz_target;
use std::io::{self, Cursor};
use std::time::Instant;

/// Looks at each finding as the real reporters do.
struct Careful(u64);

impl Reporter for Careful {
    fn finding(&mut self, _: &str, finding: &Finding) -> io::Result<()> {
        assert!(finding.line.is_ascii(), "a byte is a character");
        assert!(finding.span.start <= finding.span.end && finding.span.end <= finding.line.len());
        assert!(finding.place.line > 0);
        self.0 += 1;
        Ok(())
    }
    fn unmet(&mut self, _: Rule) -> io::Result<()> {
        Ok(())
    }
    fn problem(&mut self, _: &Problem) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self, totals: &Totals) -> io::Result<()> {
        assert_eq!(totals.errors + totals.notes, self.0);
        assert!(totals.judged <= totals.records);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let log = || Log::stream("log", Cursor::new(bytes.to_vec()));
    check(&mut log(), false, &[], &mut Careful(0)).expect("nothing to write");

    let text = Options {
        all_events: true,
        proof: true,
        ..Options::default()
    };
    let json = Options {
        json: true,
        ..html::options(&text)
    };
    let ask = virt::VirtOptions::default();
    for options in [&text, &json] {
        let mut report = dm::Report::new(options);
        collect(&mut log(), &mut report, |_| {}).expect("kept");
        report.end(&mut io::sink()).expect("written");
        let mut report = virt::Report::new(options, &ask);
        collect(&mut log(), &mut report, |_| {}).expect("kept");
        report.end(&mut io::sink()).expect("written");
        let (inside, tree) = (Some(ContainerSelector::Id(11)), true);
        for ask in [
            ns::NsOptions::default(),
            ns::NsOptions {
                container: inside,
                ..ns::NsOptions::default()
            },
            ns::NsOptions {
                container: Some(ContainerSelector::Name("web".to_owned())),
                ..ns::NsOptions::default()
            },
            ns::NsOptions {
                tree,
                ..ns::NsOptions::default()
            },
        ] {
            let mut report = ns::Report::new(options, &ask);
            collect(&mut log(), &mut report, |_| {}).expect("kept");
            report.end(&mut io::sink()).expect("written");
        }
    }
    let namespaces = ns::NsOptions::default();
    let mut page = Page::new(&text, &ask, &namespaces);
    collect(&mut log(), &mut page, |_| {}).expect("kept");

    for format in [Format::Text, Format::Json, Format::Csv] {
        let mut filter = EventFilter {
            path: (format == Format::Csv).then(|| "/srv/*".to_owned()),
            ..EventFilter::default()
        };
        let mut log = log();
        let totals = events::events(
            &mut log,
            &text,
            &mut filter,
            format,
            &mut io::sink(),
            |_| {},
        )
        .expect("written");
        assert!(totals.printed <= totals.events);
        assert!(filter.path.is_some() || totals.printed == totals.events);
    }
    let mut events = Events::default();
    let mut containers = Containers::default();
    let mut out = io::sink();
    for line in bytes.split(|&b| b == b'\n') {
        for event in events.record(line, None, Instant::now()) {
            let context = containers.classify(&event);
            print::event(&event, &context, &json, &mut out).expect("written");
            print::event(&event, &context, &text, &mut out).expect("written");
        }
    }
});
