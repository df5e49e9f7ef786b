// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! conmon, the parent of each container of podman and CRI-O. Its command line has the container's
//! name, which the runtime does not get.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The maximum distance to a hook: the runtime, conmon, and wrappers between.
const MOST: usize = 16;

/// The content of its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conmon {
    /// `-n`: the container's name.
    pub name: Option<Vec<u8>>,
    /// `--exit-command` is podman's: the name is one of podman's.
    pub podman: bool,
    /// `--exit-dir`: the folder for a container's exit status, in a file that is named after its
    /// id.
    pub exit_dir: Option<PathBuf>,
    /// `--tmpdir` of podman: its folder of events is there.
    pub tmpdir: Option<PathBuf>,
}

impl Conmon {
    /// Returns the conmon of the container `id`, if this process is one of its descendants.
    pub fn above(id: &str) -> Option<Self> {
        ancestors().find_map(|pid| Self::parse(&fs::read(format!("/proc/{pid}/cmdline")).ok()?, id))
    }

    /// Parses a command line of `/proc/PID/cmdline`, if it is a conmon's for the container `id`.
    fn parse(line: &[u8], id: &str) -> Option<Self> {
        let line = line.strip_suffix(b"\0").unwrap_or(line);
        let arguments: Vec<&[u8]> = line.split(|&b| b == 0).collect();
        let program = Path::new(OsStr::from_bytes(arguments.first()?));
        if program.file_name()? != "conmon" {
            return None;
        }
        let of = |option: &str| {
            let at = arguments.iter().position(|a| *a == option.as_bytes())?;
            arguments.get(at + 1).copied()
        };
        if of("-c")? != id.as_bytes() {
            return None;
        }
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        // `--exit-command-arg --tmpdir --exit-command-arg /run/libpod`
        let passed: Vec<&[u8]> = arguments
            .windows(2)
            .filter(|pair| pair[0] == b"--exit-command-arg")
            .map(|pair| pair[1])
            .collect();
        let tmpdir = passed.windows(2).find(|pair| pair[0] == b"--tmpdir");
        Some(Self {
            name: of("-n").filter(|name| !name.is_empty()).map(<[u8]>::to_vec),
            podman: of("--exit-command")
                .is_some_and(|command| path(command).file_name() == Some(OsStr::new("podman"))),
            exit_dir: of("--exit-dir").map(path),
            tmpdir: tmpdir.map(|pair| path(pair[1])),
        })
    }
}

/// Returns the processes above this one, its parent first.
fn ancestors() -> impl Iterator<Item = i32> {
    let parent = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = status.lines().find_map(|l| l.strip_prefix("PPid:"))?;
        parent.trim().parse().ok()
    };
    let first = nix::unistd::getppid().as_raw();
    std::iter::successors(Some(first), parent)
        .take_while(|&pid| pid > 1)
        .take(MOST)
}

/// Returns the program that runs the hook: the runtime.
pub fn runtime() -> Option<Vec<u8>> {
    let pid = nix::unistd::getppid();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = exe
        .as_deref()
        .filter(|exe| exe.exists())
        .and_then(Path::file_name);
    match name {
        Some(name) => Some(name.as_bytes().to_vec()),
        // runc may run from a copy in memory.
        None => {
            let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
            Some(comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_command_line_is_taken_apart() {
        let line = "/usr/bin/conmon --api-version 1 -c abc -u abc -r /usr/bin/crun -b /b -p /b/pidfile -n web \
                    --exit-dir /run/libpod/exits --persist-dir /run/libpod/persist/abc --full-attach -s -l k8s-file:/l \
                    --exit-command /usr/bin/podman --exit-command-arg --root --exit-command-arg /g \
                    --exit-command-arg --tmpdir --exit-command-arg /run/libpod --exit-command-arg abc";
        let line: String = line.split_whitespace().collect::<Vec<_>>().join("\0") + "\0";
        let known = Conmon::parse(line.as_bytes(), "abc").expect("conmon");
        assert_eq!(known.name.as_deref(), Some(&b"web"[..]));
        assert!(known.podman);
        assert_eq!(
            known.exit_dir.as_deref(),
            Some(Path::new("/run/libpod/exits"))
        );
        assert_eq!(known.tmpdir.as_deref(), Some(Path::new("/run/libpod")));
        // Another container's, in which this one may run.
        assert_eq!(Conmon::parse(line.as_bytes(), "abd"), None);
        assert_eq!(Conmon::parse(b"/bin/sh\0-c\0abc\0-n\0web\0", "abc"), None);
        for broken in [
            &b""[..],
            b"conmon",
            b"conmon\0-c",
            b"conmon\0-c\0abc\0-n",
            b"\0\0",
        ] {
            let name = Conmon::parse(broken, "abc").and_then(|conmon| conmon.name);
            assert_eq!(name, None);
        }
    }
}
