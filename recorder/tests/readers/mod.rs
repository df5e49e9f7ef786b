// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads what was recorded, with the readers of `dmns-audit`.

use dmns_audit::check::text::Text;
use dmns_audit::input::Log;
use dmns_audit::report::{self, Options, virt};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn open(log: &Path) -> Log {
    Log::of_host(&[PathBuf::from(log)], None).expect("a log")
}

/// Returns the rows of `report virt --format json`, with `--all-events` if `all` is set.
pub(crate) fn rows(log: &Path, all: bool) -> Vec<Value> {
    let options = Options {
        json: true,
        all_events: all,
        ..Options::default()
    };
    let ask = virt::VirtOptions::default();
    let mut report = virt::Report::new(&options, &ask);
    report::collect(&mut open(log), &mut report, |problem| panic!("{problem}")).expect("read");
    let mut rows = Vec::new();
    report.end(&mut rows).expect("written");
    String::from_utf8_lossy(&rows)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Returns what `check --strict` prints, if it finds anything.
pub(crate) fn check(log: &Path) -> String {
    let mut out = Vec::new();
    let mut text = Text::new(&mut out, false, 140);
    let found = dmns_audit::check::check(&mut open(log), false, &[], &mut text).expect("read");
    match found.problems + found.unmet + found.errors + found.notes {
        0 => String::new(),
        _ => String::from_utf8_lossy(&out).into_owned(),
    }
}
