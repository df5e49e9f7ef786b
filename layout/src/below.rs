// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The byte below a sector of a mapping, by its table.

use crate::integrity::{self, Integrity};
use crate::table::Table;
use crate::verity::{self, Verity};
use crate::{Result, SECTOR, Unknown};
use std::str::FromStr;

/// What is sought below a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its data.
    Data,
    /// The tag of its block.
    Tag,
    /// Its data in the journal.
    Journal,
    /// The superblock.
    Superblock,
    /// Its bit in the bitmap.
    Bitmap,
    /// The hash of a level that covers it.
    Hash(usize),
    /// The parity that protects it.
    Fec,
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Ok(match text {
            "data" => Self::Data,
            "tag" => Self::Tag,
            "journal" => Self::Journal,
            "superblock" => Self::Superblock,
            "bitmap" => Self::Bitmap,
            "fec" => Self::Fec,
            _ => match text.strip_prefix("hash:").map(str::parse) {
                Some(Ok(level)) => Self::Hash(level),
                _ => {
                    return Err("data, tag, journal, superblock, bitmap, hash:LEVEL or fec \
                                expected"
                        .to_owned());
                }
            },
        })
    }
}

/// A place below a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Below {
    /// A byte of a device.
    Byte {
        /// The device, as the table names it.
        device: String,
        /// The byte.
        byte: u64,
        /// The bytes from it on that are of what is sought.
        length: u64,
        /// The bit of it, if that is what is sought.
        bit: Option<u8>,
    },
    /// The same on the device below: the data of this sector, or its tag.
    Deeper {
        /// The device, as the table names it.
        device: String,
        /// The sector.
        sector: u64,
        /// What is sought there.
        what: What,
    },
}

/// Returns the place below `sector` of the mapping with the line `table`, which has the sector.
///
/// `superblock` reads the first 4096 bytes from a byte of a device on. `find` looks an entry of the
/// journal up.
///
/// # Errors
///
/// Fails if the target or its layout is not known, or has nothing of this kind.
pub fn below(table: &Table, sector: u64, what: What, reader: &mut dyn Reader) -> Result<Below> {
    let of = sector
        .checked_sub(table.start)
        .filter(|of| *of < table.length)
        .ok_or_else(|| Unknown::new(format!("the mapping has no sector {sector}")))?;
    match table.target.as_str() {
        "linear" => deeper(table.argument(0), table.number(1)? + of, what),
        // The tag of a block of dm-crypt is that of the mapping below. C: `crypt_map()`.
        "crypt" => deeper(table.argument(3), table.number(4)? + of, what),
        "integrity" => in_integrity(table, of, what, reader),
        "verity" => {
            let layout = Verity::new(table)?;
            let (at, length) = match what {
                What::Data => (layout.data(of)?, rest_of(of, layout.data_block)),
                What::Hash(level) => (layout.hash(of, level)?, layout.digest_size),
                What::Fec => (
                    layout.fec(of, 0)?,
                    layout.fec.as_ref().map_or(0, |fec| fec.roots),
                ),
                What::Tag | What::Journal | What::Superblock | What::Bitmap => {
                    return Err(Unknown::new(
                        "verity: there are data, hash:LEVEL and fec, no more",
                    ));
                }
            };
            let device = match at.on {
                verity::On::Data => table.argument(1),
                verity::On::Hash => table.argument(2),
                verity::On::Fec => table
                    .arguments
                    .iter()
                    .skip_while(|argument| *argument != "use_fec_from_device")
                    .nth(1)
                    .map_or("", String::as_str),
            };
            byte(device, at.byte, length, None)
        }
        target => Err(Unknown::new(format!(
            "the layout of the target {target} is not known"
        ))),
    }
}

/// Reads what tables do not have.
pub trait Reader {
    /// Reads bytes of a device that a table names.
    ///
    /// # Errors
    ///
    /// Fails if they cannot be read.
    fn read(&mut self, device: &str, byte: u64, length: usize) -> Result<Vec<u8>>;
}

fn deeper(device: &str, sector: u64, what: What) -> Result<Below> {
    Ok(Below::Deeper {
        device: device.to_owned(),
        sector,
        what,
    })
}

fn byte(device: &str, byte: u64, length: u64, bit: Option<u8>) -> Result<Below> {
    Ok(Below::Byte {
        device: device.to_owned(),
        byte,
        length,
        bit,
    })
}

/// Returns the bytes from a sector on to the end of its block.
fn rest_of(sector: u64, block: u64) -> u64 {
    block - sector * SECTOR % block
}

/// Returns the layout of a mapping of dm-integrity, by its table and its superblock.
///
/// # Errors
///
/// Fails if it is not known.
pub fn integrity(table: &Table, reader: &mut dyn Reader) -> Result<Integrity> {
    let device = table.option("meta_device").unwrap_or(table.argument(0));
    let superblock = reader.read(device, table.number(1)? * SECTOR, 4096)?;
    Integrity::new(table, Some(&superblock))
}

