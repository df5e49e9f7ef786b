// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The devices below: files behind loop devices, and a linear mapping of a part of each.

use super::geometry::{DATA_SECTORS, Geometry, METADATA_SECTORS};
use super::script::Script;
use crate::mapper::{Mapper, Number};
use crate::tools::corrupt::{Direct, Place};
use anyhow::{Context, Result, bail, ensure};
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::table::Table;
use fastrand::Rng;
use nix::sys::statvfs::statvfs;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The mapping under test.
pub(super) const NAME: &str = "torture";
/// The mapping below it that keeps tags, in inline mode.
pub(super) const TAGS: &str = "torture-tags";

/// Where the files are.
const FOLDER: &str = "/tmp";

/// Sectors of the metadata that are copied: no device here has more.
const COPIED: u64 = 4096;

/// What was on both devices.
pub(super) struct Saved {
    data: Vec<u8>,
    metadata: Vec<u8>,
}

/// The devices below a mapping.
pub(super) struct Ground {
    data: Part,
    metadata: Part,
    parity: Part,
}

/// Sectors of the device for parity.
const PARITY_SECTORS: u64 = 16 << 11;

/// Bytes that must be free where the files are.
const ROOM: u64 = 64 << 20;

impl Ground {
    /// Makes all: for data, for metadata, for parity.
    pub(super) fn new(mapper: &Mapper) -> Result<Self> {
        let room = statvfs(FOLDER).context(FOLDER)?;
        let free = room.blocks_available() * room.fragment_size();
        ensure!(
            free >= ROOM,
            "no room: {FOLDER} has {} MiB, {} are needed",
            free >> 20,
            ROOM >> 20
        );
        Ok(Self {
            data: Part::new(mapper, "torture-data", DATA_SECTORS)?,
            metadata: Part::new(mapper, "torture-metadata", METADATA_SECTORS + 64)?,
            parity: Part::new(mapper, "torture-parity", PARITY_SECTORS + 64)?,
        })
    }

    /// Takes random parts for so many bytes of data, metadata and parity.
    pub(super) fn take(&mut self, mapper: &Mapper, rng: &mut Rng, bytes: [u64; 3]) -> Result<()> {
        for (part, bytes) in self.parts_mut().into_iter().zip(bytes) {
            let sectors = bytes.div_ceil(SECTOR).max(8);
            part.take(mapper, rng.u64(..8) * 8, sectors)?;
        }
        Ok(())
    }

    /// Returns the numbers of the mappings for data, metadata and parity.
    pub(super) fn mappings(&self) -> [Number; 3] {
        self.parts().map(|part| part.mapping)
    }

    fn parts(&self) -> [&Part; 3] {
        [&self.data, &self.metadata, &self.parity]
    }

    fn parts_mut(&mut self) -> [&mut Part; 3] {
        [&mut self.data, &mut self.metadata, &mut self.parity]
    }

    /// Writes data from its first byte on, below all mappings.
    pub(super) fn write_data(&self, bytes: &[u8]) -> Result<()> {
        Ok(self
            .data
            .file
            .write_all_at(bytes, self.data.first * SECTOR)?)
    }

    /// Takes random parts for a device with these options, without a superblock. Returns the device
    /// that has the data: in inline mode, a mapping that keeps tags, which is made.
    pub(super) fn prepare(
        &mut self,
        mapper: &Mapper,
        geometry: &Geometry,
        rng: &mut Rng,
    ) -> Result<Number> {
        let inline = geometry.mode == 'I';
        let below = match inline {
            true => geometry.data_sectors + geometry.sectors_of_tags(),
            false => geometry.data_sectors,
        };
        self.data.take(mapper, rng.u64(..512) * 8, below)?;
        self.metadata
            .take(mapper, rng.u64(..8) * 8, geometry.metadata_sectors)?;
        for part in [&self.data, &self.metadata] {
            let at = (part.first + geometry.start) * SECTOR;
            part.file.write_all_at(&[0; 4096], at)?;
        }
        if !inline {
            return Ok(self.data.mapping);
        }
        let lower = mapper.create(TAGS)?;
        let table = geometry.table_of_tags(self.data.mapping);
        mapper
            .activate(TAGS, table)
            .context("the mapping that keeps tags")?;
        Direct::open(lower)?.write(geometry.start * SECTOR, &[0; 4096])?;
        Ok(lower)
    }

    /// Returns the number of the mapping for metadata.
    pub(super) fn metadata(&self) -> Number {
        self.metadata.mapping
    }

    /// Returns the number of the mapping for data.
    pub(super) fn data(&self) -> Number {
        self.data.mapping
    }

    fn part(&self, device: Number) -> Result<&Part> {
        match self.parts().into_iter().find(|part| part.device == device) {
            Some(part) => Ok(part),
            None => bail!("the model names the device {device}"),
        }
    }

    /// Returns the name of the file below a device, as a scenario has it.
    pub(super) fn image(&self, device: Number) -> Result<String> {
        Ok(format!("{}.img", self.part(device)?.name))
    }

