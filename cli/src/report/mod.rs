// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lifetimes of mappings, of namespaces and of guests, as a log has them.
//!
//! - [`dm`]: mappings, and the violations found in them.
//! - [`ns`]: namespaces, and the events inside them.
//! - [`virt`]: guests: sessions, resources, refusals.
//! - [`candidates`]: names for a filter that matches none.
//! - [`columns`]: rows as objects or text.
//! - [`spool`]: rows, until they can be printed in order.

pub mod candidates;
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

/// Options of all reports.
#[derive(Debug)]
pub struct Options {
    /// From when to when.
    pub window: Window,
    /// List events too.
    pub all_events: bool,
    /// The identifiers of the records that each row was made from.
    pub proof: bool,
    /// One JSON object a line, not text.
    pub json: bool,
    /// The terminal that text is printed to.
    pub terminal: Terminal,
    /// The format of times.
    pub clock: Clock,
    /// Names of users.
    pub users: Users,
    /// The root of the machine of the log, if it is this one: it knows the present names.
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
    /// Returns the records that it wants now. An incomplete event adds types.
    fn wanted(&self) -> &Wanted;

    /// Returns the records that it may ever want.
    fn ever(&self) -> &Wanted {
        self.wanted()
    }

    /// Returns records that it may also want, within a few lines after the second ones.
    fn soon(&self) -> Option<(&Wanted, &Wanted)> {
        None
    }

    /// Returns whether the reader threads should also split fields. Worth it only for expensive collectors.
    fn takes_long(&self) -> bool {
        false
    }

    /// Takes a record.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be kept.
    fn record(&mut self, head: &Head<'_>) -> io::Result<()>;
}

/// Lines of a log that could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Number of lines that are neither a record nor another line of a log.
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

/// Passes all records of `log` to `collector`. Calls `problem` for a log that cannot be read to its end. Returns the
/// lines that were no records, except those of types that are not wanted.
///
/// # Errors
///
/// Returns the errors of `collector`.
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
