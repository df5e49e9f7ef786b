// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Runs the tools that know a format on disk: `dmsetup`, `debugfs`, `dumpe2fs`, `xfs_db`, `blkid`, `losetup`. None of
//! them is asked to write.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;

/// Where they are, also for a user without the folders of root.
const FOLDERS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// Returns the standard output of `program` with `arguments`.
///
/// # Errors
///
/// Fails if the program is not there, or says that it failed: with the first line of what it says.
pub fn output(program: &str, arguments: &[impl AsRef<OsStr>]) -> io::Result<String> {
    let output = command(program, arguments).output();
    let output = output.map_err(|error| named(program, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let first = said.lines().find(|line| !line.trim().is_empty());
        let message = format!("{program}: {}", first.unwrap_or("failed"));
        return Err(io::Error::other(message));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same with `input` on its standard input. Its exit status does not matter: a command in `input` may fail.
///
/// # Errors
///
/// Fails if the program is not there.
pub fn dialogue(
    program: &str,
    arguments: &[impl AsRef<OsStr>],
    input: String,
) -> io::Result<String> {
    let mut child = command(program, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| named(program, &error))?;
    let stdin = child.stdin.take();
    // It answers while it reads.
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn command(program: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", format!("{path}:{FOLDERS}"))
        .env("LC_ALL", "C")
        .env("DEBUGFS_PAGER", "__none__")
        .stdin(Stdio::null());
    command
}

fn named(program: &str, error: &io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "not installed".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{program}: {why}"))
}
