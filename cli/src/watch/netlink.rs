// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Records from the kernel, by its audit multicast group, with auditd or without it.
//!
//! C: `AUDIT_NLGRP_READLOG` in `include/uapi/linux/audit.h`, `kauditd_send_multicast_skb()` in `kernel/audit.c`.

use super::{AHEAD, Message};
use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname,
    recv, setsockopt, socket,
};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

/// `AUDIT_NLGRP_READLOG` is group 1, as a bit.
const READLOG: u32 = 1;

/// `NETLINK_AUDIT`, the protocol's number in `/proc/net/netlink`.
const PROTOCOL: &str = "9";

/// The header of a netlink message. C: `struct nlmsghdr`: u32 length, u16 type, u16 flags, u32 sequence
/// number, u32 port.
const HEADER: usize = 16;

/// Size of the kernel's buffer for a slow reader, in bytes.
const BUFFER: usize = 8 << 20;

/// Begins to read.
///
/// # Errors
///
/// Fails if the kernel lets nobody read, or not this user: says so, and what to do.
pub fn start() -> io::Result<Receiver<Message>> {
    let socket = join()?;
    let port = getsockname::<NetlinkAddr>(socket.as_raw_fd())?.pid();
    let (sender, messages) = mpsc::sync_channel(AHEAD);
    thread::Builder::new()
        .name("netlink".to_owned())
        .spawn(move || read(&socket, port, &sender))?;
    Ok(messages)
}

fn join() -> io::Result<OwnedFd> {
    let explain = |what: &'static str| {
        move |error: Errno| {
            io::Error::new(
                io::Error::from(error).kind(),
                format!("the kernel's audit multicast group: {what}: {error}"),
            )
        }
    };
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkAudit,
    )
    .map_err(explain("this kernel has no audit"))?;
    // Without CAP_NET_ADMIN the usual buffer has to do.
    let _ = setsockopt(&socket, RcvBufForce, &BUFFER);
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, READLOG)).map_err(|error| match error {
        Errno::EPERM | Errno::EACCES => explain(
            "it needs CAP_AUDIT_READ: use sudo, or once `setcap cap_audit_read+ep` on this program",
        )(error),
        error => explain("cannot join")(error),
    })?;
    Ok(socket)
}

fn read(socket: &OwnedFd, port: u32, sender: &SyncSender<Message>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut dropped = drops(port).unwrap_or(0);
    // The queue was full, and has not been empty since: until then the kernel drops without saying so again.
    let mut congested = false;
    loop {
        let flags = match congested {
            true => MsgFlags::MSG_DONTWAIT,
            false => MsgFlags::empty(),
        };
        let message = match recv(socket.as_raw_fd(), &mut buffer, flags) {
            Ok(length) => record(&buffer[..length]).map(Message::Record),
            Err(Errno::EINTR) => None,
            // The kernel counts what it could not put there.
            Err(error @ (Errno::ENOBUFS | Errno::EAGAIN)) => {
                congested = error == Errno::ENOBUFS;
                let now = drops(port).unwrap_or(dropped + u64::from(congested));
                let missed = now.saturating_sub(dropped);
                dropped = now;
                (missed > 0).then_some(Message::Missed(missed))
            }
            Err(error) => {
                let _ = sender.send(Message::Failed(error.into()));
                return;
            }
        };
        if let Some(message) = message {
            if sender.send(message).is_err() {
                return;
            }
        }
    }
}

/// A netlink message as a line of a log.
fn record(message: &[u8]) -> Option<Vec<u8>> {
    let (header, text) = message.split_at_checked(HEADER)?;
    let ty = u16::from_ne_bytes([header[4], header[5]]);
    // Its length is not to be relied on: the kernel's own comment says that it always was wrong.
    let text = text.split(|&b| b == 0).next()?.trim_ascii_end();
    let mut line = format!("type={ty} msg=").into_bytes();
    line.extend_from_slice(text);
    Some(line)
}

/// Returns the number of messages to `port` that the kernel dropped: `Drops` in `/proc/net/netlink`.
fn drops(port: u32) -> Option<u64> {
    drops_in(&fs::read_to_string("/proc/net/netlink").ok()?, port)
}

fn drops_in(table: &str, port: u32) -> Option<u64> {
    let mut lines = table.lines();
    let column = lines
        .next()?
        .split_whitespace()
        .position(|title| title == "Drops")?;
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|cells| {
            cells.get(1) == Some(&PROTOCOL) && cells.get(2) == Some(&port.to_string().as_str())
        })?
        .get(column)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_line() {
        let mut message = vec![0; HEADER];
        message[4..6].copy_from_slice(&1339u16.to_ne_bytes());
        message.extend_from_slice(b"audit(1630425112.119:194): module=integrity res=0\0\0");
        assert_eq!(
            record(&message).as_deref(),
            Some(&b"type=1339 msg=audit(1630425112.119:194): module=integrity res=0"[..])
        );
        assert_eq!(record(&message[..10]), None);
    }

    #[test]
    fn dropped_messages_are_read_from_the_kernels_table() {
        let table = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                     0000000000000000 0   77         00000000 0        0        0     2        3        1\n\
                     0000000000000000 9   77         00000001 0        0        0     2        12       2\n";
        assert_eq!(drops_in(table, 77), Some(12));
        assert_eq!(drops_in(table, 78), None);
        assert_eq!(drops_in("", 77), None);
    }
}
