// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A device-mapper record.

use crate::record::value::Fields;

/// A device-mapper record, its values as they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// `module=`: the target.
    pub module: &'a str,
    /// `op=`.
    pub op: &'a str,
    /// `dev=`: `254:3`.
    pub dev: &'a str,
    /// `sector=`, if it is a number.
    pub sector: Option<u64>,
    /// `error_msg=`, without quotes.
    pub error: &'a str,
    /// `res=1`.
    pub success: bool,
    /// `pid=`, if it is a number.
    pub pid: Option<i32>,
}

impl<'a> Record<'a> {
    /// Parses `fields`. Returns `None` without a target or device.
    pub fn of(fields: &'a Fields<'_>) -> Option<Self> {
        let text = |name: &str| fields.raw(name).unwrap_or_default();
        let record = Self {
            module: text("module"),
            op: text("op"),
            dev: text("dev"),
            sector: text("sector").parse().ok(),
            error: text("error_msg").trim_matches('\''),
            success: text("res") == "1",
            pid: text("pid").parse().ok(),
        };
        let whole = ![record.module, record.op, record.dev].contains(&"");
        whole.then_some(record)
    }
}
