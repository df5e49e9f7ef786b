// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The interface to user space: the records of dmns-audit.
//!
//! One source, two compilers: cargo builds this as the crate `dmns-audit-uapi`, and Kbuild builds
//! the same files into `dmns_audit.ko`, where `cfg(MODULE)` is set. So host tests cover the code
//! that writes records in the kernel. No `std`, no `unsafe`, and no `alloc` in the module.
//!
//! - [`types`]: the record types, their numbers and their names.
//! - [`text`]: the output ([`text::Sink`]), numbers, the encoding of untrusted strings.
//! - [`dm`], [`ns`]: the body of each record, field by field. [`config`]: the module's own
//!   configuration.
//! - [`filter`]: the commands of the filter.
//!
//! The crate `dmns-audit-log` has what only user space needs: a parser of logs, and the contract.

#![cfg_attr(not(MODULE), no_std)]
#![cfg_attr(not(MODULE), forbid(unsafe_code))]

#[cfg(not(MODULE))]
extern crate alloc;

pub mod config;
pub mod dm;
pub mod filter;
pub mod ns;
pub mod text;
pub mod types;
