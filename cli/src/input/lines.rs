// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Cuts a stream into lines. The buffer does not grow: a line that is too long is cut.

use super::wanted::Wanted;
use crate::record::head::{self, Parsed};
use std::io::{self, Read};

/// The number of bytes of a read. It fits the second-level cache, where the search for the ends of
/// lines is faster than memory.
const BLOCK: usize = 256 * 1024;

/// The longest line handed out whole. The kernel's longest record has 8970 bytes (C:
/// `MAX_AUDIT_MESSAGE_LENGTH` in `libaudit.h`); auditd's names for its numbers come on top.
pub const LONGEST: usize = 64 * 1024;

/// A line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Its text, without the newline. A line longer than [`LONGEST`] is cut.
    pub text: &'a [u8],
    /// The number of the line in the file; the first is 1.
    pub number: u64,
    /// The end of the line.
    pub end: End,
}

/// The end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a newline.
    Newline,
    /// With the file: the writer may not have been done.
    File,
    /// It is longer than [`LONGEST`]; the rest is left out.
    Cut,
}

/// Lines of `R`, in order.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Box<[u8]>,
    /// `buffer[start..end]` is read and not handed out.
    start: usize,
    end: usize,
    /// The number of lines that were handed out or left out.
    number: u64,
    /// Inside a line that was cut: leave out all up to its newline.
    cutting: bool,
    at_end: bool,
    /// The place of the line that was found last.
    found: (usize, usize, End),
    /// Whether a line that was not wanted is a record.
    records: bool,
}

impl<R: Read> Lines<R> {
    /// Creates a reader of `source`, which need not be buffered.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BLOCK + LONGEST].into_boxed_slice(),
            start: 0,
            end: 0,
            number: 0,
            cutting: false,
            at_end: false,
            found: (0, 0, End::Newline),
            records: false,
        }
    }

    /// Returns whether a line that was not wanted is a record.
    pub fn has_records(&self) -> bool {
        self.records
    }

    /// Returns the number of lines so far.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the next line that `wanted` may want; `None` at the end. After an error, the rest is
    /// the last line.
    pub fn next_line(&mut self, wanted: &Wanted) -> io::Result<Option<Raw<'_>>> {
        Ok(self.seek(wanted)?.then(|| self.found()))
    }

    /// Goes to the next line that `wanted` may want; `false` at the end. [`Lines::found`] has it.
    pub fn seek(&mut self, wanted: &Wanted) -> io::Result<bool> {
        loop {
            match memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                Some(length) => {
                    let from = self.start;
                    self.start += length + 1;
                    if std::mem::take(&mut self.cutting) {
                        continue;
                    }
                    self.number += 1;
                    if length > LONGEST {
                        self.found = (from, from + LONGEST, End::Cut);
                        return Ok(true);
                    }
                    if wanted.may_want(&self.buffer[from..from + length]) {
                        self.found = (from, from + length, End::Newline);
                        return Ok(true);
                    }
                    if !self.records {
                        self.records = is_record(&self.buffer[from..from + length]);
                    }
                }
                None if self.end - self.start > LONGEST => {
                    let from = self.start;
                    self.start = self.end;
                    if !std::mem::replace(&mut self.cutting, true) {
                        self.number += 1;
                        self.found = (from, from + LONGEST, End::Cut);
                        return Ok(true);
                    }
                }
                None if self.at_end => {
                    let from = std::mem::replace(&mut self.start, self.end);
                    if from == self.end || self.cutting {
                        return Ok(false);
                    }
                    self.number += 1;
                    self.found = (from, self.end, End::File);
                    return Ok(true);
                }
                None => self.fill()?,
            }
        }
    }

    /// Returns the line that [`Lines::seek`] found last.
    pub fn found(&self) -> Raw<'_> {
        let (from, to, end) = self.found;
        Raw {
            text: &self.buffer[from..to],
            number: self.number,
            end,
        }
    }

    /// Moves the rest to the front, and reads a block after it.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let limit = (self.end + BLOCK).min(self.buffer.len());
        loop {
            match self.source.read(&mut self.buffer[self.end..limit]) {
                Ok(length) => {
                    self.end += length;
                    self.at_end = length == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.at_end = true;
                    return Err(error);
                }
            }
        }
    }
}

/// Returns whether `line` is a record.
#[cold]
pub(super) fn is_record(line: &[u8]) -> bool {
    matches!(head::parse(line), Parsed::Record(_))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out `text` in pieces of the given sizes.
    struct Dribble<'a>(&'a [u8], Vec<usize>);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let piece = self.1.pop().unwrap_or(7).max(1);
            let length = piece.min(out.len()).min(self.0.len());
            out[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn all(source: impl Read) -> Vec<(Vec<u8>, u64, End)> {
        let mut lines = Lines::new(source);
        let mut found = Vec::new();
        while let Some(raw) = lines.next_line(&Wanted::all()).expect("no error") {
            found.push((raw.text.to_vec(), raw.number, raw.end));
        }
        found
    }

    proptest! {
        #[test]
        fn lines_joined_are_the_text(text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
                                     pieces in prop::collection::vec(1usize..50, 0..20)) {
            let lines = all(Dribble(&text, pieces));
            let mut joined = Vec::new();
            for (i, (line, number, end)) in lines.iter().enumerate() {
                prop_assert_eq!(*number, i as u64 + 1);
                joined.extend_from_slice(line);
                if *end == End::Newline {
                    joined.push(b'\n');
                }
            }
            prop_assert_eq!(joined, text);
        }
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_whole() {
        for length in [
            LONGEST,
            LONGEST + 1,
            BLOCK,
            BLOCK + LONGEST + 1,
            3 * BLOCK + 5,
        ] {
            let mut text = vec![b'x'; length];
            text.extend_from_slice(b"\nnext\n");
            let lines = all(&text[..]);
            let cut = lines[0].2 == End::Cut;
            assert!(cut || lines[0].0.len() == length, "{length}");
            assert!(!cut || lines[0].0.len() == LONGEST, "{length}");
            assert_eq!(lines[1..], [(b"next".to_vec(), 2, End::Newline)]);
        }
        let endless = vec![0u8; 5 * BLOCK];
        assert_eq!(all(&endless[..]).len(), 1);
    }

    /// Brings a line and a half, then an error, then the end.
    #[derive(Default)]
    pub(in crate::input) struct Broken(bool);

    impl Read for Broken {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::other("bad disk"));
            }
            out[..4].copy_from_slice(b"a\nbc");
            Ok(4)
        }
    }

    #[test]
    fn an_error_comes_after_what_could_be_read() {
        let mut lines = Lines::new(Broken::default());
        let wanted = Wanted::all();
        assert_eq!(
            lines
                .next_line(&wanted)
                .expect("a line")
                .expect("a line")
                .text,
            b"a"
        );
        assert!(lines.next_line(&wanted).is_err());
        let rest = lines
            .next_line(&wanted)
            .expect("the rest")
            .expect("the rest");
        assert_eq!((rest.text, rest.end), (&b"bc"[..], End::File));
        assert_eq!(lines.next_line(&wanted).expect("the end"), None);
    }
}
