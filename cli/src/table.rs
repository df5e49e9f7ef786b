// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Columns of text that fit the terminal.
//!
//! Widths are known when all rows are. A few rows are measured in one pass and written in another. Many rows are
//! rendered once each, as a [`Line`], and written in the end.

use crate::record::value::is_printable;
use crate::terminal::{PLAIN, Style, TITLE, Terminal};
use crate::when::Clock;
use std::borrow::Cow;
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between two columns.
const GAP: usize = 2;
/// Returns the minimum width of the column `title`. A time that is cut is useless,
/// and a path little.
fn floor(title: &str) -> usize {
    match title {
        "from" | "to" | "time" => Clock::COMPACT,
        "when" => "Tue Jan 24 16:28 - 16:28  (00:00)".len(),
        "target" => "integrity".len(),
        "what" => 24,
        _ => 6,
    }
}

/// Maximum width that a text gives its column: one long name is one long row.
const LONG: usize = 128;

/// Returns the new width of a column of `width` that gets a text of `own`.
fn wider(width: usize, own: usize) -> usize {
    match own > LONG {
        true => width,
        false => width.max(own),
    }
}

/// A cell: text and how it looks.
pub type Cell<'a> = (Cow<'a, str>, Style);

/// A cell that looks as any text.
pub fn plain<'a>(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    (text.into(), PLAIN)
}

/// A cell that looks so.
pub fn styled<'a>(style: Style, text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    (text.into(), style)
}

/// The width of each column.
#[derive(Clone, Debug)]
pub struct Table {
    titles: &'static [&'static str],
    /// Columns of numbers, which are aligned to the right.
    numbers: &'static [&'static str],
    widths: Vec<usize>,
    /// The titles are written.
    titled: bool,
    /// The message without rows.
    none: Cow<'static, str>,
    any: bool,
}

