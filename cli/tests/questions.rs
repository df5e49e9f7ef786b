// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The questions in docs/guide/questions.md: each command prints its answer on one of two logs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

const PAGE: &str = include_str!("../../docs/guide/questions.md");

/// The time of the first record of both logs, and the last record of the second one after it.
const FIRST: u64 = 1_795_300_000;
const LAST: u64 = 41;

const DAY: u64 = 24 * 60 * 60;

/// Writes `log` to `path`, with its first record at the second `first`.
fn shifted(log: &str, first: u64, path: &Path) {
    let mut text = String::new();
    for line in log.lines() {
        let (before, rest) = line.split_once("msg=audit(").expect("a record");
        let (seconds, after) = rest.split_once('.').expect("a time");
        let seconds: u64 = seconds.parse().expect("seconds");
        text.push_str(&format!(
            "{before}msg=audit({}.{after}\n",
            seconds - FIRST + first
        ));
    }
    std::fs::write(path, text).expect("written");
}

/// Writes both logs to `folder`: one of yesterday evening, and one that ends ten minutes ago.
fn logs(folder: &Path) -> (PathBuf, PathBuf) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    let (yesterday, today) = (folder.join("yesterday.log"), folder.join("now.log"));
    let evening = now / DAY * DAY - DAY + FIRST % DAY;
    shifted(include_str!("questions/yesterday.log"), evening, &yesterday);
    shifted(include_str!("questions/now.log"), now - 600 - LAST, &today);
    (yesterday, today)
}

/// Returns the words of `command`, as a shell takes them.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in command.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("a word").push(letter),
        }
    }
    words
}

fn run(words: &[String], log: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmns-audit"));
    command.args(words).env("TZ", "UTC0").stdin(Stdio::null());
    match words[0].as_str() {
        "watch" => {
            let file = std::fs::File::open(log).expect("a log");
            command.arg("--stdin").stdin(file)
        }
        _ if words.contains(&"--explain".to_owned()) => &mut command,
        _ => command.arg(log),
    };
    command.output().expect("it runs")
}

/// Returns question, command and answer of each row of `part`.
fn rows(part: &str) -> Vec<(&str, &str, &str)> {
    part.lines()
        .filter(|line| line.starts_with("| ") && line.contains("`dmns-audit"))
        .map(|line| {
            let mut cells = line
                .trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().trim_matches('`'));
            let mut next = || cells.next().expect("three cells");
            (next(), next(), next())
        })
        .collect()
}

#[test]
fn each_question_has_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (yesterday, today) = logs(folder.path());
    let (first, second) = PAGE.split_once("## Today's log").expect("two tables");
    let mut asked = 0;
    for (part, log) in [(first, &yesterday), (second, &today)] {
        for (question, command, answer) in rows(part) {
            let words = words(command.strip_prefix("dmns-audit ").expect("a command"));
            let output = run(&words, log);
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{question} {command}: {text}{errors}"
            );
            assert!(
                text.contains(answer),
                "{question} {command}: {text}{errors}"
            );
            asked += 1;
        }
    }
    assert_eq!(asked, 40);
}

#[test]
fn what_matches_nothing_names_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (yesterday, today) = logs(folder.path());
    for (command, log, status, said) in [
        (
            "report virt --vm web02",
            &yesterday,
            1,
            "guests: db, db1, web01",
        ),
        ("report ns --container dbx", &yesterday, 1, "containers: db"),
        ("report ns --user ed", &yesterday, 1, "users: jo, root"),
        (
            "report dm --device date",
            &yesterday,
            1,
            "mappings: 253:0 (data), 253:1 (scratch), 253:3",
        ),
        ("events --user ed", &yesterday, 1, "users: ada, jo, root"),
        ("events --key x", &yesterday, 1, "keys: identity, programs"),
        ("events --container x", &today, 1, "containers: mail, shop"),
        ("events --vm x", &yesterday, 1, "guests: db1, web01"),
        (
            "events --path /etc/password",
            &yesterday,
            1,
            "paths: /etc/passwd, ",
        ),
        (
            "watch --container x",
            &today,
            1,
            "no event of this log passes",
        ),
        ("watch --device x", &today, 1, "no event of this log passes"),
        (
            "report dm --device data --since -1h",
            &yesterday,
            1,
            "no such mapping is in the log in this period",
        ),
        (
            "report ns --running",
            &yesterday,
            1,
            "no container that is active",
        ),
        (
            "report ns --container db --since -1h",
            &yesterday,
            0,
            "no event of this container in this period",
        ),
        (
            "events --since -1h",
            &yesterday,
            1,
            "no event in this period",
        ),
        (
            "report virt web01",
            &yesterday,
            2,
            "did you mean --vm web01?",
        ),
        (
            "report ns db",
            &yesterday,
            2,
            "did you mean --container db?",
        ),
        (
            "report dm data",
            &yesterday,
            2,
            "did you mean --device data?",
        ),
        (
            "events web01",
            &yesterday,
            2,
            "did you mean --container web01, or --vm web01",
        ),
        (
            "report virt web01.example.org",
            &yesterday,
            2,
            "did you mean --vm web01.example.org?",
        ),
        ("events 151", &yesterday, 2, "--serial 151"),
        (
            "events /srv/db/users",
            &yesterday,
            2,
            "--path /srv/db/users",
        ),
        ("report dm 253:0", &yesterday, 2, "--device 253:0"),
        (
            "report dm --file /dev/mapper/data",
            &yesterday,
            2,
            "--device /dev/mapper/data",
        ),
        ("check --explain", &yesterday, 0, "net-without-open"),
        ("report dm --csv", &yesterday, 2, "dmns-audit events --csv"),
        (
            "report dm --path x",
            &yesterday,
            2,
            "`dmns-audit events` selects events by --path",
        ),
        (
            "events --running",
            &yesterday,
            2,
            "`report virt` have --active",
        ),
        (
            "check --vm web01",
            &yesterday,
            2,
            "`dmns-audit report virt --vm`",
        ),
    ] {
        let output = run(&words(command), log);
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{command}: {text}");
        assert!(text.contains(said), "{command}: {text}");
    }
}

