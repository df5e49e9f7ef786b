// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The format of dm-verity: data, the tree of its hashes, and the parity of FEC.
//!
//! Source: drivers/md/dm-verity-target.c and drivers/md/dm-verity-fec.c. The header that
//! `veritysetup` writes before the tree is not the kernel's: the table has all.

use crate::table::Table;
use crate::{Result, Unknown};

/// The number of bytes of a codeword of FEC. C: `DM_VERITY_FEC_RS_N`.
const FEC_N: u64 = 255;

/// The device that has a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The device with the data.
    Data,
    /// The device with the hashes.
    Hash,
    /// The device with the parity.
    Fec,
}

/// A byte below a mapping.
pub type Byte = crate::Byte<On>;

/// What a byte below a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Data of this sector of the mapping.
    Data(u64),
    /// A block of the tree, of this level. Level 0 has the hashes of data.
    Hash(usize),
    /// Parity.
    Fec,
    /// The mapping does not use it.
    Outside,
}

/// The parity of FEC. C: `struct dm_verity_fec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fec {
    /// Parity bytes of a codeword.
    pub roots: u64,
    /// The first block with parity.
    pub start: u64,
    /// Blocks that are protected: data, hashes, and what follows these.
    pub blocks: u64,
    /// Blocks of each region: a codeword has a byte of each.
    pub region_blocks: u64,
}

/// The layout of a mapping of dm-verity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verity {
    /// Bytes of a block of data.
    pub data_block: u64,
    /// Bytes of a block of hashes.
    pub hash_block: u64,
    /// Blocks of data.
    pub data_blocks: u64,
    /// The first block of the tree.
    pub hash_start: u64,
    /// Bytes of a hash.
    pub digest_size: u64,
    /// The version of the format: 0 packs hashes, 1 spreads them over the block.
    pub version: u64,
    /// The logarithm of the hashes of a block.
    pub hash_per_block_bits: u32,
    /// The first block of each level.
    pub levels: Vec<u64>,
    /// The block after the tree.
    pub hash_end: u64,
    /// The parity.
    pub fec: Option<Fec>,
}

impl Verity {
    /// Returns the layout of a mapping, by its table. C: `verity_ctr()`, `verity_fec_ctr()`.
    ///
    /// # Errors
    ///
    /// Fails if the table is not one that this module knows.
    pub fn new(table: &Table) -> Result<Self> {
        if table.target != "verity" {
            return Err(Unknown::new(format!("{}: not verity", table.target)));
        }
        let unknown = |text: String| Unknown::new(format!("verity: {text}"));
        let version = table.number(0)?;
        if version > 1 {
            return Err(unknown(format!("the version {version} is not known")));
        }
        let (data_block, hash_block) = (table.number(3)?, table.number(4)?);
        for block in [data_block, hash_block] {
            if !block.is_power_of_two() || block < 512 {
                return Err(unknown(format!("{block} is no size of a block")));
            }
        }
        let (data_blocks, hash_start) = (table.number(5)?, table.number(6)?);
        let digest_size = table.argument(8).len() as u64 / 2;
        if digest_size == 0 || digest_size * 2 > hash_block {
            return Err(unknown(format!("a hash has {digest_size} bytes")));
        }
        let hash_per_block_bits = (hash_block / digest_size).ilog2();
        let mut count = 0;
        while hash_per_block_bits * count < 64
            && data_blocks.saturating_sub(1) >> (hash_per_block_bits * count) > 0
        {
            count += 1;
        }
        let mut levels = vec![0; count as usize];
        let mut position = hash_start;
        for level in (0..count).rev() {
            levels[level as usize] = position;
            let bits = (level + 1) * hash_per_block_bits;
            position += match bits < 64 {
                true => data_blocks.div_ceil(1 << bits),
                false => 1,
            };
        }
        Ok(Self {
            data_block,
            hash_block,
            data_blocks,
            hash_start,
            digest_size,
            version,
            hash_per_block_bits,
            levels,
            hash_end: position,
            fec: fec(table, data_block == hash_block)?,
        })
    }

