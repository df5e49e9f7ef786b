// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The format of dm-integrity: superblock, journal or bitmap, then runs of tags and data.
//!
//! Source: drivers/md/dm-integrity.c. With a device for metadata, that has all but the data. In
//! inline mode there are only the superblock and the data: the tags are in the metadata of the
//! device below.

use crate::table::Table;
use crate::{Result, SECTOR, Unknown};

/// Sectors of the superblock. C: `SB_SECTORS`.
pub const SUPERBLOCK_SECTORS: u64 = 8;

/// Bytes of `struct superblock`.
pub const SUPERBLOCK_BYTES: usize = 64;

/// The bytes of data in a sector of the journal; its commit id follows. C: `JOURNAL_SECTOR_DATA`.
pub const JOURNAL_SECTOR_BYTES: u64 = 504;

/// The superblock has a journal with a MAC. C: `SB_FLAG_HAVE_JOURNAL_MAC`.
pub const HAVE_JOURNAL_MAC: u32 = 0x1;
/// Tags are being recalculated. C: `SB_FLAG_RECALCULATING`.
pub const RECALCULATING: u32 = 0x2;
/// The journal is a bitmap, and not clean. C: `SB_FLAG_DIRTY_BITMAP`.
pub const DIRTY_BITMAP: u32 = 0x4;
/// Runs of tags are padded to 4 KiB, not to 128 KiB. C: `SB_FLAG_FIXED_PADDING`.
pub const FIXED_PADDING: u32 = 0x8;
/// Hashes include a salt, the superblock has a MAC. C: `SB_FLAG_FIXED_HMAC`.
pub const FIXED_HMAC: u32 = 0x10;
/// Inline mode. C: `SB_FLAG_INLINE`.
pub const INLINE: u32 = 0x20;
/// Discarded blocks have a tag with a key. C: `SB_FLAG_DISCARD_KEYED`.
pub const DISCARD_KEYED: u32 = 0x40;

/// Sectors of a section of the journal that have entries. C: `JOURNAL_BLOCK_SECTORS`.
pub const JOURNAL_BLOCK_SECTORS: u64 = 8;

/// Bytes of a sector of the journal that are not its commit id. C: `JOURNAL_SECTOR_DATA`.
const JOURNAL_SECTOR_DATA: u64 = SECTOR - 8;

/// The superblock, as it is on the device. C: `struct superblock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The version.
    pub version: u8,
    /// The logarithm of the sectors of a run of data.
    pub log2_interleave_sectors: u8,
    /// Bytes of a tag.
    pub tag_size: u16,
    /// Sections of the journal.
    pub journal_sections: u32,
    /// Sectors that a mapping can have.
    pub provided_data_sectors: u64,
    /// Flags.
    pub flags: u32,
    /// The logarithm of the sectors of a block.
    pub log2_sectors_per_block: u8,
    /// The logarithm of the blocks of a bit of the bitmap.
    pub log2_blocks_per_bitmap_bit: u8,
    /// The sector that is recalculated next.
    pub recalc_sector: u64,
}

impl Superblock {
    /// Reads a superblock.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or one of a version that the kernel refuses.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(bytes) = bytes.first_chunk::<SUPERBLOCK_BYTES>() else {
            return Err(Unknown::new("integrity: no superblock"));
        };
        if bytes[..8] != *b"integrt\0" {
            return Err(Unknown::new("integrity: no superblock"));
        }
        let u32_at = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let u64_at = |at: usize| u64::from(u32_at(at)) | (u64::from(u32_at(at + 4)) << 32);
        let superblock = Self {
            version: bytes[8],
            log2_interleave_sectors: bytes[9],
            tag_size: u16::from_le_bytes([bytes[10], bytes[11]]),
            journal_sections: u32_at(12),
            provided_data_sectors: u64_at(16),
            flags: u32_at(24),
            log2_sectors_per_block: bytes[28],
            log2_blocks_per_bitmap_bit: bytes[29],
            recalc_sector: u64_at(32),
        };
        match superblock.version {
            1..=7 => Ok(superblock),
            version => Err(Unknown::new(format!(
                "integrity: the superblock has version {version}"
            ))),
        }
    }
}

/// The size of the sections of a journal. C: `calculate_journal_section_size()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Bytes of an entry.
    pub entry_size: u64,
    /// Entries of a section.
    pub entries: u64,
    /// Sectors of a section.
    pub sectors: u64,
}

