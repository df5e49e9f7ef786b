// SPDX-License-Identifier: GPL-2.0-only

//! A wait, with a bound, for the worker to emit a deferred record.

use kernel::new_condvar;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{
    Arc,
    CondVar,
    CondVarTimeoutResult,
    Mutex, //
};
use kernel::time::msecs_to_jiffies;

/// A deferred record that somebody waits for.
#[pin_data]
pub(super) struct Ticket {
    /// The serial number of the record, once the worker is done with it; 0 where audit refused it.
    #[pin]
    serial: Mutex<Option<u32>>,
    #[pin]
    done: CondVar,
}

impl Ticket {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                serial <- new_mutex!(None),
                done <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    /// Ends the wait.
    pub(super) fn complete(&self, serial: u32) {
        *self.serial.lock() = Some(serial);
        self.done.notify_all();
    }

    /// Waits at most `milliseconds`, or until a signal comes. Returns the serial number; `None` if
    /// the worker is not done.
    pub(super) fn wait(&self, milliseconds: u32) -> Option<u32> {
        let mut left = msecs_to_jiffies(milliseconds);
        let mut serial = self.serial.lock();
        while serial.is_none() {
            match self.done.wait_interruptible_timeout(&mut serial, left) {
                CondVarTimeoutResult::Woken { jiffies } => left = jiffies,
                CondVarTimeoutResult::Timeout | CondVarTimeoutResult::Signal { .. } => break,
            }
        }
        *serial
    }
}
