// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the program `dmns-audit` is made of: it reads audit logs and judges, reports and shows what the
//! records of device mapper, of namespaces and of guests tell.
//!
//! - [`input`]: finds logs, opens them, hands out their lines.
//! - [`record`]: takes a line apart.
//! - [`check`]: judges records against the contract.
//! - [`ranges`]: sets of sectors and ids.
//! - [`report`]: lives of mappings, namespaces and guests.
//! - [`html`]: the same as a page.
//! - [`export`]: records as typed rows.
//! - [`select`]: whose records the module leaves out.
//! - [`watch`]: what happens, as it happens.
//! - [`module`]: the version of the module that is loaded.
//! - [`spec`]: prints the contract.
//! - [`table`], [`terminal`], [`when`]: text and times for people.
//! - [`args`]: the command line.

pub mod args;
pub mod check;
pub mod export;
pub mod html;
pub mod input;
pub mod module;
pub mod ranges;
pub mod record;
pub mod report;
pub mod select;
pub mod spec;
pub mod table;
pub mod terminal;
pub mod watch;
pub mod when;
