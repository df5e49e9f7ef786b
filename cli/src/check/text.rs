// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `--format text`: like a compiler, with the place underlined.

use super::finding::{Finding, Rule, Severity};
use super::{Problem, Reporter, Totals};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::io::{self, Write};

/// Writes findings to `W`.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    renderer: Renderer,
}

impl<W: Write> Text<W> {
    /// For a terminal of `width` columns, with colour or without.
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
        }
    }
}

impl<W: Write> Reporter for Text<W> {
    fn finding(&mut self, name: &str, finding: &Finding) -> io::Result<()> {
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
        writeln!(self.out, "{}\n", self.renderer.render(&[group]))
    }

    fn absent(&mut self, rule: Rule) -> io::Result<()> {
        let text = format!("--expect {0}: nothing was found by {0}", rule.name());
        let group = annotate_snippets::Group::with_title(Level::ERROR.primary_title(text.as_str()));
        writeln!(self.out, "{}\n", self.renderer.render(&[group]))
    }

    fn problem(&mut self, problem: &Problem) -> io::Result<()> {
        let text = problem.to_string();
        let title = Level::ERROR.primary_title(text.as_str());
        let group = annotate_snippets::Group::with_title(title);
        writeln!(self.out, "{}\n", self.renderer.render(&[group]))
    }

    fn end(&mut self, totals: &Totals) -> io::Result<()> {
        let count = |number: u64, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {many}"),
        };
        let mut parts = vec![format!(
            "{}, {} judged",
            count(totals.records, "record", "records"),
            totals.judged
        )];
        if totals.errors + totals.notes == 0 {
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
