// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Figures for Prometheus: a file that node_exporter's textfile collector reads. It is replaced as a whole, so that
//! nobody reads half of it.
//!
//! - `active`: the mappings and namespaces that were there before.
//! - [`system`]: what the module and audit count.

mod active;
mod system;

use super::devices::Device;
use super::files::Located;
use crate::record::value::Fields;
use crate::record::{Parsed, Type, head};
use crate::report::dm::record::Record;
use active::ActiveObjects;
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use system::System;

/// Delay between an event and the next write of the file.
const SOON: Duration = Duration::from_secs(1);

/// Maximum age of the file: the kernel's counters change without events.
const OLD: Duration = Duration::from_secs(15);

/// Maximum number of files with a figure of their own. A database keeps each for long.
const FILES: usize = 500;

/// The figures.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    active: ActiveObjects,
    system: System,
    /// Violations by mapping, device, target and operation.
    violations: BTreeMap<[String; 4], u64>,
    /// Corrupt sectors that were looked up by mapping, device, what is there and the file.
    located: BTreeMap<[String; 4], u64>,
    /// Guests and containers that run, by UUID or id, with what runs them.
    guests: HashMap<String, String>,
    missed: u64,
    changed: bool,
    written: Option<Instant>,
}

impl Metrics {
    /// Creates metrics of the machine with the root `root`, written to `path`.
    pub fn new(path: &Path, root: &Path) -> Self {
        Self {
            path: path.to_owned(),
            active: ActiveObjects::of(root),
            system: System::of(root),
            violations: BTreeMap::new(),
            located: BTreeMap::new(),
            guests: HashMap::new(),
            missed: 0,
            changed: true,
            written: None,
        }
    }

    /// Takes a record of `device`, if it has one.
    pub fn record(&mut self, line: &[u8], device: Option<&Device>) {
        let Parsed::Record(head) = head::parse(line) else {
            return;
        };
        let record = match head.ty {
            Type::Ours(_) | Type::Virt(VirtType::Control) => Fields::of(&head),
            _ => return,
        };
        match head.ty {
            Type::Ours(ty @ (RecordType::NsInit(kind) | RecordType::NsDel(kind))) => {
                let number = record.raw(&format!("{}ns", kind.name()));
                if let Some(number) = number.and_then(|number| number.parse().ok()) {
                    self.active
                        .namespace(kind, number, matches!(ty, RecordType::NsInit(_)));
                }
            }
            Type::Ours(RecordType::DmCtrl) => {
                let Some(record) = Record::of(&record) else {
                    return;
                };
                // A constructor that failed is followed by a destructor.
                let step = if record.op == "ctr" { 1 } else { -1 };
                self.active.mapping(record.module, record.dev, step);
            }
            Type::Ours(RecordType::DmEvent) => {
                let Some(record) = Record::of(&record) else {
                    return;
                };
                let name = device.and_then(|device| device.name.clone());
                let labels = [
                    name.as_deref().unwrap_or_default(),
                    record.dev,
                    record.module,
                    record.op,
                ];
                *self
                    .violations
                    .entry(labels.map(str::to_owned))
                    .or_default() += 1;
            }
            Type::Virt(VirtType::Control) => {
                if record.raw("res") != Some("success") {
                    return;
                }
                let (Some(id), virt) = (record.text("uuid"), record.raw("virt").unwrap_or("?"))
                else {
                    return;
                };
                match record.raw("op") {
                    Some("start") => self.guests.insert(id.into_owned(), virt.to_owned()),
                    Some("stop") => self.guests.remove(&*id),
                    _ => return,
                };
            }
            _ => return,
        }
        self.changed = true;
    }

    /// Takes what is at a corrupt sector.
    pub fn located(&mut self, located: &Located) {
        for answer in &located.answers {
            for place in &answer.places {
                let path = place.what.data().and_then(|data| data.paths.first());
                let mut labels = [
                    answer.name.clone().unwrap_or_default(),
                    answer.device.clone(),
                    place.what.name().to_owned(),
                    path.cloned().unwrap_or_default(),
                ];
                if self.located.len() >= FILES && !self.located.contains_key(&labels) {
                    labels[3].clear();
                }
                *self.located.entry(labels).or_default() += 1;
            }
        }
        self.changed = true;
    }

    /// So many records were lost on the way here.
    pub fn missed(&mut self, number: u64) {
        self.missed += number;
        self.changed = true;
    }

