// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Hands records to the kernel's audit, as libaudit does: a netlink message, and the kernel's
//! answer to it.
//!
//! C: `audit_send_user_message()` in libaudit, `audit_receive_msg()` in `kernel/audit.c`.

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The header of a netlink message. C: `struct nlmsghdr`: u32 length, u16 type, u16 flags, u32
/// sequence number, u32 port.
const HEADER: usize = 16;

/// `NLM_F_REQUEST | NLM_F_ACK`.
const FLAGS: u16 = 1 | 4;

/// `NLMSG_ERROR`: the answer, with an error of 0 for success.
const ANSWER: u16 = 2;

/// `AUDIT_GET`: asks for the status of audit. The answer is a `struct audit_status`: u32 mask, u32
/// enabled, ...
const GET: u16 = 1000;

/// The timeout for the kernel's answer, in seconds. A full backlog delays it.
const PATIENCE: i64 = 60;

/// The status of audit. C: `struct audit_status` in `include/uapi/linux/audit.h`.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Off (0), on (1) or locked (2).
    pub enabled: u32,
    /// The maximum number of records that wait for auditd.
    pub backlog_limit: u32,
    /// The number of records that were lost since the machine came up.
    pub lost: u32,
    /// The number of records that wait for auditd.
    pub backlog: u32,
}

/// A connection to audit.
#[derive(Debug)]
pub struct Audit {
    socket: OwnedFd,
    sequence: u32,
}

impl Audit {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If this kernel has no audit.
    pub fn connect() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkAudit,
        )
        .map_err(|error| explain("this kernel has no audit", error))?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Returns whether audit is on, as far as this process may know: only a process with
    /// CAP_AUDIT_CONTROL may ask.
    pub fn is_on(&mut self) -> Option<bool> {
        Some(self.status()?.enabled != 0)
    }

    /// Returns the status of audit, as far as this process may know.
    pub fn status(&mut self) -> Option<Status> {
        self.send(GET, b"").ok()?;
        let mut buffer = vec![0; 8192];
        // An answer to the request, and the status: in this order.
        for _ in 0..2 {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).ok()?;
            let (ty, payload) = message(&buffer[..length])?;
            match ty {
                GET => {
                    return Some(Status {
                        enabled: word(payload, 4)?,
                        backlog_limit: word(payload, 20)?,
                        lost: word(payload, 24)?,
                        backlog: word(payload, 28)?,
                    });
                }
                ANSWER if word(payload, 0)? != 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// Writes a record of type `ty`, with `text` in `msg='...'`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses it. The error has the reason and advice.
    pub fn write(&mut self, ty: u16, text: &[u8]) -> io::Result<()> {
        let mut payload = text.to_vec();
        payload.push(0);
        let sequence = self.send(ty, &payload)?;
        let mut buffer = vec![0; 8192];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .map_err(|error| explain("audit does not answer", error))?;
            let got = &buffer[..length];
            let (Some((ANSWER, answer)), Some(of)) = (message(got), word(got, 8)) else {
                continue;
            };
            if of != sequence {
                continue;
            }
            let error = word(answer, 0).unwrap_or_default() as i32;
            return match Errno::from_raw(-error) {
                _ if error == 0 => Ok(()),
                error @ (Errno::EPERM | Errno::ECONNREFUSED) => Err(explain(
                    "audit takes no records from this process: it needs CAP_AUDIT_WRITE, in the first user, pid and \
                     network namespaces (use sudo, or once `setcap cap_audit_write+ep` on this program)",
                    error,
                )),
                error => Err(explain("audit did not take a record", error)),
            };
        }
    }

    fn send(&mut self, ty: u16, payload: &[u8]) -> io::Result<u32> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER + payload.len());
        let length = (HEADER + payload.len()) as u32;
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&ty.to_ne_bytes());
        message.extend_from_slice(&FLAGS.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(payload);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(
            self.socket.as_raw_fd(),
            &message,
            &kernel,
            MsgFlags::empty(),
        )
        .map_err(|error| explain("audit takes no records from this process", error))?;
        Ok(self.sequence)
    }
}

fn explain(what: &str, error: Errno) -> io::Error {
    io::Error::new(io::Error::from(error).kind(), format!("{what}: {error}"))
}

/// Returns the type and the payload of a message.
fn message(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (header, payload) = bytes.split_at_checked(HEADER)?;
    Some((u16::from_ne_bytes([header[4], header[5]]), payload))
}

/// Returns the u32 at byte `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
