// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The state between start and stop, since a stop gets neither the name nor the process. It is a
//! file for each container, and does not survive a boot.

use super::conmon::Conmon;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of the OCI hook's state.
pub const STATE: &str = "/run/dmns-audit/oci";

/// The number of bytes at the end of podman's list of events that are searched.
const RECENT: u64 = 1 << 18;

/// A container that was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its name.
    pub name: Vec<u8>,
    /// Its first process.
    pub pid: i64,
    /// The folder in which conmon writes its exit status.
    exit_dir: Option<PathBuf>,
    /// podman's folder for the state of running containers.
    tmpdir: Option<PathBuf>,
}

/// The folder of those files.
#[derive(Clone, Debug)]
pub struct Memory(PathBuf);

impl Started {
    /// Creates the state of a container called `name`, which `conmon` watches.
    pub fn new(name: &[u8], pid: i64, conmon: Option<&Conmon>) -> Self {
        Self {
            name: name.to_vec(),
            pid,
            exit_dir: conmon.and_then(|conmon| conmon.exit_dir.clone()),
            tmpdir: conmon
                .filter(|conmon| conmon.podman)
                .and_then(|conmon| conmon.tmpdir.clone()),
        }
    }

    /// Returns the exit status of the container `id`, where its engine has it by now.
    pub fn status(&self, id: &str) -> Option<u32> {
        let written = self.exit_dir.as_ref().and_then(|folder| {
            let text = fs::read_to_string(folder.join(id)).ok()?;
            text.trim().parse().ok()
        });
        written.or_else(|| exit_status(&self.tmpdir.as_ref()?.join("events/events.log"), id))
    }
}

/// Returns the exit status in the newest event `died` of the container `id`.
fn exit_status(events: &Path, id: &str) -> Option<u32> {
    let mut file = File::open(events).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(RECENT)))
        .ok()?;
    let mut text = Vec::new();
    file.take(RECENT).read_to_end(&mut text).ok()?;
    let events = text.split(|&b| b == b'\n').rev();
    let of_it = events.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut matching = of_it.filter(|event| {
        event.get("ID") == Some(&id.into()) && event.get("Status") == Some(&"died".into())
    });
    let status = matching.next()?.get("ContainerExitCode")?.as_u64()?;
    u32::try_from(status).ok()
}

impl Memory {
    /// Opens the store in `folder`.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Returns the file of the container `id` of the user `of`. Any id gives a valid file name.
    fn file(&self, of: Option<u32>, id: &str) -> PathBuf {
        let id: String = id
            .bytes()
            .flat_map(|byte| match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' => vec![char::from(byte)],
                byte => format!("_{byte:02x}").chars().collect(),
            })
            .collect();
        // A file's name has 255 bytes at most. Longer ids most likely differ at their end.
        let end = &id[id.len().saturating_sub(200)..];
        let of = of.map(|uid| format!("{uid}.")).unwrap_or_default();
        self.0.join(format!("{of}{end}.json"))
    }

    /// Stores `started`.
    ///
    /// # Errors
    ///
    /// If the folder, which the error names, cannot be written to.
    pub fn keep(&self, of: Option<u32>, id: &str, started: &Started) -> io::Result<()> {
        let file = self.file(of, id);
        let explain =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        // The socket of the forwarder is in the same folder, for everybody; these files are nobody
        // else's.
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent).map_err(explain)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(explain(error));
            }
            _ => {}
        }
        let text = serde_json::to_vec(started)?;
        fs::write(&file, text).map_err(explain)
    }

    /// Returns the ids, as far as a file's name has them, and the state of each.
    pub fn all(&self) -> Vec<(String, Started)> {
        let Ok(folder) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let started = folder.filter_map(|entry| {
            let path = entry.ok()?.path();
            let started = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            // A user's number stands before the id of a rootless container.
            let stem = path.file_stem()?.to_str()?;
            let id = stem.rsplit('.').next()?;
            Some((id.to_owned(), started))
        });
        started.collect()
    }

    /// Removes the state, and returns it.
    pub fn take(&self, of: Option<u32>, id: &str) -> Option<Started> {
        let file = self.file(of, id);
        let text = fs::read(&file).ok()?;
        // An error means that the next start of it finds it.
        let _ = fs::remove_file(&file);
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_found_by_its_id_and_user_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::at(&folder.path().join("a/b"));
        let long = "../é \n".repeat(40);
        let started = |pid| Started::new(b"web\xff", pid, None);
        let all = [
            (None, "web"),
            (Some(0), "web"),
            (None, "../web"),
            (None, &long),
        ];
        for (pid, (of, id)) in all.into_iter().enumerate() {
            memory.keep(of, id, &started(pid as i64)).expect("kept");
        }
        for (pid, (of, id)) in all.into_iter().enumerate() {
            assert_eq!(memory.take(of, id), Some(started(pid as i64)), "{id}");
            assert_eq!(memory.take(of, id), None);
        }
        assert_eq!(memory.take(None, "other"), None);
        fs::write(folder.path().join("a/b/web.json"), "{").expect("written");
        assert_eq!(memory.take(None, "web"), None);
    }

    #[test]
    fn an_exit_status_is_conmons_or_that_of_podmans_newest_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let conmon = Conmon {
            podman: true,
            exit_dir: Some(folder.path().join("exits")),
            tmpdir: Some(folder.path().to_owned()),
            ..Conmon::default()
        };
        let started = Started::new(b"web", 7, Some(&conmon));
        assert_eq!(started.status("abc"), None);
        let event = |id: &str, what: &str, status: u32| {
            format!("{{\"ContainerExitCode\":{status},\"ID\":\"{id}\",\"Status\":\"{what}\"}}\n")
        };
        let events = event("abc", "died", 1)
            + &event("abc", "died", 137)
            + &event("abd", "died", 3)
            + &event("abc", "cleanup", 4)
            + "broken\n{\"ID\":";
        fs::create_dir(folder.path().join("events")).expect("made");
        fs::write(folder.path().join("events/events.log"), events).expect("written");
        assert_eq!(started.status("abc"), Some(137));
        fs::create_dir(folder.path().join("exits")).expect("made");
        fs::write(folder.path().join("exits/abc"), "6").expect("written");
        assert_eq!(started.status("abc"), Some(6));
        assert_eq!(Started::new(b"web", 7, None).status("abc"), None);
    }
}
