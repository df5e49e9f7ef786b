// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! One device while it is tortured: what is done with every target, compared with its model.

use super::geometry::Covered;
use super::ground::{Ground, NAME};
use super::log::{Log, Record};
use super::model::PAGE;
use super::oracle::{Cached, Oracle, Prediction};
use super::script::{Script, dd};
use crate::mapper::{Access, Mapper, Number, Suspend, Which};
use crate::sys;
use crate::tools::corrupt::{Place, with_buffer};
use anyhow::{Context, Result, bail, ensure};
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::table::Table;
use fastrand::Rng;
use nix::libc;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The most sectors of a read or a write: one bio has them.
pub(super) const LARGEST: u64 = 128;

/// Sectors that are read ahead.
const AHEAD: u64 = 64;

/// The numbers of elements that each part has for itself.
const ELEMENTS_OF_PART: u32 = 1000;

/// How often something was done.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) corruptions: u64,
    pub(super) reads: u64,
    pub(super) failed: u64,
    pub(super) writes: u64,
    pub(super) records: u64,
}

/// The elements of a run: what can be left out without a change of the others.
///
/// Each element has choices of its own, by its number. The elements of a part are numbered from a
/// multiple of [`ELEMENTS_OF_PART`] on.
pub(super) struct Elements<'a> {
    seed: u64,
    next: u32,
    skip: &'a BTreeSet<u32>,
    /// Those that were met, and not left out.
    pub(super) met: Vec<u32>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(seed: u64, skip: &'a BTreeSet<u32>) -> Self {
        Self {
            seed,
            next: 0,
            skip,
            met: Vec::new(),
        }
    }

    /// Begins the next element. Returns its choices, or `None` if it is left out.
    fn next(&mut self) -> Option<Rng> {
        let number = self.next;
        self.next += 1;
        if self.skip.contains(&number) {
            return None;
        }
        self.met.push(number);
        let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(Rng::with_seed(seed.wrapping_add(u64::from(number))))
    }

    fn next_part(&mut self) {
        self.next = (self.next / ELEMENTS_OF_PART + 1) * ELEMENTS_OF_PART;
    }
}

/// One device.
pub(super) struct Round<'a> {
    pub(super) mapper: &'a Mapper,
    pub(super) ground: &'a mut Ground,
    pub(super) log: &'a mut Log,
    pub(super) rng: Rng,
    pub(super) elements: Elements<'a>,
    pub(super) number: u64,
    /// Whether the page cache of a device has buffer heads. Without them it uses iomap.
    pub(super) has_buffer_heads: bool,
    /// How often something was written.
    pub(super) version: u64,
    pub(super) steps: &'a mut Vec<String>,
    pub(super) script: &'a mut Script,
    pub(super) prints: bool,
    /// Whether what reads return is what was written.
    pub(super) compares: bool,
    pub(super) sums: &'a mut Sums,
    pub(super) covered: &'a mut Covered,
}

