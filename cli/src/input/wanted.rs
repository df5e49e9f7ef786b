// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The lines that a reader requests, by their first bytes, so that all others cost next to nothing.

/// The first four bytes of a type's name, in the order of memory.
type Key = u32;

const fn key(bytes: [u8; 4]) -> Key {
    Key::from_ne_bytes(bytes)
}

/// The types of record that a reader of a log requests.
///
/// It may pass other lines too, but it drops no requested one.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Empty: every line.
    keys: Vec<Key>,
    /// A hash table of the keys: each is at its [place](place), or after it if that is taken.
    table: [Key; PLACES],
}

/// The size of the table. It is much larger than the number of keys, so that nearly every other key
/// finds an empty place.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 8;

/// No key: a name has no zero.
const NONE: Key = 0;

/// Returns the place of a key in the table.
const fn place(key: Key) -> usize {
    (key.wrapping_mul(0x9e37_79b9) >> (Key::BITS - PLACE_BITS)) as usize
}

/// The length of a line that may have a torn record, NULs up to the end of a block of the disk, and
/// the next record. Few other lines are as long.
const TORN: usize = 512;

/// Returns whether a record may follow the one that a power cut has torn.
#[inline]
fn may_follow_torn(line: &[u8]) -> bool {
    line.len() > TORN && has_nul(line)
}

#[cold]
#[inline(never)]
fn has_nul(line: &[u8]) -> bool {
    memchr::memchr(0, line).is_some()
}

impl Wanted {
    /// Requests every line, also one that is no record.
    pub fn all() -> Self {
        Self {
            keys: Vec::new(),
            table: [NONE; PLACES],
        }
    }

    /// Requests records with a type that begins with one of `prefixes`, records with a number for a
    /// type, and auditd's own about missing records.
    ///
    /// # Panics
    ///
    /// If a prefix has not four bytes: `"DM_C"`.
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

    /// Returns the union of both.
    pub fn and(&self, other: &Self) -> Self {
        if self.is_all() || other.is_all() {
            return Self::all();
        }
        let mut keys = self.keys.clone();
        keys.extend(other.keys.iter().filter(|key| !self.keys.contains(key)));
        Self::of(keys)
    }

    /// Returns whether it requests every line.
    pub fn is_all(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns whether both request the same. It is called for each line, and compares nothing if
    /// both are empty: glibc's memcmp(3) on AVX-512 takes a hundred times as long for that.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len() && (self.is_all() || self.keys == other.keys)
    }

    /// Returns whether `line` may be wanted.
    #[inline]
    pub fn may_want(&self, line: &[u8]) -> bool {
        if self.is_all() {
            return true;
        }
        match line.strip_prefix(b"type=") {
            Some(&[a, b, c, d, ..]) => {
                a.is_ascii_digit() || self.has(key([a, b, c, d])) || may_follow_torn(line)
            }
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

    /// Returns whether `line`, which does not begin with `type=`, may be wanted.
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
        let torn = format!("type=SYSCALL msg=audit({}type=DM_EVENT", "\0".repeat(600));
        assert!(wanted.may_want(torn.as_bytes()));
        for line in ["type=SYSCALL msg=audit(", "node=a type=PATH msg=audit("] {
            assert!(!wanted.may_want(line.as_bytes()), "{line}");
            assert!(Wanted::all().may_want(line.as_bytes()), "{line}");
        }
    }
}
