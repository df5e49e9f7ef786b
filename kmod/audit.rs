// SPDX-License-Identifier: GPL-2.0-only

//! Audit records.
//!
//! C header: [`include/linux/audit.h`](srctree/include/linux/audit.h)
//!
//! - [`BufferedRecord`]: a record that is emitted here and now.
//! - [`RecordText`]: the text of a record that is emitted later: [`pending`], at the end of the
//!   event by the task itself; or [`deferred`], by a worker.
//! - [`event`]: the event that a record belongs to.

pub(crate) mod deferred;
pub(crate) mod event;
mod hash;
mod in_flight;
pub(crate) mod pending;
mod share;
mod text;
mod ticket;
mod turns;

use crate::bindings;
use crate::counters::{
    self,
    Outcome, //
};
use crate::lifetime::ModuleRef;
use crate::uapi::ns::{
    cgroup_field,
    Subject, //
};
use crate::uapi::text::Sink;
use crate::uapi::types::RecordType;
use core::ptr::NonNull;
pub(crate) use in_flight::in_flight as creation_in_flight;
use kernel::alloc::Flags;
use kernel::prelude::*;
pub(crate) use share::Class;
pub(crate) use text::{
    Owner,
    RecordText, //
};

/// Permission to wait while a record is emitted: for memory, and for room in the audit backlog.
#[derive(Clone, Copy)]
pub(crate) enum Wait<'a> {
    /// The caller may sleep and holds no lock that others wait for. It holds a reference to the
    /// module, since the wait can take as long as `backlog_wait_time`. `docs/design/blocking.md` says
    /// of each place how that is known.
    Allowed(&'a ModuleRef),
    /// The caller must not sleep, or holds a lock or an I/O that other tasks wait for.
    ///
    /// audit refuses the record if the backlog is full, and counts it in `lost`.
    Never,
}

/// Returns whether nothing that the kernel counts forbids to sleep. A lock that may be held across
/// a sleep is not counted.
fn may_sleep() -> bool {
    // SAFETY: Reads the preemption count and `current`; no requirements.
    unsafe { bindings::dmns_may_sleep() }
}

/// Returns the flags of an allocation that `current` is charged for, where it may sleep; else those
/// of an atomic one.
pub(crate) fn task_flags() -> Flags {
    if may_sleep() {
        GFP_KERNEL_ACCOUNT
    } else {
        GFP_ATOMIC
    }
}

/// The type of audit's own record of a change of its configuration.
///
/// C: `AUDIT_CONFIG_CHANGE` in `include/uapi/linux/audit.h`.
pub(crate) const CONFIG_CHANGE: u16 = 1305;

/// The type of the record that ends an event of several records.
///
/// C: `AUDIT_EOE` in `include/uapi/linux/audit.h`.
pub(crate) const EOE: u16 = 1320;

/// The type of a record that the module emits.
#[derive(Clone, Copy)]
enum Type {
    /// The module's configuration was changed.
    ConfigChange,
    /// The end of an event of several records.
    Eoe,
    /// One that is counted.
    Counted(RecordType),
}

impl Type {
    /// Returns the number on the audit netlink socket.
    fn number(self) -> u16 {
        match self {
            Self::ConfigChange => CONFIG_CHANGE,
            Self::Eoe => EOE,
            Self::Counted(ty) => ty.number(),
        }
    }

    /// Returns the type that is counted, if it is.
    fn counted(self) -> Option<RecordType> {
        match self {
            Self::Counted(ty) => Some(ty),
            _ => None,
        }
    }
}

/// The longest path of a control group, in bytes: those of Kubernetes have some 200.
const LONGEST_CGROUP: usize = 512;

/// An audit record on its way: it starts, takes its fields, and is sent when dropped.
///
/// # Invariants
///
/// The buffer came from `audit_log_start()`, has not been given to `audit_log_end()`, and is not
/// shared.
struct Record(NonNull<bindings::audit_buffer>);

