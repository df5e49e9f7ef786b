// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Device mapper's control device: what `dmsetup` does, without a process for each.
//!
//! Source: include/uapi/linux/dm-ioctl.h.

use crate::sys;
use anyhow::{Context, Result, ensure};
use dmns_audit_layout::table::Table;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of `struct dm_ioctl`.
const HEAD: usize = 312;

/// Bytes of `struct dm_target_spec`.
const SPEC: usize = 40;

/// Bytes of an answer.
const ANSWER: usize = 16384;

const DEV_CREATE: u8 = 3;
const DEV_REMOVE: u8 = 4;
const DEV_SUSPEND: u8 = 6;
const DEV_STATUS: u8 = 7;
const TABLE_LOAD: u8 = 9;
const TABLE_STATUS: u8 = 12;

const READ_ONLY: u32 = 1 << 0;
const SUSPEND: u32 = 1 << 1;
const STATUS_TABLE: u32 = 1 << 4;
const BUFFER_FULL: u32 = 1 << 8;
const SKIP_LOCKFS: u32 = 1 << 10;
const NO_FLUSH: u32 = 1 << 11;

/// The number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number {
    pub(crate) major: u64,
    pub(crate) minor: u64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Number {
    /// Reads `253:0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    /// Reads what the kernel and stat(2) have. C: `huge_encode_dev()`.
    pub(crate) fn of(encoded: u64) -> Self {
        Self {
            major: (encoded >> 8) & 0xfff,
            minor: (encoded & 0xff) | ((encoded >> 12) & 0xfff_ff00),
        }
    }

    fn encoded(self) -> u64 {
        (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)
    }

    fn sys(self) -> PathBuf {
        Path::new("/sys/dev/block").join(self.to_string())
    }

    /// Returns whether it is a mapping.
    pub(crate) fn is_mapping(self) -> bool {
        self.sys().join("dm").exists()
    }

    /// Returns the path by which it can be opened.
    pub(crate) fn path(self) -> Result<PathBuf> {
        let about = self.sys().join("uevent");
        let text = fs::read_to_string(&about).with_context(|| format!("{self}: no such device"))?;
        let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        let name = name.with_context(|| format!("{self} has no name"))?;
        Ok(Path::new("/dev").join(name))
    }

    /// Opens it, with these flags of open(2) in addition.
    pub(crate) fn open(self, access: Access, flags: i32) -> Result<File> {
        let path = self.path()?;
        OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .custom_flags(flags)
            .open(&path)
            .with_context(|| path.display().to_string())
    }
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Which mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Name(&'a str),
    Number(Number),
}

/// How a mapping is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspend {
    /// It flushes, and freezes a filesystem on it.
    Usual,
    /// It does not.
    NoFlush,
}

/// The control device.
pub(crate) struct Mapper(File);

impl Mapper {
    pub(crate) fn open() -> Result<Self> {
        const PATH: &str = "/dev/mapper/control";
        let control = OpenOptions::new().read(true).write(true).open(PATH);
        Ok(Self(control.context(PATH)?))
    }

    /// Creates a mapping without a table.
    pub(crate) fn create(&self, name: &str) -> Result<Number> {
        let answer = self
            .call(DEV_CREATE, Which::Name(name), 0, &[])
            .with_context(|| format!("create {name}"))?;
        Ok(answer.number())
    }

    /// Loads a table. It becomes active when the mapping is resumed.
    pub(crate) fn load(&self, name: &str, table: &[Table], read_only: bool) -> io::Result<()> {
        let mut body = Vec::new();
        for line in table {
            let arguments = line.arguments.join(" ");
            let size = (SPEC + arguments.len() + 1).next_multiple_of(8);
            let begin = body.len();
            body.extend(line.start.to_ne_bytes());
            body.extend(line.length.to_ne_bytes());
            body.extend(0_u32.to_ne_bytes());
            body.extend((size as u32).to_ne_bytes());
            let mut target = line.target.clone().into_bytes();
            target.resize(16, 0);
            body.extend(target);
            body.extend(arguments.bytes());
            body.resize(begin + size, 0);
        }
        let flags = if read_only { READ_ONLY } else { 0 };
        let count = table.len() as u32;
        self.call_with(TABLE_LOAD, Which::Name(name), flags, count, &body)
            .map(drop)
    }

    /// Makes a mapping active, with its new table if there is one.
    pub(crate) fn resume(&self, name: &str) -> io::Result<()> {
        self.call(DEV_SUSPEND, Which::Name(name), 0, &[]).map(drop)
    }

    /// Loads a table of one target, and makes it active.
    pub(crate) fn activate(&self, name: &str, table: Table) -> io::Result<()> {
        self.load(name, &[table], false)?;
        self.resume(name)
    }

