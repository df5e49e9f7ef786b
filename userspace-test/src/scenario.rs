// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A scenario: a file with the steps in a guest, and the expected records.
//!
//! `docs/guide/scenarios.md` is the manual of the format.

use crate::expect::Order;
use crate::kind::{Kind, Patches};
use crate::pattern::{Expectation, Pattern, Template};
use crate::prepare::Disk;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// A scenario, as its file defines it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// The file's name without its ending.
    #[serde(skip)]
    pub(crate) name: String,
    /// The title, in one line.
    pub(crate) title: String,
    /// The reason why these records must follow.
    #[serde(default)]
    pub(crate) why: String,
    /// Seconds that all of its steps may take together, boot not included.
    pub(crate) timeout: u64,
    /// Whether the module is loaded before the first step.
    #[serde(default = "yes")]
    pub(crate) module: bool,
    /// The patches of `docs/upstream` with which it holds without the module, if any.
    #[serde(default)]
    pub(crate) in_tree: Option<Patches>,
    /// Whether dm-audit.c writes the same: `dmns-test diff` may compare.
    #[serde(default = "yes")]
    pub(crate) diff: bool,
    /// Whether audit may lose records, and refuse the module's.
    #[serde(default)]
    pub(crate) allow_lost: bool,
    /// The guest image, if not the usual one. It runs only if that image, or the scenario by name,
    /// is requested.
    #[serde(default)]
    pub(crate) image: Option<String>,
    /// Debian packages that are added to it.
    #[serde(default)]
    packages: Vec<Spanned<String>>,
    /// Rules of `dmns-audit check` that the log must violate: a program in the guest writes wrong
    /// records.
    #[serde(default)]
    pub(crate) expected_findings: Vec<String>,
    /// Memory of the guest, MiB.
    #[serde(default = "default_memory")]
    pub(crate) memory: u32,
    /// Virtual CPUs of the guest.
    #[serde(default = "default_cpus")]
    pub(crate) cpus: u32,
    /// Whether they run at the same time also if they are emulated.
    #[serde(skip)]
    pub(crate) parallel: bool,
    /// Added to the kernel's command line.
    #[serde(default)]
    pub(crate) kernel_args: String,
    /// Whether the guest's clock counts instructions, so that durations do not depend on the host.
    #[serde(default)]
    pub(crate) icount: bool,
    /// Whether each virtual CPU must make progress: with several, no clock counts instructions.
    #[serde(default)]
    pub(crate) fair_vcpus: bool,
    /// The guest that it runs in.
    #[serde(default)]
    pub(crate) guest: GuestUse,
    /// The requirements on kernel and tools; without one, the scenario is skipped.
    #[serde(default)]
    pub(crate) requires: Vec<Requirement>,
    /// The options of the kernel that it needs, without `CONFIG_`, in addition to those of its records
    /// and commands: see `needs.rs`.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// The names of the metrics that its steps take.
    #[serde(default)]
    pub(crate) metrics: Vec<String>,
    /// Modules of `userspace-test/modules/` that its steps load.
    #[serde(default)]
    pub(crate) modules: Vec<String>,
    /// Files and folders that the guest gets, relative to the scenario's file.
    #[serde(default)]
    files: Vec<Spanned<String>>,
    /// `files`, found.
    #[serde(skip)]
    pub(crate) copied: Vec<PathBuf>,
    /// The folder that the guest sees at /mnt/share, from `--share`.
    #[serde(skip)]
    pub(crate) share: Option<PathBuf>,
    /// The complaint that the kernel must make. For controls only, which show that it is detected.
    #[serde(default)]
    pub(crate) expect_splat: Option<Spanned<String>>,
    /// The function in which its steps make the kernel oops.
    #[serde(default)]
    pub(crate) expect_oops: Option<String>,
    /// Variables of all steps, from `--set`.
    #[serde(skip)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Whether it was asked for by name.
    #[serde(skip)]
    pub(crate) named: bool,
    /// Whether its records are judged. Not if dm-audit.c is measured, which may lose some.
    #[serde(skip, default = "yes")]
    pub(crate) judged: bool,
    /// The steps, in order.
    #[serde(rename = "step")]
    pub(crate) steps: Vec<Step>,
}

/// The guest that a scenario runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuestUse {
    /// A guest of its own.
    #[default]
    Own,
    /// A guest that others used before: see `shared.rs`.
    Shared,
}

