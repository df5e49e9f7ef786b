// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A block of a log, and the lines that were found in it. Any thread can fill it.

use super::lines::{self, End, LONGEST};
use super::wanted::Wanted;
use crate::record::head::{self, Parsed, Parts};
use crate::record::spans::{self, Span};
use dmns_audit_log::masks;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The lines that the reader threads search.
#[derive(Clone, Debug)]
pub struct Prefetch {
    /// All lines that may be wanted.
    pub ever: Wanted,
    /// The likely ones, which the threads parse too.
    pub likely: Wanted,
    /// Whether the threads also split the fields of these.
    pub fields: bool,
    /// Lines that are also wanted within [`SOON`] lines after others: both sets.
    pub soon: Option<(Wanted, Wanted)>,
}

/// The number of lines after which [`Prefetch::soon`] ends.
const SOON: u32 = 64;

/// The number of lines that one of another event counts as: events that are written at the same time
/// are few.
const OTHER: u32 = 8;

/// The number of lines at the beginning of a block, where the events of lines are not known.
const FIRST: u32 = 8;

impl Prefetch {
    /// Returns all lines that may be wanted, soon or ever.
    pub fn all(&self) -> Wanted {
        match &self.soon {
            Some((soon, _)) => self.ever.and(soon),
            None => self.ever.clone(),
        }
    }

    /// Returns whether found lines stay in the read buffer. Few lines are copied out, so that the
    /// next block is read into the same buffer, which is in the cache.
    pub(super) fn in_place(&self) -> bool {
        self.ever.is_all() || !self.ever.is_same(&self.likely)
    }
}

/// A line that was found in a block.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) from: u32,
    pub(super) length: u32,
    /// The number of the line in the block; the first is 1.
    pub(super) number: u32,
    pub(super) end: End,
    /// The index in [`Block::known`], or [`NOT_LIKELY`].
    pub(super) known: u32,
}

/// The index of a line that the threads did not parse. The consumer parses it.
pub(super) const NOT_LIKELY: u32 = u32::MAX;

/// The parsed form of a likely line.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) parts: Parts,
    /// The range of its fields in [`Block::spans`].
    pub(super) spans: (u32, u32),
}

/// The lines that were found in a block.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The text of the found lines, or the whole read buffer if they stay in place.
    pub(super) bytes: Vec<u8>,
    pub(super) found: Vec<Found>,
    pub(super) known: Vec<Known>,
    /// The spans of the fields of found lines.
    pub(super) spans: Vec<Span>,
    /// The number of lines for which [`Prefetch::soon`] still applies, and its events, if they are
    /// known.
    pub(super) soon: u32,
    awaited: Vec<u64>,
    /// Whether lines that are not wanted are examined.
    pub(super) careful: bool,
    /// The number of lines that begin in it.
    pub(super) lines: u64,
    /// Whether one of the lines that are not wanted is a record.
    pub(super) records: bool,
    /// The error after these lines.
    pub(super) error: Option<io::Error>,
}

impl Block {
    /// Empties the block; its text stays.
    pub(super) fn clear(&mut self) {
        self.found.clear();
        self.known.clear();
        self.spans.clear();
        self.lines = 0;
        // A likely line may be in the block before.
        self.soon = FIRST;
        self.awaited.clear();
        self.careful = true;
        self.records = false;
        self.error = None;
    }

    /// Adds the next line `text`, which begins at offset `at` of the read buffer.
    #[inline(always)]
    pub(super) fn line(&mut self, text: &[u8], at: usize, end: End, wanted: &Prefetch) {
        self.lines += 1;
        // An incomplete line is always reported, as `Lines` does.
        if end != End::Newline || wanted.ever.may_want(text) {
            self.keep(text, at, end, wanted);
        } else if self.careful {
            self.passed(text, at, wanted);
        }
    }

    /// Examines the line `text`, which is not wanted. It may be, if it is soon after a wanted one,
    /// or if no line before was a record.
    #[cold]
    #[inline(never)]
    fn passed(&mut self, text: &[u8], at: usize, wanted: &Prefetch) {
        if !self.records {
            self.records = lines::is_record(text);
        }
        match &wanted.soon {
            Some((soon, _)) if self.soon > 0 && soon.may_want(text) => {
                let event = event(text);
                let known = self.awaited.iter().position(|of| *of == event);
                if known.is_some() || self.awaited.is_empty() {
                    self.found(text, at, End::Newline, NOT_LIKELY, wanted);
                }
                match known {
                    Some(known) => {
                        self.awaited.swap_remove(known);
                        if self.awaited.is_empty() {
                            self.soon = 0;
                        }
                    }
                    None if self.awaited.is_empty() => {}
                    None => self.soon = self.soon.saturating_sub(OTHER),
                }
            }
            Some(_) => {}
            None => self.soon = 0,
        }
        self.soon = self.soon.saturating_sub(1);
        self.careful = self.soon > 0 || !self.records;
    }

    fn keep(&mut self, text: &[u8], at: usize, end: End, wanted: &Prefetch) {
        let known = match wanted.likely.may_want(text) {
            true => self.know(text, wanted),
            false => NOT_LIKELY,
        };
        if let Some((_, after)) = &wanted.soon {
            // A record with a number for a type may be of another kind.
            let other = self.known.get(known as usize);
            if after.may_want(text) && !other.is_some_and(|other| other.parts.is_of_namespaces()) {
                if self.soon == 0 {
                    self.awaited.clear();
                }
                self.soon = SOON;
                self.careful = true;
                let event = event(text);
                if !self.awaited.contains(&event) && self.awaited.len() < SOON as usize {
                    self.awaited.push(event);
                }
            }
        }
        self.found(text, at, end, known, wanted);
    }

