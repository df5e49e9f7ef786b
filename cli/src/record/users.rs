// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Names for user ids: from the log itself, else from this machine's `/etc/passwd`.

use super::event::BOOT;
use super::names::{Names, Once};
use super::value::enriched;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::OnceLock;

/// The user id that was never set: -1.
pub const UNSET: u32 = u32::MAX;

/// A task: its user and its program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The login user, else the user of the task.
    pub user: Rc<str>,
    /// User id.
    pub uid: Option<u32>,
    /// Login user id; `None` if unset.
    pub auid: Option<u32>,
    /// Session; `None` if unset.
    pub session: Option<u32>,
    /// Name of the task; empty if not known.
    pub comm: Rc<str>,
    /// Program; empty if not known.
    pub exe: Rc<str>,
}

/// Looks names up.
#[derive(Debug)]
pub struct Users {
    /// Interned names of tasks.
    pub(crate) names: Names,
    pub(crate) subjects: Once<Subject>,
    passwd: PathBuf,
    // Read when the first name is requested.
    known: OnceLock<HashMap<u32, String>>,
}

impl Default for Users {
    fn default() -> Self {
        Self::new("/etc/passwd")
    }
}

impl Users {
    /// Creates names from the file `passwd`, in the format of passwd(5). A missing file has none.
    pub fn new(passwd: impl Into<PathBuf>) -> Self {
        Self {
            names: Names::default(),
            subjects: Once::default(),
            passwd: passwd.into(),
            known: OnceLock::new(),
        }
    }

    /// Returns the name of `uid`: `root`, `unset`, `unknown(1000)`.
    pub fn name(&self, uid: u32) -> Cow<'_, str> {
        if uid == UNSET {
            return "unset".into();
        }
        let known = self.known.get_or_init(|| {
            let text = fs::read_to_string(&self.passwd).unwrap_or_default();
            text.lines().filter_map(entry).collect()
        });
        match (known.get(&uid), uid) {
            (Some(name), _) => name.into(),
            (None, 0) => "root".into(),
            (None, _) => format!("unknown({uid})").into(),
        }
    }

    /// Names the user of a record: the login user, `auid`, else the user of the task, `uid`.
    pub fn of_task<'a>(
        &'a self,
        enrichment: &'a [u8],
        auid: Option<&'a str>,
        uid: &'a str,
    ) -> Cow<'a, str> {
        let unset = |auid: &&str| matches!(*auid, "4294967295" | "-1" | "unset" | "?" | "");
        match auid.filter(|auid| !unset(auid)) {
            Some(auid) => self.of_field(enrichment, "auid", auid),
            None => self.of_field(enrichment, "uid", uid),
        }
    }

    /// Returns the name of the user in the field `name` (`uid`, `auid`), which has this `value`.
    pub fn of_field<'a>(
        &'a self,
        enrichment: &'a [u8],
        name: &str,
        value: &'a str,
    ) -> Cow<'a, str> {
        match enriched(enrichment, name) {
            Some(known) => known.into(),
            // Enriched records have the names of their own machine.
            None if !enrichment.is_empty() && !enrichment.starts_with(BOOT.as_bytes()) => {
                match value.parse() {
                    Ok(UNSET) => "unset".into(),
                    Ok(0) => "root".into(),
                    Ok(uid) => format!("unknown({uid})").into(),
                    Err(_) => value.into(),
                }
            }
            None => match value.parse() {
                Ok(uid) => self.name(uid),
                Err(_) => value.into(),
            },
        }
    }
}

/// Parses a line such as `root:x:0:0:root:/root:/bin/sh`.
fn entry(line: &str) -> Option<(u32, String)> {
    let mut parts = line.split(':');
    let name = parts.next()?;
    Some((parts.nth(1)?.parse().ok()?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_knows_first_then_this_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let passwd = folder.path().join("passwd");
        fs::write(
            &passwd,
            "root:x:0:0::/root:/bin/sh\njo:x:1000:1000::/:\nbroken\n",
        )
        .expect("written");
        let users = Users::new(passwd);
        assert_eq!(users.name(1000), "jo");
        assert_eq!(users.name(7), "unknown(7)");
        assert_eq!(users.name(UNSET), "unset");
        assert_eq!(users.of_field(b"UID=\"ann\"", "uid", "1000"), "ann");
        assert_eq!(users.of_field(b"", "uid", "1000"), "jo");
        assert_eq!(
            users.of_field(b"AUID=\"ann\"", "uid", "1000"),
            "unknown(1000)"
        );
        assert_eq!(users.of_field(b"_BOOT_ID=1", "uid", "1000"), "jo");
        assert_eq!(users.of_task(b"", Some("1000"), "0"), "jo");
        assert_eq!(users.of_task(b"", Some("4294967295"), "0"), "root");
        assert_eq!(users.of_task(b"", None, "0"), "root");
        assert_eq!(Users::new("/nonexistent").name(0), "root");
    }
}
