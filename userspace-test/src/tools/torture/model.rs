// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What dm-integrity, and dm-crypt above it, return and record: predicted from the options, the data
//! and the damage.
//!
//! Source: drivers/md/dm-integrity.c, drivers/md/dm-crypt.c. A read is verified in pieces: the bios
//! that device mapper makes of it. The first corrupt block of a piece ends it, with a record
//! (`integrity_recheck()`, `dm_integrity_inline_recheck()`, `crypt_convert_block_aead()`).

use super::geometry::Geometry;
use super::log::Record;
use super::oracle::{Cached, Oracle, Prediction, Word};
use super::pattern::crc32c;
use crate::mapper::Number;
use dmns_audit_layout::SECTOR;
use nix::libc;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The bytes of a page.
pub(super) const PAGE: u64 = 4096;

/// What is corrupted of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Data,
    Tag,
}

/// A device of dm-integrity or dm-crypt: its options, what was written, and what is corrupted.
#[derive(Clone, Debug)]
pub(super) struct Model {
    geometry: Geometry,
    /// Sectors.
    length: u64,
    /// The number that records of reads have.
    read_dev: String,
    /// The number that other records have.
    dev: String,
    /// The data, by byte.
    content: Vec<u8>,
    /// The salt of the superblock, if hashes have it.
    pub(super) salt: Vec<u8>,
    /// Bits that are inverted, by block, part and byte of it.
    flips: BTreeMap<(u64, Part, u64), u8>,
    /// Blocks that were discarded, and not written since.
    discarded: BTreeSet<u64>,
    /// What the journal has from before a crash, by first sector, from the oldest on. Each table that is
    /// loaded replays it, until a write is committed. C: `replay_journal()`, `dm_integrity_postsuspend()`
    /// with `wrote_to_journal`.
    pub(super) journal: Vec<(u64, Vec<u8>)>,
    /// Whether tags were made anew at some time: the superblock has a flag then.
    has_recalculated: bool,
    /// The error that all I/O has.
    pub(super) failed: Option<i32>,
    /// Records of reads since the table was loaded: the kernel counts them too.
    mismatches: u64,
}

/// What is data now, once tags were made anew.
pub(super) struct Recalculated {
    /// Bits that were inverted below, by byte.
    pub(super) changed: Vec<(u64, u8)>,
    /// The blocks of which the data is not known: those that were discarded.
    pub(super) unknown: Vec<u64>,
}

impl Model {
    /// Returns a device on which zeros were written.
    pub(super) fn new(geometry: &Geometry, length: u64, dev: String, below: String) -> Self {
        Self {
            geometry: geometry.clone(),
            length,
            read_dev: match geometry.mode {
                // The bio is sent to the device below before it is verified. C:
                // `dm_integrity_map_inline()`, `crypt_convert_block_aead()`.
                'I' => below,
                _ => dev.clone(),
            },
            dev,
            content: vec![0; length as usize * 512],
            salt: Vec::new(),
            flips: BTreeMap::new(),
            discarded: BTreeSet::new(),
            journal: Vec::new(),
            has_recalculated: false,
            failed: None,
            mismatches: 0,
        }
    }

    /// Returns the mapping below that keeps tags. Its number is `number`.
    pub(super) fn tags(geometry: &Geometry, number: Number) -> Self {
        let geometry = Geometry {
            crypt: None,
            ..geometry.clone()
        };
        Self::new(&geometry, 0, number.to_string(), number.to_string())
    }

    /// Returns the bytes of a tag.
    pub(super) fn tag_size(&self) -> u64 {
        self.geometry.tag_size
    }

    fn bytes(&self, sectors: Range<u64>) -> Range<usize> {
        sectors.start as usize * 512..sectors.end as usize * 512
    }

    /// Returns the bytes of sectors.
    pub(super) fn content(&self, sectors: Range<u64>) -> &[u8] {
        &self.content[self.bytes(sectors)]
    }

