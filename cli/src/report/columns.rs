// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rows of a report: as objects, or as text, of which each row is rendered when it is known, and written when all are.

use super::Options;
use super::spool::Spool;
use crate::table::{Line, Table};
use crate::terminal::Terminal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};

/// Rows of a report, as they are asked for.
#[derive(Debug)]
pub enum Rows<T> {
    /// Objects.
    Objects(Spool<T>),
    /// Text.
    Text(Columns),
}

impl<T: Serialize + DeserializeOwned> Rows<T> {
    /// Creates an empty list; text is in `columns`.
    pub fn new(options: &Options, columns: Columns) -> Self {
        match options.json {
            true => Self::Objects(Spool::default()),
            false => Self::Text(columns),
        }
    }

    /// Keeps `row` at the place `order`; `text` renders it.
    ///
    /// # Errors
    ///
    /// Returns the errors of `text`. Fails where rows cannot be kept.
    pub fn push(
        &mut self,
        order: u64,
        row: &T,
        text: impl FnOnce(&mut Line<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Objects(rows) => rows.push(order, row),
            Self::Text(rows) => rows.push(order, text),
        }
    }

    /// Sets the message for a text without rows.
    pub fn set_none(&mut self, none: String) {
        if let Self::Text(columns) = self {
            columns.set_none(none);
        }
    }

    /// Writes them; `json` writes one as an object.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn end(
        self,
        options: &Options,
        out: &mut dyn Write,
        json: impl Fn(&T, &Options, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Objects(rows) => rows.drain(|row| json(&row, options, out)),
            Self::Text(rows) => rows.end(&options.terminal, out),
        }
    }

    /// Calls `each` with each row that was kept as an object.
    ///
    /// # Errors
    ///
    /// Fails if rows cannot be read back.
    pub fn visit(self, mut each: impl FnMut(&T)) -> io::Result<()> {
        match self {
            Self::Objects(rows) => rows.drain(|row| {
                each(&row);
                Ok(())
            }),
            Self::Text(_) => Ok(()),
        }
    }
}

/// Rows of text in columns.
#[derive(Debug)]
pub struct Columns {
    table: Table,
    rows: Spool<[u8]>,
}

impl Columns {
    /// Creates the columns of `table`, without rows.
    pub fn new(table: Table) -> Self {
        Self {
            table,
            rows: Spool::default(),
        }
    }

    /// Sets the message for a table without rows.
    pub fn set_none(&mut self, none: String) {
        self.table.set_none(none);
    }

    /// Keeps the row that `row` renders, at the place `order`.
    ///
    /// # Errors
    ///
    /// Returns the errors of `row`. Fails where rows cannot be kept.
    pub fn push(
        &mut self,
        order: u64,
        row: impl FnOnce(&mut Line<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let table = &mut self.table;
        self.rows.write(order, |bytes| {
            let mut line = table.line(bytes);
            row(&mut line)?;
            line.end();
            Ok(())
        })
    }

    /// Writes the table.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
        self.table.begin(terminal, out)?;
        let table = &self.table;
        self.rows
            .write_to(out, |row, line| table.written(row, terminal, line))
    }
}
