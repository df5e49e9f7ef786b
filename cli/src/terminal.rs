// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where text goes: how wide it is there, and whether it may have colour.

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use std::io::{self, IsTerminal};

/// When to colour.
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

/// What standard output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns; `None` where lines may be of any length.
    pub width: Option<usize>,
    /// Whether to colour.
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

    /// `text` in `look`, if there is colour.
    pub fn paint(&self, look: Look, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.paint_to(look, text, &mut out);
        out
    }

    /// The same, at the end of `out`.
    #[inline]
    pub fn paint_to(&self, look: Look, text: &str, out: &mut String) {
        match self.colour && !text.is_empty() {
            true => {
                let style = look.style();
                out.push_str(&format!("{style}{text}{style:#}"));
            }
            false => out.push_str(text),
        }
    }
}

/// How text looks, where there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look(u8);

/// As any text.
pub const PLAIN: Look = Look(0);
/// Titles of columns.
pub const TITLE: Look = Look(1);
/// What went wrong: violations, failures.
pub const BAD: Look = Look(2);
/// What goes on: it is open, it lives.
pub const LIVE: Look = Look(3);
/// What is there to look up: identifiers, proof.
pub const FAINT: Look = Look(4);
/// Names.
pub const NAME: Look = Look(5);

impl Look {
    /// In one byte, for a row that is kept.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// That of [`Look::byte`].
    pub fn of_byte(byte: u8) -> Self {
        Self(byte)
    }

    fn style(self) -> Style {
        match self {
            TITLE => Style::new().bold(),
            BAD => AnsiColor::Red.on_default().bold(),
            LIVE => AnsiColor::Green.on_default(),
            FAINT => Style::new().dimmed(),
            NAME => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        }
    }
}
