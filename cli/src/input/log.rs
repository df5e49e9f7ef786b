// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! All logs that were asked for, as one sequence of lines.

use super::beside::{Beside, How};
use super::block::Ahead;
use super::lines::{Lines, Raw};
use super::progress::Progress;
use super::wanted::Wanted;
use super::{hint, open, order, system};
use crate::record::head::{self, Parsed};
use crate::record::host::Hosts;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Which file; [`Log::name`] has its name.
    pub file: usize,
    /// Which line of it; the first is 1.
    pub line: u64,
}

/// A log that could not be read, or not to its end.
#[derive(Debug)]
pub struct Problem {
    /// The file, or `<stdin>`.
    pub name: String,
    /// How many lines of it were read.
    pub lines: u64,
    /// Why not more.
    pub error: io::Error,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = hint(&self.error);
        match self.lines {
            0 => write!(f, "{}: {}{hint}", self.name, self.error),
            lines => write!(f, "{}: after line {lines}: {}{hint}", self.name, self.error),
        }
    }
}

/// What a log brings next.
#[derive(Debug)]
pub enum Step<'a> {
    /// A line, and what it is.
    Line(Place, Raw<'a>, Parsed<'a>),
    /// The rest of a file is out of reach. The next file comes next.
    Problem(Problem),
}

/// From this many bytes on, a file is searched on more than one processor.
const LARGE: u64 = 4 << 20;

enum Source {
    File(PathBuf),
    Stream(Box<dyn Read + Send>),
}

/// A file that is read, or a stream.
enum Current {
    Here(Lines<Box<dyn Read + Send>>),
    Beside(Box<Beside>),
}

impl Current {
    fn seek(&mut self, wanted: &Wanted) -> io::Result<bool> {
        match self {
            Self::Here(lines) => lines.seek(wanted),
            Self::Beside(lines) => lines.seek(wanted),
        }
    }

    fn found(&self) -> (Raw<'_>, Parsed<'_>) {
        match self {
            Self::Here(lines) => {
                let raw = lines.found();
                (raw, head::parse(raw.text))
            }
            Self::Beside(lines) => lines.found(),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Here(lines) => lines.number(),
            Self::Beside(lines) => lines.number(),
        }
    }
}

/// Lines of several logs.
pub struct Log {
    waiting: VecDeque<(String, Source)>,
    current: Option<Current>,
    /// What may ever be wanted, where large files are searched on more than one processor.
    ahead: Option<(Ahead, How)>,
    names: Vec<String>,
    hosts: Hosts,
    progress: Progress,
}

impl Log {
    /// The logs at `paths`, oldest first; `-` is standard input. None: the system's own log.
    ///
    /// # Errors
    ///
    /// Where the system has no log, or it may not be listed. A path that cannot be opened is a
    /// [`Step::Problem`] at its turn.
    pub fn open(paths: &[PathBuf]) -> io::Result<Self> {
        let mut paths = match paths {
            [] => system::logs(Path::new("/"))?,
            paths => paths.to_vec(),
        };
        order::sort(&mut paths);
        let piped = paths.iter().any(|path| path == Path::new("-"));
        let total = match piped {
            true => 0,
            false => paths
                .iter()
                .filter_map(|path| fs::metadata(path).ok())
                .map(|about| about.len())
                .sum(),
        };
        let progress = Progress::of(total);
        let waiting = paths
            .into_iter()
            .map(|path| {
                if path == Path::new("-") {
                    let stdin = progress.watch(io::stdin());
                    ("<stdin>".to_owned(), Source::Stream(Box::new(stdin)))
                } else {
                    (path.display().to_string(), Source::File(path))
                }
            })
            .collect();
        Ok(Self {
            waiting,
            current: None,
            ahead: None,
            names: Vec::new(),
            hosts: Hosts::default(),
            progress,
        })
    }

    /// What this system's journal has.
    ///
    /// # Errors
    ///
    /// Where there is no `journalctl`.
    pub fn journal() -> io::Result<Self> {
        Ok(Self::stream(
            "the journal",
            super::journal::journalctl(false)?,
        ))
    }

    /// One log, called `name`, that `source` brings.
    pub fn stream(name: &str, source: impl Read + Send + 'static) -> Self {
        Self {
            waiting: [(name.to_owned(), Source::Stream(Box::new(source)))].into(),
            current: None,
            ahead: None,
            names: Vec::new(),
            hosts: Hosts::default(),
            progress: Progress::none(),
        }
    }

