// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What of FAT is in no file: the boot sector, the tables, the root directory of FAT12 and FAT16, free clusters.
//!
//! C: `struct fat_boot_sector` in `include/uapi/linux/msdos_fs.h`. Files are found through the kernel; no tool lists
//! what is in none, so that the boot sector is read here.

use crate::locate::answer::{Data, Finding, What};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Returns what is at the bytes `positions` of the filesystem on `device`, which no file has.
pub fn find(device: &Path, positions: &[u64]) -> Vec<Finding> {
    let layout = File::open(device).and_then(|file| {
        let mut sector = [0; 512];
        file.read_exact_at(&mut sector, 0)?;
        let layout = Layout::read(&sector);
        let none = || io::Error::other("the boot sector of FAT is damaged");
        Ok((layout.ok_or_else(none)?, file))
    });
    let find = |position: &u64| match &layout {
        Ok((layout, file)) => layout.kind(*position, file),
        Err(error) => Finding::unknown(error.to_string()),
    };
    positions.iter().map(find).collect()
}

/// Where things are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    tables: u64,
    table: u64,
    root: u64,
    data: u64,
    cluster: u64,
    clusters: u64,
    /// Of an entry in the table. C: `fat_fill_super()`: FAT32 is what has no size of a table of FAT16.
    bits: u8,
}

impl Layout {
    fn read(sector: &[u8; 512]) -> Option<Self> {
        let short = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let long = |at: usize| short(at) | (short(at + 2) << 16);
        let or = |first: u64, other: u64| if first == 0 { other } else { first };
        let size = short(11);
        let table = or(short(22), long(36)) * size;
        let tables = short(14) * size;
        let root = tables + u64::from(sector[16]) * table;
        let data = root + (short(17) * 32).next_multiple_of(size.max(1));
        let cluster = u64::from(sector[13]) * size;
        if size < 512 || cluster == 0 || table == 0 {
            return None;
        }
        let clusters = (or(short(19), long(32)) * size).saturating_sub(data) / cluster;
        let bits = match (short(22), clusters) {
            (0, _) => 32,
            (_, ..4085) => 12,
            _ => 16,
        };
        // The table may have fewer. C: `calc_fat_clusters()`.
        let clusters = clusters.min((table * 8 / u64::from(bits)).saturating_sub(2));
        Some(Self {
            tables,
            table,
            root,
            data,
            cluster,
            clusters,
            bits,
        })
    }

    fn kind(&self, position: u64, file: &File) -> Finding {
        let metadata = |kind: &str| What::Metadata {
            kind: kind.to_owned(),
        };
        if position < self.tables {
            return Finding::certain(metadata("boot and reserved sectors"));
        }
        if position < self.root {
            return Finding::certain(metadata("file allocation table"));
        }
        if position < self.data {
            return Finding::certain(What::Directory(Data {
                paths: vec!["/".to_owned()],
                // C: MSDOS_ROOT_INO.
                inode: 1,
                offset: Some(position - self.root),
                ..Data::default()
            }));
        }
        let number = (position - self.data) / self.cluster;
        if number >= self.clusters {
            return Finding::certain(metadata("rest behind the last cluster"));
        }
        match self.entry(number + 2, file) {
            Ok(0) => Finding::certain(What::Free),
            Ok(_) => Finding::unknown(
                "a cluster in use, but of no file that the kernel has a map of: a directory, or a deleted file that is \
                 open",
            ),
            Err(error) => Finding::unknown(format!("the table cannot be read: {error}")),
        }
    }

    /// Returns the entry of the table for `cluster`.
    fn entry(&self, cluster: u64, file: &File) -> io::Result<u32> {
        let mut bytes = [0; 4];
        Ok(match self.bits {
            12 => {
                file.read_exact_at(&mut bytes[..2], self.tables + cluster * 3 / 2)?;
                let pair = u32::from_le_bytes(bytes);
                if cluster % 2 == 0 {
                    pair & 0xfff
                } else {
                    pair >> 4
                }
            }
            16 => {
                file.read_exact_at(&mut bytes[..2], self.tables + cluster * 2)?;
                u32::from_le_bytes(bytes)
            }
            _ => {
                file.read_exact_at(&mut bytes, self.tables + cluster * 4)?;
                u32::from_le_bytes(bytes) & 0x0fff_ffff
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// 32000 sectors of 512 bytes, 4 a cluster, one table of 32 sectors, 512 files in the root.
    fn image() -> tempfile::NamedTempFile {
        let mut image = vec![0; 512 * 66];
        image[11..13].copy_from_slice(&512u16.to_le_bytes());
        image[13] = 4;
        image[14] = 1;
        image[16] = 1;
        image[17..19].copy_from_slice(&512u16.to_le_bytes());
        image[19..21].copy_from_slice(&32000u16.to_le_bytes());
        image[22] = 32;
        // Cluster 3 is the last of a file.
        image[512 + 6..512 + 8].copy_from_slice(&[0xff, 0xff]);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&image).expect("written");
        file
    }

    #[test]
    fn what_is_in_no_file_is_known() {
        let image = image();
        let at = |sector: u64| {
            let found = find(image.path(), &[sector * 512]);
            match &found[0].what {
                What::Metadata { kind } => kind.clone(),
                What::Directory(data) => format!("{} {:?}", data.paths[0], data.offset),
                What::Free => "free".to_owned(),
                What::Unknown { reason } => reason[..16].to_owned(),
                what => format!("{what:?}"),
            }
        };
        assert_eq!(at(0), "boot and reserved sectors");
        assert_eq!(at(32), "file allocation table");
        assert_eq!(at(34), "/ Some(512)");
        assert_eq!(at(65), "free");
        assert_eq!(at(69), "a cluster in use");
        assert_eq!(at(31999), "rest behind the last cluster");
        assert_eq!(Layout::read(&[0; 512]), None);
    }

    /// The device is larger than what the table has entries for.
    #[test]
    fn a_cluster_without_an_entry_is_behind_the_last() {
        let mut sector = [0; 512];
        sector[11..13].copy_from_slice(&512u16.to_le_bytes());
        sector[13] = 1;
        sector[14] = 1;
        sector[16] = 1;
        sector[19..21].copy_from_slice(&32000u16.to_le_bytes());
        sector[22] = 32;
        let layout = Layout::read(&sector).expect("a layout");
        assert_eq!((layout.bits, layout.clusters), (16, 32 * 256 - 2));
    }

    /// `mkfs.vfat -F 32` makes them of any size.
    #[test]
    fn a_small_fat32_has_entries_of_its_size() {
        let mut sector = [0; 512];
        sector[11..13].copy_from_slice(&512u16.to_le_bytes());
        sector[13] = 1;
        sector[14] = 32;
        sector[16] = 1;
        sector[19..21].copy_from_slice(&40000u16.to_le_bytes());
        sector[36..40].copy_from_slice(&320u32.to_le_bytes());
        let layout = Layout::read(&sector).expect("a layout");
        assert_eq!((layout.bits, layout.clusters), (32, 39648));
        let mut image = vec![0; 512 * 64];
        image[..512].copy_from_slice(&sector);
        // Cluster 3 is the last of a file, cluster 6 is free.
        image[32 * 512 + 12..32 * 512 + 16].copy_from_slice(&0x0fff_ffffu32.to_le_bytes());
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&image).expect("written");
        let entry = |cluster| layout.entry(cluster, file.as_file()).expect("an entry");
        assert_eq!((entry(3), entry(6)), (0x0fff_ffff, 0));
    }
}
