// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads journald's copy of the audit records, in the output of `journalctl -o export` or `-o
//! json`. Each entry of the audit transport becomes the line that auditd would have written. So
//! does a message of the kernel, or of a program, that is a record. A message about missing records
//! becomes a line too.
//!
//! The line has the entry's host as `node=`, and the entry's boot in the place of an enriched
//! record's names. A record that comes by two transports becomes one line.
//!
//! C: `process_audit_string()` in `src/journal/journald-audit.c` of systemd: `MESSAGE=` is the name
//! of the type and the text of the record, `_AUDIT_TYPE=`, `_AUDIT_ID=` and
//! `_SOURCE_REALTIME_TIMESTAMP=` are the rest. An EOE has no text, and so no entry.

use super::lines::LONGEST;
use crate::record::event::BOOT;
use crate::record::form::{self, Form};
use crate::record::head::{self, Parsed};
use crate::record::loss::{self, What};
use hashbrown::{HashMap, HashSet};
use serde::Deserialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// An output format of `journalctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `-o export`: a field a line, an empty line after each entry.
    Export,
    /// `-o json`, `-o json-sse` or `-o json-seq`: an entry a line.
    Json,
    /// `-o json-pretty`: an entry in several lines.
    Pretty,
}

impl Format {
    /// The number of bytes that [`Format::of`] needs.
    pub const MAGIC: usize = 12;

    /// Returns the format of an output that begins so, if it is journalctl's.
    pub fn of(begin: &[u8]) -> Option<Self> {
        let begin = plain(begin);
        match begin {
            [b'{', b'\n' | b'\r', ..] => Some(Self::Pretty),
            [b'{' | 0x1e, ..] => Some(Self::Json),
            _ if begin.starts_with(b"data: {") => Some(Self::Json),
            _ if EXPORTED.iter().any(|name| begin.starts_with(name)) => Some(Self::Export),
            _ => None,
        }
    }
}

/// The fields that the output of `journalctl -o export` begins with.
const EXPORTED: [&[u8]; 5] = [
    b"__CURSOR=",
    b"__REALTI",
    b"_BOOT_ID=",
    b"_HOSTNAM",
    b"_TRANSPO",
];

/// Returns `text` without a byte order mark and empty lines before it.
fn plain(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(text)
        .trim_ascii_start()
}

/// Reads entries as the lines that auditd would have written.
pub struct Records<R> {
    source: BufReader<R>,
    format: Format,
    line: Vec<u8>,
    /// The number of bytes of `line` that were handed out.
    at: usize,
    /// The number of entries without their text.
    cut: u64,
    /// The number of objects, of journal entries among them, and of records from these.
    objects: u64,
    entries: u64,
    records: u64,
    /// The form of the first object that is no entry.
    other: Option<Form>,
    /// Whether lines name their host.
    named: bool,
    hosts: Machines,
    recent: Recent,
    /// The boots in which the audit transport has brought a record.
    listening: HashSet<String>,
}

/// The names of machines. Two machines with one name get two names.
#[derive(Debug, Default)]
struct Machines {
    by_id: HashMap<String, String>,
    names: HashSet<String>,
}

impl Machines {
    /// Returns the name of the machine with this `id`, which has the host name `name`.
    fn name(&mut self, id: Option<&str>, name: Option<&str>) -> Option<String> {
        let plain = |text: &str| {
            text.chars()
                .map(|c| if c.is_ascii_graphic() { c } else { '?' })
                .collect::<String>()
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return name.filter(|name| !name.is_empty()).map(plain);
        };
        if let Some(known) = self.by_id.get(id) {
            return Some(known.clone());
        }
        let own = plain(name.filter(|name| !name.is_empty()).unwrap_or(id));
        let own = match self.names.contains(&own) {
            true => format!("{own}-{}", plain(&id.chars().take(8).collect::<String>())),
            false => own,
        };
        self.names.insert(own.clone());
        self.by_id.insert(id.to_owned(), own.clone());
        Some(own)
    }
}

/// The number of records in memory.
const RECENT: usize = 8192;

