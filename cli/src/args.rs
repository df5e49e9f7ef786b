// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line.

use crate::check::finding::Rule;
use crate::events::filter::Serial;
use crate::record::selector::DeviceSelector;
use crate::report::ns::container::ContainerSelector;
use crate::scrub::pace;
use crate::terminal::Colour;
use crate::watch::filter::Kind;
use crate::when;
use clap::builder::{PossibleValuesParser, StyledStr, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use dmns_audit_recorder::oci::memory::STATE;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Reads the audit records of device mapper, of namespaces and of guests.
#[derive(Debug, Parser)]
#[command(
    name = "dmns-audit",
    version,
    max_term_width = 100,
    after_help = "Logs may be raw or enriched, compressed (gz, xz, zst, bz2, lz4), rotated, the output of \
                  `ausearch --raw`, `journalctl -o export` or `-o json`, or the kernel's own log (dmesg). Without FILE, the system's audit \
                  log is read; `-` is standard input.\n\n\
                  Exit status: 0 all is well; 1 `check` found something, or a filter matches nothing; 2 something could not be read, \
                  or the command line is wrong."
)]
pub struct Cli {
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,

    /// Colour the output: auto, always or never. Example: --color never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        display_order = 100
    )]
    pub color: Colour,
}

/// Subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every record of device mapper and namespaces against the contract
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
    /// Print every event that matches, in all containers and guests: when, who, where, what
    #[command(after_help = "Examples:\n  \
                            dmns-audit events --path /etc/passwd --start yesterday   who touched a file, in which container\n  \
                            dmns-audit events --container web --program sh           what a program did in a container\n  \
                            dmns-audit events --user jo --only error --start -1h     what failed\n  \
                            dmns-audit events --device /dev/mapper/data              a mapping and its violations\n  \
                            dmns-audit events --vm web1 --csv >web1.csv              a guest, for a spreadsheet\n\n\
                            All filters have to match. An event has its container where the log has NS_INFO (the module's \
                            info=2).\n\n\
                            Exit status: 0; 1 no event matches; 2 a log could not be read to its end.")]
    Events(Events),
    /// Write the records defined here as typed rows, one object per line, for a database of many hosts
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
                            dmns-audit watch --only violation,error\n  \
                            dmns-audit watch --container web\n  \
                            tail -F /var/log/audit/audit.log | dmns-audit watch --stdin\n\n\
                            Records come from the kernel's audit multicast group, which needs CAP_AUDIT_READ \
                            and works next to auditd. As a plugin of auditd: see dmns-audit.conf.")]
    Watch(Watch),
    /// Find the file at a sector of a device, or what else is there
    #[command(after_help = "Examples:\n  \
                            dmns-audit locate data 77480                  a sector of a mapping, by its name\n  \
                            dmns-audit locate 253:0 77480-77487 90000     as a record and a report have it\n  \
                            dmns-audit locate --target crypt 253:0 800    dev= and sector= of a record of dm-crypt\n  \
                            dmns-audit locate /dev/sda 1000 --json | jq -r '.places[].paths[]?'\n\n\
                            The sector, of 512 bytes, is followed up through mappings, partitions, arrays and loop \
                            devices to the filesystem. Nothing is written. Needs root, and the filesystem's own tools: \
                            e2fsprogs for ext4, xfsprogs for XFS that is not mounted.\n\n\
                            Exit status: 0; 1 of some sector it is not known what it is; 2 there is no such device.")]
    Locate(Locate),
    /// Read devices once, in the background, and report what cannot be read, by file
    #[command(after_help = "Examples:\n  \
                            dmns-audit scrub data                   all of a mapping\n  \
                            dmns-audit scrub --rate 20M data /dev/vg/home\n  \
                            dmns-audit scrub --time-limit 3600 data   an hour; the next scrub continues there\n\n\
                            The log knows only the damage that somebody has met. A scrub reads the rest, in the I/O class \
                            idle, and never writes to a device. It refuses a degraded array.\n\n\
                            Exit status: 0 all could be read; 1 something cannot be read; 2 a device cannot be scrubbed; \
                            3 it ended before the end of a device.")]
    Scrub(Scrub),
    /// Exclude a container's events in the kernel, or record only that container
    #[command(after_help = "Examples:\n  \
                            dmns-audit select exclude web\n  \
                            dmns-audit select only pid:4711\n  \
                            dmns-audit select list\n  \
                            dmns-audit select clear web\n\n\
                            CONTAINER is a name or id from the OCI hook or a control group, the ns_id of a \
                            namespace, or pid:N for a process in it. Excluded records are not written, and cannot be \
                            recovered. Never excluded: device mapper, creations and deletions of namespaces, changes of \
                            audit's configuration, and a task that has left the container. A filter ends with the \
                            container. Needs CAP_AUDIT_CONTROL in the initial namespaces, writes CONFIG_CHANGE, \
                            and is frozen by auditctl -e 2.")]
    Select(Select),
    /// Print the contract: every record, its fields, and how they are written
    #[command(after_help = "Examples:\n  \
                            dmns-audit spec\n  \
                            dmns-audit spec NS_INIT_NET VIRT_CONTROL\n  \
                            dmns-audit spec --format markdown >contract.md\n  \
                            dmns-audit spec --format json | jq '.records[].name'")]
    Spec(Spec),
}

