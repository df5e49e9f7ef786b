// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads all requested logs as one sequence of lines.

use super::block::Prefetch;
use super::copies::{Again, Copies, Repeated};
use super::lines::{self, Lines, Raw};
use super::open::{self, hint};
use super::order::Group;
use super::parallel::{How, ParallelReader};
use super::progress::Progress;
use super::sample::{self, Sample};
use super::sorted::Sorted;
use super::wanted::Wanted;
use super::{order, system};
use crate::record::form::{self, Form};
use crate::record::head::{self, Parsed};
use crate::record::host::Hosts;
use crate::record::loss::{self, Losses};
use crate::record::place::Place;
use crate::record::value::printable;
use crate::record::{Head, Type};
use dmns_audit_uapi::types::RecordType;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A log that could not be read, or not to its end.
#[derive(Debug)]
pub struct Problem {
    /// The file, or `<stdin>`.
    pub name: String,
    /// The number of lines that were read.
    pub lines: u64,
    /// The error.
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

/// The next item of a log.
#[derive(Debug)]
pub enum Step<'a> {
    /// A line, parsed.
    Line(Place, Raw<'a>, Parsed<'a>),
    /// The rest of a file cannot be read. The next file follows.
    Problem(Problem),
}

/// The size from which a file is searched on more than one processor.
const LARGE: u64 = 4 << 20;

/// Device-mapper records with the numbers of the first patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Early {
    /// Their number.
    pub records: u64,
    /// The place of the first.
    pub first: Place,
    /// The type as the log writes it.
    pub name: String,
    /// The type that its fields show.
    pub ty: RecordType,
}

impl Early {
    /// Returns a sentence about them.
    pub fn describe(&self) -> String {
        Self::said(self.ty, self.name.as_bytes()).unwrap_or_default()
    }

    /// Returns a sentence about a record of type `ty`, which a log calls `name`, if it has such a
    /// number.
    pub fn said(ty: RecordType, name: &[u8]) -> Option<String> {
        let now = match ty {
            RecordType::DmCtrl => "URINGOP",
            _ => "OPENAT2",
        };
        Type::is_first_number(name).then(|| {
            format!(
                "{} has the fields of {}: the number of the first patches of 2021 (now {now}); see {}",
                printable(name),
                ty.name(),
                ty.number()
            )
        })
    }
}

/// The source of a file's bytes.
enum From {
    File(PathBuf),
    Stream(Box<dyn Read + Send>, usize),
}

/// A file that is read, or a stream.
enum Current {
    Here(Lines<Box<dyn Read + Send>>),
    Parallel(Box<ParallelReader>),
    Sorted(Box<Sorted<Box<dyn Read + Send>>>),
}

impl Current {
    #[inline(always)]
    fn seek(&mut self, wanted: &Wanted) -> io::Result<bool> {
        match self {
            Self::Here(lines) => lines.seek(wanted),
            Self::Parallel(lines) => lines.seek(wanted),
            Self::Sorted(lines) => lines.seek(wanted),
        }
    }

    #[inline(always)]
    fn found(&self) -> (Raw<'_>, Parsed<'_>) {
        match self {
            Self::Here(lines) => {
                let raw = lines.found();
                (raw, head::parse(raw.text))
            }
            Self::Parallel(lines) => lines.found(),
            Self::Sorted(lines) => lines.found(),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Here(lines) => lines.number(),
            Self::Parallel(lines) => lines.number(),
            Self::Sorted(lines) => lines.number(),
        }
    }

    /// Returns whether a line that was not wanted is a record.
    fn has_records(&self) -> bool {
        match self {
            Self::Here(lines) => lines.has_records(),
            Self::Parallel(lines) => lines.has_records(),
            Self::Sorted(_) => false,
        }
    }
}

/// Files of one log, which are read one after the other.
#[derive(Default)]
struct Source {
    waiting: VecDeque<(String, From)>,
    /// The current file: its number, its lines, its begin, and whether it has a record.
    file: usize,
    current: Option<Current>,
    begin: Vec<u8>,
    records: bool,
    /// The host of records that name none.
    host: Option<Box<[u8]>>,
    /// The time of the last record that was found; before the first one, the time of that.
    now: Option<(u64, u16)>,
    /// A line was found, and not handed out.
    found: bool,
}

