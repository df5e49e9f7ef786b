// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Any bytes as several logs, which are read in the order of time: rotated, compressed, of one host
//! and of two.
#![no_main]

use dmns_audit::input::{Log, Step, Wanted};
use dmns_audit::report::{Options, collect, dm};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::io;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let names = [
        "a/audit.log.1",
        "a/audit.log-20261123",
        "a/audit.log",
        "b/audit.log",
        "syslog",
    ];
    let mut paths = Vec::new();
    for (name, part) in names.iter().zip(bytes.split(|&byte| byte == 0xff)) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, part).expect("written");
        paths.push(path);
    }
    for host in [None, Some("h")] {
        let mut log = Log::of_host(&paths, host).expect("opened");
        let mut lines = 0;
        while let Some(step) = log.next_step(&Wanted::all()) {
            match step {
                Step::Line(place, raw, _) => {
                    lines += 1;
                    assert_eq!(place.line, raw.number);
                }
                Step::Problem(problem) => assert!(!problem.to_string().is_empty()),
            }
        }
        assert!(lines <= bytes.len() + names.len());
        assert!(log.repeated().is_none_or(|repeated| repeated.records > 0));
        let options = Options::default();
        let mut report = dm::Report::new(&options);
        let mut log = Log::of_host(&paths, host).expect("opened");
        collect(&mut log, &mut report, |_| {}).expect("kept");
        report.end(&mut io::sink()).expect("written");
    }
});