/// `dmns-audit select`.
#[derive(Args, Debug)]
pub struct Select {
    /// Subcommand.
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

    /// The folder in which the OCI hook keeps the names of containers. Example: --state /run/dmns-audit/oci
    #[arg(long, global = true, value_name = "FOLDER", default_value = STATE)]
    pub state: PathBuf,
}

/// Subcommands of `select`.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Exclude the events of tasks in this container
    Exclude {
        /// A container's name or id, an ns_id, or pid:N. Example: exclude web
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// Exclude the events of tasks outside this container; several containers may be given, one per command
    Only {
        /// A container's name or id, an ns_id, or pid:N. Example: only web
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// Print the filters
    List,
    /// Remove the filter of one container, or all filters
    Clear {
        /// A container's name or id, an ns_id, or pid:N; none: all. Example: clear web
        #[arg(value_name = "CONTAINER")]
        container: Option<String>,
    },
}

/// `dmns-audit locate`.
#[derive(Args, Debug)]
pub struct Locate {
    /// The device: the name of a mapping, MAJOR:MINOR, or a path. Example: locate 253:0 77480
    #[arg(value_name = "DEVICE")]
    pub device: String,

    /// Sectors of 512 bytes, and ranges of them; `-` reads them from standard input. Example: locate data 800 1000-1007
    #[arg(value_name = "SECTOR", required = true)]
    pub sectors: Vec<String>,

    /// DEVICE and SECTOR are those of a record of this target: crypt and inline integrity name the device below, verity
    /// counts blocks. Example: --target verity
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,

    /// Look into images of disks, as guests have them: raw files, and volumes with partitions. Attaches a read-only loop
    /// device meanwhile. Example: locate --inside data 77480
    #[arg(long)]
    pub inside: bool,

    /// End the search in a filesystem after so many seconds, and report how far it got; 0 is never. Example: --time-limit 60
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub time_limit: u64,

    /// The output format: text, or one JSON object per sector; --json is the same. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `dmns-audit scrub`.
#[derive(Args, Debug)]
pub struct Scrub {
    /// Devices: names of mappings, MAJOR:MINOR, or paths. Example: scrub data /dev/vg/home
    #[arg(value_name = "DEVICE", required = true)]
    pub devices: Vec<String>,

    /// Read so many bytes in a second at most. Example: --rate 20M
    #[arg(long, value_name = "RATE", value_parser = pace::parse)]
    pub rate: Option<u64>,

    /// End each device after so many seconds; the next scrub continues there; 0 is never. Example: --time-limit 3600
    #[arg(long, value_name = "SECONDS")]
    pub time_limit: Option<u64>,

    /// Begin at the first sector, wherever the last scrub ended. Example: scrub --restart data
    #[arg(long)]
    pub restart: bool,

    /// The folder for the points where scrubs continue. Example: --state /run/scrub
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/var/lib/dmns-audit/scrub"
    )]
    pub state: PathBuf,

    /// The output format: text, or one JSON object per line; --json is the same. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
}

/// `dmns-audit check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Logs; `-` is standard input. None: the system's. Example: audit.log.1 audit.log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Read the journal (`journalctl`), for a system without auditd. Example: check --journal
    #[arg(long, conflicts_with = "files")]
    pub journal: bool,

    /// The host of records without node=, if the logs of several files are of one machine. Example: --host db1
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Print each finding, not each cause once with its count. Example: check --all
    #[arg(short, long)]
    pub all: bool,

    /// Print what a rule requires, and how severe a finding of it is; without RULE, list the rules.
    /// Example: --explain net-without-open
    #[arg(long, value_name = "RULE", num_args = 0..=1, value_parser = rules(), hide_possible_values = true)]
    pub explain: Option<Option<Rule>>,

    /// The format of the findings. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,

    /// Exit with 1 for notes too. Example: check --strict audit.log
    #[arg(long)]
    pub strict: bool,

    /// Suppress the findings of this rule, for a known issue; an error if there are none. May be repeated. Example: check --strict --expect net-without-open audit.log
    #[arg(long, value_name = "RULE", value_parser = rules(), hide_possible_values = true)]
    pub expect: Vec<Rule>,

    /// Records may be missing (`auditctl -s` counts them as lost): a missing companion record is a note, not an
    /// error. Example: check --lossy audit.log
    #[arg(long)]
    pub lossy: bool,
}

