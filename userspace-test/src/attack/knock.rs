// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Messages to audit that an ordinary user may send, and that audit refuses.

use super::{User, child, done, reap};
use anyhow::{Context, Result};
use nix::libc;

/// Send messages to audit in loops, at the lowest priority there is. Audit refuses each.
#[derive(clap::Args)]
pub(super) struct Knock {
    #[command(flatten)]
    user: User,
    /// Number of loops, each a process.
    #[arg(long, default_value_t = 4)]
    loops: usize,
}

/// Runs the loops until they are killed.
pub(super) fn run(knock: &Knock) -> Result<()> {
    knock.user.become_it()?;
    for _ in 0..knock.loops {
        child(|| {
            // SAFETY: All-zero parameters are valid: SCHED_IDLE has no priority.
            let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
            // SAFETY: `parameters` is initialized.
            let scheduled =
                unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
            done(scheduled.into()).context("SCHED_IDLE")?;
            // SAFETY: It takes numbers.
            let audit =
                unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT) };
            done(audit.into()).context("netlink")?;
            // struct nlmsghdr: length, AUDIT_GET, NLM_F_REQUEST without NLM_F_ACK, sequence, port.
            let mut message = Vec::new();
            message.extend(16_u32.to_ne_bytes());
            message.extend(1000_u16.to_ne_bytes());
            message.extend(1_u16.to_ne_bytes());
            message.extend([0; 8]);
            let mut answer = [0_u8; 256];
            loop {
                // SAFETY: The kernel reads as many bytes, and writes at most as many.
                unsafe {
                    libc::send(audit, message.as_ptr().cast(), message.len(), 0);
                    libc::recv(
                        audit,
                        answer.as_mut_ptr().cast(),
                        answer.len(),
                        libc::MSG_DONTWAIT,
                    );
                }
            }
        })?;
    }
    while reap() {}
    Ok(())
}
