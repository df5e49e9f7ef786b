// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Logs as they are in the wild, by kind, in our own wording: `tests/corpus`. Every command runs on each of them, and its
//! output is a snapshot in `tests/snapshots`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

fn run(arguments: &[&str], files: &[&str]) -> Output {
    let stdin = arguments == ["watch", "--stdin"];
    let input = match (stdin, files) {
        (true, [file]) => Stdio::from(std::fs::File::open(corpus().join(file)).expect("a file")),
        _ => Stdio::null(),
    };
    Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(arguments)
        .args(if stdin { &[] } else { files })
        .current_dir(corpus())
        .env("TZ", "UTC0")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(input)
        .output()
        .expect("it runs")
}

/// What each command prints about `files`.
fn session(files: &[&str]) -> String {
    let mut all = String::new();
    let commands: [&[&str]; 9] = [
        &["check", "--strict"],
        &["report", "dm", "--all-events"],
        &["report", "ns"],
        &["report", "ns", "--tree"],
        &["report", "ns", "--container", "31"],
        &["report", "virt", "--all-events"],
        &["export", "--host", "here"],
        &["events"],
        &["watch", "--stdin"],
    ];
    for command in commands {
        if command[0] == "watch" && files.len() != 1 {
            continue;
        }
        let output = run(command, files);
        all.push_str(&format!(
            "$ dmns-audit {} {}\n",
            command.join(" "),
            files.join(" ")
        ));
        let lines = |bytes: &[u8]| -> String {
            let text = String::from_utf8_lossy(bytes).into_owned();
            // The tests see other folders than the reader of a snapshot.
            text.replace(&corpus().display().to_string(), "corpus")
        };
        // A hash is of the version of the program.
        let out = lines(&output.stdout);
        let hash = |line: &str| match (line.find("\"hash\":"), line.find(",\"copy\"")) {
            (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to + 1..]),
            _ => line.to_owned(),
        };
        for line in out.lines() {
            all.push_str(hash(line).trim_end());
            all.push('\n');
        }
        let errors = lines(&output.stderr);
        if !errors.is_empty() {
            all.push_str(&format!("-- standard error --\n{errors}"));
        }
        match output.status.code() {
            Some(0) => {}
            code => all.push_str(&format!("-- exit status {code:?} --\n")),
        }
        all.push('\n');
    }
    all
}

macro_rules! corpus {
    ($($name:ident: $($file:literal),+;)+) => {
        $(#[test]
        fn $name() {
            let printed = session(&[$($file),+]);
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(concat!("corpus_", stringify!($name)), printed);
            });
        })+

        /// Each file is in one of these tests.
        #[test]
        fn every_file_is_tested() {
            let tested = [$($($file),+),+];
            let mut folders = vec![corpus().to_owned()];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(folder).expect("listed") {
                    let path = entry.expect("an entry").path();
                    if path.is_dir() {
                        folders.push(path);
                        continue;
                    }
                    let name = path.strip_prefix(corpus()).expect("within").display().to_string();
                    assert!(tested.contains(&&*name), "{name}");
                }
            }
        }
    };
}

