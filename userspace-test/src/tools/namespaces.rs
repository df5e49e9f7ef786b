// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Ids of namespaces: of a task, of all that are in use, of those that records leave.

use super::probes::{self, Phase};
use super::records::NsRecord;
use crate::sys::{NS_KINDS, done, ns_id, ns_owner};
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use nix::libc;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print ids of namespaces, and compare records with the kernel's own probes.
#[derive(Args)]
pub(super) struct Namespaces {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the ids of a task's namespaces other than the initial ones, with commas between.
    Of {
        /// The task.
        pid: u32,
    },
    /// Print the ids of all namespaces that are in use, one a line, as listns(2) returns them.
    List,
    /// Print the id of a namespace.
    Id {
        /// Its file.
        file: PathBuf,
    },
    /// Print the id of the user namespace that owns a namespace.
    Owner {
        /// Its file.
        file: PathBuf,
    },
    /// Read records, and print the ids of the namespaces that exist after them.
    ///
    /// Fails where one is created twice, or deleted and did not exist.
    Recorded,
    /// Have the kernel's own probes note, from here on, all namespaces that are created and
    /// deleted.
    Probe,
    /// Note that the module is in this phase from here on.
    Mark {
        /// The phase.
        phase: Phase,
    },
    /// Compare the records with what the probes noted since, one to one.
    ///
    /// Prints how many there were. Exit status: 1 if they differ. While the module was unloaded
    /// there may be no record, while it was loading or unloading there may be one or none.
    Judge,
}

/// Does what is asked.
pub(super) fn run(namespaces: &Namespaces) -> Result<ExitCode> {
    match &namespaces.what {
        What::Of { pid } => {
            let ids: Vec<String> = of(*pid)?.iter().map(u64::to_string).collect();
            println!("{}", ids.join(","));
        }
        What::List => {
            for id in list()? {
                println!("{id}");
            }
        }
        What::Id { file } => println!("{}", ns_id(&open(file)?)?),
        What::Owner { file } => println!("{}", ns_id(&ns_owner(&open(file)?)?)?),
        What::Recorded => {
            for id in recorded(std::io::stdin().lock())? {
                println!("{id}");
            }
        }
        What::Probe => probes::start()?,
        What::Mark { phase } => probes::mark(*phase)?,
        What::Judge => return probes::judge(),
    }
    Ok(ExitCode::SUCCESS)
}

fn open(file: &Path) -> Result<File> {
    File::open(file).with_context(|| file.display().to_string())
}

/// Returns the ids of a task's namespaces other than the initial ones.
fn of(pid: u32) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    for kind in NS_KINDS {
        let file = PathBuf::from(format!("/proc/{pid}/ns/{}", kind.name));
        let link = fs::read_link(&file).with_context(|| file.display().to_string())?;
        if link != fs::read_link(format!("/proc/1/ns/{}", kind.name))? {
            ids.push(ns_id(&open(&file)?)?);
        }
    }
    Ok(ids)
}

/// Returns the ids of all namespaces that are in use.
fn list() -> Result<Vec<u64>> {
    /// listns(2), and its `struct ns_id_req`.
    const LISTNS: libc::c_long = 470;
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        /// The last id of the call before.
        last: u64,
        /// The kind; 0: all.
        kind: u32,
        spare2: u32,
        /// The owning user namespace; 0: all.
        owner: u64,
    }
    let mut all = Vec::new();
    loop {
        let request = Request {
            size: size_of::<Request>() as u32,
            spare: 0,
            last: all.last().copied().unwrap_or(0),
            kind: 0,
            spare2: 0,
            owner: 0,
        };
        let mut ids = [0_u64; 1024];
        // SAFETY: The kernel reads `request`, and writes at most as many ids as there is room for.
        let count = done(unsafe {
            libc::syscall(LISTNS, &raw const request, ids.as_mut_ptr(), ids.len(), 0)
        });
        let count = match count {
            Ok(count) => count as usize,
            // None has a higher id than the last.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) && !all.is_empty() => 0,
            Err(e) => return Err(e).context("listns"),
        };
        if count == 0 {
            return Ok(all);
        }
        all.extend(&ids[..count]);
    }
}

/// Reads records, and returns the ids of those that were created, or existed at the load, and were
/// not deleted.
fn recorded(records: impl BufRead) -> Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    for line in records.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        // Each load begins anew, with the initial ipc namespace.
        if line.contains(" old_ipcns=(none) ipcns=-1 ") {
            ids.clear();
        }
        match NsRecord::parse(&line) {
            Some(NsRecord {
                old: Some(_), id, ..
            }) => {
                ensure!(ids.insert(id), "ns_id={id} is created twice: {line}");
            }
            Some(NsRecord { id, next, .. }) if next.starts_with("res=1") => {
                ensure!(
                    ids.remove(&id),
                    "ns_id={id} is deleted, and did not exist: {line}"
                );
            }
            _ => {}
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::records::tests::{CREATED, DELETED};

    const LOADED: &str =
        "type=UNKNOWN[1382] msg=audit(1.2:1): dev=00:04 old_ipcns=(none) ipcns=-1 ns_id=1 res=1";

    fn ids(lines: &[&str]) -> Result<Vec<u64>> {
        Ok(recorded(lines.join("\n").as_bytes())?.into_iter().collect())
    }

    #[test]
    fn what_was_created_and_not_deleted_is_left() -> Result<()> {
        assert_eq!(ids(&[LOADED, CREATED])?, [1, 17]);
        assert_eq!(
            ids(&[LOADED, CREATED, "type=SYSCALL msg=audit(1.2:3): x", DELETED])?,
            [1]
        );
        // A second load.
        assert_eq!(ids(&[LOADED, CREATED, LOADED])?, [1]);
        // A deletion that did not succeed.
        assert_eq!(ids(&[CREATED, &DELETED.replace("res=1", "res=0")])?, [17]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let twice = ids(&[CREATED, CREATED]).expect_err("created twice");
        assert!(
            twice
                .to_string()
                .starts_with("ns_id=17 is created twice: type=")
        );
        let never = ids(&[LOADED, DELETED]).expect_err("never created");
        assert!(never.to_string().contains("did not exist"));
    }
}
