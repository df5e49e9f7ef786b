// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A device of dm-integrity, or of dm-crypt above one: it is formatted, written, damaged, read and
//! written again.

use super::geometry::{Geometry, choose};
use super::ground::{NAME, TAGS};
use super::log::Record;
use super::model::{Model, PAGE, Part, Recalculated};
use super::oracle::{Cached, Oracle, Prediction};
use super::pattern::fill;
use super::round::{LARGEST, Round, create, length, read_bytes, read_into_buffer};
use super::script::dd;
use super::superblock;
use crate::mapper::{Access, Number, Suspend, Which};
use crate::sys;
use crate::tools::corrupt::{Direct, Place, descend, with_buffer};
use anyhow::{Context, Result, ensure};
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::below::What;
use dmns_audit_layout::integrity::{FIXED_HMAC, Section, Superblock};
use dmns_audit_layout::table::Table;
use nix::libc;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a table is refused with. C: `dm_integrity_disable_recalculate()`.
const DISABLED: &str = "Recalculating with HMAC is disabled for security reasons - if you really need it, \
                        use the argument \"legacy_recalculate\"";

/// A byte of a block that can be corrupted, found while the mapping was active.
struct Victim {
    sector: u64,
    part: Part,
    byte: u64,
    mask: u8,
    place: Place,
}

/// A device with its model.
struct Life<'a, 'b> {
    round: &'a mut Round<'b>,
    geometry: &'a Geometry,
    dev: Number,
    table: Table,
    model: Model,
}

/// Tortures a device with these options.
pub(super) fn torture(round: &mut Round<'_>, geometry: &Geometry) -> Result<()> {
    let provided = geometry.provided()?;
    let lower = prepare(round, geometry)?;
    let dev = round.mapper.create(NAME)?;
    let table = geometry.table(provided, lower, round.ground.metadata());
    let mut life = Life {
        geometry,
        dev,
        model: Model::new(geometry, provided, dev.to_string(), lower.to_string()),
        table,
        round,
    };
    life.format()?;
    for _ in 0..life.round.rng.u8(1..=3) {
        if life.round.part() {
            life.damage_and_use()?;
        }
    }
    life.read_all()?;
    life.close()?;
    life.round.mapper.remove(NAME)?;
    if geometry.mode == 'I' {
        life.round.step("remove the mapping below".to_owned())?;
        life.round.script.run(format!("dmsetup remove {TAGS}"));
        life.round.mapper.remove(TAGS)?;
        // It has a destructor of its own.
        let tags = Model::tags(geometry, lower);
        life.round
            .records(&Prediction::of(vec![tags.destructor()]))?;
    }
    Ok(())
}

/// Makes the devices below. Returns the one with the data.
fn prepare(round: &mut Round<'_>, geometry: &Geometry) -> Result<Number> {
    let lower = round
        .ground
        .prepare(round.mapper, geometry, &mut round.rng)?;
    round.ground.script(round.script);
    if geometry.mode == 'I' {
        round.step("a mapping below that keeps tags".to_owned())?;
        let table = round
            .script
            .table(&geometry.table_of_tags(round.ground.data()));
        round.script.run(format!("dmsetup create {TAGS} {table}"));
        round.script.save_device("tags", TAGS, lower);
        let tags = Model::tags(geometry, lower);
        round.records(&Prediction::of(vec![tags.constructor(None)]))?;
    }
    Ok(lower)
}

impl Life<'_, '_> {
    /// Formats it, and writes all of it.
    fn format(&mut self) -> Result<()> {
        let provided = self.model.length();
        self.round.step(format!("format, {provided} sectors"))?;
        self.round.load(&mut self.model, &self.table)?;
        self.round
            .records(&Prediction::of(vec![self.model.constructor(None)]))?;
        self.learn_salt()?;
        self.round.step("write all".to_owned())?;
        self.round.script.run(format!(
            "dd if=/dev/urandom of=good.img bs=512 count={provided} iflag=fullblock status=none"
        ));
        self.round.script.run(format!(
            "dd if=good.img of=/dev/mapper/{NAME} bs=64K oflag=direct conv=fsync status=none"
        ));
        let mut sector = 0;
        while sector < provided {
            let end = (sector + LARGEST).min(provided);
            self.write(sector..end)?;
            sector = end;
        }
        Ok(())
    }

