// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rows of a report as text: each is rendered when it is known, and written when all are.

use super::spool::Spool;
use crate::table::{Line, Table};
use crate::terminal::Terminal;
use std::io::{self, Write};

/// Rows of text in columns.
#[derive(Debug)]
pub struct Columns {
    table: Table,
    rows: Spool<[u8]>,
}

impl Columns {
    /// Those of `table`, without rows.
    pub fn new(table: Table) -> Self {
        Self {
            table,
            rows: Spool::default(),
        }
    }

    /// Keeps the row that `row` renders, whose place is `order`.
    ///
    /// # Errors
    ///
    /// What `row` returns, or where rows cannot be kept.
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
    /// Where `out` cannot be written to, or rows cannot be read back.
    pub fn end(mut self, terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
        self.table.begin(terminal, out)?;
        let mut line = String::new();
        let table = &self.table;
        self.rows
            .read(|row| table.written(row, terminal, &mut line, out))
    }
}
