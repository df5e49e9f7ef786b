// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The verdicts of a run: for people, for CI (JUnit), for kernel tools (KTAP).

use crate::prepare::Prepared;
use anyhow::Result;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What became of a scenario.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The scenario's name.
    pub(crate) name: String,
    /// Its title.
    pub(crate) title: String,
    /// What was wrong. Empty: it passed.
    pub(crate) problems: Vec<String>,
    /// auditd's log of its steps.
    pub(crate) records: Vec<String>,
    /// Boot and power-off included.
    pub(crate) time: Duration,
}

/// The versions that a verdict holds for, a line each.
pub(crate) fn versions(prepared: &Prepared) -> Vec<String> {
    let packages =
        fs::read_to_string(prepared.guest.with_extension("packages")).unwrap_or_default();
    let package = |name: &str| {
        let version = packages
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
            .unwrap_or("?");
        format!("{name} {version}")
    };
    let qemu = Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
        .unwrap_or_default();
    let qemu = qemu.split_whitespace().nth(3).unwrap_or("?");
    let config = fs::read_to_string(prepared.kernel.join("config")).unwrap_or_default();
    let rustc = config
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_RUSTC_VERSION_TEXT=\"rustc "))
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or("?");
    vec![
        format!(
            "kernel {} (Debian {}), module by rustc {rustc}",
            prepared.release, prepared.package
        ),
        ["auditd", "cryptsetup-bin", "dmsetup", "util-linux"]
            .map(package)
            .join(", "),
        format!("dmns-test {}, QEMU {qemu}", env!("CARGO_PKG_VERSION")),
    ]
}

/// The closing line, and how many failed.
pub(crate) fn summary(verdicts: &[Verdict]) -> (String, usize) {
    let failed = verdicts.iter().filter(|v| !v.problems.is_empty()).count();
    let passed = verdicts.len() - failed;
    (format!("{passed} passed, {failed} failed"), failed)
}

/// Writes a JUnit file.
pub(crate) fn junit(file: &Path, verdicts: &[Verdict], versions: &[String]) -> Result<()> {
    let mut suite = TestSuite::new("scenarios");
    for verdict in verdicts {
        let status = if verdict.problems.is_empty() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(verdict.problems[0].lines().next().unwrap_or_default());
            status.set_description(verdict.problems.join("\n"));
            status
        };
        let mut case = TestCase::new(&verdict.name, status);
        case.set_classname("dmns-test").set_time(verdict.time);
        suite.add_test_case(case);
    }
    for version in versions {
        suite.add_property(("version", version.as_str()));
    }
    let mut report = Report::new("dmns-test");
    report.add_test_suite(suite);
    fs::write(file, report.to_string()?)?;
    Ok(())
}

/// The verdicts in KTAP (`Documentation/dev-tools/ktap.rst`).
pub(crate) fn ktap(verdicts: &[Verdict], versions: &[String]) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", verdicts.len());
    for version in versions {
        text.push_str(&format!("# {version}\n"));
    }
    for (i, verdict) in verdicts.iter().enumerate() {
        for problem in &verdict.problems {
            for line in problem.lines() {
                text.push_str(&format!("# {}: {line}\n", verdict.name));
            }
        }
        let not = if verdict.problems.is_empty() {
            ""
        } else {
            "not "
        };
        text.push_str(&format!(
            "{not}ok {} {} # {:.1} s\n",
            i + 1,
            verdict.name,
            verdict.time.as_secs_f32()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts() -> Vec<Verdict> {
        let verdict = |name: &str, problems: &[&str]| Verdict {
            name: name.to_owned(),
            title: String::new(),
            problems: problems.iter().map(|p| (*p).to_owned()).collect(),
            records: Vec::new(),
            time: Duration::from_millis(1500),
        };
        vec![
            verdict("good", &[]),
            verdict("bad", &["missing: <DM_EVENT>\nsecond line"]),
        ]
    }

    #[test]
    fn each_form_tells_the_failure() -> Result<()> {
        let verdicts = verdicts();
        assert_eq!(summary(&verdicts), ("1 passed, 1 failed".to_owned(), 1));
        assert_eq!(
            ktap(&verdicts, &["kernel 7".to_owned()]),
            "KTAP version 1\n1..2\n# kernel 7\nok 1 good # 1.5 s\n# bad: missing: <DM_EVENT>\n\
             # bad: second line\nnot ok 2 bad # 1.5 s\n"
        );
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("junit.xml");
        junit(&file, &verdicts, &["kernel 7".to_owned()])?;
        let xml = fs::read_to_string(file)?;
        for part in [
            "tests=\"2\"",
            "failures=\"1\"",
            "missing: &lt;DM_EVENT&gt;",
            "kernel 7",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        Ok(())
    }
}
