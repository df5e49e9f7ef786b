// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Messages that fill audit's backlog.

use super::audit;
use anyhow::{Context, Result};
use nix::unistd::write;
use std::process::ExitCode;

/// Sends messages until it is killed.
pub(super) fn run() -> Result<ExitCode> {
    let audit = audit::open()?;
    let message = message();
    loop {
        write(&audit, &message).context("audit")?;
    }
}

/// Returns a message of type `AUDIT_USER`.
fn message() -> Vec<u8> {
    audit::message(1005, b"fill\0\0\0\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_length() {
        let message = message();
        assert_eq!(message[..4], (message.len() as u32).to_ne_bytes());
    }
}
