// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `export`: the records of ours as typed rows, an object a line, for an engine that keeps the logs of many hosts.
//!
//! - `row`: a row as it is written.
//! - `fields`: which column a field is.
//! - `events`: the place of a record in its event, which distinguishes it from others.
//!
//! A record of the kernel waits for the system call and the container of its event; as many wait as come in two
//! seconds of the log, and no more than [`MOST`].

mod events;
mod fields;
mod row;

use crate::input::{Log, Prefetch, Problem, Step, Wanted};
use crate::record::event::{self, Serials};
use crate::record::host::PerHost;
use crate::record::pending::Event;
use crate::record::users::Users;
use crate::record::value::Fields;
use crate::record::{Head, Parsed, Type};
use crate::report::Unread;
use crate::report::dm::lifetimes::Lifetimes;
use crate::when::Window;
use dmns_audit_log::rules::{self, Grouping};
use dmns_audit_uapi::types::RecordType;
use events::Events;
use hashbrown::HashMap;
use row::Row;
use std::collections::VecDeque;
use std::io::{self, Write};

/// Maximum number of waiting rows.
const MOST: usize = 4096;

/// Options of `export`.
#[derive(Debug, Default)]
pub struct ExportOptions {
    /// The host of records that do not name theirs.
    pub host: String,
    /// Names of users, where the log has none.
    pub users: Users,
    /// The log grows while it is read: no row waits for others to be written with.
    pub live: bool,
}

/// Numbers of written rows and of problems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Logs that could not be read to their end.
    pub problems: u64,
    /// Lines that are no records.
    pub unread: Unread,
}

/// Writes the rows of `log`. What cannot be read is reported to `problem`.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn export(
    log: &mut Log,
    options: &ExportOptions,
    out: &mut dyn Write,
    mut problem: impl FnMut(Problem),
) -> io::Result<Totals> {
    let ours = [
        "DM_C", "DM_E", "NS_I", "NS_D", "VIRT", "SYST", "KERN", "URIN", "OPEN",
    ];
    let few = Wanted::types(&ours);
    let more = Wanted::types(&[&ours[..], &["SYSC", "PROC", "EOE "]].concat());
    log.search_ahead(Prefetch {
        ever: more.clone(),
        likely: few.clone(),
        fields: true,
        soon: None,
    });
    let mut export = Export {
        options,
        out,
        totals: Totals::default(),
        serials: Serials::default(),
        boots: PerHost::default(),
        events: PerHost::default(),
        mappings: Lifetimes::mappings(Window::default()),
        waiting: VecDeque::new(),
        done: 0,
        open: HashMap::new(),
    };
    loop {
        let wanted = match export.open.is_empty() {
            true => &few,
            false => &more,
        };
        match log.next_step(wanted) {
            Some(Step::Line(_, _, Parsed::Record(head))) => export.record(&head)?,
            Some(Step::Line(place, _, Parsed::Broken(_))) => export.totals.unread.add(place),
            Some(Step::Line(..)) => {}
            Some(Step::Problem(found)) => {
                export.totals.problems += 1;
                problem(found);
            }
            None => break,
        }
    }
    export.write(0)?;
    Ok(export.totals)
}

/// An event of which more may come.
#[derive(Debug, Default)]
struct Open {
    /// Its rows that wait, by number.
    rows: Vec<u64>,
    /// The namespaces that its NS_INFO names.
    container: Vec<(&'static str, i64)>,
}

struct Export<'a> {
    options: &'a ExportOptions,
    out: &'a mut dyn Write,
    totals: Totals,
    serials: Serials,
    /// Boot time of each host, if known.
    boots: PerHost<Option<(u64, u16)>>,
    events: PerHost<Events>,
    /// Finds the mapping of a violation.
    mappings: Lifetimes,
    /// Rows that are not written, oldest first.
    waiting: VecDeque<(Event, Row)>,
    /// Number of written rows, which is the number of the first that waits.
    done: u64,
    open: HashMap<Event, Open>,
}

