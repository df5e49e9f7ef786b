// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds the container or the guest of a control group by its path: runtimes name the group after it.

use std::borrow::Cow;

/// The name of a container in the path of a control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// Its name.
    Name(Cow<'a, str>),
    /// Its runtime's id: 64 hexadecimal digits.
    Id(&'a str),
}

/// Returns the innermost container that `path` names, if it names one.
///
/// Source: lxc `lxc.cgroup.dir.container`; systemd `systemd-nspawn@.service` and machined's scopes;
/// libvirt `virSystemdMakeScopeName()`; podman, CRI-O, Docker and containerd, which use the id,
/// with systemd's names or without.
pub fn container(path: &str) -> Option<Named<'_>> {
    path.rsplit('/').find_map(part)
}

/// A guest, as libvirt names its control group: `qemu-1-web01`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    whole: String,
    /// Length of the part before the name: `qemu-1-`.
    before: usize,
}

impl Machine {
    /// Returns the name in the control group, without the characters that libvirt leaves out.
    pub fn name(&self) -> &str {
        &self.whole[self.before..]
    }

    /// Returns the name with driver and number.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Returns whether libvirt names the group of the guest `vm` so.
    ///
    /// Source: libvirt `virDomainMachineNameAppendValid()`.
    pub fn is_of(&self, vm: &str) -> bool {
        const LONGEST: usize = 64;
        let mut whole = self.whole[..self.before].to_owned();
        let mut skip = true;
        for byte in vm.bytes() {
            if whole.len() >= LONGEST {
                break;
            }
            let separates = matches!(byte, b'.' | b'-');
            if byte.is_ascii_alphanumeric() || separates && !skip {
                whole.push(char::from(byte));
            }
            skip = separates;
        }
        whole.trim_end_matches(['-', '.']) == self.whole
    }
}

/// Returns the guest of libvirt's that `path` names, with systemd or without.
///
/// Source: libvirt `virDomainGenerateMachineName()`, `virSystemdMakeScopeName()`, `virCgroupNewDomainPartition()`.
pub fn guest(path: &str) -> Option<Machine> {
    path.rsplit('/').find_map(|part| {
        let scope = part.strip_prefix("machine-");
        let scope = scope.and_then(|part| part.strip_suffix(".scope"));
        let whole = match scope {
            Some(escaped) => unescaped(escaped).into_owned(),
            None => part.strip_suffix(".libvirt-qemu")?.to_owned(),
        };
        let (number, name) = whole.strip_prefix("qemu-")?.split_once('-')?;
        number.parse::<u32>().ok().filter(|_| !name.is_empty())?;
        let before = whole.len() - name.len();
        Some(Machine { whole, before })
    })
}

fn part(part: &str) -> Option<Named<'_>> {
    let between = |before: &str, after: &str| part.strip_prefix(before)?.strip_suffix(after);
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(Named::Name(name.into()));
    }
    if let Some(name) = between("systemd-nspawn@", ".service") {
        return Some(Named::Name(unescaped(name)));
    }
    if let Some(name) = between("machine-", ".scope") {
        // libvirt has `machine-lxc\x2d715\x2dweb.scope`: its driver, a number, the name.
        let name = unescaped(name);
        let mut rest = name.splitn(3, '-');
        return Some(Named::Name(match (rest.next(), rest.next(), rest.next()) {
            (Some("lxc"), Some(number), Some(guest)) if number.parse::<u32>().is_ok() => {
                guest.to_owned().into()
            }
            _ => name,
        }));
    }
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let id = stem.rsplit('-').next()?;
    let is_id = id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    // conmon has a group of its own, beside the container's.
    (is_id && !stem.contains("conmon")).then_some(Named::Id(id))
}

/// Decodes systemd's `\x2d`.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains("\\x") {
        return name.into();
    }
    let mut parts = name.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_the_name_that_libvirt_makes_of_its_own() {
        let named = |path: &str| guest(path).map(|machine| machine.name().to_owned());
        let web = "/machine.slice/machine-qemu\\x2d1\\x2dweb\\x2d01.scope/libvirt/emulator";
        assert_eq!(named(web).as_deref(), Some("web-01"));
        assert_eq!(
            named("/machine/qemu-3-plain.libvirt-qemu/vcpu0").as_deref(),
            Some("plain")
        );
        for path in [
            "/machine.slice/machine-lxc\\x2d715\\x2dweb.scope",
            "/machine.slice/machine-web.scope",
            "/machine.slice/machine-qemu\\x2dada\\x2d1\\x2dweb.scope",
            "/machine.slice/machine-qemu\\x2d1.scope",
            "/machine.slice",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
        let is = |group: &str, vm: &str| {
            let path = format!("/machine/qemu-12-{group}.libvirt-qemu");
            guest(&path).is_some_and(|machine| machine.is_of(vm))
        };
        for (group, vm) in [
            ("web01", "web01"),
            ("db1", "db 1"),
            ("a-b.c", "-a--b..c-"),
            ("Grn", "Gr\u{fc}n"),
        ] {
            assert!(is(group, vm), "{group} {vm}");
        }
        let long = "x".repeat(80);
        assert!(is(&long[..64 - "qemu-12-".len()], &long));
        assert!(!is("web01", "web0"));
        assert!(!is("web01", "web011"));
    }

    #[test]
    fn each_runtime_calls_its_groups_otherwise() {
        let id = "9a1d9f7b3d1c5e60f1b2a3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708";
        for (path, name) in [
            ("/lxc.payload.lx1", "lx1"),
            ("/lxc.payload.lx1/system.slice/ssh.service", "lx1"),
            (
                "/machine.slice/systemd-nspawn@my\\x2dbox.service/payload",
                "my-box",
            ),
            ("/machine.slice/machine-web.scope", "web"),
            (
                "/machine.slice/machine-lxc\\x2d715\\x2dlv\\x2dweb.scope/libvirt",
                "lv-web",
            ),
            ("/machine.slice/machine-a\\x.scope", "a\\x"),
        ] {
            assert_eq!(container(path), Some(Named::Name(name.into())), "{path}");
        }
        for path in [
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/libpod_parent/libpod-{id}"),
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope/init.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/kubepods/besteffort/pod1/{id}"),
        ] {
            assert_eq!(container(&path), Some(Named::Id(id)), "{path}");
        }
        for path in [
            "/",
            "",
            "/payload",
            "/user.slice/user-1000.slice/session-2.scope",
            &format!("/machine.slice/libpod-conmon-{id}.scope"),
            &format!("/docker/{}", &id[1..]),
        ] {
            assert_eq!(container(path), None, "{path}");
        }
        // The innermost is meant: a container in a container.
        let nested = format!("/docker/{id}/lxc.payload.in");
        assert_eq!(container(&nested), Some(Named::Name("in".into())));
    }
}
