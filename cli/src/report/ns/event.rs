// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An event as its records tell it: who did what, on which paths, and how it ended.

use crate::record::value::{Nested, enriched, text};
use crate::record::{Head, Type};
use crate::report::Options;
use crate::report::id::{Id, Who};
use dmns_audit_uapi::line::fields;
use serde::{Deserialize, Serialize};

/// An event, of which more records may come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub id: Id,
    /// `node=`, where the log has it.
    pub node: Option<String>,
    /// The types of its records.
    pub types: Vec<String>,
    /// Who.
    pub who: Option<Who>,
    /// The system call: a name where auditd wrote it, else a number.
    pub syscall: Option<String>,
    /// Whether that succeeded.
    pub success: Option<bool>,
    /// The rule's key.
    pub key: Option<String>,
    /// Paths.
    pub paths: Vec<String>,
    /// Namespaces that were created or deleted: `netns=3 (ns_id 17)`.
    pub namespaces: Vec<String>,
}

impl Event {
    pub(super) fn new(id: Id, node: Option<String>) -> Self {
        Self {
            id,
            node,
            types: Vec::new(),
            who: None,
            syscall: None,
            success: None,
            key: None,
            paths: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, head: &Head<'_>, options: &Options) {
        let name = head.type_name().into_owned();
        // A record of a message has its own result and user.
        let record = Nested::of(head);
        let decoded = |name: &str| record.text(name).map(|value| value.into_owned());
        match head.ty {
            Type::Syscall => {
                let number = record.raw("syscall").map(str::to_owned);
                self.syscall = enriched(head.enrichment, "SYSCALL")
                    .map(str::to_owned)
                    .or(number);
                self.success = record.raw("success").map(|success| success == "yes");
                self.key = decoded("key").filter(|key| key != "(null)");
                self.who = Some(Who::of(head, record.fields(), &options.users));
            }
            Type::Ours(_) if self.who.is_some() => {}
            _ => {
                if name == "PATH" && self.paths.len() < 8 {
                    self.paths
                        .extend(decoded("name").filter(|path| path != "(null)"));
                }
                if self.who.is_none() && record.raw("uid").is_some() {
                    let body = text(head.body);
                    let mut who = Who::of(head, fields(&body), &options.users);
                    let exe = decoded("exe").unwrap_or_default().into();
                    who.runs(&options.users, |subject| subject.exe = exe);
                    self.who = Some(who);
                    let result = record.raw("res");
                    self.success = result.map(|res| matches!(res, "success" | "1"));
                }
            }
        }
        if !self.types.contains(&name) && self.types.len() < 32 {
            self.types.push(name);
        }
    }
}
