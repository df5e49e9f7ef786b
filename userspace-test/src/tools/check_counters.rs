// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The module's counters against what arrived, and against what audit lost.

use super::counters::Counters;
use super::{records, status};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

/// Compare the module's counters with the records that arrived, and with audit's `lost`.
#[derive(Args)]
pub(super) struct CheckCounters {
    /// Number of creations and deletions of namespaces without a record: as many must have been
    /// withheld.
    missing: Option<u64>,
}

/// Compares them.
pub(super) fn run(options: &CheckCounters) -> Result<ExitCode> {
    let counters = Counters::read()?;
    let records = records::read(&["--raw"])?;
    let lost = lost(&output("auditctl", &["-s"])?)?;
    let dmesg = output("dmesg", &[])?;
    let (text, wrong) = compare(&counters, &records, lost, &dmesg, options.missing);
    print!("{text}");
    Ok(status(wrong))
}

/// Returns what a command prints.
fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| program.to_owned())?;
    ensure!(
        output.status.success(),
        "{program} ended with {}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads audit's `lost` from what auditctl prints.
fn lost(text: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("lost "));
    Ok(line
        .context("auditctl prints no line `lost`")?
        .trim()
        .parse()?)
}

/// Counts the records of an auditd's log by type: those of this project have a number, or begin
/// with `DM_`.
fn arrived(records: &str) -> BTreeMap<&str, u64> {
    let mut arrived = BTreeMap::new();
    for line in records.lines() {
        let ty = line
            .strip_prefix("type=")
            .and_then(|rest| rest.split_once(' '))
            .map(|(ty, _)| ty);
        if let Some(ty) = ty {
            let number = ty
                .strip_prefix("UNKNOWN[")
                .and_then(|rest| rest.strip_suffix(']'));
            *arrived.entry(number.unwrap_or(ty)).or_default() += 1;
        }
    }
    arrived
}

/// Compares, and returns what there is to say and whether anything differs.
fn compare(
    counters: &Counters,
    records: &str,
    lost: u64,
    dmesg: &str,
    missing: Option<u64>,
) -> (String, bool) {
    let mut text = String::new();
    let mut wrong = false;
    let arrived = arrived(records);
    let mut withheld = 0;
    let mut rows: Vec<_> = counters.rows.iter().collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    for row in rows {
        let namespace = row.name.starts_with("NS_INIT_") || row.name.starts_with("NS_DEL_");
        for (column, &count) in counters.columns.iter().zip(&row.counts) {
            match column.as_str() {
                "emitted" => {
                    let named = arrived.get(row.name.as_str());
                    let numbered = arrived.get(row.number.to_string().as_str());
                    let arrived = named.unwrap_or(&0) + numbered.unwrap_or(&0);
                    if arrived != count {
                        text += &format!("{}: emitted {count}, arrived {arrived}\n", row.name);
                        wrong = true;
                    }
                }
                // These records come, or are lost under another name.
                "retried" | "deferred" => {}
                _ if namespace => withheld += count,
                _ => {}
            }
        }
    }
    let sums: Vec<(&str, u64)> = counters
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| (column.as_str(), counters.sum(i)))
        .collect();
    let mut refused: u64 = sums
        .iter()
        .filter(|(column, _)| column.starts_with("refused") || column.starts_with("retried"))
        .map(|(_, sum)| sum)
        .sum();
    // Audit's own type, which the module does not count.
    refused += dmesg
        .matches("dmns_audit: CONFIG_CHANGE: refused by audit")
        .count() as u64;
    let shown: Vec<String> = sums
        .iter()
        .map(|(column, sum)| format!("{column} {sum}"))
        .collect();
    text += &format!("{}; audit lost {lost}\n", shown.join(", "));
    if lost != refused {
        text += &format!("audit lost {lost}, it refused {refused} of the module's\n");
        wrong = true;
    }
    if let Some(missing) = missing.filter(|&missing| missing != withheld) {
        text += &format!(
            "{missing} creations and deletions have no record, {withheld} were withheld\n"
        );
        wrong = true;
    }
    (text, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "type number emitted disabled refused no_room retried deferred\n\
        DM_CTRL 1338 1 0 1 0 0 0\n\
        NS_INIT_UTS 1381 2 0 1 2 5 7\n\
        NS_INFO 1396 0 9 0 0 0 0\n";
    const RECORDS: &str = "type=DM_CTRL msg=audit(1.2:3): x\n\
        type=UNKNOWN[1381] msg=audit(1.2:4): x\n\
        type=UNKNOWN[1381] msg=audit(1.2:5): x\n\
        type=SYSCALL msg=audit(1.2:5): x\n";

    fn compared(lost: u64, dmesg: &str, missing: Option<u64>) -> Result<(String, bool)> {
        let counters = Counters::parse(TABLE)?;
        Ok(compare(&counters, RECORDS, lost, dmesg, missing))
    }

    #[test]
    fn what_agrees_is_not_wrong() -> Result<()> {
        let sums = "emitted 3, disabled 9, refused 2, no_room 2, retried 5, deferred 7; audit lost";
        assert_eq!(compared(7, "", Some(3))?, (format!("{sums} 7\n"), false));
        let dmesg = "[1] dmns_audit: CONFIG_CHANGE: refused by audit\n";
        assert_eq!(compared(8, dmesg, None)?, (format!("{sums} 8\n"), false));
        Ok(())
    }

    #[test]
    fn what_differs_is_wrong() -> Result<()> {
        for (lost, missing, says) in [
            (6, None, "audit lost 6, it refused 7 of the module's"),
            (
                7,
                Some(4),
                "4 creations and deletions have no record, 3 were withheld",
            ),
        ] {
            let (text, wrong) = compared(lost, "", missing)?;
            assert!(wrong && text.contains(says), "{text}");
        }
        let counters = Counters::parse(TABLE)?;
        let without = RECORDS.replacen("UNKNOWN[1381]", "SYSCALL", 1);
        let (text, wrong) = compare(&counters, &without, 7, "", None);
        assert!(
            wrong && text.starts_with("NS_INIT_UTS: emitted 2, arrived 1\n"),
            "{text}"
        );
        Ok(())
    }

    #[test]
    fn the_line_of_auditctl_is_needed() -> Result<()> {
        assert_eq!(lost("enabled 1\nlost 12\nbacklog 0\n")?, 12);
        assert!(lost("enabled 1\n").is_err());
        Ok(())
    }
}
