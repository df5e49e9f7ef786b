// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Records in auditd's log, as the guest command `records` prints them.
//!
//! The parser here is not that of `dmns-audit`, which these commands check.

use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

/// Returns the output of the guest command `records` with `arguments`.
pub(super) fn read(arguments: &[&str]) -> Result<String> {
    let output = Command::new("records")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("records")?;
    // Without an argument it ends as grep does: with 1 where there is none.
    let ended = output.status.code();
    ensure!(
        ended == Some(0) || ended == Some(1) && arguments.is_empty(),
        "records ended with {}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A record of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NsRecord<'a> {
    /// The value of `old_KINDns`, if it is a creation, or the namespace existed when the module was
    /// loaded.
    pub(super) old: Option<&'a str>,
    /// The kind, as the field has it.
    pub(super) kind: &'a str,
    /// The value of `KINDns`.
    pub(super) inum: &'a str,
    /// The namespace.
    pub(super) id: u64,
    /// The field that follows.
    pub(super) next: &'a str,
}

impl<'a> NsRecord<'a> {
    /// Reads a line. Returns `None` if it is not a creation or deletion of a namespace.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.windows(4).find_map(|window| {
            let [before, ns, id, next] = *window else {
                return None;
            };
            let id = id.strip_prefix("ns_id=")?.parse().ok()?;
            let (kind, inum) = ns.split_once("ns=")?;
            let (name, value) = before.split_once('=')?;
            let old = match name {
                "dev" => None,
                _ if name.starts_with("old_") => Some(value),
                _ => return None,
            };
            Some(Self {
                old,
                kind,
                inum,
                id,
                next,
            })
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A creation and a deletion, as auditd writes them.
    pub(in crate::tools) const CREATED: &str = "type=UNKNOWN[1381] msg=audit(1.2:3): ppid=1 pid=2 \
        comm=\"unshare\" dev=00:04 old_utsns=-2 utsns=7 ns_id=17 res=1";
    pub(in crate::tools) const DELETED: &str =
        "type=UNKNOWN[1389] msg=audit(1.2:4): dev=00:04 utsns=7 ns_id=17 res=1";

    #[test]
    fn creations_and_deletions_are_read() {
        let created = NsRecord::parse(CREATED).expect("a creation");
        let expected = NsRecord {
            old: Some("-2"),
            kind: "uts",
            inum: "7",
            id: 17,
            next: "res=1",
        };
        assert_eq!(created, expected);
        let deleted = NsRecord::parse(DELETED).expect("a deletion");
        assert_eq!(
            deleted,
            NsRecord {
                old: None,
                ..expected
            }
        );
        for line in [
            "",
            "type=DM_CTRL msg=audit(1.2:3): module=crypt op=ctr dev=253:0 error_msg='success' res=1",
            "type=UNKNOWN[1396] msg=audit(1.2:3): mntns=-1 utsns=-2",
            "type=UNKNOWN[1389] msg=audit(1.2:4): dev=00:04 utsns=7 ns_id=x res=1",
        ] {
            assert_eq!(NsRecord::parse(line), None, "{line}");
        }
    }
}