/// A reader of objects gets objects only.
#[test]
fn an_answer_without_objects_is_on_standard_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (yesterday, _) = logs(folder.path());
    for command in [
        "report dm --json --device date",
        "report dm --json --device data --since -1h",
        "report ns --json --container dbx",
        "report ns --json --user ed",
        "report ns --json --tree --user ed",
        "report virt --json --vm web02",
        "events --json --user ed",
    ] {
        let output = run(&words(command), &yesterday);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command}");
        assert!(!output.stderr.is_empty(), "{command}");
    }
}

/// A message shares its event with a call that succeeds.
#[test]
fn a_failed_login_in_a_container_is_called_so() {
    let log = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/logs/containers.log"
    ));
    let output = run(&words("events --container lx1 --only error"), log);
    let text = String::from_utf8_lossy(&output.stdout);
    let said = "nobody (su) in container lx1 USER_AUTH failed: sendto";
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_violation_names_its_mapping() {
    let folder = tempfile::tempdir().expect("a folder");
    let (yesterday, _) = logs(folder.path());
    for (command, said) in [
        (
            "events --only violation",
            "integrity on 253:0 (data), sector 77480: ",
        ),
        (
            "events --device data",
            "ada (integritysetup) deleted integrity 253:0 (data)",
        ),
        (
            "events --device data --csv",
            "created integrity 253:0 (data)",
        ),
        ("events --device 253:1", "created integrity 253:1 (scratch)"),
    ] {
        let output = run(&words(command), &yesterday);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(said), "{command}: {text}");
    }
}

/// A log without any record of the kind is no match either.
#[test]
fn a_filter_of_records_that_the_log_lacks_is_no_match() {
    let logs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs"));
    for (command, log) in [
        ("report ns --container web", "dm.log"),
        ("report ns --user root", "dm.log"),
        ("report dm --device data", "ns.log"),
        ("report virt --vm web", "dm.log"),
    ] {
        let output = run(&words(command), &logs.join(log));
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.starts_with("no "), "{command}: {text}");
    }
}

/// Without a rule or NS_INFO, no filter matches: what to do is answered.
#[test]
fn a_log_that_can_have_no_match_is_answered_with_what_is_missing() {
    let log = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs/dm.log"));
    for (command, said) in [
        ("events --path /etc/passwd", "auditctl -w"),
        ("events --key identity", "auditctl -w"),
        ("events --container web", "info=2"),
    ] {
        let output = run(&words(command), log);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.contains(said), "{command}: {text}");
    }
    // A file that is no log was meant for --path.
    let output = run(&words("events"), Path::new("/etc/passwd"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--path /etc/passwd"), "{text}");
}

/// It looks like a filter of hosts, and is none.
#[test]
fn a_name_for_a_host_that_no_record_needs_is_answered() {
    let logs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs"));
    for (command, log, answered) in [
        ("events --host a", "hosts.log", true),
        ("report dm --host a", "hosts.log", true),
        ("report dm --host a", "dm.log", false),
        ("report dm --host a", "ns.log", false),
        ("report dm", "hosts.log", false),
    ] {
        let output = run(&words(command), &logs.join(log));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            text.contains("jq 'select(.node"),
            answered,
            "{command}: {text}"
        );
    }
}

#[test]
fn the_end_of_the_host_is_no_guest_that_was_asked_for() {
    let log = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs/virt.log"));
    for filter in ["--vm nosuch", "--uuid 00000000-0000-0000-0000-000000000001"] {
        let output = run(&words(&format!("report virt {filter}")), log);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{filter}: {text}");
        assert!(text.contains("no guest"), "{filter}: {text}");
    }
}
