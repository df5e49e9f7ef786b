// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Orders several logs. Rotated files of one log go from the oldest to the newest, in any order of
//! the command line. Unrelated logs go by their first record.

use super::open;
use super::sample::{self, Sample};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The age of a rotated file among the files of its log. Greater is newer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// `audit.log.3`, as auditd does it: the greater, the older.
    Turn(std::cmp::Reverse<u64>),
    /// `audit.log-20261121`, as logrotate's `dateext` does it: its digits, and those of a time
    /// after them.
    Date(String),
    /// `audit.log`, which is being written.
    Current,
}

/// The suffixes of compressed logs.
const PACKED: [&str; 9] = [
    ".gz", ".xz", ".zst", ".bz2", ".lz4", ".zstd", ".Z", ".bz", ".lzma",
];

/// Returns the name of the log that the file `name` belongs to, and its age.
fn rotation(name: &str) -> (&str, Age) {
    let name = PACKED
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // -20261121, .2026-11-21, _20261121-1795227208, .20261121.1
    let dated = name.match_indices(['-', '.', '_']).find_map(|(at, _)| {
        let date = date(&name[at + 1..])?;
        (at > 0).then(|| (&name[..at], Age::Date(date)))
    });
    if let Some(dated) = dated {
        return dated;
    }
    if let Some((stem, turn)) = name.rsplit_once('.') {
        if digits(turn) && !stem.is_empty() {
            if let Ok(turn) = turn.parse() {
                return (stem, Age::Turn(std::cmp::Reverse(turn)));
            }
        }
    }
    (name, Age::Current)
}

/// Returns the digits of a date and a time that are all of `text`, in an order in which they can be
/// compared: `20261121`, `2026-11-21`, `20261121-1795227208`, `20261121T041759`, `1795227208`.
fn date(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let part =
        |part: &str| (1..=14).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !text.split(['-', '.', '_', 'T', ':']).all(part) || digits.len() < 8 {
        return None;
    }
    let number = |from: usize, to: usize| digits[from..to].parse::<u64>().unwrap_or(0);
    let first = text
        .split(['-', '.', '_', 'T', ':'])
        .next()
        .unwrap_or_default();
    let plausible = matches!(number(0, 4), 1970..=2199)
        && matches!(number(4, 6), 1..=12)
        && matches!(number(6, 8), 1..=31)
        && matches!(first.len(), 4 | 8 | 10 | 12 | 14);
    if plausible {
        let (day, rest) = digits.split_at(8);
        // The rest counts as a time, or as the number of a file of that day.
        return Some(match rest.len() {
            0 => day.to_owned(),
            _ => format!("{day}{rest:0>14}"),
        });
    }
    // Seconds since 1970.
    if text.len() == 10 && first == text {
        let at = jiff::Timestamp::from_second(text.parse().ok()?).ok()?;
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        return Some(format!("{}{:0>14}", at.strftime("%Y%m%d"), text));
    }
    None
}

/// Returns whether the file `name` is `log` or one that it was rotated to.
pub(super) fn belongs(name: &str, log: &str) -> bool {
    rotation(name).0 == log
}

/// Files that are one log, oldest first.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) paths: Vec<PathBuf>,
    /// The sample of its first records; `None` if there is no other group.
    pub(super) sample: Option<Sample>,
}

impl Group {
    /// Returns the time of its first record.
    pub(super) fn first(&self) -> Option<(u64, u16)> {
        let first = self.sample.as_ref()?.first()?;
        Some((first.seconds, first.millis))
    }
}

/// Returns the beginning of the log at `path`.
fn sample(hasher: &sample::Fixed, path: &Path) -> Option<Sample> {
    let (file, _) = open::file(path).ok()?;
    let opened = open::look(file, sample::LENGTH).ok()?;
    let begin = match opened.journal {
        false => opened.begin,
        true => {
            use std::io::Read;
            let mut records = Vec::new();
            let most = sample::LENGTH as u64;
            // A read error is reported at its turn.
            let _ = opened.source.take(most).read_to_end(&mut records);
            records
        }
    };
    Some(Sample::of(hasher, &begin))
}

/// Sorts `paths`, oldest first.
#[cfg(test)]
fn sort(paths: &mut Vec<PathBuf>) {
    let groups = groups(std::mem::take(paths));
    paths.extend(groups.into_iter().flat_map(|group| group.paths));
}

/// Returns the logs of `paths`, and their files, oldest first.
pub(super) fn groups(paths: Vec<PathBuf>) -> Vec<Group> {
    if paths.len() < 2 {
        return vec![Group {
            paths,
            sample: None,
        }];
    }
    let mut logs: HashMap<PathBuf, usize> = HashMap::new();
    let mut groups: Vec<Vec<(Age, PathBuf)>> = Vec::new();
    for path in paths {
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
    let hasher = sample::Fixed;
    let mut copies = Vec::new();
    for group in &mut groups {
        group.sort_by(|a, b| a.0.cmp(&b.0));
        if group.len() > 1 {
            copies.extend(apart(&hasher, group));
        }
    }
    groups.extend(copies.into_iter().map(|copy| vec![copy]));
    let one = groups.len() == 1;
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|files| {
            let paths: Vec<PathBuf> = files.into_iter().map(|(_, path)| path).collect();
            let sample = match one {
                true => None,
                false => paths.iter().find_map(|path| {
                    sample(&hasher, path).filter(|sample| !sample.records.is_empty())
                }),
            };
            Group { paths, sample }
        })
        .collect();
    // A log without a time, broken or absent, keeps its place after the others.
    groups.sort_by_key(|group| (group.first().is_none(), group.first()));
    groups
}

/// Removes copies: files of a log that begin with the same record as one before.
fn apart(hasher: &sample::Fixed, group: &mut Vec<(Age, PathBuf)>) -> Vec<(Age, PathBuf)> {
    let mut begins = std::collections::HashSet::new();
    let mut copies = Vec::new();
    for file in std::mem::take(group) {
        let first = sample(hasher, &file.1).and_then(|sample| sample.records.first().copied());
        match first {
            Some(first) if !begins.insert(first) => copies.push(file),
            _ => group.push(file),
        }
    }
    copies
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
                ("audit-host.log", Age::Date("20261121".into())),
            ),
            (
                "audit.log-2026-11-21",
                ("audit.log", Age::Date("20261121".into())),
            ),
            (
                "audit.log.20261121",
                ("audit.log", Age::Date("20261121".into())),
            ),
            (
                "audit.log.20261121.bz2",
                ("audit.log", Age::Date("20261121".into())),
            ),
            (
                "audit.log_2026-11-21.lz4",
                ("audit.log", Age::Date("20261121".into())),
            ),
            (
                "audit.log-20261121-1795227208",
                ("audit.log", Age::Date("2026112100001795227208".into())),
            ),
            (
                "audit.log.1795227208",
                ("audit.log", Age::Date("2026112100001795227208".into())),
            ),
            (
                "audit.log.20261121.2",
                ("audit.log", Age::Date("2026112100000000000002".into())),
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
