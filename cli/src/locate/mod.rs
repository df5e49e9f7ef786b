// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit locate`: from a sector of a device to the file, or to what else is there. Nothing is written, and nothing
//! is guessed: an answer says what limits it.
//!
//! - [`answer`]: what is at a sector.
//! - [`stack`]: the devices above.
//! - [`files`]: the filesystem on the last of them.
//! - [`inside`]: images of disks.
//! - [`show`]: answers in text.
//! - [`effort`]: the limit of time, and the progress.
//! - [`tool`]: the tools that know a format on disk.
//! - [`kernel`]: calls into the kernel.

#[forbid(unsafe_code)]
pub mod answer;
#[forbid(unsafe_code)]
pub mod effort;
#[forbid(unsafe_code)]
pub mod files;
#[forbid(unsafe_code)]
pub mod inside;
pub mod kernel;
#[forbid(unsafe_code)]
pub mod show;
#[forbid(unsafe_code)]
pub mod stack;
#[forbid(unsafe_code)]
pub mod tool;

use answer::{Answer, Filesystem, Finding, Layer, Place, What};
use effort::Effort;
use files::mounts::{self, Mount};
use files::{btrfs, ext, mounted, xfs};
use stack::Stack;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Maximum number of filesystems in files of other filesystems.
const DEEPEST: usize = 8;

/// Maximum number of devices above each other.
const HIGHEST: usize = 32;

/// Size of a sector.
const SECTOR: u64 = 512;

/// A way up to the last device.
#[derive(Clone, Debug)]
struct Way {
    /// The question.
    of: usize,
    layers: Vec<Layer>,
    remarks: Vec<String>,
    device: String,
    sector: u64,
}

impl Way {
    fn up(&self, layer: Layer, remark: Option<&str>) -> Self {
        let mut way = self.clone();
        way.device.clone_from(&layer.device);
        way.sector = layer.sector;
        way.layers.push(layer);
        way.remarks.extend(remark.map(str::to_owned));
        way
    }

    fn place(&self, filesystem: Option<&Filesystem>, finding: Finding) -> Place {
        let mut remarks = self.remarks.clone();
        remarks.extend(finding.remarks);
        Place {
            layers: self.layers.clone(),
            filesystem: filesystem.cloned(),
            what: finding.what,
            // Whether a layer above still has the sector is open.
            certain: finding.certain && self.remarks.is_empty(),
            remarks,
        }
    }
}

/// Maximum number of sectors in a question.
const MOST: u64 = 1 << 20;

/// Reads `77480`, `5-7`, or `5-7,` as reports write them.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn sectors(text: &str) -> Result<Vec<u64>, String> {
    let wrong = || format!("'{text}' is no sector: a number or a range such as 800-807 expected");
    let mut sectors = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last && last <= u64::MAX / SECTOR => (first, last),
            _ => return Err(wrong()),
        };
        if last - first >= MOST || sectors.len() as u64 >= MOST {
            return Err(format!("'{text}': more than {MOST} sectors at once"));
        }
        sectors.extend(first..=last);
    }
    match sectors.is_empty() {
        true => Err(wrong()),
        false => Ok(sectors),
    }
}

/// Returns what is at each of the sectors `questions` of devices, in one walk through each filesystem.
pub fn locate(stack: &Stack, questions: &[(String, u64)], effort: &Effort) -> Vec<Answer> {
    let mut answers: Vec<Answer> = questions
        .iter()
        .map(|(device, sector)| Answer {
            device: device.clone(),
            name: stack.name(device),
            sector: *sector,
            places: Vec::new(),
        })
        .collect();
    let begin = |(of, (device, sector)): (usize, &(String, u64))| Way {
        of,
        layers: Vec::new(),
        remarks: Vec::new(),
        device: device.clone(),
        sector: *sector,
    };
    let mut ways: Vec<Way> = questions.iter().enumerate().map(begin).collect();
    let mut known: HashMap<String, Vec<Mount>> = HashMap::new();
    for _ in 0..DEEPEST {
        let mut last: BTreeMap<String, Vec<Way>> = BTreeMap::new();
        while let Some(way) = ways.pop() {
            climb(stack, way, &mut known, &mut ways, &mut last, &mut answers);
        }
        let loops = loops();
        for (device, mut of_device) in last {
            of_device.sort_by_key(|way| way.sector);
            let positions: Vec<u64> = of_device.iter().map(|way| way.sector * SECTOR).collect();
            let mounts = known.get(&device).map_or(&[][..], Vec::as_slice);
            let (filesystem, found) = on(stack, &device, mounts, &positions, effort);
            for (way, findings) in of_device.into_iter().zip(found) {
                for finding in findings {
                    let place = way.place(filesystem.as_ref(), finding);
                    // An image of a disk has more in it.
                    ways.extend(loops.iter().filter_map(|l| l.above(&way, &place)));
                    answers[way.of].places.push(place);
                }
            }
        }
        if ways.is_empty() {
            break;
        }
    }
    for place in answers.iter_mut().flat_map(|answer| &mut answer.places) {
        if let (Some(error), What::Unknown { .. } | What::Other { .. }) =
            (stack.error(), &place.what)
        {
            place
                .remarks
                .push(format!("mappings above are not known: {error}"));
            place.certain = false;
        }
    }
    effort.done();
    answers
}

