// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A map by ascending numbers, which mostly has one entry.

use std::collections::BTreeMap;

/// Things of type `T` by number.
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "there are very many, and few have many"
)]
pub(super) enum SmallMap<T> {
    None,
    One(u64, T),
    // A node of a tree has room for eleven.
    Many(Box<BTreeMap<u64, T>>),
}

impl<T> Default for SmallMap<T> {
    fn default() -> Self {
        Self::None
    }
}

impl<T> SmallMap<T> {
    /// Adds `thing` with a number that is greater than all before.
    pub(super) fn add(&mut self, number: u64, thing: T) {
        if let Self::Many(many) = self {
            many.insert(number, thing);
            return;
        }
        *self = match std::mem::take(self) {
            Self::One(first, one) => Self::Many(Box::new([(first, one), (number, thing)].into())),
            _ => Self::One(number, thing),
        };
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        if let Self::Many(many) = self {
            let removed = many.remove(&number);
            if many.len() < 2 {
                *self = match many.pop_last() {
                    Some((number, thing)) => Self::One(number, thing),
                    None => Self::None,
                };
            }
            return removed;
        }
        match std::mem::take(self) {
            Self::One(own, thing) if own == number => Some(thing),
            other => {
                *self = other;
                None
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        match self {
            Self::One(own, thing) if *own == number => Some(thing),
            Self::Many(many) => many.get_mut(&number),
            _ => None,
        }
    }

    /// The last of those before `number`.
    pub(super) fn before_mut(&mut self, number: u64) -> Option<&mut T> {
        match self {
            Self::One(own, thing) if *own < number => Some(thing),
            Self::Many(many) => Some(many.range_mut(..number).next_back()?.1),
            _ => None,
        }
    }

    pub(super) fn last(&self) -> Option<(u64, &T)> {
        match self {
            Self::None => None,
            Self::One(number, thing) => Some((*number, thing)),
            Self::Many(many) => many
                .last_key_value()
                .map(|(&number, thing)| (number, thing)),
        }
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::None => None,
            Self::One(_, thing) => Some(thing),
            Self::Many(many) => Some(many.last_entry()?.into_mut()),
        }
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.from(0)
    }

    /// Returns the items from `number` on, in order.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &T)> {
        let (one, many) = match self {
            Self::One(own, thing) if *own >= number => (Some((*own, thing)), None),
            Self::Many(many) => (None, Some(many.range(number..))),
            _ => (None, None),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(&number, thing)| (number, thing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((0u8..3, 0u64..12), 0..60)) {
            let mut numbered = SmallMap::default();
            let mut map = BTreeMap::new();
            for (at, (op, number)) in ops.into_iter().enumerate() {
                match op {
                    0 => prop_assert_eq!(numbered.remove(number), map.remove(&number)),
                    _ => {
                        numbered.add(at as u64, at);
                        map.insert(at as u64, at);
                    }
                }
                prop_assert_eq!(numbered.is_empty(), map.is_empty());
                prop_assert_eq!(numbered.get_mut(number), map.get_mut(&number));
                let before = map.range_mut(..number).next_back();
                prop_assert_eq!(numbered.before_mut(number), before.map(|(_, thing)| thing));
                let from: Vec<_> = map.range(number..).map(|(&number, thing)| (number, thing)).collect();
                prop_assert_eq!(numbered.from(number).collect::<Vec<_>>(), from);
                let last = map.last_key_value().map(|(&number, thing)| (number, thing));
                prop_assert_eq!(numbered.last(), last);
                prop_assert_eq!(numbered.last_mut().map(|thing| &*thing), last.map(|(_, thing)| thing));
            }
        }
    }
}