/// Lines of several logs.
pub struct Log {
    sources: Vec<Source>,
    /// Records that stand in several of them.
    copies: Option<Copies>,
    /// Records that stand twice in one.
    again: Again,
    /// The lines that may be wanted, and the options for large files.
    ever: Wanted,
    ahead: Option<(Prefetch, How)>,
    names: Vec<String>,
    hosts: Hosts,
    progress: Progress,
    /// Whether any file has a record, and the files without one with their forms.
    records: bool,
    silent: Option<(String, Form)>,
    losses: Losses,
    early: Option<Early>,
    /// The message about hosts that no record names.
    taken: Option<String>,
    /// A record names a host, and one names none.
    named: bool,
    unnamed: bool,
    done: bool,
}

impl Log {
    /// Opens the logs at `paths`, oldest first; `-` is standard input. Without paths, opens the
    /// system's own log.
    ///
    /// # Errors
    ///
    /// If the system has no log, or it may not be listed. A path that cannot be opened is a
    /// [`Step::Problem`] at its turn.
    pub fn open(paths: &[PathBuf]) -> io::Result<Self> {
        Self::of_host(paths, None)
    }

    /// Opens logs. Records that name no host are of the one called `host`.
    ///
    /// # Errors
    ///
    /// See [`Log::open`].
    pub fn of_host(paths: &[PathBuf], host: Option<&str>) -> io::Result<Self> {
        let paths = match paths {
            [] => system::logs(Path::new("/"))?,
            paths => paths.to_vec(),
        };
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
        let groups = order::groups(paths);
        let mut log = Self::of_sources(Vec::new(), progress);
        let named = match host {
            Some(host) => vec![Some(host.as_bytes().into()); groups.len()],
            None => log.name_hosts(&groups),
        };
        for (group, host) in groups.into_iter().zip(named) {
            let now = group.first();
            let waiting = group.paths.into_iter().map(|path| {
                if path == Path::new("-") {
                    let stdin = log.progress.watch(io::stdin());
                    ("<stdin>".to_owned(), From::Stream(Box::new(stdin), 0))
                } else {
                    (path.display().to_string(), From::File(path))
                }
            });
            log.sources.push(Source {
                waiting: waiting.collect(),
                host,
                now,
                ..Source::default()
            });
        }
        log.copies = (log.sources.len() > 1).then(Copies::default);
        Ok(log)
    }

    /// Opens this system's journal.
    ///
    /// # Errors
    ///
    /// If there is no `journalctl`.
    pub fn journal() -> io::Result<Self> {
        Ok(Self::stream(
            "the journal",
            super::journal::journalctl(false)?,
        ))
    }

    /// Creates a log called `name` from `source`.
    pub fn stream(name: &str, source: impl Read + Send + 'static) -> Self {
        let from = From::Stream(Box::new(source), sample::LENGTH);
        let source = Source {
            waiting: [(name.to_owned(), from)].into(),
            ..Source::default()
        };
        Self::of_sources(vec![source], Progress::none())
    }

    fn of_sources(sources: Vec<Source>, progress: Progress) -> Self {
        Self {
            sources,
            copies: None,
            again: Again::default(),
            ever: Wanted::all(),
            ahead: None,
            names: Vec::new(),
            hosts: Hosts::default(),
            progress,
            records: false,
            silent: None,
            losses: Losses::default(),
            early: None,
            taken: None,
            named: false,
            unnamed: false,
            done: false,
        }
    }

    /// Returns the host of the records of each of `groups` that name none, if they may be of
    /// several.
    fn name_hosts(&mut self, groups: &[Group]) -> Vec<Option<Box<[u8]>>> {
        let hosts = super::machines::of(groups);
        self.taken = hosts.said;
        hosts.names
    }

    /// Searches large files on all processors, from the next file on. Then only lines of
    /// `ahead.ever` are found: [`Log::next_step`] must not request others.
    pub fn search_ahead(&mut self, ahead: Prefetch) {
        self.ever = ahead.all();
        self.ahead = How::here().map(|how| (ahead, how));
    }

