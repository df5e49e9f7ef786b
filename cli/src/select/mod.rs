// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit select`: excludes a container's events in the kernel, or records only that container.
//!
//! - [`find`]: a container by its name, its id, an `ns_id` or a process.

pub mod find;

use dmns_audit_uapi::filter::{Command, Ids, Mode};
use find::{Found, Names};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A subcommand.
#[derive(Clone, Debug)]
pub enum Task {
    /// Select a container.
    Select(Mode, String),
    /// Show what is selected.
    List,
    /// End the selection of one container, or of all.
    Clear(Option<String>),
}

/// Paths of files.
#[derive(Clone, Debug)]
pub struct SelectOptions {
    /// The module's file.
    pub control: PathBuf,
    /// The folder in which the OCI hook keeps the names of containers.
    pub state: PathBuf,
}

/// A line of the module's file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selected {
    mode: String,
    ids: Vec<u64>,
    members: String,
}

impl Selected {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mode = words.next()?.to_owned();
        let ids = words.next()?.strip_prefix("ns_id=")?;
        let ids: Result<_, _> = ids.split(',').map(str::parse).collect();
        let members = words.next()?.strip_prefix("members=")?.to_owned();
        Some(Self {
            mode,
            ids: ids.ok()?,
            members,
        })
    }
}

/// Does it.
///
/// # Errors
///
/// Fails if there is no such container, or the kernel refuses: says what to do.
pub fn run(options: &SelectOptions, task: &Task, out: &mut dyn Write) -> io::Result<()> {
    let names = Names::read(&options.state);
    match task {
        Task::Select(mode, container) => {
            let found = find::container(container, &names)?;
            let printed = select(&options.control, *mode, &found)?;
            writeln!(out, "{}: {printed}", found.name)
        }
        Task::List => list(&options.control, &names, out),
        Task::Clear(None) => write(&options.control, &Command::Clear(None)),
        Task::Clear(Some(container)) => {
            let id = clear_by(&selected(&options.control)?, container, &names)?;
            write(&options.control, &Command::Clear(Some(id)))
        }
    }
}

/// Selects a container, and what was created inside before. Returns what was done.
fn select(control: &Path, mode: Mode, found: &Found) -> io::Result<String> {
    let Some(first) = found.ids.first() else {
        let message = format!("{}: has no namespace of its own", found.name);
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    };
    let mut ids = Ids::default();
    for (place, id) in ids.iter_mut().zip(&found.ids) {
        *place = *id;
    }
    let pid = i32::try_from(found.pid).map_err(io::Error::other)?;
    write(control, &Command::Select { mode, pid, ids })?;
    let mut known: HashSet<u64> = found.ids.iter().copied().collect();
    let mut joined = 0;
    if let Some(pid_namespace) = found.pid_namespace {
        // What is made meanwhile, the module sees; but of a process that began before, a child may go on.
        while join_some(control, *first, pid_namespace, &mut known, &mut joined)? {}
    }
    let before = match joined {
        0 => String::new(),
        count => format!(", {count} created inside before"),
    };
    let count = found.ids.len();
    Ok(format!("{} ({count} namespaces{before})", mode.name()))
}

/// Lets the namespaces of all processes inside join that are not known. Returns whether there were any.
fn join_some(
    control: &Path,
    id: u64,
    pid_namespace: u64,
    known: &mut HashSet<u64>,
    joined: &mut usize,
) -> io::Result<bool> {
    let before = known.len();
    for (pid, process) in find::processes()? {
        // A process that has ended needs no more.
        let own = find::own_ids(&process);
        if own.iter().all(|id| known.contains(id)) || !process.is_within(pid_namespace) {
            continue;
        }
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        match write(control, &Command::Join { pid, id }) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            // It has ended meanwhile.
            Err(_) => {}
            Ok(()) => *joined += own.iter().filter(|id| known.insert(**id)).count(),
        }
    }
    Ok(known.len() > before)
}

/// The filters.
fn selected(control: &Path) -> io::Result<Vec<Selected>> {
    let text = fs::read_to_string(control).map_err(|error| explain(control, error))?;
    let lines = text.lines().map(|line| {
        Selected::parse(line).ok_or_else(|| {
            let message = format!(
                "{}: '{line}': the module is of another version",
                control.display()
            );
            io::Error::new(ErrorKind::InvalidData, message)
        })
    });
    lines.collect()
}

