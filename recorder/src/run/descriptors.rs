// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The descriptors of a QEMU for its interfaces, from `/proc/PID/fd`. The monitor does not list
//! them.

use nix::sys::stat::{major, minor};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

/// A descriptor of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number in QEMU.
    pub number: i32,
    /// Its path: `/dev/net/tun`, `/dev/tap5`, `/dev/vhost-net`.
    pub path: PathBuf,
    /// The tap device that it is attached to, for `/dev/net/tun`.
    pub tap: Option<String>,
}

impl Descriptor {
    /// Returns its device number.
    pub fn rdev(&self) -> Option<(u32, u32)> {
        let about = fs::metadata(&self.path).ok()?;
        let number = about.rdev();
        about
            .file_type()
            .is_char_device()
            .then(|| (major(number) as u32, minor(number) as u32))
    }

    fn is_vhost(&self) -> bool {
        self.path.as_os_str().as_bytes() == b"/dev/vhost-net"
    }
}

/// Returns those of the process `pid`, by their numbers.
pub fn of(pid: u32) -> Vec<Descriptor> {
    let mut found = BTreeMap::new();
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    for entry in entries.flatten() {
        let Ok(path) = fs::read_link(entry.path()) else {
            continue;
        };
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let name = path.as_os_str().as_bytes();
        let is_tap = name
            .strip_prefix(b"/dev/tap")
            .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit));
        if !(matches!(name, b"/dev/net/tun" | b"/dev/vhost-net") || is_tap) {
            continue;
        }
        let about = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
        let tap = about.ok().and_then(|about| {
            let line = about.lines().find_map(|line| line.strip_prefix("iff:"))?;
            Some(line.trim().to_owned())
        });
        found.insert(number, Descriptor { number, path, tap });
    }
    found.into_values().collect()
}

/// Returns those of the interface with the host side `host_side` (`ifname=tap0,...`, `fd=21`): its
/// tap, and the vhost-net that was opened right after it.
pub fn of_interface<'d>(all: &'d [Descriptor], host_side: &str) -> Vec<&'d Descriptor> {
    let first = host_side.split(',').next().unwrap_or_default();
    let is_it = |descriptor: &Descriptor| match first.split_once('=') {
        Some(("ifname", name)) => descriptor.tap.as_deref() == Some(name),
        Some(("fd", number)) => number.parse() == Ok(descriptor.number),
        _ => false,
    };
    let mut found = Vec::new();
    let mut mine = false;
    for descriptor in all {
        if descriptor.is_vhost() {
            if mine {
                found.push(descriptor);
            }
        } else {
            mine = is_it(descriptor);
            if mine {
                found.push(descriptor);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_its_interfaces() {
        let descriptor = |number, path: &str, tap: Option<&str>| Descriptor {
            number,
            path: path.into(),
            tap: tap.map(str::to_owned),
        };
        let all = [
            descriptor(9, "/dev/net/tun", Some("tapq")),
            descriptor(10, "/dev/vhost-net", None),
            descriptor(11, "/dev/net/tun", Some("tapr")),
            descriptor(21, "/dev/tap5", None),
        ];
        let numbers = |side: &str| -> Vec<i32> {
            of_interface(&all, side).iter().map(|d| d.number).collect()
        };
        assert_eq!(numbers("ifname=tapq,script=no"), [9, 10]);
        assert_eq!(numbers("ifname=tapr"), [11]);
        assert_eq!(numbers("fd=21"), [21]);
        assert!(numbers("").is_empty() && numbers("ifname=other").is_empty());
    }

    #[test]
    fn a_process_without_interfaces_has_none() {
        assert_eq!(of(std::process::id()), []);
        assert_eq!(of(u32::MAX), []);
    }
}
