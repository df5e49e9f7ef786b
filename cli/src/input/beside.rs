// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Searches a log on more than one processor: its blocks are searched, and what is found in them parsed, beside each
//! other, and handed out in order. What comes out is what [`Lines`] would have handed out, to the byte.
//!
//! Threads of the standard library do: each worker takes every nth block and has a channel of its own, so that the
//! order is that of asking them in turn, and each may be ahead by as many blocks as its channel holds. A pool for
//! stealing work would have to sort what comes.

use super::lines::{End, LONGEST, Lines, Raw};
use super::progress::Progress;
use super::wanted::Wanted;
use crate::record::head::{self, Parsed, Parts};
use crate::record::spans::{self, Span};
use dmns_audit_uapi::masks;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// How much a worker reads at a time, into the same place. It fits the second-level cache.
const BLOCK: usize = 128 * 1024;

/// How many blocks a worker may be ahead.
const AHEAD: usize = 2;

/// How a file is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// How many workers there are.
    pub(super) workers: usize,
    /// How much each takes at a time, in bytes.
    pub(super) block: usize,
}

impl How {
    /// As this machine can; `None` where it has one processor only.
    pub(super) fn here() -> Option<Self> {
        let workers = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8);
        (workers > 1).then_some(Self {
            workers,
            block: BLOCK,
        })
    }
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// All that may ever be wanted.
    pub ever: Wanted,
    /// What most likely is: that is parsed too.
    pub likely: Wanted,
    /// Whether that includes its fields: where each is.
    pub fields: bool,
}

/// A line that was found in a block.
#[derive(Debug)]
struct Found {
    from: u32,
    length: u32,
    /// Which line of the block; the first is 1.
    number: u32,
    end: End,
    /// Which of `known` of the block it is, or [`NOT_LIKELY`].
    known: u32,
}

/// Of what is not likely wanted: whoever wants it parses it.
const NOT_LIKELY: u32 = u32::MAX;

/// What a line is that is likely wanted.
#[derive(Debug)]
struct Known {
    parts: Parts,
    /// Where its fields are, of `spans` of the block.
    spans: (u32, u32),
}

/// What was found in a block.
#[derive(Debug, Default)]
struct Block {
    /// The text of what was found; where all may be wanted, all that was read.
    bytes: Vec<u8>,
    found: Vec<Found>,
    known: Vec<Known>,
    /// Where the fields are of what was found.
    spans: Vec<Span>,
    /// How many lines begin in it.
    lines: u64,
    /// What came after them.
    error: Option<io::Error>,
}

impl Block {
    fn clear(&mut self) {
        self.found.clear();
        self.known.clear();
        self.spans.clear();
        self.lines = 0;
        self.error = None;
    }

    /// Its next line is `text`, which begins at the place `at` of what was read.
    #[inline]
    fn line(&mut self, text: &[u8], at: usize, end: End, wanted: &Ahead) {
        self.lines += 1;
        // What is no whole line is told in any case, as `Lines` does.
        if end != End::Newline || wanted.ever.may_want(text) {
            self.keep(text, at, end, wanted);
        }
    }

    fn keep(&mut self, text: &[u8], at: usize, end: End, wanted: &Ahead) {
        let known = match wanted.likely.may_want(text) {
            true => self.know(text, wanted),
            false => NOT_LIKELY,
        };
        let from = match wanted.ever.is_all() {
            true => at,
            false => self.bytes.len(),
        };
        // A block and a line are far from 2^32 bytes.
        self.found.push(Found {
            from: from as u32,
            length: text.len() as u32,
            number: self.lines as u32,
            end,
            known,
        });
        if !wanted.ever.is_all() {
            self.bytes.extend_from_slice(text);
        }
    }

    /// Parses `text`, and tells which of `known` it is.
    fn know(&mut self, text: &[u8], wanted: &Ahead) -> u32 {
        let first = self.spans.len() as u32;
        let parsed = head::parse(text);
        if let (Parsed::Record(head), true) = (&parsed, wanted.fields) {
            spans::add(head.body, &mut self.spans);
        }
        self.known.push(Known {
            parts: Parts::of(&parsed),
            spans: (first, self.spans.len() as u32),
        });
        self.known.len() as u32 - 1
    }
}

