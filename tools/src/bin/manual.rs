// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual pages and the completions of shells into a folder: `make man`.

use clap::builder::Resettable;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use dmns_audit::args::Cli;
use dmns_audit_recorder::args::Cli as Recorder;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: manual FOLDER"))?;
    let (man, completions) = (folder.join("man1"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for (name, command) in programs() {
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            fs::write(completions.join(file), completion(shell, name, &command))?;
        }
        pages(&command, &man)?;
    }
    Ok(())
}

/// Returns the programs, with the names that they are installed under.
fn programs() -> [(&'static str, Command); 2] {
    [
        ("dmns-audit", Cli::command()),
        ("dmns-audit-record", Recorder::command()),
    ]
}

/// Returns the completions of a program.
///
/// Those of bash look up a subcommand under another name than they find it by, if the name of the
/// program has a hyphen (clap-rs/clap#6421): the infix of subcommands is in one of the two only.
fn completion(shell: Shell, name: &str, command: &Command) -> String {
    let mut out = Vec::new();
    generate(shell, &mut command.clone(), name, &mut out);
    let text = String::from_utf8_lossy(&out).into_owned();
    match shell {
        Shell::Bash => text.replace("subcmd__", ""),
        _ => text,
    }
}

/// Writes the page of a program, and of each subcommand.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    fn each(
        command: &Command,
        status: &str,
        above: &[String],
        others: &[String],
        folder: &Path,
    ) -> io::Result<()> {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        let status = section(command, "Exit status:").unwrap_or_else(|| status.to_owned());
        let examples = examples(command, above);
        let page = page(command, name, &status, &examples, others)?;
        fs::write(folder.join(format!("{name}.1")), page)?;
        for inner in command.get_subcommands() {
            each(inner, &status, &examples, others, folder)?;
        }
        Ok(())
    }
    let mut command = without_help(command.clone());
    command.build();
    let mut names = Vec::new();
    all_names(&command, &mut names);
    each(&command, "0 all is well; 2 an error.", &[], &names, folder)
}

/// Removes the subcommands `help`, which have no page.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

/// Adds the names of the pages of a program.
fn all_names(command: &Command, names: &mut Vec<String>) {
    names.push(
        command
            .get_display_name()
            .unwrap_or_else(|| command.get_name())
            .to_owned(),
    );
    for inner in command.get_subcommands() {
        all_names(inner, names);
    }
}

