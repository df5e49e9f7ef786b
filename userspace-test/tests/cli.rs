// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program as it is started, without a guest.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn dmns_test(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmns-test"));
    command.args(arguments).stderr(Stdio::piped());
    command.env_remove("DMNS_ARCH").env_remove("DMNS_KERNEL");
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that has to end with this status, and to print this text. Returns all that it
/// prints.
#[track_caller]
fn ends(command: &mut Command, status: i32, says: &str) -> io::Result<String> {
    let ended = command.output()?;
    let said = errors(&ended);
    assert_eq!(ended.status.code(), Some(status), "{command:?}: {said}");
    assert!(said.contains(says), "{command:?}: {said}");
    Ok(said)
}

#[test]
fn a_reader_that_has_gone_is_no_error() -> io::Result<()> {
    let (reader, writer) = nix::unistd::pipe()?;
    drop(reader);
    let ended = dmns_test(&["list"]).stdout(writer).output()?;
    assert_eq!(errors(&ended), "");
    assert!(ended.status.success(), "{}", ended.status);
    Ok(())
}

#[test]
fn a_cache_that_no_root_can_be_made_in_is_refused() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for name in ["a:b", "jo's"] {
        let cache = dir.path().join(name);
        let mut prepare = dmns_test(&["prepare"]);
        let said = ends(prepare.env("DMNS_CACHE", &cache), 2, "set DMNS_CACHE")?;
        assert!(said.contains(name), "{said}");
        assert!(!cache.exists());
    }
    Ok(())
}

/// Runs a script of the project.
fn script(name: &str) -> Command {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(project.join("scripts").join(name))
}

#[test]
fn each_function_that_the_module_attaches_to_is_looked_for_in_a_tree() -> io::Result<()> {
    let tree = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(tree.path().join(name), text);
    write(".config", "CONFIG_BLK_DEV_DM=m\nCONFIG_DM_AUDIT=y\n")?;
    write(
        "System.map",
        "ffffffff81000000 T copy_namespaces\nffffffff81000010 t audit_log_exit.isra.0\n\
         ffffffff81000020 t dm_audit_log_ti\n\
         ffffffff81000030 t audit_filter\nffffffff81000040 t audit_filter\n",
    )?;
    write(
        "Module.symvers",
        "0x00000000\tdm_audit_log_bio\tdrivers/md/dm-mod\tEXPORT_SYMBOL_GPL\t\n",
    )?;
    let output = script("build/hooks.sh").arg(tree.path()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}{}", errors(&output));
    let row = |name: &str| {
        let row = said.lines().find(|line| line.contains(name));
        row.unwrap_or_else(|| panic!("no {name} in {said}"))
    };
    assert!(said.contains("(System.map, Module.symvers)"), "{said}");
    assert!(row("copy_namespaces").starts_with("  found     copy_namespaces  "));
    assert!(row("copy_namespaces").contains("kernel/nsproxy.c"));
    assert!(row("dm_audit_log_bio").starts_with("  found "));
    // Another function of this name, in the kernel itself, is not the one of device mapper.
    assert!(row("dm_audit_log_ti").starts_with("  NOT FOUND "));
    let renamed = row("audit_log_exit");
    assert!(renamed.starts_with("  NOT FOUND audit_log_exit "), "{said}");
    assert!(renamed.contains("is it audit_log_exit.isra.0 now?"));
    assert!(row("audit_filter ").starts_with("  AMBIGUOUS audit_filter "));
    write(".config", "CONFIG_BLK_DEV_DM=m\n")?;
    let output = script("build/hooks.sh").arg(tree.path()).output()?;
    let without = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        without.contains("  not built dm_audit_log_ti "),
        "{without}"
    );
    // Every row of the table is one of the answer.
    let table = include_str!("../../kmod/hooks.rs");
    let rows = |line: &&str| line.contains("hook(") && line.contains('"');
    let rows = table.lines().filter(rows).count();
    assert_eq!(said.lines().count() - 1, rows);
    // No symbol at all.
    fs::remove_file(tree.path().join("System.map"))?;
    write("Module.symvers", "")?;
    write(".config", "CONFIG_BLK_DEV_DM=y\nCONFIG_DM_AUDIT=y\n")?;
    let output = script("build/hooks.sh").arg(tree.path()).output()?;
    let none = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{none}");
    assert!(
        none.contains("(no System.map and no vmlinux: build the kernel"),
        "{none}"
    );
    let unknown = |line: &&str| line.starts_with("  unknown ");
    assert_eq!(none.lines().filter(unknown).count(), rows, "{none}");
    Ok(())
}

