// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Active mappings and namespaces: the existing ones that this system shows, and the changes in records
//! since.
//!
//! A namespace is visible if a task is in it, or it is mounted. One that only a descriptor holds is not. The
//! module's baseline has it.

use dmns_audit_uapi::ns::{Kind, relative};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Active mappings and namespaces.
#[derive(Debug, Default)]
pub(super) struct ActiveObjects {
    /// By kind and number.
    namespaces: HashSet<(Kind, i32)>,
    /// Number of loaded tables, by target and device.
    mappings: HashMap<(String, String), u32>,
}

/// The targets that audit knows.
const TARGETS: [&str; 3] = ["crypt", "integrity", "verity"];

impl ActiveObjects {
    /// Returns the present namespaces and mappings of the machine with the root `root`.
    pub(super) fn of(root: &Path) -> Self {
        let mut this = Self::default();
        let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        for process in folders(&root.join("proc")) {
            for link in folders(&process.path().join("ns")) {
                let target = fs::read_link(link.path()).unwrap_or_default();
                this.found(&target.to_string_lossy());
            }
        }
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        for line in mounts.lines().filter(|line| line.contains(" - nsfs ")) {
            this.found(line.split(' ').nth(3).unwrap_or_default());
        }
        if root == Path::new("/") {
            // Without it, or without the right to ask, those before are missed.
            let table = Command::new("dmsetup")
                .arg("table")
                .output()
                .map(|out| out.stdout);
            this.table(
                &String::from_utf8_lossy(&table.unwrap_or_default()),
                |name| {
                    let path = fs::canonicalize(Path::new("/dev/mapper").join(name)).ok()?;
                    Some(
                        fs::read_to_string(
                            Path::new("/sys/block").join(path.file_name()?).join("dev"),
                        )
                        .ok()?
                        .trim()
                        .to_owned(),
                    )
                },
            );
        }
        this
    }

    /// `net:[4026531843]`
    fn found(&mut self, link: &str) {
        let Some((name, rest)) = link.split_once(":[") else {
            return;
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let number = rest
            .strip_suffix(']')
            .and_then(|number| number.parse().ok());
        if let (Some(kind), Some(number)) = (kind, number) {
            self.namespaces.insert((kind, relative(number)));
        }
    }

    /// `it: 0 2048 integrity 7:0 ...`
    fn table(&mut self, table: &str, device: impl Fn(&str) -> Option<String>) {
        for line in table.lines() {
            let Some((name, rest)) = line.split_once(": ") else {
                continue;
            };
            let target = rest.split(' ').nth(2).unwrap_or_default();
            if let (true, Some(device)) = (TARGETS.contains(&target), device(name)) {
                self.mapping(target, &device, 1);
            }
        }
    }

    /// A namespace came, or went.
    pub(super) fn namespace(&mut self, kind: Kind, number: i32, comes: bool) {
        match comes {
            true => self.namespaces.insert((kind, number)),
            false => self.namespaces.remove(&(kind, number)),
        };
    }

    /// A table was loaded (1) or destroyed (-1).
    pub(super) fn mapping(&mut self, target: &str, device: &str, step: i32) {
        let key = (target.to_owned(), device.to_owned());
        let count = self.mappings.entry(key.clone()).or_default();
        *count = count.saturating_add_signed(step);
        if *count == 0 {
            self.mappings.remove(&key);
        }
    }

    /// Returns the number of namespaces of each kind.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| {
            let count = self.namespaces.iter().filter(|(of, _)| *of == kind).count();
            (kind, count as u64)
        })
    }

    /// Returns the number of tables of each target.
    pub(super) fn mappings(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::from(TARGETS.map(|target| (target.to_owned(), 0)));
        for ((target, _), count) in &self.mappings {
            *counts.entry(target.clone()).or_default() += u64::from(*count);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_counted_until_it_is_destroyed() {
        let mut active = ActiveObjects::default();
        active.table(
            "it: 0 2048 integrity 7:0 0 4 J 0\nlin: 0 8 linear 7:0 0\n",
            |_| Some("253:0".to_owned()),
        );
        assert_eq!(active.mappings()["integrity"], 1);
        // Reload, resume.
        active.mapping("integrity", "253:0", 1);
        assert_eq!(active.mappings()["integrity"], 2);
        for _ in 0..3 {
            active.mapping("integrity", "253:0", -1);
        }
        assert_eq!(active.mappings()["integrity"], 0);
    }

    #[test]
    fn a_namespace_is_known_by_its_link() {
        let mut active = ActiveObjects::default();
        active.found("net:[4026531840]");
        active.found("pid_for_children:[4026531836]");
        active.found("/");
        active.namespace(Kind::Net, 0, true);
        assert_eq!(active.namespaces().map(|(_, count)| count).sum::<u64>(), 1);
        active.namespace(Kind::Net, 0, false);
        assert_eq!(active.namespaces().map(|(_, count)| count).sum::<u64>(), 0);
    }
}