impl Round<'_> {
    /// Notes what is done next. Fails if the run was interrupted.
    pub(super) fn step(&mut self, text: String) -> Result<()> {
        if self.prints {
            println!("device {} step {}: {text}", self.number, self.steps.len());
        }
        self.script.begin(&text);
        self.steps.push(text);
        match interrupted() {
            true => Err(Interrupted.into()),
            false => Ok(()),
        }
    }

    /// Begins an element, with choices of its own. Returns false if it is left out.
    pub(super) fn element(&mut self) -> bool {
        match self.elements.next() {
            Some(rng) => {
                self.rng = rng;
                true
            }
            None => false,
        }
    }

    /// Begins a part: an element that has elements.
    pub(super) fn part(&mut self) -> bool {
        self.elements.next_part();
        self.element()
    }

    /// Compares the records since the last call with those predicted, and adds these to the script.
    pub(super) fn records(&mut self, prediction: &Prediction) -> Result<Vec<Record>> {
        self.script.expect(prediction);
        self.compare(prediction)
    }

    /// Compares the records since the last call with those predicted.
    fn compare(&mut self, prediction: &Prediction) -> Result<Vec<Record>> {
        let mut records = self.log.records()?;
        let mut differences = prediction.compare(&records);
        if !differences.is_empty() {
            // What auditd did not read in time is sent again, behind later messages. C:
            // `kauditd_hold_skb()`.
            records.extend(self.log.records()?);
            differences = prediction.compare(&records);
        }
        ensure!(differences.is_empty(), "{}", differences.join("\n  "));
        self.sums.records += records.len() as u64;
        Ok(records)
    }

    /// Compares the records of a read, which are in the script, with those predicted.
    pub(super) fn records_of_read(
        &mut self,
        model: &mut dyn Oracle,
        prediction: &Prediction,
    ) -> Result<()> {
        let records = self.compare(prediction)?;
        model.recorded(&records);
        Ok(())
    }

    /// Loads the table, and makes it active.
    pub(super) fn load(&mut self, model: &mut dyn Oracle, table: &Table) -> Result<()> {
        self.script.run(create(model, &self.script.table(table)));
        let number = Number::parse(model.number()).context("the mapping has no number")?;
        self.script.save_device("dev", NAME, number);
        self.mapper
            .load(NAME, std::slice::from_ref(table), model.is_read_only())
            .context("load")?;
        self.mapper.resume(NAME).context("resume")?;
        self.script.is_loose = false;
        model.loaded();
        Ok(())
    }

    /// Opens the mapping, which records `more` in addition to its constructor.
    pub(super) fn open(
        &mut self,
        model: &mut dyn Oracle,
        table: &Table,
        more: Vec<Record>,
    ) -> Result<()> {
        self.step("open".to_owned())?;
        self.load(model, table)?;
        let mut exact = vec![model.constructor(None)];
        exact.extend(more);
        self.records(&Prediction::of(exact))?;
        Ok(())
    }

    /// Closes the mapping, which keeps its number: its table goes.
    pub(super) fn close(&mut self, model: &dyn Oracle) -> Result<()> {
        self.step("close".to_owned())?;
        self.status(model)?;
        self.script.run(format!("dmsetup remove {NAME}"));
        self.mapper.remove(NAME).context("remove")?;
        self.records(&Prediction::of(vec![model.destructor()]))?;
        let again = self.mapper.create(NAME)?;
        ensure!(
            again.to_string() == model.number(),
            "the mapping has the number {again} now"
        );
        Ok(())
    }

    /// Inverts bits of bytes below, from a place on.
    pub(super) fn invert(&mut self, place: Place, masks: &[u8]) -> Result<()> {
        let image = self.ground.image(place.device)?;
        for (i, mask) in masks.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            let byte = place.byte + i as u64;
            let command = format!("corrupt-bytes --mask {mask} {image} {byte}");
            self.script.run(command);
        }
        self.ground.invert(place, masks)
    }

    /// Compares what the target says of itself with the model.
    pub(super) fn status(&mut self, model: &dyn Oracle) -> Result<()> {
        self.script_of_status(model);
        let state = self.mapper.state(Which::Name(NAME))?;
        let Some(line) = state.first() else {
            return Ok(());
        };
        for predicted in model.status() {
            let is = line.argument(predicted.index);
            ensure!(
                (is == predicted.word) == predicted.is_equal,
                "the target's status has {is:?} for {}, predicted was {}{:?}",
                predicted.what,
                if predicted.is_equal {
                    ""
                } else {
                    "another than "
                },
                predicted.word
            );
        }
        Ok(())
    }

    /// Adds the comparison of the target's status to the script.
    fn script_of_status(&mut self, model: &dyn Oracle) {
        if self.script.is_loose {
            // The kernel may count others.
            return;
        }
        for predicted in model.status() {
            // Start, length and target come before.
            let (index, word) = (predicted.index + 4, predicted.word);
            let differs = if predicted.is_equal { "!=" } else { "==" };
            self.script.run(format!(
                "dmsetup status {NAME} | awk '{{ exit ${index} {differs} \"{word}\" }}'"
            ));
        }
    }

    /// Returns a range of whole blocks.
    pub(super) fn range(&mut self, model: &dyn Oracle) -> Range<u64> {
        let block = model.block();
        let first = self.rng.u64(..model.length() / block) * block;
        let most = LARGEST.min(model.length() - first) / block;
        let count = match self.rng.bool() {
            true => 1,
            false => self.rng.u64(1..=most),
        };
        first..first + count * block
    }

    pub(super) fn read_direct(&mut self, dev: Number, model: &mut dyn Oracle) -> Result<()> {
        let range = self.range(model);
        self.covered.note("action", "read");
        self.read_and_compare(dev, model, range)
    }

    /// Reads around a block that is bad, if there is one.
    pub(super) fn read_bad(&mut self, dev: Number, model: &mut dyn Oracle) -> Result<()> {
        let bad: Vec<_> = model.bad_blocks().into_iter().collect();
        if bad.is_empty() {
            return self.read_direct(dev, model);
        }
        let block = model.block();
        let bad = bad[self.rng.usize(..bad.len())];
        let begin = bad.saturating_sub(self.rng.u64(..4));
        let end = (bad + 1 + self.rng.u64(..4)).min(model.length() / block);
        self.covered.note("action", "read a bad block");
        self.read_and_compare(dev, model, begin * block..end * block)
    }

    pub(super) fn read_and_compare(
        &mut self,
        dev: Number,
        model: &mut dyn Oracle,
        range: Range<u64>,
    ) -> Result<()> {
        let Some(prediction) = model.direct(range.clone()) else {
            return self.leave_out();
        };
        self.step(format!("read {range:?}"))?;
        let file = dev.open(Access::Read, libc::O_DIRECT)?;
        self.script_of_read(&prediction, bytes(&range), "iflag=direct,skip_bytes");
        let read = read_into_buffer(&file, &range);
        self.result(&prediction, &range, read)?;
        self.records_of_read(model, &prediction)
    }

    /// Notes a read of bytes, and what it has to return.
    pub(super) fn script_of_read(
        &mut self,
        prediction: &Prediction,
        bytes: Range<u64>,
        flags: &str,
    ) {
        let more = format!("skip={} {flags}", bytes.start);
        let path = format!("/dev/mapper/{NAME}");
        let command = dd(&path, "read", bytes.end - bytes.start, &more);
        self.script.expect(prediction);
        // What was read by mmap() is read by dd there, which has no faults.
        let of_dd = |error| {
            if error == libc::EFAULT {
                libc::EIO
            } else {
                error
            }
        };
        self.script
            .run_or_fail(command, prediction.error.map(of_dd));
        if prediction.error.is_none() {
            self.script_of_data(prediction, &bytes, "read");
        }
    }

    /// Adds the comparison of what was read to the script.
    fn script_of_data(&mut self, prediction: &Prediction, bytes: &Range<u64>, file: &str) {
        let Some(data) = prediction.data.as_ref().filter(|_| self.compares) else {
            return;
        };
        let mut at = 0;
        let end = data.len()..data.len();
        for unknown in prediction.unknown.iter().chain([&end]) {
            if at < unknown.start {
                self.script.run(format!(
                    "cmp --ignore-initial={}:{at} --bytes={} good.img {file}",
                    bytes.start + at as u64,
                    unknown.start - at
                ));
            }
            at = at.max(unknown.end);
        }
    }

    /// Notes that something is left out: the kernel's source does not decide its result.
    pub(super) fn leave_out(&mut self) -> Result<()> {
        self.covered.note("action", "not decided");
        Ok(())
    }

    /// Compares what a read returns with what was predicted.
    pub(super) fn result(
        &mut self,
        prediction: &Prediction,
        range: &Range<u64>,
        read: io::Result<Vec<u8>>,
    ) -> Result<()> {
        self.sums.reads += 1;
        match (read, prediction.error) {
            (Ok(bytes), None) => {
                if let Some(wrong) = prediction.differs(&bytes) {
                    bail!(
                        "WRONG DATA without an error, of sectors {range:?}: byte {wrong} is the first"
                    );
                }
            }
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

    /// Reads at the same time, in threads or in one ring of io_uring. The model decides each of the
    /// reads, in any order.
    pub(super) fn read_at_once(
        &mut self,
        dev: Number,
        model: &mut dyn Oracle,
        in_ring: bool,
    ) -> Result<()> {
        let (count, name) = match in_ring {
            true => (self.rng.usize(2..=8), "read in a ring"),
            false => (3, "read in threads"),
        };
        let ranges: Vec<_> = (0..count).map(|_| self.range(model)).collect();
        let mut predictions = Vec::new();
        for range in &ranges {
            let prediction = model.direct(range.clone());
            predictions.push(prediction.context("what is read at once is not decided")?);
        }
        self.step(format!("{name} {ranges:?}"))?;
        self.covered.note("action", name);
        for (i, range) in ranges.iter().enumerate() {
            let more = format!("skip={} iflag=direct,skip_bytes", range.start * SECTOR);
            let path = format!("/dev/mapper/{NAME}");
            let read = dd(&path, &format!("read.{i}"), length(range), &more);
            self.script.run(format!("{read} &\nreader{i}=$!"));
        }
        for (i, (range, prediction)) in ranges.iter().zip(&predictions).enumerate() {
            self.script.expect(prediction);
            let ends = format!("wait $reader{i}");
            if prediction.error.is_some() {
                self.script.fail(&ends);
            } else {
                self.script.run(ends);
                self.script_of_data(prediction, &bytes(range), &format!("read.{i}"));
            }
        }
        let file = dev.open(Access::Read, libc::O_DIRECT)?;
        let reads = match in_ring {
            true => read_in_ring(&file, &ranges)?,
            false => read_in_threads(&file, &ranges)?,
        };
        let mut all = Prediction::default();
        for ((range, prediction), read) in ranges.iter().zip(predictions).zip(reads) {
            self.result(&prediction, range, read)?;
            all.exact.extend(prediction.exact);
        }
        self.records_of_read(model, &all)
    }

    /// Reads through the page cache, with read(2) or mmap(2). read(2) may begin and end within a sector.
    pub(super) fn read_cached(
        &mut self,
        dev: Number,
        model: &mut dyn Oracle,
        mapped: bool,
    ) -> Result<()> {
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
        let how = Cached {
            // A fault reads around the page. C: `do_sync_mmap_readahead()`.
            before: if mapped { ahead } else { 0 },
            // A window may be twice as large as is said, and the next one begin. C:
            // `get_init_ra_size()`.
            ahead: ahead * 4,
            error: if mapped { libc::EFAULT } else { libc::EIO },
            // A page is read ahead once. read(2) returns what is before a page that fails, and tries
            // that page again. A fault lets go of the lock, so that it reads twice; of a range in which
            // pages were there before, the last one is tried again. C: `filemap_fault()`,
            // `__get_user_pages_locked()`.
            tries: if mapped { 1 + 2 * 2 } else { 1 + 2 },
        };
        // iomap brings no page up to date that ends behind the device, nor the folio of it. C:
        // `blkdev_iomap_begin()`.
        let page = PAGE / SECTOR;
        let whole_pages = model.length() / page * page;
        let reaches_end = whole_pages < model.length() && range.end + how.ahead > whole_pages;
        if mapped && !self.has_buffer_heads && reaches_end {
            return self.leave_out();
        }
        let Some(mut prediction) = model.cached(range.clone(), how) else {
            return self.leave_out();
        };
        // A fault needs the whole folio of a page, and a folio that is read ahead may have others. C:
        // `filemap_fault()`; a read(2) needs its part, C: `block_is_partially_uptodate()`.
        if mapped && ahead > 0 && prediction.error.is_none() && !prediction.among.is_empty() {
            return self.leave_out();
        }
        let whole = bytes(&range);
        let mut bytes = whole.clone();
        if !mapped && self.rng.bool() {
            // The pages are the same.
            bytes =
                whole.start + self.rng.u64(..SECTOR / 2)..whole.end - self.rng.u64(..SECTOR / 2);
            self.covered.note("bytes", "read");
            prediction.cut(
                (bytes.start - whole.start) as usize,
                (whole.end - bytes.end) as usize,
            );
        }
        self.step(format!("{name} {range:?}, bytes {bytes:?}"))?;
        self.covered.note("action", name);
        self.script.run(format!(
            "blockdev --flushbufs --setra {ahead} /dev/mapper/{NAME}"
        ));
        if mapped {
            self.script
                .run("# it was read by mmap() and MADV_POPULATE_READ");
        }
        self.script_of_read(&prediction, bytes.clone(), "iflag=skip_bytes");
        let file = dev.open(Access::Read, 0)?;
        sys::flush_pages(&file).context("BLKFLSBUF")?;
        sys::set_read_ahead(&file, ahead as u32).context("BLKRASET")?;
        // What is opened from now on has it. C: `file_ra_state_init()`.
        let file = dev.open(Access::Read, 0)?;
        let read = match mapped {
            true => {
                let length = (bytes.end - bytes.start) as usize;
                sys::read_mapped(&file, bytes.start, length)
            }
            false => read_bytes(&file, &bytes),
        };
        // A read through the cache returns what was read before the page that fails.
        self.result(&prediction, &range, read)?;
        // It waits for what is read ahead.
        self.suspend_and_resume(model, Suspend::NoFlush)?;
        self.records_of_read(model, &prediction)
    }

    fn suspend_and_resume(&mut self, model: &mut dyn Oracle, how: Suspend) -> Result<()> {
        self.script.run(suspend(NAME, how));
        self.script.run(format!("dmsetup resume {NAME}"));
        self.mapper.suspend(NAME, how).context("suspend")?;
        self.mapper.resume(NAME).context("resume")?;
        model.resumed();
        Ok(())
    }

    pub(super) fn suspend(&mut self, model: &mut dyn Oracle) -> Result<()> {
        let how = match self.rng.bool() {
            true => Suspend::Usual,
            false => Suspend::NoFlush,
        };
        self.step(format!("suspend ({how:?}), resume"))?;
        self.covered.note("action", "suspend");
        self.status(model)?;
        self.suspend_and_resume(model, how)?;
        self.records(&Prediction::default())?;
        Ok(())
    }

    pub(super) fn reload(&mut self, model: &mut dyn Oracle, table: &Table) -> Result<()> {
        self.step("reload".to_owned())?;
        self.covered.note("action", "reload");
        self.status(model)?;
        self.script.run(load(model, &self.script.table(table)));
        self.mapper
            .load(NAME, std::slice::from_ref(table), model.is_read_only())
            .context("load")?;
        self.suspend_and_resume(model, Suspend::Usual)?;
        self.script.is_loose = false;
        model.loaded();
        self.records(&Prediction::of(vec![
            model.constructor(None),
            model.destructor(),
        ]))?;
        Ok(())
    }
}

/// Returns the command that creates the mapping.
pub(super) fn create(model: &dyn Oracle, table: &str) -> String {
    format!("dmsetup create {}{NAME} {table}", read_only(model))
}

/// Returns the command that loads a table.
fn load(model: &dyn Oracle, table: &str) -> String {
    format!("dmsetup reload {}{NAME} {table}", read_only(model))
}

fn read_only(model: &dyn Oracle) -> &'static str {
    match model.is_read_only() {
        true => "--readonly ",
        false => "",
    }
}

