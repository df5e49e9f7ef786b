// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Runs commands for the host, and sends it their output and auditd's log.

use super::HOME;
use crate::follow::{self, Follower};
use crate::protocol::{PORT, Stream, ToGuest, ToHost, receive, send};
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The interval of polls of output and log. Only latency depends on it.
const TICK: Duration = Duration::from_millis(10);

/// At most this much goes into one message.
const CHUNK: usize = 64 << 10;

/// The way to the host, for all threads.
#[derive(Clone)]
struct Host(Arc<Mutex<File>>);

impl Host {
    fn send(&self, message: &ToHost) -> Result<()> {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut *port, message)
    }
}

/// Serves the host until it asks for the end, or is gone.
pub(super) fn serve() -> Result<()> {
    let mut port = OpenOptions::new().read(true).write(true).open(port()?)?;
    let host = Host(Arc::new(Mutex::new(port.try_clone()?)));
    host.send(&ToHost::Ready)?;

    let log = host.clone();
    thread::spawn(move || follow(&log));

    let mut running: HashMap<u32, Pid> = HashMap::new();
    while let Some(message) = receive(&mut port)? {
        match message {
            ToGuest::Run { id, argv, env } => match spawn(id, &argv, env) {
                Ok((child, output)) => {
                    running.insert(id, Pid::from_raw(child.id().try_into()?));
                    let host = host.clone();
                    thread::spawn(move || watch(&host, id, child, output));
                }
                Err(e) => {
                    host.send(&ToHost::Output {
                        id,
                        stream: Stream::Stderr,
                        bytes: format!("{}: {e:#}\n", argv.join(" ")).into_bytes(),
                    })?;
                    host.send(&ToHost::Exit { id, status: 127 })?;
                }
            },
            ToGuest::Kill(id) => {
                if let Some(group) = running.get(&id) {
                    // It may have ended meanwhile.
                    let _ = killpg(*group, Signal::SIGKILL);
                }
            }
            ToGuest::PowerOff => {
                nix::unistd::sync();
                host.send(&ToHost::Done)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns the device of the port that the host listens at.
fn port() -> Result<PathBuf> {
    for _ in 0..1000 {
        for port in fs::read_dir("/sys/class/virtio-ports")
            .into_iter()
            .flatten()
        {
            let port = port?;
            if fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim() == PORT) {
                return Ok(PathBuf::from("/dev").join(port.file_name()));
            }
        }
        thread::sleep(TICK);
    }
    anyhow::bail!("QEMU gave this guest no virtio-serial port called {PORT}")
}

/// Sends auditd's log as it grows.
fn follow(host: &Host) {
    let mut log = Follower::new(follow::PATH);
    loop {
        match log.read() {
            Ok(bytes) => {
                for chunk in bytes.chunks(CHUNK) {
                    if host.send(&ToHost::AuditLog(chunk.to_vec())).is_err() {
                        return;
                    }
                }
            }
            Err(e) => {
                eprintln!("dmns-test agent: reading {}: {e:#}", follow::PATH);
                return;
            }
        }
        thread::sleep(TICK);
    }
}

/// The output of a command, read from files: unlike with pipes, all that it wrote before it ended
/// is there when it has ended, and what it leaves running does not keep us waiting.
struct Output {
    stdout: File,
    stderr: File,
}

fn spawn(id: u32, argv: &[String], env: Vec<(String, String)>) -> Result<(Child, Output)> {
    let file = |name: &str| -> Result<(File, File)> {
        let path = format!("{HOME}/output-{id}-{name}");
        let write = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)?;
        let read = File::open(&path)?;
        fs::remove_file(&path)?;
        Ok((write, read))
    };
    let (stdout, read_stdout) = file("stdout")?;
    let (stderr, read_stderr) = file("stderr")?;
    let (program, arguments) = argv.split_first().context("an empty command")?;
    let child = Command::new(program)
        .args(arguments)
        .envs(env)
        .current_dir("/tmp")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()?;
    let output = Output {
        stdout: read_stdout,
        stderr: read_stderr,
    };
    Ok((child, output))
}

/// Sends what the command writes until it ends, then how it ended.
fn watch(host: &Host, id: u32, mut child: Child, mut output: Output) -> Result<()> {
    loop {
        let ended = child.try_wait()?;
        for (stream, file) in [
            (Stream::Stdout, &mut output.stdout),
            (Stream::Stderr, &mut output.stderr),
        ] {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            for chunk in bytes.chunks(CHUNK) {
                host.send(&ToHost::Output {
                    id,
                    stream,
                    bytes: chunk.to_vec(),
                })?;
            }
        }
        if let Some(status) = ended {
            let status = status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            return host.send(&ToHost::Exit { id, status });
        }
        thread::sleep(TICK);
    }
}
