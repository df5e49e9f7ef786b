// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The options of a device of dm-integrity, or of dm-crypt above one, chosen at random within limits.

use crate::mapper::Number;
use anyhow::Result;
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::integrity::Format;
use dmns_audit_layout::table::Table;
use fastrand::Rng;
use std::collections::BTreeMap;

/// A key, where an algorithm has one.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A hash: its name, whether it has a key, the bytes of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) name: &'static str,
    pub(super) has_key: bool,
    pub(super) digest: u64,
}

/// The hashes. C: they are what `integritysetup` offers.
pub(super) const HASHES: [Hash; 5] = [
    Hash {
        name: "crc32c",
        has_key: false,
        digest: 4,
    },
    Hash {
        name: "sha1",
        has_key: false,
        digest: 20,
    },
    Hash {
        name: "sha256",
        has_key: false,
        digest: 32,
    },
    Hash {
        name: "hmac(sha256)",
        has_key: true,
        digest: 32,
    },
    Hash {
        name: "sha512",
        has_key: false,
        digest: 64,
    },
];

/// A cipher with authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cipher {
    /// What the crypto API calls it.
    spec: &'static str,
    /// How its IV is made.
    iv: &'static str,
    /// The bytes of its keys.
    key: usize,
    /// The bytes of each tag that it uses: those of the authentication, and a random IV.
    pub(super) used: u64,
}

/// The ciphers. C: `crypt_ctr_cipher_new()`; they are what `cryptsetup --integrity` offers.
pub(super) const CIPHERS: [Cipher; 5] = [
    Cipher {
        spec: "authenc(hmac(sha256),xts(aes))",
        iv: "random",
        key: 64 + 32,
        used: 32 + 16,
    },
    Cipher {
        spec: "authenc(hmac(sha256),xts(aes))",
        iv: "plain64",
        key: 32 + 32,
        used: 32,
    },
    Cipher {
        spec: "authenc(hmac(sha1),cbc(aes))",
        iv: "plain64",
        key: 32 + 20,
        used: 20,
    },
    Cipher {
        spec: "authenc(hmac(sha512),xts(aes))",
        iv: "random",
        key: 64 + 64,
        used: 64 + 16,
    },
    Cipher {
        spec: "gcm(aes)",
        iv: "random",
        key: 32,
        used: 16 + 12,
    },
];

/// What dm-crypt adds to a mapping below that keeps tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crypt {
    pub(super) cipher: Cipher,
    /// Sectors that are added to the number of a sector, for the IV.
    iv_offset: u64,
    /// The first sector on the mapping below.
    start: u64,
    iv_large_sectors: bool,
    same_cpu_crypt: bool,
}

/// The options of a device.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    /// What encrypts. It is above a mapping that keeps tags, as inline mode is.
    pub(super) crypt: Option<Crypt>,
    /// `J`, `B`, `D` or `I`.
    pub(super) mode: char,
    pub(super) hash: Hash,
    pub(super) tag_size: u64,
    pub(super) log2_sectors_per_block: u8,
    pub(super) interleave_sectors: Option<u64>,
    pub(super) buffer_sectors: Option<u64>,
    pub(super) journal_sectors: Option<u64>,
    pub(super) sectors_per_bit: Option<u64>,
    pub(super) fix_padding: bool,
    pub(super) fix_hmac: bool,
    pub(super) legacy_recalculate: bool,
    pub(super) journal_mac: bool,
    pub(super) journal_crypt: bool,
    pub(super) allow_discards: bool,
    pub(super) has_metadata_device: bool,
    /// The first sector on the device below.
    pub(super) start: u64,
    /// Sectors of the device below.
    pub(super) data_sectors: u64,
    pub(super) metadata_sectors: u64,
}

/// The most that the devices below have.
pub(super) const DATA_SECTORS: u64 = 192 << 11;
/// The same of that for metadata.
pub(super) const METADATA_SECTORS: u64 = 32 << 11;

