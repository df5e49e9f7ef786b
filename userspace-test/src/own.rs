// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A kernel of one's own: `--tree`, or `--kernel` with `--modules`.
//!
//! What can be wrong with it is looked for before anything is made, as far as its files show it, and
//! named in a sentence with what to do. Compilers and functions are looked for later, in scripts.

use crate::arch::Arch;
use crate::config::Config;
use crate::image::{self, Image};
use crate::kind::Kind;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// The options that choose the kernel and the module.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// A kernel tree of one's own that is built (`make bzImage modules`, for arm64 `Image modules`), or
    /// the folder of O=: its image, its modules, and the module built for it.
    #[arg(long, value_name = "DIR", global = true, help_heading = "Kernel")]
    tree: Option<PathBuf>,
    /// A kernel image of one's own (bzImage, for arm64 Image), instead of --tree.
    #[arg(long, value_name = "IMAGE", global = true, help_heading = "Kernel")]
    kernel: Option<PathBuf>,
    /// The modules of --kernel: lib/modules/RELEASE, or what INSTALL_MOD_PATH was.
    #[arg(long, value_name = "DIR", global = true, help_heading = "Kernel")]
    modules: Option<PathBuf>,
    /// A dmns_audit.ko that is built for the kernel, instead of building one.
    #[arg(long, value_name = "KO", global = true, help_heading = "Kernel")]
    module: Option<PathBuf>,
    /// Do not load the module: the kernel's own records are judged.
    #[arg(long, global = true, help_heading = "Kernel")]
    no_module: bool,
    /// What they are called in messages.
    #[arg(skip)]
    names: Names,
}

/// What the options are called.
#[derive(Clone, Copy, Debug)]
struct Names {
    tree: &'static str,
    kernel: &'static str,
    modules: &'static str,
    module: &'static str,
    no_module: &'static str,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            tree: "--tree",
            kernel: "--kernel",
            modules: "--modules",
            module: "--module",
            no_module: "--no-module",
        }
    }
}

impl Names {
    /// The options of the kernel to compare with.
    const AGAINST: Self = Self {
        tree: "--against",
        kernel: "--against",
        modules: "--against-modules",
        module: "--against-module",
        no_module: "--against-no-module",
    };
}

/// The module that guests load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    /// It is built for the kernel.
    Built,
    /// This one.
    Given(PathBuf),
    /// None: the kernel writes records by itself.
    None,
}

/// The kernel and the module of a run.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// The kernel, if it is not Debian's.
    pub(crate) own: Option<Own>,
    /// The module.
    pub(crate) module: Module,
}

/// A kernel that exists already.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// The image's path.
    pub(crate) path: PathBuf,
    /// What it states about itself.
    pub(crate) image: Image,
    /// Its `lib/modules/RELEASE`, unless they are installed from the tree.
    pub(crate) modules: Option<PathBuf>,
    /// The tree that modules are built against.
    pub(crate) tree: Option<PathBuf>,
    /// Its options, if they are known.
    pub(crate) config: Option<Config>,
}

impl Chosen {
    /// Returns the kernel's kind.
    pub(crate) fn kind(&self) -> Kind {
        match &self.own {
            Some(own) => own.config.as_ref().map_or(Kind::Stock, Config::kind),
            None => Kind::asked(),
        }
    }

    /// Checks that there is a module, for `command`, which compares with dm-audit.c.
    pub(crate) fn has_module(&self, command: &str) -> Result<()> {
        let patches = self.kind().patches();
        match (&self.module, patches) {
            (Module::None, _) => {
                bail!("{command} compares the module with dm-audit.c: leave out --no-module")
            }
            (Module::Built, Some((_, kind))) => bail!(
                "{command} compares the module with dm-audit.c, and DMNS_KERNEL={kind} runs without it: unset it"
            ),
            _ => Ok(()),
        }
    }

    /// Returns whether `other` is the same kernel with the same module.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let path = |chosen: &Self| chosen.own.as_ref().map(|own| own.path.clone());
        path(self) == path(other) && self.module == other.module
    }
}