    /// Adds the commands that make the devices.
    pub(super) fn script(&self, script: &mut Script) {
        script.begin("the devices below");
        let names = ["data", "metadata", "parity"];
        let parts = self.parts().into_iter().zip(names);
        // A part that no device has taken has no sectors.
        for (part, name) in parts.filter(|(part, _)| part.sectors > 0) {
            let (mapping, end) = (&part.name, (part.first + part.sectors) * SECTOR);
            script.run(format!("truncate -s {end} {mapping}.img"));
            script.run(format!(
                "dmsetup create {mapping} --table \"0 {} linear $(losetup -f --show {mapping}.img) {}\"",
                part.sectors, part.first
            ));
            script.save_device(name, mapping, part.mapping);
        }
    }

    /// Returns the commands that copy what is on the devices, and write the copy back.
    pub(super) fn script_of_copy(&self) -> (String, String) {
        let each = |command: &dyn Fn(&str) -> String| {
            let parts = self.parts().into_iter().filter(|part| part.sectors > 0);
            let commands: Vec<_> = parts.map(|part| command(&part.name)).collect();
            commands.join("\n")
        };
        (
            each(&|name| format!("cp {name}.img {name}.copy")),
            each(&|name| format!("dd if={name}.copy of={name}.img bs=1M conv=notrunc status=none")),
        )
    }

    /// Reads bytes from a place on.
    pub(super) fn read(&self, place: Place, bytes: &mut [u8]) -> Result<()> {
        Ok(self
            .part(place.device)?
            .file
            .read_exact_at(bytes, place.byte)?)
    }

    /// Inverts bits of bytes from a place on.
    pub(super) fn invert(&self, place: Place, masks: &[u8]) -> Result<()> {
        let file = &self.part(place.device)?.file;
        let mut bytes = vec![0; masks.len()];
        file.read_exact_at(&mut bytes, place.byte)?;
        for (byte, mask) in bytes.iter_mut().zip(masks) {
            *byte ^= mask;
        }
        Ok(file.write_all_at(&bytes, place.byte)?)
    }

    /// Copies what a device with these options has on both.
    pub(super) fn copy(&self, geometry: &Geometry) -> Result<Saved> {
        let read = |part: &Part, sectors: u64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; (sectors * SECTOR) as usize];
            part.file.read_exact_at(&mut bytes, part.first * SECTOR)?;
            Ok(bytes)
        };
        let metadata = match geometry.has_metadata_device {
            true => read(&self.metadata, COPIED)?,
            false => Vec::new(),
        };
        Ok(Saved {
            data: read(&self.data, geometry.data_sectors)?,
            metadata,
        })
    }

    /// Writes a copy back. The mapping is closed.
    pub(super) fn restore(&self, copy: &Saved) -> Result<()> {
        for (part, bytes) in [(&self.data, &copy.data), (&self.metadata, &copy.metadata)] {
            part.file.write_all_at(bytes, part.first * SECTOR)?;
        }
        Ok(())
    }

    /// Removes all.
    pub(super) fn remove(self, mapper: &Mapper) -> Result<()> {
        self.data.remove(mapper)?;
        self.metadata.remove(mapper)?;
        self.parity.remove(mapper)
    }
}

/// A file, its loop device, and the part of it that a linear mapping has.
struct Part {
    name: String,
    image: PathBuf,
    file: File,
    /// The loop device.
    device: Number,
    /// The mapping.
    mapping: Number,
    /// The first sector of the part.
    first: u64,
    /// How many sectors it has.
    sectors: u64,
}

impl Part {
    fn new(mapper: &Mapper, name: &str, sectors: u64) -> Result<Self> {
        let image = PathBuf::from(format!("{FOLDER}/{name}.img"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&image)
            .with_context(|| image.display().to_string())?;
        file.set_len(sectors * SECTOR)?;
        let set_up = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(&image)
            .stderr(Stdio::inherit())
            .output()
            .context("losetup")?;
        ensure!(
            set_up.status.success(),
            "losetup ended with {}",
            set_up.status
        );
        let path = String::from_utf8_lossy(&set_up.stdout).trim().to_owned();
        use std::os::unix::fs::MetadataExt;
        let device = Number::of(fs::metadata(&path).with_context(|| path.clone())?.rdev());
        Ok(Self {
            name: name.to_owned(),
            image,
            file,
            device,
            mapping: mapper.create(name)?,
            first: 0,
            sectors: 0,
        })
    }

    /// Takes the part of `sectors` from `first` on.
    fn take(&mut self, mapper: &Mapper, first: u64, sectors: u64) -> Result<()> {
        let table = Table {
            start: 0,
            length: sectors,
            target: "linear".to_owned(),
            arguments: vec![self.device.to_string(), first.to_string()],
        };
        mapper
            .activate(&self.name, table)
            .with_context(|| format!("{}: sectors {first} + {sectors}", self.name))?;
        self.first = first;
        self.sectors = sectors;
        Ok(())
    }

    /// Removes the mapping, the loop device and the file.
    fn remove(self, mapper: &Mapper) -> Result<()> {
        mapper
            .remove(&self.name)
            .with_context(|| format!("remove {}", self.name))?;
        let path = self.device.path()?;
        let detached = Command::new("losetup").arg("-d").arg(&path).status();
        ensure!(
            detached.context("losetup")?.success(),
            "losetup -d {}",
            path.display()
        );
        fs::remove_file(&self.image).with_context(|| self.image.display().to_string())
    }
}
