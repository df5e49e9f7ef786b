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

    /// `text` in `style`, if there is colour.
    pub fn paint(&self, style: Style, text: &str) -> String {
        match self.colour && !text.is_empty() {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}

/// Titles of columns.
pub const TITLE: Style = Style::new().bold();
/// What went wrong: violations, failures.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What goes on: it is open, it lives.
pub const LIVE: Style = AnsiColor::Green.on_default();
/// What is there to look up: identifiers, proof.
pub const FAINT: Style = Style::new().dimmed();
/// Names.
pub const NAME: Style = AnsiColor::Cyan.on_default();