    /// Returns whether the bytes of sectors are known: those of discarded blocks are not.
    pub(super) fn is_known(&self, sectors: Range<u64>) -> bool {
        let block = self.block();
        let mut blocks = sectors.start / block..sectors.end.div_ceil(block);
        !blocks.any(|block| self.discarded.contains(&block))
    }

    /// Notes that whole blocks were written: they are good again, and the journal has nothing from before.
    pub(super) fn write(&mut self, sector: u64, bytes: &[u8]) {
        self.store(sector, bytes);
        self.journal.clear();
    }

    /// Notes what whole blocks have below, with tags that fit.
    pub(super) fn store(&mut self, sector: u64, bytes: &[u8]) {
        let sectors = sector..sector + bytes.len() as u64 / 512;
        let range = self.bytes(sectors.clone());
        self.content[range].copy_from_slice(bytes);
        for block in sectors.start / self.block()..sectors.end / self.block() {
            self.mend(block);
            self.discarded.remove(&block);
        }
    }

    /// Notes that whole blocks were discarded. Their tag is the filler, which fits all data. C:
    /// `integrity_metadata()`, `dm_integrity_rw_tag()`.
    pub(super) fn discard(&mut self, sectors: Range<u64>) {
        for block in sectors.start / self.block()..sectors.end / self.block() {
            self.mend(block);
            self.discarded.insert(block);
        }
    }

    /// Returns the bad blocks with a sector of these.
    pub(super) fn bad_within(&self, sectors: Range<u64>) -> BTreeSet<u64> {
        let (block, mut bad) = (self.block(), self.bad_blocks());
        bad.retain(|bad| (bad + 1) * block > sectors.start && bad * block < sectors.end);
        bad
    }

    /// Returns the sectors of a buffer of the page cache. C: `set_init_blocksize()`.
    pub(super) fn buffer(&self) -> u64 {
        1 << self.length.trailing_zeros().min(3)
    }

    /// Predicts a write of bytes through the page cache, which has nothing of them: the first and the
    /// last buffer are read before if a part of them is written. Returns at most how many bytes are
    /// written before it fails. `None`: what is read there is not known. C:
    /// `__block_write_begin_int()`.
    pub(super) fn cached_write(&mut self, bytes: &Range<u64>) -> Option<(Prediction, u64)> {
        let size = self.buffer() * SECTOR;
        let is_partial = |byte: u64| byte % size != 0;
        let (first, last) = (bytes.start / size, (bytes.end - 1) / size);
        let (begins, ends) = (is_partial(bytes.start), is_partial(bytes.end));
        let mut read = |buffer: u64, is_read: bool| {
            let sectors = buffer * self.buffer()..(buffer + 1) * self.buffer();
            match is_read {
                true if !self.is_known(sectors.clone()) => None,
                true => Some(self.direct(sectors)?.exact),
                false => Some(Vec::new()),
            }
        };
        let at_begin = read(first, begins || (first == last && ends))?;
        let at_end = read(last, first != last && ends)?;
        let mut prediction = Prediction {
            error: (!at_begin.is_empty() || !at_end.is_empty()).then_some(libc::EIO),
            ..Prediction::default()
        };
        // A folio has at least a page. What was written to those before stays. C:
        // `iomap_file_buffered_write()`.
        let page = last * size / PAGE * PAGE;
        let most = match bytes.start < page && at_begin.is_empty() {
            true => page - bytes.start,
            false => 0,
        };
        prediction.exact = at_begin;
        match most == 0 && bytes.start < page {
            // It is read if the folio is the same.
            true => prediction.perhaps = at_end.into_iter().next(),
            false => prediction.exact.extend(at_end),
        }
        Some((prediction, most))
    }

