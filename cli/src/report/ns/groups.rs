// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Containers that no runtime recorded, by the names of their control groups (NS_INFO's `cgroup=`).

use super::containers::Containers;
use super::tree::Tree;
use crate::record::Head;
use crate::record::cgroup::{self, Named};
use crate::record::value::Fields;
use dmns_audit_uapi::ns::Kind;

impl Containers {
    /// `NS_INFO`, inside the container `order` and the namespaces `seen`: if it has no name, it gets the one that its
    /// control group has. Returns whether it did.
    ///
    /// Attributes a namespace created in a container, without a control group of its own, to that container.
    pub(super) fn grouped(
        &mut self,
        head: &Head<'_>,
        order: u64,
        seen: &[u64],
        tree: &Tree,
    ) -> bool {
        if self.get(order).is_none_or(|own| own.name.is_some()) {
            return false;
        }
        let record = Fields::of(head);
        let path = record.text("cgroup");
        let (name, id) = match path.as_deref().and_then(cgroup::container) {
            Some(Named::Name(name)) => (name.into_owned(), None),
            Some(Named::Id(id)) => (id[..12].to_owned(), Some(id.to_owned())),
            None => return false,
        };
        if id.as_ref().is_some_and(|id| self.is_recorded(head, id)) {
            return false;
        }
        let mut around = seen
            .iter()
            .filter_map(|order| tree.get(*order))
            .filter(|namespace| namespace.kind() == Kind::Pid)
            .flat_map(|namespace| namespace.ancestors.iter())
            .filter_map(|order| self.get(tree.get(*order)?.container?));
        if around.any(|outer| outer.order != order && outer.name.as_ref() == Some(&name)) {
            return false;
        }
        let container = self.living.get_mut(&order);
        container.is_some_and(|container| {
            container.name = Some(name);
            container.uuid = id;
            true
        })
    }
}
