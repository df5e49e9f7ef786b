// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test metrics`: prints the metrics of scenarios, with the module and with dm-audit.c in its
//! place.

use crate::report::{self, Verdict};
use std::collections::BTreeSet;

/// Returns a table for each scenario, in Markdown: its metrics on each side, which has a name and the
/// verdicts of the same scenarios.
pub(crate) fn markdown(sides: &[(String, Vec<Verdict>)], versions: &[String]) -> String {
    let mut text = String::from(
        "# What the module does where dm-audit.c waits, loses or sleeps\n\n\
         Made by `dmns-test metrics --markdown FILE`: the same steps with the module and without it, in guests of \
         the same kind. Without it, dm-audit.c writes the device-mapper records. Times are of guests with a clock that \
         counts instructions, one a nanosecond: only their ratio means something.\n\n",
    );
    text.push_str(&report::version_list(versions));
    let names: Vec<_> = sides.iter().map(|(name, _)| name.as_str()).collect();
    let scenarios = sides.first().map_or(0, |(_, verdicts)| verdicts.len());
    for of in 0..scenarios {
        let verdicts: Vec<_> = sides.iter().map(|(_, verdicts)| &verdicts[of]).collect();
        let Verdict { name, title, .. } = verdicts[0];
        text.push_str(&format!("\n## {name}\n\n{title}\n\n"));
        text.push_str(&format!("| metric | {} |\n", names.join(" | ")));
        text.push_str(&format!("| --- |{}\n", " ---: |".repeat(names.len())));
        let mut listed = BTreeSet::new();
        for (metric, _) in verdicts.iter().flat_map(|verdict| &verdict.metrics) {
            if listed.insert(metric) {
                let values: Vec<_> = verdicts.iter().map(|of| value_of(of, metric)).collect();
                text.push_str(&format!("| {metric} | {} |\n", values.join(" | ")));
            }
        }
    }
    text
}

/// Returns a metric, or why there is none.
fn value_of<'a>(verdict: &'a Verdict, name: &str) -> &'a str {
    match verdict.metrics.iter().find(|(n, _)| n == name) {
        Some((_, value)) => value,
        None if verdict.skipped.is_some() => "skipped",
        None => "not taken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sides_stand_in_one_row() {
        let verdict = |metrics: &[(&str, &str)]| Verdict {
            metrics: metrics
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            ..Verdict::new("dm-event-flood", "many")
        };
        let side = |name: &str, metrics| (name.to_owned(), vec![verdict(metrics)]);
        let table = markdown(
            &[
                side("without", &[("lost", "7")]),
                side("with", &[("lost", "0"), ("ms", "12")]),
                side("other", &[("ms", "11")]),
            ],
            &[],
        );
        let rows = "| metric | without | with | other |\n| --- | ---: | ---: | ---: |\n\
                    | lost | 7 | 0 | not taken |\n| ms | not taken | 12 | 11 |\n";
        assert!(table.contains(rows), "{table}");
    }
}
