// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The text of the records of guests, as libvirt and libaudit write it.
//!
//! This module writes the content of `msg='...'`; the kernel adds the rest.

use crate::contract::is_identifier;
use dmns_audit_uapi::text::{Sink, decimal, signed, untrusted};

/// The maximum length of an untrusted value, in bytes. Two values in hexadecimal, a name and a
/// program's path fit the kernel's limit (`AUDIT_MESSAGE_TEXT_MAX`, 8560 bytes). A longer record
/// would be cut.
pub const LONGEST_VALUE: usize = 1800;

/// The maximum length of a guest's name, in bytes.
pub const LONGEST_NAME: usize = 255;

/// A guest, and the program that writes the record.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// `kvm`, `qemu`, or `oci`.
    pub virt: &'a str,
    /// Its name. Bytes beyond [`LONGEST_NAME`] are not written.
    pub name: &'a [u8],
    /// Its UUID in lower case; for a container, the runtime's name of it.
    pub uuid: &'a str,
    /// The program that writes.
    pub exe: &'a [u8],
}

/// Devices that a control group is allowed or denied.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    /// The control group's folder.
    pub cgroup: &'a [u8],
    /// The devices.
    pub which: Which<'a>,
}

/// The devices that a control group is allowed or denied, and the access to them (`rwm`).
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// All.
    All,
    /// All devices of a major number: category, number, access.
    Major(&'a str, u32, &'a str),
    /// One device: path, number, access.
    Path(&'a [u8], (u32, u32), &'a str),
}

pub(super) fn word(out: &mut impl Sink, name: &str, value: &str) {
    out.put(b" ");
    out.put(name.as_bytes());
    out.put(b"=");
    out.put(value.as_bytes());
}

pub(super) fn encoded(out: &mut impl Sink, name: &str, value: &[u8], most: usize) {
    word(out, name, "");
    untrusted(out, &value[..value.len().min(most)]);
}

/// `old-disk` of `disk`.
fn named(out: &mut impl Sink, prefix: &str, kind: &str) {
    out.put(b" ");
    out.put(prefix.as_bytes());
    out.put(kind.as_bytes());
    out.put(b"=");
}

