// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts the records of each event in the order in which the kernel writes them. `ausearch` without
//! `--raw` writes the last one first.

use super::lines::{End, Lines, Raw};
use super::rank::{own, rank};
use super::wanted::Wanted;
use crate::record::event;
use crate::record::head::{self, Parsed};
use dmns_audit_log::line::Stamp;
use std::collections::VecDeque;
use std::io::{self, Read};

/// The maximum number of incomplete events.
const MOST: usize = 256;

/// A line that waits for the rest of its event.
#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    number: u64,
    end: End,
    /// Its position in its event: by type, then by [`own`].
    place: (u8, u64),
}

/// Lines of one event; or one line that is no record.
#[derive(Debug)]
struct Event {
    about: Option<(Option<Vec<u8>>, Stamp)>,
    lines: Vec<Line>,
}

/// Lines of `R`, those of an event in a row.
#[derive(Debug)]
pub(super) struct Sorted<R> {
    lines: Lines<R>,
    /// Oldest first.
    events: VecDeque<Event>,
    /// The lines that are handed out next.
    ready: VecDeque<Line>,
    found: Option<Line>,
    /// `ausearch` wrote it: the last record of an event is the first.
    divided: bool,
    at_end: bool,
    error: Option<io::Error>,
}

impl<R: Read> Sorted<R> {
    pub(super) fn new(lines: Lines<R>, divided: bool) -> Self {
        Self {
            lines,
            events: VecDeque::new(),
            ready: VecDeque::new(),
            found: None,
            divided,
            at_end: false,
            error: None,
        }
    }

    /// Returns the number of lines so far.
    pub(super) fn number(&self) -> u64 {
        self.lines.number()
    }

    /// Goes to the next line that `wanted` may want; `false` at the end.
    pub(super) fn seek(&mut self, wanted: &Wanted) -> io::Result<bool> {
        loop {
            while let Some(line) = self.ready.pop_front() {
                if wanted.may_want(&line.text) || line.end != End::Newline {
                    self.found = Some(line);
                    return Ok(true);
                }
            }
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            if self.at_end {
                return Ok(false);
            }
            self.read();
        }
    }

    /// Returns the line that [`Sorted::seek`] found last.
    pub(super) fn found(&self) -> (Raw<'_>, Parsed<'_>) {
        let (text, number, end) = match &self.found {
            Some(line) => (&line.text[..], line.number, line.end),
            None => (&[][..], 0, End::Newline),
        };
        (Raw { text, number, end }, head::parse(text))
    }

    /// Reads a line more.
    fn read(&mut self) {
        let raw = match self.lines.next_line(&Wanted::all()) {
            Ok(Some(raw)) => raw,
            Ok(None) => {
                self.at_end = true;
                return self.over(0);
            }
            Err(error) => {
                self.error = Some(error);
                return self.over(0);
            }
        };
        let parsed = head::parse(raw.text);
        let (about, place, now) = match &parsed {
            Parsed::Record(head) => {
                let about = (head.node.map(<[u8]>::to_vec), head.stamp);
                (
                    Some(about),
                    (rank(head), own(head)),
                    Some(head.stamp.seconds),
                )
            }
            _ => (None, (0, 0), None),
        };
        let line = Line {
            text: raw.text.to_vec(),
            number: raw.number,
            end: raw.end,
            place,
        };
        let known = about.as_ref().and_then(|about| {
            self.events
                .iter()
                .rposition(|event| event.about.as_ref() == Some(about))
        });
        match known {
            Some(at) => self.events[at].lines.push(line),
            None => self.events.push_back(Event {
                about,
                lines: vec![line],
            }),
        }
        // Nothing of the event that `ausearch` wrote follows this line.
        if self.divided && now.is_none() {
            return self.over(0);
        }
        let mut keep = MOST;
        if let Some(now) = now {
            let old = |event: &Event| match &event.about {
                Some((_, stamp)) => event::is_over(stamp.seconds, now),
                None => true,
            };
            let over = self.events.iter().take_while(|event| old(event)).count();
            keep = keep.min(self.events.len() - over);
        }
        self.over(keep);
    }

    /// Completes the oldest events, except for `keep` of them.
    fn over(&mut self, keep: usize) {
        while self.events.len() > keep {
            let Some(Event { mut lines, .. }) = self.events.pop_front() else {
                return;
            };
            let rises = lines
                .windows(2)
                .any(|pair| pair[0].place.0 < pair[1].place.0);
            let falls = lines
                .windows(2)
                .any(|pair| pair[0].place.0 > pair[1].place.0);
            if !rises && (falls || self.divided) {
                lines.reverse();
            }
            lines.sort_by_key(|line| line.place);
            self.ready.extend(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str, divided: bool) -> Vec<String> {
        let mut lines = Sorted::new(Lines::new(text.as_bytes()), divided);
        let mut found = Vec::new();
        while lines.seek(&Wanted::all()).expect("no error") {
            found.push(String::from_utf8_lossy(lines.found().0.text).into_owned());
        }
        found
    }

    #[test]
    fn an_event_is_as_the_kernel_wrote_it() {
        let line = |ty: &str, seconds: u64, body: &str| {
            format!("type={ty} msg=audit({seconds}.000:{seconds}): {body}")
        };
        let event = |seconds| {
            [
                line("NS_INIT_MNT", seconds, "mntns=1 ns_id=17"),
                line("NS_INIT_PID", seconds, "pidns=2 ns_id=18"),
                line("NS_INFO", seconds, "mntns=1"),
                line("SYSCALL", seconds, "arch=c000003e"),
                line("EXECVE", seconds, "argc=1 a0=\"a\""),
                line("CWD", seconds, "cwd=\"/\""),
                line("PATH", seconds, "item=0"),
                line("PATH", seconds, "item=1"),
                line("PROCTITLE", seconds, "proctitle=\"a\""),
            ]
        };
        let raw = [event(5), event(9)].concat();
        let mut reversed = vec!["----".to_owned()];
        reversed.extend(event(5).into_iter().rev());
        reversed.push("----".to_owned());
        reversed.extend(event(9).into_iter().rev());
        let mut found = sorted(&reversed.join("\n"), true);
        found.retain(|line| line != "----");
        assert_eq!(found, raw);
        let mut mixed = raw.clone();
        mixed.swap(0, 8);
        mixed.swap(3, 1);
        mixed.swap(9, 17);
        assert_eq!(sorted(&mixed.join("\n"), false), raw);
        assert_eq!(sorted(&raw.join("\n"), false), raw);
        assert_eq!(sorted("a\n\nb", false), ["a", "", "b"]);
    }
}