impl Options {
    /// Returns the options for the kernel that is a tree or an image at `path`, or `debian`.
    pub(crate) fn of(
        path: &Path,
        modules: Option<PathBuf>,
        module: Option<PathBuf>,
        no_module: bool,
    ) -> Result<Self> {
        let own = (path != Path::new("debian")).then(|| path.to_owned());
        let (tree, kernel) = match own {
            Some(path) if path.is_dir() => (Some(path), None),
            other => (None, other),
        };
        let shown = path.display();
        ensure!(
            tree.is_some() || kernel.as_ref().is_none_or(|path| path.exists()),
            "--against {shown}: not there: give a built tree, an image, or debian"
        );
        ensure!(
            kernel.is_some() == modules.is_some(),
            "--against {shown}: an image needs --against-modules, and nothing else takes it"
        );
        Ok(Self {
            names: Names::AGAINST,
            tree,
            kernel,
            modules,
            module,
            no_module,
        })
    }

    /// Returns these options as words of a command, each with a space behind.
    pub(crate) fn words(&self) -> String {
        let paths = [
            ("--tree", &self.tree),
            ("--kernel", &self.kernel),
            ("--modules", &self.modules),
            ("--module", &self.module),
        ];
        let mut words = String::new();
        for (option, path) in paths {
            if let Some(path) = path {
                words += &format!("{option} {} ", path.display());
            }
        }
        if self.no_module {
            words += "--no-module ";
        }
        words
    }

    /// Checks that one kernel and one module are asked for. clap would check the options before a
    /// subcommand and those after it, each without the others.
    pub(crate) fn conflict(&self) -> Result<()> {
        ensure!(
            self.tree.is_none() || self.kernel.is_none() && self.modules.is_none(),
            "--tree has its own image and modules: leave out --kernel and --modules, or --tree"
        );
        ensure!(
            self.kernel.is_some() == self.modules.is_some(),
            "--kernel IMAGE and --modules DIR belong together: give both, or --tree DIR"
        );
        ensure!(
            self.module.is_none() || !self.no_module,
            "--module and --no-module exclude each other: leave one out"
        );
        ensure!(
            !self.is_own() || std::env::var_os("DMNS_KERNEL").is_none_or(|value| value.is_empty()),
            "DMNS_KERNEL asks for a kernel of Debian's, and {} for one of your own: leave one out",
            match self.tree {
                Some(_) => self.names.tree,
                None => self.names.kernel,
            }
        );
        Ok(())
    }

    /// Returns whether they choose a kernel that is not Debian's.
    pub(crate) fn is_own(&self) -> bool {
        self.tree.is_some() || self.kernel.is_some()
    }

    /// Checks that --module is one for guests of an architecture. Whether it is one for the kernel
    /// depends on that.
    pub(crate) fn check_module(&self, arch: Arch) -> Result<()> {
        let Some(path) = &self.module else {
            return Ok(());
        };
        let shown = format!("{} {}", self.names.module, path.display());
        ensure!(
            !path.is_dir(),
            "{shown}: a folder: give the dmns_audit.ko in it"
        );
        let bytes = fs::read(path)
            .map_err(|e| anyhow!("{shown}: {e}: give a dmns_audit.ko, or none to have it built"))?;
        match image::is_no_module(&bytes, arch) {
            Some(why) => bail!("{shown}: {why}"),
            None => Ok(()),
        }
    }

    /// Finds what the options name, and checks that it fits guests of an architecture.
    pub(crate) fn choose(&self, arch: Arch) -> Result<Chosen> {
        self.conflict()?;
        self.check_module(arch)?;
        let given = |option: &str, path: &Path, what: &str| {
            path.canonicalize()
                .map_err(|e| anyhow!("{option} {}: {e}: give {what}", path.display()))
        };
        let names = &self.names;
        let module = match &self.module {
            _ if self.no_module => Module::None,
            Some(path) => Module::Given(given(names.module, path, "a dmns_audit.ko")?),
            None => Module::Built,
        };
        let own = match (&self.tree, &self.kernel, &self.modules) {
            (Some(tree), ..) => {
                let tree = given(names.tree, tree, "the folder of a kernel that is built")?;
                Some(Own::tree(&tree, arch)?)
            }
            (None, Some(kernel), Some(modules)) => Some(Own::image(
                &given(names.kernel, kernel, "a kernel image")?,
                &given(names.modules, modules, "its lib/modules/RELEASE")?,
                arch,
            )?),
            _ => None,
        };
        if let Some(own) = &own {
            own.check(&module, arch, names)?;
        }
        Ok(Chosen { own, module })
    }
}

