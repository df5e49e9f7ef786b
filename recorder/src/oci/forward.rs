// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit-record oci-forward`: writes records for hooks without the right to. Each record has
//! the claiming uid. The forwarder looks up itself what it can, and does not rely on the claim.

use super::bundle::Labels;
use super::claim::{Claim, LONGEST, PATIENCE, WRITTEN};
use super::memory::{Memory, Started};
use super::origin::Origin;
use super::process::Process;
use super::writer::{About, Start, UNREPORTED, Writer};
use crate::audit::recorder;
use crate::error::{explain, invalid};
use dmns_audit_log::virt::text::LONGEST_NAME;
use dmns_audit_uapi::ns::Kind;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum number of connections at a time; others wait.
const AT_ONCE: usize = 64;

/// The maximum number of claims of one user in [`MINUTE`]. So no user floods the log.
const MOST: u32 = 600;

const MINUTE: Duration = Duration::from_secs(60);

/// The options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The socket.
    pub socket: PathBuf,
    /// The folder with the state between start and stop.
    pub state: PathBuf,
    /// A file to write records to, in addition.
    pub log: Option<PathBuf>,
    /// Write to that file only.
    pub only_log: bool,
}

struct Forwarder {
    options: Options,
    memory: Memory,
    /// By user: the begin of the minute, and the number of claims.
    claims: Mutex<HashMap<u32, (Instant, u32)>>,
}

/// Listens until it is killed.
///
/// # Errors
///
/// If the socket cannot be created, or audit is out of reach.
pub fn run(options: &Options) -> io::Result<()> {
    let forwarder = Forwarder {
        options: options.clone(),
        memory: Memory::at(&options.state),
        claims: Mutex::default(),
    };
    // Whether audit takes records at all is known before anybody relies on it.
    forwarder.writer()?.end()?;
    let at = explain(&options.socket);
    if let Some(folder) = options.socket.parent() {
        fs::create_dir_all(folder).map_err(&at)?;
    }
    match UnixStream::connect(&options.socket) {
        Ok(_) => {
            let message = "another oci-forward listens here".to_owned();
            return Err(at(io::Error::new(io::ErrorKind::AddrInUse, message)));
        }
        // What the last one left.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(&options.socket).map_err(&at)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(&options.socket).map_err(&at)?;
    // The peer's credentials come from the kernel.
    fs::set_permissions(&options.socket, Permissions::from_mode(0o666)).map_err(&at)?;
    eprintln!(
        "dmns-audit-record: listening on {}",
        options.socket.display()
    );
    let forwarder = Arc::new(forwarder);
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = stream.map_err(&at)?;
        if busy.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            busy.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (forwarder, busy) = (Arc::clone(&forwarder), Arc::clone(&busy));
        thread::spawn(move || {
            let answer = match forwarder.hear(&stream) {
                Ok(()) => WRITTEN.to_owned(),
                Err(error) => error.to_string(),
            };
            // Who is gone needs no answer.
            let _ = (&stream).write_all(answer.as_bytes());
            busy.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

impl Forwarder {
    fn writer(&self) -> io::Result<Writer> {
        let log = self.options.log.as_deref().map(recorder::log).transpose()?;
        let mut writer = Writer::new(log);
        if !self.options.only_log {
            writer.connect();
        }
        Ok(writer)
    }

    fn hear(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let peer = getsockopt(stream, PeerCredentials)?;
        let mut text = Vec::new();
        stream.take(LONGEST + 1).read_to_end(&mut text)?;
        let claim: Claim = match text.len() as u64 {
            0..=LONGEST => postcard::from_bytes(&text).ok(),
            _ => None,
        }
        .ok_or_else(|| invalid("this is no claim of an oci-hook of this version"))?;
        if claim.id.is_empty() || claim.id.len() > LONGEST_NAME {
            return Err(invalid("an id has 1 to 255 bytes"));
        }
        self.counts(peer.uid())?;
        self.write(&claim, peer.uid(), i64::from(peer.pid()))
    }

    /// Counts a claim of the user `uid`.
    fn counts(&self, uid: u32) -> io::Result<()> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        claims.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        let (_, count) = claims.entry(uid).or_insert((now, 0));
        *count += 1;
        match *count {
            0..=MOST => Ok(()),
            _ => Err(io::Error::other(format!(
                "user {uid} has claimed {MOST} containers within a minute: wait for the next"
            ))),
        }
    }

    fn write(&self, claim: &Claim, uid: u32, peer: i64) -> io::Result<()> {
        let mut writer = self.writer()?;
        let id = &claim.id;
        let mut about = About {
            id,
            name: &claim.name,
            pid: claim.pid,
            claim: Some(uid),
        };
        let known = self.memory.take(Some(uid), id);
        if let Some(known) = &known {
            about.name = &known.name;
            about.pid = known.pid;
        }
        if claim.stop {
            writer.stopped(about, claim.stage().name(), claim.status)?;
            return writer.end();
        }
        let process = of_user(claim.pid, uid, peer)?;
        if known.is_some() {
            writer.stopped(about, UNREPORTED, None)?;
        }
        about.name = &claim.name;
        about.pid = claim.pid;
        let origin = Origin {
            name: claim.name.clone(),
            runtime: claim.runtime.clone(),
            image: claim.image.clone(),
            pod: claim.pod.clone(),
        };
        let user = format!("+{uid}:?");
        let start = Start {
            reason: claim.stage().name(),
            namespaces: &process.namespaces(),
            origin: &origin,
            labels: &Labels {
                process: user.clone(),
                files: user,
                model: "dac",
            },
            resources: &[],
            cgroup: b"",
        };
        writer.started(about, &start)?;
        writer.end()?;
        self.memory
            .keep(Some(uid), id, &Started::new(&claim.name, claim.pid, None))
    }
}

/// Opens the process `pid` of a claim, if the user `uid` may claim it. The process runs in a user
/// namespace that the user created, and the claimant `peer` sees it under the same number.
fn of_user(pid: i64, uid: u32, peer: i64) -> io::Result<Process> {
    if !Process::open(peer)?.shares(Kind::Pid) {
        return Err(io::Error::other(
            "the claim comes from another pid namespace, where numbers differ",
        ));
    }
    let process = Process::open(pid).map_err(|_| invalid(format!("there is no process {pid}")))?;
    match process.owner() {
        Ok(owner) if owner == uid || uid == 0 => Ok(process),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("process {pid} is in a user namespace that is not of user {uid}"),
        )),
        Err(error) => Err(invalid(format!("process {pid}: {error}"))),
    }
}