impl Section {
    /// Returns the size of sections with these options.
    pub fn new(tag_size: u64, log2_sectors_per_block: u8, has_mac: bool) -> Self {
        let entry_size = (8 + (8 << log2_sectors_per_block) + tag_size).next_multiple_of(8);
        let space = JOURNAL_SECTOR_DATA - if has_mac { 8 } else { 0 };
        let entries = space / entry_size * JOURNAL_BLOCK_SECTORS;
        Self {
            entry_size,
            entries,
            sectors: (entries << log2_sectors_per_block) + JOURNAL_BLOCK_SECTORS,
        }
    }
}

/// The device that has a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The device with the data, which has all if there is no other.
    Data,
    /// The device for metadata.
    Metadata,
    /// The metadata (protection information) of the device with the data, which is in inline mode.
    /// The byte is one of its data: the tag is that of its sector.
    Inline,
}

/// A byte below a mapping.
pub type Byte = crate::Byte<On>;

/// What a byte below a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Data of this sector of the mapping.
    Data(u64),
    /// A tag: of the block that begins at this sector of the mapping.
    Tag(u64),
    /// The superblock.
    Superblock,
    /// The journal, or the bitmap in its place.
    Journal,
    /// Padding behind the tags of a run.
    Padding,
    /// The mapping does not use it.
    Outside,
}

/// The layout of a mapping of dm-integrity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// `J`, `B`, `D`, `R` or `I`.
    pub mode: char,
    /// The first sector on the devices below.
    pub start: u64,
    /// Bytes of a tag.
    pub tag_size: u64,
    /// The logarithm of the sectors of a block.
    pub log2_sectors_per_block: u8,
    /// The logarithm of the sectors of a run of data.
    pub log2_interleave_sectors: u8,
    /// The logarithm of the sectors of a buffer of tags.
    pub log2_buffer_sectors: u8,
    /// The logarithm of the sectors of a bit of the bitmap, in bitmap mode.
    pub log2_sectors_per_bit: Option<u8>,
    /// The size of the sections of the journal.
    pub section: Section,
    /// Sections of the journal.
    pub journal_sections: u64,
    /// Whether the journal is encrypted.
    pub journal_encrypted: bool,
    /// Sectors before the first run.
    pub initial_sectors: u64,
    /// Sectors of tags before each run of data.
    pub metadata_run: u64,
    /// Whether there is a device for metadata.
    pub has_metadata_device: bool,
    /// Sectors of the mapping.
    pub length: u64,
}

/// The options that a table may have. C: `dm_integrity_ctr()`.
const OPTIONS: [&str; 19] = [
    "meta_device:",
    "block_size:",
    "recalculate",
    "reset_recalculate",
    "allow_discards",
    "allow_discards_keyed",
    "interleave_sectors:",
    "buffer_sectors:",
    "journal_sectors:",
    "journal_watermark:",
    "commit_time:",
    "sectors_per_bit:",
    "bitmap_flush_interval:",
    "fix_padding",
    "fix_hmac",
    "legacy_recalculate",
    "internal_hash:",
    "journal_crypt:",
    "journal_mac:",
];

