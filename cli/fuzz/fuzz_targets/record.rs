// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Any bytes as a line, its fields, a value, a time, a container.
#![no_main]

use dmns_audit::input::Wanted;
use dmns_audit::record::head::{self, Parsed, Parts};
use dmns_audit::record::value::{Fields, decoded, enriched, text};
use dmns_audit::record::{enrichment, form};
use dmns_audit::report::ns::container::ContainerSelector;
use dmns_audit::when::{self, Bound, Clock};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let wanted = Wanted::types(&["DM_C", "NS_I"]);
    let _ = wanted.may_want(bytes);
    match head::parse(bytes) {
        Parsed::Record(head) => {
            assert!(head.body_at + head.body.len() <= bytes.len());
            assert_eq!(&bytes[head.body_at..][..head.body.len()], head.body);
            let body = text(head.body);
            let _ = Fields::new(&body).text("vm");
            let _ = enriched(head.enrichment, "uid");
            let _ = Clock::utc().iso(head.stamp.seconds, head.stamp.millis);
        }
        Parsed::Broken(broken) => assert!(broken.at <= bytes.len()),
        Parsed::Foreign | Parsed::Loss(_) => {}
    }
    let parsed = head::parse(bytes);
    assert_eq!(Parts::of(bytes, &parsed).parsed(bytes, &[]), parsed);
    let (body, names) = enrichment::split(bytes);
    assert!(bytes.starts_with(body) && bytes.trim_ascii_end().ends_with(names) || names.is_empty());
    let (form, line) = form::of_lines(bytes);
    assert!(!form.describe().is_empty() && line != Some(0));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = decoded(text);
        let _ = ContainerSelector::parse(text);
        let now = when::fixed(1_795_000_000);
        let _ = when::parse(text, Bound::Start, &now);
        let _ = when::parse(text, Bound::End, &now);
    }
});
