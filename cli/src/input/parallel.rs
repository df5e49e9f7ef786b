// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Searches a log on more than one processor. Threads search blocks at the same time, and parse the
//! lines that they find. Lines are handed out in order, the same as by [`Lines`], to the byte.
//!
//! There is a thread for each other processor. Each takes the next block. While it waits for a
//! block, the consumer searches one itself. So no more threads run than there are processors, and
//! none idles.

use super::block::{self, Block, Found, Known, NOT_LIKELY, Prefetch, Window};
use super::lines::{End, Lines, Raw};
use super::progress::Progress;
use super::wanted::Wanted;
use crate::record::head::{self, Parsed};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The number of bytes of a block, which is read into the same buffer. It fits the second-level
/// cache.
const BLOCK: usize = 128 * 1024;

/// The number of blocks that each thread may be ahead.
const AHEAD: usize = 4;

/// The options of the search of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// The number of threads in addition to the consumer.
    pub(super) workers: usize,
    /// The size of a block, in bytes.
    pub(super) block: usize,
}

impl How {
    /// Returns the options for this machine; `None` if it has one processor only.
    pub(super) fn here() -> Option<Self> {
        let processors = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8);
        (processors > 1).then_some(Self {
            workers: processors - 1,
            block: BLOCK,
        })
    }
}

/// A file that several threads search.
#[derive(Debug)]
struct Searched {
    file: File,
    size: u64,
    how: How,
    wanted: Prefetch,
    progress: Progress,
    state: Mutex<State>,
    /// Notified when a worker may be ahead again.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The begin of the next block that no thread has taken.
    next: u64,
    /// The receivers of the blocks that were taken and not handed out, in order.
    taken: VecDeque<Receiver<Block>>,
    /// Blocks for reuse.
    spare: Vec<Block>,
    /// The consumer is gone.
    closed: bool,
}

/// A block that was taken: its begin, its buffer, and its sender.
struct Taken {
    start: u64,
    block: Block,
    to: SyncSender<Block>,
}

impl Searched {
    /// Returns the maximum number of blocks that are taken and not handed out.
    fn most(&self) -> usize {
        AHEAD * (self.how.workers + 1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next block, if there is one and not too many are ahead.
    fn take(&self, state: &mut State) -> Option<Taken> {
        if state.next >= self.size || state.taken.len() >= self.most() {
            return None;
        }
        let start = state.next;
        state.next += self.how.block as u64;
        let (to, arrives) = sync_channel(1);
        state.taken.push_back(arrives);
        let block = state.spare.pop().unwrap_or_default();
        Some(Taken { start, block, to })
    }

    /// Searches a block that was taken.
    fn search(&self, taken: Taken, window: &mut Window) {
        let Taken {
            start,
            mut block,
            to,
        } = taken;
        let end = self.size.min(start + self.how.block as u64);
        let range = (start, end, self.size);
        block::fill(&mut block, &self.file, range, &self.wanted, window);
        self.progress.add(end - start);
        // Without a consumer, the block is of no use.
        let _ = to.send(block);
    }

    /// Searches blocks until there are none any more.
    fn work(&self) {
        let mut window = Window::default();
        loop {
            let full = |state: &mut State| !state.closed && state.taken.len() >= self.most();
            let waited = self.room.wait_while(self.state(), full);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return;
            }
            let Some(taken) = self.take(&mut state) else {
                return;
            };
            drop(state);
            self.search(taken, &mut window);
        }
    }

    /// Returns the next block in order, in exchange for the `last` one; none after the last.
    /// Searches others while it is not there yet.
    fn next(&self, last: Block, window: &mut Window) -> io::Result<Option<Block>> {
        self.state().spare.push(last);
        loop {
            let mut state = self.state();
            let mut arrived = state.taken.front().map(Receiver::try_recv);
            if let None | Some(Err(TryRecvError::Empty)) = arrived {
                if let Some(taken) = self.take(&mut state) {
                    drop(state);
                    self.search(taken, window);
                    continue;
                }
            }
            let Some(first) = state.taken.pop_front() else {
                return Ok(None);
            };
            // Not for each block: to wake a thread takes as long as to search half of one.
            if state.taken.len() == self.most() / 2 {
                self.room.notify_all();
            }
            drop(state);
            if let Some(Err(TryRecvError::Empty)) = arrived {
                arrived = Some(first.recv().map_err(TryRecvError::from));
            }
            // A thread that panics prints a message. A block that never comes is an error.
            return arrived.transpose().map_err(io::Error::other);
        }
    }
}

/// The source of blocks.
#[derive(Debug)]
enum Source {
    /// A file, which the workers and the consumer search.
    File(Arc<Searched>, Window),
    /// A stream, which one thread reads and searches. It takes blocks back for reuse.
    Stream(Receiver<Block>, Sender<Block>),
}

/// Lines of a file or a stream, searched ahead.
#[derive(Debug)]
pub(super) struct ParallelReader {
    source: Source,
    likely: Wanted,
    block: Block,
    /// The number of lines in the blocks before.
    before: u64,
    /// Whether a line of these that was not wanted is a record.
    records: bool,
    next: usize,
}

impl Drop for ParallelReader {
    fn drop(&mut self) {
        if let Source::File(searched, _) = &self.source {
            searched.state().closed = true;
            searched.room.notify_all();
        }
    }
}

impl ParallelReader {
    /// Reads the lines of `file` that `wanted` may want.
    pub(super) fn file(
        file: File,
        wanted: &Prefetch,
        how: How,
        progress: &Progress,
    ) -> io::Result<Self> {
        let searched = Arc::new(Searched {
            size: file.metadata()?.len(),
            file,
            how,
            wanted: wanted.clone(),
            progress: progress.clone(),
            state: Mutex::default(),
            room: Condvar::new(),
        });
        for _ in 0..how.workers {
            let searched = searched.clone();
            thread::spawn(move || searched.work());
        }
        Ok(Self::of(Source::File(searched, Window::default()), wanted))
    }

