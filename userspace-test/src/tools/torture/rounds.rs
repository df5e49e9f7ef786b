// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Devices of dm-integrity, one after the other: each is formatted, written, damaged, read and written
//! again, while the model predicts every result and every record.

use super::geometry::{Covered, Geometry};
use super::ground::{Ground, NAME, TAGS};
use super::log::Log;
use super::model::{Model, Part, Prediction};
use super::pattern::fill;
use super::superblock;
use crate::mapper::{Mapper, Number, Suspend, Which};
use crate::sys;
use crate::tools::corrupt::{Direct, Place, descend, with_buffer};
use anyhow::{Context, Result, bail, ensure};
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::below::What;
use dmns_audit_layout::integrity::{FIXED_HMAC, Section, Superblock};
use dmns_audit_layout::table::Table;
use fastrand::Rng;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The most sectors of a read or a write: one bio has them.
const LARGEST: u64 = 128;

/// Sectors that are read ahead.
const AHEAD: u64 = 64;

/// Corrupt random devices of dm-integrity, and compare all that follows with a model.
#[derive(clap::Args)]
pub(crate) struct Torture {
    /// Decides all choices.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Minutes to run.
    #[arg(long, default_value_t = 1)]
    pub(crate) minutes: u64,
    /// The number of devices, instead of the minutes.
    #[arg(long)]
    pub(crate) devices: Option<u64>,
    /// The first device, by its number.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Print each step.
    #[arg(long)]
    steps: bool,
}

impl Torture {
    /// Returns the command that has these options.
    pub(crate) fn command(&self) -> String {
        let mut command = format!("torture --seed {} --minutes {}", self.seed, self.minutes);
        command += &format!(" --first {}", self.first);
        if let Some(devices) = self.devices {
            command += &format!(" --devices {devices}");
        }
        if self.steps {
            command += " --steps";
        }
        command
    }
}

/// Tortures devices until the time is up or one differs from the model.
pub(crate) fn run(options: &Torture) -> Result<ExitCode> {
    let begin = Instant::now();
    let is_over = |device: u64| match options.devices {
        Some(count) => device >= options.first + count,
        None => begin.elapsed() >= Duration::from_secs(options.minutes * 60),
    };
    let mapper = Mapper::open()?;
    let mut ground = Ground::new(&mapper)?;
    let mut log = Log::open()?;
    let mut sums = Sums::default();
    let mut covered = Covered::default();
    let mut device = options.first;
    let mut said = 0;
    while !is_over(device) {
        let mut rng = Rng::with_seed(options.seed.wrapping_mul(1_000_003).wrapping_add(device));
        let geometry = Geometry::random(&mut rng, false);
        geometry.cover(&mut covered);
        let mut steps = Vec::new();
        let mut round = Round {
            mapper: &mapper,
            ground: &mut ground,
            log: &mut log,
            rng,
            number: device,
            version: 0,
            steps: &mut steps,
            prints: options.steps,
            sums: &mut sums,
            covered: &mut covered,
        };
        if let Err(e) = round.all(&geometry) {
            println!("FAILED seed {} device {device}", options.seed);
            println!("  {}", shown(&geometry, &ground));
            for (i, step) in steps.iter().enumerate() {
                println!("  {i}: {step}");
            }
            println!("  {e:#}");
            println!(
                "again: torture --seed {} --first {device} --devices 1",
                options.seed
            );
            for name in [NAME, TAGS] {
                // Whatever is there.
                let _ = mapper.remove(name);
            }
            ground.remove(&mapper)?;
            return Ok(ExitCode::FAILURE);
        }
        device += 1;
        if begin.elapsed().as_secs() / 10 > said {
            said = begin.elapsed().as_secs() / 10;
            eprintln!(
                "seed {} device {device}, {} s: {} records",
                options.seed,
                begin.elapsed().as_secs(),
                sums.records
            );
        }
    }
    ground.remove(&mapper)?;
    covered.print();
    println!(
        "seed {}: {} devices in {} s, {} corruptions, {} reads, {} of them failed, {} writes, {} \
         records predicted and matched",
        options.seed,
        device - options.first,
        begin.elapsed().as_secs(),
        sums.corruptions,
        sums.reads,
        sums.failed,
        sums.writes,
        sums.records
    );
    Ok(ExitCode::SUCCESS)
}