/// Returns the paragraphs that follow the options in `--help`.
fn paragraphs(command: &Command) -> Vec<String> {
    let text = command.get_after_long_help().or(command.get_after_help());
    text.map(|text| text.to_string())
        .unwrap_or_default()
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the paragraph that begins with a heading, without it.
fn section(command: &Command, heading: &str) -> Option<String> {
    paragraphs(command)
        .iter()
        .find_map(|paragraph| paragraph.strip_prefix(heading).map(str::to_owned))
}

/// Returns the examples of a command: its own, else the first one of each of its subcommands, else those of the
/// command `above` it that are of this one.
fn examples(command: &Command, above: &[String]) -> Vec<String> {
    let own: Vec<String> = section(command, "Examples:")
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect();
    if !own.is_empty() {
        return own;
    }
    let first = |inner: &Command| examples(inner, &[]).into_iter().next();
    let inner: Vec<String> = command.get_subcommands().filter_map(first).collect();
    if !inner.is_empty() {
        return inner;
    }
    let is_word = |line: &&String| line.split(' ').any(|word| word == command.get_name());
    above.iter().filter(is_word).cloned().collect()
}

/// Returns a page in roff.
fn page(
    command: &Command,
    name: &str,
    status: &str,
    examples: &[String],
    names: &[String],
) -> io::Result<String> {
    let bare = command
        .clone()
        .after_help(Resettable::Reset)
        .after_long_help(Resettable::Reset);
    let mut out = Vec::new();
    Man::new(bare)
        .title(name)
        .source(concat!("dmns-audit ", env!("CARGO_PKG_VERSION")))
        .manual("dmns-audit")
        .render(&mut out)?;
    let mut text = String::from_utf8_lossy(&out).into_owned();
    let rest: Vec<String> = paragraphs(command)
        .into_iter()
        .filter(|p| !p.starts_with("Examples:") && !p.starts_with("Exit status:"))
        .collect();
    if !rest.is_empty() {
        text.push_str(".SH NOTES\n");
        for paragraph in rest {
            text.push_str(&format!("{}\n.PP\n", escaped(&paragraph)));
        }
    }
    if !examples.is_empty() {
        text.push_str(&format!(
            ".SH EXAMPLES\n.nf\n{}\n.fi\n",
            escaped(&examples.join("\n"))
        ));
    }
    text.push_str(".SH \"EXIT STATUS\"\n");
    for each in status.trim().trim_end_matches('.').split("; ") {
        let (number, meaning) = each.split_once(' ').unwrap_or((each, "all is well"));
        text.push_str(&format!(".TP\n.B {number}\n{}\n", escaped(meaning)));
    }
    text.push_str(".SH FILES\n");
    for (file, meaning) in files(name) {
        text.push_str(&format!(
            ".TP\n.I {}\n{}\n",
            escaped(file),
            escaped(meaning)
        ));
    }
    text.push_str(".SH \"SEE ALSO\"\n");
    let mut also: Vec<String> = names
        .iter()
        .filter(|other| *other != name)
        .map(|other| format!("{other}(1)"))
        .collect();
    also.extend(["auditd(8)", "ausearch(8)", "dmns-audit-build(8)"].map(str::to_owned));
    for (at, page) in also.iter().enumerate() {
        let (page, number) = page.split_at(page.find('(').unwrap_or(page.len()));
        let comma = if at + 1 < also.len() { "," } else { "" };
        text.push_str(&format!(".BR {} {number}{comma}\n", escaped(page)));
    }
    // Where the package has them.
    Ok(text
        .replace("docs/", "/usr/share/doc/dmns\\-audit/docs/")
        .replace("contrib/clickhouse/", "/usr/share/dmns\\-audit/clickhouse/"))
}

/// Returns a text that roff prints as it is.
fn escaped(text: &str) -> String {
    text.lines()
        .map(|line| {
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            match line.starts_with(['.', '\'']) {
                true => format!("\\&{line}"),
                false => line,
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the files that a command reads or writes.
fn files(name: &str) -> Vec<(&'static str, &'static str)> {
    let log = (
        "/var/log/audit/audit.log",
        "auditd's log, which is read where no file is given; its rotated files too.",
    );
    match name {
        "dmns-audit-watch" => vec![
            (
                "/etc/audit/plugins.d/dmns-audit.conf",
                "The plugin of auditd, which is not active after installation.",
            ),
            (
                "/var/log/audit/dmns-audit.json",
                "The events that the plugin wrote. logrotate keeps four weeks.",
            ),
            (
                "/usr/lib/systemd/system/dmns-audit-metrics.service",
                "The service that writes the metrics, which is not enabled after installation.",
            ),
            (
                "/var/lib/prometheus/node-exporter/dmns-audit.prom",
                "The metrics that this service writes.",
            ),
        ],
        name if name.starts_with("dmns-audit-select") => vec![(
            "/sys/kernel/security/dmns_audit/filter",
            "The filter of the module.",
        )],
        "dmns-audit-spec" => vec![(
            "docs/reference/records.md",
            "The records, with the reasons for their fields.",
        )],
        name if name.starts_with("dmns-audit-record") => vec![
            (
                "/usr/share/dmns-audit/oci/dmns-audit.json",
                "The hook for podman and CRI-O.",
            ),
            (
                "/usr/lib/dmns-audit/dmns-runc",
                "The runtime for Docker and containerd.",
            ),
            (
                "/usr/lib/systemd/system/dmns-audit-oci-forward.service",
                "The service for rootless containers, which is not enabled after installation.",
            ),
            (
                "/run/dmns-audit/",
                "The forwarder's socket, and the containers that run.",
            ),
        ],
        "dmns-audit" => vec![log, ("docs/", "The guide, the reference, the design.")],
        _ => vec![log],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    /// Every option teaches with an example.
    #[test]
    fn every_option_has_an_example() {
        fn walk(command: &Command) {
            for arg in command.get_arguments().filter(|arg| {
                !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
            }) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let (name, id) = (command.get_name(), arg.get_id());
                assert!(help.contains("Example: "), "{name} {id}: {help}");
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
        walk(&Recorder::command());
    }

    /// Returns what bash completes the last of these words to.
    fn completed(words: &[&str]) -> Vec<String> {
        let name = words[0];
        let (_, command) = programs()
            .into_iter()
            .find(|(program, _)| *program == name)
            .expect("a program");
        let folder = env::temp_dir().join(format!("{name}-completion-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(format!("{}.bash", words.len()));
        fs::write(&file, completion(Shell::Bash, name, &command)).expect("written");
        let last = words.len() - 1;
        let script = r#"
            source "$1"
            shift
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            found=$(complete -p "$1")
            found=${found#*-F }
            "${found%% *}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let bash = process::Command::new("bash")
            .args(["--norc", "-c", script, "bash"])
            .arg(&file)
            .args(words)
            .output()
            .expect("bash");
        fs::remove_dir_all(&folder).expect("removed");
        let errors = String::from_utf8_lossy(&bash.stderr);
        assert_eq!(errors, "", "completing {}", words[last]);
        String::from_utf8_lossy(&bash.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn bash_completes_words_at_each_level() {
        for (words, expected) in [
            (&["dmns-audit", "rep"][..], &["report"][..]),
            (&["dmns-audit", "report", ""], &["dm", "ns", "virt"]),
            (&["dmns-audit", "report", "ns", "--cont"], &["--container"]),
            (
                &["dmns-audit", "watch", "--format", ""],
                &["text", "json", "ecs"],
            ),
            (
                &["dmns-audit", "check", "--explain", "net"],
                &["net-without-open"],
            ),
            (
                &["dmns-audit", "events", "--only", ""],
                &["violation", "error"],
            ),
            (&["dmns-audit", "select", "excl"], &["exclude"]),
            (&["dmns-audit-record", "oci-f"], &["oci-forward"]),
            (&["dmns-audit-record", "run-guest", "--stri"], &["--strict"]),
        ] {
            let found = completed(words);
            for word in expected {
                assert!(found.iter().any(|f| f == word), "{words:?}: {found:?}");
            }
        }
    }

    #[test]
    fn every_page_has_the_sections_of_a_manual() {
        let folder = env::temp_dir().join(format!("dmns-manual-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for (_, command) in programs() {
            pages(&command, &folder).expect("written");
        }
        let mut seen = 0;
        for entry in fs::read_dir(&folder).expect("read") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a page");
            let name = path.display();
            for section in [
                "NAME",
                "EXAMPLES",
                "\"EXIT STATUS\"",
                "FILES",
                "\"SEE ALSO\"",
            ] {
                assert!(
                    text.contains(&format!(".SH {section}\n")),
                    "{name}: {section}"
                );
            }
            assert!(!text.contains(".SH EXTRA"), "{name}");
            // Each example is of this command.
            let (_, rest) = text.split_once(".SH EXAMPLES\n").expect("examples");
            let (examples, _) = rest.split_once("\n.SH").expect("an end");
            let file = path.file_stem().expect("a name").to_string_lossy();
            let words: Vec<&str> = file.rsplit('-').collect();
            let last = words[0];
            assert!(examples.contains(last), "{name}: {examples}");
            // Documents have the path where the package has them.
            let documents = text.matches("docs/").count();
            let installed = text.matches("/usr/share/doc/dmns\\-audit/docs/").count();
            assert_eq!(documents, installed, "{name}: {text}");
            assert!(!text.contains("contrib/"), "{name}");
            // The package has all of docs.
            let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            for document in text.split("/usr/share/doc/dmns\\-audit/").skip(1) {
                let end = document.find([' ', '\n', ',', ')', ';', '`']);
                let document = &document[..end.unwrap_or(document.len())];
                let document = document.trim_end_matches('.').replace('\\', "");
                let exists = !document.is_empty() && project.join(&document).exists();
                assert!(exists, "{name}: '{document}'");
            }
            seen += 1;
        }
        assert!(folder.join("dmns-audit-report-ns.1").exists());
        assert!(folder.join("dmns-audit-record-oci-hook.1").exists());
        assert!(!folder.join("dmns-audit-help.1").exists());
        assert!(seen >= 15, "{seen} pages");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