impl Own {
    /// Returns the kernel of a built tree.
    fn tree(tree: &Path, arch: Arch) -> Result<Self> {
        let shown = tree.display();
        let has = |name: &str| tree.join(name).exists();
        takes(tree)?;
        ensure!(
            has(".config"),
            "{shown}: not a kernel tree, or not configured: it has no .config; with O=, give that folder"
        );
        let config = Config::read(&tree.join(".config"))?;
        let (option, name) = arch.option();
        ensure!(
            config.has(option),
            "{shown}: configured for another architecture, and guests are {}: run make ARCH={name} defconfig kvm_guest.config there, or ask for others (--arch)",
            arch.title()
        );
        let (image, target) = arch.image();
        let path = tree.join(image);
        ensure!(
            fs::metadata(&path).is_ok_and(|image| image.len() > 0),
            "{shown}: not built: it has no {image}, or an empty one; run make {target} modules there"
        );
        ensure!(
            has("include/config/auto.conf"),
            "{shown}: not built: it has no include/config/auto.conf; run make {target} modules there"
        );
        let built = Config::read(&tree.join("include/config/auto.conf"))?;
        if let Some((name, asked, is)) = config.difference(&built) {
            bail!(
                "{shown}/.config: changed after the build: CONFIG_{name} is {asked} there, and was built as {is}; run make {target} modules again"
            );
        }
        ensure!(
            config.has("MODULES"),
            "{shown}: built without CONFIG_MODULES, and the guest loads some: set it and build again"
        );
        ensure!(
            has("modules.order") && has("Module.symvers"),
            "{shown}: its modules are not built: it has no modules.order or no Module.symvers; run make modules there"
        );
        let order = fs::read_to_string(tree.join("modules.order")).unwrap_or_default();
        let missing = order
            .lines()
            .map(|object| Path::new(object).with_extension("ko"))
            .find(|module| !tree.join(module).exists());
        if let Some(module) = missing {
            bail!(
                "{shown}: its modules are not built: {} is missing; run make modules there",
                module.display()
            );
        }
        let image = Image::read(&path, arch)?;
        let build = Build::of(tree);
        for (file, what, is_same) in [
            (RELEASE, &image.release, build.is_release(&image)),
            (VERSION, &image.version, build.is_version(&image)),
        ] {
            ensure!(
                is_same == Some(true),
                "{shown}: the image is \"{what}\", and the tree was built again since, as {file} has it; run make {target} modules there"
            );
        }
        Ok(Self {
            path,
            image,
            modules: None,
            tree: Some(tree.to_owned()),
            config: Some(config),
        })
    }

    /// Returns the kernel of an image, with its modules.
    fn image(path: &Path, modules: &Path, arch: Arch) -> Result<Self> {
        let image = Image::read(path, arch)?;
        let modules = of_release(modules, &image.release)?;
        // What is no tree any more is as good as no link.
        let link = modules.join("build").canonicalize().ok();
        let is_tree = |tree: &PathBuf| {
            [".config", "Module.symvers"]
                .iter()
                .all(|name| tree.join(name).exists())
        };
        let tree = link.filter(is_tree);
        let name = format!("config-{}", image.release);
        let of_tree = tree.as_ref().map(|tree| tree.join(".config"));
        let configs = [
            Some(path.with_file_name(&name)),
            Some(modules.join("config")),
            of_tree.clone(),
            Some(Path::new("/boot").join(&name)),
        ];
        let config = configs.into_iter().flatten().find(|file| file.exists());
        for file in config.iter().chain(&of_tree) {
            ensure!(
                Config::read(file)?.has(arch.option().0),
                "{}: of another architecture than the image, which is for {}: give the image and the modules of one build",
                file.display(),
                arch.title()
            );
        }
        Ok(Self {
            path: path.to_owned(),
            image,
            modules: Some(modules),
            tree,
            config: config.map(|file| Config::read(&file)).transpose()?,
        })
    }

    /// Returns what nobody has tried, or checked, of the kernel with a module.
    pub(crate) fn notes(&self, module: &Module) -> Vec<String> {
        let shown = self.tree.as_ref().unwrap_or(&self.path).display();
        let Some(config) = &self.config else {
            return vec![format!(
                "{shown}: no option was checked: there is no config-{} next to it or in /boot, no `config` in its modules, and no built tree where their link `build` leads",
                self.image.release
            )];
        };
        let mut notes = Vec::new();
        if config.has("ARM64_64K_PAGES") {
            notes.push(format!(
                "{shown}: pages of 64 KiB (CONFIG_ARM64_64K_PAGES): not tried"
            ));
        }
        if config.has("LD_IS_LLD") && *module == Module::Built {
            notes.push(format!(
                "{shown}: linked by LLD (LLVM=1): not tried; dmns_audit.ko is linked by GNU ld"
            ));
        }
        notes
    }

