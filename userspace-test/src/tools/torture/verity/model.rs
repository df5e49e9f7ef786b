// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What dm-verity returns and records: predicted from the options, the data and the damage.
//!
//! Source: drivers/md/dm-verity-target.c, drivers/md/dm-verity-fec.c. The functions here follow those
//! of the kernel that they name. In place of a hash there is the question whether it is the right one:
//! hashes of other bytes differ.

use super::super::log::Record;
use super::super::oracle::{Cached, Oracle, Prediction, Word};
use super::geometry::Geometry;
use anyhow::Result;
use dmns_audit_layout::verity::{Fec, Verity};
use nix::libc;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// The errors of a mapping that are counted. C: `DM_VERITY_MAX_CORRUPTED_ERRS`.
const MOST_ERRORS: u64 = 100;

/// What is corrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A byte of a block of data.
    Data,
    /// A byte of a block of the device with the hashes.
    Hash,
    /// A byte of the parity, counted from its first one: of no block.
    Parity,
}

/// A block cannot be verified: the read fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

/// A device of dm-verity: its options, its data, and what is corrupted.
#[derive(Clone, Debug)]
pub(super) struct Model {
    geometry: Geometry,
    layout: Verity,
    dev: String,
    /// The device with the data: the bio is sent there before it is verified. C: `verity_map()`.
    data_dev: String,
    content: Rc<[u8]>,
    /// Whether two blocks are hashed at once. C: `sha256_finup_2x_is_optimized()`.
    has_pairs: bool,
    /// Bits that are inverted, by part, block and byte of it.
    flips: BTreeMap<(Part, u64, u64), u8>,
    /// Blocks that are not verified again. C: `validated_blocks`.
    validated: BTreeSet<u64>,
    /// Blocks of hashes in memory that are verified. C: `hash_verified`.
    verified: BTreeSet<u64>,
    /// Whether FEC corrects a block: it does not begin another one meanwhile. C: `level`.
    corrects: bool,
    /// Blocks that FEC has corrected, if that is known. C: `corrected`.
    corrected: Option<u64>,
    /// C: `hash_failed`. `None`: it is not known.
    has_failed: Option<bool>,
    /// Errors so far, if that is known. C: `corrupted_errs`.
    errors: Option<u64>,
    /// Whether the record of the last error that is counted has come.
    is_full: bool,
    /// Records of the read that is simulated.
    records: Vec<Record>,
    /// Whether the read that is simulated depends on how bytes fail to decode.
    is_undecided: bool,
}

impl Model {
    pub(super) fn new(
        geometry: &Geometry,
        layout: Verity,
        content: Vec<u8>,
        numbers: (String, String),
        has_pairs: bool,
    ) -> Self {
        Self {
            geometry: geometry.clone(),
            layout,
            dev: numbers.0,
            data_dev: numbers.1,
            content: content.into(),
            has_pairs,
            flips: BTreeMap::new(),
            validated: BTreeSet::new(),
            verified: BTreeSet::new(),
            corrects: false,
            corrected: Some(0),
            has_failed: Some(false),
            errors: Some(0),
            is_full: false,
            records: Vec::new(),
            is_undecided: false,
        }
    }

    /// Inverts bits below.
    pub(super) fn flip(&mut self, part: Part, block: u64, byte: u64, mask: u8) {
        let key = (part, block, byte);
        let flipped = self.flips.remove(&key).unwrap_or(0) ^ mask;
        if flipped != 0 {
            self.flips.insert(key, flipped);
        }
    }

    /// Returns the layout.
    pub(super) fn layout(&self) -> &Verity {
        &self.layout
    }

    /// Returns whether what reads do at the same time does not depend on their order.
    pub(super) fn allows_threads(&self) -> bool {
        // FEC, and reads that go on, leave other blocks verified.
        let goes_on = self.geometry.ignore_corruption && self.has_bad_hashes();
        self.layout.fec.is_none() && !goes_on
    }

    /// Returns whether hashes are corrupted.
    fn has_bad_hashes(&self) -> bool {
        let hashes = (Part::Hash, 0, 0)..(Part::Parity, 0, 0);
        self.flips.range(hashes).next().is_some()
    }

