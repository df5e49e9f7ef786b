// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Parses lines of audit logs, and states the contract of their records.
//!
//! The crate `dmns-audit-uapi` has what the kernel module is built from too. This crate is for user
//! space only.
//!
//! - [`line`]: takes a line of an audit log apart.
//! - [`contract`]: which fields each record has, in which order, with which syntax.
//! - [`forms`]: the two forms of records of namespaces.
//! - [`masks`]: finds bytes in a text, many at once.
//! - [`rules`]: operations, events, and the source of the format.
//! - [`virt`]: the records of guests, which user space writes: their text and their contract.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod contract;
pub mod forms;
pub mod line;
pub mod masks;
pub mod rules;
pub mod virt;

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;
    use std::{string::String, vec::Vec};

    /// Returns what `write` puts into its sink, as a string.
    pub(crate) fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("records are ASCII")
    }
}
