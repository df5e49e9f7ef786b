// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A mounted filesystem. The kernel's map of it (GETFSMAP: ext4, XFS) has free space and metadata, and on XFS the inode.
//! One walk through the files finds the names, and where the map has no inode, the extents.

use super::mounts::{Mount, is_swap_file};
use super::open::OpenFiles;
use super::walk::{Entry, Walked, walk};
use super::{ext, fat, shown};
use crate::locate::answer::{Data, Finding, What};
use crate::locate::effort::Effort;
use crate::locate::kernel::{self, Extent, Owned};
use nix::libc;
use std::collections::HashMap;
use std::collections::hash_map::Entry::Vacant;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Filesystems with files that share no data.
const UNSHARED: [&str; 6] = ["ext2", "ext3", "ext4", "vfat", "msdos", "exfat"];

/// A claim to a position.
#[derive(Clone, Debug)]
enum Claim {
    /// It is this.
    Known(Finding),
    /// It belongs to an inode.
    Inode {
        inode: u64,
        offset: Option<u64>,
        /// Not its data.
        belonging: Option<&'static str>,
        remark: Option<&'static str>,
    },
}

/// Returns what is at the bytes `positions` of `device`, which is mounted at `mount`. One of them may have several
/// owners.
pub fn find(
    mount: &Mount,
    device: Option<&Path>,
    positions: &[u64],
    effort: &Effort,
) -> Vec<Vec<Finding>> {
    let mut search = Search::new(mount, positions);
    if let Ok(root) = File::open(&mount.path) {
        search.map(&root);
    }
    search.open = OpenFiles::on(Some(mount.number));
    search.deleted();
    let walked = search.walk(effort);
    search.leftover(device, &walked, effort);
    search.end(&walked, effort)
}

struct Search<'a> {
    mount: &'a Mount,
    /// Positions in order, each with its index.
    sorted: Vec<(u64, usize)>,
    /// By index.
    claims: Vec<Vec<Claim>>,
    /// Number of positions without a claim.
    unclaimed: usize,
    /// The kernel's map has free space and metadata.
    has_map: bool,
    /// The map has inodes.
    has_inodes: bool,
    open: OpenFiles,
    /// What is known of each inode that claims a position.
    names: HashMap<u64, Names>,
    /// Number of those of which not all names are known.
    unnamed: usize,
    /// The filesystem has FIBMAP instead.
    by_block: bool,
    /// The filesystem has neither.
    error: Option<io::Error>,
}

/// The names of an inode.
#[derive(Clone, Debug, Default)]
struct Names {
    paths: Vec<PathBuf>,
    links: Option<u64>,
    is_directory: bool,
    is_deleted: bool,
    size: Option<u64>,
    modified: Option<i64>,
    changed: Option<i64>,
}

impl Names {
    fn describe(&mut self, about: &fs::Metadata) {
        self.links = Some(about.nlink());
        self.is_directory = about.is_dir();
        self.is_deleted = about.nlink() == 0;
        self.size = Some(about.len());
        self.modified = Some(about.mtime());
        self.changed = Some(about.ctime());
    }

    /// Returns whether there are no more of them. A directory has one, whatever its count of links.
    fn are_all(&self) -> bool {
        self.is_deleted
            || !self.paths.is_empty()
                && (self.is_directory
                    || self
                        .links
                        .is_some_and(|links| self.paths.len() as u64 >= links))
    }
}

impl<'a> Search<'a> {
    fn new(mount: &'a Mount, positions: &[u64]) -> Self {
        let mut sorted: Vec<_> = positions.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        Self {
            mount,
            sorted,
            claims: vec![Vec::new(); positions.len()],
            unclaimed: positions.len(),
            has_map: false,
            has_inodes: false,
            open: OpenFiles::default(),
            names: HashMap::new(),
            unnamed: 0,
            by_block: false,
            error: None,
        }
    }

    fn is_ext(&self) -> bool {
        self.mount.kind.starts_with("ext")
    }

    fn claim(&mut self, index: usize, claim: Claim) {
        if let Claim::Inode { inode, .. } = claim {
            if let Vacant(entry) = self.names.entry(inode) {
                entry.insert(Names::default());
                self.unnamed += 1;
            }
        }
        self.unclaimed -= usize::from(self.claims[index].is_empty());
        self.claims[index].push(claim);
    }

    /// Adds what is known of an inode, if it claims a position.
    fn describe(&mut self, inode: u64, about: &fs::Metadata, path: Option<&Path>) {
        let Some(names) = self.names.get_mut(&inode) else {
            return;
        };
        self.unnamed -= usize::from(!names.are_all());
        names.describe(about);
        names.paths.extend(path.map(Path::to_owned));
        self.unnamed += usize::from(!names.are_all());
    }