    /// Opens a file of the log `at`.
    fn open_next(&mut self, at: usize, from: From) -> io::Result<()> {
        let (current, begin) = match from {
            From::File(path) => self.open_file(&path)?,
            From::Stream(stream, most) => here(open::look(stream, most)?),
        };
        let sample = Sample::of(&sample::Fixed, &begin);
        let name = self.names.last().map_or("", String::as_str);
        if let (None, None, Some(host)) = (&self.taken, &self.sources[at].host, sample.other_host())
        {
            let host = String::from_utf8_lossy(host);
            self.taken = Some(format!(
                "{name}: some records name the host {host} and others name none, which are taken for those of another host: \
                 --host {host} takes them for its own"
            ));
        }
        if self.taken.is_none() && sample.is_of_several() {
            self.taken = Some(format!(
                "{name}: the records name no host, and their serial numbers are those of several machines: give each machine a log \
                 of its own, or its name to the records (name_format in auditd.conf)"
            ));
        }
        let source = &mut self.sources[at];
        source.current = Some(current);
        source.begin = begin;
        Ok(())
    }

    fn open_file(&self, path: &Path) -> io::Result<(Current, Vec<u8>)> {
        let (file, plain) = open::file(path)?;
        let large = file.metadata()?.len() >= LARGE;
        let Some((ever, how)) = self.ahead.as_ref().filter(|_| large) else {
            return Ok(here(open::look(self.progress.watch(file), sample::LENGTH)?));
        };
        if plain {
            let begin = begin(&file)?;
            if !is_disordered(&begin) && !open::has_returns(&begin) {
                let lines = ParallelReader::file(file, ever, *how, &self.progress)?;
                return Ok((Current::Parallel(Box::new(lines)), begin));
            }
            return Ok(here(open::look(self.progress.watch(file), sample::LENGTH)?));
        }
        let opened = open::look(self.progress.watch(file), sample::LENGTH)?;
        if !opened.journal && is_disordered(&opened.begin) {
            return Ok(here(opened));
        }
        let lines = ParallelReader::stream(opened.source, ever);
        Ok((Current::Parallel(Box::new(lines)), opened.begin))
    }

