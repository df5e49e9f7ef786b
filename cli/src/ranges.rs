// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A set of numbers, kept as ranges: sectors, ids. It is exact up to a number of ranges, then it says that it
//! is not.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How many ranges are kept at most: about 300 KiB.
const LIMIT: usize = 1 << 13;

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// First number to last number. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
    distinct: u64,
    /// Ranges with a gap up to this between them have been joined.
    gap: u64,
}

impl Ranges {
    /// Adds `number`. Says whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back();
        let before = before.map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        self.distinct += 1;
        let near = self.gap + 1;
        let joins_before = before.filter(|&(_, last)| number - last <= near);
        let after = self.ranges.range(number..).next();
        let joins_after = after
            .map(|(&first, &last)| (first, last))
            .filter(|&(first, _)| first - number <= near);
        let first = joins_before.map_or(number, |(first, _)| first);
        let last = joins_after.map_or(number, |(_, last)| last);
        if let Some((after, _)) = joins_after {
            self.ranges.remove(&after);
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > LIMIT {
            self.coarsen();
        }
        true
    }

    /// Joins ranges that are near each other, until half of them are left.
    fn coarsen(&mut self) {
        while self.ranges.len() > LIMIT / 2 {
            self.gap = self.gap * 2 + 1;
            let mut joined: Vec<(u64, u64)> = Vec::with_capacity(LIMIT);
            for (&first, &last) in &self.ranges {
                match joined.last_mut() {
                    Some((_, end)) if first - *end <= self.gap + 1 => *end = last,
                    _ => joined.push((first, last)),
                }
            }
            self.ranges = joined.into_iter().collect();
        }
    }

    /// Adds all of `other`. Where that is not exact, neither is the sum.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        if other.is_exact() {
            self.extend(other.iter().flatten());
            return;
        }
        let distinct = self.distinct.max(other.distinct);
        let mut ranges = std::mem::take(&mut self.ranges);
        for (&first, &last) in &other.ranges {
            let end = ranges.entry(first).or_insert(last);
            *end = last.max(*end);
        }
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        self.gap = self.gap.max(other.gap);
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(self.gap + 1) => {
                    *end = last.max(*end)
                }
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined.into_iter().collect();
        self.distinct = distinct;
        if self.ranges.len() > LIMIT {
            self.coarsen();
        }
    }

    /// Whether `number` is in the set. Once it is not [exact](Self::is_exact), numbers near one that is
    /// are taken for it.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges
            .range(..=number)
            .next_back()
            .is_some_and(|(_, &last)| last >= number)
    }

    /// How many numbers are in the set; at least so many, if it is not [exact](Self::is_exact).
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Whether every number in the set was added. Not so after too many ranges.
    pub fn is_exact(&self) -> bool {
        self.gap == 0
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|(&first, &last)| first..=last)
    }

    /// `5-7, 12 and 3 more ranges`: at most `most` ranges in words.
    pub fn show(&self, most: usize) -> String {
        let mut out = String::new();
        for (i, range) in self.iter().enumerate() {
            if i == most {
                let rest = self.ranges.len() - most;
                let s = if rest == 1 { "" } else { "s" };
                out.push_str(&format!(" and {rest} more range{s}"));
                break;
            }
            if i > 0 {
                out.push_str(", ");
            }
            match (range.start(), range.end()) {
                (first, last) if first == last => out.push_str(&first.to_string()),
                (first, last) => out.push_str(&format!("{first}-{last}")),
            }
        }
        out
    }
}

impl Extend<u64> for Ranges {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, numbers: T) {
        for number in numbers {
            self.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_added(numbers in prop::collection::vec(0u64..60, 0..80)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(ranges.insert(number), set.insert(number));
            }
            prop_assert_eq!(ranges.distinct(), set.len() as u64);
            prop_assert_eq!(ranges.iter().flatten().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            let all: Vec<_> = ranges.iter().collect();
            prop_assert!(all.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
        }
    }

    #[test]
    fn it_stays_small_and_says_so() {
        let mut ranges = Ranges::default();
        for i in 0..3 * LIMIT as u64 {
            ranges.insert(i * 10);
        }
        assert!(!ranges.is_exact());
        assert!(ranges.iter().len() <= LIMIT);
        assert!(ranges.contains(10) && ranges.insert(u64::MAX));
        assert!(!ranges.insert(u64::MAX));
    }

    #[test]
    fn it_is_shown_in_words() {
        let mut ranges = Ranges::default();
        for n in [5, 6, 7, 12, 20, 30] {
            ranges.insert(n);
        }
        assert_eq!(ranges.show(9), "5-7, 12, 20, 30");
        assert_eq!(ranges.show(2), "5-7, 12 and 2 more ranges");
    }
}
