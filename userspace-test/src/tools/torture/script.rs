// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What was done to a device, as a scenario of its own: commands of a shell, and the records that the
//! model predicts.

use super::log::Record;
use super::oracle::Prediction;
use crate::mapper::Number;
use dmns_audit_layout::table::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;

/// A step of the scenario.
#[derive(Debug, Default)]
struct Step {
    title: String,
    run: Vec<String>,
    /// The records that come, and how often.
    exact: BTreeMap<Record, usize>,
    /// Those that may come.
    among: BTreeSet<Record>,
    /// At least and at most so many of `among` come.
    at_least: usize,
    at_most: usize,
}

/// The scenario so far.
#[derive(Debug, Default)]
pub(super) struct Script {
    steps: Vec<Step>,
    /// Whether records came since the table was loaded of which only bounds are known.
    pub(super) is_loose: bool,
    /// What is replaced by the name of a value: numbers of devices, the hash of a root.
    names: Vec<(String, &'static str)>,
}

impl Script {
    /// Begins a step.
    pub(super) fn begin(&mut self, title: &str) {
        self.steps.push(Step {
            title: title.to_owned(),
            ..Step::default()
        });
    }

    /// Adds a command to the step.
    pub(super) fn run(&mut self, command: impl Into<String>) {
        if self.steps.is_empty() {
            self.begin("begin");
        }
        if let Some(step) = self.steps.last_mut() {
            step.run.push(command.into());
        }
    }

    /// Adds a command that must succeed, or must fail with an error of the system.
    pub(super) fn run_or_fail(&mut self, command: String, error: Option<i32>) {
        self.run(match error {
            Some(error) => {
                let error = io::Error::from_raw_os_error(error).to_string();
                let text = error.split(" (os").next().unwrap_or_default();
                format!("! said=$({command} 2>&1) || exit 1\ngrep -qF '{text}' <<<\"$said\"")
            }
            None => command,
        });
    }

    /// Adds a command that must fail.
    pub(super) fn fail(&mut self, command: &str) {
        self.run(format!("! {command} || exit 1"));
    }

    /// Saves the number of a mapping by a name. Later steps have the name in its place.
    pub(super) fn save_device(&mut self, name: &'static str, mapping: &str, number: Number) {
        self.save(name, &format!("$(device {mapping})"), number.to_string());
    }

    /// Saves what a shell makes of `text` by a name. Later steps have the name in place of `value`.
    pub(super) fn save(&mut self, name: &'static str, text: &str, value: String) {
        self.run(format!("save {name} {text}"));
        self.names.retain(|(_, other)| *other != name);
        self.names.push((value, name));
    }

    /// Returns a table for `--table`, with names in place of values.
    pub(super) fn table(&self, table: &Table) -> String {
        let arguments = table.arguments.iter().map(|argument| self.named(argument));
        let arguments: Vec<_> = arguments.collect();
        format!(
            "--table \"{} {} {} {}\"",
            table.start,
            table.length,
            table.target,
            arguments.join(" ")
        )
    }

    fn named(&self, text: &str) -> String {
        let value = |text: &str| self.names.iter().find(|(value, _)| value == text);
        if let Some((_, name)) = value(text) {
            return format!("${{{name}}}");
        }
        match text.split_once(':') {
            Some((option, rest)) => match value(rest) {
                Some((_, name)) => format!("{option}:${{{name}}}"),
                None => text.to_owned(),
            },
            None => text.to_owned(),
        }
    }

    /// Adds what the step records.
    pub(super) fn expect(&mut self, prediction: &Prediction) {
        let Some(step) = self.steps.last_mut() else {
            return;
        };
        for record in &prediction.exact {
            *step.exact.entry(record.clone()).or_default() += 1;
        }
        self.is_loose |= !prediction.among.is_empty();
        step.among.extend(prediction.among.iter().cloned());
        step.among.extend(prediction.perhaps.iter().cloned());
        step.at_least += prediction.at_least;
        step.at_most += prediction.at_most + usize::from(prediction.perhaps.is_some());
    }

