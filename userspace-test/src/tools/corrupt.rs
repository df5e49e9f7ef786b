// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Bytes below a mapping that are corrupted, found by its table and its superblock.

use crate::mapper::{Access, Mapper, Number, Which, find};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use dmns_audit_layout::below::{Below, Reader, What, below};
use dmns_audit_layout::{self as layout, SECTOR, Unknown};
use nix::libc;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

/// Corrupt a sector of a mapping: invert a byte of its data, its tag or its hash, where the devices
/// below keep it.
///
/// The mapping is active. dm-integrity, dm-verity, dm-crypt and linear are followed down to a device
/// that is no mapping. A layout that is not known is an error. The kernel keeps tags, hashes and
/// journals in memory: close the mapping and open it again where these are corrupted.
#[derive(Args)]
pub(crate) struct Corrupt {
    /// The mapping: its name, a path, or MAJOR:MINOR.
    device: String,
    /// The sector of the mapping, of 512 bytes.
    #[arg(long)]
    sector: u64,
    /// What to corrupt: data, tag, journal (the data of the sector in the journal), superblock,
    /// bitmap (the bit of the sector), hash:LEVEL (level 0 has the hashes of data), fec (the parity).
    #[arg(long, default_value = "data")]
    what: What,
    /// The byte of it.
    #[arg(long, default_value_t = 0)]
    byte: u64,
    /// The number of places.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Sectors from each place to the next. Those that have a tag or a hash in common are one place.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    step: u64,
    /// How many bits of each byte are inverted; of a bitmap, that of the sector alone by default.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=8))]
    bits: Option<u8>,
    /// Print each place, and change nothing: `place` is MAJOR:MINOR and the byte, `byte` the byte alone.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "place")]
    print: Option<Print>,
}

/// What is printed of a place.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Print {
    Place,
    Byte,
}

/// Corrupts them.
pub(crate) fn run(options: &Corrupt) -> Result<ExitCode> {
    let mapper = Mapper::open()?;
    let device = find(&mapper, &options.device)?;
    ensure!(
        device.is_mapping(),
        "{}: no mapping, or one without an active table",
        options.device
    );
    let mut places = BTreeSet::new();
    for i in 0..options.count {
        let sector = i
            .checked_mul(options.step)
            .and_then(|more| options.sector.checked_add(more))
            .context("no device has so many sectors: --count, --step")?;
        let place = descend(&mapper, device, sector, options.what, options.byte)
            .with_context(|| format!("{}, sector {sector}", options.device))?;
        places.insert(place);
    }
    let mut devices = BTreeMap::new();
    for place in places {
        if let Some(print) = options.print {
            match print {
                Print::Place => println!("{} {}", place.device, place.byte),
                Print::Byte => println!("{}", place.byte),
            }
            continue;
        }
        let mask = match (options.bits, place.bit) {
            (Some(bits), _) => u8::MAX >> (8 - bits),
            (None, Some(bit)) => 1 << bit,
            (None, None) => u8::MAX,
        };
        let device = match devices.entry(place.device) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(Direct::open(place.device)?),
        };
        device
            .invert(place.byte, mask)
            .with_context(|| format!("{} byte {}", place.device, place.byte))?;
    }
    for device in devices.values() {
        device.sync()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A byte of a device that is no mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) device: Number,
    pub(crate) byte: u64,
    /// The bit, if one is sought.
    pub(crate) bit: Option<u8>,
}

/// Finds a byte below a mapping.
pub(crate) fn descend(
    mapper: &Mapper,
    device: Number,
    sector: u64,
    what: What,
    byte: u64,
) -> Result<Place> {
    let (mut device, mut sector, mut what) = (device, sector, what);
    // The byte of the sector, and the bit, once the place is not to be found any more, but followed.
    let (mut rest, mut found, mut is_found) = (byte, None, false);
    while device.is_mapping() {
        let tables = mapper.table(Which::Number(device))?;
        let has = |start: u64, length: u64| (start..start + length).contains(&sector);
        let Some(table) = tables.iter().find(|line| has(line.start, line.length)) else {
            bail!("{device} has no sector {sector}");
        };
        match below(table, sector, what, &mut Devices)? {
            Below::Deeper {
                device: below,
                sector: of,
                what: more,
            } => {
                device = number(&below)?;
                (sector, what) = (of, more);
            }
            Below::Byte {
                device: below,
                byte,
                length,
                bit,
            } => {
                device = number(&below)?;
                ensure!(
                    is_found || rest < length,
                    "--byte {rest}: there are {length} bytes of it"
                );
                is_found = true;
                let at = byte + rest;
                (sector, rest, what) = (at / SECTOR, at % SECTOR, What::Data);
                found = found.or(bit);
            }
        }
    }
    ensure!(
        what == What::Data,
        "no mapping below has anything of this kind"
    );
    // Nothing but the sector is known where all mappings are linear.
    ensure!(
        is_found || rest < SECTOR,
        "--byte {rest}: there are {SECTOR} bytes of it"
    );
    Ok(Place {
        device,
        byte: sector * SECTOR + rest,
        bit: found,
    })
}

