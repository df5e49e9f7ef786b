// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report dm`: one line per life of a mapping, with the violations found in it.
//!
//! - [`record`]: what a device-mapper record says.
//! - [`life`]: a life, as it is told.
//! - [`lives`]: makes lives of records.
//! - `open`: a mapping that lives.
//! - `mappings`: what lives, by index.
//! - [`show`]: text and JSON.

pub mod life;
pub mod lives;
mod mappings;
mod open;
pub mod record;
pub mod show;

use super::columns::Rows;
use super::{Collector, Options};
use crate::input::Wanted;
use crate::record::Head;
use life::Life;
use lives::Lives;
use show::Text;
use std::io::{self, Write};

/// Collects lives of mappings.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    wanted: Wanted,
    lives: Lives,
    rows: Rows<Life>,
    text: Text,
}

impl<'a> Report<'a> {
    /// A report as `options` ask for it.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            wanted: Wanted::types(&["DM_C", "DM_E", "SYST", "KERN", "URIN", "OPEN"]),
            lives: Lives::new(options),
            rows: Rows::new(options, show::columns()),
            text: Text::default(),
        }
    }

    /// Writes the report.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.close()?;
        let window = self.options.window;
        if self.lives.any && (window.start.is_some() || window.end.is_some()) {
            self.rows.set_none(
                "no device-mapper records in this period; there are some before or after it"
                    .to_owned(),
            );
        }
        self.rows.end(self.options, out, show::json)
    }

    /// Hands out the lives of a report that is asked for as objects.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read back.
    pub fn visit(mut self, each: impl FnMut(&Life)) -> io::Result<()> {
        self.close()?;
        self.rows.visit(each)
    }

    fn close(&mut self) -> io::Result<()> {
        let (options, rows, text) = (self.options, &mut self.rows, &mut self.text);
        self.lives
            .end(|order, life| rows.push(order, &life, |line| text.row(&life, options, line)))
    }

    fn take(&mut self) -> io::Result<()> {
        let options = self.options;
        for (order, life) in self.lives.done.drain(..) {
            let text = &mut self.text;
            self.rows
                .push(order, &life, |line| text.row(&life, options, line))?;
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