impl Integrity {
    /// Returns the layout of a mapping, by its table as the kernel prints it.
    ///
    /// Only in journal mode does a table have all of it. Otherwise it takes the superblock.
    ///
    /// # Errors
    ///
    /// Fails if the table or the superblock is not one that this module knows, or they do not agree.
    pub fn new(table: &Table, superblock: Option<&[u8]>) -> Result<Self> {
        let superblock = superblock.map(Superblock::parse).transpose()?;
        let number = |name: &str| -> Result<Option<u64>> {
            let value = table.option(name).map(str::parse).transpose();
            value.map_err(|_| Unknown::new(format!("integrity: {name} is not a number")))
        };
        if table.target != "integrity" {
            return Err(Unknown::new(format!("{}: not integrity", table.target)));
        }
        for option in table.arguments.iter().skip(5) {
            let known = |known: &&str| match known.strip_suffix(':') {
                Some(_) => option.starts_with(*known),
                None => option == *known,
            };
            if !OPTIONS.iter().any(known) {
                return Err(Unknown::new(format!(
                    "integrity: the option {option} is not known"
                )));
            }
        }
        let mut modes = table.argument(3).chars();
        let mode = match (modes.next(), modes.next()) {
            (Some(mode @ ('J' | 'B' | 'D' | 'R' | 'I')), None) => mode,
            _ => {
                return Err(Unknown::new(format!(
                    "integrity: the mode {} is not known",
                    table.argument(3)
                )));
            }
        };
        let (start, tag_size) = (table.number(1)?, table.number(2)?);
        let has_metadata_device = table.option("meta_device").is_some();
        let block = power_of_two("block_size", number("block_size")?.unwrap_or(SECTOR))?;
        let log2_sectors_per_block = block
            .checked_sub(9)
            .filter(|log2| *log2 <= 3)
            .ok_or_else(|| Unknown::new("integrity: block_size is not 512 to 4096"))?;
        let has_mac = table.option("journal_mac").is_some();
        let section = Section::new(tag_size, log2_sectors_per_block, has_mac);
        let agrees = |what: &str, is: bool| match is {
            true => Ok(()),
            false => Err(Unknown::new(format!(
                "integrity: {what} differs between table and superblock"
            ))),
        };
        let fixed_padding = table.has("fix_padding");
        let log2_interleave_sectors = match number("interleave_sectors")? {
            _ if has_metadata_device || mode == 'I' => 0,
            Some(sectors) => power_of_two("interleave_sectors", sectors)?,
            None => {
                return Err(Unknown::new(
                    "integrity: the table has no interleave_sectors",
                ));
            }
        };
        if let Some(superblock) = &superblock {
            agrees("the tag size", u64::from(superblock.tag_size) == tag_size)?;
            agrees(
                "the block size",
                superblock.log2_sectors_per_block == log2_sectors_per_block,
            )?;
            let flag = |flag: u32| superblock.flags & flag != 0;
            agrees("fix_padding", flag(FIXED_PADDING) == fixed_padding)?;
            agrees("journal_mac", flag(HAVE_JOURNAL_MAC) == has_mac)?;
            agrees("the mode", flag(INLINE) == (mode == 'I'))?;
            agrees(
                "interleave_sectors",
                mode == 'I' || superblock.log2_interleave_sectors == log2_interleave_sectors,
            )?;
        }
        let journal_sections = match (&superblock, number("journal_sectors")?) {
            _ if mode == 'I' => 0,
            (Some(superblock), None) => u64::from(superblock.journal_sections),
            (superblock, Some(sectors)) => {
                let sections = sectors / section.sectors.max(1);
                let same = superblock
                    .as_ref()
                    .is_none_or(|s| u64::from(s.journal_sections) == sections);
                agrees("journal_sectors", same)?;
                if sections * section.sectors != sectors {
                    return Err(Unknown::new(
                        "integrity: journal_sectors is not a number of sections",
                    ));
                }
                sections
            }
            (None, None) => {
                return Err(Unknown::new(format!(
                    "integrity: in mode {mode} only the superblock has the size of the journal"
                )));
            }
        };
        let log2_sectors_per_bit = match number("sectors_per_bit")? {
            Some(sectors) => Some(power_of_two("sectors_per_bit", sectors)?),
            None => None,
        };
        let layout = Self {
            mode,
            start,
            tag_size,
            log2_sectors_per_block,
            log2_interleave_sectors,
            log2_buffer_sectors: match number("buffer_sectors")? {
                Some(sectors) => power_of_two("buffer_sectors", sectors)?,
                None => return Err(Unknown::new("integrity: the table has no buffer_sectors")),
            },
            log2_sectors_per_bit,
            section,
            journal_sections,
            journal_encrypted: table.option("journal_crypt").is_some(),
            initial_sectors: SUPERBLOCK_SECTORS + section.sectors * journal_sections,
            metadata_run: match has_metadata_device || mode == 'I' {
                true => 0,
                false => metadata_run(
                    tag_size,
                    log2_interleave_sectors,
                    log2_sectors_per_block,
                    fixed_padding,
                )?,
            },
            has_metadata_device,
            length: table.length,
        };
        if layout.overlaps() {
            return Err(Unknown::new(
                "integrity: buffer_sectors is larger than interleave_sectors: \
                 the kernel writes tags over data",
            ));
        }
        Ok(layout)
    }

    /// Returns whether tags of runs after the first one are where data is.
    ///
    /// `get_metadata_sector_and_offset()` counts in buffers and rounds the first sector of a run
    /// down. `dm_integrity_ctr()` limits the size of a buffer by that of the tags of a run, not by
    /// that of its data.
    pub fn overlaps(&self) -> bool {
        !self.has_metadata_device
            && self.mode != 'I'
            && self.log2_buffer_sectors > self.log2_interleave_sectors
            && self.length > 1 << self.log2_interleave_sectors
    }

    /// Returns the sectors of a block.
    pub fn block_sectors(&self) -> u64 {
        1 << self.log2_sectors_per_block
    }

    /// Returns the device with the superblock, the journal and the tags.
    fn metadata(&self) -> On {
        match self.has_metadata_device {
            true => On::Metadata,
            false => On::Data,
        }
    }

    fn checked(&self, sector: u64) -> Result<u64> {
        match sector < self.length {
            true => Ok(sector),
            false => Err(Unknown::new(format!(
                "the mapping has {} sectors, no sector {sector}",
                self.length
            ))),
        }
    }

