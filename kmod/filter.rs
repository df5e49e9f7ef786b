// SPDX-License-Identifier: GPL-2.0-only

//! The filter: records that tasks in given containers cause can be excluded, or kept alone.
//!
//! A container is a set of namespaces. A task is in it while it is, for each kind of which the
//! container has a namespace, in that namespace or in one that was created inside: a task that
//! leaves one of them has left the container.
//!
//! Never filtered: records of device mapper, of creations and deletions of namespaces, of changes
//! of audit's configuration, and the events that they are part of; and what an interrupt causes,
//! since its cause is not known.

mod cache;
mod members;

use crate::audit::{
    CONFIG_CHANGE,
    EOE, //
};
use crate::read_once::read_once;
use crate::task::TaskNs;
use crate::uapi::filter::Mode;
use crate::uapi::ns::Kind;
use crate::uapi::types::RecordType;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed,
    Release, //
};
use members::Members;
pub(crate) use members::Set;

/// The most containers that can be filtered at a time.
pub(crate) const MAX: usize = Set::BITS as usize;

/// A number for each kind of namespace, in the order of [`Kind::ALL`].
pub(crate) type PerKind<T> = [T; Kind::ALL.len()];

/// The containers that are filtered.
static FILTERED: Atomic<Set> = Atomic::new(0);
/// Of these, the ones outside of which records are excluded.
static ONLY: Atomic<Set> = Atomic::new(0);
/// The containers that have no namespace of a kind of their own.
static UNUSED_KINDS: PerKind<Atomic<Set>> = [const { Atomic::new(0) }; Kind::ALL.len()];
/// Which namespaces belong to them.
static MEMBERS: Members = Members::new();
/// The number of members of each kind.
static MEMBER_COUNT: [PerKind<Atomic<u32>>; MAX] =
    [const { [const { Atomic::new(0) }; Kind::ALL.len()] }; MAX];

/// The order in which the kinds are asked for: nearly every container has these two, and no other
/// task is in them.
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

/// Returns whether anything is filtered.
fn any() -> bool {
    read_once(&FILTERED) != 0
}

/// Returns the containers of `set` that a task is in.
fn containers(mut set: Set, task: &TaskNs) -> Set {
    for kind in ORDER {
        let without = read_once(&UNUSED_KINDS[kind as usize]);
        if set == 0 {
            break;
        }
        if set & !without != 0 {
            set &= without | MEMBERS.get(task.id(kind));
        }
    }
    set
}

/// Returns whether the records that a task causes are filtered.
#[inline]
pub(crate) fn is_filtered(task: TaskNs) -> bool {
    cache::answer(task, |task| {
        let filtered = read_once(&FILTERED);
        let only = read_once(&ONLY) & filtered;
        let within = containers(filtered, task);
        within & !only != 0 || (only != 0 && within & only == 0)
    })
}

/// Invalidates the cache: a task is about to get another `nsproxy`, or to give its own back at its
/// end. Callable under any lock.
pub(crate) fn nsproxy_changed() {
    if any() {
        cache::invalidate();
    }
}

/// Returns whether records of this type are never filtered. A filtered event has no NS_INFO and no
/// EOE: these are of another event, or of a worker.
pub(crate) fn never_filtered(number: u16) -> bool {
    const FEATURE_CHANGE: u16 = 1328;
    matches!(number, CONFIG_CHANGE | FEATURE_CHANGE | EOE)
        || RecordType::from_number(number).is_some()
}

/// Adds a namespace to the containers that its creator is in. Callable under any lock.
pub(crate) fn on_created(kind: Kind, id: u64, creator: &TaskNs) {
    let filtered = read_once(&FILTERED);
    if filtered == 0 {
        return;
    }
    let within = containers(filtered, creator);
    let set = within & !UNUSED_KINDS[kind as usize].load(Relaxed);
    if set == 0 || add_member(kind, id, set) {
        return;
    }
    kernel::pr_warn_once!("filter: member table full: namespace {} not tracked\n", id);
    // Outside of what alone is kept, records would be lost.
    let only = ONLY.load(Relaxed) & set;
    if only != 0 {
        pr_err!("filter: dropped the `only` filter of that container\n");
        update_bits(&FILTERED, 0, only);
    }
}

