// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report virt`: sessions of guests, what they were given, and what was refused them; what auvirt told.
//!
//! - [`row`]: a row of the report.
//! - [`guests`]: makes rows of libvirt's records.
//! - [`blame`]: whose a refusal or an anomaly is.
//! - `labels`: which guest got a label last.
//! - [`disks`]: which disks of guests are mappings, and what was found in those.
//! - [`machine`]: what lies beneath disks on this machine.
//! - [`summary`]: numbers of all.
//! - [`show`]: text and JSON.

pub mod blame;
pub mod disks;
pub mod guests;
mod labels;
pub mod machine;
pub mod row;
pub mod show;
pub mod summary;

use super::columns::Rows;
use super::dm;
use super::dm::record::Record;
use super::{Collector, Options};
use crate::input::Wanted;
use crate::record::pending::Pending;
use crate::record::value::{Fields, text};
use crate::record::{Head, Type};
use blame::{Anomaly, Blame};
use dmns_audit_log::line::field;
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;
use guests::Guests;
use machine::Machine;
use row::Row;
use show::Text;
use std::io::{self, Write};
use std::path::Path;
use summary::Summary;

/// Which guest, and how.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Only the guest of this name.
    pub vm: Option<String>,
    /// Only the guest of this UUID.
    pub uuid: Option<String>,
    /// Show UUIDs.
    pub show_uuid: bool,
    /// Numbers only.
    pub summary: bool,
    /// Ask this machine what lies beneath disks, where the log does not tell.
    pub layers: bool,
}

/// A refusal or an anomaly that waits for the SYSCALL of its event, and its place among all rows.
#[derive(Debug)]
struct Waiting {
    order: u64,
    row: Row,
    lacks: Lacks,
}

/// What the SYSCALL of an event has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// The user.
    User,
    /// The process, and with it the guest.
    Guest,
}

/// Collects what befell guests.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    ask: &'a Ask,
    few: Wanted,
    /// The same and system calls, while a refusal waits for its own.
    more: Wanted,
    guests: Guests,
    blame: Blame,
    /// Refusals that wait for the user, whom their event's SYSCALL tells.
    waiting: Pending<Waiting>,
    mappings: dm::lives::Lives,
    rows: Rows<Row>,
    text: Text,
    summary: Summary,
    /// Records of guests that were not asked for: others', and those of other times.
    others: u64,
    outside: u64,
}

impl<'a> Report<'a> {
    /// A report as `options` and `ask` say.
    pub fn new(options: &'a Options, ask: &'a Ask) -> Self {
        let mut types = vec!["VIRT", "DM_C", "DM_E", "SYST", "KERN", "URIN", "OPEN"];
        if options.all_events || ask.summary {
            types.extend(["AVC ", "ANOM"]);
        }
        let few = Wanted::types(&types);
        if options.all_events || ask.summary {
            types.push("SYSC");
        }
        let text = Text::new(ask);
        Self {
            options,
            ask,
            few,
            more: Wanted::types(&types),
            guests: Guests::new(
                options.all_events || ask.summary,
                options.proof,
                ask.layers.then(|| Machine::at(Path::new("/"))),
            ),
            blame: Blame::default(),
            waiting: Pending::default(),
            mappings: dm::lives::Lives::mappings(options.window),
            rows: Rows::new(options, text.columns(options)),
            text,
            summary: Summary::default(),
            others: 0,
            outside: 0,
        }
    }

    /// What is said where there is no row.
    fn none(&self) -> Option<String> {
        let count = |number: u64, what: &str| match number {
            1 => format!("1 record {what}"),
            n => format!("{n} records {what}"),
        };
        let who = match (&self.ask.vm, &self.ask.uuid) {
            (Some(vm), None) => format!("called {vm}"),
            (None, Some(uuid)) => format!("with the UUID {uuid}"),
            (Some(vm), Some(uuid)) => format!("called {vm} with the UUID {uuid}"),
            (None, None) if self.outside > 0 => {
                let before = count(self.outside, "of guests");
                return Some(format!(
                    "no guests in this period ({before} before or after it)"
                ));
            }
            (None, None) => return None,
        };
        Some(match (self.others, self.outside) {
            (0, 0) => format!("no guest {who} is in the log"),
            (0, n) => format!(
                "no guest {who} is in the log in this period ({} before or after it)",
                count(n, "of guests")
            ),
            (n, _) => format!(
                "no guest {who} is in the log ({} of others)",
                count(n, "are").trim_end_matches(" are")
            ),
        })
    }