impl Export<'_> {
    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        let event = (head.host, head.stamp);
        let now = head.stamp.seconds;
        while let Some(&((_, then), _)) = self.waiting.front() {
            if !event::is_over(then.seconds, now) {
                break;
            }
            self.write(self.waiting.len() - 1)?;
        }
        match head.ty {
            Type::Syscall => {
                if let Some(open) = self.open.get(&event) {
                    let call = Fields::of(head);
                    for number in &open.rows {
                        let row = &mut self.waiting[(number - self.done) as usize].1;
                        row.syscall(head, &call, &self.options.users);
                    }
                }
                Ok(())
            }
            Type::Ours(_) | Type::Virt(_) | Type::SystemBoot | Type::SystemShutdown => {
                self.row(head, event)
            }
            // The last record of an event.
            Type::Eoe | Type::Proctitle => self.over(&event),
            Type::KernelBoot => {
                self.boots(head);
                self.mappings.record(head, &self.options.users);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns the boot time of the host of `head`, if known.
    fn boots(&mut self, head: &Head<'_>) -> Option<(u64, u16)> {
        let boot = self.boots.of(head.host);
        // A node that was not heard of before has an unknown boot.
        if self.serials.began_anew(head) {
            *boot = Some((head.stamp.seconds, head.stamp.millis));
        }
        *boot
    }

    fn row(&mut self, head: &Head<'_>, event: Event) -> io::Result<()> {
        let boot = self.boots(head);
        let place = self.events.of(head.host).place(head);
        let record = Fields::of(head);
        let mut row = Row::of(head, &record, self.options, boot, place);
        if let Some(mapping) = self.mappings.record(head, &self.options.users) {
            row.mapping(&mapping);
        }
        if head.ty == Type::Ours(RecordType::NsInfo) {
            let container = fields::container(&record);
            let open = self.open.entry(event).or_default();
            for number in &open.rows {
                let row = &mut self.waiting[(number - self.done) as usize].1;
                row.container(&container);
            }
            row.container(&container);
            open.container = container;
        } else if let Some(open) = self.open.get(&event) {
            row.container(&open.container);
        }
        let waits = match head.ty {
            Type::Ours(RecordType::NsInfo) => true,
            Type::Ours(ty) => rules::grouping(ty, record.raw("op")) == Grouping::Syscall,
            _ => false,
        };
        if self.waiting.is_empty() && !waits {
            return self.put(row);
        }
        if waits || self.open.contains_key(&event) {
            let open = self.open.entry(event).or_default();
            open.rows.push(self.done + self.waiting.len() as u64);
        }
        self.waiting.push_back((event, row));
        match self.waiting.len() > MOST {
            true => self.write(MOST),
            false => Ok(()),
        }
    }

    /// No more records of `event` come: its rows are whole, and written if none before them waits.
    fn over(&mut self, event: &Event) -> io::Result<()> {
        if self.open.remove(event).is_none() {
            return Ok(());
        }
        while let Some((front, _)) = self.waiting.front() {
            if self.open.contains_key(front) {
                break;
            }
            self.write(self.waiting.len() - 1)?;
        }
        Ok(())
    }

    /// Writes the oldest rows until only `rest` wait.
    fn write(&mut self, rest: usize) -> io::Result<()> {
        while self.waiting.len() > rest {
            let Some((event, row)) = self.waiting.pop_front() else {
                break;
            };
            if let Some(open) = self.open.get_mut(&event) {
                open.rows.retain(|&number| number > self.done);
                if open.rows.is_empty() {
                    self.open.remove(&event);
                }
            }
            self.done += 1;
            self.put(row)?;
        }
        Ok(())
    }

    fn put(&mut self, row: Row) -> io::Result<()> {
        self.totals.rows += 1;
        self.out.write_all(&row.end())?;
        match self.options.live {
            true => self.out.flush(),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
