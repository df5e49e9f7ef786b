// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads a device past the page cache, so that the disk itself is read. What cannot be read is read again in smaller
//! parts, down to a block of the device.

use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Number of bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// The alignment that every device accepts.
const ALIGNMENT: usize = 4096;

/// Sizes in which what cannot be read is read again. The last is a sector.
const PARTS: [u64; 3] = [65536, 4096, 512];

/// A device that is read.
#[derive(Debug)]
pub struct Reader {
    file: File,
    size: u64,
    buffer: Vec<u8>,
    aligned: usize,
}

impl Reader {
    /// Opens the device at `path` for reading.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be opened, or has no sectors.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let mut file = match open(libc::O_DIRECT) {
            // A file on a filesystem without it.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => open(0),
            file => file,
        }
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let size = file.seek(SeekFrom::End(0))?;
        // A loop device without a file, a mapping without a table, a drive without a disk.
        if size == 0 {
            let message = format!("{}: it has no sectors", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let buffer = vec![0; CHUNK + ALIGNMENT];
        let aligned = buffer.as_ptr().align_offset(ALIGNMENT);
        Ok(Self {
            file,
            size,
            buffer,
            aligned,
        })
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads from `position` on. Adds the sectors that cannot be read to `bad`. Returns the number of bytes.
    ///
    /// # Errors
    ///
    /// Fails if the device is not there any more.
    pub fn read(&mut self, position: u64, bad: &mut Vec<u64>) -> io::Result<u64> {
        let length = (CHUNK as u64).min(self.size - position);
        if !self.is_readable(position, length)? {
            self.narrow(position, length, &PARTS, bad)?;
        }
        Ok(length)
    }

    /// Reads in parts what cannot be read at once.
    fn narrow(
        &mut self,
        position: u64,
        length: u64,
        parts: &[u64],
        bad: &mut Vec<u64>,
    ) -> io::Result<()> {
        let Some((&part, smaller)) = parts.split_first() else {
            bad.extend(position / 512..(position + length).div_ceil(512));
            return Ok(());
        };
        let end = position + length;
        let mut at = position;
        while at < end {
            let length = part.min(end - at);
            match self.is_readable(at, length) {
                Ok(true) => {}
                Ok(false) => self.narrow(at, length, smaller, bad)?,
                // Its blocks are larger than the part.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    bad.extend(position / 512..end.div_ceil(512));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            at += length;
        }
        Ok(())
    }

    fn is_readable(&mut self, position: u64, length: u64) -> io::Result<bool> {
        let length = usize::try_from(length).unwrap_or(CHUNK).min(CHUNK);
        let buffer = &mut self.buffer[self.aligned..self.aligned + length];
        match self.file.read_exact_at(buffer, position) {
            Ok(()) => Ok(true),
            Err(error) => match error.raw_os_error() {
                // C: `blk_errors` in `block/blk-core.c`.
                Some(
                    libc::EIO
                    | libc::EILSEQ
                    | libc::ENODATA
                    | libc::EREMOTEIO
                    | libc::EBADE
                    | libc::ETIMEDOUT
                    | libc::EBADMSG,
                ) => Ok(false),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_its_end() {
        let file = tempfile::NamedTempFile::new_in(".").expect("a file");
        let size = 2 * CHUNK as u64 + 8192;
        file.as_file().set_len(size).expect("long");
        let mut reader = Reader::open(file.path()).expect("opened");
        let (mut at, mut bad) = (0, Vec::new());
        while at < reader.size() {
            at += reader.read(at, &mut bad).expect("read");
        }
        assert_eq!((at, bad), (size, Vec::new()));
        assert!(Reader::open(Path::new("/nonexistent")).is_err());
        let empty = tempfile::NamedTempFile::new_in(".").expect("a file");
        assert!(Reader::open(empty.path()).is_err());
    }
}
