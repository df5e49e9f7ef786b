// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The options of a device of dm-verity, chosen at random within limits, and where all is below.

use super::super::geometry::{Covered, choose};
use crate::mapper::Number;
use dmns_audit_layout::table::Table;
use dmns_audit_layout::verity::Verity;
use fastrand::Rng;

/// The most bytes of data.
const DATA: u64 = 768 << 10;

/// A hash: its name, the bytes of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) name: &'static str,
    digest: usize,
}

/// The hashes that `veritysetup` and the kernel have.
const HASHES: [Hash; 6] = [
    Hash {
        name: "sha256",
        digest: 32,
    },
    Hash {
        name: "sha256",
        digest: 32,
    },
    Hash {
        name: "sha1",
        digest: 20,
    },
    Hash {
        name: "sha224",
        digest: 28,
    },
    Hash {
        name: "sha384",
        digest: 48,
    },
    Hash {
        name: "sha512",
        digest: 64,
    },
];

/// The parity of FEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fec {
    /// Parity bytes of a codeword.
    pub(super) roots: u64,
    /// Whether it has a device of its own. Else it is behind the hashes.
    pub(super) is_apart: bool,
    /// Blocks before it that are not used.
    gap: u64,
}

/// Returns the size of a device with so many bytes in use. None has no sectors.
fn size(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(8192)
}

/// The options of a device.
#[derive(Clone, Debug)]
pub(in super::super) struct Geometry {
    pub(super) version: u8,
    pub(super) hash: Hash,
    pub(super) data_block: u64,
    pub(super) hash_block: u64,
    pub(super) data_blocks: u64,
    /// Hexadecimal, or `-`.
    pub(super) salt: String,
    pub(super) has_superblock: bool,
    /// Whether the hashes are behind the data. Else they have a device of their own.
    pub(super) is_together: bool,
    /// Blocks before the hashes that are not used.
    gap: u64,
    pub(super) fec: Option<Fec>,
    pub(super) ignore_corruption: bool,
    pub(super) check_at_most_once: bool,
    pub(super) ignore_zero_blocks: bool,
    try_verify_in_tasklet: bool,
}

/// The devices of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct On {
    pub(super) data: Number,
    pub(super) hashes: Number,
    pub(super) parity: Number,
}

/// Where all is below, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Where the header begins, or the hashes if there is none, on their device.
    pub(super) hash_offset: u64,
    pub(super) fec_offset: u64,
    /// The bytes of each device.
    pub(super) data: u64,
    pub(super) hashes: u64,
    pub(super) parity: u64,
    fec_blocks: u64,
}

impl Geometry {
    /// Chooses one.
    pub(in super::super) fn random(rng: &mut Rng) -> Self {
        let fec = (rng.u8(..3) == 0).then(|| Fec {
            roots: *choose(rng, &[2, 2, 3, 4, 8, 16, 24]),
            is_apart: rng.bool(),
            gap: rng.u64(..3),
        });
        let data_block = match fec {
            Some(_) => *choose(rng, &[512, 512, 1024, 2048, 4096]),
            None => *choose(rng, &[512, 1024, 2048, 4096, 4096]),
        };
        let hash_block = match fec {
            // C: `verity_fec_ctr()`.
            Some(_) => data_block,
            None => *choose(rng, &[512, 1024, 2048, 4096, 4096, 8192]),
        };
        let most = (DATA / data_block).min(700);
        let data_blocks = match rng.u8(..12) {
            0 => rng.u64(1..=3),
            _ => rng.u64(4..=most),
        };
        let salt = match rng.u8(..4) {
            0 => "-".to_owned(),
            _ => {
                let length = *choose(rng, &[1, 8, 20, 32, 32, 64, 256]);
                let bytes = (0..length).map(|_| format!("{:02x}", rng.u8(..)));
                bytes.collect()
            }
        };
        let check_at_most_once = rng.u8(..4) == 0;
        Self {
            version: u8::from(rng.u8(..4) != 0),
            hash: *choose(rng, &HASHES),
            data_block,
            hash_block,
            data_blocks,
            salt,
            has_superblock: rng.bool(),
            is_together: rng.bool(),
            gap: rng.u64(..3),
            fec,
            ignore_corruption: rng.u8(..5) == 0,
            check_at_most_once,
            ignore_zero_blocks: rng.u8(..4) == 0,
            // A softirq that gives up has noted some blocks, so that others become pairs then. C:
            // `verity_bh_work()`.
            try_verify_in_tasklet: !check_at_most_once && rng.u8(..4) == 0,
        }
    }

