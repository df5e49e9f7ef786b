// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Random devices with random damage, and a model that predicts what each read returns and which
//! records follow.
//!
//! [`geometry`] chooses the options of a device from a seed, [`ground`] has the devices below it,
//! [`pattern`] the data that is written. [`geometries`] compares where data is with the layout that
//! `dmns-audit-layout` has. [`rounds`] damages devices, [`model`] predicts what follows, [`log`] has
//! the records that do.

pub(super) mod geometries;
mod geometry;
mod ground;
mod log;
mod model;
mod pattern;
pub(crate) mod rounds;
mod superblock;
