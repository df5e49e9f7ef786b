// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes audit records of guests and containers: the program `dmns-audit-record`.
//!
//! - [`audit`]: hands records to the kernel, and to a file.
//! - [`run`]: starts a QEMU, and records it.
//! - [`oci`]: a hook of container runtimes.
//! - [`args`]: the command line.

pub mod args;
pub mod audit;
mod error;
pub mod oci;
pub mod run;