fn in_integrity(table: &Table, of: u64, what: What, reader: &mut dyn Reader) -> Result<Below> {
    let layout = integrity(table, reader)?;
    let metadata = table.option("meta_device").unwrap_or(table.argument(0));
    let device = |on: integrity::On| match on {
        integrity::On::Metadata => metadata,
        integrity::On::Data | integrity::On::Inline => table.argument(0),
    };
    let (at, length, bit) = match what {
        What::Data => {
            let block = SECTOR << layout.log2_sectors_per_block;
            (layout.data(of)?, rest_of(of, block), None)
        }
        What::Tag => (layout.tag(of)?, layout.tag_size, None),
        What::Superblock => {
            let length = integrity::SUPERBLOCK_SECTORS * SECTOR;
            (layout.superblock(0)?, length, None)
        }
        What::Bitmap => {
            let (at, bit) = layout.bitmap(of)?;
            (at, 1, Some(bit))
        }
        // The last bytes of a sector are in the entry. C: `struct journal_sector`.
        What::Journal => (
            in_journal(&layout, of, metadata, reader)?,
            integrity::JOURNAL_SECTOR_BYTES,
            None,
        ),
        What::Hash(_) | What::Fec => {
            return Err(Unknown::new("integrity: there are no hashes and no FEC"));
        }
    };
    match at.on {
        integrity::On::Inline => deeper(device(at.on), at.byte / SECTOR, What::Tag),
        on => byte(device(on), at.byte, length, bit),
    }
}

/// Finds the newest data of a sector in the journal.
///
/// Sections are written in order, in a circle, and numbered modulo four. The kernel replays in the
/// order of these numbers, which depend on the key. Where several sections have the sector, the
/// newest cannot be named.
fn in_journal(
    layout: &Integrity,
    sector: u64,
    device: &str,
    reader: &mut dyn Reader,
) -> Result<integrity::Byte> {
    let block = sector >> layout.log2_sectors_per_block << layout.log2_sectors_per_block;
    let mut found = Vec::new();
    for section in 0..layout.journal_sections {
        let first = layout.journal_entry(section, 0)?;
        let bytes = reader.read(
            device,
            first.byte,
            (integrity::JOURNAL_BLOCK_SECTORS * SECTOR) as usize,
        )?;
        for entry in 0..layout.section.entries {
            let at = (layout.journal_entry(section, entry)?.byte - first.byte) as usize;
            let Some(head) = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<8>()) else {
                return Err(Unknown::new("integrity: the journal ends early"));
            };
            if Integrity::journal_entry_sector(*head) == Some(block) {
                found.push(layout.journal_data(section, entry)?);
            }
        }
    }
    match found.as_slice() {
        [] => Err(Unknown::new(format!(
            "the journal has no entry of sector {block}"
        ))),
        [one] => Ok(integrity::Byte {
            byte: one.byte + (sector - block) * SECTOR,
            ..*one
        }),
        several => Err(Unknown::new(format!(
            "the journal has {} entries of sector {block}",
            several.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with zeros, and bytes at places.
    struct Bytes(Vec<(u64, Vec<u8>)>);

    impl Reader for Bytes {
        fn read(&mut self, _: &str, byte: u64, length: usize) -> Result<Vec<u8>> {
            let mut bytes = vec![0xff; length];
            for (at, some) in &self.0 {
                for (i, value) in some.iter().enumerate() {
                    let place = (at + i as u64).checked_sub(byte);
                    if let Some(place) = place.and_then(|p| bytes.get_mut(p as usize)) {
                        *place = *value;
                    }
                }
            }
            Ok(bytes)
        }
    }

    fn at(table: &str, sector: u64, what: What, reader: &mut Bytes) -> Result<Below> {
        below(&Table::parse(table).expect("a table"), sector, what, reader)
    }

    #[test]
    fn a_sector_is_followed_downwards() {
        let mut none = Bytes(Vec::new());
        let deeper = |device: &str, sector, what| {
            Ok(Below::Deeper {
                device: device.to_owned(),
                sector,
                what,
            })
        };
        let linear = "100 100 linear 7:0 500";
        assert_eq!(
            at(linear, 101, What::Tag, &mut none),
            deeper("7:0", 501, What::Tag)
        );
        assert!(at(linear, 99, What::Data, &mut none).is_err());
        assert!(at(linear, 200, What::Data, &mut none).is_err());
        let crypt = "0 1000 crypt aes-xts-plain64 :32:logon:x 7 253:0 16 1 integrity:28:aead";
        assert_eq!(
            at(crypt, 4, What::Data, &mut none),
            deeper("253:0", 20, What::Data)
        );
        assert!(at("0 8 thin 253:0 1", 4, What::Data, &mut none).is_err());
    }

    /// A journal of one section has an entry of sector 803.
    #[test]
    fn the_newest_data_is_found_in_the_journal() {
        let table = "0 5904 integrity 7:0 0 32 J 6 interleave_sectors:32768 buffer_sectors:128 \
                     journal_sectors:88 journal_watermark:50 fix_padding internal_hash:sha256";
        let mut superblock = vec![0; 64];
        superblock[..8].copy_from_slice(b"integrt\0");
        superblock[8] = 4;
        superblock[9] = 15;
        superblock[10] = 32;
        superblock[12] = 1;
        superblock[24] = 8;
        let entry = |at: u64, sector: u64| (4096 + at, sector.to_le_bytes().to_vec());
        let mut device = Bytes(vec![(0, superblock), entry(2 * 512, 803)]);
        let found = at(table, 803, What::Journal, &mut device);
        let byte = Below::Byte {
            device: "7:0".to_owned(),
            byte: 8192 + 2 * 512,
            length: 504,
            bit: None,
        };
        assert_eq!(found, Ok(byte));
        assert!(at(table, 804, What::Journal, &mut device).is_err());
        device.0.push(entry(3 * 512, 803));
        assert!(at(table, 803, What::Journal, &mut device).is_err());
    }

    #[test]
    fn what_has_names() {
        assert_eq!("hash:3".parse(), Ok(What::Hash(3)));
        assert_eq!("fec".parse(), Ok(What::Fec));
        assert!("hash:x".parse::<What>().is_err());
        assert!("hashes".parse::<What>().is_err());
    }
}
