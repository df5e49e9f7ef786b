// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Tasks that sleep inside of system calls for as long as their user wants.

use super::fuse::{self, FILE};
use super::{
    User, What, child, die_with_parent, done, say, shared, sleep_forever, unshare, until_asleep,
};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::libc;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Keep tasks asleep inside of system calls.
///
/// Prints `held` when all are asleep, and holds them until it is killed.
#[derive(clap::Args)]
pub(super) struct Hold {
    #[command(flatten)]
    user: User,
    /// System call in which they sleep.
    #[arg(long = "in", default_value = "fsmount")]
    place: Place,
    /// Number of tasks.
    #[arg(long, default_value_t = 1)]
    tasks: usize,
    /// Namespaces that those in unshare, clone, vfork and ptrace create, with commas between.
    #[arg(long, value_delimiter = ',', default_value = "uts")]
    kinds: Vec<What>,
}

/// The system call in which a task sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// fsmount(2) of an overlay: its lower layer is looked up on a FUSE that nobody serves.
    Fsmount,
    /// unshare(2) with CLONE_FILES: it closes the last reference to a file that FUSE does not
    /// flush.
    Unshare,
    /// clone(2): it stores the child's id, before the child runs, in a page that FUSE does not
    /// read.
    Clone,
    /// clone(2) with CLONE_VFORK: the child neither ends nor executes a program.
    Vfork,
    /// clone(2): a tracer stops the parent behind the creation, and does not let it return.
    Ptrace,
    /// setns(2): a tracer stops the task on its way out.
    Setns,
    /// execve(2) of a file on a FUSE that nobody serves.
    Exec,
    /// exit(2): the last reference to a file that FUSE does not flush.
    Exit,
}

/// Puts the tasks to sleep.
pub(super) fn run(hold: &Hold) -> Result<()> {
    let flags = What::flags_of(&hold.kinds);
    hold.user.become_it()?;
    hold.user.enter(libc::CLONE_NEWNS)?;
    let tasks = match hold.place {
        Place::Fsmount => fsmount(hold.tasks)?,
        Place::Exec => exec(hold.tasks)?,
        Place::Vfork => vfork(hold.tasks, flags)?,
        Place::Ptrace => traced(hold.tasks, |_| clone(flags), libc::PTRACE_O_TRACEFORK)?,
        Place::Setns => traced(hold.tasks, setns, libc::PTRACE_O_TRACESYSGOOD)?,
        Place::Clone | Place::Exit | Place::Unshare => served(hold.place, hold.tasks, flags)?,
    };
    until_asleep(&tasks)?;
    say("held");
    sleep_forever()
}

/// Holds tasks in fsmount(2): one task sleeps in fsconfig(2), which has the mutex of the filesystem
/// context.
fn fsmount(tasks: usize) -> Result<Vec<libc::pid_t>> {
    let fuse = fuse::mounted()?;
    let kind = CString::new("overlay")?;
    let (key, layer) = (CString::new("lowerdir+")?, CString::new(FILE)?);
    // SAFETY: The kernel reads the strings.
    let fs = done(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 0) })
        .context("fsopen: is the module overlay loaded?")?;
    let first = child(|| {
        const FSCONFIG_SET_STRING: u32 = 1;
        // SAFETY: The kernel reads the strings.
        done(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                fs,
                FSCONFIG_SET_STRING,
                key.as_ptr(),
                layer.as_ptr(),
                0,
            )
        })
        .context("fsconfig")?;
        bail!("fsconfig has returned");
    })?;
    until_asleep(&[first])?;
    let others = (0..tasks).map(|_| {
        child(|| {
            // SAFETY: It takes numbers.
            done(unsafe { libc::syscall(libc::SYS_fsmount, fs, 0, 0) }).context("fsmount")?;
            bail!("fsmount has returned");
        })
    });
    let others = others.collect::<Result<_>>()?;
    // Its requests fail when it is closed.
    std::mem::forget(fuse);
    Ok(others)
}

/// Holds tasks in execve(2).
fn exec(tasks: usize) -> Result<Vec<libc::pid_t>> {
    let fuse = fuse::mounted()?;
    let tasks = (0..tasks).map(|_| {
        child(|| {
            let file = CString::new(FILE)?;
            nix::unistd::execv(&file, &[&file]).context("execve")?;
            Ok(())
        })
    });
    let tasks = tasks.collect::<Result<_>>()?;
    std::mem::forget(fuse);
    Ok(tasks)
}

/// Calls clone(2) as fork(2) does, with these flags. The child sleeps, and is killed with its
/// parent.
fn clone(flags: i32) -> Result<()> {
    // SAFETY: Without CLONE_VM and with no stack it is fork(2), and this program has one thread.
    let pid = done(unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) })
        .context("clone")?;
    if pid == 0 {
        die_with_parent();
        sleep_forever();
    }
    Ok(())
}

/// Holds tasks in clone(2) with CLONE_VFORK.
fn vfork(tasks: usize, flags: i32) -> Result<Vec<libc::pid_t>> {
    (0..tasks)
        .map(|_| child(|| clone(flags | libc::CLONE_VFORK)))
        .collect()
}

/// Enters the uts namespace that it is in.
fn setns(_: usize) -> Result<()> {
    let uts = File::open("/proc/self/ns/uts")?;
    // SAFETY: It takes numbers.
    done(unsafe { libc::setns(uts.as_raw_fd(), libc::CLONE_NEWUTS) }.into()).context("setns")?;
    Ok(())
}