corpus! {
    journalctl_short: "a-journalctl-short.log";
    journalctl_cat: "a-journalctl-cat.log";
    interpreted: "a-interpreted.log";
    laurel: "a-laurel.json";
    other_json: "a-other.json";
    wrapped_json: "a-wrapped.json";
    dmesg_json: "a-dmesg.json";
    array_json: "a-array.json";
    grep: "a-grep.log";
    utf16: "a-utf16.log";
    binary: "a-binary.bin";
    archive: "a-archive.tar";
    syslog_without: "a-syslog.log";
    empty: "a-empty.log";
    journal_kernel_json: "a-journal-kernel.json";
    journal_kernel_export: "a-journal-kernel.export";
    journal_without: "a-journal-without.json";
    losses: "a-losses.log";
    losses_of_auditd: "a-losses-of-auditd.log";
    bzip2: "a-compressed.log.bz2";
    lz4: "a-compressed.log.lz4";
    separator_035: "b-035.log";
    separator_caret: "b-caret.log";
    separator_space: "b-space.log";
    separator_nothing: "b-nothing.log";
    separator_other: "b-other.log";
    separator_of_guests: "b-libvirt.log";
    node_in_syslog: "c-node-in-syslog.log";
    syslog_hosts: "c-syslog-hosts.log";
    journal_machines: "c-journal-machines.json";
    two_folders: "c-two/anvil/audit.log", "c-two/bellows/audit.log";
    prefixes: "c-prefixes.log";
    one_stream: "c-one-stream.log";
    twice: "d-twice.log";
    copies: "c-copies/audit.log", "c-copies/syslog";
    copy_compressed: "c-copies/audit.log.1", "c-copies/audit.log.1.gz";
    kernel_boot: "d-kernel-boot.log";
    small_serials: "d-small-serials.log";
    wrap: "d-wrap.log";
    journal_boots: "d-journal-boots.json";
    rotated: "d-rotated/audit.log.20261123", "d-rotated/audit.log.20261122";
    kernel_order: "e-kernel-order.log";
    ausearch: "e-ausearch.log";
    last_record: "e-last-record.log";
    late_creation: "e-late-creation.log";
    late_constructor: "e-late-constructor.log";
    container: "f-container.log";
    arches: "f-arches.log";
    names: "f-names.log";
    verity_metadata: "f-verity-metadata.log";
    cdrom: "f-cdrom.log";
    docker: "f-docker.log";
    users: "f-users.log";
    guest_group: "f-guest-group.log";
    long_name: "f-long-name.log";
    bom: "g-bom.log";
    carriage_returns: "g-cr.log";
    gzip_twice: "g-gzip-twice.log.gz";
    gzip_nuls: "g-gzip-nuls.log.gz";
    json_before: "a-json-before.log";
    some_name_none: "c-some-name-none.log";
    dmesg_german: "d-dmesg-german.log";
    dmesg_levels: "d-dmesg-levels.log";
    kmsg: "d-kmsg.log";
    syslog_german: "d-syslog-german.log";
    nuls: "g-nuls.log";
    nuls_within: "g-nuls-within.log";
    nuls_after_torn: "g-nuls-after-torn.log";
    first_numbers: "g-first-numbers.log";
    daemon_config: "g-daemon-config.log";
    constant_mistake: "h-constant-mistake.log";
    no_namespaces: "h-no-namespaces.log";
    virt_operation: "h-virt-operation.log";
    in_tree: "i-in-tree.log";
    in_tree_nstype: "i-in-tree-nstype.log";
    in_tree_without_nstype: "i-in-tree-without-nstype.log";
}

/// Reads what a command prints on standard output about a file.
fn printed(arguments: &[&str], files: &[&str]) -> String {
    String::from_utf8_lossy(&run(arguments, files).stdout).into_owned()
}

#[test]
fn what_has_no_record_is_an_error_of_every_command() {
    let commands: [&[&str]; 6] = [
        &["check"],
        &["events"],
        &["report", "dm"],
        &["report", "ns"],
        &["report", "virt"],
        &["export"],
    ];
    for (file, what, instead) in [
        (
            "a-journalctl-short.log",
            "journalctl",
            "journalctl -o export",
        ),
        ("a-journalctl-cat.log", "journalctl", "journalctl -o export"),
        ("a-interpreted.log", "interpreted", "ausearch --raw"),
        ("a-laurel.json", "laurel", "auditd"),
        (
            "a-other.json",
            "not as journalctl writes it",
            "journalctl -o json",
        ),
        ("a-wrapped.json", "records as values", "jq -r .message"),
        ("a-dmesg.json", "dmesg", "without --json"),
        ("a-array.json", "array", "jq -c '.[]'"),
        ("a-grep.log", "something before them", "grep -h"),
        ("a-utf16.log", "UTF-16", "iconv"),
        ("a-binary.bin", "binary", "right file"),
        ("a-archive.tar", "tar archive", "tar -xOf"),
        ("a-syslog.log", "without audit records", "auditctl -s"),
        (
            "a-journal-without.json",
            "without an audit record",
            "auditctl -s",
        ),
    ] {
        for command in commands {
            let output = run(command, &[file]);
            let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stdout));
            assert_eq!(output.status.code(), Some(2), "{command:?} {file}: {text}");
            assert!(
                text.contains(what) && text.contains(instead),
                "{command:?} {file}: {text}"
            );
            for silence in [
                "nothing found",
                "no device-mapper",
                "no containers",
                "no guests",
            ] {
                assert!(!text.contains(silence), "{command:?} {file}: {text}");
            }
        }
        let watched = run(&["watch", "--stdin"], &[file]);
        assert_eq!(watched.status.code(), Some(2), "watch {file}");
        assert!(
            String::from_utf8_lossy(&watched.stderr).contains(what),
            "watch {file}"
        );
    }
}

