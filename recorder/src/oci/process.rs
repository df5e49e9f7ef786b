// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A container's first process, and the namespaces that it is in.

use dmns_audit_log::virt::container::Namespaces;
use dmns_audit_uapi::ns::Kind;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

mod ioctls {
    //! C: `include/uapi/linux/nsfs.h`.
    nix::ioctl_read!(ns_get_id, 0xb7, 13, u64);
    nix::ioctl_none_bad!(ns_get_parent, nix::request_code_none!(0xb7, 2));
    nix::ioctl_read_bad!(ns_get_owner_uid, nix::request_code_none!(0xb7, 4), u32);
}

/// A reference to a process. It stays that of the same process if its number is reused.
#[derive(Debug)]
pub struct Process(File);

impl Process {
    /// Opens the process with this number.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn open(pid: i64) -> io::Result<Self> {
        File::open(format!("/proc/{pid}")).map(Self)
    }

    /// Returns a file in its folder in `/proc`.
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }

    fn namespace(&self, kind: Kind) -> io::Result<File> {
        File::open(self.path(&format!("ns/{}", kind.name())))
    }

    /// Returns the namespaces that it is in, as far as they can be known.
    pub fn namespaces(&self) -> Namespaces {
        let mut namespaces = Namespaces::default();
        for (kind, own) in Kind::ALL.into_iter().zip(&mut namespaces.ids) {
            let Ok(namespace) = self.namespace(kind) else {
                continue;
            };
            *own = id(&namespace);
            if kind == Kind::Pid {
                namespaces.pid = namespace.metadata().ok().map(|metadata| metadata.ino());
            }
        }
        namespaces
    }

    /// Returns whether its pid namespace, or an ancestor of it, is the one with this id.
    pub fn is_within(&self, pid_namespace: u64) -> bool {
        let mut next = self.namespace(Kind::Pid).ok();
        while let Some(namespace) = next {
            if id(&namespace) == Some(pid_namespace) {
                return true;
            }
            next = parent(&namespace);
        }
        false
    }

    /// Returns whether this process shares its namespace of `kind` with it.
    pub fn shares(&self, kind: Kind) -> bool {
        let inode = |path: PathBuf| fs::metadata(path).ok().map(|metadata| metadata.ino());
        let name = format!("ns/{}", kind.name());
        let ours = inode(PathBuf::from(format!("/proc/self/{name}")));
        ours.is_some() && ours == inode(self.path(&name))
    }

    /// Returns the owner of its user namespace.
    ///
    /// # Errors
    ///
    /// If that cannot be known.
    pub fn owner(&self) -> io::Result<u32> {
        let namespace = self.namespace(Kind::User)?;
        let mut uid = 0;
        // SAFETY: The descriptor is open, and the ioctl writes one `uid_t`, 32 bits, to where `uid`
        // is.
        unsafe { ioctls::ns_get_owner_uid(namespace.as_raw_fd(), &mut uid) }?;
        Ok(uid)
    }

    /// Returns the folder of its control group, of version 2.
    pub fn cgroup(&self) -> Option<Vec<u8>> {
        let text = fs::read(self.path("cgroup")).ok()?;
        let path = text
            .split(|&b| b == b'\n')
            .find_map(|line| line.strip_prefix(b"0::"))?;
        Some([b"/sys/fs/cgroup", path].concat())
    }

    /// Returns the MACs of its interfaces, where it has a net namespace of its own.
    pub fn interfaces(&self) -> Vec<String> {
        if self.shares(Kind::Net) {
            return Vec::new();
        }
        let Ok(net) = self.namespace(Kind::Net) else {
            return Vec::new();
        };
        // A thread of its own: one that has entered another net namespace does not write records
        // any more.
        let found = std::thread::spawn(move || {
            setns(&net, CloneFlags::CLONE_NEWNET)?;
            let mut found = Vec::new();
            for interface in getifaddrs()? {
                let link = interface.address.as_ref().and_then(|a| a.as_link_addr());
                if let Some(mac) = link
                    .and_then(|link| link.addr())
                    .filter(|mac| mac != &[0; 6])
                {
                    found.push(mac.map(|byte| format!("{byte:02x}")).join(":"));
                }
            }
            Ok::<_, io::Error>(found)
        });
        found.join().ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// Returns the `ns_id` of an open namespace; kernels before 6.18 do not have it.
fn id(namespace: &File) -> Option<u64> {
    let mut id = 0;
    // SAFETY: The descriptor is open, and the ioctl writes 64 bits to where `id` is.
    unsafe { ioctls::ns_get_id(namespace.as_raw_fd(), &mut id) }.ok()?;
    Some(id)
}

/// Returns the parent of a pid namespace; none beyond that of this process.
fn parent(namespace: &File) -> Option<File> {
    // SAFETY: The descriptor is open, and the ioctl takes nothing.
    let parent = unsafe { ioctls::ns_get_parent(namespace.as_raw_fd()) }.ok()?;
    // SAFETY: The ioctl has just opened it, for us alone.
    Some(unsafe { File::from_raw_fd(parent) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_namespaces_that_the_system_shows_too() {
        let own = Process::open(i64::from(std::process::id())).expect("it runs");
        let link = fs::read_link("/proc/self/ns/pid").expect("a link");
        let inode = own.namespaces().pid.expect("a pid namespace");
        assert_eq!(link.to_string_lossy(), format!("pid:[{inode}]"));
        assert!(Kind::ALL.into_iter().all(|kind| own.shares(kind)));
        assert!(own.interfaces().is_empty());
        assert!(Process::open(0).is_err());
    }

    #[test]
    fn a_process_that_has_ended_has_no_namespaces_whoever_has_its_number() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("it runs");
        let process = Process::open(i64::from(child.id())).expect("it runs");
        assert!(process.namespaces().pid.is_some());
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(process.namespaces(), Namespaces::default());
        assert!(process.owner().is_err());
    }
}
