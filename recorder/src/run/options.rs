// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The options of `run-guest`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The guest's name; else QEMU's.
    pub name: Option<OsString>,
    /// Its UUID; else QEMU's, else a new one.
    pub uuid: Option<String>,
    /// Without audit, the guest does not run.
    pub strict: bool,
    /// The socket of the monitor for other clients.
    pub monitor: Option<PathBuf>,
    /// A file to write records to, in addition.
    pub log: Option<PathBuf>,
    /// The timeout for QEMU's answers.
    pub timeout: Duration,
    /// The interval of checks for resources that were plugged through another monitor; zero: never.
    pub poll: Duration,
    /// QEMU and its arguments.
    pub command: Vec<OsString>,
}
