// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Makes the files of a run that are not in the cache yet: build root, kernel, guest image, module.
//!
//! The scripts of the project do the work, and print the path of the result. This file runs them in
//! order, shows their progress, and keeps two runs from doing the same at once.

use crate::arch::Arch;
use crate::config::Config;
use crate::image;
use crate::kind::{Kind, TimeoutMultiplier};
use crate::own::{Chosen, Module, Own};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::statvfs::statvfs;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The files of a run.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// `vmlinuz`, `modules/`, `build/` and their versions: see `scripts/build/kernel.sh`.
    pub(crate) kernel: PathBuf,
    /// Its options, if they are known.
    pub(crate) config: Option<Config>,
    /// Whether it is not Debian's.
    pub(crate) is_own: bool,
    /// The disk with its modules.
    pub(crate) modules_disk: PathBuf,
    /// The build root.
    pub(crate) root: PathBuf,
    /// The disks of guests. They are made while scenarios run that need others.
    pub(crate) disks: BTreeMap<Disk, Making>,
    /// The log in which `dmns-audit-record run-guest` records the guests, if any.
    pub(crate) guest_log: Option<PathBuf>,
    /// `dmns_audit.ko`, unless the kernel writes the records.
    pub(crate) module: Option<PathBuf>,
    /// Whether namespaces are recorded, by the module or by the kernel.
    pub(crate) writes_namespaces: bool,
    /// The kernel's version, as `uname -r` says it.
    pub(crate) release: String,
    /// Debian's version of it, or the build that it calls itself.
    pub(crate) package: String,
    /// The kind of kernel.
    pub(crate) kind: Kind,
    /// The factor of all timeouts.
    pub(crate) timeout_multiplier: TimeoutMultiplier,
    /// The module that shows that a debug kernel complains.
    pub(crate) control: Option<PathBuf>,
    /// The folder of the modules that scenarios ask for, if any does.
    pub(crate) test_modules: Option<PathBuf>,
}

/// The disk that a guest starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Disk {
    /// The image, if not the usual one.
    pub(crate) image: Option<String>,
    /// Debian packages that are added.
    pub(crate) packages: BTreeSet<String>,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("guest image")?;
        if let Some(image) = &self.image {
            write!(f, " {image}")?;
        }
        let mut word = "with";
        for package in &self.packages {
            write!(f, " {word} {package}")?;
            word = "and";
        }
        Ok(())
    }
}

/// The files of a run that depend on what is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// The disks of its guests.
    pub(crate) disks: BTreeSet<Disk>,
    /// The modules of `userspace-test/modules/`.
    pub(crate) test_modules: bool,
}

impl Needs {
    /// Checks that the disks are for a kernel that is Debian's or not.
    pub(crate) fn suit(&self, is_own: bool) -> Result<()> {
        let is_packages = |disk: &Disk| disk.image.as_deref() == Some(SYSTEMD);
        ensure!(
            !is_own || !self.disks.iter().any(is_packages),
            "the guest image {SYSTEMD} has Debian's kernel from its packages: leave out --tree, --kernel and --against"
        );
        Ok(())
    }
}

impl From<Disk> for Needs {
    fn from(disk: Disk) -> Self {
        Self {
            disks: [disk].into(),
            test_modules: false,
        }
    }
}

impl Prepared {
    /// Returns the file of `disk`. Waits until it is made.
    pub(crate) fn disk(&self, disk: &Disk) -> Result<PathBuf> {
        self.disks
            .get(disk)
            .with_context(|| format!("the {disk} was not asked for"))?
            .wait()
    }

    /// Returns whether `disk` need not be waited for.
    pub(crate) fn has_disk(&self, disk: &Disk) -> bool {
        self.disks.get(disk).is_none_or(Making::is_decided)
    }

    /// Waits for all disks. Fails if one of them cannot be made.
    pub(crate) fn complete(self) -> Result<Self> {
        match self.disks.values().find_map(|disk| disk.wait().err()) {
            Some(failed) => Err(failed),
            None => Ok(self),
        }
    }

    /// Returns the kernel's modules, the folder with `modules.dep`.
    pub(crate) fn lib_modules(&self) -> PathBuf {
        self.kernel.join("modules/lib/modules").join(&self.release)
    }
}

/// The path of a disk, or why there is none.
type Made = Result<PathBuf, String>;

/// A disk that is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Making(Arc<(Mutex<Option<Made>>, Condvar)>);

