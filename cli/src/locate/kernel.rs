// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Asks the kernel where a filesystem keeps its data. This is the only code here that is `unsafe`: each function owns
//! the memory that the kernel writes to, and returns numbers.
//!
//! C: `include/uapi/linux/fiemap.h`, `fsmap.h`, `btrfs.h`, `ioprio.h`.

use nix::libc;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Memory for the kernel, aligned as its structures are.
struct Words(Vec<u64>);

impl Words {
    fn new(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(8)])
    }

    fn u64(&self, at: usize) -> u64 {
        self.0[at / 8]
    }

    fn set_u64(&mut self, at: usize, value: u64) {
        self.0[at / 8] = value;
    }

    fn u32(&self, at: usize) -> u32 {
        let bytes = self.0[at / 8].to_ne_bytes();
        let half = if at % 8 == 0 {
            &bytes[..4]
        } else {
            &bytes[4..]
        };
        u32::from_ne_bytes(half.try_into().unwrap_or_default())
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        let mut bytes = self.0[at / 8].to_ne_bytes();
        bytes[at % 8..at % 8 + 4].copy_from_slice(&value.to_ne_bytes());
        self.0[at / 8] = u64::from_ne_bytes(bytes);
    }

    /// Returns `length` bytes from `at` on, or what there is of them.
    fn bytes(&self, at: usize, length: usize) -> Vec<u8> {
        let all = self.0.iter().skip(at / 8).flat_map(|w| w.to_ne_bytes());
        all.skip(at % 8).take(length).collect()
    }
}

/// Calls ioctl(2) with `words`.
fn ask(file: &File, request: u64, words: &mut Words) -> io::Result<()> {
    // SAFETY: each caller makes `words` as large as the structure of `request`, together with the elements that
    // follow it by the count that is in it, and the kernel writes nothing else.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, words.0.as_mut_ptr()) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

/// Calls ioctl(2) with `words`, in which the pointer at `at` is to be that of `inner`.
fn ask_inner(
    file: &File,
    request: u64,
    words: &mut Words,
    at: usize,
    inner: &mut Words,
) -> io::Result<()> {
    words.set_u64(at, inner.0.as_mut_ptr() as u64);
    // SAFETY: as in `ask`. The length of `inner` is in `words` too, and it exists until the call returns.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, words.0.as_mut_ptr()) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

/// A run of a file's data on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The byte in the file.
    pub logical: u64,
    /// The byte on the device.
    pub physical: u64,
    /// Bytes.
    pub length: u64,
    /// Several files have it.
    pub shared: bool,
    /// Compressed or encrypted: a byte of it is not a byte of the file.
    pub encoded: bool,
    /// It is allocated, but was not written: reads return zeros.
    pub unwritten: bool,
}

const FS_IOC_FIEMAP: u64 = nix::request_code_readwrite!(b'f', 11, 32);
const FIEMAP_LAST: u32 = 0x1;
/// Unknown, delayed, inline, not aligned with another file's: no place of its own.
const FIEMAP_NO_PLACE: u32 = 0x2 | 0x4 | 0x200 | 0x400;
const FIEMAP_ENCODED: u32 = 0x8 | 0x80;
const FIEMAP_UNWRITTEN: u32 = 0x800;
const FIEMAP_SHARED: u32 = 0x2000;
const AT_A_TIME: usize = 256;

/// Calls `each` with the extents of `file`. Nothing is flushed, so what is still to be written has none.
///
/// # Errors
///
/// Fails if the filesystem does not know.
pub fn extents(file: &File, each: &mut dyn FnMut(Extent)) -> io::Result<()> {
    let mut start = 0;
    // Most files have few.
    let mut count = 8;
    loop {
        let mut words = Words::new(32 + 56 * count);
        words.set_u64(0, start);
        words.set_u64(8, u64::MAX - start);
        words.set_u32(24, count as u32);
        ask(file, FS_IOC_FIEMAP, &mut words)?;
        let mapped = (words.u32(20) as usize).min(count);
        let mut last = mapped == 0;
        for at in (0..mapped).map(|i| 32 + 56 * i) {
            let flags = words.u32(at + 40);
            let (logical, length) = (words.u64(at), words.u64(at + 16));
            start = logical.saturating_add(length);
            last |= flags & FIEMAP_LAST != 0;
            if flags & FIEMAP_NO_PLACE == 0 {
                each(Extent {
                    logical,
                    physical: words.u64(at + 8),
                    length,
                    shared: flags & FIEMAP_SHARED != 0,
                    encoded: flags & FIEMAP_ENCODED != 0,
                    unwritten: flags & FIEMAP_UNWRITTEN != 0,
                });
            }
        }
        if last || mapped < count {
            return Ok(());
        }
        count = AT_A_TIME;
    }
}

const FIBMAP: u64 = 1;
const FIGETBSZ: u64 = 2;

/// Calls `each` with the extents of `file`, which is `size` bytes long, on a filesystem without FIEMAP. Asks for each
/// block, of at least `step` bytes.
///
/// # Errors
///
/// Fails if the filesystem does not know.
pub fn extents_by_block(
    file: &File,
    size: u64,
    step: u64,
    each: &mut dyn FnMut(Extent),
) -> io::Result<()> {
    let mut words = Words::new(8);
    ask(file, FIGETBSZ, &mut words)?;
    let block = u64::from(words.u32(0)).max(1);
    let step = step.max(block) / block;
    let mut number = 0;
    while number * block < size {
        let Ok(asked) = u32::try_from(number) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        words.set_u32(0, asked);
        ask(file, FIBMAP, &mut words)?;
        let found = words.u32(0);
        if found != 0 {
            each(Extent {
                logical: number * block,
                physical: u64::from(found) * block,
                length: step * block,
                shared: false,
                encoded: false,
                unwritten: false,
            });
        }
        number += step;
    }
    Ok(())
}

/// The owner of a place in a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The first byte on the device.
    pub physical: u64,
    /// Bytes.
    pub length: u64,
    /// A number by `special`: a kind, or an inode.
    pub owner: u64,
    /// The byte in the file.
    pub offset: u64,
    /// `owner` is a kind.
    pub special: bool,
    /// It holds attributes of the inode.
    pub attributes: bool,
    /// It holds the map of the inode's extents.
    pub map: bool,
    /// Several files have it.
    pub shared: bool,
    /// It is allocated, but was not written.
    pub unwritten: bool,
}

