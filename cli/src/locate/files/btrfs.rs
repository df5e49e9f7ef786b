// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! btrfs that is mounted: from the byte of a device to its address space (tree of devices and chunks), to the inodes
//! (LOGICAL_INO), to the paths (INO_PATHS) in each subvolume.
//!
//! C: `include/uapi/linux/btrfs_tree.h`, `btrfs_map_block()` in `fs/btrfs/volumes.c`.

use super::mounted::{ENCODED, visible};
use super::mounts::Mount;
use super::open::OpenFiles;
use super::shown;
use crate::locate::answer::{Data, Finding, What};
use crate::locate::effort::Effort;
use crate::locate::kernel::{self, Item, Reference};
use crate::locate::stack::show_number;
use nix::libc;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const ROOT_TREE: u64 = 1;
const CHUNK_TREE: u64 = 3;
const DEVICE_TREE: u64 = 4;
const TOP: u64 = 5;
const ROOT_ITEM: u32 = 132;
const ROOT_BACKREF: u32 = 144;
const METADATA_ITEM: u32 = 169;
const DEV_EXTENT: u32 = 204;
const CHUNK_ITEM: u32 = 228;
const FIRST_CHUNK: u64 = 256;
const EXTENT_TREE: u64 = 2;
const EXTENT_ITEM: u32 = 168;
const EXTENT_DATA: u32 = 108;
/// In the flags of an extent.
const TREE_BLOCK: u64 = 2;
const TREE_BLOCK_REF: u8 = 176;
const LOG: u64 = 6_u64.wrapping_neg();
const RELOCATION: u64 = 9_u64.wrapping_neg();

/// Returns what is at the bytes `positions` of `device`, of a filesystem that is mounted at `mounts`.
pub fn find(
    mounts: &[Mount],
    device: &str,
    positions: &[u64],
    effort: &Effort,
) -> Vec<Vec<Finding>> {
    let failed = |error: &io::Error| {
        let reason = match error.kind() {
            io::ErrorKind::PermissionDenied => "btrfs answers only root".to_owned(),
            _ => format!("btrfs: {error}"),
        };
        vec![vec![Finding::unknown(reason)]; positions.len()]
    };
    let mut volume = match Volume::open(mounts, device) {
        Ok(volume) => volume,
        Err(error) => return failed(&error),
    };
    let mut found = Vec::with_capacity(positions.len());
    for (number, &position) in positions.iter().enumerate() {
        if effort.is_up() {
            found.push(vec![Finding::unknown(format!(
                "the time was up after {number} sectors (--time-limit)"
            ))]);
            continue;
        }
        effort.show(|| format!("{number} of {} sectors on btrfs", positions.len()));
        found.push(match volume.at(position) {
            Ok(findings) => findings.into_iter().map(|f| volume.settled(f)).collect(),
            Err(error) => vec![Finding::unknown(format!("btrfs: {error}"))],
        });
    }
    found
}

/// A run of a device that belongs to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u64,
    length: u64,
    chunk: u64,
}

/// A chunk of the address space.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chunk {
    stripe: u64,
    profile: u64,
    sub_stripes: u64,
    /// Number of the device, and the byte on it.
    stripes: Vec<(u64, u64)>,
}

const RAID0: u64 = 1 << 3;
const RAID10: u64 = 1 << 6;
const RAID56: u64 = (1 << 7) | (1 << 8);

impl Chunk {
    /// C: `struct btrfs_chunk`.
    fn read(data: &[u8]) -> Option<Self> {
        let count = usize::from(u16::from_le_bytes(data.get(44..46)?.try_into().ok()?));
        let stripes =
            (0..count).map(|i| Some((long(data, 48 + 32 * i)?, long(data, 56 + 32 * i)?)));
        Some(Self {
            stripe: long(data, 16)?,
            profile: long(data, 24)?,
            sub_stripes: u64::from(u16::from_le_bytes(data.get(46..48)?.try_into().ok()?)),
            stripes: stripes.collect::<Option<_>>()?,
        })
    }

