// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The verdicts of a run: for people, for CI (JUnit), for kernel tools (KTAP).

use crate::prepare::{Disk, Making, Prepared};
use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The result of a scenario.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The scenario's name.
    pub(crate) name: String,
    /// Its title.
    pub(crate) title: String,
    /// The problems. Empty: it passed.
    pub(crate) problems: Vec<String>,
    /// The cause of the first one.
    pub(crate) cause: Option<Cause>,
    /// The reason why it was not run, or not to its end.
    pub(crate) skipped: Option<String>,
    /// Its metrics: names and values.
    pub(crate) metrics: Vec<(String, String)>,
    /// auditd's log of its steps.
    pub(crate) records: Vec<String>,
    /// The folder with its logs, if they are kept.
    pub(crate) logs: Option<PathBuf>,
    /// Boot and power-off included.
    pub(crate) time: Duration,
}

/// Prints a line. A reader that has gone does not stop what is done.
pub(crate) fn say(line: impl Display) {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            eprintln!("dmns-test: standard output: {e}");
        }
        _ => {}
    }
}

/// Versions as a list in Markdown.
pub(crate) fn version_list(versions: &[String]) -> String {
    let mut list = String::new();
    for version in versions {
        list.push_str(&format!("- {version}\n"));
    }
    list
}

/// Writes a table where one is asked for.
pub(crate) fn write_markdown(file: Option<&Path>, text: &str) -> Result<()> {
    match file {
        Some(file) => fs::write(file, text).with_context(|| file.display().to_string()),
        None => Ok(()),
    }
}

impl Verdict {
    /// Returns a verdict without a problem so far.
    pub(crate) fn new(name: &str, title: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            problems: Vec::new(),
            cause: None,
            skipped: None,
            metrics: Vec::new(),
            records: Vec::new(),
            logs: None,
            time: Duration::ZERO,
        }
    }

    /// Adds problems of this cause.
    pub(crate) fn fail(&mut self, cause: Cause, problems: impl IntoIterator<Item = String>) {
        for problem in problems {
            self.cause.get_or_insert(cause);
            self.problems.push(problem);
        }
    }

    /// Returns the outcome. A problem comes before a skip.
    pub(crate) fn outcome(&self) -> Outcome<'_> {
        match (self.problems.as_slice(), &self.skipped) {
            ([], None) => Outcome::Passed,
            ([], Some(why)) => Outcome::Skipped(why),
            (problems, _) => Outcome::Failed(problems),
        }
    }

    /// Returns its problems, and where the logs are that show more.
    fn failure(&self) -> Vec<String> {
        let kept = self.logs.iter().filter(|_| !self.problems.is_empty());
        let kept = kept.map(|folder| format!("logs: {}", folder.display()));
        self.problems.iter().cloned().chain(kept).collect()
    }

    /// Returns its text.
    pub(crate) fn text(&self) -> String {
        let (word, details) = match self.outcome() {
            Outcome::Passed => ("ok", Vec::new()),
            Outcome::Skipped(why) => ("SKIP", vec![why.to_owned()]),
            Outcome::Failed(_) => ("FAILED", self.failure()),
        };
        let mut text = format!(
            "{word:<6} {:<30} {:>4.0} s  {}",
            self.name,
            self.time.as_secs_f32(),
            self.title
        );
        let metrics = self
            .metrics
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        for detail in details.into_iter().chain(metrics) {
            text.push_str(&format!("\n    {}", detail.replace('\n', "\n    ")));
        }
        text
    }
}

/// The cause of a failure: its `type` in JUnit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The exit status or the output of a step, or what it left.
    Command,
    /// A record that is unexpected or missing.
    Records,
    /// A metric that is not as declared.
    Metrics,
    /// A complaint of the kernel, or its absence.
    Kernel,
    /// The log as a whole: a finding, a counter, a lost record.
    Log,
    /// A guest that did not answer.
    Guest,
    /// A guest that did not boot.
    Boot,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Records => "records",
            Self::Metrics => "metrics",
            Self::Kernel => "kernel",
            Self::Log => "log",
            Self::Guest | Self::Boot => "guest",
        }
    }
}