    /// Notes that bytes were written through the page cache, which stores whole buffers.
    pub(super) fn write_bytes(&mut self, byte: u64, bytes: &[u8]) {
        let size = self.buffer() * SECTOR;
        let begin = byte / size * size;
        let end = (byte + bytes.len() as u64).next_multiple_of(size);
        let mut whole = self.content(begin / SECTOR..end / SECTOR).to_vec();
        whole[(byte - begin) as usize..][..bytes.len()].copy_from_slice(bytes);
        self.write(begin / SECTOR, &whole);
    }

    /// Returns whether the kernel refuses to make tags anew that have a key. C:
    /// `dm_integrity_disable_recalculate()`.
    pub(super) fn disables_recalculation(&self) -> bool {
        let geometry = &self.geometry;
        let has_key = match self.salt.is_empty() {
            true => geometry.hash.has_key || geometry.journal_mac,
            false => geometry.hash.has_key && !geometry.journal_mac,
        };
        has_key && !geometry.legacy_recalculate
    }

    /// Returns whether a table is refused that makes all tags anew. If the superblock says that this was
    /// done before, the constructor does not see that it begins again. C: `dm_integrity_ctr()`,
    /// `dm_integrity_resume()`.
    pub(super) fn refuses_recalculation(&self) -> bool {
        self.disables_recalculation() && !self.has_recalculated
    }

    /// Notes that the tags of sectors are made anew, of the data below. C: `integrity_recalc()`,
    /// `integrity_recalc_inline()`.
    pub(super) fn recalculate(&mut self, sectors: Range<u64>) -> Recalculated {
        let blocks = sectors.start / self.block()..sectors.end / self.block();
        let size = self.block() * SECTOR;
        let mut changed = Vec::new();
        self.flips.retain(|(block, part, byte), mask| {
            let is_kept = !blocks.contains(block);
            if !is_kept && *part == Part::Data {
                self.content[(block * size + byte) as usize] ^= *mask;
                changed.push((block * size + byte, *mask));
            }
            is_kept
        });
        self.has_recalculated = true;
        Recalculated {
            changed,
            unknown: self.discarded.range(blocks).copied().collect(),
        }
    }

    fn mend(&mut self, block: u64) {
        self.flips.retain(|(of, _, _), _| *of != block);
    }

    /// Inverts bits below.
    pub(super) fn flip(&mut self, sector: u64, part: Part, byte: u64, mask: u8) {
        let block = sector / self.block();
        let key = (block, part, byte);
        let flipped = self.flips.remove(&key).unwrap_or(0) ^ mask;
        if flipped != 0 {
            self.flips.insert(key, flipped);
        }
    }

    /// Returns whether the data of a block does not fit its tag.
    pub(super) fn is_bad(&self, block: u64) -> bool {
        let flips = || {
            self.flips
                .range((block, Part::Data, 0)..=(block, Part::Tag, u64::MAX))
        };
        let compared = self.geometry.compared_bytes();
        let tag_flips =
            flips().filter(|((_, part, byte), _)| *part == Part::Tag && *byte < compared);
        if self.discarded.contains(&block) {
            // The data is not looked at while the tag is the filler.
            return tag_flips.count() > 0;
        }
        let has_data_flips = flips().any(|((_, part, _), _)| *part == Part::Data);
        if self.geometry.crypt.is_some() || self.geometry.hash.name != "crc32c" {
            return has_data_flips || tag_flips.count() > 0;
        }
        // It is linear: some damage of data and tag fits.
        let sectors = block * self.block()..(block + 1) * self.block();
        let good = self.content(sectors.clone());
        let mut data = good.to_vec();
        for ((_, part, byte), mask) in flips() {
            if *part == Part::Data {
                data[*byte as usize] ^= mask;
            }
        }
        let tag = |data: &[u8]| {
            let mut tag = crc32c(&[&self.salt, &sectors.start.to_le_bytes(), data]).to_vec();
            tag.resize(self.geometry.tag_size as usize, 0);
            tag
        };
        let mut stored = tag(good);
        for ((_, _, byte), mask) in tag_flips {
            stored[*byte as usize] ^= mask;
        }
        stored != tag(&data)
    }

