// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Folders of guests. They are removed with their guest, also if a signal ends this program.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The existing folders; `None` before the first.
static ALL: Mutex<Option<Vec<PathBuf>>> = Mutex::new(None);

/// Returns what to say when a signal ends this program.
type LastWords = Box<dyn Fn() -> String + Send>;

static LAST_WORDS: Mutex<Option<LastWords>> = Mutex::new(None);

/// Prints what `words` returns, if a signal ends this program while a folder exists.
pub(crate) fn say_at_signal(words: impl Fn() -> String + Send + 'static) {
    let mut last = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    *last = Some(Box::new(words));
}

fn all() -> MutexGuard<'static, Option<Vec<PathBuf>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder. It is removed when this value is dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        let mut all = all();
        if all.is_none() {
            mind_signals()?;
        }
        // Short: a socket's path must fit in 108 bytes.
        let dir = tempfile::Builder::new().prefix("dmns-").tempdir()?;
        all.get_or_insert_default().push(dir.path().to_owned());
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(all) = all().as_mut() {
            all.retain(|path| path != self.path());
        }
    }
}

/// From now on, a signal that ends this program removes the folders first. QEMU ends by itself
/// (`vm.rs`).
fn mind_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let words = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(words) = words.as_ref() {
                eprintln!("{}", words());
            }
            drop(words);
            // Locked to the end: no other is made.
            let all = all();
            for path in all.iter().flatten() {
                // A QEMU that begins may write there meanwhile.
                for _ in 0..100 {
                    match fs::remove_dir_all(path) {
                        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
                            thread::sleep(Duration::from_millis(10));
                        }
                        _ => break,
                    }
                }
            }
            let _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}
