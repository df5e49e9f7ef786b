// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A set of numbers, kept as ranges: sectors, ids. It is exact up to a number of ranges, then it says that it
//! is not.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How many ranges are kept at most: about 300 KiB.
const LIMIT: usize = 1 << 13;

/// A set of numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ranges(Kept);

/// Few take as little room as they can: most sets are small, and there may be very many.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kept {
    /// First number and last number, in order.
    Few(Vec<(u32, u32)>),
    Many(Box<Many>),
}

/// How many are few.
const FEW: usize = 64;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Many {
    /// First number to last number. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
    distinct: u64,
    /// Ranges with a gap up to this between them have been joined.
    gap: u64,
}

impl Default for Ranges {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl PartialEq for Ranges {
    fn eq(&self, other: &Self) -> bool {
        let about = |set: &Self| (set.distinct(), set.gap());
        about(self) == about(other) && self.iter().eq(other.iter())
    }
}

impl Eq for Ranges {}

impl Ranges {
    /// Adds `number`. Says whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        match (&mut self.0, u32::try_from(number)) {
            (Kept::Many(many), _) => many.insert(number),
            (Kept::Few(few), Ok(small)) if few.len() < FEW => insert(few, small),
            (Kept::Few(_), _) => self.many().insert(number),
        }
    }

    /// The same, ready for as many as may come.
    fn many(&mut self) -> &mut Many {
        if let Kept::Few(few) = &mut self.0 {
            let few = std::mem::take(few).into_iter();
            let ranges: BTreeMap<u64, u64> = few.map(|(a, b)| (a.into(), b.into())).collect();
            let distinct = ranges.iter().map(|(first, last)| last - first + 1).sum();
            let many = Many {
                ranges,
                distinct,
                gap: 0,
            };
            self.0 = Kept::Many(Box::new(many));
        }
        match &mut self.0 {
            Kept::Many(many) => many,
            Kept::Few(_) => unreachable!("they are many now"),
        }
    }

    fn gap(&self) -> u64 {
        match &self.0 {
            Kept::Few(_) => 0,
            Kept::Many(many) => many.gap,
        }
    }

    /// How many bytes it takes, about.
    pub fn size(&self) -> usize {
        match &self.0 {
            Kept::Few(few) => few.capacity() * size_of::<(u32, u32)>(),
            Kept::Many(many) => many.ranges.len() * Self::OF_MANY,
        }
    }

    /// How many bytes each of many ranges takes, about: the tree's nodes are two thirds full.
    pub const OF_MANY: usize = 26;

    /// Joins ranges that are near each other, until there are no more than `most`.
    pub fn coarsen(&mut self, most: usize) {
        if self.iter().len() > most {
            self.many().coarsen(most);
        }
    }

    /// Adds all of `other`. Where that is not exact, neither is the sum.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        match &other.0 {
            Kept::Many(many) if many.gap > 0 => self.many().merge(many),
            _ => self.extend(other.iter().flatten()),
        }
    }

    /// Whether `number` is in the set. Once it is not [exact](Self::is_exact), numbers near one that is
    /// are taken for it.
    pub fn contains(&self, number: u64) -> bool {
        match &self.0 {
            Kept::Few(few) => u32::try_from(number).is_ok_and(|number| {
                let at = few.partition_point(|&(first, _)| first <= number);
                at > 0 && few[at - 1].1 >= number
            }),
            Kept::Many(many) => {
                let before = many.ranges.range(..=number).next_back();
                before.is_some_and(|(_, &last)| last >= number)
            }
        }
    }

    /// How many numbers are in the set; at least so many, if it is not [exact](Self::is_exact).
    pub fn distinct(&self) -> u64 {
        match &self.0 {
            Kept::Few(few) => few.iter().map(|&(a, b)| u64::from(b - a) + 1).sum(),
            Kept::Many(many) => many.distinct,
        }
    }

    /// Whether every number in the set was added. Not so after too many ranges.
    pub fn is_exact(&self) -> bool {
        self.gap() == 0
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.iter().len() == 0
    }

    /// The ranges, in order.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Kept::Few(few) => Iter::Few(few.iter()),
            Kept::Many(many) => Iter::Many(many.ranges.iter()),
        }
    }

    /// `5-7, 12 and 3 more ranges`: at most `most` ranges in words.
    pub fn show(&self, most: usize) -> String {
        let mut out = String::new();
        for (i, range) in self.iter().enumerate() {
            if i == most {
                let rest = self.iter().len() - most;
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

/// Ranges of a set, in order.
#[derive(Clone, Debug)]
pub enum Iter<'a> {
    /// Of a small set.
    Few(std::slice::Iter<'a, (u32, u32)>),
    /// Of any other.
    Many(std::collections::btree_map::Iter<'a, u64, u64>),
}

impl Iterator for Iter<'_> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(few) => few.next().map(|&(a, b)| a.into()..=b.into()),
            Self::Many(many) => many.next().map(|(&first, &last)| first..=last),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(few) => few.size_hint(),
            Self::Many(many) => many.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Adds `number` to the ranges `few`. Says whether it is new.
fn insert(few: &mut Vec<(u32, u32)>, number: u32) -> bool {
    let at = few.partition_point(|&(first, _)| first <= number);
    let joins_before = at > 0 && few[at - 1].1 >= number.saturating_sub(1);
    if joins_before && few[at - 1].1 >= number {
        return false;
    }
    let joins_after = few.get(at).is_some_and(|&(first, _)| first - number == 1);
    match (joins_before, joins_after) {
        (true, true) => few[at - 1].1 = few.remove(at).1,
        (true, false) => few[at - 1].1 = number,
        (false, true) => few[at].0 = number,
        (false, false) => {
            if few.len() == few.capacity() {
                few.reserve_exact(few.len().clamp(2, 16));
            }
            few.insert(at, (number, number));
        }
    }
    true
}

impl Many {
    fn insert(&mut self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back();
        let before = before.map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        self.distinct += 1;
        let near = self.gap.saturating_add(1);
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
            self.coarsen(LIMIT / 2);
        }
        true
    }

    fn coarsen(&mut self, most: usize) {
        while self.ranges.len() > most {
            self.gap = self.gap.saturating_mul(2).saturating_add(1);
            let near = self.gap.saturating_add(1);
            let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.ranges.len());
            for (&first, &last) in &self.ranges {
                match joined.last_mut() {
                    Some((_, end)) if first - *end <= near => *end = last,
                    _ => joined.push((first, last)),
                }
            }
            self.ranges = joined.into_iter().collect();
        }
    }

    /// Adds all of `other`, which is not exact.
    fn merge(&mut self, other: &Self) {
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
                Some((_, end)) if first <= end.saturating_add(self.gap.saturating_add(1)) => {
                    *end = last.max(*end)
                }
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined.into_iter().collect();
        self.distinct = distinct;
        if self.ranges.len() > LIMIT {
            self.coarsen(LIMIT / 2);
        }
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
        fn it_is_the_set_of_what_was_added(
            spread in prop::sample::select(vec![1, 3, 5, 1 << 27, 1 << 40]),
            numbers in prop::collection::vec(0u64..200, 0..300),
        ) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                let number = number * spread;
                prop_assert_eq!(ranges.insert(number), set.insert(number));
                prop_assert!(ranges.contains(number));
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