    /// Returns the first byte of a sector's data. C: `get_data_sector()`, `dm_integrity_map_inline()`.
    ///
    /// # Errors
    ///
    /// Fails if the mapping has no such sector.
    pub fn data(&self, sector: u64) -> Result<Byte> {
        let sector = self.checked(sector)?;
        let below = if self.mode == 'I' {
            self.start + SUPERBLOCK_SECTORS + sector
        } else if self.has_metadata_device {
            sector
        } else {
            let run = sector >> self.log2_interleave_sectors;
            self.start + self.initial_sectors + (run + 1) * self.metadata_run + sector
        };
        Ok(Byte {
            on: On::Data,
            byte: below * SECTOR,
        })
    }

    /// Returns the first byte of the tag of a sector's block. C: `get_metadata_sector_and_offset()`.
    ///
    /// # Errors
    ///
    /// Fails if the mapping has no such sector.
    pub fn tag(&self, sector: u64) -> Result<Byte> {
        let sector = self.checked(sector)?;
        if self.mode == 'I' {
            let block = sector >> self.log2_sectors_per_block << self.log2_sectors_per_block;
            return Ok(Byte {
                on: On::Inline,
                ..self.data(block)?
            });
        }
        let (run, offset) = match self.has_metadata_device {
            true => (0, sector),
            false => (
                sector >> self.log2_interleave_sectors,
                sector & ((1 << self.log2_interleave_sectors) - 1),
            ),
        };
        let begin = (run << self.log2_interleave_sectors) + run * self.metadata_run;
        let tag = (offset >> self.log2_sectors_per_block) * self.tag_size;
        Ok(Byte {
            on: self.metadata(),
            byte: (self.start + self.initial_sectors + begin) * SECTOR + tag,
        })
    }

    /// Returns a byte of the superblock.
    ///
    /// # Errors
    ///
    /// Fails if it has no such byte.
    pub fn superblock(&self, byte: u64) -> Result<Byte> {
        match byte < SUPERBLOCK_SECTORS * SECTOR {
            true => Ok(Byte {
                on: self.metadata(),
                byte: self.start * SECTOR + byte,
            }),
            false => Err(Unknown::new("the superblock has 4096 bytes")),
        }
    }

    /// Returns the first byte of the bitmap's byte for a sector, and the bit in it. C:
    /// `block_bitmap_op()`, which counts in longs: the same on processors with the least byte first.
    ///
    /// # Errors
    ///
    /// Fails if the mapping is not in bitmap mode, or has no such sector.
    pub fn bitmap(&self, sector: u64) -> Result<(Byte, u8)> {
        let sector = self.checked(sector)?;
        let Some(log2) = self.log2_sectors_per_bit.filter(|_| self.mode == 'B') else {
            return Err(Unknown::new("the mapping is not in bitmap mode"));
        };
        let bit = sector >> log2;
        let byte = (self.start + SUPERBLOCK_SECTORS) * SECTOR + bit / 8;
        let at = Byte {
            on: self.metadata(),
            byte,
        };
        Ok((at, (bit % 8) as u8))
    }

    fn journal_sector(&self, section: u64, sector: u64) -> Byte {
        let of_journal = section * self.section.sectors + sector;
        Byte {
            on: self.metadata(),
            byte: (self.start + SUPERBLOCK_SECTORS + of_journal) * SECTOR,
        }
    }

    /// Returns the first byte of an entry of the journal. C: `access_journal_entry()`.
    ///
    /// # Errors
    ///
    /// Fails if there is no such entry, or the journal is encrypted or a bitmap.
    pub fn journal_entry(&self, section: u64, entry: u64) -> Result<Byte> {
        self.journal()?;
        if section >= self.journal_sections || entry >= self.section.entries {
            return Err(Unknown::new(format!(
                "the journal has {} sections of {} entries",
                self.journal_sections, self.section.entries
            )));
        }
        let sector = self.journal_sector(section, entry % JOURNAL_BLOCK_SECTORS);
        Ok(Byte {
            byte: sector.byte + entry / JOURNAL_BLOCK_SECTORS * self.section.entry_size,
            ..sector
        })
    }

    /// Returns the first byte of the data of an entry of the journal. The last eight bytes of each of
    /// its sectors are in the entry. C: `access_journal_data()`.
    ///
    /// # Errors
    ///
    /// Fails if there is no such entry, or the journal is encrypted or a bitmap.
    pub fn journal_data(&self, section: u64, entry: u64) -> Result<Byte> {
        self.journal_entry(section, entry)?;
        let of_section = JOURNAL_BLOCK_SECTORS + (entry << self.log2_sectors_per_block);
        Ok(self.journal_sector(section, of_section))
    }