/// The last records, and the transport of each.
#[derive(Debug, Default)]
struct Recent {
    known: HashMap<u64, (bool, u64)>,
    order: VecDeque<u64>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Recent {
    /// Returns whether the record `line` came before by the other transport.
    fn is_known(&mut self, line: &[u8], audit: bool) -> bool {
        let Parsed::Record(head) = head::parse(line) else {
            return false;
        };
        let key = self
            .hasher
            .hash_one((head.node, head.stamp, head.body.trim_ascii_end()));
        if let Some((by, number)) = self.known.get_mut(&key) {
            match *by == audit {
                // One transport has as many as there are.
                true => *number += 1,
                false if *number > 0 => {
                    *number -= 1;
                    return true;
                }
                false => {}
            }
            return false;
        }
        self.known.insert(key, (audit, 1));
        self.order.push_back(key);
        if self.order.len() > RECENT {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        false
    }
}

/// The fields of an entry that are needed.
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
    #[serde(rename = "_HOSTNAME")]
    host: Option<Value>,
    #[serde(rename = "_MACHINE_ID")]
    machine: Option<Value>,
    #[serde(rename = "_BOOT_ID")]
    boot: Option<Value>,
    #[serde(rename = "__CURSOR")]
    cursor: Option<Value>,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: Option<Value>,
}

impl<R: Read> Records<R> {
    /// Creates a reader of `source`, an output of `journalctl`.
    pub fn new(source: R, format: Format) -> Self {
        Self {
            source: BufReader::new(source),
            format,
            line: Vec::new(),
            at: 0,
            cut: 0,
            objects: 0,
            entries: 0,
            records: 0,
            other: None,
            named: true,
            hosts: Machines::default(),
            recent: Recent::default(),
            listening: HashSet::new(),
        }
    }

    /// Creates a reader of this machine's own journal. Its lines name no host.
    pub fn own(source: R, format: Format) -> Self {
        Self {
            named: false,
            ..Self::new(source, format)
        }
    }

    /// Returns the next entry; `None` at the end.
    fn entry(&mut self) -> io::Result<Option<Entry>> {
        match self.format {
            Format::Json => {
                let mut line = Vec::new();
                // The other fields of an entry may be long.
                self.source
                    .by_ref()
                    .take(64 << 20)
                    .read_until(b'\n', &mut line)?;
                let text = plain(&line).trim_ascii_end();
                let text = text.strip_prefix(b"data: ").unwrap_or(text);
                let text = text.strip_prefix(b"\x1e").unwrap_or(text);
                if text.is_empty() {
                    return Ok((!line.is_empty()).then(Entry::default));
                }
                self.objects += 1;
                let entry: Entry =
                    serde_json::from_slice(text).map_err(|error| self.broken(text, &error))?;
                self.see(&entry, text);
                Ok(Some(entry))
            }
            Format::Pretty => self.pretty(),
            Format::Export => {
                let entry = self.exported()?;
                self.objects += u64::from(entry.is_some());
                self.entries = self.objects;
                Ok(entry)
            }
        }
    }

    /// Returns the next entry of several lines. It ends with a line that begins with the last
    /// bracket.
    fn pretty(&mut self) -> io::Result<Option<Entry>> {
        let mut text = Vec::new();
        loop {
            let from = text.len();
            let room = (64 << 20) - from as u64;
            self.source
                .by_ref()
                .take(room)
                .read_until(b'\n', &mut text)?;
            let line = &text[from..];
            if line.is_empty() && text.trim_ascii().is_empty() {
                return Ok(None);
            }
            if line.is_empty() || line.starts_with(b"}") {
                break;
            }
        }
        self.objects += 1;
        let text = plain(&text);
        let entry: Entry =
            serde_json::from_slice(text).map_err(|error| self.broken(text, &error))?;
        self.see(&entry, text);
        Ok(Some(entry))
    }

    /// Counts an object, and keeps the form of the first one that is no entry.
    fn see(&mut self, entry: &Entry, text: &[u8]) {
        let is_entry = entry.transport.is_some() || entry.cursor.is_some() || entry.time.is_some();
        match is_entry {
            true => self.entries += 1,
            false => drop(self.other.get_or_insert_with(|| form::of_json(text))),
        }
    }

    fn broken(&self, text: &[u8], error: &serde_json::Error) -> io::Error {
        let what = match (self.entries, form::of_line(text)) {
            (0, Some(form)) => format!("this is {}: {}", form.describe(), form.instead()),
            _ => format!("not as `journalctl -o json` writes it: {error}"),
        };
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// Returns the message at the end, once.
    fn last_word(&mut self) -> Option<String> {
        let (cut, objects) = (
            std::mem::take(&mut self.cut),
            std::mem::take(&mut self.objects),
        );
        match () {
            () if cut > 0 => Some(format!(
                "journalctl left out the text of {cut} records: use `journalctl --all`"
            )),
            () if objects == 0 || self.records > 0 => None,
            () if self.entries == 0 => {
                let form = self.other.unwrap_or(Form::Json);
                Some(format!("this is {}: {}", form.describe(), form.instead()))
            }
            () => Some(format!(
                "a journal of {objects} entries without an audit record: is audit on (`auditctl -s`)? Debian's journald takes \
                 records after `systemctl enable --now systemd-journald-audit.socket`"
            )),
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
            let line = line.strip_suffix(b"\r").unwrap_or(line);
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
                b"_HOSTNAME" => &mut entry.host,
                b"_MACHINE_ID" => &mut entry.machine,
                b"_BOOT_ID" => &mut entry.boot,
                _ => continue,
            };
            *field = Some(match String::from_utf8(value) {
                Ok(text) => text.into(),
                Err(bytes) => bytes.into_bytes().into(),
            });
        }
    }

