// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit watch`: what happens, as it happens.
//!
//! - [`netlink`]: records from the kernel.
//! - [`plugin`]: records from auditd.
//! - [`events`]: puts records of one event together.
//! - [`tell`]: an event in a sentence, or JSON.

pub mod events;
pub mod netlink;
pub mod plugin;
pub mod tell;

use crate::report::Options;
use events::{Event, Events};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long the records of an event are waited for when nothing comes. The kernel sends them at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// How many messages a source may be ahead.
const AHEAD: usize = 8192;

/// What a source brings.
#[derive(Debug)]
pub enum Message {
    /// A record, as a log has it.
    Record(Vec<u8>),
    /// So many records were lost, for they were not read in time.
    Missed(u64),
    /// The source is broken.
    Failed(io::Error),
}

/// Tells what `source` brings, until it ends or `count` events were told.
///
/// # Errors
///
/// Where `out` cannot be written to, or the source fails.
pub fn watch(
    source: &Receiver<Message>,
    options: &Options,
    count: Option<u64>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut events = Events::default();
    let mut left = count.unwrap_or(u64::MAX);
    let mut tell = |event: &Event, out: &mut dyn Write| -> io::Result<bool> {
        if left > 0 && tell::event(event, options, out)? {
            left -= 1;
        }
        Ok(left == 0)
    };
    loop {
        let whole = match source.recv_timeout(PATIENCE) {
            Ok(Message::Record(line)) => events.record(&line),
            Ok(Message::Missed(number)) => {
                tell::missed(number, options, out)?;
                out.flush()?;
                continue;
            }
            Ok(Message::Failed(error)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => events.all(),
            Err(RecvTimeoutError::Disconnected) => {
                for event in events.all() {
                    tell(&event, out)?;
                }
                return out.flush();
            }
        };
        if whole.is_empty() {
            continue;
        }
        for event in whole {
            if tell(&event, out)? {
                return out.flush();
            }
        }
        // Somebody looks on.
        out.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn watched(log: &str, json: bool, count: Option<u64>) -> String {
        let (sender, source) = mpsc::sync_channel(AHEAD);
        for (i, line) in log.lines().enumerate() {
            if i == 3 {
                sender.send(Message::Missed(7)).expect("sent");
            }
            sender
                .send(Message::Record(line.as_bytes().to_vec()))
                .expect("sent");
        }
        drop(sender);
        let options = Options {
            json,
            ..Options::default()
        };
        let mut out = Vec::new();
        watch(&source, &options, count, &mut out).expect("no error");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn events_are_told_as_they_come() {
        let logs = concat!(
            include_str!("../../tests/logs/dm.log"),
            include_str!("../../tests/logs/ns.log"),
            include_str!("../../tests/logs/virt.log")
        );
        insta::assert_snapshot!("text", watched(logs, false, None));
        insta::assert_snapshot!("json", watched(logs, true, None));
    }

    #[test]
    fn it_ends_after_as_many_events_as_were_asked_for() {
        let log = include_str!("../../tests/logs/dm.log");
        let told = watched(log, false, Some(3));
        assert_eq!(
            told.lines().filter(|line| line.contains(" dm ")).count(),
            3,
            "{told}"
        );
        assert!(told.contains("missed 7 records"), "{told}");
    }
}
