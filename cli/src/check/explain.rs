// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `check --explain`: what a rule requires, as docs/reference/check-rules.md has it.

use super::finding::Rule;
use std::io::{self, Write};

const PAGE: &str = include_str!("../../../docs/reference/check-rules.md");

/// Returns what `rule` requires, and how severe its findings are.
pub(super) fn about(rule: Rule) -> Option<(&'static str, &'static str)> {
    PAGE.lines().find_map(|line| {
        let mut cells = line.strip_prefix("| ")?.trim_end_matches(" |").split(" | ");
        let is_it = cells.next()?.split(", ").any(|name| name == rule.name());
        let (requires, severity) = (cells.next()?, cells.next()?);
        is_it.then_some((requires, severity))
    })
}

/// Writes what `rule` requires.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn explain(rule: Rule, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}", rule.name(), rule.summary())?;
    if let Some((requires, severity)) = about(rule) {
        writeln!(out, "\nrequires: {requires}\nseverity: {severity}")?;
    }
    writeln!(
        out,
        "\n`check --expect {}` suppresses its findings, and fails without any.",
        rule.name()
    )
}

/// Writes the name and the summary of each rule.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn list(out: &mut dyn Write) -> io::Result<()> {
    for rule in Rule::ALL {
        writeln!(out, "{:<26} {}", rule.name(), rule.summary())?;
    }
    writeln!(out, "\n`check --explain RULE` prints what a rule requires.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_rule() {
        for rule in Rule::ALL {
            let (requires, severity) = about(rule).unwrap_or_default();
            assert!(!requires.is_empty(), "{}", rule.name());
            let known = ["error", "note"].iter().any(|word| severity.contains(word));
            assert!(known, "{}: {severity}", rule.name());
            let mut out = Vec::new();
            explain(rule, &mut out).expect("written");
            assert!(out.len() > requires.len());
        }
    }
}
