// SPDX-License-Identifier: GPL-2.0-only

//! The files in `/sys/kernel/security/dmns_audit`.
//!
//! C header: [`include/linux/security.h`](srctree/include/linux/security.h)
//!
//! securityfs, since lockdown does not close it, as it does debugfs. An open file holds a reference
//! to the module.

mod filter;
mod info;

use crate::audit::Class;
use crate::baseline;
use crate::bindings;
use crate::counters;
use crate::ffi::ffi_export;
use crate::info::Level;
use core::ptr::null_mut;
use filter::FilterFile;
use info::InfoFile;
use kernel::error::{
    from_err_ptr,
    from_result, //
};
use kernel::fmt;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Release, //
};

ffi_export!(dmns_control_show, dmns_control_store);

/// The files: name, mode.
const FILES: [(&CStr, u16); 6] = [
    (c"info", 0o600),
    (c"filter", 0o600),
    (c"counters", 0o400),
    (c"users", 0o400),
    (c"devices", 0o400),
    (c"baseline", 0o400),
];

/// The state that the files control.
#[pin_data]
pub(crate) struct Control {
    #[pin]
    info: InfoFile,
    #[pin]
    filter: FilterFile,
}

impl Control {
    /// Starts at `level`, with what it needs attached, and nothing filtered.
    pub(crate) fn new(level: Level, ns: bool) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            info <- InfoFile::new(level),
            filter <- FilterFile::new(ns),
        })
    }

    fn show(&self, file: c_ulong, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match file {
            0 => self.info.show(f),
            1 => self.filter.show(f),
            2 => counters::write(f),
            3 => Class::Ns.write_shares(f),
            4 => Class::Dm.write_shares(f),
            _ => baseline::show(f),
        }
    }

    fn store(&self, file: c_ulong, text: &[u8]) -> Result {
        match file {
            0 => self.info.store(text),
            1 if text.len() <= FilterFile::MAX_TEXT => self.filter.store(text),
            _ => Err(EINVAL),
        }
    }
}

/// The state that the open files control; null before the files exist.
static CONTROL: Atomic<*mut Control> = Atomic::new(null_mut());

/// The files, as long as this exists.
pub(crate) struct Files {
    dir: *mut bindings::dentry,
    files: [Result<*mut bindings::dentry>; FILES.len()],
    _control: Pin<KBox<Control>>,
}

// SAFETY: securityfs guards its entries with locks of its own.
unsafe impl Send for Files {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl Sync for Files {}

impl Files {
    /// Makes the files. A file that cannot be made is reported in the kernel log.
    pub(crate) fn new(control: Pin<KBox<Control>>) -> Self {
        CONTROL.store(core::ptr::from_ref(&*control).cast_mut(), Release);
        // SAFETY: The name is NUL-terminated; null asks for the root of securityfs. The caller may
        // sleep.
        let dir =
            unsafe { bindings::securityfs_create_dir(c"dmns_audit".as_char_ptr(), null_mut()) };
        let files = core::array::from_fn(|number| {
            let (name, mode) = FILES[number];
            let made = from_err_ptr(dir).and_then(|dir| {
                // SAFETY: The name is NUL-terminated, `dir` is a directory of securityfs, and the
                // operations are static. The caller may sleep.
                from_err_ptr(unsafe {
                    bindings::securityfs_create_file(
                        name.as_char_ptr(),
                        mode,
                        dir,
                        number as *mut c_void,
                        &raw const bindings::dmns_file_operations,
                    )
                })
            });
            made.inspect_err(|_| {
                pr_err!(
                    "securityfs: cannot create dmns_audit/{} (disabled, or out of memory): unload, then load again\n",
                    name
                );
            })
        });
        Self {
            dir,
            files,
            _control: control,
        }
    }

    /// Makes each later open of a file fail, when the module is about to be unloaded. Until then the
    /// kernel warns of an open, since it gets no reference to the module.
    ///
    /// No file is open: an open one holds a reference. But a mount of a file keeps its inode, which
    /// would lead to freed memory. The hooks are detached afterwards, which waits for tasks that are
    /// about to open a file (`synchronize_rcu_tasks()`, in `unregister_ftrace_direct()`).
    pub(crate) fn close(&mut self) {
        for file in self.files.iter().flatten() {
            // SAFETY: securityfs keeps the file, and so its inode, until `drop`.
            unsafe { bindings::make_bad_inode((**file).d_inode) };
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // No file is open: each open one holds a reference to the module.
        // SAFETY: `dir` came from securityfs_create_dir(); errors are ignored there. The files are
        // removed with it.
        unsafe { bindings::securityfs_remove(self.dir) };
        CONTROL.store(null_mut(), Release);
    }
}

/// Returns what the files control.
fn control() -> Option<&'static Control> {
    // SAFETY: Null, or valid until the files are removed: an open file holds a reference to the
    // module.
    unsafe { CONTROL.load(Acquire).as_ref() }
}

struct Shown(&'static Control, c_ulong);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(self.1, f)
    }
}

/// Writes what a file has.
///
/// # Safety
///
/// To be called by `seq_read()` alone, for `m`.
#[no_mangle]
unsafe extern "C" fn dmns_control_show(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    let Some(control) = control() else {
        return ENODEV.to_errno();
    };
    // SAFETY: By the safety requirements. `private` is the number of the file: see helpers.c.
    let (m, file) = unsafe { (SeqFile::from_raw(m), (*m).private as c_ulong) };
    kernel::seq_print!(m, "{}", Shown(control, file));
    0
}

/// Carries out what was written to a file.
///
/// # Safety
///
/// `text` points to `length` bytes.
#[no_mangle]
unsafe extern "C" fn dmns_control_store(file: c_ulong, text: *const u8, length: usize) -> c_int {
    from_result(|| {
        // SAFETY: By the safety requirements.
        let text = unsafe { core::slice::from_raw_parts(text, length) };
        control().ok_or(ENODEV)?.store(file, text).map(|()| 0)
    })
}
