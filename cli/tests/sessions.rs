// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the program prints, word for word: each session is a file in `tests/snapshots/`.
//!
//! `INSTA_UPDATE=always cargo test -p dmns-audit-cli --test sessions` writes them anew.

use std::process::{Command, Stdio};

/// Runs `dmns-audit` with `arguments`, separated by spaces, and returns what came of it.
fn session(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(arguments.split_whitespace())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs"))
        .env("TZ", "UTC0")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let mut printed = format!("$ dmns-audit {arguments}\n");
    printed.push_str(&String::from_utf8_lossy(&output.stdout));
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.is_empty() {
        printed.push_str(&format!("-- standard error --\n{errors}"));
    }
    match output.status.code() {
        Some(0) => {}
        code => printed.push_str(&format!("-- exit status {code:?} --\n")),
    }
    printed
}

macro_rules! sessions {
    ($($name:ident: $($arguments:literal),+;)+) => {
        $(#[test]
        fn $name() {
            let printed = [$(session($arguments)),+].join("\n");
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), printed);
            });
        })+
    };
}

sessions! {
    check_clean: "check clean.log", "check --format json clean.log";
    check_broken: "check broken.log", "check --strict clean.log";
    check_broken_json: "check --format json broken.log";
    check_broken_sarif: "check --format sarif broken.log";
    check_absent: "check absent.log clean.log", "check --format json absent.log";
    check_colour: "--color always check broken.log";
    spec: "spec";
    spec_markdown: "spec --format markdown";
    report_dm: "report dm dm.log", "report dm --all-events --proof dm.log";
    report_dm_period: "report dm --start @1630425250 --end @1630425350 dm.log",
        "report dm clean.log broken.log", "report dm ns.log";
    report_dm_json: "report dm --format json --all-events --proof dm.log";
    report_virt: "report virt virt.log", "report virt --all-events virt.log";
    report_virt_options: "report virt --summary virt.log", "report virt --proof --show-uuid --vm Arch virt.log",
        "report virt --uuid 7bcae45c-c179-6cea-a185-c7abe50520c7 -f virt.log --all-events --proof",
        "report virt -ts 01/25/2012 12:00:00 -te 01/25/2012 virt.log",
        "report virt --start tomorrow virt.log", "report virt --start today --end yesterday virt.log",
        "report virt --vm nobody virt.log", "report virt --uuid x virt.log",
        "report virt --active virt.log", "report virt --running --all-events virt.log",
        "report virt --active --vm Fedora virt.log", "report virt --active --summary virt.log";
    events: "events --proof --container db containers.log", "events --format csv --vm plain libvirt.log",
        "events --format json --serial 67 libvirt.log", "events --device 253:1 --only violation libvirt.log", "events --user ed dm.log";
    check_libvirt: "check --format json libvirt.log", "check --strict --expect net-without-open --expect detach-without-attach \
        --expect encoding --expect guest-stop libvirt.log";
    report_libvirt: "report virt libvirt.log", "report virt --all-events libvirt.log",
        "report virt --summary libvirt.log";
    report_libvirt_json: "report virt --format json --all-events --vm qtest libvirt.log",
        "report virt --format json --all-events --vm layered libvirt.log";
    report_virt_migration: "report virt --all-events migration.log";
    report_virt_migration_one_host: "report virt --all-events migration-one-host.log";
    report_virt_json: "report virt --format json --all-events virt.log",
        "report virt --format json --summary virt.log";
    report_ns: "report ns ns.log", "report ns --all-events --proof ns.log", "report ns dm.log", "report ns --summary ns.log",
        "report ns --active --by root ns.log", "report ns --program crun ns.log";
    report_ns_tree: "report ns --tree ns.log", "report ns --tree --all-events --proof ns.log", "report ns --tree dm.log",
        "report ns --tree --active ns.log";
    report_ns_containers: "report ns containers.log", "report ns --all-events --program crun containers.log", "report ns --container lx1 containers.log",
        "report ns --summary containers.log", "report ns --container front containers.log";
    report_ns_container: "report ns --container 11 ns.log", "report ns --container netns=330 --proof ns.log",
        "report ns --container net:[4026532170] ns.log", "report ns --container 99 ns.log",
        "report ns --container x ns.log";
    report_hosts: "report dm hosts.log", "report ns hosts.log", "report ns --tree hosts.log";
    report_ns_json: "report ns --format json ns.log", "report ns --tree --format json ns.log", "report ns --summary --format json ns.log", "report ns --container 11 --format json ns.log";
    report_html: "report virt --html /nonexistent/page.html clean.log";
    report_colour: "--color always report dm dm.log", "--color always report virt --all-events virt.log",
        "--color always report ns ns.log";
    check_good_logs: "check dm.log", "check ns.log";
    help: "--help", "check --help", "spec --help", "report --help", "report virt --help", "report dm --help",
        "report ns --help", "events --help", "watch --help", "run-guest --name x";
    watch_nothing: "watch --stdin", "watch --stdin --plugin=x --output=y";
}