    /// Checks that the kernel has what the guest and the module need, and that the module is one for
    /// it.
    fn check(&self, module: &Module, arch: Arch, names: &Names) -> Result<()> {
        let shown = self.tree.as_ref().unwrap_or(&self.path).display();
        let lacks = match &self.config {
            Some(config) => config.lacks(*module != Module::None),
            None => Vec::new(),
        };
        ensure!(
            lacks.is_empty(),
            "{shown}: not set: {}; append what dmns-test kconfig prints to .config, run make olddefconfig, and build again",
            lacks.join(", ")
        );
        let refused = match &self.config {
            Some(config) => config.refused(*module == Module::Built),
            None => Vec::new(),
        };
        ensure!(
            refused.is_empty(),
            "{shown}: set, and must not be: {}; append what dmns-test kconfig prints to .config, run make olddefconfig, and build again",
            refused.join(", ")
        );
        match module {
            Module::None => {}
            Module::Given(path) => {
                let bytes = fs::read(path).with_context(|| path.display().to_string())?;
                if let Some(why) = self.image.refuses(&bytes, arch) {
                    bail!("{}: {why}", path.display());
                }
            }
            Module::Built => {
                let Some(tree) = &self.tree else {
                    bail!(
                        "{shown}: no tree to build the module against, as its modules have no link `build` to one with .config and Module.symvers: give the tree ({}), a module that is built ({}), or none ({})",
                        names.tree,
                        names.module,
                        names.no_module
                    );
                };
                takes(tree)?;
                let build = Build::of(tree);
                ensure!(
                    build.is_release(&self.image) != Some(false)
                        && build.is_version(&self.image) != Some(false),
                    "{}: the image is \"{} {}\", and this tree, which the module would be built against, is another build: give the image and the modules of one build",
                    tree.display(),
                    self.image.release,
                    self.image.version
                );
            }
        }
        Ok(())
    }
}

/// Checks that makefiles take the path of a tree.
fn takes(tree: &Path) -> Result<()> {
    let shown = tree.display().to_string();
    ensure!(
        !shown.contains(char::is_whitespace),
        "{shown}: a path with a space, which the kernel's makefiles do not take: move the tree"
    );
    Ok(())
}

/// The file of a tree with what `uname -r` prints.
const RELEASE: &str = "include/config/kernel.release";

/// The file of a tree with what `uname -v` prints.
const VERSION: &str = "include/generated/utsversion.h";

/// What a tree states about its last build.
struct Build {
    release: Option<String>,
    version: Option<String>,
}

impl Build {
    fn of(tree: &Path) -> Self {
        let read = |file| fs::read_to_string(tree.join(file)).ok();
        Self {
            release: read(RELEASE),
            version: read(VERSION),
        }
    }

    /// Returns whether an image is of this release, if that is known.
    fn is_release(&self, image: &Image) -> Option<bool> {
        Some(self.release.as_ref()?.trim() == image.release)
    }

    /// Returns whether an image is of this build, if that is known.
    fn is_version(&self, image: &Image) -> Option<bool> {
        let quoted = format!("\"{}\"", image.version);
        Some(self.version.as_ref()?.contains(&quoted))
    }
}

