// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Who and when: what the rows of all reports have in common.

use super::Options;
use crate::record::users::UNSET;
use crate::record::value::decoded;
use crate::record::{Head, users::Users};
use crate::table::Line;
use crate::terminal::{FAINT, PLAIN};
use dmns_audit_uapi::line::{Fields, Stamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

/// How many identifiers a row keeps as proof.
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

/// The events that a row was made from: the first ones, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    ids: Vec<Id>,
    more: u64,
}

impl Proof {
    /// Adds an event.
    pub fn add(&mut self, id: Id) {
        if self.ids.last() == Some(&id) {
        } else if self.ids.len() < PROOF {
            self.ids.push(id);
        } else {
            self.more += 1;
        }
    }

    /// Adds the events of another row.
    pub fn extend(&mut self, other: &Self) {
        other.ids.iter().for_each(|&id| self.add(id));
        self.more += other.more;
    }

    /// Writes `    Proof: 1327345338.087:41631, 1327346831.548:41702`, if that was asked for.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to.
    pub fn text(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        if !options.proof {
            return Ok(());
        }
        let ids: Vec<_> = self.ids.iter().map(Id::to_string).collect();
        let mut text = format!("    Proof: {}", ids.join(", "));
        if self.more > 0 {
            text.push_str(&format!(" and {} more", self.more));
        }
        writeln!(out, "{}", options.terminal.paint(FAINT, &text))
    }

    /// For JSON: an array of identifiers.
    pub fn json(&self) -> Value {
        self.ids.iter().map(|id| json!(id.to_string())).collect()
    }

    /// How many events are not in the array.
    pub fn more(&self) -> u64 {
        self.more
    }
}

/// A task, as a record tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The user who logged in, else the one the task runs as.
    pub user: Rc<str>,
    /// User id.
    pub uid: Option<u32>,
    /// Login user id; `None` if unset.
    pub auid: Option<u32>,
    /// Session; `None` if unset.
    pub session: Option<u32>,
    /// Process id.
    pub pid: Option<i32>,
    /// Name of the task; empty if not known.
    pub comm: Rc<str>,
    /// Program; empty if not known.
    pub exe: Rc<str>,
}

impl Who {
    /// Takes it from `fields` of the record `head`.
    pub fn of(head: &Head<'_>, fields: Fields<'_>, users: &Users) -> Self {
        let mut who = Self::default();
        let (mut uid, mut auid) = ("", "");
        let name = |value| users.names.get(&decoded(value));
        for field in fields {
            match field.name {
                "uid" => uid = field.value,
                "auid" => auid = field.value,
                "ses" => who.session = field.value.parse().ok().filter(|&id| id != UNSET),
                "pid" => who.pid = field.value.parse().ok(),
                "comm" => who.comm = name(field.value),
                "exe" if field.value != "(null)" => who.exe = name(field.value),
                _ => {}
            }
        }
        who.uid = uid.parse().ok();
        who.auid = auid.parse().ok().filter(|&id| id != UNSET);
        let (name, value) = match who.auid {
            Some(_) => ("auid", auid),
            None => ("uid", uid),
        };
        who.user = users
            .names
            .get(&users.of_field(head.enrichment, name, value));
        who
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
