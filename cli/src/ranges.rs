// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A set of numbers, kept as ranges: sectors, ids. It is exact up to a number of ranges. Beyond, those that are nearest
//! to each other are joined, and it says that it is not exact.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Maximum number of ranges: about 300 KiB, and the same again for the gaps between them.
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

/// Maximum number of ranges of a small set.
const FEW: usize = 64;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Many {
    /// First number to last number. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
    distinct: u64,
    /// Ranges have been joined with what is between them.
    joined: bool,
    /// Distance of each range from the one before it, and its beginning, once ranges have to be joined.
    #[serde(skip)]
    gaps: Option<BTreeSet<(u64, u64)>>,
}

impl Default for Ranges {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl PartialEq for Ranges {
    fn eq(&self, other: &Self) -> bool {
        let about = |set: &Self| (set.distinct(), set.is_exact());
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
                ..Many::default()
            };
            self.0 = Kept::Many(Box::new(many));
        }
        match &mut self.0 {
            Kept::Many(many) => many,
            Kept::Few(_) => unreachable!("they are many now"),
        }
    }

    /// Returns its approximate size in bytes.
    pub fn size(&self) -> usize {
        match &self.0 {
            Kept::Few(few) => few.capacity() * size_of::<(u32, u32)>(),
            Kept::Many(many) => {
                let gaps = many.gaps.as_ref().map_or(0, BTreeSet::len);
                (many.ranges.len() + gaps) * Self::OF_MANY
            }
        }
    }

    /// Approximate size of each of many ranges in bytes: the tree's nodes are two thirds full.
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
            Kept::Many(many) if many.joined => self.many().merge(many),
            _ => self.extend(other.iter().flatten()),
        }
    }

    /// Returns whether `number` is in the set. If it is not [exact](Self::is_exact), numbers near one that is
    /// also count as in it.
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

    /// Returns the size of the set; a lower bound, if it is not [exact](Self::is_exact).
    pub fn distinct(&self) -> u64 {
        match &self.0 {
            Kept::Few(few) => few.iter().map(|&(a, b)| u64::from(b - a) + 1).sum(),
            Kept::Many(many) => many.distinct,
        }
    }

    /// Returns whether every number in the set was added; false after too many ranges.
    pub fn is_exact(&self) -> bool {
        !matches!(&self.0, Kept::Many(many) if many.joined)
    }

    /// Returns the size of its ranges; an upper bound, if it is not [exact](Self::is_exact).
    pub fn covered(&self) -> u64 {
        let length = |range: RangeInclusive<u64>| (range.end() - range.start()).saturating_add(1);
        self.iter().map(length).fold(0, u64::saturating_add)
    }

    /// Returns whether the set is empty.
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
    /// The ranges of a small set.
    Few(std::slice::Iter<'a, (u32, u32)>),
    /// The ranges of another set.
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
        let after = self.ranges.range(number..).next();
        let after = after.map(|(&first, &last)| (first, last));
        let joins_before = before.filter(|&(_, last)| number - last == 1);
        let joins_after = after.filter(|&(first, _)| first - number == 1);
        let first = joins_before.map_or(number, |(first, _)| first);
        let last = joins_after.map_or(number, |(_, last)| last);
        if let Some(gaps) = &mut self.gaps {
            if let (Some((_, end)), Some((begin, _))) = (before, after) {
                gaps.remove(&(begin - end, begin));
            }
            if let (Some((_, end)), None) = (before, joins_before) {
                gaps.insert((first - end, first));
            }
            if let (Some((begin, _)), None) = (after, joins_after) {
                gaps.insert((begin - last, begin));
            }
        }
        if let Some((after, _)) = joins_after {
            self.ranges.remove(&after);
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > LIMIT {
            self.join_nearest();
        }
        true
    }

    /// Joins the two ranges that are nearest to each other.
    fn join_nearest(&mut self) {
        let ranges = &mut self.ranges;
        let gaps = self.gaps.get_or_insert_with(|| {
            let pairs = ranges.iter().zip(ranges.iter().skip(1));
            pairs
                .map(|((_, end), (begin, _))| (begin - end, *begin))
                .collect()
        });
        let Some((_, begin)) = gaps.pop_first() else {
            return;
        };
        if let Some(last) = ranges.remove(&begin) {
            if let Some((_, end)) = ranges.range_mut(..begin).next_back() {
                *end = last;
                self.joined = true;
            }
        }
    }

    /// Joins those that are nearest to each other, until there are no more than `most`.
    fn coarsen(&mut self, most: usize) {
        self.gaps = None;
        let more = self.ranges.len().saturating_sub(most.max(1));
        if more == 0 {
            return;
        }
        let pairs = self.ranges.iter().zip(self.ranges.iter().skip(1));
        let mut gaps: Vec<_> = pairs
            .map(|((_, end), (begin, _))| (begin - end, *begin))
            .collect();
        gaps.select_nth_unstable(more - 1);
        for (_, begin) in &gaps[..more] {
            if let Some(last) = self.ranges.remove(begin) {
                if let Some((_, end)) = self.ranges.range_mut(..begin).next_back() {
                    *end = last;
                }
            }
        }
        self.joined = true;
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
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined.into_iter().collect();
        self.distinct = distinct;
        self.joined = true;
        self.coarsen(LIMIT);
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
    fn beyond_its_bound_the_nearest_are_joined_and_it_says_how_much_that_is() {
        let mut ranges = Ranges::default();
        for i in 0..LIMIT as u64 {
            ranges.insert(i * 1000);
        }
        assert!(ranges.is_exact() && ranges.iter().len() == LIMIT);
        assert_eq!(ranges.covered(), ranges.distinct());
        // Each of these is near another one: nothing else is joined.
        for i in 0..LIMIT as u64 / 2 {
            ranges.insert(i * 2000 + 3);
        }
        assert!(!ranges.is_exact());
        assert_eq!(ranges.iter().len(), LIMIT);
        assert_eq!(ranges.distinct(), LIMIT as u64 * 3 / 2);
        assert_eq!(ranges.covered(), LIMIT as u64 * 3 / 2 + LIMIT as u64);
        assert!(!ranges.contains(500));
        let mut other = Ranges::default();
        other.insert(500);
        other.merge(&ranges);
        assert!(other.contains(500) && !other.is_exact() && other.iter().len() == LIMIT);
    }

    proptest! {
        #[test]
        fn many_stay_a_superset(numbers in prop::collection::vec(0u64..1 << 20, 0..2000), most in 1usize..200) {
            let mut ranges = Ranges::default();
            ranges.extend(numbers.iter().copied());
            ranges.coarsen(most);
            ranges.extend(numbers.iter().map(|number| number / 2));
            for number in &numbers {
                prop_assert!(ranges.contains(*number) && ranges.contains(*number / 2));
            }
            prop_assert!(ranges.covered() >= ranges.distinct());
            let all: Vec<_> = ranges.iter().collect();
            prop_assert!(all.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
        }
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
