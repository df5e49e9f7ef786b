// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Allocations of the module that fail: at random, or each in turn.

use super::{MODULE, status};
use crate::sys;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

const DEBUG: &str = "/sys/kernel/debug";
const INFO: &str = "/sys/kernel/security/dmns_audit/info";

/// The two kinds of allocations that can fail.
const FAILING: [&str; 2] = ["failslab", "fail_page_alloc"];

/// Make allocations of the module fail, at random or each in turn.
#[derive(Args)]
pub(super) struct Faults {
    #[command(subcommand)]
    how: How,
}

#[derive(Subcommand)]
enum How {
    /// From here on, let some of the allocations fail that have the module's text on the stack.
    ///
    /// Not those inside of create_new_namespaces(): hundreds of allocations are the kernel's own.
    On {
        /// Number of failures in 100 allocations.
        percent: u32,
    },
    /// Let no more fail.
    Off,
    /// Do something again and again, with the first, second, ... of these allocations failing,
    /// until none is left.
    ///
    /// Prints what came of it. Exit status: 1 if anything was half done or stayed behind.
    Nth {
        /// What to do.
        action: Action,
        /// Let every allocation fail that is so far behind the last, instead of each.
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        step: u64,
    },
}

/// An action during which an allocation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Load the module.
    Load,
    /// Unload the module.
    Unload,
    /// Switch the level of NS_INFO up and down.
    Info,
    /// Create namespaces in the task itself.
    Namespaces,
    /// Read a sector of /dev/mapper/it.
    Read,
}

/// Does what is asked.
pub(super) fn run(faults: &Faults) -> Result<ExitCode> {
    match faults.how {
        How::On { percent } => {
            limit_to(
                module_text()?,
                Some(function_text("create_new_namespaces")?),
            )?;
            set_probability(percent)?;
        }
        How::Off => set_probability(0)?,
        How::Nth { action, step } => {
            let mut trial = Trial {
                step,
                wrong: false,
                results: BTreeMap::new(),
            };
            match action {
                Action::Load => trial.load()?,
                Action::Unload => trial.unload()?,
                Action::Info => trial.info()?,
                Action::Namespaces => trial.namespaces()?,
                Action::Read => trial.read()?,
            }
            return Ok(status(trial.wrong));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn put(file: impl AsRef<Path>, text: &str) -> Result<()> {
    let file = file.as_ref();
    OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{}: {text}", file.display()))
}

/// A range of code: from the first address to before the second.
type Text = (u64, u64);

/// Returns where the executable sections of the module are that stay after it is loaded.
fn module_text() -> Result<Text> {
    let elf = fs::read(MODULE).context(MODULE)?;
    let mut text: Option<Text> = None;
    for (name, size) in executable_sections(&elf).context(MODULE)? {
        if name.starts_with(".init") || name.starts_with(".exit") {
            continue;
        }
        let file = format!("/sys/module/dmns_audit/sections/{name}");
        let Ok(address) = fs::read_to_string(file) else {
            continue;
        };
        let start = hex(address.trim().trim_start_matches("0x"))?;
        let end = start + size;
        text = Some(match text {
            Some((from, to)) => (from.min(start), to.max(end)),
            None => (start, end),
        });
    }
    text.context("the module is not loaded")
}

/// Returns the names and sizes of the executable sections of a 64-bit ELF file.
fn executable_sections(elf: &[u8]) -> Option<Vec<(String, u64)>> {
    const SHF_EXECINSTR: u64 = 4;
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    // Of the header: e_shoff, e_shentsize, e_shnum, e_shstrndx.
    let (headers, size) = (u64_at(40)? as usize, usize::from(u16_at(58)?));
    let (count, names) = (usize::from(u16_at(60)?), usize::from(u16_at(62)?));
    // Of a section's header: sh_name, sh_flags, sh_offset, sh_size.
    let names = u64_at(headers + names * size + 24)? as usize;
    let mut sections = Vec::new();
    for header in (0..count).map(|i| headers + i * size) {
        let (flags, length) = (u64_at(header + 8)?, u64_at(header + 32)?);
        if flags & SHF_EXECINSTR != 0 && length != 0 {
            let name = elf.get(names + u32_at(header)? as usize..)?;
            let name = name.split(|&byte| byte == 0).next()?;
            sections.push((String::from_utf8_lossy(name).into_owned(), length));
        }
    }
    Some(sections)
}

/// Returns where a function of the kernel is: to the next symbol.
fn function_text(name: &str) -> Result<Text> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    function_in(&symbols, name).with_context(|| format!("{name}: no such function"))
}

fn function_in(symbols: &str, name: &str) -> Option<Text> {
    let mut from = None;
    let mut addresses = Vec::new();
    for line in symbols.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // A symbol of a module has a fourth field.
        let [address, "t" | "T", symbol] = *fields else {
            continue;
        };
        let address = hex(address).ok()?;
        addresses.push(address);
        if symbol == name {
            from = Some(address);
        }
    }
    let from = from?;
    let to = addresses.into_iter().filter(|&to| to > from).min()?;
    Some((from, to))
}

fn hex(digits: &str) -> Result<u64> {
    u64::from_str_radix(digits, 16).with_context(|| format!("'{digits}' is no address"))
}

/// Has only those allocations fail that have `text` on the stack, and nothing of `but`.
fn limit_to(text: Text, but: Option<Text>) -> Result<()> {
    let but = but.unwrap_or((0, 0));
    for kind in FAILING {
        for (file, value) in [
            ("require-start", format!("{:#x}", text.0)),
            ("require-end", format!("{:#x}", text.1)),
            ("reject-start", format!("{:#x}", but.0)),
            ("reject-end", format!("{:#x}", but.1)),
            ("stacktrace-depth", "32".to_owned()),
            ("ignore-gfp-wait", "N".to_owned()),
            ("task-filter", "N".to_owned()),
            // Without a word: with 2 each comes with a call trace.
            ("verbose", "0".to_owned()),
            ("times", "-1".to_owned()),
        ] {
            put(format!("{DEBUG}/{kind}/{file}"), &value)?;
        }
    }
    put(format!("{DEBUG}/fail_page_alloc/min-order"), "0")
}

fn set_probability(percent: u32) -> Result<()> {
    for kind in FAILING {
        put(format!("{DEBUG}/{kind}/probability"), &percent.to_string())?;
    }
    Ok(())
}

/// Does `act` with the Nth allocation of this task failing. Returns also whether there were as
/// many.
fn with_nth<T>(n: u64, act: impl FnOnce() -> T) -> Result<(bool, T)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/thread-self/fail-nth")
        .context("fail-nth")?;
    file.write_all_at(n.to_string().as_bytes(), 0)?;
    let result = act();
    let mut left = [0; 20];
    let length = file.read_at(&mut left, 0)?;
    file.write_all_at(b"0", 0)?;
    let left = String::from_utf8_lossy(&left[..length]).trim().to_owned();
    Ok((left.parse::<u64>().context("fail-nth")? == 0, result))
}

