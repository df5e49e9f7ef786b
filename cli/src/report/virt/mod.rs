// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report virt`: sessions, resources and refusals of guests, as auvirt reported them.
//!
//! - [`row`]: a row of the report.
//! - [`guests`]: builds rows from libvirt's records.
//! - [`attribution`]: attributes refusals and anomalies to guests.
//! - `labels`: labels of guests.
//! - [`disks`]: disks of guests that are mappings, and violations in those.
//! - [`machine`]: devices below disks on this machine.
//! - [`summary`]: numbers of all.
//! - [`show`]: text and JSON.

pub mod attribution;
pub mod disks;
pub mod guests;
mod labels;
pub mod machine;
pub mod row;
pub mod show;
pub mod summary;

use super::candidates::Candidates;
use super::columns::Rows;
use super::dm;
use super::dm::record::Record;
use super::{Collector, Options};
use crate::input::Wanted;
use crate::record::pending::Pending;
use crate::record::value::{Fields, text};
use crate::record::{Head, Type};
use attribution::{Anomaly, Attribution};
use dmns_audit_log::line::field;
use dmns_audit_log::virt::VirtType;
use dmns_audit_uapi::types::RecordType;
use guests::Guests;
use machine::Machine;
use row::{Event, Row};
use show::Text;
use std::io::{self, Write};
use std::path::Path;
use summary::Summary;

/// Options of `report virt`.
#[derive(Clone, Debug, Default)]
pub struct VirtOptions {
    /// Only the guest of this name.
    pub vm: Option<String>,
    /// Only the guest of this UUID.
    pub uuid: Option<String>,
    /// Only active ones.
    pub active: bool,
    /// Show UUIDs.
    pub show_uuid: bool,
    /// Numbers only.
    pub summary: bool,
    /// Look up the devices below disks on this machine, where the log has none.
    pub layers: bool,
}

/// A refusal or an anomaly that waits for the SYSCALL of its event, and its place among all rows.
#[derive(Debug)]
struct Waiting {
    order: u64,
    row: Row,
    missing: Missing,
}

/// The part of a row that the SYSCALL of its event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// The user.
    User,
    /// The process, and with it the guest.
    Guest,
}

/// Collects events of guests.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    virt_options: &'a VirtOptions,
    few: Wanted,
    /// `few` and system calls, while a row waits for its own.
    more: Wanted,
    guests: Guests,
    attribution: Attribution,
    /// Rows that wait for their event's SYSCALL.
    waiting: Pending<Waiting>,
    mappings: dm::lifetimes::Lifetimes,
    rows: Rows<Row>,
    text: Text,
    summary: Summary,
    /// Number of records of other guests, and of other periods.
    others: u64,
    outside: u64,
    /// The guests that were not asked for, and whether a row passed, or ended too early.
    names: Candidates,
    passed: bool,
    ended: bool,
}

impl<'a> Report<'a> {
    /// Creates a report with `options` and `virt_options`.
    pub fn new(options: &'a Options, virt_options: &'a VirtOptions) -> Self {
        let mut types = vec!["VIRT", "DM_C", "DM_E", "SYST", "KERN", "URIN", "OPEN"];
        if options.all_events || virt_options.summary {
            types.extend(["AVC ", "ANOM"]);
        }
        let few = Wanted::types(&types);
        if options.all_events || virt_options.summary {
            types.push("SYSC");
        }
        let text = Text::new(virt_options);
        Self {
            options,
            virt_options,
            few,
            more: Wanted::types(&types),
            guests: Guests::new(
                options.all_events || virt_options.summary,
                options.proof,
                virt_options.layers.then(|| Machine::at(Path::new("/"))),
            ),
            attribution: Attribution::default(),
            waiting: Pending::default(),
            mappings: dm::lifetimes::Lifetimes::mappings(options.window),
            rows: Rows::new(options, text.columns(options)),
            text,
            summary: Summary::default(),
            others: 0,
            outside: 0,
            names: Candidates::default(),
            passed: false,
            ended: false,
        }
    }

    /// Returns the message for a report without rows.
    fn none(&self) -> Option<String> {
        let count = |number: u64, what: &str| match number {
            1 => format!("1 record {what}"),
            n => format!("{n} records {what}"),
        };
        let who = match (&self.virt_options.vm, &self.virt_options.uuid) {
            (Some(vm), None) => format!("called {vm}"),
            (None, Some(uuid)) => format!("with the UUID {uuid}"),
            (Some(vm), Some(uuid)) => format!("called {vm} with the UUID {uuid}"),
            (None, None) if self.ended => return Some("no guest is active".to_owned()),
            (None, None) if self.outside > 0 => {
                let before = count(self.outside, "of guests");
                return Some(format!(
                    "no guests in this period ({before} before or after it)"
                ));
            }
            (None, None) => return None,
        };
        if self.ended {
            return Some(format!("no guest {who} is active"));
        }
        Some(match (self.others, self.outside) {
            (0, 0) => format!("no guest {who} is in the log{}", self.names.show("guests")),
            (0, n) => format!(
                "no guest {who} is in the log in this period ({} before or after it)",
                count(n, "of guests")
            ),
            (n, _) => format!(
                "no guest {who} is in the log ({} of others{})",
                count(n, "are").trim_end_matches(" are"),
                self.names.show("guests")
            ),
        })
    }

