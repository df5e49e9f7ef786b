// SPDX-License-Identifier: GPL-2.0-only

//! Selectable audit: records that tasks in given containers cause can be left out, or kept alone.
//!
//! A container is a set of namespaces. A task is in it while it is, for each kind of which the container has a
//! namespace, in that namespace or in one that was made inside: a task that leaves one of them has left the container.
//!
//! Never left out: records of device mapper, of creations and deletions of namespaces, of changes of audit's configuration, and
//! the events that they are part of; and what an interrupt causes, since its cause is not known.

mod control;
mod members;
mod memo;

use crate::attach::read_once;
use crate::uapi::ns::Kind;
use crate::uapi::select::Mode;
use crate::uapi::types::RecordType;
pub(crate) use control::Control;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed,
    Release, //
};
use members::{
    Members,
    Set, //
};

/// How many containers can be selected at a time.
const MAX: usize = Set::BITS as usize;

/// A number for each kind of namespace, in the order of [`Kind::ALL`].
type PerKind<T> = [T; Kind::ALL.len()];

/// The containers that are selected.
static SELECTED: Atomic<Set> = Atomic::new(0);
/// Of these, the ones outside of which records are left out.
static ONLY: Atomic<Set> = Atomic::new(0);
/// The containers that have no namespace of a kind of their own.
static WITHOUT: PerKind<Atomic<Set>> = [const { Atomic::new(0) }; Kind::ALL.len()];
/// Which namespaces belong to them.
static MEMBERS: Members = Members::new();
/// How many of each kind.
static ALIVE: [PerKind<Atomic<u32>>; MAX] =
    [const { [const { Atomic::new(0) }; Kind::ALL.len()] }; MAX];

/// The order in which the kinds are asked for: nearly every container has these two, and no other task is in them.
const ORDER: PerKind<Kind> = [
    Kind::Pid,
    Kind::Mnt,
    Kind::User,
    Kind::Net,
    Kind::Ipc,
    Kind::Uts,
    Kind::Cgroup,
    Kind::Time,
];

/// The namespaces of a task.
pub(crate) trait Namespaces {
    /// The ns_id of the one of this kind that the task is in itself.
    fn id(&self, kind: Kind) -> u64;

    /// Where the task and its `nsproxy` are.
    fn addresses(&self) -> (usize, usize);
}

/// Whether anything is selected.
pub(crate) fn any() -> bool {
    read_once(&SELECTED) != 0
}

/// Of the containers in `set`, the ones that a task is in.
fn containers(mut set: Set, task: &impl Namespaces) -> Set {
    for kind in ORDER {
        let without = read_once(&WITHOUT[kind as usize]);
        if set == 0 {
            break;
        }
        if set & !without != 0 {
            set &= without | MEMBERS.get(task.id(kind));
        }
    }
    set
}

/// Whether the records that a task causes are left out.
pub(crate) fn left_out(task: &impl Namespaces) -> bool {
    memo::answer(task, |task| {
        let selected = read_once(&SELECTED);
        let only = read_once(&ONLY) & selected;
        let within = containers(selected, task);
        within & !only != 0 || (only != 0 && within & only == 0)
    })
}

/// A task is about to get another `nsproxy`, or to give its own back at its end. Callable under any lock.
pub(crate) fn switched() {
    if any() {
        memo::forget();
    }
}

/// Whether records of this type are never left out.
pub(crate) fn is_kept(number: u16) -> bool {
    const CONFIG_CHANGE: u16 = 1305;
    const FEATURE_CHANGE: u16 = 1328;
    matches!(number, CONFIG_CHANGE | FEATURE_CHANGE)
        || RecordType::from_number(number).is_some_and(|ty| ty != RecordType::NsInfo)
}

/// A task makes a namespace, which belongs to the containers that the task is in. Callable under any lock.
pub(crate) fn born(kind: Kind, id: u64, maker: &impl Namespaces) {
    let within = containers(read_once(&SELECTED), maker);
    let set = within & !WITHOUT[kind as usize].load(Relaxed);
    if set == 0 || belongs(kind, id, set) {
        return;
    }
    pr_warn!(
        "select: table is full: namespace {} counts as outside\n",
        id
    );
    // Outside of what alone is kept, records would be lost.
    let only = ONLY.load(Relaxed) & set;
    if only != 0 {
        pr_err!("select: its container's selection `only` has ended\n");
        change(&SELECTED, 0, only);
    }
}

/// A namespace is gone, and with the last one of its kind the container. Callable under any lock.
pub(crate) fn died(kind: Kind, id: u64) {
    for (container, alive) in of(MEMBERS.remove(id)) {
        if alive[kind as usize].fetch_sub(1, Relaxed) == 1 {
            change(&SELECTED, 0, 1 << container);
            pr_info!("select: the container with namespace {} has ended\n", id);
        }
    }
}

/// Makes a namespace belong to the containers of `set`. Returns whether there was room.
fn belongs(kind: Kind, id: u64, set: Set) -> bool {
    let added = MEMBERS.add(id, set);
    for (_, alive) in of(added.unwrap_or(0)) {
        alive[kind as usize].add(1, Relaxed);
    }
    memo::forget();
    added.is_some()
}

/// The numbers of the containers in `set`, with how many namespaces belong to each.
fn of(set: Set) -> impl Iterator<Item = (usize, &'static PerKind<Atomic<u32>>)> {
    ALIVE
        .iter()
        .enumerate()
        .filter(move |(container, _)| set >> container & 1 != 0)
}

/// Adds bits to a set, and takes others out.
fn change(set: &Atomic<Set>, add: Set, take: Set) {
    let mut before = set.load(Relaxed);
    while let Err(now) = set.cmpxchg(before, (before | add) & !take, Release) {
        before = now;
    }
    memo::forget();
}

/// Selects a container that has the namespaces `ids`, 0 where it has none of a kind, under the number `container`, which
/// no handler knows any more. Returns whether there was room. The namespaces are held.
fn select(container: usize, mode: Mode, ids: &PerKind<u64>) -> bool {
    let set = 1 << container;
    MEMBERS.forget(set);
    for (kind, id) in Kind::ALL.into_iter().zip(ids) {
        ALIVE[container][kind as usize].store(0, Relaxed);
        if *id == 0 {
            change(&WITHOUT[kind as usize], set, 0);
        } else {
            change(&WITHOUT[kind as usize], 0, set);
            if !belongs(kind, *id, set) {
                MEMBERS.forget(set);
                return false;
            }
        }
    }
    match mode {
        Mode::Exclude => change(&ONLY, 0, set),
        Mode::Only => change(&ONLY, set, 0),
    }
    change(&SELECTED, set, 0);
    true
}

/// Makes the namespaces `ids` belong to a container too, of the kinds of which it has some. They are held. Returns
/// whether there was room.
fn join(container: usize, ids: &PerKind<u64>) -> bool {
    let set = 1 << container;
    Kind::ALL.into_iter().zip(ids).all(|(kind, id)| {
        WITHOUT[kind as usize].load(Relaxed) & set != 0 || *id == 0 || belongs(kind, *id, set)
    })
}

/// Ends the selection of the containers of `set`.
fn clear(set: Set) {
    change(&SELECTED, 0, set);
    MEMBERS.forget(set);
}
