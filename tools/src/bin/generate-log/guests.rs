// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The records of libvirt and the kernel about guests.

use crate::host::{syscall, violation};
use crate::log::Log;
use crate::random::Random;
use dmns_audit_log::virt::text::{self, Devices, Which};
use std::io::{self, Write};

/// A guest, and the progress of its start.
#[derive(Debug)]
struct Guest {
    name: String,
    uuid: String,
    level: String,
    pid: u64,
    /// 0: off. Up to [`STEPS`]: being started. Then: on.
    step: u64,
    memory: u64,
    iothreads: u64,
    /// A container of libvirt's LXC driver.
    container: bool,
    /// The plugged resources, each by a number of its own.
    plugged: Vec<(Plug, u64)>,
    plugs: u64,
    /// The minor number of the mapping that is its disk.
    disk: Option<u32>,
}

/// A kind of resource that can be plugged.
#[derive(Clone, Copy, Debug)]
enum Plug {
    Net,
    Disk,
    Chardev,
    Device,
}

/// The properties of the guests of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort {
    /// Their number.
    pub(crate) count: usize,
    /// The number of mappings that are their disks, and have violations. 0: none.
    pub(crate) disks: usize,
    /// A start has few records.
    pub(crate) brief: bool,
}

/// Minor numbers of guests' disks begin here, those of the host's own mappings end below.
const DISKS: u32 = 1 << 19;

/// Records of a start before VIRT_CONTROL, the first of them included.
const STEPS: u64 = 22;

/// The guests of a host.
#[derive(Debug)]
pub(crate) struct Guests {
    all: Vec<Guest>,
    sort: Sort,
}

impl Guests {
    pub(crate) fn new(sort: Sort, random: &mut Random) -> Self {
        let guest = |i: usize, random: &mut Random| Guest {
            name: format!("guest-{i:03}"),
            uuid: format!(
                "{:08x}-{:04x}-3756-930f-{:012x}",
                random.below(1 << 32),
                random.below(1 << 16),
                random.below(1 << 48)
            ),
            level: level(i),
            pid: 0,
            step: 0,
            memory: 1 << 20,
            iothreads: 1,
            container: i % 8 == 7,
            plugged: Vec::new(),
            plugs: 0,
            disk: (sort.disks > 0).then(|| DISKS + (i % sort.disks) as u32),
        };
        Self {
            all: (0..sort.count).map(|i| guest(i, random)).collect(),
            sort,
        }
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Ends all guests: the host went down.
    pub(crate) fn off(&mut self) {
        self.all.iter_mut().for_each(Guest::off);
    }

    /// Moves a running guest to another host, which has the next log.
    pub(crate) fn leaves<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<Option<Moving>> {
        let at = log.random.below(self.all.len() as u64) as usize;
        if self.all[at].step <= STEPS {
            return Ok(None);
        }
        self.all[at].user(log, "VIRT_CONTROL", |guest, out| {
            guest.control(out, "stop", "migrated", 0, true);
        })?;
        Ok(Some(Moving(self.all.swap_remove(at))))
    }

    /// Adds a guest that arrives.
    pub(crate) fn arrives<W: Write>(&mut self, log: &mut Log<W>, moving: Moving) -> io::Result<()> {
        let mut guest = moving.0;
        guest.pid = 5000 + log.random.below(25000);
        let pid = guest.pid as i64;
        guest.user(log, "VIRT_CONTROL", |guest, out| {
            guest.control(out, "start", "migrated", pid, true);
        })?;
        self.all.push(guest);
        Ok(())
    }

    /// Writes the next event of some guest.
    pub(crate) fn event<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let at = log.random.below(self.all.len() as u64) as usize;
        let brief = self.sort.brief;
        let guest = &mut self.all[at];
        match guest.step {
            1 if brief => {
                guest.step = 2;
                guest.disk(log)
            }
            2 if brief => {
                guest.step = STEPS;
                guest.allowed(log)
            }
            s if s > STEPS && guest.disk.is_some() && log.random.below(2) == 0 => {
                violation(log, 0, u64::from(guest.disk.unwrap_or(DISKS)))
            }
            0 => {
                guest.pid = 5000 + log.random.below(25000);
                guest.step = 1;
                let process = format!("system_u:system_r:svirt_t:{}", guest.level);
                let images = format!("system_u:object_r:svirt_image_t:{}", guest.level);
                guest.user(log, "VIRT_MACHINE_ID", |guest, out| {
                    guest.machine_id(out, &process, &images, "selinux");
                })
            }
            1..STEPS => {
                guest.step += 1;
                guest.given(log)
            }
            STEPS => {
                let ok = log.random.below(8) > 0;
                guest.step = if ok { STEPS + 1 } else { 0 };
                let pid = if ok { guest.pid as i64 } else { 0 };
                guest.user(log, "VIRT_CONTROL", |text, out| {
                    text.control(out, "start", "booted", pid, ok);
                })?;
                if !(ok && guest.container) {
                    return Ok(());
                }
                guest.user(log, "VIRT_CONTROL", |text, out| {
                    text.init(out, pid, (pid + 1, 4_026_532_000 + pid), true);
                })
            }
            _ => guest.runs(log),
        }
    }
}