/// Follows `way` by one step: to a filesystem (`last`), to devices above (`ways`), or to an answer.
fn climb(
    stack: &Stack,
    way: Way,
    known: &mut HashMap<String, Vec<Mount>>,
    ways: &mut Vec<Way>,
    last: &mut BTreeMap<String, Vec<Way>>,
    answers: &mut [Answer],
) {
    let mut other = |way: &Way, what: What| {
        let place = way.place(None, Finding::certain(what));
        answers[way.of].places.push(place);
    };
    if let Some(size) = stack.size(&way.device).filter(|size| way.sector >= *size) {
        let reason = format!("the device ends before: it has {size} sectors");
        return other(&way, What::Unknown { reason });
    }
    if !known.contains_key(&way.device) {
        known.insert(way.device.clone(), mounts::of(&way.device));
    }
    if !known[&way.device].is_empty() {
        last.entry(way.device.clone()).or_default().push(way);
        return;
    }
    if mounts::is_swap(&way.device) {
        return other(&way, What::Swap);
    }
    let above = stack.above(&way.device, way.sector);
    if above.up.is_empty() && above.own.is_empty() && above.others.is_empty() {
        last.entry(way.device.clone()).or_default().push(way);
        return;
    }
    if above.up.is_empty() && above.own.is_empty() {
        let kind = format!(
            "used by none of those above ({}): free, or a label or table of theirs",
            above.others.join(", ")
        );
        return other(&way, What::Other { kind });
    }
    for kind in above.own {
        other(&way, What::Other { kind });
    }
    if way.layers.len() < HIGHEST {
        ways.extend(above.up.into_iter().map(|up| way.up(up.layer, up.remark)));
    }
}

/// Returns what is at the bytes `positions` of the filesystem on `device`.
fn on(
    stack: &Stack,
    device: &str,
    mounts: &[Mount],
    positions: &[u64],
    effort: &Effort,
) -> (Option<Filesystem>, Vec<Vec<Finding>>) {
    let path = stack.path(device);
    if let Some(mount) = mounts.first() {
        let filesystem = Filesystem {
            kind: mount.kind.clone(),
            point: Some(mount.point.clone()),
        };
        let found = match mount.kind.as_str() {
            "btrfs" => btrfs::find(mounts, device, positions, effort),
            _ => mounted::find(mount, path.as_deref(), positions, effort),
        };
        return (Some(filesystem), found);
    }
    let all = |finding: Finding| vec![vec![finding]; positions.len()];
    let Some(path) = path else {
        return (
            None,
            all(Finding::unknown(
                "the device is not in /dev, so that it cannot be read",
            )),
        );
    };
    let kind = match tool::output("blkid", &probe(&path)) {
        Ok(kind) if !kind.trim().is_empty() => kind.trim().to_owned(),
        Ok(_) => return (None, all(nothing())),
        Err(error) if error.to_string().ends_with(": failed") => return (None, all(nothing())),
        Err(error) => return (None, all(Finding::unknown(error.to_string()))),
    };
    let one = |found: Vec<Finding>| found.into_iter().map(|finding| vec![finding]).collect();
    let found = match kind.as_str() {
        "ext2" | "ext3" | "ext4" => one(ext::find(&path, false, positions, effort)),
        "xfs" => one(xfs::find(&path, positions, effort)),
        "swap" => all(Finding::certain(What::Swap)),
        // Of a filesystem on another device.
        "jbd" | "xfs_external_log" => all(Finding::certain(What::Journal)),
        kind => all(Finding::unknown(format!(
            "{kind} that is not mounted or open, which this program does not read; mount it read-only"
        ))),
    };
    let found = match stack.is_in_use(device, &kind) {
        true => found
            .into_iter()
            .map(|findings| findings.into_iter().map(hidden).collect())
            .collect(),
        false => found,
    };
    (Some(Filesystem { kind, point: None }), found)
}

