// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A file that grows, and that a rotation may rename meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file to append to. If another one, or none, has its name, a new one is opened before the next
/// write: a rotation loses nothing, and sends no signal.
#[derive(Debug)]
pub struct Appended {
    path: PathBuf,
    file: File,
}

impl Appended {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or created.
    pub fn open(path: &Path) -> io::Result<Self> {
        // The audit log is readable by root only, and so is this.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Returns whether the open file still has its name.
    fn is_current(&self) -> io::Result<bool> {
        let open = self.file.metadata()?;
        Ok(fs::metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
    }
}

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_current()? {
            *self = Self::open(&self.path)?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut log = Appended::open(&path).expect("opened");
        log.write_all(b"first\n").expect("written");
        fs::rename(&path, &old).expect("renamed");
        log.write_all(b"second\n").expect("written");
        log.write_all(b"third\n").expect("written");
        assert_eq!(fs::read_to_string(&old).expect("read"), "first\n");
        assert_eq!(fs::read_to_string(&path).expect("read"), "second\nthird\n");
        let mode = fs::metadata(&path).expect("read").mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
