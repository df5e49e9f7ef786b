// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Walks once through the files of one filesystem.

use super::mounts::Mount;
use super::shown;
use crate::locate::effort::Effort;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A name in a filesystem.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The path by which this program reaches it.
    pub path: &'a Path,
    /// Its inode.
    pub inode: u64,
    /// It is a directory.
    pub is_directory: bool,
    /// It is a file with data.
    pub is_file: bool,
}

impl Entry<'_> {
    /// Returns whether it has blocks of its own.
    pub fn has_data(&self) -> bool {
        self.is_file || self.is_directory
    }
}

/// What a walk has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Number of names.
    pub names: u64,
    /// Where the time was up.
    pub ended_at: Option<PathBuf>,
    /// Folders that something is mounted over, and those that could not be read.
    pub hidden: Vec<PathBuf>,
}

impl Walked {
    /// Returns what the walk did not see, or `None` if it saw all.
    pub fn limits(&self, effort: &Effort) -> Option<String> {
        if let Some(path) = &self.ended_at {
            return Some(format!(
                "the search ended after {} names and {}, at {}: there may be more (--time-limit)",
                self.names,
                effort.taken(),
                shown(path)
            ));
        }
        let first = self.hidden.first()?;
        let more = match self.hidden.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        Some(format!(
            "files below {}{more} could not be seen",
            shown(first)
        ))
    }
}

/// Calls `each` with each name in the filesystem that is mounted at `mount`, until it returns false. What something is
/// mounted over is not touched: a server that does not answer would hold the walk.
pub fn walk(mount: &Mount, effort: &Effort, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> Walked {
    let mut walked = Walked::default();
    let (point, number) = (mount.path.as_path(), mount.number);
    let Ok(root) = fs::metadata(point) else {
        walked.hidden.push(point.to_owned());
        return walked;
    };
    let entry = Entry {
        path: point,
        inode: root.ino(),
        is_directory: true,
        is_file: false,
    };
    if !each(&entry) {
        return walked;
    }
    let mut folders = vec![point.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match open(&folder, number) {
            Ok(Some(entries)) => entries,
            Ok(None) | Err(_) => {
                walked.hidden.push(folder);
                continue;
            }
        };
        for entry in entries {
            // A directory may be open, and its blocks unreadable.
            let Ok(entry) = entry else {
                walked.hidden.push(folder);
                break;
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let path = folder.join(OsStr::from_bytes(name));
            if mount.hidden.contains(&path) {
                walked.hidden.push(path);
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => kind_of(&path),
                kind => kind,
            };
            walked.names += 1;
            if walked.names % 256 == 0 {
                if effort.is_up() {
                    walked.ended_at = Some(path);
                    return walked;
                }
                effort.show(|| format!("{} names, at {}", walked.names, shown(&path)));
            }
            let is_directory = kind == FileType::Directory;
            let name = Entry {
                path: &path,
                inode: entry.ino(),
                is_directory,
                is_file: kind == FileType::RegularFile,
            };
            if !each(&name) {
                return walked;
            }
            if is_directory {
                folders.push(path);
            }
        }
    }
    walked
}

/// Opens a folder, if it is on the device `number`. Reading it does not change the time of its last access.
fn open(folder: &Path, number: u64) -> io::Result<Option<Dir>> {
    if fs::symlink_metadata(folder)?.dev() != number {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match rustix::fs::open(folder, flags | OFlags::NOATIME, Mode::empty()) {
        // Another user's.
        Err(Errno::PERM) => rustix::fs::open(folder, flags, Mode::empty()),
        dir => dir,
    };
    Ok(Some(Dir::new(dir?)?))
}

/// Returns the kind of a name for which the folder does not have it.
fn kind_of(path: &Path) -> FileType {
    match fs::symlink_metadata(path) {
        Ok(about) => FileType::from_raw_mode(about.mode()),
        Err(_) => FileType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;

    fn mount(path: &Path, number: u64) -> Mount {
        Mount {
            kind: "ext4".to_owned(),
            point: path.display().to_string(),
            path: path.to_owned(),
            root: "/".to_owned(),
            number,
            of: None,
            hidden: HashSet::new(),
        }
    }

    #[test]
    fn every_name_is_seen_once() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("a/b")).expect("made");
        fs::write(at("a/b/file"), "x").expect("written");
        fs::hard_link(at("a/b/file"), at("link")).expect("linked");
        let number = fs::metadata(root.path()).expect("known").dev();
        let mut seen = Vec::new();
        let walked = walk(
            &mount(root.path(), number),
            &Effort::quiet(None),
            &mut |entry| {
                let path = entry.path.strip_prefix(root.path()).expect("below");
                seen.push((path.display().to_string(), entry.is_file));
                true
            },
        );
        seen.sort();
        let expected = [
            ("", false),
            ("a", false),
            ("a/b", false),
            ("a/b/file", true),
            ("link", true),
        ];
        assert_eq!(seen, expected.map(|(path, file)| (path.to_owned(), file)));
        assert_eq!((walked.names, &walked.ended_at), (4, &None));
        assert_eq!(walked.limits(&Effort::quiet(None)), None);
        let other = mount(root.path(), number + 1);
        let other = walk(&other, &Effort::quiet(None), &mut |_| true);
        assert_eq!(other.hidden, [root.path()]);
        // Another folder of the same filesystem is mounted over it.
        let mut bound = mount(root.path(), number);
        bound.hidden.insert(at("a/b"));
        let walked = walk(&bound, &Effort::quiet(None), &mut |entry| {
            assert!(!entry.path.starts_with(at("a/b")));
            true
        });
        assert_eq!(walked.hidden, [at("a/b")]);
    }

    #[test]
    fn it_says_where_its_time_was_up() {
        let root = tempfile::tempdir().expect("a folder");
        for i in 0..600 {
            fs::write(root.path().join(i.to_string()), "").expect("written");
        }
        let number = fs::metadata(root.path()).expect("known").dev();
        let effort = Effort::quiet(Some(Duration::ZERO));
        let walked = walk(&mount(root.path(), number), &effort, &mut |_| true);
        let said = walked.limits(&effort).expect("limits");
        assert!(
            said.starts_with("the search ended after 256 names"),
            "{said}"
        );
    }
}