const FS_IOC_GETFSMAP: u64 = nix::request_code_readwrite!(b'X', 59, 192);

/// Returns the owners of the byte `at` of the device, in the filesystem with the root `root`. `device` is its number.
///
/// # Errors
///
/// Fails if the filesystem does not know.
pub fn owners(root: &File, device: u64, at: u64) -> io::Result<Vec<Owned>> {
    // They come in the order of their places. Thousands of files may share one.
    let mut count = 32;
    loop {
        let found = some_owners(root, device, at, count)?;
        let are_all = found.len() < count || found.last().is_some_and(|o| o.physical > at);
        if are_all {
            let is_at = |o: &Owned| o.physical <= at && at - o.physical < o.length;
            return Ok(found.into_iter().filter(is_at).collect());
        }
        if count >= MOST_OWNERS {
            return Err(io::Error::other("too many files share a block"));
        }
        count *= 8;
    }
}

const MOST_OWNERS: usize = 32 << 15;

/// Returns the first `count` owners from the byte `at` on.
fn some_owners(root: &File, device: u64, at: u64, count: usize) -> io::Result<Vec<Owned>> {
    let mut words = Words::new(192 + 64 * count);
    words.set_u32(8, count as u32);
    let (major, minor) = (
        nix::sys::stat::major(device) as u32,
        nix::sys::stat::minor(device) as u32,
    );
    // C: new_encode_dev()
    let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    for (key, all) in [(64, 0), (128, u64::MAX)] {
        words.set_u32(key, number);
        words.set_u32(key + 4, all as u32);
        words.set_u64(key + 8, at);
        words.set_u64(key + 16, all);
        words.set_u64(key + 24, all);
    }
    ask(root, FS_IOC_GETFSMAP, &mut words)?;
    let entries = (words.u32(12) as usize).min(count);
    let found = (0..entries).map(|i| 192 + 64 * i).map(|entry| {
        let flags = words.u32(entry + 4);
        Owned {
            physical: words.u64(entry + 8),
            owner: words.u64(entry + 16),
            offset: words.u64(entry + 24),
            length: words.u64(entry + 32),
            unwritten: flags & 0x1 != 0,
            attributes: flags & 0x2 != 0,
            map: flags & 0x4 != 0,
            shared: flags & 0x8 != 0,
            special: flags & 0x10 != 0,
        }
    });
    Ok(found.collect())
}

const FS_IOC_FSGETXATTR: u64 = nix::request_code_read!(b'X', 31, 28);

