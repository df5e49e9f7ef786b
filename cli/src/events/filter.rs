// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Selects events by path, key, user, serial number, guest and program.

use crate::record::Type;
use crate::record::value::Fields;
use crate::report::Id;
use crate::report::candidates::Candidates;
use crate::report::ns::event::Event as Detail;
use crate::watch::containers::{ContainerContext, Guest};
use crate::watch::events::Event;
use crate::watch::filter::Filter;
use dmns_audit_uapi::types::RecordType;

/// The event of `--serial`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serial {
    /// Its serial number.
    Number(u64),
    /// Its whole identifier: `1795300000.000:50`.
    Id(String),
}

impl Serial {
    /// Reads `50` or `1795300000.000:50`, as `ausearch -a` and `--proof` have them.
    ///
    /// # Errors
    ///
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let whole = text.split_once(':').is_some_and(|(time, serial)| {
            digits(serial)
                && time
                    .split_once('.')
                    .is_some_and(|(s, ms)| digits(s) && digits(ms))
        });
        match whole {
            true => Ok(Self::Id(text.to_owned())),
            false => {
                Err("a serial number (50) or an identifier (1795300000.000:50) expected".to_owned())
            }
        }
    }

    fn is(&self, id: Id) -> bool {
        match self {
            Self::Number(number) => id.serial == *number,
            Self::Id(text) => id.to_string() == *text,
        }
    }
}

/// What is asked for. All of it has to hold.
#[derive(Debug, Default)]
pub struct EventFilter {
    /// A path: whole, a folder and all below it, a name without `/`, with `*` for any text.
    pub path: Option<String>,
    /// The key of an audit rule.
    pub key: Option<String>,
    /// A user: a name, or an id.
    pub user: Option<String>,
    /// One event.
    pub serial: Option<Serial>,
    /// A guest: its name or its UUID.
    pub vm: Option<String>,
    /// A program: its name or its path.
    pub program: Option<String>,
    /// Kinds, container and device.
    pub common: Filter,
}

/// Whether an event passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    No,
    Yes,
    /// If the guest of its task, which no record has named yet, is the one that is asked for.
    IfGuest,
}

/// Names that the log has, by filter.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Only where a path is asked for.
    paths: Candidates,
    keys: Candidates,
    users: Candidates,
    guests: Candidates,
    programs: Candidates,
    containers: Candidates,
    devices: Candidates,
    /// An NS_INFO was seen.
    informed: bool,
}

/// What to do where the log has nothing that a filter could match.
const RULE: &str = "; no event has one: an audit rule records it, for example `auditctl -w /etc -p wa -k identity`";
const INFO: &str = "; the log has no NS_INFO: load dmns_audit with info=2, or write 2 to /sys/kernel/security/dmns_audit/info";

impl EventFilter {
    /// Returns whether `event` passes. Each event has to be taken, in order.
    pub(super) fn passes(
        &mut self,
        event: &Event,
        detail: &Detail,
        context: &ContainerContext,
        seen: &mut Seen,
    ) -> Passes {
        let common = self.common.passes(event, context);
        let who = detail.who.as_ref();
        let guests = guests(event);
        seen.add(event, detail, context, &guests, &self.common);
        let paths = match self.path {
            Some(_) => paths(event, detail.cwd.as_deref()),
            None => Vec::new(),
        };
        paths.iter().for_each(|path| seen.paths.add(path));
        let key = |wanted: &String| keys(detail).any(|key| key == wanted);
        let user = |name: &String| who.is_some_and(|who| who.is_user(name));
        let program = |name: &String| who.is_some_and(|who| who.is_program(name));
        let rest = common
            && self
                .serial
                .as_ref()
                .is_none_or(|serial| serial.is(event.id))
            && self.key.as_ref().is_none_or(key)
            && self.user.as_ref().is_none_or(user)
            && self.program.as_ref().is_none_or(program)
            && self
                .path
                .as_ref()
                .is_none_or(|path| paths.iter().any(|known| is_path(path, known)));
        match (rest, &self.vm) {
            (false, _) => Passes::No,
            (true, None) => Passes::Yes,
            (true, Some(wanted)) if guests.iter().any(|(vm, uuid)| is_guest(wanted, vm, uuid)) => {
                Passes::Yes
            }
            (true, Some(_)) => match &context.guest {
                Some(guest) => self.passes_of(guest),
                None => Passes::No,
            },
        }
    }

