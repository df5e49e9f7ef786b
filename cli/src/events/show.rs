// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An event as a line of text, as JSON and as comma-separated values.

use super::filter::{guests, keys, paths};
use crate::record::value::text;
use crate::report::Options;
use crate::report::ns::event::Event as Detail;
use crate::terminal::{BAD, FAINT, NAME};
use crate::watch::containers::ContainerContext;
use crate::watch::events::Event;
use crate::watch::filter::Kind;
use crate::watch::print;
use serde_json::json;
use std::io::{self, Write};

/// The columns of comma-separated values.
const COLUMNS: &str = "time,id,node,kind,user,program,pid,inside,containers,guest,success,syscall,command,paths,key,text";

/// An event, with what is known about it.
pub(super) struct Shown<'a> {
    pub(super) event: &'a Event,
    pub(super) detail: &'a Detail,
    pub(super) context: &'a ContainerContext,
}

impl Shown<'_> {
    /// Returns its kind: `dm`, `ns`, `virt`, or `call` and `msg` for others.
    fn kind(&self) -> &'static str {
        match print::first(self.event, self.context) {
            Some((_, kind)) => kind,
            None if self.detail.syscall.is_some() => "call",
            None => "msg",
        }
    }

    fn paths(&self) -> Vec<String> {
        paths(self.event, self.detail.cwd.as_deref())
    }

    /// Returns the guest that it is about, or that its task belongs to.
    fn guest(&self) -> Option<String> {
        let about = guests(self.event).into_iter().next().map(|(vm, _)| vm);
        let of = self.context.guest.as_ref();
        about.or_else(|| of.map(|guest| guest.name().to_owned()))
    }

    /// Returns a sentence about it.
    fn sentence(&self, options: &Options) -> String {
        let mut sentence = print::sentence(self.event, self.context, options);
        let detail = self.detail;
        let command = detail.command();
        if !sentence.is_empty() {
            sentence.extend(command.map(|command| format!("; command: {command}")));
            sentence.extend(detail.key.as_ref().map(|_| self.key()));
            return sentence;
        }
        let mut parts = Vec::new();
        parts.extend(detail.who.as_ref().map(|who| who.show()));
        parts.extend(self.context.place());
        // What a message or a refusal in the event of a call is.
        let said = match &detail.syscall {
            Some(_) => self.own_types(),
            None => Vec::new(),
        };
        let has_failed = !said.is_empty() && Kind::Error.is(self.event);
        parts.extend(said.into_iter().map(str::to_owned));
        if detail.success == Some(false) || has_failed {
            parts.push("failed:".to_owned());
        }
        match &detail.syscall {
            Some(call) => parts.push(match &detail.arch {
                Some(arch) if call.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("syscall {call} ({arch})")
                }
                _ => call.clone(),
            }),
            None => parts.push(detail.types.join(" ")),
        }
        let mut sentence = parts.join(" ");
        let paths = self.paths();
        if !paths.is_empty() {
            sentence.push_str(&format!(" {}", paths.join(" ")));
        }
        sentence.extend(command.map(|command| format!("; command: {command}")));
        sentence.extend(detail.key.as_ref().map(|_| self.key()));
        sentence
    }

    /// Returns the types of records that are more than the companions of a system call.
    fn own_types(&self) -> Vec<&str> {
        const COMPANIONS: [&str; 18] = [
            "SYSCALL",
            "CWD",
            "PATH",
            "EXECVE",
            "PROCTITLE",
            "SOCKADDR",
            "SOCKETCALL",
            "NS_INFO",
            "EOE",
            "FD_PAIR",
            "IPC",
            "IPC_SET_PERM",
            "MMAP",
            "OBJ_PID",
            "CAPSET",
            "BPRM_FCAPS",
            "OPENAT2",
            "MQ_OPEN",
        ];
        let types = self.detail.types.iter().map(String::as_str);
        types.filter(|name| !COMPANIONS.contains(name)).collect()
    }

    fn key(&self) -> String {
        format!("; key: {}", keys(self.detail).collect::<Vec<_>>().join(" "))
    }

    /// Writes a line of text.
    pub(super) fn text(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        let id = self.event.id;
        let time = format!("{}.{:03}", options.clock.full(id.seconds), id.millis);
        let node = self.event.node().map(|node| format!(" {}", text(node)));
        let sentence = self.sentence(options);
        let terminal = &options.terminal;
        writeln!(
            out,
            "{}{} {} {}{}",
            terminal.paint(FAINT, &time),
            node.unwrap_or_default(),
            terminal.paint(NAME, &format!("{:<4}", self.kind())),
            match Kind::Error.is(self.event) {
                true => terminal.paint(BAD, &sentence),
                false => sentence,
            },
            match options.proof {
                true => terminal.paint(FAINT, &format!(" [{id}]")),
                false => String::new(),
            }
        )
    }

    /// Writes an object.
    pub(super) fn json(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        let (id, detail) = (self.event.id, self.detail);
        let object = json!({
            "kind": self.kind(),
            "time": options.clock.iso(id.seconds, id.millis),
            "id": id.to_string(),
            "node": self.event.node().map(text),
            "text": self.sentence(options),
            "by": detail.who.as_ref().map(|who| who.json()),
            "inside": self.context.inside.as_deref(),
            "containers": self.context.containers(),
            "guest": self.guest(),
            "types": detail.types,
            "syscall": detail.syscall,
            "arch": detail.arch,
            "success": detail.success,
            "argv": detail.argv,
            "cwd": detail.cwd,
            "paths": self.paths(),
            "key": detail.key,
        });
        writeln!(out, "{object}")
    }

    /// Writes the names of columns.
    pub(super) fn csv_head(out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{COLUMNS}")
    }

    /// Writes comma-separated values, as RFC 4180 has them.
    pub(super) fn csv(&self, options: &Options, out: &mut dyn Write) -> io::Result<()> {
        let (id, detail) = (self.event.id, self.detail);
        let who = detail.who.as_ref();
        let success = |success| match success {
            true => "yes".to_owned(),
            false => "no".to_owned(),
        };
        let values = [
            options.clock.iso(id.seconds, id.millis),
            id.to_string(),
            self.event
                .node()
                .map(|node| text(node).into_owned())
                .unwrap_or_default(),
            self.kind().to_owned(),
            who.map(|who| who.user.to_string()).unwrap_or_default(),
            who.map(|who| who.comm.to_string()).unwrap_or_default(),
            who.and_then(|who| who.pid)
                .map(|pid| pid.to_string())
                .unwrap_or_default(),
            self.context
                .inside
                .as_deref()
                .unwrap_or_default()
                .to_owned(),
            self.context.containers().join(" "),
            self.guest().unwrap_or_default(),
            detail.success.map(success).unwrap_or_default(),
            detail.syscall.clone().unwrap_or_default(),
            detail.command().unwrap_or_default(),
            self.paths().join(" "),
            keys(detail).collect::<Vec<_>>().join(" "),
            self.sentence(options),
        ];
        let quoted = |value: &String| match value.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value.clone(),
        };
        let values: Vec<String> = values.iter().map(quoted).collect();
        writeln!(out, "{}", values.join(","))
    }
}
