// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The module's counters: `/sys/kernel/security/dmns_audit/counters`.

use anyhow::{Context, Result, ensure};
use std::fs;

const PATH: &str = "/sys/kernel/security/dmns_audit/counters";

/// The table.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The names of the columns with counts.
    pub(crate) columns: Vec<String>,
    /// A row for each type.
    pub(crate) rows: Vec<Row>,
}

/// The outcomes of the records of one type.
#[derive(Debug)]
pub(crate) struct Row {
    /// The name of the type.
    pub(crate) name: String,
    /// Its number.
    pub(crate) number: u32,
    /// A count for each column.
    pub(crate) counts: Vec<u64>,
}

impl Counters {
    /// Reads the counters of the module that is loaded.
    pub(crate) fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string(PATH).context(PATH)?).context(PATH)
    }

    /// Reads a table.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let mut columns = lines.next().unwrap_or_default().split_whitespace();
        ensure!(
            columns.next() == Some("type") && columns.next() == Some("number"),
            "the first columns are not `type` and `number`"
        );
        let columns: Vec<String> = columns.map(str::to_owned).collect();
        ensure!(
            columns.iter().any(|column| column == "emitted"),
            "no column `emitted`"
        );
        let rows = lines.map(Row::parse).collect::<Result<Vec<_>>>()?;
        for row in &rows {
            ensure!(
                row.counts.len() == columns.len(),
                "{}: {} counts, {} columns",
                row.name,
                row.counts.len(),
                columns.len()
            );
        }
        ensure!(!rows.is_empty(), "no types");
        Ok(Self { columns, rows })
    }

    /// Returns the sum of a column.
    pub(crate) fn sum(&self, column: usize) -> u64 {
        self.rows.iter().map(|row| row.counts[column]).sum()
    }
}

impl Row {
    fn parse(line: &str) -> Result<Self> {
        let mut parts = line.split_whitespace();
        let mut part = || parts.next().with_context(|| format!("'{line}'"));
        let (name, number) = (part()?.to_owned(), part()?.parse()?);
        let counts = parts.map(str::parse).collect::<Result<_, _>>();
        Ok(Self {
            name,
            number,
            counts: counts.with_context(|| format!("'{line}'"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() -> Result<()> {
        let table = "type number emitted refused\nDM_CTRL 1338 4 1\nNS_DEL_UTS 1389 3 0\n";
        let counters = Counters::parse(table)?;
        assert_eq!((counters.sum(0), counters.sum(1)), (7, 1));
        assert_eq!(counters.rows[1].number, 1389);
        for table in [
            "",
            "type number emitted refused\n",
            "type number refused\nDM_CTRL 1338 4\n",
            "type number emitted refused\nDM_CTRL 1338 4\n",
            "type number emitted refused\nDM_CTRL 1338 4 x\n",
        ] {
            assert!(Counters::parse(table).is_err(), "{table}");
        }
        Ok(())
    }
}