    /// Writes the report. Returns whether the filter matched, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, out: &mut dyn Write) -> io::Result<bool> {
        self.close()?;
        let asked = self.virt_options.vm.is_some() || self.virt_options.uuid.is_some();
        let matched = !(asked || self.ended) || self.passed;
        let none = self.none();
        let options = self.options;
        if let Some(none) = none {
            if !matched && (options.json || self.virt_options.summary) {
                eprintln!("dmns-audit: {none}");
            }
            self.rows.set_none(none);
        }
        match (self.virt_options.summary, options.json) {
            (true, true) => self.summary.json(options, out)?,
            (true, false) => self.summary.text(options, out)?,
            (false, _) => self.rows.end(options, out, show::json)?,
        }
        Ok(matched)
    }

    /// Calls `each` with each row of a report that keeps objects.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be read back.
    pub fn visit(mut self, each: impl FnMut(&Row)) -> io::Result<()> {
        self.close()?;
        self.rows.visit(each)
    }

    /// Takes the end of the log.
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
        if self.virt_options.active && !row.is_active() {
            self.ended = true;
            return Ok(());
        }
        // The end of the host is reported with every guest.
        self.passed |= !matches!(row.event, Event::Down);
        self.summary.count(&row);
        if self.virt_options.summary || !(options.all_events || row.is_session()) {
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

    /// Returns whether `record` is about a guest that passes the filter.
    fn is_asked_for(&self, record: &Fields<'_>) -> bool {
        if self.virt_options.vm.is_none() && self.virt_options.uuid.is_none() {
            return true;
        }
        let is = |wanted: &Option<String>, found: Option<&str>| match (wanted, found) {
            (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(found),
            _ => true,
        };
        let vm = record.text("vm");
        let vm_is = match (&self.virt_options.vm, vm.as_deref()) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        vm_is && is(&self.virt_options.uuid, record.raw("uuid"))
    }

    fn refusal(&mut self, head: &Head<'_>, record: &Fields<'_>) -> io::Result<()> {
        let Some(mut row) = self.attribution.refusal(head, record, &self.guests) else {
            return Ok(());
        };
        let order = self.guests.next_order();
        if let Some(uid) = record.raw("uid") {
            let auid = record.raw("auid");
            let user = self.options.users.of_task(head.enrichment, auid, uid);
            row.user = self.guests.names.get(&user);
            return self.keep(order, row);
        }
        self.wait(head, order, row, Missing::User);
        Ok(())
    }

    fn anomaly(&mut self, head: &Head<'_>, record: &Fields<'_>) -> io::Result<()> {
        let users = &self.options.users;
        let found = self.attribution.anomaly(head, record, &self.guests, users);
        let order = self.guests.next_order();
        match found {
            Anomaly::Of(row) => self.keep(order, row),
            Anomaly::Waits(row) => {
                self.wait(head, order, row, Missing::Guest);
                Ok(())
            }
            Anomaly::OfNobody => Ok(()),
        }
    }

    fn wait(&mut self, head: &Head<'_>, order: u64, row: Row, missing: Missing) {
        let event = (head.host, head.stamp);
        self.waiting.push(
            event,
            Waiting {
                order,
                row,
                missing,
            },
        );
    }

    /// Ends the wait for a SYSCALL: a refusal has no user, an anomaly no guest.
    fn give_up(&mut self, waiting: Waiting) -> io::Result<()> {
        match waiting.missing {
            Missing::User => self.keep(waiting.order, waiting.row),
            Missing::Guest => Ok(()),
        }
    }

    /// Takes the system call of an event that may have waiting rows.
    fn syscall(&mut self, head: &Head<'_>) -> io::Result<()> {
        let event = (head.host, head.stamp);
        for mut waiting in self.waiting.take(&event, |_| true) {
            // It has many fields, and one is asked for.
            let body = text(head.body);
            match waiting.missing {
                Missing::User => {
                    if let Some(uid) = field(&body, "uid") {
                        let users = &self.options.users;
                        let user = users.of_task(head.enrichment, field(&body, "auid"), uid);
                        waiting.row.user = self.guests.names.get(&user);
                    }
                }
                Missing::Guest => {
                    let pid = field(&body, "pid").and_then(|pid| pid.parse().ok());
                    match pid.and_then(|pid| self.guests.with_pid(head.host, pid)) {
                        Some(session) => attribution::owned_by(&mut waiting.row, session),
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
        self.guests.reports_resources()
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
            Type::Virt(VirtType::MachineId) if !self.guests.reports_resources() => return Ok(()),
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
                // A boot after a shutdown ends nothing.
                if ended || head.ty == Type::SystemShutdown {
                    self.guests.went_down(head, &record, &self.options.users);
                }
            }
            _ if !self.is_asked_for(&record) => {
                if matches!(head.ty, Type::Virt(_)) {
                    self.others += 1;
                    self.names.add(&record.text("vm").unwrap_or_default());
                }
            }
            Type::Virt(VirtType::MachineId) => {
                self.attribution.machine_id(head, &record, &self.guests);
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
