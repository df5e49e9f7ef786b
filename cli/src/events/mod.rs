// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit events`: every event of a log that matches, in all containers and guests.
//!
//! - [`filter`]: selects events.
//! - `show`: an event as text, JSON and comma-separated values.

pub mod filter;
mod show;

use crate::input::{Log, Problem, Step, Wanted};
use crate::record::{Parsed, Type};
use crate::report::ns::event::Event as Detail;
use crate::report::{Options, Unread};
use crate::watch::containers::{ContainerContext, Containers};
use crate::watch::events::{Event, Grouped};
use filter::{EventFilter, Passes, Seen};
use show::Shown;
use std::collections::VecDeque;
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

/// Maximum number of events that wait for the name of a guest.
const HELD: usize = 4096;

/// An event, with what is known about it.
struct Classified {
    event: Event,
    detail: Detail,
    context: ContainerContext,
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

/// The state of [`events`].
struct Run<'a> {
    options: &'a Options,
    filter: &'a mut EventFilter,
    format: Format,
    out: &'a mut dyn Write,
    totals: Totals,
    containers: Containers,
    seen: Seen,
    /// Events of guests that no record has named yet, in order.
    held: VecDeque<Classified>,
}

impl Run<'_> {
    /// Prints `event`, if it passes. What is outside the period still says which namespaces are a container's.
    fn event(&mut self, mut event: Event) -> io::Result<()> {
        let context = self.containers.classify(&event);
        let node = event
            .node()
            .map(|node| String::from_utf8_lossy(node).into_owned());
        let mut detail = Detail::new(event.id, node);
        event
            .records()
            .for_each(|head| detail.add(&head, self.options));
        let passes = self
            .filter
            .passes(&event, &detail, &context, &mut self.seen);
        for (device, name) in self.filter.common.named() {
            event.add_name(device, name);
        }
        if event.records().any(|head| matches!(head.ty, Type::Virt(_))) {
            self.named()?;
        }
        if !self.options.window.has(event.id.seconds) {
            return Ok(());
        }
        self.totals.events += 1;
        let found = Classified {
            event,
            detail,
            context,
        };
        match passes {
            Passes::Yes => self.print(&found),
            Passes::IfGuest => {
                self.held.push_back(found);
                self.decide(HELD)
            }
            Passes::No => Ok(()),
        }
    }

    /// Prints the events of guests that have a name by now, if they pass.
    fn named(&mut self) -> io::Result<()> {
        for mut found in std::mem::take(&mut self.held) {
            let Some(guest) = &mut found.context.guest else {
                continue;
            };
            self.containers.learn(found.event.node(), guest);
            match self.filter.passes_of(guest) {
                Passes::Yes => self.print(&found)?,
                Passes::IfGuest => self.held.push_back(found),
                Passes::No => {}
            }
        }
        Ok(())
    }

    /// Prints all but the last `keep` of the events that wait, if the name of their control group passes.
    fn decide(&mut self, keep: usize) -> io::Result<()> {
        while self.held.len() > keep {
            let Some(found) = self.held.pop_front() else {
                break;
            };
            let guest = found.context.guest.as_ref();
            if guest.is_some_and(|guest| self.filter.may_be(guest)) {
                self.print(&found)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, found: &Classified) -> io::Result<()> {
        self.totals.printed += 1;
        let shown = Shown {
            event: &found.event,
            detail: &found.detail,
            context: &found.context,
        };
        match self.format {
            Format::Text => shown.text(self.options, self.out),
            Format::Json => shown.json(self.options, self.out),
            Format::Csv => shown.csv(self.options, self.out),
        }
    }
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
    let mut run = Run {
        options,
        filter,
        format,
        out,
        totals: Totals::default(),
        containers: Containers::default(),
        seen: Seen::default(),
        held: VecDeque::new(),
    };
    let mut grouped = Grouped::default();
    let (all, now) = (Wanted::all(), Instant::now());
    if format == Format::Csv {
        Shown::csv_head(run.out)?;
    }
    loop {
        let whole = match log.next_step(&all) {
            Some(Step::Line(_, raw, Parsed::Record(head))) => grouped.record(&head, raw.text, now),
            Some(Step::Line(place, _, Parsed::Broken(_))) => {
                run.totals.unread.add(place);
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
            run.event(event)?;
        }
    }
    for event in grouped.all() {
        run.event(event)?;
    }
    run.decide(0)?;
    let Run {
        mut totals,
        seen,
        filter,
        ..
    } = run;
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
