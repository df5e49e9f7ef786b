// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line.

use crate::check::finding::Rule;
use crate::report::ns::container::Which;
use crate::terminal::Colour;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use dmns_audit_recorder::oci::memory::STATE;
use std::ffi::OsString;
use std::path::PathBuf;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Reads the audit records of device mapper, of namespaces and of guests.
#[derive(Debug, Parser)]
#[command(
    name = "dmns-audit",
    version,
    max_term_width = 100,
    after_help = "Logs may be raw or enriched, compressed (gz, xz, zst), rotated, the output of \
                  `ausearch --raw`, `journalctl -o export` or `-o json`, or the kernel's own log (dmesg). Without FILE, the system's audit \
                  log is read; `-` is standard input.\n\n\
                  Exit status: 0 all is well; 1 `check` found something; 2 something could not be read, \
                  or the command line is wrong."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// When to colour the output. Example: --color never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        display_order = 100
    )]
    pub color: Colour,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold every record of device mapper and namespaces against the contract
    #[command(after_help = "Examples:\n  \
                      dmns-audit check                        the system's log\n  \
                      dmns-audit check audit.log audit.log.1  files, oldest first whatever their order\n  \
                      dmesg | dmns-audit check -              the kernel's log\n  \
                      dmns-audit check --format sarif audit.log >audit.sarif\n\n\
                      Exit status: 0 clean; 1 there are errors (with --strict: or notes); 2 a log could \
                      not be read to its end.")]
    Check(Check),
    /// Report the lifetimes of mappings, namespaces or guests
    #[command(subcommand)]
    Report(Report),
    /// Write every record of ours as a typed row, an object a line: for an engine that keeps the logs of many hosts
    #[command(after_help = "Examples:\n  \
                            dmns-audit export >rows.ndjson\n  \
                            dmns-audit export --host db1 audit.log.1 audit.log | gzip >rows.ndjson.gz\n  \
                            dmns-audit export | clickhouse-client --query 'INSERT INTO dmns_audit.records FORMAT JSONEachRow'\n\n\
                            contrib/clickhouse/ has a schema for ClickHouse, docs/guide/fleet.md how to set up a fleet. A row that \
                            is loaded twice counts once.\n\n\
                            Exit status: 0; 2 a log could not be read to its end.")]
    Export(Export),
    /// Show events of device mapper, namespaces and guests as they happen
    #[command(after_help = "Examples:\n  \
                            dmns-audit watch --records\n  \
                            dmns-audit watch --format json | jq .text\n  \
                            tail -F /var/log/audit/audit.log | dmns-audit watch --stdin\n\n\
                            Records come from the kernel's audit multicast group, which needs CAP_AUDIT_READ \
                            and works beside auditd. As a plugin of auditd: see dmns-audit.conf.")]
    Watch(Watch),
    /// Let the module leave out what a container causes, or all but that
    #[command(after_help = "Examples:\n  \
                            dmns-audit select exclude web\n  \
                            dmns-audit select only pid:4711\n  \
                            dmns-audit select list\n  \
                            dmns-audit select clear web\n\n\
                            CONTAINER is a name or id from the OCI hook or a control group, the ns_id of a \
                            namespace, or pid:N for a process in it. Records are left out at their source: they cost nothing, \
                            and nobody can find them later. Never left out: device mapper, creations and deletions of \
                            namespaces, changes of audit's configuration, and a task that has left the container. A selection \
                            ends with the container. Needs CAP_AUDIT_CONTROL in the initial namespaces, writes CONFIG_CHANGE, \
                            and is frozen by auditctl -e 2.")]
    Select(Select),
    /// Print the contract: every record, its fields, and how they are written
    #[command(after_help = "Examples:\n  \
                            dmns-audit spec\n  \
                            dmns-audit spec --format markdown >contract.md\n  \
                            dmns-audit spec --format json | jq '.records[].name'")]
    Spec(Spec),
}

/// `dmns-audit select`.
#[derive(Args, Debug)]
pub struct Select {
    /// What to do.
    #[command(subcommand)]
    pub what: What,

