// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The claim of a hook without the right to write records, for `dmns-audit-record oci-forward`.

use super::state::Stage;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The maximum length of a claim, in bytes.
pub(super) const LONGEST: u64 = 1 << 16;

/// The time that either side waits for the other.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The forwarder's answer to a claim that it has written.
pub(super) const WRITTEN: &str = "written";

/// A claim: a container was created, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Its end.
    pub(super) stop: bool,
    /// The runtime's name of it.
    pub(super) id: String,
    /// Its name.
    pub(super) name: Vec<u8>,
    /// Its first process, as the claimant sees it.
    pub(super) pid: i64,
    /// The program that created it.
    pub(super) runtime: Option<Vec<u8>>,
    /// Its image.
    pub(super) image: Option<Vec<u8>>,
    /// Its pod.
    pub(super) pod: Option<Vec<u8>>,
    /// Its exit status.
    pub(super) status: Option<u32>,
}

impl Claim {
    /// Returns the stage of the hook.
    pub(super) fn stage(&self) -> Stage {
        match self.stop {
            true => Stage::Poststop,
            false => Stage::CreateRuntime,
        }
    }

    /// Sends the claim.
    ///
    /// # Errors
    ///
    /// If no forwarder listens, or if it refuses the claim. The error has the reason.
    pub(super) fn send(&self, socket: &Path) -> io::Result<()> {
        let at = |error: io::Error| {
            let message = format!(
                "dmns-audit-record oci-forward at {}: {error}",
                socket.display()
            );
            io::Error::new(error.kind(), message)
        };
        let mut stream = UnixStream::connect(socket).map_err(at)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(at)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(at)?;
        let claim = postcard::to_stdvec(self).map_err(io::Error::other)?;
        stream.write_all(&claim).map_err(at)?;
        stream.shutdown(Shutdown::Write).map_err(at)?;
        let mut answer = String::new();
        stream
            .take(LONGEST)
            .read_to_string(&mut answer)
            .map_err(at)?;
        match answer.trim() {
            WRITTEN => Ok(()),
            "" => Err(at(io::Error::other("it gave no answer"))),
            refusal => Err(at(io::Error::other(refusal.to_owned()))),
        }
    }
}
