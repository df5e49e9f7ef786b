// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A device of dm-verity: `veritysetup` formats it, it is damaged, and read.

mod geometry;
mod model;

use super::geometry::choose;
use super::ground::NAME;
use super::oracle::Oracle;
use super::pattern::fill;
use super::round::{LARGEST, Round, suspend};
use crate::mapper::{Number, Suspend};
use crate::tools::corrupt::{Place, descend};
use anyhow::{Context, Result, ensure};
use dmns_audit_layout::below::What;
use dmns_audit_layout::table::Table;
use geometry::On;
use model::{Model, Part};
use std::fs;
use std::process::Command;

pub(super) use geometry::Geometry;

/// A byte that can be corrupted, found while the mapping was active.
struct Victim {
    part: Part,
    block: u64,
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
    let places = geometry.places();
    let sizes = [places.data, places.hashes, places.parity];
    round.ground.take(round.mapper, &mut round.rng, sizes)?;
    let on = geometry.on(round.ground.mappings());
    round.ground.script(round.script);
    let content = content(round, geometry);
    round.ground.write_data(&content)?;
    round.step(format!("format: {}", geometry.format().join(" ")))?;
    let root = format(geometry, on)?;
    script(round, geometry, &content, root.clone());
    // What is corrupt, or was, is returned too.
    round.compares = !geometry.ignore_corruption && !geometry.check_at_most_once;
    let dev = round.mapper.create(NAME)?;
    let numbers = (dev.to_string(), on.data.to_string());
    let layout = geometry.layout(on)?;
    let mut life = Life {
        geometry,
        dev,
        table: geometry.table(on, &root),
        model: Model::new(geometry, layout, content, numbers, has_pairs()),
        round,
    };
    life.open()?;
    for _ in 0..life.round.rng.u8(1..=3) {
        if life.round.part() {
            life.damage_and_use()?;
        }
    }
    life.round.close(&life.model)?;
    life.round.mapper.remove(NAME)?;
    Ok(())
}

/// Returns data in which no two blocks are the same, but for some with zeros.
fn content(round: &mut Round<'_>, geometry: &Geometry) -> Vec<u8> {
    let mut content = vec![0; (geometry.data_blocks * geometry.data_block) as usize];
    for (i, sector) in content.chunks_mut(512).enumerate() {
        fill(sector, round.number, i as u64, 0);
    }
    if geometry.ignore_zero_blocks {
        for block in content.chunks_mut(geometry.data_block as usize) {
            if round.rng.u8(..4) == 0 {
                block.fill(0);
            }
        }
    }
    content
}

/// Notes how data and hashes are written.
fn script(round: &mut Round<'_>, geometry: &Geometry, content: &[u8], root: String) {
    let size = geometry.data_block as usize;
    let count = geometry.data_blocks;
    let script = &mut *round.script;
    script.run(format!(
        "dd if=/dev/urandom of=good.img bs={size} count={count} iflag=fullblock status=none"
    ));
    let blocks = content.chunks(size).enumerate();
    let zeros = blocks.filter(|(_, block)| block.iter().all(|byte| *byte == 0));
    let zeros: Vec<_> = zeros.map(|(block, _)| block.to_string()).collect();
    if !zeros.is_empty() {
        script.run(format!(
            "for block in {}; do\n    dd if=/dev/zero of=good.img bs={size} seek=$block count=1 \
             conv=notrunc status=none\ndone",
            zeros.join(" ")
        ));
    }
    script.run("dd if=good.img of=/dev/mapper/torture-data bs=64K conv=fsync status=none");
    let hashes = match geometry.is_together {
        true => "torture-data",
        false => "torture-metadata",
    };
    let parity = geometry.fec.map(|fec| match fec.is_apart {
        true => "--fec-device=/dev/mapper/torture-parity ".to_owned(),
        false => format!("--fec-device=/dev/mapper/{hashes} "),
    });
    script.run(format!(
        "veritysetup format {} {}/dev/mapper/torture-data /dev/mapper/{hashes} >formatted",
        geometry.format().join(" "),
        parity.unwrap_or_default()
    ));
    script.save(
        "root",
        "$(sed -n 's/^Root hash:[^0-9a-f]*//p' formatted)",
        root,
    );
}