    /// Writes the report.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.close()?;
        if let Some(none) = self.none() {
            self.rows.set_none(none);
        }
        let options = self.options;
        match (self.ask.summary, options.json) {
            (true, true) => self.summary.json(options, out),
            (true, false) => self.summary.text(options, out),
            (false, _) => self.rows.end(options, out, show::json),
        }
    }

    /// Hands out the rows of a report that is asked for as objects.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read back.
    pub fn visit(mut self, each: impl FnMut(&Row)) -> io::Result<()> {
        self.close()?;
        self.rows.visit(each)
    }

    /// The log ends.
    fn close(&mut self) -> io::Result<()> {
        while let Some(waiting) = self.waiting.pop() {
            self.give_up(waiting)?;
        }
        let none = Guests::new(false, false, None);
        let guests = std::mem::replace(&mut self.guests, none);
        guests.end(|order, row| self.keep(order, row))
    }

    fn keep(&mut self, order: u64, row: Row) -> io::Result<()> {
        let options = self.options;
        self.summary.count(&row);
        if self.ask.summary || !(options.all_events || row.is_session()) {
            return Ok(());
        }
        let text = &mut self.text;
        self.rows
            .push(order, &row, |line| text.row(&row, options, line))
    }

    fn take(&mut self) -> io::Result<()> {
        let mut done = std::mem::take(&mut self.guests.done);
        for (order, row) in done.drain(..) {
            self.keep(order, row)?;
        }
        // Its room is used again.
        self.guests.done = done;
        Ok(())
    }

    /// Whether the guest that `record` is about was asked for.
    fn is_asked_for(&self, record: &Fields<'_>) -> bool {
        if self.ask.vm.is_none() && self.ask.uuid.is_none() {
            return true;
        }
        let is = |wanted: &Option<String>, found: Option<&str>| match (wanted, found) {
            (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(found),
            _ => true,
        };
        let vm = record.text("vm");
        let vm_is = match (&self.ask.vm, vm.as_deref()) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        vm_is && is(&self.ask.uuid, record.raw("uuid"))
    }

    fn refusal(&mut self, head: &Head<'_>, record: &Fields<'_>) -> io::Result<()> {
        let Some(mut row) = self.blame.refusal(head, record, &self.guests) else {
            return Ok(());
        };
        let order = self.guests.next_order();
        if let Some(uid) = record.raw("uid") {
            let auid = record.raw("auid");
            let user = self.options.users.of_task(head.enrichment, auid, uid);
            row.user = self.guests.names.get(&user);
            return self.keep(order, row);
        }
        self.wait(head, order, row, Lacks::User);
        Ok(())
    }

    fn anomaly(&mut self, head: &Head<'_>, record: &Fields<'_>) -> io::Result<()> {
        let users = &self.options.users;
        let found = self.blame.anomaly(head, record, &self.guests, users);
        let order = self.guests.next_order();
        match found {
            Anomaly::Of(row) => self.keep(order, row),
            Anomaly::Waits(row) => {
                self.wait(head, order, row, Lacks::Guest);
                Ok(())
            }
            Anomaly::OfNobody => Ok(()),
        }
    }

    fn wait(&mut self, head: &Head<'_>, order: u64, row: Row, lacks: Lacks) {
        let event = (head.host, head.stamp);
        self.waiting.push(event, Waiting { order, row, lacks });
    }

    /// No SYSCALL came for it: a refusal has no user, an anomaly is nobody's.
    fn give_up(&mut self, waiting: Waiting) -> io::Result<()> {
        match waiting.lacks {
            Lacks::User => self.keep(waiting.order, waiting.row),
            Lacks::Guest => Ok(()),
        }
    }

    /// The system call of an event in which something may have been refused.
    fn syscall(&mut self, head: &Head<'_>) -> io::Result<()> {
        let event = (head.host, head.stamp);
        for mut waiting in self.waiting.take(&event, |_| true) {
            // It has many fields, and one is asked for.
            let body = text(head.body);
            match waiting.lacks {
                Lacks::User => {
                    if let Some(uid) = field(&body, "uid") {
                        let users = &self.options.users;
                        let user = users.of_task(head.enrichment, field(&body, "auid"), uid);
                        waiting.row.user = self.guests.names.get(&user);
                    }
                }
                Lacks::Guest => {
                    let pid = field(&body, "pid").and_then(|pid| pid.parse().ok());
                    match pid.and_then(|pid| self.guests.with_pid(head.host, pid)) {
                        Some(session) => blame::owned_by(&mut waiting.row, session),
                        None => continue,
                    }
                }
            }
            self.keep(waiting.order, waiting.row)?;
        }
        while let Some(waiting) = self.waiting.overdue(head.stamp.seconds) {
            self.give_up(waiting)?;
        }
        Ok(())
    }
}