/// Returns a parser of names of rules, which completions know.
fn rules() -> impl TypedValueParser<Value = Rule> {
    let names = Rule::ALL.iter().map(|rule| rule.name());
    PossibleValuesParser::new(names).try_map(|name| Rule::from_name(&name).ok_or("no such rule"))
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

    /// Read the journal (`journalctl`), for a system without auditd. Example: export --journal
    #[arg(long, conflicts_with = "files")]
    pub journal: bool,

    /// The host of records without node=; default: this machine's name. Example: --host db1
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// `dmns-audit report`.
#[derive(Debug, Subcommand)]
pub enum Report {
    /// Mappings of device mapper: who created them, and the violations found in them
    #[command(after_help = "Examples:\n  \
                            dmns-audit report dm\n  \
                            dmns-audit report dm --all-events --start last-night --device data\n  \
                            dmns-audit report dm --device /dev/mapper/data\n  \
                            dmns-audit report dm --format json audit.log | jq 'select(.violations > 0)'")]
    Dm(Dm),
    /// Containers and namespaces: who created them, from when to when, and the events inside one
    #[command(after_help = "Examples:\n  \
                            dmns-audit report ns\n  \
                            dmns-audit report ns --active --by root --program crun\n  \
                            dmns-audit report ns --tree\n  \
                            dmns-audit report ns --container web\n  \
                            dmns-audit report ns --container 17\n  \
                            dmns-audit report ns --container net:[4026532160] --proof audit.log")]
    Ns(Ns),
    /// Guests: sessions, their resources, access denied to them; the successor of auvirt
    #[command(after_help = "Examples:\n  \
                            dmns-audit report virt --start this-month --vm web1 --all-events\n  \
                            dmns-audit report virt --summary -ts 01/25/2026 12:00:00 -te 01/25/2026\n  \
                            dmns-audit report virt --proof audit.log.1 audit.log\n\n\
                            A line is a session: name, user, from - to (duration). A session without an end is \
                            active. docs/reference/report.md lists what differs from auvirt.")]
    Virt(Virt),
}

/// The logs that are read, and the period.
#[derive(Args, Debug)]
pub struct Input {
    /// Logs; `-` is standard input. None: the system's. Example: audit.log.1 audit.log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// A log, in auvirt's syntax. Example: --file /var/log/audit/audit.log
    #[arg(short, long, value_name = "FILE", conflicts_with = "stdin")]
    pub file: Vec<PathBuf>,

    /// Read standard input. Example: ausearch --raw -m VIRT_CONTROL | dmns-audit report virt --stdin
    #[arg(long)]
    pub stdin: bool,

    /// Read the journal (`journalctl`), for a system without auditd. Example: report dm --journal
    #[arg(long, conflicts_with_all = ["files", "file", "stdin"])]
    pub journal: bool,

    /// The host of records without node=, if the logs of several files are of one machine. Example: --host db1
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Start of the period: a word (now, recent, boot, today, yesterday, last-night, last-week, this-month),
    /// a distance (-1h, "2 days ago"), a date, a time of day, or both; -ts and --since are the same.
    /// Example: --start 2026-11-21 18:00
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub start: Option<String>,

    /// End of the period; -te and --until are the same. A date alone means its end. Example: --end yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub end: Option<String>,
}

impl Input {
    /// Returns the logs that are named; none: the system's.
    pub fn files(&self) -> Vec<PathBuf> {
        let named = self.files.iter().chain(&self.file).cloned();
        named.chain(self.stdin.then(|| "-".into())).collect()
    }
}

/// Options of all reports.
#[derive(Args, Debug)]
pub struct Common {
    /// The logs.
    #[command(flatten)]
    pub input: Input,

    /// List events too. Example: report dm --all-events
    #[arg(short, long)]
    pub all_events: bool,

    /// Print the identifiers of the events behind each row, for `ausearch -a`. Example: report virt --proof
    #[arg(long)]
    pub proof: bool,

    /// The output format: text, or one JSON object per line; --json is the same. Example: --format json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,

    /// Also write an HTML report: timeline, maps of corrupt sectors, tree, guests. Example: --html report.html
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

/// `dmns-audit report dm`.
#[derive(Args, Debug)]
pub struct Dm {
    /// Options of all reports.
    #[command(flatten)]
    pub common: Common,

    /// Only this mapping: its name, its number, or its path. Example: --device /dev/mapper/data
    #[arg(long, value_name = "DEVICE", visible_alias = "mapping", value_parser = DeviceSelector::parse)]
    pub device: Option<DeviceSelector>,

    /// The log of `watch --plugin`, for names of mappings that have ended. None: the system's, with the system's log.
    /// Example: --names /var/log/audit/dmns-audit.json
    #[arg(long, value_name = "FILE")]
    pub names: Option<PathBuf>,

    /// Look up the file of each corrupt sector of mappings that are active on this machine. Only for this machine's own
    /// log. Needs root. Example: report dm --files
    #[arg(long = "files", id = "show_files")]
    pub show_files: bool,

    /// Only active mappings. Example: report dm --active
    #[arg(long, visible_alias = "running")]
    pub active: bool,
}

/// `dmns-audit report virt`.
#[derive(Args, Debug)]
pub struct Virt {
    /// Options of all reports.
    #[command(flatten)]
    pub common: Common,

    /// Only the guest of this name. Example: --vm web1
    #[arg(short, long, value_name = "NAME", visible_alias = "guest")]
    pub vm: Option<String>,

    /// Only the guest of this UUID. Example: --uuid cabf9532-99f1-3756-930f-59e8f19d4144
    #[arg(short, long, value_name = "UUID", value_parser = uuid)]
    pub uuid: Option<String>,

    /// Only active guests; with --all-events, also what they still have. Example: report virt --active
    #[arg(long, visible_alias = "running", conflicts_with = "summary")]
    pub active: bool,

    /// Show the guests' UUIDs. Example: report virt --show-uuid --vm web1
    #[arg(long)]
    pub show_uuid: bool,

    /// Look up the layers below guests' disks on this machine (mappings, filesystems, loop devices), where the log
    /// has none. Only for this machine's own log, while the layers are unchanged. Example: --layers
    #[arg(long)]
    pub layers: bool,

    /// Only numbers: starts, stops, resources, AVCs, anomalies, failures. Example: --summary --start today
    #[arg(short, long)]
    pub summary: bool,
}

/// `dmns-audit report ns`.
#[derive(Args, Debug)]
pub struct Ns {
    /// Options of all reports.
    #[command(flatten)]
    pub common: Common,

    /// The events inside a container and those nested in it: its name, the beginning of its runtime's id, an ns_id, or
    /// kind and number of one of its namespaces. Example: --container web, --container 17, --container netns=3
    #[arg(long, value_name = "CONTAINER", visible_alias = "namespace", value_parser = ContainerSelector::parse)]
    pub container: Option<ContainerSelector>,

    /// Single namespaces, as a tree by kind and parent. Example: report ns --tree
    #[arg(long, conflicts_with = "container")]
    pub tree: bool,

    /// Only active ones. Example: report ns --active
    #[arg(long, visible_alias = "running")]
    pub active: bool,

    /// Only those that this user created: a name, or a user id. Example: --by root
    #[arg(long, value_name = "USER", visible_alias = "user")]
    pub by: Option<String>,

    /// Only those that this program created. Example: --program crun
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,

    /// Only numbers: containers, by program; namespaces, by kind. Example: --summary --start today
    #[arg(short, long, conflicts_with_all = ["container", "tree"])]
    pub summary: bool,
}

/// `dmns-audit events`.
#[derive(Args, Debug)]
pub struct Events {
    /// The logs.
    #[command(flatten)]
    pub input: Input,

    /// Only events with this path: whole, a folder and all below it, a name, or a pattern with `*`. Example: --path /etc/passwd
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,

    /// Only events that an audit rule with this key recorded. Example: --key identity
    #[arg(short, long, value_name = "KEY")]
    pub key: Option<String>,

    /// Only events of this user: a name, or a user id. Example: --user jo
    #[arg(long, value_name = "USER", visible_alias = "by", aliases = ["uid", "auid"])]
    pub user: Option<String>,

    /// Only the event with this serial number, or identifier. Example: --serial 1795300000.000:50
    #[arg(long, value_name = "NUMBER", value_parser = Serial::parse)]
    pub serial: Option<Serial>,

    /// Only events in this container, or about it: its name, the beginning of its runtime's id, an ns_id, or one of its
    /// namespaces. Example: events --container web
    #[arg(long, value_name = "CONTAINER", visible_alias = "namespace", value_parser = ContainerSelector::parse)]
    pub container: Option<ContainerSelector>,

    /// Only events of this guest: its name, or its UUID. Example: events --vm web1
    #[arg(short, long, value_name = "NAME", visible_alias = "guest")]
    pub vm: Option<String>,

    /// Only events of this program: its name, or its path. Example: --program cat
    #[arg(long, value_name = "NAME", aliases = ["comm", "exe"])]
    pub program: Option<String>,

    /// Only events of this mapping: its name, its number, or its path. Example: events --device 253:0
    #[arg(long, value_name = "DEVICE", visible_alias = "mapping", value_parser = DeviceSelector::parse)]
    pub device: Option<DeviceSelector>,

    /// Only events of this kind: dm, ns, virt, violation or error. May be repeated. Example: --only error
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub only: Vec<Kind>,

    /// End each line with the event's identifier, for `ausearch -a`. Example: events --proof
    #[arg(long)]
    pub proof: bool,

    /// The output format: a sentence, one JSON object per line, or comma-separated values; --json and --csv are the same.
    /// Example: --format csv
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: EventFormat,
}

/// The output format of `events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// A sentence.
    Text,
    /// One object a line.
    Json,
    /// Comma-separated values, with the names of columns.
    Csv,
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

    /// Run as a plugin of auditd: --stdin --format json --output FILE. Example: --plugin=/var/log/dmns-audit.json
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

    /// Look up the file of each corrupt sector, and print it when it is found. Events do not wait for it. Example: watch --files
    #[arg(long, conflicts_with = "stdin")]
    pub files: bool,

    /// Print the records below each sentence, in the log's own format. Example: watch --records
    #[arg(long)]
    pub records: bool,

    /// End each line with the event's identifier. Example: watch --proof
    #[arg(long)]
    pub proof: bool,

    /// Only events of this kind: dm, ns, virt, violation or error. May be repeated. Example: --only violation
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub only: Vec<Kind>,

    /// Only events in this container, or about it: its name, an ns_id, or one of its namespaces.
    /// Example: watch --container web
    #[arg(long, value_name = "CONTAINER", value_parser = ContainerSelector::parse)]
    pub container: Option<ContainerSelector>,

    /// Only events of this mapping: its name, its number, or its path. Example: watch --device data
    #[arg(long, value_name = "DEVICE", value_parser = DeviceSelector::parse)]
    pub device: Option<DeviceSelector>,

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

/// Parses `text` as a UUID in the form of RFC 4122.
fn uuid(text: &str) -> Result<String, String> {
    // The crate takes other ways to write one too, which are longer or shorter.
    match text.len() == Hyphenated::LENGTH && Uuid::try_parse(text).is_ok() {
        true => Ok(text.to_owned()),
        false => Err("8-4-4-4-12 hexadecimal digits expected".to_owned()),
    }
}

/// Rewrites what people type into options that clap accepts: auvirt's `-ts` and `-te`, other names of options, and
/// times of several words.
///
/// auvirt's `-ts 01/25/2012 12:00:00` has neither two dashes nor one value.
pub fn modern(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.peekable();
    let mut modern = Vec::new();
    while let Some(argument) = arguments.next() {
        let argument = match argument
            .to_str()
            .map(|text| text.split_once('=').unwrap_or((text, "")))
        {
            Some(("-ts", "")) => "--start".into(),
            Some(("-te", "")) => "--end".into(),
            Some((name @ ("--since" | "--from" | "--until" | "--to"), value)) => {
                let end = matches!(name, "--until" | "--to");
                let name = if end { "--end" } else { "--start" };
                match value {
                    "" => name.into(),
                    value => format!("{name}={value}").into(),
                }
            }
            Some((format @ ("--json" | "--csv" | "--sarif" | "--ecs" | "--markdown"), "")) => {
                format!("--format={}", format.trim_start_matches('-')).into()
            }
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
        // `last night`, `last 24 hours`, `2 days ago`.
        let begin = time
            .to_str()
            .map(|time| time.rsplit('=').next().unwrap_or(time).to_owned());
        let more = match begin.as_deref() {
            Some("last" | "past" | "a" | "an") => 2,
            Some(number) if is_number(number) => 2,
            _ => 0,
        };
        for at in 0..more {
            let counts = at == 0 && matches!(begin.as_deref(), Some("last" | "past"));
            let is_word = |next: &OsString| {
                next.to_str()
                    .is_some_and(|next| when::is_word(next) || counts && is_number(next))
            };
            let Some(word) = arguments.next_if(is_word) else {
                break;
            };
            time.push(" ");
            time.push(word);
        }
        let is_ago = |next: &OsString| next == "ago";
        let is_hour = |next: &OsString| {
            next.to_str().is_some_and(|text| {
                let half = text.strip_suffix("am").or_else(|| text.strip_suffix("pm"));
                let hour = half.unwrap_or(text);
                (half.is_some() || text.contains(':'))
                    && hour.starts_with(|c: char| c.is_ascii_digit())
                    && hour
                        .bytes()
                        .all(|b| b.is_ascii_digit() || b":.".contains(&b))
            })
        };
        let more = [arguments.next_if(is_ago), arguments.next_if(is_hour)];
        for next in more.into_iter().flatten() {
            time.push(" ");
            time.push(next);
        }
        modern.push(time);
    }
    modern
}

/// Removes the tip to type `--` before an option that there is not: no log has such a name.
pub fn without_tip(error: &mut clap::Error) {
    let Some(ContextValue::StyledStrs(tips)) = error.remove(ContextKind::Suggested) else {
        return;
    };
    let is_good = |tip: &StyledStr| !tip.to_string().contains(" as a value, use ");
    let tips: Vec<StyledStr> = tips.into_iter().filter(is_good).collect();
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

/// Returns what to type instead of an option that `error` does not know, if that is known.
pub fn instead(error: &clap::Error) -> Option<&'static str> {
    let argument = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if argument(ContextKind::InvalidValue) == Some("csv") {
        return Some(
            "`dmns-audit events --csv` has comma-separated values; a report has --json, for jq's @csv",
        );
    }
    if let Some(name) = argument(ContextKind::InvalidSubcommand) {
        return instead_of_command(name);
    }
    // It may also be one that does not go with another.
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let name = argument(ContextKind::InvalidArg)?.split('=').next()?;
    let of_watch = || {
        let usage = error.get(ContextKind::Usage)?;
        usage.to_string().contains("dmns-audit watch").then_some(
            "`dmns-audit watch --stdin <FILE` reads a log; --container, --device and --only select events",
        )
    };
    match name.starts_with('-') {
        true => instead_of_option(name),
        false => of_watch(),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The filters of `events` that a word in the place of a log may have been meant for.
pub const EVENT_FILTERS: [&str; 7] = [
    "--container",
    "--vm",
    "--user",
    "--program",
    "--device",
    "--path",
    "--serial",
];

/// Returns the options of `known` that `word` may have been meant for, which stands in the place of a log.
pub fn meant_for(word: &str, is_device: bool, known: &[&'static str]) -> Vec<&'static str> {
    let number = word
        .split_once(':')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    let name = Path::new(word).file_name().unwrap_or_default();
    let of_log = name.to_string_lossy().to_lowercase();
    let of_log = ["log", "audit", "journal", ".gz", ".json", ".txt", ".raw"]
        .iter()
        .any(|part| of_log.contains(part));
    let meant: &[&str] = match word {
        _ if is_device || number || word.starts_with("/dev/") => &["--device"],
        _ if of_log => &[],
        _ if word.contains('/') => &["--path"],
        _ if is_number(word) => &["--serial", "--container"],
        _ if word.contains(['[', '=']) => &["--container"],
        _ => &EVENT_FILTERS[..6],
    };
    known
        .iter()
        .copied()
        .filter(|option| meant.contains(option))
        .collect()
}

/// Returns what to type instead of the subcommand `name`, which there is not.
fn instead_of_command(name: &str) -> Option<&'static str> {
    Some(match name {
        "show" | "search" | "find" | "grep" | "query" | "list" | "ls" | "log" | "logs"
        | "event" | "events" | "get" | "who" => {
            "`dmns-audit events` prints the events that match its filters; without a filter, all"
        }
        "follow" | "tail" | "monitor" | "live" | "stream" | "top" | "listen" | "watch" => {
            "`dmns-audit watch` shows events as they happen"
        }
        "verify" | "validate" | "lint" | "judge" | "check" => {
            "`dmns-audit check` compares each record with the contract"
        }
        "explain" | "rule" | "rules" => {
            "`dmns-audit check --explain RULE` prints what a rule requires; `check --explain` lists the rules"
        }
        "containers" | "container" | "namespaces" | "namespace" | "ns" | "ps" | "lsns"
        | "docker" | "podman" => {
            "`dmns-audit report ns` has containers and their namespaces; --running only the active ones"
        }
        "guests" | "guest" | "vms" | "vm" | "virt" | "domains" | "auvirt" => {
            "`dmns-audit report virt` has the sessions of guests; --running only the active ones"
        }
        "mappings" | "mapping" | "dm" | "devices" | "device" | "sectors" | "sector"
        | "violations" | "corruption" => {
            "`dmns-audit report dm` has mappings and their violations; --all-events also the sectors"
        }
        "status" | "info" | "doctor" | "stats" | "counters" => {
            "`dmns-audit watch` reports at its start if audit is off or the module is not loaded; \
             /sys/kernel/security/dmns_audit/counters has the module's counters"
        }
        "metrics" | "prometheus" => "`dmns-audit watch --metrics FILE` writes metrics",
        "html" | "page" => {
            "`dmns-audit report dm --html FILE` has it, and so have the other reports"
        }
        "summary" => "`dmns-audit report ns --summary` and `report virt --summary` have numbers",
        "filter" | "exclude" | "only" | "ignore" => {
            "`dmns-audit select exclude CONTAINER` excludes a container's events, `select only` those of others"
        }
        "contract" | "fields" | "records" | "schema" | "types" => {
            "`dmns-audit spec` prints every record and its fields"
        }
        "version" => "`dmns-audit --version`",
        "json" | "csv" => "`dmns-audit events` and the reports have --json, and `events` has --csv",
        _ => return None,
    })
}

/// Returns what to type instead of the option `name`, which the command does not have.
fn instead_of_option(name: &str) -> Option<&'static str> {
    Some(match name {
        "--path" | "--key" | "-k" | "--serial" | "--user" | "--by" | "--uid" | "--auid"
        | "--program" | "--comm" | "--exe" => {
            "`dmns-audit events` selects events by --path, --key, --user, --serial, --container, --vm, --program and --device"
        }
        "--container" | "--namespace" => {
            "`dmns-audit report ns --container` and `dmns-audit events --container` have it"
        }
        "--device" | "--mapping" | "--dev" => {
            "`dmns-audit report dm --device` and `dmns-audit events --device` have it"
        }
        "--vm" | "--guest" | "--domain" => {
            "`dmns-audit report virt --vm` and `dmns-audit events --vm` have it"
        }
        "--active" | "--running" | "--alive" => {
            "`dmns-audit report ns`, `report dm` and `report virt` have --active"
        }
        "--only" | "--errors" | "--error" | "--violations" | "--failed" | "--success" => {
            "`dmns-audit watch --only` and `dmns-audit events --only` have it: dm, ns, virt, violation, error"
        }
        "--start" | "--end" => {
            "`dmns-audit report` and `dmns-audit events` have a period; `watch` shows what happens now"
        }
        "--today" | "--yesterday" | "--last-night" | "--last-week" | "--last" | "--date"
        | "--on" | "--hours" | "--days" => {
            "a period has a start and an end: `--start yesterday --end yesterday`, `--since -1h`"
        }
        "--html" => "`dmns-audit report dm --html FILE` has it, and so have the other reports",
        "--follow" | "-f" | "-F" | "--tail" | "--live" => {
            "`dmns-audit watch` shows events as they happen"
        }
        "--summary" => {
            "`dmns-audit report dm` has the number of violations of each mapping; `report ns` and `report virt` have --summary"
        }
        "--sector" | "--sectors" => {
            "`dmns-audit report dm --all-events` has the sectors, `dmns-audit locate DEVICE SECTOR` the file at one"
        }
        "-m" | "--message" | "--type" | "--pid" | "-p" | "--syscall" | "--session" | "--ses"
        | "--node" => {
            "`dmns-audit events --json` has it, for jq: select(.types | index(\"NS_DEL_NET\")), select(.by.pid == 129), \
             select(.syscall == \"unlinkat\"), select(.node == \"db1\")"
        }
        "--disk" => {
            "`dmns-audit report dm --device` has a mapping, `dmns-audit events --path` an image, `report virt` the disks of guests"
        }
        "-n" | "--limit" | "--head" | "--lines" => "`| head` and `| tail` limit the lines",
        "-r" | "--reverse" => "`| tac` reverses the lines",
        "--sort" | "--top" | "--count" => {
            "with --json, jq sorts and counts: `| jq -s 'sort_by(-.violations)[:3]'`"
        }
        "--format" => "the output has one format: objects, one a line",
        "--utc" => "the environment has the time zone: `TZ=UTC dmns-audit ...`",
        "--no-color" | "--no-colour" => "--color never",
        "-i" | "--interpret" => "all is interpreted",
        "-o" | "--output" => "`>FILE` writes to a file",
        _ => return None,
    })
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
    /// Records: names, beginnings of names, or numbers. None: all. Example: spec NS_INIT_NET
    #[arg(value_name = "RECORD")]
    pub records: Vec<String>,

    /// The output format. Example: --format markdown
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: SpecFormat,
}

/// The output format of `spec`.
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
        let line = "events --since -1h --until last night --from=2 days ago --json --to an hour ago --start 10 audit.log";
        let modern = super::modern(line.split(' ').map(OsString::from));
        let expected = [
            "events",
            "--start",
            "-1h",
            "--end",
            "last night",
            "--start=2 days ago",
            "--format=json",
            "--end",
            "an hour ago",
            "--start",
            "10",
            "audit.log",
        ];
        assert_eq!(modern, expected);
        let line = "events --since last 24 hours --until friday 6pm audit.log --sarif";
        let modern = super::modern(line.split(' ').map(OsString::from));
        let expected = [
            "events",
            "--start",
            "last 24 hours",
            "--end",
            "friday 6pm",
            "audit.log",
            "--format=sarif",
        ];
        assert_eq!(modern, expected);
        assert!(uuid("cabf9532-99f1-3756-930f-59e8f19d4144").is_ok());
        assert!(uuid("cabf9532").is_err());
    }

    #[test]
    fn a_word_in_the_place_of_a_log_may_be_meant_for_an_option() {
        for (word, meant) in [
            ("web.example.org", &EVENT_FILTERS[..6]),
            ("151", &["--container", "--serial"]),
            ("253:0", &["--device"]),
            ("/dev/mapper/data", &["--device"]),
            ("net:[4026532190]", &["--container"]),
            ("/srv/db/users", &["--path"]),
            ("audit.log.1", &[]),
            ("/var/log/audit/audit.log", &[]),
        ] {
            assert_eq!(meant_for(word, false, &EVENT_FILTERS), meant, "{word}");
        }
        assert_eq!(meant_for("web.example.org", false, &["--vm"]), ["--vm"]);
        assert_eq!(meant_for("/srv/disk", true, &EVENT_FILTERS), ["--device"]);
        assert!(meant_for("/srv/disk", true, &["--vm"]).is_empty());
    }

    /// What other tools call it.
    #[test]
    fn a_command_line_that_there_is_not_is_answered_with_one_that_there_is() {
        let answer = |line: &str| {
            let words = modern(line.split(' ').map(OsString::from));
            let error = Cli::try_parse_from(words).expect_err(line);
            instead(&error).unwrap_or_default().to_owned()
        };
        for (line, said) in [
            ("dmns-audit show 151", "dmns-audit events"),
            ("dmns-audit containers", "dmns-audit report ns"),
            ("dmns-audit report containers", "dmns-audit report ns"),
            ("dmns-audit report guests", "dmns-audit report virt"),
            ("dmns-audit mappings", "dmns-audit report dm"),
            ("dmns-audit tail", "dmns-audit watch"),
            ("dmns-audit status", "dmns-audit watch"),
            ("dmns-audit lint audit.log", "dmns-audit check"),
            ("dmns-audit explain gap", "check --explain RULE"),
            ("dmns-audit ignore web", "select exclude"),
            (
                "dmns-audit report dm --summary",
                "violations of each mapping",
            ),
            ("dmns-audit report dm --sector 77480", "--all-events"),
            ("dmns-audit report ns --yesterday", "--start yesterday"),
            ("dmns-audit report dm -f -k x", "dmns-audit events"),
            ("dmns-audit events -m NS_DEL_NET", "select(.types"),
            ("dmns-audit events --pid 129", "select(.by.pid"),
            ("dmns-audit events --follow", "dmns-audit watch"),
            ("dmns-audit events --failed", "events --only"),
            ("dmns-audit watch web", "--container"),
            ("dmns-audit watch --user jo", "dmns-audit events"),
            ("dmns-audit watch --since -1h", "a period"),
            ("dmns-audit locate data --sector 5", "locate DEVICE SECTOR"),
            ("dmns-audit export --json", "one format"),
            ("dmns-audit version", "--version"),
        ] {
            let found = answer(line);
            assert!(found.contains(said), "{line}: {found}");
        }
        assert_eq!(answer("dmns-audit nonsense"), "");
        let tips = |line: &str| {
            let mut error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            without_tip(&mut error);
            error.to_string()
        };
        assert!(!tips("dmns-audit report dm --wrong").contains("tip:"));
        assert!(tips("dmns-audit report dm --activ").contains("'--active'"));
        // What ausearch calls it.
        let line = "dmns-audit events -k identity --uid 0 --exe /usr/bin/cat";
        let cli = Cli::try_parse_from(line.split(' ')).expect("known");
        let Command::Events(events) = cli.command else {
            panic!("{cli:?}");
        };
        assert_eq!(events.key.as_deref(), Some("identity"));
        assert_eq!(events.user.as_deref(), Some("0"));
        assert_eq!(events.program.as_deref(), Some("/usr/bin/cat"));
    }

    #[test]
    fn each_rule_is_a_value() {
        let explain = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            match cli.command {
                Command::Check(check) => check.explain,
                command => panic!("{command:?}"),
            }
        };
        assert_eq!(explain("dmns-audit check"), None);
        assert_eq!(explain("dmns-audit check --explain"), Some(None));
        for rule in Rule::ALL {
            let line = format!("dmns-audit check --explain {}", rule.name());
            assert_eq!(explain(&line), Some(Some(rule)));
        }
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
}
