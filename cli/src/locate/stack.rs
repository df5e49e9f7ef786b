// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Follows a sector from a device to those above it: mappings, partitions, arrays of md.
//!
//! Source: the tables of device mapper (`dmsetup table`), and `/sys`.

use super::answer::Layer;
use super::tool;
use dmns_audit_layout::SECTOR;
use dmns_audit_layout::integrity::{self, Integrity, SUPERBLOCK_BYTES, Use};
use dmns_audit_layout::table::Table;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// One line of a mapping's table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    /// The mapping.
    device: String,
    start: u64,
    length: u64,
    target: String,
    arguments: Vec<String>,
}

/// A sector of a device above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// The device, and its sector.
    pub layer: Layer,
    /// What limits the answer.
    pub remark: Option<&'static str>,
}

/// What lies above a sector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// Sectors of devices above.
    pub up: Vec<Up>,
    /// What the sector is to the mapping above, if it has no sector there.
    pub own: Vec<String>,
    /// The devices above that do not use the sector.
    pub others: Vec<String>,
}

/// The devices of a machine.
#[derive(Clone, Debug)]
pub struct Stack {
    root: PathBuf,
    segments: Vec<Segment>,
    /// Indices of `segments`, by the device that they name.
    by_lower: HashMap<String, Vec<usize>>,
    /// Why there are no tables.
    error: Option<String>,
}

impl Stack {
    /// Reads the tables of this machine.
    pub fn of_machine() -> Self {
        let root = Path::new("/");
        if !has_mappings(root) {
            return Self::new(root, "");
        }
        match tool::output("dmsetup", &["--manglename", "none", "table"]) {
            Ok(tables) => Self::new(root, &tables),
            Err(error) => Self {
                error: Some(error.to_string()),
                ..Self::new(root, "")
            },
        }
    }

    /// Returns the devices of the machine with the root `root`, with the output of `dmsetup table`.
    pub fn new(root: &Path, tables: &str) -> Self {
        let mut stack = Self {
            root: root.to_owned(),
            segments: Vec::new(),
            by_lower: HashMap::new(),
            error: None,
        };
        let numbers = stack.mappings();
        for line in tables.lines() {
            // A name may have a colon, but no table has one that a space follows.
            let Some((name, table)) = line.split_once(": ") else {
                continue;
            };
            let mut words = table.split_whitespace();
            let (Some(Ok(start)), Some(Ok(length)), Some(target), Some(device)) = (
                words.next().map(str::parse),
                words.next().map(str::parse),
                words.next(),
                numbers.get(name),
            ) else {
                continue;
            };
            let segment = Segment {
                device: device.clone(),
                start,
                length,
                target: target.to_owned(),
                arguments: words.map(str::to_owned).collect(),
            };
            let at = stack.segments.len();
            for argument in segment.arguments.iter().map(|a| value(a)) {
                let lower = stack.by_lower.entry(argument.to_owned()).or_default();
                if argument.contains(':') && !lower.contains(&at) {
                    lower.push(at);
                }
            }
            stack.segments.push(segment);
        }
        stack
    }

