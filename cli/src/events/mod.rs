// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit events`: every event of a log that matches, in all containers and guests.
//!
//! - [`filter`]: selects events.
//! - `show`: an event as text, JSON and comma-separated values.

pub mod filter;
mod show;

use crate::input::{Log, Problem, Step, Wanted};
use crate::record::Parsed;
use crate::report::ns::event::Event as Detail;
use crate::report::{Options, Unread};
use crate::watch::containers::Containers;
use crate::watch::events::{Event, Grouped};
use filter::{EventFilter, Seen};
use show::Shown;
use std::io::{self, Write};
use std::time::Instant;

/// An output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A sentence.
    #[default]
    Text,
    /// One object a line.
    Json,
    /// Comma-separated values.
    Csv,
}

/// The result of [`events`].
#[derive(Debug, Default)]
pub struct Totals {
    /// The number of events in the period, and of those that were printed.
    pub events: u64,
    /// The number that was printed.
    pub printed: u64,
    /// Lines that could not be read.
    pub unread: Unread,
    /// A sentence, if nothing was printed.
    pub none: Option<String>,
}

/// Prints the events of `log` that pass `filter`. Calls `problem` for a log that cannot be read to its end.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn events(
    log: &mut Log,
    options: &Options,
    filter: &mut EventFilter,
    format: Format,
    out: &mut dyn Write,
    mut problem: impl FnMut(Problem),
) -> io::Result<Totals> {
    let mut totals = Totals::default();
    let mut grouped = Grouped::default();
    let mut containers = Containers::default();
    let mut seen = Seen::default();
    let (all, now) = (Wanted::all(), Instant::now());
    if format == Format::Csv {
        Shown::csv_head(out)?;
    }
    let mut each = |event: &Event, totals: &mut Totals| -> io::Result<()> {
        // What is outside the period still says which namespaces are a container's.
        let context = containers.classify(event);
        let node = event
            .node()
            .map(|node| String::from_utf8_lossy(node).into_owned());
        let mut detail = Detail::new(event.id, node);
        event.records().for_each(|head| detail.add(&head, options));
        let passes = filter.passes(event, &detail, &context, &mut seen);
        if !options.window.has(event.id.seconds) {
            return Ok(());
        }
        totals.events += 1;
        if !passes {
            return Ok(());
        }
        totals.printed += 1;
        let shown = Shown {
            event,
            detail: &detail,
            context: &context,
        };
        match format {
            Format::Text => shown.text(options, out),
            Format::Json => shown.json(options, out),
            Format::Csv => shown.csv(options, out),
        }
    };
    loop {
        let whole = match log.next_step(&all) {
            Some(Step::Line(_, raw, Parsed::Record(head))) => grouped.record(&head, raw.text, now),
            Some(Step::Line(place, _, Parsed::Broken(_))) => {
                totals.unread.add(place);
                continue;
            }
            Some(Step::Line(..)) => continue,
            Some(Step::Problem(found)) => {
                problem(found);
                continue;
            }
            None => break,
        };
        for event in whole {
            each(&event, &mut totals)?;
        }
    }
    for event in grouped.all() {
        each(&event, &mut totals)?;
    }
    if totals.printed == 0 && log.has_records() {
        let (words, names) = filter.words(&seen);
        let window = options.window;
        let period = match window.start.is_some() || window.end.is_some() {
            true => " in this period",
            false => "",
        };
        totals.none = Some(match totals.events {
            0 => format!("no event{period}"),
            1 => format!("no event{words} among the one{period}{names}"),
            n => format!("no event{words} among the {n}{period}{names}"),
        });
    }
    Ok(totals)
}