/// Returns whether the data of a file of XFS is on the device for real time.
pub fn is_on_another_device(file: &File) -> bool {
    // C: FS_XFLAG_REALTIME.
    const REALTIME: u32 = 1;
    let mut words = Words::new(32);
    ask(file, FS_IOC_FSGETXATTR, &mut words).is_ok() && words.u32(0) & REALTIME != 0
}

/// An item of one of btrfs's trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The first part of its key.
    pub objectid: u64,
    /// The second part.
    pub ty: u32,
    /// The third part.
    pub offset: u64,
    /// Its data, as on disk.
    pub data: Vec<u8>,
}

const BTRFS_IOC_TREE_SEARCH: u64 = nix::request_code_readwrite!(0x94, 17, 4096);

/// Returns up to `most` items of the tree `tree` of btrfs, of type `ty`, with keys from `first` to `last` (objectid and
/// offset).
///
/// # Errors
///
/// Fails without CAP_SYS_ADMIN, or if there is no such tree.
pub fn btrfs_items(
    root: &File,
    tree: u64,
    ty: u32,
    first: (u64, u64),
    last: (u64, u64),
    most: u32,
) -> io::Result<Vec<Item>> {
    let wanted = ty;
    let mut words = Words::new(4096);
    for (i, value) in [tree, first.0, last.0, first.1, last.1, 0, u64::MAX]
        .into_iter()
        .enumerate()
    {
        words.set_u64(8 * i, value);
    }
    words.set_u32(56, ty);
    words.set_u32(60, ty);
    words.set_u32(64, most);
    ask(root, BTRFS_IOC_TREE_SEARCH, &mut words)?;
    let count = words.u32(64);
    let bytes = words.bytes(104, 4096 - 104);
    let mut at = 0;
    let mut items = Vec::new();
    for _ in 0..count {
        let number = |from: usize| -> Option<u64> {
            Some(u64::from_ne_bytes(
                bytes.get(from..from + 8)?.try_into().ok()?,
            ))
        };
        let (Some(objectid), Some(offset), Some(last)) =
            (number(at + 8), number(at + 16), number(at + 24))
        else {
            break;
        };
        let last = last.to_ne_bytes();
        let half = |half: &[u8]| u32::from_ne_bytes(half.try_into().unwrap_or_default());
        let (ty, length) = (half(&last[..4]), half(&last[4..]) as usize);
        let Some(data) = bytes.get(at + 32..at + 32 + length) else {
            break;
        };
        // Between two objects are all types.
        if ty == wanted {
            items.push(Item {
                objectid,
                ty,
                offset,
                data: data.to_vec(),
            });
        }
        at += 32 + length;
    }
    Ok(items)
}

const BTRFS_IOC_DEV_INFO: u64 = nix::request_code_readwrite!(0x94, 30, 4096);

/// Returns the path of the device `id` of btrfs.
///
/// # Errors
///
/// Fails if there is no such device.
pub fn btrfs_device(root: &File, id: u64) -> io::Result<PathBuf> {
    let mut words = Words::new(4096);
    words.set_u64(0, id);
    ask(root, BTRFS_IOC_DEV_INFO, &mut words)?;
    Ok(path(words.bytes(3072, 1024)))
}

const BTRFS_IOC_FS_INFO: u64 = nix::request_code_read!(0x94, 31, 1024);

/// What btrfs says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtrfsInfo {
    /// The highest number of a device.
    pub most: u64,
    /// The size of metadata's nodes.
    pub node: u32,
    /// The last transaction that was begun, if the kernel says.
    pub generation: Option<u64>,
}

/// Returns what btrfs says of itself.
///
/// # Errors
///
/// Fails if it is no btrfs.
pub fn btrfs_info(root: &File) -> io::Result<BtrfsInfo> {
    // C: BTRFS_FS_INFO_FLAG_GENERATION.
    const GENERATION: u64 = 2;
    let mut words = Words::new(1024);
    words.set_u64(48, GENERATION);
    ask(root, BTRFS_IOC_FS_INFO, &mut words)?;
    Ok(BtrfsInfo {
        most: words.u64(0),
        node: words.u32(32),
        generation: (words.u64(48) & GENERATION != 0).then(|| words.u64(56)),
    })
}

/// A file of btrfs that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The inode.
    pub inode: u64,
    /// The byte in the file.
    pub offset: u64,
    /// The subvolume.
    pub root: u64,
}