    /// Returns why the tables of mappings could not be read.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the numbers of mappings by name.
    fn mappings(&self) -> HashMap<String, String> {
        let entries = fs::read_dir(self.root.join("sys/block"));
        let read = |path: PathBuf| Some(fs::read_to_string(path).ok()?.trim_end().to_owned());
        let all = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let path = entry.path();
            Some((read(path.join("dm/name"))?, read(path.join("dev"))?))
        });
        all.collect()
    }

    /// Returns the number of the device that a person calls `text`: a name, MAJOR:MINOR, a path.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn number(&self, text: &str) -> io::Result<String> {
        let none = |what: &str| {
            let message = format!("{text}: {what}");
            io::Error::new(io::ErrorKind::NotFound, message)
        };
        let is_number = text.split_once(':').is_some_and(|(major, minor)| {
            major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok()
        });
        if is_number {
            let sys = self.root.join("sys/dev/block").join(text);
            return match sys.exists() {
                true => Ok(text.to_owned()),
                false => Err(none("there is no device with this number now")),
            };
        }
        if let Some(number) = self.mappings().remove(text) {
            return Ok(number);
        }
        let path = match text.contains('/') {
            true => PathBuf::from(text),
            false => Path::new("/dev").join(text),
        };
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        match fs::metadata(&path) {
            Ok(about) if about.file_type().is_block_device() => Ok(show_number(about.rdev())),
            Ok(_) => Err(none("not a block device")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(none(&error.to_string())),
            Err(_) => Err(none(
                "no such device; the name of a mapping, MAJOR:MINOR or a path is expected",
            )),
        }
    }

    /// Returns the name of `device`: of the mapping, of the file behind a loop device, of the kernel.
    pub fn name(&self, device: &str) -> Option<String> {
        self.read(device, "dm/name")
            .or_else(|| self.read(device, "loop/backing_file"))
            .or_else(|| self.kernel_name(device))
    }

    /// Returns `vda1`.
    fn kernel_name(&self, device: &str) -> Option<String> {
        let text = self.read(device, "uevent")?;
        let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        name.map(str::to_owned)
    }

    /// Returns a path by which `device` can be opened.
    pub fn path(&self, device: &str) -> Option<PathBuf> {
        let named = self
            .read(device, "dm/name")
            .map(|name| Path::new("/dev/mapper").join(name));
        let kernel = self
            .kernel_name(device)
            .map(|name| Path::new("/dev").join(name));
        let mut paths = named.into_iter().chain(kernel);
        paths.find(|path| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(path).is_ok_and(|about| show_number(about.rdev()) == device)
        })
    }

    /// Returns whether a filesystem of `kind` on `device` is in use, wherever it is mounted.
    pub fn is_in_use(&self, device: &str, kind: &str) -> bool {
        let kind = if kind.starts_with("ext") {
            "ext4"
        } else {
            kind
        };
        let path = self.root.join("sys/fs").join(kind);
        let name = self.kernel_name(device);
        name.is_some_and(|name| path.join(name).exists())
    }

    /// Returns the size of `device` in sectors.
    pub fn size(&self, device: &str) -> Option<u64> {
        self.read(device, "size")?.parse().ok()
    }

    /// Returns the name of the mapping `device`.
    pub fn mapping_name(&self, device: &str) -> Option<String> {
        self.read(device, "dm/name")
    }

    /// Returns what `device` is: the UUID of the mapping, its name, the file of a loop device, or the number that the disk
    /// has from its maker. A disk without one is the same until the next boot. Numbers and the kernel's names are reused.
    pub fn identity(&self, device: &str) -> String {
        let read = |file: &str| self.read(device, file).filter(|text| !text.is_empty());
        let named = ["dm/uuid", "dm/name", "loop/backing_file"];
        if let Some(name) = named.into_iter().find_map(read) {
            return name;
        }
        let part = read("partition").map(|part| format!(" part {part}"));
        let above = if part.is_some() { "../" } else { "" };
        let files = ["wwid", "device/wwid", "serial", "device/serial"];
        let made = files
            .iter()
            .find_map(|file| read(&format!("{above}{file}")));
        let disk = made.unwrap_or_else(|| {
            let boot = fs::read_to_string(self.root.join("proc/sys/kernel/random/boot_id"));
            let name = self.kernel_name(device);
            format!(
                "{} {} {}",
                name.unwrap_or_else(|| device.to_owned()),
                read(&format!("{above}diskseq")).unwrap_or_default(),
                boot.unwrap_or_default().trim_end()
            )
        });
        format!("{disk}{}", part.unwrap_or_default())
    }

    /// Returns the number of legs that the array `device` of md lacks.
    pub fn md_degraded(&self, device: &str) -> u64 {
        let text = self.read(device, "md/degraded");
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Returns `device`, those that it is made of, and those that are made of it.
    pub fn related(&self, device: &str) -> Vec<String> {
        let mut all = vec![device.to_owned()];
        for folder in ["slaves", "holders"] {
            let mut next = vec![device.to_owned()];
            while let Some(number) = next.pop() {
                let path = self.root.join("sys/dev/block").join(&number).join(folder);
                for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                    let number = fs::read_to_string(entry.path().join("dev"));
                    let number = number.unwrap_or_default().trim().to_owned();
                    if !number.is_empty() && !all.contains(&number) {
                        all.push(number.clone());
                        next.push(number);
                    }
                }
            }
        }
        all
    }

    /// Reads the superblock of dm-integrity from a sector of `device`.
    fn superblock(&self, device: &str, sector: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; SUPERBLOCK_BYTES];
        let file = fs::File::open(self.path(device)?).ok()?;
        file.read_exact_at(&mut bytes, sector * SECTOR).ok()?;
        Some(bytes)
    }

    fn read(&self, device: &str, file: &str) -> Option<String> {
        let path = self.root.join("sys/dev/block").join(device).join(file);
        Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
    }

    /// Returns the sectors that a record is about: `sector` as the target `target` writes it, with `device` of the
    /// record. `crypt` and inline `integrity` name the device below; `verity` counts blocks.
    pub fn of_record(&self, target: &str, device: &str, sector: u64) -> Vec<(String, u64)> {
        let is = |segment: &&Segment| segment.target == target;
        let own = self.segments.iter().filter(is);
        let below = own.clone();
        let mut found: Vec<(String, u64)> = own
            .filter(|segment| segment.device == device && target != "crypt")
            .filter_map(|segment| {
                let of_segment = match target {
                    "verity" => sector.checked_mul(segment.number(3)? / 512)?,
                    _ => sector,
                };
                (of_segment < segment.length)
                    .then(|| (segment.device.clone(), segment.start + of_segment))
            })
            .collect();
        found.extend(below.filter_map(|segment| {
            let of_segment = match target {
                "crypt" if segment.argument(3) == device => {
                    sector.checked_sub(segment.number(2)?)?
                }
                "integrity" if segment.argument(0) == device && segment.argument(3) == "I" => {
                    sector
                }
                _ => return None,
            };
            (of_segment < segment.length)
                .then(|| (segment.device.clone(), segment.start + of_segment))
        }));
        // Without a table, a record of integrity names the mapping itself.
        if found.is_empty() && target != "crypt" && target != "verity" {
            found.push((device.to_owned(), sector));
        }
        found
    }

    /// Returns what is above `sector` of `device`.
    pub fn above(&self, device: &str, sector: u64) -> Above {
        let mut above = Above::default();
        let segments = self.by_lower.get(device).map_or(&[][..], Vec::as_slice);
        for segment in segments.iter().filter_map(|&at| self.segments.get(at)) {
            let name = self.name(&segment.device);
            let shown = name.clone().unwrap_or_else(|| segment.device.clone());
            let superblock = |device: &str, sector| self.superblock(device, sector);
            match segment.up(device, sector, &superblock) {
                Place::Sector(by, of_segment, remark) if of_segment < segment.length => {
                    above.up.push(Up {
                        layer: Layer {
                            device: segment.device.clone(),
                            name,
                            by,
                            sector: segment.start + of_segment,
                        },
                        remark,
                    });
                }
                Place::Own(what) => above.own.push(format!("{what} of {shown}")),
                Place::Sector(..) | Place::Outside if above.others.contains(&shown) => {}
                Place::Sector(..) | Place::Outside => above.others.push(shown),
            }
        }
        // Another segment of it may have the sector.
        let up = &above.up;
        above.others.retain(|name| {
            !up.iter()
                .any(|up| up.layer.name.as_ref().unwrap_or(&up.layer.device) == name)
        });
        self.partitions(device, sector, &mut above);
        self.arrays(device, sector, &mut above);
        above
    }

    fn partitions(&self, device: &str, sector: u64, above: &mut Above) {
        let sys = self.root.join("sys/dev/block").join(device);
        let number = |path: &Path, file: &str| -> Option<u64> {
            fs::read_to_string(path.join(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        for entry in fs::read_dir(sys).into_iter().flatten().flatten() {
            let path = entry.path();
            if !path.join("partition").exists() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let (Some(start), Some(size), Ok(number)) = (
                number(&path, "start"),
                number(&path, "size"),
                fs::read_to_string(path.join("dev")),
            ) else {
                continue;
            };
            match sector.checked_sub(start).filter(|of| *of < size) {
                Some(of) => above.up.push(Up {
                    layer: Layer {
                        device: number.trim().to_owned(),
                        name: Some(name),
                        by: "partition".to_owned(),
                        sector: of,
                    },
                    remark: None,
                }),
                None => above.others.push(name),
            }
        }
    }

    /// Arrays of md: a mirror has each sector on each leg.
    fn arrays(&self, device: &str, sector: u64, above: &mut Above) {
        let sys = self.root.join("sys/dev/block").join(device);
        let own_name = self.kernel_name(device).unwrap_or_default();
        for entry in fs::read_dir(sys.join("holders"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let read = |file: &str| {
                let text = fs::read_to_string(path.join(file)).ok()?;
                Some(text.trim().to_owned())
            };
            let (Some(level), Some(number)) = (read("md/level"), read("dev")) else {
                continue;
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            let member = format!("md/dev-{own_name}");
            let offset = read(&format!("{member}/offset")).and_then(|t| t.parse::<u64>().ok());
            let slot = read(&format!("{member}/slot")).unwrap_or_else(|| "?".to_owned());
            match (level.as_str(), offset.and_then(|o| sector.checked_sub(o))) {
                ("raid1", Some(of)) => above.up.push(Up {
                    layer: Layer {
                        device: number,
                        name: Some(name),
                        by: format!("md {level}, leg {slot}"),
                        sector: of,
                    },
                    remark: None,
                }),
                (_, None) => above.own.push(format!("superblock of {name}, leg {slot}")),
                _ => above.own.push(format!(
                    "data or parity of {name} ({level}, leg {slot}), which this program does not map"
                )),
            }
        }
    }
}

/// Returns `253:0`.
pub fn show_number(number: u64) -> String {
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    format!("{major}:{minor}")
}

fn has_mappings(root: &Path) -> bool {
    let entries = fs::read_dir(root.join("sys/block"));
    let mut entries = entries.into_iter().flatten().flatten();
    entries.any(|entry| entry.path().join("dm").exists())
}

/// Returns the value of an argument: `meta_device:253:1`.
fn value(argument: &str) -> &str {
    argument.strip_prefix("meta_device:").unwrap_or(argument)
}

/// Where a sector below a segment is in it.
enum Place {
    /// How, at which sector of the segment, and with which limit.
    Sector(String, u64, Option<&'static str>),
    /// The target keeps something of its own there.
    Own(String),
    /// The segment does not use it.
    Outside,
}

impl Segment {
    fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    fn number(&self, at: usize) -> Option<u64> {
        self.argument(at).parse().ok()
    }

    /// Returns where `sector` of `lower` is. `superblock` reads that of dm-integrity.
    fn up(
        &self,
        lower: &str,
        sector: u64,
        superblock: &dyn Fn(&str, u64) -> Option<Vec<u8>>,
    ) -> Place {
        self.find(lower, sector, superblock)
            .unwrap_or(Place::Outside)
    }

    fn find(
        &self,
        lower: &str,
        sector: u64,
        superblock: &dyn Fn(&str, u64) -> Option<Vec<u8>>,
    ) -> Option<Place> {
        let by = || self.target.clone();
        let is = |at: usize| self.argument(at) == lower;
        Some(match self.target.as_str() {
            "linear" | "delay" | "flakey" | "dust" if is(0) => {
                Place::Sector(by(), sector.checked_sub(self.number(1)?)?, None)
            }
            "crypt" if is(3) => Place::Sector(by(), sector.checked_sub(self.number(4)?)?, None),
            "verity" if is(1) && (!is(2) || sector < self.number(5)? * (self.number(3)? / 512)) => {
                Place::Sector(by(), sector, None)
            }
            "verity" if is(2) => Place::Own("tree of hashes".to_owned()),
            "verity" => Place::Own("codes of error correction".to_owned()),
            "era" | "cache" | "clone" if is(0) => {
                Place::Own(format!("metadata or cache ({})", self.target))
            }
            "writecache" if is(2) => Place::Own("metadata or cache (writecache)".to_owned()),
            "era" if is(1) => Place::Sector(by(), sector, None),
            "cache" if is(1) => Place::Own("cached block".to_owned()),
            "cache" if is(2) => Place::Sector(
                by(),
                sector,
                Some("the cache may hold newer data of this sector"),
            ),
            "writecache" if is(1) => Place::Sector(
                by(),
                sector,
                Some("the cache may hold newer data of this sector"),
            ),
            "multipath" => Place::Sector(by(), sector, None),
            "striped" => self.striped(lower, sector)?,
            "mirror" => self.mirror(lower, sector)?,
            "raid" => self.raid(lower, sector)?,
            "integrity" => self.integrity(lower, sector, superblock)?,
            "snapshot-origin" if is(0) => Place::Sector(by(), sector, None),
            "snapshot-merge" if is(0) => Place::Sector(
                by(),
                sector,
                Some("a chunk that is not merged yet is in the store of copies"),
            ),
            "snapshot" if is(0) => Place::Sector(
                "snapshot".to_owned(),
                sector,
                Some("a snapshot has this sector only where the origin was not written since"),
            ),
            "snapshot" | "snapshot-merge" if is(1) => {
                Place::Own("copied chunk (or the table of them)".to_owned())
            }
            "thin-pool" if is(0) => Place::Own("metadata".to_owned()),
            "thin-pool" if is(1) => {
                let size = self.number(2)?.max(1);
                let block = sector / size;
                // What is no whole block is not used.
                (block < self.length / size).then_some(())?;
                Place::Own(format!("block {block} (thin_rmap names the thin volume)"))
            }
            // Of those above, each device is known.
            target => Place::Own(format!(
                "data or metadata ({target}, which this program does not map)"
            )),
        })
    }

    fn striped(&self, lower: &str, sector: u64) -> Option<Place> {
        let (stripes, chunk) = (self.number(0)?, self.number(1)?.max(1));
        let length = self.length / stripes.max(1);
        let (leg, start) = self.leg_at(2, stripes, lower, sector, length)?;
        let of = sector.checked_sub(start)?;
        let at = (of / chunk * stripes + leg) * chunk + of % chunk;
        Some(Place::Sector(format!("striped, leg {leg}"), at, None))
    }

    /// C: `mirror_ctr()`: `core 1 1024 2 253:1 0 253:2 0`.
    fn mirror(&self, lower: &str, sector: u64) -> Option<Place> {
        let after = 2 + usize::try_from(self.number(1)?).ok()?;
        let legs = self.number(after)?;
        if self.leg(after + 1, legs, lower).is_none() {
            return Some(Place::Own("log of the mirror".to_owned()));
        }
        let (leg, start) = self.leg_at(after + 1, legs, lower, sector, self.length)?;
        let at = sector.checked_sub(start)?;
        Some(Place::Sector(format!("mirror, leg {leg}"), at, None))
    }

    /// C: `raid_ctr()`: `raid1 3 0 region_size 1024 2 253:1 253:2 253:3 253:4`, pairs of metadata and data.
    fn raid(&self, lower: &str, sector: u64) -> Option<Place> {
        let kind = self.argument(0);
        let after = 2 + usize::try_from(self.number(1)?).ok()?;
        let legs = self.number(after)?;
        let first = after + 1;
        if let Some(leg) = self.leg(first, legs, lower) {
            return Some(Place::Own(format!("superblock and bitmap of leg {leg}")));
        }
        let leg = self.leg(first + 1, legs, lower)?;
        let by = format!("{kind}, leg {leg}");
        let chunk = self.number(2)?;
        // Where data begins, and how it lies, changes while an array is reshaped.
        let is_reshaped = self.arguments.windows(2).any(|pair| {
            matches!(pair[0].as_str(), "data_offset" | "delta_disks") && pair[1] != "0"
        });
        Some(match kind {
            _ if is_reshaped => Place::Own(format!(
                "data or parity ({by}: it is or was reshaped, which this program does not map)"
            )),
            "raid1" => Place::Sector(by, sector, None),
            "raid0" | "raid0_meta" if chunk > 0 => {
                let at = (sector / chunk * legs + leg) * chunk + sector % chunk;
                Place::Sector(by, at, None)
            }
            // C: `__raid10_find_virt()`, with two near copies.
            "raid10"
                if chunk > 0
                    && legs % 2 == 0
                    && !self.arguments.iter().any(|a| a.starts_with("raid10_")) =>
            {
                let at = (sector / chunk * (legs / 2) + leg / 2) * chunk + sector % chunk;
                Place::Sector(by, at, None)
            }
            // C: `raid5_compute_blocknr()`, ALGORITHM_LEFT_SYMMETRIC.
            "raid5_ls" if chunk > 0 && legs > 2 => {
                let stripe = sector / chunk;
                let parity = (legs - 1) - stripe % legs;
                if leg == parity {
                    return Some(Place::Own(format!(
                        "parity of the {} sectors from {}",
                        (legs - 1) * chunk,
                        stripe * (legs - 1) * chunk + self.start
                    )));
                }
                let data = (leg + legs - parity - 1) % legs;
                let at = (stripe * (legs - 1) + data) * chunk + sector % chunk;
                Place::Sector(by, at, None)
            }
            _ => Place::Own(format!(
                "data or parity ({by}), which this program does not map; a scrub of the array corrects it"
            )),
        })
    }

    /// Returns the number of the first leg that is `lower`. Legs are each second argument from `first` on.
    fn leg(&self, first: usize, legs: u64, lower: &str) -> Option<u64> {
        let at = |leg: u64| Some(first + 2 * usize::try_from(leg).ok()?);
        (0..legs).find(|&leg| at(leg).is_some_and(|at| self.argument(at) == lower))
    }

    /// Returns the number of the leg that has `sector` of `lower`, and where it begins. A leg is two arguments, the device
    /// and where it begins, and has `length` sectors. Several may be on one device.
    fn leg_at(
        &self,
        first: usize,
        legs: u64,
        lower: &str,
        sector: u64,
        length: u64,
    ) -> Option<(u64, u64)> {
        (0..legs).find_map(|leg| {
            let at = first + 2 * usize::try_from(leg).ok()?;
            let start = self.number(at + 1)?;
            let of = sector.checked_sub(start)?;
            (self.argument(at) == lower && of < length).then_some((leg, start))
        })
    }

    /// By the model of dm-integrity's format. `superblock` reads it, where the table does not have all.
    fn integrity(
        &self,
        lower: &str,
        sector: u64,
        superblock: &dyn Fn(&str, u64) -> Option<Vec<u8>>,
    ) -> Option<Place> {
        let table = Table {
            start: self.start,
            length: self.length,
            target: self.target.clone(),
            arguments: self.arguments.clone(),
        };
        let on = match self.argument(0) == lower {
            true => integrity::On::Data,
            false => integrity::On::Metadata,
        };
        let layout = Integrity::new(&table, None).or_else(|unknown| {
            let metadata = table.option("meta_device").unwrap_or(table.argument(0));
            let bytes = superblock(metadata, self.number(1).unwrap_or(0)).ok_or(unknown)?;
            Integrity::new(&table, Some(&bytes))
        });
        let own = |what: &str| Some(Place::Own(what.to_owned()));
        match layout.map(|layout| layout.at(on, sector * SECTOR)) {
            Ok(Use::Data(sector)) => Some(Place::Sector("integrity".to_owned(), sector, None)),
            Ok(Use::Tag(_) | Use::Padding) => own("tags"),
            Ok(Use::Journal) => own("journal"),
            Ok(Use::Superblock) => own("superblock"),
            Ok(Use::Outside) => None,
            Err(unknown) => Some(Place::Own(format!("data, tags or journal ({unknown})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "lin: 0 100 linear 7:0 50\n\
        lin: 100 100 linear 7:0 500\n\
        secret: 0 1000 crypt aes-xts-plain64 :32:logon:x 0 253:0 16\n\
        half: 0 500 crypt aes-xts-plain64 00 1000 253:0 0\n\
        striped: 0 64 striped 2 8 7:1 0 7:2 4\n\
        r1: 0 8192 raid raid1 3 0 region_size 1024 2 253:10 253:11 253:12 253:13\n\
        r5: 0 8192 raid raid5_ls 3 128 region_size 1024 3 253:14 253:15 253:16 253:17 253:18 253:19\n\
        ver: 0 800 verity 1 7:5 7:5 4096 4096 100 101 sha256 aa bb\n\
        it: 0 65536 integrity 7:6 0 32 J 6 interleave_sectors:32768 buffer_sectors:128 journal_sectors:264 \
        journal_watermark:50 fix_padding internal_hash:sha256\n\
        leg: 0 8192 integrity 7:7 0 4 J 5 meta_device:7:8 interleave_sectors:1 buffer_sectors:128 \
        journal_sectors:352 internal_hash:crc32c\n\
        inline: 0 8192 integrity 253:9 0 32 I 3 block_size:4096 buffer_sectors:128 internal_hash:sha256\n\
        snap: 0 8192 snapshot 7:9 7:10 P 8\n\
        pool: 0 8192 thin-pool 7:11 7:12 128 0\n\
        both: 0 128 striped 2 8 7:13 0 7:13 1000\n\
        wcache: 0 8192 writecache s 7:14 7:15 4096 0\n\
        dedup: 0 8192 vdo V4 7:16 2048 4096 32768 16380\n\
        fec: 0 800 verity 1 7:17 7:18 4096 4096 100 1 sha256 aa bb 8 use_fec_from_device 7:19 fec_start 0 \
        fec_blocks 101 fec_roots 2\n\
        shape: 0 8192 raid raid5_ls 5 128 data_offset 2048 region_size 1024 3 253:80 253:81 253:82 253:83 253:84 253:85\n\
        merge: 0 8192 snapshot-merge 7:20 7:21 P 8\n";

    /// Returns a machine with these tables. The mappings have the numbers 253:0 and so on, in order.
    fn stack() -> (tempfile::TempDir, Stack) {
        let root = tempfile::tempdir().expect("a folder");
        let mut names: Vec<&str> = Vec::new();
        for name in TABLES.lines().filter_map(|line| line.split(':').next()) {
            if names.contains(&name) {
                continue;
            }
            let number = 20 + names.len();
            names.push(name);
            let folder = root.path().join(format!("sys/block/dm-{number}"));
            fs::create_dir_all(folder.join("dm")).expect("made");
            fs::write(folder.join("dm/name"), format!("{name}\n")).expect("written");
            fs::write(folder.join("dev"), format!("253:{number}\n")).expect("written");
            let link = root.path().join(format!("sys/dev/block/253:{number}"));
            fs::create_dir_all(link.parent().expect("a folder")).expect("made");
            std::os::unix::fs::symlink(folder, link).expect("linked");
        }
        let stack = Stack::new(root.path(), TABLES);
        (root, stack)
    }

    /// Returns what is above, in words.
    fn above(device: &str, sector: u64) -> Vec<String> {
        let (_root, stack) = stack();
        let above = stack.above(device, sector);
        let up = above.up.iter().map(|up| {
            let name = up.layer.name.as_deref().unwrap_or("?");
            format!("{name} {} by {}", up.layer.sector, up.layer.by)
        });
        let others = above.others.iter().map(|name| format!("not {name}"));
        up.chain(above.own.clone()).chain(others).collect()
    }

    /// The kernel has a folder of each filesystem that it uses, also of one without a mount.
    #[test]
    fn a_filesystem_in_use_is_seen_without_its_mount() {
        let (root, stack) = stack();
        let device = root.path().join("sys/dev/block/253:20");
        fs::write(device.join("uevent"), "DEVNAME=dm-20\n").expect("written");
        assert!(!stack.is_in_use("253:20", "ext2"));
        fs::create_dir_all(root.path().join("sys/fs/ext4/dm-20")).expect("made");
        assert!(stack.is_in_use("253:20", "ext2") && stack.is_in_use("253:20", "ext4"));
        assert!(!stack.is_in_use("253:20", "xfs") && !stack.is_in_use("253:21", "ext4"));
    }

    #[test]
    fn a_sector_is_followed_through_each_target() {
        assert_eq!(above("7:0", 50), ["lin 0 by linear"]);
        assert_eq!(above("7:0", 599), ["lin 199 by linear"]);
        assert_eq!(above("7:0", 150), ["not lin"]);
        assert_eq!(
            above("253:0", 20),
            ["secret 4 by crypt", "half 20 by crypt"]
        );
        assert_eq!(above("253:0", 5), ["half 5 by crypt", "not secret"]);
        assert_eq!(above("7:1", 9), ["striped 17 by striped, leg 0"]);
        assert_eq!(above("7:2", 13), ["striped 25 by striped, leg 1"]);
        assert_eq!(above("253:13", 77), ["r1 77 by raid1, leg 1"]);
        assert_eq!(above("253:12", 0), ["superblock and bitmap of leg 1 of r1"]);
        assert_eq!(above("7:5", 799), ["ver 799 by verity"]);
        assert_eq!(above("7:5", 808), ["tree of hashes of ver"]);
        assert_eq!(above("7:7", 9), ["leg 9 by integrity"]);
        assert_eq!(above("7:8", 9), ["journal of leg"]);
        assert_eq!(above("7:8", 360), ["tags of leg"]);
        assert_eq!(above("253:9", 808), ["inline 800 by integrity"]);
        assert_eq!(above("7:9", 4), ["snap 4 by snapshot"]);
        assert!(above("7:10", 4)[0].starts_with("copied chunk"));
        assert_eq!(
            above("7:12", 300),
            ["block 2 (thin_rmap names the thin volume) of pool"]
        );
        assert_eq!(above("7:12", 8192), ["not pool"]);
        assert_eq!(above("7:99", 4), [""; 0]);
    }

    #[test]
    fn two_legs_may_be_on_one_device() {
        assert_eq!(above("7:13", 13), ["both 21 by striped, leg 0"]);
        assert_eq!(above("7:13", 1005), ["both 13 by striped, leg 1"]);
        assert_eq!(above("7:13", 64), ["not both"]);
    }

    /// What is not mapped is not free.
    #[test]
    fn a_target_that_is_not_mapped_has_the_sector() {
        assert_eq!(above("7:14", 9), ["wcache 9 by writecache"]);
        assert_eq!(
            above("7:15", 9),
            ["metadata or cache (writecache) of wcache"]
        );
        assert_eq!(
            above("7:16", 9),
            ["data or metadata (vdo, which this program does not map) of dedup"]
        );
        assert_eq!(above("7:19", 9), ["codes of error correction of fec"]);
        assert!(above("253:81", 9)[0].contains("was reshaped"));
        let (_root, stack) = stack();
        assert!(stack.above("7:20", 9).up[0].remark.is_some());
    }

    /// 8 + 264 + 2048 sectors precede the data.
    #[test]
    fn interleaved_data_of_integrity_is_found() {
        assert_eq!(above("7:6", 2320 + 77), ["it 77 by integrity"]);
        // The second run has its tags before it.
        assert_eq!(above("7:6", 2320 + 32767), ["it 32767 by integrity"]);
        assert_eq!(above("7:6", 2320 + 32768), ["tags of it"]);
        assert_eq!(
            above("7:6", 2320 + 32768 + 2048 + 5),
            ["it 32773 by integrity"]
        );
        assert_eq!(above("7:6", 2319), ["tags of it"]);
        assert_eq!(above("7:6", 100), ["journal of it"]);
        assert_eq!(above("7:6", 7), ["superblock of it"]);
    }

    /// After a boot, `sda` may be another disk of the same size.
    #[test]
    fn a_disk_is_not_its_name() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        put("sys/dev/block/8:0/uevent", "DEVNAME=sda\n");
        put("sys/dev/block/8:0/diskseq", "9\n");
        put("proc/sys/kernel/random/boot_id", "b-1\n");
        let stack = Stack::new(root.path(), "");
        assert_eq!(stack.identity("8:0"), "sda 9 b-1");
        put("sys/dev/block/8:0/device/wwid", "naa.5000\n");
        assert_eq!(stack.identity("8:0"), "naa.5000");
        put("sys/dev/block/8:0/sda1/partition", "1\n");
        let link = root.path().join("sys/dev/block/8:1");
        std::os::unix::fs::symlink(root.path().join("sys/dev/block/8:0/sda1"), link)
            .expect("linked");
        assert_eq!(stack.identity("8:1"), "naa.5000 part 1");
    }

    /// Three legs, left symmetric: the parity is on the last leg, then on the one before.
    #[test]
    fn parity_rotates() {
        assert_eq!(above("253:15", 1), ["r5 1 by raid5_ls, leg 0"]);
        assert_eq!(above("253:17", 1), ["r5 129 by raid5_ls, leg 1"]);
        assert_eq!(
            above("253:19", 1),
            ["parity of the 256 sectors from 0 of r5"]
        );
        assert_eq!(
            above("253:17", 129),
            ["parity of the 256 sectors from 256 of r5"]
        );
        // The data begins after the parity.
        assert_eq!(above("253:19", 129), ["r5 257 by raid5_ls, leg 2"]);
        assert_eq!(above("253:15", 129), ["r5 385 by raid5_ls, leg 0"]);
    }

    #[test]
    fn a_record_is_about_a_sector_of_the_mapping() {
        let (_root, stack) = stack();
        let of = |target: &str, device: &str, sector: u64| {
            let found = stack.of_record(target, device, sector);
            let named = found.iter().map(|(device, sector)| {
                format!("{} {sector}", stack.name(device).unwrap_or_default())
            });
            named.collect::<Vec<_>>()
        };
        assert_eq!(of("crypt", "253:0", 800), ["secret 800"]);
        // Its numbers begin at iv_offset.
        assert_eq!(of("crypt", "253:0", 1008), ["half 8"]);
        assert_eq!(of("verity", "253:26", 5), ["ver 40"]);
        assert_eq!(of("integrity", "253:9", 1600), ["inline 1600"]);
        assert_eq!(of("integrity", "253:27", 5), ["it 5"]);
        assert_eq!(of("integrity", "253:99", 5), [" 5"]);
    }
}
