// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which lines a reader asks for, told by their first bytes, so that the many others cost next to nothing.

/// The first four bytes of a type's name, in the order of memory.
type Key = u32;

const fn key(bytes: [u8; 4]) -> Key {
    Key::from_ne_bytes(bytes)
}

/// The types of record that a reader of a log asks for.
///
/// It errs on one side only: a line that it passes may still be another's.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Empty: every line.
    keys: Vec<Key>,
    /// The same where they are found: each at its [place](place), or after it where another is there.
    table: [Key; PLACES],
}

/// How many places the table has: many more than keys, so that nearly all that is not wanted has an empty one.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 8;

/// No key: a name has no zero.
const NONE: Key = 0;

/// Where a key is in the table.
const fn place(key: Key) -> usize {
    (key.wrapping_mul(0x9e37_79b9) >> (Key::BITS - PLACE_BITS)) as usize
}

impl Wanted {
    /// Every line, also what is no record.
    pub fn all() -> Self {
        Self {
            keys: Vec::new(),
            table: [NONE; PLACES],
        }
    }

    /// Records with a type that begins with one of `prefixes`, those with a number for a type, and auditd's own, which say
    /// that records are missing.
    ///
    /// # Panics
    ///
    /// Where a prefix is not of four bytes: `"DM_C"`.
    pub fn types(prefixes: &[&str]) -> Self {
        let keys: Vec<Key> = prefixes
            .iter()
            .chain(&["UNKN", "DAEM"])
            .map(|prefix| {
                key(prefix
                    .as_bytes()
                    .try_into()
                    .expect("a prefix has four bytes"))
            })
            .collect();
        Self::of(keys)
    }

    fn of(keys: Vec<Key>) -> Self {
        let mut table = [NONE; PLACES];
        for &key in &keys {
            let mut at = place(key);
            while table[at] != NONE {
                at = (at + 1) % PLACES;
            }
            table[at] = key;
        }
        Self { keys, table }
    }

    /// What it wants, and what `other` wants.
    pub fn and(&self, other: &Self) -> Self {
        if self.is_all() || other.is_all() {
            return Self::all();
        }
        let mut keys = self.keys.clone();
        keys.extend(other.keys.iter().filter(|key| !self.keys.contains(key)));
        Self::of(keys)
    }

    /// Whether it is every line.
    pub fn is_all(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the same is wanted. Asked for each line: nothing is compared with nothing, which glibc's memcmp(3) on
    /// AVX-512 takes a hundred times as long for.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len() && (self.is_all() || self.keys == other.keys)
    }

    /// Whether `line` may be wanted.
    #[inline]
    pub fn may_want(&self, line: &[u8]) -> bool {
        if self.is_all() {
            return true;
        }
        match line.strip_prefix(b"type=") {
            Some(&[a, b, c, d, ..]) => a.is_ascii_digit() || self.has(key([a, b, c, d])),
            Some(_) => true,
            None => self.may_want_other(line),
        }
    }

    #[inline]
    fn has(&self, key: Key) -> bool {
        let mut at = place(key);
        loop {
            match self.table[at] {
                NONE => return false,
                known if known == key => return true,
                _ => at = (at + 1) % PLACES,
            }
        }
    }

    /// The same of a line that does not begin with `type=`.
    fn may_want_other(&self, line: &[u8]) -> bool {
        let rest = line.strip_prefix(b"node=").and_then(|rest| {
            let space = memchr::memchr(b' ', rest)?;
            Some(&rest[space + 1..]).filter(|rest| rest.starts_with(b"type="))
        });
        rest.is_none_or(|rest| self.may_want(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_types_pass_in_each_form_and_others_do_not() {
        let wanted = Wanted::types(&["DM_C", "DM_E"]);
        for line in [
            "type=DM_EVENT msg=audit(",
            "node=a type=DM_CTRL msg=audit(",
            "type=UNKNOWN[1339] msg=audit(",
            "type=1339 msg=audit(",
            "[   12.3] audit: type=1339 audit(",
            "type=",
            "",
            "node=",
        ] {
            assert!(wanted.may_want(line.as_bytes()), "{line}");
            assert!(Wanted::all().may_want(line.as_bytes()), "{line}");
        }
        for line in ["type=SYSCALL msg=audit(", "node=a type=PATH msg=audit("] {
            assert!(!wanted.may_want(line.as_bytes()), "{line}");
            assert!(Wanted::all().may_want(line.as_bytes()), "{line}");
        }
    }
}
