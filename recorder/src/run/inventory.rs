// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The resources of a guest, from QEMU's monitor.
//!
//! QEMU sends no event when a resource is plugged. So the inventory is taken anew whenever it may
//! have changed, and compared with the last one ([`super::changes`]).

use super::arguments::Arguments;
use super::item::{Item, Kind};
use super::names::{chardev_path, interfaces, local};
use super::qmp::{Qmp, Trouble};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The resources of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its resources, in the order in which they are recorded.
    pub items: Vec<Item>,
    /// KiB.
    pub memory: u64,
    /// Virtual processors.
    pub vcpus: u64,
    /// I/O threads.
    pub iothreads: u64,
}

/// Takes inventories.
#[derive(Debug)]
pub struct Taker<'a> {
    /// The guest's command line.
    pub arguments: &'a Arguments,
    /// QEMU's working folder.
    pub folder: &'a Path,
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

impl Taker<'_> {
    /// Takes an inventory.
    ///
    /// # Errors
    ///
    /// If QEMU ends meanwhile, or does not answer.
    pub fn take(&self, qmp: &mut Qmp) -> Result<Inventory, Trouble> {
        let mut items = Vec::new();
        self.disks(qmp, &mut items)?;
        self.interfaces(qmp, &mut items)?;
        let chardevs = self.chardevs(qmp)?;
        self.devices(qmp, &chardevs, &mut items)?;
        self.objects(qmp, &mut items)?;
        self.tpms(qmp, &chardevs, &mut items)?;
        for (id, path) in &self.arguments.folders {
            self.add(&mut items, Kind::Fs, id, Some(self.absolute(path)));
        }
        items.sort_by(|a, b| (a.kind, a.place, &a.key).cmp(&(b.kind, b.place, &b.key)));
        let memory = qmp.execute("query-memory-size-summary", json!({}))?;
        let memory = memory.unwrap_or_default();
        let bytes = |name: &str| memory.get(name).and_then(Value::as_u64).unwrap_or(0);
        let vcpus = list(qmp.execute("query-cpus-fast", json!({}))?).len();
        let iothreads = list(qmp.execute("query-iothreads", json!({}))?).len();
        Ok(Inventory {
            items,
            memory: (bytes("base-memory") + bytes("plugged-memory")) / 1024,
            vcpus: vcpus as u64,
            iothreads: iothreads as u64,
        })
    }

    fn add(&self, items: &mut Vec<Item>, kind: Kind, key: &str, what: Option<Vec<u8>>) {
        let id = key.rsplit('/').next().unwrap_or_default();
        items.push(Item {
            kind,
            key: key.to_owned(),
            what,
            host_side: String::new(),
            place: self.arguments.place(id),
        });
    }

    /// Returns the absolute path on the host.
    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        self.folder.join(path).as_os_str().as_bytes().to_vec()
    }

    /// Adds disks on files and block devices of the host. Other disks are not of the host.
    fn disks(&self, qmp: &mut Qmp, items: &mut Vec<Item>) -> Result<(), Trouble> {
        for (at, drive) in list(qmp.execute("query-block", json!({}))?)
            .iter()
            .enumerate()
        {
            // What no device shows to the guest, it does not have.
            let key = text(drive, "qdev");
            if key.is_empty() {
                continue;
            }
            let inserted = drive.get("inserted");
            let file = inserted.and_then(|inserted| local(text(inserted, "file")));
            let path = file.map(|file| self.absolute(file.as_bytes()));
            items.push(Item {
                kind: Kind::Disk,
                key: key.to_owned(),
                what: path,
                host_side: String::new(),
                // In the order in which the guest got them.
                place: at,
            });
        }
        Ok(())
    }

    /// Adds interfaces. Only the human monitor lists all of them, in order, with the names of their
    /// host sides.
    fn interfaces(&self, qmp: &mut Qmp, items: &mut Vec<Item>) -> Result<(), Trouble> {
        let command = json!({ "command-line": "info network" });
        let text = qmp.execute("human-monitor-command", command)?;
        let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
        let before = items.len();
        for interface in interfaces(text) {
            if items[before..].iter().any(|item| item.key == interface.key) {
                continue;
            }
            items.push(Item {
                place: items.len(),
                ..interface
            });
        }
        Ok(())
    }

    /// Returns the paths of character devices, by label.
    fn chardevs(&self, qmp: &mut Qmp) -> Result<HashMap<String, Vec<u8>>, Trouble> {
        let mut found = HashMap::new();
        for chardev in list(qmp.execute("query-chardev", json!({}))?) {
            let label = text(&chardev, "label");
            let path = self
                .arguments
                .chardev(label)
                .map(<[u8]>::to_vec)
                .or_else(|| chardev_path(text(&chardev, "filename")));
            if let Some(path) = path {
                found.insert(label.to_owned(), self.absolute(&path));
            }
        }
        Ok(found)
    }

    /// Adds the devices on the buses.
    fn devices(
        &self,
        qmp: &mut Qmp,
        chardevs: &HashMap<String, Vec<u8>>,
        items: &mut Vec<Item>,
    ) -> Result<(), Trouble> {
        for folder in ["peripheral", "peripheral-anon", "unattached"] {
            let folder = format!("/machine/{folder}");
            for (name, ty) in children(qmp, &folder)? {
                let Some(device) = Device::of(&ty) else {
                    continue;
                };
                let path = format!("{folder}/{name}");
                match device {
                    Device::Chardev(kind) => {
                        let label = property(qmp, &path, "chardev")?;
                        if let Some(leads) = chardevs.get(&label) {
                            // Two of one kind are recorded in the order of what they lead to.
                            self.add(items, kind, &path, Some(leads.clone()));
                            if let Some(item) = items.last_mut() {
                                item.place = item.place.min(self.arguments.place(&label));
                            }
                        }
                    }
                    Device::Rng => {
                        let backend = property(qmp, &path, "rng")?;
                        if let Some(source) = self.source(qmp, &backend, chardevs)? {
                            self.add(items, Kind::Rng, &path, Some(source));
                        }
                    }
                    Device::Redirected => {
                        self.add(
                            items,
                            Kind::Redirected,
                            &path,
                            Some(b"USB redirdev".to_vec()),
                        );
                    }
                    Device::Pci => {
                        let host = property(qmp, &path, "host")?;
                        self.add(items, Kind::Host, &path, Some(format!("pci {host}").into()));
                    }
                    Device::Usb => {
                        let bus = property(qmp, &path, "hostbus")?.parse().unwrap_or(0u32);
                        let at = property(qmp, &path, "hostaddr")?.parse().unwrap_or(0u32);
                        let what = format!("usb {bus:03}.{at:03}");
                        self.add(items, Kind::Host, &path, Some(what.into()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the entropy source of a random number generator; `None` for QEMU's own, and if it is
    /// no file of the host.
    fn source(
        &self,
        qmp: &mut Qmp,
        backend: &str,
        chardevs: &HashMap<String, Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let file = property(qmp, backend, "filename")?;
        if !file.is_empty() {
            return Ok(Some(self.absolute(file.as_bytes())));
        }
        let label = property(qmp, backend, "chardev")?;
        Ok(chardevs.get(&label).cloned())
    }

    /// Adds the resources that an object alone describes.
    fn objects(&self, qmp: &mut Qmp, items: &mut Vec<Item>) -> Result<(), Trouble> {
        for (name, ty) in children(qmp, "/objects")? {
            if ty == "input-linux" {
                let path = format!("/objects/{name}");
                let device = property(qmp, &path, "evdev")?;
                let device = self.absolute(device.as_bytes());
                self.add(items, Kind::Evdev, &path, Some(device));
            }
        }
        Ok(())
    }

    fn tpms(
        &self,
        qmp: &mut Qmp,
        chardevs: &HashMap<String, Vec<u8>>,
        items: &mut Vec<Item>,
    ) -> Result<(), Trouble> {
        for tpm in list(qmp.execute("query-tpm", json!({}))?) {
            let options = tpm.get("options").cloned().unwrap_or_default();
            let data = options.get("data").cloned().unwrap_or_default();
            let id = text(&tpm, "id");
            match text(&options, "type") {
                "passthrough" => {
                    let path = Some(self.absolute(text(&data, "path").as_bytes()));
                    self.add(items, Kind::Tpm, id, path);
                }
                "emulator" => {
                    let path = chardevs.get(text(&data, "chardev")).cloned();
                    self.add(items, Kind::TpmEmulator, id, path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the resource of a failed `device_add`, if it is known.
    ///
    /// # Errors
    ///
    /// See [`Taker::take`].
    pub fn asked_for(
        &self,
        qmp: &mut Qmp,
        arguments: &Value,
    ) -> Result<Option<(Kind, Vec<u8>)>, Trouble> {
        let driver = text(arguments, "driver");
        if let Some(Device::Rng) = Device::of(driver) {
            let backend = format!("/objects/{}", text(arguments, "rng"));
            let chardevs = self.chardevs(qmp)?;
            let source = self.source(qmp, &backend, &chardevs)?;
            return Ok(source.map(|source| (Kind::Rng, source)));
        }
        if let mac @ 1.. = text(arguments, "mac").len() {
            let text = text(arguments, "mac").to_ascii_lowercase();
            return Ok((mac == 17).then(|| (Kind::Net, text.into_bytes())));
        }
        let drive = text(arguments, "drive");
        if drive.is_empty() {
            return Ok(None);
        }
        let nodes = list(qmp.execute("query-named-block-nodes", json!({ "flat": true }))?);
        let node = nodes.iter().find(|node| text(node, "node-name") == drive);
        let file = node.and_then(|node| local(text(node, "file")));
        Ok(file.map(|file| (Kind::Disk, self.absolute(file.as_bytes()))))
    }
}

/// A type of device that is recorded.
enum Device {
    Chardev(Kind),
    Rng,
    Redirected,
    Pci,
    Usb,
}

impl Device {
    fn of(ty: &str) -> Option<Self> {
        Some(match ty {
            "isa-serial" | "pci-serial" | "pci-serial-2x" | "pci-serial-4x" | "usb-serial"
            | "pl011" | "sclpconsole" | "spapr-vty" => Self::Chardev(Kind::Serial),
            "isa-parallel" => Self::Chardev(Kind::Parallel),
            "virtserialport" => Self::Chardev(Kind::Channel),
            "virtconsole" => Self::Chardev(Kind::Console),
            "ccid-card-passthru" => Self::Chardev(Kind::Smartcard),
            "usb-redir" => Self::Redirected,
            "usb-host" => Self::Usb,
            ty if ty.starts_with("vfio-pci") => Self::Pci,
            ty if ty.starts_with("virtio-rng-") => Self::Rng,
            _ => return None,
        })
    }
}

/// Returns the entries of a folder of QEMU's tree: name and type.
fn children(qmp: &mut Qmp, folder: &str) -> Result<Vec<(String, String)>, Trouble> {
    let mut found: Vec<_> = list(qmp.execute("qom-list", json!({ "path": folder }))?)
        .iter()
        .filter_map(|entry| {
            let ty = text(entry, "type").strip_prefix("child<")?;
            let ty = ty.strip_suffix('>')?;
            Some((text(entry, "name").to_owned(), ty.to_owned()))
        })
        .collect();
    // QEMU keeps them in no order.
    found.sort();
    Ok(found)
}

/// Returns a property as text; empty if there is none.
fn property(qmp: &mut Qmp, path: &str, name: &str) -> Result<String, Trouble> {
    let got = qmp.execute("qom-get", json!({ "path": path, "property": name }))?;
    Ok(match got {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    })
}
