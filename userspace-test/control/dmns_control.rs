// SPDX-License-Identifier: GPL-2.0-only

//! Does one wrong thing when it is loaded, to show that a debug kernel complains of it: the control of the tests
//! in which it must not complain.

use core::borrow::Borrow;
use kernel::new_mutex;
use kernel::new_spinlock;
use kernel::prelude::*;

module! {
    type: Control,
    name: "dmns_control",
    authors: ["The dmns-audit developers"],
    description: "Does one wrong thing, for a debug kernel to complain of",
    license: "GPL v2",
    params: {
        wrong: u8 {
            default: 0,
            description: "1: loses memory, 2: sleeps with a spinlock held, 3: takes two locks in both orders, 4: writes past the end",
        },
    },
}

struct Control;

impl kernel::Module for Control {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        match *module_parameters::wrong.value().borrow() {
            1 => lose(),
            2 => sleep(),
            3 => invert(),
            4 => overrun(),
            _ => Err(EINVAL),
        }?;
        Ok(Self)
    }
}

/// kmemleak: memory that nobody points to any more. Several pieces, since a stale pointer may hide one.
fn lose() -> Result {
    for _ in 0..8 {
        core::mem::forget(KBox::new([0u8; 200], GFP_KERNEL)?);
    }
    Ok(())
}

/// DEBUG_ATOMIC_SLEEP: an allocation that may wait, where nothing may.
fn sleep() -> Result {
    let lock = KBox::pin_init(new_spinlock!(0), GFP_KERNEL)?;
    let _guard = lock.lock();
    KBox::new(0, GFP_KERNEL)?;
    Ok(())
}

/// lockdep: an order of locks that dead-locks two tasks, though here is but one.
fn invert() -> Result {
    let first = KBox::pin_init(new_mutex!(()), GFP_KERNEL)?;
    let second = KBox::pin_init(new_mutex!(()), GFP_KERNEL)?;
    {
        let _first = first.lock();
        let _second = second.lock();
    }
    let _second = second.lock();
    let _first = first.lock();
    Ok(())
}

/// KASAN at once, or SLUB's red zones when it is freed.
fn overrun() -> Result {
    let mut memory = KBox::new([0u8; 64], GFP_KERNEL)?;
    let end = memory.as_mut_ptr().wrapping_add(64);
    // SAFETY: There is none: this is the wrong thing. It touches what SLUB or KASAN keeps free behind an object.
    unsafe { end.write_volatile(1) };
    Ok(())
}
