// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes records: to audit, and to a file if one is requested.

use super::kernel::Audit;
use dmns_audit_log::virt::VirtType;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The outputs of records.
#[derive(Debug)]
pub struct Recorder {
    /// `None`: not to audit.
    pub audit: Option<Audit>,
    log: Option<File>,
    serial: u64,
}

/// Opens the file of `--log`, to append records to.
///
/// # Errors
///
/// If it cannot be opened. The error names it.
pub fn log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("--log {}: {error}", path.display())))
}

/// Returns the program that writes: `exe=` of its records.
pub fn exe() -> Vec<u8> {
    let exe = fs::read_link("/proc/self/exe").unwrap_or_default();
    exe.into_os_string().into_vec()
}

impl Recorder {
    /// Creates a recorder that writes to `log`, and to audit once it is set.
    pub fn new(log: Option<File>) -> Self {
        Self {
            audit: None,
            log,
            serial: 0,
        }
    }

    /// Writes a record of type `ty`. `text` writes the content of `msg='...'`.
    ///
    /// # Errors
    ///
    /// [`Trouble::Log`] if the file cannot be written to, [`Trouble::Audit`] if the kernel refuses
    /// it.
    pub fn write(&mut self, ty: VirtType, text: impl FnOnce(&mut Vec<u8>)) -> Result<(), Trouble> {
        let mut out = Vec::new();
        text(&mut out);
        self.append(ty, &out).map_err(Trouble::Log)?;
        match &mut self.audit {
            Some(audit) => audit.write(ty.number(), &out).map_err(Trouble::Audit),
            None => Ok(()),
        }
    }

    /// Appends the record in the form of auditd's log.
    fn append(&mut self, ty: VirtType, text: &[u8]) -> io::Result<()> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        self.serial += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
        let unset = u32::MAX;
        let mut line = format!(
            "type={} msg=audit({}.{:03}:{}): pid={} uid={} auid={} ses={} msg='",
            ty.name(),
            now.as_secs(),
            now.subsec_millis(),
            self.serial,
            std::process::id(),
            nix::unistd::getuid(),
            number("/proc/self/loginuid").unwrap_or(unset),
            number("/proc/self/sessionid").unwrap_or(unset),
        )
        .into_bytes();
        line.extend_from_slice(text);
        line.extend_from_slice(b"'\n");
        log.write_all(&line)
    }
}

/// The reason why a record was not written.
#[derive(Debug)]
pub enum Trouble {
    /// Audit refused it.
    Audit(io::Error),
    /// The file could not be written.
    Log(io::Error),
}
