// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rows of a report, until all are known and can be printed in order.
//!
//! A row is known when its lifetime ends, and is ordered by the beginning. Beyond a few megabytes, rows are sorted in
//! runs in a temporary file, and merged in the end.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Number of rows that a thread takes at a time, so that their text fits the caches.
const CHUNK: usize = 1 << 8;

/// Adds the folder and purpose of the temporary file to `error`.
fn explained(error: io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    let what = format!(
        "TMPDIR {}: {error}: a report of more than 4 MiB needs a temporary file there; TMPDIR=FOLDER names another folder",
        folder.display()
    );
    io::Error::new(error.kind(), what)
}

/// Maximum size of rows in memory, in bytes.
const ROOM: usize = 4 << 20;

/// The key of the order of rows.
pub trait Key: Ord + Serialize + DeserializeOwned {}

impl<K: Ord + Serialize + DeserializeOwned> Key for K {}

/// Rows of type `T`, each with a key that orders them. Those of `[u8]` are bytes.
#[derive(Debug)]
pub struct Spool<T: ?Sized, K = u64> {
    bytes: Vec<u8>,
    /// Key, and where the row is in `bytes`.
    index: Vec<(K, u32, u32)>,
    /// Sorted runs in a file, one after the other: where each begins and ends.
    runs: Vec<(u64, u64)>,
    file: Option<File>,
    room: usize,
    rows: PhantomData<T>,
}

impl<T: ?Sized, K: Key> Default for Spool<T, K> {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl<T: Serialize + DeserializeOwned, K: Key> Spool<T, K> {
    /// Keeps `row` at the place `key`.
    ///
    /// # Errors
    ///
    /// Fails if the temporary file cannot be written.
    pub fn push(&mut self, key: K, row: &T) -> io::Result<()> {
        self.write(key, |bytes| {
            *bytes = postcard::to_extend(row, std::mem::take(bytes)).map_err(io::Error::other)?;
            Ok(())
        })
    }

    /// Calls `each` with all rows in order. Rows with equal keys keep their order.
    ///
    /// # Errors
    ///
    /// Returns the errors of `each`. Fails where the temporary file cannot be read.
    pub fn drain(self, mut each: impl FnMut(T) -> io::Result<()>) -> io::Result<()> {
        self.read(|row| each(postcard::from_bytes(row).map_err(io::Error::other)?))
    }
}

impl<T: ?Sized, K: Key> Spool<T, K> {
    fn with_room(room: usize) -> Self {
        Self {
            bytes: Vec::new(),
            index: Vec::new(),
            runs: Vec::new(),
            file: None,
            room,
            rows: PhantomData,
        }
    }

    /// Keeps the row that `row` writes, at the place `key`.
    ///
    /// # Errors
    ///
    /// Returns the errors of `row`. Fails where the temporary file cannot be written.
    pub fn write(
        &mut self,
        key: K,
        row: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let from = self.bytes.len();
        row(&mut self.bytes)?;
        let length = self.bytes.len() - from;
        // Both are below the room and a row: far from 2^32.
        self.index.push((key, from as u32, length as u32));
        // Where there are many rows, most are in the file anyway.
        let room = match self.file {
            Some(_) => self.room / 4,
            None => self.room,
        };
        if self.bytes.len() + self.index.len() * size_of::<(K, u32, u32)>() > room {
            self.spill()?;
        }
        Ok(())
    }

    /// Sorts the index. Equal keys keep their order.
    fn sort(&mut self) {
        self.index
            .sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    }

    /// Writes what is in memory to the file, in order.
    fn spill(&mut self) -> io::Result<()> {
        self.spilled().map_err(explained)
    }

    fn spilled(&mut self) -> io::Result<()> {
        self.sort();
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let start = self.runs.last().map_or(0, |&(_, end)| end);
        let mut end = start;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        for (key, from, length) in &self.index {
            let key = postcard::to_stdvec(key).map_err(io::Error::other)?;
            out.write_all(&(key.len() as u32).to_ne_bytes())?;
            out.write_all(&length.to_ne_bytes())?;
            out.write_all(&key)?;
            let from = *from as usize;
            out.write_all(&self.bytes[from..from + *length as usize])?;
            end += 8 + key.len() as u64 + u64::from(*length);
        }
        self.file = Some(out.into_inner().map_err(|error| error.into_error())?);
        if self.runs.is_empty() {
            // From now on less is kept.
            (self.bytes, self.index) = Default::default();
        }
        self.runs.push((start, end));
        self.bytes.clear();
        self.index.clear();
        Ok(())
    }

