// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the records of a container.

use super::bundle::{Labels, Resource};
use super::origin::Origin;
use crate::audit::kernel::Audit;
use crate::audit::recorder::{Recorder, Trouble, exe};
use dmns_audit_log::virt::VirtType;
use dmns_audit_log::virt::container::{self, Container, Namespaces};
use dmns_audit_log::virt::text::{Devices, Guest, Which};
use std::fs::File;
use std::io;

/// `reason=` of a stop that no hook reported: the container is started again.
pub(super) const UNREPORTED: &str = "unreported";

/// Writes records.
#[derive(Debug)]
pub struct Writer {
    recorder: Recorder,
    exe: Vec<u8>,
    /// The reason why audit refused records, if it did.
    trouble: Option<io::Error>,
}

/// The container, and the claimant.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The runtime's name of it.
    pub id: &'a str,
    /// Its name.
    pub name: &'a [u8],
    /// Its first process.
    pub pid: i64,
    /// The user who claims it, if that is not the writer.
    pub claim: Option<u32>,
}

/// The content of a start's records.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The stage.
    pub reason: &'a str,
    /// Its namespaces.
    pub namespaces: &'a Namespaces,
    /// Its origin.
    pub origin: &'a Origin,
    /// Its labels.
    pub labels: &'a Labels,
    /// Its resources.
    pub resources: &'a [Resource],
    /// Its control group's folder.
    pub cgroup: &'a [u8],
}

impl Writer {
    /// Creates a writer to `log` only, if there is one.
    pub fn new(log: Option<File>) -> Self {
        Self {
            recorder: Recorder::new(log),
            exe: exe(),
            trouble: None,
        }
    }

    /// Writes to audit too, from now on.
    pub fn connect(&mut self) {
        let connected = Audit::connect().and_then(|mut audit| match audit.is_on() {
            Some(false) => Err(io::Error::other(
                "audit is off: `auditctl -e 1` turns it on",
            )),
            _ => Ok(audit),
        });
        match connected {
            Ok(audit) => self.recorder.audit = Some(audit),
            Err(error) => self.trouble = Some(error),
        }
    }

    /// Returns the reason why audit refused a record. After the first refusal, audit gets no more
    /// records.
    ///
    /// # Errors
    ///
    /// That reason.
    pub fn end(self) -> io::Result<()> {
        self.trouble.map_or(Ok(()), Err)
    }

    /// Records that a container was created.
    ///
    /// # Errors
    ///
    /// Here and below: if `log` cannot be written to.
    pub fn started(&mut self, about: About<'_>, start: &Start<'_>) -> io::Result<()> {
        self.write(about, VirtType::MachineId, |container, out| {
            let Labels {
                process,
                files,
                model,
            } = start.labels;
            container.guest.machine_id(out, process, files, model);
        })?;
        for resource in start.resources {
            self.resource(about, resource, start.cgroup)?;
        }
        self.write(about, VirtType::Control, |container, out| {
            let origin = container::Origin {
                runtime: start.origin.runtime.as_deref(),
                image: start.origin.image.as_deref(),
                pod: start.origin.pod.as_deref(),
            };
            container.start(out, start.reason, start.namespaces, &origin);
        })
    }

    /// Records that a container has ended.
    pub fn stopped(
        &mut self,
        about: About<'_>,
        reason: &str,
        status: Option<u32>,
    ) -> io::Result<()> {
        self.write(about, VirtType::Control, |container, out| {
            container.stop(out, reason, status);
        })
    }

    fn resource(&mut self, about: About<'_>, resource: &Resource, cgroup: &[u8]) -> io::Result<()> {
        let mut write = |text: &dyn Fn(&Guest<'_>, &mut Vec<u8>)| {
            self.write(about, VirtType::Resource, |container, out| {
                text(&container.guest, out);
            })
        };
        let allow = |guest: &Guest<'_>, out: &mut Vec<u8>, which: Which<'_>| {
            guest.cgroup(out, "allow", &Devices { cgroup, which }, true);
        };
        let change = |kind: &'static str, what: &[u8]| {
            let what = what.to_vec();
            move |guest: &Guest<'_>, out: &mut Vec<u8>| {
                guest.change(out, kind, "start", (None, Some(&what)), true);
            }
        };
        match resource {
            Resource::Fs(path) => write(&change("fs", path)),
            Resource::Disk(path) => write(&change("disk", path)),
            Resource::Net(mac) => write(&change("net", mac)),
            Resource::Block(path, number) => {
                write(&|guest, out| guest.at(out, ("hostdev", "disk"), "start", path, true))?;
                write(&|guest, out| allow(guest, out, Which::Path(path, *number, "rwm")))
            }
            Resource::Char(path) => {
                write(&|guest, out| guest.at(out, ("hostdev", "chardev"), "start", path, true))
            }
            Resource::AllDevices => write(&|guest, out| allow(guest, out, Which::All)),
        }
    }

    fn write(
        &mut self,
        about: About<'_>,
        ty: VirtType,
        text: impl FnOnce(&Container<'_>, &mut Vec<u8>),
    ) -> io::Result<()> {
        let container = Container {
            guest: Guest {
                virt: "oci",
                name: about.name,
                uuid: about.id,
                exe: &self.exe,
            },
            pid: about.pid,
            claim: about.claim,
        };
        match self.recorder.write(ty, |out| text(&container, out)) {
            Ok(()) => {}
            Err(Trouble::Log(error)) => return Err(error),
            Err(Trouble::Audit(error)) => {
                self.recorder.audit = None;
                self.trouble = Some(error);
            }
        }
        Ok(())
    }
}
