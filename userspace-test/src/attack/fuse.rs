// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A FUSE with one file, `x`. An open succeeds, a read never returns, and neither does a flush of a
//! task that is to sleep.

use super::{child, done};
use anyhow::{Context, Result, bail};
use nix::libc;
use nix::mount::{MsFlags, mount};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// The mount point: a tmpfs in the attacker's own mount namespace.
const HOME: &str = "/tmp/hold";

/// The file.
pub(super) const FILE: &str = "/tmp/hold/fuse/x";

/// Mounts it in the caller's mount namespace. Nobody serves it until [`serve`] does.
pub(super) fn mounted() -> Result<File> {
    fs::create_dir_all(HOME).context(HOME)?;
    let nothing = None::<&str>;
    mount(Some("hold"), HOME, Some("tmpfs"), MsFlags::empty(), nothing).context("tmpfs")?;
    let at = format!("{HOME}/fuse");
    fs::create_dir(&at)?;
    let fuse = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .context("/dev/fuse")?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        fuse.as_raw_fd()
    );
    mount(
        Some("hold"),
        at.as_str(),
        Some("fuse"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .context("fuse")?;
    Ok(fuse)
}

// Operations of linux/fuse.h.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// Starts a child that serves it. A read is never answered, nor a flush by one of `sleepers`:
/// `asleep` counts those.
pub(super) fn serve(mut fuse: File, sleepers: &[AtomicU64], asleep: &AtomicU64) -> Result<()> {
    // `FOPEN_KEEP_CACHE`: else each open waits for the page that is never read.
    const KEEP_CACHE: u8 = 2;
    child(move || {
        let mut request = vec![0_u8; 1 << 20];
        loop {
            let n = match fuse.read(&mut request) {
                Ok(n) => n,
                // A request that was interrupted is gone.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e).context("reading requests"),
            };
            let word = |at: usize| -> u32 {
                let bytes = request.get(at..at + 4).and_then(|b| b.try_into().ok());
                u32::from_ne_bytes(bytes.unwrap_or_default())
            };
            // struct fuse_in_header: length, operation, unique, node, uid, gid, pid.
            let (operation, pid) = (word(4), u64::from(word(32)));
            if n < 40 {
                bail!("a request of {n} bytes");
            }
            let is_sleeper = || sleepers.iter().any(|id| id.load(Ordering::Relaxed) == pid);
            let answer: Result<Vec<u8>, i32> = match operation {
                FORGET | BATCH_FORGET | INTERRUPT | READ => continue,
                FLUSH if is_sleeper() => {
                    asleep.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                FLUSH => Ok(Vec::new()),
                INIT => Ok(init()),
                LOOKUP => {
                    Ok([&[2, 0, 0, 0, 0, 0, 0, 0], [0; 32].as_slice(), &attributes()].concat())
                }
                GETATTR => Ok([[0; 16].as_slice(), &attributes()].concat()),
                OPEN => Ok([[0; 8], [KEEP_CACHE, 0, 0, 0, 0, 0, 0, 0]].concat()),
                _ => Err(libc::ENOSYS),
            };
            let (error, body) = match answer {
                Ok(body) => (0, body),
                Err(error) => (-error, Vec::new()),
            };
            let mut out = Vec::new();
            out.extend((16 + body.len() as u32).to_ne_bytes());
            out.extend(error.to_ne_bytes());
            out.extend(&request[8..16]);
            out.extend(body);
            // Who asked may have been killed.
            let _ = fuse.write(&out);
        }
    })?;
    Ok(())
}

/// Returns struct fuse_init_out: version 7.31 and what a small server supports.
fn init() -> Vec<u8> {
    let mut out = Vec::new();
    // Major, minor, readahead, flags, background and its threshold, the largest write.
    for word in [7_u32, 31, 4096, 0, 0, 4096] {
        out.extend(word.to_ne_bytes());
    }
    out.resize(64, 0);
    out
}

/// Returns struct fuse_attr of the file, but for the root, which nobody asks for.
fn attributes() -> Vec<u8> {
    let mut out = Vec::new();
    // Inode, size, blocks; three times; their nanoseconds.
    for word in [2_u64, 1 << 20, 2048, 0, 0, 0] {
        out.extend(word.to_ne_bytes());
    }
    // Nanoseconds; mode, links, uid, gid, device, block size, padding.
    for word in [0_u32, 0, 0, libc::S_IFREG | 0o666, 1, 0, 0, 0, 4096, 0] {
        out.extend(word.to_ne_bytes());
    }
    out
}

/// Maps a page of the file, which no access ever returns from.
pub(super) fn page(file: &File) -> Result<*mut libc::c_void> {
    // SAFETY: It is a new mapping, which nothing in this program reads or writes.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        done(-1).context("mapping the file")?;
    }
    Ok(at)
}
