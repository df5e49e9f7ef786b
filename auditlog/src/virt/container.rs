// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The text of VIRT_CONTROL of a container, as `dmns-audit-record oci-hook` writes it.

use super::text::{Guest, LONGEST_NAME, encoded, word};
use dmns_audit_uapi::ns::PROC_DYNAMIC_FIRST;
use dmns_audit_uapi::text::{Sink, decimal, signed};

/// The maximum length of an image's name, in bytes.
pub const LONGEST_IMAGE: usize = 1024;

/// A container, and the program that writes the record.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// Its name and id; `virt` is `oci`.
    pub guest: Guest<'a>,
    /// Its first process as the host sees it; 0 where it is not known.
    pub pid: i64,
    /// The claimant: a user without the right to write records. `None` if the writer knows it
    /// itself.
    pub claim: Option<u32>,
}

/// The namespaces of a container's first process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The inode number of its pid namespace, as libvirt's LXC driver records it.
    pub pid: Option<u64>,
    /// The `ns_id` of each, in the order of [`dmns_audit_uapi::ns::Kind::ALL`].
    pub ids: [Option<u64>; 8],
}

/// The origin of a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The program that created it: `crun`.
    pub runtime: Option<&'a [u8]>,
    /// The image that it was created from.
    pub image: Option<&'a [u8]>,
    /// The pod that it is part of.
    pub pod: Option<&'a [u8]>,
}

/// Returns the inode number (`pid-ns=`) of the namespace to which the records give `number`.
pub fn inode_of(number: i32) -> i64 {
    i64::from(PROC_DYNAMIC_FIRST) + i64::from(number)
}

/// Returns the number that the records give the namespace with this inode number, if it has one.
pub fn number_of(inode: i64) -> Option<i32> {
    i32::try_from(inode.checked_sub(i64::from(PROC_DYNAMIC_FIRST))?).ok()
}

/// The names of the fields with ids, in the order of [`dmns_audit_uapi::ns::Kind::ALL`].
const IDS: [&str; 8] = [
    "mntns_id",
    "utsns_id",
    "ipcns_id",
    "userns_id",
    "pidns_id",
    "netns_id",
    "cgroupns_id",
    "timens_id",
];

fn number(out: &mut impl Sink, name: &str, value: Option<u64>) {
    match value {
        Some(value) => {
            word(out, name, "");
            decimal(out, value);
        }
        None => word(out, name, "?"),
    }
}

