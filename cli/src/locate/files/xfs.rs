// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! XFS that is not mounted, by `xfs_db` (read-only).

use super::{NOT_REPLAYED, shown};
use crate::locate::answer::{Data, Finding, What};
use crate::locate::effort::Effort;
use crate::locate::tool;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

/// Returns what is at the bytes `positions` of the filesystem on `device`.
pub fn find(device: &Path, positions: &[u64], effort: &Effort) -> Vec<Finding> {
    match ask(device, positions, effort) {
        Ok(found) => found,
        Err(error) => vec![Finding::unknown(error.to_string()); positions.len()],
    }
}

/// What `blockuse` says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Use {
    group: u64,
    block: u64,
    kind: String,
    inode: Option<u64>,
}

impl Use {
    /// Returns whether the inode is that of a file or directory. The others are XFS's own.
    fn is_of_file(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "data" | "rldata" | "symlink" | "dir" | "attr" | "btbmapa" | "btbmapd"
        )
    }
}

fn ask(device: &Path, positions: &[u64], effort: &Effort) -> io::Result<Vec<Finding>> {
    let fields = "sb 0\np blocksize\np agblocks\np agblklog\np dblocks\n";
    let said = xfs_db(device, fields.to_owned())?;
    let field = |name: &str| {
        let mut values = said.lines().filter_map(|line| line.strip_prefix(name));
        values.next()?.strip_prefix(" = ")?.parse::<u64>().ok()
    };
    let (Some(block_size @ 1..), Some(group_blocks @ 1..), Some(group_bits), Some(blocks)) = (
        field("blocksize"),
        field("agblocks"),
        field("agblklog"),
        field("dblocks"),
    ) else {
        return Err(unreadable());
    };
    let is_in = |position: &u64| position / block_size < blocks;
    let inner: Vec<u64> = positions.iter().copied().filter(is_in).collect();
    let found = match inner.is_empty() {
        true => Vec::new(),
        false => ask_inner(
            device,
            &inner,
            (block_size, group_blocks, group_bits),
            effort,
        )?,
    };
    let mut found = found.into_iter();
    let each = positions.iter().map(|position| match is_in(position) {
        true => found
            .next()
            .unwrap_or_else(|| Finding::unknown(unreadable().to_string())),
        false => Finding::certain(What::behind()),
    });
    Ok(each.collect())
}

/// The same for positions in the filesystem, with the size of a block, the blocks of a group, and the bits of their number.
fn ask_inner(
    device: &Path,
    positions: &[u64],
    (block_size, group_blocks, group_bits): (u64, u64, u64),
    effort: &Effort,
) -> io::Result<Vec<Finding>> {
    effort.show(|| format!("xfs_db blockget {}", device.display()));
    let mut commands = "blockget -n\n".to_owned();
    for position in positions {
        commands.push_str(&format!("daddr {}\ndaddr\nblockuse\n", position / 512));
    }
    let mut uses = uses(&xfs_db(device, commands)?, positions);
    // If xfs_db cannot read a block, such as the corrupt one, its position does not change. `blockget -b` prints the use of
    // a block without reading it.
    let place = |position: u64| {
        (
            position / block_size / group_blocks,
            position / block_size % group_blocks,
        )
    };
    let unread: BTreeSet<(u64, u64)> = (positions.iter().zip(&uses))
        .filter(|(_, used)| used.is_none())
        .map(|(&position, _)| place(position))
        .collect();
    if !unread.is_empty() {
        effort.show(|| format!("xfs_db blockget -b {}", device.display()));
        let mut command = "blockget -n".to_owned();
        for (group, block) in &unread {
            command.push_str(&format!(" -b {}", (group << group_bits) | block));
        }
        let unread = set(&xfs_db(device, command + "\n")?);
        for (&position, used) in positions.iter().zip(&mut uses) {
            *used = used
                .take()
                .or_else(|| unread.get(&place(position)).cloned());
        }
    }
    let inodes: BTreeSet<u64> = (uses.iter().flatten())
        .filter(|used| used.is_of_file())
        .filter_map(|used| used.inode)
        .collect();
    effort.show(|| format!("xfs_db ncheck {}", device.display()));
    let files = files(device, &inodes, effort)?;
    let is_replayed = is_replayed(device);
    let pairs = positions.iter().zip(uses);
    let each = pairs.map(|(&position, used)| {
        let found = match used {
            Some(used) => finding(position, &used, block_size, &files),
            None => return Finding::unknown(unreadable().to_string()),
        };
        match is_replayed {
            true => found,
            false => found.but(NOT_REPLAYED),
        }
    });
    Ok(each.collect())
}

