// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Finds this system's audit log.

use super::open::hint;
use super::order;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns the log with its rotated files, in no order. It is `log_file` of
/// `/etc/audit/auditd.conf`, else `/var/log/audit/audit.log`. `root` is `/`, except in tests.
///
/// # Errors
///
/// If the folder cannot be listed, or has no log.
pub fn logs(root: &Path) -> io::Result<Vec<PathBuf>> {
    let log = log_file(root);
    let explain = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!(
                "the system's audit log {}: {error}{}{}",
                log.display(),
                hint(&error),
                match error.kind() {
                    io::ErrorKind::NotFound => {
                        "; is there no auditd? --journal reads the journal, `dmesg | dmns-audit report dm -` the kernel's log"
                    }
                    _ => "",
                }
            ),
        )
    };
    let name = log
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = log.parent().unwrap_or(root);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(explain)? {
        let entry = entry.map_err(explain)?;
        if order::belongs(&entry.file_name().to_string_lossy(), &name) {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        return Err(explain(io::ErrorKind::NotFound.into()));
    }
    Ok(found)
}

fn log_file(root: &Path) -> PathBuf {
    let configured = fs::read_to_string(root.join("etc/audit/auditd.conf"))
        .ok()
        .and_then(|text| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(name, _)| name.trim() == "log_file")
                .map(|(_, value)| value.trim().to_owned())
        });
    let path = configured.unwrap_or_else(|| "/var/log/audit/audit.log".to_owned());
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_log_with_its_rotated_files_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let make = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        assert_eq!(
            logs(root.path()).expect_err("no log").kind(),
            io::ErrorKind::NotFound
        );
        make("var/log/audit/audit.log", "");
        make("var/log/audit/audit.log.1", "");
        make("var/log/audit/other", "");
        assert_eq!(logs(root.path()).expect("logs").len(), 2);
        make(
            "etc/audit/auditd.conf",
            "local_events = yes\nlog_file = /srv/a.log\n",
        );
        make("srv/a.log", "");
        assert_eq!(
            logs(root.path()).expect("logs"),
            [root.path().join("srv/a.log")]
        );
    }
}
