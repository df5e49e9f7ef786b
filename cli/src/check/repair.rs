// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Suggests a correct form of a wrong value.

use dmns_audit_log::contract::Syntax;
use dmns_audit_uapi::text::untrusted;

/// Returns whether `value` is a number out of range.
pub(super) fn out_of_range(syntax: Syntax, value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let number = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    let numeric = matches!(
        syntax,
        Syntax::U32 | Syntax::U64 | Syntax::I32 | Syntax::Sector | Syntax::OldNamespace
    );
    number && numeric
}

/// Returns the correct form of `value`, if it is known.
pub(super) fn repair(syntax: Syntax, value: &str) -> Option<String> {
    let repaired = match syntax {
        Syntax::Untrusted | Syntax::UntrustedOrNull => {
            let bare = value.trim_matches('"');
            let is_hex = bare.len() % 2 == 0 && bare.bytes().all(|b| b.is_ascii_hexdigit());
            if is_hex && !value.starts_with('"') {
                bare.to_ascii_uppercase()
            } else {
                let mut out = Vec::new();
                untrusted(&mut out, bare.as_bytes());
                String::from_utf8(out).ok()?
            }
        }
        Syntax::Quoted => format!("'{}'", value.trim_matches(['\'', '"'])),
        Syntax::DevDecimal => {
            let (major, minor) = value.split_once(':')?;
            let decimal = |half: &str| u32::from_str_radix(half, 16).ok();
            format!("{}:{}", decimal(major)?, decimal(minor)?)
        }
        Syntax::DevHex => {
            let (major, minor) = value.split_once(':')?;
            let decimal = |half: &str| half.parse::<u32>().ok();
            format!("{:02x}:{:02x}", decimal(major)?, decimal(minor)?)
        }
        Syntax::Result => match value {
            "success" | "yes" => "1".to_owned(),
            "failed" | "no" => "0".to_owned(),
            _ => return None,
        },
        _ => return None,
    };
    syntax.accepts(&repaired).then_some(repaired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_repaired_if_the_right_one_is_known() {
        for (syntax, wrong, right) in [
            (Syntax::Untrusted, "\"a b\"", Some("612062")),
            (Syntax::Untrusted, "dmsetup", Some("\"dmsetup\"")),
            (Syntax::Untrusted, "6a6b", Some("6A6B")),
            (Syntax::Quoted, "success", Some("'success'")),
            (Syntax::DevDecimal, "fd:03", Some("253:3")),
            (Syntax::DevHex, "0:4", Some("00:04")),
            (Syntax::Result, "success", Some("1")),
            (Syntax::Result, "2", None),
            (Syntax::U32, "x", None),
        ] {
            assert_eq!(repair(syntax, wrong).as_deref(), right, "{wrong}");
        }
    }

    #[test]
    fn a_number_that_is_out_of_range_is_no_wrong_syntax() {
        assert!(out_of_range(Syntax::U32, "4294967296"));
        assert!(out_of_range(Syntax::U32, "-1"));
        assert!(!out_of_range(Syntax::U32, "01"));
        assert!(!out_of_range(Syntax::U32, "0x1"));
        assert!(!out_of_range(Syntax::DevDecimal, "1"));
    }
}
