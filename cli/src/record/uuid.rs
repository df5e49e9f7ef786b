// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The UUID of a guest.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// The UUID of a guest, as libvirt writes it: `cabf9532-99f1-3756-930f-59e8f19d4144`. Guests may be
/// very many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Uuid {
    /// The number.
    Number([u8; 16]),
    /// A text of another form.
    Text(Rc<str>),
}

impl Uuid {
    /// Returns the UUID of no guest.
    pub fn none() -> Self {
        Self::Text(Rc::default())
    }

    /// Parses a UUID.
    pub fn of(text: &str) -> Self {
        // Other forms of a UUID are kept as they are.
        let is_so = text.len() == uuid::fmt::Hyphenated::LENGTH
            && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match uuid::Uuid::try_parse(text) {
            Ok(uuid) if is_so => Self::Number(uuid.into_bytes()),
            _ => Self::Text(text.into()),
        }
    }
}

/// Hashes the number in one call.
impl Hash for Uuid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Number(bytes) => state.write_u128(u128::from_ne_bytes(*bytes)),
            Self::Text(text) => text.hash(state),
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(bytes) => uuid::Uuid::from_bytes(*bytes).fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_written_as_it_was_read(text in prop_oneof![
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[{]?[0-9a-fA-F]{8}-?[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-?[0-9a-g]{12}[}]?",
            "urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9a-f]{30,37}",
            "[-a-é0]{0,40}",
        ]) {
            prop_assert_eq!(Uuid::of(&text).to_string(), text);
        }
    }

    #[test]
    fn that_of_libvirt_is_a_number() {
        let uuid = Uuid::of("cabf9532-99f1-3756-930f-59e8f19d4144");
        assert!(matches!(uuid, Uuid::Number([0xca, 0xbf, .., 0x44])));
        assert_ne!(uuid, Uuid::of("CABF9532-99f1-3756-930f-59e8f19d4144"));
    }
}