/// A requirement of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requirement {
    /// Its name, as the reason of a skip.
    pub(crate) what: String,
    /// Shell that ends with 0 if it is there, 1 if it is not.
    pub(crate) check: String,
}

/// A step: lines of shell, and the records that must appear in the audit log before the next step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// A title, in a few words.
    pub(crate) title: String,
    /// Shell, as one would type it.
    pub(crate) run: String,
    /// The exit status that the shell must have.
    #[serde(default)]
    pub(crate) status: i32,
    /// Text that must be in the shell's output.
    #[serde(default)]
    pub(crate) output: Vec<Spanned<String>>,
    /// The records that must appear. No other record of the module may.
    #[serde(default)]
    expect: Vec<RawExpectation>,
    /// Records of other types that must not appear.
    #[serde(default)]
    absent: Vec<RawExpectation>,
    /// Whether the order of `expect` matters.
    #[serde(default)]
    pub(crate) order: Order,
    /// `expect`, understood.
    #[serde(skip)]
    pub(crate) expected: Vec<Expectation>,
    /// `absent`, understood.
    #[serde(skip)]
    pub(crate) unwanted: Vec<Expectation>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpectation {
    record: Spanned<String>,
    fields: Option<Spanned<String>>,
    body: Option<Spanned<String>>,
    count: Option<Spanned<u32>>,
    at_least: Option<u32>,
    with: Option<Spanned<String>>,
    #[serde(default)]
    no_syscall: bool,
    event: Option<String>,
}

fn yes() -> bool {
    true
}

fn default_memory() -> u32 {
    1024
}

fn default_cpus() -> u32 {
    1
}

impl Scenario {
    /// Reads a scenario's file. An error names the line and what was expected there.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let shown =
            |fault: Fault| anyhow::anyhow!("{}", fault.show(&path.display().to_string(), &text));
        let mut scenario = Self::parse(&text).map_err(shown)?;
        scenario.name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new("."));
        scenario.copied = sources(folder, &scenario.files).map_err(shown)?;
        match &scenario.expect_splat {
            Some(splat) if !scenario.name.starts_with("control-") => Err(shown(Fault {
                at: splat.span(),
                what: "only a scenario called control-... may expect a splat".to_owned(),
            })),
            _ => Ok(scenario),
        }
    }

    /// Has it run without the module. Returns whether it holds on this kind of kernel, which has
    /// patches; on one with none, whether it shows what the fixes are for.
    fn without_module(&mut self, kind: Kind) -> bool {
        self.module = false;
        match (kind.patches(), self.in_tree) {
            (Some((Patches::Namespaces, _)), Some(_)) => true,
            (Some((Patches::Fixes | Patches::None, _)), Some(needed)) => needed <= Patches::Fixes,
            _ => false,
        }
    }

    /// Reads a scenario that is in no file.
    pub(crate) fn of_text(text: &str) -> Result<Self> {
        Self::parse(text).map_err(|fault| anyhow::anyhow!("{}", fault.what))
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let mut scenario: Self = toml::from_str(text).map_err(|e| Fault {
            at: e.span().unwrap_or(0..0),
            what: renamed(e.message()).unwrap_or_else(|| e.message().trim().to_owned()),
        })?;
        if scenario.steps.is_empty() {
            return Err(Fault {
                at: 0..0,
                what: "no [[step]]".to_owned(),
            });
        }
        for name in &scenario.packages {
            located(name, package)?;
        }
        for step in &mut scenario.steps {
            step.expected = understand(&step.expect)?;
            step.unwanted = understand(&step.absent)?;
        }
        Ok(scenario)
    }

    /// Returns the disk that its guest starts from.
    pub(crate) fn disk(&self) -> Disk {
        let packages = self.packages.iter();
        Disk {
            image: self.image.clone(),
            packages: packages.map(|name| name.get_ref().clone()).collect(),
        }
    }

    /// Returns the timeout of all of its steps.
    pub(crate) fn time_limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Returns `name` if a Debian package can have it.
pub(crate) fn package(name: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match name.starts_with(is_part) && name.chars().all(|c| is_part(c) || "+-.".contains(c)) {
        true => Ok(name.to_owned()),
        false => Err(format!("`{name}`: expected the name of a Debian package")),
    }
}

