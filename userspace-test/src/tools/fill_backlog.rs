// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Messages that fill audit's backlog.

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::write;
use std::process::ExitCode;

/// Sends messages until it is killed.
pub(super) fn run() -> Result<ExitCode> {
    let audit = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::empty(),
        SockProtocol::NetlinkAudit,
    )
    .context("netlink")?;
    let message = message();
    loop {
        write(&audit, &message).context("audit")?;
    }
}

/// Returns a message of type `AUDIT_USER`.
fn message() -> Vec<u8> {
    // struct nlmsghdr: length, AUDIT_USER, NLM_F_REQUEST, sequence, port; and the text.
    let mut message = Vec::new();
    message.extend(24_u32.to_ne_bytes());
    message.extend(1005_u16.to_ne_bytes());
    message.extend(1_u16.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(b"fill\0\0\0\0");
    message
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
