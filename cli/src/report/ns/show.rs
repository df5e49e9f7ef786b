// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Namespaces in text and JSON: as a tree, or the events inside a container.

use super::event::Event;
use super::namespace::Namespace;
use crate::report::{Options, json_line};
use crate::table::{Cell, Table, plain, styled};
use crate::terminal::{ACTIVE, BAD, FAINT, NAME, TITLE};
use dmns_audit_uapi::ns::Kind;
use serde_json::{Value, json};
use std::io::{self, Write};

/// `netns=3 (ns_id 17)`
pub fn name(namespace: &Namespace) -> String {
    let number = format!("{}ns={}", namespace.kind().name(), namespace.number);
    match namespace.id {
        Some(id) => format!("{number} (ns_id {id})"),
        None => number,
    }
}

fn cells<'a>(namespace: &Namespace, branch: &str, options: &Options) -> [Cell<'a>; 6] {
    let time = |id: crate::report::Id| options.clock.full(id.seconds);
    let number = match &namespace.node {
        Some(node) => format!("{branch}{node} {}", namespace.number),
        None => format!("{branch}{}", namespace.number),
    };
    let maker = match &namespace.maker {
        Some(_) if namespace.initial => "initial".to_owned(),
        Some(who) => who.show(),
        None if namespace.initial => "initial".to_owned(),
        None => "?".to_owned(),
    };
    let from = match namespace.start {
        Some(start) if !namespace.initial => time(start),
        _ => String::from(if namespace.initial {
            ""
        } else {
            "(before log start)"
        }),
    };
    let to = match namespace.end {
        Some(end) if namespace.down => plain(format!("{} (host down)", time(end))),
        Some(end) => plain(time(end)),
        None if namespace.initial => plain(""),
        None => styled(ACTIVE, "active"),
    };
    let events = match namespace.events {
        0 => styled(FAINT, "0"),
        n => plain(n.to_string()),
    };
    [
        styled(NAME, number),
        plain(namespace.id.map_or("?".to_owned(), |id| id.to_string())),
        plain(maker),
        plain(from),
        to,
        events,
    ]
}

/// The table of the tree.
#[derive(Debug)]
pub struct Branches {
    table: Table,
    kind: Option<Kind>,
}

impl Default for Branches {
    fn default() -> Self {
        let titles = &["number", "ns_id", "created by", "from", "to", "events"];
        Self {
            table: Table::new(titles, &["ns_id", "events"]),
            kind: None,
        }
    }
}

impl Branches {
    /// Makes room for `namespace` at this depth of the tree.
    pub fn measure(&mut self, namespace: &Namespace, depth: usize, options: &Options) {
        let branch = "   ".repeat(depth);
        self.table.measure(&cells(namespace, &branch, options));
    }

    /// Writes `namespace`, with `branch` drawn before it; titles before the first of its kind.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn row(
        &mut self,
        namespace: &Namespace,
        branch: &str,
        options: &Options,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let kind = namespace.kind();
        if self.kind != Some(kind) {
            match self.kind {
                None => self.table.fit(&options.terminal),
                Some(_) => writeln!(out)?,
            }
            self.kind = Some(kind);
            writeln!(out, "{}", options.terminal.paint(TITLE, kind.name()))?;
            self.table.head(&options.terminal, out)?;
        }
        self.table
            .row(&cells(namespace, branch, options), &options.terminal, out)?;
        if let Some(who) = namespace.deleter.as_ref().filter(|_| options.all_events) {
            let pid = who.pid.map_or("?".to_owned(), |pid| pid.to_string());
            writeln!(out, "    deleted by process {pid} of {}", who.user)?;
        }
        namespace.proof().text(options, out)
    }
}