    /// Reads the salt of hashes.
    fn learn_salt(&mut self) -> Result<()> {
        if self.geometry.crypt.is_some() {
            return Ok(());
        }
        let at = descend(self.round.mapper, self.dev, 0, What::Superblock, 0)?;
        let mut bytes = [0; 512];
        Direct::open(at.device)?.read(at.byte, &mut bytes)?;
        if Superblock::parse(&bytes)?.flags & FIXED_HMAC != 0 {
            self.model.salt = bytes[48..64].to_vec();
        }
        Ok(())
    }

    /// Damages it while it is closed, then uses it.
    fn damage_and_use(&mut self) -> Result<()> {
        let has_journal = self.geometry.mode != 'I';
        let (count, actions) = (self.round.rng.u8(..8), self.round.rng.u8(4..12));
        let spoils_superblock = self.round.rng.u8(..4) == 0;
        let spoils_journal = self.round.rng.u8(..6) == 0;
        let mut victims: Vec<Victim> = Vec::new();
        for _ in 0..count {
            if self.round.element() {
                let victim = self.victim(victims.last())?;
                victims.push(victim);
            }
        }
        let superblock = descend(self.round.mapper, self.dev, 0, What::Superblock, 0)?;
        self.close()?;
        if has_journal && spoils_superblock && self.round.element() {
            self.spoil_superblock(superblock)?;
        }
        if has_journal && spoils_journal && self.round.element() {
            self.spoil_journal(superblock)?;
        }
        for victim in victims {
            self.corrupt(&victim)?;
        }
        self.open(0)?;
        for _ in 0..actions {
            if self.round.element() {
                self.act()?;
            }
        }
        Ok(())
    }

    /// Reads all of it: what the steps have not read may be other than the model has it.
    fn read_all(&mut self) -> Result<()> {
        self.round.step("read all".to_owned())?;
        let file = self.dev.open(Access::Read, libc::O_DIRECT)?;
        let mut all = Prediction::default();
        let mut sector = 0;
        while sector < self.model.length() {
            let range = sector..(sector + LARGEST).min(self.model.length());
            let read = self.model.direct(range.clone());
            let prediction = read.context("a read is not decided")?;
            let flags = "iflag=direct,skip_bytes";
            self.round
                .script_of_read(&prediction, super::round::bytes(&range), flags);
            let read = read_into_buffer(&file, &range);
            self.round.result(&prediction, &range, read)?;
            all.exact.extend(prediction.exact);
            sector = range.end;
        }
        self.round.records_of_read(&mut self.model, &all)
    }

    /// Opens it. The replay of the journal finds `mismatches` entries with data that does not fit.
    fn open(&mut self, mismatches: usize) -> Result<()> {
        let replayed = vec![self.model.event("integrity-replay-journal"); mismatches];
        self.round.open(&mut self.model, &self.table, replayed)
    }

    /// Closes it, and begins the mapping below that keeps tags anew, if there is one: it has tags in
    /// memory, which would hide what is corrupted.
    fn close(&mut self) -> Result<()> {
        self.round.close(&self.model)?;
        if self.geometry.mode != 'I' {
            return Ok(());
        }
        let mapper = self.round.mapper;
        let table = self.geometry.table_of_tags(self.round.ground.data());
        let script = &mut *self.round.script;
        script.run(format!("dmsetup reload {TAGS} {}", script.table(&table)));
        script.run(format!("dmsetup suspend {TAGS}; dmsetup resume {TAGS}"));
        mapper.load(TAGS, &[table], false).context("load")?;
        mapper
            .suspend(TAGS, Suspend::Usual)
            .and_then(|()| mapper.resume(TAGS))
            .context("reload of the mapping below")?;
        let number = mapper.number(Which::Name(TAGS))?;
        let tags = Model::tags(self.geometry, number);
        self.round.records(&Prediction::of(vec![
            tags.constructor(None),
            tags.destructor(),
        ]))?;
        Ok(())
    }

    /// Chooses what to corrupt. Places below are found while the mapping is active.
    fn victim(&mut self, last: Option<&Victim>) -> Result<Victim> {
        let (block, blocks) = (self.model.block(), self.model.length() / self.model.block());
        let rng = &mut self.round.rng;
        let of = match (last, rng.u8(..3)) {
            // A neighbour.
            (Some(last), 0) => (last.sector / block + 1) % blocks,
            _ => rng.u64(..blocks),
        };
        self.victim_in(of)
    }