    /// Returns how many sectors the mapping has.
    pub(super) fn length(&self) -> u64 {
        self.data_blocks * (self.data_block / 512)
    }

    /// Returns where all is. C: `VERITY_hash_offset_block()`, `VERITY_FEC_blocks()` of cryptsetup.
    pub(super) fn places(&self) -> Places {
        let unit = self.data_block.max(self.hash_block);
        let data_end = (self.data_blocks * self.data_block).next_multiple_of(unit);
        let before = if self.is_together { data_end } else { 0 };
        let hash_offset = before + self.gap * unit;
        let mut places = Places {
            hash_offset,
            fec_offset: 0,
            data: size(data_end),
            hashes: 0,
            parity: 0,
            fec_blocks: 0,
        };
        let hash_start = self.hash_start(&places);
        let mut end = (hash_start + self.hash_blocks()) * self.hash_block;
        let fec = self.fec.map(|fec| {
            let gap = fec.gap * unit;
            let blocks = |end: u64| end / unit - hash_start + self.data_blocks;
            let of_parity = |blocks: u64| blocks.div_ceil(255 - fec.roots) * fec.roots * unit;
            if fec.is_apart {
                // It protects what is behind the hashes on their device, up to its end.
                let blocks = blocks(size(end));
                places.parity = size(gap + of_parity(blocks));
                (gap, blocks)
            } else {
                let offset = end + gap;
                let blocks = blocks(offset);
                end = offset + of_parity(blocks);
                (offset, blocks)
            }
        });
        (places.fec_offset, places.fec_blocks) = fec.unwrap_or_default();
        match self.is_together {
            true => places.data = size(end),
            false => places.hashes = size(end),
        }
        places
    }

    /// Returns the first block of the hashes.
    fn hash_start(&self, places: &Places) -> u64 {
        match self.has_superblock {
            true => (places.hash_offset + 512).div_ceil(self.hash_block),
            false => places.hash_offset / self.hash_block,
        }
    }

    /// Returns how many blocks the hashes have. C: `verity_ctr()`.
    fn hash_blocks(&self) -> u64 {
        let per_block = 1 << (self.hash_block / self.hash.digest as u64).ilog2();
        let (mut blocks, mut all) = (self.data_blocks, 0);
        while blocks > 1 {
            blocks = blocks.div_ceil(per_block);
            all += blocks;
        }
        all
    }