impl Geometry {
    /// Chooses one with a cipher.
    pub(super) fn encrypted(rng: &mut Rng) -> Self {
        let cipher = *choose(rng, &CIPHERS);
        let log2_sectors_per_block = rng.u8(..4);
        let crypt = Crypt {
            cipher,
            iv_offset: *choose(rng, &[0, 0, 8, 1 << 20]),
            start: *choose(rng, &[0, 0, 8, 64]),
            iv_large_sectors: log2_sectors_per_block > 0 && rng.bool(),
            same_cpu_crypt: rng.bool(),
        };
        Self {
            crypt: Some(crypt),
            mode: 'I',
            tag_size: cipher.used + *choose(rng, &[0, 0, 4, 13]),
            log2_sectors_per_block,
            data_sectors: rng.u64(1024..6000) / 8 * 8,
            metadata_sectors: METADATA_SECTORS,
            hash: HASHES[2],
            interleave_sectors: None,
            buffer_sectors: None,
            journal_sectors: None,
            sectors_per_bit: None,
            fix_padding: true,
            fix_hmac: false,
            legacy_recalculate: false,
            journal_mac: false,
            journal_crypt: false,
            allow_discards: false,
            has_metadata_device: false,
            start: 0,
        }
    }

    /// Returns how many sectors a mapping has.
    pub(super) fn provided(&self) -> Result<u64> {
        match self.crypt {
            Some(crypt) => Ok(self.data_sectors - crypt.start),
            None => Ok(self.format().sizes()?.1),
        }
    }

    /// Returns how many bytes of a tag a read looks at.
    pub(super) fn compared_bytes(&self) -> u64 {
        match (self.crypt, self.mode) {
            // The rest is zeros. C: `crypt_convert_block_aead()`.
            (Some(crypt), _) => crypt.cipher.used,
            // Inline mode compares no more than the hash has. C: `dm_integrity_check()`.
            (None, 'I') => self.hash.digest,
            (None, _) => self.tag_size,
        }
    }

    /// Chooses one. `large` allows devices of tens of MiB, of which little is written.
    pub(super) fn random(rng: &mut Rng, large: bool) -> Self {
        loop {
            let geometry = Self::any(rng, large);
            let overlaps = geometry.format().overlaps();
            if overlaps == Ok(false) {
                return geometry;
            }
        }
    }

    fn any(rng: &mut Rng, large: bool) -> Self {
        let mode = *choose(rng, &['J', 'J', 'B', 'D', 'I']);
        let inline = mode == 'I';
        let hash = *choose(rng, &HASHES);
        let tag_size = match rng.u8(..4) {
            // Shorter than the hash, but long enough that no other data has the same.
            0 if hash.digest > 8 => rng.u64(8..hash.digest),
            1 => rng.u64(hash.digest..=hash.digest + 24),
            _ => hash.digest,
        };
        let has_metadata_device = !inline && rng.u8(..4) == 0;
        let data_sectors = match rng.u8(..6) {
            0 if large => rng.u64(70_000..120_000),
            _ => rng.u64(1024..6000),
        };
        let some = |rng: &mut Rng, choices: &[u64]| match rng.bool() {
            true => Some(*choose(rng, choices)),
            false => None,
        };
        Self {
            crypt: None,
            mode,
            hash,
            tag_size,
            log2_sectors_per_block: rng.u8(..4),
            interleave_sectors: some(rng, &[8, 16, 64, 128, 256, 1000, 4096, 32_768]),
            buffer_sectors: some(rng, &[1, 8, 16, 128, 512]),
            journal_sectors: some(rng, &[1, 64, 200, 600]),
            sectors_per_bit: match mode == 'B' {
                true => some(rng, &[1, 8, 64, 1024]),
                false => None,
            },
            fix_padding: rng.u8(..4) != 0,
            fix_hmac: rng.bool(),
            legacy_recalculate: rng.u8(..4) == 0,
            journal_mac: !inline && rng.u8(..4) == 0,
            journal_crypt: !inline && rng.u8(..4) == 0,
            allow_discards: !inline && rng.bool(),
            has_metadata_device,
            // With a device for metadata, and in inline mode, the kernel does not count it where it
            // computes sizes: it refuses a mapping of the size that it has put into the superblock.
            // C: `calculate_device_limits()`.
            start: match has_metadata_device || inline {
                true => 0,
                false => *choose(rng, &[0, 0, 8, 56]),
            },
            data_sectors: data_sectors / 8 * 8,
            metadata_sectors: METADATA_SECTORS,
        }
    }

    /// Returns what the kernel formats a device by.
    pub(super) fn format(&self) -> Format {
        Format {
            mode: self.mode,
            start: self.start,
            tag_size: self.tag_size,
            log2_sectors_per_block: self.log2_sectors_per_block,
            journal_sectors: self.journal_sectors,
            interleave_sectors: self.interleave_sectors,
            buffer_sectors: self.buffer_sectors,
            fixed_padding: self.fix_padding,
            has_mac: self.journal_mac,
            data_sectors: self.data_sectors,
            metadata_sectors: self.has_metadata_device.then_some(self.metadata_sectors),
        }
    }

