// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Interns frequent text of a log.

use hashbrown::{Equivalent, HashSet};
use std::cell::{RefCell, RefMut};
use std::hash::Hash;
use std::rc::Rc;

/// The maximum number of known texts.
const MOST: usize = 1 << 14;

/// Names, identifiers, words.
#[derive(Debug, Default)]
pub struct Names(RefCell<HashSet<Rc<str>>>);

impl Names {
    /// Returns the interned `text`. It is kept for as long as it is referenced, and for a while
    /// after.
    pub fn get(&self, text: &str) -> Rc<str> {
        let mut known = room(&self.0);
        known.get_or_insert_with(text, |text| text.into()).clone()
    }
}

/// Interned values.
#[derive(Debug)]
pub struct Once<T>(RefCell<HashSet<Rc<T>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Hash + Eq> Once<T> {
    /// Returns the interned `thing`. It is kept for as long as it is referenced, and for a while
    /// after.
    pub fn get(&self, thing: T) -> Rc<T> {
        let mut known = room(&self.0);
        if let Some(known) = known.get(&thing) {
            return known.clone();
        }
        let thing = Rc::new(thing);
        known.insert(thing.clone());
        thing
    }

    /// Returns the interned value that `key` describes, and makes it if it is new.
    pub fn of<Q: Hash + Equivalent<Rc<T>>>(&self, key: &Q, make: impl FnOnce(&Q) -> T) -> Rc<T> {
        let mut known = room(&self.0);
        known
            .get_or_insert_with(key, |key| Rc::new(make(key)))
            .clone()
    }
}

/// Returns `known`, with room for one more. Dropped values stay valid for their holders.
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