    /// The module's file. Example: --control /sys/kernel/security/dmns_audit/filter
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/sys/kernel/security/dmns_audit/filter"
    )]
    pub control: PathBuf,

    /// Where the OCI hook keeps the names of containers. Example: --state /run/dmns-audit/oci
    #[arg(long, global = true, value_name = "FOLDER", default_value = STATE)]
    pub state: PathBuf,
}

/// What to select.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Leave out what tasks in this container cause
    Exclude {
        /// A container's name or id, an ns_id, or pid:N. Example: exclude web
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// Leave out what tasks outside of this container cause; several may be kept so
    Only {
        /// A container's name or id, an ns_id, or pid:N. Example: only web
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// Print what is selected
    List,
    /// End the selection of one container, or of all
    Clear {
        /// A container's name or id, an ns_id, or pid:N; none: all. Example: clear web
        #[arg(value_name = "CONTAINER")]
        container: Option<String>,
    },
}

/// `dmns-audit check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Logs; `-` is standard input. None: the system's. Example: audit.log.1 audit.log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Read the journal (`journalctl`): where there is no auditd. Example: check --journal
    #[arg(long, conflicts_with = "files")]
    pub journal: bool,

    /// The host of records that name none, where logs of several files are of one machine. Example: --host db1
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Print each finding, not each cause once with its count. Example: check --all
    #[arg(short, long)]
    pub all: bool,

    /// The format of the findings. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,

    /// Exit with 1 for notes too. Example: check --strict audit.log
    #[arg(long)]
    pub strict: bool,

    /// A rule that the log is known to break: what it finds does not count, and it is an error if it finds nothing.
    /// May be repeated. Example: check --strict --expect net-without-open audit.log
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub expect: Vec<Rule>,

    /// Records may be missing (`auditctl -s` counts them as lost): what lacks another record of its event is
    /// only noted. Example: check --lossy audit.log
    #[arg(long)]
    pub lossy: bool,
}

fn rule(name: &str) -> Result<Rule, String> {
    Rule::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        format!("no such rule; there are: {}", known.join(", "))
    })
}

/// The format of `check`'s findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Like a compiler.
    Text,
    /// One object a line.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

/// `dmns-audit export`.
#[derive(Args, Debug)]
pub struct Export {
    /// Logs; `-` is standard input. None: the system's. Example: audit.log.1 audit.log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Read the journal (`journalctl`): where there is no auditd. Example: export --journal
    #[arg(long, conflicts_with = "files")]
    pub journal: bool,

    /// The host of records that name none; without it, this machine's name. Example: --host db1
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// `dmns-audit report`.
#[derive(Debug, Subcommand)]
pub enum Report {
    /// Guests: sessions, their resources, access denied to them; the successor of auvirt
    #[command(after_help = "Examples:\n  \
                            dmns-audit report virt --start this-month --vm web1 --all-events\n  \
                            dmns-audit report virt --summary -ts 01/25/2026 12:00:00 -te 01/25/2026\n  \
                            dmns-audit report virt --proof audit.log.1 audit.log\n\n\
                            A line is a session: name, user, from - to (duration); without an end, the guest \
                            still runs. docs/reference/report.md lists what differs from auvirt.")]
    Virt(Virt),
    /// Mappings of device mapper: who made them, and the violations found in them
    #[command(after_help = "Examples:\n  \
                            dmns-audit report dm\n  \
                            dmns-audit report dm --all-events --start yesterday\n  \
                            dmns-audit report dm --format json audit.log | jq 'select(.violations > 0)'")]
    Dm(Common),
    /// Containers and namespaces: who made them, from when to when, and what happened inside one
    #[command(after_help = "Examples:\n  \
                            dmns-audit report ns\n  \
                            dmns-audit report ns --alive --by root --program crun\n  \
                            dmns-audit report ns --tree\n  \
                            dmns-audit report ns --container web\n  \
                            dmns-audit report ns --container 17\n  \
                            dmns-audit report ns --container net:[4026532160] --proof audit.log")]
    Ns(Ns),
}

/// What all reports can be asked for.
#[derive(Args, Debug)]
pub struct Common {
    /// Logs; `-` is standard input. None: the system's. Example: audit.log.1 audit.log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// A log too, as auvirt has it. Example: --file /var/log/audit/audit.log
    #[arg(short, long, value_name = "FILE", conflicts_with = "stdin")]
    pub file: Vec<PathBuf>,

