// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opens a log, compressed or not. What it is, its first bytes tell: names lie, and a pipe has none.

use super::journal::{self, Records};
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The log at `path`, and whether it is plain.
pub fn file(path: &Path) -> io::Result<(File, bool)> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut magic = [0; journal::Format::MAGIC];
    // Of a pipe nothing is taken here: it cannot be read at a place.
    let plain = match file.metadata()?.is_file() {
        true => {
            let length = file.read_at(&mut magic, 0)?;
            let begin = &magic[..length];
            Format::of(begin) == Format::Plain && journal::Format::of(begin).is_none()
        }
        false => false,
    };
    Ok((file, plain))
}

/// The bytes of the log that `source` brings, decompressed. What `journalctl` wrote becomes records.
pub fn stream(source: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut source = decompressed(source)?;
    let mut begin = Vec::new();
    source
        .by_ref()
        .take(journal::Format::MAGIC as u64)
        .read_to_end(&mut begin)?;
    let format = journal::Format::of(&begin);
    let whole = Cursor::new(begin).chain(source);
    Ok(match format {
        Some(format) => Box::new(Records::new(whole, format)),
        None => Box::new(whole),
    })
}

fn decompressed(mut source: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    source.by_ref().take(6).read_to_end(&mut magic)?;
    let format = Format::of(&magic);
    let whole = Cursor::new(magic).chain(source);
    Ok(match format {
        Format::Plain => Box::new(whole),
        Format::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Format::Xz => Box::new(XzReader::new(whole, true)),
        Format::Zstd => Box::new(Zstd::Between(BufReader::new(whole))),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Format {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
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
                    let frame = StreamingDecoder::new(source).map_err(io::Error::other)?;
                    Self::Inside(Box::new(frame))
                }
                Self::Inside(mut frame) => match frame.read(out)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        stream(Cursor::new(bytes))?.read_to_end(&mut all)?;
        Ok(all)
    }

    /// The files were made by `gzip`, `xz` and `zstd`.
    #[test]
    fn each_format_is_told_by_its_content_and_parts_may_follow_each_other() {
        let text = include_bytes!("../../tests/logs/dm.log");
        for (name, packed) in [
            ("plain", &text[..]),
            ("gz", include_bytes!("../../tests/logs/dm.log.gz")),
            ("xz", include_bytes!("../../tests/logs/dm.log.xz")),
            ("zst", include_bytes!("../../tests/logs/dm.log.zst")),
        ] {
            assert_eq!(
                read(packed.repeat(2)).expect(name),
                text.repeat(2),
                "{name}"
            );
            let half = read(packed[..packed.len() / 2].to_vec());
            assert_eq!(half.is_ok(), name == "plain", "{name}: a half is an error");
        }
        for short in [&b""[..], b"a", b"\x1f"] {
            assert_eq!(read(short.to_vec()).expect("plain"), short);
        }
    }
}
