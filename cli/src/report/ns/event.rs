// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An event of several records: task, action, paths, result.

use crate::record::call;
use crate::record::command::{ARGUMENTS, arguments};
use crate::record::value::{Fields, decoded, text};
use crate::record::{Head, Type};
use crate::report::Options;
use crate::report::id::{Id, Who};
use dmns_audit_log::line::fields;
use serde::{Deserialize, Serialize};

/// Maximum size of an argument in bytes.
const LONGEST: usize = 4096;

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
    /// The system call: a name, or a number where none is known.
    pub syscall: Option<String>,
    /// The architecture that it is one of.
    pub arch: Option<String>,
    /// The command line.
    pub argv: Vec<String>,
    /// The folder in which paths begin.
    pub cwd: Option<String>,
    /// Success of the system call.
    pub success: Option<bool>,
    /// The rule's key.
    pub key: Option<String>,
    /// Paths.
    pub paths: Vec<String>,
    /// Namespaces that were created or deleted: `netns=3 (ns_id 17)`.
    pub namespaces: Vec<String>,
}

impl Event {
    /// Creates an event without records.
    pub fn new(id: Id, node: Option<String>) -> Self {
        Self {
            id,
            node,
            types: Vec::new(),
            who: None,
            syscall: None,
            arch: None,
            argv: Vec::new(),
            cwd: None,
            success: None,
            key: None,
            paths: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    /// The command line of a program that is started: `argc=2 a0="cat" a1="container1.txt"`. A long argument comes in
    /// parts: `a1_len=9000 a1[0]=...`.
    fn execve(&mut self, record: &Fields<'_>) {
        if !self.types.iter().any(|ty| ty == "EXECVE") {
            self.argv.clear();
        }
        for field in record.fields() {
            let Some(rest) = field.name.strip_prefix('a') else {
                continue;
            };
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, part) = rest.split_at(digits);
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            if !(part.is_empty() || part.starts_with('[')) || number >= ARGUMENTS {
                continue;
            }
            if self.argv.len() <= number {
                self.argv.resize(number + 1, String::new());
            }
            let argument = &mut self.argv[number];
            if argument.len() < LONGEST {
                argument.push_str(&decoded(field.value));
            }
        }
    }

    /// The command line as a shell would take it.
    pub fn command(&self) -> Option<String> {
        let quoted = |argument: &String| {
            let plain =
                |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c) || !c.is_ascii();
            match !argument.is_empty() && argument.chars().all(plain) {
                true => argument.clone(),
                false => format!("'{}'", argument.replace('\'', "'\\''")),
            }
        };
        let all: Vec<_> = self.argv.iter().map(quoted).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// Adds a record.
    pub fn add(&mut self, head: &Head<'_>, options: &Options) {
        let name = head.type_name().into_owned();
        // A record of a message has its own result and user.
        let record = Fields::of(head);
        let of = |name: &str| record.text(name).map(|value| value.into_owned());
        match head.ty {
            Type::Syscall => {
                (self.syscall, self.arch) = call::of(head, &record);
                self.success = record.raw("success").map(|success| success == "yes");
                self.key = of("key").filter(|key| key != "(null)");
                self.who = Some(Who::of(head, record.fields(), &options.users));
            }
            Type::Ours(_) if self.who.is_some() => {}
            _ => {
                match head.ty {
                    Type::Path if self.paths.len() < 8 => {
                        self.paths
                            .extend(of("name").filter(|path| path != "(null)"));
                    }
                    Type::Cwd => self.cwd = of("cwd"),
                    Type::Execve => self.execve(&record),
                    // What EXECVE says counts more: it is whole.
                    Type::Proctitle if self.argv.is_empty() => {
                        self.argv = record.raw("proctitle").map(arguments).unwrap_or_default();
                    }
                    _ => {}
                }
                if self.who.is_none() && record.raw("uid").is_some() {
                    let body = text(head.body);
                    let mut who = Who::of(head, fields(&body), &options.users);
                    let exe = of("exe").unwrap_or_default().into();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Parsed, head};

    fn event(lines: &[&str]) -> Event {
        let mut event = Event::new(
            Id {
                seconds: 1,
                millis: 0,
                serial: 2,
            },
            None,
        );
        for line in lines {
            let line = format!("type={line}");
            let Parsed::Record(head) = head::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            event.add(&head, &Options::default());
        }
        event
    }

    #[test]
    fn a_command_line_is_what_was_typed() {
        let title = "PROCTITLE msg=audit(1.000:2): proctitle=636174006120622E747874";
        assert_eq!(event(&[title]).argv, ["cat", "a b.txt"]);
        let execve = "EXECVE msg=audit(1.000:2): argc=3 a0=\"cat\" a1=6120622E747874 a2=\"\"";
        let both = event(&[execve, title]);
        assert_eq!(both.argv, ["cat", "a b.txt", ""]);
        assert_eq!(both.command().as_deref(), Some("cat 'a b.txt' ''"));
        let long = "EXECVE msg=audit(1.000:2): argc=2 a0=\"x\" a1_len=4 a1[0]=6161 a1[1]=6262";
        assert_eq!(event(&[long]).argv, ["x", "aabb"]);
        let short = "PROCTITLE msg=audit(1.000:2): proctitle=\"unshare\"";
        assert_eq!(event(&[short]).argv, ["unshare"]);
        let none = "PROCTITLE msg=audit(1.000:2): proctitle=(null)";
        assert_eq!(event(&[none]).command(), None);
    }
}
