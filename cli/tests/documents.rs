// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The documents: each command in them is one, and what they show is what is printed.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use dmns_audit::args::{Cli, modern};
use dmns_audit_recorder::args::Cli as Recorder;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Adds the documents in `folder` and below.
fn add_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            add_pages(&path, pages);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
}

/// Returns the words of `command` as a shell takes them, up to the end of the command.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in command.chars() {
        match (quote, letter) {
            (None, '|' | '<' | '>' | ';' | '#') => break,
            (None, '"' | '\'') => quote = Some(letter),
            (None, ' ') => words.push(String::new()),
            (Some(open), close) if open == close => quote = None,
            (_, letter) => words.last_mut().expect("a word").push(letter),
        }
    }
    // The end of a list that the command is in.
    if let Some(last) = words.last_mut().filter(|word| !word.contains('[')) {
        *last = last.trim_end_matches(']').to_owned();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the commands of ours in a line of a block or of a help text, as they are typed.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    // What follows two spaces is a comment.
    let line = line.split("  ").next().unwrap_or_default();
    line.split(" | ")
        // `exclude|only` is a choice.
        .filter(|part| !part.contains('|'))
        .map(|part| words(part.trim().trim_start_matches("sudo ")))
        .filter(|words| {
            let ours = matches!(
                words.first().map(String::as_str),
                Some("dmns-audit" | "dmns-audit-record")
            );
            ours && !words.iter().any(|word| is_open(word))
        })
        .collect()
}

/// Returns whether `word` stands for others: `...`, `DEVICE`, `SECTOR...`, or the end of a line that continues.
fn is_open(word: &str) -> bool {
    let letters = word.trim_end_matches('.');
    let name = letters.len() > 2 && letters.bytes().all(|b| b.is_ascii_uppercase() || b == b'|');
    name || word.ends_with("...") || word == "\\" || word.contains('[') && word.contains("]...")
}

/// Fails if `words` is no command. In a sentence it may be the name of one, such as `dmns-audit locate`.
fn understand(words: &[String], sentence: bool, place: &str) {
    let typed = words.iter().map(OsString::from);
    let error = match words[0].as_str() {
        "dmns-audit" => Cli::try_parse_from(modern(typed)).err(),
        _ => Recorder::try_parse_from(typed).err(),
    };
    let Some(error) = error.filter(clap::Error::use_stderr) else {
        return;
    };
    let part = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => true,
        ErrorKind::MissingRequiredArgument => sentence,
        _ => false,
    };
    assert!(part, "{place}: {}: {error}", words.join(" "));
}

#[test]
fn each_command_in_the_documents_is_one() {
    let mut pages = vec![
        project().join("README.md"),
        project().join("CONTRIBUTING.md"),
    ];
    add_pages(&project().join("docs"), &mut pages);
    let mut seen = 0;
    for page in &pages {
        let text = fs::read_to_string(page).expect("a document");
        let mut block = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                block = !block;
                continue;
            }
            let place = format!("{}:{number}", page.display());
            let typed = match block {
                true => commands(line),
                // In a sentence, or a table.
                false => line
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|code| code.split(' ').count() > 1)
                    .flat_map(commands)
                    .collect(),
            };
            for words in &typed {
                understand(words, !block, &place);
                seen += 1;
            }
        }
    }
    assert!(seen >= 100, "{seen} commands");
}

#[test]
fn each_example_in_a_help_text_is_a_command() {
    fn walk(command: &clap::Command, seen: &mut usize) {
        let text = command.get_after_help().map(ToString::to_string);
        for line in text.iter().flat_map(|text| text.lines()) {
            if line.starts_with("  ") {
                for words in commands(line) {
                    understand(&words, false, command.get_name());
                    *seen += 1;
                }
            }
        }
        command
            .get_subcommands()
            .for_each(|inner| walk(inner, seen));
    }
    let mut seen = 0;
    walk(&Cli::command(), &mut seen);
    walk(&Recorder::command(), &mut seen);
    assert!(seen >= 45, "{seen} examples");
}

/// Runs `dmns-audit` in `folder`, and returns what it prints.
fn printed(arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(arguments)
        .current_dir(folder)
        .env("TZ", "UTC0")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the first block of `page` after the line that ends with `before`.
fn block(page: &str, before: &str) -> String {
    let text = fs::read_to_string(project().join(page)).expect("a document");
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("{page}: {before}"));
    let rest = rest.split("```").nth(1).expect("a block");
    rest.split_once('\n').expect("lines").1.to_owned()
}

#[test]
fn the_finding_in_the_documents_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = include_str!("logs/broken.log");
    fs::write(folder.path().join("audit.log"), log).expect("written");
    let found = printed(&["check", "audit.log"], folder.path());
    for page in ["README.md", "docs/reference/check.md"] {
        let shown = block(page, "One of its findings:\n");
        assert!(found.contains(&shown), "{page}:\n{shown}\n{found}");
    }
}

#[test]
fn the_event_in_the_documents_is_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/questions");
    let shown = block("docs/reference/events.md", "who, where, and what.");
    let (command, lines) = shown.split_once('\n').expect("a command");
    let mut arguments = words(command.trim_start_matches("$ dmns-audit "));
    arguments.push("yesterday.log".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(printed(&arguments, &folder), lines);
}