    /// Returns the table, with this hash of the root of the tree.
    pub(super) fn table(&self, on: On, root: &str) -> Table {
        let places = self.places();
        let mut options = Vec::new();
        let flags = [
            (self.ignore_corruption, "ignore_corruption"),
            (self.check_at_most_once, "check_at_most_once"),
            (self.ignore_zero_blocks, "ignore_zero_blocks"),
            (self.try_verify_in_tasklet, "try_verify_in_tasklet"),
        ];
        for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
            options.push((*name).to_owned());
        }
        if let Some(fec) = &self.fec {
            let pairs = [
                ("use_fec_from_device", on.parity.to_string()),
                ("fec_blocks", places.fec_blocks.to_string()),
                (
                    "fec_start",
                    (places.fec_offset / self.data_block).to_string(),
                ),
                ("fec_roots", fec.roots.to_string()),
            ];
            for (name, value) in pairs {
                options.extend([name.to_owned(), value]);
            }
        }
        let mut arguments = vec![
            self.version.to_string(),
            on.data.to_string(),
            on.hashes.to_string(),
            self.data_block.to_string(),
            self.hash_block.to_string(),
            self.data_blocks.to_string(),
            self.hash_start(&places).to_string(),
            self.hash.name.to_owned(),
            root.to_owned(),
            self.salt.clone(),
            options.len().to_string(),
        ];
        arguments.extend(options);
        Table {
            start: 0,
            length: self.length(),
            target: "verity".to_owned(),
            arguments,
        }
    }

    /// Returns the devices of its table, of mappings for data, metadata and parity.
    pub(super) fn on(&self, [data, metadata, parity]: [Number; 3]) -> On {
        let hashes = if self.is_together { data } else { metadata };
        let is_apart = self.fec.is_some_and(|fec| fec.is_apart);
        On {
            data,
            hashes,
            parity: if is_apart { parity } else { hashes },
        }
    }

    /// Returns its table, without the hash of the root.
    pub(in super::super) fn shown(&self, mappings: [Number; 3]) -> Table {
        self.table(self.on(mappings), "-")
    }

    /// Returns the layout of its table.
    pub(super) fn layout(&self, on: On) -> dmns_audit_layout::Result<Verity> {
        Verity::new(&self.table(on, &"0".repeat(self.hash.digest * 2)))
    }

    /// Returns the arguments of `veritysetup format`, but for the devices.
    pub(super) fn format(&self) -> Vec<String> {
        let places = self.places();
        let mut arguments = vec![
            format!("--format={}", self.version),
            format!("--hash={}", self.hash.name),
            format!("--data-block-size={}", self.data_block),
            format!("--hash-block-size={}", self.hash_block),
            format!("--data-blocks={}", self.data_blocks),
            format!("--hash-offset={}", places.hash_offset),
            format!("--salt={}", self.salt),
        ];
        if !self.has_superblock {
            arguments.push("--no-superblock".to_owned());
        }
        if let Some(fec) = &self.fec {
            arguments.push(format!("--fec-offset={}", places.fec_offset));
            arguments.push(format!("--fec-roots={}", fec.roots));
        }
        arguments
    }

    /// Notes the options for the table of what was covered.
    pub(in super::super) fn cover(&self, covered: &mut Covered) {
        covered.note("verity", format!("version {}", self.version));
        covered.note("verity hash", self.hash.name);
        covered.note("verity data", self.data_block.to_string());
        covered.note("verity tree", self.hash_block.to_string());
        if let Some(fec) = &self.fec {
            covered.note("verity roots", fec.roots.to_string());
        }
        let flags = [
            (self.salt == "-", "no salt"),
            (self.has_superblock, "superblock"),
            (self.is_together, "one device"),
            (self.fec.is_some_and(|fec| fec.is_apart), "FEC apart"),
            (self.ignore_corruption, "ignore_corruption"),
            (self.check_at_most_once, "check_at_most_once"),
            (self.ignore_zero_blocks, "ignore_zero_blocks"),
            (self.try_verify_in_tasklet, "try_verify_in_tasklet"),
        ];
        for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
            covered.note("verity option", *name);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ON: On = On {
        data: Number {
            major: 253,
            minor: 0,
        },
        hashes: Number {
            major: 253,
            minor: 1,
        },
        parity: Number {
            major: 253,
            minor: 2,
        },
    };

    #[test]
    fn all_parts_have_room_and_do_not_overlap() {
        let mut rng = Rng::with_seed(37);
        for _ in 0..20_000 {
            let geometry = Geometry::random(&mut rng);
            let places = geometry.places();
            let layout = geometry.layout(ON).expect("a layout");
            let blocks = layout.hash_end - layout.hash_start;
            assert_eq!(blocks, geometry.hash_blocks(), "{geometry:?}");
            let hashes = layout.hash_start * geometry.hash_block;
            assert!(hashes >= places.hash_offset + 512 * u64::from(geometry.has_superblock));
            let (mut end, size) = match geometry.is_together {
                true => (geometry.data_blocks * geometry.data_block, places.data),
                false => (0, places.hashes),
            };
            assert!(places.hash_offset >= end, "{geometry:?}");
            end = layout.hash_end * geometry.hash_block;
            if let Some(fec) = &layout.fec {
                let begin = fec.start * geometry.data_block;
                let after = begin + fec.region_blocks * fec.roots * geometry.data_block;
                assert!(fec.blocks >= geometry.data_blocks + blocks, "{geometry:?}");
                match geometry.fec.is_some_and(|fec| fec.is_apart) {
                    true => {
                        assert!(after <= places.parity, "{geometry:?}");
                        let protected = layout.hash_start + fec.blocks - geometry.data_blocks;
                        assert_eq!(protected * geometry.hash_block, size, "{geometry:?}");
                    }
                    false => {
                        assert!(begin >= end, "{geometry:?}");
                        end = after;
                    }
                }
            }
            assert!(end <= size, "{geometry:?} {places:?}");
        }
    }
}