/// A worker, and where it takes blocks back to use them again.
#[derive(Debug)]
struct Worker {
    blocks: Receiver<Block>,
    back: Sender<Block>,
}

/// Lines of a file or a stream, searched ahead.
#[derive(Debug)]
pub(super) struct Beside {
    workers: Vec<Worker>,
    likely: Wanted,
    /// Whose block comes next.
    turn: usize,
    block: Block,
    /// How many lines were in the blocks before.
    before: u64,
    next: usize,
}

impl Beside {
    /// The lines of `file` that `wanted` may want.
    pub(super) fn file(
        file: File,
        wanted: &Ahead,
        how: How,
        progress: &Progress,
    ) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let file = Arc::new(file);
        let workers = (0..how.workers).map(|at| {
            let (file, wanted, progress) = (file.clone(), wanted.clone(), progress.clone());
            worker(move |out, back| {
                let mut start = (at * how.block) as u64;
                let mut window = Window::default();
                while start < size {
                    let mut block = back.try_recv().unwrap_or_default();
                    block.clear();
                    let end = size.min(start + how.block as u64);
                    if !wanted.ever.is_all() {
                        block.bytes.clear();
                    }
                    let range = (start, end, size);
                    if let Err(error) = search(&file, range, &wanted, &mut window, &mut block) {
                        block.error = Some(error);
                    }
                    // Nothing is copied of which all may be wanted: the next block is read where this one was before.
                    if wanted.ever.is_all() {
                        std::mem::swap(&mut block.bytes, &mut window.room);
                    }
                    progress.add(end - start);
                    if out.send(block).is_err() {
                        return;
                    }
                    start += (how.workers * how.block) as u64;
                }
            })
        });
        Ok(Self::of(workers.collect(), wanted))
    }

    /// The lines of `source` that `wanted` may want: read and searched in one thread, beside whoever asks for them.
    pub(super) fn stream(source: Box<dyn Read + Send>, ahead: &Ahead) -> Self {
        let wanted = ahead.clone();
        let worker = worker(move |out, back| {
            let mut lines = Lines::new(source);
            let mut more = true;
            while more {
                let mut block: Block = back.try_recv().unwrap_or_default();
                block.clear();
                block.bytes.clear();
                let before = lines.number();
                // Also where few lines are wanted, whoever waits hears of them.
                while more && block.bytes.len() < BLOCK && lines.number() - before < 100_000 {
                    match lines.seek(&wanted.ever) {
                        Ok(true) => {
                            let raw = lines.found();
                            block.lines = raw.number - before - 1;
                            let at = block.bytes.len();
                            block.line(raw.text, at, raw.end, &wanted);
                            if wanted.ever.is_all() {
                                block.bytes.extend_from_slice(raw.text);
                            }
                        }
                        Ok(false) => more = false,
                        Err(error) => {
                            block.error = Some(error);
                            break;
                        }
                    }
                }
                block.lines = lines.number() - before;
                if out.send(block).is_err() {
                    return;
                }
            }
        });
        Self::of(vec![worker], ahead)
    }

    fn of(workers: Vec<Worker>, wanted: &Ahead) -> Self {
        Self {
            workers,
            likely: wanted.likely.clone(),
            turn: 0,
            block: Block::default(),
            before: 0,
            next: 0,
        }
    }

    /// How many lines there were so far.
    pub(super) fn number(&self) -> u64 {
        match self.next {
            0 => self.before,
            next if next > self.block.found.len() => self.before + self.block.lines,
            next => self.before + u64::from(self.block.found[next - 1].number),
        }
    }

    /// Goes to the next line that `wanted` may want, of those that were looked for; `false` at the end.
    pub(super) fn seek(&mut self, wanted: &Wanted) -> io::Result<bool> {
        // A worker looked already, and the text may be in its cache only.
        let likely = wanted.is_same(&self.likely);
        loop {
            while let Some(found) = self.block.found.get(self.next) {
                self.next += 1;
                let may = match likely {
                    true => found.known != NOT_LIKELY,
                    false => wanted.may_want(self.text(found)),
                };
                if may || found.end != End::Newline {
                    return Ok(true);
                }
            }
            // All of its lines were handed out, or left out.
            self.next = self.block.found.len() + 1;
            if let Some(error) = self.block.error.take() {
                return Err(error);
            }
            if !self.advance() {
                return Ok(false);
            }
        }
    }

    fn text(&self, found: &Found) -> &[u8] {
        &self.block.bytes[found.from as usize..][..found.length as usize]
    }

    /// The line that [`Beside::seek`] found last, and what it is.
    pub(super) fn found(&self) -> (Raw<'_>, Parsed<'_>) {
        let found = &self.block.found[self.next - 1];
        let text = self.text(found);
        let raw = Raw {
            text,
            number: self.before + u64::from(found.number),
            end: found.end,
        };
        let parsed = match self.block.known.get(found.known as usize) {
            Some(Known { parts, spans }) => {
                let (first, end) = *spans;
                parts.parsed(text, &self.block.spans[first as usize..end as usize])
            }
            None => head::parse(text),
        };
        (raw, parsed)
    }

    /// Takes the next block. `false` where there is none.
    fn advance(&mut self) -> bool {
        let worker = &self.workers[self.turn];
        let Ok(block) = worker.blocks.recv() else {
            return false;
        };
        self.turn = (self.turn + 1) % self.workers.len();
        self.before += self.block.lines;
        let old = std::mem::replace(&mut self.block, block);
        // Whose it was does not matter. A worker that is done needs none.
        let _ = worker.back.send(old);
        self.next = 0;
        true
    }
}

