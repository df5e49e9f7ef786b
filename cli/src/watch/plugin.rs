// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Records from auditd or journald. As a plugin of auditd, this program reads a record per line on standard input
//! (`format = string`).

use super::{AHEAD, Message};
use crate::input::lines::Lines;
use crate::input::{Wanted, journal, log, open};
use crate::record::form;
use crate::record::head::{self, Parsed};
use crate::record::loss::Loss;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Begins to read standard input.
///
/// # Errors
///
/// Fails if no thread can be started, or a signal be caught.
pub fn start() -> io::Result<Receiver<Message>> {
    // auditd sends it to have plugins read their configuration again. There is none; by default it kills.
    signal_hook::flag::register(
        signal_hook::consts::SIGHUP,
        Arc::new(AtomicBool::new(false)),
    )?;
    read_later(|| open::stream(io::stdin()))
}

/// Begins to read the journal.
///
/// # Errors
///
/// Fails if there is no `journalctl`.
pub fn journal() -> io::Result<Receiver<Message>> {
    read(journal::journalctl(true)?)
}

fn read(source: impl Read + Send + 'static) -> io::Result<Receiver<Message>> {
    read_later(move || Ok(Box::new(source)))
}

/// Reads what `open` opens, which may take until the first bytes come.
fn read_later(
    open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
) -> io::Result<Receiver<Message>> {
    let (sender, messages) = mpsc::sync_channel(AHEAD);
    thread::Builder::new()
        .name("plugin".to_owned())
        .spawn(move || {
            let mut lines = match open() {
                Ok(source) => Lines::new(source),
                Err(error) => {
                    let _ = sender.send(Message::Failed(error));
                    return;
                }
            };
            let wanted = Wanted::all();
            let mut seen = Seen::default();
            loop {
                let message = match lines.next_line(&wanted) {
                    Ok(Some(raw)) => match seen.line(raw.text) {
                        Some(loss) => Message::Lost(loss),
                        None => Message::Record(raw.text.to_vec()),
                    },
                    Ok(None) => {
                        let _ = sender.send(seen.end());
                        return;
                    }
                    Err(error) => Message::Failed(error),
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        })?;
    Ok(messages)
}

/// Input so far.
#[derive(Debug, Default)]
struct Seen {
    records: bool,
    unread: u64,
    /// The first lines, until a record comes.
    begin: Vec<u8>,
}

impl Seen {
    /// The next line came. Returns what it says of records that are missing.
    fn line(&mut self, line: &[u8]) -> Option<Loss> {
        let parsed = head::parse(line);
        match parsed {
            Parsed::Record(_) => self.records = true,
            Parsed::Broken(_) => self.unread += 1,
            Parsed::Foreign | Parsed::Loss(_) => {}
        }
        if self.records {
            self.begin = Vec::new();
        } else if self.begin.len() < 1 << 16 {
            self.begin.extend_from_slice(line);
            self.begin.push(b'\n');
        }
        parsed.loss()
    }

    /// The last message: where none of several lines was a record, an error that says what they are.
    fn end(self) -> Message {
        match self.records || log::is_nothing(&self.begin) {
            true => Message::Unread(self.unread),
            false => {
                let (form, line) = form::of_lines(&self.begin);
                let error = log::unreadable(form, line);
                Message::Failed(io::Error::new(error.kind(), format!("<stdin>: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record() {
        let source = read(io::Cursor::new("type=EOE msg=audit(1.000:1): \nlast")).expect("started");
        let lines: Vec<_> = source
            .into_iter()
            .map(|message| match message {
                Message::Record(line) => String::from_utf8(line).expect("text"),
                Message::Unread(lines) => format!("{lines} unread"),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lines, ["type=EOE msg=audit(1.000:1): ", "last", "1 unread"]);
    }
}