    /// Reads a binary value: its length in 64 bits, little endian, itself, and a newline.
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

/// The kind of an entry.
enum Line {
    /// No entry of audit.
    Other,
    /// `journalctl` left out its text.
    Cut,
    /// A record, without its node, its boot and its newline; whether the audit transport brought
    /// it.
    Record(Vec<u8>, bool),
    /// A message that records are missing.
    Loss(Vec<u8>, What),
}

impl Entry {
    /// Returns its line.
    fn line(&self) -> Line {
        match self.transport.as_ref().and_then(Value::as_str) {
            Some("audit") => self.audit().unwrap_or(Line::Other),
            _ => self.message(),
        }
    }

    /// Returns the line of an entry of the audit transport.
    fn audit(&self) -> Option<Line> {
        let number = |value: &Option<Value>| value.as_ref()?.as_str()?.parse::<u64>().ok();
        let (ty, id, micros) = (number(&self.ty)?, number(&self.id)?, number(&self.micros)?);
        let Some(message) = self.message.as_ref().and_then(bytes) else {
            return Some(Line::Cut);
        };
        let body = message
            .iter()
            .position(|&b| b == b' ')
            .map_or(&[][..], |at| &message[at + 1..]);
        let (seconds, millis) = (micros / 1_000_000, micros / 1000 % 1000);
        let mut line = format!("type={ty} msg=audit({seconds}.{millis:03}:{id}): ").into_bytes();
        line.extend_from_slice(body);
        Some(Line::Record(line, true))
    }

    /// Returns the line of any other entry: a record that the kernel or a program wrote as a
    /// message.
    fn message(&self) -> Line {
        let Some(message) = self.message.as_ref().and_then(bytes) else {
            return Line::Other;
        };
        if memchr::memmem::find(&message, b"audit").is_none()
            && memchr::memchr(b' ', &message).is_none()
        {
            return Line::Other;
        }
        if let (true, Parsed::Record(head)) = (
            memchr::memmem::find(&message, b"type=").is_some(),
            head::parse(&message),
        ) {
            let from = head.name_at - b"type=".len();
            let mut line = Vec::with_capacity(message.len() + 16);
            // auditd's own name of the host counts more than journald's.
            if let Some(node) = head
                .node
                .filter(|node| message[..from].ends_with(&[b"node=", *node, b" "].concat()))
            {
                line.extend_from_slice(&[b"node=", node, b" "].concat());
            }
            let name_end = head.name_at + head.name.len();
            line.extend_from_slice(&message[from..name_end]);
            line.extend_from_slice(b" msg=");
            let rest = message[name_end..].trim_ascii_start();
            line.extend_from_slice(rest.strip_prefix(b"msg=").unwrap_or(rest));
            return Line::Record(line, false);
        }
        match loss::of_message(&message) {
            Some(loss) => Line::Loss(message, loss.what),
            None => Line::Other,
        }
    }
}

impl<R> Records<R> {
    /// Returns whether journald has had a record from audit in the boot of `entry`, and so has all
    /// that follow.
    fn listens(&self, entry: &Entry) -> bool {
        let boot = entry.boot.as_ref().and_then(Value::as_str);
        boot.is_some_and(|boot| self.listening.contains(boot))
    }