/// Returns the modules of `release` in `folder`: itself, or below it as INSTALL_MOD_PATH has it.
fn of_release(folder: &Path, release: &str) -> Result<PathBuf> {
    let shown = folder.display();
    let below =
        ["", "lib/modules", "usr/lib/modules"].map(|below| folder.join(below).join(release));
    let found = below.into_iter().find(|path| path.is_dir());
    let found = match found {
        Some(found) => found,
        None if folder.file_name().is_some_and(|name| name == release) => folder.to_owned(),
        None => {
            let others: Vec<String> = [folder.to_owned(), folder.join("lib/modules")]
                .iter()
                .filter_map(|folder| fs::read_dir(folder).ok())
                .flat_map(|entries| entries.flatten())
                .filter(|entry| entry.path().join("modules.order").exists())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            let has = match others.as_slice() {
                [] if folder.join("modules.order").exists() => folder
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                [] => "none".to_owned(),
                others => others.join(", "),
            };
            bail!(
                "{shown}: the image is {release}, and the modules there are of: {has}; run make modules_install in the tree of the image"
            );
        }
    };
    ensure!(
        found.join("modules.dep").exists(),
        "{}: it has no modules.dep: run depmod, or make modules_install with a depmod in the path",
        found.display()
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::bzimage;
    use std::error::Error;

    const CONFIG: &str = "CONFIG_64BIT=y\nCONFIG_X86_64=y\nCONFIG_MODULES=y\n";

    fn write(path: &Path, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// Makes the files of a built tree that are read.
    fn tree(tree: &Path) {
        let image = Image {
            release: "7.3.4-mine".to_owned(),
            version: "#3 SMP PREEMPT_DYNAMIC Sun Nov 29 04:00:00 UTC 2026".to_owned(),
        };
        let utsversion = format!("#define UTS_VERSION \"{}\"\n", image.version);
        let kernel_release = format!("{}\n", image.release);
        for (name, text) in [
            (".config", CONFIG),
            ("include/config/auto.conf", CONFIG),
            ("modules.order", ""),
            ("Module.symvers", ""),
            (RELEASE, &kernel_release),
            (VERSION, &utsversion),
        ] {
            write(&tree.join(name), text);
        }
        write(&tree.join("arch/x86/boot/bzImage"), bzimage(&image.release));
    }

    #[test]
    fn a_tree_that_does_not_fit_is_refused_with_what_to_do() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let whole = dir.path();
        tree(whole);
        let own = Own::tree(whole, Arch::Amd64)?;
        assert_eq!(own.image.release, "7.3.4-mine");
        assert_eq!(own.modules, None);

        let spaced = dir.path().join("a tree");
        tree(&spaced);
        let said = format!("{:#}", Own::tree(&spaced, Arch::Amd64).expect_err("spaced"));
        assert!(said.contains("a path with a space"), "{said}");

        for (name, text, says) in [
            (
                ".config",
                None,
                "it has no .config; with O=, give that folder",
            ),
            (
                ".config",
                Some("CONFIG_64BIT=y\nCONFIG_ARM64=y\n"),
                "run make ARCH=x86_64",
            ),
            (
                "arch/x86/boot/bzImage",
                None,
                "run make bzImage modules there",
            ),
            (
                "arch/x86/boot/bzImage",
                Some(""),
                "or an empty one; run make bzImage modules there",
            ),
            (
                ".config",
                Some("CONFIG_64BIT=y\nCONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_DM_AUDIT=y\n"),
                "CONFIG_DM_AUDIT is y there, and was built as n; run make bzImage modules again",
            ),
            (
                "include/config/auto.conf",
                None,
                "it has no include/config/auto.conf; run make bzImage modules there",
            ),
            ("modules.order", None, "run make modules there"),
            (
                "modules.order",
                Some("drivers/md/dm-mod.o\n"),
                "drivers/md/dm-mod.ko is missing; run make modules there",
            ),
            ("Module.symvers", None, "run make modules there"),
            (RELEASE, Some("7.3.4-mine-dirty"), "built again since"),
            (
                VERSION,
                Some("#define UTS_VERSION \"#4 SMP\"\n"),
                "built again since",
            ),
        ] {
            let dir = tempfile::tempdir()?;
            tree(dir.path());
            match text {
                Some(text) => fs::write(dir.path().join(name), text)?,
                None => fs::remove_file(dir.path().join(name))?,
            }
            let said = format!("{:#}", Own::tree(dir.path(), Arch::Amd64).expect_err(says));
            assert!(said.contains(says), "{said}\nshould say: {says}");
        }
        Ok(())
    }

    #[test]
    fn what_a_kernel_lacks_is_named_with_the_options() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        tree(dir.path());
        let own = Own::tree(dir.path(), Arch::Amd64)?;
        let said = own
            .check(&Module::Built, Arch::Amd64, &Names::default())
            .expect_err("lacks")
            .to_string();
        for text in [
            "CONFIG_RUST (the module)",
            "CONFIG_EROFS_FS (its disk)",
            "dmns-test kconfig",
        ] {
            assert!(said.contains(text), "{said}");
        }
        let said = own
            .check(&Module::None, Arch::Amd64, &Names::default())
            .expect_err("lacks")
            .to_string();
        assert!(!said.contains("CONFIG_RUST"), "{said}");
        Ok(())
    }

    #[test]
    fn what_nobody_has_tried_is_said() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        tree(dir.path());
        let mut own = Own::tree(dir.path(), Arch::Amd64)?;
        assert_eq!(own.notes(&Module::Built), [""; 0]);
        own.config = Some(Config::of(["LD_IS_LLD", "ARM64_64K_PAGES"].into_iter()));
        let notes = own.notes(&Module::Built).join("\n");
        assert!(
            notes.contains("LLVM=1") && notes.contains("64 KiB"),
            "{notes}"
        );
        assert!(!own.notes(&Module::None).join("\n").contains("LLVM"));
        Ok(())
    }

    #[test]
    fn modules_of_another_release_are_refused() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let image = dir.path().join("bzImage");
        fs::write(&image, bzimage("7.3.4-mine"))?;
        let modules = dir.path().join("root/lib/modules/7.3.3");
        write(&modules.join("modules.order"), "");
        for folder in [&modules, &dir.path().join("root")] {
            let said = Own::image(&image, folder, Arch::Amd64)
                .expect_err("others")
                .to_string();
            assert!(
                said.contains("the image is 7.3.4-mine, and the modules there are of: 7.3.3;"),
                "{said}"
            );
        }
        let modules = dir.path().join("root/lib/modules/7.3.4-mine");
        fs::create_dir_all(&modules)?;
        let said = Own::image(&image, &modules, Arch::Amd64)
            .expect_err("no list")
            .to_string();
        assert!(said.contains("no modules.dep: run depmod"), "{said}");
        fs::write(modules.join("modules.dep"), "")?;
        for folder in [
            &modules,
            &dir.path().join("root"),
            &dir.path().join("root/lib/modules"),
        ] {
            let own = Own::image(&image, folder, Arch::Amd64)?;
            assert_eq!(own.modules.as_ref(), Some(&modules));
            assert_eq!(own.config, None);
            let said = own
                .check(&Module::Built, Arch::Amd64, &Names::default())
                .expect_err("no tree")
                .to_string();
            assert!(
                said.contains(
                    "give the tree (--tree), a module that is built (--module), or none (--no-module)"
                ),
                "{said}"
            );
        }
        let notes = Own::image(&image, &modules, Arch::Amd64)?.notes(&Module::None);
        assert!(notes[0].contains("no option was checked"), "{notes:?}");
        // The tree was built again after its modules were installed.
        let newer = dir.path().join("newer");
        fs::create_dir(&newer)?;
        std::os::unix::fs::symlink(&newer, modules.join("build"))?;
        // It has been cleaned since, or is one for another architecture.
        let own = Own::image(&image, &modules, Arch::Amd64)?;
        assert_eq!(own.tree, None);
        own.check(&Module::None, Arch::Amd64, &Names::default())?;
        let refused = own.check(&Module::Built, Arch::Amd64, &Names::AGAINST);
        let said = refused.expect_err("no tree").to_string();
        assert!(said.contains("or none (--against-no-module)"), "{said}");
        write(&newer.join("Module.symvers"), "");
        write(&newer.join(".config"), "CONFIG_ARM64=y\n");
        let said = Own::image(&image, &modules, Arch::Amd64)
            .expect_err("of arm64")
            .to_string();
        assert!(
            said.contains("newer/.config: of another architecture"),
            "{said}"
        );
        write(&newer.join(".config"), "CONFIG_X86_64=y\n");
        write(&newer.join(RELEASE), "7.3.4-mine\n");
        write(&newer.join(VERSION), "#define UTS_VERSION \"#4 SMP\"\n");
        let mut own = Own::image(&image, &modules, Arch::Amd64)?;
        own.config = None;
        let refused = own.check(&Module::Built, Arch::Amd64, &Names::default());
        let said = refused.expect_err("another build").to_string();
        assert!(said.contains("is another build"), "{said}");
        own.check(&Module::None, Arch::Amd64, &Names::default())?;
        // Where distributions have the configuration.
        fs::write(dir.path().join("config-7.3.4-mine"), CONFIG)?;
        assert!(Own::image(&image, &modules, Arch::Amd64)?.config.is_some());
        Ok(())
    }
}
