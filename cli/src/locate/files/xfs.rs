// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! XFS that is not mounted, by `xfs_db` (read-only).

use super::shown;
use crate::locate::answer::{Data, Finding, What};
use crate::locate::effort::Effort;
use crate::locate::tool;
use std::collections::{BTreeSet, HashMap};
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

fn ask(device: &Path, positions: &[u64], effort: &Effort) -> io::Result<Vec<Finding>> {
    effort.show(|| format!("xfs_db blockget {}", device.display()));
    let mut commands = "blockget -n\nsb 0\np blocksize\np agblocks\np agblklog\n".to_owned();
    for position in positions {
        commands.push_str(&format!("daddr {}\ndaddr\nblockuse\n", position / 512));
    }
    let said = xfs_db(device, commands)?;
    let field = |name: &str| {
        let mut values = said.lines().filter_map(|line| line.strip_prefix(name));
        values.next()?.strip_prefix(" = ")?.parse::<u64>().ok()
    };
    let mut uses = uses(&said, positions);
    let (Some(block_size), Some(group_blocks), Some(group_bits)) =
        (field("blocksize"), field("agblocks"), field("agblklog"))
    else {
        return Err(unreadable());
    };
    // xfs_db stays where it was if it cannot read a block, such as the corrupt one. What it says of a block whose number it
    // gets, it says without reading it.
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
    let uses: Vec<Use> = uses
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(unreadable)?;
    let inodes: BTreeSet<u64> = uses.iter().filter_map(|used| used.inode).collect();
    effort.show(|| format!("xfs_db ncheck {}", device.display()));
    let files = files(device, &inodes, effort)?;
    let pairs = positions.iter().zip(uses);
    Ok(pairs
        .map(|(&position, used)| finding(position, &used, block_size, &files))
        .collect())
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
    /// First block of the file, group and block of the device, blocks.
    runs: Vec<(u64, u64, u64, u64)>,
}

fn files(device: &Path, inodes: &BTreeSet<u64>, effort: &Effort) -> io::Result<HashMap<u64, File>> {
    if inodes.is_empty() {
        return Ok(HashMap::new());
    }
    let mut commands = "blockget -n\n".to_owned();
    for inode in inodes {
        commands.push_str(&format!(
            "ncheck -i {inode}\ninode {inode}\np core.size\np core.nlinkv2\nbmap\n"
        ));
    }
    let mut files = parse(&xfs_db(device, commands)?, inodes);
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
    let mut directories: Vec<(u64, &str)> = Vec::new();
    for line in said.lines() {
        if let Some(root) = line.strip_prefix("rootino = ") {
            directories.extend(root.parse().ok().map(|inode| (inode, "")));
        } else if let Some((inode, path)) = line.trim_start().split_once(' ') {
            let path = path.strip_suffix("/.");
            directories.extend(inode.parse().ok().zip(path));
        }
    }
    let mut lists = String::new();
    for (inode, _) in &directories {
        lists.push_str(&format!("inode {inode}\nls\n"));
    }
    let mut directories = directories.into_iter();
    let mut directory = "";
    let mut found: HashMap<u64, Vec<String>> = HashMap::new();
    for entry in xfs_db(device, lists)?.lines().filter_map(entry) {
        match entry {
            (_, ".") => directory = directories.next().map_or("", |(_, path)| path),
            (inode, name) if inodes.contains(&inode) => {
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

/// Reads the names (`        131 d/file`) and what is printed of each inode, in the order of `inodes`.
fn parse(text: &str, inodes: &BTreeSet<u64>) -> HashMap<u64, File> {
    let mut all: HashMap<u64, File> = HashMap::new();
    let mut order = inodes.iter();
    let mut current = 0;
    for line in text.lines() {
        if let Some(size) = line.strip_prefix("core.size = ") {
            current = order.next().copied().unwrap_or(0);
            all.entry(current).or_default().size = size.parse().ok();
        } else if let Some(links) = line.strip_prefix("core.nlinkv2 = ") {
            all.entry(current).or_default().links = links.parse().unwrap_or(0);
        } else if line.starts_with("data offset ") {
            all.entry(current).or_default().runs.extend(run(line));
        } else if let Some((Ok(inode), name)) =
            (line.trim_start().split_once(' ')).map(|(inode, name)| (inode.parse(), name))
        {
            if inodes.contains(&inode) {
                let file = all.entry(inode).or_default();
                file.is_directory = name.ends_with("/.");
                let name = name.strip_suffix("/.").unwrap_or(name);
                let path = format!("/{}", name.trim_start_matches('/'));
                file.paths.push(shown(Path::new(&path)));
            }
        }
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
    let Some(inode) = used.inode else {
        return match used.kind.as_str() {
            "free1" | "free2" => Finding::certain(What::Free),
            "log" => Finding::certain(What::Journal),
            "unknown" => Finding::unknown("xfs_db does not know what it is"),
            "sb" => metadata("superblock or headers of a group"),
            "inode" => metadata("inodes"),
            "btino" | "btfino" => metadata("tree of inodes"),
            "btbno" | "btcnt" | "freelist" => metadata("trees of free space"),
            "rmap" | "btrmap" => metadata("tree of owners"),
            "btrefc" => metadata("tree of reference counts"),
            kind => metadata(kind),
        };
    };
    let file = files.get(&inode).cloned().unwrap_or_default();
    let of = |run: &&(u64, u64, u64, u64)| {
        let (_, group, block, count) = **run;
        group == used.group && (block..block + count).contains(&used.block)
    };
    let logical = file
        .runs
        .iter()
        .find(of)
        .map(|run| run.0 + (used.block - run.2));
    let known = file.paths.len() as u64;
    let data = Data {
        paths: file.paths,
        inode,
        offset: logical.map(|logical| logical * block_size + position % block_size),
        size: file.size,
        ..Data::default()
    };
    let is_directory = used.kind == "dir";
    let finding = Finding::certain(match used.kind.as_str() {
        "data" => What::File(data),
        "dir" => What::Directory(data),
        "attr" => What::Belonging {
            kind: "extended attributes",
            of: data,
        },
        _ => What::Belonging {
            kind: "map of its blocks",
            of: data,
        },
    });
    match !is_directory && known < file.links {
        true => finding.but(format!("{known} of its {} names were found", file.links)),
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
        let inodes = BTreeSet::from([131, 140]);
        let text = "        131 d/file\n        131 link name\ncore.size = 3145728\ncore.nlinkv2 = 2\n\
            data offset 5 startblock 65540 (1/24) count 768 flag 0\n        140 d/.\ncore.size = 40\ncore.nlinkv2 = 2\n";
        let files = parse(text, &inodes);
        assert_eq!(files[&131].paths, ["/d/file", "/link name"]);
        assert_eq!(files[&140].paths, ["/d"]);
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