const BTRFS_IOC_LOGICAL_INO_V2: u64 = nix::request_code_readwrite!(0x94, 59, 56);

/// Returns the files that have the byte `logical` of btrfs's address space.
///
/// # Errors
///
/// ENOENT if nothing is there, or metadata (EINVAL in other kernels).
pub fn btrfs_references(root: &File, logical: u64) -> io::Result<Vec<Reference>> {
    // The second is the kernel's maximum.
    let mut rooms = [1_usize << 16, 1 << 24].into_iter();
    let (inner, room) = loop {
        let Some(room) = rooms.next() else {
            return Err(io::Error::other("too many files share a block"));
        };
        let mut words = Words::new(56);
        let mut inner = Words::new(room);
        words.set_u64(0, logical);
        words.set_u64(8, room as u64);
        ask_inner(root, BTRFS_IOC_LOGICAL_INO_V2, &mut words, 48, &mut inner)?;
        // C: `struct btrfs_data_container`, elem_missed.
        if inner.u32(12) == 0 {
            break (inner, room);
        }
    };
    let count = (inner.u32(8) as usize / 3).min((room - 16) / 24);
    let references = (0..count).map(|i| 16 + 24 * i).map(|at| Reference {
        inode: inner.u64(at),
        offset: inner.u64(at + 8),
        root: inner.u64(at + 16),
    });
    Ok(references.collect())
}

const BTRFS_IOC_INO_PATHS: u64 = nix::request_code_readwrite!(0x94, 35, 56);

/// Returns the paths of `inode` in the subvolume with the root `subvolume`, relative to it.
///
/// # Errors
///
/// ENOENT if it has none.
pub fn btrfs_paths(subvolume: &File, inode: u64) -> io::Result<Vec<PathBuf>> {
    // The kernel's maximum.
    const ROOM: usize = 4096;
    let mut words = Words::new(56);
    let mut inner = Words::new(ROOM);
    words.set_u64(0, inode);
    words.set_u64(8, ROOM as u64);
    ask_inner(subvolume, BTRFS_IOC_INO_PATHS, &mut words, 48, &mut inner)?;
    let count = (inner.u32(8) as usize).min((ROOM - 16) / 8);
    let paths = (0..count).map(|i| {
        let at = usize::try_from(inner.u64(16 + 8 * i)).unwrap_or(ROOM);
        path(inner.bytes(at.saturating_add(16).min(ROOM), ROOM))
    });
    Ok(paths.collect())
}

const BTRFS_IOC_INO_LOOKUP: u64 = nix::request_code_readwrite!(0x94, 18, 4096);

/// Returns a path of `inode` in the subvolume `tree`, relative to it.
///
/// # Errors
///
/// ENOENT if it has none.
pub fn btrfs_lookup(root: &File, tree: u64, inode: u64) -> io::Result<PathBuf> {
    let mut words = Words::new(4096);
    words.set_u64(0, tree);
    words.set_u64(8, inode);
    ask(root, BTRFS_IOC_INO_LOOKUP, &mut words)?;
    Ok(path(words.bytes(16, 4080)))
}

/// Returns the path up to the first NUL.
fn path(mut bytes: Vec<u8>) -> PathBuf {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    PathBuf::from(OsString::from_vec(bytes))
}

/// Puts this thread's I/O into the class that runs only when nothing else does.
///
/// # Errors
///
/// Fails if the kernel refuses.
pub fn idle_io() -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    const IDLE: libc::c_long = 3 << 13;
    // SAFETY: ioprio_set(2) takes three numbers; 0 is this thread.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            0 as libc::c_long,
            IDLE,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_number_of_four_bytes_is_in_its_half() {
        let mut words = Words::new(16);
        words.set_u32(4, 7);
        words.set_u32(8, 9);
        assert_eq!((words.u32(0), words.u32(4), words.u32(8)), (0, 7, 9));
        assert_eq!(words.bytes(4, 2), 7u32.to_ne_bytes()[..2]);
        assert_eq!(words.bytes(15, 9).len(), 1);
    }

    /// Skips filesystems that do not know, such as tmpfs.
    #[test]
    fn the_extents_of_a_file_cover_it() {
        let mut file = tempfile::tempfile_in(".").expect("a file");
        file.write_all(&[7; 100_000]).expect("written");
        file.sync_all().expect("synced");
        let mut covered = 0;
        match extents(&file, &mut |extent| covered += extent.length) {
            Ok(()) => assert!(covered >= 100_000, "{covered}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}"),
        }
    }
}