    /// Returns the block of data that has a sector.
    ///
    /// # Errors
    ///
    /// Fails if the mapping has no such sector.
    pub fn block(&self, sector: u64) -> Result<u64> {
        let block = sector / (self.data_block / 512);
        match block < self.data_blocks {
            true => Ok(block),
            false => Err(Unknown::new(format!(
                "verity: there are {} blocks of data, sector {sector} is in none",
                self.data_blocks
            ))),
        }
    }

    /// Returns the first byte of a sector's data. C: `verity_map()`.
    ///
    /// # Errors
    ///
    /// Fails if the mapping has no such sector.
    pub fn data(&self, sector: u64) -> Result<Byte> {
        self.block(sector)?;
        Ok(Byte {
            on: On::Data,
            byte: sector * 512,
        })
    }

    /// Returns the first byte of the hash of a level for a sector's block. C: `verity_hash_at_level()`.
    ///
    /// # Errors
    ///
    /// Fails if the mapping has no such sector, or the tree no such level.
    pub fn hash(&self, sector: u64, level: usize) -> Result<Byte> {
        let block = self.block(sector)?;
        let Some(first) = self.levels.get(level) else {
            return Err(Unknown::new(format!(
                "verity: the tree has {} levels, no level {level}",
                self.levels.len()
            )));
        };
        let position = block >> (level as u32 * self.hash_per_block_bits);
        let index = position & ((1 << self.hash_per_block_bits) - 1);
        let offset = match self.version {
            0 => index * self.digest_size,
            _ => index * (self.hash_block >> self.hash_per_block_bits),
        };
        let at = first + (position >> self.hash_per_block_bits);
        Ok(Byte {
            on: On::Hash,
            byte: at * self.hash_block + offset,
        })
    }

    /// Returns the first byte of parity that protects a byte of a sector's block. C:
    /// `fec_decode()`, `fec_decode_bufs()`.
    ///
    /// # Errors
    ///
    /// Fails if the mapping has no such sector, or no parity.
    pub fn fec(&self, sector: u64, byte: u64) -> Result<Byte> {
        let block = self.block(sector)?;
        let Some(fec) = &self.fec else {
            return Err(Unknown::new("verity: the mapping has no FEC"));
        };
        let of_region = block % fec.region_blocks;
        let of_block = sector * 512 % self.data_block + byte;
        let parity = (of_region * self.data_block + of_block) * fec.roots;
        Ok(Byte {
            on: On::Fec,
            byte: fec.start * self.data_block + parity,
        })
    }

    /// Returns what a byte of a device below is.
    pub fn at(&self, on: On, byte: u64) -> Use {
        match on {
            On::Data if byte / self.data_block < self.data_blocks => Use::Data(byte / 512),
            On::Hash => {
                let block = byte / self.hash_block;
                let inside = |first: &u64| (*first..self.hash_end).contains(&block);
                // The levels are in reverse order: the highest is first.
                match self.levels.iter().position(inside) {
                    Some(level) => Use::Hash(level),
                    None => Use::Outside,
                }
            }
            On::Fec => match &self.fec {
                Some(fec)
                    if (fec.start * self.data_block
                        ..(fec.start + fec.region_blocks * fec.roots) * self.data_block)
                        .contains(&byte) =>
                {
                    Use::Fec
                }
                _ => Use::Outside,
            },
            On::Data => Use::Outside,
        }
    }
}

