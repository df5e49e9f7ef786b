// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds an active container by its name, its id, an `ns_id` or a process.
//!
//! Names come from the OCI hook and from the control groups of processes.

use crate::record::cgroup::{self, Named};
use dmns_audit_recorder::oci::memory::Memory;
use dmns_audit_recorder::oci::process::Process;
use dmns_audit_uapi::ns::Kind;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// A process in it.
    pub pid: i64,
    /// Its namespaces, without those that it shares with the host.
    pub ids: Vec<u64>,
    /// Its pid namespace, if it is one of them.
    pub pid_namespace: Option<u64>,
}

/// The names of containers.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By name and id: the first process.
    processes: HashMap<String, Vec<i64>>,
    /// By namespace.
    namespaces: HashMap<u64, String>,
}

impl Names {
    /// Reads the names that the hook keeps in `state`; none without that folder.
    pub fn read(state: &Path) -> Self {
        let mut names = Self::default();
        for (id, started) in Memory::at(state).all() {
            let name = String::from_utf8_lossy(&started.name).into_owned();
            let ids = Process::open(started.pid).map(|process| own_ids(&process));
            for namespace in ids.unwrap_or_default() {
                // Namespaces that a pod shares are of several; its pid namespace identifies it.
                names.namespaces.insert(namespace, name.clone());
            }
            for key in [name, id] {
                names.processes.entry(key).or_default().push(started.pid);
            }
        }
        names
    }

    /// The container with these namespaces.
    pub fn of(&self, ids: &[u64]) -> Option<&str> {
        ids.iter()
            .find_map(|id| self.namespaces.get(id))
            .map(String::as_str)
    }
}

fn not_found(message: String) -> io::Error {
    io::Error::new(ErrorKind::NotFound, message)
}

/// The container that `text` names: a number is an `ns_id`, `pid:N` a process, all else a name or an id.
///
/// # Errors
///
/// Fails if there is none, or more than one.
pub fn container(text: &str, names: &Names) -> io::Result<Found> {
    if let Ok(id) = text.parse::<u64>() {
        for (pid, process) in processes()? {
            let namespaces = process.namespaces();
            if let Some(at) = namespaces.ids.iter().position(|own| *own == Some(id)) {
                return Ok(Found {
                    name: format!("ns_id {id}"),
                    pid,
                    ids: vec![id],
                    pid_namespace: (Kind::ALL[at] == Kind::Pid).then_some(id),
                });
            }
        }
        return Err(not_found(format!(
            "{id}: no process is in a namespace with this ns_id"
        )));
    }
    if let Some(pid) = text.strip_prefix("pid:").and_then(|pid| pid.parse().ok()) {
        return of_process(text, pid);
    }
    let mut candidates = names.processes.get(text).cloned().unwrap_or_default();
    if candidates.is_empty() {
        candidates = by_control_group(text)?;
    }
    match candidates.as_slice() {
        [] => Err(not_found(format!(
            "{text}: no container of this name or id runs, as far as dmns-audit's OCI hook and control groups show; \
             name one of its processes with pid:N, or a namespace by its ns_id"
        ))),
        [pid] => of_process(text, *pid),
        several => {
            let list: Vec<_> = several.iter().map(|pid| format!("pid:{pid}")).collect();
            let message = format!(
                "{text}: several containers are called so: {}",
                list.join(", ")
            );
            Err(io::Error::new(ErrorKind::InvalidInput, message))
        }
    }
}

/// The container that a process is in.
fn of_process(name: &str, pid: i64) -> io::Result<Found> {
    let process =
        Process::open(pid).map_err(|_| not_found(format!("{name}: process {pid} has ended")))?;
    let pid_namespace = process.namespaces().ids[Kind::Pid as usize];
    Ok(Found {
        name: name.to_owned(),
        pid,
        ids: own_ids(&process),
        pid_namespace: pid_namespace.filter(|_| !process.shares(Kind::Pid)),
    })
}

/// The namespaces of a process that this one is not in.
pub fn own_ids(process: &Process) -> Vec<u64> {
    let ids = process.namespaces().ids;
    let own = Kind::ALL
        .into_iter()
        .zip(ids)
        .filter(|(kind, _)| !process.shares(*kind));
    own.filter_map(|(_, id)| id).collect()
}

/// All processes, the oldest first.
///
/// # Errors
///
/// Fails if there is no `/proc`.
pub fn processes() -> io::Result<Vec<(i64, Process)>> {
    let mut pids: Vec<i64> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids
        .into_iter()
        .filter_map(|pid| Some((pid, Process::open(pid).ok()?)))
        .collect())
}

/// The first process of each container that the control group of its processes calls `name`.
fn by_control_group(name: &str) -> io::Result<Vec<i64>> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (pid, process) in processes()? {
        if process.shares(Kind::Pid) && process.shares(Kind::Mnt) {
            continue;
        }
        let Some(path) = process.cgroup() else {
            continue;
        };
        let path = String::from_utf8_lossy(&path).into_owned();
        let Some(at) = path.split('/').position(|part| is_named(part, name)) else {
            continue;
        };
        let group: Vec<_> = path.split('/').take(at + 1).map(str::to_owned).collect();
        if seen.insert(group) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Returns whether a folder of the control group tree is that of the container `name`. Engines print twelve digits of an
/// id.
fn is_named(folder: &str, name: &str) -> bool {
    folder == name
        || match cgroup::container(folder) {
            Some(Named::Name(own)) => own == name,
            Some(Named::Id(id)) => name.len() >= 12 && id.starts_with(name),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_is_that_of_the_container_it_names() {
        let id = "0123456789abcdef".repeat(4);
        assert!(is_named(&format!("libpod-{id}.scope"), &id));
        assert!(is_named(&format!("docker-{id}.scope"), "0123456789ab"));
        assert!(is_named(&id, "0123456789ab"));
        assert!(is_named("lxc.payload.web", "web"));
        assert!(is_named("machine-web.scope", "web"));
        assert!(is_named("systemd-nspawn@web.service", "web"));
        assert!(is_named("machine-lxc\\x2d715\\x2dweb.scope", "web"));
        assert!(!is_named(&format!("libpod-{id}.scope"), "0123456789a"));
        assert!(!is_named("lxc.payload.web2", "web"));
        assert!(!is_named("web.service", "web"));
    }

    #[test]
    fn nobody_is_taken_for_another() {
        let names = Names::default();
        let error = container("no-such-container-here", &names).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = container("pid:0", &names).expect_err("no process");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let mut twice = Names::default();
        twice.processes.insert("web".into(), vec![1, 2]);
        let error = container("web", &twice).expect_err("which?");
        assert!(error.to_string().contains("pid:1, pid:2"), "{error}");
    }

    #[test]
    fn this_process_is_in_no_container_of_its_own() {
        let found = of_process("me", i64::from(std::process::id())).expect("it runs");
        assert_eq!((found.ids, found.pid_namespace), (Vec::new(), None));
    }
}
