// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a model of a target predicts, and how that is compared with the records.

use super::log::Record;
use std::collections::BTreeSet;
use std::ops::Range;

/// How the page cache reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cached {
    /// Sectors before those that are read, and behind them, that may be read too.
    pub(super) before: u64,
    pub(super) ahead: u64,
    /// What it fails with, if it fails.
    pub(super) error: i32,
    /// How often a block may be read that fails.
    pub(super) tries: usize,
}

/// A model of a device: it follows what is written and corrupted, and predicts what a read returns.
pub(super) trait Oracle {
    /// Returns the name of the target, as records have it.
    fn module(&self) -> &'static str;

    /// Returns the number of the mapping, as records have it.
    fn number(&self) -> &str;

    /// Returns how many sectors the mapping has.
    fn length(&self) -> u64;

    /// Returns the sectors of a block: what is verified at once.
    fn block(&self) -> u64;

    /// Returns whether a table of it is loaded for reading alone.
    fn is_read_only(&self) -> bool;

    /// Predicts a direct read of whole blocks by one bio. `None`: the kernel's source does not decide.
    fn direct(&mut self, sectors: Range<u64>) -> Option<Prediction>;

    /// Predicts a read through the page cache. `None`: the kernel's source does not decide.
    fn cached(&mut self, sectors: Range<u64>, how: Cached) -> Option<Prediction>;

    /// Returns the blocks that a read finds corrupt.
    fn bad_blocks(&self) -> BTreeSet<u64>;

    /// Notes the records of a read.
    fn recorded(&mut self, records: &[Record]);

    /// Notes that a table was loaded and is active now.
    fn loaded(&mut self);

    /// Notes that the mapping was suspended and resumed.
    fn resumed(&mut self);

    /// Predicts words of `dmsetup status`.
    fn status(&self) -> Vec<Word>;

    /// Returns the record of a constructor, which fails with `error` if there is one.
    fn constructor(&self, error: Option<&str>) -> Record {
        Record {
            error: error.unwrap_or("success").to_owned(),
            res: if error.is_some() { "0" } else { "1" }.to_owned(),
            ..Record::new("DM_CTRL", self.module(), "ctr", self.number())
        }
    }

    /// Returns the record of a destructor.
    fn destructor(&self) -> Record {
        Record {
            error: "success".to_owned(),
            res: "1".to_owned(),
            ..Record::new("DM_CTRL", self.module(), "dtr", self.number())
        }
    }

    /// Returns the record of an event of the target: it has no sector. C: `dm_audit_log_target()`.
    fn event(&self, op: &str) -> Record {
        Record {
            sector: "?".to_owned(),
            ..Record::new("DM_EVENT", self.module(), op, self.number())
        }
    }
}

/// A word of `dmsetup status`.
pub(super) struct Word {
    /// Its index behind the name of the target.
    pub(super) index: usize,
    pub(super) word: String,
    /// Whether it is this word, or must be another.
    pub(super) is_equal: bool,
    /// What it means.
    pub(super) what: &'static str,
}

impl Word {
    /// Returns a prediction of the very word.
    pub(super) fn is(index: usize, word: impl ToString, what: &'static str) -> Self {
        Self {
            index,
            word: word.to_string(),
            is_equal: true,
            what,
        }
    }
}

/// What a step must return and record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prediction {
    /// The number of the error, if it fails.
    pub(super) error: Option<i32>,
    /// The bytes that it returns if it does not fail, if they are known.
    pub(super) data: Option<Vec<u8>>,
    /// The parts of `data` that are not known.
    pub(super) unknown: Vec<Range<usize>>,
    /// Each of these comes so often.
    pub(super) exact: Vec<Record>,
    /// Only these come in addition, in any number up to `at_most`.
    pub(super) among: BTreeSet<Record>,
    /// At least so many of `among` come.
    pub(super) at_least: usize,
    /// At most so many of `among` come.
    pub(super) at_most: usize,
    /// This comes once, or not at all.
    pub(super) perhaps: Option<Record>,
}

impl Prediction {
    /// Returns a prediction of records alone.
    pub(super) fn of(exact: Vec<Record>) -> Self {
        Self {
            exact,
            ..Self::default()
        }
    }

    /// Returns the first byte of what was read that differs from `data`.
    pub(super) fn differs(&self, read: &[u8]) -> Option<usize> {
        let data = self.data.as_ref()?;
        let is_known = |at: &usize| !self.unknown.iter().any(|unknown| unknown.contains(at));
        let differ = data.iter().zip(read).enumerate();
        let mut differ = differ.filter(|(_, (a, b))| a != b).map(|(at, _)| at);
        let first = differ.find(is_known);
        first.or_else(|| (data.len() != read.len()).then_some(data.len().min(read.len())))
    }

    /// Leaves bytes of `data` out at the begin and at the end.
    pub(super) fn cut(&mut self, begin: usize, end: usize) {
        let Some(data) = &mut self.data else {
            return;
        };
        data.truncate(data.len() - end);
        data.drain(..begin);
        for unknown in &mut self.unknown {
            *unknown = unknown.start.saturating_sub(begin)..unknown.end.saturating_sub(begin);
        }
    }

    /// Returns how the records differ from those predicted.
    pub(super) fn compare(&self, records: &[Record]) -> Vec<String> {
        let mut differences = Vec::new();
        let mut left = records.to_vec();
        for expected in &self.exact {
            match left.iter().position(|record| record == expected) {
                Some(at) => drop(left.remove(at)),
                None => differences.push(format!("predicted, not recorded: {expected}")),
            }
        }
        let perhaps = |record: &Record| Some(record) == self.perhaps.as_ref();
        if let Some(at) = left.iter().position(perhaps) {
            left.remove(at);
        }
        let before = left.len();
        left.retain(|record| !self.among.contains(record));
        let among = before - left.len();
        if among < self.at_least {
            let some = self.among.iter().next();
            let some = some.map_or("nothing".to_owned(), ToString::to_string);
            differences.push(format!(
                "predicted, not recorded: {} of {} such as {some}",
                self.at_least - among,
                self.among.len()
            ));
        }
        if among > self.at_most {
            differences.push(format!(
                "{among} records of corrupt blocks, at most {} were predicted",
                self.at_most
            ));
        }
        differences.extend(
            left.iter()
                .map(|record| format!("recorded, not predicted: {record}")),
        );
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_compared() {
        let mut prediction = Prediction {
            data: Some((0..16).collect()),
            unknown: vec![4..6, 6..8],
            ..Prediction::default()
        };
        let mut read: Vec<u8> = (0..16).collect();
        assert_eq!(prediction.differs(&read), None);
        read[5] = 99;
        assert_eq!(prediction.differs(&read), None);
        read[8] = 99;
        assert_eq!(prediction.differs(&read), Some(8));
        assert_eq!(prediction.differs(&read[..8]), Some(8));
        prediction.cut(6, 1);
        assert_eq!(prediction.unknown, [0..0, 0..2]);
        assert_eq!(
            prediction.differs(&[99, 99, 8, 9, 10, 11, 12, 13, 14]),
            None
        );
        assert_eq!(
            prediction.differs(&[6, 7, 99, 9, 10, 11, 12, 13, 14]),
            Some(2)
        );
    }
}
