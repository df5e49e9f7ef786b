// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The files of the corrupt sectors of mappings. Only a mapping that is active is looked up: the number of another one
//! may be used again.

use super::lifetime::{EndReason, FilesFound, Lifetime};
use crate::locate::answer::{Answer, Data};
use crate::locate::effort::Effort;
use crate::locate::stack::Stack;
use crate::locate::{locate, show};
use crate::report::Options;
use std::time::Duration;

/// Maximum number of sectors of a report.
const MOST: usize = 100_000;

/// Longest search in a filesystem.
const LIMIT: Duration = Duration::from_secs(600);

/// Adds the files to `lifetimes`, in one walk through each filesystem.
pub(super) fn add<'a>(lifetimes: impl Iterator<Item = &'a mut Lifetime>, options: &Options) {
    let lifetimes: Vec<&mut Lifetime> = lifetimes.filter(|of| of.violations > 0).collect();
    if lifetimes.is_empty() {
        return;
    }
    let (mut questions, mut parts) = (Vec::new(), Vec::new());
    let asks = lifetimes.iter().any(|lifetime| why_not(lifetime).is_none());
    let stack = if asks {
        Stack::of_machine()
    } else {
        Stack::new("/".as_ref(), "")
    };
    for lifetime in &lifetimes {
        let begin = questions.len();
        if why_not(lifetime).is_none() {
            for found in &lifetime.found {
                let sectors = found.sectors.iter().flatten();
                for sector in sectors.take(MOST.saturating_sub(questions.len())) {
                    let device = found.device.to_string();
                    questions.extend(stack.of_record(&lifetime.target, &device, sector));
                }
            }
        }
        questions[begin..].sort();
        parts.push(begin..questions.len());
    }
    let answers = locate(&stack, &questions, &Effort::new(Some(LIMIT)));
    for (lifetime, part) in lifetimes.into_iter().zip(parts) {
        let mut answers = answers[part].to_vec();
        answers.dedup();
        for answer in &mut answers {
            written_since(answer, lifetime);
        }
        lifetime.files = Some(found(lifetime, &answers, questions.len() >= MOST, options));
    }
}

fn found(lifetime: &Lifetime, answers: &[Answer], cut: bool, options: &Options) -> FilesFound {
    let mut found = FilesFound::default();
    if options.json {
        found.objects = answers
            .iter()
            .map(|answer| show::object(answer).to_string())
            .collect();
    }
    found.lines = show::sentences(answers);
    found
        .lines
        .extend(why_not(lifetime).map(|why| format!("files are not looked up: {why}")));
    if !lifetime.sectors.is_exact() && !answers.is_empty() {
        found
            .lines
            .push("not every one of these sectors is corrupt".to_owned());
    }
    if cut {
        found
            .lines
            .push(format!("no more than {MOST} sectors are looked up"));
    }
    found
}

/// Returns why the mapping cannot be looked up, if so.
fn why_not(lifetime: &Lifetime) -> Option<&'static str> {
    match lifetime.end_reason {
        EndReason::Deleted => Some("the mapping was deleted, and its number may be another's"),
        EndReason::Down => Some("the host was down since, and the number may be another's"),
        EndReason::Failed(_) => Some("the mapping was not made"),
        EndReason::Active if lifetime.node.is_some() && lifetime.start.is_none() => {
            Some("the log does not have its creation, so that it may be of another machine")
        }
        EndReason::Active => None,
    }
}

/// Adds a remark where the file was written after the last violation: what is there now may be good.
fn written_since(answer: &mut Answer, lifetime: &Lifetime) {
    let last = lifetime.found.iter().map(|found| found.last.seconds).max();
    for place in &mut answer.places {
        let data = place.what.data();
        if let Some(since) = last.and_then(|last| since(data?, last)) {
            place.certain = false;
            place.remarks.push(since.to_owned());
        }
    }
}

/// Returns what was done with the file after `last`.
fn since(data: &Data, last: u64) -> Option<&'static str> {
    let is_later = |time: Option<i64>| {
        let time = time.and_then(|time| u64::try_from(time).ok());
        time.is_some_and(|time| time > last)
    };
    match (is_later(data.modified), is_later(data.changed)) {
        (true, _) => Some("the file was written since the last violation"),
        (_, true) => Some("the file was changed or restored since the last violation"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cp -a` and `tar` set the time of the last write to the old one.
    #[test]
    fn a_file_that_was_restored_is_not_certain() {
        let data = |modified, changed| Data {
            modified: Some(modified),
            changed: Some(changed),
            ..Data::default()
        };
        assert_eq!(since(&data(100, 100), 100), None);
        assert!(since(&data(101, 101), 100).is_some_and(|s| s.contains("written")));
        assert!(since(&data(50, 101), 100).is_some_and(|s| s.contains("restored")));
        assert_eq!(since(&Data::default(), 100), None);
        assert_eq!(since(&data(-5, -5), 100), None);
    }
}