impl Guest<'_> {
    pub(super) fn begin(&self, out: &mut impl Sink, what: &[(&str, &str)]) {
        out.put(b"virt=");
        out.put(self.virt.as_bytes());
        for (name, value) in what {
            word(out, name, value);
        }
        encoded(out, "vm", self.name, LONGEST_NAME);
        match is_identifier(self.uuid) && self.uuid.len() <= LONGEST_NAME {
            true => word(out, "uuid", self.uuid),
            false => encoded(out, "uuid", self.uuid.as_bytes(), LONGEST_NAME),
        }
    }

    /// Appends libaudit's fields. C: `audit_log_user_message()` in libaudit.
    pub(super) fn end(&self, out: &mut impl Sink, success: bool) {
        encoded(out, "exe", self.exe, LONGEST_NAME);
        out.put(b" hostname=? addr=? terminal=? res=");
        out.put(if success { b"success" } else { b"failed" });
    }

    /// VIRT_CONTROL: the guest was started or stopped (`op`), in the process `pid`.
    pub fn control(&self, out: &mut impl Sink, op: &str, reason: &str, pid: i64, success: bool) {
        self.begin(out, &[("op", op), ("reason", reason)]);
        word(out, "vm-pid", "");
        signed(out, pid);
        self.end(out, success);
    }

    /// VIRT_CONTROL of a container: its first process `init`, in the pid namespace with the inode
    /// number `pid_ns`.
    pub fn init(&self, out: &mut impl Sink, pid: i64, (init, pid_ns): (i64, i64), success: bool) {
        self.begin(out, &[("op", "init")]);
        for (name, value) in [("vm-pid", pid), ("init-pid", init), ("pid-ns", pid_ns)] {
            word(out, name, "");
            signed(out, value);
        }
        self.end(out, success);
    }

    /// VIRT_MACHINE_ID: labels of the guest's process and of its images.
    pub fn machine_id(&self, out: &mut impl Sink, process: &str, images: &str, model: &str) {
        self.begin(out, &[]);
        word(out, "vm-ctx", process);
        word(out, "img-ctx", images);
        word(out, "model", model);
        self.end(out, true);
    }

    /// VIRT_RESOURCE: `disk`, `net`, `rng` ...: the old resource and the new one.
    pub fn change(
        &self,
        out: &mut impl Sink,
        kind: &str,
        reason: &str,
        (old, new): (Option<&[u8]>, Option<&[u8]>),
        success: bool,
    ) {
        self.begin(out, &[("resrc", kind), ("reason", reason)]);
        for (prefix, value) in [("old-", old), ("new-", new)] {
            named(out, prefix, kind);
            let value = value.unwrap_or(b"?");
            untrusted(out, &value[..value.len().min(LONGEST_VALUE)]);
        }
        self.end(out, success);
    }

    /// VIRT_RESOURCE: `mem` (KiB), `vcpu`, `iothread`: the old amount and the new one.
    pub fn amount(
        &self,
        out: &mut impl Sink,
        kind: &str,
        reason: &str,
        (old, new): (u64, u64),
        success: bool,
    ) {
        self.begin(out, &[("resrc", kind), ("reason", reason)]);
        for (prefix, value) in [("old-", old), ("new-", new)] {
            named(out, prefix, kind);
            decimal(out, value);
        }
        self.end(out, success);
    }

    /// VIRT_RESOURCE: a descriptor was opened for the interface `mac`.
    pub fn net_open(
        &self,
        out: &mut impl Sink,
        mac: &str,
        path: &[u8],
        rdev: Option<(u32, u32)>,
        success: bool,
    ) {
        self.begin(out, &[("resrc", "net"), ("reason", "open")]);
        word(out, "net", mac);
        encoded(out, "path", path, LONGEST_VALUE);
        word(out, "rdev", "");
        match rdev {
            Some((major, minor)) => {
                upper_hex2(out, major);
                out.put(b":");
                upper_hex2(out, minor);
            }
            None => out.put(b"?"),
        }
        self.end(out, success);
    }

    /// VIRT_RESOURCE: a device of the host, on `bus`.
    pub fn device(
        &self,
        out: &mut impl Sink,
        reason: &str,
        bus: &str,
        device: &[u8],
        success: bool,
    ) {
        self.begin(out, &[("resrc", "dev"), ("reason", reason)]);
        word(out, "bus", bus);
        encoded(out, "device", device, LONGEST_VALUE);
        self.end(out, success);
    }

    /// VIRT_RESOURCE: the devices that the guest's control group is allowed or denied (`reason`).
    pub fn cgroup(&self, out: &mut impl Sink, reason: &str, what: &Devices<'_>, success: bool) {
        self.begin(out, &[("resrc", "cgroup"), ("reason", reason)]);
        encoded(out, "cgroup", what.cgroup, LONGEST_VALUE);
        match what.which {
            Which::All => word(out, "class", "all"),
            Which::Major(category, major, acl) => {
                word(out, "class", "major");
                word(out, "category", category);
                word(out, "maj", "");
                upper_hex2(out, major);
                word(out, "acl", acl);
            }
            Which::Path(path, (major, minor), acl) => {
                word(out, "class", "path");
                encoded(out, "path", path, LONGEST_VALUE);
                word(out, "rdev", "");
                upper_hex2(out, major);
                out.put(b":");
                upper_hex2(out, minor);
                word(out, "acl", acl);
            }
        }
        self.end(out, success);
    }

    /// VIRT_RESOURCE: memory of `size` bytes that guests share, by its file.
    pub fn shmem(
        &self,
        out: &mut impl Sink,
        reason: &str,
        (size, path): (u64, &[u8]),
        success: bool,
    ) {
        self.begin(out, &[("resrc", "shmem"), ("reason", reason)]);
        word(out, "size", "");
        decimal(out, size);
        encoded(out, "path", path, LONGEST_VALUE);
        self.end(out, success);
    }

    /// VIRT_RESOURCE: a resource that a path identifies: `evdev` in `path`, `tpm` in `device`, for
    /// a container `hostdev` in `disk` or `chardev`.
    pub fn at(
        &self,
        out: &mut impl Sink,
        (kind, field): (&str, &str),
        reason: &str,
        path: &[u8],
        success: bool,
    ) {
        self.begin(out, &[("resrc", kind), ("reason", reason)]);
        encoded(out, field, path, LONGEST_VALUE);
        self.end(out, success);
    }
}

