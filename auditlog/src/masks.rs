// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds a byte in a text, many bytes at once. Names, values and lines are short: a call of a
//! search for long texts takes longer than the search.

use wide::u8x16;

/// The number of bytes that a mask covers.
pub const WIDTH: usize = u64::BITS as usize;

/// Returns a bit for each byte of `block` that is `byte`, the lowest for the first.
#[inline(always)]
pub fn mask(block: &[u8; WIDTH], byte: u8) -> u64 {
    const LANES: usize = u8x16::LANES as usize;
    let wanted = u8x16::splat(byte);
    let parts = block.chunks_exact(LANES).rev();
    parts.fold(0, |mask, part| {
        let found = part
            .first_chunk()
            .map_or(0, |part| u8x16::new(*part).cmp_eq(wanted).move_mask());
        (mask << LANES) | u64::from(found as u16)
    })
}

/// Returns the first [`WIDTH`] bytes of `text`. If it has fewer, the bytes of `last` follow.
#[inline(always)]
pub fn block<'a>(text: &'a [u8], last: &'a mut [u8; WIDTH]) -> &'a [u8; WIDTH] {
    text.first_chunk().unwrap_or_else(|| {
        last[..text.len()].copy_from_slice(text);
        last
    })
}

/// Returns the places of `byte` in `text`, from the place `at` on.
pub fn places(text: &[u8], at: usize, byte: u8) -> Found<'_> {
    Found {
        text,
        next: at,
        mask: 0,
        byte,
    }
}

/// Iterates over the places of a byte. See [`places`].
#[derive(Clone, Debug)]
pub struct Found<'a> {
    text: &'a [u8],
    /// The text after the mask.
    next: usize,
    /// The [`WIDTH`] bytes before that.
    mask: u64,
    byte: u8,
}

impl Iterator for Found<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            let rest = self.text.get(self.next..).filter(|rest| !rest.is_empty())?;
            self.mask = mask(block(rest, &mut [!self.byte; WIDTH]), self.byte);
            self.next += WIDTH;
        }
        let at = self.next - WIDTH + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn each_place_is_found(text in prop::collection::vec(prop_oneof![Just(b'a'), Just(0), any::<u8>()], 0..300), at in 0usize..320, byte in prop_oneof![Just(b'a'), Just(0), any::<u8>()]) {
            let found: Vec<_> = places(&text, at, byte).collect();
            let is_it = |place: &usize| text[*place] == byte;
            prop_assert_eq!(found, (at..text.len()).filter(is_it).collect::<Vec<_>>());
        }
    }
}
