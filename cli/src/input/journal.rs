// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! journald's copy of the audit records, as `journalctl` writes it: `-o export` or `-o json`. Each entry of the audit
//! transport becomes the line that auditd would have written.
//!
//! C: `process_audit_string()` in `src/journal/journald-audit.c` of systemd: `MESSAGE=` is the name of the type and the
//! text of the record, `_AUDIT_TYPE=`, `_AUDIT_ID=` and `_SOURCE_REALTIME_TIMESTAMP=` are the rest. An EOE has no text,
//! and so no entry.

use super::lines::LONGEST;
use serde::Deserialize;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// How `journalctl` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `-o export`: a field a line, an empty line after each entry.
    Export,
    /// `-o json`: an entry a line.
    Json,
}

impl Format {
    /// How many bytes [`Format::of`] wants to see.
    pub const MAGIC: usize = 9;

    /// What begins so, if it is of the journal.
    pub fn of(begin: &[u8]) -> Option<Self> {
        match begin {
            b"__CURSOR=" => Some(Self::Export),
            [b'{', b'"', ..] => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads as the lines that auditd would have written.
pub struct Records<R> {
    source: BufReader<R>,
    format: Format,
    line: Vec<u8>,
    /// What of `line` was handed out.
    at: usize,
    /// How many entries lack their text.
    cut: u64,
}

/// An entry, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(rename = "_TRANSPORT")]
    transport: Option<Value>,
    #[serde(rename = "_AUDIT_TYPE")]
    ty: Option<Value>,
    #[serde(rename = "_AUDIT_ID")]
    id: Option<Value>,
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP")]
    micros: Option<Value>,
    #[serde(rename = "MESSAGE")]
    message: Option<Value>,
}

impl<R: Read> Records<R> {
    /// What `source` brings, which `journalctl` wrote.
    pub fn new(source: R, format: Format) -> Self {
        Self {
            source: BufReader::new(source),
            format,
            line: Vec::new(),
            at: 0,
            cut: 0,
        }
    }

    /// The next entry; `None` at the end.
    fn entry(&mut self) -> io::Result<Option<Entry>> {
        match self.format {
            Format::Json => {
                let mut line = Vec::new();
                // The other fields of an entry may be long.
                self.source
                    .by_ref()
                    .take(64 << 20)
                    .read_until(b'\n', &mut line)?;
                if line.trim_ascii().is_empty() {
                    return Ok((!line.is_empty()).then(Entry::default));
                }
                let entry = serde_json::from_slice(&line).map_err(|error| {
                    let what = format!("not as `journalctl -o json` writes it: {error}");
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })?;
                Ok(Some(entry))
            }
            Format::Export => self.exported(),
        }
    }

    fn exported(&mut self) -> io::Result<Option<Entry>> {
        let mut entry = Entry::default();
        let mut any = false;
        loop {
            let mut line = Vec::new();
            self.source
                .by_ref()
                .take(LONGEST as u64)
                .read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(any.then_some(entry));
            }
            any = true;
            if line.len() == LONGEST && !line.ends_with(b"\n") {
                self.source.skip_until(b'\n')?;
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            if line.is_empty() {
                return Ok(Some(entry));
            }
            let (name, value) = match line.iter().position(|&b| b == b'=') {
                Some(at) => (&line[..at], line[at + 1..].to_vec()),
                None => (line, self.binary()?),
            };
            let field = match name {
                b"_TRANSPORT" => &mut entry.transport,
                b"_AUDIT_TYPE" => &mut entry.ty,
                b"_AUDIT_ID" => &mut entry.id,
                b"_SOURCE_REALTIME_TIMESTAMP" => &mut entry.micros,
                b"MESSAGE" => &mut entry.message,
                _ => continue,
            };
            *field = Some(match String::from_utf8(value) {
                Ok(text) => text.into(),
                Err(bytes) => bytes.into_bytes().into(),
            });
        }
    }

    /// A value that is no text: its length in 64 bits, little endian, itself, and a newline.
    fn binary(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 8];
        self.source.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        let mut value = Vec::new();
        let kept = length.min(LONGEST as u64);
        let read = self.source.by_ref().take(kept).read_to_end(&mut value)? as u64;
        let rest = length - kept + 1;
        if read < kept || io::copy(&mut self.source.by_ref().take(rest), &mut io::sink())? < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(value)
    }
}

impl Entry {
    /// Its line; `None` if it is none of audit's, `Some(None)` if it is, and `journalctl` left out its text.
    fn line(&self) -> Option<Option<Vec<u8>>> {
        let number = |value: &Option<Value>| value.as_ref()?.as_str()?.parse::<u64>().ok();
        if self.transport.as_ref()?.as_str()? != "audit" {
            return None;
        }
        let (ty, id, micros) = (number(&self.ty)?, number(&self.id)?, number(&self.micros)?);
        let Some(message) = self.message.as_ref().and_then(bytes) else {
            return Some(None);
        };
        let body = message
            .iter()
            .position(|&b| b == b' ')
            .map_or(&[][..], |at| &message[at + 1..]);
        let (seconds, millis) = (micros / 1_000_000, micros / 1000 % 1000);
        let mut line = format!("type={ty} msg=audit({seconds}.{millis:03}:{id}): ").into_bytes();
        // A record is one line.
        line.extend(body.iter().map(|&b| if b == b'\n' { b' ' } else { b }));
        line.push(b'\n');
        Some(Some(line))
    }
}

/// A value that is text, or bytes; `None` if it is too long for `journalctl` without `--all`.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(bytes) => bytes
            .iter()
            .map(|byte| u8::try_from(byte.as_u64()?).ok())
            .collect(),
        _ => None,
    }
}

