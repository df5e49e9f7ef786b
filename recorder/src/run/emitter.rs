// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the records that libvirt would: to audit, and to a file if one is requested.

use super::changes::Change;
use super::descriptors;
use super::inventory::Inventory;
use super::item::{Item, Kind};
use crate::audit::kernel::Audit;
use crate::audit::recorder::{Recorder, Trouble, exe};
use dmns_audit_log::virt::VirtType;
use dmns_audit_log::virt::text::Guest;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Writes the records of one guest.
#[derive(Debug)]
pub struct Emitter {
    name: Vec<u8>,
    uuid: String,
    exe: Vec<u8>,
    virt: &'static str,
    /// A record that cannot be written stops the guest.
    strict: bool,
    recorder: Recorder,
}

impl Emitter {
    /// Creates the emitter of the guest `name` with `uuid`. Without audit, prints a message, or
    /// fails if `strict`.
    ///
    /// # Errors
    ///
    /// If audit is required, and is not available.
    pub fn new(name: Vec<u8>, uuid: String, strict: bool, log: Option<File>) -> io::Result<Self> {
        let mut emitter = Self {
            name,
            uuid,
            exe: exe(),
            virt: "qemu",
            strict,
            recorder: Recorder::new(log),
        };
        match Audit::connect() {
            Ok(mut audit) => {
                if audit.is_on() == Some(false) {
                    let off = "audit is off: `auditctl -e 1` turns it on";
                    emitter.without(io::Error::other(off))?;
                }
                emitter.recorder.audit = Some(audit);
            }
            Err(error) => emitter.without(error)?,
        }
        Ok(emitter)
    }

    /// Handles a failure to write records.
    fn without(&mut self, error: io::Error) -> io::Result<()> {
        if self.strict {
            return Err(error);
        }
        self.recorder.audit = None;
        eprintln!(
            "dmns-audit-record: {error}; the guest runs all the same, and nothing of it is in the audit log"
        );
        Ok(())
    }

    /// Notes whether the guest runs with KVM, or emulated.
    pub fn accelerated(&mut self, kvm: bool) {
        self.virt = if kvm { "kvm" } else { "qemu" };
    }

    fn write(
        &mut self,
        ty: VirtType,
        text: impl FnOnce(&Guest<'_>, &mut Vec<u8>),
    ) -> io::Result<()> {
        let guest = Guest {
            virt: self.virt,
            name: &self.name,
            uuid: &self.uuid,
            exe: &self.exe,
        };
        match self.recorder.write(ty, |out| text(&guest, out)) {
            Ok(()) => Ok(()),
            Err(Trouble::Log(error)) => Err(error),
            Err(Trouble::Audit(error)) => self.without(error),
        }
    }

    /// Records the begin of a start.
    ///
    /// # Errors
    ///
    /// Here and below: if a required record cannot be written.
    pub fn begins(&mut self) -> io::Result<()> {
        let label = format!("+{}:+{}", nix::unistd::getuid(), nix::unistd::getgid());
        self.write(VirtType::MachineId, |guest, out| {
            guest.machine_id(out, &label, &label, "dac");
        })
    }

    /// Records that the guest was started in the process `pid`, with these resources.
    pub fn started(&mut self, has: &Inventory, reason: &str, pid: u32) -> io::Result<()> {
        for item in &has.items {
            self.opens(item, pid)?;
        }
        for item in has.items.iter().filter(|item| item.what.is_some()) {
            self.item(item, "start", (None, item.what.as_deref()), true)?;
        }
        self.amount("mem", "start", 0, has.memory)?;
        self.amount("vcpu", "start", 0, has.vcpus)?;
        if has.iothreads > 0 {
            self.amount("iothread", "start", 0, has.iothreads)?;
        }
        self.control("start", reason, i64::from(pid), true)
    }

    /// Records that the guest could not be started.
    pub fn not_started(&mut self, reason: &str) -> io::Result<()> {
        self.control("start", reason, 0, false)
    }

    /// Records that the guest was stopped.
    pub fn stopped(&mut self, reason: &str) -> io::Result<()> {
        self.control("stop", reason, 0, true)
    }

    /// Records a change while the guest ran in the process `pid`. `reason` is that of a
    /// replacement.
    pub fn changed(&mut self, change: &Change<'_>, reason: &str, pid: u32) -> io::Result<()> {
        match change {
            Change::Came(item) => {
                self.opens(item, pid)?;
                self.item(item, "attach", (None, item.what.as_deref()), true)
            }
            Change::Went(item) => self.item(item, "detach", (item.what.as_deref(), None), true),
            Change::Became(old, new) => {
                let values = (old.what.as_deref(), new.what.as_deref());
                self.item(new, reason, values, true)
            }
            Change::Amount(kind, old, new) => self.amount(kind, "update", *old, *new),
        }
    }

    /// Records that a resource could not be plugged.
    pub fn refused(&mut self, kind: Kind, what: &[u8]) -> io::Result<()> {
        let item = Item::new(kind, "", Some(what.to_vec()));
        self.item(&item, "attach", (None, Some(what)), false)
    }

    fn control(&mut self, op: &str, reason: &str, pid: i64, success: bool) -> io::Result<()> {
        self.write(VirtType::Control, |guest, out| {
            guest.control(out, op, reason, pid, success);
        })
    }

    fn amount(&mut self, kind: &str, reason: &str, old: u64, new: u64) -> io::Result<()> {
        self.write(VirtType::Resource, |guest, out| {
            guest.amount(out, kind, reason, (old, new), true);
        })
    }

    /// Records the descriptors of an interface.
    fn opens(&mut self, item: &Item, pid: u32) -> io::Result<()> {
        let (Kind::Net, Some(mac)) = (item.kind, &item.what) else {
            return Ok(());
        };
        let mac = String::from_utf8_lossy(mac).into_owned();
        let all = descriptors::of(pid);
        for descriptor in descriptors::of_interface(&all, &item.host_side) {
            let path = descriptor.path.as_os_str().as_bytes();
            let rdev = descriptor.rdev();
            self.write(VirtType::Resource, |guest, out| {
                guest.net_open(out, &mac, path, rdev, true);
            })?;
        }
        Ok(())
    }

    fn item(
        &mut self,
        item: &Item,
        reason: &str,
        (old, new): (Option<&[u8]>, Option<&[u8]>),
        success: bool,
    ) -> io::Result<()> {
        let one = new.or(old).unwrap_or_default();
        self.write(VirtType::Resource, |guest, out| {
            let mut change = |kind: &str| guest.change(out, kind, reason, (old, new), success);
            match item.kind {
                Kind::Disk => change("disk"),
                Kind::Fs => change("fs"),
                Kind::Net => change("net"),
                Kind::Rng => change("rng"),
                Kind::Smartcard => change("smartcard"),
                Kind::Serial | Kind::Parallel | Kind::Channel | Kind::Console => change("chardev"),
                Kind::Redirected => guest.device(out, reason, "usb", one, success),
                Kind::Host => {
                    let space = one.iter().position(|&b| b == b' ').unwrap_or(0);
                    let (bus, device) = one.split_at(space);
                    let bus = String::from_utf8_lossy(bus);
                    guest.device(
                        out,
                        reason,
                        &bus,
                        device.get(1..).unwrap_or_default(),
                        success,
                    );
                }
                Kind::Evdev => guest.at(out, ("evdev", "path"), reason, one, success),
                Kind::Tpm => guest.at(out, ("tpm", "device"), reason, one, success),
                Kind::TpmEmulator => {
                    guest.at(out, ("tpm-emulator", "device"), reason, one, success)
                }
            }
        })
    }
}