/// Removes a namespace from its containers, and with the last one of its kind the filter of the
/// container. Callable under any lock.
pub(crate) fn on_deleted(kind: Kind, id: u64) {
    for (container, members) in containers_in(MEMBERS.remove(id)) {
        if members[kind as usize].fetch_sub(1, Relaxed) == 1 {
            update_bits(&FILTERED, 0, 1 << container);
            pr_info!("filter: the container with namespace {} has ended\n", id);
        }
    }
}

/// Adds a namespace to the containers of `set`. Returns whether there was room.
fn add_member(kind: Kind, id: u64, set: Set) -> bool {
    let added = MEMBERS.add(id, set);
    for (_, members) in containers_in(added.unwrap_or(0)) {
        members[kind as usize].add(1, Relaxed);
    }
    cache::invalidate();
    added.is_some()
}

/// Returns the numbers of the containers in `set`, with the number of their namespaces of each
/// kind.
fn containers_in(mut set: Set) -> impl Iterator<Item = (usize, &'static PerKind<Atomic<u32>>)> {
    core::iter::from_fn(move || {
        // Without a bit there are as many zeros as bits.
        let container = set.trailing_zeros() as usize;
        let members = MEMBER_COUNT.get(container)?;
        set &= set - 1;
        Some((container, members))
    })
}

/// Adds bits to a set, and takes others out.
fn update_bits(set: &Atomic<Set>, add: Set, take: Set) {
    let mut before = set.load(Relaxed);
    while let Err(now) = set.cmpxchg(before, (before | add) & !take, Release) {
        before = now;
    }
    cache::invalidate();
}

/// Filters a container that has the namespaces `ids`, 0 where it has none of a kind, under the
/// number `container`, which no handler uses any more. Returns whether there was room. The caller
/// holds the namespaces.
pub(crate) fn add(container: usize, mode: Mode, ids: &PerKind<u64>) -> bool {
    let set = 1 << container;
    MEMBERS.forget(set);
    for (kind, id) in Kind::ALL.into_iter().zip(ids) {
        MEMBER_COUNT[container][kind as usize].store(0, Relaxed);
        if *id == 0 {
            update_bits(&UNUSED_KINDS[kind as usize], set, 0);
        } else {
            update_bits(&UNUSED_KINDS[kind as usize], 0, set);
            if !add_member(kind, *id, set) {
                MEMBERS.forget(set);
                return false;
            }
        }
    }
    match mode {
        Mode::Exclude => update_bits(&ONLY, 0, set),
        Mode::Only => update_bits(&ONLY, set, 0),
    }
    update_bits(&FILTERED, set, 0);
    true
}

/// Adds the namespaces `ids` to a container, of the kinds of which it has some. The caller holds
/// them. Returns whether there was room.
pub(crate) fn join(container: usize, ids: &PerKind<u64>) -> bool {
    let set = 1 << container;
    Kind::ALL.into_iter().zip(ids).all(|(kind, id)| {
        UNUSED_KINDS[kind as usize].load(Relaxed) & set != 0
            || *id == 0
            || add_member(kind, *id, set)
    })
}

/// Returns the containers that are filtered.
pub(crate) fn filtered() -> Set {
    FILTERED.load(Relaxed)
}

/// Returns whether the namespace `id` belongs to a container.
pub(crate) fn has_member(container: usize, id: u64) -> bool {
    MEMBERS.get(id) >> container & 1 != 0
}

/// Returns how many namespaces belong to a container.
pub(crate) fn members(container: usize) -> u32 {
    let counts = MEMBER_COUNT[container].iter();
    counts.map(|count| count.load(Relaxed)).sum()
}

/// Ends the filter of the containers of `set`.
pub(crate) fn clear(set: Set) {
    update_bits(&FILTERED, 0, set);
    MEMBERS.forget(set);
}