impl<R: Read> Read for Records<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.line.len() {
            let Some(entry) = self.entry()? else {
                // Once: after an error, the end.
                return match std::mem::take(&mut self.cut) {
                    0 => Ok(0),
                    cut => Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "journalctl left out the text of {cut} records: use `journalctl --all`"
                        ),
                    )),
                };
            };
            self.at = 0;
            self.line.clear();
            match entry.line() {
                Some(Some(line)) => self.line = line,
                Some(None) => self.cut += 1,
                None => {}
            }
        }
        let length = out.len().min(self.line.len() - self.at);
        out[..length].copy_from_slice(&self.line[self.at..][..length]);
        self.at += length;
        Ok(length)
    }
}

/// `journalctl`, which reads this system's journal.
pub struct Journalctl {
    records: Records<ChildStdout>,
    child: Child,
}

/// Starts `journalctl`. With `follow`, it brings what is new from here on, and does not end.
///
/// # Errors
///
/// Where there is none.
pub fn journalctl(follow: bool) -> io::Result<Journalctl> {
    let follow: &[&str] = match follow {
        true => &["--follow", "--lines=0"],
        false => &[],
    };
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--all", "--output=export"])
        .args(follow)
        .arg("_TRANSPORT=audit")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("journalctl: {error}")))?;
    let source = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Journalctl {
        records: Records::new(source, Format::Export),
        child,
    })
}

impl Read for Journalctl {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.records.read(out)?;
        if length == 0 && !out.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("journalctl ended with {status}")));
            }
        }
        Ok(length)
    }
}

impl Drop for Journalctl {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> io::Result<String> {
        let format = Format::of(&text[..Format::MAGIC.min(text.len())]).expect("a journal");
        let mut out = String::new();
        Records::new(text, format).read_to_string(&mut out)?;
        Ok(out)
    }

    const RECORD: &str = "type=1339 msg=audit(1795247269.749:21): module=integrity op=integrity-checksum dev=253:0 sector=77480 res=0\n";

    #[test]
    fn an_entry_is_the_line_of_auditd() {
        let export = "__CURSOR=s=1\n_TRANSPORT=audit\n_AUDIT_TYPE=1339\n_AUDIT_ID=21\n\
            _SOURCE_REALTIME_TIMESTAMP=1795247269749000\n\
            MESSAGE=AUDIT1339 module=integrity op=integrity-checksum dev=253:0 sector=77480 res=0\n\n\
            __CURSOR=s=2\n_TRANSPORT=kernel\nMESSAGE=audit: type=1339 audit(1.000:1): x=1\n\n";
        assert_eq!(read(export.as_bytes()).expect("read"), RECORD);
        let json = r#"{"_AUDIT_ID":"21","__CURSOR":"s=1","_TRANSPORT":"audit","_AUDIT_TYPE":"1339","_SOURCE_REALTIME_TIMESTAMP":"1795247269749000","MESSAGE":"AUDIT1339 module=integrity op=integrity-checksum dev=253:0 sector=77480 res=0"}
{"_TRANSPORT":"stdout","MESSAGE":[104,105]}"#;
        assert_eq!(read(json.as_bytes()).expect("read"), RECORD);
    }

    #[test]
    fn what_is_no_text_has_a_length() {
        let mut export = b"__CURSOR=s=1\n_TRANSPORT=audit\n_AUDIT_TYPE=1339\n_AUDIT_ID=21\n_SOURCE_REALTIME_TIMESTAMP=1000\nCOREDUMP\n".to_vec();
        export.extend(200_000u64.to_le_bytes());
        export.extend([b'\n'; 200_000]);
        export.extend(b"\nMESSAGE\n");
        export.extend(8u64.to_le_bytes());
        export.extend(b"X a\xff\nb=1\n\n");
        let mut out = Vec::new();
        Records::new(&export[..], Format::Export)
            .read_to_end(&mut out)
            .expect("read");
        assert_eq!(out, b"type=1339 msg=audit(0.001:21): a\xff b=1\n");
        let short = &export[..export.len() - 6];
        let mut records = Records::new(short, Format::Export);
        assert!(records.read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn a_text_that_was_left_out_is_told_at_the_end() {
        let entry = |message: &str| {
            format!(
                r#"{{"_TRANSPORT":"audit","_AUDIT_TYPE":"1339","_AUDIT_ID":"21","_SOURCE_REALTIME_TIMESTAMP":"1795247269749000","MESSAGE":{message}}}"#
            ) + "\n"
        };
        let text = entry("null") + &entry("[65,32,98]");
        let mut out = Vec::new();
        let error = Records::new(text.as_bytes(), Format::Json)
            .read_to_end(&mut out)
            .expect_err("one is missing");
        assert!(error.to_string().contains("text of 1 records"), "{error}");
        assert_eq!(out, b"type=1339 msg=audit(1795247269.749:21): b\n");
        assert!(read(b"{\"MESSAGE\": nonsense").is_err());
    }
}