    /// Asks the kernel's map.
    fn map(&mut self, root: &File) {
        let mut last: Vec<Owned> = Vec::new();
        for (position, index) in self.sorted.clone() {
            let covers = |owned: &Owned| {
                owned.physical <= position && position - owned.physical < owned.length
            };
            if !last.iter().any(covers) || last.iter().any(|owned| owned.shared) {
                match kernel::owners(root, self.mount.number, position) {
                    Ok(owners) => last = owners,
                    Err(_) => return,
                }
                self.has_map = true;
            }
            for owned in last.iter().filter(|owned| covers(owned)) {
                let claim = match owned.special {
                    true => match special(&self.mount.kind, owned.owner) {
                        Some(finding) => Claim::Known(finding),
                        None => continue,
                    },
                    false => {
                        self.has_inodes = true;
                        let belonging = match (owned.map, owned.attributes) {
                            (true, _) => Some("map of its blocks"),
                            (_, true) => Some("extended attributes"),
                            _ => None,
                        };
                        Claim::Inode {
                            inode: owned.owner,
                            offset: belonging
                                .is_none()
                                .then(|| owned.offset + (position - owned.physical)),
                            belonging,
                            remark: owned.unwritten.then_some(UNWRITTEN),
                        }
                    }
                };
                self.claim(index, claim);
            }
        }
    }

    /// Looks into files that have no name, but are open.
    fn deleted(&mut self) {
        let asks = self.unclaimed > 0;
        for (inode, path) in self.open.deleted.clone() {
            let Ok(file) = File::open(&path) else {
                continue;
            };
            if asks {
                self.extents(&file, inode);
            }
            if let Ok(about) = file.metadata() {
                self.describe(inode, &about, None);
            }
        }
    }