    /// Returns the record of a block that a read finds bad.
    fn violation(&self, block: u64) -> Record {
        let op = match self.geometry.crypt {
            Some(_) => "integrity-aead",
            None => "integrity-checksum",
        };
        Record {
            sector: (block * self.block()).to_string(),
            ..Record::new("DM_EVENT", self.module(), op, &self.read_dev)
        }
    }

    /// Returns the sectors of a run of data, if there are tags between them.
    pub(super) fn run(&self) -> Option<u64> {
        let geometry = &self.geometry;
        (geometry.mode != 'I' && !geometry.has_metadata_device)
            .then(|| 1 << geometry.format().log2_interleave_sectors())
    }

    /// Returns the pieces of a read. C: `dm_set_target_max_io_len()` with the sectors of a run.
    fn pieces(&self, sectors: Range<u64>) -> Vec<Range<u64>> {
        let Some(run) = self.run() else {
            return vec![sectors];
        };
        let mut pieces = Vec::new();
        let mut begin = sectors.start;
        while begin < sectors.end {
            let end = ((begin / run + 1) * run).min(sectors.end);
            pieces.push(begin..end);
            begin = end;
        }
        pieces
    }

    /// Returns the parts of the bytes of sectors that are not known: those of discarded blocks.
    fn unknown(&self, sectors: &Range<u64>) -> Vec<Range<usize>> {
        let block = self.block();
        let blocks = sectors.start / block..sectors.end.div_ceil(block);
        let of = |sector: u64| {
            let sector = sector.clamp(sectors.start, sectors.end);
            ((sector - sectors.start) * SECTOR) as usize
        };
        let discarded = self.discarded.range(blocks);
        discarded
            .map(|&discarded| of(discarded * block)..of((discarded + 1) * block))
            .collect()
    }
}