fn shown(geometry: &Geometry, ground: &Ground) -> String {
    let table = geometry.table(0, ground.data(), ground.metadata());
    format!(
        "integrity {}, {} sectors below",
        table.arguments.join(" "),
        geometry.data_sectors
    )
}

#[derive(Default)]
struct Sums {
    corruptions: u64,
    reads: u64,
    failed: u64,
    writes: u64,
    records: u64,
}

/// One device.
struct Round<'a> {
    mapper: &'a Mapper,
    ground: &'a mut Ground,
    log: &'a mut Log,
    rng: Rng,
    number: u64,
    /// How often something was written.
    version: u64,
    steps: &'a mut Vec<String>,
    prints: bool,
    sums: &'a mut Sums,
    covered: &'a mut Covered,
}

/// A byte of a block that can be corrupted, found while the mapping was active.
struct Target {
    sector: u64,
    part: Part,
    byte: u64,
    place: Place,
}

impl Round<'_> {
    fn step(&mut self, text: String) {
        if self.prints {
            println!("device {} step {}: {text}", self.number, self.steps.len());
        }
        self.steps.push(text);
    }

    /// Compares the records since the last call with those predicted.
    fn records(&mut self, prediction: &Prediction) -> Result<u64> {
        let records = self.log.records()?;
        let differences = prediction.compare(&records);
        ensure!(differences.is_empty(), "{}", differences.join("\n  "));
        self.sums.records += records.len() as u64;
        let violations = records
            .iter()
            .filter(|record| record.op == "integrity-checksum");
        Ok(violations.count() as u64)
    }

    fn all(&mut self, geometry: &Geometry) -> Result<()> {
        let (_, provided) = geometry.format().sizes()?;
        let lower = self.prepare(geometry)?;
        let dev = self.mapper.create(NAME)?;
        let mut model = Model::new(geometry, provided, dev.to_string(), lower.to_string());
        let table = geometry.table(provided, lower, self.ground.metadata());
        self.step(format!("format, {provided} sectors"));
        self.mapper
            .load(NAME, std::slice::from_ref(&table), false)
            .context("load")?;
        self.mapper.resume(NAME).context("resume")?;
        self.records(&Prediction {
            exact: vec![model.constructor(None)],
            ..Prediction::default()
        })?;
        self.learn_salt(dev, &mut model)?;
        self.step("write all".to_owned());
        let mut sector = 0;
        while sector < provided {
            let end = (sector + LARGEST).min(provided);
            self.write_direct(dev, &mut model, sector..end)?;
            sector = end;
        }
        for _ in 0..self.rng.u8(1..=3) {
            let targets = self.targets(dev, &model)?;
            let superblock = descend(self.mapper, dev, 0, What::Superblock, 0)?;
            self.close(&mut model)?;
            if geometry.mode != 'I' && self.rng.u8(..4) == 0 {
                self.spoil_superblock(geometry, &model, superblock, &table)?;
            }
            if geometry.mode != 'I' && self.rng.u8(..6) == 0 {
                self.spoil_journal(geometry, &mut model, superblock, &table, dev)?;
            }
            for target in targets {
                self.corrupt(&mut model, &target)?;
            }
            self.open(&mut model, &table)?;
            for _ in 0..self.rng.u8(4..12) {
                self.act(geometry, dev, &mut model, &table)?;
            }
        }
        self.close(&mut model)?;
        self.mapper.remove(NAME)?;
        if geometry.mode == 'I' {
            self.step("remove the mapping below".to_owned());
            self.mapper.remove(TAGS)?;
            // It has a destructor of its own.
            let below = Model::new(geometry, provided, lower.to_string(), lower.to_string());
            self.records(&Prediction {
                exact: vec![below.destructor()],
                ..Prediction::default()
            })?;
        }
        Ok(())
    }

    /// Makes the devices below. Returns the one with the data.
    fn prepare(&mut self, geometry: &Geometry) -> Result<Number> {
        let lower = self.ground.prepare(self.mapper, geometry, &mut self.rng)?;
        if geometry.mode == 'I' {
            self.step("a mapping below that keeps tags".to_owned());
            let below = Model::new(geometry, 0, lower.to_string(), lower.to_string());
            self.records(&Prediction {
                exact: vec![below.constructor(None)],
                ..Prediction::default()
            })?;
        }
        Ok(lower)
    }

    /// Reads the salt of hashes.
    fn learn_salt(&self, dev: Number, model: &mut Model) -> Result<()> {
        let at = descend(self.mapper, dev, 0, What::Superblock, 0)?;
        let mut bytes = [0; 512];
        Direct::open(at.device)?.read(at.byte, &mut bytes)?;
        if Superblock::parse(&bytes)?.flags & FIXED_HMAC != 0 {
            model.salt = bytes[48..64].to_vec();
        }
        Ok(())
    }

    fn open(&mut self, model: &mut Model, table: &Table) -> Result<()> {
        self.open_with(model, table, 0)
    }

    /// Opens it. The replay of the journal finds `mismatches` entries with data that does not fit.
    fn open_with(&mut self, model: &mut Model, table: &Table, mismatches: usize) -> Result<()> {
        self.step("open".to_owned());
        self.mapper
            .load(NAME, std::slice::from_ref(table), false)
            .context("load")?;
        self.mapper.resume(NAME).context("resume")?;
        model.mismatches = 0;
        let mut exact = vec![model.constructor(None)];
        exact.extend(vec![model.event("integrity-replay-journal"); mismatches]);
        self.records(&Prediction {
            exact,
            ..Prediction::default()
        })?;
        Ok(())
    }

    /// Closes the mapping, which keeps its number: its table goes.
    fn close(&mut self, model: &mut Model) -> Result<()> {
        self.step("close".to_owned());
        self.counted(model)?;
        self.mapper.remove(NAME).context("remove")?;
        self.records(&Prediction {
            exact: vec![model.destructor()],
            ..Prediction::default()
        })?;
        let again = self.mapper.create(NAME)?;
        ensure!(
            again.to_string() == model.number(),
            "the mapping has the number {again} now"
        );
        let Some((below, table)) = model.below(self.ground.data()) else {
            return Ok(());
        };
        // The one below has tags in memory, which would hide what is corrupted: it begins anew.
        self.mapper.load(TAGS, &[table], false).context("load")?;
        self.mapper
            .suspend(TAGS, Suspend::Usual)
            .and_then(|()| self.mapper.resume(TAGS))
            .context("reload of the mapping below")?;
        self.records(&Prediction {
            exact: vec![below.constructor(None), below.destructor()],
            ..Prediction::default()
        })?;
        Ok(())
    }

    /// Compares what the target has counted with the records. C: `number_of_mismatches`.
    fn counted(&self, model: &Model) -> Result<()> {
        let state = self.mapper.state(Which::Name(NAME))?;
        // A target that has failed counts the tags that it does not write, too.
        let Some(line) = state.first().filter(|_| model.failed.is_none()) else {
            return Ok(());
        };
        ensure!(
            line.number(0)? == model.mismatches,
            "the target has counted {} mismatches, {} were recorded",
            line.argument(0),
            model.mismatches
        );
        Ok(())
    }

    /// Chooses what to corrupt. Places below are found while the mapping is active.
    fn targets(&mut self, dev: Number, model: &Model) -> Result<Vec<Target>> {
        let mut targets: Vec<Target> = Vec::new();
        for _ in 0..self.rng.u8(..8) {
            let block = match (targets.last(), self.rng.u8(..3)) {
                // A neighbour.
                (Some(last), 0) => {
                    (last.sector / model.block() + 1) % (model.length / model.block())
                }
                _ => self.rng.u64(..model.length / model.block()),
            };
            let sector = block * model.block();
            let (part, what, size) = match self.rng.u8(..3) {
                0 => (Part::Tag, What::Tag, model.tag_size()),
                _ => (Part::Data, What::Data, model.block() * SECTOR),
            };
            let byte = self.rng.u64(..size);
            let place = descend(self.mapper, dev, sector, what, byte)
                .with_context(|| format!("sector {sector}, {what:?}"))?;
            targets.push(Target {
                sector,
                part,
                byte,
                place,
            });
        }
        Ok(targets)
    }

    /// Inverts bits of a byte below.
    fn corrupt(&mut self, model: &mut Model, target: &Target) -> Result<()> {
        let mask = 1 << self.rng.u8(..8);
        self.step(format!(
            "corrupt the {} of sector {}, byte {} with {mask:#x}: {} byte {}",
            match target.part {
                Part::Data => "data",
                Part::Tag => "tag",
            },
            target.sector,
            target.byte,
            target.place.device,
            target.place.byte
        ));
        self.ground.invert(target.place, &[mask])?;
        model.flip(target.sector, target.part, target.byte, mask);
        self.sums.corruptions += 1;
        Ok(())
    }

    /// Corrupts the superblock of a mapping that is closed: its table must be refused. Mends it.
    fn spoil_superblock(
        &mut self,
        geometry: &Geometry,
        model: &Model,
        place: Place,
        table: &Table,
    ) -> Result<()> {
        let mut bytes = [0; 512];
        self.ground.read(place, &mut bytes)?;
        let damage = superblock::choose(&mut self.rng, geometry, &bytes);
        self.step(format!("superblock: {damage}"));
        self.covered.note("superblock", damage.name);
        self.ground.invert(place, &damage.masks)?;
        self.sums.corruptions += 1;
        let loaded = self.mapper.load(NAME, std::slice::from_ref(table), false);
        let error = loaded
            .err()
            .context("a table was loaded that must be refused")?;
        ensure!(
            error.raw_os_error() == Some(damage.errno),
            "the table is refused with {error}, predicted was {}",
            io::Error::from_raw_os_error(damage.errno)
        );
        let mut exact = vec![model.constructor(Some(damage.error)), model.destructor()];
        exact.extend(damage.event.map(|op| model.event(op)));
        self.records(&Prediction {
            exact,
            ..Prediction::default()
        })?;
        self.ground.invert(place, &damage.masks)
    }

    /// Corrupts a commit id of the journal of a mapping that is closed: all I/O must fail, without a
    /// record. Mends it. C: `replay_journal()`, `find_commit_seq()`.
    fn spoil_journal(
        &mut self,
        geometry: &Geometry,
        model: &mut Model,
        superblock: Place,
        table: &Table,
        dev: Number,
    ) -> Result<()> {
        let (sections, _) = geometry.format().sizes()?;
        let section = Section::new(
            geometry.tag_size,
            geometry.log2_sectors_per_block,
            geometry.journal_mac,
        );
        let sector = self.rng.u64(..sections * section.sectors);
        let mask = 1 << self.rng.u8(..8);
        let place = Place {
            byte: superblock.byte + (8 + sector) * SECTOR + 504 + self.rng.u64(..8),
            ..superblock
        };
        self.step(format!(
            "journal: corrupt the commit id of its sector {sector}"
        ));
        self.covered.note("journal", "commit id");
        self.ground.invert(place, &[mask])?;
        self.sums.corruptions += 1;
        self.open(model, table)?;
        model.failed = Some(libc::EIO);
        for _ in 0..2 {
            self.read_direct(dev, model)?;
        }
        self.close(model)?;
        model.failed = None;
        self.ground.invert(place, &[mask])
    }

    /// Crashes: what is below when a write is in the journal is what the mapping is opened with. Corrupts
    /// data in the journal, so that the replay finds it, and all I/O fails. Then the journal as it was.
    /// C: `replay_journal()`, `do_journal_write()`.
    fn crash(
        &mut self,
        geometry: &Geometry,
        dev: Number,
        model: &mut Model,
        table: &Table,
    ) -> Result<()> {
        // The journal has nothing from before.
        self.suspend(model)?;
        let block = model.block();
        let first = self.rng.u64(..model.length / block) * block;
        let count = self.rng.u64(1..=8).min((model.length - first) / block);
        let range = first..first + count * block;
        self.step(format!("write {range:?} into the journal, crash"));
        self.covered.note("action", "crash");
        self.write_direct(dev, model, range.clone())?;
        open(dev, 0)?.sync_all().context("flush")?;
        let mut places = Vec::new();
        if !geometry.journal_crypt {
            for sector in range.clone().step_by(block as usize) {
                let byte = self.rng.u64(..504);
                let at = descend(self.mapper, dev, sector, What::Journal, byte);
                places.push(at.with_context(|| format!("sector {sector} in the journal"))?);
            }
            let count = self.rng.usize(..=places.len());
            self.rng.shuffle(&mut places);
            places.truncate(count);
        }
        let copy = self.ground.copy(geometry)?;
        self.close(model)?;
        self.ground.restore(&copy)?;
        if !places.is_empty() {
            self.step(format!("corrupt {} entries of the journal", places.len()));
            self.covered.note("journal", "data of entries");
            for place in &places {
                self.ground.invert(*place, &[1 << self.rng.u8(..8)])?;
                self.sums.corruptions += 1;
            }
            self.open_with(model, table, places.len())?;
            model.failed = Some(libc::EILSEQ);
            self.read_direct(dev, model)?;
            self.close(model)?;
            model.failed = None;
            self.ground.restore(&copy)?;
        }
        self.open(model, table)?;
        self.read_and_compare(dev, model, range)
    }

    /// Does one thing with an active mapping.
    fn act(
        &mut self,
        geometry: &Geometry,
        dev: Number,
        model: &mut Model,
        table: &Table,
    ) -> Result<()> {
        match self.rng.u8(..20) {
            0..=5 => self.read_direct(dev, model),
            6 | 7 => self.read_bad(dev, model),
            8 => self.read_in_threads(dev, model),
            9 | 10 => self.read_cached(dev, model, false),
            11 | 12 => self.read_cached(dev, model, true),
            13 | 14 => {
                let range = self.range(model);
                self.step(format!("write {range:?}"));
                self.covered.note("action", "write");
                self.write_direct(dev, model, range)
            }
            15 => self.heal(dev, model),
            16 if geometry.allow_discards => self.discard(dev, model),
            16 | 17 => self.suspend(model),
            18 if geometry.mode == 'J' && self.rng.bool() => {
                self.crash(geometry, dev, model, table)
            }
            18 => self.reload(model, table),
            _ => {
                // Nothing is in the journal then.
                self.suspend(model)?;
                let targets = self.targets(dev, model)?;
                for target in targets.iter().filter(|target| target.part == Part::Data) {
                    self.corrupt(model, target)?;
                }
                Ok(())
            }
        }
    }

    /// Returns a range of whole blocks.
    fn range(&mut self, model: &Model) -> Range<u64> {
        let block = model.block();
        let first = self.rng.u64(..model.length / block) * block;
        let most = LARGEST.min(model.length - first) / block;
        let count = match self.rng.bool() {
            true => 1,
            false => self.rng.u64(1..=most),
        };
        first..first + count * block
    }

    fn read_direct(&mut self, dev: Number, model: &mut Model) -> Result<()> {
        let range = self.range(model);
        self.covered.note("action", "read");
        self.read_and_compare(dev, model, range)
    }

    /// Reads around a block that is bad, if there is one.
    fn read_bad(&mut self, dev: Number, model: &mut Model) -> Result<()> {
        let bad: Vec<_> = model.bad_blocks().into_iter().collect();
        if bad.is_empty() {
            return self.read_direct(dev, model);
        }
        let block = model.block();
        let bad = bad[self.rng.usize(..bad.len())];
        let begin = bad.saturating_sub(self.rng.u64(..4));
        let end = (bad + 1 + self.rng.u64(..4)).min(model.length / block);
        self.covered.note("action", "read a bad block");
        self.read_and_compare(dev, model, begin * block..end * block)
    }

    fn read_and_compare(
        &mut self,
        dev: Number,
        model: &mut Model,
        range: Range<u64>,
    ) -> Result<()> {
        let prediction = model.read(range.clone());
        self.step(format!("read {range:?}"));
        let file = open(dev, libc::O_DIRECT)?;
        let read = read_into_buffer(&file, &range);
        self.result(model, &prediction, &range, read)?;
        model.mismatches += self.records(&prediction)?;
        Ok(())
    }

    /// Compares what a read returns with what was predicted.
    fn result(
        &mut self,
        model: &Model,
        prediction: &Prediction,
        range: &Range<u64>,
        read: io::Result<Vec<u8>>,
    ) -> Result<()> {
        self.sums.reads += 1;
        match (read, prediction.error) {
            (Ok(bytes), None) => ensure!(
                !model.is_known(range.clone()) || bytes == model.content(range.clone()),
                "WRONG DATA without an error, of sectors {range:?}"
            ),
            (Ok(_), Some(error)) => bail!(
                "sectors {range:?} are read, {} was predicted",
                io::Error::from_raw_os_error(error)
            ),
            (Err(error), Some(predicted)) => {
                self.sums.failed += 1;
                ensure!(
                    error.raw_os_error() == Some(predicted),
                    "{error} of sectors {range:?}, {} was predicted",
                    io::Error::from_raw_os_error(predicted)
                );
            }
            (Err(error), None) => bail!("{error} of sectors {range:?}, data was predicted"),
        }
        Ok(())
    }

    fn read_in_threads(&mut self, dev: Number, model: &mut Model) -> Result<()> {
        let ranges: Vec<_> = (0..3).map(|_| self.range(model)).collect();
        self.step(format!("read {ranges:?} in threads"));
        self.covered.note("action", "read in threads");
        let file = open(dev, libc::O_DIRECT)?;
        let reads: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = ranges
                .iter()
                .map(|range| scope.spawn(|| read_into_buffer(&file, range)))
                .collect();
            let ends = threads.into_iter().map(|thread| thread.join());
            ends.collect()
        });
        let mut all = Prediction::default();
        for (range, read) in ranges.iter().zip(reads) {
            let prediction = model.read(range.clone());
            let read = read.map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            self.result(model, &prediction, range, read)?;
            all.exact.extend(prediction.exact);
        }
        model.mismatches += self.records(&all)?;
        Ok(())
    }

    /// Reads through the page cache, with read(2) or mmap(2).
    fn read_cached(&mut self, dev: Number, model: &mut Model, mapped: bool) -> Result<()> {
        let range = self.range(model);
        let page = range.start / 8 * 8;
        let range = if mapped { page..range.end } else { range };
        let ahead = if self.rng.bool() { AHEAD } else { 0 };
        let name = match (mapped, ahead > 0) {
            (true, true) => "mmap, ahead",
            (true, false) => "mmap",
            (false, true) => "read cached, ahead",
            (false, false) => "read cached",
        };
        self.step(format!("{name} {range:?}"));
        self.covered.note("action", name);
        let file = open(dev, 0)?;
        sys::flush_pages(&file).context("BLKFLSBUF")?;
        sys::set_read_ahead(&file, ahead as u32).context("BLKRASET")?;
        // What is opened from now on has it. C: `file_ra_state_init()`.
        let file = open(dev, 0)?;
        let length = (range.end - range.start) as usize * 512;
        let begin = range.start * SECTOR;
        // A fault reads around the page. C: `do_sync_mmap_readahead()`.
        let (before, error) = match mapped {
            true => (ahead, libc::EFAULT),
            false => (0, libc::EIO),
        };
        // A window may be twice as large as is said, and the next one begin. C: `get_init_ra_size()`.
        let prediction = model.read_cached(range.clone(), before, ahead * 4, error);
        let read = match mapped {
            true => sys::read_mapped(&file, begin, length),
            false => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, begin).map(|()| bytes)
            }
        };
        // A read through the cache returns what was read before the page that fails.
        self.result(model, &prediction, &range, read)?;
        // It waits for what is read ahead.
        self.mapper
            .suspend(NAME, Suspend::NoFlush)
            .context("suspend")?;
        self.mapper.resume(NAME).context("resume")?;
        model.mismatches += self.records(&prediction)?;
        Ok(())
    }

    fn write_direct(&mut self, dev: Number, model: &mut Model, range: Range<u64>) -> Result<()> {
        self.version += 1;
        self.sums.writes += 1;
        let length = (range.end - range.start) as usize * 512;
        let file = open(dev, libc::O_DIRECT)?;
        let (number, version) = (self.number, self.version);
        let bytes = with_buffer(length, |buffer| {
            for (i, sector) in buffer.chunks_mut(512).enumerate() {
                fill(sector, number, range.start + i as u64, version);
            }
            file.write_all_at(buffer, range.start * SECTOR)?;
            io::Result::Ok(buffer.to_vec())
        })
        .with_context(|| format!("write {range:?}"))?;
        model.write(range.start, &bytes);
        Ok(())
    }

    /// Overwrites a block that is bad, and reads it.
    fn heal(&mut self, dev: Number, model: &mut Model) -> Result<()> {
        let bad: Vec<_> = model.bad_blocks().into_iter().collect();
        if bad.is_empty() {
            return self.read_direct(dev, model);
        }
        let first = bad[self.rng.usize(..bad.len())] * model.block();
        let range = first..first + model.block();
        self.step(format!("heal {range:?}"));
        self.covered.note("action", "heal");
        self.write_direct(dev, model, range.clone())?;
        self.read_and_compare(dev, model, range)
    }

    fn discard(&mut self, dev: Number, model: &mut Model) -> Result<()> {
        let range = self.range(model);
        self.step(format!("discard {range:?}"));
        self.covered.note("action", "discard");
        let file = open(dev, 0)?;
        sys::discard(
            &file,
            range.start * SECTOR,
            (range.end - range.start) * SECTOR,
        )
        .with_context(|| format!("discard {range:?}"))?;
        model.discard(range.clone());
        self.read_and_compare(dev, model, range)
    }

    fn suspend(&mut self, model: &Model) -> Result<()> {
        let how = match self.rng.bool() {
            true => Suspend::Usual,
            false => Suspend::NoFlush,
        };
        self.step(format!("suspend ({how:?}), resume"));
        self.covered.note("action", "suspend");
        self.counted(model)?;
        self.mapper.suspend(NAME, how).context("suspend")?;
        self.mapper.resume(NAME).context("resume")?;
        self.records(&Prediction::default())?;
        Ok(())
    }

    fn reload(&mut self, model: &mut Model, table: &Table) -> Result<()> {
        self.step("reload".to_owned());
        self.covered.note("action", "reload");
        self.counted(model)?;
        self.mapper
            .load(NAME, std::slice::from_ref(table), false)
            .context("load")?;
        self.mapper
            .suspend(NAME, Suspend::Usual)
            .context("suspend")?;
        self.mapper.resume(NAME).context("resume")?;
        model.mismatches = 0;
        self.records(&Prediction {
            exact: vec![model.constructor(None), model.destructor()],
            ..Prediction::default()
        })?;
        Ok(())
    }
}

fn open(device: Number, flags: i32) -> Result<File> {
    let path = device.path()?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(&path)
        .with_context(|| path.display().to_string())
}

/// Reads sectors with one call.
fn read_into_buffer(file: &File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = (range.end - range.start) as usize * 512;
    with_buffer(length, |buffer| {
        let read = file.read_at(buffer, range.start * SECTOR)?;
        match read == length {
            true => Ok(buffer.to_vec()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    })
}
