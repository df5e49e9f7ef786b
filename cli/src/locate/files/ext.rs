// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! ext2, ext3 and ext4 by `dumpe2fs` (free space, metadata) and `debugfs` (inodes, names), read-only. Also for
//! filesystems that are not mounted.

use super::{NOT_REPLAYED, shown};
use crate::locate::answer::{Data, Finding, What};
use crate::locate::effort::Effort;
use crate::locate::tool;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

/// Number of blocks or inodes in one command.
const AT_A_TIME: usize = 4000;

/// Returns what is at the bytes `positions` of the filesystem on `device`, which is mounted or not.
pub fn find(device: &Path, is_mounted: bool, positions: &[u64], effort: &Effort) -> Vec<Finding> {
    match ask(device, is_mounted, positions, effort) {
        Ok(found) => found,
        Err(error) => vec![Finding::unknown(error.to_string()); positions.len()],
    }
}

fn ask(
    device: &Path,
    is_mounted: bool,
    positions: &[u64],
    effort: &Effort,
) -> io::Result<Vec<Finding>> {
    let path = device.to_string_lossy().into_owned();
    effort.show(|| format!("dumpe2fs {path}"));
    let map = Map::read(&tool::output("dumpe2fs", &[&path])?)?;
    let block_of = |position: u64| position / map.block;
    let wanted: BTreeSet<u64> = (positions.iter().map(|&p| block_of(p)))
        .filter(|&block| map.kind(block).is_none())
        .collect();
    let wanted: Vec<u64> = wanted.into_iter().collect();
    let mut inode_of: HashMap<u64, u64> = HashMap::new();
    for some in wanted.chunks(AT_A_TIME) {
        effort.show(|| format!("debugfs icheck {path}"));
        let said = debugfs(&path, "icheck", some)?;
        inode_of.extend(said.lines().filter_map(|line| {
            let (block, inode) = line.split_once('\t')?;
            Some((block.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
        }));
    }
    let inodes: BTreeSet<u64> = inode_of.values().copied().collect();
    let inodes: Vec<u64> = inodes.into_iter().collect();
    let files: Vec<u64> = inodes
        .iter()
        .copied()
        .filter(|i| *i == 2 || *i > 10 && !map.own.contains_key(i))
        .collect();
    effort.show(|| format!("debugfs stat {path}"));
    let stats = statistics(&path, &files)?;
    let mut names: HashMap<u64, Vec<String>> = HashMap::new();
    for some in files.chunks(AT_A_TIME) {
        effort.show(|| format!("debugfs ncheck {path}"));
        names.extend(names_of(&debugfs(&path, "ncheck", some)?));
    }
    // A part of a name after a line break may look like the name of another inode.
    let is_forged = names.iter().any(|(inode, paths)| {
        let most = match stats.get(inode) {
            Some(stat) if stat.kind == "directory" => 1,
            stat => stat.map_or(0, |stat| stat.links),
        };
        paths.len() as u64 > most
    });
    let finding = |&position: &u64| {
        let block = block_of(position);
        if let Some(what) = map.kind(block) {
            return Finding::certain(what);
        }
        let Some(&inode) = inode_of.get(&block) else {
            return Finding::unknown(
                "in use by the bitmap, but no inode has it: of a file that is deleted and open, the rest of a cluster, a defective \
                 block, or damaged",
            );
        };
        match inode {
            7 => return Finding::certain(metadata("reserved group descriptors")),
            8 => return Finding::certain(What::Journal),
            inode if map.own.contains_key(&inode) => {
                return Finding::certain(metadata(&map.own[&inode]));
            }
            3..=6 | 9 | 10 => {
                return Finding::certain(metadata(&format!("inode {inode} of the filesystem")));
            }
            _ => {}
        }
        let mut paths = names.get(&inode).cloned().unwrap_or_default();
        if inode == 2 {
            paths = vec!["/".to_owned()];
        }
        paths.sort();
        let none = Stat::default();
        let stat = stats.get(&inode).unwrap_or(&none);
        let links = stat.links;
        let known = paths.len() as u64;
        let logical = stat.logical(block);
        let data = Data {
            paths,
            inode,
            offset: logical.map(|logical| logical * map.block + position % map.block),
            size: stat.size,
            modified: stat.modified,
            changed: stat.changed,
            open: Vec::new(),
        };
        let is_directory = stat.kind == "directory";
        let finding = Finding::certain(match (logical, is_directory) {
            (None, _) => What::Belonging {
                kind: "map of its blocks or extended attributes",
                of: data,
            },
            (_, true) => What::Directory(data),
            _ => What::File(data),
        });
        match !is_directory && known < links {
            true => finding.but(format!("{known} of its {links} names were found")),
            false if is_forged => finding.but("debugfs lists more names than there are links"),
            false if stat.is_twice => finding.but("debugfs has it twice"),
            false if stat.is_encrypted => finding.but(
                "its name is encrypted: what is printed is what the device has; mount it with the key to see the name",
            ),
            false => finding,
        }
    };
    let replayed = |finding: Finding| match (is_mounted, map.needs_recovery, map.is_clean) {
        (false, true, _) => finding.but(NOT_REPLAYED),
        (false, _, false) => finding.but(NOT_CLEAN),
        _ => finding,
    };
    Ok(positions.iter().map(finding).map(replayed).collect())
}

/// Reads what `ncheck` prints: `12 /folder/name`. A name may have line breaks; a path begins with a slash.
fn names_of(text: &str) -> HashMap<u64, Vec<String>> {
    let mut found: Vec<(u64, String)> = Vec::new();
    for line in text.split_terminator('\n') {
        let named = line
            .split_once('\t')
            .filter(|(_, name)| name.starts_with('/'));
        match (
            named.and_then(|(inode, name)| Some((inode.parse().ok()?, name))),
            found.last_mut(),
        ) {
            // A name in the root has two.
            (Some((inode, name)), _) => {
                found.push((inode, format!("/{}", name.trim_start_matches('/'))));
            }
            (None, Some((_, name))) => {
                name.push('\n');
                name.push_str(line);
            }
            // The head of the table.
            (None, None) => {}
        }
    }
    let mut names: HashMap<u64, Vec<String>> = HashMap::new();
    for (inode, name) in found {
        names
            .entry(inode)
            .or_default()
            .push(shown(Path::new(&name)));
    }
    names
}

fn metadata(kind: &str) -> What {
    What::Metadata {
        kind: kind.to_owned(),
    }
}

/// Runs a command of debugfs, which opens the device read-only.
fn debugfs(path: &str, command: &str, numbers: &[u64]) -> io::Result<String> {
    let mut request = command.to_owned();
    for number in numbers {
        request.push_str(&format!(" {number}"));
    }
    tool::output("debugfs", &["-R", &request, path])
}

/// What `debugfs stat` says of an inode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stat {
    kind: String,
    links: u64,
    size: Option<u64>,
    modified: Option<i64>,
    changed: Option<i64>,
    /// First block of the file, first and last block of the device; in the order of the latter.
    runs: Vec<(u64, RangeInclusive<u64>)>,
    is_encrypted: bool,
    /// The target of a symbolic link may look like another inode.
    is_twice: bool,
}

/// C: `EXT4_ENCRYPT_FL`.
const ENCRYPTED: u64 = 0x800;

impl Stat {
    /// Returns the block of the file that is `block` of the device.
    fn logical(&self, block: u64) -> Option<u64> {
        let end = self.runs.partition_point(|(_, run)| *run.start() <= block);
        let (first, run) = self.runs.get(end.checked_sub(1)?)?;
        run.contains(&block).then(|| first + (block - run.start()))
    }
}

fn statistics(path: &str, inodes: &[u64]) -> io::Result<HashMap<u64, Stat>> {
    if inodes.is_empty() {
        return Ok(HashMap::new());
    }
    let commands: Vec<String> = inodes.iter().map(|i| format!("stat <{i}>\n")).collect();
    Ok(stats(&tool::dialogue(
        "debugfs",
        &["-f", "-", path],
        commands.concat(),
    )?))
}

/// Reads the output of `stat`, of several inodes.
///
/// `Inode: 12   Type: regular    Mode:  0644   Flags: 0x80000`, then `Links: 2   Blockcount: 16`, then
/// `EXTENTS:` and `(ETB0):8967, (12-15):26637-26640, (16-17[u]):9-10`, or `BLOCKS:` and `(0-11):24-35, (IND):36`.
fn stats(text: &str) -> HashMap<u64, Stat> {
    let mut all: HashMap<u64, Stat> = HashMap::new();
    let mut current = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Inode: ") {
            let mut words = rest.split_whitespace();
            current = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            let kind = words.nth(1).unwrap_or_default().to_owned();
            let flags = words.last().and_then(|flags| flags.strip_prefix("0x"));
            let flags = flags.and_then(|flags| u64::from_str_radix(flags, 16).ok());
            let stat = Stat {
                kind,
                is_encrypted: flags.is_some_and(|flags| flags & ENCRYPTED != 0),
                is_twice: all.contains_key(&current),
                ..Stat::default()
            };
            all.insert(current, stat);
            continue;
        }
        let Some(stat) = all.get_mut(&current) else {
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            words.get(at + 1).copied()
        };
        if let Some(links) = after("Links:") {
            stat.links = links.parse().unwrap_or(0);
        } else if let Some(size) = after("Size:").filter(|_| line.starts_with("User:")) {
            stat.size = size.parse().ok();
        } else if line.trim_start().starts_with("mtime:") {
            stat.modified = after("mtime:").and_then(seconds);
        } else if line.trim_start().starts_with("ctime:") {
            stat.changed = after("ctime:").and_then(seconds);
        } else if line.starts_with('(') {
            stat.runs.extend(line.split(", ").filter_map(run));
        }
    }
    for stat in all.values_mut() {
        stat.runs.sort_unstable_by_key(|(_, run)| *run.start());
    }
    all
}

