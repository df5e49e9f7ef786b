// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the program prints, word for word: each session is a file in `tests/snapshots/`.
//!
//! `INSTA_UPDATE=always cargo test -p dmns-audit-cli --test sessions` writes them anew.

use std::process::{Command, Stdio};

/// Runs `dmns-audit` with `arguments`, separated by spaces, and tells what came of it.
fn session(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(arguments.split_whitespace())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs"))
        .env("TZ", "UTC")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let mut told = format!("$ dmns-audit {arguments}\n");
    told.push_str(&String::from_utf8_lossy(&output.stdout));
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.is_empty() {
        told.push_str(&format!("-- standard error --\n{errors}"));
    }
    match output.status.code() {
        Some(0) => {}
        code => told.push_str(&format!("-- exit status {code:?} --\n")),
    }
    told
}

macro_rules! sessions {
    ($($name:ident: $($arguments:literal),+;)+) => {
        $(#[test]
        fn $name() {
            let told = [$(session($arguments)),+].join("\n");
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), told);
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
    help: "--help", "check --help", "spec --help";
}