    /// Returns the table of a mapping of `length` sectors.
    pub(super) fn table(&self, length: u64, data: Number, metadata: Number) -> Table {
        if let Some(crypt) = &self.crypt {
            return self.table_of_cipher(crypt, length, data);
        }
        let mut options = Vec::new();
        let mut number = |name: &str, value: Option<u64>| {
            options.extend(value.map(|value| format!("{name}:{value}")));
        };
        number("interleave_sectors", self.interleave_sectors);
        number("buffer_sectors", self.buffer_sectors);
        number("journal_sectors", self.journal_sectors);
        number("sectors_per_bit", self.sectors_per_bit);
        if self.log2_sectors_per_block > 0 {
            options.push(format!("block_size:{}", 512 << self.log2_sectors_per_block));
        }
        if self.has_metadata_device {
            options.push(format!("meta_device:{metadata}"));
        }
        let flags = [
            (self.fix_padding, "fix_padding"),
            (self.fix_hmac, "fix_hmac"),
            (self.legacy_recalculate, "legacy_recalculate"),
            (self.allow_discards, "allow_discards"),
        ];
        options.extend(
            flags
                .iter()
                .filter(|(is_set, _)| *is_set)
                .map(|(_, name)| (*name).to_owned()),
        );
        options.push(match self.hash.has_key {
            true => format!("internal_hash:{}:{KEY}", self.hash.name),
            false => format!("internal_hash:{}", self.hash.name),
        });
        if self.journal_mac {
            options.push(format!("journal_mac:hmac(sha256):{KEY}"));
        }
        if self.journal_crypt {
            options.push(format!("journal_crypt:ctr(aes):{KEY}"));
        }
        let mut arguments = vec![
            data.to_string(),
            self.start.to_string(),
            self.tag_size.to_string(),
            self.mode.to_string(),
            options.len().to_string(),
        ];
        arguments.extend(options);
        Table {
            start: 0,
            length,
            target: "integrity".to_owned(),
            arguments,
        }
    }

    fn table_of_cipher(&self, crypt: &Crypt, length: u64, tags: Number) -> Table {
        let cipher = crypt.cipher;
        let mut options = vec![format!("integrity:{}:aead", cipher.used)];
        if self.log2_sectors_per_block > 0 {
            options.push(format!(
                "sector_size:{}",
                512 << self.log2_sectors_per_block
            ));
        }
        if crypt.iv_large_sectors {
            options.push("iv_large_sectors".to_owned());
        }
        if crypt.same_cpu_crypt {
            options.push("same_cpu_crypt".to_owned());
        }
        // The halves of a key of XTS differ. C: `xts_verify_key()`.
        let mut key = String::new();
        for byte in 0..cipher.key {
            key.push_str(&format!("{byte:02x}"));
        }
        let arguments = [
            format!("capi:{}-{}", cipher.spec, cipher.iv),
            key,
            crypt.iv_offset.to_string(),
            tags.to_string(),
            crypt.start.to_string(),
            options.len().to_string(),
        ];
        Table {
            start: 0,
            length,
            target: "crypt".to_owned(),
            arguments: arguments.into_iter().chain(options).collect(),
        }
    }

    /// Returns the sectors that the mapping below needs in addition to its data: a superblock, a journal, and
    /// the tags of its runs. A run has room for 32,768 sectors, also if there are fewer. C:
    /// `calculate_device_limits()`.
    pub(super) fn sectors_of_tags(&self) -> u64 {
        let runs = self.data_sectors.div_ceil(1 << 15);
        runs * (self.tag_size << 15 >> self.log2_sectors_per_block) / SECTOR + 2048
    }

    /// Returns the mapping that keeps the tags, below one in inline mode or dm-crypt.
    pub(super) fn table_of_tags(&self, data: Number) -> Table {
        let mut options = vec!["fix_padding".to_owned()];
        if self.log2_sectors_per_block > 0 {
            options.push(format!("block_size:{}", 512 << self.log2_sectors_per_block));
        }
        let fixed = [data.to_string(), "0".to_owned(), self.tag_size.to_string()];
        let arguments = fixed
            .into_iter()
            .chain(["D".to_owned(), options.len().to_string()]);
        Table {
            start: 0,
            length: self.data_sectors,
            target: "integrity".to_owned(),
            arguments: arguments.chain(options).collect(),
        }
    }

