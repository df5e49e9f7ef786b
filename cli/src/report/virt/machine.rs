// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The present devices below a file or a block device on this machine: partitions, mappings, loop devices and their
//! files.
//!
//! Source: `/sys/dev/block/MAJOR:MINOR`, as `lsblk` reads it.

use crate::record::device::Device;
use hashbrown::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// This machine, or one with its files in another folder.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
    known: HashMap<String, Vec<Device>>,
}

impl Machine {
    /// Returns the machine with the root `root`.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            known: HashMap::new(),
        }
    }

    /// The devices (`253:0`) that `path` is, or lies on, whatever is between. None where it is not there.
    pub fn below(&mut self, path: &str) -> &[Device] {
        if !self.known.contains_key(path) {
            let mut found = Found::default();
            self.path(path, &mut found);
            let devices = found.order.iter().map(|device| Device::of(device));
            self.known.insert(path.to_owned(), devices.collect());
        }
        self.known.get(path).map_or(&[], Vec::as_slice)
    }

    fn path(&self, path: &str, found: &mut Found) {
        let path = self.root.join(path.trim_start_matches('/'));
        let Ok(about) = fs::metadata(path) else {
            return;
        };
        let number = match about.file_type().is_block_device() {
            true => about.rdev(),
            // The filesystem's device. That of btrfs and overlayfs is none: it leads nowhere.
            false => about.dev(),
        };
        self.device(&show(number), found);
    }

    fn device(&self, device: &str, found: &mut Found) {
        if !found.add(device) {
            return;
        }
        let sys = self.root.join("sys/dev/block").join(device);
        let number = |folder: &Path| {
            let number = fs::read_to_string(folder.join("dev")).ok()?;
            Some(number.trim().to_owned())
        };
        if sys.join("partition").exists() {
            // A partition's folder is in that of its disk.
            let disk = fs::canonicalize(&sys).ok();
            if let Some(number) = disk.as_deref().and_then(Path::parent).and_then(number) {
                self.device(&number, found);
            }
        }
        if let Ok(file) = fs::read_to_string(sys.join("loop/backing_file")) {
            self.path(file.trim_end_matches('\n'), found);
        }
        let slaves = fs::read_dir(sys.join("slaves")).into_iter().flatten();
        let mut numbers: Vec<String> = slaves
            .flatten()
            .filter_map(|slave| number(&slave.path()))
            .collect();
        numbers.sort();
        for number in numbers {
            self.device(&number, found);
        }
    }
}

/// Devices in the order in which they were found, each once.
#[derive(Default)]
struct Found {
    order: Vec<String>,
    seen: HashSet<String>,
}

impl Found {
    fn add(&mut self, device: &str) -> bool {
        let new = self.seen.insert(device.to_owned());
        if new {
            self.order.push(device.to_owned());
        }
        new
    }
}

/// `253:0` of the number that stat(2) gives.
fn show(number: u64) -> String {
    format!(
        "{}:{}",
        nix::sys::stat::major(number),
        nix::sys::stat::minor(number)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A file on the filesystem on a crypt mapping, on an integrity mapping, on a partition.
    #[test]
    fn layers_are_followed_to_the_ground() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        let file = at("images/x.img");
        fs::create_dir_all(at("images")).expect("made");
        fs::write(&file, "x").expect("written");
        let filesystem = show(fs::metadata(&file).expect("there").dev());
        for (folder, number) in [
            ("sys/devices/dm-1", filesystem.as_str()),
            ("sys/devices/dm-0", "253:0"),
            ("sys/devices/sda", "8:0"),
            ("sys/devices/sda/sda1", "8:1"),
        ] {
            fs::create_dir_all(at(folder).join("slaves")).expect("made");
            fs::write(at(folder).join("dev"), format!("{number}\n")).expect("written");
            fs::create_dir_all(at("sys/dev/block")).expect("made");
            symlink(at(folder), at("sys/dev/block").join(number)).expect("linked");
        }
        fs::write(at("sys/devices/sda/sda1/partition"), "1\n").expect("written");
        symlink(at("sys/devices/dm-0"), at("sys/devices/dm-1/slaves/dm-0")).expect("linked");
        symlink(
            at("sys/devices/sda/sda1"),
            at("sys/devices/dm-0/slaves/sda1"),
        )
        .expect("linked");
        let mut machine = Machine::at(root.path());
        assert_eq!(
            machine.below("/images/x.img"),
            [filesystem.as_str(), "253:0", "8:1", "8:0"].map(Device::of)
        );
        assert!(machine.below("/images/absent").is_empty());
        // A loop device on a file that lies on that.
        fs::create_dir_all(at("sys/dev/block/7:0/loop")).expect("made");
        fs::write(at("sys/dev/block/7:0/loop/backing_file"), "/images/x.img\n").expect("written");
        let mut found = Found::default();
        machine.device("7:0", &mut found);
        assert_eq!(found.order[..3], ["7:0", filesystem.as_str(), "253:0"]);
    }
}
