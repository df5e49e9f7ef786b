// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `--format text`: like a compiler, with the place underlined.

use super::finding::{Finding, Rule, Severity};
use super::{Problem, Reporter, Totals};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use hashbrown::HashMap;
use std::io::{self, Write};

/// The maximum number of causes that are counted at a time. Beyond it, all are printed first.
const CAUSES: usize = 1024;

/// The maximum number of places that are named for a cause.
const PLACES: usize = 5;

/// Writes findings to `W`: each cause once, with its count.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    renderer: Renderer,
    /// Print each finding.
    pub all: bool,
    causes: Vec<Cause>,
    known: HashMap<Key, usize>,
}

/// The identity of a cause: rule, severity, and the message without its numbers.
type Key = (Rule, Severity, String);

/// Findings of one cause.
#[derive(Debug)]
struct Cause {
    name: String,
    first: Finding,
    /// The number of further findings, and the places of the first of them.
    more: u64,
    places: Vec<(String, u64)>,
}

/// Returns `message` without its numbers.
fn template(message: &str) -> String {
    let mut template = String::with_capacity(message.len());
    for letter in message.chars() {
        match letter.is_ascii_digit() {
            true if template.ends_with('#') => {}
            true => template.push('#'),
            false => template.push(letter),
        }
    }
    template
}

impl Cause {
    /// `4999 more like it, in lines 2, 3, 4, 5, 6 and after; --all prints each`
    fn more(&self) -> Option<String> {
        if self.more == 0 {
            return None;
        }
        let here = self.places.iter().all(|(name, _)| *name == self.name);
        let place = |(name, line): &(String, u64)| match here {
            true => line.to_string(),
            false => format!("{name}:{line}"),
        };
        let places: Vec<_> = self.places.iter().map(place).collect();
        let lines = match (here, places.len()) {
            (true, 1) => "in line ",
            (true, _) => "in lines ",
            (false, _) => "",
        };
        let after = if self.more > self.places.len() as u64 {
            ", ..."
        } else {
            ""
        };
        Some(format!(
            "{} more like it, {lines}{}{after}; --all prints each",
            self.more,
            places.join(", ")
        ))
    }
}

impl<W: Write> Text<W> {
    /// Creates a reporter for a terminal of `width` columns, with colour or without.
    pub fn new(out: W, colour: bool, width: usize) -> Self {
        let renderer = match colour {
            true => Renderer::styled(),
            false => Renderer::plain(),
        };
        Self {
            out,
            renderer: renderer
                .decor_style(DecorStyle::Ascii)
                .term_width(width.max(60)),
            all: false,
            causes: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Prints the counted causes.
    fn counted(&mut self) -> io::Result<()> {
        self.known.clear();
        for cause in std::mem::take(&mut self.causes) {
            let more = cause.more();
            self.print(&cause.name, &cause.first, more.as_deref())?;
        }
        Ok(())
    }

    fn print(&mut self, name: &str, finding: &Finding, more: Option<&str>) -> io::Result<()> {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Note => Level::NOTE,
        };
        // A place at the end of the record, where something is missing.
        let mut line = finding.line.clone();
        let mut span = finding.span.clone();
        if span.is_empty() {
            line.push(' ');
            span = line.len() - 1..line.len();
        }
        let mut annotation = AnnotationKind::Primary.span(span);
        if !finding.label.is_empty() {
            annotation = annotation.label(finding.label.as_str());
        }
        let snippet = Snippet::source(line.as_str())
            .path(name)
            .line_start(finding.place.line as usize)
            .annotation(annotation);
        let mut group = level
            .primary_title(finding.message.as_str())
            .id(finding.rule.name())
            .element(snippet)
            .element(
                Level::NOTE
                    .with_name("contract")
                    .message(finding.contract.as_str()),
            );
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        if let Some(more) = more {
            group = group.element(Level::NOTE.with_name("more").message(more));
        }
        writeln!(self.out, "{}\n", self.renderer.render(&[group]))
    }
}

impl<W: Write> Reporter for Text<W> {
    fn finding(&mut self, name: &str, finding: &Finding) -> io::Result<()> {
        if self.all {
            return self.print(name, finding, None);
        }
        let key = (finding.rule, finding.severity, template(&finding.message));
        if let Some(at) = self.known.get(&key) {
            let cause = &mut self.causes[*at];
            cause.more += 1;
            if cause.places.len() < PLACES {
                cause.places.push((name.to_owned(), finding.place.line));
            }
            return Ok(());
        }
        if self.causes.len() == CAUSES {
            self.counted()?;
        }
        self.known.insert(key, self.causes.len());
        self.causes.push(Cause {
            name: name.to_owned(),
            first: finding.clone(),
            more: 0,
            places: Vec::new(),
        });
        Ok(())
    }

    fn unmet(&mut self, rule: Rule) -> io::Result<()> {
        self.counted()?;
        let text = format!("--expect {0}: nothing was found by {0}", rule.name());
        let group = annotate_snippets::Group::with_title(Level::ERROR.primary_title(text.as_str()));
        writeln!(self.out, "{}\n", self.renderer.render(&[group]))
    }

    fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        self.counted()?;
        let text = problem.to_string();
        let title = Level::ERROR.primary_title(text.as_str());
        let group = annotate_snippets::Group::with_title(title);
        writeln!(self.out, "{}\n", self.renderer.render(&[group]))
    }

    fn end(&mut self, totals: &Totals) -> io::Result<()> {
        self.counted()?;
        let count = |number: u64, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {many}"),
        };
        let mut parts = vec![format!(
            "{}, {} judged",
            count(totals.records, "record", "records"),
            totals.judged
        )];
        if totals.errors + totals.notes + totals.problems == 0 {
            parts.push("nothing found".to_owned());
        }
        if totals.errors > 0 {
            parts.push(count(totals.errors, "error", "errors"));
        }
        if totals.notes > 0 {
            parts.push(count(totals.notes, "note", "notes"));
        }
        if totals.problems > 0 {
            parts.push(format!(
                "{} not read to the end",
                count(totals.problems, "log", "logs")
            ));
        }
        writeln!(self.out, "{}", parts.join(", "))?;
        self.out.flush()
    }
}