/// Returns whether the journal has nothing that the device has not.
fn is_replayed(device: &Path) -> bool {
    let path = device.to_string_lossy().into_owned();
    tool::dialogue("xfs_logprint", &["-t", &path], String::new())
        .is_ok_and(|said| said.contains("state: <CLEAN>"))
}

fn unreadable() -> io::Error {
    io::Error::other(
        "xfs_db cannot read it: its journal has to be replayed by a mount, or it is damaged",
    )
}

/// Reads where `daddr` is, and what `blockuse` says; `None` for a position that `daddr` did not go to.
fn uses(text: &str, positions: &[u64]) -> Vec<Option<Use>> {
    let mut uses = vec![None; positions.len()];
    let mut next = positions.iter().zip(&mut uses);
    let mut current = None;
    for line in text.lines() {
        if let Some(at) = line.strip_prefix("current daddr is ") {
            current = next
                .next()
                .filter(|(position, _)| at.parse() == Ok(*position / 512));
        } else if let Some((_, used)) = &mut current {
            **used = block_use(line).or(used.take());
        }
    }
    uses
}

/// Reads `setting block 1/40 to data` and `setting inode to 262273 for block 1/40`.
fn set(text: &str) -> HashMap<(u64, u64), Use> {
    let place = |text: &str| {
        let (group, block) = text.split_once('/')?;
        Some((group.parse().ok()?, block.parse().ok()?))
    };
    let mut uses: HashMap<(u64, u64), Use> = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["setting", "block", at, "to", kind] => {
                if let Some((group, block)) = place(at) {
                    let used = Use {
                        group,
                        block,
                        kind: (*kind).to_owned(),
                        inode: None,
                    };
                    uses.insert((group, block), used);
                }
            }
            ["setting", "inode", "to", inode, "for", "block", at] => {
                if let Some(used) = place(at).and_then(|at| uses.get_mut(&at)) {
                    used.inode = inode.parse().ok();
                }
            }
            _ => {}
        }
    }
    uses
}

fn xfs_db(device: &Path, commands: String) -> io::Result<String> {
    // A name that is not a device is an image.
    let path = device.to_string_lossy().into_owned();
    tool::dialogue("xfs_db", &["-r", &path], commands)
}

/// Reads `block 30 (0/30) type data inode 131`.
fn block_use(line: &str) -> Option<Use> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["block", _, place, "type", kind, rest @ ..] = words.as_slice() else {
        return None;
    };
    let (group, block) = place
        .strip_prefix('(')?
        .strip_suffix(')')?
        .split_once('/')?;
    Some(Use {
        group: group.parse().ok()?,
        block: block.parse().ok()?,
        kind: (*kind).to_owned(),
        inode: match rest {
            ["inode", inode, ..] => inode.parse().ok(),
            _ => None,
        },
    })
}

/// An inode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    paths: Vec<String>,
    size: Option<u64>,
    links: u64,
    is_directory: bool,
    /// It shares blocks, or did.
    shares: bool,
    /// First block of the file, group and block of the device, blocks; in the order of the device.
    runs: Vec<(u64, u64, u64, u64)>,
}

fn files(device: &Path, inodes: &BTreeSet<u64>, effort: &Effort) -> io::Result<HashMap<u64, File>> {
    if inodes.is_empty() {
        return Ok(HashMap::new());
    }
    let mark = mark();
    let mut commands = "blockget -n\n".to_owned();
    for inode in inodes {
        commands.push_str(&format!(
            "echo {mark} {inode} names\nncheck -i {inode}\necho {mark} {inode} fields\ninode {inode}\n\
             p core.size\np core.nlinkv2\np v3.reflink\nbmap\n"
        ));
    }
    let mut files = parse(&xfs_db(device, commands)?, &mark);
    let missing: BTreeSet<u64> = (files.iter())
        .filter(|(_, file)| !file.is_directory && (file.paths.len() as u64) < file.links)
        .map(|(&inode, _)| inode)
        .collect();
    if !missing.is_empty() {
        effort.show(|| format!("xfs_db ls of each directory of {}", device.display()));
        for (inode, paths) in names(device, &missing)? {
            files.entry(inode).or_default().paths = paths;
        }
    }
    Ok(files)
}

