// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Bytes of a file that are inverted.

use anyhow::{Context, Result};
use clap::Args;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Invert bytes of a file, and wait until they are stored.
#[derive(Args)]
pub(super) struct CorruptBytes {
    /// The file.
    file: PathBuf,
    /// Offset of the first byte.
    offset: u64,
    /// Number of bytes.
    #[arg(default_value_t = 1, requires = "step")]
    count: u64,
    /// Distance of each byte from the one before.
    #[arg(default_value_t = 0)]
    step: u64,
    /// The bits of each byte.
    #[arg(long, default_value_t = u8::MAX, value_parser = clap::value_parser!(u8).range(1..))]
    mask: u8,
}

/// Inverts them.
pub(super) fn run(options: &CorruptBytes) -> Result<ExitCode> {
    invert(options).with_context(|| options.file.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn invert(options: &CorruptBytes) -> Result<()> {
    let mut open = OpenOptions::new();
    let file = open.read(true).write(true).open(&options.file)?;
    for i in 0..options.count {
        let offset = options.offset + i * options.step;
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset)
            .with_context(|| format!("no byte at {offset}"))?;
        file.write_all_at(&[byte[0] ^ options.mask], offset)?;
    }
    file.sync_all().context("not stored")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn bytes(path: &Path, offset: u64, count: u64, step: u64) -> CorruptBytes {
        CorruptBytes {
            file: path.to_owned(),
            offset,
            count,
            step,
            mask: u8::MAX,
        }
    }

    #[test]
    fn bytes_at_a_distance_are_inverted() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        fs::write(&path, [0, 1, 2, 3, 4, 5])?;
        invert(&bytes(&path, 1, 2, 3))?;
        assert_eq!(fs::read(&path)?, [0, 254, 2, 3, 251, 5]);
        invert(&bytes(&path, 5, 1, 0))?;
        assert_eq!(fs::read(&path)?, [0, 254, 2, 3, 251, 250]);
        invert(&CorruptBytes {
            mask: 4,
            ..bytes(&path, 0, 1, 0)
        })?;
        assert_eq!(fs::read(&path)?[0], 4);
        Ok(())
    }

    #[test]
    fn a_byte_past_the_end_is_an_error() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        fs::write(&path, [0])?;
        let error = invert(&bytes(&path, 1, 1, 0)).expect_err("past the end");
        assert_eq!(error.to_string(), "no byte at 1");
        assert_eq!(fs::read(&path)?, [0]);
        Ok(())
    }
}
