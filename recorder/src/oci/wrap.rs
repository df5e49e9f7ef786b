// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit-record oci-wrap`: a runtime for engines without hooks.d, such as Docker: puts the
//! hooks into a container's `config.json`, and becomes the real runtime.

use super::warning::runs_all_the_same;
use crate::error::{explain, invalid};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The options.
#[derive(Clone, Debug)]
pub struct Options {
    /// A container that cannot be recorded does not run. The hooks get the option too.
    pub strict: bool,
    /// The runtime and its arguments.
    pub command: Vec<OsString>,
}

/// Becomes the runtime. Returns only if that fails.
///
/// # Errors
///
/// If there is no such program, or if hooks that are required cannot be added.
pub fn run(options: &Options) -> io::Result<()> {
    let (program, arguments) = options
        .command
        .split_first()
        .ok_or_else(|| invalid("which runtime? It comes after --"))?;
    if let Some(bundle) = bundle(arguments) {
        if let Err(error) = add_hooks(&bundle.join("config.json"), options.strict) {
            if options.strict {
                return Err(error);
            }
            runs_all_the_same(&error);
        }
    }
    let error = Command::new(program).args(arguments).exec();
    let message = format!("cannot run {}: {error}", program.to_string_lossy());
    Err(io::Error::new(error.kind(), message))
}

/// Returns the bundle of the container that the command line creates, if it creates one.
fn bundle(arguments: &[OsString]) -> Option<PathBuf> {
    let makes = |argument: &OsString| argument == "create" || argument == "run";
    let at = arguments.iter().position(makes)?;
    let mut rest = arguments[at + 1..].iter();
    while let Some(argument) = rest.next() {
        if argument == "--bundle" || argument == "-b" {
            return rest.next().map(PathBuf::from);
        }
        let bytes = argument.as_bytes();
        if let Some(path) = [&b"--bundle="[..], b"-b="]
            .iter()
            .find_map(|option| bytes.strip_prefix(*option))
        {
            return Some(PathBuf::from(OsStr::from_bytes(path)));
        }
    }
    Some(PathBuf::from("."))
}

/// Adds the hooks to the configuration `file`, once.
fn add_hooks(file: &Path, strict: bool) -> io::Result<()> {
    let at = explain(file);
    let text = fs::read(file).map_err(&at)?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| at(error.into()))?;
    let program = std::env::current_exe()?;
    let mut arguments = vec!["dmns-audit-record", "oci-hook"];
    if strict {
        arguments.push("--strict");
    }
    let hook = json!({ "path": program.to_string_lossy(), "args": arguments });
    let hooks = config
        .as_object_mut()
        .ok_or_else(|| at(invalid("is no object")))?
        .entry("hooks")
        .or_insert_with(|| json!({}));
    for stage in ["createRuntime", "poststop"] {
        let hooks = hooks.as_object_mut().and_then(|hooks| {
            let stage = hooks.entry(stage).or_insert_with(|| json!([]));
            stage.as_array_mut()
        });
        let hooks = hooks.ok_or_else(|| at(invalid(format!("hooks.{stage} is no list"))))?;
        if !hooks.contains(&hook) {
            hooks.push(hook.clone());
        }
    }
    // Whole, whatever happens meanwhile.
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(folder).map_err(&at)?;
    serde_json::to_writer(&mut whole, &config)?;
    whole.flush().map_err(&at)?;
    let mode = fs::metadata(file).map_err(&at)?.permissions().mode();
    fs::set_permissions(whole.path(), fs::Permissions::from_mode(mode)).map_err(&at)?;
    whole.persist(file).map_err(|error| at(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_found_where_a_container_is_made() {
        for (line, found) in [
            (
                "--root /r --log /l create --bundle /b --pid-file /p id",
                Some("/b"),
            ),
            ("run -b /b id", Some("/b")),
            ("create --bundle=/b id", Some("/b")),
            ("create id", Some(".")),
            ("--root /r start id", None),
            ("delete --force id", None),
            ("", None),
        ] {
            let line: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(bundle(&line), found.map(PathBuf::from), "{line:?}");
        }
    }

    #[test]
    fn hooks_are_added_once_to_those_that_are_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.json");
        let own = r#"{"ociVersion":"1.2.0","hooks":{"poststop":[{"path":"/x"}]},"linux":{"resources":{"memory":{"limit":9223372036854771712}}}}"#;
        fs::write(&file, own).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        for _ in 0..2 {
            add_hooks(&file, true).expect("added");
        }
        let config: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
        assert_eq!(
            config["hooks"]["createRuntime"].as_array().map(Vec::len),
            Some(1)
        );
        assert_eq!(
            config["hooks"]["poststop"].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(config["hooks"]["poststop"][0]["path"], "/x");
        assert_eq!(config["hooks"]["poststop"][1]["args"][2], "--strict");
        assert_eq!(
            config["linux"]["resources"]["memory"]["limit"],
            9223372036854771712_i64
        );
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        for broken in ["", "[]", "{\"hooks\":[]}", "{\"hooks\":{\"poststop\":1}}"] {
            fs::write(&file, broken).expect("written");
            assert!(add_hooks(&file, false).is_err(), "{broken}");
            assert_eq!(fs::read_to_string(&file).expect("read"), broken);
        }
    }
}
