// SPDX-License-Identifier: GPL-2.0-only

//! The device of nsfs, the filesystem of the inodes of namespaces.

use crate::bindings;
use crate::uapi::ns::NsfsDev;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The device as the kernel encodes it. nsfs is mounted once, at boot.
static DEV: Atomic<u32> = Atomic::new(0);

/// Returns the device of nsfs.
pub(crate) fn dev() -> NsfsDev {
    let dev = DEV.load(Relaxed);
    NsfsDev {
        major: major(dev),
        minor: minor(dev),
    }
}

/// Reads the device from the file of a namespace, since the kernel exports no other way. May sleep.
pub(crate) fn init_dev() -> Result {
    const FILE: &CStr = c"/proc/self/ns/net";
    let mut path = bindings::path::default();
    // SAFETY: `FILE` is NUL-terminated, `path` is ours to write. The init function of a module may
    // sleep.
    to_result(unsafe {
        bindings::kern_path(
            FILE.as_char_ptr(),
            bindings::DMNS_LOOKUP_FOLLOW,
            &raw mut path,
        )
    })
    .inspect_err(|e| pr_err!("{}: {:?}: mount /proc, then load again\n", FILE, e))?;
    // SAFETY: `kern_path()` succeeded: `path` holds a dentry, and the dentry its filesystem, until
    // `path_put()`.
    unsafe {
        let dev = (*(*path.dentry).d_sb).s_dev;
        bindings::path_put(&raw const path);
        DEV.store(dev, Relaxed);
    }
    Ok(())
}

/// Returns the major number of a device. C: `MAJOR()` in `include/linux/kdev_t.h`.
pub(crate) fn major(dev: bindings::dev_t) -> u32 {
    dev >> bindings::MINORBITS
}

/// Returns the minor number of a device. C: `MINOR()` in `include/linux/kdev_t.h`.
pub(crate) fn minor(dev: bindings::dev_t) -> u32 {
    dev & ((1 << bindings::MINORBITS) - 1)
}
