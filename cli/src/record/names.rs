// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a log says again and again, kept once.

use hashbrown::{Equivalent, HashSet};
use std::cell::{RefCell, RefMut};
use std::hash::Hash;
use std::rc::Rc;

/// How many are known at a time.
const MOST: usize = 1 << 14;

/// Names, identifiers, words.
#[derive(Debug, Default)]
pub struct Names(RefCell<HashSet<Rc<str>>>);

impl Names {
    /// `text`, which is kept for as long as somebody has it, and for a while after.
    pub fn get(&self, text: &str) -> Rc<str> {
        let mut known = room(&self.0);
        known.get_or_insert_with(text, |text| text.into()).clone()
    }
}

/// Things that come again and again, each kept once.
#[derive(Debug)]
pub struct Once<T>(RefCell<HashSet<Rc<T>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Hash + Eq> Once<T> {
    /// `thing`, which is kept for as long as somebody has it, and for a while after.
    pub fn get(&self, thing: T) -> Rc<T> {
        let mut known = room(&self.0);
        if let Some(known) = known.get(&thing) {
            return known.clone();
        }
        let thing = Rc::new(thing);
        known.insert(thing.clone());
        thing
    }

    /// The same of what `key` describes, which is made of it where it is new.
    pub fn of<Q: Hash + Equivalent<Rc<T>>>(&self, key: &Q, make: impl FnOnce(&Q) -> T) -> Rc<T> {
        let mut known = room(&self.0);
        known
            .get_or_insert_with(key, |key| Rc::new(make(key)))
            .clone()
    }
}

/// What is `known`, with room for one more. Whoever has one of them keeps it.
fn room<T: ?Sized>(known: &RefCell<HashSet<Rc<T>>>) -> RefMut<'_, HashSet<Rc<T>>> {
    let mut known = known.borrow_mut();
    if known.len() >= MOST {
        known.clear();
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_kept_once_and_there_is_an_end() {
        let names = Names::default();
        let first = names.get("a");
        assert!(Rc::ptr_eq(&first, &names.get("a")));
        for number in 0..2 * MOST {
            assert_eq!(*names.get(&number.to_string()), *number.to_string());
        }
        assert!(names.0.borrow().len() <= MOST);
        assert_eq!(&*first, "a");
    }
}