#[test]
fn only_a_module_that_is_built_needs_the_compilers_of_the_kernel() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir_all(path("tree"))?;
    fs::create_dir_all(path("modules"))?;
    fs::write(path("image"), "")?;
    fs::write(path("tree/.config"), "CONFIG_CC_VERSION_TEXT=\"nocc 99\"\n")?;
    fs::write(path("tree/Module.symvers"), "")?;
    let own_kernel = |compiler: &str| {
        let (image, modules, tree) = (path("image"), path("modules"), path("tree"));
        let mut own = script("build/own-kernel.sh");
        own.args([&path("no-root"), &image, "7.3.4", "#1 SMP", &modules, &tree])
            .arg(compiler)
            .env("DMNS_CACHE", path("cache"))
            .output()
    };
    // Also where the folder is there from a run without a module.
    for _ in 0..2 {
        let made = own_kernel("optional")?;
        let said = errors(&made);
        assert!(made.status.success(), "{said}");
        let kernel = String::from_utf8_lossy(&made.stdout).into_owned();
        let kernel = Path::new(kernel.trim());
        assert!(kernel.join("config").exists() && !kernel.join("cc").exists());
        let refused = own_kernel("required")?;
        let said = errors(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains("built by \"nocc 99\": neither this machine nor"),
            "{said}"
        );
    }
    Ok(())
}

#[test]
fn a_commit_that_cannot_be_built_is_skipped_by_git_bisect() -> io::Result<()> {
    let tree = tempfile::tempdir()?;
    // Neither builds: the one has no Makefile, and the other leaves no image.
    for build in ["", "true"] {
        let mut bisect = script("bisect.sh");
        bisect.current_dir(tree.path()).arg("unshare-all");
        bisect.env("DMNS_TEST", env!("CARGO_BIN_EXE_dmns-test"));
        if !build.is_empty() {
            bisect.env("DMNS_BUILD", build);
        }
        let output = bisect.output()?;
        assert_eq!(output.status.code(), Some(125), "{}", errors(&output));
    }
    Ok(())
}

