// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Compares the version of the loaded module with this tool's. Packages are upgraded together, but the module in memory
//! stays the same until it is loaded again.

use dmns_audit_recorder::audit::kernel::Audit;
use std::fs;
use std::path::Path;

/// Returns a warning if the module that is loaded on the machine with the root `root` is of another version.
pub fn difference(root: &Path) -> Option<String> {
    let module = root.join("sys/module/dmns_audit");
    let ours = env!("CARGO_PKG_VERSION");
    let theirs = fs::read_to_string(module.join("version")).ok();
    match theirs.as_deref().map(str::trim) {
        Some(theirs) if theirs == ours => None,
        None if !module.exists() => None,
        theirs => Some(format!(
            "this is dmns-audit {ours}, the loaded module is {}: records may differ from the contract; load the module \
             again (modprobe -r dmns_audit && modprobe dmns_audit, or boot)",
            theirs.unwrap_or("older")
        )),
    }
}

/// Returns a warning if records cannot arrive on the machine with the root `root`: audit is off, the module is not
/// loaded, or it is at level 0, at which no event has its container.
pub fn nothing_comes(root: &Path) -> Option<String> {
    let audit = match root == Path::new("/") {
        true => Audit::connect().ok().and_then(|mut audit| audit.is_on()),
        false => None,
    };
    let level = fs::read_to_string(root.join("sys/kernel/security/dmns_audit/info"));
    let level = level.ok().and_then(|text| text.trim().parse().ok());
    said(audit, root.join("sys/module/dmns_audit").exists(), level)
}

fn said(audit: Option<bool>, module: bool, level: Option<u32>) -> Option<String> {
    match (audit, module) {
        (Some(false), true) => {
            Some("audit is off: `auditctl -e 1` turns it on; nothing will come".to_owned())
        }
        (Some(false), false) => Some(
            "audit is off: `auditctl -e 1` turns it on; nothing will come. The module dmns_audit is not loaded either \
             (modprobe dmns_audit): namespaces have no records"
                .to_owned(),
        ),
        (_, false) => Some(
            "the module dmns_audit is not loaded (modprobe dmns_audit): namespaces have no records, only device mapper \
             and guests"
                .to_owned(),
        ),
        (_, true) if level == Some(0) => Some(
            "the module dmns_audit is at level 0: no event has its container; write 2 to \
             /sys/kernel/security/dmns_audit/info, or load the module with info=2"
                .to_owned(),
        ),
        (_, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_reported() {
        let root = tempfile::tempdir().expect("a folder");
        let module = root.path().join("sys/module/dmns_audit");
        assert_eq!(difference(root.path()), None, "not loaded");
        fs::create_dir_all(&module).expect("made");
        let said = difference(root.path()).expect("a module without a version");
        assert!(said.contains("the loaded module is older"), "{said}");
        fs::write(module.join("version"), "9.9.9\n").expect("written");
        let said = difference(root.path()).expect("another version");
        assert!(said.contains("the loaded module is 9.9.9"), "{said}");
        fs::write(
            module.join("version"),
            concat!(env!("CARGO_PKG_VERSION"), "\n"),
        )
        .expect("written");
        assert_eq!(difference(root.path()), None);
    }

    #[test]
    fn a_watch_of_nothing_says_so() {
        assert_eq!(said(Some(true), true, Some(2)), None);
        assert_eq!(said(None, true, None), None);
        let level = said(Some(true), true, Some(0)).expect("level 0");
        assert!(
            level.contains("level 0") && level.contains("write 2"),
            "{level}"
        );
        for (audit, module, what) in [
            (
                Some(false),
                true,
                "audit is off: `auditctl -e 1` turns it on; nothing will come",
            ),
            (Some(false), false, "audit is off: `auditctl -e 1`"),
            (Some(true), false, "the module dmns_audit is not loaded"),
            (None, false, "the module dmns_audit is not loaded"),
        ] {
            let text = said(audit, module, Some(0)).expect(what);
            assert!(text.starts_with(what), "{text}");
        }
    }

    /// The version stands in five files, which a release changes together.
    #[test]
    fn module_packages_and_changelog_have_our_version() {
        let version = env!("CARGO_PKG_VERSION");
        let module = include_str!("../../kmod/helpers.c");
        assert!(module.contains(&format!("MODULE_VERSION(\"{version}\")")));
        let package = include_str!("../../debian/changelog");
        assert!(package.starts_with(&format!("dmns-audit ({version}) ")));
        let changes = include_str!("../../CHANGELOG.md");
        let newest = changes.lines().find(|line| line.starts_with("## "));
        assert_eq!(
            newest.and_then(|line| line.split([' ', ',']).nth(1)),
            Some(version)
        );
        let fuzz = include_str!("../fuzz/Cargo.lock");
        assert!(fuzz.contains(&format!(
            "name = \"dmns-audit-cli\"\nversion = \"{version}\"\n"
        )));
    }
}