    /// Calls `each` with the bytes of all rows in order. Rows with equal keys keep their order.
    ///
    /// # Errors
    ///
    /// Returns the errors of `each`. Fails where the temporary file cannot be read.
    pub fn read(mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.file.is_some() {
            self.spill()?;
            // Others need the room meanwhile.
            (self.bytes, self.index) = Default::default();
        }
        let Some(file) = &self.file else {
            self.sort();
            for (_, from, length) in &self.index {
                let from = *from as usize;
                each(&self.bytes[from..from + *length as usize])?;
            }
            return Ok(());
        };
        // As much as rows had before, for all runs together.
        let room = (self.room / self.runs.len()).clamp(4 << 10, 64 << 10);
        let part = |&(at, end): &(u64, u64)| BufReader::with_capacity(room, Part { file, at, end });
        let mut runs: Vec<_> = self.runs.iter().map(part).collect();
        let mut heads = BinaryHeap::new();
        for (run, part) in runs.iter_mut().enumerate() {
            heads.extend(next(part)?.map(|(key, row)| Reverse((key, run, row))));
        }
        while let Some(Reverse((_, run, row))) = heads.pop() {
            each(&row)?;
            heads.extend(next::<K>(&mut runs[run])?.map(|(key, row)| Reverse((key, run, row))));
        }
        Ok(())
    }
}

impl Spool<[u8]> {
    /// Writes what `text` makes of the bytes of each row, in order. Rows that are in memory are taken by all processors.
    ///
    /// # Errors
    ///
    /// Returns the errors of `text`. Fails where `out` cannot be written to or the temporary file cannot be read.
    pub fn write_to(
        mut self,
        out: &mut dyn Write,
        text: impl Fn(&[u8], &mut String) -> io::Result<()> + Sync,
    ) -> io::Result<()> {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        if self.file.is_some() || self.index.len() < 2 * CHUNK || workers == 1 {
            let mut line = String::new();
            return self.read(|row| {
                line.clear();
                text(row, &mut line)?;
                out.write_all(line.as_bytes())
            });
        }
        self.sort();
        let (bytes, text) = (&self.bytes, &text);
        let made = |rows: &[(u64, u32, u32)]| {
            let length: usize = rows.iter().map(|(_, _, length)| *length as usize).sum();
            let mut lines = String::with_capacity(2 * length);
            for (_, from, length) in rows {
                let from = *from as usize;
                text(&bytes[from..from + *length as usize], &mut lines)?;
            }
            Ok(lines)
        };
        thread::scope(|scope| {
            // Each takes every nth chunk and has a channel of its own, so that asking them in turn keeps the order.
            let chunks: Vec<_> = (0..workers)
                .map(|first| {
                    let chunks = self.index.chunks(CHUNK).skip(first).step_by(workers);
                    let (to, from) = sync_channel::<io::Result<String>>(2);
                    // Where nobody listens any more, what comes next is of no use.
                    scope.spawn(move || chunks.map(made).try_for_each(|lines| to.send(lines)));
                    from
                })
                .collect();
            for from in chunks.iter().cycle() {
                match from.recv() {
                    Ok(lines) => out.write_all(lines?.as_bytes())?,
                    Err(_) => break,
                }
            }
            Ok(())
        })
    }
}

/// A part of a file.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = most.min(out.len());
        let length = self.file.read_at(&mut out[..most], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// The next row of a run, with its key.
fn next<K: Key>(run: &mut impl Read) -> io::Result<Option<(K, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match run.read_exact(&mut lengths) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let [a, b, c, d, rest @ ..] = lengths;
    let mut key = vec![0; u32::from_ne_bytes([a, b, c, d]) as usize];
    run.read_exact(&mut key)?;
    let mut row = vec![0; u32::from_ne_bytes(rest) as usize];
    run.read_exact(&mut row)?;
    let key = postcard::from_bytes(&key).map_err(io::Error::other)?;
    Ok(Some((key, row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn rows_are_written_in_order_whoever_writes_them(rows in prop::collection::vec(0u64..5000, 0..4 * CHUNK), room in prop_oneof![Just(ROOM), 1000usize..9000]) {
            let mut spool: Spool<[u8]> = Spool::with_room(room);
            for (number, row) in rows.iter().enumerate() {
                spool.write(*row, |bytes| write!(bytes, "{row}.{number}")).expect("kept");
            }
            let mut out = Vec::new();
            let text = |row: &[u8], line: &mut String| {
                line.push_str(std::str::from_utf8(row).expect("text"));
                line.push('\n');
                Ok(())
            };
            spool.write_to(&mut out, text).expect("written");
            let mut expected: Vec<_> = rows.iter().zip(0..).collect();
            expected.sort();
            let line = |(row, number): &(&u64, i32)| format!("{row}.{number}\n");
            let expected: Vec<String> = expected.iter().map(line).collect();
            prop_assert_eq!(String::from_utf8(out).expect("text"), expected.concat());
        }
    }

    proptest! {
        #[test]
        fn rows_come_in_order_also_through_files(rows: Vec<(u16, String)>, room in 200usize..4000) {
            let mut spool = Spool::with_room(room);
            for row in &rows {
                spool.push(u64::from(row.0), row).expect("kept");
            }
            let mut found = Vec::new();
            spool.drain(|row: (u16, String)| { found.push(row); Ok(()) }).expect("read");
            let mut expected = rows;
            expected.sort_by_key(|row| row.0);
            prop_assert_eq!(found, expected);
        }
    }
}