    /// Stops I/O, and waits for that which is under way.
    pub(crate) fn suspend(&self, name: &str, how: Suspend) -> io::Result<()> {
        let flags = match how {
            Suspend::Usual => SUSPEND,
            Suspend::NoFlush => SUSPEND | SKIP_LOCKFS | NO_FLUSH,
        };
        self.call(DEV_SUSPEND, Which::Name(name), flags, &[])
            .map(drop)
    }

    /// Removes a mapping.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.call(DEV_REMOVE, Which::Name(name), 0, &[]).map(drop)
    }

    /// Returns the number of a mapping.
    pub(crate) fn number(&self, which: Which<'_>) -> io::Result<Number> {
        Ok(self.call(DEV_STATUS, which, 0, &[])?.number())
    }

    /// Returns the active table of a mapping.
    pub(crate) fn table(&self, which: Which<'_>) -> Result<Vec<Table>> {
        self.status(which, STATUS_TABLE)
    }

    /// Returns the targets of a mapping with their state, in place of their arguments.
    pub(crate) fn state(&self, which: Which<'_>) -> Result<Vec<Table>> {
        self.status(which, 0)
    }

    fn status(&self, which: Which<'_>, flags: u32) -> Result<Vec<Table>> {
        let answer = self
            .call(TABLE_STATUS, which, flags, &[])
            .with_context(|| format!("{which:?} is no mapping"))?;
        ensure!(answer.u32_at(28) & BUFFER_FULL == 0, "a table is too long");
        let body = answer.0.get(answer.u32_at(16) as usize..);
        let body = body.context("no room for a table")?;
        let mut lines = Vec::new();
        let mut at = 0;
        for _ in 0..answer.u32_at(20) {
            let spec = body.get(at..at + SPEC).context("a table ends early")?;
            let text = |bytes: &[u8]| {
                let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
                String::from_utf8_lossy(&bytes[..end]).into_owned()
            };
            let number =
                |at: usize| u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| spec[at + i]));
            lines.push(Table {
                start: number(0),
                length: number(8),
                target: text(&spec[24..]),
                arguments: text(&body[at + SPEC..])
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
            });
            at = u32::from_ne_bytes([20, 21, 22, 23].map(|i| spec[i])) as usize;
        }
        Ok(lines)
    }

    fn call(&self, command: u8, which: Which<'_>, flags: u32, body: &[u8]) -> io::Result<Answer> {
        self.call_with(command, which, flags, 0, body)
    }

    fn call_with(
        &self,
        command: u8,
        which: Which<'_>,
        flags: u32,
        count: u32,
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut message = vec![0; HEAD];
        let mut put =
            |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
        let size = HEAD + body.len().max(ANSWER);
        // struct dm_ioctl: version, data_size, data_start, target_count, open_count, flags,
        // event_nr, padding, dev, name, uuid.
        put(0, &4_u32.to_ne_bytes());
        put(12, &(size as u32).to_ne_bytes());
        put(16, &(HEAD as u32).to_ne_bytes());
        put(20, &count.to_ne_bytes());
        put(28, &flags.to_ne_bytes());
        match which {
            Which::Name(name) if name.len() < 128 => put(48, name.as_bytes()),
            Which::Name(_) => return Err(io::ErrorKind::InvalidInput.into()),
            Which::Number(number) => put(40, &number.encoded().to_ne_bytes()),
        }
        message.extend(body);
        message.resize(size, 0);
        sys::device_mapper(&self.0, command, &mut message)?;
        Ok(Answer(message))
    }
}

/// What the kernel answers.
struct Answer(Vec<u8>);

impl Answer {
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes([0, 1, 2, 3].map(|i| self.0[at + i]))
    }

    fn number(&self) -> Number {
        let encoded = u64::from(self.u32_at(40)) | (u64::from(self.u32_at(44)) << 32);
        Number::of(encoded)
    }
}

/// Finds the mapping that a person calls `text`: its name, MAJOR:MINOR, a path.
pub(crate) fn find(mapper: &Mapper, text: &str) -> Result<Number> {
    let name = text.strip_prefix("/dev/mapper/").unwrap_or(text);
    if let Ok(number) = mapper.number(Which::Name(name)) {
        return Ok(number);
    }
    if let Some(number) = Number::parse(text) {
        ensure!(number.is_mapping(), "{text} is no mapping");
        return Ok(number);
    }
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let about = fs::metadata(text).with_context(|| format!("{text}: no mapping, and no device"))?;
    ensure!(
        about.file_type().is_block_device(),
        "{text} is no block device"
    );
    let number = Number::of(about.rdev());
    ensure!(number.is_mapping(), "{text} is no mapping");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_kernel_writes_them() {
        for (text, encoded) in [("253:0", 0xfd00), ("7:3", 0x703), ("253:300", 0x10_fd2c)] {
            let number = Number::parse(text).expect("a number");
            assert_eq!(number.encoded(), encoded, "{text}");
            assert_eq!(Number::of(encoded), number);
            assert_eq!(number.to_string(), text);
        }
        assert_eq!(Number::parse("dm-0"), None);
    }
}
