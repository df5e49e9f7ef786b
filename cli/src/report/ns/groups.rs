// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Containers that no runtime recorded, by the names of their control groups (NS_INFO's `cgroup=`).

use super::containers::Containers;
use crate::record::Head;
use crate::record::cgroup::{self, Named};
use crate::record::value::{Nested, text};

impl Containers {
    /// `NS_INFO`, inside the container `order`: if that has no name, it gets the one that its control group has. Returns
    /// whether it did.
    ///
    /// What is made in a container without a control group of its own is in that container's.
    pub(super) fn grouped(&mut self, head: &Head<'_>, order: u64) -> bool {
        if self
            .get(order)
            .is_none_or(|container| container.name.is_some())
        {
            return false;
        }
        let body = text(head.body);
        let record = Nested::new(&body);
        let path = record.text("cgroup");
        let (name, id) = match path.as_deref().and_then(cgroup::container) {
            Some(Named::Name(name)) => (name.into_owned(), None),
            Some(Named::Id(id)) => (id[..12].to_owned(), Some(id.to_owned())),
            None => return false,
        };
        let host = self.hosts.number(head.node);
        let recorded = id.clone().map(|id| (host, id));
        if recorded.is_some_and(|key| self.by_uuid.contains_key(&key)) {
            return false;
        }
        let key = (host, name.clone());
        let holder = self.by_group.get(&key).and_then(|order| self.get(*order));
        if holder.is_some_and(|holder| holder.end.is_none()) {
            return false;
        }
        self.by_group.insert(key, order);
        let container = self.living.get_mut(&order);
        container.is_some_and(|container| {
            container.name = Some(name);
            container.uuid = id;
            true
        })
    }
}
