// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! QEMU's monitor (QMP): commands, their answers, and events in between.
//!
//! Everything that comes is kept as it is, since it is passed on to others too
//! ([`super::monitor`]): a client that knows the commands of one version of QEMU would have to drop
//! what it does not know.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The time that the last text of a QEMU that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// No line of QEMU's is longer.
const LONGEST: u64 = 64 << 20;

/// A connection to QEMU.
#[derive(Debug)]
pub struct Qmp {
    to: UnixStream,
    lines: Receiver<Value>,
    greeting: Value,
    next: u64,
    patience: Duration,
    /// Events that nobody has asked for yet.
    events: VecDeque<Value>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// QEMU has closed the connection: it has ended.
    Gone,
    /// It does not answer in time.
    Hangs(Duration),
    /// It cannot be written to.
    Io(io::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("QEMU has closed its monitor"),
            Self::Hangs(patience) => write!(
                f,
                "QEMU's monitor does not answer within {} s",
                patience.as_secs()
            ),
            Self::Io(error) => write!(f, "QEMU's monitor: {error}"),
        }
    }
}

impl Qmp {
    /// Takes up the connection `stream` to a QEMU that starts.
    ///
    /// # Errors
    ///
    /// If QEMU ends, or does not answer within `patience`.
    pub fn begin(stream: UnixStream, patience: Duration) -> Result<Self, Trouble> {
        let (sender, lines) = mpsc::channel();
        let from = stream.try_clone().map_err(Trouble::Io)?;
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            while let Some(line) = line(&mut from) {
                // What is no JSON is no answer.
                if let Ok(value) = serde_json::from_slice(&line) {
                    if sender.send(value).is_err() {
                        return;
                    }
                }
            }
        });
        let mut qmp = Self {
            to: stream,
            lines,
            greeting: Value::Null,
            next: 0,
            patience,
            events: VecDeque::new(),
        };
        qmp.greeting = qmp.receive(Instant::now() + patience)?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Returns what QEMU begins with: its version.
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// Does `command`, and returns QEMU's whole answer: `{"return": ...}` or `{"error": ...}`.
    ///
    /// # Errors
    ///
    /// If QEMU ends meanwhile, or does not answer in time.
    pub fn pass(&mut self, mut command: Value) -> Result<Value, Trouble> {
        self.next += 1;
        let id = json!(format!("dmns-{}", self.next));
        if let Some(command) = command.as_object_mut() {
            command.insert("id".to_owned(), id.clone());
        }
        let text = format!("{command}\n");
        self.to
            .write_all(text.as_bytes())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Trouble::Gone,
                _ => Trouble::Io(error),
            })?;
        let deadline = Instant::now() + self.patience;
        loop {
            let answer = self.receive(deadline)?;
            if answer.get("event").is_some() {
                self.events.push_back(answer);
            } else if answer.get("id") == Some(&id) {
                return Ok(answer);
            }
        }
    }

    /// Does `command`; `None` where QEMU answers with an error.
    ///
    /// # Errors
    ///
    /// See [`Qmp::pass`].
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Option<Value>, Trouble> {
        let answer = self.pass(json!({ "execute": command, "arguments": arguments }))?;
        Ok(answer.get("return").cloned())
    }

    /// Returns the next event, if one comes within `wait`.
    ///
    /// # Errors
    ///
    /// If QEMU has ended.
    pub fn event(&mut self, wait: Duration) -> Result<Option<Value>, Trouble> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match self.lines.recv_timeout(wait) {
            Ok(event) => Ok(event.get("event").is_some().then_some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Trouble::Gone),
        }
    }

    /// Returns what QEMU said and nobody has heard, now that it has gone: events, perhaps an
    /// answer.
    pub fn last_words(&mut self) -> Option<Value> {
        let rest = &self.lines;
        self.events
            .pop_front()
            .or_else(|| rest.recv_timeout(LAST_WORDS).ok())
    }

    fn receive(&mut self, deadline: Instant) -> Result<Value, Trouble> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(value) => Ok(value),
            Err(RecvTimeoutError::Timeout) => Err(Trouble::Hangs(self.patience)),
            Err(RecvTimeoutError::Disconnected) => Err(Trouble::Gone),
        }
    }
}

/// Returns the next line; `None` at the end, or where it is longer than any.
pub(super) fn line(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let length = from
        .by_ref()
        .take(LONGEST)
        .read_until(b'\n', &mut line)
        .ok()?;
    (length > 0 && line.last() == Some(&b'\n')).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a QEMU that answers with the lines that `answer` makes of each of its commands.
    fn qemu(
        greets: bool,
        patience: Duration,
        answer: impl Fn(Value) -> Vec<Value> + Send + 'static,
    ) -> Result<Qmp, Trouble> {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        thread::spawn(move || {
            let mut to = theirs.try_clone().expect("a clone");
            if greets {
                writeln!(to, "{}", json!({ "QMP": {} })).expect("written");
            }
            let mut from = BufReader::new(theirs);
            while let Some(line) = line(&mut from) {
                let command: Value = serde_json::from_slice(&line).expect("JSON");
                for answer in answer(command) {
                    writeln!(to, "{answer}").expect("written");
                }
            }
        });
        Qmp::begin(ours, patience)
    }

    #[test]
    fn an_answer_is_distinguished_from_events_and_others_answers() {
        let mut qmp = qemu(true, Duration::from_secs(600), |command| {
            vec![
                json!({ "event": "RESUME" }),
                json!({ "return": "another's", "id": "x" }),
                json!({ "return": command["arguments"], "id": command["id"] }),
            ]
        })
        .expect("it greets");
        let got = qmp
            .execute("query-name", json!({ "a": 1 }))
            .expect("an answer");
        assert_eq!(got, Some(json!({ "a": 1 })));
        for _ in 0..2 {
            let event = qmp
                .event(Duration::ZERO)
                .expect("it runs")
                .expect("an event");
            assert_eq!(event["event"], "RESUME");
        }
    }

    #[test]
    fn a_qemu_that_hangs_or_ends_is_an_error() {
        let soon = Duration::from_millis(100);
        for greets in [false, true] {
            let begun = qemu(greets, soon, |_| Vec::new());
            assert!(matches!(begun, Err(Trouble::Hangs(_))));
        }
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        assert!(matches!(
            Qmp::begin(ours, Duration::from_secs(600)),
            Err(Trouble::Gone | Trouble::Io(_))
        ));
    }
}