    /// Chooses what to corrupt of a block.
    fn victim_in(&mut self, block: u64) -> Result<Victim> {
        let (model, rng) = (&self.model, &mut self.round.rng);
        let sector = block * model.block();
        let (part, what, size) = match rng.u8(..3) {
            0 => (Part::Tag, What::Tag, model.tag_size()),
            _ => (Part::Data, What::Data, model.block() * SECTOR),
        };
        let byte = rng.u64(..size);
        let mask = 1 << rng.u8(..8);
        let place = descend(self.round.mapper, self.dev, sector, what, byte)
            .with_context(|| format!("sector {sector}, {what:?}"))?;
        Ok(Victim {
            sector,
            part,
            byte,
            mask,
            place,
        })
    }

    /// Inverts bits of a byte below.
    fn corrupt(&mut self, victim: &Victim) -> Result<()> {
        let mask = victim.mask;
        self.round.step(format!(
            "corrupt the {} of sector {}, byte {} with {mask:#x}: {} byte {}",
            match victim.part {
                Part::Data => "data",
                Part::Tag => "tag",
            },
            victim.sector,
            victim.byte,
            victim.place.device,
            victim.place.byte
        ))?;
        self.round.invert(victim.place, &[mask])?;
        self.model
            .flip(victim.sector, victim.part, victim.byte, mask);
        self.round.sums.corruptions += 1;
        Ok(())
    }

    /// Corrupts the superblock of a mapping that is closed: its table must be refused. Mends it.
    fn spoil_superblock(&mut self, place: Place) -> Result<()> {
        let mut bytes = [0; 512];
        self.round.ground.read(place, &mut bytes)?;
        let damage = superblock::choose(&mut self.round.rng, self.geometry, &bytes);
        self.round.step(format!("superblock: {damage}"))?;
        self.round.covered.note("superblock", damage.name);
        self.round.invert(place, &damage.masks)?;
        self.round.sums.corruptions += 1;
        let event = damage.event.map(|op| self.model.event(op));
        let table = self.table.clone();
        self.refused(&table, damage.error, damage.errno, event)?;
        self.round.invert(place, &damage.masks)
    }

    /// Loads a table that must be refused with `error`, after the record `event` if there is one.
    fn refused(
        &mut self,
        table: &Table,
        error: &str,
        errno: i32,
        event: Option<Record>,
    ) -> Result<()> {
        let command = create(&self.model, &self.round.script.table(table));
        self.round.script.fail(&command);
        let tables = std::slice::from_ref(table);
        let loaded = self.round.mapper.load(NAME, tables, false);
        let refusal = loaded
            .err()
            .context("a table was loaded that must be refused")?;
        ensure!(
            refusal.raw_os_error() == Some(errno),
            "the table is refused with {refusal}, predicted was {}",
            io::Error::from_raw_os_error(errno)
        );
        let mut exact = vec![self.model.constructor(Some(error)), self.model.destructor()];
        exact.extend(event);
        self.round.records(&Prediction::of(exact))?;
        Ok(())
    }

    /// Opens it so that all tags are made anew: whatever data is below is good then. While that is under
    /// way, what has no new tag yet is not verified. C: `dm_integrity_map_continue()`,
    /// `dm_integrity_map_inline()`, `integrity_recalc()`, `integrity_recalc_inline()`.
    fn recalculate(&mut self) -> Result<()> {
        self.close()?;
        let mut table = self.table.clone();
        let options = ["recalculate", "reset_recalculate"];
        table.arguments.extend(options.map(str::to_owned));
        table.arguments[4] = (table.arguments.len() - 5).to_string();
        if self.model.refuses_recalculation() {
            self.round.step("recalculate, must be refused".to_owned())?;
            self.round.covered.note("recalculate", "refused");
            self.refused(&table, DISABLED, libc::EOPNOTSUPP, None)?;
            return self.open(0);
        }
        let bad = self.model.bad_blocks();
        let reads = self.round.rng.bool();
        self.round.step("recalculate".to_owned())?;
        self.round.load(&mut self.model, &table)?;
        self.round
            .records(&Prediction::of(vec![self.model.constructor(None)]))?;
        let recalculated = self.model.recalculate(0..self.model.length());
        self.script_of_change(&recalculated);
        if reads {
            self.note_progress("read under way")?;
            self.read_blocks(&bad)?;
        }
        if self.model.disables_recalculation() {
            // The next table would be refused. C: `dm_integrity_ctr()`.
            self.wait_for_tags()?;
        }
        // The next table, without the options, continues where this one was closed.
        self.note_progress("closed under way")?;
        self.close()?;
        self.open(0)?;
        self.wait_for_tags()?;
        self.round.covered.note("recalculate", "done");
        self.learn(&recalculated.unknown)?;
        self.read_blocks(&bad)
    }

