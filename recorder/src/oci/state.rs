// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The state that a runtime writes to a hook's standard input.
//!
//! Source: "State" in runtime.md of the OCI runtime specification.

use crate::error::invalid;
use dmns_audit_log::virt::text::LONGEST_NAME;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

/// The maximum length of a state, in bytes. Its annotations are the user's.
const LONGEST: u64 = 4 << 20;

/// The stage of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The container was created, its program was not started.
    CreateRuntime,
    /// The container is deleted.
    Poststop,
}

impl Stage {
    /// Returns the specification's name of it: `reason=` of its records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateRuntime => "createRuntime",
            Self::Poststop => "poststop",
        }
    }
}

/// The state of a container.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// The runtime's name of it.
    pub id: String,
    /// `creating`, `created`, `running` or `stopped`.
    #[serde(default)]
    pub status: String,
    /// Its first process, as the host sees it.
    #[serde(default)]
    pub pid: i64,
    /// The folder with its `config.json`.
    #[serde(default)]
    pub bundle: PathBuf,
    /// Its annotations.
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl State {
    /// Reads a state from `input`.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn read(input: impl Read) -> io::Result<Self> {
        let mut text = Vec::new();
        input.take(LONGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(invalid(format!(
                "the container's state on standard input is longer than {LONGEST} bytes"
            )));
        }
        if text.is_empty() {
            return Err(invalid(
                "no container's state on standard input: this is run by a container runtime, as a hook",
            ));
        }
        let state: Self = serde_json::from_slice(&text).map_err(|error| {
            invalid(format!(
                "what standard input has is not a container's state: {error}"
            ))
        })?;
        match state.id.len() {
            0 => Err(invalid("the container's state has an empty id")),
            1..=LONGEST_NAME => Ok(state),
            length => Err(invalid(format!(
                "the container's id has {length} bytes, {LONGEST_NAME} at most"
            ))),
        }
    }

    /// Returns the stage of the hook, from the state.
    ///
    /// # Errors
    ///
    /// If the state has another.
    pub fn stage(&self) -> io::Result<Stage> {
        match self.status.as_str() {
            // crun says `created` of what the specification calls `creating`.
            "creating" | "created" => Ok(Stage::CreateRuntime),
            "stopped" => Ok(Stage::Poststop),
            other => Err(invalid(format!(
                "the container is {other:?}: hooks are run at createRuntime (creating, created) and poststop (stopped)"
            ))),
        }
    }

    /// Returns an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}
