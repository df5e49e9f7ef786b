// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From the initramfs to a complete system.

use super::HOME;
use anyhow::{Context, Result, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// `MODULE_INIT_COMPRESSED_FILE`, which nix does not name: the kernel unpacks .ko.xz itself.
const COMPRESSED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

/// The disk of the guest.
const DISK: &str = "/dev/vda";

/// The disk with the kernel's modules, unless the other has them.
const MODULES: &str = "/dev/vdb";

/// Loads the modules of the disk, mounts it with a writable layer in memory above it, and continues
/// there.
pub(super) fn into_root() -> Result<()> {
    mount_at("devtmpfs", "/dev", "devtmpfs", "")?;
    // In the order in which they need each other: see `initramfs.rs`.
    let mut modules = Vec::new();
    // A kernel that has them built in comes without the folder.
    if Path::new("/modules").exists() {
        for entry in fs::read_dir("/modules")? {
            modules.push(entry?.path());
        }
    }
    modules.sort();
    for module in modules {
        let file = File::open(&module)?;
        match finit_module(&file, &CString::default(), COMPRESSED) {
            Ok(()) | Err(nix::Error::EEXIST) => {}
            Err(e) => bail!("loading {}: {e}", module.display()),
        }
    }
    mount_disk(DISK, "/lower")?;
    let lower = match Path::new("/two-disks").exists() {
        true => {
            mount_disk(MODULES, "/modules-disk")?;
            "/modules-disk:/lower"
        }
        false => "/lower",
    };
    mount_at("tmpfs", "/upper", "tmpfs", "size=90%")?;
    fs::create_dir_all("/upper/data")?;
    fs::create_dir_all("/upper/work")?;
    mount_at(
        "overlay",
        "/root",
        "overlay",
        &format!("lowerdir={lower},upperdir=/upper/data,workdir=/upper/work"),
    )?;
    mount_at("tmpfs", "/root/run", "tmpfs", "mode=755")?;
    copy_tree(Path::new("/dmns"), &Path::new("/root").join(&HOME[1..]))?;

    let systemd = Path::new("/systemd").exists();
    if systemd {
        service(Path::new("/root/run/systemd/system"))?;
    }
    nix::unistd::chdir("/root")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    nix::unistd::chroot(".")?;
    nix::unistd::chdir("/")?;
    if systemd {
        return Err(Command::new("/sbin/init").env_clear().exec()).context("running systemd");
    }
    Err(Command::new(format!("{HOME}/dmns-test"))
        .args(["agent", "supervise"])
        .env_clear()
        .env("PATH", format!("{HOME}/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
        .env("HOME", "/root")
        .env("LC_ALL", "C.UTF-8")
        // There is no udev here: device-mapper tools make the nodes themselves.
        .env("DM_DISABLE_UDEV", "1")
        .exec())
    .context("running the agent from the disk")
}

/// Mounts a disk at `target`, when it has been found.
fn mount_disk(disk: &str, target: &str) -> Result<()> {
    for _ in 0..1000 {
        if Path::new(disk).exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    fs::create_dir(target)?;
    mount(
        Some(disk),
        target,
        Some("erofs"),
        MsFlags::MS_RDONLY,
        None::<&str>,
    )
    .with_context(|| format!("mounting the guest's disk {disk}"))
}

/// Has systemd run the agent's server as a service, when the system is up, and power off when it
/// ends.
fn service(units: &Path) -> Result<()> {
    let unit = format!(
        "[Unit]\n\
         Description=The harness of dmns-audit\n\
         After=auditd.service systemd-modules-load.service\n\
         SuccessAction=poweroff-immediate\n\
         [Service]\n\
         ExecStart={HOME}/dmns-test agent serve\n\
         Environment=PATH={HOME}/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8\n\
         KillMode=process\n"
    );
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    fs::write(units.join("dmns-agent.service"), unit)?;
    std::os::unix::fs::symlink("../dmns-agent.service", wants.join("dmns-agent.service"))?;
    Ok(())
}

/// Mounts what a system has mounted.
pub(super) fn mount_all() -> Result<()> {
    for (source, target, fstype, options) in [
        ("devtmpfs", "/dev", "devtmpfs", ""),
        ("devpts", "/dev/pts", "devpts", "mode=620,ptmxmode=666"),
        ("tmpfs", "/dev/shm", "tmpfs", ""),
        ("proc", "/proc", "proc", ""),
        ("sysfs", "/sys", "sysfs", ""),
        ("cgroup2", "/sys/fs/cgroup", "cgroup2", ""),
        ("securityfs", "/sys/kernel/security", "securityfs", ""),
        ("debugfs", "/sys/kernel/debug", "debugfs", ""),
        ("tracefs", "/sys/kernel/tracing", "tracefs", ""),
        ("bpf", "/sys/fs/bpf", "bpf", ""),
        ("tmpfs", "/tmp", "tmpfs", "mode=1777,size=90%"),
    ] {
        mount_at(source, target, fstype, options)?;
    }
    for (link, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        if !Path::new(link).exists() {
            std::os::unix::fs::symlink(to, link).with_context(|| link.to_owned())?;
        }
    }
    nix::unistd::sethostname("dmns")?;
    Ok(())
}

fn mount_at(source: &str, target: &str, fstype: &str, options: &str) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("making {target}"))?;
    mount(
        Some(source),
        target,
        Some(fstype),
        MsFlags::empty(),
        Some(options),
    )
    .with_context(|| format!("mounting {source} at {target}"))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &to)
                .with_context(|| to.display().to_string())?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| to.display().to_string())?;
        }
    }
    Ok(())
}