    /// Claims the positions that `file` has. Returns whether there are any.
    fn extents(&mut self, file: &File, inode: u64) -> bool {
        if self.mount.kind == "xfs" && kernel::is_on_another_device(file) {
            return false;
        }
        let mut found: Vec<(usize, Claim)> = Vec::new();
        let sorted = &self.sorted;
        let claims = &self.claims;
        let mut each = |extent: Extent| {
            let end = extent.physical.saturating_add(extent.length);
            let first = sorted.partition_point(|(position, _)| *position < extent.physical);
            for &(position, index) in sorted[first..].iter().take_while(|(p, _)| *p < end) {
                let is_taken = claims[index].iter().any(|claim| match claim {
                    Claim::Known(_) => true,
                    Claim::Inode { inode: other, .. } => *other == inode,
                });
                if is_taken {
                    continue;
                }
                let remark = match (extent.encoded, extent.unwritten) {
                    (true, _) => Some(ENCODED),
                    (_, true) => Some(UNWRITTEN),
                    _ => None,
                };
                let into = match extent.encoded {
                    true => 0,
                    false => position - extent.physical,
                };
                found.push((
                    index,
                    Claim::Inode {
                        inode,
                        offset: Some(extent.logical + into),
                        belonging: None,
                        remark,
                    },
                ));
            }
        };
        let result = match self.by_block {
            false => kernel::extents(file, &mut each),
            true => by_block(file, &mut each),
        };
        if let Err(error) = result {
            let unsupported = matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY));
            // XFS has no extents of directories, but it has those of files.
            let is_file = file.metadata().is_ok_and(|about| about.is_file());
            if unsupported && is_file && !self.by_block {
                self.by_block = true;
                return self.extents(file, inode);
            }
            if is_file && self.error.is_none() {
                self.error = Some(error);
            }
        }
        let any = !found.is_empty();
        for (index, claim) in found {
            self.claim(index, claim);
        }
        any
    }

    /// Walks through the files, for names and for extents.
    fn walk(&mut self, effort: &Effort) -> Walked {
        let needs = |search: &Self| search.unclaimed > 0 || search.unnamed > 0;
        if !needs(self) {
            return Walked::default();
        }
        let may_ask = self.unclaimed > 0;
        let ends_early = self.has_inodes || UNSHARED.contains(&&*self.mount.kind);
        let mount = self.mount;
        walk(mount, effort, &mut |entry| {
            let mut new = false;
            if self.names.contains_key(&entry.inode) {
                if let Ok(about) = fs::symlink_metadata(entry.path) {
                    // A mount point has the inode of what it hides.
                    if about.dev() == mount.number && about.ino() == entry.inode {
                        self.describe(entry.inode, &about, Some(entry.path));
                        new = true;
                    }
                }
            } else if may_ask && (self.unclaimed > 0 || !ends_early) && entry.has_data() {
                new = self.ask(entry);
            }
            !new || !ends_early || needs(self)
        })
    }

    /// Asks for the extents of a file or directory. Returns whether it has a position.
    fn ask(&mut self, entry: &Entry<'_>) -> bool {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(entry.path);
        let Some((file, about)) = file.ok().and_then(|f| f.metadata().ok().map(|a| (f, a))) else {
            return false;
        };
        // Something is mounted over it. Its blocks are those of another device.
        if about.dev() != self.mount.number {
            return false;
        }
        // FAT has no numbers in its directories: that of an open file holds.
        let inode = about.ino();
        if !self.extents(&file, inode) {
            return false;
        }
        self.describe(inode, &about, Some(entry.path));
        true
    }

    /// Asks the tools of the filesystem for what no file has.
    fn leftover(&mut self, device: Option<&Path>, walked: &Walked, effort: &Effort) {
        let all = self.sorted.iter().copied();
        let left: Vec<(u64, usize)> = all
            .filter(|&(_, index)| self.claims[index].is_empty())
            .collect();
        if left.is_empty() {
            return;
        }
        let positions: Vec<u64> = left.iter().map(|(position, _)| *position).collect();
        let mut asked: Vec<Finding> = match (device, self.mount.kind.as_str()) {
            (Some(device), _) if self.is_ext() => {
                let found = ext::find(device, true, &positions, effort);
                found
                    .into_iter()
                    .map(|finding| match finding.what {
                        // The walk is right about what is free, the device about what is there.
                        What::File(_) | What::Directory(_) => finding.but(
                            "read from the device while it is mounted, which may have older data",
                        ),
                        _ => finding,
                    })
                    .collect()
            }
            (Some(device), "vfat" | "msdos") => fat::find(device, &positions),
            _ => Vec::new(),
        };
        let reason = match (&self.error, walked.ended_at.is_some(), self.has_map) {
            (Some(error), ..) => {
                format!("{} does not say where files are: {error}", self.mount.kind)
            }
            (None, true, _) => "no file has it so far".to_owned(),
            (None, false, true) if self.mount.kind == "xfs" && !self.has_inodes => {
                "in use by a directory, by attributes, or by XFS itself, which does not record owners (no rmapbt)"
                    .to_owned()
            }
            (None, false, true) => "it is in use, but no file that can be seen has it".to_owned(),
            (None, false, false) => format!(
                "no file has it: free, or {}'s own (a map of the filesystem is not known)",
                self.mount.kind
            ),
        };
        for path in asked
            .iter_mut()
            .filter_map(|finding| finding.what.data_mut())
            .flat_map(|data| &mut data.paths)
        {
            *path = below(self.mount, path);
        }
        let mut asked = asked.into_iter();
        for (_, index) in left {
            let finding = asked
                .next()
                .unwrap_or_else(|| Finding::unknown(reason.clone()));
            self.claim(index, Claim::Known(finding));
        }
    }

    fn end(self, walked: &Walked, effort: &Effort) -> Vec<Vec<Finding>> {
        let limits = walked.limits(effort);
        let (mount, open, names) = (self.mount, &self.open, &self.names);
        let finding = |claim: Claim| match claim {
            Claim::Known(finding) => match (&finding.what, &limits) {
                (What::Unknown { .. }, Some(limits)) => finding.but(limits.clone()),
                _ => finding,
            },
            Claim::Inode {
                inode,
                offset,
                belonging,
                remark,
            } => {
                let names = names.get(&inode).cloned().unwrap_or_default();
                let mut finding = of_inode(mount, inode, offset, belonging, &names, open);
                if !names.are_all() {
                    let limits = limits.clone();
                    let limits = limits.unwrap_or_else(|| match mount.root.as_str() {
                        "/" => "not all of its names were found".to_owned(),
                        root => format!("only {root} of the filesystem is mounted"),
                    });
                    finding = finding.but(limits);
                }
                match remark {
                    Some(ENCODED) => finding.but(ENCODED),
                    Some(remark) => {
                        finding.remarks.push(remark.to_owned());
                        finding
                    }
                    None => finding,
                }
            }
        };
        let claims = self.claims.into_iter();
        claims
            .map(|claims| claims.into_iter().map(finding).collect())
            .collect()
    }
}

/// What limits the offset in a compressed file.
pub const ENCODED: &str = "compressed or encrypted: the offset is where the run of blocks begins";
const UNWRITTEN: &str = "allocated, but not written: reads of the file return zeros";