fn list(control: &Path, names: &Names, out: &mut dyn Write) -> io::Result<()> {
    let selected = selected(control)?;
    if selected.is_empty() {
        return writeln!(out, "nothing is selected");
    }
    for Selected { mode, ids, members } in selected {
        let name = names.of(&ids).unwrap_or("?");
        let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "{mode} {name}, ns_id {}, {members} namespaces inside",
            ids.join(",")
        )?;
    }
    Ok(())
}

/// A namespace of the selected container that `container` names.
fn clear_by(selected: &[Selected], container: &str, names: &Names) -> io::Result<u64> {
    let ids = match container.parse() {
        Ok(id) => vec![id],
        Err(_) => find::container(container, names)?.ids,
    };
    let found = selected
        .iter()
        .flat_map(|one| &one.ids)
        .find(|id| ids.contains(id));
    found.copied().ok_or_else(|| {
        let message = format!("{container}: is not selected; see `dmns-audit select list`");
        io::Error::new(ErrorKind::NotFound, message)
    })
}

/// Writes a command to the module's file.
fn write(control: &Path, command: &Command) -> io::Result<()> {
    let mut text = Vec::new();
    command.write(&mut text);
    let file = OpenOptions::new().write(true).open(control);
    file.and_then(|mut file| file.write_all(&text))
        .map_err(|error| explain(control, error))
}

/// Explains an error, with the remedy.
fn explain(control: &Path, error: io::Error) -> io::Error {
    use nix::errno::Errno;
    let (kind, advice) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) if !control.exists() => (
            ErrorKind::Other,
            "is dmns_audit.ko loaded (modprobe dmns_audit), and securityfs mounted (mount -t securityfs none /sys/kernel/security)?",
        ),
        Some(Errno::EPERM | Errno::EACCES) => (
            ErrorKind::PermissionDenied,
            "needs CAP_AUDIT_CONTROL in the initial namespaces, and audit's configuration not locked (auditctl -e 2)",
        ),
        Some(Errno::ESRCH) => (
            ErrorKind::NotFound,
            "the container has ended, or entered other namespaces",
        ),
        Some(Errno::ENOENT) => (ErrorKind::NotFound, "is not selected any more"),
        Some(Errno::ENOSPC) => (
            ErrorKind::Other,
            "64 containers are selected, or 8,192 namespaces are in them: clear some",
        ),
        Some(Errno::ENODEV) => (
            ErrorKind::Other,
            "the module was loaded with ns=0: load it with ns=1",
        ),
        Some(Errno::EBUSY) => (
            ErrorKind::Other,
            "another tracer holds a function of audit; the kernel log says which",
        ),
        _ => (error.kind(), "see the kernel log"),
    };
    io::Error::new(kind, format!("{}: {error}: {advice}", control.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_module_is_read_whole_or_not_at_all() {
        let line = "exclude ns_id=7,12 members=3";
        let expected = Selected {
            mode: "exclude".into(),
            ids: vec![7, 12],
            members: "3".into(),
        };
        assert_eq!(Selected::parse(line), Some(expected));
        for wrong in [
            "",
            "exclude",
            "exclude ns_id=",
            "exclude ns_id=x members=1",
            "only ns_id=1",
        ] {
            assert_eq!(Selected::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whoever_is_not_selected_is_not_cleared() {
        let selected = [Selected::parse("only ns_id=7,12 members=2").expect("a line")];
        let names = Names::default();
        assert_eq!(clear_by(&selected, "12", &names).expect("selected"), 12);
        let error = clear_by(&selected, "13", &names).expect_err("not selected");
        assert!(error.to_string().contains("is not selected"), "{error}");
    }

    #[test]
    fn without_the_module_an_error_says_so() {
        let options = SelectOptions {
            control: "/nonexistent/select".into(),
            state: "/nonexistent".into(),
        };
        let error = run(&options, &Task::List, &mut Vec::new()).expect_err("no module");
        assert!(
            error.to_string().contains("is dmns_audit.ko loaded"),
            "{error}"
        );
    }
}