    /// Checks that there is a journal that can be read.
    fn journal(&self) -> Result<()> {
        match (self.mode, self.journal_encrypted) {
            ('J', false) => Ok(()),
            ('J', true) => Err(Unknown::new("the journal is encrypted")),
            _ => Err(Unknown::new("the mapping is not in journal mode")),
        }
    }

    /// Returns the sector of the mapping that an entry of the journal is about, by its first eight
    /// bytes. C: `journal_entry_is_unused()`, `journal_entry_is_inprogress()`.
    pub fn journal_entry_sector(entry: [u8; 8]) -> Option<u64> {
        let sector = u64::from_le_bytes(entry);
        (sector >> 32 < 0xffff_fffe).then_some(sector)
    }

    /// Returns what a byte of a device below is.
    pub fn at(&self, on: On, byte: u64) -> Use {
        let sector = byte / SECTOR;
        let data = |sector: u64| match sector < self.length {
            true => Use::Data(sector),
            false => Use::Outside,
        };
        if self.has_metadata_device && on == On::Data {
            return data(sector);
        }
        let Some(of) = sector.checked_sub(self.start) else {
            return Use::Outside;
        };
        if of < SUPERBLOCK_SECTORS {
            return Use::Superblock;
        }
        if self.mode == 'I' {
            return data(of - SUPERBLOCK_SECTORS);
        }
        let Some(of) = of.checked_sub(self.initial_sectors) else {
            return Use::Journal;
        };
        let tag = |begin: u64, byte: u64, sectors: Option<u64>| {
            let of_run = (byte / self.tag_size) << self.log2_sectors_per_block;
            match sectors {
                Some(sectors) if of_run >= sectors => Use::Padding,
                _ if begin + of_run < self.length => Use::Tag(begin + of_run),
                _ => Use::Padding,
            }
        };
        if self.has_metadata_device {
            return tag(0, of * SECTOR + byte % SECTOR, None);
        }
        let data_sectors = 1_u64 << self.log2_interleave_sectors;
        let (run, of) = (
            of / (self.metadata_run + data_sectors),
            of % (self.metadata_run + data_sectors),
        );
        let begin = run * data_sectors;
        match of.checked_sub(self.metadata_run) {
            Some(of) => data(begin + of),
            None if begin >= self.length => Use::Outside,
            None => tag(begin, of * SECTOR + byte % SECTOR, Some(data_sectors)),
        }
    }
}

/// Returns the sectors of tags before a run of data. C: `calculate_device_limits()`.
fn metadata_run(
    tag_size: u64,
    log2_interleave_sectors: u8,
    log2_sectors_per_block: u8,
    fixed_padding: bool,
) -> Result<u64> {
    if !(3..=31).contains(&log2_interleave_sectors) {
        return Err(Unknown::new(
            "integrity: interleave_sectors is not 8 to 2^31",
        ));
    }
    // C: METADATA_PADDING_SECTORS is 8: of sectors, or by mistake a power of two of them.
    let padding = match fixed_padding {
        true => 8 * SECTOR,
        false => SECTOR << 8,
    };
    let tags = tag_size << (log2_interleave_sectors - log2_sectors_per_block);
    Ok(tags.next_multiple_of(padding) / SECTOR)
}

/// Returns the logarithm of a power of two.
fn power_of_two(name: &str, value: u64) -> Result<u8> {
    match value.is_power_of_two() {
        true => Ok(value.ilog2() as u8),
        false => Err(Unknown::new(format!(
            "integrity: {name} is {value}, no power of two"
        ))),
    }
}

/// The options by which the kernel formats a device with zeros in place of a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// `J`, `B`, `D` or `I`.
    pub mode: char,
    /// The first sector on the devices below.
    pub start: u64,
    /// Bytes of a tag.
    pub tag_size: u64,
    /// The logarithm of the sectors of a block.
    pub log2_sectors_per_block: u8,
    /// `journal_sectors`, if it is set.
    pub journal_sectors: Option<u64>,
    /// `interleave_sectors`, if it is set.
    pub interleave_sectors: Option<u64>,
    /// `buffer_sectors`, if it is set.
    pub buffer_sectors: Option<u64>,
    /// `fix_padding`.
    pub fixed_padding: bool,
    /// `journal_mac`.
    pub has_mac: bool,
    /// Sectors of the device with the data.
    pub data_sectors: u64,
    /// Sectors of the device for metadata, if there is one.
    pub metadata_sectors: Option<u64>,
}

