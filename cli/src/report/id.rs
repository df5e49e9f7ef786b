// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Tasks and times: common parts of the rows of all reports.

use super::Options;
use crate::record::Head;
use crate::record::users::{Subject, UNSET, Users};
use crate::record::value::decoded;
use crate::table::Line;
use crate::terminal::{FAINT, PLAIN};
use dmns_audit_log::line::{Field, Stamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, Write};
use std::ops::Deref;
use std::rc::Rc;

/// Maximum number of identifiers that a row keeps as proof.
const PROOF: usize = 16;

/// The complete identifier of an event: `1327345338.087:41631`, which `ausearch` finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    /// Seconds since 1970.
    pub seconds: u64,
    /// Thousandths of a second.
    pub millis: u16,
    /// The serial number.
    pub serial: u64,
}

impl From<Stamp> for Id {
    fn from(stamp: Stamp) -> Self {
        Self {
            seconds: stamp.seconds,
            millis: stamp.millis,
            serial: stamp.serial,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}:{}", self.seconds, self.millis, self.serial)
    }
}

impl Id {
    /// For JSON: `{"time": "2026-...", "id": "1327345338.087:41631"}`.
    pub fn json(&self, options: &Options) -> Value {
        json!({
            "time": options.clock.iso(self.seconds, self.millis),
            "id": self.to_string(),
        })
    }
}

/// The events behind a row: the first ones, and the number of others. Empty without `--proof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof(Option<Box<Ids>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ids {
    first: Vec<Id>,
    more: u64,
}

impl Default for Proof {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Proof {
    /// No events yet. Not `kept`: nor any later.
    pub fn new(kept: bool) -> Self {
        Self(kept.then(Box::default))
    }

    /// Another one, kept if this one is.
    pub fn another(&self) -> Self {
        Self::new(self.0.is_some())
    }

    /// Adds an event.
    pub fn add(&mut self, id: Id) {
        let Some(ids) = &mut self.0 else {
            return;
        };
        if ids.first.last() == Some(&id) {
        } else if ids.first.len() < PROOF {
            ids.first.push(id);
        } else {
            ids.more += 1;
        }
    }

    /// Adds the events of another row.
    pub fn extend(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            other.first.iter().for_each(|&id| self.add(id));
            if let Some(ids) = &mut self.0 {
                ids.more += other.more;
            }
        }
    }

    fn first(&self) -> impl Iterator<Item = &Id> {
        self.0.iter().flat_map(|ids| &ids.first)
    }

    /// Writes `    Proof: 1327345338.087:41631, 1327346831.548:41702`, if that was asked for.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn text(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        if !options.proof {
            return Ok(());
        }
        let ids: Vec<_> = self.first().map(Id::to_string).collect();
        let mut text = format!("    Proof: {}", ids.join(", "));
        if self.more() > 0 {
            text.push_str(&format!(" and {} more", self.more()));
        }
        writeln!(out, "{}", options.terminal.paint(FAINT, &text))
    }

    /// For JSON: an array of identifiers.
    pub fn json(&self) -> Value {
        self.first().map(|id| json!(id.to_string())).collect()
    }

    /// Returns the number of events that are not in the array.
    pub fn more(&self) -> u64 {
        self.0.as_ref().map_or(0, |ids| ids.more)
    }
}

/// A task, as a record describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Process id.
    pub pid: Option<i32>,
    /// The part that many tasks share, kept once.
    subject: Rc<Subject>,
}

impl Deref for Who {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.subject
    }
}

impl Who {
    /// Takes it from `fields` of the record `head`.
    pub fn of<'f>(head: &Head<'_>, fields: impl Iterator<Item = Field<'f>>, users: &Users) -> Self {
        let mut subject = Subject::default();
        let mut pid = None;
        let (mut uid, mut auid) = ("", "");
        let name = |value| users.names.get(&decoded(value));
        for field in fields {
            match field.name {
                "uid" => uid = field.value,
                "auid" => auid = field.value,
                "ses" => subject.session = field.value.parse().ok().filter(|&id| id != UNSET),
                "pid" => pid = field.value.parse().ok(),
                "comm" => subject.comm = name(field.value),
                "exe" if field.value != "(null)" => subject.exe = name(field.value),
                _ => {}
            }
        }
        subject.uid = uid.parse().ok();
        subject.auid = auid.parse().ok().filter(|&id| id != UNSET);
        let (name, value) = match subject.auid {
            Some(_) => ("auid", auid),
            None => ("uid", uid),
        };
        let user = users.of_field(head.enrichment, name, value);
        subject.user = users.names.get(&user);
        Self {
            pid,
            subject: users.subjects.get(subject),
        }
    }

    /// Changes the program of the task.
    pub fn runs(&mut self, users: &Users, change: impl FnOnce(&mut Subject)) {
        let mut subject = Subject::clone(&self.subject);
        change(&mut subject);
        self.subject = users.subjects.get(subject);
    }

    /// Returns whether it is the user `name`: a name, or a user id.
    pub fn is_user(&self, name: &str) -> bool {
        let is_id = |id: Option<u32>| id.is_some_and(|id| id.to_string() == name);
        *self.user == *name || is_id(self.auid.or(self.uid))
    }

    /// Returns whether it runs the program `name`: a name, or a path.
    pub fn is_program(&self, name: &str) -> bool {
        *self.comm == *name || *self.exe == *name || self.exe.rsplit('/').next() == Some(name)
    }

    /// `jo (integritysetup)`
    pub fn show(&self) -> String {
        match &*self.comm {
            "" => self.user.to_string(),
            comm => format!("{} ({comm})", self.user),
        }
    }

    /// The same, as the next cell of `line`.
    pub fn cell<'l, 'a>(&self, line: &'l mut Line<'a>) -> &'l mut Line<'a> {
        line.cell(PLAIN, &self.user);
        match &*self.comm {
            "" => line,
            comm => line.add(" (").add(comm).add(")"),
        }
    }

    /// For JSON.
    pub fn json(&self) -> Value {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        json!({
            "user": self.user,
            "uid": self.uid,
            "auid": self.auid,
            "session": self.session,
            "pid": self.pid,
            "comm": text(&self.comm),
            "exe": text(&self.exe),
        })
    }
}
