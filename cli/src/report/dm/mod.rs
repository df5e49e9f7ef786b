// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report dm`: one line per life of a mapping, with the violations found in it.
//!
//! - [`record`]: what a device-mapper record says.
//! - [`life`]: a life, as it is told.
//! - [`lives`]: makes lives of records.
//! - `mappings`: what lives on a host, by index.
//! - [`show`]: text and JSON.

pub mod life;
pub mod lives;
mod mappings;
pub mod record;
pub mod show;

use super::spool::Spool;
use super::{Collector, Options};
use crate::input::Wanted;
use crate::record::{Head, Type};
use dmns_audit_uapi::types::RecordType;
use life::Life;
use lives::Lives;
use show::Columns;
use std::io::{self, Write};

/// Collects lives of mappings.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    wanted: Wanted,
    lives: Lives,
    rows: Spool<Life>,
    columns: Columns,
}

impl<'a> Report<'a> {
    /// A report as `options` ask for it.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            wanted: Wanted::types(&["DM_C", "DM_E", "SYST"]),
            lives: Lives::new(options.window),
            rows: Spool::default(),
            columns: Columns::default(),
        }
    }

    /// Writes the report. `each` sees every row too.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, out: &mut dyn Write, mut each: impl FnMut(&Life)) -> io::Result<()> {
        self.lives.end();
        self.take()?;
        let options = self.options;
        if options.json {
            return self.rows.drain(|life| {
                each(&life);
                show::json(&life, options, out)
            });
        }
        self.columns.begin(options, out)?;
        let columns = self.columns;
        self.rows.drain(|life| {
            each(&life);
            columns.row(&life, options, out)
        })
    }

    fn take(&mut self) -> io::Result<()> {
        for (order, life) in self.lives.done.drain(..) {
            self.columns.measure(&life, self.options);
            self.rows.push(order, &life)?;
        }
        Ok(())
    }
}

impl Collector for Report<'_> {
    fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.lives.record(head, &self.options.users);
        if self.lives.done.is_empty() {
            return Ok(());
        }
        self.take()
    }
}

/// Whether a record is one that lives of mappings are made of.
pub(super) fn is_ours(ty: Type) -> bool {
    matches!(
        ty,
        Type::Ours(RecordType::DmCtrl | RecordType::DmEvent)
            | Type::SystemBoot
            | Type::SystemShutdown
    )
}