    /// Returns the offset in the chunk of byte `of` of the stripe that begins at `start` of the device `id`.
    fn offset(&self, id: u64, start: u64, of: u64) -> Option<u64> {
        if self.profile & RAID56 != 0 {
            return None;
        }
        let at = self.stripes.iter().position(|s| *s == (id, start))? as u64;
        let (stripe, count) = (self.stripe.max(1), self.stripes.len() as u64);
        let (factor, column) = match self.profile {
            profile if profile & RAID0 != 0 => (count, at),
            profile if profile & RAID10 != 0 => {
                let copies = self.sub_stripes.max(1);
                (count / copies, at / copies)
            }
            _ => return Some(of),
        };
        Some((of / stripe * factor + column) * stripe + of % stripe)
    }
}

fn long(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

/// A subvolume.
#[derive(Debug)]
struct Subvolume<'a> {
    /// Its path from the top.
    path: Option<PathBuf>,
    /// Its root, where it can be reached, by which mount, and by which path.
    reached: Option<(File, &'a Mount, PathBuf)>,
    /// It was made from another one.
    is_snapshot: bool,
}

struct Volume<'a> {
    mounts: &'a [Mount],
    root: File,
    id: u64,
    node: u64,
    runs: Vec<Run>,
    chunks: HashMap<u64, Option<Chunk>>,
    subvolumes: HashMap<u64, Subvolume<'a>>,
    open: OpenFiles,
    /// Nothing was begun that is not committed.
    is_committed: bool,
}

/// What limits an answer that nothing is there.
const NOT_COMMITTED: &str = "btrfs has a transaction that is not committed, of which the blocks are not known yet; ask again after `btrfs filesystem sync`";

impl<'a> Volume<'a> {
    fn open(mounts: &'a [Mount], device: &str) -> io::Result<Self> {
        let Some(mount) = mounts.first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let root = File::open(&mount.path)?;
        let info = kernel::btrfs_info(&root)?;
        let is = |id: &u64| {
            let path = kernel::btrfs_device(&root, *id);
            let about = path.and_then(fs::metadata);
            about.is_ok_and(|about| show_number(about.rdev()) == device)
        };
        let none = || io::Error::new(io::ErrorKind::NotFound, "it does not know the device");
        let id = (0..=info.most).find(is).ok_or_else(none)?;
        // C: BTRFS_DEV_REPLACE_DEVID. The map has only its source.
        if id == 0 {
            return Err(io::Error::other(
                "the target of a replacement that is not finished; its source has the same at this sector",
            ));
        }
        let mut runs = Vec::new();
        let mut next = 0;
        loop {
            let items = kernel::btrfs_items(
                &root,
                DEVICE_TREE,
                DEV_EXTENT,
                (id, next),
                (id, u64::MAX),
                64,
            )?;
            let Some(last) = items.last() else { break };
            next = last.offset + 1;
            // C: `struct btrfs_dev_extent`.
            runs.extend(items.iter().filter_map(|item| {
                Some(Run {
                    start: item.offset,
                    chunk: long(&item.data, 16)?,
                    length: long(&item.data, 24)?,
                })
            }));
        }
        let all = (EXTENT_TREE, 0)..=(EXTENT_TREE, u64::MAX);
        let trees = kernel::btrfs_items(&root, ROOT_TREE, ROOT_ITEM, *all.start(), *all.end(), 1)?;
        // C: `struct btrfs_root_item`, generation. Each commit changes this tree.
        let committed = trees.first().and_then(|item| long(&item.data, 160));
        Ok(Self {
            mounts,
            root,
            id,
            node: u64::from(info.node).max(1),
            runs,
            chunks: HashMap::new(),
            subvolumes: HashMap::new(),
            open: OpenFiles::on(None),
            is_committed: committed.is_some() && committed == info.generation,
        })
    }

    fn settled(&self, finding: Finding) -> Finding {
        match (&finding.what, self.is_committed) {
            (What::Free, false) => finding.but(NOT_COMMITTED),
            _ => finding,
        }
    }

