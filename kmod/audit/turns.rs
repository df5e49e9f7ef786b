// SPDX-License-Identifier: GPL-2.0-only

//! The deferred records of namespaces, by user. Users take turns, so that the records of one do not
//! wait for all those of another. The records of one user stay in order.

use super::share::SLOTS;
use super::text::{
    RecordText,
    TextList, //
};
use kernel::prelude::*;

const WORDS: usize = SLOTS.div_ceil(64);

/// The texts of each user, and of the host.
pub(crate) struct Turns {
    lists: [TextList; SLOTS],
    /// A bit for each list that has texts.
    filled: [u64; WORDS],
}

impl Turns {
    pub(crate) const fn new() -> Self {
        Self {
            lists: [const { TextList::new() }; SLOTS],
            filled: [0; WORDS],
        }
    }

    /// Adds a text at the end of its user's.
    pub(super) fn push(&mut self, text: KBox<RecordText>) {
        let slot = text.share.as_ref().map_or(0, |share| share.slot());
        self.lists[slot].push(text);
        self.filled[slot / 64] |= 1 << (slot % 64);
    }

    /// Calls `f` with the oldest text of each user. Returns whether there was any.
    pub(super) fn round(&mut self, mut f: impl FnMut(KBox<RecordText>)) -> bool {
        let mut any = false;
        for (word, filled) in self.filled.iter_mut().enumerate() {
            let mut left = *filled;
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                match self.lists[word * 64 + bit].pop() {
                    Some(text) => {
                        any = true;
                        f(text);
                    }
                    None => *filled &= !(1 << bit),
                }
            }
        }
        any
    }

    /// Returns all texts.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RecordText> {
        self.lists.iter().flat_map(TextList::iter)
    }
}
