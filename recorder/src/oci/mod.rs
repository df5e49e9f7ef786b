// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit-record oci-hook`: names containers in the audit log, as a hook of their runtime.
//!
//! - [`state`]: the runtime's text on standard input.
//! - [`process`]: a container's first process, and its namespaces.
//! - [`bundle`]: its `config.json`.
//! - [`conmon`], [`origin`]: names of the container, its image, its pod.
//! - [`memory`]: the state between start and stop.
//! - `warning`: a message that reaches the system's log.
//! - [`writer`]: writes records.
//! - `claim`: the message to the forwarder, if this process may not write records.
//! - [`forward`]: `dmns-audit-record oci-forward`.
//! - [`wrap`]: `dmns-audit-record oci-wrap`.

pub mod bundle;
mod claim;
pub mod conmon;
pub mod forward;
pub mod memory;
pub mod origin;
pub mod process;
pub mod state;
mod warning;
pub mod wrap;
pub mod writer;

use crate::audit::recorder;
use bundle::Bundle;
use claim::Claim;
use conmon::Conmon;
use memory::{Memory, Started};
use origin::Origin;
use process::Process;
use state::{Stage, State};
use std::io;
use std::path::PathBuf;
use warning::{runs_all_the_same, warn};
use writer::{About, Start, UNREPORTED, Writer};

/// The options.
#[derive(Clone, Debug)]
pub struct Options {
    /// A container that cannot be recorded does not run.
    pub strict: bool,
    /// The forwarder's socket.
    pub socket: PathBuf,
    /// The folder with the state between start and stop.
    pub state: PathBuf,
    /// A file to write records to, in addition.
    pub log: Option<PathBuf>,
}

/// Records the state that the runtime writes to `input`. Returns `false` if the container has to be
/// recorded and cannot be.
pub fn hook(options: &Options, input: impl io::Read) -> bool {
    let Err(error) = State::read(input).and_then(|state| record(options, &state)) else {
        return true;
    };
    match options.strict {
        true => warn(&format!("{error}; the container does not start (--strict)")),
        false => runs_all_the_same(&error),
    }
    !options.strict
}

fn record(options: &Options, state: &State) -> io::Result<()> {
    let stage = state.stage()?;
    let bundle = Bundle::read(&state.bundle);
    let conmon = Conmon::above(&state.id);
    let memory = Memory::at(&options.state);
    let log = options.log.as_deref().map(recorder::log).transpose()?;
    let mut writer = Writer::new(log);
    writer.connect();
    let known = memory.take(None, &state.id);
    let origin = Origin::of(state, &bundle, conmon.as_ref());
    let about = About {
        id: &state.id,
        name: &origin.name,
        pid: state.pid,
        claim: None,
    };
    let then = known.as_ref().map(|known| About {
        name: &known.name,
        pid: known.pid,
        ..about
    });
    let mut status = None;
    match stage {
        Stage::CreateRuntime => {
            if let Some(then) = then {
                writer.stopped(then, UNREPORTED, None)?;
            }
            start(&mut writer, state, about, &bundle, &origin)?;
        }
        Stage::Poststop => {
            let started = Started::new(&origin.name, 0, conmon.as_ref());
            status = known.as_ref().unwrap_or(&started).status(&state.id);
            writer.stopped(then.unwrap_or(about), stage.name(), status)?;
        }
    }
    let claim = Claim {
        stop: stage == Stage::Poststop,
        id: state.id.clone(),
        name: origin.name.clone(),
        pid: state.pid,
        runtime: origin.runtime.clone(),
        image: origin.image.clone(),
        pod: origin.pod.clone(),
        status,
    };
    if stage == Stage::CreateRuntime {
        let started = Started::new(&origin.name, state.pid, conmon.as_ref());
        match memory.keep(None, &state.id, &started) {
            // A rootless one's stop looks names up anew; so does any other.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                warn(&format!(
                    "{error}: the stop of this container may lack its process"
                ));
            }
            _ => {}
        }
    }
    match writer.end() {
        Err(error) if is_refusal(&error) => {
            claim
                .send(&options.socket)
                .map_err(|also| match also.kind() {
                    // Nobody asked for one.
                    io::ErrorKind::NotFound => error,
                    _ => also,
                })
        }
        result => result,
    }
}

/// Returns whether audit refuses records of this process.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ConnectionRefused
    )
}

fn start(
    writer: &mut Writer,
    state: &State,
    about: About<'_>,
    bundle: &Bundle,
    origin: &Origin,
) -> io::Result<()> {
    let process = match Process::open(about.pid) {
        Ok(process) => Some(process),
        Err(error) => {
            eprintln!(
                "dmns-audit-record: process {} of container {} is gone ({error}): its namespaces are not known",
                about.pid, about.id
            );
            None
        }
    };
    let namespaces = process.as_ref().map(Process::namespaces);
    let cgroup = process.as_ref().and_then(Process::cgroup);
    writer.started(
        about,
        &Start {
            reason: Stage::CreateRuntime.name(),
            namespaces: &namespaces.unwrap_or_default(),
            origin,
            labels: &bundle.labels(),
            resources: &bundle.resources(state, process.as_ref()),
            cgroup: &cgroup.unwrap_or_default(),
        },
    )
}
