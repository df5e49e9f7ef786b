// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Messages to the kernel's audit, as `auditctl -m` sends them.

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::os::fd::OwnedFd;

/// Opens a socket to audit.
pub(super) fn open() -> Result<OwnedFd> {
    socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::empty(),
        SockProtocol::NetlinkAudit,
    )
    .context("netlink")
}

/// Returns a message of type `ty`.
pub(super) fn message(ty: u16, text: &[u8]) -> Vec<u8> {
    let length = 16 + text.len();
    // struct nlmsghdr: length, type, NLM_F_REQUEST, sequence, port; and the text.
    let mut message = Vec::new();
    message.extend((length as u32).to_ne_bytes());
    message.extend(ty.to_ne_bytes());
    message.extend(1_u16.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(text);
    message.resize(length.next_multiple_of(4), 0);
    message
}
