// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where the kernel complained: file and line, and the file with the symbols.

use crate::prepare::{self, Prepared};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A place in the kernel's text: `dmns_oops_ctr+0x5/0x10 [dmns_oops]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Function, offset and size.
    at: String,
    /// The module, unless it is the kernel itself.
    module: Option<String>,
}

impl Place {
    /// Parses it at the beginning of `text`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let at = words.next()?;
        let (_, offset) = at.split_once("+0x")?;
        let (offset, size) = offset.split_once("/0x")?;
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex(offset) || !is_hex(size) {
            return None;
        }
        let module = words
            .next()
            .and_then(|word| word.strip_prefix('[')?.split([']', ' ']).next());
        Some(Self {
            at: at.to_owned(),
            module: module.map(str::to_owned),
        })
    }

    /// Returns the places of the first report in a kernel log: where the processor was, or who called
    /// panic(), and unless that is in a module, the first caller that is.
    fn all(log: &str) -> Vec<Self> {
        // A line of a trace begins with its time: "[    3.1]  function+0x1/0x2 [module]".
        let callers = || {
            log.lines()
                .filter_map(|line| Self::parse(line.rsplit_once("]  ")?.1))
        };
        let first = log
            .lines()
            .find_map(|line| Self::parse(processor(line)?))
            .or_else(|| {
                let mut callers = callers().skip_while(|place| !place.is_panic());
                callers.find(|place| !place.is_panic())
            });
        let in_module = first.as_ref().is_some_and(|place| place.module.is_some());
        let caller = callers()
            .find(|place| place.module.is_some())
            .filter(|_| !in_module);
        first.into_iter().chain(caller).collect()
    }

    /// Returns whether it is in panic().
    fn is_panic(&self) -> bool {
        self.at.starts_with("panic+") || self.at.starts_with("vpanic+")
    }
}

/// Returns where the processor was, if a line of a report says that: "RIP: 0010:f+0x1/0x2", or on arm64
/// "pc : f+0x1/0x2".
pub(crate) fn processor(line: &str) -> Option<&str> {
    let of = |before| line.split_once(before).map(|(_, place)| place);
    of("RIP: 0010:").or_else(|| of("] pc : "))
}

/// Returns what is known of the places of the complaint in `log`, a line each.
pub(crate) fn places(prepared: &Prepared, log: &str) -> Vec<String> {
    Place::all(log)
        .iter()
        .filter_map(|place| {
            let object = object(prepared, place.module.as_deref())?;
            let decoded = decode(prepared, &object, &place.at).unwrap_or_default();
            let at = match decoded.as_str() {
                "" => String::new(),
                lines => format!(" is {}", lines.replace('\n', ", ")),
            };
            Some(format!("{}{at}; symbols: {}", place.at, object.display()))
        })
        .collect()
}

/// Returns `splat` with these lines after it.
pub(crate) fn explained(prepared: &Prepared, splat: &str) -> String {
    let mut text = splat.to_owned();
    for line in places(prepared, splat) {
        text.push_str(&format!("\n{line}"));
    }
    text
}

/// Finds the file with the symbols of a module, or of the kernel.
fn object(prepared: &Prepared, module: Option<&str>) -> Option<PathBuf> {
    let build = prepared.kernel.join("build").canonicalize().ok()?;
    let Some(module) = module else {
        return Some(build.join("vmlinux")).filter(|path| path.exists());
    };
    let of_ours = match module {
        "dmns_audit" => prepared.module.clone(),
        "dmns_control" => prepared.control.clone(),
        name => prepared
            .test_modules
            .as_ref()
            .map(|folder| folder.join(format!("{name}.ko"))),
    };
    if let Some(path) = of_ours.filter(|path| path.exists()) {
        return Some(path);
    }
    // A line of modules.order: "drivers/md/dm-mod.o".
    let order = fs::read_to_string(build.join("modules.order")).ok()?;
    let listed = order
        .lines()
        .map(|line| build.join(line).with_extension("ko"));
    listed.into_iter().find(|path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        stem.replace('-', "_") == module && path.exists()
    })
}

/// Returns file and line of a place.
fn decode(prepared: &Prepared, object: &Path, at: &str) -> Option<String> {
    let script = prepare::project().ok()?.join("scripts/decode.sh");
    let output = Command::new(script)
        .args([&prepared.root, &prepared.kernel])
        .arg(object)
        .arg(at)
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: &str, module: Option<&str>) -> Place {
        Place {
            at: at.to_owned(),
            module: module.map(str::to_owned),
        }
    }

    #[test]
    fn a_report_has_the_place_of_the_processor_and_of_the_first_module() {
        let report = "[    1.0] Oops: Oops: 0002 [#1] SMP NOPTI\n\
                      [    1.0] RIP: 0010:memcpy+0x5/0x10\n\
                      [    1.0] Code: 66 90\n\
                      [    1.0] Call Trace:\n\
                      [    1.0]  <TASK>\n\
                      [    1.0]  ? __die_body+0x1a/0x60\n\
                      [    1.0]  dm_table_add_target+0x5/0x10 [dm_mod]\n\
                      [    1.0]  table_load+0x1/0x2 [dm_mod]\n";
        assert_eq!(
            Place::all(report),
            [
                place("memcpy+0x5/0x10", None),
                place("dm_table_add_target+0x5/0x10", Some("dm_mod")),
            ]
        );
        let own = report.replace("memcpy+0x5/0x10", "ctr+0x2/0x9 [dmns_oops]");
        assert_eq!(Place::all(&own), [place("ctr+0x2/0x9", Some("dmns_oops"))]);
        assert_eq!(Place::all("[ 1.0] Kernel panic - not syncing: x"), []);
        let arm = "[    1.0] Unable to handle kernel paging request at virtual address dead\n\
                   [    1.0] pc : ctr+0x2/0x9 [dmns_oops]\n\
                   [    1.0] lr : dm_table_add_target+0x5/0x10 [dm_mod]\n";
        assert_eq!(Place::all(arm), [place("ctr+0x2/0x9", Some("dmns_oops"))]);
        let panic = "[    1.0] Kernel panic - not syncing: sysrq triggered crash\n\
                     [    1.0] Call Trace:\n\
                     [    1.0]  <TASK>\n\
                     [    1.0]  dump_stack_lvl+0x5d/0x80\n\
                     [    1.0]  vpanic+0xdd/0x2c0\n\
                     [    1.0]  panic+0x6b/0x6b\n\
                     [    1.0]  sysrq_handle_crash+0x1a/0x20\n\
                     [    1.0]  __handle_sysrq+0x1/0x2\n";
        let at = "sysrq_handle_crash+0x1a/0x20";
        assert_eq!(Place::all(panic), [place(at, None)]);
        for text in ["main", "f+0x", "f+0x1", "f+0x1/0xq", ""] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