    /// The line of `entry`, if it has one.
    fn take(&mut self, entry: &Entry) {
        self.line.clear();
        let (mut text, audit) = match entry.line() {
            Line::Other => return,
            Line::Cut => {
                self.cut += 1;
                return;
            }
            Line::Record(text, audit) => (text, Some(audit)),
            // The audit transport has those that the kernel does not print.
            Line::Loss(_, What::Suppressed) if self.listens(entry) => return,
            Line::Loss(text, _) => (text, None),
        };
        if audit == Some(true) && !self.listens(entry) {
            let boot = entry.boot.as_ref().and_then(Value::as_str);
            self.listening.extend(boot.map(str::to_owned));
        }
        // A record is one line.
        text.iter_mut()
            .filter(|b| **b == b'\n')
            .for_each(|b| *b = b' ');
        if let Some(audit) = audit {
            if self.named && !text.starts_with(b"node=") {
                let value = |value: &Option<Value>| {
                    value.as_ref().and_then(Value::as_str).map(str::to_owned)
                };
                let (id, name) = (value(&entry.machine), value(&entry.host));
                if let Some(host) = self.hosts.name(id.as_deref(), name.as_deref()) {
                    self.line
                        .extend_from_slice(format!("node={host} ").as_bytes());
                }
            }
            self.line.append(&mut text);
            if self.recent.is_known(&self.line, audit) {
                self.line.clear();
                return;
            }
            self.records += 1;
            if let Some(boot) = entry.boot.as_ref().and_then(Value::as_str) {
                let has_names = self.line.contains(&0x1d);
                let boot: String = boot.chars().filter(char::is_ascii_alphanumeric).collect();
                match has_names {
                    // Its boot comes before its names.
                    true => {
                        let at = self.line.iter().position(|b| *b == 0x1d).unwrap_or(0) + 1;
                        let names = self.line.split_off(at);
                        self.line
                            .extend_from_slice(format!("{BOOT}{boot} ").as_bytes());
                        self.line.extend_from_slice(&names);
                    }
                    false => self
                        .line
                        .extend_from_slice(format!("\x1d{BOOT}{boot}").as_bytes()),
                }
            }
        } else {
            self.line.append(&mut text);
        }
        self.line.push(b'\n');
    }
}

/// Returns a value that is text, or bytes; `None` if it is too long for `journalctl` without
/// `--all`.
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
                return match self.last_word() {
                    None => Ok(0),
                    Some(word) => Err(io::Error::new(io::ErrorKind::InvalidData, word)),
                };
            };
            self.at = 0;
            self.take(&entry);
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
    /// Something was read, or a message said that nothing was.
    any: bool,
}

/// Starts `journalctl`. With `follow`, it returns new entries only, and does not end.
///
/// # Errors
///
/// If there is none.
pub fn journalctl(follow: bool) -> io::Result<Journalctl> {
    let follow: &[&str] = match follow {
        true => &["--follow", "--lines=0"],
        false => &[],
    };
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--all", "--output=export"])
        .args(follow)
        .args([
            "_TRANSPORT=audit",
            "+",
            "_TRANSPORT=kernel",
            "+",
            "SYSLOG_IDENTIFIER=audisp-syslog",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("journalctl: {error}")))?;
    let source = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Journalctl {
        records: Records::own(source, Format::Export),
        child,
        any: false,
    })
}

