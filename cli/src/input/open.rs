// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opens a log, compressed or not. Its first bytes show the format: a name can be wrong, and a pipe
//! has none.

use super::journal::{self, Records};
use crate::record::form::{self, Form};
use crate::record::head::{self, Parsed};
use bzip2::read::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The number of bytes that are examined before lines are read. An archive shows later than a
/// compression.
const LOOK: usize = 512;

/// Returns advice about `error`, if there is any.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::IsADirectory => " (name the files in it)",
        io::ErrorKind::PermissionDenied => " (audit logs are root's: try sudo)",
        io::ErrorKind::UnexpectedEof => " (it ends too early: was it still being written?)",
        _ => "",
    }
}

/// Opens the log at `path`. Returns also whether it is plain.
pub fn file(path: &Path) -> io::Result<(File, bool)> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut magic = [0; LOOK];
    // A pipe is not read here: it has no offsets.
    let plain = match file.metadata()?.is_file() {
        true => {
            let length = file.read_at(&mut magic, 0)?;
            let begin = &magic[..length];
            Format::of(begin) == Format::Plain
                && journal::Format::of(&begin[..length.min(journal::Format::MAGIC)]).is_none()
                && form::of_begin(begin).is_none()
        }
        false => false,
    };
    Ok((file, plain))
}

/// A stream, and its begin.
pub struct Opened {
    /// All of it.
    pub source: Box<dyn Read + Send>,
    /// Its beginning, as far as it was read.
    pub begin: Vec<u8>,
    /// journalctl wrote it.
    pub journal: bool,
}

/// Returns the bytes of the log `source`, decompressed. The output of `journalctl` becomes records.
pub fn stream(source: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(look(source, 0)?.source)
}

/// Opens a stream, and reads its first `most` bytes. It waits for no more than shows the format.
///
/// # Errors
///
/// If it cannot be read, or has a format that is not supported: [`form::of_begin`].
pub fn look(source: impl Read + Send + 'static, most: usize) -> io::Result<Opened> {
    let mut source = decompressed(source)?;
    let least = most.max(journal::Format::MAGIC);
    let mut begin = vec![0; least.max(1 << 16)];
    let mut length = 0;
    while length < least {
        match source.read(&mut begin[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The text before the error comes first.
            Err(error) if length > 0 => {
                begin.truncate(length);
                let whole = Cursor::new(begin.clone()).chain(Failed(Some(error)));
                return begun(begin, Box::new(whole));
            }
            Err(error) => return Err(error),
        }
    }
    begin.truncate(length);
    if has_returns(&begin) {
        let whole = Returns(Cursor::new(begin.clone()).chain(source));
        begin = begin.iter().copied().map(newline).collect();
        return begun(begin, Box::new(whole));
    }
    let whole = Cursor::new(begin.clone()).chain(source);
    begun(begin, Box::new(whole))
}

/// Returns whether the lines of a log that begins so end with carriage returns alone.
pub fn has_returns(begin: &[u8]) -> bool {
    let is_record = |line| matches!(head::parse(line), Parsed::Record(_));
    memchr::memchr(b'\n', begin).is_none()
        && memchr::memchr(b'\r', begin).is_some_and(|end| end + 1 < begin.len())
        && begin.split(|&byte| byte == b'\r').any(is_record)
}

fn newline(byte: u8) -> u8 {
    match byte {
        b'\r' => b'\n',
        byte => byte,
    }
}

/// A stream with carriage returns for newlines.
struct Returns<R>(R);

impl<R: Read> Read for Returns<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(out)?;
        for byte in &mut out[..length] {
            *byte = newline(*byte);
        }
        Ok(length)
    }
}

fn begun(begin: Vec<u8>, whole: Box<dyn Read + Send>) -> io::Result<Opened> {
    let readable = |form: &Form| {
        // Binary data may precede records, as after a crash.
        let is_record = |line| matches!(head::parse(line), Parsed::Record(_));
        *form == Form::Binary && begin.split(|&byte| byte == b'\n').any(is_record)
    };
    if let Some(form) = form::of_begin(&begin).filter(|form| !readable(form)) {
        let what = format!("this is {}: {}", form.describe(), form.instead());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // Other JSON may stand before records.
    let of_auditd =
        |line: &[u8]| line.starts_with(b"type=") && matches!(head::parse(line), Parsed::Record(_));
    let format =
        journal::Format::of(&begin[..begin.len().min(journal::Format::MAGIC)]).filter(|format| {
            *format == journal::Format::Export || !begin.split(|&b| b == b'\n').any(of_auditd)
        });
    Ok(Opened {
        source: match format {
            Some(format) => Box::new(Records::new(whole, format)),
            None => whole,
        },
        begin,
        journal: format.is_some(),
    })
}

/// Brings an error, and then the end.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// The number of compressions around each other that are undone.
const DEEP: usize = 4;

fn decompressed(source: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut source: Box<dyn Read + Send> = Box::new(source);
    for _ in 0..DEEP {
        let mut magic = Vec::new();
        source.by_ref().take(6).read_to_end(&mut magic)?;
        let format = Format::of(&magic);
        let whole = Cursor::new(magic).chain(source);
        source = match format {
            Format::Plain => return Ok(Box::new(whole)),
            Format::Gzip => Box::new(Gzip::Between(BufReader::new(whole))),
            Format::Xz => Box::new(XzReader::new(whole, true)),
            Format::Zstd => Box::new(Zstd::Between(BufReader::new(whole))),
            Format::Bzip2 => Box::new(MultiBzDecoder::new(whole)),
            Format::Lz4 => Box::new(Lz4(FrameDecoder::new(Tail::of(whole)))),
        };
    }
    Ok(source)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Lz4,
}

impl Format {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4,
            _ => Self::Plain,
        }
    }
}