/// Reads the options of FEC. C: `verity_fec_ctr()`.
fn fec(table: &Table, blocks_match: bool) -> Result<Option<Fec>> {
    let value = |name: &str| -> Result<Option<u64>> {
        let mut pairs = table
            .arguments
            .iter()
            .skip(10)
            .zip(table.arguments.iter().skip(11));
        match pairs.find(|(option, _)| *option == name) {
            None => Ok(None),
            Some((_, value)) => value
                .parse()
                .map(Some)
                .map_err(|_| Unknown::new(format!("verity: {name} is not a number"))),
        }
    };
    if !table.has("use_fec_from_device") {
        return Ok(None);
    }
    match (
        value("fec_roots")?,
        value("fec_blocks")?,
        value("fec_start")?,
    ) {
        (Some(roots @ 2..=24), Some(blocks), Some(start)) if blocks_match => Ok(Some(Fec {
            roots,
            start,
            blocks,
            region_blocks: blocks.div_ceil(FEC_N - roots),
        })),
        _ => Err(Unknown::new("verity: the options of FEC are not complete")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn layout(table: &str) -> Verity {
        Verity::new(&Table::parse(table).expect("a table")).expect("a layout")
    }

    /// The numbers of the scenario verity-metadata: 1024 blocks have a root at block 1, and leaves
    /// for 128 blocks each from block 2 on.
    #[test]
    fn the_hashes_of_a_block_are_found() {
        let layout = layout(&format!(
            "0 8192 verity 1 7:0 7:1 4096 4096 1024 1 sha256 {DIGEST} aa"
        ));
        assert_eq!(layout.levels, [2, 1]);
        assert_eq!(layout.hash_end, 10);
        let hash = |block: u64, level| layout.hash(block * 8, level).expect("there").byte;
        assert_eq!(hash(128, 0), 3 * 4096);
        assert_eq!(hash(129, 0), 3 * 4096 + 32);
        assert_eq!(hash(128, 1), 4096 + 32);
        assert_eq!(hash(1023, 1), 4096 + 7 * 32);
        assert!(layout.hash(0, 2).is_err());
        assert!(layout.hash(8192, 0).is_err());
        assert!(layout.fec(0, 0).is_err());
        assert_eq!(layout.at(On::Hash, 4096), Use::Hash(1));
        assert_eq!(layout.at(On::Hash, 3 * 4096), Use::Hash(0));
        assert_eq!(layout.at(On::Hash, 10 * 4096), Use::Outside);
        assert_eq!(layout.at(On::Hash, 0), Use::Outside);
        assert_eq!(layout.at(On::Data, 100 * 512), Use::Data(100));
    }

    /// Version 1 gives each hash a power of two of bytes, version 0 packs them.
    #[test]
    fn hashes_of_20_bytes_are_spread_or_packed() {
        let of = |version: u64| {
            let table = format!(
                "0 8192 verity {version} 7:0 7:1 512 1024 8192 0 sha1 {} -",
                &DIGEST[..40]
            );
            layout(&table)
        };
        // 51 hashes would fit: 32 are used.
        assert_eq!(of(1).hash_per_block_bits, 5);
        assert_eq!(of(1).hash(1, 0).map(|at| at.byte % 1024), Ok(32));
        assert_eq!(of(0).hash(1, 0).map(|at| at.byte % 1024), Ok(20));
        assert_eq!(of(1).levels, [9, 1, 0]);
    }

    #[test]
    fn the_parity_of_a_block_is_found() {
        let layout = layout(&format!(
            "0 8192 verity 1 7:0 7:1 4096 4096 1024 1 sha256 {DIGEST} aa 8 \
             use_fec_from_device 7:2 fec_blocks 1033 fec_start 3 fec_roots 2"
        ));
        let fec = layout.fec.expect("FEC");
        // 253 bytes of a codeword are a message: 1033 blocks in 5 blocks of each region.
        assert_eq!(fec.region_blocks, 5);
        let parity = |block: u64, byte| layout.fec(block * 8, byte).expect("there").byte;
        assert_eq!(parity(0, 0), 3 * 4096);
        assert_eq!(parity(5, 0), 3 * 4096);
        assert_eq!(parity(6, 1), 3 * 4096 + 4097 * 2);
        assert_eq!(layout.at(On::Fec, 3 * 4096), Use::Fec);
        assert_eq!(layout.at(On::Fec, 13 * 4096), Use::Outside);
        let broken = format!(
            "0 8192 verity 1 7:0 7:1 4096 4096 1024 1 sha256 {DIGEST} aa 4 \
             use_fec_from_device 7:2 fec_blocks 1033"
        );
        assert!(Verity::new(&Table::parse(&broken).expect("a table")).is_err());
    }
}