impl Oracle for Model {
    fn module(&self) -> &'static str {
        match self.geometry.crypt {
            Some(_) => "crypt",
            None => "integrity",
        }
    }

    fn number(&self) -> &str {
        &self.dev
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn block(&self) -> u64 {
        1 << self.geometry.log2_sectors_per_block
    }

    fn is_read_only(&self) -> bool {
        false
    }

    /// The first bad block of each piece has a record.
    fn direct(&mut self, sectors: Range<u64>) -> Option<Prediction> {
        if self.failed.is_some() {
            return Some(Prediction {
                error: self.failed,
                ..Prediction::default()
            });
        }
        let mut exact = Vec::new();
        for piece in self.pieces(sectors.clone()) {
            let mut blocks = piece.start / self.block()..piece.end / self.block();
            let bad = blocks.find(|block| self.is_bad(*block));
            exact.extend(bad.map(|block| self.violation(block)));
        }
        Some(Prediction {
            error: (!exact.is_empty()).then_some(libc::EILSEQ),
            unknown: self.unknown(&sectors),
            data: Some(self.content(sectors).to_vec()),
            exact,
            ..Prediction::default()
        })
    }

    /// The kernel chooses the bios: whole pages, more where it reads ahead, single blocks where it
    /// tries a page that failed again. So each bad block of the pages, and of those ahead, may have
    /// records. There is one at least if a page of the range has a bad block.
    fn cached(&mut self, sectors: Range<u64>, how: Cached) -> Option<Prediction> {
        if self.failed.is_some() {
            return Some(Prediction {
                error: Some(how.error),
                ..Prediction::default()
            });
        }
        let (begin, end) = (sectors.start / 8 * 8, sectors.end.next_multiple_of(8));
        let fails = !self.bad_within(begin..end).is_empty();
        let around = self.bad_within(begin.saturating_sub(how.before)..end + how.ahead);
        let among: BTreeSet<_> = around.into_iter().map(|bad| self.violation(bad)).collect();
        Some(Prediction {
            error: fails.then_some(how.error),
            unknown: self.unknown(&sectors),
            data: Some(self.content(sectors).to_vec()),
            at_least: usize::from(fails),
            at_most: among.len() * how.tries,
            among,
            ..Prediction::default()
        })
    }

    fn bad_blocks(&self) -> BTreeSet<u64> {
        let blocks: BTreeSet<_> = self.flips.keys().map(|(block, _, _)| *block).collect();
        blocks
            .into_iter()
            .filter(|block| self.is_bad(*block))
            .collect()
    }

    fn recorded(&mut self, records: &[Record]) {
        let violations = records
            .iter()
            .filter(|record| record.op == "integrity-checksum");
        self.mismatches += violations.count() as u64;
    }

    fn loaded(&mut self) {
        self.mismatches = 0;
        for (sector, bytes) in std::mem::take(&mut self.journal) {
            self.store(sector, &bytes);
            self.journal.push((sector, bytes));
        }
    }

    fn resumed(&mut self) {}

    /// C: `number_of_mismatches`.
    fn status(&self) -> Vec<Word> {
        // A target that has failed counts the tags that it does not write, too. dm-crypt has no state.
        if self.failed.is_some() || self.geometry.crypt.is_some() {
            return Vec::new();
        }
        let up_to = Word::is(2, "-", "the sector up to which tags were made anew");
        vec![
            Word::is(0, self.mismatches, "mismatches"),
            Word {
                is_equal: !self.has_recalculated,
                ..up_to
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn model(change: impl FnOnce(&mut Geometry)) -> Model {
        let mut geometry = Geometry::random(&mut Rng::with_seed(1), false);
        geometry.mode = 'J';
        geometry.hash = super::super::geometry::HASHES[2];
        geometry.tag_size = 32;
        geometry.log2_sectors_per_block = 1;
        geometry.interleave_sectors = Some(64);
        geometry.has_metadata_device = false;
        change(&mut geometry);
        Model::new(&geometry, 1024, "253:3".to_owned(), "253:2".to_owned())
    }

    fn read(model: &mut Model, sectors: Range<u64>) -> Prediction {
        model.direct(sectors).expect("a prediction")
    }

    fn cached(model: &mut Model, sectors: Range<u64>, ahead: u64) -> Prediction {
        let how = Cached {
            before: 0,
            ahead,
            error: libc::EIO,
            tries: 3,
        };
        let read = model.cached(sectors, how);
        read.expect("a prediction")
    }

    fn sectors(prediction: &Prediction) -> Vec<&str> {
        prediction
            .exact
            .iter()
            .map(|record| record.sector.as_str())
            .collect()
    }

    /// Runs of 64 sectors: each piece has the record of its first bad block.
    #[test]
    fn each_piece_has_one_record() {
        let mut model = model(|_| {});
        for sector in [11, 30, 70] {
            model.flip(sector, Part::Data, 5, 1);
        }
        assert_eq!(sectors(&read(&mut model, 0..10)), [""; 0]);
        assert_eq!(read(&mut model, 0..10).error, None);
        assert_eq!(sectors(&read(&mut model, 0..128)), ["10", "70"]);
        assert_eq!(sectors(&read(&mut model, 12..64)), ["30"]);
        assert_eq!(read(&mut model, 12..64).error, Some(libc::EILSEQ));
        model.flip(30, Part::Data, 5, 1);
        assert_eq!(read(&mut model, 12..64).error, None);
        model.write(10, &[7; 1024]);
        assert_eq!(sectors(&read(&mut model, 0..128)), ["70"]);
    }

    /// The journal of a crash is replayed by each table that is loaded, until something is written.
    #[test]
    fn a_journal_is_replayed_until_a_write() {
        let mut model = model(|_| {});
        model.journal = vec![(10, vec![7; 2048]), (12, vec![8; 1024])];
        model.flip(10, Part::Tag, 5, 1);
        model.flip(14, Part::Data, 5, 1);
        model.discard(12..14);
        model.loaded();
        assert_eq!(sectors(&read(&mut model, 0..64)), ["14"]);
        assert_eq!(model.content(10..11), [7; 512]);
        assert_eq!(model.content(12..13), [8; 512]);
        assert!(model.is_known(10..16));
        model.flip(10, Part::Tag, 5, 1);
        model.loaded();
        assert_eq!(sectors(&read(&mut model, 0..64)), ["14"]);
        model.write(0, &[1; 1024]);
        model.flip(10, Part::Tag, 5, 1);
        model.loaded();
        assert_eq!(sectors(&read(&mut model, 0..64)), ["10"]);
    }

    /// Buffers of 2048 bytes, with two blocks each. Those that are written as a whole are not read.
    #[test]
    fn a_partial_write_reads_its_first_and_last_buffer() {
        let mut model = model(|_| {});
        model.length = 1020;
        assert_eq!(model.buffer(), 4);
        for sector in [10, 22, 40, 42] {
            model.flip(sector, Part::Data, 5, 1);
        }
        let mut write = |bytes: Range<u64>| {
            let (prediction, most) = model.cached_write(&bytes).expect("a prediction");
            let perhaps = prediction.perhaps.iter().map(|record| &record.sector);
            let perhaps: Vec<_> = perhaps.cloned().collect();
            let fails = prediction.error.is_some();
            (
                sectors(&prediction).join(" "),
                perhaps.join(" "),
                fails,
                most,
            )
        };
        let of = |exact: &str, perhaps: &str, fails, most| {
            (exact.to_owned(), perhaps.to_owned(), fails, most)
        };
        // The other block of the buffer is bad.
        assert_eq!(write(4096..4097), of("10", "", true, 0));
        assert_eq!(write(4096..6144), of("", "", false, 0));
        assert_eq!(write(6144..6145), of("", "", false, 0));
        // The first and the last one, in different pages and in one.
        assert_eq!(write(5000..12000), of("10", "22", true, 0));
        assert_eq!(write(20481..23000), of("40", "", true, 0));
        assert_eq!(write(20481..22529), of("40", "", true, 0));
        // Two pages are written before it fails.
        assert_eq!(write(100..12000), of("22", "", true, 8192 - 100));
        assert_eq!(write(100..12288), of("", "", false, 8192 - 100));
    }

    #[test]
    fn a_partial_write_stores_whole_buffers() {
        let mut model = model(|_| {});
        model.flip(16, Part::Tag, 0, 1);
        model.flip(30, Part::Tag, 0, 1);
        model.write_bytes(8191, &[7; 4098]);
        assert_eq!(model.bad_blocks(), BTreeSet::from([]));
        assert_eq!(model.content(15..16)[510..], [0, 7]);
        assert_eq!(model.content(24..25)[..2], [7, 0]);
        model.discard(8..10);
        assert_eq!(model.cached_write(&(5000..5001)), None);
        assert!(model.cached_write(&(4096..8192)).is_some());
    }

    #[test]
    fn inline_mode_names_the_device_below() {
        let mut model = model(|geometry| {
            geometry.mode = 'I';
            geometry.tag_size = 40;
        });
        model.flip(8, Part::Tag, 39, 1);
        assert_eq!(read(&mut model, 0..1024).error, None, "behind the hash");
        model.flip(8, Part::Tag, 31, 1);
        model.flip(100, Part::Data, 0, 1);
        assert_eq!(
            sectors(&read(&mut model, 0..1024)),
            ["8"],
            "it is one piece"
        );
        assert_eq!(read(&mut model, 0..1024).exact[0].dev, "253:2");
    }

    #[test]
    fn a_discarded_block_has_a_tag_that_fits() {
        let mut model = model(|_| {});
        model.flip(8, Part::Tag, 0, 1);
        model.discard(8..12);
        assert_eq!(read(&mut model, 0..16).error, None);
        assert!(!model.is_known(0..16));
        assert!(model.is_known(12..16));
        model.flip(8, Part::Data, 0, 1);
        assert_eq!(read(&mut model, 0..16).error, None);
        model.flip(8, Part::Tag, 0, 1);
        assert_eq!(sectors(&read(&mut model, 0..16)), ["8"]);
    }

    #[test]
    fn data_below_is_good_when_tags_are_made_anew() {
        let mut model = model(|_| {});
        model.write(8, &[7; 1024]);
        model.flip(8, Part::Data, 513, 4);
        model.flip(12, Part::Tag, 0, 1);
        model.flip(40, Part::Tag, 0, 1);
        model.discard(20..24);
        model.flip(20, Part::Data, 0, 1);
        assert_eq!(model.recalculate(0..32).unknown, [10, 11]);
        assert_eq!(sectors(&read(&mut model, 0..128)), ["40"]);
        let read = read(&mut model, 8..10).data.expect("known data");
        assert_eq!(read[512..515], [7, 3, 7]);
        assert!(!model.is_known(20..22));
        model.write(20, &[9; 2048]);
        assert!(model.is_known(20..24));
    }

    #[test]
    fn tags_with_a_key_are_not_made_anew() {
        let refuses = |has_key: bool, journal_mac, salt: &[u8], change: fn(&mut Model)| {
            let mut model = model(|geometry| {
                geometry.hash = super::super::geometry::HASHES[if has_key { 3 } else { 2 }];
                geometry.journal_mac = journal_mac;
                geometry.legacy_recalculate = false;
            });
            model.salt = salt.to_vec();
            change(&mut model);
            model.refuses_recalculation()
        };
        let all = |salt: &[u8]| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(key, mac)| refuses(key, mac, salt, |_| {}))
        };
        assert_eq!(all(&[]), [false, true, true, true]);
        assert_eq!(all(&[1]), [false, false, true, false]);
        assert!(!refuses(true, false, &[], |model| {
            model.geometry.legacy_recalculate = true;
        }));
        assert!(!refuses(true, false, &[], |model| {
            model.recalculate(0..1024);
        }));
    }

    /// Tag and data with the same difference: crc32c is linear.
    #[test]
    fn a_tag_of_crc32c_may_fit_by_chance() {
        let mut model = model(|geometry| {
            geometry.hash = super::super::geometry::HASHES[0];
            geometry.tag_size = 4;
        });
        let tag = |data: &[u8]| crc32c(&[&8_u64.to_le_bytes(), data]);
        let mut data = vec![0; 1024];
        let good = tag(&data);
        data[3] ^= 4;
        let other = tag(&data);
        model.flip(8, Part::Data, 3, 4);
        assert!(model.is_bad(4));
        for byte in 0..4 {
            model.flip(8, Part::Tag, byte as u64, good[byte] ^ other[byte]);
        }
        assert!(!model.is_bad(4));
    }

    #[test]
    fn records_are_compared() {
        let mut model = model(|_| {});
        model.flip(10, Part::Data, 5, 1);
        let exact = read(&mut model, 10..12);
        assert!(exact.compare(&exact.exact).is_empty());
        assert_eq!(exact.compare(&[]).len(), 1);
        let twice = [exact.exact[0].clone(), exact.exact[0].clone()];
        assert_eq!(exact.compare(&twice).len(), 1);
        let read = cached(&mut model, 0..1, 0);
        assert_eq!((read.error, read.at_least), (None, 0));
        assert_eq!(read.compare(&exact.exact).len(), 1);
        let read = cached(&mut model, 0..1, 8);
        assert_eq!((read.error, read.at_least), (None, 0));
        assert!(read.compare(&exact.exact).is_empty());
        let read = cached(&mut model, 15..16, 0);
        assert_eq!((read.error, read.at_least), (Some(libc::EIO), 1));
        assert_eq!(read.compare(&[]).len(), 1);
        assert!(read.compare(&twice).is_empty());
    }
}
