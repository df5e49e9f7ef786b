// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opens a log, compressed or not. What it is, its first bytes tell: names lie, and a pipe has none.

use super::progress::Progress;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// The bytes of the log at `path`.
pub fn file(path: &Path, progress: &Progress) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    stream(progress.watch(file))
}

/// The bytes of the log that `source` brings, decompressed.
pub fn stream(mut source: impl Read + 'static) -> io::Result<Box<dyn Read>> {
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
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What the tool `tool` makes of `text`; `None` where it is not installed.
    fn compressed(tool: &str, text: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new(tool)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(text).expect("written");
        drop(stdin);
        Some(child.wait_with_output().expect("output").stdout)
    }

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        stream(Cursor::new(bytes))?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn each_format_is_told_by_its_content_and_parts_may_follow_each_other() {
        let text = b"type=DM_EVENT msg=audit(1.2:3): x=1\n".repeat(5000);
        for tool in ["gzip", "xz", "zstd", "cat"] {
            let Some(once) = compressed(tool.replace("cat", "gzip").as_str(), &text) else {
                continue;
            };
            let once = if tool == "cat" {
                text.clone()
            } else {
                compressed(tool, &text).unwrap_or(once)
            };
            let twice = [once.clone(), once.clone()].concat();
            assert_eq!(
                read(twice).expect(tool),
                [text.clone(), text.clone()].concat(),
                "{tool}"
            );
            if tool != "cat" {
                let half = once[..once.len() / 2].to_vec();
                assert!(read(half).is_err(), "{tool}: a half is an error");
            }
        }
        for short in [&b""[..], b"a", b"\x1f"] {
            assert_eq!(read(short.to_vec()).expect("plain"), short);
        }
    }
}