    #[inline(always)]
    fn found(&mut self, text: &[u8], at: usize, end: End, known: u32, wanted: &Prefetch) {
        let from = match wanted.in_place() {
            true => at,
            false => {
                let from = self.bytes.len();
                self.bytes.extend_from_slice(text);
                from
            }
        };
        // A block and a line are far from 2^32 bytes.
        self.found.push(Found {
            from: from as u32,
            length: text.len() as u32,
            number: self.lines as u32,
            end,
            known,
        });
    }

    /// Parses `text`. Returns its index in [`Block::known`].
    fn know(&mut self, text: &[u8], wanted: &Prefetch) -> u32 {
        let first = self.spans.len() as u32;
        let parsed = head::parse(text);
        if let (Parsed::Record(head), true) = (&parsed, wanted.fields) {
            spans::add(head.body, &mut self.spans);
        }
        self.known.push(Known {
            parts: Parts::of(text, &parsed),
            spans: (first, self.spans.len() as u32),
        });
        self.known.len() as u32 - 1
    }
}

/// Distinguishes the event of the record `text` from others nearby.
fn event(text: &[u8]) -> u64 {
    let from = memchr::memchr(b'(', text).map_or(0, |at| at + 1);
    let stamp = text[from..].iter().take_while(|b| **b != b')');
    stamp.fold(0, |hash, byte| {
        hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)
    })
}

/// The number of bytes that are read at a time for a line that continues in the next block.
const MORE: usize = 4096;

/// A read buffer. It is reused without a reset: to fill it with zeroes takes as long as to search
/// it.
#[derive(Debug, Default)]
pub(super) struct Window {
    room: Vec<u8>,
    length: usize,
}

impl Window {
    fn text(&self) -> &[u8] {
        &self.room[..self.length]
    }

    /// Reads `length` more bytes, from `from` on; fewer at the end of the file.
    fn read(&mut self, file: &File, from: u64, length: usize) -> io::Result<()> {
        let (first, end) = (self.length, self.length + length);
        if self.room.len() < end {
            // Not twice as much, for the rest of a line.
            self.room.reserve_exact(end + MORE - self.room.len());
            self.room.resize(end, 0);
        }
        while self.length < end {
            let at = from + (self.length - first) as u64;
            match file.read_at(&mut self.room[self.length..end], at) {
                Ok(0) => break,
                Ok(read) => self.length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Fills `block` with the lines that begin at `start` or later, and before `end`, in a file of
/// `size` bytes.
pub(super) fn fill(
    block: &mut Block,
    file: &File,
    range: (u64, u64, u64),
    wanted: &Prefetch,
    window: &mut Window,
) {
    block.clear();
    if !wanted.in_place() {
        block.bytes.clear();
    }
    block.error = search(file, range, wanted, window, block).err();
    // The next block is read into the buffer that this one had before.
    if wanted.in_place() {
        std::mem::swap(&mut block.bytes, &mut window.room);
    }
}

/// Finds those lines.
fn search(
    file: &File,
    (start, end, size): (u64, u64, u64),
    wanted: &Prefetch,
    window: &mut Window,
    block: &mut Block,
) -> io::Result<()> {
    // The byte before shows whether a line begins at `start`.
    let first = start.saturating_sub(1);
    let region = (end - first) as usize;
    window.length = 0;
    let error = window.read(file, first, region).err();
    // If the file became shorter meanwhile, it ends here.
    let (region, whole) = match window.length {
        read if read < region => (read, true),
        _ => (region, end == size),
    };
    let mut at = match start {
        0 => 0,
        _ => match memchr::memchr(b'\n', window.text()) {
            Some(newline) => newline + 1,
            None => region,
        },
    };
    let text = &window.text()[..region];
    for newline in masks::places(text, at, b'\n') {
        let line = &text[at..newline];
        match line.len() > LONGEST {
            true => block.line(&line[..LONGEST], at, End::Cut, wanted),
            false => block.line(line, at, End::Newline, wanted),
        }
        at = newline + 1;
    }
    if at >= region {
        return error.map_or(Ok(()), Err);
    }
    // The last line continues in the next block.
    let mut newline = None;
    while !whole && newline.is_none() && window.length - at <= LONGEST {
        let length = window.length;
        let from = first + length as u64;
        window.read(file, from, (size - from).min(MORE as u64) as usize)?;
        let new = &window.text()[length..];
        if new.is_empty() {
            break;
        }
        newline = memchr::memchr(b'\n', new).map(|more| length + more);
    }
    let line = &window.text()[at..newline.unwrap_or(window.length)];
    match (line.len() > LONGEST, newline, error) {
        // Not read to its end.
        (_, None, Some(error)) => return Err(error),
        (true, ..) => block.line(&line[..LONGEST], at, End::Cut, wanted),
        (false, Some(_), _) => block.line(line, at, End::Newline, wanted),
        (false, None, None) => block.line(line, at, End::File, wanted),
    }
    Ok(())
}