impl Collector for Report<'_> {
    fn wanted(&self) -> &Wanted {
        match self.waiting.is_empty() {
            true => &self.few,
            false => &self.more,
        }
    }

    fn ever(&self) -> &Wanted {
        &self.more
    }

    fn takes_long(&self) -> bool {
        self.guests.tell_resources()
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        match head.ty {
            Type::Ours(RecordType::DmEvent) if !self.guests.have_mappings() => return Ok(()),
            Type::Ours(RecordType::DmEvent | RecordType::DmCtrl) => {
                let fields = Fields::of(head);
                if let Some(record) = Record::of(&fields) {
                    let users = &self.options.users;
                    if let Some(device) = self.mappings.mapper(head, &record, &fields, users) {
                        self.guests.violation(head, &record, &device);
                    }
                }
                return self.take();
            }
            Type::KernelBoot | Type::SystemBoot | Type::SystemShutdown => {
                self.mappings.record(head, &self.options.users);
            }
            _ => {}
        }
        if !self.options.window.has(head.stamp.seconds) {
            self.outside += u64::from(matches!(head.ty, Type::Virt(_)));
            return Ok(());
        }
        match head.ty {
            Type::Syscall => return self.syscall(head),
            // Only what a guest is given and refused depends on it.
            Type::Virt(VirtType::MachineId) if !self.guests.tell_resources() => return Ok(()),
            Type::Virt(_) | Type::Avc | Type::Anomaly => {}
            Type::KernelBoot | Type::SystemShutdown | Type::SystemBoot => {}
            _ => return Ok(()),
        }
        let record = Fields::of(head);
        match head.ty {
            Type::KernelBoot | Type::SystemShutdown | Type::SystemBoot => {
                // A host may have very many.
                let mut ended = false;
                while let Some(had) = self.guests.goes_down(head) {
                    ended |= had;
                    self.take()?;
                }
                // A boot after a shutdown has nothing to tell.
                if ended || head.ty == Type::SystemShutdown {
                    self.guests.went_down(head, &record, &self.options.users);
                }
            }
            _ if !self.is_asked_for(&record) => {
                self.others += u64::from(matches!(head.ty, Type::Virt(_)));
            }
            Type::Virt(VirtType::MachineId) => {
                self.blame.machine_id(head, &record, &self.guests);
                let users = &self.options.users;
                self.guests.machine_id(head, &record, users);
            }
            Type::Virt(VirtType::Resource) => {
                self.guests.resource(head, &record, &self.options.users);
            }
            Type::Virt(VirtType::Control) => {
                self.guests.control(head, &record, &self.options.users);
            }
            // What the SPEC has besides: nobody writes it yet.
            Type::Virt(_) => {}
            Type::Avc => self.refusal(head, &record)?,
            _ => self.anomaly(head, &record)?,
        }
        self.take()
    }
}
