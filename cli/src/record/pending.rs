// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Items that wait for another record of their event.

use super::event;
use super::host::Host;
use dmns_audit_log::line::Stamp;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// An event: the number of its host, and its stamp.
pub type Event = (Host, Stamp);

/// Items that wait, oldest first.
#[derive(Debug)]
pub struct Pending<T> {
    by_event: HashMap<Event, Vec<(u64, T)>>,
    /// The order in which items came. It may have items that no longer wait.
    order: VecDeque<(u64, Event)>,
    next: u64,
    waiting: usize,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self {
            by_event: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            waiting: 0,
        }
    }
}

impl<T> Pending<T> {
    /// Returns the number of items that wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Adds `item`, which waits for a record of `event`.
    pub fn push(&mut self, event: Event, item: T) {
        self.by_event
            .entry(event)
            .or_default()
            .push((self.next, item));
        self.order.push_back((self.next, event));
        self.next += 1;
        self.waiting += 1;
        if self.order.len() > 2 * self.waiting + 64 {
            let by_event = &self.by_event;
            self.order.retain(|(number, event)| {
                by_event
                    .get(event)
                    .is_some_and(|items| items.iter().any(|(n, _)| n == number))
            });
        }
    }

    /// Takes the items that wait for a record of `event` and for which `is_it` returns true, oldest
    /// first.
    pub fn take(&mut self, event: &Event, mut is_it: impl FnMut(&T) -> bool) -> Vec<T> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let Some(items) = self.by_event.get_mut(event) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        for (number, item) in std::mem::take(items) {
            match is_it(&item) {
                true => taken.push(item),
                false => items.push((number, item)),
            }
        }
        if items.is_empty() {
            self.by_event.remove(event);
        }
        self.waiting -= taken.len();
        taken
    }

    /// Takes the oldest of these only.
    pub fn take_one(&mut self, event: &Event, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let mut none = true;
        let first = |item: &T| {
            let first = none && is_it(item);
            none &= !first;
            first
        };
        self.take(event, first).pop()
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<T> {
        while let Some((number, event)) = self.order.pop_front() {
            let Some(items) = self.by_event.get_mut(&event) else {
                continue;
            };
            let Some(at) = items.iter().position(|(n, _)| *n == number) else {
                continue;
            };
            let (_, item) = items.remove(at);
            if items.is_empty() {
                self.by_event.remove(&event);
            }
            self.waiting -= 1;
            return Some(item);
        }
        None
    }

    /// Takes the oldest, if it has waited long enough at the second `now`.
    pub fn overdue(&mut self, now: u64) -> Option<T> {
        loop {
            let &(number, event) = self.order.front()?;
            let waits = self.by_event.get(&event);
            let waits = waits.is_some_and(|items| items.iter().any(|(n, _)| *n == number));
            if waits && !event::is_over(event.1.seconds, now) {
                return None;
            }
            if waits {
                return self.pop();
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(u64, u8),
        Take(u64, u8),
        Pop,
        Overdue(u64),
    }

    proptest! {
        /// The map agrees with a list that is searched from its begin.
        #[test]
        fn it_is_a_list(ops in prop::collection::vec(prop_oneof![
            3 => (0u64..12, 0u8..3).prop_map(|(s, t)| Op::Push(s, t)),
            3 => (0u64..12, 0u8..3).prop_map(|(s, t)| Op::Take(s, t)),
            1 => Just(Op::Pop),
            1 => (0u64..20).prop_map(Op::Overdue),
        ], 0..200)) {
            let event = |seconds| (0, Stamp { seconds, millis: 0, serial: 1 });
            let mut pending = Pending::default();
            let mut list: Vec<(u64, u8)> = Vec::new();
            for op in ops {
                match op {
                    Op::Push(s, t) => {
                        pending.push(event(s), t);
                        list.push((s, t));
                    }
                    Op::Take(s, t) => {
                        let taken = pending.take(&event(s), |&other| other == t);
                        let before = list.len();
                        list.retain(|&item| item != (s, t));
                        prop_assert_eq!(taken.len(), before - list.len());
                    }
                    Op::Pop => {
                        let first = (!list.is_empty()).then(|| list.remove(0).1);
                        prop_assert_eq!(pending.pop(), first);
                    }
                    Op::Overdue(now) => {
                        let over = list.first().is_some_and(|&(s, _)| event::is_over(s, now));
                        let first = over.then(|| list.remove(0).1);
                        prop_assert_eq!(pending.overdue(now), first);
                    }
                }
                prop_assert_eq!(pending.len(), list.len());
            }
        }
    }
}