/// The result of a scenario.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// It passed.
    Passed,
    /// It was not run, or not to its end: the reason.
    Skipped(&'a str),
    /// These problems were found.
    Failed(&'a [String]),
}

/// The names of [`versions`] in JUnit.
const VERSIONS: [&str; 3] = ["kernel", "packages", "harness"];

/// Returns the versions that a verdict holds for, a line each.
pub(crate) fn versions(prepared: &Prepared) -> Vec<String> {
    let made = |(disk, making): (_, &Making)| match making.is_decided() {
        true => Some((disk, making.wait().ok()?)),
        false => None,
    };
    let made: Vec<(&Disk, _)> = prepared.disks.iter().filter_map(made).collect();
    let mut tools = vec!["auditd", "cryptsetup-bin", "dmsetup", "util-linux"];
    for (disk, _) in &made {
        tools.extend(match disk.image.as_deref() {
            Some("libvirt") => ["libvirt-daemon", "qemu-system-x86"].as_slice(),
            Some("runtimes") => &["podman", "crun", "runc", "systemd-container", "lxc"],
            _ => &[],
        });
        tools.extend(disk.packages.iter().map(String::as_str));
    }
    let mut packages = String::new();
    for (_, file) in &made {
        packages += &fs::read_to_string(file.with_extension("packages")).unwrap_or_default();
    }
    let package = |name: &&str| {
        let version = packages.lines().find_map(|line| {
            let (package, version) = line.split_once('\t')?;
            // Of some, dpkg names the architecture.
            let package = package.split(':').next()?;
            (package == *name).then_some(version)
        });
        version.map(|version| format!("{name} {version}"))
    };
    let mut seen = BTreeSet::new();
    tools.retain(|name| seen.insert(*name));
    let packages: Vec<_> = tools.iter().filter_map(package).collect();
    let packages = match packages.as_slice() {
        [] => "no guest image yet".to_owned(),
        _ => packages.join(", "),
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
            "kernel {} ({}{}), {}",
            prepared.release,
            if prepared.is_own { "" } else { "Debian " },
            prepared.package,
            match prepared.module {
                // The configuration is not known where only an image is given.
                Some(_) if rustc == "?" => "module given".to_owned(),
                Some(_) => format!("module by rustc {rustc}"),
                None => "no module".to_owned(),
            }
        ),
        packages,
        format!("dmns-test {}, QEMU {qemu}", env!("CARGO_PKG_VERSION")),
    ]
}

/// Returns the closing line, and how many failed.
pub(crate) fn summary(verdicts: &[Verdict]) -> (String, usize) {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for verdict in verdicts {
        *match verdict.outcome() {
            Outcome::Passed => &mut passed,
            Outcome::Skipped(_) => &mut skipped,
            Outcome::Failed(_) => &mut failed,
        } += 1;
    }
    (
        format!("{passed} passed, {failed} failed, {skipped} skipped"),
        failed,
    )
}

