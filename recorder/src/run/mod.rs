// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit-record run-guest`: starts a QEMU, and writes the records that libvirt would.
//!
//! - [`arguments`]: QEMU's command line.
//! - [`qmp`]: its monitor.
//! - [`monitor`]: the monitor for other clients.
//! - [`inventory`]: the guest's resources; [`item`]: one of them.
//! - `names`: parses the text of the human monitor.
//! - [`descriptors`]: the open descriptors of its interfaces.
//! - [`changes`]: the differences of two inventories.
//! - [`emitter`]: writes records.
//! - [`options`]: what the caller asks for.
//! - [`session`]: from the start to the stop.

pub mod arguments;
pub mod changes;
pub mod descriptors;
pub mod emitter;
pub mod inventory;
pub mod item;
pub mod monitor;
mod names;
pub mod options;
pub mod qmp;
pub mod session;

use crate::audit::recorder;
use crate::error::invalid;
use arguments::Arguments;
use dmns_audit_log::contract::Syntax;
use dmns_audit_log::virt::text::LONGEST_NAME;
use emitter::Emitter;
use monitor::Monitor;
use options::Options;
use session::Session;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// Runs the guest until it ends. Returns QEMU's exit status; 128 and the signal's number, if a
/// signal ended it.
///
/// # Errors
///
/// If it cannot be started, or has to be recorded and cannot be.
pub fn run(options: &Options) -> io::Result<u8> {
    let (program, arguments) = options
        .command
        .split_first()
        .ok_or_else(|| invalid("which QEMU? Its command line comes after --".to_owned()))?;
    let known = Arguments::parse(arguments);
    if known.daemonizes {
        let message = "-daemonize: QEMU must stay in the foreground, or its end would not be seen; put this command \
                       in the background instead";
        return Err(invalid(message.to_owned()));
    }
    let name = name(options, &known, program)?;
    let uuid = uuid(options, &known)?;
    let log = match &options.log {
        Some(path) => Some(recorder::log(path)?),
        None => None,
    };
    let monitor = options
        .monitor
        .as_deref()
        .map(Monitor::listen)
        .transpose()?;
    let mut emitter = Emitter::new(name, uuid, options.strict, log)?;
    emitter.begins()?;
    let mut command = Command::new(program);
    command.args(arguments);
    if !known.stopped && known.incoming.is_none() {
        // Until what it has is recorded.
        command.arg("-S");
    }
    let folder = std::env::current_dir()?;
    Session::start(command, program, &known, &folder, options, emitter, monitor)?.run()
}

/// Returns the guest's name: as it is asked for, as QEMU has it, or QEMU's own.
fn name(options: &Options, known: &Arguments, program: &OsStr) -> io::Result<Vec<u8>> {
    let asked = options.name.as_ref().map(|name| name.as_bytes().to_vec());
    let of_program = || {
        let name = Path::new(program).file_name().unwrap_or(program);
        let mut name = name.as_bytes().to_vec();
        name.extend_from_slice(format!("-{}", std::process::id()).as_bytes());
        name
    };
    let name = asked.or(known.name.clone()).unwrap_or_else(of_program);
    match name.len() {
        0 => Err(invalid(
            "the guest's name is empty: give it one with --name".to_owned(),
        )),
        1..=LONGEST_NAME => Ok(name),
        length => Err(invalid(format!(
            "the guest's name has {length} bytes, {LONGEST_NAME} at most: give it another with --name"
        ))),
    }
}

fn uuid(options: &Options, known: &Arguments) -> io::Result<String> {
    let given = options.uuid.as_ref().or(known.uuid.as_ref());
    let uuid = match given {
        Some(uuid) => uuid.to_lowercase(),
        None => fs::read_to_string("/proc/sys/kernel/random/uuid")?
            .trim()
            .to_owned(),
    };
    match Syntax::Uuid.accepts(&uuid) {
        true => Ok(uuid),
        false => Err(invalid(format!(
            "{uuid:?} is no UUID: write it as 11111111-2222-3333-4444-555555555555"
        ))),
    }
}
