// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The devices below: two files behind loop devices, and a linear mapping of a part of each.

use super::geometry::{DATA_SECTORS, METADATA_SECTORS};
use crate::mapper::{Mapper, Number};
use anyhow::{Context, Result, ensure};
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::table::Table;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A file, its loop device, and the part of it that a linear mapping has.
pub(super) struct Ground {
    name: String,
    image: PathBuf,
    file: File,
    /// The loop device.
    pub(super) device: Number,
    /// The mapping.
    pub(super) mapping: Number,
    /// The first sector of the part.
    pub(super) first: u64,
}

impl Ground {
    /// Makes both: for data, for metadata.
    pub(super) fn both(mapper: &Mapper) -> Result<(Self, Self)> {
        let data = Self::new(mapper, "torture-data", DATA_SECTORS)?;
        let metadata = Self::new(mapper, "torture-metadata", METADATA_SECTORS + 64)?;
        Ok((data, metadata))
    }

    fn new(mapper: &Mapper, name: &str, sectors: u64) -> Result<Self> {
        let image = PathBuf::from(format!("/tmp/{name}.img"));
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
        ensure!(set_up.status.success(), "losetup ended with {}", set_up.status);
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
        })
    }

    /// Takes the part of `sectors` from `first` on.
    pub(super) fn take(&mut self, mapper: &Mapper, first: u64, sectors: u64) -> Result<()> {
        let table = Table {
            start: 0,
            length: sectors,
            target: "linear".to_owned(),
            arguments: vec![self.device.to_string(), first.to_string()],
        };
        mapper
            .load(&self.name, &[table], false)
            .and_then(|()| mapper.resume(&self.name))
            .with_context(|| format!("{}: sectors {first} + {sectors}", self.name))?;
        self.first = first;
        Ok(())
    }

    /// Reads bytes of the file.
    pub(super) fn read(&self, byte: u64, bytes: &mut [u8]) -> Result<()> {
        Ok(self.file.read_exact_at(bytes, byte)?)
    }

    /// Writes bytes of the part.
    pub(super) fn write(&self, byte: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.file.write_all_at(bytes, self.first * SECTOR + byte)?)
    }

    /// Removes the mapping, the loop device and the file.
    pub(super) fn remove(self, mapper: &Mapper) -> Result<()> {
        mapper
            .remove(&self.name)
            .with_context(|| format!("remove {}", self.name))?;
        let path = self.device.path()?;
        let detached = Command::new("losetup").arg("-d").arg(&path).status();
        ensure!(detached.context("losetup")?.success(), "losetup -d {}", path.display());
        fs::remove_file(&self.image).with_context(|| self.image.display().to_string())
    }
}
