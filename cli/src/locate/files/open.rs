// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Files that tasks have open: by a descriptor, as their program, or mapped.

use super::asked;
use crate::locate::answer::Holder;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The open files of a device, or of all.
#[derive(Debug, Default)]
pub struct OpenFiles {
    /// Those that tasks have open, by device and inode.
    holders: HashMap<(u64, u64), Vec<Holder>>,
    /// Those without a name, each with a path by which it can be opened.
    pub deleted: Vec<(u64, PathBuf)>,
}

impl OpenFiles {
    /// Reads what tasks have open on the device `number`, as files have it, or on all.
    pub fn on(number: Option<u64>) -> Self {
        let mut found = Self::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let process = entry.path();
            let mut holder = None;
            for path in links(&process) {
                // What is no file on a disk is not asked: it might wait.
                if !fs::read_link(&path).is_ok_and(|to| to.is_absolute()) {
                    continue;
                }
                let Some(about) = asked(&path) else {
                    continue;
                };
                if number.is_some_and(|number| number != about.device) || !about.has_data {
                    continue;
                }
                let of = found
                    .holders
                    .entry((about.device, about.inode))
                    .or_default();
                if about.links == 0 && of.is_empty() {
                    found.deleted.push((about.inode, path));
                }
                let holder = holder.get_or_insert_with(|| describe(pid, &process));
                if !of.contains(holder) {
                    of.push(holder.clone());
                }
            }
        }
        found
    }

    /// Returns the tasks that have `inode` of the device `number` open.
    pub fn holders(&self, number: u64, inode: u64) -> Vec<Holder> {
        let of = self.holders.get(&(number, inode));
        let mut holders = of.cloned().unwrap_or_default();
        holders.sort();
        holders
    }
}

/// Returns what a process has open.
fn links(process: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = |folder: &str| {
        let entries = fs::read_dir(process.join(folder));
        entries.into_iter().flatten().flatten().map(|e| e.path())
    };
    entries("fd")
        .chain([process.join("exe")])
        .chain(entries("map_files"))
}

fn describe(pid: u32, process: &Path) -> Holder {
    let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let comm = comm.trim_end().to_owned();
    let is_qemu = comm.starts_with("qemu") || comm.starts_with("kvm");
    let command = || fs::read(process.join("cmdline")).unwrap_or_default();
    Holder {
        pid,
        guest: is_qemu.then(command).and_then(|c| guest_name(&c)),
        comm,
    }
}

/// Returns the name that QEMU was given: `-name web`, `-name guest=web,debug-threads=on`.
pub fn guest_name(command: &[u8]) -> Option<String> {
    let mut arguments = command.split(|&b| b == 0);
    arguments.find(|argument| *argument == b"-name")?;
    let value = String::from_utf8_lossy(arguments.next()?).into_owned();
    let first = value.split(',').next()?;
    Some(first.strip_prefix("guest=").unwrap_or(first).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_deleted_file_is_found_with_the_task_that_has_it_open() {
        let file = tempfile::tempfile_in(".").expect("a file");
        let about = file.metadata().expect("known");
        let found = OpenFiles::on(Some(about.dev()));
        let own = std::process::id();
        let holders = found.holders(about.dev(), about.ino());
        // Each subvolume of btrfs has the same inodes.
        assert!(found.holders(about.dev() + 1, about.ino()).is_empty());
        assert!(holders.iter().any(|h| h.pid == own), "{holders:?}");
        let path = found
            .deleted
            .iter()
            .find(|(inode, _)| *inode == about.ino());
        assert!(path.is_some_and(|(_, path)| fs::File::open(path).is_ok()));
    }
}