fn worker(work: impl FnOnce(SyncSender<Block>, Receiver<Block>) + Send + 'static) -> Worker {
    let (out, blocks) = sync_channel(AHEAD);
    let (back, returned) = channel();
    thread::spawn(move || work(out, returned));
    Worker { blocks, back }
}

/// What was read of a file. Its room is used again as it is: to fill it with zeroes takes as long as to search it.
#[derive(Debug, Default)]
struct Window {
    room: Vec<u8>,
    length: usize,
}

impl Window {
    fn text(&self) -> &[u8] {
        &self.room[..self.length]
    }

    /// Reads `length` bytes more, from `from` on; fewer where the file ends.
    fn read(&mut self, file: &File, from: u64, length: usize) -> io::Result<()> {
        let (first, end) = (self.length, self.length + length);
        if self.room.len() < end {
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

/// Finds the lines that begin at `start` or later, and before `end`, in a file of `size` bytes.
fn search(
    file: &File,
    (start, end, size): (u64, u64, u64),
    wanted: &Ahead,
    window: &mut Window,
    block: &mut Block,
) -> io::Result<()> {
    // The byte before tells whether a line begins at `start`.
    let first = start.saturating_sub(1);
    let region = (end - first) as usize;
    window.length = 0;
    let error = window.read(file, first, region).err();
    // Where the file became shorter meanwhile, it ends here.
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
    // The last line goes on in the next block.
    let mut newline = None;
    while !whole && newline.is_none() && window.length - at <= LONGEST {
        let length = window.length;
        let from = first + length as u64;
        window.read(file, from, (size - from).min(4096) as usize)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::lines::tests::Broken;
    use crate::record::Head;
    use crate::record::value::Nested;
    use proptest::prelude::*;
    use std::io::{Seek, Write};

    type Told = Vec<(Vec<u8>, u64, End, String)>;

    /// What is found in a line; its fields too, which only one of the two ways has split already.
    fn told(raw: Raw<'_>, parsed: Parsed<'_>) -> (Vec<u8>, u64, End, String) {
        let told = match parsed {
            Parsed::Record(head) => {
                let record = Nested::of(&head);
                let fields: Vec<_> = record.fields().collect();
                format!("{:?} {fields:?}", Head { spans: &[], ..head })
            }
            other => format!("{other:?}"),
        };
        (raw.text.to_vec(), raw.number, raw.end, told)
    }

    fn serial(text: &[u8], wanted: &Wanted) -> Told {
        let mut lines = Lines::new(text);
        let mut lines_told = Vec::new();
        while lines.seek(wanted).expect("no error") {
            let raw = lines.found();
            lines_told.push(told(raw, head::parse(raw.text)));
        }
        lines_told
    }

    fn beside(mut lines: Beside, wanted: &Wanted) -> Told {
        let mut lines_told = Vec::new();
        while lines.seek(wanted).expect("no error") {
            let (raw, parsed) = lines.found();
            assert_eq!(lines.number(), raw.number);
            lines_told.push(told(raw, parsed));
        }
        lines_told
    }

    fn file(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text).expect("written");
        file.rewind().expect("rewound");
        file
    }

    fn same(text: &[u8], how: How) -> Result<(), TestCaseError> {
        let all = Wanted::types(&["DM_C", "DM_E", "SYSC"]);
        for (wide, narrow, fields) in [
            (Wanted::all(), Wanted::all(), false),
            (all.clone(), all.clone(), true),
            (all, Wanted::types(&["DM_C", "DM_E"]), true),
        ] {
            let expected = serial(text, &narrow);
            let none = Progress::none();
            let wide = Ahead {
                ever: wide,
                likely: Wanted::types(&["DM_C"]),
                fields,
            };
            let lines = Beside::file(file(text), &wide, how, &none).expect("opened");
            prop_assert_eq!(&beside(lines, &narrow), &expected);
            let stream = Beside::stream(Box::new(io::Cursor::new(text.to_vec())), &wide);
            prop_assert_eq!(&beside(stream, &narrow), &expected);
        }
        Ok(())
    }

    fn line() -> impl Strategy<Value = String> {
        let body = "module=crypt op=ctr dev=1:2( [a\u{1}é]=[ \"'é])?( msg='vm=\"it's\" x=')? res=1(\u{1d}UID=\"a\")?\r?";
        prop_oneof![
            "(node=[ab]{1,3} )?type=(DM_CTRL|DM_EVENT|SYSCALL|PATH|1338|UNKNOWN\\[1385\\]) msg=audit\\([0-9]{1,4}\\.[0-9]{3}:[0-9]{1,6}\\): "
                .prop_flat_map(move |head| body.prop_map(move |body| format!("{head}{body}"))),
            "\\[ 1.2\\] audit: type=1339 audit\\(1\\.000:5\\): a=b",
            "[a-z=\u{0} ]{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn wherever_blocks_end_the_lines_are_the_same(lines in prop::collection::vec(line(), 0..40), open: bool,
                                                       workers in 1usize..4, block in 1usize..300) {
            let mut text = lines.join("\n").into_bytes();
            // No UTF-8.
            text.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0xff);
            if !open {
                text.push(b'\n');
            }
            same(&text, How { workers, block })?;
        }
    }

    #[test]
    fn long_lines_are_cut_alike() {
        for length in [LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST] {
            for end in ["", "\n", "\nnext", "\nnext\n"] {
                let mut text = b"type=DM_CTRL first\n".to_vec();
                text.resize(text.len() + length, b'x');
                text.extend_from_slice(end.as_bytes());
                for block in [1000, LONGEST, LONGEST + 7, 1 << 20] {
                    same(&text, How { workers: 2, block }).expect("the same");
                }
            }
        }
    }

    #[test]
    fn an_error_comes_after_what_could_be_read() {
        let all = Wanted::all();
        let ahead = Ahead {
            ever: all.clone(),
            likely: all.clone(),
            fields: true,
        };
        let mut lines = Beside::stream(Box::new(Broken::default()), &ahead);
        assert!(lines.seek(&all).expect("a line"));
        assert_eq!(lines.found().0.text, b"a");
        assert!(lines.seek(&all).is_err());
        assert_eq!(lines.number(), 1);
        assert!(lines.seek(&all).expect("the rest"));
        assert_eq!(
            (lines.found().0.text, lines.found().0.end),
            (&b"bc"[..], End::File)
        );
        assert!(!lines.seek(&all).expect("the end"));
    }
}
