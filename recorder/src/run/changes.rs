// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Compares two inventories: resources that were plugged, unplugged, or replaced.

use super::inventory::Inventory;
use super::item::Item;

/// The change of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'i> {
    /// It was plugged.
    Came(&'i Item),
    /// It was unplugged.
    Went(&'i Item),
    /// It was replaced: another medium, another file of a snapshot.
    Became(&'i Item, &'i Item),
    /// `mem`, `vcpu`, `iothread`: from, to.
    Amount(&'static str, u64, u64),
}

/// Returns the differences between `old` and `new`. Removals come first.
pub fn between<'i>(old: &'i Inventory, new: &'i Inventory) -> Vec<Change<'i>> {
    let find = |items: &'i [Item], like: &Item| {
        items
            .iter()
            .find(|item| (item.kind, &item.key) == (like.kind, &like.key))
    };
    let mut changes = Vec::new();
    for item in &old.items {
        match find(&new.items, item) {
            None if item.what.is_some() => changes.push(Change::Went(item)),
            Some(now) if now.what != item.what => changes.push(Change::Became(item, now)),
            _ => {}
        }
    }
    for item in &new.items {
        if item.what.is_some() && find(&old.items, item).is_none() {
            changes.push(Change::Came(item));
        }
    }
    for (kind, before, after) in [
        ("mem", old.memory, new.memory),
        ("vcpu", old.vcpus, new.vcpus),
        ("iothread", old.iothreads, new.iothreads),
    ] {
        if before != after {
            changes.push(Change::Amount(kind, before, after));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::super::item::Kind;
    use super::*;

    #[test]
    fn plugged_unplugged_changed() {
        let item =
            |key: &str, what: Option<&str>| Item::new(Kind::Disk, key, what.map(|w| w.into()));
        let old = Inventory {
            items: vec![
                item("a", Some("/a")),
                item("b", Some("/b")),
                item("cd", Some("/x.iso")),
            ],
            memory: 1,
            vcpus: 1,
            iothreads: 0,
        };
        let new = Inventory {
            items: vec![
                item("b", Some("/b")),
                item("c", Some("/c")),
                item("cd", None),
                item("e", None),
            ],
            memory: 1,
            vcpus: 2,
            iothreads: 0,
        };
        assert_eq!(
            between(&old, &new),
            [
                Change::Went(&old.items[0]),
                Change::Became(&old.items[2], &new.items[2]),
                Change::Came(&new.items[1]),
                Change::Amount("vcpu", 1, 2),
            ]
        );
        assert!(between(&old, &old).is_empty());
    }
}
