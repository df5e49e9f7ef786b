// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whether an array, which a device is made of or belongs to, lacks a leg.
//!
//! C: `raid_status()` in `drivers/md/dm-raid.c`, `mirror_status()` in `dm-raid1.c`, `degraded_show()` in `md/md.c`.

use crate::locate::stack::Stack;
use crate::locate::tool;
use std::io;

/// Returns what is degraded of `device`, of those below and of those above, in words.
///
/// # Errors
///
/// Fails if mappings cannot be asked for their status.
pub fn degraded(stack: &Stack, device: &str) -> io::Result<Option<String>> {
    let related = stack.related(device);
    for number in &related {
        let missing = stack.md_degraded(number);
        if missing > 0 {
            let name = stack.name(number).unwrap_or_else(|| number.clone());
            return Ok(Some(format!(
                "{name} is degraded, without {missing} of its legs"
            )));
        }
    }
    let names: Vec<String> = (related.iter())
        .filter_map(|number| stack.mapping_name(number))
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let arguments = ["--manglename", "none", "status", "--noflush"];
    let text = tool::output("dmsetup", &arguments)?;
    Ok(text.lines().find_map(|line| {
        let (name, status) = line.split_once(": ")?;
        let why = of_status(status).filter(|_| names.iter().any(|n| n == name))?;
        Some(format!("{name} is degraded: {why}"))
    }))
}

/// Reads the status of a mapping: `0 8192 raid raid1 2 AD 8192/8192 idle 0 0 -`.
fn of_status(status: &str) -> Option<String> {
    let words: Vec<&str> = status.split_whitespace().collect();
    let health = match words.get(2..)? {
        ["raid", _, _, health, ..] => *health,
        // `mirror 2 253:1 253:2 8192/8192 1 AA 1 core`
        ["mirror", legs, rest @ ..] => rest.get(legs.parse::<usize>().ok()? + 2)?,
        _ => return None,
    };
    let number = |state: &[char]| health.chars().filter(|c| state.contains(c)).count();
    match (number(&['D', 'F', 'U', 'R', 'S']), number(&['a'])) {
        (0, 0) => None,
        (0, n) => Some(format!("{n} of its legs is not in sync ({health})")),
        (n, _) => Some(format!("{n} of its legs has failed ({health})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_that_failed_is_seen() {
        for (status, expected) in [
            ("0 8192 raid raid1 2 AA 8192/8192 idle 0 0 -", None),
            (
                "0 8192 raid raid1 2 AD 8192/8192 idle 0 0 -",
                Some("1 of its legs has failed (AD)"),
            ),
            (
                "0 8192 raid raid5_ls 3 aAA 0/8192 recover 0 0 -",
                Some("1 of its legs is not in sync (aAA)"),
            ),
            ("0 8192 mirror 2 253:1 253:2 8/8 1 AA 1 core", None),
            (
                "0 8192 mirror 2 253:1 253:2 8/8 1 AD 1 core",
                Some("1 of its legs has failed (AD)"),
            ),
            ("0 8192 linear ", None),
            ("", None),
        ] {
            assert_eq!(of_status(status).as_deref(), expected, "{status}");
        }
    }
}