    /// Does `work`, which may write to the terminal that shows the progress.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.progress.aside(work)
    }

    /// Returns the name of the file of a [`Place`].
    pub fn name(&self, file: usize) -> &str {
        self.names.get(file).map_or("", String::as_str)
    }

    /// Returns the files that were read so far.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns whether a line of any file was a record.
    pub fn has_records(&self) -> bool {
        self.records
    }

    /// Returns the losses that the log announces.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Returns the records that are in several logs.
    pub fn repeated(&self) -> Option<Repeated> {
        let copies = self.copies.as_ref().and_then(Copies::left_out);
        copies.or_else(|| self.again.left_out.all())
    }

    /// Returns the device-mapper records with the numbers of the first patches.
    pub fn early(&self) -> Option<&Early> {
        self.early.as_ref()
    }

    /// Returns whether each record so far names its host.
    pub fn names_hosts(&self) -> bool {
        self.named && !self.unnamed
    }

    /// Returns the message about hosts that no record names.
    pub fn taken_hosts(&self) -> Option<&str> {
        self.taken.as_deref()
    }

    /// Returns the next line that `wanted` may want, or a problem; `None` at the end.
    pub fn next_step(&mut self, wanted: &Wanted) -> Option<Step<'_>> {
        if self.sources.len() != 1 {
            return self.step_of_all(wanted);
        }
        loop {
            // The borrow checker does not see that a line that is returned ends the loop, so first
            // ask whether there is one.
            match self.sources[0]
                .current
                .as_mut()
                .map(|lines| lines.seek(wanted))
            {
                Some(Ok(true)) => break,
                Some(Ok(false)) => {
                    if let Err(problem) = self.file_ends(0) {
                        return Some(Step::Problem(*problem));
                    }
                }
                Some(Err(error)) => return Some(Step::Problem(*self.problem(0, error))),
                None => match self.begin_file(0) {
                    Ok(true) => {}
                    Ok(false) => return self.end(),
                    Err(problem) => return Some(Step::Problem(*problem)),
                },
            }
        }
        self.hand_out(0)
    }

    /// Returns the next step of several logs.
    fn step_of_all(&mut self, wanted: &Wanted) -> Option<Step<'_>> {
        loop {
            let at = match self.next_of_all(wanted) {
                Ok(Some(at)) => at,
                Ok(None) => return self.end(),
                Err(problem) => return Some(Step::Problem(*problem)),
            };
            if !self.is_copy(at) {
                return self.hand_out(at);
            }
        }
    }

    /// Opens the next file of the log `at`; `false` if there is none.
    fn begin_file(&mut self, at: usize) -> Result<bool, Box<Problem>> {
        let source = &mut self.sources[at];
        let Some((name, from)) = source.waiting.pop_front() else {
            return Ok(false);
        };
        self.names.push(name);
        source.file = self.names.len() - 1;
        source.records = false;
        source.begin = Vec::new();
        match self.open_next(at, from) {
            Ok(()) => Ok(true),
            Err(error) => Err(self.problem(at, error)),
        }
    }

    /// Goes to the next line of the log `at` that `wanted` may want; `false` at its end.
    fn advance(&mut self, at: usize, wanted: &Wanted) -> Result<bool, Box<Problem>> {
        loop {
            let current = self.sources[at].current.as_mut();
            match current.map(|lines| lines.seek(wanted)) {
                Some(Ok(true)) => return Ok(true),
                Some(Ok(false)) => self.file_ends(at)?,
                Some(Err(error)) => return Err(self.problem(at, error)),
                None if self.begin_file(at)? => {}
                None => return Ok(false),
            }
        }
    }

    /// Finds the log with the next line, of several: the records of all come in the order of time.
    fn next_of_all(&mut self, wanted: &Wanted) -> Result<Option<usize>, Box<Problem>> {
        loop {
            let open = |source: &Source| {
                source.found || source.current.is_some() || !source.waiting.is_empty()
            };
            let first = (0..self.sources.len())
                .filter(|&at| open(&self.sources[at]))
                .min_by_key(|&at| (self.sources[at].now.is_none(), self.sources[at].now));
            let Some(at) = first else {
                return Ok(None);
            };
            if self.sources[at].found {
                self.sources[at].found = false;
                let found = self.sources[at].current.as_ref().map(Current::found);
                if found.is_some_and(|(raw, _)| {
                    wanted.may_want(raw.text) || raw.end != lines::End::Newline
                }) {
                    return Ok(Some(at));
                }
                continue;
            }
            let ever = self.ever.clone();
            if !self.advance(at, &ever)? {
                continue;
            }
            let source = &mut self.sources[at];
            source.found = true;
            if let Some((_, Parsed::Record(head))) = source.current.as_ref().map(Current::found) {
                let own = (head.stamp.seconds, head.stamp.millis);
                source.now = Some(source.now.map_or(own, |now| now.max(own)));
            }
        }
    }

    /// Returns whether the line that was found in the log `at` is a record that came before.
    fn is_copy(&mut self, at: usize) -> bool {
        let Some(copies) = &mut self.copies else {
            return false;
        };
        let source = &self.sources[at];
        let Some((raw, Parsed::Record(mut head))) = source.current.as_ref().map(Current::found)
        else {
            return false;
        };
        head.node = head.node.or(source.host.as_deref());
        head.host = self.hosts.number(head.node);
        let place = Place {
            file: source.file,
            line: raw.number,
        };
        let now = source.now.map_or(0, |(seconds, _)| seconds);
        copies.came(&head, at, (place, raw.text), now)
    }

    #[inline(always)]
    fn hand_out(&mut self, at: usize) -> Option<Step<'_>> {
        let source = &mut self.sources[at];
        let (raw, mut parsed) = source.current.as_ref()?.found();
        let place = Place {
            file: source.file,
            line: raw.number,
        };
        match &mut parsed {
            Parsed::Record(head) => {
                source.records = true;
                self.records = true;
                match head.node {
                    Some(_) => self.named = true,
                    None => {
                        self.unnamed = true;
                        head.node = source.host.as_deref();
                    }
                }
                head.host = self.hosts.number(head.node);
                if let Some(copies) = &self.copies {
                    head.host = copies.host(head.host);
                }
                match head.ty {
                    Type::Other if loss::may_be_record(head.name) => {
                        if let Some(loss) = loss::of_record(head.name, head.body) {
                            self.losses.add(loss, place);
                        }
                    }
                    Type::Ours(ty) if Type::is_first_number(head.name) => {
                        is_early(&mut self.early, head, ty, place);
                    }
                    _ => {}
                }
                if self.copies.is_none() && self.again.came(head, place, raw.text) {
                    parsed = Parsed::Foreign;
                }
            }
            Parsed::Loss(loss) => self.losses.add(*loss, place),
            Parsed::Foreign | Parsed::Broken(_) => {}
        }
        Some(Step::Line(place, raw, parsed))
    }

    /// Ends the file of the log `at`. A file without any record is a problem, unless it is the
    /// kernel's log or a syslog and others have records.
    fn file_ends(&mut self, at: usize) -> Result<(), Box<Problem>> {
        let source = &mut self.sources[at];
        let Some(current) = source.current.take() else {
            return Ok(());
        };
        let begin = std::mem::take(&mut source.begin);
        let records = source.records || current.has_records() || current.number() == 0;
        if records || has_records(&begin) {
            self.records |= current.number() > 0;
            return Ok(());
        }
        if is_nothing(&begin) {
            return Ok(());
        }
        let name = self.names[source.file].clone();
        let (form, line) = form::of_lines(&begin);
        match form {
            Form::Syslog | Form::Text => {
                self.silent.get_or_insert((name, form));
                Ok(())
            }
            form => Err(Box::new(Problem {
                name,
                lines: 0,
                error: unreadable(form, line),
            })),
        }
    }

    /// Ends all logs.
    fn end(&mut self) -> Option<Step<'static>> {
        self.progress.done();
        if std::mem::replace(&mut self.done, true) || self.records {
            return None;
        }
        let (name, form) = self.silent.take()?;
        Some(Step::Problem(Problem {
            name,
            lines: 0,
            error: unreadable(form, None),
        }))
    }

    /// Returns the problem. The text before the error stays, and comes next.
    #[cold]
    fn problem(&mut self, at: usize, error: io::Error) -> Box<Problem> {
        let source = &mut self.sources[at];
        // It is said once.
        source.begin = Vec::new();
        Box::new(Problem {
            name: self
                .names
                .last()
                .map_or(String::new(), |_| self.names[source.file].clone()),
            lines: source.current.as_ref().map_or(0, Current::number),
            error,
        })
    }
}