/// A guest between two hosts.
#[derive(Debug)]
pub(crate) struct Moving(Guest);

impl Guest {
    /// Writes a record of libvirt, in an event of its own.
    fn user<W: Write>(
        &self,
        log: &mut Log<W>,
        ty: &str,
        write: impl FnOnce(&text::Guest<'_>, &mut Vec<u8>),
    ) -> io::Result<()> {
        let guest = text::Guest {
            virt: if self.container { "lxc" } else { "kvm" },
            name: self.name.as_bytes(),
            uuid: &self.uuid,
            exe: b"/usr/sbin/libvirtd",
        };
        let mut out = Vec::new();
        write(&guest, &mut out);
        let stamp = log.event();
        let body = format!(
            "pid=1022 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:virtd_t:s0-s0:c0.c1023 msg='{}'",
            String::from_utf8_lossy(&out)
        );
        log.record(ty, &stamp, &body)
    }

    /// Writes the change of a resource that a guest may have several of.
    fn change<W: Write>(
        &self,
        log: &mut Log<W>,
        (kind, reason): (&str, &str),
        old: Option<&str>,
        new: Option<&str>,
    ) -> io::Result<()> {
        let values = (old.map(str::as_bytes), new.map(str::as_bytes));
        self.user(log, "VIRT_RESOURCE", |guest, out| {
            guest.change(out, kind, reason, values, true);
        })
    }

    fn amount<W: Write>(
        &self,
        log: &mut Log<W>,
        (kind, reason): (&str, &str),
        values: (u64, u64),
    ) -> io::Result<()> {
        self.user(log, "VIRT_RESOURCE", |guest, out| {
            guest.amount(out, kind, reason, values, true);
        })
    }

    fn opens<W: Write>(
        &self,
        log: &mut Log<W>,
        mac: &str,
        path: &str,
        minor: u32,
        ok: bool,
    ) -> io::Result<()> {
        self.user(log, "VIRT_RESOURCE", |guest, out| {
            guest.net_open(out, mac, path.as_bytes(), Some((10, minor)), ok);
        })
    }

    fn cgroup<W: Write>(&self, log: &mut Log<W>, reason: &str, which: Which<'_>) -> io::Result<()> {
        let cgroup = format!("/machine/{}", self.name);
        let devices = Devices {
            cgroup: cgroup.as_bytes(),
            which,
        };
        self.user(log, "VIRT_RESOURCE", |guest, out| {
            guest.cgroup(out, reason, &devices, true);
        })
    }

    /// Returns the path of its disk.
    fn path(&self) -> String {
        match self.disk {
            Some(minor) => format!("/dev/mapper/disk-{minor}"),
            None => format!("/var/lib/libvirt/images/{}.img", self.name),
        }
    }

    fn disk<W: Write>(&self, log: &mut Log<W>) -> io::Result<()> {
        self.change(log, ("disk", "start"), None, Some(&self.path()))
    }

    /// Writes the devices that its control group is allowed.
    fn allowed<W: Write>(&self, log: &mut Log<W>) -> io::Result<()> {
        let path = self.path();
        match self.disk {
            Some(minor) => {
                let which = Which::Path(path.as_bytes(), (253, minor), "rw");
                self.cgroup(log, "allow", which)
            }
            None => self.cgroup(log, "allow", Which::Path(b"/dev/kvm", (10, 232), "rw")),
        }
    }

    /// Writes a resource that a path identifies.
    fn at<W: Write>(
        &self,
        log: &mut Log<W>,
        (kind, field): (&str, &str),
        reason: &str,
        path: &str,
    ) -> io::Result<()> {
        self.user(log, "VIRT_RESOURCE", |guest, out| {
            guest.at(out, (kind, field), reason, path.as_bytes(), true);
        })
    }

    fn device<W: Write>(
        &self,
        log: &mut Log<W>,
        reason: &str,
        bus: &str,
        device: &str,
    ) -> io::Result<()> {
        self.user(log, "VIRT_RESOURCE", |guest, out| {
            guest.device(out, reason, bus, device.as_bytes(), true);
        })
    }

    /// Writes the resources of a guest at its start, in libvirt's order.
    fn given<W: Write>(&self, log: &mut Log<W>) -> io::Result<()> {
        let file = |kind: &str| format!("/var/lib/libvirt/{}.{kind}", self.name);
        let mac = "52:54:00:db:ae:b4";
        match self.step - 1 {
            1 => self.opens(log, mac, "/dev/net/tun", 200, true),
            2 => self.opens(log, mac, "/dev/vhost-net", 238, true),
            3 => self.cgroup(log, "deny", Which::All),
            4 => self.allowed(log),
            5 => self.cgroup(log, "allow", Which::Major("pty", 136, "rw")),
            6 => self.disk(log),
            7 => self.change(log, ("net", "start"), None, Some(mac)),
            8 => self.change(log, ("fs", "start"), None, Some(&file("folder"))),
            9 if self.container => self.at(log, ("hostdev", "disk"), "start", "/dev/sdb"),
            9 => self.device(log, "start", "pci", "0000:01:00.0"),
            10 if self.container => self.at(log, ("hostdev", "chardev"), "start", "/dev/fuse"),
            10 => self.device(log, "start", "usb", "USB redirdev"),
            11 => self.change(
                log,
                ("smartcard", "start"),
                None,
                Some("nss-smartcard-device"),
            ),
            12 => self.change(log, ("chardev", "start"), None, Some(&file("serial"))),
            13 => self.change(log, ("rng", "start"), None, Some("/dev/random")),
            14 => self.at(log, ("tpm", "device"), "start", "/dev/tpm0"),
            15 => self.at(log, ("tpm-emulator", "device"), "start", &file("tpm")),
            16 => self.at(log, ("evdev", "path"), "start", "/dev/input/event0"),
            17 => self.user(log, "VIRT_RESOURCE", |guest, out| {
                guest.shmem(out, "start", (4 << 20, b"/dev/shm/shared"), true);
            }),
            18 => self.at(log, ("ivshmem-socket", "path"), "start", "/run/ivshmem"),
            19 => self.amount(log, ("mem", "start"), (0, self.memory)),
            20 => self.amount(log, ("vcpu", "start"), (0, 2)),
            _ => self.amount(log, ("iothread", "start"), (0, self.iothreads)),
        }
    }

    /// Plugs a resource. For an interface, a descriptor is opened first, and the attach may fail.
    fn plugs<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let kinds = [Plug::Net, Plug::Disk, Plug::Chardev, Plug::Device];
        let kind = kinds[log.random.below(4) as usize];
        self.plugs += 1;
        if let Plug::Net = kind {
            let ok = log.random.below(8) > 0;
            self.opens(log, &mac(self.plugs), "/dev/net/tun", 200, ok)?;
            if !ok {
                return Ok(());
            }
        }
        self.plugged.push((kind, self.plugs));
        self.plug(log, "attach", (kind, self.plugs))
    }

