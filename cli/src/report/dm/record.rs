// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a device-mapper record says.

use dmns_audit_uapi::line::fields;

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
    /// Takes `body` apart. `None` where it does not say of what it speaks.
    pub fn parse(body: &'a str) -> Option<Self> {
        let mut record = Self::default();
        for field in fields(body) {
            match field.name {
                "module" => record.module = field.value,
                "op" => record.op = field.value,
                "dev" => record.dev = field.value,
                "sector" => record.sector = field.value.parse().ok(),
                "error_msg" => record.error = field.value.trim_matches('\''),
                "res" => record.success = field.value == "1",
                "pid" => record.pid = field.value.parse().ok(),
                _ => {}
            }
        }
        let whole = ![record.module, record.op, record.dev].contains(&"");
        whole.then_some(record)
    }
}