    /// Notes the options for the table of what was covered.
    pub(super) fn cover(&self, covered: &mut Covered) {
        let option = |value: Option<u64>| value.map_or("default".to_owned(), |v| v.to_string());
        covered.note("block", (512 << self.log2_sectors_per_block).to_string());
        if let Some(crypt) = &self.crypt {
            let cipher = crypt.cipher;
            covered.note("cipher", format!("{}-{}", cipher.spec, cipher.iv));
            let flags = [
                (self.tag_size > cipher.used, "longer tag"),
                (crypt.iv_offset > 0, "iv_offset"),
                (crypt.start > 0, "start below"),
                (crypt.iv_large_sectors, "iv_large_sectors"),
                (crypt.same_cpu_crypt, "same_cpu_crypt"),
            ];
            for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
                covered.note("option", *name);
            }
            return;
        }
        covered.note("mode", self.mode.to_string());
        covered.note("hash", self.hash.name);
        let tag = match self.tag_size.cmp(&self.hash.digest) {
            std::cmp::Ordering::Less => "short",
            std::cmp::Ordering::Equal => "whole",
            std::cmp::Ordering::Greater => "padded",
        };
        covered.note("tag", tag);
        covered.note("interleave", option(self.interleave_sectors));
        covered.note("buffer", option(self.buffer_sectors));
        covered.note("journal", option(self.journal_sectors));
        let flags = [
            (self.fix_padding, "fix_padding"),
            (self.fix_hmac, "fix_hmac"),
            (self.legacy_recalculate, "legacy_recalculate"),
            (self.journal_mac, "journal_mac"),
            (self.journal_crypt, "journal_crypt"),
            (self.allow_discards, "allow_discards"),
            (self.has_metadata_device, "meta_device"),
            (self.start > 0, "start"),
        ];
        for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
            covered.note("option", *name);
        }
    }
}

/// How often each value of each option was covered.
#[derive(Debug, Default)]
pub(super) struct Covered(BTreeMap<(&'static str, String), u64>);

impl Covered {
    /// Notes something else.
    pub(super) fn note(&mut self, what: &'static str, value: impl Into<String>) {
        *self.0.entry((what, value.into())).or_default() += 1;
    }

    /// Prints a line for each option.
    pub(super) fn print(&self) {
        let mut line = String::new();
        let mut last = "";
        for ((what, value), count) in &self.0 {
            if *what != last {
                if !line.is_empty() {
                    println!("{line}");
                }
                line = format!("{what:<12}");
                last = what;
            }
            line += &format!(" {value} {count}");
        }
        println!("{line}");
    }
}

pub(super) fn choose<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(..choices.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_layout::integrity::{Integrity, Section};

    const DATA: Number = Number {
        major: 253,
        minor: 0,
    };
    const METADATA: Number = Number {
        major: 253,
        minor: 1,
    };

    /// The kernel prints more options than it takes: these are added to each table here.
    #[test]
    fn each_geometry_has_a_layout() {
        let mut rng = Rng::with_seed(37);
        for _ in 0..2000 {
            let geometry = Geometry::random(&mut rng, true);
            let format = geometry.format();
            let (sections, provided) = format.sizes().expect("large enough");
            let mut table = geometry.table(provided, DATA, METADATA);
            let section = Section::new(
                geometry.tag_size,
                geometry.log2_sectors_per_block,
                geometry.journal_mac,
            );
            let is = |argument: &String| {
                ["interleave_sectors:", "buffer_sectors:", "journal_sectors:"]
                    .iter()
                    .any(|name| argument.starts_with(name))
            };
            table.arguments.retain(|argument| !is(argument));
            table.arguments.push("buffer_sectors:1".to_owned());
            if geometry.mode != 'I' {
                let interleave = 1_u64 << format.log2_interleave_sectors();
                let journal = sections * section.sectors;
                table
                    .arguments
                    .push(format!("interleave_sectors:{interleave}"));
                table.arguments.push(format!("journal_sectors:{journal}"));
            }
            let layout = Integrity::new(&table, None).expect("a layout");
            let last = layout.data(provided - 1).expect("a sector");
            assert!(
                last.byte + 512 <= geometry.data_sectors * 512,
                "{geometry:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_geometry() {
        let of = |seed| format!("{:?}", Geometry::random(&mut Rng::with_seed(seed), true));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