/// Writes a JUnit report.
pub(crate) fn junit(to: impl Write, verdicts: &[Verdict], versions: &[String]) -> Result<()> {
    let mut suite = TestSuite::new("scenarios");
    for verdict in verdicts {
        let mut status = match verdict.outcome() {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Skipped(_) => TestCaseStatus::skipped(),
            Outcome::Failed(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        match verdict.outcome() {
            Outcome::Passed => {}
            Outcome::Skipped(why) => _ = status.set_message(why),
            Outcome::Failed(problems) => {
                status.set_message(problems[0].lines().next().unwrap_or_default());
                status.set_description(verdict.failure().join("\n"));
                if let Some(cause) = verdict.cause {
                    status.set_type(cause.name());
                }
            }
        }
        let mut case = TestCase::new(&verdict.name, status);
        case.set_classname("dmns-test").set_time(verdict.time);
        case.add_property(("title", verdict.title.as_str()));
        for (name, value) in &verdict.metrics {
            case.add_property((name.as_str(), value.as_str()));
        }
        suite.add_test_case(case);
    }
    for (name, version) in VERSIONS.iter().zip(versions) {
        suite.add_property((*name, version.as_str()));
    }
    let mut report = Report::new("dmns-test");
    report.add_test_suite(suite);
    Ok(report.serialize(to)?)
}

/// Returns the verdicts in KTAP (`Documentation/dev-tools/ktap.rst`).
pub(crate) fn ktap(verdicts: &[Verdict], versions: &[String]) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", verdicts.len());
    for version in versions {
        text.push_str(&format!("# {version}\n"));
    }
    for (i, verdict) in verdicts.iter().enumerate() {
        for problem in verdict.failure() {
            for line in problem.lines() {
                text.push_str(&format!("# {}: {line}\n", verdict.name));
            }
        }
        for (name, value) in &verdict.metrics {
            text.push_str(&format!("# {}: {name}: {value}\n", verdict.name));
        }
        let seconds = format!("{:.1} s", verdict.time.as_secs_f32());
        let (word, note) = match verdict.outcome() {
            Outcome::Passed => ("ok", seconds),
            Outcome::Skipped(why) => ("ok", format!("SKIP {why}")),
            Outcome::Failed(_) => ("not ok", seconds),
        };
        text.push_str(&format!("{word} {} {} # {note}\n", i + 1, verdict.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts() -> Vec<Verdict> {
        let verdict = |name: &str, problems: &[&str], why: Option<&str>| {
            let mut verdict = Verdict::new(name, &format!("the title of {name}"));
            verdict.fail(Cause::Records, problems.iter().map(|p| (*p).to_owned()));
            verdict.skipped = why.map(str::to_owned);
            verdict.time = Duration::from_millis(1500);
            verdict
        };
        let mut verdicts = vec![
            verdict("good", &[], None),
            verdict("bad", &["missing: <DM_EVENT>\nsecond line"], None),
            verdict("elsewhere", &[], Some("there is no inline mode here")),
            verdict("worse", &[], Some("there is no inline mode here")),
        ];
        verdicts[3].fail(Cause::Kernel, ["a splat".to_owned()]);
        verdicts[3].fail(Cause::Log, ["a finding".to_owned()]);
        verdicts[0].logs = Some("logs/good".into());
        verdicts[1].logs = Some("logs/bad".into());
        verdicts[0].metrics = vec![("lost".to_owned(), "0".to_owned())];
        verdicts
    }

    #[test]
    fn each_form_has_the_failure_and_a_skip_hides_none() -> Result<()> {
        let verdicts = verdicts();
        assert_eq!(
            summary(&verdicts),
            ("1 passed, 2 failed, 1 skipped".to_owned(), 2)
        );
        assert_eq!(
            ktap(&verdicts, &["kernel 7".to_owned()]),
            "KTAP version 1\n1..4\n# kernel 7\n# good: lost: 0\nok 1 good # 1.5 s\n\
             # bad: missing: <DM_EVENT>\n# bad: second line\n# bad: logs: logs/bad\nnot ok 2 bad # 1.5 s\n\
             ok 3 elsewhere # SKIP there is no inline mode here\n\
             # worse: a splat\n# worse: a finding\nnot ok 4 worse # 1.5 s\n"
        );
        assert!(verdicts[1].text().ends_with("\n    logs: logs/bad"));
        assert!(!verdicts[0].text().contains("logs/good"));
        let mut xml = Vec::new();
        junit(&mut xml, &verdicts, &["kernel 7".to_owned()])?;
        let xml = String::from_utf8(xml)?;
        for part in [
            "tests=\"4\"",
            "failures=\"2\"",
            "<skipped message=\"there is no inline mode here\"",
            "missing: &lt;DM_EVENT&gt;",
            "second line\nlogs: logs/bad</failure>",
            "<property name=\"title\" value=\"the title of bad\"/>",
            "<failure message=\"missing: &lt;DM_EVENT&gt;\" type=\"records\">",
            "<failure message=\"a splat\" type=\"kernel\">",
            "<property name=\"kernel\" value=\"kernel 7\"/>",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        Ok(())
    }
}
