// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The records of device mapper in auditd's log, as they come.
//!
//! The parser is not that of `dmns-audit`, which is tested with these records too.

use crate::follow::{self, Follower};
use crate::tools::audit;
use crate::tools::counters::Counters;
use anyhow::{Context, Result, bail};
use nix::unistd::write;
use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest that a record may take to the log.
const DELIVERY: Duration = Duration::from_secs(60);

/// A record of device mapper.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    /// `DM_CTRL` or `DM_EVENT`.
    pub(super) ty: String,
    pub(super) module: String,
    pub(super) op: String,
    pub(super) dev: String,
    /// The sector, `?`, or nothing.
    pub(super) sector: String,
    /// The text of an error, of DM_CTRL.
    pub(super) error: String,
    pub(super) res: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ty,
            module,
            op,
            dev,
            sector,
            error,
            res,
        } = self;
        write!(f, "{ty} {module} {op} dev={dev}")?;
        if !sector.is_empty() {
            write!(f, " sector={sector}")?;
        }
        if !error.is_empty() {
            write!(f, " error_msg='{error}'")?;
        }
        write!(f, " res={res}")
    }
}

impl Record {
    /// Returns a record of a failure, without a sector.
    pub(super) fn new(ty: &str, module: &str, op: &str, dev: &str) -> Self {
        Self {
            ty: ty.to_owned(),
            module: module.to_owned(),
            op: op.to_owned(),
            dev: dev.to_owned(),
            sector: String::new(),
            error: String::new(),
            res: "0".to_owned(),
        }
    }

    /// Reads a line of the log. Returns `None` if it is another record.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix("type=")?;
        let (ty, rest) = line.split_once(' ')?;
        let ty = match ty {
            "DM_CTRL" | "UNKNOWN[1338]" => "DM_CTRL",
            "DM_EVENT" | "UNKNOWN[1339]" => "DM_EVENT",
            _ => return None,
        };
        let (_, body) = rest.split_once("): ")?;
        // auditd may add the names of numbers, behind this separator.
        let body = body.split('\u{1d}').next().unwrap_or(body);
        let field = |name: &str| {
            let mut words = body.split(' ');
            let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or("").to_owned()
        };
        // The text may have an apostrophe, which the kernel does not escape.
        let error = body
            .split_once("error_msg='")
            .and_then(|(_, rest)| rest.split_once("' res="));
        Some(Self {
            ty: ty.to_owned(),
            module: field("module"),
            op: field("op"),
            dev: field("dev"),
            sector: field("sector"),
            error: error.map_or("", |(text, _)| text).to_owned(),
            res: field("res"),
        })
    }
}

/// auditd's log from now on.
pub(super) struct Log {
    audit: OwnedFd,
    follower: Follower,
    partial: Vec<u8>,
    /// Lines behind the last mark.
    waiting: VecDeque<String>,
    marks: u64,
}

impl Log {
    pub(super) fn open() -> Result<Self> {
        let audit = audit::open()?;
        fs::metadata(follow::PATH).context(follow::PATH)?;
        let mut follower = Follower::new(follow::PATH);
        follower.read().context(follow::PATH)?;
        Ok(Self {
            audit,
            follower,
            partial: Vec::new(),
            waiting: VecDeque::new(),
            marks: 0,
        })
    }

    /// Returns the records since the last call, when all have come.
    pub(super) fn records(&mut self) -> Result<Vec<Record>> {
        let end = Instant::now() + DELIVERY;
        // What the module has deferred has no place in the log yet.
        let is_loaded = Path::new("/sys/kernel/security/dmns_audit/counters").exists();
        while is_loaded && pending()? > 0 {
            if Instant::now() > end {
                bail!("records are deferred for {} s", DELIVERY.as_secs());
            }
            sleep(Duration::from_millis(1));
        }
        self.marks += 1;
        let mark = format!("dmns-torture-{}-{}", std::process::id(), self.marks);
        write(&self.audit, &message(&mark)).context("audit")?;
        let mut records = Vec::new();
        loop {
            let lines = self.lines()?;
            self.waiting.extend(lines);
            while let Some(line) = self.waiting.pop_front() {
                if line.contains(&mark) {
                    return Ok(records);
                }
                records.extend(Record::parse(&line));
            }
            if Instant::now() > end {
                bail!("a message does not come through auditd's log");
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Returns whole lines that are new.
    fn lines(&mut self) -> Result<Vec<String>> {
        let more = self.follower.read().context(follow::PATH)?;
        self.partial.extend(more);
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// Returns how many records the module has deferred.
fn pending() -> Result<u64> {
    let counters = Counters::read()?;
    Ok(counters.sum(counters.columns.len() - 1))
}

/// Returns a message of type `AUDIT_USER`.
fn message(text: &str) -> Vec<u8> {
    audit::message(1005, format!("{text}\0").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let read = |line: &str| Record::parse(line).map(|record| record.to_string());
        let event = "type=DM_EVENT msg=audit(1.2:3): module=integrity op=integrity-checksum \
                     dev=253:0 sector=77480 res=0";
        let shown = "DM_EVENT integrity integrity-checksum dev=253:0 sector=77480 res=0";
        assert_eq!(read(event).as_deref(), Some(shown));
        let control = "type=DM_CTRL msg=audit(1.2:3): module=integrity op=ctr ppid=1 pid=2 \
                       comm=\"x\" dev=253:0 error_msg='It doesn't match' res=0\u{1d}UID=\"root\"";
        let shown = "DM_CTRL integrity ctr dev=253:0 error_msg='It doesn't match' res=0";
        assert_eq!(read(control).as_deref(), Some(shown));
        assert_eq!(read("type=SYSCALL msg=audit(1.2:3): arch=1"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_message_has_its_length() {
        let message = message("dmns");
        assert_eq!(message[..4], 21_u32.to_ne_bytes());
        assert_eq!(message.len(), 24);
    }
}
