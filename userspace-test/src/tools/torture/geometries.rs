// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Compares the layout of `dmns-audit-layout` with the kernel's: formats random devices, writes a
//! pattern through each, and looks for it below.

use super::geometry::{Covered, Geometry};
use super::ground::{Ground, NAME, TAGS};
use super::pattern::{crc32c, fill};
use crate::mapper::{Access, Mapper, Number};
use crate::tools::corrupt::{descend, with_buffer};
use anyhow::{Context, Result, ensure};
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::below::What;
use dmns_audit_layout::integrity::{FIXED_HMAC, Superblock};
use fastrand::Rng;
use nix::libc;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

/// Compare where random devices of dm-integrity keep data and tags with the model.
#[derive(clap::Args)]
pub(crate) struct Geometries {
    /// The number of devices.
    count: u64,
    /// Decides all choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first device, by its number.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

/// Compares them.
pub(crate) fn run(options: &Geometries) -> Result<ExitCode> {
    let mapper = Mapper::open()?;
    let mut ground = Ground::new(&mapper)?;
    let mut covered = Covered::default();
    let mut sums = Sums::default();
    for device in options.first..options.first + options.count {
        let mut rng = Rng::with_seed(options.seed.wrapping_mul(1_000_003).wrapping_add(device));
        let geometry = Geometry::random(&mut rng, true);
        geometry.cover(&mut covered);
        compare(&mapper, &mut ground, &geometry, device, &mut rng, &mut sums).with_context(
            || {
                let table = geometry.table(0, ground.data(), ground.metadata());
                format!(
                    "seed {} device {device}: {}, {} sectors below",
                    options.seed,
                    table.arguments.join(" "),
                    geometry.data_sectors
                )
            },
        )?;
    }
    ground.remove(&mapper)?;
    covered.print();
    println!(
        "{} devices, {} blocks and {} tags where the model has them",
        options.count, sums.blocks, sums.tags
    );
    Ok(ExitCode::SUCCESS)
}

#[derive(Default)]
struct Sums {
    blocks: u64,
    tags: u64,
}

fn compare(
    mapper: &Mapper,
    ground: &mut Ground,
    geometry: &Geometry,
    device: u64,
    rng: &mut Rng,
    sums: &mut Sums,
) -> Result<()> {
    let inline = geometry.mode == 'I';
    let lower = ground.prepare(mapper, geometry, rng)?;
    let (sections, provided) = geometry.format().sizes()?;
    let number = mapper.create(NAME)?;
    mapper
        .activate(NAME, geometry.table(provided, lower, ground.metadata()))
        .context("the model has a size that the kernel refuses")?;

    let block = 1_u64 << geometry.log2_sectors_per_block;
    let sectors = sectors(rng, geometry, provided, block);
    let mut places = Vec::new();
    for &sector in &sectors {
        let mut bytes = vec![0; (block * SECTOR) as usize];
        for (i, part) in bytes.chunks_mut(512).enumerate() {
            fill(part, device, sector + i as u64, 0);
        }
        write(number, sector * SECTOR, &bytes)?;
        let find = |what| descend(mapper, number, sector, what, 0);
        places.push((sector, bytes, find(What::Data)?, find(What::Tag)?));
    }
    let at = descend(mapper, number, 0, What::Superblock, 0)?;
    mapper.remove(NAME)?;
    if inline {
        mapper.remove(TAGS)?;
    }

    let mut superblock = [0; 512];
    ground.read(at, &mut superblock)?;
    let salt = &superblock[48..64];
    let superblock = Superblock::parse(&superblock)?;
    ensure!(
        (
            u64::from(superblock.journal_sections),
            superblock.provided_data_sectors
        ) == (sections, provided),
        "the model has {sections} sections of the journal and {provided} sectors, the kernel {superblock:?}"
    );
    for (sector, written, at, tag_at) in places {
        let mut found = vec![0; written.len()];
        ground.read(at, &mut found)?;
        ensure!(
            found == written,
            "the data of sector {sector} is not at byte {} of {}",
            at.byte,
            at.device
        );
        sums.blocks += 1;
        if geometry.hash.name == "crc32c" {
            let salt = match superblock.flags & FIXED_HMAC {
                0 => &[],
                _ => salt,
            };
            let mut tag = crc32c(&[salt, &sector.to_le_bytes(), &written]).to_vec();
            tag.resize(geometry.tag_size as usize, 0);
            let mut found = vec![0; tag.len()];
            ground.read(tag_at, &mut found)?;
            ensure!(
                found == tag,
                "the tag of sector {sector} is not at byte {} of {}",
                tag_at.byte,
                tag_at.device
            );
            sums.tags += 1;
        }
    }
    Ok(())
}

/// Returns the first sectors of some blocks: at the ends of runs, and in between.
fn sectors(rng: &mut Rng, geometry: &Geometry, provided: u64, block: u64) -> BTreeSet<u64> {
    let mut sectors = BTreeSet::from([0, provided - block]);
    let run = 1 << geometry.format().log2_interleave_sectors();
    for _ in 0..6 {
        let begin = rng.u64(..=provided / run) * run;
        sectors.extend([begin, begin.saturating_sub(block)]);
        sectors.insert(rng.u64(..provided) / block * block);
    }
    sectors.retain(|sector| *sector < provided);
    sectors
}

/// Writes through a device, past its pages. What is around it is not read: it has no tags yet.
fn write(device: Number, byte: u64, bytes: &[u8]) -> Result<()> {
    let file = device.open(Access::Write, libc::O_DIRECT)?;
    with_buffer(bytes.len(), |buffer| {
        buffer.copy_from_slice(bytes);
        file.write_all_at(buffer, byte)
    })
    .with_context(|| format!("{device}: write {} bytes at {byte}", bytes.len()))
}
