// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The initramfs: the modules of the guest's disk, and the files that differ from run to run.
//!
//! Format: `newc` cpio, as `Documentation/driver-api/early-userspace/buffer-format.rst` has it. The
//! kernel wants nothing else of it than regular files, links and folders, so these few lines
//! replace a cpio program that would run at every boot.

use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The kernel modules between the initramfs and the guest's disk. The rest is on the disk.
const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "erofs",
    "overlay",
    "9pnet_virtio",
];

/// An initramfs in the making.
#[derive(Default)]
pub(crate) struct Initramfs {
    archive: Vec<u8>,
    folders: HashSet<String>,
    inode: u32,
}

impl Initramfs {
    /// Adds a file of these contents, with the folders above it.
    pub(crate) fn file(&mut self, path: &str, executable: bool, contents: &[u8]) {
        let mode = if executable { 0o100_755 } else { 0o100_644 };
        self.add(path, mode, contents);
    }

    /// Adds a symbolic link, with the folders above it.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.add(path, 0o120_777, target.as_bytes());
    }

    /// Adds a file or folder of this machine below `folder`, under its own name. Symbolic links are
    /// followed.
    pub(crate) fn copy(&mut self, folder: &str, source: &Path) -> Result<()> {
        let name = source.file_name().context("no name")?.to_string_lossy();
        let path = format!("{folder}/{name}");
        let shown = || source.display().to_string();
        let metadata = fs::metadata(source).with_context(shown)?;
        if !metadata.is_dir() {
            let contents = fs::read(source).with_context(shown)?;
            self.file(&path, metadata.mode() & 0o111 != 0, &contents);
            return Ok(());
        }
        let mut entries = fs::read_dir(source)
            .with_context(shown)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        entries.sort();
        entries.iter().try_for_each(|entry| self.copy(&path, entry))
    }

    fn add(&mut self, path: &str, mode: u32, contents: &[u8]) {
        let mut folder = String::new();
        for part in path
            .split('/')
            .rev()
            .skip(1)
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            folder.push_str(part);
            if self.folders.insert(folder.clone()) {
                self.entry(&folder, 0o040_755, &[]);
            }
            folder.push('/');
        }
        self.entry(path, mode, contents);
    }

    /// Adds the modules that lead to the disk, numbered in the order in which they need each other.
    pub(crate) fn modules(&mut self, lib_modules: &Path) -> Result<()> {
        let dep = lib_modules.join("modules.dep");
        let dep = fs::read_to_string(&dep).with_context(|| dep.display().to_string())?;
        let mut order: Vec<&str> = Vec::new();
        for module in MODULES {
            // "kernel/fs/erofs/erofs.ko.xz: kernel/..." names what it needs from last to first. A
            // module that is not listed is built in.
            let line = dep.lines().find(|line| {
                let file = line.split(':').next().unwrap_or_default();
                let name = file.rsplit('/').next().unwrap_or_default();
                name.split('.').next() == Some(module)
            });
            let Some((file, needs)) = line.and_then(|line| line.split_once(':')) else {
                continue;
            };
            for file in needs.split_whitespace().rev().chain([file]) {
                if !order.contains(&file) {
                    order.push(file);
                }
            }
        }
        for (i, file) in order.iter().enumerate() {
            let contents = fs::read(lib_modules.join(file)).with_context(|| (*file).to_string())?;
            let name = file.rsplit('/').next().unwrap_or_default();
            self.file(&format!("modules/{i:02}-{name}"), false, &contents);
        }
        Ok(())
    }

    /// Returns the archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.archive
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.inode += 1;
        self.archive.extend(b"070701");
        for field in [
            self.inode,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // mtime
            contents.len() as u32,
            0, // major, minor
            0,
            0, // rmajor, rminor
            0,
            path.len() as u32 + 1,
            0, // check
        ] {
            self.archive.extend(format!("{field:08x}").bytes());
        }
        self.archive.extend(path.bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive
            .resize(self.archive.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn a_folder_is_copied_with_its_executable_files() -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        fs::create_dir_all(data.join("sub"))?;
        fs::write(data.join("plain"), "p")?;
        fs::write(data.join("sub/script"), "#!/bin/sh")?;
        fs::set_permissions(data.join("sub/script"), fs::Permissions::from_mode(0o755))?;
        let mut initramfs = Initramfs::default();
        initramfs.copy("dmns/files", &data)?;
        let mut expected = Initramfs::default();
        expected.file("dmns/files/data/plain", false, b"p");
        expected.file("dmns/files/data/sub/script", true, b"#!/bin/sh");
        assert!(initramfs.finish() == expected.finish());
        let missing = Initramfs::default().copy("dmns/files", &dir.path().join("none"));
        assert!(missing.is_err_and(|e| format!("{e:#}").contains("/none: No such file")));
        Ok(())
    }

    /// GNU cpio reads the archive back, where there is one.
    #[test]
    fn cpio_lists_the_archive() -> Result<()> {
        let mut initramfs = Initramfs::default();
        initramfs.file("init", true, b"#!");
        initramfs.file("dmns/tool", true, &[7; 4097]);
        initramfs.link("dmns/bin/save", "../tool");
        initramfs.file("dmns/bin/wait", false, b"");
        let archive = initramfs.finish();
        assert_eq!(archive.len() % 4, 0);
        let Ok(mut cpio) = Command::new("cpio")
            .args(["--list", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            eprintln!("no cpio here: only the size was checked");
            return Ok(());
        };
        cpio.stdin.take().context("stdin")?.write_all(&archive)?;
        let listed = cpio.wait_with_output()?;
        assert!(listed.status.success());
        assert_eq!(
            String::from_utf8_lossy(&listed.stdout),
            "init\ndmns\ndmns/tool\ndmns/bin\ndmns/bin/save\ndmns/bin/wait\n"
        );
        Ok(())
    }
}