#[test]
fn a_mistake_in_the_arguments_ends_a_bisection_before_anything_is_built() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir(path("tree"))?;
    fs::write(path("file"), "")?;
    let mut arm = b"\x7fELF".to_vec();
    arm.resize(18, 0);
    arm.extend(183u16.to_le_bytes());
    arm.extend(b"\0name=dmns_audit\0");
    fs::write(path("arm.ko"), arm)?;
    let bisect = |arguments: &str| {
        let mut bisect = script("bisect.sh");
        bisect.env_remove("DMNS_ARCH").env_remove("DMNS_KERNEL");
        bisect.current_dir(path("tree")).args(arguments.split(' '));
        bisect.env("DMNS_TEST", env!("CARGO_BIN_EXE_dmns-test"));
        bisect.env("DMNS_CACHE", path("cache"));
        bisect.env("DMNS_BUILD", "echo \"$DMNS_ARCH\" >built; false");
        bisect
    };
    for (arguments, says) in [
        ("unshare-al", "did you mean the scenario unshare-all"),
        ("--no-modul unshare-all", "--no-modul"),
        ("--module /nope.ko", "/nope.ko: No such file"),
        (
            &format!("--module {}", path("arm.ko")),
            "a module of another architecture",
        ),
        ("--share /nope", "--share /nope"),
        ("--junit /nope/junit.xml", "/nope/junit.xml"),
        (&format!("--keep-logs {}", path("file/logs")), "file/logs"),
        ("--image nope", "no scenario runs in the image nope"),
        ("--image packages", "leave out --tree"),
        ("--arch arm", "invalid value 'arm'"),
        (
            "--kernel bzImage --modules m",
            "leave out --kernel and --modules, or --tree",
        ),
        ("--tree /other", "--tree"),
    ] {
        ends(&mut bisect(arguments), 255, says)?;
    }
    for (variable, value, says) in [
        ("DMNS_CACHE", "/a:b", "set DMNS_CACHE"),
        ("DMNS_CACHE", &path("file"), "set DMNS_CACHE"),
        (
            "DMNS_ARCH",
            "aarch64",
            "DMNS_ARCH=aarch64: there are amd64 and arm64",
        ),
        ("DMNS_KERNEL", "debug", "leave one out"),
    ] {
        ends(bisect("unshare-all").env(variable, value), 255, says)?;
    }
    assert!(!Path::new(&path("tree/built")).exists());
    // What is built is of the architecture that an option asks for.
    for (arguments, arch) in [
        ("unshare-all", "amd64\n"),
        ("--arch arm64 unshare-all", "arm64\n"),
    ] {
        ends(&mut bisect(arguments), 125, "")?;
        assert_eq!(fs::read_to_string(path("tree/built"))?, arch);
    }
    Ok(())
}

