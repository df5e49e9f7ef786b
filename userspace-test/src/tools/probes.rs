// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's own probes on the functions that add and remove namespaces: a judge that shares
//! nothing with the module.

use super::records::{self, NsRecord};
use super::status;
use crate::sys::NS_KINDS;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;

const TRACING: &str = "/sys/kernel/tracing";

/// The number of the first namespace in records: they have `-1` for the first inode.
const FIRST_INODE: i64 = 4_026_531_840;

/// A phase of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Phase {
    /// It may have records already.
    Loading,
    /// It has a record for each.
    Loaded,
    /// It may have no records any more.
    Unloading,
    /// It has no records.
    Unloaded,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Unloading => "unloading",
            Self::Unloaded => "unloaded",
        }
    }

    /// Returns whether an event that the probes noted so often may have so many records.
    fn allows(self, probed: u64, recorded: u64) -> bool {
        match self {
            Self::Loaded => recorded == probed,
            Self::Unloaded => recorded == 0,
            Self::Loading | Self::Unloading => recorded <= probed,
        }
    }
}

/// Writes a text, with one call, to a file of tracefs.
fn put(file: &str, append: bool, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .append(append)
        .truncate(!append)
        .open(format!("{TRACING}/{file}"))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| file.to_owned())
}

/// Attaches the probes, and starts with an empty trace.
pub(super) fn start() -> Result<()> {
    put("buffer_size_kb", false, "32768")?;
    let arguments = "t=ns->ns_type:u32 inum=ns->inum id=ns->ns_id";
    put(
        "dynamic_events",
        false,
        &format!("f:nsadd __ns_tree_add_raw {arguments}\n"),
    )?;
    put(
        "dynamic_events",
        true,
        &format!("f:nsdel __ns_tree_remove {arguments}\n"),
    )?;
    put("trace", false, "")?;
    put("events/fprobes/enable", false, "1")
}

/// Notes in the trace that the module is in `phase` from here on.
pub(super) fn mark(phase: Phase) -> Result<()> {
    put(
        "trace_marker",
        false,
        &format!("module: {}\n", phase.name()),
    )
}

/// Compares the records with the trace, and prints the result.
pub(super) fn judge() -> Result<ExitCode> {
    put("events/fprobes/enable", false, "0")?;
    let trace = Trace::read(BufReader::new(File::open(format!("{TRACING}/trace"))?))?;
    let (text, wrong) = compare(&trace, &recorded(&records::read(&[])?)?);
    print!("{text}");
    Ok(status(wrong))
}

/// Events, each as `add KIND INODE ID` or `del KIND INODE ID`, and how often there was one.
type Events = BTreeMap<String, u64>;

/// The events that the probes noted.
#[derive(Debug, Default)]
struct Trace {
    events: Events,
    /// The events while the module was not loaded all the time, each with its last phase.
    outside: BTreeMap<String, Phase>,
    /// The number of events in each phase.
    by_phase: BTreeMap<&'static str, u64>,
}

impl Trace {
    fn read(trace: impl BufRead) -> Result<Self> {
        let mut read = Self::default();
        let mut phase = Phase::Loaded;
        let mut whole = false;
        for line in trace.split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if let Some((_, entries)) = line.split_once("# entries-in-buffer/entries-written: ") {
                let entries = entries.split_whitespace().next().unwrap_or_default();
                let (kept, written) = entries.split_once('/').context("entries")?;
                ensure!(kept == written, "the trace buffer was too small: {line}");
                whole = true;
            }
            if let Some((_, name)) = line.split_once("tracing_mark_write: module: ") {
                phase = Phase::from_str(name.trim(), false)
                    .map_err(|e| anyhow::anyhow!("'{line}': {e}"))?;
            }
            if let Some(event) = event(&line)? {
                *read.by_phase.entry(phase.name()).or_default() += 1;
                if phase != Phase::Loaded {
                    read.outside.insert(event.clone(), phase);
                }
                *read.events.entry(event).or_default() += 1;
            }
        }
        ensure!(whole, "the trace has no line about its entries");
        Ok(read)
    }
}

/// Reads a line of the trace, if it is an event of the probes.
fn event(line: &str) -> Result<Option<String>> {
    let (change, rest) = if let Some((_, rest)) = line.split_once(": nsadd: ") {
        ("add", rest)
    } else if let Some((_, rest)) = line.split_once(": nsdel: ") {
        ("del", rest)
    } else {
        return Ok(None);
    };
    let field = |name: &str| {
        rest.split_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no {name}: {line}"))
    };
    let flag: u32 = field("t")?.parse()?;
    let Some(kind) = NS_KINDS.iter().find(|kind| kind.flag as u32 == flag) else {
        bail!("an unknown kind of namespace: {line}");
    };
    let (inum, id): (u64, u64) = (field("inum")?.parse()?, field("id")?.parse()?);
    Ok(Some(format!("{change} {} {inum} {id}", kind.name)))
}