    /// Reads the lines of `source` that `wanted` may want. A thread reads and searches them.
    pub(super) fn stream(source: Box<dyn Read + Send>, ahead: &Prefetch) -> Self {
        let wanted = ahead.clone();
        let (out, blocks) = sync_channel(AHEAD);
        let (back, returned) = channel::<Block>();
        thread::spawn(move || {
            let mut lines = Lines::new(source);
            let all = wanted.all();
            let mut more = true;
            while more {
                let mut block = returned.try_recv().unwrap_or_default();
                block.clear();
                block.bytes.clear();
                let before = lines.number();
                // The bound on lines lets the consumer continue if few lines are wanted.
                while more && block.bytes.len() < BLOCK && lines.number() - before < 100_000 {
                    match lines.seek(&all) {
                        Ok(true) => {
                            let raw = lines.found();
                            block.lines = raw.number - before - 1;
                            let at = block.bytes.len();
                            block.line(raw.text, at, raw.end, &wanted);
                            if wanted.in_place() {
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
                block.records = lines.has_records();
                if out.send(block).is_err() {
                    return;
                }
            }
        });
        Self::of(Source::Stream(blocks, back), ahead)
    }

    fn of(source: Source, wanted: &Prefetch) -> Self {
        Self {
            source,
            likely: wanted.likely.clone(),
            block: Block::default(),
            before: 0,
            records: false,
            next: 0,
        }
    }

    /// Returns whether a line that was not wanted is a record.
    pub(super) fn has_records(&self) -> bool {
        self.records || self.block.records
    }

    /// Returns the number of lines so far.
    pub(super) fn number(&self) -> u64 {
        match self.next {
            0 => self.before,
            next if next > self.block.found.len() => self.before + self.block.lines,
            next => self.before + u64::from(self.block.found[next - 1].number),
        }
    }

    /// Goes to the next found line that `wanted` may want; `false` at the end.
    #[inline(always)]
    pub(super) fn seek(&mut self, wanted: &Wanted) -> io::Result<bool> {
        // A worker has checked it, and the text may be in that processor's cache only.
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
            if !self.advance()? {
                return Ok(false);
            }
        }
    }

    fn text(&self, found: &Found) -> &[u8] {
        &self.block.bytes[found.from as usize..][..found.length as usize]
    }

    /// Returns the line that [`ParallelReader::seek`] found last, parsed.
    #[inline(always)]
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

    /// Takes the next block; `false` if there is none.
    fn advance(&mut self) -> io::Result<bool> {
        self.before += self.block.lines;
        self.records |= self.block.records;
        let last = std::mem::take(&mut self.block);
        let block = match &mut self.source {
            Source::File(searched, window) => searched.next(last, window)?,
            Source::Stream(blocks, back) => {
                // A thread that is done needs none.
                let _ = back.send(last);
                blocks.recv().ok()
            }
        };
        let more = block.is_some();
        self.block = block.unwrap_or_default();
        self.next = 0;
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::lines::LONGEST;
    use crate::input::lines::tests::Broken;
    use crate::record::Head;
    use crate::record::value::Fields;
    use proptest::prelude::*;
    use std::io::{Seek, Write};

    type FoundLines = Vec<(Vec<u8>, u64, End, String)>;

    /// Returns the content of a line with its fields, which only one of the two ways has split
    /// already.
    fn found_line(raw: Raw<'_>, parsed: Parsed<'_>) -> (Vec<u8>, u64, End, String) {
        let what = match parsed {
            Parsed::Record(head) => {
                let record = Fields::of(&head);
                let fields: Vec<_> = record.fields().collect();
                format!("{:?} {fields:?}", Head { spans: &[], ..head })
            }
            other => format!("{other:?}"),
        };
        (raw.text.to_vec(), raw.number, raw.end, what)
    }

    fn serial(text: &[u8], wanted: &Wanted) -> FoundLines {
        let mut lines = Lines::new(text);
        let mut lines_found = Vec::new();
        while lines.seek(wanted).expect("no error") {
            let raw = lines.found();
            lines_found.push(found_line(raw, head::parse(raw.text)));
        }
        lines_found
    }

    fn parallel(mut lines: ParallelReader, wanted: &Wanted) -> FoundLines {
        let mut lines_found = Vec::new();
        while lines.seek(wanted).expect("no error") {
            let (raw, parsed) = lines.found();
            assert_eq!(lines.number(), raw.number);
            lines_found.push(found_line(raw, parsed));
        }
        lines_found
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
            let wide = Prefetch {
                ever: wide,
                likely: Wanted::types(&["DM_C"]),
                fields,
                soon: None,
            };
            let lines = ParallelReader::file(file(text), &wide, how, &none).expect("opened");
            prop_assert_eq!(&parallel(lines, &narrow), &expected);
            let stream = ParallelReader::stream(Box::new(io::Cursor::new(text.to_vec())), &wide);
            prop_assert_eq!(&parallel(stream, &narrow), &expected);
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
                                                       workers in 0usize..4, block in 1usize..300) {
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
        let ahead = Prefetch {
            ever: all.clone(),
            likely: all.clone(),
            fields: true,
            soon: None,
        };
        let mut lines = ParallelReader::stream(Box::new(Broken::default()), &ahead);
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
