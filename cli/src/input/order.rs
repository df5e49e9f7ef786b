// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The order of several logs: rotated files of one log from the oldest to the newest, whatever order the
//! shell names them in; unrelated logs by their first record.

use super::lines::Lines;
use super::open;
use super::wanted::Wanted;
use crate::record::head::{self, Parsed};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How a rotated file stands to the others of its log. Greater is newer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// `audit.log.3`, as auditd does it: the greater, the older.
    Turn(std::cmp::Reverse<u64>),
    /// `audit.log-20261121`, as logrotate's `dateext` does it.
    Date(String),
    /// `audit.log`, which is being written.
    Current,
}

/// The name of the log that the file `name` belongs to, and its age.
fn rotation(name: &str) -> (&str, Age) {
    let name = [".gz", ".xz", ".zst"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((stem, turn)) = name.rsplit_once('.') {
        if digits(turn) {
            if let Ok(turn) = turn.parse() {
                return (stem, Age::Turn(std::cmp::Reverse(turn)));
            }
        }
    }
    // -20261121, -2026-11-21, -20261121-1795227208
    let dated = name.match_indices('-').find(|(at, _)| {
        let rest = &name[at + 1..];
        rest.len() >= 8 && rest.split('-').all(digits)
    });
    match dated {
        Some((at, _)) => (&name[..at], Age::Date(name[at + 1..].to_owned())),
        None => (name, Age::Current),
    }
}

/// Whether the file `name` is `log` or one that it was rotated to.
pub(super) fn belongs(name: &str, log: &str) -> bool {
    rotation(name).0 == log
}

/// When the first record of the log at `path` was made: seconds and milliseconds since 1970.
fn first_time(path: &Path) -> Option<(u64, u16)> {
    let (file, _) = open::file(path).ok()?;
    let mut lines = Lines::new(open::stream(file).ok()?);
    for _ in 0..1000 {
        let raw = lines.next_line(&Wanted::all()).ok()??;
        if let Parsed::Record(head) = head::parse(raw.text) {
            return Some((head.stamp.seconds, head.stamp.millis));
        }
    }
    None
}

/// Sorts `paths`, oldest first.
pub fn sort(paths: &mut Vec<PathBuf>) {
    if paths.len() < 2 {
        return;
    }
    let mut logs: HashMap<PathBuf, usize> = HashMap::new();
    let mut groups: Vec<Vec<(Age, PathBuf)>> = Vec::new();
    for path in paths.drain(..) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (stem, age) = rotation(&name);
        let group = *logs.entry(path.with_file_name(stem)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push((age, path));
    }
    for group in &mut groups {
        group.sort_by(|a, b| a.0.cmp(&b.0));
    }
    if groups.len() > 1 {
        // What has no time, broken or absent, keeps its place after what has.
        groups.sort_by_cached_key(|group| {
            let time = group.iter().find_map(|(_, path)| first_time(path));
            (time.is_none(), time)
        });
    }
    paths.extend(groups.into_iter().flatten().map(|(_, path)| path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_of_rotated_files_are_understood() {
        let turn = |n| Age::Turn(std::cmp::Reverse(n));
        for (name, expected) in [
            ("audit.log", ("audit.log", Age::Current)),
            ("audit.log.12", ("audit.log", turn(12))),
            ("audit.log.1.gz", ("audit.log", turn(1))),
            (
                "audit.log-20261121.xz",
                ("audit.log", Age::Date("20261121".into())),
            ),
            (
                "audit-host.log-2026-11-21",
                ("audit-host.log", Age::Date("2026-11-21".into())),
            ),
            ("run-3.log", ("run-3.log", Age::Current)),
            ("-", ("-", Age::Current)),
        ] {
            assert_eq!(rotation(name), expected, "{name}");
        }
        assert!(belongs("audit.log.2", "audit.log"));
        assert!(!belongs("audit.log.bak", "audit.log"));
    }

    #[test]
    fn rotated_files_come_oldest_first_and_logs_by_their_first_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, time: u64| {
            let text = format!("type=CWD msg=audit({time}.000:1): cwd=\"/\"\n");
            fs::write(at(name), text).expect("written");
        };
        // The clock was set back between .10 and .2: the number counts.
        for (name, time) in [
            ("audit.log.10", 500),
            ("audit.log.2", 100),
            ("audit.log", 300),
            ("b.log", 50),
            ("z.log-20260101", 10),
            ("z.log", 900),
        ] {
            write(name, time);
        }
        fs::write(at("empty"), "").expect("written");
        let mut paths: Vec<_> = [
            "empty",
            "audit.log",
            "audit.log.10",
            "z.log",
            "z.log-20260101",
            "audit.log.2",
            "b.log",
            "absent",
        ]
        .map(at)
        .into();
        sort(&mut paths);
        let expected: Vec<_> = [
            "z.log-20260101",
            "z.log",
            "b.log",
            "audit.log.10",
            "audit.log.2",
            "audit.log",
            "empty",
            "absent",
        ]
        .map(at)
        .into();
        assert_eq!(paths, expected);
    }
}