impl Making {
    fn decide(&self, made: Result<PathBuf>) {
        let (state, changed) = &*self.0;
        let made = made.map_err(|e| format!("{e:#}"));
        *state.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        changed.notify_all();
    }

    /// Returns whether it is made, or cannot be made.
    pub(crate) fn is_decided(&self) -> bool {
        let state = self.0.0.lock();
        state.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits until it is made.
    pub(crate) fn wait(&self) -> Result<PathBuf> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                Some(Ok(path)) => return Ok(path.clone()),
                Some(Err(e)) => bail!("{e}"),
                None => state = changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The image of guests with systemd as PID 1. Its packages have the kernel's modules, and build ours.
pub(crate) const SYSTEMD: &str = "packages";

/// Makes the missing files for the chosen kernel. Timeouts are `multiplier` times those on the stock
/// kernel, or the default of the kind of kernel.
///
/// Disks of guests come last, and may not be made yet when this returns.
pub(crate) fn prepare(chosen: &Chosen, needs: &Needs, multiplier: Option<u32>) -> Result<Prepared> {
    let kind = chosen.kind();
    needs.suit(chosen.own.is_some())?;
    for note in chosen.own.iter().flat_map(|own| own.notes(&chosen.module)) {
        eprintln!("{note}");
    }
    let project = project()?;
    let cache = cache()?;
    let locked = lock(&cache, "lock", "the cache")?;
    let is_first = !cache.join("kernel").exists();
    if let Some(lack) = lack_of_space(free_space(&cache)?, is_first) {
        bail!(
            "{}: {lack}: set DMNS_CACHE to a folder with more",
            cache.display()
        );
    }
    let script = |what: &str, name: &str, arguments: &[&Path]| {
        step(
            what,
            &cache,
            &project.join("scripts/build").join(name),
            arguments,
        )
    };

    script("host tools", "host-tools.sh", &[])?;
    let root = script("build root", "build-root.sh", &[])?;
    let patches = kind.patches();
    let kernel = match (&chosen.own, patches) {
        (Some(own), _) => {
            let is_built = chosen.module == Module::Built;
            script("kernel", "own-kernel.sh", &arguments(&root, own, is_built))?
        }
        (None, Some((_, name))) => script("kernel", "intree.sh", &[&root, Path::new(name)])?,
        (None, None) => script("kernel", "kernel.sh", &[&root])?,
    };
    if let (Some(tree), Module::Built) = (tree_of(chosen), &chosen.module) {
        script("functions", "hooks.sh", &[tree])?;
    }
    let module = match &chosen.module {
        // It writes the records.
        Module::Built if patches.is_some() => None,
        Module::Built => Some(script("module", "module.sh", &[&root, &kernel])?),
        Module::Given(path) => {
            let image = image::Image::read(&kernel.join("vmlinuz"), Arch::asked())?;
            let bytes = fs::read(path).with_context(|| path.display().to_string())?;
            if let Some(why) = image.refuses(&bytes, Arch::asked()) {
                bail!("{}: {why}", path.display());
            }
            Some(path.clone())
        }
        Module::None => None,
    };
    // What others are built against.
    let has_tree = match &chosen.own {
        // Without the compilers of the tree there is no `cc`.
        Some(_) => tree_of(chosen).is_some() && kernel.join("cc").exists(),
        None => patches.is_none(),
    };
    let control = match kind.complains() && has_tree {
        true => Some(script("control", "control.sh", &[&root, &kernel])?),
        false => None,
    };
    let test_modules = match needs.test_modules && has_tree {
        true => Some(script(
            "test modules",
            "test-modules.sh",
            &[&root, &kernel],
        )?),
        false => None,
    };
    let read = |name: &str| -> Result<String> {
        let file = kernel.join(name);
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(text.trim().to_owned())
    };
    let (release, package) = (read("release")?, read("package")?);
    let modules = kernel.join("modules/lib/modules").join(&release);
    let modules_disk = script("disk of modules", "modules-disk.sh", &[&root, &modules])?;
    let config = match &chosen.own {
        Some(own) => own.config.clone(),
        None => Some(Config::read(&kernel.join("config"))?),
    };
    let disks: BTreeMap<Disk, Making> = needs
        .disks
        .iter()
        .map(|disk| (disk.clone(), Making::default()))
        .collect();
    let queue = Mutex::new(disks.clone());
    let makers = thread::available_parallelism()?.get().min(disks.len());
    let (build_root, for_kernel) = (root.clone(), kernel.clone());
    thread::spawn(move || {
        thread::scope(|scope| {
            for _ in 0..makers {
                scope.spawn(|| {
                    let next = || {
                        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                        queue.pop_first()
                    };
                    while let Some((disk, making)) = next() {
                        making.decide(make_disk(&disk, &project, &cache, &root, &for_kernel));
                    }
                });
            }
        });
    });
    // Another run may want another disk.
    drop(locked);
    Ok(Prepared {
        release,
        package,
        kernel,
        root: build_root,
        config,
        is_own: chosen.own.is_some(),
        modules_disk,
        writes_namespaces: true,
        disks,
        guest_log: None,
        module,
        kind,
        timeout_multiplier: multiplier.map_or(kind.timeout_multiplier(), TimeoutMultiplier),
        control,
        test_modules,
    })
}

/// Returns the tree of a kernel that is not Debian's.
fn tree_of(chosen: &Chosen) -> Option<&Path> {
    chosen.own.as_ref()?.tree.as_deref()
}

/// Returns the arguments of `own-kernel.sh`, for a module that is built for the kernel or not.
fn arguments<'a>(root: &'a Path, own: &'a Own, is_built: bool) -> [&'a Path; 7] {
    let or = |path: &'a Option<PathBuf>, word: &'a str| match path {
        Some(path) => path.as_path(),
        None => Path::new(word),
    };
    [
        root,
        &own.path,
        Path::new(&own.image.release),
        Path::new(&own.image.version),
        or(&own.modules, "install"),
        or(&own.tree, "none"),
        Path::new(if is_built { "required" } else { "optional" }),
    ]
}

/// Returns whether Debian roots can be made below `folder`. apt takes a colon for the end of a path,
/// and mmdebstrap's hooks are shell.
fn is_possible(folder: &Path) -> bool {
    let refused = |c: char| c.is_control() || ":'\"\\".contains(c);
    folder.to_str().is_some_and(|path| !path.contains(refused))
}

/// Makes a disk for guests with `kernel`.
fn make_disk(
    disk: &Disk,
    project: &Path,
    cache: &Path,
    root: &Path,
    kernel: &Path,
) -> Result<PathBuf> {
    let (script, last) = match disk.image.as_deref() {
        Some(SYSTEMD) => ("guest-packages.sh", kernel),
        image => ("guest.sh", Path::new(image.unwrap_or_default())),
    };
    let mut arguments = vec![root, last];
    arguments.extend(disk.packages.iter().map(Path::new));
    let script = project.join("scripts/build").join(script);
    let what = disk.to_string();
    let _locked = lock(cache, &format!("{}.lock", file_name(&what)), &what)?;
    step(&what, cache, &script, &arguments)
}

/// Returns the bytes that are free for this user where `folder` is.
fn free_space(folder: &Path) -> Result<u64> {
    let all = statvfs(folder).with_context(|| folder.display().to_string())?;
    Ok(all.blocks_available() * all.fragment_size())
}

/// What a first run writes to the cache, in bytes.
const FIRST: u64 = 7 << 30;

/// Returns what is wrong if a first run does not fit in `free` bytes. A later one writes little.
fn lack_of_space(free: u64, is_first: bool) -> Option<String> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    (is_first && free < FIRST).then(|| {
        format!(
            "{:.1} GiB are free here, and a first run needs {:.0}",
            gib(free),
            gib(FIRST)
        )
    })
}