/// A code host names the rule, and recognises a finding in a log that has grown.
#[test]
fn sarif_has_help_and_fingerprints() {
    let run = |log: &std::path::Path| -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
            .args(["check", "--format", "sarif"])
            .arg(log)
            .output()
            .expect("it runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let logs = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs"));
    let broken = logs.join("broken.log");
    let before = run(&broken);
    let driver = &before["runs"][0]["tool"]["driver"];
    assert!(
        driver["informationUri"]
            .as_str()
            .is_some_and(|uri| uri.contains("://")),
        "{driver}"
    );
    let rules = driver["rules"].as_array().expect("rules");
    for rule in rules {
        let help = rule["help"]["text"].as_str().unwrap_or_default();
        assert!(help.starts_with("Requires: ") && help.len() > 30, "{rule}");
    }
    let prints = |sarif: &serde_json::Value| -> Vec<String> {
        let results = sarif["runs"][0]["results"].as_array().expect("results");
        let print = |result: &serde_json::Value| result["partialFingerprints"]["record/v1"].clone();
        let prints = results.iter().map(print);
        prints
            .filter_map(|print| print.as_str().map(str::to_owned))
            .collect()
    };
    let results = before["runs"][0]["results"].as_array().expect("results");
    assert_eq!(prints(&before).len(), results.len());
    let distinct: std::collections::BTreeSet<_> = prints(&before).into_iter().collect();
    assert_eq!(distinct.len(), results.len());
    let folder = tempfile::tempdir().expect("a folder");
    let grown = folder.path().join("grown.log");
    let first =
        "type=USER msg=audit(1630420000.000:1): pid=1 uid=0 auid=0 ses=1 msg='op=x res=success'\n";
    let text = std::fs::read_to_string(&broken).expect("read");
    std::fs::write(&grown, first.to_owned() + &text).expect("written");
    assert_eq!(prints(&run(&grown)), prints(&before));
}

/// Every field that JSON output has is in docs/reference.
#[test]
fn json_fields_are_documented() {
    fn keys(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    found.insert(name.clone());
                    // The fields of a record are what the kernel calls them.
                    // So are programs and kinds of a summary.
                    let names = name == "programs" || (name == "namespaces" && value.is_object());
                    if name != "fields" && !names {
                        keys(value, found);
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let docs = concat!(
        include_str!("../../docs/reference/check.md"),
        include_str!("../../docs/reference/events.md"),
        include_str!("../../docs/reference/report.md")
    );
    let mut found = std::collections::BTreeSet::new();
    for arguments in [
        "check --format json broken.log absent.log",
        "report dm --format json -a --proof dm.log",
        "report ns --format json -a --proof ns.log",
        "report ns --tree --format json -a --proof ns.log",
        "report ns --summary --format json ns.log",
        "report ns --format json --container 11 ns.log",
        "report virt --format json -a --proof virt.log",
        "report virt --format json -a --proof libvirt.log",
        "report virt --format json --summary virt.log",
        "check --format json --expect dtr-without-ctr libvirt.log",
        "events --format json --container db containers.log",
    ] {
        for line in session(arguments)
            .lines()
            .filter(|line| line.starts_with('{'))
        {
            keys(&serde_json::from_str(line).expect("JSON"), &mut found);
        }
    }
    let missing: Vec<_> = found
        .iter()
        .filter(|name| {
            !docs.contains(&format!("`{name}`")) && !docs.contains(&format!("\"{name}\""))
        })
        .collect();
    assert!(
        found.len() > 60 && missing.is_empty(),
        "not in docs/reference: {missing:?}"
    );
}
