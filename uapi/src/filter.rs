// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The filter by container: the commands and the content of
//! `/sys/kernel/security/dmns_audit/filter`.
//!
//! ```text
//! exclude 1234 4026532700,4026532702     drops records of tasks in this container
//! only 1234 4026532700,4026532702        drops records of tasks elsewhere
//! join 1300 4026532700                   adds the namespaces of a task that was inside before
//! clear 4026532700                       ends the filter of this container
//! clear                                  ends all filters
//! ```
//!
//! A container is a set of namespaces, at most one of each kind. A command names them by their
//! ns_ids, and a task that is in all of them. The file has a line for each filtered container:
//! `exclude ns_id=4026532700,4026532702 members=3`.

use super::text::{
    Sink, //
    decimal,
};

/// The maximum number of namespaces of a container: one of each kind.
pub const MAX_IDS: usize = super::ns::Kind::ALL.len();

/// ns_ids, in any order; missing ones are 0.
pub type Ids = [u64; MAX_IDS];

/// The longest command: a word, a pid, and [`MAX_IDS`] numbers of 20 digits.
pub const MAX_COMMAND: usize = 8 + 11 + MAX_IDS * 21;

/// The mode of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Drops records of tasks in the container.
    Exclude,
    /// Drops records of tasks outside all containers with this mode.
    Only,
}

impl Mode {
    /// Returns its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Only => "only",
        }
    }
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Adds a filter for a container.
    Select {
        /// The mode.
        mode: Mode,
        /// A task in it, as the initial pid namespace numbers it.
        pid: i32,
        /// Its namespaces. The task is in all of them.
        ids: Ids,
    },
    /// Adds the namespaces of a task to the filtered container that it is in.
    Join {
        /// The task.
        pid: i32,
        /// One of the namespaces that name the container.
        id: u64,
    },
    /// Ends the filter of the container with this namespace, or all filters.
    Clear(Option<u64>),
}

impl Command {
    /// Parses a command; `None` if it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut words = text.split_ascii_whitespace();
        let command = match words.next()? {
            "exclude" => Self::select(Mode::Exclude, &mut words)?,
            "only" => Self::select(Mode::Only, &mut words)?,
            "join" => Self::Join {
                pid: number(words.next()?)?,
                id: number(words.next()?)?,
            },
            "clear" => Self::Clear(match words.next() {
                Some(id) => Some(number(id)?),
                None => None,
            }),
            _ => return None,
        };
        words.next().is_none().then_some(command)
    }

    fn select<'a>(mode: Mode, words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let pid = number(words.next()?)?;
        let mut ids = [0; MAX_IDS];
        let mut places = ids.iter_mut();
        for id in words.next()?.split(',') {
            *places.next()? = number(id)?;
        }
        Some(Self::Select { mode, pid, ids })
    }

    /// Writes the command.
    pub fn write(&self, out: &mut impl Sink) {
        match self {
            Self::Select { mode, pid, ids } => {
                out.put(mode.name().as_bytes());
                out.put(b" ");
                decimal(out, u64::from(pid.unsigned_abs()));
                out.put(b" ");
                list(out, ids);
            }
            Self::Join { pid, id } => {
                out.put(b"join ");
                decimal(out, u64::from(pid.unsigned_abs()));
                out.put(b" ");
                decimal(out, *id);
            }
            Self::Clear(id) => {
                out.put(b"clear");
                if let Some(id) = id {
                    out.put(b" ");
                    decimal(out, *id);
                }
            }
        }
    }
}

/// Parses a number. 0 is invalid.
fn number<T: core::str::FromStr + Default + PartialOrd>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number| *number > T::default())
}

/// Writes ns_ids, with commas between.
pub fn list(out: &mut impl Sink, ids: &Ids) {
    let mut before: &[u8] = b"";
    for id in ids.iter().filter(|id| **id != 0) {
        out.put(before);
        decimal(out, *id);
        before = b",";
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::text;
    use super::*;
    use proptest::prelude::*;

    fn command() -> impl Strategy<Value = Command> {
        let ids = proptest::collection::vec(1u64.., 1..=MAX_IDS).prop_map(|some| {
            let mut ids = [0; MAX_IDS];
            ids[..some.len()].copy_from_slice(&some);
            ids
        });
        let mode = prop_oneof![Just(Mode::Exclude), Just(Mode::Only)];
        prop_oneof![
            (mode, 1i32.., ids).prop_map(|(mode, pid, ids)| Command::Select { mode, pid, ids }),
            (1i32.., 1u64..).prop_map(|(pid, id)| Command::Join { pid, id }),
            proptest::option::of(1u64..).prop_map(Command::Clear),
        ]
    }

    proptest! {
        #[test]
        fn a_command_reads_as_it_was_written(command in command()) {
            let written = text(|out| command.write(out));
            prop_assert!(written.len() <= MAX_COMMAND);
            prop_assert_eq!(Command::parse(written.as_bytes()), Some(command));
        }

        #[test]
        fn whatever_is_written_is_no_reason_to_panic(written: std::vec::Vec<u8>) {
            let _ = Command::parse(&written);
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for wrong in [
            "",
            "exclude",
            "exclude 1",
            "exclude x 1",
            "exclude 1 0",
            "exclude 0 1",
            "exclude -1 5",
            "exclude 1 1,2,3,4,5,6,7,8,9",
            "exclude 1 1,,2",
            "only 1 2 3",
            "join 1",
            "clear 0",
            "clear x",
            "clear 1 2",
            "Exclude 1 2",
            "exclude 1 18446744073709551616",
        ] {
            assert_eq!(Command::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    extern crate std;
}