fn hidden(finding: Finding) -> Finding {
    finding.but(
        "it is in use, but its mount is not seen: unmounted lazily, or in a namespace without tasks; newer data may be in memory",
    )
}

fn nothing() -> Finding {
    Finding::unknown("no filesystem is mounted here, and none is recognized")
}

fn probe(path: &Path) -> [String; 6] {
    let path = path.to_string_lossy().into_owned();
    ["-p", "-o", "value", "-s", "TYPE", &path].map(str::to_owned)
}

/// A loop device.
#[derive(Clone, Debug)]
struct Loop {
    device: String,
    name: String,
    file: String,
    offset: u64,
    /// 0: to the end of the file.
    limit: u64,
}

impl Loop {
    /// Returns the way to the sector of this device, if it is made of the file at `place`.
    fn above(&self, way: &Way, place: &Place) -> Option<Way> {
        let (What::File(data) | What::Deleted(data)) = &place.what else {
            return None;
        };
        let of = data.offset?.checked_sub(self.offset)?;
        let is_in = self.limit == 0 || of < self.limit;
        let layer = Layer {
            device: self.device.clone(),
            name: Some(self.name.clone()),
            by: "loop".to_owned(),
            sector: of / SECTOR,
        };
        let is_of = || data.paths.contains(&self.file) && is_here(&way.device, place, &self.file);
        (is_in && is_of()).then(|| way.up(layer, None))
    }
}

/// Returns whether `path`, as this program sees it, is the file at `place`, on the filesystem of `device`. The paths of a
/// filesystem that is not mounted, or is mounted in another mount namespace, may be those of other files here.
fn is_here(device: &str, place: &Place, path: &str) -> bool {
    let (Some(filesystem), Some(data)) = (&place.filesystem, place.what.data()) else {
        return false;
    };
    let Ok(about) = fs::metadata(path) else {
        return false;
    };
    let kind = filesystem.kind.as_str();
    // A subvolume has a number of its own. FAT numbers its inodes anew.
    let is_device = kind == "btrfs" || stack::show_number(about.dev()) == device;
    let is_inode = matches!(kind, "vfat" | "msdos" | "exfat") || about.ino() == data.inode;
    filesystem.point.is_some() && is_device && is_inode
}

/// Returns the loop devices of this machine.
fn loops() -> Vec<Loop> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| {
        let path = entry.path();
        let read = |file: &str| {
            let text = fs::read_to_string(path.join(file)).ok()?;
            Some(text.trim_end().to_owned())
        };
        Some(Loop {
            file: read("loop/backing_file")?,
            offset: read("loop/offset")?.parse().ok()?,
            limit: read("loop/sizelimit")?.parse().ok()?,
            device: read("dev")?,
            name: entry.file_name().to_string_lossy().into_owned(),
        })
    };
    entries.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path of a file in an image may be that of another file here.
    #[test]
    fn a_file_is_here_only_if_its_filesystem_is() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let about = file.as_file().metadata().expect("known");
        let path = file.path().to_string_lossy().into_owned();
        let device = stack::show_number(about.dev());
        let place = |point: Option<&str>, inode| Place {
            layers: Vec::new(),
            filesystem: Some(Filesystem {
                kind: "ext4".to_owned(),
                point: point.map(str::to_owned),
            }),
            what: What::File(answer::Data {
                paths: vec![path.clone()],
                inode,
                ..answer::Data::default()
            }),
            certain: true,
            remarks: Vec::new(),
        };
        let inode = about.ino();
        assert!(is_here(&device, &place(Some("/"), inode), &path));
        assert!(!is_here(&device, &place(None, inode), &path));
        assert!(!is_here("4095:1", &place(Some("/"), inode), &path));
        assert!(!is_here(&device, &place(Some("/"), inode + 1), &path));
        assert!(!is_here(&device, &place(Some("/"), inode), "/nonexistent"));
    }

    #[test]
    fn sectors_are_read_as_reports_write_them() {
        assert_eq!(sectors("77480"), Ok(vec![77480]));
        assert_eq!(sectors("5-7,"), Ok(vec![5, 6, 7]));
        assert_eq!(sectors("5-6,9"), Ok(vec![5, 6, 9]));
        for wrong in ["", ",", "x", "7-5", "-5", "5-", "0x10", "36028797018963969"] {
            assert!(sectors(wrong).is_err(), "{wrong}");
        }
        assert!(sectors("0-2000000").is_err());
    }
}
