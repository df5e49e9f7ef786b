// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Errors of input and output, with a text of this program.

use std::io;
use std::path::Path;

/// Returns an error of unusable input.
pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

/// Adds the file's name to an error.
pub(crate) fn explain(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
