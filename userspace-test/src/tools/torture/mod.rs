// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Random devices with random damage, and models that predict what each read returns and which
//! records follow.
//!
//! [`rounds`] takes one device after the other, [`round`] has what is done with every target, and
//! [`oracle`] what each model predicts. [`shrink`] reduces what fails, and [`script`]
//! makes a scenario of it.
//!
//! [`integrity`] damages devices of dm-integrity and dm-crypt: [`geometry`] chooses their options from
//! a seed, [`model`] predicts what follows. [`verity`] has the same for dm-verity. [`ground`] has the
//! devices below, [`pattern`] the data that is written, [`log`] the records, [`kernel_log`] what the
//! kernel says of a device that differs.
//!
//! [`geometries`] compares where data is with the layout that `dmns-audit-layout` has.

pub(super) mod geometries;
mod geometry;
mod ground;
mod integrity;
mod kernel_log;
mod log;
mod model;
mod oracle;
mod pattern;
mod round;
pub(crate) mod rounds;
mod script;
mod shrink;
mod superblock;
mod verity;