    /// Writes the file, if it is time.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn tick(&mut self, now: Instant) -> io::Result<()> {
        let age = self.written.map(|then| now.duration_since(then));
        match age {
            Some(age) if age < if self.changed { SOON } else { OLD } => Ok(()),
            _ => self.write(now),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn write(&mut self, now: Instant) -> io::Result<()> {
        (self.changed, self.written) = (false, Some(now));
        // The collector reads *.prom only.
        let partial = self
            .path
            .with_extension(format!("{}.partial", std::process::id()));
        fs::write(&partial, self.text())
            .and_then(|()| fs::rename(&partial, &self.path))
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
            })
    }

    fn text(&mut self) -> String {
        let mut out = Text::default();
        out.family(
            "dmns_violations_total",
            "counter",
            "Integrity violations, by the mapping that was asked and what was found.",
        );
        for ([mapping, device, target, op], count) in &self.violations {
            let labels = [
                ("mapping", mapping),
                ("device", device),
                ("target", target),
                ("op", op),
            ];
            out.sample(&labels.map(|(name, value)| (name, value.as_str())), *count);
        }
        if !self.located.is_empty() {
            out.family(
                "dmns_corrupt_sectors_total",
                "counter",
                "Corrupt sectors that were looked up, by what is there.",
            );
        }
        for ([mapping, device, what, path], count) in &self.located {
            let labels = [
                ("mapping", mapping),
                ("device", device),
                ("what", what),
                ("path", path),
            ];
            out.sample(&labels.map(|(name, value)| (name, value.as_str())), *count);
        }
        out.family("dmns_mappings", "gauge", "Tables of device mapper that are loaded, by target; two between a reload and its resume.");
        for (target, count) in self.active.mappings() {
            out.sample(&[("target", &target)], count);
        }
        out.family("dmns_namespaces", "gauge", "Active namespaces, by kind.");
        for (kind, count) in self.active.namespaces() {
            out.sample(&[("kind", kind.name())], count);
        }
        let is_container = |virt: &str| matches!(virt, "oci" | "lxc");
        let count = |containers: bool| {
            self.guests
                .values()
                .filter(|v| is_container(v) == containers)
                .count() as u64
        };
        out.family(
            "dmns_containers",
            "gauge",
            "Containers that were started and not stopped, as VIRT_CONTROL records have them.",
        );
        out.sample(&[], count(true));
        out.family("dmns_guests", "gauge", "Virtual machines that were started and not stopped, as VIRT_CONTROL records have them.");
        out.sample(&[], count(false));
        out.family(
            "dmns_watch_missed_total",
            "counter",
            "Records that the kernel dropped because dmns-audit did not read them in time.",
        );
        out.sample(&[], self.missed);
        self.system.text(&mut out);
        out.0
    }
}

/// The text format of Prometheus. <https://prometheus.io/docs/instrumenting/exposition_formats/>
#[derive(Debug, Default)]
struct Text(String, &'static str);

impl Text {
    fn family(&mut self, name: &'static str, ty: &str, help: &str) {
        self.1 = name;
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {ty}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = (labels.iter())
            .map(|(name, value)| {
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                format!("{name}=\"{value}\"")
            })
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.0, "{}{labels} {value}", self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_numbers_of_the_records() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write(
            "sys/kernel/security/dmns_audit/counters",
            "type number emitted disabled refused refused_nowait no_room retried deferred\n\
             DM_CTRL 1338 4 0 0 0 0 0 0\nNS_DEL_NET 1393 7 0 1 0 2 0 3\n",
        );
        write(
            "proc/self/mountinfo",
            "40 1 0:4 net:[4026531843] /run/netns/n rw - nsfs nsfs rw\n",
        );
        let file = root.path().join("dmns.prom");
        let mut metrics = Metrics::new(&file, root.path());
        let device = Device {
            name: Some("a \"b\"".to_owned()),
            ..Device::default()
        };
        for line in include_str!("../../../tests/logs/dm.log").lines() {
            metrics.record(line.as_bytes(), Some(&device));
        }
        for line in include_str!("../../../tests/logs/ns.log").lines() {
            metrics.record(line.as_bytes(), None);
        }
        metrics.missed(5);
        metrics.tick(Instant::now()).expect("written");
        assert_eq!(
            fs::read_dir(root.path()).expect("listed").count(),
            3,
            "nothing is left beside it"
        );
        insta::assert_snapshot!("metrics", fs::read_to_string(file).expect("read"));
    }

    #[test]
    fn a_corrupt_sector_counts_for_its_file() {
        use crate::locate::answer::{Answer, Data, Finding, Place, What};
        let root = tempfile::tempdir().expect("a folder");
        let mut metrics = Metrics::new(&root.path().join("dmns.prom"), root.path());
        let mut locate = |sector: u64, what: What| {
            let finding = Finding::certain(what);
            let place = Place {
                layers: Vec::new(),
                filesystem: None,
                what: finding.what,
                certain: true,
                remarks: Vec::new(),
            };
            let answer = Answer {
                device: "253:0".to_owned(),
                name: Some("data".to_owned()),
                sector,
                places: vec![place],
            };
            metrics.located(&Located {
                id: crate::report::Id {
                    seconds: 1,
                    millis: 0,
                    serial: 1,
                },
                answers: vec![answer],
            });
        };
        let file = |path: String| {
            What::File(Data {
                paths: vec![path, "/z".to_owned()],
                ..Data::default()
            })
        };
        locate(8, file("/srv/a \"b\"".to_owned()));
        locate(9, file("/srv/a \"b\"".to_owned()));
        locate(16, What::Free);
        for i in 0..FILES {
            locate(24, file(format!("/srv/{i}")));
        }
        let text = metrics.text();
        let of = |labels: &str| {
            let name = "dmns_corrupt_sectors_total{mapping=\"data\",device=\"253:0\",";
            let start = format!("{name}{labels}}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&start));
            value.and_then(|value| value.parse::<usize>().ok())
        };
        assert_eq!(of(r#"what="file",path="/srv/a \"b\"""#), Some(2));
        assert_eq!(of(r#"what="free",path="""#), Some(1));
        assert_eq!(of(r#"what="file",path="/srv/0""#), Some(1));
        // What has no figure of its own is counted too.
        assert_eq!(of(r#"what="file",path="""#), Some(2));
    }
}
