// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Any bytes as a log, exported: each record of ours is a row, each row is JSON and says which
//! record it is.
#![no_main]

use dmns_audit::export::{ExportOptions, export};
use dmns_audit::input::{Log, Step, Wanted};
use dmns_audit::record::{Parsed, Type};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::collections::HashSet;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let log = || Log::stream("log", Cursor::new(bytes.to_vec()));
    let (mut records, all, mut read) = (0, Wanted::all(), log());
    // A record of ours that follows NULs within a torn record of another type is not seen.
    let mut torn = false;
    while let Some(step) = read.next_step(&all) {
        if let Step::Line(_, raw, Parsed::Record(head)) = step {
            torn |= raw.text.contains(&0);
            let boot = matches!(head.ty, Type::SystemBoot | Type::SystemShutdown);
            records += u64::from(boot || matches!(head.ty, Type::Ours(_) | Type::Virt(_)));
        }
    }
    let mut out = Vec::new();
    let mut exported = log();
    let totals =
        export(&mut exported, &ExportOptions::default(), &mut out, |_| {}).expect("written");
    // Where a log begins again depends on the lines that are wanted.
    if !torn && read.repeated().is_none() && exported.repeated().is_none() {
        assert_eq!(totals.rows, records);
    }
    let mut rows = 0;
    for line in out.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line).expect("JSON");
        let columns: HashSet<&String> = row.as_object().expect("an object").keys().collect();
        let names = ["host", "time", "serial", "type", "n", "hash", "copy"];
        assert!(
            names
                .iter()
                .all(|name| columns.iter().any(|column| column == name))
        );
        rows += 1;
    }
    assert_eq!(rows, totals.rows);
});
