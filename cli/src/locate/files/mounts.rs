// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where a device is mounted, also in the mount namespaces of other tasks; and where it is swap.
//!
//! C: `show_mountinfo()` in `fs/proc_namespace.c`, `swap_show()` in `mm/swapfile.c`.

use super::asked;
use crate::locate::stack::show_number;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `ext4`.
    pub kind: String,
    /// Where it is mounted.
    pub point: String,
    /// A path by which this program reaches it.
    pub path: PathBuf,
    /// Which folder of the filesystem is mounted.
    pub root: String,
    /// The device, as files on it have it.
    pub number: u64,
    /// A task that has the mount, if this program has not.
    pub of: Option<u32>,
    /// What is hidden by other mounts on it, as this program reaches it.
    pub hidden: HashSet<PathBuf>,
}

impl Mount {
    /// Returns what hides `path`, if something is mounted over it or over a folder of it.
    pub fn hides<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.ancestors().find(|path| self.hidden.contains(*path))
    }
}

/// Returns the mounts of `device`, whole filesystems first.
pub fn of(device: &str) -> Vec<Mount> {
    let mut found = table(Path::new("/proc/self"), device, None);
    if found.is_empty() {
        found = elsewhere(device);
    }
    found.sort_by_key(|mount| (mount.root != "/", mount.root.len(), mount.point.len()));
    found
}

/// Returns the mounts of `device` in other mount namespaces.
fn elsewhere(device: &str) -> Vec<Mount> {
    let mut seen: HashSet<PathBuf> = fs::read_link("/proc/self/ns/mnt").into_iter().collect();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let path = entry.path();
        let new = fs::read_link(path.join("ns/mnt")).is_ok_and(|namespace| seen.insert(namespace));
        let found = if new {
            table(&path, device, Some(pid))
        } else {
            Vec::new()
        };
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn table(process: &Path, device: &str, of: Option<u32>) -> Vec<Mount> {
    let table = fs::read(process.join("mountinfo")).unwrap_or_default();
    let text = String::from_utf8_lossy(&table);
    // 36 35 98:0 /folder /point rw,noatime - ext4 /dev/vda rw
    let lines = text.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        Some((left.split(' ').collect::<Vec<&str>>(), right))
    });
    let lines: Vec<(Vec<&str>, &str)> = lines.collect();
    let reached = |point: &str| match of {
        None => PathBuf::from(unescaped(point)),
        Some(_) => {
            let point = unescaped(point);
            process.join("root").join(point.trim_start_matches('/'))
        }
    };
    let mut found = Vec::new();
    for (left, right) in &lines {
        let mut right = right.split(' ');
        let (Some(id), Some(number), Some(root), Some(point)) =
            (left.first(), left.get(2), left.get(3), left.get(4))
        else {
            continue;
        };
        let (Some(kind), Some(source)) = (right.next(), right.next()) else {
            continue;
        };
        // btrfs has a number of its own, but names one of its devices.
        let is_member = || {
            let Ok(about) = fs::metadata(unescaped(source)) else {
                return false;
            };
            let named = show_number(about.rdev());
            about.file_type().is_block_device() && (named == device || are_of_one(&named, device))
        };
        if *number != device && !(kind == "btrfs" && is_member()) {
            continue;
        }
        let path = reached(point);
        // Another one may be mounted over it, also of the same filesystem.
        let Some(about) = asked(&path) else {
            continue;
        };
        if kind != "btrfs" && show_number(about.device) != *number
            || about.mount != 0 && id.parse() != Ok(about.mount)
        {
            continue;
        }
        let on_it = |line: &&(Vec<&str>, &str)| line.0.get(1) == Some(id);
        let hidden = lines.iter().filter(on_it);
        found.push(Mount {
            kind: kind.to_owned(),
            point: unescaped(point),
            path,
            root: unescaped(root),
            number: about.device,
            of,
            hidden: hidden
                .filter_map(|(left, _)| Some(reached(left.get(4)?)))
                .collect(),
        });
    }
    found
}

/// Returns whether two devices are of one btrfs.
fn are_of_one(one: &str, other: &str) -> bool {
    let volumes = fs::read_dir("/sys/fs/btrfs");
    volumes.into_iter().flatten().flatten().any(|volume| {
        let devices = fs::read_dir(volume.path().join("devices"));
        let number = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path().join("dev")).ok()?;
            Some(text.trim_end().to_owned())
        };
        let devices = devices.into_iter().flatten().flatten();
        let devices: Vec<String> = devices.filter_map(number).collect();
        [one, other].iter().all(|n| devices.iter().any(|d| d == n))
    })
}

/// Returns whether `device` is swap.
pub fn is_swap(device: &str) -> bool {
    swaps().iter().any(|path| {
        let about = fs::metadata(path);
        about.is_ok_and(|a| a.file_type().is_block_device() && show_number(a.rdev()) == device)
    })
}

/// Returns whether the file `path` is swap.
pub fn is_swap_file(path: &str) -> bool {
    swaps().iter().any(|swap| swap == path)
}

fn swaps() -> Vec<String> {
    let table = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let first = |line: &str| Some(unescaped(line.split_whitespace().next()?));
    table.lines().skip(1).filter_map(first).collect()
}

/// Spaces and the like are written in octal.
pub fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = || std::str::from_utf8(tail.get(..3)?).ok();
        let code = octal().and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second hides the first, and the third is on it.
    #[test]
    fn a_mount_has_what_is_mounted_on_it() {
        let process = tempfile::tempdir().expect("a folder");
        let at = |name: &str| process.path().join("root").join(name);
        fs::create_dir_all(at("srv/in")).expect("made");
        let about = asked(&at("srv")).expect("known");
        let (mount, number) = (about.mount, show_number(about.device));
        let table = format!(
            "{} 1 {number} / /srv rw - ext4 /dev/x rw\n{mount} 1 {number} /part /srv rw - ext4 /dev/x rw\n\
             7 {mount} 0:5 / /srv/in rw - tmpfs tmpfs rw\n8 7 0:5 / /srv/in/deep rw - tmpfs tmpfs rw\n",
            mount + 1
        );
        fs::write(process.path().join("mountinfo"), table).expect("written");
        let found = super::table(process.path(), &number, Some(7));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].root.as_str(), found[0].point.as_str()),
            ("/part", "/srv")
        );
        assert_eq!(
            found[0].hides(&at("srv/in/a/b")),
            Some(at("srv/in").as_path())
        );
        assert_eq!(found[0].hides(&at("srv/inner")), None);
    }

    #[test]
    fn octal_is_read() {
        assert_eq!(unescaped("/a\\040b\\134"), "/a b\\");
        assert_eq!(unescaped("\\9"), "\\9");
    }

    /// In a chroot, the root may be no mount point. Others of its filesystem are there then.
    #[test]
    fn mounts_of_the_filesystem_of_the_root_are_found() {
        let about = fs::metadata("/").expect("a root");
        let number = show_number(about.dev());
        let found = of(&number);
        let table = fs::read_to_string("/proc/self/mountinfo").expect("a table");
        let lines = table
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let mut points = lines
            .filter(|line| line[2] == number)
            .map(|line| unescaped(line[4]));
        assert!(
            points.all(|point| found.iter().any(|mount| mount.point == point)),
            "{found:?}"
        );
        assert!(!found.is_empty());
        assert!(of("4095:1").is_empty());
    }
}
