// SPDX-License-Identifier: GPL-2.0-only

//! Audit records for device-mapper targets and namespaces.
//!
//! From the ground up:
//!
//! - [`uapi`]: the text of the records, the same source that user space is built from.
//! - [`lifetime`], [`read_once`], [`nsfs`], [`task`], [`counters`]: the ground: parts of the kernel
//!   that the others need.
//! - [`audit`]: the safe layer over `audit_log_*()`: when and how a record is emitted.
//! - [`dm`], [`ns`], [`info`], [`config`]: the records. [`filter`]: the events that are not
//!   recorded.
//! - [`baseline`]: the namespaces that exist when records begin. [`worker`]: emits deferred
//!   records.
//! - [`ftrace`]: attaches to kernel functions. [`hooks`]: the table of these functions, and their
//!   handlers.
//! - [`control`]: the files in securityfs.

#[cfg(not(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS))]
compile_error!("this kernel lacks CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS");
#[cfg(not(CONFIG_KPROBES))]
compile_error!("this kernel lacks CONFIG_KPROBES");
#[cfg(not(CONFIG_AUDITSYSCALL))]
compile_error!("this kernel lacks CONFIG_AUDITSYSCALL");
#[cfg(not(CONFIG_SECURITYFS))]
compile_error!("this kernel lacks CONFIG_SECURITYFS");
#[cfg(not(CONFIG_PREEMPT_COUNT))]
compile_error!("without CONFIG_PREEMPT_COUNT it is not known whether a record may wait");

mod audit;
mod baseline;
#[forbid(unsafe_code)]
mod config;
mod control;
#[forbid(unsafe_code)]
mod counters;
#[forbid(unsafe_code)]
#[cfg_attr(not(CONFIG_DM_AUDIT), allow(dead_code))]
mod dm;
#[forbid(unsafe_code)]
mod ffi;
#[forbid(unsafe_code)]
mod filter;
mod ftrace;
mod hooks;
#[forbid(unsafe_code)]
mod info;
mod lifetime;
#[forbid(unsafe_code)]
mod ns;
mod nsfs;
mod read_once;
mod task;
mod worker;

#[forbid(unsafe_code)]
#[path = "../uapi/src/lib.rs"]
#[allow(dead_code, unreachable_pub)] // User space takes more of it than we do.
mod uapi;

/// The contents of `kernel::bindings`, and what bindgen makes of `bindings.h`.
// As in rust/bindings/lib.rs: generated code follows none of these lints.
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

use audit::deferred::Workers;
use audit::pending::Pending;
use control::{
    Control,
    Files, //
};
use core::borrow::Borrow;
use ftrace::Attachments;
use hooks::Part;
use info::Level;
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
struct DmnsAudit {
    files: Files,
    _attachments: Attachments,
    _handlers: Handlers,
    _pending: Pending,
    _workers: Workers,
    _counts: Counts,
}

/// Begins to unload, before the fields are dropped.
impl Drop for DmnsAudit {
    fn drop(&mut self) {
        self.files.close();
        lifetime::begin_unload();
        config::unloaded();
        baseline::end();
    }
}

/// Waits for the handlers, when nothing leads to them any more.
struct Handlers;

impl Drop for Handlers {
    fn drop(&mut self) {
        // Also where loading fails: nothing waits for the baseline any more.
        lifetime::ending();
        baseline::end();
        lifetime::wait_for_last_handlers();
    }
}

/// Prints the counters, when nothing is left to count.
struct Counts;

impl Drop for Counts {
    fn drop(&mut self) {
        counters::log();
    }
}

impl kernel::Module for DmnsAudit {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let dm = switch(c"dm", module_parameters::dm.value())? && has_dm_audit();
        let mut ns = switch(c"ns", module_parameters::ns.value())?;
        let mut level = level(module_parameters::info.value())?;
        lifetime::check_kernel()?;
        let in_kernel = hooks::kernel_records_namespaces()?;
        if in_kernel && (ns || level != Level::None) {
            // Each record would be there twice.
            pr_notice!("this kernel records namespaces itself: ns=0, info=0\n");
            (ns, level) = (false, Level::None);
        }
        nsfs::init_dev()?;
        let counts = Counts;
        // SAFETY: Called once, before the workers start.
        unsafe { worker::init() };
        let workers = Workers::start()?;
        // SAFETY: Called once, before anything is attached. `handlers`, here and in `Self`, is dropped
        // before, and `attachments` before that.
        let pending = unsafe { Pending::new() }?;
        let handlers = Handlers;
        if ns {
            baseline::begin();
        }
        let wanted = |part| match part {
            Part::Dm => dm,
            Part::Ns => ns,
            Part::Tasks => !in_kernel,
            Part::Always => true,
        };
        let hooks = hooks::MODULE.iter().filter(|(part, _)| wanted(*part));
        let attachments = Attachments::new(hooks.map(|(_, hook)| hook))
            .inspect_err(|_| pr_err!("not loaded, nothing is attached\n"))?;
        let control = KBox::pin_init(Control::new(level, ns), GFP_KERNEL)?;
        if !audit::enabled() {
            pr_notice!("auditing is disabled: no records until it is enabled (auditctl -e 1)\n");
        }
        // Nothing fails from here on.
        lifetime::loaded();
        Workers::wake();
        let files = Files::new(control);
        config::loaded(dm, ns, level);
        if level != Level::None {
            info::record_first_task(task::first_task_info());
        }
        baseline::attached();
        config::pin_if_locked();
        Ok(Self {
            files,
            _attachments: attachments,
            _handlers: handlers,
            _pending: pending,
            _workers: workers,
            _counts: counts,
        })
    }
}

/// Returns whether the kernel has the functions that part `dm` replaces.
fn has_dm_audit() -> bool {
    if cfg!(not(CONFIG_DM_AUDIT)) {
        pr_notice!("the kernel lacks CONFIG_DM_AUDIT: records of namespaces alone\n");
    }
    cfg!(CONFIG_DM_AUDIT)
}

/// Returns the value of the parameter `info`.
fn level(value: impl Borrow<u8>) -> Result<Level> {
    let number = *value.borrow();
    Level::from_number(number).ok_or_else(|| {
        pr_err!("info={}: must be 0, 1 or 2; not loaded\n", number);
        EINVAL
    })
}

/// Returns the value of a parameter that switches a part on or off. 7.2 hands out a reference, 7.3
/// the value.
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