    /// Writes the attach or the detach of a resource.
    fn plug<W: Write>(
        &self,
        log: &mut Log<W>,
        reason: &str,
        (kind, number): (Plug, u64),
    ) -> io::Result<()> {
        let (kind, what) = match kind {
            Plug::Net => ("net", mac(number)),
            Plug::Disk => (
                "disk",
                format!("/var/lib/libvirt/images/extra-{number}.img"),
            ),
            Plug::Chardev => ("chardev", format!("/run/libvirt/{number}.socket")),
            Plug::Device => return self.device(log, reason, "usb", &format!("001.{number:03}")),
        };
        match reason {
            "attach" => self.change(log, (kind, reason), None, Some(&what)),
            _ => self.change(log, (kind, reason), Some(&what), None),
        }
    }

    /// Writes an event of a guest that is on.
    fn runs<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        match log.random.below(24) {
            0..=3 => self.stops(log),
            4..=9 => {
                let old = self.memory;
                self.memory = (1 << 19) + log.random.below(8) * (1 << 17);
                self.amount(log, ("mem", "update"), (old, self.memory))
            }
            10..=15 => {
                let level = &self.level;
                let own = format!(
                    "avc:  denied  {{ read }} for  pid={} comm=\"qemu-system-x86\" name=\"secret\" dev=\"dm-0\" ino=12 \
                     scontext=system_u:system_r:svirt_t:{level} tcontext=system_u:object_r:etc_t:s0 tclass=file \
                     permissive=0",
                    self.pid
                );
                let stamp = log.event();
                log.record("AVC", &stamp, &own)?;
                let exe = "/usr/bin/qemu-system-x86_64";
                syscall(log, &stamp, 257, self.pid, "qemu-system-x86", exe, 0)
            }
            16 if !log.plain => {
                let (pid, level) = (self.pid, &self.level);
                let own = format!(
                    "auid=4294967295 uid=107 gid=107 ses=4294967295 subj=system_u:system_r:svirt_t:{level} \
                     pid={pid} comm=\"qemu-system-x86\" exe=\"/usr/bin/qemu-system-x86_64\" sig=11 res=1"
                );
                let stamp = log.event();
                log.record("ANOM_ABEND", &stamp, &own)
            }
            // libvirtd was away: the stop is lost.
            17 if !log.plain => {
                self.off();
                Ok(())
            }
            18 if !log.plain => {
                let own = "pid=1 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:init_t:s0 msg=' \
                           comm=\"systemd-update-utmp\" exe=\"/usr/lib/systemd/systemd-update-utmp\" hostname=? \
                           addr=? terminal=? res=success'";
                if log.random.below(50) == 0 {
                    self.off();
                    let stamp = log.event();
                    log.record("SYSTEM_SHUTDOWN", &stamp, own)
                } else {
                    Ok(())
                }
            }
            // libvirt writes nothing when an rng is plugged, but when it is unplugged.
            19 if !log.plain => self.change(log, ("rng", "detach"), Some("/dev/urandom"), None),
            20 => {
                let old = self.iothreads;
                self.iothreads = 1 + log.random.below(4);
                self.amount(log, ("iothread", "update"), (old, self.iothreads))
            }
            21..=22 => match self.plugged.pop() {
                Some(plugged) => self.plug(log, "detach", plugged),
                None => self.plugs(log),
            },
            // Another medium.
            23 if self.disk.is_none() => {
                let path = self.path();
                self.change(log, ("disk", "update"), Some(&path), Some(&path))
            }
            _ => {
                // auvirt ends what the guest has with the stop that fails: no second lies between.
                log.next_second();
                self.user(log, "VIRT_CONTROL", |guest, out| {
                    guest.control(out, "stop", "shutdown", 0, false);
                })?;
                self.stops(log)
            }
        }
    }

    fn stops<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        self.off();
        self.user(log, "VIRT_CONTROL", |guest, out| {
            guest.control(out, "stop", "shutdown", 0, true);
        })
    }

    fn off(&mut self) {
        self.step = 0;
        self.plugged.clear();
    }
}

/// Returns the level of the guest `number`: two of 1,024 categories, as svirt makes it. Another one
/// for each of 500,000 guests.
fn level(number: usize) -> String {
    let one = number % 1024;
    let other = (one + 1 + number / 1024) % 1024;
    format!("s0:c{},c{}", one.min(other), one.max(other))
}

/// Returns an address that no other interface of the guest has.
fn mac(number: u64) -> String {
    format!(
        "52:54:01:{:02x}:{:02x}:{:02x}",
        (number >> 16) & 0xff,
        (number >> 8) & 0xff,
        number & 0xff
    )
}