/// Reads records. Those of the namespaces that existed at the load are left out.
fn recorded(records: &str) -> Result<Events> {
    let mut events = Events::new();
    for line in records.lines().filter(|line| !line.contains("=(none)")) {
        if let Some(record) = NsRecord::parse(line) {
            let change = match record.old {
                Some(_) => "add",
                None => "del",
            };
            let inum: i64 = record.inum.parse().with_context(|| line.to_owned())?;
            let event = format!(
                "{change} {} {} {}",
                record.kind,
                inum + FIRST_INODE,
                record.id
            );
            *events.entry(event).or_default() += 1;
        }
    }
    Ok(events)
}

/// Compares, and returns what there is to say and whether anything differs.
fn compare(trace: &Trace, recorded: &Events) -> (String, bool) {
    let mut text = String::new();
    let mut wrong = false;
    let all: BTreeSet<&String> = trace.events.keys().chain(recorded.keys()).collect();
    for event in all {
        let count = |events: &Events| events.get(event).copied().unwrap_or(0);
        let (probed, recorded) = (count(&trace.events), count(recorded));
        let phase = trace.outside.get(event).copied().unwrap_or(Phase::Loaded);
        if !phase.allows(probed, recorded) {
            text += &format!(
                "{event}: probed {probed} times, while the module was {}, recorded {recorded} times\n",
                phase.name()
            );
            wrong = true;
        }
    }
    let sum = |events: &Events| events.values().sum::<u64>();
    text += &format!(
        "probed {}, recorded {}\n",
        sum(&trace.events),
        sum(recorded)
    );
    if !trace.outside.is_empty() {
        let phases: Vec<String> = trace
            .by_phase
            .iter()
            .map(|(phase, count)| format!("{phase}: {count}"))
            .collect();
        text += &format!("while the module was {}\n", phases.join(", "));
    }
    (text, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::records::tests::{CREATED, DELETED};

    const HEAD: &str = "# tracer: nop\n# entries-in-buffer/entries-written: 2/2   #P:1\n";

    fn added() -> String {
        let inum = 7 + FIRST_INODE;
        format!(
            " unshare-9 [000] ..... 1.2: nsadd: (__ns_tree_add_raw+0x0/0x2) t=67108864 inum={inum} id=17\n"
        )
    }

    fn deleted() -> String {
        added().replace("nsadd", "nsdel")
    }

    fn marked(phase: &str) -> String {
        format!(" namespaces-9 [000] ..... 1.2: tracing_mark_write: module: {phase}\n")
    }

    fn judged(trace: &[&str], records: &[&str]) -> Result<(String, bool)> {
        let trace = Trace::read([&[HEAD], trace].concat().concat().as_bytes())?;
        Ok(compare(&trace, &recorded(&records.join("\n"))?))
    }

    #[test]
    fn records_and_probes_agree_one_to_one() -> Result<()> {
        let (add, del) = (added(), deleted());
        assert_eq!(
            judged(&[&add, &del], &[CREATED, DELETED])?,
            ("probed 2, recorded 2\n".to_owned(), false)
        );
        let found = CREATED.replace("old_utsns=-2", "old_utsns=(none)");
        assert!(!judged(&[&add], &[&found, CREATED])?.1);
        for (trace, records) in [
            (vec![&*add, &*del], vec![CREATED]),
            (vec![&*add], vec![CREATED, DELETED]),
            (vec![&*add], vec![CREATED, CREATED]),
            (vec![&*add, &*add], vec![CREATED]),
            (vec![], vec![DELETED]),
        ] {
            let (text, wrong) = judged(&trace, &records)?;
            assert!(wrong, "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_module_that_is_not_loaded_has_no_records() -> Result<()> {
        let add = added();
        for (phase, records, wrong) in [
            ("unloaded", vec![], false),
            ("unloaded", vec![CREATED], true),
            ("loading", vec![], false),
            ("loading", vec![CREATED], false),
            ("unloading", vec![CREATED, CREATED], true),
            ("loaded", vec![], true),
        ] {
            let judged = judged(&[&marked(phase), &add], &records)?;
            assert_eq!(judged.1, wrong, "{phase}: {}", judged.0);
        }
        let (text, _) = judged(
            &[&marked("unloaded"), &add, &marked("loaded"), &deleted()],
            &[DELETED],
        )?;
        assert_eq!(
            text,
            "probed 2, recorded 1\nwhile the module was loaded: 1, unloaded: 1\n"
        );
        Ok(())
    }

    #[test]
    fn a_trace_that_is_not_whole_is_an_error() {
        let trace = HEAD.replace("2/2", "2/3");
        let error = Trace::read(trace.as_bytes()).expect_err("not whole");
        assert!(error.to_string().contains("too small"));
        assert!(Trace::read(marked("nowhere").as_bytes()).is_err());
        assert!(Trace::read(added().replace("67108864", "1").as_bytes()).is_err());
    }
}
