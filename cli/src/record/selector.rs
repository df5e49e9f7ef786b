// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Selects a device by its name or its number.

use super::device::Device;

/// A device that a person names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSelector {
    /// By number: `253:0`.
    Number(u32, u32),
    /// `/dev/dm-N`: by minor number.
    Minor(u32),
    /// By the name of the mapping.
    Name(String),
}

impl DeviceSelector {
    /// Reads `253:0`, `/dev/dm-0`, `/dev/mapper/data`, or a name.
    ///
    /// # Errors
    ///
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Device::Number(major, minor) = Device::of(text) {
            return Ok(Self::Number(major, minor));
        }
        let name = text
            .strip_prefix("/dev/mapper/")
            .or_else(|| text.strip_prefix("/dev/"))
            .unwrap_or(text);
        if let Some(minor) = name.strip_prefix("dm-").and_then(|n| n.parse().ok()) {
            return Ok(Self::Minor(minor));
        }
        match name.is_empty() || name.starts_with('/') {
            true => Err(format!(
                "'{text}' is no mapping: a name, 253:0, /dev/mapper/NAME or /dev/dm-0 expected"
            )),
            false => Ok(Self::Name(name.to_owned())),
        }
    }

    /// Returns whether it is the device with the number `device` and one of `names`.
    pub fn is<'a>(&self, device: &Device, names: impl IntoIterator<Item = &'a str>) -> bool {
        match self {
            Self::Number(major, minor) => *device == Device::Number(*major, *minor),
            Self::Minor(minor) => {
                matches!(device, Device::Number(_, of) if of == minor)
                    || *device == Device::by_minor(&minor.to_string())
            }
            Self::Name(name) => names.into_iter().any(|known| known == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_named_in_each_way() {
        let is = |text: &str, names: &[&str]| {
            let selector = DeviceSelector::parse(text).expect(text);
            selector.is(&Device::of("253:4"), names.iter().copied())
        };
        for text in ["253:4", "/dev/dm-4", "dm-4", "data", "/dev/mapper/data"] {
            assert!(is(text, &["data"]), "{text}");
        }
        for text in ["253:5", "/dev/dm-5", "dat", "/dev/mapper/other"] {
            assert!(!is(text, &["data"]), "{text}");
        }
        assert!(!is("data", &[]));
        for wrong in ["", "/dev/mapper/", "/srv/image"] {
            assert!(DeviceSelector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
