// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Follows auditd's log as it grows, also across rotation.

use anyhow::Result;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;

/// Where auditd writes.
pub(super) const PATH: &str = "/var/log/audit/audit.log";

/// A log that is followed.
#[derive(Default)]
pub(super) struct Follower {
    file: Option<File>,
}

impl Follower {
    /// What has come since the last call.
    ///
    /// When auditd rotates, it renames the file and opens a new one: the old one is read to its end
    /// first.
    pub(super) fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let newest = match fs::metadata(PATH) {
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
            // What auditd wrote to the old file between our read and its rename is read before we leave
            // it: the new name was looked up first.
            match newest {
                Some(newest) if followed != Some(newest) => self.file = File::open(PATH).ok(),
                _ => return Ok(bytes),
            }
        }
    }
}
