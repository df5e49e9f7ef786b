// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The help of the program, word for word: `tests/snapshots/`.

use std::process::Command;

#[test]
fn help() {
    let help = ["", "run-guest", "oci-hook", "oci-forward", "oci-wrap"].map(|command| {
        let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit-record"))
            .args(command.split_whitespace().chain(["--help"]))
            .output()
            .expect("it runs");
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        format!("$ dmns-audit-record {command} --help\n{help}")
    });
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("help", help.join("\n"));
    });
}