    /// Returns whether what a task of `guest` does passes, if all else holds.
    pub(super) fn passes_of(&self, guest: &Guest) -> Passes {
        match (&self.vm, guest.uuid()) {
            (None, _) => Passes::Yes,
            (Some(_), None) => Passes::IfGuest,
            (Some(wanted), Some(uuid)) if is_guest(wanted, guest.name(), uuid) => Passes::Yes,
            (Some(_), Some(_)) => Passes::No,
        }
    }

    /// Returns whether `guest`, which no record names, may be the one that is asked for.
    pub(super) fn may_be(&self, guest: &Guest) -> bool {
        self.vm.as_ref().is_none_or(|wanted| guest.may_be(wanted))
    }

    /// Returns the filter as the end of a sentence, ` with the key etc`, and the names that the log has.
    pub(super) fn words(&self, seen: &Seen) -> (String, String) {
        let mut words = String::new();
        let mut names = String::new();
        let mut add = |what: &str, value: &Option<String>, known: &Candidates, plural: &str| {
            if let Some(value) = value {
                words.push_str(&format!(" {what} {value}"));
                names.push_str(&known.show(plural));
            }
        };
        let none = Candidates::default();
        add("with the path", &self.path, &none, "");
        add("with the key", &self.key, &seen.keys, "keys");
        add("by the user", &self.user, &seen.users, "users");
        add("by the program", &self.program, &seen.programs, "programs");
        add("of the guest", &self.vm, &seen.guests, "guests");
        let serial = self.serial.as_ref().map(|serial| match serial {
            Serial::Number(number) => number.to_string(),
            Serial::Id(id) => id.clone(),
        });
        add("with the serial number", &serial, &none, "");
        if let Some(path) = &self.path {
            names.push_str(&seen.paths.show_near("paths", path));
        }
        let without = |candidates: &Candidates, asked: bool| asked && candidates.is_empty();
        if without(&seen.paths, self.path.is_some()) || without(&seen.keys, self.key.is_some()) {
            names.push_str(RULE);
        }
        if self.common.container.is_some() {
            words.push_str(" in that container");
            names.push_str(&seen.containers.show("containers"));
            if !seen.informed {
                names.push_str(INFO);
            }
        }
        if self.common.device.is_some() {
            words.push_str(" of that mapping");
            names.push_str(&seen.devices.show("mappings"));
        }
        if !self.common.only.is_empty() {
            words.push_str(" of that kind");
        }
        (words, names)
    }
}

impl Seen {
    fn add(
        &mut self,
        event: &Event,
        detail: &Detail,
        context: &ContainerContext,
        guests: &[(String, String)],
        filter: &Filter,
    ) {
        keys(detail).for_each(|key| self.keys.add(key));
        self.informed |= event
            .records()
            .any(|head| head.ty == Type::Ours(RecordType::NsInfo));
        if let Some(who) = &detail.who {
            self.users.add(&who.user);
            self.programs.add(&who.comm);
        }
        guests.iter().for_each(|(vm, _)| self.guests.add(vm));
        if let Some(guest) = &context.guest {
            self.guests.add(guest.name());
        }
        for name in context
            .inside
            .as_deref()
            .into_iter()
            .chain(context.containers())
        {
            self.containers.add(name);
        }
        for head in event.records().filter(|head| head.ty.topic() == Some("dm")) {
            if let Some(dev) = Fields::of(&head).raw("dev") {
                match filter.name(event.node(), dev) {
                    Some(name) => self.devices.add(&format!("{dev} ({name})")),
                    None => self.devices.add(dev),
                }
            }
        }
    }
}

