// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The protocol of host and guest, over a virtio-serial port.
//!
//! A frame is its length (u32, little endian) and a message in postcard's encoding.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{Read, Write};

/// The port's name, as the guest finds it under `/sys/class/virtio-ports`.
pub(crate) const PORT: &str = "dmns";

/// More than any message needs; a longer one means that the stream is out of step.
const MAX_FRAME: u32 = 1 << 20;

/// From the host to the agent in the guest.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToGuest {
    /// Run a command.
    Run {
        /// Names the command in answers.
        id: u32,
        /// Program and arguments.
        argv: Vec<String>,
        /// Added to the environment.
        env: Vec<(String, String)>,
    },
    /// Kill a command and all that it started.
    Kill(u32),
    /// Sync, say [`ToHost::Done`], and power off.
    PowerOff,
}

/// From the agent in the guest to the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToHost {
    /// The guest is up and listens.
    Ready,
    /// A command wrote something.
    Output {
        /// The command.
        id: u32,
        /// The stream.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A command ended; all of its output has been sent.
    Exit {
        /// The command.
        id: u32,
        /// Its exit status; 128 + n if signal n ended it, as a shell has it.
        status: i32,
    },
    /// auditd's log grew by these bytes.
    AuditLog(Vec<u8>),
    /// The last message of an orderly shutdown.
    Done,
}

/// A stream of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Sends `message`.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let body = postcard::to_stdvec(message)?;
    let mut frame = u32::try_from(body.len())?.to_le_bytes().to_vec();
    frame.extend(body);
    to.write_all(&frame).context("the other side is gone")
}

/// Receives a message; `None` at the end of the stream.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..])?;
    let length = u32::from_le_bytes(length);
    ensure!(
        length <= MAX_FRAME,
        "a frame of {length} bytes: out of step"
    );
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok(Some(postcard::from_bytes(&body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_and_half_a_message_is_an_error() -> Result<()> {
        let mut wire = Vec::new();
        send(&mut wire, &ToHost::AuditLog(b"type=USER".to_vec()))?;
        send(&mut wire, &ToHost::Done)?;
        let mut from = wire.as_slice();
        assert!(matches!(receive(&mut from)?, Some(ToHost::AuditLog(b)) if b == b"type=USER"));
        assert!(matches!(receive(&mut from)?, Some(ToHost::Done)));
        assert!(receive::<ToHost>(&mut from)?.is_none());
        assert!(receive::<ToHost>(&mut &wire[..7]).is_err());
        assert!(receive::<ToHost>(&mut &[0xff, 0xff, 0xff, 0xff][..]).is_err());
        Ok(())
    }
}