    /// Read standard input. Example: ausearch --raw -m VIRT_CONTROL | dmns-audit report virt --stdin
    #[arg(long)]
    pub stdin: bool,

    /// Read the journal (`journalctl`): where there is no auditd. Example: report dm --journal
    #[arg(long, conflicts_with_all = ["files", "file", "stdin"])]
    pub journal: bool,

    /// The host of records that name none, where logs of several files are of one machine. Example: --host db1
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// From when on: a word (now, recent, boot, today, yesterday, this-week, week-ago, this-month,
    /// this-year), a date, a time of day, or both; -ts is the same. Example: --start 2026-11-21 18:00
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,

    /// Until when; -te is the same. A date alone means its end. Example: --end yesterday
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,

    /// Not only lives, but what happened in them. Example: report dm --all-events
    #[arg(short, long)]
    pub all_events: bool,

    /// Name the events that each row was made from, for `ausearch -a`. Example: report virt --proof
    #[arg(long)]
    pub proof: bool,

    /// The output format: text, or one JSON object per line. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,

    /// Also write a page for a browser: timeline, maps of damage, tree, guests. Example: --html report.html
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Tables for a terminal.
    Text,
    /// One object a line.
    Json,
}

/// `dmns-audit report virt`.
#[derive(Args, Debug)]
pub struct Virt {
    /// What all reports can be asked for.
    #[command(flatten)]
    pub common: Common,

    /// Only the guest of this name. Example: --vm web1
    #[arg(short, long, value_name = "NAME")]
    pub vm: Option<String>,

    /// Only the guest of this UUID. Example: --uuid cabf9532-99f1-3756-930f-59e8f19d4144
    #[arg(short, long, value_name = "UUID", value_parser = uuid)]
    pub uuid: Option<String>,

    /// Show the guests' UUIDs. Example: report virt --show-uuid --vm web1
    #[arg(long)]
    pub show_uuid: bool,

    /// Ask this machine what is below the guests' disks (mappings, filesystems, loop devices), where the log
    /// does not say. Only for this machine's own log, while the layers are unchanged. Example: --layers
    #[arg(long)]
    pub layers: bool,

    /// Only numbers: starts, stops, resources, AVCs, anomalies, failures. Example: --summary --start today
    #[arg(short, long)]
    pub summary: bool,
}

/// `dmns-audit report ns`.
#[derive(Args, Debug)]
pub struct Ns {
    /// What all reports can be asked for.
    #[command(flatten)]
    pub common: Common,

    /// The events inside a container and those nested in it: its name, what its runtime's id begins with, an ns_id, or
    /// kind and number of one of its namespaces. Example: --container web, --container 17, --container netns=3
    #[arg(long, value_name = "CONTAINER", value_parser = Which::parse)]
    pub container: Option<Which>,

    /// Single namespaces, as a tree by kind and by what each was cloned from. Example: report ns --tree
    #[arg(long, conflicts_with = "container")]
    pub tree: bool,

    /// Only what lives. Example: report ns --alive
    #[arg(long)]
    pub alive: bool,

    /// Only what this user made: a name, or a user id. Example: --by root
    #[arg(long, value_name = "USER")]
    pub by: Option<String>,

    /// Only what this program made. Example: --program crun
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,

    /// Only numbers: containers, by program; namespaces, by kind. Example: --summary --start today
    #[arg(short, long, conflicts_with_all = ["container", "tree"])]
    pub summary: bool,
}

/// `dmns-audit watch`.
#[derive(Args, Debug)]
pub struct Watch {
    /// Read records from standard input, not from the kernel. Example: watch --stdin <audit.log
    #[arg(long)]
    pub stdin: bool,

    /// Read records from the journal as they come, not from the kernel. Example: watch --journal
    #[arg(long, conflicts_with_all = ["stdin", "plugin"])]
    pub journal: bool,

    /// As a plugin of auditd: --stdin --format json --output FILE. Example: --plugin=/var/log/dmns-audit.json
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub plugin: Option<PathBuf>,

    /// Append to a file, not to standard output. Example: --output events.txt
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The output format: a sentence, or one JSON object per line, as docs/reference/watch.md or the Elastic Common Schema has it.
    /// Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: WatchFormat,

