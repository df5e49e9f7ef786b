// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Every event of a login user against NS_INFO.

use crate::tools::{records, status};
use anyhow::{Result, ensure};
use dmns_audit_uapi::types::RecordType;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The type of a record that gives an event its kind, wherever it is.
const KINDS: [&str; 4] = ["SECCOMP", "ANOM_ABEND", "USER_AUTH", "URINGOP"];

/// Prints how many events there were of each kind.
pub(super) fn run(auid: u32) -> Result<ExitCode> {
    let (text, wrong) = judge(&records::read(&["--raw"])?, auid)?;
    print!("{text}");
    Ok(status(wrong))
}

/// An event, as its records say it.
#[derive(Debug, Default)]
struct Event<'a> {
    /// The types of its records, but for NS_INFO and creations and deletions of namespaces.
    types: Vec<&'a str>,
    infos: u64,
    /// Whether one of these records has the login user.
    is_of_user: bool,
}

/// Reads a log. Returns what there is to say, and whether an event has no NS_INFO, or several.
fn judge(log: &str, auid: u32) -> Result<(String, bool)> {
    let auid = format!("auid={auid}");
    // auditd numbers its own records, and may use a number of the kernel's: the time belongs to the
    // key.
    let mut events: BTreeMap<(u64, &str), Event<'_>> = BTreeMap::new();
    for line in log.lines() {
        let Some((ty, key, body)) = record(line) else {
            continue;
        };
        if ty == "UNKNOWN[1396]" {
            events.entry(key).or_default().infos += 1;
        } else if !is_deletion(ty) {
            let event = events.entry(key).or_default();
            event.types.push(ty);
            event.is_of_user |= has_field(body, &auid);
        }
    }
    let mut text = String::new();
    let mut wrong = false;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for ((serial, _), event) in events.iter().filter(|(_, event)| event.is_of_user) {
        let kind = event.types.iter().find(|ty| KINDS.contains(ty));
        *kinds.entry(kind.unwrap_or(&event.types[0])).or_default() += 1;
        if event.infos != 1 {
            text += &format!(
                "event {serial} ({}): {} NS_INFO\n",
                event.types.join(" "),
                event.infos
            );
            wrong = true;
        }
    }
    ensure!(!kinds.is_empty(), "the log has no event of {auid}");
    for (kind, count) in kinds {
        text += &format!("{kind} {count}\n");
    }
    Ok((text, wrong))
}

/// Splits a line into type, serial number and time, and fields.
fn record(line: &str) -> Option<(&str, (u64, &str), &str)> {
    let (ty, rest) = line.strip_prefix("type=")?.split_once(" msg=audit(")?;
    let (stamp, body) = rest.split_once("): ")?;
    let (time, serial) = stamp.split_once(':')?;
    Some((ty, (serial.parse().ok()?, time), body))
}

/// Returns whether a record is that of a deletion, which stands alone.
fn is_deletion(ty: &str) -> bool {
    matches!(RecordType::from_name(ty), Some(RecordType::NsDel(_)))
}

/// Returns whether a record has a field with this value, also in the text of a message.
fn has_field(body: &str, field: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    body.match_indices(field)
        .any(|(at, _)| !body[..at].ends_with(word) && !body[at + field.len()..].starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSCALL: &str = "type=SYSCALL msg=audit(1.2:7): arch=c000003e auid=1234 uid=0\n";
    const INFO: &str = "type=UNKNOWN[1396] msg=audit(1.2:7): mntns=-1 utsns=5\n";
    const SECCOMP: &str = "type=SECCOMP msg=audit(1.2:8): auid=1234 uid=0\n";

    #[test]
    fn each_event_of_the_user_needs_one_ns_info() -> Result<()> {
        let info = INFO.replace(":7)", ":8)");
        let log = [
            SYSCALL,
            INFO,
            SECCOMP,
            "type=PATH msg=audit(1.2:8): item=0\n",
            &info,
        ]
        .concat();
        assert_eq!(
            judge(&log, 1234)?,
            ("SECCOMP 1\nSYSCALL 1\n".to_owned(), false)
        );
        for (log, says) in [
            (
                [SYSCALL, ""].concat(),
                "event 7 (SYSCALL): 0 NS_INFO\nSYSCALL 1\n",
            ),
            (
                [SYSCALL, INFO, INFO].concat(),
                "event 7 (SYSCALL): 2 NS_INFO\nSYSCALL 1\n",
            ),
        ] {
            assert_eq!(judge(&log, 1234)?, (says.to_owned(), true));
        }
        Ok(())
    }

    #[test]
    fn events_of_others_need_none() -> Result<()> {
        let other = SYSCALL.replace(":7)", ":9)").replace("1234", "12345");
        let deleted = "type=UNKNOWN[1389] msg=audit(1.2:10): auid=1234 utsns=5\n";
        let daemon = "type=DAEMON_START msg=audit(1.1:7): op=start auid=0\n";
        let log = [daemon, SYSCALL, INFO, &other, deleted].concat();
        assert_eq!(judge(&log, 1234)?, ("SYSCALL 1\n".to_owned(), false));
        Ok(())
    }

    #[test]
    fn a_log_without_the_user_is_an_error() {
        assert!(judge(SYSCALL, 1000).is_err());
    }
}
