// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes records of guests, as libaudit does.
//!
//! - [`kernel`]: hands them to the kernel's audit.
//! - [`recorder`]: hands them to audit, and to a file if one is requested.

pub mod kernel;
pub mod recorder;
