// SPDX-License-Identifier: GPL-2.0-only

//! The file `filter`: see [`crate::uapi::filter`].

use crate::filter::{
    self,
    PerKind,
    Set,
    MAX, //
};
use crate::ftrace::Attachments;
use crate::hooks;
use crate::uapi::filter::{
    Command,
    Ids,
    Mode,
    MAX_COMMAND, //
};
use crate::uapi::ns::Kind;
use crate::{
    config,
    lifetime,
    task, //
};
use kernel::fmt;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;

/// The state that the file controls.
#[pin_data]
pub(super) struct FilterFile {
    /// Records of namespaces are on: their handlers keep the members of a container up to date.
    ns: bool,
    #[pin]
    state: Mutex<State>,
}

struct State {
    /// Audit's entry into a system call: attached while anything is filtered, and until all is
    /// cleared.
    entry: Option<Attachments>,
    /// Audit's filter: attached from the first command on. An event that was filtered when it began
    /// stays filtered.
    filter: Option<Attachments>,
    containers: [Option<Container>; MAX],
    /// Numbers that a handler may still use with their former meaning.
    stale: Set,
}

#[derive(Clone, Copy)]
struct Container {
    mode: Mode,
    /// The namespaces that the command named.
    ids: PerKind<u64>,
}

impl FilterFile {
    /// Starts with nothing filtered, and nothing attached.
    pub(super) fn new(ns: bool) -> impl PinInit<Self, Error> {
        let state = State {
            entry: None,
            filter: None,
            containers: [None; MAX],
            stale: 0,
        };
        try_pin_init!(Self { ns, state <- new_mutex!(state) })
    }

    /// Writes a line for each container that is filtered.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        for (number, container) in state.filtered() {
            write!(f, "{} ns_id=", container.mode.name())?;
            let mut before = "";
            for id in container.ids.iter().filter(|id| **id != 0) {
                write!(f, "{before}{id}")?;
                before = ",";
            }
            writeln!(f, " members={}", filter::members(number))?;
        }
        Ok(())
    }

    /// The longest text that [`FilterFile::store`] takes.
    pub(super) const MAX_TEXT: usize = MAX_COMMAND + 1;

    /// Carries out a command.
    pub(super) fn store(&self, text: &[u8]) -> Result {
        let Some(command) = Command::parse(text) else {
            pr_err!("filter: not a command (exclude|only PID NS_ID[,NS_ID...], join PID NS_ID, clear [NS_ID])\n");
            return Err(EINVAL);
        };
        let result = config::change_allowed("filter").and_then(|()| match command {
            Command::Select { mode, pid, ids } => self.add(mode, pid, &ids),
            Command::Join { pid, id } => self.join(pid, id),
            Command::Clear(Some(id)) => self.clear(id),
            Command::Clear(None) => self.clear_all(),
        });
        config::filter_changed(&command, result);
        result
    }

    fn add(&self, mode: Mode, pid: i32, ids: &Ids) -> Result {
        if !self.ns {
            pr_err!("filter: not available with ns=0: namespaces made inside are not seen\n");
            return Err(ENODEV);
        }
        let mut state = self.state.lock();
        state.attach()?;
        let number = state.next_number()?;
        let mut own = [0; Kind::ALL.len()];
        let room = task::with_namespaces(pid, |task| {
            for kind in Kind::ALL {
                let id = task.id_unless_initial(kind);
                own[kind as usize] = if ids.contains(&id) { id } else { 0 };
            }
            let found = own.iter().filter(|id| **id != 0).count();
            if found == ids.iter().filter(|id| **id != 0).count() {
                Ok(filter::add(number, mode, &own))
            } else {
                Err(ESRCH)
            }
        })
        .inspect_err(|_| pr_err!("filter: task {} does not exist, or is not in all of these namespaces, or one is an initial one\n", pid))?;
        if !room {
            return Err(ENOSPC);
        }
        state.containers[number] = Some(Container { mode, ids: own });
        Ok(())
    }

    fn join(&self, pid: i32, id: u64) -> Result {
        let state = self.state.lock();
        let number = state.find(id)?;
        let room = task::with_namespaces(pid, |task| {
            let inside = |ancestor: u64| filter::has_member(number, ancestor);
            if !task.pid_namespace_within(inside) {
                return Err(ESRCH);
            }
            Ok(filter::join(
                number,
                &Kind::ALL.map(|kind| task.id_unless_initial(kind)),
            ))
        })
        .inspect_err(|_| {
            pr_err!(
                "filter: task {} does not exist, or its pid namespace is not inside\n",
                pid
            )
        })?;
        if room {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }

    fn clear(&self, id: u64) -> Result {
        let mut state = self.state.lock();
        let number = state.find(id)?;
        filter::clear(1 << number);
        state.containers[number] = None;
        state.stale |= 1 << number;
        Ok(())
    }

    fn clear_all(&self) -> Result {
        let mut state = self.state.lock();
        if let Some(entry) = &mut state.entry {
            entry.detach()?;
        }
        state.entry = None;
        filter::clear(Set::MAX);
        state.containers = [None; MAX];
        // ftrace waits for the handlers of system calls, not for those of creations.
        state.stale = Set::MAX;
        Ok(())
    }
}

impl State {
    fn attach(&mut self) -> Result {
        if self.filter.is_none() {
            self.filter = Some(Attachments::new(&hooks::FILTER)?);
        }
        if self.entry.is_none() {
            self.entry = Some(Attachments::new(&hooks::FILTER_ENTRY)?);
        }
        Ok(())
    }

    /// Returns the containers that are filtered.
    fn filtered(&self) -> impl Iterator<Item = (usize, &Container)> {
        let filtered = filter::filtered();
        self.containers
            .iter()
            .enumerate()
            .filter(move |(number, _)| filtered >> number & 1 != 0)
            .filter_map(|(number, container)| Some((number, container.as_ref()?)))
    }

    /// Returns the container of which the command named this namespace.
    fn find(&self, id: u64) -> Result<usize> {
        let found = self
            .filtered()
            .find(|(_, container)| container.ids.contains(&id));
        found.map(|(number, _)| number).ok_or(ENOENT)
    }

    /// Returns a number that no container has. May sleep.
    fn next_number(&mut self) -> Result<usize> {
        let free = |state: &Self| {
            (0..MAX).find(|number| {
                state.containers[*number].is_none() && state.stale >> number & 1 == 0
            })
        };
        if free(self).is_none() {
            let filtered = filter::filtered();
            lifetime::wait_for_handlers();
            self.stale = 0;
            for (number, container) in self.containers.iter_mut().enumerate() {
                if filtered >> number & 1 == 0 {
                    *container = None;
                }
            }
        }
        free(self).ok_or(ENOSPC)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Before the functions are given back: nothing is left out in between.
        filter::clear(Set::MAX);
    }
}
