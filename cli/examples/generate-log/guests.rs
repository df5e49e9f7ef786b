// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What libvirt and the kernel tell of guests.

use crate::Log;
use crate::host::syscall;
use crate::random::Random;
use std::io::{self, Write};

/// A guest, and how far its start is.
#[derive(Debug)]
struct Guest {
    name: String,
    uuid: String,
    level: String,
    pid: u64,
    /// 0: off. Up to [`STEPS`]: being started. Then: on.
    step: u64,
    memory: u64,
}

/// Records of a start before VIRT_CONTROL.
const STEPS: u64 = 8;

#[derive(Debug)]
pub(crate) struct Guests(Vec<Guest>);

impl Guests {
    pub(crate) fn new(count: usize, random: &mut Random) -> Self {
        let guest = |i: usize, random: &mut Random| Guest {
            name: format!("guest-{i:03}"),
            uuid: format!(
                "{:08x}-{:04x}-3756-930f-{:012x}",
                random.below(1 << 32),
                random.below(1 << 16),
                random.below(1 << 48)
            ),
            level: format!("s0:c{},c{}", i, 500 + i),
            pid: 0,
            step: 0,
            memory: 1 << 20,
        };
        Self((0..count).map(|i| guest(i, random)).collect())
    }

    /// The next thing that happens to some guest.
    pub(crate) fn event<W: Write>(&mut self, log: &mut Log<W>) -> io::Result<()> {
        let at = log.random.below(self.0.len() as u64) as usize;
        let guest = &mut self.0[at];
        let stamp = log.event();
        match guest.step {
            0 => {
                guest.pid = 5000 + log.random.below(25000);
                guest.step = 1;
                let level = &guest.level;
                let own = format!(
                    "vm-ctx=system_u:system_r:svirt_t:{level} img-ctx=system_u:object_r:svirt_image_t:{level} \
                     model=selinux"
                );
                guest.user(log, &stamp, "VIRT_MACHINE_ID", &own, true)
            }
            1..STEPS => {
                let own = guest.resource(log.plain);
                guest.step += 1;
                guest.user(log, &stamp, "VIRT_RESOURCE", &own, true)
            }
            STEPS => {
                let ok = log.random.below(8) > 0;
                guest.step = if ok { STEPS + 1 } else { 0 };
                let own = format!("op=start reason=booted vm-pid={}", guest.pid);
                guest.user(log, &stamp, "VIRT_CONTROL", &own, ok)
            }
            _ => guest.runs(log, &stamp),
        }
    }
}

impl Guest {
    /// What libvirt tells; `own` are the record's own fields.
    fn user<W: Write>(
        &self,
        log: &mut Log<W>,
        stamp: &str,
        ty: &str,
        own: &str,
        ok: bool,
    ) -> io::Result<()> {
        let result = if ok { "success" } else { "failed" };
        let (name, uuid) = (&self.name, &self.uuid);
        let (virt, own) = ("virt=kvm", own);
        // op and reason come before vm, the rest after it.
        let (before, after) = match own
            .find(" vm-pid")
            .or(own.find(" old-").or(own.find(" cgroup")))
        {
            Some(at) => own.split_at(at),
            None => ("", own),
        };
        let body = format!(
            "pid=1022 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:virtd_t:s0-s0:c0.c1023 \
             msg='{virt}{}{before} vm=\"{name}\" uuid={uuid}{}{after} exe=\"/usr/sbin/libvirtd\" hostname=? addr=? \
             terminal=? res={result}'",
            if before.is_empty() { "" } else { " " },
            if after.starts_with(' ') { "" } else { " " },
        );
        log.record(ty, stamp, &body)
    }

    fn resource(&self, plain: bool) -> String {
        match self.step {
            1 => format!(
                "resrc=disk reason=start old-disk=\"?\" new-disk=\"/var/lib/libvirt/images/{}.img\"",
                self.name
            ),
            2 => "resrc=net reason=start old-net=\"?\" new-net=\"52:54:00:DB:AE:B4\"".to_owned(),
            3 => format!("resrc=mem reason=start old-mem=0 new-mem={}", self.memory),
            4 => "resrc=vcpu reason=start old-vcpu=0 new-vcpu=2".to_owned(),
            5 => format!(
                "resrc=cgroup reason=deny cgroup=\"/machine/{}\" class=all",
                self.name
            ),
            6 if plain => format!(
                "resrc=cgroup reason=allow cgroup=\"/machine/{}\" class=major category=pty maj=88 acl=rw",
                self.name
            ),
            _ => format!(
                "resrc=cgroup reason=allow cgroup=\"/machine/{}\" class=path path=\"/dev/kvm\" rdev=0A:E8 acl=rw",
                self.name
            ),
        }
    }

    /// Something that happens to a guest that is on.
    fn runs<W: Write>(&mut self, log: &mut Log<W>, stamp: &str) -> io::Result<()> {
        match log.random.below(20) {
            0..=3 => {
                self.step = 0;
                let own = format!("op=stop reason=shutdown vm-pid={}", self.pid);
                self.user(log, stamp, "VIRT_CONTROL", &own, true)
            }
            4..=9 => {
                let old = self.memory;
                self.memory = (1 << 19) + log.random.below(8) * (1 << 17);
                let own = format!(
                    "resrc=mem reason=update old-mem={old} new-mem={}",
                    self.memory
                );
                self.user(log, stamp, "VIRT_RESOURCE", &own, true)
            }
            10..=15 => {
                let level = &self.level;
                let own = format!(
                    "avc:  denied  {{ read }} for  pid={} comm=\"qemu-system-x86\" name=\"secret\" dev=\"dm-0\" ino=12 \
                     scontext=system_u:system_r:svirt_t:{level} tcontext=system_u:object_r:etc_t:s0 tclass=file \
                     permissive=0",
                    self.pid
                );
                log.record("AVC", stamp, &own)?;
                let exe = "/usr/bin/qemu-system-x86_64";
                syscall(log, stamp, 257, self.pid, "qemu-system-x86", exe, 0)
            }
            16 if !log.plain => {
                let (pid, level) = (self.pid, &self.level);
                let own = format!(
                    "auid=4294967295 uid=107 gid=107 ses=4294967295 subj=system_u:system_r:svirt_t:{level} \
                     pid={pid} comm=\"qemu-system-x86\" exe=\"/usr/bin/qemu-system-x86_64\" sig=11 res=1"
                );
                log.record("ANOM_ABEND", stamp, &own)
            }
            // libvirtd was away: the stop is lost.
            17 if !log.plain => {
                self.step = 0;
                Ok(())
            }
            18 if !log.plain => {
                let own = "pid=1 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:init_t:s0 msg=' \
                           comm=\"systemd-update-utmp\" exe=\"/usr/lib/systemd/systemd-update-utmp\" hostname=? \
                           addr=? terminal=? res=success'";
                if log.random.below(50) == 0 {
                    self.step = 0;
                    log.record("SYSTEM_SHUTDOWN", stamp, own)
                } else {
                    Ok(())
                }
            }
            _ => {
                let own = format!("op=stop reason=shutdown vm-pid={}", self.pid);
                self.user(log, stamp, "VIRT_CONTROL", &own, false)?;
                self.step = 0;
                let stamp = log.event();
                self.user(log, &stamp, "VIRT_CONTROL", &own, true)
            }
        }
    }
}
