// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The number of a device.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// The number of a device, as records of device mapper write it: `253:0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// Major and minor number.
    Number(u32, u32),
    /// A text of another form.
    Text(Rc<str>),
}

impl Device {
    /// Parses a device.
    #[inline]
    pub fn of(text: &str) -> Self {
        match numbers(text.as_bytes()) {
            Some((major, minor)) => Self::Number(major, minor),
            None => Self::Text(text.into()),
        }
    }

    /// Returns the device of which only the minor number is known: `/dev/dm-N`.
    pub fn by_minor(minor: &str) -> Self {
        Self::Text(format!("dm-{minor}").into())
    }

    /// Returns whether it is one of [`Self::by_minor`].
    pub fn is_minor(&self) -> bool {
        matches!(self, Self::Text(text) if text.starts_with("dm-"))
    }
}

/// Parses two numbers in their only form.
fn numbers(text: &[u8]) -> Option<(u32, u32)> {
    let (major, rest) = number(text)?;
    let (minor, rest) = number(rest.strip_prefix(b":")?)?;
    rest.is_empty().then_some((major, minor))
}

/// Parses a number at the begin of `text`. Returns also the rest. A leading zero is not allowed.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut number, mut digits) = (0, 0);
    while let Some(digit @ b'0'..=b'9') = text.get(digits) {
        number = u64::saturating_mul(number, 10).saturating_add(u64::from(digit - b'0'));
        digits += 1;
    }
    let (number, rest) = (u32::try_from(number).ok()?, &text[digits..]);
    let is_one = digits == 1 || (digits > 1 && text[0] != b'0');
    is_one.then_some((number, rest))
}

impl Hash for Device {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // At once: that is half of what it costs to find one.
            Self::Number(major, minor) => {
                ((u64::from(*major) << 32) | u64::from(*minor)).hash(state)
            }
            Self::Text(text) => text.hash(state),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(major, minor) => {
                let (mut a, mut b) = (itoa::Buffer::new(), itoa::Buffer::new());
                f.write_str(a.format(*major))?;
                f.write_str(":")?;
                f.write_str(b.format(*minor))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        Ok(Self::of(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_written_as_it_was(text in "[0-9:+a]{0,12}") {
            prop_assert_eq!(Device::of(&text).to_string(), text);
        }
    }

    #[test]
    fn numbers_are_distinguished_from_text() {
        assert_eq!(Device::of("253:70000"), Device::Number(253, 70000));
        for text in ["253:070", "253", "1:2:3", "+1:2", "4294967296:0", ""] {
            assert_eq!(Device::of(text), Device::Text(text.into()), "{text}");
        }
        assert_eq!(size_of::<Device>(), 16);
    }
}
