// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Takes a line of a log apart, in each form in which the kernel, auditd and its tools write it.
//!
//! - [`head`]: node, type, stamp, and where the fields begin.
//! - [`types`]: what its type is.
//! - [`by_host`]: a table of the objects of all hosts.
//! - [`call`]: system calls by name.
//! - [`cgroup`]: which container or guest a control group is of.
//! - [`command`]: the command line of a task.
//! - [`device`]: the number of a device.
//! - [`selector`]: selects a device by name or number.
//! - [`enrichment`]: the names that auditd adds.
//! - [`event`]: distinguishes events and boots.
//! - [`fnv`]: a hash that is the same everywhere.
//! - [`form`]: recognises an input without a record.
//! - [`short`]: recognises the short output of `journalctl`.
//! - [`loss`]: the losses that a log announces.
//! - [`names`]: interns frequent text.
//! - [`pending`]: items that wait for another record of their event.
//! - [`place`]: the place of a line.
//! - [`host`]: hosts by number.
//! - [`nodes`]: the names of hosts.
//! - [`spans`]: the places of its fields.
//! - [`value`]: fields and their values, decoded.
//! - [`resource`]: resources of guests.
//! - [`users`]: names for user ids.
//! - [`uuid`]: the UUID of a guest.

pub mod by_host;
pub mod call;
pub mod cgroup;
pub mod command;
pub mod device;
pub mod enrichment;
pub mod event;
pub mod fnv;
pub mod form;
pub mod head;
pub mod host;
pub mod loss;
pub mod names;
pub mod nodes;
pub mod pending;
pub mod place;
pub mod resource;
pub mod selector;
pub mod short;
pub mod spans;
pub mod types;
pub mod users;
pub mod uuid;
pub mod value;

pub use head::{Head, Parsed};
pub use types::Type;