#[test]
fn guests_of_another_architecture_need_programs_that_a_checkout_builds() -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::create_dir(path("scripts"))?;
    for name in [
        "scripts/common.sh",
        "scripts/dmns-test.sh",
        "userspace-test",
    ] {
        symlink(project.join(name), path(name))?;
    }
    // In the root, a shell has this status where there is no cargo.
    fs::write(path("scripts/cargo.sh"), "#!/bin/sh\nexit 127\n")?;
    fs::set_permissions(path("scripts/cargo.sh"), fs::Permissions::from_mode(0o755))?;
    let package = "is an installed package: use scripts/dmns-test.sh of a checkout";
    for (is_checkout, says) in [(false, package), (true, "")] {
        if is_checkout {
            fs::copy(project.join("Cargo.toml"), path("Cargo.toml"))?;
        }
        for (arguments, status) in [
            ("run unshare-all", 2),
            ("run --bisect unshare-all", 255),
            ("exec -- true", 125),
        ] {
            for option in [true, false] {
                let mut words: Vec<_> = arguments.split(' ').collect();
                if option {
                    words.splice(..0, ["--arch", "arm64"]);
                }
                let mut started = dmns_test(&words);
                started.env("DMNS_ARCH", if option { "" } else { "arm64" });
                started
                    .env("DMNS_PROJECT", dir.path())
                    .env("DMNS_CACHE", path("cache"));
                ends(&mut started, status, says)?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_there_is_not_for_an_architecture_is_refused_by_name() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("cache");
    for (arch, kernel, says) in [
        (
            "arm64",
            "debug",
            "DMNS_KERNEL=debug: its configuration is for amd64, not arm64",
        ),
        ("arm64", "kasan", "DMNS_KERNEL=kasan: "),
        ("arm64", "intree", "DMNS_KERNEL=intree: "),
        ("arm64", "fixes", "DMNS_KERNEL=fixes: "),
        (
            "aarch64",
            "",
            "DMNS_ARCH=aarch64: there are amd64 and arm64",
        ),
    ] {
        let mut run = dmns_test(&["run", "unshare-all"]);
        run.env("DMNS_ARCH", arch)
            .env("DMNS_KERNEL", kernel)
            .env("DMNS_CACHE", &cache);
        ends(&mut run, 2, says)?;
        assert!(!cache.exists());
    }
    Ok(())
}

#[test]
fn what_would_be_compared_with_itself_is_refused() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("cache");
    for (kernel, arguments, says) in [
        (
            "",
            "diff --against debian",
            "the same kernel with the same module",
        ),
        (
            "",
            "metrics --against debian",
            "the same kernel with the same module",
        ),
        (
            "",
            "--no-module diff --against debian --against-no-module",
            "the same kernel",
        ),
        (
            "",
            "--no-module diff",
            "leave out --no-module, or give --against",
        ),
        ("fixes", "diff", "DMNS_KERNEL=fixes runs without it"),
        ("intree", "metrics", "DMNS_KERNEL=intree runs without it"),
        (
            "intree-debug",
            "bench",
            "DMNS_KERNEL=intree-debug runs without it",
        ),
        ("7.3", "diff --against /nope", "--against /nope: not there"),
        ("", "diff --against /", "--against: /: not a kernel tree"),
        (
            "",
            "diff --against debian --against-module /nope",
            "--against-module /nope",
        ),
        (
            "7.3",
            "diff --against /",
            "and --against for one of your own: leave one out",
        ),
    ] {
        let mut compare = dmns_test(&arguments.split(' ').collect::<Vec<_>>());
        compare.env("DMNS_KERNEL", kernel).env("DMNS_CACHE", &cache);
        let said = ends(&mut compare, 2, says)?;
        assert!(!said.contains("--tree"), "{arguments}: {said}");
        assert!(!cache.exists());
    }
    Ok(())
}

#[test]
fn what_needs_no_guest_needs_no_kernel() -> io::Result<()> {
    for command in ["kconfig", "list"] {
        let ended = dmns_test(&["--tree", "/nope", "--arch", "arm64", command]).output()?;
        assert!(ended.status.success(), "{}", errors(&ended));
    }
    let ended = dmns_test(&["--tree", "/nope", "corrupt", "none", "--sector", "8"]).output()?;
    assert!(!errors(&ended).contains("/nope"), "{}", errors(&ended));
    Ok(())
}

#[test]
fn a_kernel_that_does_not_fit_is_refused_at_once() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("vmlinux"), b"\x7fELF")?;
    fs::create_dir(path("empty"))?;
    for (arguments, says) in [
        (
            vec!["--tree", &path("none")],
            "none: No such file or directory (os error 2): give the folder of a kernel that is built",
        ),
        (vec!["--tree", &path("empty")], "empty: not a kernel tree"),
        (
            vec!["--kernel", &path("vmlinux"), "--modules", &path("empty")],
            "vmlinux: an ELF file",
        ),
        (vec!["--module", &path("none.ko")], "none.ko: No such file"),
        (
            vec!["--module", &path("empty")],
            "empty: a folder: give the dmns_audit.ko in it",
        ),
    ] {
        let mut run = dmns_test(&["run"]);
        // Nothing is made: the cache stays away.
        run.args(&arguments).env("DMNS_CACHE", path("cache"));
        ends(&mut run, 2, says)?;
        assert!(!dir.path().join("cache").exists());
    }
    Ok(())
}

#[test]
fn options_before_the_subcommand_and_after_it_are_taken_together() -> io::Result<()> {
    for (arguments, says) in [
        (
            "--tree tx run --kernel bzImage --modules m",
            "leave out --kernel and --modules, or --tree",
        ),
        ("--modules m run --tree tx", "leave out --kernel"),
        (
            "--no-module run --module none.ko",
            "--module and --no-module exclude each other",
        ),
        (
            "--kernel bzImage run",
            "--kernel IMAGE and --modules DIR belong together",
        ),
        // Both are given, so that the image is read.
        ("--kernel bzImage run --modules m", "bzImage: No such file"),
        ("--tree ty run --tree=tx", "--tree is given twice"),
        (
            "--module a exec --module b -- true",
            "--module is given twice",
        ),
        ("--tree tx exec -- true --tree ty", "--tree tx: "),
    ] {
        let status = if arguments.contains("exec") { 125 } else { 2 };
        let arguments: Vec<_> = arguments.split(' ').collect();
        ends(&mut dmns_test(&arguments), status, says)?;
    }
    Ok(())
}
