// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel log while a device is tortured: device mapper writes there why it has refused or could
//! not correct something.

use anyhow::{Context, Result};
use nix::libc::O_NONBLOCK;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

const PATH: &str = "/dev/kmsg";

/// The most lines that are shown: the last ones.
const MOST: usize = 20;

/// The kernel log from a moment on.
pub(super) struct KernelLog(File);

impl KernelLog {
    pub(super) fn open() -> Result<Self> {
        let file = File::options()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(PATH);
        Ok(Self(file.context(PATH)?))
    }

    /// Forgets what was logged until now.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.0.seek(SeekFrom::End(0)).context(PATH)?;
        Ok(())
    }

    /// Returns the last lines since then.
    pub(super) fn lines(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut entry = [0; 8192];
        loop {
            match self.0.read(&mut entry) {
                Ok(length) => lines.extend(line(&entry[..length])),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // What was next has been overwritten.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
                Err(e) => return Err(e).context(PATH),
            }
        }
        Ok(lines.split_off(lines.len().saturating_sub(MOST)))
    }
}

/// Returns the text of an entry: `LEVEL,NUMBER,TIME,FLAGS;TEXT`, and lines that begin with a space.
fn line(entry: &[u8]) -> Option<String> {
    let entry = String::from_utf8_lossy(entry);
    let (_, text) = entry.split_once(';')?;
    Some(text.lines().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_text() {
        let entry = b"4,1234,5678,-;device-mapper: verity: 7:0; corrupted\n SUBSYSTEM=block\n";
        let text = "device-mapper: verity: 7:0; corrupted";
        assert_eq!(line(entry).as_deref(), Some(text));
        assert_eq!(line(b""), None);
    }
}
