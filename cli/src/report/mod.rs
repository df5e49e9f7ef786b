// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a log tells of mappings, of namespaces and of guests: their lives.
//!
//! - [`dm`]: mappings, and the violations found in them.
//! - [`ns`]: namespaces, and what happened inside them.
//! - [`virt`]: guests: sessions, resources, refusals.
//! - [`columns`]: rows as objects or text.
//! - [`spool`]: rows, until they can be told in order.

pub mod columns;
pub mod dm;
pub mod id;
pub mod ns;
pub mod spool;
pub mod virt;

use crate::input::{Log, Place, Prefetch, Problem, Step, Wanted};
use crate::record::head::{Head, Parsed};
use crate::record::users::Users;
use crate::terminal::Terminal;
use crate::when::{Clock, Window};
use std::io::{self, Write};
use std::path::PathBuf;

pub use id::{Id, Who};

/// How a report is asked for.
#[derive(Debug)]
pub struct Options {
    /// From when to when.
    pub window: Window,
    /// Not only lives, but what happened in them.
    pub all_events: bool,
    /// The identifiers of the records that each row was made from.
    pub proof: bool,
    /// One JSON object a line, not text.
    pub json: bool,
    /// Where text goes.
    pub terminal: Terminal,
    /// How times are written.
    pub clock: Clock,
    /// Names of users.
    pub users: Users,
    /// The root of the machine that the log is of, where it is this one: it knows what is called how now.
    pub machine: Option<PathBuf>,
}

impl Default for Options {
    /// Text for a file, in UTC.
    fn default() -> Self {
        Self {
            window: Window::default(),
            all_events: false,
            proof: false,
            json: false,
            terminal: Terminal::FILE,
            clock: Clock::utc(),
            users: Users::default(),
            machine: None,
        }
    }
}

/// Reads records and makes rows of them.
pub trait Collector {
    /// Which records it wants now. That may change: an event of which a part came wants its rest.
    fn wanted(&self) -> &Wanted;

    /// Which records it may ever want.
    fn ever(&self) -> &Wanted {
        self.wanted()
    }

    /// Which records it may want too, within a few lines after which others.
    fn soon(&self) -> Option<(&Wanted, &Wanted)> {
        None
    }

    /// Whether it does so much with each that the threads that search ahead shall find its fields too: what one
    /// processor writes, another reads slowly.
    fn takes_long(&self) -> bool {
        false
    }

    /// A record.
    ///
    /// # Errors
    ///
    /// Where rows cannot be kept.
    fn record(&mut self, head: &Head<'_>) -> io::Result<()>;
}

/// What stands in a log and could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many lines are neither a record nor anything that stands beside records.
    pub lines: u64,
    /// The first of them.
    pub first: Option<Place>,
}

impl Unread {
    pub(crate) fn add(&mut self, place: Place) {
        self.lines += 1;
        self.first.get_or_insert(place);
    }
}

/// Shows `collector` all of `log`. A log that cannot be read, or not to its end, is told to `problem`. Tells which
/// lines were no records, as far as they were looked at: one of a type that is not wanted is not.
///
/// # Errors
///
/// What `collector` returns.
pub fn collect(
    log: &mut Log,
    collector: &mut dyn Collector,
    mut problem: impl FnMut(Problem),
) -> io::Result<Unread> {
    let mut unread = Unread::default();
    log.search_ahead(Prefetch {
        ever: collector.ever().clone(),
        likely: collector.wanted().clone(),
        fields: collector.takes_long(),
        soon: collector
            .soon()
            .map(|(soon, after)| (soon.clone(), after.clone())),
    });
    loop {
        match log.next_step(collector.wanted()) {
            Some(Step::Line(_, _, Parsed::Record(head))) => collector.record(&head)?,
            Some(Step::Line(place, _, Parsed::Broken(_))) => unread.add(place),
            Some(Step::Line(..)) => {}
            Some(Step::Problem(found)) => problem(found),
            None => return Ok(unread),
        }
    }
}

/// Writes `object` as one line.
fn json_line(out: &mut dyn Write, object: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    writeln!(out)
}