fn of_inode(
    mount: &Mount,
    inode: u64,
    offset: Option<u64>,
    belonging: Option<&'static str>,
    names: &Names,
    open: &OpenFiles,
) -> Finding {
    let mut paths: Vec<String> = names
        .paths
        .iter()
        .map(|path| visible(mount, path))
        .collect();
    paths.sort();
    let swap = paths.iter().any(|path| is_swap_file(path));
    let data = Data {
        paths,
        inode,
        offset,
        size: names.size,
        modified: names.modified,
        changed: names.changed,
        open: open.holders(mount.number, inode),
    };
    let what = match (belonging, names.is_deleted, names.is_directory) {
        (Some(kind), ..) => What::Belonging { kind, of: data },
        (_, true, _) => What::Deleted(data),
        (_, _, true) => What::Directory(data),
        _ => What::File(data),
    };
    let mut finding = Finding::certain(what);
    if swap {
        finding.remarks.push("a swap file".to_owned());
    }
    if let Some(pid) = mount.of {
        let remark = format!("as task {pid} sees it, in another mount namespace");
        finding.remarks.push(remark);
    }
    finding
}

/// Returns `path` as those see it who have the mount.
pub fn visible(mount: &Mount, path: &Path) -> String {
    match path.strip_prefix(&mount.path) {
        Ok(below) => at_point(mount, below),
        Err(_) => shown(path),
    }
}

/// Returns the path in the filesystem `path` as those see it who have the mount. What is not below the folder that is
/// mounted stays as it is.
fn below(mount: &Mount, path: &str) -> String {
    match Path::new(path).strip_prefix(&mount.root) {
        Ok(below) => at_point(mount, below),
        Err(_) => path.to_owned(),
    }
}

fn at_point(mount: &Mount, below: &Path) -> String {
    let path = shown(&Path::new(&mount.point).join(below));
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

fn by_block(file: &File, each: &mut dyn FnMut(Extent)) -> io::Result<()> {
    let about = file.metadata()?;
    kernel::extents_by_block(file, about.len(), about.blksize(), each)
}

/// What the map calls an owner without an inode; `None` where it does not know.
///
/// C: `XFS_FMR_OWN_*` in `fs/xfs/libxfs/xfs_fs.h`, `EXT4_FMR_OWN_*` in `fs/ext4/fsmap.h`.
fn special(filesystem: &str, owner: u64) -> Option<Finding> {
    let metadata = |kind: &str| What::Metadata {
        kind: kind.to_owned(),
    };
    let (family, number) = (owner >> 32, owner & 0xffff_ffff);
    Some(Finding::certain(match (family, number) {
        (0, 1) => What::Free,
        (0, 2) => return None,
        (0x58, 1) => metadata("superblock or headers of a group"),
        (0x58, 2) => What::Journal,
        (0x58, 3) => metadata("trees of free space"),
        (0x58, 4) => metadata("tree of inodes"),
        (0x58, 5) if filesystem.starts_with("ext") => metadata("table of inodes"),
        (0x58, 5) => metadata("inodes"),
        (0x58, 6) => metadata("tree of reference counts"),
        (0x58, 7) => metadata("staging of a copy on write"),
        (0x58, 8) => metadata("defective blocks"),
        (0x66, 1) => metadata("group descriptors"),
        (0x66, 2) => metadata("reserved group descriptors"),
        (0x66, 3) => metadata("bitmap of blocks"),
        (0x66, 4) => metadata("bitmap of inodes"),
        _ => metadata(&format!("owner {owner:#x}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_path_is_that_of_who_has_the_mount() {
        let mount = |point: &str, root: &str| Mount {
            kind: "ext4".to_owned(),
            point: point.to_owned(),
            path: PathBuf::from("/proc/7/root").join(point.trim_start_matches('/')),
            root: root.to_owned(),
            number: 0,
            of: Some(7),
            hidden: HashSet::new(),
        };
        let whole = mount("/srv", "/");
        assert_eq!(
            visible(&whole, Path::new("/proc/7/root/srv/a b")),
            "/srv/a b"
        );
        assert_eq!(visible(&whole, Path::new("/proc/7/root/srv")), "/srv");
        assert_eq!(below(&whole, "/a"), "/srv/a");
        assert_eq!(below(&whole, "/"), "/srv");
        let first = mount("/", "/");
        assert_eq!(visible(&first, Path::new("/proc/7/root/")), "/");
        assert_eq!(below(&first, "/"), "/");
        let part = mount("/srv", "/folder");
        assert_eq!(below(&part, "/folder/a"), "/srv/a");
        // It is not mounted.
        assert_eq!(below(&part, "/other"), "/other");
    }
}
