// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the logs of one machine, if their records name none.

use super::order::Group;
use std::path::Path;

/// The result.
#[derive(Debug, Default)]
pub(super) struct Machines {
    /// The host of each log's records that name none.
    pub(super) names: Vec<Option<Box<[u8]>>>,
    /// A message, if they are taken for several machines.
    pub(super) said: Option<String>,
}

/// Sorts the logs `groups` by machine. Logs that share a record are of one machine. Logs with
/// serial numbers that contradict are of two. The folder decides for the others.
pub(super) fn of(groups: &[Group]) -> Machines {
    let mut found = Machines {
        names: vec![None; groups.len()],
        said: None,
    };
    // A log without a host is of the host with which it shares a record.
    let named: Vec<&Group> = groups
        .iter()
        .filter(|group| host_of(group).is_some())
        .collect();
    let unnamed: Vec<usize> = (0..groups.len())
        .filter(|&at| {
            groups[at]
                .sample
                .as_ref()
                .is_some_and(|sample| sample.unnamed)
        })
        .collect();
    // By log: the first log of the same machine.
    let mut machine: Vec<usize> = (0..groups.len()).collect();
    for (i, &a) in unnamed.iter().enumerate() {
        let first = unnamed[..i]
            .iter()
            .copied()
            .find(|&b| is_same(&groups[a], &groups[b]));
        if let Some(b) = first {
            machine[a] = machine[b];
        }
    }
    let mut machines: Vec<usize> = unnamed.iter().map(|&at| machine[at]).collect();
    machines.sort_unstable();
    machines.dedup();
    for &at in &unnamed {
        let shares = |group: &&&Group| match (&groups[at].sample, &group.sample) {
            (Some(own), Some(other)) => own.shares(other),
            _ => false,
        };
        let near = |group: &&&Group| {
            named.len() == 1 && machines.len() == 1 && shares_folder(&groups[at], group)
        };
        let host = named.iter().find(shares).or(named.iter().find(near));
        found.names[at] = host.and_then(|group| host_of(group)).map(Into::into);
    }
    let left: Vec<usize> = machines
        .into_iter()
        .filter(|&first| found.names[first].is_none())
        .collect();
    if left.len() < 2 {
        return found;
    }
    let names = names(
        &left
            .iter()
            .map(|&at| &*groups[at].paths[0])
            .collect::<Vec<_>>(),
    );
    for &at in &unnamed {
        if let Some(place) = left.iter().position(|&first| first == machine[at]) {
            found.names[at] = Some(names[place].as_bytes().into());
        }
    }
    found.said = Some(format!(
        "the records name no host: the logs are taken for those of {} hosts, {}; --host NAME takes them for those of one",
        names.len(),
        names.join(", ")
    ));
    found
}

/// Returns the host that all records of `group` name.
fn host_of(group: &Group) -> Option<&[u8]> {
    let sample = group.sample.as_ref().filter(|sample| !sample.unnamed)?;
    let mut hosts = sample.hosts.iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host),
        _ => None,
    }
}

fn is_same(a: &Group, b: &Group) -> bool {
    match (&a.sample, &b.sample) {
        (Some(own), Some(other)) if own.shares(other) => true,
        (Some(own), Some(other)) if own.is_apart(other) => false,
        _ => shares_folder(a, b),
    }
}

/// Returns whether two logs are in one folder, or one folder is in the other: `/var/log/audit` and
/// `/var/log`.
fn shares_folder(a: &Group, b: &Group) -> bool {
    let folder = |group: &Group| {
        let path = group.paths.first()?;
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        Some(path.parent()?.to_owned())
    };
    match (folder(a), folder(b)) {
        (Some(a), Some(b)) => a.starts_with(&b) || b.starts_with(&a),
        _ => true,
    }
}

/// Names machines with logs at `paths`: by the first part in which these differ.
fn names(paths: &[&Path]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths
        .iter()
        .map(|path| {
            let parts = path
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned());
            parts.collect()
        })
        .collect();
    let plain = |part: &str| -> String {
        let letter = |c: char| if c.is_ascii_graphic() { c } else { '?' };
        part.chars().map(letter).collect()
    };
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..longest {
        let mut names: Vec<String> = Vec::new();
        for parts in &parts {
            let name = plain(parts.get(at).map_or("", String::as_str));
            if name.is_empty() || names.contains(&name) {
                break;
            }
            names.push(name);
        }
        if names.len() == parts.len() {
            return names;
        }
    }
    paths
        .iter()
        .map(|path| plain(&path.to_string_lossy()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::sample::Sample;

    fn group(path: &str, text: &str) -> Group {
        Group {
            paths: vec![path.into()],
            sample: Some(Sample::of(&crate::input::sample::Fixed, text.as_bytes())),
        }
    }

    fn line(node: &str, seconds: u64, serial: u64) -> String {
        format!("{node}type=DM_EVENT msg=audit({seconds}.000:{serial}): sector={serial}\n")
    }

    fn found(groups: &[Group]) -> Vec<Option<String>> {
        let text = |name: &Option<Box<[u8]>>| {
            name.as_ref()
                .map(|name| String::from_utf8_lossy(name).into_owned())
        };
        of(groups).names.iter().map(text).collect()
    }

    #[test]
    fn two_folders_are_two_machines_and_copies_are_one() {
        let (a, b) = (line("", 100, 5), line("", 400, 9));
        let two = [group("x/m1/audit.log", &a), group("x/m2/audit.log", &b)];
        assert_eq!(found(&two), [Some("m1".to_owned()), Some("m2".to_owned())]);
        assert!(of(&two).said.is_some());
        let copy = [
            group("x/m1/audit.log", &a),
            group("x/copy/audit.log", &(a.clone() + &b)),
        ];
        assert_eq!(found(&copy), [None, None]);
        let one = [group("x/a.log", &a), group("x/b.log", &b)];
        assert_eq!(found(&one), [None, None]);
        let apart = [
            group("x/a.log", &line("", 100, 50)),
            group("x/b.log", &line("", 105, 20)),
        ];
        assert_eq!(
            found(&apart),
            [Some("a.log".to_owned()), Some("b.log".to_owned())]
        );
        let syslog = [
            group("log/audit/audit.log", &a),
            group("log/syslog", &line("node=h ", 100, 5)),
        ];
        assert_eq!(found(&syslog), [Some("h".to_owned()), None]);
    }
}
