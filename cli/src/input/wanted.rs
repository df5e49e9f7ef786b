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
    /// A bit for each, where [`Wanted::bit`] says: most lines are told by it.
    bits: u64,
}

impl Wanted {
    /// Every line, also what is no record.
    pub fn all() -> Self {
        Self {
            keys: Vec::new(),
            bits: 0,
        }
    }

    /// Records whose type's name begins with one of `prefixes`, and those whose type is a number.
    ///
    /// # Panics
    ///
    /// Where a prefix is not of four bytes: `"DM_C"`.
    pub fn types(prefixes: &[&str]) -> Self {
        let keys: Vec<Key> = prefixes
            .iter()
            .chain(&["UNKN"])
            .map(|prefix| {
                key(prefix
                    .as_bytes()
                    .try_into()
                    .expect("a prefix has four bytes"))
            })
            .collect();
        let bits = keys.iter().fold(0, |bits, &key| bits | Self::bit(key));
        Self { keys, bits }
    }

    fn bit(key: Key) -> u64 {
        1 << (key.wrapping_mul(0x9e37_79b9) >> 26)
    }

    /// Whether it is every line.
    pub fn is_all(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the same is wanted. Asked for each line: nothing is compared with nothing, which glibc's memcmp(3) on
    /// AVX-512 takes a hundred times as long for.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.bits == other.bits && (self.is_all() || self.keys == other.keys)
    }

    /// Whether `line` may be wanted.
    #[inline]
    pub fn may_want(&self, line: &[u8]) -> bool {
        if self.keys.is_empty() {
            return true;
        }
        match line {
            [b't', b'y', b'p', b'e', b'=', a, b, c, d, ..] => {
                let key = key([*a, *b, *c, *d]);
                let may = self.bits & Self::bit(key) != 0;
                (may && self.keys.contains(&key)) || a.is_ascii_digit()
            }
            [b'n', b'o', b'd', b'e', b'=', rest @ ..] => match memchr::memchr(b' ', rest) {
                Some(space) if rest[space + 1..].starts_with(b"type=") => {
                    self.may_want(&rest[space + 1..])
                }
                _ => true,
            },
            _ => true,
        }
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