#[test]
fn records_are_the_same_whatever_stands_around_them() {
    let reports: [&[&str]; 3] = [
        &["report", "dm", "-a"],
        &["report", "ns"],
        &["report", "virt"],
    ];
    let same = |files: &[&[&str]]| {
        for report in reports {
            let first = printed(report, files[0]);
            for other in &files[1..] {
                assert_eq!(printed(report, other), first, "{report:?} {other:?}");
            }
        }
    };
    let separators = ["b-035.log", "b-caret.log", "b-space.log", "b-nothing.log"];
    same(
        &separators
            .map(|file| [file])
            .each_ref()
            .map(|file| &file[..]),
    );
    same(&[&["e-kernel-order.log"], &["e-ausearch.log"]]);
    same(&[
        &["a-compressed.log.bz2"],
        &["a-compressed.log.lz4"],
        &["c-copies/audit.log"],
        &["g-bom.log"],
        &["g-cr.log"],
        &["g-gzip-twice.log.gz"],
        &["g-gzip-nuls.log.gz"],
        &["a-json-before.log"],
        &["d-dmesg-german.log"],
        &["d-dmesg-levels.log"],
        &["d-kmsg.log"],
    ]);
    same(&[&["a-journal-kernel.json"], &["a-journal-kernel.export"]]);
    same(&[
        &["c-copies/audit.log"],
        &["c-copies/audit.log.1", "c-copies/audit.log.1.gz"],
    ]);
    assert!(printed(reports[0], &["b-035.log"]).contains("edda (integritysetup)"));
}