/// Returns the command that suspends a mapping.
pub(super) fn suspend(name: &str, how: Suspend) -> String {
    match how {
        Suspend::Usual => format!("dmsetup suspend {name}"),
        Suspend::NoFlush => format!("dmsetup suspend --noflush --nolockfs {name}"),
    }
}

/// Returns the bytes of sectors.
pub(super) fn bytes(sectors: &Range<u64>) -> Range<u64> {
    sectors.start * SECTOR..sectors.end * SECTOR
}

/// Returns how many bytes sectors have.
pub(super) fn length(sectors: &Range<u64>) -> u64 {
    (sectors.end - sectors.start) * SECTOR
}

/// Reads bytes.
pub(super) fn read_bytes(file: &File, bytes: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut read = vec![0; (bytes.end - bytes.start) as usize];
    file.read_exact_at(&mut read, bytes.start).map(|()| read)
}

/// Reads sectors with one call.
pub(super) fn read_into_buffer(file: &File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = length(range) as usize;
    with_buffer(length, |buffer| {
        let read = file.read_at(buffer, range.start * SECTOR)?;
        match read == length {
            true => Ok(buffer.to_vec()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    })
}

/// Reads sectors with one call of each thread.
fn read_in_threads(file: &File, ranges: &[Range<u64>]) -> Result<Vec<io::Result<Vec<u8>>>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = ranges
            .iter()
            .map(|range| scope.spawn(|| read_into_buffer(file, range)))
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.map_err(|_| anyhow::anyhow!("a thread panicked")))
            .collect()
    })
}