impl Format {
    /// Returns the sections of the journal and the sectors that a mapping can have. C:
    /// `initialize_superblock()`.
    ///
    /// # Errors
    ///
    /// Fails if the device is too small.
    pub fn sizes(&self) -> Result<(u64, u64)> {
        let section = Section::new(self.tag_size, self.log2_sectors_per_block, self.has_mac);
        // C: DEFAULT_MAX_JOURNAL_SECTORS, DEFAULT_JOURNAL_SIZE_FACTOR.
        let default = || (self.data_sectors >> 7).min(131_072);
        let journal = self
            .journal_sectors
            .map_or_else(default, |sectors| sectors.max(1));
        let wanted = match self.mode {
            'I' => 0,
            _ => (journal / section.sectors).max(1),
        };
        let too_small = || Unknown::new("integrity: the device is too small");
        let Some(metadata_sectors) = self.metadata_sectors else {
            let mut provided = 0;
            let first = self.data_sectors.checked_ilog2().ok_or_else(too_small)?;
            for bit in (3..=first).rev() {
                let larger = provided | (1 << bit);
                if self.fits(wanted, larger)? {
                    provided = larger;
                }
            }
            return match provided {
                0 => Err(too_small()),
                _ => Ok((wanted, provided)),
            };
        };
        let provided =
            self.data_sectors >> self.log2_sectors_per_block << self.log2_sectors_per_block;
        let mut buffer = self.log2_buffer_sectors();
        loop {
            let mut sections = 0;
            for bit in (0..=wanted.ilog2()).rev() {
                let larger = sections | (1 << bit);
                let initial = SUPERBLOCK_SECTORS + section.sectors * larger;
                let tags = (provided >> self.log2_sectors_per_block) * self.tag_size;
                let tags = tags.div_ceil(SECTOR << buffer) << buffer;
                // C: METADATA_PADDING_SECTORS.
                let fits = initial + 8 < metadata_sectors && initial + tags <= metadata_sectors;
                if larger <= wanted && fits {
                    sections = larger;
                }
            }
            match sections {
                0 if buffer > 3 => buffer -= 1,
                0 => return Err(too_small()),
                _ => return Ok((sections, provided)),
            }
        }
    }

    /// Returns the logarithm of the sectors of a buffer that are asked for. C: `dm_integrity_ctr()`.
    fn log2_buffer_sectors(&self) -> u8 {
        let sectors = self.buffer_sectors.unwrap_or(128).max(1);
        (sectors.ilog2() as u8).min(22)
    }

    /// Returns the logarithm of the sectors of a run of data. C: `initialize_superblock()`.
    pub fn log2_interleave_sectors(&self) -> u8 {
        let sectors = self.interleave_sectors.filter(|sectors| *sectors > 0);
        (sectors.unwrap_or(32_768).ilog2() as u8).clamp(3, 31)
    }

    fn metadata_run(&self) -> Result<u64> {
        metadata_run(
            self.tag_size,
            self.log2_interleave_sectors(),
            self.log2_sectors_per_block,
            self.fixed_padding,
        )
    }

    /// Returns whether tags would be where data is, on a device without another for metadata:
    /// [`Integrity::overlaps`].
    ///
    /// # Errors
    ///
    /// Fails if the device is too small.
    pub fn overlaps(&self) -> Result<bool> {
        if self.metadata_sectors.is_some() || self.mode == 'I' {
            return Ok(false);
        }
        let interleave = self.log2_interleave_sectors();
        let run = self.metadata_run()?;
        let buffer = self.log2_buffer_sectors().min(run.trailing_zeros() as u8);
        let (_, provided) = self.sizes()?;
        Ok(buffer > interleave && provided > 1 << interleave)
    }