#[test]
fn an_event_of_a_guests_task_is_found_whether_the_guest_is_known_already_or_not() {
    let found = |vm: &str| -> Vec<String> {
        let lines = printed(&["events", "--proof", "--vm", vm], &["f-guest-group.log"]);
        let serial = |line: &str| line.rsplit(':').next().map(|last| last.replace(']', ""));
        lines.lines().filter_map(serial).collect()
    };
    assert_eq!(found("web01"), ["602", "603", "604", "607", "610"]);
    assert_eq!(found("5c1e0a77-0001"), found("web01"));
    // Its control group is called db1.
    assert_eq!(found("db 1"), ["606", "608", "609"]);
    assert_eq!(found("5c1e0a77-0002"), found("db 1"));
    // No record names it.
    assert_eq!(found("old"), ["600"]);
    assert_eq!(found("web"), [""; 0]);
    let all = printed(&["events"], &["f-guest-group.log"]);
    assert!(
        all.contains("(qemu-system-x86) of guest db1 openat /srv/images/db.qcow2"),
        "{all}"
    );
    assert!(
        all.contains("(qemu-system-x86) of guest db 1 openat /srv/images/db.qcow2"),
        "{all}"
    );
    assert!(!all.contains("in container"), "{all}");
    let objects = printed(&["events", "--json", "--vm", "old"], &["f-guest-group.log"]);
    assert!(
        objects.contains(r#""guest":"old","#) && objects.contains(r#""inside":null"#),
        "{objects}"
    );
}

#[test]
fn lines_of_another_program_are_no_findings() {
    for file in [
        "d-dmesg-german.log",
        "d-dmesg-levels.log",
        "d-kmsg.log",
        "d-syslog-german.log",
    ] {
        let output = run(&["check", "--strict"], &[file]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{file}: {text}");
        assert!(text.contains("nothing found"), "{file}: {text}");
    }
}

#[test]
fn a_creation_that_stands_after_its_deletion_is_no_active_container() {
    let mapping = printed(&["report", "dm"], &["e-late-constructor.log"]);
    assert_eq!(mapping.matches("252:4").count(), 1, "{mapping}");
    assert!(
        mapping.contains("2026-11-23 02:13:20  2026-11-23 02:13:29"),
        "{mapping}"
    );
    let late = printed(&["report", "ns"], &["e-late-creation.log"]);
    assert!(late.contains("2026-11-23 02:13:27"), "{late}");
    assert!(!late.contains("active"), "{late}");
    let active = printed(&["report", "ns", "--active"], &["e-late-creation.log"]);
    assert!(active.contains("no container"), "{active}");
    let tree = printed(&["report", "ns", "--tree"], &["e-late-creation.log"]);
    assert_eq!(tree.matches("2026-11-23 02:13:27").count(), 3, "{tree}");
    assert_eq!(tree.matches("unshare").count(), 3, "{tree}");
}

#[test]
fn a_mapping_has_the_name_of_its_command_line() {
    let text = printed(&["report", "dm"], &["f-names.log"]);
    for name in [
        "252:4 (ledger)",
        "252:5 (chest_dif)",
        "252:6 (chest)",
        "252:7  ",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    // The same of a log that several processors search, at any place of it.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.log");
    let mut log = String::new();
    let mut count = 0u64;
    while log.len() < 5 << 20 {
        let at = 1_795_400_000 + count;
        for other in 0..count % 7 {
            log.push_str(&format!(
                "type=PATH msg=audit({at}.000:{}): item={other} name=\"/srv/a\" nametype=NORMAL\n",
                3 * count + 1
            ));
        }
        for op in ["ctr", "dtr"] {
            let serial = 3 * count + 2 + u64::from(op == "dtr");
            log.push_str(&format!(
                "type=DM_CTRL msg=audit({at}.000:{serial}): module=crypt op={op} ppid=1 pid=2 auid=0 uid=0 gid=0 euid=0 suid=0 \
                 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts1 ses=5 comm=\"dmsetup\" exe=\"/usr/sbin/dmsetup\" subj=unconfined \
                 dev=253:7 error_msg='success' res=1\n"
            ));
            // Records of another processor may come between.
            for other in 0..count % 40 {
                log.push_str(&format!(
                    "type=CWD msg=audit({at}.000:{}): cwd=\"/{other}\"\n",
                    3 * count
                ));
            }
            if op == "ctr" {
                log.push_str(&format!(
                    "type=PROCTITLE msg=audit({at}.000:{serial}): proctitle=646D736574757000637265617465006E{}\n",
                    "61".repeat(1 + count as usize % 5)
                ));
            }
        }
        count += 1;
    }
    std::fs::write(&path, log).expect("written");
    let text = printed(&["report", "dm"], &[&path.display().to_string()]);
    // Not those with another block of the log between: few.
    let named = text.matches("253:7 (na").count() as u64;
    assert!(named * 100 >= count * 99, "{named} of {count}");
}

#[test]
fn damage_that_is_scattered_keeps_its_bound_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scattered.log");
    let mut log = String::new();
    let mut sector = 1u64;
    for number in 0..10_000 {
        sector = (sector * 1_103_515_245 + 12_345) % (1 << 31);
        log.push_str(&format!(
            "type=DM_EVENT msg=audit(1795400000.000:{}): module=integrity op=integrity-checksum dev=252:4 sector={sector} res=0\n",
            number + 60
        ));
    }
    std::fs::write(&path, log).expect("written");
    let file = path.display().to_string();
    let text = printed(&["report", "dm", "-a"], &[&file]);
    assert!(
        text.contains("in 8192 ranges, joined: not every sector in them is corrupt"),
        "{text}"
    );
    let json = printed(&["report", "dm", "-a", "--format", "json"], &[&file]);
    let life: serde_json::Value = serde_json::from_str(&json).expect("an object");
    let found = &life["found"][0];
    assert_eq!(found["sectors"].as_array().map(Vec::len), Some(8192));
    assert_eq!(found["exact"], false);
    assert!(found["covered"].as_u64() > life["distinct"].as_u64());
}

#[test]
fn messages_name_the_thing_and_the_next_step() {
    let errors = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("many.log");
    let mut log = String::new();
    for number in 0..40_000u64 {
        for (place, op) in ["ctr", "dtr"].into_iter().enumerate() {
            log.push_str(&format!(
                "type=DM_CTRL msg=audit({}.{:03}:{}): module=integrity op={op} ppid=1 pid=2 auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 \
                 egid=0 sgid=0 fsgid=0 tty=pts1 ses=5 comm=\"dmsetup\" exe=\"/usr/sbin/dmsetup\" subj=unconfined dev=253:{} \
                 error_msg='success' res=1\n",
                1_795_400_000 + number / 100,
                number % 1000,
                2 * number + place as u64 + 5,
                number % 90
            ));
        }
    }
    std::fs::write(&path, log).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(["report", "dm"])
        .arg(&path)
        .env("TMPDIR", "/nonexistent")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = errors(output);
    assert!(
        said.contains("TMPDIR /nonexistent: No such file") && said.contains("4 MiB"),
        "{said}"
    );
    let full = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(["report", "dm"])
        .arg(&path)
        .stdout(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("opened"),
        )
        .output()
        .expect("it runs");
    assert_eq!(full.status.code(), Some(2));
    let said = errors(full);
    assert!(said.contains("standard output: No space left"), "{said}");
    for (arguments, file, expected) in [
        (
            &["report", "virt", "--vm", "nosuch"][..],
            "f-cdrom.log",
            "no guest called nosuch is in the log",
        ),
        (
            &["report", "ns", "--by", "nobody1"],
            "e-last-record.log",
            "no container that nobody1 created; 1 other is in the log",
        ),
        (
            &["report", "ns"],
            "h-no-namespaces.log",
            "was the module dmns_audit loaded",
        ),
        (
            &["report", "ns", "--container", "31"],
            "e-kernel-order.log",
            "with info=2, or write 2 to /sys/kernel/security/dmns_audit/info",
        ),
        (
            &["report", "dm", "--html", "-"],
            "b-035.log",
            "<!doctype html>",
        ),
        (
            &["check"],
            "h-constant-mistake.log",
            "8 more like it, in lines 2, 3, 4, 5, 6, ...; --all prints each",
        ),
    ] {
        let text = printed(arguments, &[file]);
        assert!(text.contains(expected), "{arguments:?} {file}: {text}");
    }
    assert!(!corpus().join("-").exists());
    let all = printed(&["check", "--all"], &["h-constant-mistake.log"]);
    assert_eq!(all.matches("error[unexpected-field]").count(), 9);
}

/// A kernel that has one type for each kind of namespace and one with `nstype=` give the same answers.
#[test]
fn both_forms_of_records_of_namespaces_are_the_same_to_readers() {
    let (per_kind, offered) = ("i-in-tree.log", "i-in-tree-nstype.log");
    for arguments in [
        &["check", "--strict"][..],
        &["report", "ns"],
        &["report", "ns", "--tree"],
        &["report", "ns", "--container", "29"],
        &["report", "ns", "--format", "json"],
        &["events"],
        &["events", "--format", "json"],
        &["watch", "--stdin"],
    ] {
        let of = |file| {
            let output = run(arguments, &[file]);
            let text = String::from_utf8(output.stdout).expect("text");
            (text.replace(file, per_kind), output.status.code())
        };
        assert_eq!(of(offered), of(per_kind), "{arguments:?}");
    }
    let report = printed(&["report", "ns", "--tree"], &[offered]);
    for id in ["29", "30"] {
        assert!(report.split_whitespace().any(|word| word == id), "{report}");
    }
}