/// Returns the lines of a stream, in the order of the kernel.
fn here(opened: open::Opened) -> (Current, Vec<u8>) {
    let lines = Lines::new(opened.source);
    let order = match opened.journal {
        true => sample::Order::Kernel,
        false => sample::order(&opened.begin),
    };
    let current = match order {
        sample::Order::Kernel => Current::Here(lines),
        other => {
            let divided = other == sample::Order::Divided;
            Current::Sorted(Box::new(Sorted::new(lines, divided)))
        }
    };
    // A line from a journal entry is a record or nothing.
    let begin = if opened.journal {
        Vec::new()
    } else {
        opened.begin
    };
    (current, begin)
}

fn is_disordered(begin: &[u8]) -> bool {
    sample::order(begin) != sample::Order::Kernel
}

/// Reads the begin of `file`.
fn begin(file: &File) -> io::Result<Vec<u8>> {
    let mut begin = vec![0; sample::LENGTH];
    let mut length = 0;
    while length < begin.len() {
        match file.read_at(&mut begin[length..], length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    begin.truncate(length);
    Ok(begin)
}

fn has_records(begin: &[u8]) -> bool {
    begin.split(|&byte| byte == b'\n').any(lines::is_record)
}

/// Returns whether `begin` has no content that could be unreadable.
pub(crate) fn is_nothing(begin: &[u8]) -> bool {
    let nothing = |line: &[u8]| {
        let line = line.trim_ascii();
        line.is_empty()
            || line == b"----"
            || line == b"<no matches>"
            || line.starts_with(b"time->")
            || line.starts_with(b"-- ")
    };
    begin.split(|&byte| byte == b'\n').all(nothing)
}

/// Returns the error of an input that is a `form`, as its `line` shows.
pub(crate) fn unreadable(form: Form, line: Option<u64>) -> io::Error {
    let (what, instead) = (form.describe(), form.instead());
    let text = match line {
        Some(line) => format!("line {line} is {what}: {instead}"),
        None => format!("this is {what}: {instead}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn is_early(early: &mut Option<Early>, head: &Head<'_>, ty: RecordType, place: Place) {
    match early {
        Some(early) => early.records += 1,
        None => {
            *early = Some(Early {
                records: 1,
                first: place,
                name: String::from_utf8_lossy(head.name).into_owned(),
                ty,
            });
        }
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
    fn what_cannot_be_read_is_reported_at_its_turn_and_the_rest_is_read() {
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
                "cannot read absent",
                // Nothing in it is a record.
                "cannot read a.log.2"
            ]
        );
        assert_eq!(log.name(2), at("a.log").display().to_string());
    }
}
