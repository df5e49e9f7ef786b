// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit scrub`: reads a device once, in the background, and reports what cannot be read, by file. It never writes
//! to a device.
//!
//! - [`read`]: reads a device.
//! - [`pace`]: the rate.
//! - [`point`]: where a scrub continues.
//! - [`legs`]: whether an array below is degraded.

pub mod legs;
pub mod pace;
pub mod point;
pub mod read;

use crate::locate::effort::Effort;
use crate::locate::stack::Stack;
use crate::locate::{self, kernel, show};
use crate::terminal::Terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pace::Pace;
use point::{Point, Points};
use read::Reader;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Number of bad sectors for which files are looked up at once.
const AT_ONCE: usize = 4096;

/// For how long a bad sector waits for others.
const WAITS: Duration = Duration::from_secs(5);

/// How often the point is written to which a scrub has come.
const NOTES: Duration = Duration::from_secs(10);

/// Options of `scrub`.
#[derive(Clone, Debug)]
pub struct ScrubOptions {
    /// Bytes in a second.
    pub rate: Option<u64>,
    /// End after this time, and continue there the next time.
    pub limit: Option<Duration>,
    /// Begin anew, wherever the last scrub ended.
    pub restart: bool,
    /// The folder for the points where scrubs continue.
    pub state: PathBuf,
    /// One JSON object a line.
    pub json: bool,
    /// Set by a signal: end, and continue there the next time.
    pub stop: Arc<AtomicBool>,
}

/// How a scrub of a device ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Number of sectors that cannot be read.
    pub bad: u64,
    /// It came to the end of the device.
    pub whole: bool,
}

/// Scrubs the device that a person calls `text`.
///
/// # Errors
///
/// Fails if there is no such device, an array below is degraded, or `out` cannot be written to.
pub fn scrub(
    text: &str,
    options: &ScrubOptions,
    terminal: &Terminal,
    out: &mut dyn Write,
) -> io::Result<Outcome> {
    let stack = Stack::of_machine();
    let device = stack.number(text)?;
    let named = match stack.name(&device) {
        Some(name) => format!("{device} ({name})"),
        None => device.clone(),
    };
    if let Some(degraded) = legs::degraded(&stack, &device)? {
        return Err(io::Error::other(format!(
            "{named} is not read: {degraded}. A read that fails would find no other copy; repair the array first"
        )));
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{text}: not in /dev"));
    let path = stack.path(&device).ok_or_else(none)?;
    let mut reader = Reader::open(&path)?;
    // Without it, it is only less polite.
    let _ = kernel::idle_io();
    let points = Points::in_folder(&options.state);
    let identity = stack.identity(&device);
    let mut point = match options.restart {
        true => None,
        false => points.of(&identity, reader.size()),
    }
    .unwrap_or_else(|| Point::new(&identity, reader.size()));
    let from = point.position;
    if from > 0 {
        note(
            options,
            out,
            &format!("{named}: continues at sector {}", from / 512),
        )?;
    }
    let mut work = Work {
        stack: &stack,
        device: &device,
        options,
        terminal,
        pending: Vec::new(),
        since: None,
    };
    let bar = progress(reader.size(), from, &named);
    let mut pace = Pace::new(options.rate);
    let (begin, mut noted) = (Instant::now(), Instant::now());
    let is_up = |begin: Instant| {
        options.stop.load(Ordering::Relaxed)
            || options.limit.is_some_and(|limit| begin.elapsed() >= limit)
    };
    while point.position < reader.size() && !is_up(begin) {
        let mut bad = Vec::new();
        let length = reader.read(point.position, &mut bad)?;
        point.position += length;
        point.bad += bad.len() as u64;
        work.add(bad);
        bar.set_position(point.position);
        if work.is_due() {
            bar.suspend(|| work.flush(out))?;
        }
        if noted.elapsed() >= NOTES {
            noted = Instant::now();
            points.save(&point)?;
            // An array may lose a leg meanwhile.
            if let Some(degraded) = legs::degraded(&stack, &device)? {
                bar.finish_and_clear();
                work.flush(out)?;
                return Err(io::Error::other(format!(
                    "{named} is not read any more, at sector {}: {degraded}",
                    point.position / 512
                )));
            }
        }
        pace.after(length, &options.stop);
    }
    bar.finish_and_clear();
    work.flush(out)?;
    let outcome = Outcome {
        bad: point.bad,
        whole: point.position >= reader.size(),
    };
    match outcome.whole {
        true => points.remove(&point)?,
        false => points.save(&point)?,
    }
    summary(&named, from, &point, outcome, begin.elapsed(), options, out)?;
    Ok(outcome)
}

/// Bad sectors, until their files are looked up.
struct Work<'a> {
    stack: &'a Stack,
    device: &'a str,
    options: &'a ScrubOptions,
    terminal: &'a Terminal,
    pending: Vec<u64>,
    since: Option<Instant>,
}

impl Work<'_> {
    fn add(&mut self, bad: Vec<u64>) {
        if !bad.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.pending.extend(bad);
        }
    }

    fn is_due(&self) -> bool {
        self.pending.len() >= AT_ONCE || self.since.is_some_and(|since| since.elapsed() >= WAITS)
    }

    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let questions: Vec<(String, u64)> = (self.pending.drain(..))
            .map(|sector| (self.device.to_owned(), sector))
            .collect();
        self.since = None;
        let limit = Some(Duration::from_secs(600));
        let answers = locate::locate(self.stack, &questions, &Effort::new(limit));
        match self.options.json {
            true => show::json(&answers, out)?,
            false => show::lines(&answers, self.terminal, out)?,
        }
        out.flush()
    }
}

fn progress(size: u64, from: u64, named: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(2);
    let bar = ProgressBar::with_draw_target(Some(size), target);
    let template = "{msg}: {bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} to go";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(named.to_owned());
    bar.set_position(from);
    bar.reset_eta();
    bar
}

fn note(options: &ScrubOptions, out: &mut dyn Write, text: &str) -> io::Result<()> {
    match options.json {
        true => writeln!(out, "{}", json!({ "kind": "note", "text": text })),
        false => writeln!(out, "{text}"),
    }
}

fn summary(
    named: &str,
    from: u64,
    point: &Point,
    outcome: Outcome,
    taken: Duration,
    options: &ScrubOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let read = point.position - from;
    if options.json {
        let object = json!({
            "kind": "scrub",
            "device": named,
            "from": from / 512,
            "to": point.position / 512,
            "size": point.size / 512,
            "whole": outcome.whole,
            "bad": outcome.bad,
            "seconds": taken.as_secs_f64(),
        });
        return writeln!(out, "{object}");
    }
    let what = match outcome.bad {
        0 => "all could be read".to_owned(),
        1 => "1 sector cannot be read".to_owned(),
        n => format!("{n} sectors cannot be read"),
    };
    let end = match outcome.whole {
        true => String::new(),
        false => format!(
            "; ended at sector {} of {}, where the next scrub continues",
            point.position / 512,
            point.size / 512
        ),
    };
    let seconds = taken.as_secs_f64();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    writeln!(
        out,
        "{named}: {:.1} MiB read in {seconds:.1} s ({:.1} MiB/s), {what}{end}",
        mib(read as f64),
        mib(read as f64 / seconds.max(0.001)),
    )
}
