// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A container's `config.json`: its annotations, its labels, and its resources of the host.
//!
//! Source: config.md and config-linux.md of the OCI runtime specification.

use super::process::Process;
use super::state::State;
use nix::sys::stat::{major, minor, stat};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The maximum number of resources that are recorded for a container.
pub const MOST: usize = 256;

/// A resource of the host that a container has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A folder or file.
    Fs(Vec<u8>),
    /// A block device with a filesystem that is, wholly or in part, in the container.
    Disk(Vec<u8>),
    /// An interface, by its MAC.
    Net(Vec<u8>),
    /// A block device, and its number.
    Block(Vec<u8>, (u32, u32)),
    /// A character device.
    Char(Vec<u8>),
    /// Every device.
    AllDevices,
}

/// The labels of a container's process and of its files, and the security module that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `vm-ctx=`
    pub process: String,
    /// `img-ctx=`
    pub files: String,
    /// `model=`
    pub model: &'static str,
}

/// The content of `config.json`.
#[derive(Clone, Debug, Default)]
pub struct Bundle(Value);

impl Bundle {
    /// Reads the one in `folder`. One that cannot be read is empty.
    pub fn read(folder: &Path) -> Self {
        let text = fs::read(folder.join("config.json")).unwrap_or_default();
        Self(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Returns an annotation, also one that only the state has.
    pub fn annotation<'a>(&'a self, state: &'a State, name: &str) -> Option<&'a str> {
        let own = self.0.get("annotations").and_then(|all| all.get(name));
        let found = own.and_then(Value::as_str).or(state.annotation(name));
        found.filter(|value| !value.is_empty())
    }

    /// `hostname`
    pub fn hostname(&self) -> Option<&str> {
        self.0
            .get("hostname")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Returns the source of the mount at `destination`.
    pub fn source(&self, destination: &str) -> Option<&Path> {
        let at = self
            .list("/mounts")
            .find(|mount| text(mount, "destination") == destination)?;
        Some(Path::new(text(at, "source"))).filter(|path| path.is_absolute())
    }

    fn list(&self, at: &str) -> impl Iterator<Item = &Value> {
        let list = self.0.pointer(at).and_then(Value::as_array);
        list.into_iter().flatten()
    }

    /// Returns its labels: those of SELinux, else of AppArmor, else its user.
    pub fn labels(&self) -> Labels {
        let word = |at: &str| {
            let label = self.0.pointer(at).and_then(Value::as_str)?;
            // `vm-ctx=` is not encoded.
            let plain = |b| matches!(b, 0x21..=0x7e) && b != b'"' && b != b'\'';
            (!label.is_empty() && label.bytes().all(plain)).then(|| label.to_owned())
        };
        let files = word("/linux/mountLabel").unwrap_or_else(|| "?".to_owned());
        if let Some(process) = word("/process/selinuxLabel") {
            return Labels {
                process,
                files,
                model: "selinux",
            };
        }
        if let Some(process) = word("/process/apparmorProfile") {
            return Labels {
                process,
                files,
                model: "apparmor",
            };
        }
        let id = |of: &str| {
            let id = self.0.pointer(&format!("/process/user/{of}"));
            id.and_then(Value::as_u64).unwrap_or(0)
        };
        let user = format!("+{}:+{}", id("uid"), id("gid"));
        Labels {
            process: user.clone(),
            files: user,
            model: "dac",
        }
    }

    /// Returns the resources of the host that the container with this `state` has. `process` is its
    /// first.
    pub fn resources(&self, state: &State, process: Option<&Process>) -> Vec<Resource> {
        let mut all = Vec::new();
        for mount in self.list("/mounts") {
            self::mount(mount, state, &mut all);
        }
        if self.list("/linux/resources/devices").any(allows_all) {
            all.push(Resource::AllDevices);
        }
        for device in self.list("/linux/devices") {
            self::device(device, &mut all);
        }
        // Those of another container are recorded with that: in a pod.
        let joins = self.list("/linux/namespaces").any(|namespace| {
            text(namespace, "type") == "network" && text(namespace, "path").starts_with("/proc/")
        });
        let process = process.filter(|_| !joins);
        let interfaces = process.map(Process::interfaces).unwrap_or_default();
        all.extend(
            interfaces
                .into_iter()
                .map(|mac| Resource::Net(mac.into_bytes())),
        );
        let mut unique: Vec<Resource> = Vec::new();
        for resource in all {
            if unique.len() < MOST && !unique.contains(&resource) {
                unique.push(resource);
            }
        }
        unique
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Adds a mount of the host. The engine's own mounts are left out: they are in a folder that is
/// named after the container's id, or, with podman, next to its bundle.
fn mount(mount: &Value, state: &State, all: &mut Vec<Resource>) {
    let source = text(mount, "source");
    let path = Path::new(source);
    let storage = state.bundle.ancestors().nth(2);
    let storage = storage.filter(|_| state.bundle.ends_with("userdata"));
    let own = (state.id.len() >= 12 && source.contains(&state.id))
        || storage.is_some_and(|storage| path.starts_with(storage));
    if !path.is_absolute() || own {
        return;
    }
    let Ok(of) = stat(path) else {
        return;
    };
    const BLOCK: u32 = 0o060_000;
    if text(mount, "type") != "bind" && of.st_mode & 0o170_000 == BLOCK {
        all.push(Resource::Disk(source.as_bytes().to_vec()));
        all.extend(mapping(of.st_rdev));
        return;
    }
    all.push(Resource::Fs(source.as_bytes().to_vec()));
    // What the host itself runs from is everybody's.
    if stat("/").is_ok_and(|root| root.st_dev != of.st_dev) {
        all.extend(mapping(of.st_dev));
    }
}

/// Returns the device `number`, if it is a mapping.
fn mapping(number: u64) -> Option<Resource> {
    let (major, minor) = (major(number), minor(number));
    let dm = format!("/sys/dev/block/{major}:{minor}/dm");
    Path::new(&dm)
        .exists()
        .then(|| Resource::Disk(format!("/dev/dm-{minor}").into_bytes()))
}

/// Returns whether a rule of the control group allows every device.
fn allows_all(rule: &Value) -> bool {
    let all = |name: &str| rule.get(name).is_none_or(|v| v.is_null() || v == -1);
    rule.get("allow") == Some(&Value::Bool(true))
        && matches!(text(rule, "type"), "" | "a")
        && all("major")
        && all("minor")
}

fn device(device: &Value, all: &mut Vec<Resource>) {
    let path = text(device, "path").as_bytes().to_vec();
    let number = |name: &str| {
        let number = device.get(name).and_then(Value::as_u64)?;
        u32::try_from(number).ok()
    };
    let (Some(major), Some(minor)) = (number("major"), number("minor")) else {
        return;
    };
    match text(device, "type") {
        "b" => {
            all.push(Resource::Block(path, (major, minor)));
            all.extend(mapping(nix::sys::stat::makedev(
                u64::from(major),
                u64::from(minor),
            )));
        }
        // A container that may use every device is given each that the host has.
        "c" | "u" if !all.contains(&Resource::AllDevices) => all.push(Resource::Char(path)),
        _ => {}
    }
}