/// Returns the checkout that this program was built from.
pub(crate) fn project() -> Result<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let project = match std::env::var_os("DMNS_PROJECT") {
        Some(path) => PathBuf::from(path),
        None => project,
    };
    project.canonicalize().with_context(|| {
        format!(
            "{} is gone; set DMNS_PROJECT to where the checkout is now",
            project.display()
        )
    })
}

/// Returns the `dmns-audit` that was built with this program.
pub(crate) fn tool() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("dmns-audit"))
}

/// Returns the `dmns-audit-record` that was built with this program.
pub(crate) fn recorder() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("dmns-audit-record"))
}

/// Returns the cache folder, which is made.
pub(crate) fn cache() -> Result<PathBuf> {
    let cache = named_cache()?;
    ensure!(
        is_possible(&cache),
        "{}: set DMNS_CACHE to a folder without {} in its name",
        cache.display(),
        "a colon, a quote, a backslash, or a control character"
    );
    fs::create_dir_all(&cache).with_context(|| {
        format!(
            "{}: set DMNS_CACHE to a folder that can be made",
            cache.display()
        )
    })?;
    Ok(cache)
}

/// Returns the cache folder that the environment names.
fn named_cache() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(cache) = set("DMNS_CACHE") {
        return Ok(cache);
    }
    let caches = match set("XDG_CACHE_HOME") {
        Some(caches) => caches,
        None => set("HOME")
            .context("neither HOME nor XDG_CACHE_HOME is set: set DMNS_CACHE")?
            .join(".cache"),
    };
    Ok(caches.join("dmns-audit"))
}