/// Reads every directory for the names of `inodes`: `ncheck` has one of each, whatever its links.
fn names(device: &Path, inodes: &BTreeSet<u64>) -> io::Result<HashMap<u64, Vec<String>>> {
    let said = xfs_db(device, "blockget -n\nncheck\nsb 0\np rootino\n".to_owned())?;
    // A directory has one name. A name with line breaks may look like another line: what has two is not known.
    let mut directories: BTreeMap<u64, Option<&str>> = BTreeMap::new();
    let mut add = |inode: &str, path| {
        if let Ok(inode) = inode.parse() {
            let known = directories.entry(inode).or_insert(Some(path));
            *known = known.filter(|known| *known == path);
        }
    };
    for line in said.lines() {
        if let Some(root) = line.strip_prefix("rootino = ") {
            add(root, "");
        } else if let Some((inode, path)) = line.trim_start().split_once(' ') {
            if let Some(path) = path.strip_suffix("/.") {
                add(inode, path);
            }
        }
    }
    let mut lists = String::new();
    for inode in directories.keys() {
        lists.push_str(&format!("inode {inode}\nls\n"));
    }
    let mut directory = None;
    let mut found: HashMap<u64, Vec<String>> = HashMap::new();
    for entry in xfs_db(device, lists)?.lines().filter_map(entry) {
        match (entry, directory) {
            // A directory that cannot be read has no line.
            ((inode, "."), _) => directory = directories.get(&inode).copied().flatten(),
            ((inode, name), Some(directory)) if inodes.contains(&inode) => {
                let path = match directory {
                    "" => format!("/{name}"),
                    directory => format!("/{directory}/{name}"),
                };
                let paths = found.entry(inode).or_default();
                paths.push(shown(Path::new(&path)));
            }
            _ => {}
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    Ok(found)
}

/// Reads `14         262273             regular        0x0d9a776b   4 link (good)`: the inode, and its name.
fn entry(line: &str) -> Option<(u64, &str)> {
    let mut rest = line;
    // A name may begin with a space.
    let mut word = || {
        let (word, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(word)
    };
    let (_, inode, _, hash, length) = (word()?, word()?, word()?, word()?, word()?);
    let (name, state) = rest.split_at_checked(length.parse().ok()?)?;
    (hash.starts_with("0x") && state.starts_with(" (")).then_some((inode.parse().ok()?, name))
}

/// Returns a word that no name has: names may have line breaks, and look like another answer.
fn mark() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("mark-{:016x}", RandomState::new().hash_one(0))
}

/// Reads what follows `MARK 131 names`, the name (`        131 d/file`), and `MARK 131 fields`.
fn parse(text: &str, mark: &str) -> HashMap<u64, File> {
    let mut all: HashMap<u64, File> = HashMap::new();
    let mut current = 0;
    let mut name: Option<String> = None;
    let mut is_name = false;
    for line in text.split_terminator('\n') {
        if let Some(words) = line.strip_prefix(mark) {
            let (inode, what) = words.trim().split_once(' ').unwrap_or_default();
            current = inode.parse().unwrap_or(0);
            is_name = what == "names";
            let file = all.entry(current).or_default();
            if let Some(name) = name.take() {
                file.is_directory = name.ends_with("/.");
                let name = name.strip_suffix("/.").unwrap_or(&name);
                let path = format!("/{}", name.trim_start_matches('/'));
                file.paths.push(shown(Path::new(&path)));
            }
            continue;
        }
        let file = all.entry(current).or_default();
        match &mut name {
            _ if !is_name => {
                if let Some(size) = line.strip_prefix("core.size = ") {
                    file.size = size.parse().ok();
                } else if line == "v3.reflink = 1" {
                    file.shares = true;
                } else if let Some(links) = line.strip_prefix("core.nlinkv2 = ") {
                    file.links = links.parse().unwrap_or(0);
                } else if line.starts_with("data offset ") {
                    file.runs.extend(run(line));
                }
            }
            Some(name) => {
                name.push('\n');
                name.push_str(line);
            }
            None => {
                let words = line.trim_start().split_once(' ');
                name = words
                    .filter(|(inode, _)| inode.parse() == Ok(current))
                    .map(|(_, name)| name.to_owned());
            }
        }
    }
    all.remove(&0);
    for file in all.values_mut() {
        file.runs.sort_unstable_by_key(|run| (run.1, run.2));
    }
    all
}

/// Reads `data offset 0 startblock 24 (0/24) count 768 flag 0`.
fn run(line: &str) -> Option<(u64, u64, u64, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [
        "data",
        "offset",
        first,
        "startblock",
        _,
        place,
        "count",
        count,
        ..,
    ] = words.as_slice()
    else {
        return None;
    };
    let (group, block) = place
        .strip_prefix('(')?
        .strip_suffix(')')?
        .split_once('/')?;
    Some((
        first.parse().ok()?,
        group.parse().ok()?,
        block.parse().ok()?,
        count.parse().ok()?,
    ))
}

fn finding(position: u64, used: &Use, block_size: u64, files: &HashMap<u64, File>) -> Finding {
    let metadata = |kind: &str| {
        Finding::certain(What::Metadata {
            kind: kind.to_owned(),
        })
    };
    let Some(inode) = used.inode.filter(|_| used.is_of_file()) else {
        return match used.kind.as_str() {
            "free1" | "free2" => Finding::certain(What::Free),
            "log" => Finding::certain(What::Journal),
            "unknown" => Finding::unknown("xfs_db does not know what it is"),
            "sb" => metadata("superblock or headers of a group"),
            "inode" => metadata("inodes"),
            "btino" | "btfino" => metadata("tree of inodes"),
            "btbno" | "btcnt" | "freelist" => metadata("trees of free space"),
            "rmap" | "btrmap" => metadata("tree of owners"),
            "btrefcnt" => metadata("tree of reference counts"),
            "quota" => metadata("quotas"),
            "cowdata" => metadata("staging of a copy on write"),
            "rtbitmap" | "rtsummary" => metadata("map of the device for real time"),
            kind => metadata(kind),
        };
    };
    let none = File::default();
    let file = files.get(&inode).unwrap_or(&none);
    let at = (used.group, used.block);
    let end = file.runs.partition_point(|run| (run.1, run.2) <= at);
    let run = end.checked_sub(1).and_then(|last| file.runs.get(last));
    let logical = run
        .filter(|run| run.1 == used.group && used.block - run.2 < run.3)
        .map(|run| run.0 + (used.block - run.2));
    let known = file.paths.len() as u64;
    // Later versions of xfs_db do not mark a shared block.
    let shared = used.kind == "rldata" || (used.kind == "data" && file.shares);
    let data = Data {
        paths: file.paths.clone(),
        inode,
        offset: logical.map(|logical| logical * block_size + position % block_size),
        size: file.size,
        ..Data::default()
    };
    let is_directory = used.kind == "dir";
    let finding = Finding::certain(match used.kind.as_str() {
        "data" | "rldata" | "symlink" => What::File(data),
        "dir" => What::Directory(data),
        "attr" | "btbmapa" => What::Belonging {
            kind: "extended attributes",
            of: data,
        },
        _ => What::Belonging {
            kind: "map of its blocks",
            of: data,
        },
    });
    let finding = match !is_directory && known != file.links {
        true => finding.but(format!("{known} of its {} names were found", file.links)),
        false => finding,
    };
    match shared {
        true => finding.but(
            "several files may share it, of which xfs_db names one; mount it read-only to see them all",
        ),
        false => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xfs_db_says_is_read() {
        let used = block_use("block 30 (1/30) type data inode 131 f").expect("a use");
        assert_eq!((used.group, used.block, used.inode), (1, 30, Some(131)));
        assert_eq!(block_use("must run blockget first"), None);
        let said = "current daddr is 8\nblock 1 (0/1) type data inode 131\ncurrent daddr is 8\n\
            block 1 (0/1) type data inode 131\ncurrent daddr is 24\nblock 3 (0/3) type free2\n";
        let uses = uses(said, &[4096, 8192, 12288]);
        assert_eq!(
            uses.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, false, true]
        );
        let set = set(
            "setting block 1/40 to data\nsetting inode to 262273 for block 1/40\nsetting block 0/3 to free1\n",
        );
        assert_eq!(set[&(1, 40)].inode, Some(262_273));
        assert_eq!(
            (set[&(0, 3)].kind.as_str(), set[&(0, 3)].inode),
            ("free1", None)
        );
        // A name that looks like another answer.
        let text = "M 131 names\n        131 d/fi le\n        140 evil\ncore.size = 7\nM 131 fields\n\
            core.size = 3145728\ncore.nlinkv2 = 1\n\
            data offset 5 startblock 65540 (1/24) count 768 flag 0\n\
            M 140 names\n        140 d/.\nM 140 fields\ncore.size = 40\ncore.nlinkv2 = 2\n";
        let files = parse(text, "M");
        assert_eq!(
            files[&131].paths,
            ["/d/fi le\u{fffd}        140 evil\u{fffd}core.size = 7"]
        );
        assert_eq!(
            (files[&140].paths.as_slice(), files[&140].size),
            (&["/d".to_owned()][..], Some(40))
        );
        assert_eq!((files[&131].size, files[&131].links), (Some(3_145_728), 1));
        let found = finding((24 + 6) * 4096 + 512, &used, 4096, &files);
        let data = found.what.data().expect("a file");
        assert_eq!((data.offset, found.certain), (Some(11 * 4096 + 512), true));
        assert_eq!(
            entry("14         262273             regular        0xec2836e3   5 na me (good)"),
            Some((262_273, "na me"))
        );
        assert_eq!(entry("rootino = 128"), None);
        let free = block_use("block 3 (0/3) type free2").expect("a use");
        assert_eq!(finding(0, &free, 4096, &files).what, What::Free);
    }
}
