// SPDX-License-Identifier: GPL-2.0-only

//! Audit records for device-mapper targets and namespaces.
//!
//! - [`dm`], [`ns`], [`info`], [`config`]: what to say.
//! - [`level`]: the switch between the levels of [`info`].
//! - [`select`]: selectable audit: whose records are left out.
//! - [`audit`], [`attach`]: the safe layer: how to say it, and where from. All `unsafe` is in these two.
//! - [`uapi`]: the text of the records, the same source that user space is built from.
//! - [`counters`]: what became of the records.

// A jump-mode address is odd. A kernel that does not know the mode would call it as it is, and die.
#[cfg(not(CONFIG_DYNAMIC_FTRACE_WITH_JMP))]
compile_error!("this kernel lacks CONFIG_DYNAMIC_FTRACE_WITH_JMP");
#[cfg(not(CONFIG_KPROBES))]
compile_error!("this kernel lacks CONFIG_KPROBES");
#[cfg(not(CONFIG_AUDITSYSCALL))]
compile_error!("this kernel lacks CONFIG_AUDITSYSCALL");
#[cfg(not(CONFIG_PREEMPT_COUNT))]
compile_error!("without CONFIG_PREEMPT_COUNT it is not known whether a record may wait");

mod attach;
mod audit;
#[forbid(unsafe_code)]
mod config;
#[forbid(unsafe_code)]
mod counters;
#[forbid(unsafe_code)]
mod dm;
#[forbid(unsafe_code)]
mod info;
#[forbid(unsafe_code)]
mod level;
#[forbid(unsafe_code)]
mod ns;
#[forbid(unsafe_code)]
mod select;

#[forbid(unsafe_code)]
#[path = "../uapi/src/lib.rs"]
#[allow(dead_code, unreachable_pub)] // User space takes more of it than we do.
mod uapi;

/// What `kernel::bindings` has, and what bindgen makes of `bindings.h`.
// As rust/bindings/lib.rs has it: generated code follows none of these.
#[allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
mod bindings {
    pub(crate) use kernel::bindings::*;
    use kernel::ffi;
    include!("bindings_generated.rs");
}

use attach::alive::Alive;
use attach::{
    Attachments,
    Hook, //
};
use audit::Worker;
use core::borrow::Borrow;
use info::Level;
use kernel::debugfs;
use kernel::prelude::*;

module! {
    type: DmnsAudit,
    name: "dmns_audit",
    authors: ["The dmns-audit developers"],
    description: "Audit records for device-mapper targets and namespaces",
    license: "GPL v2",
    params: {
        dm: u8 {
            default: 1,
            description: "Record device-mapper events in place of the C original (1, the default) or not (0)",
        },
        ns: u8 {
            default: 1,
            description: "Record the creation and deletion of namespaces (1, the default) or not (0)",
        },
        info: u8 {
            default: 0,
            description: "Record a task's namespaces: never (0, the default), when it makes or enters one (1), also with every event of a task in a container (2)",
        },
    },
}

/// The loaded module. Fields are dropped in this order: first the functions are given back.
#[pin_data]
struct DmnsAudit {
    _unloading: Unloading,
    _attachments: Attachments,
    _alive: Option<Alive>,
    #[pin]
    _info: debugfs::File<level::Switch>,
    #[pin]
    _select: debugfs::File<select::Control>,
    #[pin]
    _counters: debugfs::File<()>,
    _debugfs: debugfs::Dir,
    _worker: Worker,
    _counts: Counts,
}

/// Prints that the module is being unloaded.
struct Unloading;

impl Drop for Unloading {
    fn drop(&mut self) {
        config::unloaded();
        attach::alive::end();
    }
}

/// Prints the counters, when nothing is left to count.
struct Counts;

impl Drop for Counts {
    fn drop(&mut self) {
        counters::log();
    }
}

impl kernel::InPlaceModule for DmnsAudit {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let dm = switch(c"dm", module_parameters::dm.value())?;
            let ns = switch(c"ns", module_parameters::ns.value())?;
            let level = level(module_parameters::info.value())?;
            attach::learn_nsfs_dev()?;
            let counts = Counts;
            audit::init();
            let worker = Worker::start()?;
            let alive = ns.then(Alive::begin);
            let attachments = Attachments::new([
                (dm, Hook::DmTarget),
                (dm, Hook::DmBio),
                (dm, Hook::DmIoctl),
                #[cfg(CONFIG_COMPAT)]
                (dm, Hook::DmCompatIoctl),
                (ns, Hook::Clone),
                (ns, Hook::Unshare),
                (ns, Hook::Mount),
                (ns, Hook::Fsmount),
                #[cfg(CONFIG_IA32_EMULATION)]
                (ns, Hook::Fsmount32),
                // After these: a creation outside of a section would stand alone. And what is seen when created, is seen
                // when deleted.
                (ns, Hook::NsRemove),
                (ns, Hook::NsAdd),
                (ns, Hook::NsSwitch),
                (true, Hook::AuditReceive),
            ])
            .inspect_err(|_| pr_err!("not loaded, nothing is attached\n"))?;
            if !audit::enabled() {
                pr_notice!(
                    "auditing is disabled: no records until it is enabled (auditctl -e 1)\n"
                );
            }
            let dir = debugfs::Dir::new(c"dmns_audit");
            Ok(try_pin_init!(Self {
                _attachments: attachments,
                _alive: alive,
                _info <- dir.read_write_callback_file(
                    c"info",
                    level::Switch::new(level, ns),
                    &level::Switch::show,
                    &level::Switch::store,
                ),
                _select <- dir.read_write_callback_file(
                    c"select",
                    select::Control::new(ns),
                    &select::Control::show,
                    &select::Control::store,
                ),
                _counters <- dir.read_callback_file(c"counters", (), &|(), f| counters::write(f)),
                _debugfs: {
                    attach::tell_missing_files(c"dmns_audit", [c"info", c"select", c"counters"]);
                    attach::alive::record();
                    if level != Level::None {
                        attach::record_first_task();
                    }
                    config::loaded(dm, ns, level);
                    config::obey_lock();
                    dir.clone()
                },
                _unloading: Unloading,
                _worker: worker,
                _counts: counts,
            }))
        })
    }
}

/// The value of the parameter `info`.
fn level(value: impl Borrow<u8>) -> Result<Level> {
    let number = *value.borrow();
    Level::from_number(number).ok_or_else(|| {
        pr_err!("info={}: must be 0, 1 or 2; not loaded\n", number);
        EINVAL
    })
}

/// The value of a parameter that switches a part on or off. 7.2 hands out a reference, 7.3 the value.
fn switch(name: &CStr, value: impl Borrow<u8>) -> Result<bool> {
    match *value.borrow() {
        0 => Ok(false),
        1 => Ok(true),
        other => {
            pr_err!("{}={}: must be 0 or 1; not loaded\n", name, other);
            Err(EINVAL)
        }
    }
}
