// SPDX-License-Identifier: GPL-2.0-only

//! Functions of the module that C and assembly call.

/// Makes a function callable by its name, and has the compiler compare its signature with the one
/// in `helpers.h`, as `#[export]` does for the kernel's own code.
macro_rules! ffi_export {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            let _ = if true { $crate::bindings::$name } else { $name };
        };)*
    };
}
pub(crate) use ffi_export;