/// Finds `files`, relative to `folder`. Their names differ: the guest has all in one folder.
fn sources(folder: &Path, files: &[Spanned<String>]) -> Result<Vec<PathBuf>, Fault> {
    let mut found: Vec<PathBuf> = Vec::new();
    for file in files {
        let fault = |what: String| Fault {
            at: file.span(),
            what,
        };
        let path = folder.join(file.get_ref());
        let path = match path.canonicalize() {
            Ok(path) if path.is_dir() || path.is_file() => path,
            Ok(_) => return Err(fault("neither a file nor a folder".to_owned())),
            Err(e) => return Err(fault(format!("{}: {e}", path.display()))),
        };
        if found
            .iter()
            .any(|other| other.file_name() == path.file_name())
        {
            return Err(fault("another of `files` has the same name".to_owned()));
        }
        found.push(path);
    }
    Ok(found)
}

/// Keys that had another name before.
const RENAMED: [(&str, &str); 7] = [
    ("alone", "no_syscall"),
    ("boot", "guest"),
    ("fair", "fair_vcpus"),
    ("figures", "metrics"),
    ("findings", "expected_findings"),
    ("may_lose", "allow_lost"),
    ("needs", "requires"),
];

/// Returns the message about a key that had another name before.
fn renamed(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (old, _) = rest.split_once('`')?;
    let (_, new) = RENAMED.iter().find(|(name, _)| *name == old)?;
    Some(format!("`{old}` is called `{new}` now"))
}

fn understand(raw: &[RawExpectation]) -> Result<Vec<Expectation>, Fault> {
    raw.iter().map(RawExpectation::understand).collect()
}

impl RawExpectation {
    fn understand(&self) -> Result<Expectation, Fault> {
        let record = located(&self.record, Template::check_type)?;
        let pattern = match (&self.fields, &self.body) {
            (Some(_), Some(body)) => {
                return Err(Fault {
                    at: body.span(),
                    what: "either `fields` (some of them) or `body` (all of them), not both"
                        .to_owned(),
                });
            }
            (Some(fields), None) => Pattern::Some(located(fields, Template::parse_fields)?),
            (None, Some(body)) => Pattern::All(located(body, Template::parse_fields)?),
            (None, None) => Pattern::Some(Vec::new()),
        };
        let (min, max) = match (&self.count, self.at_least) {
            (Some(count), Some(_)) => {
                return Err(Fault {
                    at: count.span(),
                    what: "either `count` or `at_least`, not both".to_owned(),
                });
            }
            (Some(count), None) => (*count.get_ref(), *count.get_ref()),
            (None, Some(least)) => (least, u32::MAX),
            (None, None) => (1, 1),
        };
        let with = match &self.with {
            Some(with) => {
                let (ty, fields) = located(with, |text| {
                    let (ty, fields) = text.split_once(' ').unwrap_or((text, ""));
                    Ok((Template::check_type(ty)?, Template::parse_fields(fields)?))
                })?;
                if self.no_syscall {
                    return Err(Fault {
                        at: with.span(),
                        what: "either `with` or `no_syscall`, not both".to_owned(),
                    });
                }
                Some((ty, fields))
            }
            None => None,
        };
        Ok(Expectation {
            record,
            pattern,
            min,
            max,
            with,
            no_syscall: self.no_syscall,
            event: self.event.clone(),
        })
    }
}

/// An error in a scenario's file, with its place.
#[derive(Debug)]
struct Fault {
    at: Range<usize>,
    what: String,
}

impl Fault {
    /// Formats it like a compiler.
    fn show(&self, file: &str, text: &str) -> String {
        let before = &text[..self.at.start.min(text.len())];
        let line_number = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        let line = text.lines().nth(line_number - 1).unwrap_or_default();
        let rest = line.chars().count().saturating_sub(column);
        let width = text
            .get(self.at.clone())
            .map_or(1, |place| place.chars().count())
            .clamp(1, rest.max(1));
        format!(
            "{file}:{line_number}:{}: {}\n    {line}\n    {}{}",
            column + 1,
            self.what,
            " ".repeat(column),
            "^".repeat(width)
        )
    }
}

fn located<T>(
    text: &Spanned<String>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Fault> {
    parse(text.get_ref()).map_err(|what| Fault {
        at: text.span(),
        what,
    })
}

/// Returns the scenarios of one folder, by name.
fn listed(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut listed = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            if let Some(name) = path.file_stem() {
                listed.insert(name.to_string_lossy().into_owned(), path);
            }
        }
    }
    Ok(listed)
}

