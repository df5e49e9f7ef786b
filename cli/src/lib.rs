// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the program `dmns-audit` is made of: it reads audit logs and judges, reports and shows what the
//! records of device mapper, of namespaces and of guests tell.
//!
//! - [`input`]: finds logs, opens them, hands out their lines.
//! - [`record`]: takes a line apart.

pub mod input;
pub mod record;
