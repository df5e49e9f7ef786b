// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `report dm`: one line per lifetime of a mapping, with the violations found in it.
//!
//! - [`record`]: a device-mapper record.
//! - [`lifetime`]: a lifetime, as it is reported.
//! - [`lifetimes`]: builds lifetimes from records.
//! - [`files`]: the files of corrupt sectors.
//! - `open`: an active mapping.
//! - `mappings`: active mappings, by index.
//! - [`names`]: names in the log of the plugin.
//! - [`show`]: text and JSON.

pub mod files;
pub mod lifetime;
pub mod lifetimes;
mod mappings;
pub mod names;
mod open;
pub mod record;
pub mod show;

use super::candidates::Candidates;
use super::columns::Rows;
use super::{Collector, Options};
use crate::input::Wanted;
use crate::record::Head;
use crate::record::selector::DeviceSelector;
use lifetime::{EndReason, Lifetime};
use lifetimes::Lifetimes;
use names::KnownNames;
use show::Text;
use std::io::{self, Write};

/// Options of `report dm`.
#[derive(Clone, Debug, Default)]
pub struct DmOptions {
    /// Only this mapping.
    pub device: Option<DeviceSelector>,
    /// Only active ones.
    pub active: bool,
    /// Look up the files of corrupt sectors.
    pub files: bool,
    /// Names that the plugin looked up.
    pub names: KnownNames,
}

impl DmOptions {
    /// Adds the name that the plugin looked up, if the log has none.
    fn name(&self, lifetime: &mut Lifetime) {
        if lifetime.name.is_none() && !lifetime.below {
            let (start, end) = (lifetime.start, lifetime.end);
            let known = self.names.of_lifetime(&lifetime.device, start, end);
            lifetime.name = known.map(str::to_owned);
        }
    }

    /// Returns whether `lifetime` passes.
    fn has(&self, lifetime: &Lifetime) -> bool {
        let found = lifetime.found.iter().map(|found| &found.device);
        let devices = std::iter::once(&lifetime.device).chain(found);
        let of = |device: &DeviceSelector| {
            devices
                .clone()
                .any(|own| device.is(own, lifetime.name.as_deref()))
        };
        self.device.as_ref().is_none_or(of)
            && (!self.active || lifetime.end_reason == EndReason::Active)
    }
}

/// Collects lifetimes of mappings.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    dm_options: DmOptions,
    /// The mappings that the filter drops, and whether one passed.
    others: Candidates,
    passed: bool,
    wanted: Wanted,
    /// `wanted` and command lines, while a mapping has no name.
    more: Wanted,
    titles: Wanted,
    /// Records that precede a command line.
    tables: Wanted,
    lifetimes: Lifetimes,
    rows: Rows<Lifetime>,
    text: Text,
}

impl<'a> Report<'a> {
    /// Creates a report with `options`.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            dm_options: DmOptions::default(),
            others: Candidates::default(),
            passed: false,
            wanted: Wanted::types(&["DM_C", "DM_E", "SYST", "KERN", "URIN", "OPEN"]),
            more: Wanted::types(&["DM_C", "DM_E", "SYST", "KERN", "URIN", "OPEN", "PROC"]),
            titles: Wanted::types(&["PROC"]),
            tables: Wanted::types(&["DM_C"]),
            lifetimes: Lifetimes::new(options),
            rows: Rows::new(options, show::columns()),
            text: Text::default(),
        }
    }

    /// Keeps only the mappings that `dm_options` select.
    pub fn only(mut self, dm_options: DmOptions) -> Self {
        self.dm_options = dm_options;
        self
    }

    /// Writes the report. Returns whether the filter matched, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, out: &mut dyn Write) -> io::Result<bool> {
        self.close()?;
        let filtered = self.dm_options.device.is_some() || self.dm_options.active;
        let window = self.options.window;
        let windowed = window.start.is_some() || window.end.is_some();
        if filtered && !self.passed {
            let what = match (&self.dm_options.device, self.dm_options.active) {
                _ if !self.lifetimes.any => "no device-mapper records",
                (Some(_), false) => "no such mapping is in the log",
                (Some(_), true) => "no such mapping is active",
                (None, _) => "no mapping is active",
            };
            let period = if windowed { " in this period" } else { "" };
            let none = format!("{what}{period}{}", self.others.show("mappings"));
            match self.options.json {
                true => eprintln!("dmns-audit: {none}"),
                false => writeln!(out, "{none}")?,
            }
            return Ok(false);
        }
        if self.lifetimes.any && windowed {
            self.rows.set_none(
                "no device-mapper records in this period; there are some before or after it"
                    .to_owned(),
            );
        }
        self.rows.end(self.options, out, show::json)?;
        Ok(true)
    }

    /// Calls `each` with each lifetime of a report that keeps objects.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be read back.
    pub fn visit(mut self, each: impl FnMut(&Lifetime)) -> io::Result<()> {
        self.close()?;
        self.rows.visit(each)
    }

    fn close(&mut self) -> io::Result<()> {
        let (options, rows, text) = (self.options, &mut self.rows, &mut self.text);
        let (dm_options, others, passed) = (&self.dm_options, &mut self.others, &mut self.passed);
        let mut active: Vec<(u64, Lifetime)> = Vec::new();
        self.lifetimes.end(|order, mut lifetime| {
            lifetime.name = name(&lifetime, options).or(lifetime.name);
            dm_options.name(&mut lifetime);
            if !dm_options.has(&lifetime) {
                others.add(&shown(&lifetime));
                return Ok(());
            }
            *passed = true;
            if dm_options.files {
                // They wait, so that one walk through a filesystem is for all.
                active.push((order, lifetime));
                return Ok(());
            }
            rows.push(order, &lifetime, |line| text.row(&lifetime, options, line))
        })?;
        if dm_options.files {
            files::add(active.iter_mut().map(|(_, lifetime)| lifetime), options);
        }
        for (order, lifetime) in active {
            rows.push(order, &lifetime, |line| text.row(&lifetime, options, line))?;
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<()> {
        let options = self.options;
        for (order, mut lifetime) in self.lifetimes.done.drain(..) {
            self.dm_options.name(&mut lifetime);
            if !self.dm_options.has(&lifetime) {
                self.others.add(&shown(&lifetime));
                continue;
            }
            self.passed = true;
            if self.dm_options.files {
                files::add(std::iter::once(&mut lifetime), options);
            }
            let text = &mut self.text;
            self.rows
                .push(order, &lifetime, |line| text.row(&lifetime, options, line))?;
        }
        Ok(())
    }
}

/// `253:0 (data)`
fn shown(lifetime: &Lifetime) -> String {
    match &lifetime.name {
        Some(name) => format!("{} ({name})", lifetime.device),
        None => lifetime.device.to_string(),
    }
}

/// Returns the name of the mapping of `lifetime` on this machine, if it is active.
fn name(lifetime: &Lifetime, options: &Options) -> Option<String> {
    let root = options.machine.as_ref()?;
    let is_there =
        lifetime.end_reason == EndReason::Active && lifetime.start.is_some() && !lifetime.below;
    if !is_there {
        return None;
    }
    let path = root.join(format!("sys/dev/block/{}/dm/name", lifetime.device));
    let name = std::fs::read_to_string(path).ok()?;
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let name: String = name.trim_end().chars().map(shown).collect();
    (!name.is_empty()).then_some(name)
}

impl Collector for Report<'_> {
    fn wanted(&self) -> &Wanted {
        match self.lifetimes.is_naming() {
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
        self.lifetimes.record(head, &self.options.users);
        if self.lifetimes.done.is_empty() {
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
