// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Containers in text and JSON, and numbers of all.

use super::containers::Container;
use crate::report::columns::Columns;
use crate::report::{Options, json_line};
use crate::table::{Line, Table};
use crate::terminal::{ACTIVE, BAD, FAINT, NAME, PLAIN};
use crate::when::Times;
use dmns_audit_uapi::ns::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The columns.
pub fn columns() -> Columns {
    let titles = &[
        "container",
        "created by",
        "from",
        "to",
        "own namespaces",
        "events",
        "violations",
    ];
    Columns::new(Table::new(titles, &["events", "violations"]).or("no containers"))
}

/// Renders containers as text.
#[derive(Debug, Default)]
pub struct Text {
    times: Times,
}

impl Text {
    /// Renders `container`, and below it the requested details.
    ///
    /// # Errors
    ///
    /// Does not fail: the text is rendered in memory.
    pub fn row(
        &mut self,
        container: &Container,
        options: &Options,
        line: &mut Line<'_>,
    ) -> io::Result<()> {
        let clock = &options.clock;
        line.cell(NAME, "");
        if let Some(node) = &container.node {
            line.add(node).add(" ");
        }
        line.add(&name(container));
        match &container.maker {
            Some(who) => who.cell(line),
            None => line.cell(PLAIN, "?"),
        };
        match container.start {
            Some(start) => line.cell(PLAIN, self.times.full(clock, start.seconds)),
            None => line.cell(PLAIN, "(before log start)"),
        };
        match container.end {
            Some(end) => {
                line.cell(PLAIN, self.times.full(clock, end.seconds));
                match container.status {
                    _ if container.down => line.add(" (host down)"),
                    Some(status) if status != 0 => line.show(format_args!(" (status {status})")),
                    _ => line,
                }
            }
            None => line.cell(ACTIVE, "active"),
        };
        line.cell(PLAIN, "");
        for (at, (kind, ..)) in container.namespaces.iter().enumerate() {
            line.add(if at > 0 { " " } else { "" }).add(kind);
        }
        for (number, style) in [(container.events, PLAIN), (container.violations, BAD)] {
            match number {
                0 => line.cell(FAINT, "0"),
                n => line.cell(style, "").show(n),
            };
        }
        let out = line.below();
        if options.all_events {
            let details = [
                ("id", &container.uuid),
                ("runtime", &container.runtime),
                ("image", &container.image),
                ("pod", &container.pod),
            ];
            for (what, value) in details {
                if let Some(value) = value {
                    writeln!(out, "    {what} {value}")?;
                }
            }
            for (kind, number, id) in &container.namespaces {
                let id = id.map_or(String::new(), |id| format!(" (ns_id {id})"));
                writeln!(out, "    {kind}ns={number}{id}")?;
            }
        }
        container.proof.text(options, out)
    }
}

/// Its name; without one, its id, or a namespace of its own.
fn name(container: &Container) -> String {
    let short = |uuid: &String| uuid.chars().take(12).collect();
    let namespace = || {
        let own = container.namespaces.iter();
        let best = own.clone().find(|(kind, ..)| kind == Kind::Pid.name());
        best.or_else(|| own.clone().next())
            .map(|(kind, number, id)| match id {
                Some(id) => format!("{kind}ns={number} (ns_id {id})"),
                None => format!("{kind}ns={number}"),
            })
    };
    let own = container.name.clone();
    let own = own.or_else(|| container.uuid.as_ref().map(short));
    own.or_else(namespace).unwrap_or_else(|| "?".to_owned())
}

/// Writes `container` as one object.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn json(container: &Container, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    json_line(out, &object(container, options))
}

/// Returns `container` as an object. docs/reference/report.md has its fields.
pub fn object(container: &Container, options: &Options) -> Value {
    let state = match container.end {
        Some(_) if container.down => "host-down",
        Some(_) => "ended",
        None => "active",
    };
    let namespaces: Vec<Value> = container
        .namespaces
        .iter()
        .map(|(kind, number, id)| json!({ "type": kind, "number": number, "ns_id": id }))
        .collect();
    json!({
        "kind": "container",
        "name": container.name,
        "uuid": container.uuid,
        "runtime": container.runtime,
        "image": container.image,
        "pod": container.pod,
        "node": container.node,
        "recorded": container.recorded,
        "by": container.maker.as_ref().map(|who| who.json()),
        "start": container.start.map(|id| id.json(options)),
        "end": container.end.map(|id| id.json(options)),
        "state": state,
        "status": container.status,
        "namespaces": namespaces,
        "events": container.events,
        "violations": container.violations,
        "proof": options.proof.then(|| container.proof.json()),
    })
}

/// Numbers of all.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    containers: u64,
    recorded: u64,
    active: u64,
    events: u64,
    violations: u64,
    /// By program: containers.
    programs: BTreeMap<String, u64>,
    /// Namespaces by kind: created, active, and created in no container.
    kinds: BTreeMap<&'static str, [u64; 3]>,
}

impl Summary {
    /// Counts `container`.
    pub fn container(&mut self, container: &Container) {
        self.containers += 1;
        self.recorded += u64::from(container.recorded);
        self.active += u64::from(container.end.is_none());
        self.events += container.events;
        self.violations += container.violations;
        let program = container.maker.as_ref().map_or("?", |who| &*who.comm);
        // A log may have as many names as it likes.
        let program = match program {
            "" => "?",
            known if self.programs.contains_key(known) || self.programs.len() < 64 => known,
            _ => "others",
        };
        *self.programs.entry(program.to_owned()).or_default() += 1;
    }

    /// Counts `namespace`.
    pub fn namespace(&mut self, namespace: &super::namespace::Namespace) {
        if namespace.initial {
            return;
        }
        let [created, active, alone] = self.kinds.entry(namespace.kind().name()).or_default();
        *created += 1;
        *active += u64::from(namespace.end.is_none());
        *alone += u64::from(namespace.container.is_none());
    }

    /// Returns the number of namespaces in no container.
    pub fn alone(&self) -> u64 {
        self.kinds.values().map(|[.., alone]| alone).sum()
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for (what, number) in [
            ("containers:", self.containers),
            ("containers recorded by runtimes:", self.recorded),
            ("active containers:", self.active),
            ("events inside containers:", self.events),
            ("violations met there:", self.violations),
        ] {
            writeln!(out, "Number of {what:<32} {number}")?;
        }
        for (program, number) in &self.programs {
            writeln!(out, "Containers created by {program:<20} {number}")?;
        }
        for (kind, [created, active, alone]) in &self.kinds {
            writeln!(
                out,
                "Namespaces, {kind:<6} {created} created, {active} active, {alone} in no container"
            )?;
        }
        Ok(())
    }

    /// Writes the numbers as one object.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let kinds: BTreeMap<_, _> = self
            .kinds
            .iter()
            .map(|(kind, [created, active, alone])| {
                (
                    kind,
                    json!({ "created": created, "active": active, "alone": alone }),
                )
            })
            .collect();
        let object = json!({
            "kind": "summary",
            "containers": self.containers,
            "recorded": self.recorded,
            "active": self.active,
            "events": self.events,
            "violations": self.violations,
            "programs": self.programs,
            "namespaces": kinds,
        });
        json_line(out, &object)
    }
}