    /// Returns the scenario.
    pub(super) fn scenario(&self, title: &str, why: &str) -> String {
        let mut text = format!(
            "title = \"{title}\"\nwhy = '''\n{}\n'''\ntimeout = {}\nkernel_args = \"audit=1\"\nin_tree = \"fixes\"\n",
            why.replace("'''", "\"\"\""),
            120 + self.steps.len() * 10
        );
        for step in &self.steps {
            let mut run = step.run.join("\n");
            if !step.among.is_empty() {
                // `expect` has no bounds of several records together.
                let count = "$(records | grep -c '^type=DM_EVENT')";
                let is_event = |(record, _): &(&Record, &usize)| record.ty == "DM_EVENT";
                let events = step.exact.iter().filter(is_event);
                let exact: usize = events.map(|(_, count)| count).sum();
                let _ = write!(
                    run,
                    "\nwait-drained\ncame=$(({count} - before)) || true\ntest $came -ge {} && test $came -le {}",
                    exact + step.at_least,
                    exact + step.at_most
                );
                run = format!("wait-drained\nbefore={count} || true\n{run}");
            }
            let _ = write!(
                text,
                "\n[[step]]\ntitle = \"{}\"\nrun = '''\n{run}\n'''\n",
                step.title.replace(['"', '\\'], "'"),
            );
            if step.exact.is_empty() && step.among.is_empty() {
                continue;
            }
            text += "order = \"any\"\nexpect = [\n";
            for (record, count) in &step.exact {
                let _ = writeln!(text, "  {{ {}, count = {count} }},", self.fields(record));
            }
            for record in &step.among {
                let _ = writeln!(text, "  {{ {}, at_least = 0 }},", self.fields(record));
            }
            text += "]\n";
        }
        text
    }

    fn fields(&self, record: &Record) -> String {
        let mut fields = format!(
            "module={} op={} dev={}",
            record.module,
            record.op,
            self.named(&record.dev)
        );
        if !record.sector.is_empty() {
            fields += &format!(" sector={}", record.sector);
        }
        format!(
            "record = \"{}\", fields = \"{fields} res={}\"",
            record.ty, record.res
        )
    }
}

/// Returns the command that copies so many bytes, with one call each for reading and for writing.
pub(super) fn dd(from: &str, to: &str, length: u64, more: &str) -> String {
    format!("dd if={from} of={to} bs={length} count=1 {more} status=none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_scenario_has_the_steps_and_the_records() {
        let number = Number {
            major: 253,
            minor: 3,
        };
        let mut script = Script::default();
        script.begin("open \"it\"");
        let table = Table::parse("0 8 integrity 253:0 0 4 D 1 meta_device:253:3").expect("a table");
        script.save_device("dev", "torture", number);
        assert_eq!(
            script.table(&table),
            "--table \"0 8 integrity 253:0 0 4 D 1 meta_device:${dev}\""
        );
        script.begin("read");
        script.run_or_fail(dd("a", "b", 4096, "skip=4"), Some(5));
        let record = Record {
            sector: "8".to_owned(),
            ..Record::new("DM_EVENT", "integrity", "integrity-checksum", "253:3")
        };
        script.expect(&Prediction::of(vec![record.clone(), record.clone()]));
        script.expect(&Prediction {
            perhaps: Some(record),
            ..Prediction::default()
        });
        let text = script.scenario("a device", "it differs: ''' 7");
        let scenario = Scenario::of_text(&text).expect("a scenario");
        assert_eq!(scenario.steps.len(), 2);
        let (run, bounds) = scenario.steps[1]
            .run
            .split_once("\nwait-drained\n")
            .expect("bounds");
        let (_, run) = run.split_once("|| true\n").expect("a count before");
        assert!(
            bounds
                .trim()
                .ends_with("test $came -ge 2 && test $came -le 3"),
            "{bounds}"
        );
        assert_eq!(
            run,
            "! said=$(dd if=a of=b bs=4096 count=1 skip=4 status=none 2>&1) || exit 1\n\
             grep -qF 'Input/output error' <<<\"$said\""
        );
        let fields =
            "fields = \"module=integrity op=integrity-checksum dev=${dev} sector=8 res=0\"";
        assert!(text.contains(&format!("{fields}, count = 2")), "{text}");
        assert!(text.contains(&format!("{fields}, at_least = 0")), "{text}");
    }
}