/// A sequence of gzip members, which the library decodes one at a time. NULs may follow them, as after
/// a power cut.
enum Gzip<R: Read> {
    Between(BufReader<R>),
    Inside(Box<GzDecoder<BufReader<R>>>),
    Over,
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Self::Over) {
                Self::Over => return Ok(0),
                Self::Between(mut source) => {
                    let next = source.fill_buf()?;
                    let nuls = next.iter().take_while(|byte| **byte == 0).count();
                    match next.get(nuls) {
                        None if nuls == 0 => return Ok(0),
                        None => {
                            source.consume(nuls);
                            Self::Between(source)
                        }
                        Some(_) => {
                            source.consume(nuls);
                            Self::Inside(Box::new(GzDecoder::new(source)))
                        }
                    }
                }
                Self::Inside(mut member) => match member.read(out)? {
                    0 if !out.is_empty() => Self::Between(member.into_inner()),
                    length => {
                        *self = Self::Inside(member);
                        return Ok(length);
                    }
                },
            }
        }
    }
}

/// A sequence of zstd frames, which the library decodes one at a time.
enum Zstd<R: Read> {
    Between(BufReader<R>),
    Inside(Box<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>),
    Over,
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Self::Over) {
                Self::Over => return Ok(0),
                Self::Between(mut source) => {
                    if source.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let frame = StreamingDecoder::new(source)
                        .map_err(|error| early(io::Error::other(error)))?;
                    Self::Inside(Box::new(frame))
                }
                Self::Inside(mut frame) => match frame.read(out).map_err(early)? {
                    0 if !out.is_empty() => Self::Between(frame.into_inner()),
                    length => {
                        *self = Self::Inside(frame);
                        return Ok(length);
                    }
                },
            }
        }
    }
}

/// Returns the error of a frame that ends too early. The library has another one.
fn early(error: io::Error) -> io::Error {
    let is_early = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = source {
        if inner.downcast_ref::<io::Error>().is_some_and(is_early) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        source = inner.source();
    }
    match error.to_string().contains("UnexpectedEof") {
        true => io::ErrorKind::UnexpectedEof.into(),
        false => error,
    }
}

/// Keeps the last eight bytes that were read, and the first four.
struct Tail<R> {
    source: R,
    first: Vec<u8>,
    last: [u8; 8],
}

impl<R> Tail<R> {
    fn of(source: R) -> Self {
        Self {
            source,
            first: Vec::new(),
            last: [1; 8],
        }
    }

    /// Returns whether the end mark of an LZ4 frame is there, perhaps with a checksum. Old frames
    /// have none.
    fn is_whole(&self) -> bool {
        let old = self.first.starts_with(&[0x02, 0x21, 0x4c, 0x18]);
        old || self.last[4..] == [0; 4] || self.last[..4] == [0; 4]
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(out)?;
        let read = &out[..length];
        if self.first.len() < 4 {
            self.first.extend_from_slice(&read[..length.min(4)]);
        }
        let kept = length.min(8);
        self.last.copy_within(kept.., 0);
        self.last[8 - kept..].copy_from_slice(&read[length - kept..]);
        Ok(length)
    }
}

/// LZ4 frames. The library does not detect a frame that ends too early.
struct Lz4<R: Read>(FrameDecoder<Tail<R>>);

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // A frame ends so too.
        let length = match self.0.read(out)? {
            0 if !out.is_empty() => self.0.read(out)?,
            length => length,
        };
        match length {
            0 if !out.is_empty() && !self.0.get_ref().is_whole() => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            length => Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        stream(Cursor::new(bytes))?.read_to_end(&mut all)?;
        Ok(all)
    }

    /// The files were made by the programs that are called so.
    #[test]
    fn each_format_is_recognised_by_its_content_and_parts_may_follow_each_other() {
        let text = include_bytes!("../../tests/logs/dm.log");
        for (name, packed) in [
            ("plain", &text[..]),
            ("gz", include_bytes!("../../tests/logs/dm.log.gz")),
            ("xz", include_bytes!("../../tests/logs/dm.log.xz")),
            ("zst", include_bytes!("../../tests/logs/dm.log.zst")),
            ("bz2", include_bytes!("../../tests/logs/dm.log.bz2")),
            ("lz4", include_bytes!("../../tests/logs/dm.log.lz4")),
        ] {
            let whole = read(packed.repeat(2)).expect(name);
            assert!(whole == text.repeat(2), "{name}");
            let half = read(packed[..packed.len() / 2].to_vec());
            assert_eq!(half.is_ok(), name == "plain", "{name}: a half is an error");
            if let Err(error) = half {
                assert_eq!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof,
                    "{name}: {error}"
                );
            }
        }
        for short in [&b""[..], b"a", b"\x1f"] {
            assert_eq!(read(short.to_vec()).expect("plain"), short);
        }
    }
}