/// Returns what is said of `name`, which is no scenario, no file and no folder: the names of `known` that are like it.
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const LIST: &str = "`dmns-test list` prints the names of scenarios";
    let stem = Path::new(name).file_stem().unwrap_or_default();
    let stem = stem.to_string_lossy();
    let is_path = name.contains('/') || name.ends_with(".toml");
    let alike = |of: &&str| match is_path {
        true => **of == *stem,
        false => {
            let shared = of.bytes().zip(name.bytes()).take_while(|(a, b)| a == b);
            of.contains(name) || name.contains(*of) || shared.count() >= 4
        }
    };
    let alike: Vec<&str> = known.filter(alike).take(10).collect();
    let what = match is_path {
        true => "no file and no folder",
        false => "no scenario, no file and no folder",
    };
    match alike.as_slice() {
        [] => format!("{what} is called {name}; {LIST}"),
        alike => format!(
            "{what} is called {name}; did you mean the scenario {}? {LIST}",
            alike.join(", ")
        ),
    }
}

/// The project's scenarios that run if none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group<'a> {
    /// Those in the usual guest image, with those of `debug/` if the kernel complains.
    Usual,
    /// Those of `long/`, which take minutes each.
    Long,
    /// Both.
    Both,
    /// Those in another guest image.
    Image(&'a str),
}