    /// Returns the bytes of a block that are inverted.
    fn flips(&self, part: Part, block: u64) -> impl Iterator<Item = (u64, u8)> + '_ {
        self.flips
            .range((part, block, 0)..=(part, block, u64::MAX))
            .map(|((_, _, byte), mask)| (*byte, *mask))
    }

    fn is_flipped(&self, part: Part, block: u64) -> bool {
        self.flips(part, block).next().is_some()
    }

    fn bytes(&self, block: u64) -> &[u8] {
        let size = self.layout.data_block as usize;
        &self.content[block as usize * size..][..size]
    }

    /// Returns a block as it is below.
    fn bytes_below(&self, block: u64) -> Vec<u8> {
        let mut bytes = self.bytes(block).to_vec();
        for (byte, mask) in self.flips(Part::Data, block) {
            bytes[byte as usize] ^= mask;
        }
        bytes
    }

    /// Returns whether a block that has this hash is not read, but is zeros. C: `zero_digest`.
    fn is_zero(&self, block: u64, right: bool) -> bool {
        self.geometry.ignore_zero_blocks && right && self.bytes(block).iter().all(|b| *b == 0)
    }

    /// Returns the block of hashes of a level for a block of data, and the byte of the hash.
    fn hash_place(&self, block: u64, level: usize) -> (u64, u64) {
        let at = self.layout.hash(block * self.block(), level);
        // The caller has a block and a level of the layout.
        let byte = at.map_or(0, |at| at.byte);
        (byte / self.layout.hash_block, byte % self.layout.hash_block)
    }

    /// Counts an error. Returns whether the read continues. C: `verity_handle_err()`.
    fn handle_error(&mut self) -> bool {
        self.has_failed = Some(true);
        if let Some(errors) = self.errors.as_mut().filter(|errors| **errors < MOST_ERRORS) {
            *errors += 1;
            if *errors == MOST_ERRORS {
                self.is_full = true;
                self.records.push(self.event("max-corrupted-errors"));
            }
        }
        self.geometry.ignore_corruption
    }

    fn violation(&self, op: &str, block: u64) -> Record {
        Record {
            sector: block.to_string(),
            ..Record::new("DM_EVENT", "verity", op, &self.data_dev)
        }
    }

    /// Returns whether the hash that a level has for a block is the right one, or `None` if the block of
    /// hashes is not verified and `skips`. C: `verity_verify_level()`.
    fn verify_level(
        &mut self,
        block: u64,
        level: usize,
        skips: bool,
        right: bool,
    ) -> Result<Option<bool>, Failed> {
        let (hashes, byte) = self.hash_place(block, level);
        if !self.verified.contains(&hashes) {
            if skips {
                return Ok(None);
            }
            let is_good = right && !self.is_flipped(Part::Hash, hashes);
            if is_good || self.correct(Part::Hash, hashes, right) {
                self.verified.insert(hashes);
            } else if !self.handle_error() {
                self.records.push(self.violation("verify-metadata", block));
                return Err(Failed);
            }
        }
        let digest = byte..byte + self.layout.digest_size;
        let is_hit = self
            .flips(Part::Hash, hashes)
            .any(|(byte, _)| digest.contains(&byte));
        Ok(Some(!is_hit || self.verified.contains(&hashes)))
    }

    /// Returns whether the hash that the tree has for a block is the right one. C:
    /// `verity_hash_for_block()`.
    fn hash_for_block(&mut self, block: u64) -> Result<bool, Failed> {
        let levels = self.layout.levels.len();
        if levels > 0 {
            if let Some(right) = self.verify_level(block, 0, true, true)? {
                return Ok(right);
            }
        }
        let mut right = true;
        for level in (0..levels).rev() {
            right = self.verify_level(block, level, false, right)? == Some(true);
        }
        Ok(right)
    }

    /// Returns whether FEC corrects a block, which has to have a hash that is `right` or not. C:
    /// `verity_fec_decode()`.
    fn correct(&mut self, part: Part, block: u64, right: bool) -> bool {
        let Some(fec) = self.layout.fec else {
            return false;
        };
        if self.corrects {
            return false;
        }
        self.corrects = true;
        let target = match part {
            Part::Hash => block - self.layout.hash_start + self.layout.data_blocks,
            Part::Data | Part::Parity => block,
        };
        let is_corrected =
            self.decode(&fec, target, right, false) || self.decode(&fec, target, right, true);
        self.corrects = false;
        if is_corrected {
            self.corrected = self.corrected.map(|corrected| corrected + 1);
        }
        is_corrected
    }

    /// Returns whether FEC decodes a block. C: `fec_decode()`, `fec_read_bufs()`, `fec_decode_bufs()`.
    fn decode(&mut self, fec: &Fec, target: u64, right: bool, erases: bool) -> bool {
        let (own_region, index) = (target / fec.region_blocks, target % fec.region_blocks);
        let mut erased = BTreeSet::new();
        // The regions with an error, by the byte of the block.
        let mut errors: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for region in 0..255 - fec.roots {
            let block = region * fec.region_blocks + index;
            let wrong: Vec<_> = if block < self.layout.data_blocks {
                if let Ok(fits) = self.hash_for_block(block) {
                    if self.is_zero(block, fits) {
                        continue;
                    }
                    let is_wrong = !fits || self.is_flipped(Part::Data, block);
                    if erases && is_wrong && (erased.len() as u64) < fec.roots {
                        erased.insert(region);
                    }
                }
                self.flips(Part::Data, block).collect()
            } else {
                let hashes = block - self.layout.data_blocks + self.layout.hash_start;
                // In memory it is as FEC has corrected it.
                match block < fec.blocks && !self.verified.contains(&hashes) {
                    true => self.flips(Part::Hash, hashes).collect(),
                    false => Vec::new(),
                }
            };
            for (byte, _) in wrong {
                errors.entry(byte).or_default().insert(region);
            }
        }
        let size = self.layout.data_block;
        let parity = index * size * fec.roots..(index + 1) * size * fec.roots;
        for ((_, _, byte), _) in self
            .flips
            .range((Part::Parity, 0, parity.start)..(Part::Parity, 0, parity.end))
        {
            let of_block = (byte - parity.start) / fec.roots;
            // A place behind the regions.
            let place = 255 + (byte - parity.start) % fec.roots;
            errors.entry(of_block).or_default().insert(place);
        }
        for places in errors.values() {
            let others = places.difference(&erased).count() as u64;
            if 2 * others + erased.len() as u64 <= fec.roots {
                continue;
            }
            if !places.contains(&own_region) {
                // It may decode to something else, with this byte as it was.
                self.is_undecided = true;
            }
            return false;
        }
        right
    }

    /// Verifies blocks of data that are waiting. C: `verity_verify_pending_blocks()`.
    fn verify_pending(
        &mut self,
        pending: &mut Vec<(u64, bool)>,
        corrected: &mut BTreeSet<u64>,
    ) -> Result<(), Failed> {
        for (block, right) in pending.drain(..) {
            if right && !self.is_flipped(Part::Data, block) {
                if self.geometry.check_at_most_once {
                    self.validated.insert(block);
                }
            } else if self.correct(Part::Data, block, right) {
                corrected.insert(block);
            } else if !self.handle_error() {
                self.records.push(self.violation("verify-data", block));
                return Err(Failed);
            }
        }
        Ok(())
    }

    /// Verifies a bio. Returns its data. C: `verity_verify_io()`.
    fn verify(&mut self, blocks: Range<u64>) -> Result<Vec<u8>, Failed> {
        let is_paired =
            self.has_pairs && self.geometry.version == 1 && self.geometry.hash.name == "sha256";
        let most = if is_paired { 2 } else { 1 };
        let mut pending = Vec::new();
        // Blocks that are returned as they should be, whatever is below.
        let mut corrected = BTreeSet::new();
        for block in blocks.clone() {
            if self.validated.contains(&block) {
                continue;
            }
            let right = self.hash_for_block(block)?;
            if self.is_zero(block, right) {
                corrected.insert(block);
                continue;
            }
            pending.push((block, right));
            if pending.len() == most {
                self.verify_pending(&mut pending, &mut corrected)?;
            }
        }
        self.verify_pending(&mut pending, &mut corrected)?;
        let data = blocks.map(|block| match corrected.contains(&block) {
            true => self.bytes(block).to_vec(),
            false => self.bytes_below(block),
        });
        Ok(data.collect::<Vec<_>>().concat())
    }

    /// Returns what a read of blocks alone finds, without a change.
    fn alone(&self, blocks: Range<u64>) -> (Self, Result<Vec<u8>, Failed>) {
        let mut copy = self.clone();
        copy.records.clear();
        copy.is_undecided = false;
        let read = copy.verify(blocks);
        (copy, read)
    }

    /// Returns the blocks that have a sector of a range.
    fn blocks(&self, begin: u64, end: u64) -> Range<u64> {
        let block = self.block();
        begin / block..end.div_ceil(block).min(self.layout.data_blocks)
    }
}