impl Record {
    /// Starts a record in the event of `context`, or returns why not. Counts only what is emitted.
    /// Nothing waits where the kernel counts a reason not to sleep, whatever `wait` allows.
    ///
    /// A record that was caused while auditing was on is emitted also if auditing is off by now, as
    /// audit does with queued records.
    fn attempt(
        context: *mut bindings::audit_context,
        ty: Type,
        wait: Wait<'_>,
    ) -> Result<Self, Outcome> {
        let number = ty.number().into();
        let (buffer, refused) = match wait {
            // SAFETY: `context` is null, the audit context of `current`, or that of the worker
            // which runs now. It stays valid while this runs. The caller may sleep.
            Wait::Allowed(_) if may_sleep() => unsafe {
                let buffer = bindings::dmns_log_start_waiting(context, number);
                (buffer, Outcome::Refused)
            },
            // SAFETY: As above; GFP_ATOMIC does not sleep.
            _ => unsafe {
                let buffer = bindings::audit_log_start(context, bindings::GFP_ATOMIC, number);
                (buffer, Outcome::RefusedNoWait)
            },
        };
        let buffer = NonNull::new(buffer).ok_or(refused)?;
        if let Some(ty) = ty.counted() {
            counters::count(ty, Outcome::Emitted);
        }
        // INVARIANT: `buffer` was just given to us.
        Ok(Self(buffer))
    }

    /// Adds text, which has no NUL.
    fn text(&mut self, text: &[u8]) {
        // vsnprintf() takes a precision of at most 32767.
        for part in text.chunks(1024) {
            // SAFETY: By the type invariants the buffer is valid and ours. The format takes an `int`
            // and a pointer to at least as many bytes.
            unsafe {
                bindings::audit_log_format(
                    self.0.as_ptr(),
                    c"%.*s".as_char_ptr(),
                    part.len() as c_int,
                    part.as_ptr(),
                )
            };
        }
    }

    /// Adds ` ppid= pid= auid= ... comm= exe= subj=`: the full description of `current`.
    fn task_info(&mut self) {
        // SAFETY: By the type invariants the buffer is valid and ours.
        unsafe { bindings::audit_log_task_info(self.0.as_ptr()) };
    }

    /// Adds ` subj=`: the security label of `current`.
    fn task_context(&mut self) {
        // SAFETY: By the type invariants the buffer is valid and ours. An error has been reported
        // by audit itself (`audit_panic()`), and leaves the record without `subj=`.
        unsafe { bindings::audit_log_task_context(self.0.as_ptr()) };
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the buffer is valid, ours, and not yet ended; it is not
        // used again.
        unsafe { bindings::audit_log_end(self.0.as_ptr()) };
    }
}

/// A record that is written field by field. Text is gathered here, and handed to audit in as few
/// calls as possible.
///
/// # Invariants
///
/// `len <= text.len()`, and the first `len` bytes of `text` are not in the record yet.
#[must_use = "a record is sent when it is dropped: without its fields it is not worth sending"]
pub(crate) struct BufferedRecord {
    record: Record,
    text: [u8; 192],
    len: usize,
}

impl BufferedRecord {
    fn new(record: Record) -> Self {
        // INVARIANT: No text has been put.
        Self {
            record,
            text: [0; 192],
            len: 0,
        }
    }

    /// Starts a record of type `ty`.
    ///
    /// In a task it carries the task's audit context, and so shares the serial of the system call
    /// that the task is in, if any. In an interrupt it stands alone.
    ///
    /// Returns `None` where there is no record to write: auditing is off, or audit gave no buffer.
    /// [`counters`] say which.
    pub(crate) fn start(ty: RecordType, wait: Wait<'_>) -> Option<Self> {
        let record = match enabled() {
            true => Record::attempt(event::context(), Type::Counted(ty), wait),
            false => Err(Outcome::Disabled),
        };
        record
            .inspect_err(|outcome| counters::count(ty, *outcome))
            .ok()
            .map(Self::new)
    }

