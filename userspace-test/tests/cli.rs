// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program as it is started, without a guest.

use std::io;
use std::process::{Command, Output, Stdio};

fn dmns_test(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmns-test"));
    command.args(arguments).stderr(Stdio::piped());
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
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
fn a_cache_that_the_kernel_cannot_be_built_in_is_refused() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for name in ["my cache", "a:b"] {
        let cache = dir.path().join(name);
        let mut prepare = dmns_test(&["prepare"]);
        let ended = prepare.env("DMNS_CACHE", &cache).output()?;
        let said = errors(&ended);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(
            said.contains(name) && said.contains("set DMNS_CACHE"),
            "{said}"
        );
        assert!(!cache.exists());
    }
    Ok(())
}
