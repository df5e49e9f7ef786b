// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a kernel image and a kernel module state about themselves.

use crate::arch::Arch;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;

/// A kernel image for guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// What `uname -r` prints.
    pub(crate) release: String,
    /// What `uname -v` prints: number and time of the build.
    pub(crate) version: String,
}

/// How compressed files begin: gzip, xz, zstd, bzip2, LZ4 (two forms), LZMA, LZO.
const COMPRESSED: [&[u8]; 8] = [
    b"\x1f\x8b",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"BZh",
    b"\x02\x21\x4c\x18",
    b"\x04\x22\x4d\x18",
    b"\x5d\0\0",
    b"\x89LZO",
];

impl Image {
    /// Reads an image for guests of an architecture.
    pub(crate) fn read(path: &Path, arch: Arch) -> Result<Self> {
        ensure!(
            !path.is_dir(),
            "{}: a folder: give the image in it, or a built tree with --tree",
            path.display()
        );
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Self::parse(&bytes, arch).with_context(|| path.display().to_string())
    }

    fn parse(bytes: &[u8], arch: Arch) -> Result<Self> {
        let give = format!("give the tree's {}", arch.image().0);
        let has = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()) == Some(magic);
        let is = [
            (Arch::Amd64.title(), has(0x202, b"HdrS")),
            (Arch::Arm64.title(), has(0x38, b"ARM\x64")),
            ("RISC-V", has(0x30, b"RISCV\0\0\0")),
        ];
        match is.into_iter().find(|(_, is)| *is) {
            Some((title, _)) if title == arch.title() => {}
            Some((title, _)) => bail!(
                "a kernel for {title}, and guests are {0}: {give} of a build for {0}, or ask for others (--arch)",
                arch.title()
            ),
            None if has(0, b"\x7fELF") => {
                bail!("an ELF file, such as vmlinux, which QEMU does not boot: {give}")
            }
            None if bytes.is_empty() => {
                bail!("an empty file: {give}, built again")
            }
            None if has(0, b"MZ\0\0zimg") => {
                bail!("an EFI image that unpacks itself (CONFIG_EFI_ZBOOT): {give}")
            }
            None if has(0, b"MZ") => {
                bail!("an EFI program, such as a unified kernel image (UKI): {give}")
            }
            None if COMPRESSED.iter().any(|magic| has(0, magic)) => {
                bail!("a compressed file: {give}")
            }
            None => bail!("not a kernel image: {give}"),
        }
        let name = match arch {
            Arch::Amd64 => Self::of_header(bytes)?,
            Arch::Arm64 => Self::of_banner(bytes),
        };
        let name = String::from_utf8_lossy(name);
        // RELEASE (BUILDER) #NUMBER ... TIME
        let release = name.split(' ').next().unwrap_or_default();
        let version = name.find(" #").map(|at| &name[at + 1..]);
        let (false, Some(version)) = (release.is_empty(), version) else {
            bail!(
                "it does not have the name of the kernel: build it again with make {}",
                arch.image().1
            );
        };
        Ok(Self {
            release: release.to_owned(),
            version: version.to_owned(),
        })
    }

    /// Returns the name in the header of a bzImage: `Documentation/arch/x86/boot.rst`.
    fn of_header(bytes: &[u8]) -> Result<&[u8]> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        // Bit 0 of xloadflags: it has the 64-bit entry point.
        ensure!(
            u16_at(0x236).is_some_and(|flags| flags & 1 == 1),
            "a 32-bit kernel, and guests are x86-64: build it with CONFIG_64BIT=y"
        );
        let at = usize::from(u16_at(0x20e).unwrap_or(0)) + 0x200;
        let name = bytes.get(at..).unwrap_or_default();
        Ok(name.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// Returns the name in `linux_banner[]`, without "Linux version ": init/version-timestamp.c. An image
    /// that is not compressed has it.
    fn of_banner(bytes: &[u8]) -> &[u8] {
        const BEGIN: &[u8] = b"Linux version ";
        bytes
            .split(|byte| *byte == 0 || *byte == b'\n')
            .filter_map(|text| text.strip_prefix(BEGIN))
            .find(|name| name.first().is_some_and(u8::is_ascii_digit))
            .unwrap_or_default()
    }

    /// Returns why `module`, the contents of `dmns_audit.ko`, cannot be loaded into this kernel, if
    /// that can be seen.
    pub(crate) fn refuses(&self, module: &[u8], arch: Arch) -> Option<String> {
        is_no_module(module, arch).or_else(|| self.is_not_for(module))
    }

    /// Returns why `module` is for another kernel, if that can be seen.
    fn is_not_for(&self, module: &[u8]) -> Option<String> {
        let magic = info(module, "vermagic").unwrap_or_default();
        let release = magic.split(' ').next().unwrap_or_default();
        if release != self.release {
            let built = match release {
                "" => "no kernel".to_owned(),
                release => release.to_owned(),
            };
            return Some(format!(
                "built for {built}, and the image is {}: {BUILD} of this kernel",
                self.release
            ));
        }
        // A module that was built in a tree that is prepared and not built has no name of a build.
        let other = builds(module)
            .into_iter()
            .find(|build| *build != self.version);
        let own = find(module, self.version.as_bytes()).is_some();
        other.filter(|_| !own).map(|build| {
            format!(
                "built for the build \"{build}\" of {}, and the image is \"{}\": {BUILD} again",
                self.release, self.version
            )
        })
    }
}

/// What to do about a module that is not for the kernel.
const BUILD: &str = "build it with make module KDIR=TREE";

