// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Takes a line of a log apart, in each form in which the kernel, auditd and its tools write it.
//!
//! - [`head`]: node, type, stamp, and where the fields begin.
//! - [`types`]: what its type is.
//! - [`by_host`]: what lives on hosts, in one table.
//! - [`call`]: system calls by name.
//! - [`cgroup`]: which container a control group is of.
//! - [`command`]: the command line of a task.
//! - [`device`]: the number of a device.
//! - [`enrichment`]: the names that auditd adds.
//! - [`event`]: which records may still be of its event, and of its boot.
//! - [`form`]: what a line or a file is that has no record.
//! - [`loss`]: what a log says of records that it does not have.
//! - [`names`]: text that comes again and again.
//! - [`pending`]: what waits for another record of its event.
//! - [`host`]: hosts by number.
//! - [`spans`]: where its fields are.
//! - [`value`]: fields and their values, decoded.
//! - [`resource`]: what a guest was given or lost.
//! - [`users`]: names for user ids.
//! - [`uuid`]: the UUID of a guest.

pub mod by_host;
pub mod call;
pub mod cgroup;
pub mod command;
pub mod device;
pub mod enrichment;
pub mod event;
pub mod form;
pub mod head;
pub mod host;
pub mod loss;
pub mod names;
pub mod pending;
pub mod resource;
pub mod spans;
pub mod types;
pub mod users;
pub mod uuid;
pub mod value;

pub use head::{Head, Parsed};
pub use types::Type;
