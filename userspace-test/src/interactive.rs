// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-test shell` and `dmns-test exec`: a guest for a user, or for a script.

use crate::decode;
use crate::guest::{Guest, Happening, Watcher};
use crate::live;
use crate::prepare::{Disk, Prepared};
use crate::protocol::Stream;
use crate::scenario;
use crate::vm::Machine;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The options of `shell`.
#[derive(Args)]
pub(crate) struct Shell {
    /// Show events as they happen: `dmns-audit watch` runs during the shell.
    #[arg(long)]
    live: bool,
    /// Folder to see at /mnt/share.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) disk: DiskOptions,
    /// Memory of the guest, MiB.
    #[arg(long, default_value_t = 2048)]
    memory: u32,
}

/// The options about the guest's disk.
#[derive(Args)]
pub(crate) struct DiskOptions {
    /// The guest image, as scenarios have it (`libvirt`, `runtimes`), instead of the usual one.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Debian packages to add to it, with commas between.
    #[arg(long, value_name = "PACKAGES", value_delimiter = ',', value_parser = scenario::package)]
    packages: Vec<String>,
}

impl DiskOptions {
    /// Returns the disk.
    pub(crate) fn disk(&self) -> Disk {
        Disk {
            image: self.image.clone(),
            packages: self.packages.iter().cloned().collect(),
        }
    }
}

/// The options of `exec`.
#[derive(Args)]
pub(crate) struct Exec {
    /// Folder to see at /mnt/share.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Write auditd's log here.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) disk: DiskOptions,
    /// Memory of the guest, MiB.
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// Seconds that the command may take.
    #[arg(long, default_value_t = 3600)]
    timeout: u64,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Opens a shell on this terminal.
pub(crate) fn shell(prepared: &Prepared, options: &Shell) -> Result<ExitCode> {
    ensure!(
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
        "a shell needs a terminal; to run a script, use: dmns-test exec -- COMMAND"
    );
    let machine = Machine {
        memory: options.memory,
        share: shared(options.share.as_deref())?,
        disk: options.disk.disk(),
        terminal: true,
        ..Machine::default()
    };
    eprintln!("booting {} ...", prepared.release);
    let size = Command::new("stty")
        .arg("size")
        .stdin(Stdio::inherit())
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    let (rows, columns) = size.split_once(' ').unwrap_or(("24", "80"));
    let watcher = match options.live {
        true => live::with_shell(),
        false => Watcher::none(),
    };
    let mut guest = Guest::boot(prepared, &machine, watcher)?;
    guest.set_up(true)?;
    let greeting = format!(
        "stty rows {rows} columns {columns}; dmesg | grep dmns_audit: ; \
         echo 'dmns-audit watch | report | check, records: what audit has; load, unload, counter TYPE: the module; \
         exit: the end'; \
         PS1='guest# ' exec bash --norc -i"
    );
    let script = format!(
        "exec </dev/hvc0 >/dev/hvc0 2>&1; exec setsid --ctty --wait bash -c '{}'",
        greeting.replace('\'', "'\\''")
    );
    let ended = guest.run(
        &["sh", "-c", &script],
        &[(
            "TERM".to_owned(),
            std::env::var("TERM").unwrap_or_else(|_| "linux".to_owned()),
        )],
        Duration::MAX,
    );
    if let Err(e) = ended {
        // A user powered the guest off from within, or it crashed: the terminal has shown which.
        eprintln!("\r{e:#}\r");
        return Ok(ExitCode::FAILURE);
    }
    guest.power_off()?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command; its output and exit status become ours.
pub(crate) fn exec(prepared: &Prepared, options: &Exec) -> Result<ExitCode> {
    let machine = Machine {
        memory: options.memory,
        share: shared(options.share.as_deref())?,
        disk: options.disk.disk(),
        ..Machine::default()
    };
    let mut guest = Guest::boot(
        prepared,
        &machine,
        Watcher::new(|happening| {
            if let Happening::Output(stream, bytes) = happening {
                // A reader that has gone does not stop the command.
                let _ = match stream {
                    Stream::Stdout => std::io::stdout().write_all(bytes),
                    Stream::Stderr => std::io::stderr().write_all(bytes),
                };
                let _ = std::io::stdout().flush();
            }
        }),
    )?;
    guest.set_up(true)?;
    let command: Vec<&str> = options.command.iter().map(String::as_str).collect();
    let deadline = guest.age() + Duration::from_secs(options.timeout);
    let ended = guest.run(&command, &[], deadline);
    if ended.is_ok() {
        guest.mark()?;
    }
    if let Some(file) = &options.audit_log {
        let mut text = String::new();
        for line in guest.log.iter().filter(|line| !Guest::is_mark(line)) {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    let ended = ended.map_err(|error| {
        let text = format!("{error:#}");
        anyhow!(decode::explained(prepared, &text))
    })?;
    let mut kernel_log = guest.must("dmesg")?;
    kernel_log.push_str(&guest.power_off()?);
    if let Some(splat) = crate::judge::splat(&kernel_log) {
        bail!(
            "the kernel log has a splat:\n{}",
            decode::explained(prepared, &splat)
        );
    }
    Ok(ExitCode::from(
        u8::try_from(ended.status).unwrap_or(u8::MAX),
    ))
}

/// Returns the folder that `--share` names, as QEMU needs it.
pub(crate) fn shared(folder: Option<&Path>) -> Result<Option<PathBuf>> {
    folder
        .map(|folder| {
            let path = folder
                .canonicalize()
                .with_context(|| format!("--share {}", folder.display()))?;
            ensure!(path.is_dir(), "--share {}: not a folder", folder.display());
            Ok(path)
        })
        .transpose()
}