/// Returns the lock that keeps two runs from making `what` at once.
fn lock(cache: &Path, name: &str, what: &str) -> Result<impl Sized + use<>> {
    use nix::fcntl::{Flock, FlockArg};
    let file = File::create(cache.join(name))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _)) => {
            eprintln!(
                "waiting for another run to prepare {what} in {} ...",
                cache.display()
            );
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e.into())
        }
    }
}

/// Returns the begin of the name of a file about `what`.
fn file_name(what: &str) -> String {
    what.replace(' ', "-").chars().take(200).collect()
}

/// Runs a script, shows its progress, and returns the path that it prints last.
fn step(what: &str, cache: &Path, script: &Path, arguments: &[&Path]) -> Result<PathBuf> {
    let started = Instant::now();
    let log_path = cache.join(format!("{}.log", file_name(what)));
    let mut log = File::create(&log_path)?;
    // One stream for both, so that an error stands where it belongs.
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$@\" 2>&1", "sh"])
        .arg(script)
        .args(arguments)
        .env("DMNS_CACHE", cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| script.display().to_string())?;
    let output = child.stdout.take().context("no output")?;

    let terminal = std::io::stderr().is_terminal();
    let mut shown = started;
    let mut printed = false;
    let mut last = String::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim().to_owned();
        writeln!(log, "{line}")?;
        if line.is_empty() {
            continue;
        }
        last = line;
        let now = Instant::now();
        // A word at once on a terminal, now and then in a log; nothing for what is in the cache
        // already.
        let pause = Duration::from_millis(if terminal { 200 } else { 15_000 });
        if now - started > Duration::from_millis(500) && now - shown > pause {
            let end = if terminal { "\x1b[K\r" } else { "\n" };
            let text: String = last.chars().take(60).collect();
            eprint!(
                "{what}: {:.0} s: {text}{end}",
                (now - started).as_secs_f32()
            );
            shown = now;
            printed = true;
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let text = fs::read_to_string(&log_path)?;
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!("{what} failed; the end of {}:\n{tail}", log_path.display());
    }
    let seconds = started.elapsed().as_secs_f32();
    if printed || seconds > 1.0 {
        let clear = if terminal { "\x1b[K" } else { "" };
        eprintln!("{what}: ready ({seconds:.0} s){clear}");
    }
    Ok(PathBuf::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_needs_an_image_waits_for_it_and_learns_why_there_is_none() {
        let image = Making::default();
        assert!(!image.is_decided());
        let waiting = image.clone();
        let waiting = thread::spawn(move || waiting.wait());
        image.decide(Ok("libvirt.erofs".into()));
        let waited = waiting.join().expect("no panic").expect("made");
        assert_eq!(waited, Path::new("libvirt.erofs"));
        assert!(image.is_decided());
        let failed = Making::default();
        failed.decide(Err(anyhow::anyhow!("no mirror")));
        assert_eq!(failed.wait().expect_err("failed").to_string(), "no mirror");
    }

    #[test]
    fn a_cache_may_have_a_space_and_no_colon() {
        assert!(is_possible(Path::new("/home/jo/my cache/dmns-audit")));
        for refused in ["/home/jo/a:b", "/home/jo's", "/a\"b", "/a\\b", "/a\tb"] {
            assert!(!is_possible(Path::new(refused)), "{refused}");
        }
    }

    #[test]
    fn a_first_run_asks_for_space_and_a_later_one_does_not() {
        assert_eq!(lack_of_space(8 << 30, true), None);
        assert_eq!(lack_of_space(3 << 30, false), None);
        assert_eq!(
            lack_of_space(3 << 30, true).as_deref(),
            Some("3.0 GiB are free here, and a first run needs 7")
        );
        let free = free_space(&std::env::temp_dir()).expect("a file system");
        assert!(free > 1 << 20, "{free}: df would say so");
    }
}
