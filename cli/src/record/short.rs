// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Recognises the short output of `journalctl`.

use memchr::memmem;

/// Returns whether `line` is journald's form of a record, without its stamp: `Nov 21 19:00:03 host
/// audit[4100]: DM_CTRL module=...`. `journalctl -o cat` omits the text before the type.
pub fn is_short(line: &[u8]) -> bool {
    let message = match memmem::find(line, b"audit[") {
        Some(at) if at == 0 || line[at - 1] == b' ' => {
            let Some(end) = memmem::find(&line[at..], b"]: ") else {
                return false;
            };
            let pid = &line[at + b"audit[".len()..at + end];
            match pid.iter().all(u8::is_ascii_digit) {
                true => &line[at + end + 3..],
                false => return false,
            }
        }
        _ => match memmem::find(line, b" audit: ") {
            Some(at) => &line[at + b" audit: ".len()..],
            None => line,
        },
    };
    let message = match message.strip_prefix(b"<audit-") {
        // An older journald has no name for the type.
        Some(rest) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            return digits > 0 && rest[digits..].starts_with(b"> ");
        }
        None => message,
    };
    let letter = |b: &&u8| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_';
    let mut name = message.iter().take_while(letter).count();
    if message[..name] == *b"UNKNOWN" && message.get(name) == Some(&b'[') {
        name += message[name..].iter().take_while(|b| **b != b' ').count();
    }
    let rest = match message[name..].strip_prefix(b" ") {
        Some(rest) if name >= 3 && message[0].is_ascii_uppercase() => rest,
        _ => return false,
    };
    let field = rest
        .iter()
        .take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || **b == b'_' || **b == b'-');
    let field = field.count();
    field > 0 && rest.get(field) == Some(&b'=')
}
