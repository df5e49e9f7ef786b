// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The text of records: the output, numbers, and the encoding of untrusted strings.
//!
//! C: `audit_log_format()` and `audit_log_untrustedstring()` in `kernel/audit.c`. The latter is not
//! exported to modules; [`untrusted`] writes the same bytes.

/// Takes the text of a record, piece by piece.
///
/// In the kernel this is an audit buffer, in user space a string: the code that builds a record
/// does not know which.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

/// The output of user space.
#[cfg(not(MODULE))]
impl Sink for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends `value` in decimal, as `%llu` does.
pub fn decimal(out: &mut impl Sink, value: u64) {
    // 2^64 - 1 has 20 digits.
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put(&digits[start..]);
}

/// Appends `value` in decimal with a minus sign where it needs one, as `%lld` does.
pub fn signed(out: &mut impl Sink, value: i64) {
    if value < 0 {
        out.put(b"-");
    }
    decimal(out, value.unsigned_abs());
}

/// Appends `value` in lower-case hexadecimal, of two digits or more, as `%02x` does.
pub fn hex2(out: &mut impl Sink, value: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let len = (8 - value.leading_zeros() as usize / 4).max(2);
    let mut digits = [0; 8];
    for (i, digit) in digits[8 - len..].iter_mut().enumerate() {
        *digit = DIGITS[(value >> (4 * (len - 1 - i))) as usize & 0xf];
    }
    out.put(&digits[8 - len..]);
}

/// Returns whether `value` needs no hex encoding: every byte in 0x21..=0x7e, and none of them `"`.
///
/// C: the negation of `audit_string_contains_control()`.
pub fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|&b| matches!(b, 0x21..=0x7e) && b != b'"')
}

/// Appends text that a user can choose: `"quoted"` if [`is_plain`], else in upper-case hex.
///
/// C: `audit_log_n_untrustedstring()`. The reader distinguishes the two by the quotes, so no value
/// can pass for another field.
pub fn untrusted(out: &mut impl Sink, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain(value) {
        out.put(b"\"");
        out.put(value);
        out.put(b"\"");
    } else {
        for &b in value {
            out.put(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 0xf)]]);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    extern crate std;
    use proptest::prelude::*;
    use std::{format, string::String, vec::Vec};

    /// Returns what `write` puts into its sink, as a string.
    pub(crate) fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("records are ASCII")
    }

    proptest! {
        #[test]
        fn numbers_are_what_printf_would_write(u: u64, i: i64, x: u32, small in 0u32..0x200) {
            prop_assert_eq!(text(|out| decimal(out, u)), format!("{u}"));
            prop_assert_eq!(text(|out| signed(out, i)), format!("{i}"));
            prop_assert_eq!(text(|out| hex2(out, x)), format!("{x:02x}"));
            prop_assert_eq!(text(|out| hex2(out, small)), format!("{small:02x}"));
        }

        #[test]
        fn an_untrusted_string_is_one_word_that_decodes_to_itself(value: Vec<u8>) {
            let encoded = text(|out| untrusted(out, &value));
            prop_assert!(!encoded.contains([' ', '\n', '\'']) || is_plain(&value));
            prop_assert!(!encoded.contains(' '));
            let decoded = match encoded.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
                Some(plain) => {
                    prop_assert!(!plain.contains('"'));
                    plain.as_bytes().to_vec()
                }
                None => (0..encoded.len())
                    .step_by(2)
                    .map(|i| u8::from_str_radix(&encoded[i..i + 2], 16).expect("two hex digits"))
                    .collect(),
            };
            prop_assert_eq!(decoded, value);
        }
    }

    proptest! {
        /// libaudit's own rule, as `audit_value_needs_encoding()` has it: the two sides must agree
        /// on every byte, or a reader takes text for hex.
        #[test]
        fn libaudit_agrees_on_what_needs_encoding(value: Vec<u8>, byte: u8) {
            let needs = |b: u8| b == b'"' || (b as i8) < 0x21 || b == 0x7f;
            prop_assert_eq!(is_plain(&value), !value.iter().copied().any(needs));
            prop_assert_eq!(is_plain(&[byte]), !needs(byte));
        }
    }

    #[test]
    fn extreme_numbers() {
        assert_eq!(text(|out| decimal(out, 0)), "0");
        assert_eq!(text(|out| decimal(out, u64::MAX)), "18446744073709551615");
        assert_eq!(text(|out| signed(out, i64::MIN)), "-9223372036854775808");
        assert_eq!(text(|out| hex2(out, 0)), "00");
        assert_eq!(text(|out| hex2(out, u32::MAX)), "ffffffff");
    }

    #[test]
    fn untrusted_strings_by_example() {
        for (value, encoded) in [
            (&b"dm-crypt"[..], "\"dm-crypt\""),
            (b"", "\"\""),
            (b"two words", "74776F20776F726473"),
            (b"quo\"te", "71756F227465"),
            (b"new\nline", "6E65770A6C696E65"),
            (b"\xc3\xa9", "C3A9"),
            (b"it's", "\"it's\""),
            (b"a res=1", "61207265733D31"),
        ] {
            assert_eq!(text(|out| untrusted(out, value)), encoded);
        }
    }
}