/// Appends `value` in upper-case hexadecimal, of two digits or more, as `%02X` does.
fn upper_hex2(out: &mut impl Sink, value: u32) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let length = (8 - value.leading_zeros() as usize / 4).max(2);
    for i in (0..length).rev() {
        out.put(&[DIGITS[(value >> (4 * i)) as usize & 0xf]]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::VirtType;
    use super::super::layout::{SHAPES, shape};
    use super::*;
    use crate::contract::Field;
    use crate::line::{Line, inner_fields};
    use crate::tests::text;
    extern crate std;
    use proptest::prelude::*;
    use std::{format, string::String, vec::Vec};

    /// Compares `inner` with the contract. Returns the first difference.
    pub(crate) fn departs(ty: VirtType, inner: &str) -> Option<String> {
        let found: Vec<_> = inner_fields(inner).collect();
        let value = |name: &str| found.iter().find(|f| f.name == name).map(|f| f.value);
        let Some(shape) = shape(ty, value) else {
            return Some("no shape".into());
        };
        let names: Vec<_> = found.iter().map(|f| f.name).collect();
        let is_there = |field: &&Field| !field.optional || names.iter().any(|n| field.name.is(n));
        let fields: Vec<_> = shape.fields.iter().filter(is_there).collect();
        let expected: Vec<_> = fields.iter().map(|f| format!("{}", f.name)).collect();
        if names != expected {
            return Some(format!("{names:?}, not {expected:?}"));
        }
        let wrong = fields
            .iter()
            .zip(&found)
            .find(|(field, found)| !field.syntax.accepts(found.value));
        wrong.map(|(field, found)| format!("{}={}", field.name, found.value))
    }

    proptest! {
        /// Any name or path gives a record that keeps the contract and fits the kernel's limit.
        #[test]
        fn what_is_written_keeps_the_contract(
            name: Vec<u8>, value in proptest::collection::vec(any::<u8>(), 0..5000), pid: i64, amounts: (u32, u32),
            rdev: Option<(u32, u32)>, success: bool,
        ) {
            let guest = Guest { virt: "kvm", name: &name, uuid: "11111111-2222-3333-4444-555555555555", exe: &value };
            let amounts = (u64::from(amounts.0), u64::from(amounts.1));
            let (old, new) = (Some(&value[..]), Some(&value[..]));
            for (ty, inner) in [
                (VirtType::Control, text(|out| guest.control(out, "start", "booted", pid, success))),
                (VirtType::MachineId, text(|out| guest.machine_id(out, "+0:+0", "+0:+0", "dac"))),
                (VirtType::Resource, text(|out| guest.change(out, "disk", "update", (old, new), success))),
                (VirtType::Resource, text(|out| guest.change(out, "net", "start", (None, new), success))),
                (VirtType::Resource, text(|out| guest.amount(out, "mem", "update", amounts, success))),
                (VirtType::Resource, text(|out| guest.net_open(out, "52:54:00:00:00:01", &value, rdev, success))),
                (VirtType::Resource, text(|out| {
                    let which = Which::Path(&value, rdev.unwrap_or((10, 200)), "rw");
                    guest.cgroup(out, "allow", &Devices { cgroup: &value, which }, success);
                })),
                (VirtType::Resource, text(|out| {
                    let which = Which::Major("pty", 136, "rw");
                    guest.cgroup(out, "deny", &Devices { cgroup: &value, which }, success);
                })),
                (VirtType::Resource, text(|out| {
                    guest.cgroup(out, "deny", &Devices { cgroup: &value, which: Which::All }, success);
                })),
                (VirtType::Resource, text(|out| guest.device(out, "attach", "usb", &value, success))),
                (VirtType::Control, text(|out| guest.init(out, pid, (pid, pid), success))),
                (VirtType::Resource, text(|out| guest.shmem(out, "start", (amounts.0, &value), success))),
                (VirtType::Resource, text(|out| guest.at(out, ("evdev", "path"), "start", &value, success))),
                (VirtType::Resource, text(|out| guest.at(out, ("tpm", "device"), "start", &value, success))),
            ] {
                prop_assert_eq!(departs(ty, &inner), None, "{}", inner);
                // C: AUDIT_MESSAGE_TEXT_MAX.
                prop_assert!(inner.len() <= 8560, "{}", inner.len());
                prop_assert!(!inner.contains('\n'));
            }
        }
    }

    /// The text is that of libvirt 11.3.0.
    #[test]
    fn the_text_is_libvirts() {
        let guest = Guest {
            virt: "qemu",
            name: b"my guest",
            uuid: "11111111-2222-3333-4444-555555555555",
            exe: b"/usr/sbin/libvirtd",
        };
        let vm = "vm=6D79206775657374 uuid=11111111-2222-3333-4444-555555555555";
        let end = "exe=\"/usr/sbin/libvirtd\" hostname=? addr=? terminal=? res=success";
        for (written, libvirt) in [
            (
                text(|out| guest.machine_id(out, "+0:+0", "+0:+0", "dac")),
                format!("virt=qemu {vm} vm-ctx=+0:+0 img-ctx=+0:+0 model=dac {end}"),
            ),
            (
                text(|out| {
                    guest.net_open(
                        out,
                        "52:54:00:00:00:01",
                        b"/dev/net/tun",
                        Some((10, 200)),
                        true,
                    )
                }),
                format!(
                    "virt=qemu resrc=net reason=open {vm} net=52:54:00:00:00:01 path=\"/dev/net/tun\" rdev=0A:C8 {end}"
                ),
            ),
            (
                text(|out| {
                    guest.change(out, "rng", "start", (None, Some(b"/dev/urandom")), true);
                }),
                format!(
                    "virt=qemu resrc=rng reason=start {vm} old-rng=\"?\" new-rng=\"/dev/urandom\" {end}"
                ),
            ),
            (
                text(|out| guest.amount(out, "mem", "start", (0, 98304), true)),
                format!("virt=qemu resrc=mem reason=start {vm} old-mem=0 new-mem=98304 {end}"),
            ),
            (
                text(|out| guest.device(out, "start", "usb", b"USB redirdev", true)),
                format!(
                    "virt=qemu resrc=dev reason=start {vm} bus=usb device=555342207265646972646576 {end}"
                ),
            ),
            (
                text(|out| guest.control(out, "start", "booted", 282, true)),
                format!("virt=qemu op=start reason=booted {vm} vm-pid=282 {end}"),
            ),
        ] {
            assert_eq!(written, libvirt);
        }
    }

    #[test]
    fn a_shape_is_found_by_what_a_record_is_about() {
        for expected in &SHAPES {
            let mut values: Vec<(&str, &str)> = Vec::new();
            for condition in expected.about.split(' ').filter(|c| !c.is_empty()) {
                let (name, value) = condition.split_once('=').expect("a condition");
                values.push((name, if value.is_empty() { "x" } else { value }));
            }
            let found = shape(expected.ty, |name| {
                values.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
            });
            assert_eq!(found, Some(expected), "{}", expected.about);
        }
        assert_eq!(shape(VirtType::Resource, |_| None), None);
        for ty in VirtType::ALL {
            assert_eq!(VirtType::from_number(ty.number()), Some(ty));
            assert_eq!(VirtType::from_name(ty.name().as_bytes()), Some(ty));
        }
    }

    /// A name that looks like the end of a record is one word: nothing can be forged with it.
    #[test]
    fn nothing_is_forged_by_a_name() {
        for name in [
            &b"x res=failed"[..],
            b"x' msg='virt=kvm",
            b"a\nb",
            b"\xff\"",
            b"it's",
        ] {
            let guest = Guest {
                virt: "kvm",
                name,
                uuid: "11111111-2222-3333-4444-555555555555",
                exe: b"/x",
            };
            let inner = text(|out| guest.control(out, "stop", "shutdown", 0, true));
            let line = format!("type=VIRT_CONTROL msg=audit(1.000:1): pid=1 msg='{inner}'");
            let line = Line::parse(&line).expect("a record");
            assert_eq!(line.inner_field("res"), Some("success"));
            assert_eq!(line.inner_field("op"), Some("stop"));
            assert_eq!(departs(VirtType::Control, &inner), None, "{inner}");
        }
    }
}