impl Read for Journalctl {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.records.read(out)?;
        self.any |= length > 0;
        if length == 0 && !out.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("journalctl ended with {status}")));
            }
            if !std::mem::replace(&mut self.any, true) {
                let what = "no entry of audit or of the kernel (may this user read it? try sudo)";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
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
            __CURSOR=s=2\n_TRANSPORT=kernel\nMESSAGE=usb 1-1: new device\n\n";
        assert_eq!(read(export.as_bytes()).expect("read"), RECORD);
        let json = r#"{"_AUDIT_ID":"21","__CURSOR":"s=1","_TRANSPORT":"audit","_AUDIT_TYPE":"1339","_SOURCE_REALTIME_TIMESTAMP":"1795247269749000","MESSAGE":"AUDIT1339 module=integrity op=integrity-checksum dev=253:0 sector=77480 res=0"}
{"_TRANSPORT":"stdout","MESSAGE":[104,105]}"#;
        assert_eq!(read(json.as_bytes()).expect("read"), RECORD);
    }

    /// From its first record on, the audit transport has what the kernel's log lacks.
    #[test]
    fn what_the_kernel_does_not_print_is_missing_until_journald_listens() {
        let loss = |boot: &str, number: u32| {
            format!(
                "__CURSOR=s=1\n_TRANSPORT=kernel\n_BOOT_ID={boot}\n\
                 MESSAGE=kauditd_printk_skb: {number} callbacks suppressed\n\n"
            )
        };
        let record = "__CURSOR=s=2\n_TRANSPORT=audit\n_BOOT_ID=aa\n_AUDIT_TYPE=1339\n_AUDIT_ID=21\n\
            _SOURCE_REALTIME_TIMESTAMP=1000\nMESSAGE=AUDIT1339 a=1\n\n";
        let lost = "__CURSOR=s=3\n_TRANSPORT=kernel\n_BOOT_ID=aa\nMESSAGE=audit: audit_lost=4 audit_rate_limit=0\n\n";
        let export = [
            &loss("aa", 116),
            record,
            &loss("aa", 17),
            lost,
            &loss("bb", 22),
        ]
        .concat();
        let text = read(export.as_bytes()).expect("read");
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("type="))
            .collect();
        assert_eq!(
            lines,
            [
                "kauditd_printk_skb: 116 callbacks suppressed",
                "audit: audit_lost=4 audit_rate_limit=0",
                "kauditd_printk_skb: 22 callbacks suppressed",
            ]
        );
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
    fn a_text_that_was_left_out_is_reported_at_the_end() {
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

    #[test]
    fn a_message_of_the_kernel_is_a_record_too_and_comes_once() {
        let entry = |transport: &str, rest: &str, message: &str| {
            format!(
                r#"{{"__CURSOR":"s=1","_TRANSPORT":"{transport}",{rest}"_HOSTNAME":"a","_BOOT_ID":"77","MESSAGE":"{message}"}}"#
            ) + "\n"
        };
        let body = "module=integrity op=integrity-checksum dev=253:0 sector=77480 res=0";
        let kernel = entry(
            "kernel",
            "",
            &format!("audit: type=1339 audit(1795247269.749:21): {body}"),
        );
        let audit = r#""_AUDIT_TYPE":"1339","_AUDIT_ID":"21","_SOURCE_REALTIME_TIMESTAMP":"1795247269749000","#;
        let audit = entry("audit", audit, &format!("DM_EVENT {body}"));
        let syslog = entry(
            "syslog",
            "",
            &format!("node=b type=DM_EVENT msg=audit(1795247269.749:21): {body}"),
        );
        let line = format!("node=a {}\x1d_BOOT_ID=77\n", RECORD.trim_end());
        assert_eq!(read(kernel.as_bytes()).expect("read"), line);
        assert_eq!(
            read((kernel.clone() + &audit).as_bytes()).expect("read"),
            line
        );
        assert_eq!(read((audit + &kernel).as_bytes()).expect("read"), line);
        assert_eq!(
            read((kernel.clone() + &kernel).as_bytes()).expect("read"),
            line.repeat(2)
        );
        let other = read(syslog.as_bytes()).expect("read");
        assert!(
            other.starts_with("node=b type=DM_EVENT msg=audit(1795247269.749:21): module="),
            "{other}"
        );
        let loss = entry(
            "kernel",
            "",
            "audit: audit_lost=4217 audit_rate_limit=0 audit_backlog_limit=64",
        );
        let both = read((kernel + &loss).as_bytes()).expect("read");
        assert!(
            both.ends_with("\naudit: audit_lost=4217 audit_rate_limit=0 audit_backlog_limit=64\n"),
            "{both}"
        );
    }

    #[test]
    fn machines_of_one_name_are_two() {
        let mut machines = Machines::default();
        assert_eq!(
            machines
                .name(Some("11112222333"), Some("localhost"))
                .as_deref(),
            Some("localhost")
        );
        assert_eq!(
            machines
                .name(Some("99998888777"), Some("localhost"))
                .as_deref(),
            Some("localhost-99998888")
        );
        assert_eq!(
            machines
                .name(Some("11112222333"), Some("renamed"))
                .as_deref(),
            Some("localhost")
        );
        assert_eq!(machines.name(None, Some("c d")).as_deref(), Some("c?d"));
        assert_eq!(machines.name(None, None), None);
    }

    #[test]
    fn json_that_is_none_of_the_journal_is_an_error() {
        for (text, what) in [
            ("{\"ID\":\"1.0:71\",\"DM_EVENT\":{}}\n", "laurel"),
            ("{\"@timestamp\":\"x\",\"message\":\"y\"}\n", "filebeat"),
            ("{\n  \"a\": 1\n}\n", "JSON"),
            ("{\"a\": 1}", "not as journalctl writes it"),
            (
                "{\"__CURSOR\":\"s\",\"_TRANSPORT\":\"kernel\",\"MESSAGE\":\"usb\"}\n",
                "without an audit record",
            ),
        ] {
            let error = read(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(what), "{error}");
        }
        let pretty = r#"{
	"__CURSOR" : "s=1",
	"_TRANSPORT" : "kernel",
	"MESSAGE" : "audit: type=1339 audit(1795247269.749:21): module=integrity op=integrity-checksum dev=253:0 sector=77480 res=0"
}
"#;
        assert_eq!(
            read(pretty.repeat(2).as_bytes()).expect("read"),
            RECORD.repeat(2)
        );
    }
}