    /// Returns whether a mapping of `provided` sectors fits. C: `calculate_device_limits()`.
    fn fits(&self, sections: u64, provided: u64) -> Result<bool> {
        let section = Section::new(self.tag_size, self.log2_sectors_per_block, self.has_mac);
        let initial = SUPERBLOCK_SECTORS + section.sectors * sections;
        if initial + 8 >= self.data_sectors || initial > u64::from(u32::MAX) {
            return Ok(false);
        }
        if self.mode == 'I' {
            return Ok(initial + provided <= self.data_sectors);
        }
        let interleave = self.log2_interleave_sectors();
        let run = self.metadata_run()?;
        let last = provided - 1;
        let below = self.start + initial + ((last >> interleave) + 1) * run + last;
        Ok(below < self.data_sectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(table: &str) -> Integrity {
        Integrity::new(&Table::parse(table).expect("a table"), None).expect("a layout")
    }

    /// The session of 2021: the sector 100000 of a loop device of 1 GiB is the sector 77480.
    #[test]
    fn the_sector_of_2021_is_found() {
        let format = Format {
            mode: 'J',
            start: 0,
            tag_size: 32,
            log2_sectors_per_block: 0,
            journal_sectors: None,
            interleave_sectors: None,
            buffer_sectors: None,
            fixed_padding: true,
            has_mac: false,
            data_sectors: 2_097_152,
            metadata_sectors: None,
        };
        let (sections, provided) = format.sizes().expect("large enough");
        assert_eq!((sections, provided), (186, 1_957_896));
        let layout = layout(&format!(
            "0 {provided} integrity 7:0 0 32 J 7 interleave_sectors:32768 buffer_sectors:128 \
             journal_sectors:16368 journal_watermark:50 commit_time:10000 fix_padding \
             internal_hash:sha256"
        ));
        let at = layout.data(77_480).expect("a sector");
        assert_eq!(at.byte, 100_000 * SECTOR);
        assert_eq!(layout.at(On::Data, at.byte + 511), Use::Data(77_480));
        assert_eq!(layout.at(On::Data, 100_001 * SECTOR), Use::Data(77_481));
    }

    /// The numbers of the scenario integrity-replay-journal: the first entries are at 4096, their
    /// data at 8192.
    #[test]
    fn the_journal_has_entries_and_data() {
        let layout = layout(
            "0 5904 integrity 7:0 0 32 J 6 interleave_sectors:32768 buffer_sectors:128 \
             journal_sectors:88 journal_watermark:50 fix_padding internal_hash:sha256",
        );
        assert_eq!(layout.journal_sections, 1);
        let section = Section {
            entry_size: 48,
            entries: 80,
            sectors: 88,
        };
        assert_eq!(layout.section, section);
        let byte = |at: Result<Byte>| at.expect("there").byte;
        assert_eq!(byte(layout.journal_entry(0, 0)), 4096);
        assert_eq!(byte(layout.journal_entry(0, 5)), 4096 + 5 * 512);
        assert_eq!(byte(layout.journal_entry(0, 8)), 4096 + 48);
        assert_eq!(byte(layout.journal_data(0, 5)), 8192 + 5 * 512);
        assert!(layout.journal_entry(1, 0).is_err());
        assert!(layout.journal_entry(0, 80).is_err());
        assert_eq!(layout.at(On::Data, 4096), Use::Journal);
        assert_eq!(layout.at(On::Data, 0), Use::Superblock);
        assert_eq!(
            Integrity::journal_entry_sector([7, 0, 0, 0, 0, 0, 0, 0]),
            Some(7)
        );
        assert_eq!(Integrity::journal_entry_sector([0xff; 8]), None);
    }

    #[test]
    fn an_encrypted_journal_has_no_entries() {
        let layout = layout(
            "0 5904 integrity 7:0 0 4 J 6 interleave_sectors:32768 buffer_sectors:128 \
             journal_sectors:176 journal_watermark:50 fix_padding internal_hash:crc32c \
             journal_crypt:ctr(aes):00",
        );
        assert!(layout.journal_entry(0, 0).is_err());
        assert!(layout.journal_data(0, 0).is_err());
    }

    #[test]
    fn a_layout_that_is_not_known_is_an_error() {
        let error = |table: &str, superblock: Option<&[u8]>| {
            let table = Table::parse(table).expect("a table");
            Integrity::new(&table, superblock)
                .expect_err("not known")
                .to_string()
        };
        let common = "interleave_sectors:32768 buffer_sectors:128";
        assert!(error("0 8 linear 7:0 0", None).contains("not integrity"));
        assert!(error(&format!("0 8 integrity 7:0 0 4 X 2 {common}"), None).contains("mode"));
        assert!(error(&format!("0 8 integrity 7:0 0 4 D 2 {common}"), None).contains("superblock"));
        assert!(error(&format!("0 8 integrity 7:0 0 4 J 3 {common} news"), None).contains("news"));
        let blocks =
            format!("0 8 integrity 7:0 0 4 J 3 {common} block_size:8192 journal_sectors:8");
        assert!(error(&blocks, None).contains("block_size"));
        let journal = format!("0 8 integrity 7:0 0 4 J 3 {common} journal_sectors:175");
        assert!(error(&journal, None).contains("sections"));
        assert!(
            error(
                &format!("0 8 integrity 7:0 0 4 D 2 {common}"),
                Some(&[0; 64])
            )
            .contains("no super")
        );
        let mut superblock = [0; 64];
        superblock[..8].copy_from_slice(b"integrt\0");
        superblock[8] = 9;
        assert!(
            error(
                &format!("0 8 integrity 7:0 0 4 D 2 {common}"),
                Some(&superblock)
            )
            .contains("version")
        );
        superblock[8] = 4;
        superblock[10] = 5;
        assert!(
            error(
                &format!("0 8 integrity 7:0 0 4 D 2 {common}"),
                Some(&superblock)
            )
            .contains("tag size")
        );
    }

    /// Runs of 16 sectors with buffers of 128: the tags of the second run begin at a multiple of
    /// 128 sectors, in the first run.
    #[test]
    fn tags_over_data_are_an_error() {
        let table = |buffer: u64, length: u64| {
            format!(
                "0 {length} integrity 7:0 0 4 J 4 interleave_sectors:16 buffer_sectors:{buffer} \
                 journal_sectors:176 internal_hash:crc32c"
            )
        };
        let new = |text: String| Integrity::new(&Table::parse(&text).expect("a table"), None);
        assert!(new(table(16, 800)).is_ok());
        assert!(new(table(128, 16)).is_ok());
        let error = new(table(128, 800)).expect_err("tags over data");
        assert!(error.to_string().contains("over data"));
    }

    #[test]
    fn the_bitmap_has_a_bit_for_a_range() {
        let mut superblock = [0; 64];
        superblock[..8].copy_from_slice(b"integrt\0");
        superblock[8] = 4;
        superblock[9] = 15;
        superblock[10] = 32;
        superblock[12] = 1;
        superblock[24] = 8;
        let table = "0 5904 integrity 7:0 0 32 B 6 interleave_sectors:32768 buffer_sectors:128 \
                     sectors_per_bit:64 bitmap_flush_interval:10000 fix_padding internal_hash:sha256";
        let table = Table::parse(table).expect("a table");
        let layout = Integrity::new(&table, Some(&superblock)).expect("a layout");
        assert_eq!(layout.initial_sectors, 8 + 88);
        let (at, bit) = layout.bitmap(64 * 13).expect("a bit");
        assert_eq!((at.byte, bit), (4096 + 1, 5));
        assert!(layout.journal_entry(0, 0).is_err());
        assert_eq!(layout.at(On::Data, 4096), Use::Journal);
    }

    /// In inline mode the tag is that of a block of the device below.
    #[test]
    fn an_inline_tag_is_the_metadata_of_the_device_below() {
        let table = "0 8192 integrity 253:9 0 32 I 3 block_size:4096 buffer_sectors:128 \
                     internal_hash:sha256";
        let layout = layout(table);
        let byte = 808 * SECTOR;
        assert_eq!(layout.data(803).expect("there").byte, 811 * SECTOR);
        let tag = Byte {
            on: On::Inline,
            byte,
        };
        assert_eq!(layout.tag(803), Ok(tag));
        assert_eq!(layout.at(On::Data, byte), Use::Data(800));
    }

    /// Each place is the place of one thing, for every combination of options.
    #[test]
    fn places_are_distinct_and_found_again() {
        let mut layouts = 0;
        for tag in [1, 4, 8, 13, 32, 64, 255] {
            for block in [512, 1024, 2048, 4096] {
                for interleave in [8, 32, 256, 32_768] {
                    for padding in ["fix_padding", "legacy_recalculate"] {
                        for metadata in ["fix_hmac", "meta_device:7:1"] {
                            let section =
                                Section::new(tag, (block as u64 / 512).ilog2() as u8, false);
                            let table = format!(
                                "0 1024 integrity 7:0 24 {tag} J 9 {metadata} block_size:{block} \
                                 interleave_sectors:{interleave} buffer_sectors:8 \
                                 journal_sectors:{} {padding} internal_hash:crc32c",
                                section.sectors * 2,
                            );
                            check(&layout(&table));
                            layouts += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(layouts, 448);
    }

    fn check(layout: &Integrity) {
        let mut bytes = Vec::new();
        for sector in 0..layout.length {
            let data = layout.data(sector).expect("there");
            assert_eq!(layout.at(data.on, data.byte), Use::Data(sector));
            assert_eq!(layout.at(data.on, data.byte + 511), Use::Data(sector));
            let tag = layout.tag(sector).expect("there");
            let block = sector / layout.block_sectors() * layout.block_sectors();
            for byte in [0, layout.tag_size - 1] {
                let at = layout.at(tag.on, tag.byte + byte);
                assert_eq!(at, Use::Tag(block), "sector {sector} of {layout:?}");
            }
            bytes.push((data.on == On::Metadata, data.byte, 512));
            if block == sector {
                bytes.push((tag.on == On::Metadata, tag.byte, layout.tag_size));
            }
        }
        bytes.sort_unstable();
        for pair in bytes.windows(2) {
            let [(on, at, size), (next_on, next, _)] = *pair else {
                continue;
            };
            assert!(on != next_on || at + size <= next, "{layout:?}");
        }
        assert_eq!(layout.data(layout.length), layout.tag(layout.length));
    }
}