/// Reads sectors with one operation each of io_uring.
fn read_in_ring(file: &File, ranges: &[Range<u64>]) -> Result<Vec<io::Result<Vec<u8>>>> {
    let total: u64 = ranges.iter().map(length).sum();
    with_buffer(total as usize, |mut buffer| {
        let mut reads = Vec::new();
        for range in ranges {
            let (part, rest) = buffer.split_at_mut(length(range) as usize);
            reads.push((range.start * SECTOR, part));
            buffer = rest;
        }
        let results = sys::read_in_ring(file, &mut reads).context("io_uring")?;
        let read = results.into_iter().zip(reads);
        Ok(read
            .map(|(result, (_, part))| match usize::try_from(result) {
                Err(_) => Err(io::Error::from_raw_os_error(-result)),
                Ok(count) if count == part.len() => Ok(part.to_vec()),
                Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            })
            .collect())
    })
}

/// What ends a run early.
#[derive(Debug)]
pub(super) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Whether a signal has come.
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Lets SIGINT and SIGTERM end a run at its next step.
pub(super) fn catch_signals() -> io::Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

fn interrupted() -> bool {
    INTERRUPTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_that_is_left_out_changes_no_other() {
        let choices = |skip: &[u32]| {
            let skip = skip.iter().copied().collect();
            let mut elements = Elements::new(7, &skip);
            let mut chosen = Vec::new();
            for _ in 0..2 {
                elements.next_part();
                for _ in 0..3 {
                    chosen.push(elements.next().map(|mut rng| rng.u64(..)));
                }
            }
            (chosen, elements.met)
        };
        let (all, met) = choices(&[]);
        assert_eq!(met, [1000, 1001, 1002, 2000, 2001, 2002]);
        let (fewer, met) = choices(&[1001, 2000]);
        assert_eq!(met, [1000, 1002, 2001, 2002]);
        assert_eq!((fewer[1], fewer[3]), (None, None));
        for same in [0, 2, 4, 5] {
            assert_eq!(all[same], fewer[same]);
        }
        let different: BTreeSet<_> = all.into_iter().collect();
        assert_eq!(different.len(), 6);
    }
}
