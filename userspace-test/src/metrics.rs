// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test metrics`: prints the metrics of scenarios, with the module and with dm-audit.c in its
//! place.

use crate::report::{self, Verdict};

/// Returns a table for each scenario, in Markdown: its metrics, C's and ours.
pub(crate) fn markdown(ours: &[Verdict], c: &[Verdict], versions: &[String]) -> String {
    let mut text = String::from(
        "# What the module does where dm-audit.c waits, loses or sleeps\n\n\
         Made by `dmns-test metrics --markdown FILE`: the same steps with the module and without it, in guests of \
         the same kind. Without it, dm-audit.c writes the device-mapper records. Times are of guests with a clock that \
         counts instructions, one a nanosecond: only their ratio means something.\n\n",
    );
    text.push_str(&report::version_list(versions));
    for (ours, c) in ours.iter().zip(c) {
        text.push_str(&format!("\n## {}\n\n{}\n\n", ours.name, ours.title));
        text.push_str("| metric | without the module | with it |\n| --- | ---: | ---: |\n");
        for (name, value) in &ours.metrics {
            text.push_str(&format!("| {name} | {} | {value} |\n", value_of(c, name)));
        }
    }
    text
}

/// Returns a metric, or why there is none.
fn value_of<'a>(verdict: &'a Verdict, name: &str) -> &'a str {
    match verdict.metrics.iter().find(|(n, _)| n == name) {
        Some((_, value)) => value,
        None => "not taken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_stand_in_one_row() {
        let verdict = |metrics: &[(&str, &str)]| Verdict {
            metrics: metrics
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            ..Verdict::new("dm-event-flood", "many")
        };
        let table = markdown(
            &[verdict(&[("lost", "0"), ("ms", "12")])],
            &[verdict(&[("lost", "7")])],
            &[],
        );
        assert!(
            table.contains("| lost | 7 | 0 |\n| ms | not taken | 12 |\n"),
            "{table}"
        );
    }
}