    /// Keep figures for Prometheus in this file, which node_exporter's textfile collector reads.
    /// Example: --metrics /var/lib/prometheus/node-exporter/dmns.prom
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,

    /// Print the records below each sentence, in the log's own format. Example: watch --records
    #[arg(long)]
    pub records: bool,

    /// End each line with the event's identifier. Example: watch --proof
    #[arg(long)]
    pub proof: bool,

    /// End after so many events. Example: --count 1
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<u64>,
}

/// The output format of `watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WatchFormat {
    /// A sentence.
    Text,
    /// One object a line.
    Json,
    /// One object a line, in the fields of the Elastic Common Schema.
    Ecs,
}

/// Whether `text` is written as RFC 4122 has it.
fn uuid(text: &str) -> Result<String, String> {
    // The crate takes other ways to write one too, which are longer or shorter.
    match text.len() == Hyphenated::LENGTH && Uuid::try_parse(text).is_ok() {
        true => Ok(text.to_owned()),
        false => Err("8-4-4-4-12 hexadecimal digits expected".to_owned()),
    }
}

/// The command line as clap understands it: `-ts` and `-te`, and a time that is two words.
///
/// auvirt's `-ts 01/25/2012 12:00:00` has neither two dashes nor one value.
pub fn modern(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.peekable();
    let mut modern = Vec::new();
    while let Some(argument) = arguments.next() {
        let argument = match argument.to_str() {
            Some("-ts") => "--start".into(),
            Some("-te") => "--end".into(),
            _ => argument,
        };
        let whole = argument
            .to_str()
            .is_some_and(|text| text.starts_with("--start=") || text.starts_with("--end="));
        let mut time = if argument == "--start" || argument == "--end" {
            modern.push(argument);
            match arguments.next() {
                Some(time) => time,
                None => break,
            }
        } else if whole {
            argument
        } else {
            modern.push(argument);
            continue;
        };
        let is_hour = |next: &OsString| {
            next.to_str().is_some_and(|text| {
                text.contains(':') && text.bytes().all(|b| b.is_ascii_digit() || b == b':')
            })
        };
        if let Some(hour) = arguments.next_if(is_hour) {
            time.push(" ");
            time.push(hour);
        }
        modern.push(time);
    }
    modern
}

/// Returns the subcommand that `error` does not know, if `dmns-audit-record` has it.
pub fn moved(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(name) => {
            Some(name.as_str()).filter(|name| dmns_audit_recorder::args::Cli::has(name))
        }
        _ => None,
    }
}

/// `dmns-audit spec`.
#[derive(Args, Debug)]
pub struct Spec {
    /// How to print it. Example: --format markdown
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: SpecFormat,
}

/// How `spec` prints the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpecFormat {
    /// Tables for a terminal.
    Text,
    /// A page of documentation.
    Markdown,
    /// One object.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_taken_as_auvirt_takes_them() {
        let line = "report virt -ts 01/25/2012 12:00:00 --end 01/26/2012 audit.log -te now --start=today 1:00";
        let modern = modern(line.split(' ').map(OsString::from));
        let expected = [
            "report",
            "virt",
            "--start",
            "01/25/2012 12:00:00",
            "--end",
            "01/26/2012",
            "audit.log",
            "--end",
            "now",
            "--start=today 1:00",
        ];
        assert_eq!(modern, expected);
        assert!(uuid("cabf9532-99f1-3756-930f-59e8f19d4144").is_ok());
        assert!(uuid("cabf9532").is_err());
    }

    #[test]
    fn a_subcommand_of_the_other_program_is_named() {
        let moved = |name| {
            let error = Cli::try_parse_from(["dmns-audit", name, "--strict"]).expect_err("unknown");
            super::moved(&error).map(ToOwned::to_owned)
        };
        assert_eq!(moved("run-guest").as_deref(), Some("run-guest"));
        assert_eq!(moved("oci-hook").as_deref(), Some("oci-hook"));
        assert_eq!(moved("nonsense"), None);
    }

    /// Every option teaches with an example.
    #[test]
    fn every_option_has_an_example() {
        fn walk(command: &clap::Command) {
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
    }
}