impl Table {
    /// Columns with `titles`; those that are in `numbers` too are aligned to the right.
    pub fn new(titles: &'static [&'static str], numbers: &'static [&'static str]) -> Self {
        Self {
            titles,
            numbers,
            widths: titles.iter().map(|title| title.width()).collect(),
            titled: true,
            none: Cow::Borrowed(""),
            any: false,
        }
    }

    /// Creates a table without written titles: they only identify the columns.
    pub fn untitled(titles: &'static [&'static str]) -> Self {
        Self {
            widths: vec![0; titles.len()],
            titled: false,
            ..Self::new(titles, &[])
        }
    }

    /// Sets the message for a table without rows.
    pub fn or(self, none: impl Into<Cow<'static, str>>) -> Self {
        Self {
            none: none.into(),
            ..self
        }
    }

    /// The same, of a table that is there already.
    pub fn set_none(&mut self, none: impl Into<Cow<'static, str>>) {
        self.none = none.into();
    }

    /// Makes the columns wide enough for `row`.
    pub fn measure(&mut self, row: &[Cell<'_>]) {
        self.any = true;
        for (width, (text, _)) in self.widths.iter_mut().zip(row) {
            *width = wider(*width, width_of(text));
        }
    }

    /// Begins a row, at the end of `bytes`.
    pub fn line<'a>(&'a mut self, bytes: &'a mut Vec<u8>) -> Line<'a> {
        self.any = true;
        let head = bytes.len();
        bytes.resize(head + self.titles.len() * CELL, 0);
        Line {
            widths: &mut self.widths,
            head,
            from: bytes.len(),
            column: None,
            bytes,
        }
    }

    /// Makes the columns fit `terminal`: the widest ones give way. The last one may wrap by itself.
    pub fn fit(&mut self, terminal: &Terminal) {
        let Some(room) = terminal.width else { return };
        let gaps = GAP * self.widths.len().saturating_sub(1);
        let mut excess = (self.widths.iter().sum::<usize>() + gaps).saturating_sub(room);
        while excess > 0 {
            let columns = self.widths.iter_mut().zip(self.titles);
            let may = columns
                .filter(|(width, title)| !self.numbers.contains(title) && **width > floor(title));
            let Some((widest, _)) = may.max_by_key(|(width, _)| **width) else {
                return;
            };
            *widest -= 1;
            excess -= 1;
        }
    }

    /// Makes the columns fit `terminal` and writes the titles, or that there is no row.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn begin(&mut self, terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
        if !self.any {
            return writeln!(out, "{}", self.none);
        }
        self.fit(terminal);
        match self.titled {
            true => self.head(terminal, out),
            false => Ok(()),
        }
    }

    /// Writes the titles.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn head(&self, terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
        let row: Vec<_> = self
            .titles
            .iter()
            .map(|title| styled(TITLE, *title))
            .collect();
        self.row(&row, terminal, out)
    }

    /// Writes `row`. What does not fit a column is cut, with an ellipsis.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to.
    pub fn row(
        &self,
        row: &[Cell<'_>],
        terminal: &Terminal,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let cells = row
            .iter()
            .map(|(text, style)| (text.as_ref(), *style, width_of(text)));
        let mut line = String::new();
        self.cells(cells, terminal, &mut line);
        writeln!(out, "{line}")
    }

    /// Adds the row of a [`Line`], and the lines below it, to `lines`.
    ///
    /// # Errors
    ///
    /// Fails if `row` is of another table.
    pub fn written(&self, row: &[u8], terminal: &Terminal, lines: &mut String) -> io::Result<()> {
        let (head, rest) = row.split_at(self.titles.len() * CELL);
        let text = std::str::from_utf8(rest).map_err(io::Error::other)?;
        let mut from = 0;
        let cells = head.chunks_exact(CELL).map(|cell| {
            let end = u32::from_ne_bytes([cell[1], cell[2], cell[3], cell[4]]) as usize;
            let text = &text[from..end];
            from = end;
            let width = match cell[0] & WIDE {
                0 => text.len(),
                _ => text.width(),
            };
            (text, Style::of_byte(cell[0] & !WIDE), width)
        });
        self.cells(cells, terminal, lines);
        lines.push('\n');
        lines.push_str(&text[from..]);
        Ok(())
    }

    fn cells<'c>(
        &self,
        cells: impl Iterator<Item = (&'c str, Style, usize)>,
        terminal: &Terminal,
        line: &mut String,
    ) {
        // What stands after the last text: nothing is written of it.
        let (mut end, mut pending) = (line.len(), 0);
        for (column, (text, style, width)) in cells.enumerate() {
            let room = self.widths[column];
            // Where nothing has to fit, one row is longer than others.
            let fits = width <= room || width > LONG && terminal.width.is_none();
            let (text, width) = match fits {
                true => (Cow::Borrowed(text), width),
                false => cut_to(text, room),
            };
            let pad = room - width.min(room);
            let right = self.numbers.contains(&self.titles[column]);
            spaces(pending + if right { pad } else { 0 }, line);
            terminal.paint_to(style, &text, line);
            if !text.is_empty() || column == 0 {
                end = line.len();
            }
            pending = GAP + if right { 0 } else { pad };
        }
        line.truncate(end);
    }
}

fn spaces(mut number: usize, line: &mut String) {
    const SPACES: &str = "                                ";
    while number > 0 {
        let some = number.min(SPACES.len());
        line.push_str(&SPACES[..some]);
        number -= some;
    }
}

/// Size of the style and the length of a cell, in bytes.
const CELL: usize = 5;

/// In the byte that says how a cell looks: not each byte of its text is a letter.
const WIDE: u8 = 1 << 7;

/// A row that is rendered before the widths of all columns are known: its cells, then the lines below it.
#[derive(Debug)]
pub struct Line<'a> {
    widths: &'a mut [usize],
    bytes: &'a mut Vec<u8>,
    /// Position in `bytes` of the description of cells.
    head: usize,
    /// Position of the text of the present cell.
    from: usize,
    column: Option<usize>,
}