    /// Adds ` cgroup=`: the control group that `current` is in.
    pub(crate) fn cgroup(&mut self) {
        let mut path = [0; LONGEST_CGROUP];
        // SAFETY: The path is written to the buffer, at most as many bytes as it has; `current` has
        // a group.
        let length = unsafe { bindings::dmns_cgroup_path(path.as_mut_ptr(), path.len()) };
        // One that fills the buffer has been cut: what differs between containers stands last.
        let whole = usize::try_from(length)
            .ok()
            .filter(|&length| length < path.len() - 1);
        cgroup_field(whole.and_then(|length| path.get(..length)), self);
    }

    /// Adds `pid= uid= auid= ses= subj=`: the short description of `current`.
    pub(crate) fn subject(&mut self) {
        subject().head(self);
        self.flush();
        self.record.task_context();
    }

    fn flush(&mut self) {
        self.record.text(&self.text[..self.len]);
        // INVARIANT: All of the text is in the record now.
        self.len = 0;
    }
}

impl Sink for BufferedRecord {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.len == self.text.len() {
                self.flush();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.text.len() - self.len));
            self.text[self.len..][..now.len()].copy_from_slice(now);
            // INVARIANT: `now` fits, by how it was split.
            self.len += now.len();
            bytes = later;
        }
    }
}

impl Drop for BufferedRecord {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Returns whether auditing is on.
pub(crate) fn enabled() -> bool {
    state() != 0
}

/// Returns whether audit's configuration is locked until the next boot (`auditctl -e 2`).
pub(crate) fn locked() -> bool {
    state() == bindings::AUDIT_LOCKED
}

fn state() -> u32 {
    // SAFETY: `audit_enabled` is an integer that is always valid; C reads it without a
    // lock too, and an old value does no harm.
    unsafe { (&raw const bindings::audit_enabled).read_volatile() }
}

/// Emits a `CONFIG_CHANGE`, in the event of the system call that did it if audit takes it within a
/// second. `head` writes what changed, up to ` auid=`. The caller holds no lock.
pub(crate) fn config_change(result: Result, head: impl FnOnce(&mut RecordText)) {
    if !enabled() {
        return;
    }
    match RecordText::new(Some(Type::ConfigChange), GFP_KERNEL) {
        Some(mut text) => {
            head(&mut text);
            subject().session(&mut *text);
            label(&mut *text);
            text.put(if result.is_ok() { b" res=1" } else { b" res=0" });
            deferred::emit_soon(text);
        }
        None => pr_warn!("CONFIG_CHANGE: out of memory, not recorded\n"),
    }
}

/// Returns the description of `current`, as the initial pid and user namespaces see it.
fn subject() -> Subject {
    let task = kernel::task::Task::current_raw();
    Subject {
        // SAFETY: `current` is valid, and its thread group id never changes.
        pid: unsafe { (*task).tgid },
        // SAFETY: `current` is valid. Only it changes its credentials, which are valid as long as
        // it points to them.
        uid: unsafe { (*(*task).cred).uid.val },
        // SAFETY: `current` is valid; only it changes its login user id.
        auid: unsafe { (*task).loginuid.val },
        // SAFETY: `current` is valid; only it changes its session id.
        ses: unsafe { (*task).sessionid },
    }
}

/// Adds ` subj=`: the security label of `current`, as `audit_log_task_context()` does where one
/// security module labels tasks; where several do, that of the first. Callable from any context.
fn label(out: &mut impl Sink) {
    let mut label = bindings::lsm_prop::default();
    // SAFETY: `label` is ours to write. What it refers to is valid until `current` changes its
    // label.
    unsafe { bindings::security_current_getlsmprop_subj(&raw mut label) };
    let mut text = bindings::lsm_context::default();
    // SAFETY: `label` was just read, `text` is ours to write.
    let length = unsafe {
        bindings::security_lsmprop_to_secctx(
            &raw mut label,
            &raw mut text,
            bindings::LSM_ID_UNDEF as c_int,
        )
    };
    if length < 0 {
        return;
    }
    out.put(b" subj=");
    // SAFETY: The call succeeded: `context` is a NUL-terminated string, ours until it is released.
    out.put(unsafe { CStr::from_char_ptr(text.context) }.to_bytes());
    // SAFETY: `text` came from `security_lsmprop_to_secctx()`, and is released once.
    unsafe { bindings::security_release_secctx(&raw mut text) };
}
