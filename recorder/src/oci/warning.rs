// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Warnings of a hook, to standard error and the system's log.

use std::io;
use std::os::unix::net::UnixDatagram;

/// Warns that a container runs without a record.
pub(crate) fn runs_all_the_same(error: &io::Error) {
    warn(&format!(
        "{error}; the container runs all the same, and nothing of this is in the audit log"
    ));
}

/// Prints a message on standard error, which engines drop, and in the system's log.
pub(crate) fn warn(message: &str) {
    eprintln!("dmns-audit-record: {message}");
    // C: `LOG_DAEMON | LOG_WARNING`. Control characters would make lines of their own.
    let message: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let line = format!("<28>dmns-audit-record: {message}");
    // There may be no such log.
    let _ = UnixDatagram::unbound().and_then(|log| log.send_to(line.as_bytes(), "/dev/log"));
}