/// Does `act` with the Nth allocation failing of each of the kernel's workers: one of them does the
/// work.
fn with_nth_of_workers<T>(n: u64, act: impl FnOnce() -> T) -> Result<(bool, T)> {
    let mut workers: Vec<PathBuf> = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        if name.starts_with("kworker") {
            workers.push(process.join("fail-nth"));
        }
    }
    ensure!(!workers.is_empty(), "the kernel has no workers");
    for worker in &workers {
        put(worker, &n.to_string())?;
    }
    let result = act();
    let mut hit = false;
    for worker in &workers {
        hit |= fs::read_to_string(worker).is_ok_and(|left| left.trim() == "0");
        put(worker, "0")?;
    }
    Ok((hit, result))
}

/// Returns how many functions lead to the module.
fn attached() -> Result<usize> {
    let functions = fs::read_to_string("/sys/kernel/tracing/enabled_functions")?;
    Ok(functions
        .lines()
        .filter(|line| line.contains("dmns_"))
        .count())
}

/// Returns the names of the module's files in securityfs, with spaces between.
fn files() -> Result<String> {
    let mut names = Vec::new();
    match fs::read_dir("/sys/kernel/security/dmns_audit") {
        Ok(entries) => {
            for entry in entries {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    names.sort();
    Ok(names.join(" "))
}

fn is_loaded() -> bool {
    Path::new("/sys/module/dmns_audit").exists()
}

fn load(parameters: &str) -> Result<Result<(), Errno>> {
    let (file, parameters) = (File::open(MODULE)?, CString::new(parameters)?);
    Ok(finit_module(&file, &parameters, ModuleInitFlags::empty()))
}

/// Unloads the module. While a worker of it records the baseline it is in use, for five seconds at
/// most.
fn unload() -> Result<(), Errno> {
    for _ in 0..50 {
        match delete_module(c"dmns_audit", DeleteModuleFlags::empty()) {
            Err(Errno::EAGAIN) => sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

fn must_load(parameters: &str) -> Result<()> {
    load(parameters)?.map_err(|e| anyhow!("load: {e}"))
}

fn must_unload() -> Result<()> {
    unload().map_err(|e| anyhow!("unload: {e}"))?;
    ensure!(attached()? == 0, "still attached");
    Ok(())
}

/// Sets the level of NS_INFO.
fn set_info(level: u32) -> Result<(), Errno> {
    let set = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(INFO)
        .and_then(|mut file| file.write_all(level.to_string().as_bytes()));
    set.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))
}

/// Returns how often the module said that securityfs lacks a file.
fn complaints() -> Result<usize> {
    let output = Command::new("dmesg").output().context("dmesg")?;
    ensure!(
        output.status.success(),
        "dmesg ended with {}",
        output.status
    );
    let log = String::from_utf8_lossy(&output.stdout);
    Ok(log.matches("dmns_audit: securityfs").count())
}

/// Returns what came of an action, as it is printed.
fn outcome(result: Result<(), Errno>, success: &str) -> String {
    match result {
        Ok(()) => success.to_owned(),
        Err(e) => format!("errno {}", e as i32),
    }
}

/// Actions, each with one allocation failing after another.
struct Trial {
    step: u64,
    /// Whether anything was half done or left behind.
    wrong: bool,
    /// The results of the action, and the count of each.
    results: BTreeMap<String, u64>,
}

impl Trial {
    fn wrong(&mut self, what: &str) {
        println!("WRONG: {what}");
        self.wrong = true;
    }

    /// Counts a result, if an allocation failed.
    fn count(&mut self, hit: bool, result: String) {
        if hit {
            *self.results.entry(result).or_default() += 1;
        }
    }

    /// Does `act` with each allocation failing in turn, until it returns that there were not as
    /// many.
    fn each(
        &mut self,
        what: &str,
        mut act: impl FnMut(&mut Self, u64) -> Result<bool>,
    ) -> Result<()> {
        self.results.clear();
        let mut n = 1;
        let mut tried = 0;
        while act(self, n)? {
            n += self.step;
            tried += 1;
        }
        if tried == 0 {
            self.wrong(&format!("{what}: no allocation failed"));
        }
        let results: Vec<String> = self
            .results
            .iter()
            .map(|(result, times)| format!("{result} {times} times"))
            .collect();
        println!(
            "{what}: {tried} allocations failed, one at a time: {}",
            results.join(", ")
        );
        Ok(())
    }

    fn load(&mut self) -> Result<()> {
        must_load("info=2")?;
        let (all, all_files) = (attached()?, files()?);
        must_unload()?;
        limit_to(function_text("do_one_initcall")?, None)?;
        self.each("load", |trial, n| {
            let said = complaints()?;
            let (hit, loaded) = with_nth(n, || load("info=2"))?;
            let loaded = loaded?;
            trial.count(hit, outcome(loaded, "loaded"));
            if let Err(e) = loaded {
                if is_loaded() || attached()? != 0 || !files()?.is_empty() {
                    trial.wrong(&format!(
                        "load, allocation {n}: errno {}, but something stayed",
                        e as i32
                    ));
                }
                return Ok(hit);
            }
            let (now, have) = (attached()?, files()?);
            if now != all {
                trial.wrong(&format!(
                    "load, allocation {n}: {now} functions of {all} attached"
                ));
            }
            if have != all_files {
                // The kernel's log must say what is missing.
                trial.count(true, format!("without all of {all_files}"));
                if complaints()? == said {
                    trial.wrong(&format!(
                        "load, allocation {n}: only '{have}' of '{all_files}', and not a word"
                    ));
                }
            }
            must_unload()?;
            Ok(hit)
        })?;
        must_load("")
    }

    fn unload(&mut self) -> Result<()> {
        self.each("unload", |trial, n| {
            // But for a notifier of the kernel's own, which warns where it has no memory.
            limit_to(
                function_text("__do_sys_delete_module")?,
                Some(function_text("fprobe_module_callback")?),
            )?;
            let (hit, unloaded) = with_nth(n, unload)?;
            trial.count(hit, outcome(unloaded, "unloaded"));
            if let Err(e) = unloaded {
                trial.wrong(&format!("unload, allocation {n}: errno {}", e as i32));
            }
            if attached()? != 0 {
                trial.wrong(&format!("unload, allocation {n}: still attached"));
            }
            if !is_loaded() {
                must_load("")?;
            }
            Ok(hit)
        })
    }

    fn info(&mut self) -> Result<()> {
        limit_to(module_text()?, None)?;
        let set = |level| set_info(level).map_err(|e| anyhow!("info: {e}"));
        set(0)?;
        let none = attached()?;
        set(2)?;
        let all = attached()?;
        for to in [0, 2] {
            self.each(&format!("info={to}"), |trial, n| {
                set(2 - to)?;
                let (hit, switched) = with_nth(n, || set_info(to))?;
                let level: u32 = fs::read_to_string(INFO)?.trim().parse().context(INFO)?;
                let now = attached()?;
                trial.count(hit, outcome(switched, &format!("level {level}")));
                let expected = match switched {
                    Ok(()) => to,
                    Err(_) => 2 - to,
                };
                if level != expected {
                    trial.wrong(&format!(
                        "info={to}, allocation {n}: {}, level {level}",
                        outcome(switched, "no error")
                    ));
                }
                if now != if level == 0 { none } else { all } {
                    trial.wrong(&format!(
                        "info={to}, allocation {n}: {now} functions attached at level {level}"
                    ));
                }
                Ok(hit)
            })?;
        }
        set(0)
    }

    fn namespaces(&mut self) -> Result<()> {
        // But for what a net namespace consists of: hundreds of allocations, none of the module's.
        limit_to(module_text()?, Some(function_text("setup_net")?))?;
        // What a task creates for itself, alone and together, again and again: it leaves, and
        // drops, what it had before.
        for flags in [
            0x2_0000,
            0x80,
            0x400_0000,
            0x800_0000,
            0x4000_0000,
            0x200_0000,
            0xe02_0000,
        ] {
            self.each(&format!("unshare({flags:#x})"), |trial, n| {
                let (hit, refused) = unshare_with_nth(flags, n)?;
                trial.count(hit, if refused { "refused" } else { "made" }.to_owned());
                Ok(hit)
            })?;
        }
        // A pid namespace is for children, and users nest: a task of its own each time.
        for flags in [0x2000_0000, 0x1000_0000, 0x3e02_0080] {
            self.each(&format!("unshare({flags:#x})"), |trial, n| {
                let child = sys::fork(|| {
                    let (hit, _) = unshare_with_nth(flags, n)?;
                    sys::exit(if hit { HIT } else { 0 })
                })?;
                let hit = match sys::wait(child)? {
                    0 => false,
                    status if status == HIT << 8 => true,
                    status => bail!("a child has ended with status {status:#x}"),
                };
                trial.count(hit, "made or refused".to_owned());
                Ok(hit)
            })?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        limit_to(module_text()?, None)?;
        self.each("read", |trial, n| {
            let (hit, read) = with_nth_of_workers(n, || -> Result<Result<(), Errno>> {
                let device = File::open("/dev/mapper/it").context("it")?;
                let read = device.read_at(&mut [0; 512], 800 * 512);
                Ok(read
                    .map(drop)
                    .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0))))
            })?;
            let read = read?;
            trial.count(hit, outcome(read, "read"));
            if read.is_ok() {
                trial.wrong(&format!("read, allocation {n}: it was read"));
            }
            Ok(hit)
        })
    }
}

/// The exit status of a child in which the allocation failed.
const HIT: i32 = 3;

/// Calls unshare(2) with the Nth allocation failing. Returns whether there were as many, and
/// whether it was refused.
///
/// The module's text is on the stack of all that ksys_unshare() does: most of these are the
/// kernel's own allocations, and it refuses the call, whatever the kernel does for net namespaces.
fn unshare_with_nth(flags: i32, n: u64) -> Result<(bool, bool)> {
    let (hit, result) = with_nth(n, || sys::unshare(flags))?;
    Ok((hit, result.is_err()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_ends_where_the_next_begins() {
        let symbols = "ffffffff81000010 T first\nffffffff81000040 t third\n\
            ffffffff81000020 T second\nffffffff81000030 D data\nffffffffc0000030 t other\t[module]\n";
        let text = (0xffff_ffff_8100_0010, 0xffff_ffff_8100_0020);
        assert_eq!(function_in(symbols, "first"), Some(text));
        let text = (0xffff_ffff_8100_0020, 0xffff_ffff_8100_0040);
        assert_eq!(function_in(symbols, "second"), Some(text));
        assert_eq!(function_in(symbols, "other"), None);
        assert_eq!(function_in(symbols, "none"), None);
    }

    /// This test is an ELF file itself.
    #[test]
    fn sections_with_code_are_found() -> Result<()> {
        let elf = fs::read(std::env::current_exe()?)?;
        let sections = executable_sections(&elf).context("no sections")?;
        assert!(
            sections
                .iter()
                .any(|(name, size)| name == ".text" && *size > 1000)
        );
        assert!(
            !sections
                .iter()
                .any(|(name, _)| name == ".data" || name == ".rodata")
        );
        assert_eq!(executable_sections(&elf[..1000]), None);
        Ok(())
    }
}