/// Returns the scenarios of `names`, each a name, a file or a folder of files; without names, those
/// of `group`.
/// Scenarios of `soak/`, which take hours, run only by name.
pub(crate) fn find(
    folder: &Path,
    names: &[String],
    group: Group<'_>,
    kind: Kind,
) -> Result<Vec<Scenario>> {
    let mut known = listed(folder)?;
    let long = listed(&folder.join("long"))?;
    let debug = listed(&folder.join("debug"))?;
    let in_tree = listed(&folder.join("intree"))?;
    if names.is_empty() {
        if group == Group::Long {
            known.clear();
        } else if kind.complains() {
            known.extend(debug);
        }
        if matches!(group, Group::Long | Group::Both) {
            known.extend(long);
        }
        if kind.patches().is_some() {
            known.extend(in_tree);
        }
        let image = match group {
            Group::Image(image) => Some(image),
            _ => None,
        };
        let mut all = known
            .values()
            .map(|path| Scenario::load(path))
            .collect::<Result<Vec<_>>>()?;
        all.retain(|scenario| scenario.image.as_deref() == image);
        if kind.patches().is_some() {
            all.retain_mut(|scenario| scenario.without_module(kind));
        }
        if all.is_empty() {
            bail!("no scenario runs in the image {}", image.unwrap_or("guest"));
        }
        return Ok(all);
    }
    known.extend(long);
    known.extend(debug);
    known.extend(in_tree);
    known.extend(listed(&folder.join("soak"))?);
    let mut paths = Vec::new();
    for name in names {
        let path = Path::new(name);
        if let Some(path) = known.get(name) {
            paths.push(path.clone());
        } else if path.is_file() {
            paths.push(path.to_owned());
        } else if path.is_dir() {
            let scenarios = listed(path)?;
            ensure!(!scenarios.is_empty(), "{name} has no scenario (*.toml)");
            paths.extend(scenarios.into_values());
        } else {
            bail!(unknown(name, known.keys().map(String::as_str)))
        }
    }
    let load = |path: &PathBuf| {
        let mut scenario = Scenario::load(path)?;
        ensure!(
            kind.patches().is_none() || scenario.without_module(kind),
            "{} needs the module, or other patches: its in_tree says with which it holds",
            scenario.name
        );
        Ok(scenario)
    };
    paths.iter().map(load).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
title = "a title"
timeout = 10

[[step]]
title = "one"
run = "true"
expect = [
  { record = "DM_EVENT", body = "module=integrity op=x dev=${dev} sector=@s res=0", no_syscall = true },
  { record = "1385", fields = "pid=*", with = "SYSCALL syscall=unshare", at_least = 2 },
]
"#;

    const CI: &str = include_str!("../../docs/guide/ci.md");

    fn project_scenarios() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    fn fault(text: &str) -> String {
        match Scenario::parse(text) {
            Ok(_) => panic!("no fault found"),
            Err(fault) => fault.show("x.toml", text),
        }
    }

    #[test]
    fn the_scenarios_of_the_project_are_well_formed() -> Result<()> {
        let folder = project_scenarios();
        let stock = find(&folder, &[], Group::Usual, Kind::Stock)?;
        assert!(stock.len() >= 7 && stock.iter().all(|scenario| scenario.image.is_none()));
        assert!(find(&folder, &[], Group::Usual, Kind::Debug)?.len() > stock.len());
        let long = find(&folder, &[], Group::Long, Kind::Stock)?;
        let both = find(&folder, &[], Group::Both, Kind::Stock)?;
        assert_eq!(both.len(), stock.len() + long.len());
        for path in listed(&folder.join("soak"))?.values() {
            Scenario::load(path)?;
        }
        // A number is another call on another architecture. x32's exist on none but its own.
        for scenario in both.iter().filter(|scenario| scenario.name != "x32") {
            let path = folder.join("long").join(&scenario.name);
            let path = [folder.join(&scenario.name), path].map(|path| path.with_extension("toml"));
            let text = path.iter().find_map(|path| fs::read_to_string(path).ok());
            let text = text.expect("its file");
            let number = |(at, word): (usize, &str)| {
                text[at + word.len()..].starts_with(|c: char| c.is_ascii_digit())
            };
            for word in ["syscall=", "syscall ", "syscall("] {
                assert!(!text.match_indices(word).any(number), "{}", scenario.name);
            }
        }
        assert!(find(&folder, &["nonsense".to_owned()], Group::Usual, Kind::Stock).is_err());
        assert!(find(&folder, &[], Group::Image("nonsense"), Kind::Stock).is_err());
        for image in ["libvirt", "runtimes", "packages", "files"] {
            find(&folder, &[], Group::Image(image), Kind::Stock)?;
        }
        Ok(())
    }

    #[test]
    fn the_scenarios_in_the_documentation_of_ci_are_well_formed() {
        let blocks: Vec<_> = CI
            .split("```")
            .filter_map(|b| b.strip_prefix("toml\n"))
            .collect();
        assert_eq!(blocks.len(), 2);
        for block in blocks {
            let scenario = Scenario::parse(block).map_err(|f| f.show("docs/guide/ci.md", block));
            assert_eq!(scenario.expect("well formed").steps.len(), 1);
        }
    }

    #[test]
    fn each_record_in_the_documentation_of_ci_is_one_of_its_scenario() {
        let rows = CI.lines().filter_map(|line| {
            let cells: Vec<_> = line
                .split(" | ")
                .map(|cell| cell.trim_matches(['|', ' ']))
                .collect();
            <[&str; 7]>::try_from(cells).ok()
        });
        // The heading and the line below it.
        let rows: Vec<_> = rows.skip(2).collect();
        assert!(rows.len() >= 13, "{rows:?}");
        for [tool, _, module, op, _, sector, name] in &rows {
            let path = project_scenarios().join(format!("{name}.toml"));
            let text = fs::read_to_string(&path).expect(name);
            let begin = format!("record = \"DM_EVENT\", body = \"module={module} op={op} dev=");
            let record = text.lines().find(|line| line.contains(&begin));
            let record = record.unwrap_or_else(|| panic!("{name} has no {module} {op}"));
            assert_eq!(record.contains(" sector=? "), *sector == "`?`", "{name}");
            // Some scenarios have their options in a file, and others mappings of their own.
            for word in tool.trim_start_matches('`').split(['`', ' ', ',']) {
                if word.ends_with("setup") || word.starts_with("--") {
                    assert!(text.contains(word), "{name} has no {word}");
                }
            }
        }
        let events: std::collections::BTreeSet<_> = rows.iter().map(|row| row[3]).collect();
        assert_eq!(events.len(), 8, "{events:?}");
    }

    #[test]
    fn a_folder_stands_for_its_scenarios() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let find = |name: &Path| {
            let names = [name.display().to_string()];
            find(&project_scenarios(), &names, Group::Usual, Kind::Stock)
        };
        let none = find(dir.path()).expect_err("no scenario");
        assert!(none.to_string().ends_with("has no scenario (*.toml)"));
        for name in ["b.toml", "a.toml", "README"] {
            fs::write(dir.path().join(name), GOOD)?;
        }
        let found = find(dir.path())?;
        let names: Vec<_> = found.iter().map(|scenario| &*scenario.name).collect();
        assert_eq!(names, ["a", "b"]);
        Ok(())
    }

    #[test]
    fn files_are_relative_to_the_scenario_and_each_has_its_own_name() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::create_dir_all(dir.path().join("tests/data"))?;
        for name in ["corrupt.sh", "tests/corrupt.sh"] {
            fs::write(dir.path().join(name), "")?;
        }
        let path = dir.path().join("tests/own.toml");
        let load = |files: &str| {
            let files = format!("timeout = 10\nfiles = [{files}]");
            fs::write(&path, GOOD.replacen("timeout = 10", &files, 1))?;
            Scenario::load(&path)
        };
        let root = dir.path().canonicalize()?;
        let scenario = load("\"../corrupt.sh\", \"data\"")?;
        let expected = [root.join("corrupt.sh"), root.join("tests/data")];
        assert_eq!(scenario.copied, expected);
        assert_eq!(crate::vm::Machine::of(&scenario).files, expected);
        for (files, says) in [
            ("\"none.sh\"", "own.toml:4:10: "),
            ("\"none.sh\"", "none.sh: No such file or directory"),
            (
                "\"corrupt.sh\", \"../corrupt.sh\"",
                "own.toml:4:24: another of `files` has the same name",
            ),
        ] {
            let fault = load(files).expect_err(files).to_string();
            assert!(fault.contains(says), "{fault}\nshould say: {says}");
        }
        Ok(())
    }

    #[test]
    fn only_a_control_may_expect_a_splat() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let text = GOOD.replacen("timeout = 10", "timeout = 10\nexpect_splat = \"BUG: \"", 1);
        for (name, allowed) in [("control-sleep.toml", true), ("watch.toml", false)] {
            let path = dir.path().join(name);
            fs::write(&path, &text)?;
            assert_eq!(Scenario::load(&path).is_ok(), allowed, "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_well_formed_file_is_understood() {
        let scenario = Scenario::parse(GOOD)
            .map_err(|f| f.what)
            .expect("well formed");
        let step = &scenario.steps[0];
        assert!(step.expected[0].no_syscall);
        assert_eq!((step.expected[1].min, step.expected[1].max), (2, u32::MAX));
        assert_eq!(step.order, Order::Listed);
    }

    #[test]
    fn a_malformed_file_gives_its_line_and_what_was_expected() {
        for (from, to, says) in [
            ("timeout = 10", "", "x.toml:1:1: missing field `timeout`"),
            (
                "timeout = 10",
                "timeout = \"soon\"",
                "x.toml:3:11: invalid type: string \"soon\", expected u64",
            ),
            (
                "timeout = 10",
                "timeuot = 10",
                "x.toml:3:1: unknown field `timeuot`, expected one of `title`",
            ),
            (
                "timeout = 10",
                "timeout = 10\nmay_lose = true",
                "x.toml:4:1: `may_lose` is called `allow_lost` now",
            ),
            (
                "no_syscall = true",
                "alone = true",
                "`alone` is called `no_syscall` now",
            ),
            (
                "timeout = 10",
                "timeout = 10\npackages = [\"jq\", \"jq --help\"]",
                "x.toml:4:19: `jq --help`: expected the name of a Debian package",
            ),
            ("title = \"one\"", "title = one", "x.toml:6:9: "),
            ("pid=*", "pid *", "x.toml:10:31: `pid`: expected NAME=VALUE"),
            (
                "syscall=unshare",
                "syscall=unshar",
                "x.toml:10:47: `unshar`: no system call has this name",
            ),
            (
                "\"1385\"",
                "\"ns_init\"",
                "x.toml:10:14: `ns_init`: expected the name",
            ),
            (
                "no_syscall = true",
                "no_syscall = true, with = \"SYSCALL\"",
                "either `with` or `no_syscall`",
            ),
            (
                "at_least = 2",
                "at_least = 2, count = 1",
                "either `count` or `at_least`",
            ),
        ] {
            assert!(GOOD.contains(from));
            let says_so = fault(&GOOD.replacen(from, to, 1));
            assert!(says_so.contains(says), "{says_so}\nshould say: {says}");
        }
    }

    #[test]
    fn the_place_is_underlined() {
        let text = GOOD.replacen("pid=*", "pid *", 1);
        let shown = fault(&text);
        let lines: Vec<_> = shown.lines().collect();
        let place = lines[2].find('^').expect("underlined");
        assert_eq!(&lines[1][place..place + 7], "\"pid *\"");
    }
}