/// Returns the keys of the audit rules of an event.
pub(super) fn keys(detail: &Detail) -> impl Iterator<Item = &str> {
    detail.key.iter().flat_map(|key| key.split('\u{1}'))
}

/// Returns the guests that `event` names, with their UUIDs.
pub(super) fn guests(event: &Event) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for head in event
        .records()
        .filter(|head| matches!(head.ty, Type::Virt(_)))
    {
        let record = Fields::of(&head);
        if matches!(record.raw("virt"), Some("oci" | "lxc")) {
            continue;
        }
        let of = |name: &str| record.text(name).unwrap_or_default().into_owned();
        all.push((of("vm"), of("uuid")));
    }
    all
}

/// Returns whether `wanted` is the name or the beginning of the UUID of a guest.
fn is_guest(wanted: &str, vm: &str, uuid: &str) -> bool {
    vm == wanted || wanted.len() >= 8 && uuid.starts_with(wanted)
}

/// Returns the paths that `event` names: of files, of images, of devices of guests.
pub(super) fn paths(event: &Event, cwd: Option<&str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for head in event.records() {
        let record = Fields::of(&head);
        let names: &[&str] = match head.ty {
            Type::Path => &["name"],
            Type::Virt(_) => &[
                "new-disk",
                "old-disk",
                "new-fs",
                "old-fs",
                "path",
                "new-chardev",
                "new-rng",
            ],
            _ => continue,
        };
        for name in names {
            let Some(path) = record
                .text(name)
                .filter(|path| *path != "(null)" && *path != "?")
            else {
                continue;
            };
            let path = match cwd {
                Some(cwd) if !path.starts_with('/') && head.ty == Type::Path => {
                    format!(
                        "{}/{}",
                        cwd.trim_end_matches('/'),
                        path.trim_start_matches("./")
                    )
                }
                _ => path.into_owned(),
            };
            if !all.contains(&path) {
                all.push(path);
            }
        }
    }
    all
}

/// Returns whether `path` is what `wanted` asks for.
fn is_path(wanted: &str, path: &str) -> bool {
    if wanted.contains('*') {
        return matches(wanted, path);
    }
    if !wanted.contains('/') {
        return path.rsplit('/').next() == Some(wanted);
    }
    // A folder, and all below it.
    let rest = path.strip_prefix(wanted.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether `text` is `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.find(before) {
                Some(at) => rest = &rest[at + before.len()..],
                None => return false,
            }
        }
    }
    last.is_some_and(|last: &str| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_whole_or_a_folder_or_a_name() {
        for (wanted, path) in [
            ("/etc/passwd", "/etc/passwd"),
            ("/etc/", "/etc/passwd"),
            ("/etc", "/etc/passwd"),
            ("/etc", "/etc/"),
            ("/", "/etc/passwd"),
            ("passwd", "/etc/passwd"),
            ("/etc/*", "/etc/passwd"),
            ("*wd", "/etc/passwd"),
            ("/e*/pass*", "/etc/passwd"),
            ("*a*a*", "/etc/data"),
        ] {
            assert!(is_path(wanted, path), "{wanted} {path}");
        }
        for (wanted, path) in [
            ("/et", "/etc/passwd"),
            ("/etc/passwd", "/etc/passwd-"),
            ("/etc", "/srv/etc/passwd"),
            ("pass", "/etc/passwd"),
            ("/var/", "/etc/passwd"),
            ("/etc/*x", "/etc/passwd"),
            ("*a*a*a*", "/etc/data"),
        ] {
            assert!(!is_path(wanted, path), "{wanted} {path}");
        }
    }

    #[test]
    fn an_event_is_named_by_its_number_or_its_identifier() {
        let id = Id {
            seconds: 17,
            millis: 5,
            serial: 50,
        };
        for text in ["50", "17.005:50"] {
            assert!(Serial::parse(text).expect(text).is(id), "{text}");
        }
        assert!(!Serial::parse("17.006:50").expect("an identifier").is(id));
        for wrong in ["", "x", "17:50", "17.x:50"] {
            assert!(Serial::parse(wrong).is_err(), "{wrong}");
        }
    }
}