/// Traces tasks that run `act`, and leaves each where `option` stops it.
fn traced(
    tasks: usize,
    act: impl Fn(usize) -> Result<()>,
    option: i32,
) -> Result<Vec<libc::pid_t>> {
    let trace = |request, pid: libc::pid_t, data: i32| {
        // SAFETY: These requests take numbers.
        done(unsafe { libc::ptrace(request, pid, 0_usize, data as usize) }).context("ptrace")
    };
    let stopped = |pid: libc::pid_t| -> Result<i32> {
        let mut status = 0;
        // SAFETY: The kernel writes a number there.
        done(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }.into())
            .context("waitpid")?;
        if !libc::WIFSTOPPED(status) {
            bail!("task {pid} has ended, with status {status:#x}");
        }
        Ok(status)
    };
    let mut all = Vec::new();
    for i in 0..tasks {
        let pid = child(|| {
            // SAFETY: These take numbers.
            unsafe {
                done(libc::ptrace(libc::PTRACE_TRACEME, 0, 0_usize, 0_usize)).context("ptrace")?;
                libc::raise(libc::SIGSTOP);
            }
            act(i)
        })?;
        stopped(pid)?;
        trace(
            libc::PTRACE_SETOPTIONS,
            pid,
            option | libc::PTRACE_O_EXITKILL,
        )?;
        if option == libc::PTRACE_O_TRACESYSGOOD {
            until_in_setns(pid, &trace, &stopped)?;
        } else {
            trace(libc::PTRACE_CONT, pid, 0)?;
            stopped(pid)?;
        }
        all.push(pid);
    }
    Ok(all)
}

/// Lets a traced task run until it is on its way out of setns(2).
fn until_in_setns(
    pid: libc::pid_t,
    trace: &dyn Fn(libc::c_uint, libc::pid_t, i32) -> Result<libc::c_long>,
    stopped: &dyn Fn(libc::pid_t) -> Result<i32>,
) -> Result<()> {
    let mut call = None;
    loop {
        trace(libc::PTRACE_SYSCALL, pid, 0)?;
        stopped(pid)?;
        // SAFETY: All-zero information is valid.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        let size = size_of_val(&info);
        let request = libc::PTRACE_GET_SYSCALL_INFO;
        // SAFETY: The kernel writes at most `size` bytes there.
        done(unsafe { libc::ptrace(request, pid, size, &raw mut info) })
            .context("PTRACE_GET_SYSCALL_INFO")?;
        match info.op {
            // SAFETY: At an entry, the kernel writes this part.
            libc::PTRACE_SYSCALL_INFO_ENTRY => call = Some(unsafe { info.u.entry.nr }),
            _ if call == Some(libc::SYS_setns as u64) => return Ok(()),
            _ => call = None,
        }
    }
}

/// Holds tasks where they wait for an answer of a FUSE that is served, but for that.
fn served(place: Place, tasks: usize, flags: i32) -> Result<Vec<libc::pid_t>> {
    // The id of each task that is to sleep, what its helper waits for, and how many sleep.
    let numbers = shared(2 * tasks + 1)?;
    let (sleepers, rest) = numbers.split_at(tasks);
    let (turns, asleep) = rest.split_at(tasks);
    let fuse = fuse::mounted()?;
    fuse::serve(fuse, sleepers, &asleep[0])?;
    let mut all = Vec::new();
    for i in 0..tasks {
        all.push(child(|| match place {
            Place::Clone => {
                let file = OpenOptions::new().read(true).write(true).open(FILE)?;
                let page = fuse::page(&file)?;
                let flags = flags | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
                // SAFETY: As in `clone()`. The kernel writes the child's id to the page.
                done(unsafe { libc::syscall(libc::SYS_clone, flags, 0, page, 0, 0) })
                    .context("clone")?;
                bail!("clone has returned");
            }
            Place::Exit => {
                let file = File::open(FILE)?;
                sleepers[i].store(u64::from(std::process::id()), Ordering::Relaxed);
                // The exit closes it.
                std::mem::forget(file);
                Ok(())
            }
            _ => unshare_files(&sleepers[i], &turns[i], flags),
        })?);
    }
    if place != Place::Clone {
        let begin = Instant::now();
        while asleep[0].load(Ordering::Relaxed) < tasks as u64 {
            if begin.elapsed() > Duration::from_secs(120) {
                bail!("not all tasks fall asleep");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(all)
}

/// Sleeps in unshare(2), which closes the files that were shared: the other sharer has ended
/// meanwhile.
fn unshare_files(me: &AtomicU64, turn: &AtomicU64, flags: i32) -> Result<()> {
    let _file = File::open(FILE)?;
    me.store(u64::from(std::process::id()), Ordering::Relaxed);
    for attempt in 0..1000_u64 {
        turn.store(0, Ordering::Relaxed);
        // SAFETY: Without CLONE_VM and with no stack it is fork(2), and this program has one
        // thread.
        let pid = done(unsafe {
            libc::syscall(
                libc::SYS_clone,
                libc::CLONE_FILES | libc::SIGCHLD,
                0,
                0,
                0,
                0,
            )
        })
        .context("clone")?;
        if pid == 0 {
            die_with_parent();
            while turn.load(Ordering::Relaxed) == 0 {
                std::hint::spin_loop();
            }
            std::thread::sleep(Duration::from_micros(attempt * 100 % 5000));
            // SAFETY: It takes a number, and does not return.
            unsafe { libc::_exit(0) }
        }
        turn.store(1, Ordering::Relaxed);
        unshare(libc::CLONE_FILES | libc::CLONE_NEWNET | flags).context("unshare")?;
        super::reap();
    }
    bail!("unshare has returned each time");
}
