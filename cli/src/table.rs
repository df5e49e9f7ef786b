// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Columns of text that fit the terminal.
//!
//! Rows may be many, so none is kept: they are measured in one pass and written in another.

use crate::terminal::{TITLE, Terminal};
use crate::when::Clock;
use anstyle::Style;
use std::borrow::Cow;
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between two columns.
const GAP: usize = 2;
/// How narrow the column called `title` may be made. A time that is cut says nothing,
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

/// A cell: text and how it looks.
pub type Cell<'a> = (Cow<'a, str>, Style);

/// A cell without a style.
pub fn plain<'a>(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    (text.into(), Style::new())
}

/// A cell in `style`.
pub fn styled<'a>(style: Style, text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    (text.into(), style)
}

/// How wide each column has to be.
#[derive(Clone, Debug)]
pub struct Table {
    titles: &'static [&'static str],
    /// Columns of numbers, which are aligned to the right.
    numbers: &'static [&'static str],
    widths: Vec<usize>,
}

impl Table {
    /// Columns with `titles`; those that are in `numbers` too are aligned to the right.
    pub fn new(titles: &'static [&'static str], numbers: &'static [&'static str]) -> Self {
        Self {
            titles,
            numbers,
            widths: titles.iter().map(|title| title.width()).collect(),
        }
    }

    /// The same, for a table whose titles are not written: they only say what a column is.
    pub fn untitled(titles: &'static [&'static str]) -> Self {
        Self {
            titles,
            numbers: &[],
            widths: vec![0; titles.len()],
        }
    }

    /// Makes the columns wide enough for `row`.
    pub fn measure(&mut self, row: &[Cell<'_>]) {
        for (width, (text, _)) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(text.width());
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

    /// Writes the titles.
    ///
    /// # Errors
    ///
    /// Where `out` cannot be written to.
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
    /// Where `out` cannot be written to.
    pub fn row(
        &self,
        row: &[Cell<'_>],
        terminal: &Terminal,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let last = row.iter().rposition(|(text, _)| !text.is_empty());
        let mut line = String::new();
        for (i, (text, style)) in row.iter().enumerate() {
            let text = cut(text, self.widths[i]);
            let pad = self.widths[i] - text.width().min(self.widths[i]);
            let right = self.numbers.contains(&self.titles[i]);
            if right {
                line.extend(std::iter::repeat_n(' ', pad));
            }
            line.push_str(&terminal.paint(*style, &text));
            if last.is_none_or(|last| i >= last) {
                break;
            }
            let pad = if right { 0 } else { pad };
            line.extend(std::iter::repeat_n(' ', pad + GAP));
        }
        writeln!(out, "{line}")
    }
}

/// `text`, cut to `width` columns.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
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
    Cow::Owned(cut)
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