    /// From the next file on, searches large ones on all processors, ahead of who asks. No more than `ahead.ever` is
    /// found then: that has to be all that [`Log::next_step`] is ever asked for.
    pub fn search_ahead(&mut self, ahead: Ahead) {
        self.ahead = How::here().map(|how| (ahead, how));
    }

    fn open_next(&self, source: Source) -> io::Result<Current> {
        let (path, ahead) = match (source, &self.ahead) {
            (Source::File(path), ahead) => (path, ahead),
            (Source::Stream(stream), _) => {
                return Ok(Current::Here(Lines::new(open::stream(stream)?)));
            }
        };
        let (file, plain) = open::file(&path)?;
        let large = file.metadata()?.len() >= LARGE;
        match ahead.as_ref().filter(|_| large) {
            Some((ever, how)) if plain => {
                let lines = Beside::file(file, ever, *how, &self.progress)?;
                Ok(Current::Beside(Box::new(lines)))
            }
            Some((ever, _)) => {
                let stream = open::stream(self.progress.watch(file))?;
                Ok(Current::Beside(Box::new(Beside::stream(stream, ever))))
            }
            None => {
                let stream = open::stream(self.progress.watch(file))?;
                Ok(Current::Here(Lines::new(stream)))
            }
        }
    }

    /// Does `work`, which writes, perhaps to the terminal that shows how far the reading is.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.progress.aside(work)
    }

    /// What the file of a [`Place`] is called.
    pub fn name(&self, file: usize) -> &str {
        self.names.get(file).map_or("", String::as_str)
    }

    /// The files that were read so far.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The next line that `wanted` may want, or what is in its way; `None` at the end.
    pub fn next_step(&mut self, wanted: &Wanted) -> Option<Step<'_>> {
        loop {
            if self.current.is_none() {
                let Some((name, source)) = self.waiting.pop_front() else {
                    self.progress.done();
                    return None;
                };
                self.names.push(name);
                match self.open_next(source) {
                    Ok(lines) => self.current = Some(lines),
                    Err(error) => return Some(self.problem(error)),
                }
            }
            // The borrow checker does not see that a line that is returned ends the loop, so first ask
            // whether there is one.
            match self.current.as_mut().map(|lines| lines.seek(wanted)) {
                Some(Ok(true)) => break,
                Some(Err(error)) => return Some(self.problem(error)),
                Some(Ok(false)) | None => self.current = None,
            }
        }
        let file = self.names.len() - 1;
        let (raw, mut parsed) = self.current.as_ref()?.found();
        if let Parsed::Record(head) = &mut parsed {
            head.host = self.hosts.number(head.node);
        }
        let place = Place {
            file,
            line: raw.number,
        };
        Some(Step::Line(place, raw, parsed))
    }

    /// What was read of the file before the error stays, and comes next.
    fn problem(&mut self, error: io::Error) -> Step<'static> {
        let lines = self.current.as_ref().map_or(0, Current::number);
        Step::Problem(Problem {
            name: self.names.last().cloned().unwrap_or_default(),
            lines,
            error,
        })
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("names", &self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_at_its_turn_and_the_rest_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.log.2"), "one\ntwo").expect("written");
        fs::write(at("a.log.1"), b"\x1f\x8bnot gzip").expect("written");
        fs::write(at("a.log"), "three\n").expect("written");
        let mut log = Log::open(&["a.log", "a.log.1", "a.log.2", "absent"].map(at)).expect("a log");
        let mut seen = Vec::new();
        while let Some(step) = log.next_step(&Wanted::all()) {
            seen.push(match step {
                Step::Line(place, raw, _) => format!(
                    "{}:{} {}",
                    place.file,
                    place.line,
                    String::from_utf8_lossy(raw.text)
                ),
                Step::Problem(problem) => format!(
                    "cannot read {}",
                    Path::new(&problem.name)
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                ),
            });
        }
        assert_eq!(
            seen,
            [
                "0:1 one",
                "0:2 two",
                "cannot read a.log.1",
                "2:1 three",
                "cannot read absent"
            ]
        );
        assert_eq!(log.name(2), at("a.log").display().to_string());
    }
}