    fn at(&mut self, position: u64) -> io::Result<Vec<Finding>> {
        let superblocks = [1 << 16, 1 << 26, 1 << 38];
        if superblocks
            .iter()
            .any(|s| (*s..s + 4096).contains(&position))
        {
            return Ok(vec![Finding::certain(metadata("superblock".to_owned()))]);
        }
        let end = self.runs.partition_point(|run| run.start <= position);
        let run = end.checked_sub(1).and_then(|at| self.runs.get(at)).copied();
        let Some(run) = run.filter(|run| position - run.start < run.length) else {
            return Ok(vec![Finding::certain(What::Free)]);
        };
        let Some(chunk) = self.chunk(run.chunk)? else {
            return Ok(vec![Finding::unknown("the chunk was moved meanwhile")]);
        };
        let Some(of) = chunk.offset(self.id, run.start, position - run.start) else {
            return Ok(vec![Finding::unknown(
                "a stripe of RAID5 or RAID6, which this program does not map; `btrfs scrub` names the files",
            )]);
        };
        let logical = run.chunk + of;
        match kernel::btrfs_references(&self.root, logical) {
            Ok(references) if references.is_empty() => {
                let kind = "rest of an extent, which no file uses any more".to_owned();
                Ok(vec![Finding::certain(What::Other { kind })])
            }
            Ok(references) => Ok(references.into_iter().map(|r| self.file(r)).collect()),
            // The kernel answers so of metadata too.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
                let what = match self.tree(logical)? {
                    Some(tree) => metadata(tree),
                    None => What::Free,
                };
                Ok(vec![Finding::certain(what)])
            }
            Err(error) => Err(error),
        }
    }

    fn chunk(&mut self, at: u64) -> io::Result<Option<Chunk>> {
        if let Some(chunk) = self.chunks.get(&at) {
            return Ok(chunk.clone());
        }
        let key = (FIRST_CHUNK, at);
        let items = kernel::btrfs_items(&self.root, CHUNK_TREE, CHUNK_ITEM, key, key, 1)?;
        let chunk = items.first().and_then(|item| Chunk::read(&item.data));
        self.chunks.insert(at, chunk.clone());
        Ok(chunk)
    }

    /// Returns which tree has the metadata at `logical`; `None` if there is none.
    fn tree(&self, logical: u64) -> io::Result<Option<String>> {
        let first = logical.saturating_sub(self.node - 1);
        // C: `struct btrfs_extent_item`, then `struct btrfs_extent_inline_ref` of type BTRFS_TREE_BLOCK_REF_KEY. Without
        // "skinny metadata", `struct btrfs_tree_block_info` is before the latter.
        for (ty, at) in [(METADATA_ITEM, 24), (EXTENT_ITEM, 42)] {
            let (from, to) = ((first, 0), (logical, u64::MAX));
            let items = kernel::btrfs_items(&self.root, EXTENT_TREE, ty, from, to, 64)?;
            let is =
                |item: &&Item| long(&item.data, 16).is_some_and(|flags| flags & TREE_BLOCK != 0);
            if let Some(item) = items.iter().rfind(is) {
                let is_owner = item.data.get(at) == Some(&TREE_BLOCK_REF);
                let owner = long(&item.data, at + 1).filter(|_| is_owner);
                return Ok(Some(named(owner)));
            }
        }
        Ok(None)
    }

    fn file(&mut self, reference: Reference) -> Finding {
        // The first version of the cache of free space has inodes in this tree.
        if reference.root == ROOT_TREE {
            return Finding::certain(metadata("cache of free space".to_owned()));
        }
        let subvolume = match self.subvolumes.remove(&reference.root) {
            Some(known) => known,
            None => self.subvolume(reference.root),
        };
        let finding = self.file_in(&subvolume, reference);
        self.subvolumes.insert(reference.root, subvolume);
        finding
    }

    fn file_in(&self, subvolume: &Subvolume<'_>, reference: Reference) -> Finding {
        let mut data = Data {
            inode: reference.inode,
            offset: Some(reference.offset),
            ..Data::default()
        };
        let mut remarks = Vec::new();
        if subvolume.is_snapshot {
            let path = subvolume.path.as_deref().map(shown).unwrap_or_default();
            remarks.push(format!(
                "in the snapshot {path} (subvolume {})",
                reference.root
            ));
        }
        let mut is_known;
        let is_deleted;
        match &subvolume.reached {
            Some((root, mount, point)) => {
                let paths = kernel::btrfs_paths(root, reference.inode);
                is_deleted = match &paths {
                    Ok(paths) => paths.is_empty(),
                    Err(error) => error.raw_os_error() == Some(libc::ENOENT),
                };
                is_known = is_deleted;
                let paths = paths.unwrap_or_default();
                let paths: Vec<PathBuf> = paths.iter().map(|path| point.join(path)).collect();
                let number = root.metadata().map_or(0, |about| about.dev());
                let hides = paths.iter().find_map(|path| mount.hides(path));
                let seen = paths.iter().filter(|path| mount.hides(path).is_none());
                let about = seen.filter_map(|path| fs::symlink_metadata(path).ok());
                let is =
                    |about: &fs::Metadata| (about.dev(), about.ino()) == (number, reference.inode);
                if let Some(about) = about.into_iter().find(is) {
                    data.size = Some(about.len());
                    data.modified = Some(about.mtime());
                    data.changed = Some(about.ctime());
                    is_known = paths.len() as u64 >= about.nlink();
                }
                if let Some(by) = hides {
                    remarks.push(format!("hidden by what is mounted over {}", shown(by)));
                    is_known = false;
                }
                data.open = self.open.holders(number, reference.inode);
                data.paths = paths.iter().map(|path| visible(mount, path)).collect();
                data.paths.sort();
            }
            None => {
                let path = kernel::btrfs_lookup(&self.root, reference.root, reference.inode);
                let of = subvolume.path.as_deref().map(shown);
                data.paths.extend(
                    path.ok()
                        .map(|path| shown(&path).trim_end_matches('/').to_owned()),
                );
                let of = of.unwrap_or_else(|| reference.root.to_string());
                remarks.push(format!(
                    "relative to the subvolume {of}, which is not mounted"
                ));
                is_known = false;
                is_deleted = data.paths.is_empty();
            }
        }
        let what = match is_deleted {
            true => What::Deleted(data),
            false => What::File(data),
        };
        let mut finding = Finding {
            remarks,
            ..Finding::certain(what)
        };
        if !is_known {
            finding = finding.but("it may have more names");
        }
        if self.is_encoded(reference) {
            finding = finding.but(ENCODED);
        }
        finding
    }

    /// Returns whether the extent is compressed or encrypted. The kernel then has the begin of the extent as the offset.
    fn is_encoded(&self, reference: Reference) -> bool {
        let key = (reference.inode, reference.offset);
        let items = kernel::btrfs_items(&self.root, reference.root, EXTENT_DATA, key, key, 1);
        items.is_ok_and(|items| items.first().is_some_and(|item| is_encoded(&item.data)))
    }

    fn subvolume(&self, id: u64) -> Subvolume<'a> {
        let path = self.subvolume_path(id);
        let reach = |mount: &'a Mount| {
            let root = Path::new("/").join(path.as_ref()?);
            let below = root.strip_prefix(&mount.root).ok()?;
            let point = mount.path.join(below);
            if mount.hides(&point).is_some() {
                return None;
            }
            // The root of each subvolume has this inode.
            let is_root = fs::metadata(&point).is_ok_and(|about| about.ino() == 256);
            let root = File::open(&point).ok().filter(|_| is_root)?;
            Some((root, mount, point))
        };
        let items =
            kernel::btrfs_items(&self.root, ROOT_TREE, ROOT_ITEM, (id, 0), (id, u64::MAX), 1);
        // C: `struct btrfs_root_item`, parent_uuid.
        let parent = |item: &Item| {
            item.data
                .get(263..279)
                .is_some_and(|p| p.iter().any(|b| *b != 0))
        };
        Subvolume {
            reached: self.mounts.iter().find_map(reach),
            path,
            is_snapshot: items.is_ok_and(|items| items.first().is_some_and(parent)),
        }
    }

    /// Returns the path of the subvolume `id` from the top.
    fn subvolume_path(&self, mut id: u64) -> Option<PathBuf> {
        let mut parts: Vec<PathBuf> = Vec::new();
        while id != TOP {
            let items = kernel::btrfs_items(
                &self.root,
                ROOT_TREE,
                ROOT_BACKREF,
                (id, 0),
                (id, u64::MAX),
                1,
            );
            let item = items.ok()?.into_iter().next()?;
            // C: `struct btrfs_root_ref`: the folder, a number, the length of the name, the name.
            use std::os::unix::ffi::OsStrExt;
            let name = std::ffi::OsStr::from_bytes(item.data.get(18..)?);
            let folder =
                kernel::btrfs_lookup(&self.root, item.offset, long(&item.data, 0)?).ok()?;
            parts.push(folder.join(name));
            id = item.offset;
            if parts.len() > 64 {
                return None;
            }
        }
        Some(parts.iter().rev().collect())
    }
}

