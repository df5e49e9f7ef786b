// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The library of the program `dmns-audit`: it reads audit logs, and checks, reports and prints the records of device
//! mapper, of namespaces and of guests.
//!
//! - [`input`]: finds logs, opens them, returns their lines.
//! - [`record`]: parses a line.
//! - [`check`]: checks records against the contract.
//! - [`ranges`]: sets of sectors and ids.
//! - [`report`]: lifetimes of mappings, namespaces and guests.
//! - [`html`]: the same as an HTML report.
//! - [`events`]: prints the events that match.
//! - [`export`]: records as typed rows.
//! - [`locate`]: the file at a sector.
//! - [`scrub`]: reads a device, and reports damage by file.
//! - [`select`]: the filters of the module.
//! - [`watch`]: events as they happen.
//! - [`module`]: the version of the module that is loaded.
//! - [`spec`]: prints the contract.
//! - [`table`], [`terminal`], [`when`]: text and times for people.
//! - [`args`]: the command line.

pub mod args;
pub mod check;
pub mod events;
pub mod export;
pub mod html;
pub mod input;
pub mod locate;
pub mod module;
pub mod ranges;
pub mod record;
pub mod report;
pub mod scrub;
pub mod select;
pub mod spec;
pub mod table;
pub mod terminal;
pub mod watch;
pub mod when;