impl Oracle for Model {
    fn module(&self) -> &'static str {
        "verity"
    }

    fn number(&self) -> &str {
        &self.dev
    }

    fn length(&self) -> u64 {
        self.geometry.length()
    }

    fn block(&self) -> u64 {
        self.geometry.data_block / 512
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn direct(&mut self, sectors: Range<u64>) -> Option<Prediction> {
        let (mut after, read) = self.alone(self.blocks(sectors.start, sectors.end));
        if after.is_undecided {
            return None;
        }
        let prediction = Prediction {
            error: read.is_err().then_some(libc::EIO),
            data: read.ok(),
            exact: std::mem::take(&mut after.records),
            ..Prediction::default()
        };
        *self = after;
        Some(prediction)
    }

    /// The kernel chooses the bios, so each block of the pages and of those ahead may have its record. A
    /// page with a block that fails has one at least. How many errors are counted is not known
    /// afterwards.
    fn cached(&mut self, sectors: Range<u64>, how: Cached) -> Option<Prediction> {
        // FEC verifies other blocks, in an order that depends on the bios.
        if self.layout.fec.is_some() && self.has_bad_hashes() {
            return None;
        }
        let (begin, end) = (sectors.start / 8 * 8, sectors.end.next_multiple_of(8));
        let pages = self.blocks(begin, end);
        let mut prediction = Prediction::default();
        let mut data = Vec::new();
        let mut errors = 0;
        for block in self.blocks(begin.saturating_sub(how.before), end + how.ahead) {
            let (after, read) = self.alone(block..block + 1);
            if after.is_undecided {
                return None;
            }
            let violations = after.records.into_iter();
            let violations = violations.filter(|record| record.op != "max-corrupted-errors");
            prediction.among.extend(violations);
            if self.errors != after.errors || self.corrected != after.corrected {
                errors += 1;
            }
            match read {
                Ok(bytes) if pages.contains(&block) => data.extend(bytes),
                Err(Failed) if pages.contains(&block) => prediction.error = Some(how.error),
                _ => {}
            }
        }
        if prediction.error.is_none() {
            let from = (sectors.start * 512 - pages.start * self.layout.data_block) as usize;
            let length = ((sectors.end - sectors.start) * 512) as usize;
            prediction.data = Some(data[from..from + length].to_vec());
        }
        prediction.at_least = usize::from(prediction.error.is_some());
        prediction.at_most = prediction.among.len() * how.tries;
        if errors > 0 {
            if !self.is_full {
                prediction.perhaps = Some(self.event("max-corrupted-errors"));
            }
            (self.errors, self.corrected, self.has_failed) = (None, None, None);
        }
        Some(prediction)
    }

    fn bad_blocks(&self) -> BTreeSet<u64> {
        let data = self.flips.keys().filter(|(part, ..)| *part == Part::Data);
        let mut bad: BTreeSet<_> = data.map(|(_, block, _)| *block).collect();
        if self.has_bad_hashes() {
            let all = 0..self.layout.data_blocks;
            let levels = self.layout.levels.len();
            bad.extend(all.filter(|block| {
                let mut hashes = (0..levels).map(|level| self.hash_place(*block, level).0);
                hashes.any(|hashes| self.is_flipped(Part::Hash, hashes))
            }));
        }
        bad
    }

    fn recorded(&mut self, records: &[Record]) {
        if records
            .iter()
            .any(|record| record.op == "max-corrupted-errors")
        {
            self.is_full = true;
            self.errors = Some(MOST_ERRORS);
        }
    }

    fn loaded(&mut self) {
        self.validated.clear();
        self.verified.clear();
        self.errors = Some(0);
        self.corrected = Some(0);
        self.has_failed = Some(false);
        self.is_full = false;
    }

    /// C: `verity_postsuspend()`.
    fn resumed(&mut self) {
        self.verified.clear();
    }

    /// C: `verity_status()`.
    fn status(&self) -> Vec<Word> {
        let mut words = Vec::new();
        if let Some(has_failed) = self.has_failed {
            let state = if has_failed { "C" } else { "V" };
            words.push(Word::is(0, state, "the state"));
        }
        if let Some(corrected) = self.corrected.filter(|_| self.layout.fec.is_some()) {
            words.push(Word::is(1, corrected, "blocks that FEC has corrected"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::ON;
    use super::*;
    use fastrand::Rng;

    /// 64 blocks of 512 bytes, 16 hashes of 32 bytes in each block of the tree: levels of 4 and 1.
    fn model(change: impl FnOnce(&mut Geometry)) -> Model {
        let mut rng = Rng::with_seed(1);
        let mut geometry = loop {
            let geometry = Geometry::random(&mut rng);
            if geometry.hash.name == "sha256" && geometry.fec.is_some() {
                break geometry;
            }
        };
        geometry.data_block = 512;
        geometry.hash_block = 512;
        geometry.data_blocks = 64;
        geometry.version = 0;
        geometry.ignore_corruption = false;
        geometry.check_at_most_once = false;
        geometry.ignore_zero_blocks = false;
        if let Some(fec) = &mut geometry.fec {
            fec.roots = 2;
        }
        change(&mut geometry);
        let layout = geometry.layout(ON).expect("a layout");
        let content = (0..64 * 512).map(|byte| (byte / 512) as u8).collect();
        let numbers = ("253:3".to_owned(), "253:0".to_owned());
        Model::new(&geometry, layout, content, numbers, true)
    }

    fn read(model: &mut Model, sectors: Range<u64>) -> (bool, Vec<String>) {
        let read = model.direct(sectors).expect("a prediction");
        let shown = |record: &Record| format!("{} {}", record.op, record.sector);
        (read.data.is_some(), read.exact.iter().map(shown).collect())
    }

    fn said(text: &str) -> (bool, Vec<String>) {
        (false, vec![text.to_owned()])
    }

    #[test]
    fn the_first_bad_block_of_a_bio_has_a_record() {
        let mut model = model(|geometry| geometry.fec = None);
        model.flip(Part::Data, 9, 5, 1);
        model.flip(Part::Data, 11, 5, 1);
        assert_eq!(read(&mut model, 0..9), (true, vec![]));
        assert_eq!(read(&mut model, 0..64), said("verify-data 9"));
        assert_eq!(read(&mut model, 10..64), said("verify-data 11"));
        // The second leaf has the hashes of the blocks 16 to 31.
        let leaf = model.layout.levels[0] + 1;
        model.flip(Part::Hash, leaf, 511, 1);
        model.resumed();
        assert_eq!(read(&mut model, 12..16), (true, vec![]));
        assert_eq!(read(&mut model, 12..40), said("verify-metadata 16"));
        assert_eq!(read(&mut model, 31..32), said("verify-metadata 31"));
        assert_eq!(read(&mut model, 32..64), (true, vec![]));
        assert_eq!(model.errors, Some(4));
        assert_eq!(model.bad_blocks().len(), 2 + 16);
    }

    /// With pairs, the hash of the second block is looked for before the first one is compared.
    #[test]
    fn a_pair_of_blocks_is_verified_at_once() {
        let change = |geometry: &mut Geometry| {
            geometry.fec = None;
            geometry.version = 1;
        };
        let mut paired = model(change);
        let mut single = model(change);
        single.has_pairs = false;
        for model in [&mut paired, &mut single] {
            model.flip(Part::Data, 15, 5, 1);
            model.flip(Part::Hash, model.layout.levels[0] + 1, 3, 1);
        }
        assert_eq!(read(&mut paired, 15..17), said("verify-metadata 16"));
        assert_eq!(read(&mut single, 15..17), said("verify-data 15"));
        assert_eq!(read(&mut paired, 14..17), said("verify-data 15"));
    }

    #[test]
    fn ignored_corruption_is_returned_and_counted() {
        let mut model = model(|geometry| {
            geometry.fec = None;
            geometry.ignore_corruption = true;
        });
        model.flip(Part::Data, 9, 5, 1);
        let below = model.direct(9..10).and_then(|read| read.data);
        assert_eq!(below.map(|data| data[5]), Some(8));
        assert_eq!(model.errors, Some(1));
        // Each look for a hash finds the root, or a leaf with a wrong hash, once more.
        model.flip(Part::Hash, model.layout.levels[0], 3 * 32, 1);
        assert_eq!(read(&mut model, 0..1), (true, vec![]));
        assert_eq!(model.errors, Some(1), "it is verified");
        model.resumed();
        assert_eq!(read(&mut model, 0..4), (true, vec![]));
        // Four for the leaf, one for the block with another hash.
        assert_eq!(model.errors, Some(1 + 4 + 1));
        for _ in 0..6 {
            assert!(model.errors < Some(MOST_ERRORS));
            let (_, records) = read(&mut model, 0..16);
            let is_last = model.errors == Some(MOST_ERRORS);
            assert_eq!(records.len(), usize::from(is_last));
        }
        assert!(model.is_full);
    }

    #[test]
    fn a_block_is_checked_once() {
        let mut model = model(|geometry| {
            geometry.fec = None;
            geometry.check_at_most_once = true;
        });
        assert_eq!(read(&mut model, 8..10), (true, vec![]));
        model.flip(Part::Data, 9, 5, 1);
        model.flip(Part::Data, 10, 5, 1);
        let read_again = model.direct(9..10).and_then(|read| read.data);
        assert_eq!(read_again.map(|data| data[5]), Some(8));
        assert_eq!(read(&mut model, 9..11), said("verify-data 10"));
        model.loaded();
        assert_eq!(read(&mut model, 9..10), said("verify-data 9"));
    }

    #[test]
    fn fec_corrects_what_its_roots_allow() {
        let mut model = model(|_| {});
        let region_blocks = model.layout.fec.expect("FEC").region_blocks;
        assert_eq!(
            region_blocks, 1,
            "all blocks have one codeword for each byte"
        );
        model.flip(Part::Data, 9, 5, 1);
        assert_eq!(read(&mut model, 8..10), (true, vec![]));
        assert_eq!(model.corrected, Some(1));
        // Two bad blocks: both are found by their hashes.
        model.flip(Part::Data, 20, 5, 1);
        assert_eq!(read(&mut model, 9..10), (true, vec![]));
        // Three are too many, in this byte.
        model.flip(Part::Data, 21, 5, 1);
        assert_eq!(read(&mut model, 9..10), said("verify-data 9"));
        assert_eq!(model.corrected, Some(2));
        // A byte of another codeword that cannot be decoded: that is not known.
        model.flip(Part::Data, 21, 5, 1);
        model.flip(Part::Data, 20, 5, 1);
        for block in [20, 21, 22] {
            model.flip(Part::Data, block, 7, 1);
        }
        assert_eq!(model.direct(9..10), None);
    }

    /// To correct a block of hashes, FEC looks for the hashes of the blocks of data: the same block of
    /// hashes is met again, and is an error then.
    #[test]
    fn fec_of_hashes_records_what_it_meets() {
        let mut model = model(|_| {});
        let leaf = model.layout.levels[0] + 1;
        model.flip(Part::Hash, leaf, 3, 1);
        let (is_read, records) = read(&mut model, 16..17);
        assert!(is_read);
        let expected: Vec<_> = (16..32).map(|i| format!("verify-metadata {i}")).collect();
        assert_eq!(records, expected);
        assert_eq!(model.corrected, Some(1));
        assert_eq!(read(&mut model, 16..32), (true, vec![]), "it is in memory");
    }
}
