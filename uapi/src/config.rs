// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The module's `CONFIG_CHANGE` record (1305) about its own configuration, in addition to audit's.
//!
//! C: `audit_log_config_change()` in `kernel/audit.c`, which has the same form (`op=set`).

use super::filter::{
    self,
    Ids, //
};
use super::text::{
    Sink, //
    decimal,
};

/// A change of what the module records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The module was loaded, with these parameters.
    Loaded {
        /// Whether the module records device-mapper events.
        dm: bool,
        /// Whether the module records namespaces.
        ns: bool,
        /// The level of `NS_INFO`.
        info: u32,
    },
    /// The module is being unloaded.
    Unloaded,
    /// A new level of `NS_INFO` was requested.
    Info {
        /// The requested level.
        new: u32,
        /// The level before.
        old: u32,
    },
    /// A command to the filter.
    Select {
        /// `exclude`, `only`, `join`, `clear`.
        what: &'static str,
        /// The namespaces that name the container; none for all containers.
        ids: Ids,
    },
}

impl Change {
    /// Writes the head: `op=set dmns_audit_info=2 old=0`. ` auid= ses= subj= res=` follow.
    pub fn head(&self, out: &mut impl Sink) {
        match *self {
            Self::Loaded { dm, ns, info } => {
                out.put(b"op=load module=dmns_audit dm=");
                decimal(out, dm.into());
                out.put(b" ns=");
                decimal(out, ns.into());
                out.put(b" info=");
                decimal(out, info.into());
            }
            Self::Unloaded => out.put(b"op=unload module=dmns_audit"),
            Self::Info { new, old } => {
                out.put(b"op=set dmns_audit_info=");
                decimal(out, new.into());
                out.put(b" old=");
                decimal(out, old.into());
            }
            Self::Select { what, ids } => {
                out.put(b"op=set dmns_audit_select=");
                out.put(what.as_bytes());
                out.put(b" ns_id=");
                if ids.iter().all(|id| *id == 0) {
                    out.put(b"?");
                }
                filter::list(out, &ids);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::text;
    use super::*;

    #[test]
    fn each_change_begins_with_its_operation() {
        for (change, says) in [
            (
                Change::Loaded {
                    dm: true,
                    ns: false,
                    info: 2,
                },
                "op=load module=dmns_audit dm=1 ns=0 info=2",
            ),
            (Change::Unloaded, "op=unload module=dmns_audit"),
            (
                Change::Info { new: 2, old: 0 },
                "op=set dmns_audit_info=2 old=0",
            ),
            (
                Change::Select {
                    what: "exclude",
                    ids: [7, 12, 0, 0, 0, 0, 0, 0],
                },
                "op=set dmns_audit_select=exclude ns_id=7,12",
            ),
            (
                Change::Select {
                    what: "clear",
                    ids: [0; 8],
                },
                "op=set dmns_audit_select=clear ns_id=?",
            ),
        ] {
            assert_eq!(text(|out| change.head(out)), says);
        }
    }
}