/// `namespace` as an object. docs/reference/report.md has its fields.
pub fn object(namespace: &Namespace, options: &Options) -> Value {
    let state = match namespace.end {
        Some(_) if namespace.down => "host-down",
        Some(_) => "ended",
        None => "active",
    };
    json!({
        "kind": "namespace",
        "type": namespace.kind().name(),
        "number": namespace.number,
        "inode": i64::from(namespace.number) + i64::from(dmns_audit_uapi::ns::PROC_DYNAMIC_FIRST),
        "ns_id": namespace.id,
        "node": namespace.node,
        "initial": namespace.initial,
        "parent": namespace.parent.map(|(number, id)| json!({ "number": number, "ns_id": id })),
        "by": namespace.maker.as_ref().map(|who| who.json()),
        "deleted_by": namespace.deleter.as_ref().map(|who| who.json()),
        "start": namespace.start.map(|id| id.json(options)),
        "end": namespace.end.map(|id| id.json(options)),
        "state": state,
        "events": namespace.events,
        "proof": options.proof.then(|| namespace.proof().json()),
    })
}

/// The table of events.
#[derive(Debug)]
pub struct Events {
    table: Table,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            table: Table::new(&["time", "by", "result", "what"], &[]),
        }
    }
}

impl Events {
    /// Makes room for `event`.
    pub fn measure(&mut self, event: &Event, options: &Options) {
        self.table.measure(&Self::cells(event, options));
    }

    /// Writes the titles.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn begin(&mut self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        self.table.fit(&options.terminal);
        self.table.head(&options.terminal, out)
    }

    /// Writes `event`.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn row(&self, event: &Event, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        self.table
            .row(&Self::cells(event, options), &options.terminal, out)?;
        let mut proof = crate::report::id::Proof::default();
        proof.add(event.id);
        proof.text(options, out)
    }

    fn cells<'a>(event: &Event, options: &Options) -> [Cell<'a>; 4] {
        let result = match event.success {
            Some(true) => plain("success"),
            Some(false) => styled(BAD, "failed"),
            None => plain(""),
        };
        let mut what = Vec::new();
        what.extend(event.syscall.as_ref().map(|call| {
            match (&event.arch, call.bytes().all(|b| b.is_ascii_digit())) {
                (Some(arch), true) => format!("syscall {call} ({arch})"),
                (None, true) => format!("syscall {call}"),
                (_, false) => call.clone(),
            }
        }));
        what.extend(event.command());
        let hidden = |ty: &str| {
            matches!(
                ty,
                "SYSCALL" | "PATH" | "CWD" | "EXECVE" | "PROCTITLE" | "NS_INFO"
            )
        };
        let ours = |ty: &str| ty.starts_with("NS_INIT") || ty.starts_with("NS_DEL");
        let types = event.types.iter().filter(|ty| !hidden(ty));
        what.extend(
            types
                .filter(|ty| event.namespaces.is_empty() || !ours(ty))
                .cloned(),
        );
        let verb = match event.types.iter().any(|ty| ty.starts_with("NS_DEL")) {
            true => "deleted",
            false => "created",
        };
        what.extend(event.namespaces.iter().map(|ns| format!("{verb} {ns}")));
        what.extend(event.paths.iter().map(|path| match &event.cwd {
            Some(cwd) if !path.starts_with('/') => format!("{}/{path}", cwd.trim_end_matches('/')),
            _ => path.clone(),
        }));
        what.extend(event.key.as_ref().map(|key| format!("key={key}")));
        [
            plain(options.clock.full(event.id.seconds)),
            plain(event.who.as_ref().map_or("?".to_owned(), |who| who.show())),
            result,
            plain(what.join(" ")),
        ]
    }
}

/// Writes `event` as one object.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn json_event(event: &Event, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let object = json!({
        "kind": "event",
        "time": options.clock.iso(event.id.seconds, event.id.millis),
        "id": event.id.to_string(),
        "node": event.node,
        "types": event.types,
        "by": event.who.as_ref().map(|who| who.json()),
        "syscall": event.syscall,
        "arch": event.arch,
        "argv": event.argv,
        "cwd": event.cwd,
        "success": event.success,
        "key": event.key,
        "paths": event.paths,
        "namespaces": event.namespaces,
    });
    json_line(out, &object)
}
