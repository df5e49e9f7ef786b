// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rows of a report, until all are there and can be told in order.
//!
//! A row is known when its life ends, and told by when it began. The rows of a long log may be many, so beyond
//! a few megabytes they go to a temporary file, sorted in runs, and are merged in the end.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;

/// How many bytes of rows stay in memory.
const ROOM: usize = 8 << 20;

/// Rows of type `T`, each with a number that orders them.
#[derive(Debug)]
pub struct Spool<T> {
    bytes: Vec<u8>,
    /// Order, and where the row is in `bytes`.
    index: Vec<(u64, u32, u32)>,
    runs: Vec<File>,
    room: usize,
    rows: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Default for Spool<T> {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    fn with_room(room: usize) -> Self {
        Self {
            bytes: Vec::new(),
            index: Vec::new(),
            runs: Vec::new(),
            room,
            rows: PhantomData,
        }
    }

    /// Keeps `row`, whose place is `order`.
    ///
    /// # Errors
    ///
    /// Where the temporary file cannot be written.
    pub fn push(&mut self, order: u64, row: &T) -> io::Result<()> {
        let from = self.bytes.len();
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(row, bytes).map_err(io::Error::other)?;
        let length = self.bytes.len() - from;
        // Both are below the room and a row: far from 2^32.
        self.index.push((order, from as u32, length as u32));
        if self.bytes.len() + self.index.len() * size_of::<(u64, u32, u32)>() > self.room {
            self.spill()?;
        }
        Ok(())
    }

    /// Writes what is in memory to a file, in order.
    fn spill(&mut self) -> io::Result<()> {
        self.index.sort_by_key(|&(order, ..)| order);
        let mut out = BufWriter::new(tempfile::tempfile()?);
        for &(order, from, length) in &self.index {
            out.write_all(&order.to_ne_bytes())?;
            out.write_all(&length.to_ne_bytes())?;
            let from = from as usize;
            out.write_all(&self.bytes[from..from + length as usize])?;
        }
        let mut file = out.into_inner().map_err(|error| error.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        self.runs.push(file);
        self.bytes.clear();
        self.index.clear();
        Ok(())
    }

    /// Hands out all rows in order.
    ///
    /// # Errors
    ///
    /// What `each` returns, or where the temporary file cannot be read.
    pub fn drain(mut self, mut each: impl FnMut(T) -> io::Result<()>) -> io::Result<()> {
        self.index.sort_by_key(|&(order, ..)| order);
        if self.runs.is_empty() {
            for &(_, from, length) in &self.index {
                let from = from as usize;
                let row = &self.bytes[from..from + length as usize];
                each(postcard::from_bytes(row).map_err(io::Error::other)?)?;
            }
            return Ok(());
        }
        self.spill()?;
        let mut runs: Vec<_> = self.runs.drain(..).map(BufReader::new).collect();
        let mut heads = BinaryHeap::new();
        for (run, file) in runs.iter_mut().enumerate() {
            heads.extend(next(file)?.map(|(order, row)| Reverse((order, run, row))));
        }
        while let Some(Reverse((_, run, row))) = heads.pop() {
            each(postcard::from_bytes(&row).map_err(io::Error::other)?)?;
            heads.extend(next(&mut runs[run])?.map(|(order, row)| Reverse((order, run, row))));
        }
        Ok(())
    }
}

/// The next row of a run, with its order.
fn next(run: &mut BufReader<File>) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut order = [0; 8];
    match run.read_exact(&mut order) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut length = [0; 4];
    run.read_exact(&mut length)?;
    let mut row = vec![0; u32::from_ne_bytes(length) as usize];
    run.read_exact(&mut row)?;
    Ok(Some((u64::from_ne_bytes(order), row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_in_order_also_through_files(rows: Vec<(u16, String)>, room in 200usize..4000) {
            let mut spool = Spool::with_room(room);
            for row in &rows {
                spool.push(row.0.into(), row).expect("kept");
            }
            let mut found = Vec::new();
            spool.drain(|row: (u16, String)| { found.push(row); Ok(()) }).expect("read");
            let mut expected = rows;
            expected.sort_by_key(|row| row.0);
            prop_assert_eq!(found, expected);
        }
    }
}
