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
use life::{Fate, Life};
use lives::Lives;
use show::Text;
use std::io::{self, Write};

/// Collects lives of mappings.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    wanted: Wanted,
    /// The same and command lines, while a mapping has no name.
    more: Wanted,
    titles: Wanted,
    /// What a command line names.
    tables: Wanted,
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
            more: Wanted::types(&["DM_C", "DM_E", "SYST", "KERN", "URIN", "OPEN", "PROC"]),
            titles: Wanted::types(&["PROC"]),
            tables: Wanted::types(&["DM_C"]),
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
        self.lives.end(|order, mut life| {
            life.name = name(&life, options).or(life.name);
            rows.push(order, &life, |line| text.row(&life, options, line))
        })
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

/// What the mapping of `life` is called, which is there now: this machine knows it.
fn name(life: &Life, options: &Options) -> Option<String> {
    let root = options.machine.as_ref()?;
    let is_there = life.fate == Fate::Lives && life.start.is_some() && !life.beneath;
    if !is_there {
        return None;
    }
    let path = root.join(format!("sys/dev/block/{}/dm/name", life.device));
    let name = std::fs::read_to_string(path).ok()?;
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let name: String = name.trim_end().chars().map(shown).collect();
    (!name.is_empty()).then_some(name)
}

impl Collector for Report<'_> {
    fn wanted(&self) -> &Wanted {
        match self.lives.is_naming() {
            true => &self.more,
            false => &self.wanted,
        }
    }

    fn ever(&self) -> &Wanted {
        &self.wanted
    }

    fn soon(&self) -> Option<(&Wanted, &Wanted)> {
        Some((&self.titles, &self.tables))
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.lives.record(head, &self.options.users);
        if self.lives.done.is_empty() {
            return Ok(());
        }
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Log;
    use crate::report::collect;

    #[test]
    fn a_mapping_has_the_name_that_the_machine_knows() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("sys/dev/block/252:4/dm");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("name"), "scratch\n").expect("written");
        let log = include_str!("../../../tests/corpus/d-wrap.log");
        let report = |machine| {
            let options = Options {
                machine,
                ..Options::default()
            };
            let mut report = Report::new(&options);
            let mut log = Log::stream("log", io::Cursor::new(log));
            collect(&mut log, &mut report, |_| {}).expect("read");
            let mut out = Vec::new();
            report.end(&mut out).expect("written");
            String::from_utf8(out).expect("text")
        };
        assert!(report(Some(root.path().to_owned())).contains("252:4 (scratch)"));
        assert!(!report(None).contains("scratch"));
    }
}
