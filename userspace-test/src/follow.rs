// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Follows auditd's log as it grows, also across rotation.

use anyhow::Result;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The log of auditd.
pub(crate) const PATH: &str = "/var/log/audit/audit.log";

/// A log that is followed.
pub(crate) struct Follower {
    path: PathBuf,
    file: Option<File>,
}

impl Follower {
    /// Follows the log at `path`, which need not be there yet.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file: None,
        }
    }

    /// Returns the text since the last call.
    ///
    /// When auditd rotates, it renames the file and opens a new one: the old one is read to its end
    /// first.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let newest = match fs::metadata(&self.path) {
                Ok(metadata) => Some(metadata.ino()),
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                Err(e) => return Err(e.into()),
            };
            let followed = match &mut self.file {
                Some(file) => {
                    file.read_to_end(&mut bytes)?;
                    Some(file.metadata()?.ino())
                }
                None => None,
            };
            // What auditd wrote to the old file between our read and its rename is read before we
            // leave it: the new name was looked up first.
            match newest {
                Some(newest) if followed != Some(newest) => self.file = File::open(&self.path).ok(),
                _ => return Ok(bytes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn nothing_is_missed_when_the_log_rotates() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("audit.log");
        let mut log = Follower::new(&path);
        assert_eq!(log.read()?, b"");
        let mut file = File::create(&path)?;
        file.write_all(b"one\n")?;
        assert_eq!(log.read()?, b"one\n");
        file.write_all(b"two\n")?;
        fs::rename(&path, dir.path().join("audit.log.1"))?;
        file.write_all(b"three\n")?;
        File::create(&path)?.write_all(b"four\n")?;
        assert_eq!(log.read()?, b"two\nthree\nfour\n");
        assert_eq!(log.read()?, b"");
        Ok(())
    }
}