/// Returns why `module` is no `dmns_audit.ko` for guests of an architecture, if that can be seen.
pub(crate) fn is_no_module(module: &[u8], arch: Arch) -> Option<String> {
    if !module.starts_with(b"\x7fELF") {
        return Some(format!("not a module, or a compressed one: {BUILD}"));
    }
    // C: e_machine
    if module.get(18..20) != Some(&arch.elf_machine().to_le_bytes()) {
        return Some(format!(
            "a module of another architecture, and guests are {}: {BUILD}",
            arch.title()
        ));
    }
    let name = info(module, "name").unwrap_or_default();
    (name != "dmns_audit").then(|| format!("not dmns_audit, but {name:?}: {BUILD}"))
}

/// Returns what a module states about itself. C: MODULE_INFO()
fn info(module: &[u8], name: &str) -> Option<String> {
    let key = format!("\0{name}=");
    let at = find(module, key.as_bytes())? + key.len();
    let value = module[at..].split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Returns the names of builds in a module: "#1 SMP PREEMPT_DYNAMIC Sun Nov 29 ...".
fn builds(module: &[u8]) -> Vec<String> {
    module
        .split(|byte| *byte == 0)
        .filter(|text| text.starts_with(b"#") && find(text, b" SMP").is_some())
        .filter_map(|text| String::from_utf8(text.to_vec()).ok())
        .collect()
}

/// Returns where `needle` is in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const VERSION: &str = "#3 SMP PREEMPT_DYNAMIC Sun Nov 29 04:00:00 UTC 2026";

    /// Returns the header of a bzImage of this release, as far as it is read.
    pub(crate) fn bzimage(release: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x236] = 1;
        bytes[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        let name = format!("{release} (me@here) {VERSION}\0");
        bytes[0x300..0x300 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    fn module(release: &str, build: &str) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(18, 0);
        bytes.extend(62u16.to_le_bytes());
        bytes.extend(format!("\0name=dmns_audit\0vermagic={release} SMP preempt \0").bytes());
        bytes.extend(format!("{build}\0").bytes());
        bytes
    }

    #[test]
    fn an_image_names_its_kernel() {
        let mut arm = vec![0; 64];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let banners = format!(
            "Linux version %s\0\0Linux version 7.3.4-mine (me@here) (gcc 14) {VERSION}\n\0"
        );
        arm.extend(banners.bytes());
        for (bytes, arch) in [(bzimage("7.3.4-mine"), Arch::Amd64), (arm, Arch::Arm64)] {
            let image = Image::parse(&bytes, arch).expect("an image");
            assert_eq!(image.release, "7.3.4-mine");
            assert_eq!(image.version, VERSION);
        }
    }

    #[test]
    fn what_is_no_image_for_the_guest_is_named() {
        let mut arm = vec![0; 64];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let mut small = bzimage("7.3.4");
        small[0x236] = 0;
        let mut nameless = bzimage("7.3.4");
        nameless[0x300] = 0;
        for (bytes, says) in [
            (arm, "a kernel for arm64, and guests are x86-64"),
            (
                b"\x7fELF\x02\x01".to_vec(),
                "vmlinux, which QEMU does not boot",
            ),
            (b"\x1f\x8b\x08\0".to_vec(), "a compressed file"),
            (b"BZh91AY".to_vec(), "a compressed file"),
            (b"\x02\x21\x4c\x18".to_vec(), "a compressed file"),
            (b"\x5d\0\0\x80\0".to_vec(), "a compressed file"),
            (b"MZ\0\0zimg".to_vec(), "CONFIG_EFI_ZBOOT"),
            (b"MZ\x90\0".to_vec(), "a unified kernel image (UKI)"),
            (Vec::new(), "an empty file"),
            (small, "a 32-bit kernel"),
            (nameless, "does not have the name of the kernel"),
            (b"text".to_vec(), "not a kernel image: give"),
        ] {
            let said = Image::parse(&bytes, Arch::Amd64)
                .expect_err(says)
                .to_string();
            assert!(said.contains(says), "{said}\nshould say: {says}");
        }
    }

    #[test]
    fn a_module_of_another_kernel_is_refused_before_the_guest_boots() {
        let image = Image::parse(&bzimage("7.3.4-mine"), Arch::Amd64).expect("an image");
        assert_eq!(
            image.refuses(&module("7.3.4-mine", VERSION), Arch::Amd64),
            None
        );
        assert_eq!(image.refuses(&module("7.3.4-mine", ""), Arch::Amd64), None);
        let mut arm = module("7.3.4-mine", VERSION);
        arm[18] = 183;
        let other = String::from_utf8_lossy(&module("7.3.4-mine", VERSION))
            .replace("name=dmns_audit", "name=dm_bufio");
        for (module, says) in [
            (other.into_bytes(), "not dmns_audit, but \"dm_bufio\""),
            (
                module("7.3.3", VERSION),
                "built for 7.3.3, and the image is 7.3.4-mine",
            ),
            (
                module("7.3.4-mine", &VERSION.replace("#3", "#2")),
                "built for the build \"#2 SMP",
            ),
            (arm, "a module of another architecture"),
            (b"\xfd7zXZ".to_vec(), "not a module, or a compressed one"),
        ] {
            let said = image.refuses(&module, Arch::Amd64).expect(says);
            assert!(said.contains(says), "{said}\nshould say: {says}");
            assert!(said.contains("make module KDIR=TREE"), "{said}");
        }
    }
}
