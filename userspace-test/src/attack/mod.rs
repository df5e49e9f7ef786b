// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attacks of an ordinary user, and what measures them: the guest command `attack`.
//!
//! Each attack drops all privileges first, and needs nothing but unprivileged user namespaces.

mod churn;
mod fuse;
mod hold;
mod knock;
mod make;
mod memory;
mod read;
mod within;

use crate::sys::{done, unshare};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use dmns_audit_uapi::ns::Kind;
use nix::libc;
use std::fs;
use std::io::Read;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;

/// Act as an ordinary user who attacks the module.
#[derive(Args)]
pub(crate) struct Attack {
    #[command(subcommand)]
    way: Way,
}

#[derive(Subcommand)]
enum Way {
    /// Create and delete namespaces in loops.
    Churn(churn::Churn),
    /// Keep tasks asleep inside of system calls.
    Hold(hold::Hold),
    /// Send messages to audit in loops, at the lowest priority there is. Audit refuses each.
    Knock(knock::Knock),
    /// Create namespaces one after another, and print how many microseconds that takes.
    Make(make::Make),
    /// Keep namespaces by file descriptors, and drop them all by an exit.
    Hoard(make::Hoard),
    /// Allocate memory until the kernel has to reclaim it.
    Memory(memory::Memory),
    /// Read sectors as root, one at a time and past the page cache, whether they are bad or not.
    Read(read::Read),
    /// Run a command as root, and print how many milliseconds it takes.
    ///
    /// Exit status: that of the command, or 124 if it does not end within the limit. Then this
    /// program prints where the command sleeps, and does not wait for it.
    Within(within::Within),
}

/// Does what is asked.
pub(crate) fn run(attack: &Attack) -> Result<ExitCode> {
    match &attack.way {
        Way::Churn(churn) => churn::run(churn)?,
        Way::Hold(hold) => hold::run(hold)?,
        Way::Knock(knock) => knock::run(knock)?,
        Way::Make(make) => make::run(make)?,
        Way::Hoard(hoard) => make::hoard(hoard)?,
        Way::Memory(memory) => memory::run(memory)?,
        Way::Read(read) => read::run(read)?,
        Way::Within(within) => return within::run(within),
    }
    Ok(ExitCode::SUCCESS)
}

/// The user who attacks.
#[derive(Args)]
struct User {
    /// The uid of the attacker.
    #[arg(long, default_value_t = 65534)]
    uid: u32,
    /// Give him one share of the processors, as systemd gives each user, and not one for each of
    /// his tasks.
    #[arg(long)]
    slice: bool,
}

impl User {
    /// Drops all privileges, for good.
    ///
    /// The limits of this user are those of a machine with much memory.
    fn become_it(&self) -> Result<()> {
        for (limit, most) in [(libc::RLIMIT_NPROC, 65_536), (libc::RLIMIT_NOFILE, 524_288)] {
            let limits = libc::rlimit {
                rlim_cur: most,
                rlim_max: most,
            };
            // SAFETY: `limits` is initialized.
            done(unsafe { libc::setrlimit(limit, &raw const limits) }.into())
                .context("setrlimit")?;
        }
        if self.slice {
            let cgroups = "/sys/fs/cgroup";
            let slice = format!("{cgroups}/user-{}.slice", self.uid);
            fs::write(format!("{cgroups}/cgroup.subtree_control"), "+cpu").context("cpu")?;
            fs::create_dir_all(&slice).with_context(|| slice.clone())?;
            fs::write(format!("{slice}/cgroup.procs"), "0").with_context(|| slice.clone())?;
        }
        // SAFETY: These calls take numbers, but for an empty list.
        unsafe {
            done(libc::syscall(
                libc::SYS_setgroups,
                0,
                std::ptr::null::<u32>(),
            ))
            .context("setgroups")?;
            done(libc::setresgid(self.uid, self.uid, self.uid).into()).context("setresgid")?;
            done(libc::setresuid(self.uid, self.uid, self.uid).into()).context("setresuid")?;
            // Else /proc/self belongs to root.
            done(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0).into()).context("dumpable")?;
        }
        Ok(())
    }

    /// Enters a user namespace, and other namespaces with it, as its root.
    fn enter(&self, flags: i32) -> Result<()> {
        unshare(libc::CLONE_NEWUSER | flags).context("unshare")?;
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {} 1", self.uid)),
            ("gid_map", format!("0 {} 1", self.uid)),
        ] {
            let file = format!("/proc/self/{file}");
            fs::write(&file, text).context(file)?;
        }
        Ok(())
    }
}