    /// Notes it if tags are being made anew.
    fn note_progress(&mut self, name: &'static str) -> Result<()> {
        if self.recalculated()? < self.model.length() {
            self.round.covered.note("recalculate", name);
        }
        Ok(())
    }

    /// Returns the sector up to which tags were made anew. C: `recalc_sector`.
    fn recalculated(&self) -> Result<u64> {
        let state = self.round.mapper.state(Which::Name(NAME))?;
        Ok(state.first().context("no state")?.number(2)?)
    }

    /// Waits until all tags are made anew.
    fn wait_for_tags(&mut self) -> Result<()> {
        self.round.script.run(format!(
            "until dmsetup status {NAME} | awk '{{ exit $5 != $6 }}'; do sleep 0.1; done"
        ));
        let end = Instant::now() + Duration::from_secs(60);
        while self.recalculated()? < self.model.length() {
            ensure!(Instant::now() < end, "tags are made anew for 60 s");
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Reads blocks, each for itself.
    fn read_blocks(&mut self, blocks: &BTreeSet<u64>) -> Result<()> {
        let size = self.model.block();
        for block in blocks {
            self.round.read_and_compare(
                self.dev,
                &mut self.model,
                block * size..(block + 1) * size,
            )?;
        }
        Ok(())
    }

    /// Learns what blocks have that were discarded, and have tags of their data now.
    fn learn(&mut self, blocks: &[u64]) -> Result<()> {
        let size = self.model.block();
        let file = self.dev.open(Access::Read, libc::O_DIRECT)?;
        for block in blocks {
            let sectors = block * size..(block + 1) * size;
            let data = read_into_buffer(&file, &sectors).context("a block that was discarded")?;
            let at = sectors.start * SECTOR;
            let more = format!(
                "skip={at} seek={at} iflag=direct,skip_bytes oflag=seek_bytes conv=notrunc"
            );
            let path = format!("/dev/mapper/{NAME}");
            let script = &mut *self.round.script;
            script.run(dd(&path, "good.img", length(&sectors), &more));
            self.model.store(sectors.start, &data);
        }
        Ok(())
    }

    /// Corrupts a commit id of the journal of a mapping that is closed: all I/O must fail, without a
    /// record. Mends it. C: `replay_journal()`, `find_commit_seq()`.
    fn spoil_journal(&mut self, superblock: Place) -> Result<()> {
        let geometry = self.geometry;
        let (sections, _) = geometry.format().sizes()?;
        let section = Section::new(
            geometry.tag_size,
            geometry.log2_sectors_per_block,
            geometry.journal_mac,
        );
        let rng = &mut self.round.rng;
        let sector = rng.u64(..sections * section.sectors);
        let mask = 1 << rng.u8(..8);
        let place = Place {
            byte: superblock.byte + (8 + sector) * SECTOR + 504 + rng.u64(..8),
            ..superblock
        };
        self.round.step(format!(
            "journal: corrupt the commit id of its sector {sector}"
        ))?;
        self.round.covered.note("journal", "commit id");
        self.round.invert(place, &[mask])?;
        self.round.sums.corruptions += 1;
        // It is not replayed.
        let journal = std::mem::take(&mut self.model.journal);
        self.open(0)?;
        self.model.failed = Some(libc::EIO);
        for _ in 0..2 {
            self.round.read_direct(self.dev, &mut self.model)?;
        }
        self.close()?;
        self.model.failed = None;
        self.model.journal = journal;
        self.round.invert(place, &[mask])
    }

    /// Crashes: what is below when a write is in the journal is what the mapping is opened with. Corrupts
    /// data in the journal, so that the replay finds it, and all I/O fails. Then the journal as it was.
    /// C: `replay_journal()`, `do_journal_write()`.
    fn crash(&mut self) -> Result<()> {
        // If something was written, the journal has nothing from before.
        self.round.suspend(&mut self.model)?;
        let mut journal = std::mem::take(&mut self.model.journal);
        let block = self.model.block();
        let length = self.model.length();
        let first = self.round.rng.u64(..length / block) * block;
        let count = self.round.rng.u64(1..=8).min((length - first) / block);
        let range = first..first + count * block;
        self.round
            .step(format!("write {range:?} into the journal, crash"))?;
        self.round.covered.note("action", "crash");
        self.write_direct(range.clone())?;
        let sectors =
            |(first, bytes): &(u64, Vec<u8>)| *first..*first + bytes.len() as u64 / SECTOR;
        let earlier: Vec<_> = journal.iter().map(sectors).collect();
        journal.push((range.start, self.model.content(range.clone()).to_vec()));
        // Each has a section of its own, and the next one takes the oldest. C: `pad_uncommitted()`.
        let (sections, _) = self.geometry.format().sizes()?;
        journal.drain(..journal.len().saturating_sub(sections as usize));
        self.model.journal = journal;
        self.round.script.run(format!("sync /dev/mapper/{NAME}"));
        self.dev
            .open(Access::Write, 0)?
            .sync_all()
            .context("flush")?;
        let mut places = Vec::new();
        if !self.geometry.journal_crypt {
            for sector in range.clone().step_by(block as usize) {
                let byte = self.round.rng.u64(..504);
                // It has two entries then.
                if earlier.iter().any(|earlier| earlier.contains(&sector)) {
                    continue;
                }
                let at = descend(self.round.mapper, self.dev, sector, What::Journal, byte);
                places.push(at.with_context(|| format!("sector {sector} in the journal"))?);
            }
            let count = self.round.rng.usize(..=places.len());
            self.round.rng.shuffle(&mut places);
            places.truncate(count);
        }
        let copy = self.round.ground.copy(self.geometry)?;
        let copied = self.round.ground.script_of_copy();
        self.round.script.run(copied.0);
        self.close()?;
        self.round.script.run(copied.1.clone());
        self.round.ground.restore(&copy)?;
        if !places.is_empty() {
            self.round
                .step(format!("corrupt {} entries of the journal", places.len()))?;
            self.round.covered.note("journal", "data of entries");
            for place in &places {
                let mask = 1 << self.round.rng.u8(..8);
                self.round.invert(*place, &[mask])?;
                self.round.sums.corruptions += 1;
            }
            self.open(places.len())?;
            self.model.failed = Some(libc::EILSEQ);
            self.round.read_direct(self.dev, &mut self.model)?;
            self.close()?;
            self.model.failed = None;
            self.round.script.run(copied.1);
            self.round.ground.restore(&copy)?;
        }
        self.open(0)?;
        self.round
            .read_and_compare(self.dev, &mut self.model, range)
    }

    /// Crashes while the bitmap has bits of a write, and corrupts blocks. When it is opened, the tags of
    /// all that these bits have are made anew. C: `bitmap_block_work()`, `dm_integrity_resume()`.
    fn crash_with_bitmap(&mut self) -> Result<()> {
        // The bitmap has nothing from before.
        self.round.suspend(&mut self.model)?;
        let range = self.round.range(&self.model);
        let size = self.model.block();
        let (first, end) = (range.start / size, range.end / size);
        let last = self.model.length() / size - 1;
        let superblock = descend(self.round.mapper, self.dev, 0, What::Superblock, 0)?;
        let mut places = Vec::new();
        for sector in range.clone().step_by(size as usize) {
            places.push(descend(
                self.round.mapper,
                self.dev,
                sector,
                What::Bitmap,
                0,
            )?);
        }
        let mut victims = Vec::new();
        for _ in 0..self.round.rng.u8(..4) {
            // Some are near what is written.
            let block = self
                .round
                .rng
                .u64(first.saturating_sub(4)..(end + 4).min(last + 1));
            victims.push(self.victim_in(block)?);
        }
        self.round
            .step(format!("write {range:?}, crash with its bits"))?;
        self.round.covered.note("action", "crash with a bitmap");
        self.write_direct(range.clone())?;
        let copy = self.round.ground.copy(self.geometry)?;
        let copied = self.round.ground.script_of_copy();
        self.round.script.run(copied.0);
        self.close()?;
        self.round.script.run(copied.1);
        self.round.ground.restore(&copy)?;
        let mut bytes = [0; 512];
        self.round.ground.read(superblock, &mut bytes)?;
        let bit = size << Superblock::parse(&bytes)?.log2_blocks_per_bitmap_bit;
        let mut dirty = Vec::new();
        for (sector, place) in range.clone().step_by(size as usize).zip(&places) {
            let mut byte = [0];
            self.round.ground.read(*place, &mut byte)?;
            let mask = 1 << place.bit.context("a bitmap without a bit")?;
            if byte[0] & mask != 0 {
                dirty.push(sector);
            }
        }
        // They are cleared after some seconds; once tags were made anew, the last one stays. C:
        // `bitmap_flush_work()`.
        let last_bit = (self.model.length() - 1) / bit * bit;
        ensure!(
            dirty.len() == places.len() || dirty.iter().all(|sector| *sector >= last_bit),
            "the bitmap has bits of {dirty:?}"
        );
        for victim in &victims {
            self.corrupt(victim)?;
        }
        let bad = self.model.bad_blocks();
        self.open(0)?;
        if let (Some(first), Some(last)) = (dirty.first(), dirty.last()) {
            let end = (last + size).next_multiple_of(bit).min(self.model.length());
            let region = first / bit * bit..end;
            let recalculated = self.model.recalculate(region);
            self.script_of_change(&recalculated);
            self.round.covered.note("recalculate", "bits");
            self.wait_for_tags()?;
            self.learn(&recalculated.unknown)?;
        }
        self.read_blocks(&bad)?;
        self.round
            .read_and_compare(self.dev, &mut self.model, range)
    }

    /// Adds to the script that what was inverted below is good now.
    fn script_of_change(&mut self, recalculated: &Recalculated) {
        for (byte, mask) in &recalculated.changed {
            let command = format!("corrupt-bytes --mask {mask} good.img {byte}");
            self.round.script.run(command);
        }
    }

    /// Does one thing with an active mapping.
    fn act(&mut self) -> Result<()> {
        let (dev, model) = (self.dev, &mut self.model);
        match self.round.rng.u8(..24) {
            0..=4 => self.round.read_direct(dev, model),
            5 => self.read_across(),
            6 | 7 => self.round.read_bad(dev, model),
            8 => self.round.read_at_once(dev, model, false),
            22 => self.round.read_at_once(dev, model, true),
            9 | 10 => self.round.read_cached(dev, model, false),
            11 | 12 => self.round.read_cached(dev, model, true),
            13 | 14 => {
                let range = self.round.range(model);
                self.round.step(format!("write {range:?}"))?;
                self.round.covered.note("action", "write");
                self.write_direct(range)
            }
            15 => self.heal(),
            16 if self.geometry.allow_discards => self.discard(),
            16 | 17 => self.round.suspend(model),
            18 if self.geometry.mode == 'J' && self.round.rng.bool() => self.crash(),
            // With `journal_crypt` what is stored is not the bitmap. C: `rw_journal_sectors()`.
            18 if self.geometry.mode == 'B' && !self.geometry.journal_crypt => {
                self.crash_with_bitmap()
            }
            18 => self.round.reload(model, &self.table),
            19 | 20 => self.write_bytes(),
            21 if self.geometry.crypt.is_none() => self.recalculate(),
            _ => {
                // Nothing is in the journal then.
                self.round.suspend(model)?;
                for _ in 0..self.round.rng.u8(..8) {
                    let victim = self.victim(None)?;
                    if victim.part == Part::Data {
                        self.corrupt(&victim)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Reads over the end of a run, near a bad block if there is one.
    fn read_across(&mut self) -> Result<()> {
        let (block, length) = (self.model.block(), self.model.length());
        let bad: Vec<_> = self.model.bad_blocks().into_iter().collect();
        let rng = &mut self.round.rng;
        let near = match bad.is_empty() {
            true => rng.u64(..length / block),
            false => bad[rng.usize(..bad.len())],
        };
        let end = |run: u64| (near * block / run + 1) * run;
        let Some(end) = self.model.run().map(end).filter(|end| *end < length) else {
            return self.round.read_direct(self.dev, &mut self.model);
        };
        let most = LARGEST / 2 / block;
        let begin = end.saturating_sub(rng.u64(1..=most) * block);
        let range = begin..(end + rng.u64(1..=most) * block).min(length);
        self.round.covered.note("action", "read across runs");
        self.round
            .read_and_compare(self.dev, &mut self.model, range)
    }

    /// Writes sectors with one call, and notes the command that does.
    fn write_direct(&mut self, range: Range<u64>) -> Result<()> {
        let script = &mut *self.round.script;
        let seek = format!("seek={}", range.start * SECTOR);
        let more = format!("{seek} oflag=seek_bytes conv=notrunc iflag=fullblock");
        let length = length(&range);
        script.run(dd("/dev/urandom", "good.img", length, &more));
        let more = format!(
            "skip={} {seek} iflag=skip_bytes,fullblock oflag=direct,seek_bytes",
            range.start * SECTOR
        );
        let path = format!("/dev/mapper/{NAME}");
        script.run(dd("good.img", &path, length, &more));
        self.write(range)
    }

    fn write(&mut self, range: Range<u64>) -> Result<()> {
        let round = &mut *self.round;
        round.version += 1;
        round.sums.writes += 1;
        let file = self.dev.open(Access::Write, libc::O_DIRECT)?;
        let (number, version) = (round.number, round.version);
        let bytes = with_buffer(length(&range) as usize, |buffer| {
            for (i, sector) in buffer.chunks_mut(512).enumerate() {
                fill(sector, number, range.start + i as u64, version);
            }
            file.write_all_at(buffer, range.start * SECTOR)?;
            io::Result::Ok(buffer.to_vec())
        })
        .with_context(|| format!("write {range:?}"))?;
        self.model.write(range.start, &bytes);
        Ok(())
    }

    /// Writes bytes through the page cache, where some of its pages are read then.
    fn write_bytes(&mut self) -> Result<()> {
        let end = self.model.length() * SECTOR;
        let bad: Vec<_> = self.model.bad_blocks().into_iter().collect();
        let rng = &mut self.round.rng;
        let length = *choose(rng, &[300, PAGE, 4 * PAGE, 8 * PAGE]);
        let length = rng.u64(1..=length);
        // A bad block is at the begin, at the end, or somewhere.
        let at = match (bad.is_empty(), rng.u8(..3)) {
            (true, _) | (_, 0) => rng.u64(..end),
            (false, back) => {
                let size = self.model.block() * SECTOR;
                let at = bad[rng.usize(..bad.len())] * size + rng.u64(..size);
                at.saturating_sub(u64::from(back - 1) * length)
            }
        };
        let bytes = at..(at + length).min(end);
        let reads = rng.bool();
        // What iomap reads before a write is not modelled, nor a page that ends behind the device. C:
        // `__iomap_write_begin()`, `blkdev_iomap_begin()`.
        if !self.round.has_buffer_heads {
            let page = PAGE / SECTOR;
            let pages = bytes.start / PAGE * page..bytes.end.div_ceil(PAGE) * page;
            if pages.end > self.model.length() || !self.model.bad_within(pages).is_empty() {
                return self.round.leave_out();
            }
        }
        let Some((prediction, most)) = self.model.cached_write(&bytes) else {
            return self.round.leave_out();
        };
        self.round
            .step(format!("write bytes {bytes:?} through the page cache"))?;
        let file = self.dev.open(Access::Write, 0)?;
        sys::flush_pages(&file).context("BLKFLSBUF")?;
        sys::set_read_ahead(&file, 0).context("BLKRASET")?;
        // What is opened from now on has it. C: `file_ra_state_init()`.
        let file = self.dev.open(Access::Write, 0)?;
        let data = self.data_of(&bytes);
        let written = match (file.write_at(&data, bytes.start), prediction.error) {
            (Ok(written), Some(_)) => {
                let end = bytes.start + written as u64;
                ensure!(
                    written as u64 <= most && end % PAGE == 0,
                    "{written} bytes are written, at most {most} and whole pages were predicted"
                );
                written
            }
            (Ok(written), None) => {
                ensure!(written == data.len(), "{written} bytes are written");
                written
            }
            (Err(error), predicted) => {
                ensure!(
                    predicted.is_some() && error.raw_os_error() == predicted,
                    "{error} of a write, {predicted:?} was predicted"
                );
                0
            }
        };
        let name = match (written, prediction.error) {
            (0, _) => "write fails",
            (_, Some(_)) => "write ends early",
            (_, None) => "write",
        };
        self.round.covered.note("bytes", name);
        self.script_of_cached_write(&bytes, bytes.start + written as u64);
        self.round.script.expect(&prediction);
        self.round.records_of_read(&mut self.model, &prediction)?;
        if written == 0 {
            return Ok(());
        }
        self.model.write_bytes(bytes.start, &data[..written]);
        let page = PAGE / SECTOR;
        let begin = bytes.start / PAGE * page;
        let around = begin..(bytes.end.div_ceil(PAGE) * page).min(self.model.length());
        if reads {
            // The buffers that were written are not read, whichever folio they are in.
            let how = Cached {
                before: 0,
                ahead: 0,
                error: libc::EIO,
                tries: 3,
            };
            let prediction = self.model.cached(around.clone(), how);
            let prediction = prediction.context("a read is not decided")?;
            self.round
                .step(format!("read {around:?} from the page cache"))?;
            self.round.covered.note("bytes", "read what is not stored");
            let all = super::round::bytes(&around);
            self.round
                .script_of_read(&prediction, all.clone(), "iflag=skip_bytes");
            let read = read_bytes(&file, &all);
            self.round.result(&prediction, &around, read)?;
            self.round.records_of_read(&mut self.model, &prediction)?;
        }
        file.sync_all().context("fsync")?;
        drop(file);
        self.round
            .read_and_compare(self.dev, &mut self.model, around)
    }

    /// Returns what is written to bytes now.
    fn data_of(&mut self, bytes: &Range<u64>) -> Vec<u8> {
        self.round.version += 1;
        self.round.sums.writes += 1;
        let first = bytes.start / SECTOR;
        let mut data = vec![0; (bytes.end.div_ceil(SECTOR) - first) as usize * 512];
        for (i, sector) in data.chunks_mut(512).enumerate() {
            fill(
                sector,
                self.round.number,
                first + i as u64,
                self.round.version,
            );
        }
        data.drain(..(bytes.start % SECTOR) as usize);
        data.truncate((bytes.end - bytes.start) as usize);
        data
    }

    /// Notes a write through the page cache, which fails at `end`.
    fn script_of_cached_write(&mut self, bytes: &Range<u64>, end: u64) {
        let script = &mut *self.round.script;
        let path = format!("/dev/mapper/{NAME}");
        if end > bytes.start {
            let seek = format!("seek={} oflag=seek_bytes iflag=fullblock", bytes.start);
            let length = end - bytes.start;
            let more = format!("{seek} conv=notrunc");
            script.run(dd("/dev/urandom", "good.img", length, &more));
            let more = format!("skip={} iflag=skip_bytes {seek} conv=fsync", bytes.start);
            script.run(dd("good.img", &path, length, &more));
        }
        if end < bytes.end {
            let more = format!("seek={end} oflag=seek_bytes");
            script.fail(&dd("/dev/zero", &path, bytes.end - end, &more));
        }
    }

    /// Overwrites a block that is bad, and reads it.
    fn heal(&mut self) -> Result<()> {
        let bad: Vec<_> = self.model.bad_blocks().into_iter().collect();
        if bad.is_empty() {
            return self.round.read_direct(self.dev, &mut self.model);
        }
        let block = self.model.block();
        let first = bad[self.round.rng.usize(..bad.len())] * block;
        let range = first..first + block;
        self.round.step(format!("heal {range:?}"))?;
        self.round.covered.note("action", "heal");
        self.write_direct(range.clone())?;
        self.round
            .read_and_compare(self.dev, &mut self.model, range)
    }

    fn discard(&mut self) -> Result<()> {
        let range = self.round.range(&self.model);
        self.round.step(format!("discard {range:?}"))?;
        self.round.covered.note("action", "discard");
        self.round.script.run(format!(
            "blkdiscard --offset {} --length {} /dev/mapper/{NAME}",
            range.start * SECTOR,
            (range.end - range.start) * SECTOR
        ));
        let file = self.dev.open(Access::Write, 0)?;
        sys::discard(
            &file,
            range.start * SECTOR,
            (range.end - range.start) * SECTOR,
        )
        .with_context(|| format!("discard {range:?}"))?;
        self.model.discard(range.clone());
        self.round
            .read_and_compare(self.dev, &mut self.model, range)
    }
}