/// Reads `0x6b0ba843:5fdef9cc`, or without the part of a second.
fn seconds(time: &str) -> Option<i64> {
    let seconds = time.strip_prefix("0x")?.split(':').next()?;
    i64::from_str_radix(seconds, 16).ok()
}

/// Reads `(12-15):26637-26640`; `None` for blocks that hold the map.
fn run(text: &str) -> Option<(u64, RangeInclusive<u64>)> {
    let (file, device) = text.trim().strip_prefix('(')?.split_once("):")?;
    let file = file.trim_end_matches("[u]");
    let first = file.split('-').next()?.parse().ok()?;
    Some((first, range(device)?))
}

/// Reads `5-9` or `5`.
fn range(text: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// What `dumpe2fs` knows of the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Map {
    block: u64,
    /// Runs, by their first block: the last block, and what they are; `None` is free.
    runs: BTreeMap<u64, (u64, Option<&'static str>)>,
    /// Inodes that are not files: `orphan file`, `journal`.
    own: HashMap<u64, String>,
    /// Number of blocks, if it is known.
    blocks: Option<u64>,
    /// The first of them. A smaller one has what boots.
    first: u64,
    /// Number of blocks that are allocated at once. What is free is printed by the first block of each.
    cluster: u64,
    /// The journal has more than the device.
    needs_recovery: bool,
    /// It was unmounted, and has no errors.
    is_clean: bool,
}

/// What limits an answer about a filesystem that has no journal to replay.
const NOT_CLEAN: &str = "it was not unmounted cleanly, or has errors, so that the device may have older data; run e2fsck -n";

/// Lines of `dumpe2fs` that name an inode of the filesystem. A label is free text, and is none of them.
const OWN: [&str; 6] = [
    "Journal",
    "Orphan file",
    "User quota",
    "Group quota",
    "Project quota",
    "Snapshot",
];

impl Map {
    fn read(text: &str) -> io::Result<Self> {
        let mut map = Self {
            block: 0,
            runs: BTreeMap::new(),
            own: HashMap::new(),
            blocks: None,
            first: 0,
            cluster: 1,
            needs_recovery: false,
            is_clean: false,
        };
        for line in text.lines() {
            if let Some((what, number)) = line.split_once(" inode:") {
                if let (true, Ok(number)) = (OWN.contains(&what), number.trim().parse()) {
                    map.own.insert(number, what.to_lowercase());
                }
                continue;
            }
            if let Some(features) = line.strip_prefix("Filesystem features:") {
                map.needs_recovery = features.split_whitespace().any(|f| f == "needs_recovery");
                continue;
            }
            if let Some(state) = line.strip_prefix("Filesystem state:") {
                map.is_clean = state.trim() == "clean";
                continue;
            }
            if let Some(count) = line.strip_prefix("Block count:") {
                map.blocks = count.trim().parse().ok();
                continue;
            }
            if let Some(first) = line.strip_prefix("First block:") {
                map.first = first.trim().parse().unwrap_or(0);
                continue;
            }
            if let Some(Ok(size)) =
                (line.strip_prefix("Cluster size:")).map(|size| size.trim().parse::<u64>())
            {
                map.cluster = size.checked_div(map.block).unwrap_or(1).max(1);
                continue;
            }
            if let Some(Ok(block)) =
                (line.strip_prefix("MMP block number:")).map(|number| number.trim().parse::<u64>())
            {
                map.runs
                    .insert(block, (block, Some("protection against two mounts")));
                continue;
            }
            if let Some(size) = line.strip_prefix("Block size:") {
                map.block = size.trim().parse().unwrap_or(0);
                continue;
            }
            if let Some(free) = line.trim_start().strip_prefix("Free blocks: ") {
                for range in free.split(", ").filter_map(range) {
                    let last = range.end() + (map.cluster - 1);
                    map.runs.insert(*range.start(), (last, None));
                }
                continue;
            }
            if !line.starts_with("  ") {
                continue;
            }
            for part in line.trim().split(", ") {
                let Some((what, place)) = part.split_once(" at ") else {
                    continue;
                };
                let kind = match what.to_ascii_lowercase().as_str() {
                    "primary superblock" | "superblock" | "backup superblock" => "superblock",
                    "group descriptors" | "group descriptor" => "group descriptors",
                    "reserved gdt blocks" => "reserved group descriptors",
                    "block bitmap" => "bitmap of blocks",
                    "inode bitmap" => "bitmap of inodes",
                    "inode table" => "table of inodes",
                    _ => continue,
                };
                let place = place.split(' ').next().and_then(range);
                if let Some(place) = place {
                    map.runs.insert(*place.start(), (*place.end(), Some(kind)));
                }
            }
        }
        match map.block {
            0 => Err(io::Error::other(
                "dumpe2fs does not print the size of blocks",
            )),
            _ => Ok(map),
        }
    }

    /// Returns what `block` is, if no inode has it.
    fn kind(&self, block: u64) -> Option<What> {
        if self.blocks.is_some_and(|blocks| block >= blocks) {
            return Some(What::behind());
        }
        if block < self.first {
            return Some(metadata("boot sector"));
        }
        let (_, (last, kind)) = self.runs.range(..=block).next_back()?;
        if block > *last {
            return None;
        }
        Some(match kind {
            None => What::Free,
            Some(kind) => metadata(kind),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "Filesystem features:      has_journal ext_attr\n\
        Orphan file inode:        12\n\
        First inode:              11\n\
        Block size:               1024\n\
        \n\
        Group 0: (Blocks 1-8192) csum 0xe193 [ITABLE_ZEROED]\n  \
          Primary superblock at 1, Group descriptors at 2-5\n  \
          Reserved GDT blocks at 6-261\n  \
          Block bitmap at 262 (+261), csum 0x99c78de6\n  \
          Inode bitmap at 278 (+277), csum 0x51769174\n  \
          Inode table at 294-805 (+293)\n  \
          205 free blocks, 2036 free inodes, 2 directories, 2036 unused inodes\n  \
          Free blocks: 7988-8000, 8192\n  \
          Free inodes: 13-2048\n";

    #[test]
    fn blocks_without_an_inode_are_known() {
        let map = Map::read(DUMP).expect("a map");
        let kind = |block| match map.kind(block) {
            Some(What::Metadata { kind }) => kind,
            Some(what) => format!("{what:?}"),
            None => "?".to_owned(),
        };
        assert_eq!(map.block, 1024);
        assert_eq!(map.own, HashMap::from([(12, "orphan file".to_owned())]));
        assert!(!map.needs_recovery && !map.is_clean);
        let clean = format!("Filesystem state:         clean\n{DUMP}");
        assert!(Map::read(&clean).is_ok_and(|map| map.is_clean));
        let errors = clean.replace("clean", "clean with errors");
        assert!(Map::read(&errors).is_ok_and(|map| !map.is_clean));
        for (block, expected) in [
            (0, "?"),
            (1, "superblock"),
            (5, "group descriptors"),
            (100, "reserved group descriptors"),
            (262, "bitmap of blocks"),
            (263, "?"),
            (805, "table of inodes"),
            (806, "?"),
            (8000, "Free"),
            (8001, "?"),
            (8192, "Free"),
        ] {
            assert_eq!(kind(block), expected, "{block}");
        }
        assert!(Map::read("").is_err());
    }

    #[test]
    fn what_is_behind_the_filesystem_is_not_in_use() {
        let said = format!("{DUMP}Block count:              8200\nMMP block number:         900\n");
        let map =
            Map::read(&said.replace("has_journal", "has_journal needs_recovery")).expect("a map");
        assert!(map.needs_recovery);
        assert_eq!(map.kind(8199), None);
        assert_eq!(map.kind(8200), Some(What::behind()));
        assert_eq!(
            map.kind(900),
            Some(metadata("protection against two mounts"))
        );
    }

    #[test]
    fn what_is_free_is_printed_in_clusters() {
        let said = "First block:              1\nBlock size:               1024\nCluster size:             4096\n\
            \n  Free blocks: 4608-4620, 5000\n";
        let map = Map::read(said).expect("a map");
        assert_eq!(map.kind(0), Some(metadata("boot sector")));
        for (block, is_free) in [
            (4607, false),
            (4620, true),
            (4623, true),
            (4624, false),
            (5003, true),
            (5004, false),
        ] {
            assert_eq!(map.kind(block) == Some(What::Free), is_free, "{block}");
        }
    }

    #[test]
    fn a_label_is_no_inode() {
        let map =
            Map::read(&format!("Filesystem volume name:   x inode:13\n{DUMP}")).expect("a map");
        assert_eq!(map.own.get(&13), None);
    }

    #[test]
    fn a_name_may_have_line_breaks() {
        let names = names_of("Inode\tPathname\n13\t//a\nb\n14\t/d/plain\n15\t//evil\n14\tshadow\n");
        assert_eq!(names[&13], ["/a\u{fffd}b"]);
        assert_eq!(names[&14], ["/d/plain"]);
        assert_eq!(names[&15], ["/evil\u{fffd}14\u{fffd}shadow"]);
    }

    #[test]
    fn the_target_of_a_link_may_look_like_an_inode() {
        let inode = "Inode: 12   Type: regular    Mode:  0644   Flags: 0x80000\nLinks: 1   Blockcount: 8\n(0):900\n";
        let link = "Inode: 13   Type: symlink    Mode:  0777   Flags: 0x800\nLinks: 1   Blockcount: 8\n\
            Fast link dest: \"x\nInode: 12 Type: regular\nLinks: 1\n(0):5\n\"\n";
        let one = stats(inode);
        assert!(!one[&12].is_twice && !one[&12].is_encrypted);
        for text in [format!("{inode}{link}"), format!("{link}{inode}")] {
            let stats = stats(&text);
            assert!(stats[&12].is_twice && !stats[&13].is_twice, "{text}");
            assert!(stats[&13].is_encrypted);
        }
    }

    #[test]
    fn an_inode_has_its_blocks() {
        let text = "debugfs: stat <12>\n\
            Inode: 12   Type: regular    Mode:  0644   Flags: 0x80000\n\
            User:     0   Group:     0   Project:     0   Size: 8388608\n\
            Links: 2   Blockcount: 16384\n \
             ctime: 0x6b0ba844:00000000 -- Sun Nov 29 04:21:24 2026\n \
             mtime: 0x6b0ba843:5fdef9cc -- Sun Nov 29 04:21:23 2026\n\
            EXTENTS:\n\
            (ETB0):8967, (12-15):26637-26640, (16-17[u]):9-10\n\
            debugfs: stat <13>\n\
            Inode: 13   Type: directory    Mode:  0755   Flags: 0x0\n\
            Links: 3   Blockcount: 2\n\
            BLOCKS:\n\
            (0-11):24-35, (IND):36, (12):40\n\
            TOTAL: 13\n";
        let stats = stats(text);
        let file = &stats[&12];
        assert_eq!((file.kind.as_str(), file.links), ("regular", 2));
        assert_eq!(
            (file.size, file.modified),
            (Some(8_388_608), Some(0x6b0b_a843))
        );
        assert_eq!(file.changed, Some(0x6b0b_a844));
        assert_eq!(file.logical(26638), Some(13));
        assert_eq!(file.logical(10), Some(17));
        assert_eq!(file.logical(8967), None);
        let folder = &stats[&13];
        assert_eq!((folder.kind.as_str(), folder.links), ("directory", 3));
        assert_eq!(
            (folder.logical(35), folder.logical(36), folder.logical(40)),
            (Some(11), None, Some(12))
        );
    }
}