/// C: `struct btrfs_file_extent_item`: compression, encryption, other_encoding (16 bits).
fn is_encoded(extent: &[u8]) -> bool {
    extent
        .get(16..20)
        .is_some_and(|kinds| kinds.iter().any(|kind| *kind != 0))
}

/// Returns the name of a tree.
fn named(owner: Option<u64>) -> String {
    match owner {
        Some(1) => "tree of trees".to_owned(),
        Some(2) => "tree of extents".to_owned(),
        Some(3) => "tree of chunks".to_owned(),
        Some(4) => "tree of devices".to_owned(),
        Some(7) => "tree of checksums".to_owned(),
        Some(9) => "tree of UUIDs".to_owned(),
        Some(10) => "tree of free space".to_owned(),
        Some(11) => "tree of block groups".to_owned(),
        // C: BTRFS_TREE_LOG_OBJECTID and so on, which are negative.
        Some(LOG) => "log of what was synced".to_owned(),
        Some(RELOCATION..=u64::MAX) => "tree of files that are moved".to_owned(),
        Some(tree @ (5 | 256..=u64::MAX)) => format!("tree of files of subvolume {tree}"),
        Some(tree) => format!("tree {tree}"),
        None => "a tree".to_owned(),
    }
}

fn metadata(kind: String) -> What {
    What::Metadata { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_extent_is_seen() {
        let mut extent = vec![0; 53];
        assert!(!is_encoded(&extent));
        // zstd
        extent[16] = 3;
        assert!(is_encoded(&extent));
        assert!(!is_encoded(&[3; 12]));
    }

    #[test]
    fn a_stripe_is_placed_in_its_chunk() {
        let chunk = |profile, sub_stripes| Chunk {
            stripe: 65536,
            profile,
            sub_stripes,
            stripes: vec![(1, 100), (2, 200), (3, 300), (4, 400)],
        };
        let raid1 = chunk(1 << 4, 1);
        assert_eq!(raid1.offset(2, 200, 70000), Some(70000));
        let raid0 = chunk(RAID0, 1);
        assert_eq!(raid0.offset(2, 200, 5), Some(65541));
        assert_eq!(raid0.offset(1, 100, 65536), Some(4 * 65536));
        let raid10 = chunk(RAID10, 2);
        assert_eq!(raid10.offset(2, 200, 5), Some(5));
        assert_eq!(raid10.offset(3, 300, 65541), Some(3 * 65536 + 5));
        assert_eq!(chunk(RAID56, 1).offset(1, 100, 0), None);
        assert_eq!(raid1.offset(1, 101, 0), None);
    }
}