/// The namespaces that a loop creates.
#[derive(Clone, Copy, Debug)]
enum What {
    One(Kind),
    /// All eight kinds.
    All,
    /// Nothing: it takes the processor all the same. This is the control.
    None,
}

impl FromStr for What {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => {
                let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                kind.map(Self::One)
                    .ok_or_else(|| "a kind of namespace, all or none expected".to_owned())
            }
        }
    }
}

impl What {
    /// Returns the bits of unshare(2) for it.
    fn flags(self) -> i32 {
        match self {
            Self::One(kind) => kind.clone_flag() as i32,
            Self::All => Self::flags_of(&Kind::ALL.map(Self::One)),
            Self::None => 0,
        }
    }

    /// Returns the bits of unshare(2) for all of `those`.
    fn flags_of(those: &[Self]) -> i32 {
        those.iter().fold(0, |flags, what| flags | what.flags())
    }

    /// Returns the file of the namespace that unshare(2) leaves the caller, or its children, in.
    fn file(self) -> String {
        let kind = match self {
            Self::One(kind) => kind,
            Self::All | Self::None => Kind::Uts,
        };
        let children = match kind {
            Kind::Pid | Kind::Time => "_for_children",
            _ => "",
        };
        format!("/proc/self/ns/{}{children}", kind.name())
    }
}

/// Forks a child that runs `act` and ends, and that is killed when this process ends.
fn child(act: impl FnOnce() -> Result<()>) -> Result<libc::pid_t> {
    // SAFETY: This program has one thread.
    let pid = done(unsafe { libc::fork() }.into()).context("fork")?;
    if pid != 0 {
        return Ok(pid as libc::pid_t);
    }
    die_with_parent();
    let code = match act() {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("attack: {e:#}");
            1
        }
    };
    // SAFETY: It takes a number, and does not return.
    unsafe { libc::_exit(code) }
}

/// Has the kernel kill this process when its parent ends.
fn die_with_parent() {
    // SAFETY: It takes numbers. It cannot fail with these.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

/// Waits until a child ends; `false` if there is none.
fn reap() -> bool {
    // SAFETY: It may be called without a place for the status.
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) > 0 }
}

/// Sleeps until it is killed.
fn sleep_forever() -> ! {
    loop {
        nix::unistd::pause();
    }
}

/// Waits until each of `tasks` is asleep or stopped.
fn until_asleep(tasks: &[libc::pid_t]) -> Result<()> {
    for task in tasks {
        let mut asleep = 0;
        for _ in 0..10_000 {
            let stat = fs::read_to_string(format!("/proc/{task}/stat"))
                .with_context(|| format!("task {task} has ended"))?;
            // The name, in brackets, may have anything in it.
            let state = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.chars().next());
            asleep = match state {
                Some('S' | 'D' | 'T' | 't') => asleep + 1,
                Some('Z') => bail!("task {task} has ended"),
                _ => 0,
            };
            if asleep == 2 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if asleep < 2 {
            bail!("task {task} does not fall asleep");
        }
    }
    Ok(())
}

/// Returns numbers, zero at first, in memory that children share with this process. It stays until
/// the process ends.
fn shared(len: usize) -> Result<&'static [AtomicU64]> {
    // SAFETY: It is a new mapping of pages that nothing else uses.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len * size_of::<u64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error()).context("mmap");
    }
    // SAFETY: The mapping is as long, it stays, and all-zero pages are valid atomic numbers.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// Waits for the end of standard input, or for a byte.
fn wait_for_input() -> Result<()> {
    let _ = std::io::stdin().read(&mut [0])?;
    Ok(())
}

/// Prints a line at once.
fn say(line: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout();
    // Whoever reads it may be gone.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
