// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Copies a module as if it were built for another build of the kernel.

use super::status;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy a module, and change the last character of each name of the kernel's build in it.
///
/// Exit status: 1 if the module has no such name.
#[derive(clap::Args)]
pub(super) struct OtherBuild {
    /// The module.
    module: PathBuf,
    /// The copy.
    copy: PathBuf,
}

/// Writes the copy, and prints the number of changes.
pub(super) fn run(options: &OtherBuild) -> Result<ExitCode> {
    let notes = fs::read("/sys/kernel/notes").context("/sys/kernel/notes")?;
    let version = nix::sys::utsname::uname()?;
    let mut module = fs::read(&options.module).context("the module")?;
    let changed = alter(
        &mut module,
        &builds(&notes, version.version().as_encoded_bytes())?,
    );
    println!("changed in {changed} places");
    fs::write(&options.copy, module).context("the copy")?;
    Ok(status(changed == 0))
}

/// Returns the names of the kernel's build: its version, Debian's package in it, and the build id as
/// text and as bytes.
fn builds(notes: &[u8], version: &[u8]) -> Result<Vec<Vec<u8>>> {
    // C: struct elf_note, with NT_GNU_BUILD_ID: the sizes of name and content, the type, the name.
    let head = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let Some(at) = find(notes, head) else {
        bail!("the kernel has no build id");
    };
    let id = notes
        .get(at + head.len()..at + head.len() + 20)
        .context("the build id is cut")?;
    let mut names = vec![version.to_vec()];
    if let Some(at) = find(version, b"Debian ") {
        let package = version[at + 7..].split(|byte| *byte == b' ').next();
        names.extend(package.map(<[u8]>::to_vec));
    }
    names.push(
        id.iter()
            .flat_map(|byte| format!("{byte:02x}").into_bytes())
            .collect(),
    );
    names.push(id.to_vec());
    Ok(names)
}

/// Returns where `what` begins first.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Changes the last character of each name wherever it is. Returns the number of changes.
fn alter(module: &mut [u8], names: &[Vec<u8>]) -> usize {
    let mut changed = 0;
    for name in names {
        let mut from = 0;
        while let Some(at) = find(&module[from..], name) {
            from += at + name.len();
            module[from - 1] = module[from - 1].wrapping_add(1);
            changed += 1;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_of_a_build_is_changed() {
        let mut notes = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0".to_vec();
        notes.extend(1..=20);
        let names = builds(&notes, b"#1 SMP Debian 7.3.4-1 (2026-11-01)").expect("names");
        assert_eq!(names[1], b"7.3.4-1");
        assert_eq!(names[2], b"0102030405060708090a0b0c0d0e0f1011121314");
        let mut module = b"x 7.3.4-1 y 0102030405060708090a0b0c0d0e0f1011121314 z".to_vec();
        assert_eq!(alter(&mut module, &names), 2);
        assert_eq!(
            module,
            b"x 7.3.4-2 y 0102030405060708090a0b0c0d0e0f1011121315 z"
        );
        assert!(builds(b"", b"#1").is_err());
    }
}
