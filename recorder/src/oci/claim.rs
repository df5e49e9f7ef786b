// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a hook that may not write records hands to `dmns-audit-record oci-forward`, which may.

use super::state::Stage;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a claim may be, in bytes.
pub(super) const LONGEST: u64 = 1 << 16;

/// How long either side waits for the other.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What the forwarder answers to what it has written.
pub(super) const WRITTEN: &str = "written";

/// That a container was made, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Its end.
    pub(super) stop: bool,
    /// What the runtime calls it.
    pub(super) id: String,
    /// What people call it.
    pub(super) name: Vec<u8>,
    /// Its first process, as the claimant sees it.
    pub(super) pid: i64,
    /// The program that made it.
    pub(super) runtime: Option<Vec<u8>>,
    /// Its image.
    pub(super) image: Option<Vec<u8>>,
    /// Its pod.
    pub(super) pod: Option<Vec<u8>>,
    /// Its exit status.
    pub(super) status: Option<u32>,
}

impl Claim {
    /// At which stage a hook claims it.
    pub(super) fn stage(&self) -> Stage {
        match self.stop {
            true => Stage::Poststop,
            false => Stage::CreateRuntime,
        }
    }

    /// Hands it over.
    ///
    /// # Errors
    ///
    /// Where nobody listens, or who listens refuses it: says why.
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
