// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Looks up the file at a corrupt sector, in a thread of its own: the stream of events does not wait for a walk through a
//! filesystem. What comes while a walk is under way is looked up in one walk, the next one.

use super::events::Event;
use crate::locate::answer::Answer;
use crate::locate::effort::Effort;
use crate::locate::locate;
use crate::locate::stack::Stack;
use crate::record::Type;
use crate::record::value::Fields;
use crate::report::Id;
use crate::report::dm::record::Record;
use dmns_audit_uapi::types::RecordType;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

/// Maximum number of sectors that wait. The excess is counted.
const WAITING: usize = 4096;

/// Number of sectors that are remembered, so that each is looked up once.
const KNOWN: usize = 4096;

/// Longest walk.
const LIMIT: Duration = Duration::from_secs(120);

/// A sector of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    target: String,
    device: String,
    sector: u64,
}

/// What was found for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The event.
    pub id: Id,
    /// What is there.
    pub answers: Vec<Answer>,
}

/// The thread that looks up files.
#[derive(Debug)]
pub struct Files {
    questions: SyncSender<(Id, Question)>,
    located: Receiver<Located>,
    /// Those that were asked last.
    known: HashSet<Question>,
    order: VecDeque<Question>,
    /// Number of answers that are still to come.
    open: usize,
    /// Number of sectors that were not looked up.
    pub dropped: u64,
}

impl Files {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// Fails if there can be none.
    pub fn start() -> io::Result<Self> {
        let (questions, asked) = mpsc::sync_channel(WAITING);
        let (answer, located) = mpsc::channel();
        thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || {
                while let Ok(first) = asked.recv() {
                    let batch: Vec<(Id, Question)> = std::iter::once(first)
                        .chain(asked.try_iter().take(WAITING))
                        .collect();
                    for located in look_up(batch) {
                        if answer.send(located).is_err() {
                            return;
                        }
                    }
                }
            })?;
        Ok(Self {
            questions,
            located,
            known: HashSet::new(),
            order: VecDeque::new(),
            open: 0,
            dropped: 0,
        })
    }

    /// Asks for the files of the violations in `event`. Does not wait.
    pub fn ask(&mut self, event: &Event) {
        for head in event.records() {
            // Its number may be another's from now on.
            if head.ty == Type::Ours(RecordType::DmCtrl) {
                self.forget();
            }
            if head.ty != Type::Ours(RecordType::DmEvent) {
                continue;
            }
            let fields = Fields::of(&head);
            let Some(record) = Record::of(&fields) else {
                continue;
            };
            let Some(sector) = record.sector else {
                continue;
            };
            let question = Question {
                target: record.module.to_owned(),
                device: record.dev.to_owned(),
                sector,
            };
            if self.known.contains(&question) {
                continue;
            }
            match self.questions.try_send((event.id, question.clone())) {
                Ok(()) => self.open += 1,
                Err(_) => {
                    self.dropped += 1;
                    continue;
                }
            }
            if self.order.len() == KNOWN {
                if let Some(oldest) = self.order.pop_front() {
                    self.known.remove(&oldest);
                }
            }
            self.known.insert(question.clone());
            self.order.push_back(question);
        }
    }

    /// Forgets what was asked.
    fn forget(&mut self) {
        self.known.clear();
        self.order.clear();
    }

    /// Returns what was found meanwhile.
    pub fn found(&mut self) -> Vec<Located> {
        let mut all = Vec::new();
        loop {
            match self.located.try_recv() {
                Ok(located) => all.push(located),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.open = 0;
                    break;
                }
            }
        }
        self.open = self.open.saturating_sub(all.len());
        all
    }

    /// Returns whether answers are still to come.
    pub fn is_busy(&self) -> bool {
        self.open > 0
    }
}

/// Looks up a batch in one walk.
fn look_up(batch: Vec<(Id, Question)>) -> Vec<Located> {
    let stack = Stack::of_machine();
    let mut asked: Vec<(String, u64)> = Vec::new();
    let mut at: HashMap<(String, u64), usize> = HashMap::new();
    let mut of_events: Vec<(Id, Vec<usize>)> = Vec::new();
    for (id, question) in batch {
        let found = stack.of_record(&question.target, &question.device, question.sector);
        let places = found.into_iter().map(|place| {
            *at.entry(place.clone()).or_insert_with(|| {
                asked.push(place);
                asked.len() - 1
            })
        });
        of_events.push((id, places.collect()));
    }
    let answers = locate(&stack, &asked, &Effort::quiet(Some(LIMIT)));
    let of_event = |(id, places): (Id, Vec<usize>)| Located {
        id,
        answers: places.iter().map(|&at| answers[at].clone()).collect(),
    };
    of_events.into_iter().map(of_event).collect()
}

#[cfg(test)]
mod tests {
    use super::super::events::Events;
    use super::*;
    use crate::locate::answer::What;
    use std::time::Instant;

    #[test]
    fn a_sector_is_looked_up_once_and_elsewhere() {
        let line = b"type=DM_EVENT msg=audit(1.000:1): module=integrity op=integrity-checksum dev=4095:7 sector=8 res=0";
        let mut events = Events::default();
        events.record(line, None, Instant::now());
        let event = events.all().remove(0);
        let mut files = Files::start().expect("started");
        files.ask(&event);
        files.ask(&event);
        let begin = Instant::now();
        let mut found = Vec::new();
        while files.is_busy() && begin.elapsed() < Duration::from_secs(60) {
            found.extend(files.found());
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(found.len(), 1);
        let answer = &found[0].answers[0];
        assert_eq!((answer.device.as_str(), answer.sector), ("4095:7", 8));
        // There is no such device.
        assert!(matches!(answer.places[0].what, What::Unknown { .. }));
        files.forget();
        files.ask(&event);
        assert!(files.is_busy());
    }
}
