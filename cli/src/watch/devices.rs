// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Names of a device, and the mappings, mounted filesystems and guests above it. They are looked up on
//! this machine when a record arrives, since numbers are reused.
//!
//! Source: `/sys/dev/block/MAJOR:MINOR`, `/proc/self/mountinfo`, and what QEMUs have open.

use crate::locate::files::mounts::unescaped;
use crate::locate::files::open::guest_name;
use crate::locate::stack::show_number;
use crate::record::value::Fields;
use crate::record::{Parsed, Type, head};
use crate::report::dm::record::Record;
use dmns_audit_uapi::types::RecordType;
use serde::Serialize;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Lifetime of a cached answer, for many violations at once.
const FRESH: Duration = Duration::from_millis(500);

/// A device that a record names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// `253:0`.
    pub device: String,
    /// The mapping's name, or the file behind a loop device.
    pub name: Option<String>,
    /// The mapping's UUID.
    pub uuid: Option<String>,
    /// The mappings above, nearest first.
    pub above: Vec<Above>,
    /// The filesystems on it, or on what is above.
    pub mounts: Vec<Mount>,
    /// Guests with a QEMU that has it open, or a mapping above, or a file on one of the filesystems.
    pub guests: Vec<String>,
}

/// A mapping above a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Above {
    /// `253:1`.
    pub device: String,
    /// Its name.
    pub name: Option<String>,
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// The mount point.
    pub point: String,
    /// `ext4`.
    pub filesystem: String,
}

impl Device {
    /// Returns the known data besides the number: `it, below lin, ext4 at /srv, guest web`.
    pub fn show(&self) -> Option<String> {
        let mut parts: Vec<String> = self.name.iter().cloned().collect();
        let names = self.above.iter().filter_map(|above| above.name.as_deref());
        parts.extend(names.map(|name| format!("below {name}")));
        parts.extend((self.mounts.iter()).map(|m| format!("{} at {}", m.filesystem, m.point)));
        parts.extend(self.guests.iter().map(|guest| format!("guest {guest}")));
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The devices of this machine, or of one with its files in another folder.
#[derive(Debug)]
pub struct Devices {
    root: PathBuf,
    /// Newest data. A deleted mapping cannot be looked up.
    known: HashMap<String, (Instant, Device)>,
}

impl Devices {
    /// Returns the devices of the machine with the root `root`.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            known: HashMap::new(),
        }
    }

    /// The device that the record `line` names, which has just come.
    pub fn of(&mut self, line: &[u8], now: Instant) -> Option<Device> {
        let Parsed::Record(head) = head::parse(line) else {
            return None;
        };
        let Type::Ours(RecordType::DmCtrl | RecordType::DmEvent) = head.ty else {
            return None;
        };
        let fields = Fields::of(&head);
        let record = Record::of(&fields)?;
        let destroyed = record.op == "dtr";
        let found = self.ask(record.dev, now, destroyed || record.op == "ctr");
        if destroyed {
            self.known.remove(record.dev);
        }
        Some(found)
    }

    fn ask(&mut self, device: &str, now: Instant, changes: bool) -> Device {
        let last = self.known.get(device);
        if let Some((when, last)) = last {
            if !changes && now.duration_since(*when) < FRESH {
                return last.clone();
            }
        }
        let mut found = self.describe(device);
        if let Some((_, last)) = last {
            // It may be on its way out.
            found.name = found.name.or_else(|| last.name.clone());
            found.uuid = found.uuid.or_else(|| last.uuid.clone());
        }
        self.known.insert(device.to_owned(), (now, found.clone()));
        found
    }

    fn describe(&self, device: &str) -> Device {
        let mut found = Device {
            device: device.to_owned(),
            name: self.name(device),
            uuid: self.read(device, "dm/uuid").filter(|uuid| !uuid.is_empty()),
            ..Device::default()
        };
        let mut stack = vec![device.to_owned()];
        let mut at = 0;
        while let Some(below) = stack.get(at).cloned() {
            at += 1;
            for number in self.holders(&below) {
                if !stack.contains(&number) {
                    found.above.push(Above {
                        name: self.name(&number),
                        device: number.clone(),
                    });
                    stack.push(number);
                }
            }
        }
        self.mounts(&stack, &mut found.mounts);
        self.guests(&stack, &mut found.guests);
        found
    }

    fn read(&self, device: &str, file: &str) -> Option<String> {
        let path = self.root.join("sys/dev/block").join(device).join(file);
        Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
    }

    fn name(&self, device: &str) -> Option<String> {
        self.read(device, "dm/name")
            .or_else(|| self.read(device, "loop/backing_file"))
    }

    /// Returns the devices above `device`: mappings, and its partitions.
    fn holders(&self, device: &str) -> Vec<String> {
        let sys = self.root.join("sys/dev/block").join(device);
        let folders = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let partitions =
            folders(sys.clone()).filter(|entry| entry.path().join("partition").exists());
        let mut numbers: Vec<String> = folders(sys.join("holders"))
            .chain(partitions)
            .filter_map(|entry| fs::read_to_string(entry.path().join("dev")).ok())
            .map(|number| number.trim().to_owned())
            .collect();
        numbers.sort();
        numbers
    }