impl Line<'_> {
    /// Begins the next cell.
    pub fn cell(&mut self, style: Style, text: &str) -> &mut Self {
        let next = self.column.map_or(0, |column| column + 1);
        self.close(next);
        self.bytes[self.head + next * CELL] = style.byte();
        self.column = Some(next);
        self.add(text)
    }

    /// Appends to the cell.
    pub fn add(&mut self, text: &str) -> &mut Self {
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// The same, of a number.
    pub fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.add(itoa::Buffer::new().format(number))
    }

    /// The same, of what has to be formatted.
    pub fn show(&mut self, what: impl std::fmt::Display) -> &mut Self {
        // To write to memory does not fail.
        let _ = write!(self.bytes, "{what}");
        self
    }

    /// The cell before `next` is over.
    fn close(&mut self, next: usize) {
        let first = self.head + self.widths.len() * CELL;
        if let Some(column) = self.column {
            let text = &self.bytes[self.from..];
            let width = match plain_width(text) {
                Some(width) => width,
                None => {
                    let width = String::from_utf8_lossy(text).width();
                    self.bytes[self.head + column * CELL] |= WIDE;
                    width
                }
            };
            self.widths[column] = wider(self.widths[column], width);
        }
        self.from = self.bytes.len();
        // A row is far from 2^32 bytes.
        let end = ((self.from - first) as u32).to_ne_bytes();
        for column in self.column.unwrap_or(next)..next {
            let at = self.head + column * CELL + 1;
            self.bytes[at..at + 4].copy_from_slice(&end);
        }
    }

    /// Ends the cells. Returns the buffer of the lines below the row, each with its newline.
    pub fn below(&mut self) -> &mut Vec<u8> {
        self.end();
        self.bytes
    }

    /// All cells are written; those that are not are empty.
    pub fn end(&mut self) {
        let all = self.widths.len();
        if self.column != Some(all) {
            self.close(all);
            self.column = Some(all);
        }
    }
}

/// Returns the width of `text`, if each of its bytes is a letter.
fn plain_width(text: &[u8]) -> Option<usize> {
    is_printable(text).then_some(text.len())
}

fn width_of(text: &str) -> usize {
    plain_width(text.as_bytes()).unwrap_or_else(|| text.width())
}

/// `text`, cut to `width` columns.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    cut_to(text, width).0
}

/// The same, and how wide that is.
fn cut_to(text: &str, width: usize) -> (Cow<'_, str>, usize) {
    let whole = width_of(text);
    if whole <= width {
        return (Cow::Borrowed(text), whole);
    }
    let mut cut = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        cut.push(c);
    }
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    let width = cut.width();
    (Cow::Owned(cut), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(width: Option<usize>, rows: &[[&str; 3]]) -> String {
        let terminal = Terminal {
            width,
            colour: false,
        };
        let mut table = Table::new(&["name", "n", "text"], &["n"]);
        let rows: Vec<Vec<_>> = rows.iter().map(|row| row.map(plain).into()).collect();
        rows.iter().for_each(|row| table.measure(row));
        table.fit(&terminal);
        let mut out = Vec::new();
        table.head(&terminal, &mut out).expect("written");
        for row in &rows {
            table.row(row, &terminal, &mut out).expect("written");
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["a", "7", "x"], ["多字", "1234", ""]];
        assert_eq!(
            written(None, &rows),
            "name     n  text\na        7  x\n多字  1234\n"
        );
    }

    #[test]
    fn the_widest_column_gives_way_to_the_terminal() {
        let rows = [["a", "7", "a text that is much longer than all others"]];
        let text = written(Some(30), &rows);
        assert!(text.lines().all(|line| line.width() <= 30), "{text}");
        assert!(text.contains("a text that is much…"), "{text}");
        assert_eq!(cut("多字", 3), "多…");

        let narrow = Terminal {
            width: Some(30),
            colour: false,
        };
        let mut table = Table::new(&["by", "from", "n"], &["n"]);
        let row = ["somebody with a long name", "26-11-21 04:17", "123456789"].map(plain);
        table.measure(&row);
        table.fit(&narrow);
        let mut out = Vec::new();
        table.row(&row, &narrow, &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(
            text, "someb…  26-11-21 04:17  123456789\n",
            "times and numbers stay whole"
        );
    }
}