impl Container<'_> {
    /// VIRT_CONTROL: it was created, and its program runs next. `reason` is the stage of the hook.
    pub fn start(
        &self,
        out: &mut impl Sink,
        reason: &str,
        namespaces: &Namespaces,
        origin: &Origin<'_>,
    ) {
        self.begin(out, "start", reason);
        number(out, "pid-ns", namespaces.pid);
        for (name, id) in IDS.into_iter().zip(namespaces.ids) {
            number(out, name, id);
        }
        for (name, value, most) in [
            ("runtime", origin.runtime, LONGEST_NAME),
            ("image", origin.image, LONGEST_IMAGE),
            ("pod", origin.pod, LONGEST_NAME),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                encoded(out, name, value, most);
            }
        }
        self.end(out);
    }

    /// VIRT_CONTROL: it has ended, with this exit status if the runtime has it.
    pub fn stop(&self, out: &mut impl Sink, reason: &str, status: Option<u32>) {
        self.begin(out, "stop", reason);
        if status.is_some() {
            number(out, "status", status.map(u64::from));
        }
        self.end(out);
    }

    fn begin(&self, out: &mut impl Sink, op: &str, reason: &str) {
        self.guest.begin(out, &[("op", op), ("reason", reason)]);
        word(out, "vm-pid", "");
        signed(out, self.pid);
    }

    fn end(&self, out: &mut impl Sink) {
        if self.claim.is_some() {
            number(out, "claim-uid", self.claim.map(u64::from));
        }
        self.guest.end(out, true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::VirtType;
    use super::super::text::Devices;
    use super::super::text::Which;
    use super::super::text::tests::departs;
    use super::*;
    use crate::tests::text;
    use dmns_audit_uapi::ns::Kind;
    extern crate std;
    use proptest::prelude::*;
    use std::{format, string::String, vec::Vec};

    const ID: &str = "9a1d9f7b3d1c5e60f1b2a3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708";

    fn container<'a>(name: &'a [u8], id: &'a str) -> Container<'a> {
        Container {
            guest: Guest {
                virt: "oci",
                name,
                uuid: id,
                exe: b"/usr/bin/dmns-audit",
            },
            pid: 715,
            claim: None,
        }
    }

    #[test]
    fn the_text_by_example() {
        let web = container(b"web", ID);
        let namespaces = Namespaces {
            pid: Some(4026532535),
            ids: [21, 22, 23, 4, 25, 26, 27, 8].map(Some),
        };
        let origin = Origin {
            runtime: Some(b"crun"),
            image: Some(b"localhost/busy box:1"),
            pod: None,
        };
        let begin = format!("reason=createRuntime vm=\"web\" uuid={ID} vm-pid=715");
        let end = "exe=\"/usr/bin/dmns-audit\" hostname=? addr=? terminal=? res=success";
        assert_eq!(
            text(|out| web.start(out, "createRuntime", &namespaces, &origin)),
            format!(
                "virt=oci op=start {begin} pid-ns=4026532535 mntns_id=21 utsns_id=22 ipcns_id=23 userns_id=4 \
                 pidns_id=25 netns_id=26 cgroupns_id=27 timens_id=8 runtime=\"crun\" \
                 image=6C6F63616C686F73742F6275737920626F783A31 {end}"
            )
        );
        let begin = format!("reason=poststop vm=\"web\" uuid={ID} vm-pid=715");
        let claimed = Container {
            claim: Some(1000),
            ..web
        };
        assert_eq!(
            text(|out| claimed.stop(out, "poststop", Some(137))),
            format!("virt=oci op=stop {begin} status=137 claim-uid=1000 {end}")
        );
        for (name, kind) in IDS.into_iter().zip(Kind::ALL) {
            assert_eq!(name, format!("{}ns_id", kind.name()));
        }
    }

    proptest! {
        /// Any name, id, image or path gives a record that keeps the contract and fits the kernel's
        /// limit.
        #[test]
        fn what_is_written_keeps_the_contract(
            name: Vec<u8>, id in "(?s).{0,300}|[0-9A-F]{1,8}|[a-z0-9_.+-]{1,64}",
            value in proptest::collection::vec(any::<u8>(), 1..5000), pid in any::<i64>(), claim: Option<u32>,
            status: Option<u32>, ns: Option<u64>,
        ) {
            let mut container = Container { pid, claim, ..container(&name, &id) };
            container.guest.exe = &value;
            let namespaces = Namespaces { pid: ns, ids: [ns; 8] };
            let some = Some(&value[..]);
            let origin = Origin { runtime: some, image: some, pod: some };
            let guest = container.guest;
            let devices = |which| Devices { cgroup: &value, which };
            for (ty, inner) in [
                (VirtType::Control, text(|out| container.start(out, "createRuntime", &namespaces, &origin))),
                (VirtType::Control, text(|out| container.start(out, "createRuntime", &namespaces, &Origin::default()))),
                (VirtType::Control, text(|out| container.stop(out, "poststop", status))),
                (VirtType::MachineId, text(|out| guest.machine_id(out, "+0:+0", "+0:+0", "dac"))),
                (VirtType::Resource, text(|out| guest.change(out, "fs", "start", (None, some), true))),
                (VirtType::Resource, text(|out| guest.change(out, "disk", "start", (None, some), true))),
                (VirtType::Resource, text(|out| guest.change(out, "net", "start", (None, some), true))),
                (VirtType::Resource, text(|out| guest.at(out, ("hostdev", "disk"), "start", &value, true))),
                (VirtType::Resource, text(|out| guest.at(out, ("hostdev", "chardev"), "start", &value, true))),
                (VirtType::Resource, text(|out| guest.cgroup(out, "allow", &devices(Which::All), true))),
                (VirtType::Resource, text(|out| {
                    guest.cgroup(out, "allow", &devices(Which::Path(&value, (253, 3), "rwm")), true);
                })),
            ] {
                prop_assert_eq!(departs(ty, &inner), None, "{}", inner);
                // C: AUDIT_MESSAGE_TEXT_MAX.
                prop_assert!(inner.len() <= 8560, "{}", inner.len());
                prop_assert!(!inner.contains('\n'));
            }
        }
    }

    /// Any name is one word, and so is any id.
    #[test]
    fn nothing_is_forged_by_an_id() {
        for (id, written) in [
            ("web-1.2_3+4", "uuid=web-1.2_3+4 "),
            ("1234", "uuid=\"1234\" "),
            ("CAFE", "uuid=\"CAFE\" "),
            ("x res=failed", "uuid=78207265733D6661696C6564 "),
            ("x'y", "uuid=\"x'y\" "),
            ("", "uuid=\"\" "),
        ] {
            let container = container(b"web", id);
            let inner: String = text(|out| container.stop(out, "poststop", None));
            assert!(inner.contains(written), "{inner}");
            assert_eq!(departs(VirtType::Control, &inner), None, "{inner}");
        }
    }
}