    /// C: `show_mountinfo()` in `fs/proc_namespace.c`.
    fn mounts(&self, stack: &[String], out: &mut Vec<Mount>) {
        let table = fs::read(self.root.join("proc/self/mountinfo")).unwrap_or_default();
        for line in String::from_utf8_lossy(&table).lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let (left, mut right) = (left.split(' ').collect::<Vec<_>>(), right.split(' '));
            let (Some(number), Some(point)) = (left.get(2), left.get(4)) else {
                continue;
            };
            let (Some(filesystem), Some(source)) = (right.next(), right.next()) else {
                continue;
            };
            // btrfs has a number of its own, but names its device.
            let of_source = || self.number(&unescaped(source));
            if stack.iter().any(|d| d == number) || of_source().is_some_and(|d| stack.contains(&d))
            {
                out.push(Mount {
                    point: unescaped(point),
                    filesystem: filesystem.to_owned(),
                });
            }
        }
    }

    /// The number of the block device at `path`.
    fn number(&self, path: &str) -> Option<String> {
        let path = path.strip_prefix('/')?;
        number_of(&self.root.join(path))
    }

    /// The QEMUs that have one of `stack` open, or a file on it.
    fn guests(&self, stack: &[String], out: &mut Vec<String>) {
        for process in fs::read_dir(self.root.join("proc"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let process = process.path();
            let is_qemu = fs::read_to_string(process.join("comm"))
                .is_ok_and(|comm| comm.starts_with("qemu") || comm.starts_with("kvm"));
            if !is_qemu {
                continue;
            }
            let mut open = fs::read_dir(process.join("fd"))
                .into_iter()
                .flatten()
                .flatten();
            let has = open.any(|fd| storage_of(&fd.path()).is_some_and(|d| stack.contains(&d)));
            if has {
                let command = fs::read(process.join("cmdline")).unwrap_or_default();
                out.extend(guest_name(&command));
            }
        }
    }
}

/// The number of the block device at `path`.
fn number_of(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    (about.file_type().is_block_device()).then(|| show_number(about.rdev()))
}

/// The block device at `path`, or the one that the file there is stored on.
fn storage_of(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    Some(show_number(match about.file_type().is_block_device() {
        true => about.rdev(),
        false => about.dev(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const EVENT: &[u8] = b"type=DM_EVENT msg=audit(1.000:1): module=integrity op=integrity-checksum dev=253:0 sector=8 res=0";
    const DTR: &[u8] = b"type=DM_CTRL msg=audit(1.000:2): module=integrity op=dtr pid=1 dev=253:0 error_msg='success' res=1";

    /// Creates a mapping below another, with a filesystem on top.
    #[test]
    fn devices_above_are_followed_and_a_name_is_kept_after_its_mapping() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        let write = |path: &str, text: &str| {
            fs::create_dir_all(at(path).parent().expect("a folder")).expect("made");
            fs::write(at(path), text).expect("written");
        };
        write("sys/dev/block/253:0/dm/name", "it\n");
        write("sys/dev/block/253:0/dm/uuid", "CRYPT-INTEGRITY-it\n");
        write("sys/dev/block/253:1/dm/name", "lin\n");
        write("sys/dev/block/253:1/dev", "253:1\n");
        fs::create_dir_all(at("sys/dev/block/253:0/holders")).expect("made");
        symlink(
            at("sys/dev/block/253:1"),
            at("sys/dev/block/253:0/holders/dm-1"),
        )
        .expect("linked");
        write(
            "proc/self/mountinfo",
            "22 1 0:5 / /proc rw - proc proc rw\n31 1 253:1 / /srv/a\\040b rw shared:1 - ext4 /dev/dm-1 rw\n",
        );
        let (mut devices, now) = (Devices::at(root.path()), Instant::now());
        let found = devices.of(EVENT, now).expect("a device");
        assert_eq!(
            found.show().as_deref(),
            Some("it, below lin, ext4 at /srv/a b")
        );
        fs::remove_dir_all(at("sys/dev/block/253:0")).expect("gone");
        assert_eq!(
            devices.of(DTR, now).and_then(|d| d.name).as_deref(),
            Some("it")
        );
        // The number is free now.
        assert_eq!(devices.of(EVENT, now).and_then(|d| d.show()), None);
        assert_eq!(devices.of(b"type=EOE msg=audit(1.000:1): ", now), None);
    }

    #[test]
    fn a_guest_has_the_name_of_its_command_line() {
        assert_eq!(
            guest_name(b"qemu\0-name\0guest=web,debug-threads=on\0").as_deref(),
            Some("web")
        );
        assert_eq!(
            guest_name(b"qemu\0-name\0web\0-enable-kvm").as_deref(),
            Some("web")
        );
        assert_eq!(guest_name(b"qemu\0-enable-kvm"), None);
    }
}
