// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where text goes: how wide it is there, and whether it may have colour.

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use std::io::{self, IsTerminal};

/// The value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The capabilities of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns; `None` where lines may be of any length.
    pub width: Option<usize>,
    /// Colour is used.
    pub colour: bool,
}

impl Terminal {
    /// A file: no colour, lines of any length.
    pub const FILE: Self = Self {
        width: None,
        colour: false,
    };

    /// Standard output.
    pub fn stdout(colour: Colour) -> Self {
        let colour = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        };
        let width = io::stdout()
            .is_terminal()
            .then(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
            .flatten();
        Self { width, colour }
    }

    /// `text` in `style`, if there is colour.
    pub fn paint(&self, style: Style, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.paint_to(style, text, &mut out);
        out
    }

    /// The same, at the end of `out`.
    #[inline]
    pub fn paint_to(&self, style: Style, text: &str, out: &mut String) {
        match self.colour && !text.is_empty() {
            true => {
                let style = style.ansi();
                out.push_str(&format!("{style}{text}{style:#}"));
            }
            false => out.push_str(text),
        }
    }
}

/// The style of text, where there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style(u8);

/// Plain text.
pub const PLAIN: Style = Style(0);
/// Titles of columns.
pub const TITLE: Style = Style(1);
/// Violations, failures.
pub const BAD: Style = Style(2);
/// An active row.
pub const ACTIVE: Style = Style(3);
/// Secondary data: identifiers, proof.
pub const FAINT: Style = Style(4);
/// Names.
pub const NAME: Style = Style(5);

impl Style {
    /// Returns the style as a byte, for a row that is kept.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Returns the style of a [`Style::byte`].
    pub fn of_byte(byte: u8) -> Self {
        Self(byte)
    }

    fn ansi(self) -> anstyle::Style {
        match self {
            TITLE => anstyle::Style::new().bold(),
            BAD => AnsiColor::Red.on_default().bold(),
            ACTIVE => AnsiColor::Green.on_default(),
            FAINT => anstyle::Style::new().dimmed(),
            NAME => AnsiColor::Cyan.on_default(),
            _ => anstyle::Style::new(),
        }
    }
}