/// Writes the hashes and the parity. Returns the hash of the root.
fn format(geometry: &Geometry, on: On) -> Result<String> {
    let mut command = Command::new("veritysetup");
    command.arg("format").args(geometry.format());
    if geometry.fec.is_some() {
        let parity = on.parity.path()?;
        command.arg(format!("--fec-device={}", parity.display()));
    }
    command.arg(on.data.path()?).arg(on.hashes.path()?);
    let output = command.output().context("veritysetup")?;
    ensure!(
        output.status.success(),
        "veritysetup ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let root = text
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    let root = root.context("veritysetup names no root hash")?;
    Ok(root.trim().to_owned())
}

/// Returns whether the kernel hashes two blocks with SHA-256 at once. C:
/// `sha256_finup_2x_is_optimized_arch()`, since 6.19.
fn has_pairs() -> bool {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = about.lines().filter_map(|line| {
        let (name, words) = line.split_once(':')?;
        let name = name.trim();
        (name == "flags" || name == "Features").then_some(words)
    });
    flags.next().is_some_and(|words| {
        let mut words = words.split_whitespace();
        words.any(|word| word == "sha_ni" || word == "sha2")
    })
}

impl Life<'_, '_> {
    fn open(&mut self) -> Result<()> {
        self.round.open(&mut self.model, &self.table, Vec::new())
    }

    /// Damages it while it is closed, then uses it.
    fn damage_and_use(&mut self) -> Result<()> {
        let (count, actions) = (self.round.rng.u8(..6), self.round.rng.u8(4..12));
        let mut victims = Vec::new();
        for _ in 0..count {
            if self.round.element() {
                victims.extend(self.victims()?);
            }
        }
        self.round.close(&self.model)?;
        for victim in victims {
            self.corrupt(&victim)?;
        }
        self.open()?;
        for _ in 0..actions {
            if self.round.element() {
                self.act()?;
            }
        }
        Ok(())
    }

    /// Chooses what to corrupt.
    fn victims(&mut self) -> Result<Vec<Victim>> {
        let part = match self.round.rng.u8(..8) {
            0..=2 if !self.model.layout().levels.is_empty() => Part::Hash,
            3 if self.geometry.fec.is_some() => Part::Parity,
            4 | 5 if self.geometry.fec.is_some() => return self.codeword(),
            _ => Part::Data,
        };
        Ok(vec![self.victim(part)?])
    }

    /// Chooses a byte of a part. Places below are found while the mapping is active.
    fn victim(&mut self, part: Part) -> Result<Victim> {
        let layout = self.model.layout().clone();
        let rng = &mut self.round.rng;
        let mask = 1 << rng.u8(..8);
        let block = rng.u64(..layout.data_blocks);
        let sector = block * self.model.block();
        let find = |what| {
            descend(self.round.mapper, self.dev, sector, what, 0)
                .with_context(|| format!("sector {sector}, {what:?}"))
        };
        let byte = rng.u64(..layout.data_block);
        let victim = match part {
            Part::Data => {
                let mut place = find(What::Data)?;
                place.byte += byte;
                Victim {
                    part,
                    block,
                    byte,
                    mask,
                    place,
                }
            }
            Part::Hash => {
                let level = rng.usize(..layout.levels.len());
                let hash = layout.hash(sector, level)?.byte;
                let of_block = hash % layout.hash_block;
                // The hash, another one, or what is behind the last one: the block is hashed as a whole.
                let byte = match rng.bool() {
                    true => of_block + rng.u64(..layout.digest_size),
                    false => rng.u64(..layout.hash_block),
                };
                let mut place = find(What::Hash(level))?;
                place.byte = place.byte - of_block + byte;
                Victim {
                    part,
                    block: hash / layout.hash_block,
                    byte,
                    mask,
                    place,
                }
            }
            Part::Parity => {
                let fec = layout.fec.context("no FEC")?;
                let parity = layout.fec(sector, byte)?.byte;
                let first = layout.fec(sector, 0)?.byte;
                let more = rng.u64(..fec.roots);
                let mut place = find(What::Fec)?;
                place.byte += parity - first + more;
                Victim {
                    part,
                    block: 0,
                    byte: parity + more - fec.start * layout.data_block,
                    mask,
                    place,
                }
            }
        };
        Ok(victim)
    }

    /// Chooses the same byte of blocks that have a codeword in common: up to one more than FEC corrects
    /// where it knows the blocks.
    fn codeword(&mut self) -> Result<Vec<Victim>> {
        let layout = self.model.layout().clone();
        let fec = layout.fec.context("no FEC")?;
        let mut first = self.victim(Part::Data)?;
        let of_region = first.block % fec.region_blocks;
        let blocks = (of_region..layout.data_blocks).step_by(fec.region_blocks as usize);
        let mut blocks: Vec<_> = blocks.collect();
        self.round.rng.shuffle(&mut blocks);
        blocks.truncate(self.round.rng.usize(1..=fec.roots as usize + 1));
        let mut victims = Vec::new();
        for block in blocks {
            let sector = block * self.model.block();
            let mut place = descend(self.round.mapper, self.dev, sector, What::Data, 0)?;
            place.byte += first.byte;
            first.mask = 1 << self.round.rng.u8(..8);
            victims.push(Victim {
                block,
                place,
                ..first
            });
        }
        Ok(victims)
    }

    /// Inverts bits of a byte below.
    fn corrupt(&mut self, victim: &Victim) -> Result<()> {
        let Victim {
            part,
            block,
            byte,
            mask,
            place,
        } = victim;
        let what = match part {
            Part::Data => format!("data block {block}"),
            Part::Hash => format!("hash block {block}"),
            Part::Parity => "the parity".to_owned(),
        };
        self.round.step(format!(
            "corrupt {what}, byte {byte} with {mask:#x}: {} byte {}",
            place.device, place.byte
        ))?;
        self.round.invert(*place, &[*mask])?;
        self.model.flip(*part, *block, *byte, *mask);
        self.round.sums.corruptions += 1;
        Ok(())
    }

    /// Does one thing with an active mapping.
    fn act(&mut self) -> Result<()> {
        let (dev, model) = (self.dev, &mut self.model);
        match self.round.rng.u8(..20) {
            0..=5 => self.round.read_direct(dev, model),
            6..=8 => self.round.read_bad(dev, model),
            9 if model.allows_threads() => {
                let in_ring = self.round.rng.bool();
                self.round.read_at_once(dev, model, in_ring)
            }
            9 | 10 => self.read_all(),
            11..=14 => {
                let mapped = self.round.rng.bool();
                self.round.read_cached(dev, model, mapped)?;
                // Which blocks were verified, and how often, is not known. It begins anew.
                self.round.reload(model, &self.table)
            }
            15 => self.round.suspend(model),
            16 => self.round.reload(model, &self.table),
            // What FEC has read stays in memory while the table is loaded. C: `data_bufio`.
            _ if self.geometry.fec.is_some() => self.round.read_direct(dev, model),
            17 | 18 => {
                self.round.covered.note("action", "corrupt data in use");
                let victim = self.victim(Part::Data)?;
                self.corrupt(&victim)
            }
            _ => self.corrupt_hashes_in_use(),
        }
    }

    /// Reads all blocks, in large reads.
    fn read_all(&mut self) -> Result<()> {
        self.round.covered.note("action", "read all");
        let most = LARGEST / self.model.block() * self.model.block();
        let mut sector = 0;
        while sector < self.model.length() {
            let end = (sector + most).min(self.model.length());
            self.round
                .read_and_compare(self.dev, &mut self.model, sector..end)?;
            sector = end;
        }
        Ok(())
    }

    /// Corrupts hashes while the mapping is suspended: the kernel reads them anew then.
    fn corrupt_hashes_in_use(&mut self) -> Result<()> {
        if self.model.layout().levels.is_empty() {
            return self.round.read_direct(self.dev, &mut self.model);
        }
        let choices: &[Suspend] = &[Suspend::Usual, Suspend::NoFlush];
        let how = *choose(&mut self.round.rng, choices);
        self.round
            .step(format!("suspend ({how:?}), to corrupt hashes"))?;
        self.round.covered.note("action", "corrupt hashes in use");
        let victim = self.victim(Part::Hash)?;
        self.round.script.run(suspend(NAME, how));
        self.round.mapper.suspend(NAME, how).context("suspend")?;
        self.corrupt(&victim)?;
        self.round.script.run(format!("dmsetup resume {NAME}"));
        self.round.mapper.resume(NAME).context("resume")?;
        self.model.resumed();
        self.round.records(&super::oracle::Prediction::default())?;
        Ok(())
    }
}
