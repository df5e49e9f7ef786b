// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Documents and scenarios against the source that they are about.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns the files below a folder of the project that have this extension, with their text.
fn files(folder: &str, extension: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder),
    ];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path)?;
                found.push((path, text));
            }
        }
    }
    Ok(found)
}

#[test]
fn the_order_of_each_atomic_is_argued() -> io::Result<()> {
    let page = include_str!("../../docs/design/memory-order.md");
    let mut seen = 0;
    for (path, text) in files("kmod", "rs")? {
        for line in text.lines().filter(|line| line.contains("Atomic<")) {
            let line = line.trim_start_matches("pub(crate) ");
            let Some(rest) = line.strip_prefix("static ") else {
                continue;
            };
            let name = rest.split(':').next().unwrap_or_default();
            assert!(
                page.contains(&format!("`{name}")),
                "{name} of {}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
    let barriers = files("kmod", "c")?;
    for barrier in ["smp_rmb()", "smp_wmb()", "smp_mb()"] {
        if barriers.iter().any(|(_, text)| text.contains(barrier)) {
            assert!(page.contains(&format!("`{barrier}`")), "{barrier}");
        }
    }
    Ok(())
}

#[test]
fn scenarios_have_no_number_of_a_system_call() -> io::Result<()> {
    // Those of x32, which x86-64 alone has, are in no table of names.
    let all = files("userspace-test/scenarios", "toml")?;
    for (path, text) in all.iter().filter(|(path, _)| !path.ends_with("x32.toml")) {
        for line in text.lines() {
            let is_number = |call: &str| {
                let mut rest = line.split(call).skip(1);
                rest.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            };
            assert!(
                !["syscall ", "syscall(", "syscall="]
                    .into_iter()
                    .any(is_number),
                "{}: {line}",
                path.display()
            );
        }
    }
    Ok(())
}