/// Reads the number of a device from a table.
fn number(text: &str) -> Result<Number> {
    Number::parse(text).with_context(|| format!("the table names a device \"{text}\""))
}

/// The devices that tables name.
pub(crate) struct Devices;

impl Reader for Devices {
    fn read(&mut self, device: &str, byte: u64, length: usize) -> layout::Result<Vec<u8>> {
        let read = || -> Result<Vec<u8>> {
            let file = Direct::open(number(device)?)?;
            let mut bytes = vec![0; length];
            file.read(byte, &mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|e| Unknown::new(format!("{device} cannot be read: {e:#}")))
    }
}

/// A block device without its page cache.
pub(crate) struct Direct {
    file: File,
}

/// What bytes and memory are aligned to: the largest logical block that these mappings have.
const ALIGNED: u64 = 4096;

impl Direct {
    /// Opens a device.
    pub(crate) fn open(device: Number) -> Result<Self> {
        let file = device.open(Access::Write, libc::O_DIRECT)?;
        Ok(Self { file })
    }

    /// Calls `act` with the bytes around a range, and where it begins in them. Writes them if `act`
    /// returns true.
    fn around(
        &self,
        byte: u64,
        length: u64,
        act: &mut dyn FnMut(&mut [u8], usize) -> bool,
    ) -> Result<()> {
        let begin = byte / ALIGNED * ALIGNED;
        let size = (byte + length).next_multiple_of(ALIGNED) - begin;
        with_buffer(size as usize, |buffer| {
            // The last block of a device may be a short one.
            let mut read = 0;
            while read < buffer.len() {
                match self
                    .file
                    .read_at(&mut buffer[read..], begin + read as u64)?
                {
                    0 => break,
                    more => read += more,
                }
            }
            ensure!(begin + read as u64 >= byte + length, "it ends before");
            if act(&mut buffer[..read], (byte - begin) as usize) {
                self.file.write_all_at(&buffer[..read], begin)?;
            }
            Ok(())
        })
    }

    /// Reads bytes.
    pub(crate) fn read(&self, byte: u64, bytes: &mut [u8]) -> Result<()> {
        self.around(byte, bytes.len() as u64, &mut |all, at| {
            bytes.copy_from_slice(&all[at..at + bytes.len()]);
            false
        })
    }

    /// Inverts bits of a byte.
    pub(crate) fn invert(&self, byte: u64, mask: u8) -> Result<()> {
        self.around(byte, 1, &mut |all, at| {
            all[at] ^= mask;
            true
        })
    }

    /// Waits until what was written is stored.
    pub(crate) fn sync(&self) -> Result<()> {
        Ok(self.file.sync_all()?)
    }

    /// Writes bytes.
    pub(crate) fn write(&self, byte: u64, bytes: &[u8]) -> Result<()> {
        self.around(byte, bytes.len() as u64, &mut |all, at| {
            all[at..at + bytes.len()].copy_from_slice(bytes);
            true
        })
    }
}

/// Calls `act` with memory that direct I/O can take.
pub(crate) fn with_buffer<T>(size: usize, act: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut memory = vec![0_u8; size + ALIGNED as usize];
    let at = memory.as_ptr().align_offset(ALIGNED as usize);
    act(&mut memory[at..at + size])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_direct_io_is_aligned() {
        with_buffer(512, |buffer| {
            assert_eq!(buffer.as_ptr().align_offset(4096), 0);
            assert_eq!(buffer.len(), 512);
        });
    }

    #[test]
    fn a_device_of_a_table_is_a_number() {
        assert!(number("253:7").is_ok());
        assert!(number("/dev/loop0").is_err());
    }
}
