// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Damage of dm-integrity's superblock, and how the kernel refuses it. C: `dm_integrity_ctr()`.

use super::geometry::Geometry;
use dmns_audit_layout::integrity::{DISCARD_KEYED, FIXED_HMAC, HAVE_JOURNAL_MAC, INLINE};
use fastrand::Rng;
use nix::libc;
use std::fmt;

/// Bits that are inverted, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The field.
    pub(super) name: &'static str,
    /// The bits, from the first byte of the superblock on.
    pub(super) masks: Vec<u8>,
    /// The text of the constructor's error.
    pub(super) error: &'static str,
    /// What loading the table returns.
    pub(super) errno: i32,
    /// The event before.
    pub(super) event: Option<&'static str>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrupt {}, predicted is \"{}\"", self.name, self.error)
    }
}

/// Chooses damage of a superblock.
pub(super) fn choose(rng: &mut Rng, geometry: &Geometry, superblock: &[u8; 512]) -> Damage {
    let at = |byte: usize, mask: &[u8]| {
        let mut masks = vec![0; byte];
        masks.extend(mask);
        masks
    };
    let flags = |flag: u32| at(24, &flag.to_le_bytes());
    let (kind, byte, bit) = (rng.u8(..10), rng.usize(..8), 1 << rng.u8(..8));
    let (name, masks, error) = match kind {
        0 => ("magic", at(byte, &[bit]), "The device is not initialized"),
        1 => ("version, to 0", at(8, &superblock[8..9]), "Unknown version"),
        2 => ("version, to more", at(8, &[0x40]), "Unknown version"),
        3 => (
            "tag size",
            at(10 + byte % 2, &[bit]),
            "Tag size doesn't match the information in superblock",
        ),
        4 => (
            "block size",
            at(28, &[bit]),
            "Block size doesn't match the information in superblock",
        ),
        5 => ("inline flag", flags(INLINE), "Inline flag mismatch"),
        6 => (
            "journal MAC flag",
            flags(HAVE_JOURNAL_MAC),
            "Journal mac mismatch",
        ),
        7 => (
            "keyed discard flag",
            flags(DISCARD_KEYED),
            "Keyed discard cannot be disabled once enabled",
        ),
        8 => (
            "journal sections, to 0",
            at(12, &superblock[12..16]),
            "Corrupted superblock, journal_sections is 0",
        ),
        _ => (
            "interleave sectors",
            at(9, &[0x40]),
            "Invalid interleave_sectors in the superblock",
        ),
    };
    let has_mac = geometry.journal_mac && superblock[24] & FIXED_HMAC as u8 != 0;
    // Without magic the kernel has looked at the MAC all the same. C: `sync_rw_sb()`.
    match has_mac {
        true => Damage {
            name,
            masks,
            error: "Error reading superblock",
            errno: libc::EILSEQ,
            event: Some("mac-superblock"),
        },
        false => Damage {
            name,
            masks,
            error,
            errno: libc::EINVAL,
            event: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(change: impl Fn(&mut Geometry), flags: u32) -> Vec<Damage> {
        let mut superblock = [0; 512];
        superblock[..8].copy_from_slice(b"integrt\0");
        superblock[8] = 5;
        superblock[12] = 3;
        superblock[24] = flags as u8;
        let mut rng = Rng::with_seed(1);
        let mut geometry = Geometry::random(&mut rng, false);
        change(&mut geometry);
        (0..200)
            .map(|_| choose(&mut rng, &geometry, &superblock))
            .collect()
    }

    #[test]
    fn each_field_has_its_error() {
        let damages = all(|geometry| geometry.journal_mac = false, FIXED_HMAC);
        let names: std::collections::BTreeSet<_> = damages.iter().map(|of| of.name).collect();
        assert_eq!(names.len(), 10);
        let version = damages.iter().find(|of| of.name == "version, to 0");
        assert_eq!(version.map(|of| of.masks[8]), Some(5));
        assert!(
            damages
                .iter()
                .all(|of| of.errno == libc::EINVAL && of.event.is_none())
        );
        assert!(
            damages
                .iter()
                .all(|of| of.masks.iter().any(|mask| *mask != 0))
        );
    }

    #[test]
    fn a_mac_finds_all_damage() {
        let damages = all(|geometry| geometry.journal_mac = true, FIXED_HMAC);
        assert!(damages.iter().all(|of| of.event == Some("mac-superblock")));
        let damages = all(|geometry| geometry.journal_mac = true, 0);
        assert!(damages.iter().all(|of| of.event.is_none()));
    }
}
