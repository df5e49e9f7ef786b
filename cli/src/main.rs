// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program `dmns-audit`.

use clap::Parser;
use dmns_audit::args::{
    self, Check, CheckFormat, Cli, Command, EventFormat, Events, Export, Input, Locate, Report,
    ReportFormat, Scrub, Select, SpecFormat, Watch, WatchFormat, What,
};
use dmns_audit::check::explain::{explain, list};
use dmns_audit::check::json::Json;
use dmns_audit::check::sarif::Sarif;
use dmns_audit::check::text::Text;
use dmns_audit::check::{Reporter, check};
use dmns_audit::events::filter::EventFilter;
use dmns_audit::events::{self, Format};
use dmns_audit::export;
use dmns_audit::html::{self, Page, Tee};
use dmns_audit::input::Log;
use dmns_audit::locate;
use dmns_audit::locate::effort::Effort;
use dmns_audit::locate::stack::Stack;
use dmns_audit::module;
use dmns_audit::record::users::Users;
use dmns_audit::report::dm::names::KnownNames;
use dmns_audit::report::{self, Collector, Options, Unread, dm, ns, virt};
use dmns_audit::scrub;
use dmns_audit::select;
use dmns_audit::spec;
use dmns_audit::terminal::Terminal;
use dmns_audit::watch;
use dmns_audit::watch::filter::Filter;
use dmns_audit::when::{self, Bound, Clock, Window};
use dmns_audit_uapi::filter::Mode;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(args::modern(std::env::args_os())) {
        Ok(cli) => cli,
        Err(mut error) => {
            args::without_tip(&mut error);
            // The exit status is clap's.
            let _ = error.print();
            if let Some(moved) = args::moved(&error) {
                eprintln!(
                    "\n  `{moved}` is a command of dmns-audit-record: dmns-audit-record {moved} --help"
                );
            }
            if let Some(instead) = args::instead(&error) {
                eprintln!("\n  {instead}");
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(&cli) {
        Ok(code) => code,
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dmns-audit: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> io::Result<ExitCode> {
    let terminal = Terminal::stdout(cli.color);
    let stdout = io::stdout().lock();
    let name = Path::new("standard output");
    // A terminal gets whole lines, so that a progress bar can make room for them.
    let mut out: Box<dyn Write> = match terminal.width {
        Some(_) => Box::new(Named(stdout, name)),
        None => Box::new(BufWriter::with_capacity(1 << 16, Named(stdout, name))),
    };
    if let Command::Watch(args) = &cli.command {
        let root = Path::new("/");
        let here = !(args.stdin || args.journal || args.plugin.is_some());
        for said in [
            (!args.stdin).then(|| module::difference(root)),
            here.then(|| module::nothing_comes(root)),
        ] {
            if let Some(said) = said.flatten() {
                eprintln!("dmns-audit: {said}");
            }
        }
    }
    let code = match &cli.command {
        Command::Check(args) => run_check(args, &terminal, &mut out)?,
        Command::Events(args) => run_events(args, terminal, &mut out)?,
        Command::Export(args) => run_export(args, &mut out)?,
        Command::Report(report) => run_report(report, terminal, &mut out)?,
        Command::Watch(args) => {
            let (watched, filtered) = run_watch(args, terminal, &mut out)?;
            let unread = watched.unread;
            if unread > 0 {
                let lines = if unread == 1 {
                    "line is no record"
                } else {
                    "lines are no records"
                };
                eprintln!("dmns-audit: {unread} {lines}; `dmns-audit check` has more");
            }
            match watched.printed {
                0 if args.stdin && filtered => {
                    eprintln!(
                        "dmns-audit: no event of this log passes; `dmns-audit events` with the same filters prints the names \
                         that the log has"
                    );
                    ExitCode::from(1)
                }
                _ => ExitCode::SUCCESS,
            }
        }
        Command::Locate(args) => run_locate(args, &terminal, &mut out)?,
        Command::Scrub(args) => run_scrub(args, &terminal, &mut out)?,
        Command::Select(args) => {
            run_select(args, &mut out)?;
            ExitCode::SUCCESS
        }
        Command::Spec(args) => {
            let only = &args.records;
            if let Some(unknown) = spec::unknown(only) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, unknown));
            }
            match args.format {
                SpecFormat::Text => spec::text(only, &terminal, &mut out)?,
                SpecFormat::Markdown => spec::markdown(only, &mut out)?,
                SpecFormat::Json => spec::json(only, &mut out)?,
            }
            ExitCode::SUCCESS
        }
    };
    out.flush()?;
    Ok(code)
}

/// A file, or standard output. Its errors name it.
struct Named<'a, W>(W, &'a Path);

impl<W: Write> Write for Named<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(at(self.1))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(at(self.1))
    }
}

/// Adds the file to an error.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn run_check(args: &Check, terminal: &Terminal, out: &mut dyn Write) -> io::Result<ExitCode> {
    if let Some(rule) = args.explain {
        match rule {
            Some(rule) => explain(rule, out)?,
            None => list(out)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut log = match args.journal {
        true => Log::journal()?,
        false => Log::of_host(&args.files, args.host.as_deref())?,
    };
    let mut text;
    let mut json;
    let mut sarif;
    let reporter: &mut dyn Reporter = match args.format {
        CheckFormat::Text => {
            text = Text::new(out, terminal.colour, terminal.width.unwrap_or(140));
            text.all = args.all;
            &mut text
        }
        CheckFormat::Json => {
            json = Json(out);
            &mut json
        }
        CheckFormat::Sarif => {
            sarif = Sarif::begin(out)?;
            &mut sarif
        }
    };
    let totals = check(&mut log, args.lossy, &args.expect, reporter)?;
    if let Some(taken) = log.taken_hosts() {
        eprintln!("dmns-audit: {taken}");
    }
    Ok(match totals {
        totals if totals.problems > 0 => ExitCode::from(2),
        totals if totals.unmet > 0 => ExitCode::from(1),
        totals if totals.errors > 0 || (args.strict && totals.notes > 0) => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}

fn run_export(args: &Export, out: &mut dyn Write) -> io::Result<ExitCode> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => std::fs::read_to_string("/proc/sys/kernel/hostname")?
            .trim_end()
            .to_owned(),
    };
    let ask = export::ExportOptions {
        host,
        users: Users::default(),
        live: args.files.iter().any(|file| file == Path::new("-")),
    };
    let mut log = match args.journal {
        true => Log::journal()?,
        false => Log::of_host(&args.files, args.host.as_deref())?,
    };
    let totals = export::export(&mut log, &ask, out, |problem| {
        eprintln!("dmns-audit: {problem}");
    })?;
    remarks(&log, &totals.unread);
    Ok(match totals.problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    })
}

fn run_events(args: &Events, terminal: Terminal, out: &mut dyn Write) -> io::Result<ExitCode> {
    exist(&args.input, &args::EVENT_FILTERS)?;
    let options = Options {
        proof: args.proof,
        ..options(&args.input, terminal)?
    };
    let mut filter = EventFilter {
        path: args.path.clone(),
        key: args.key.clone(),
        user: args.user.clone(),
        serial: args.serial.clone(),
        vm: args.vm.clone(),
        program: args.program.clone(),
        common: Filter::new(
            args.only.clone(),
            args.container.clone(),
            args.device.clone(),
        ),
    };
    let format = match args.format {
        EventFormat::Text => Format::Text,
        EventFormat::Json => Format::Json,
        EventFormat::Csv => Format::Csv,
    };
    let mut log = open(&args.input)?;
    let mut whole = true;
    let totals = events::events(&mut log, &options, &mut filter, format, out, |problem| {
        eprintln!("dmns-audit: {problem}");
        whole = false;
    })?;
    out.flush()?;
    remarks(&log, &totals.unread);
    remark_host(&log, args.input.host.as_deref());
    if let Some(none) = &totals.none {
        eprintln!("dmns-audit: {none}");
    }
    if let ([file], false, false) = (args.input.files().as_slice(), whole, log.has_records()) {
        let file = file.display();
        eprintln!("dmns-audit: `--path {file}` selects events with the path {file}");
    }
    Ok(match (whole, totals.none.is_some()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// Returns the names of mappings in `file`, or in the plugin's log of this machine.
fn names(file: Option<&Path>, options: &Options) -> io::Result<KnownNames> {
    let own = Path::new(PLUGIN);
    match file {
        Some(file) => KnownNames::read(file).map_err(at(file)),
        // It has names only for those who may read it.
        None if options.machine.is_some() => Ok(KnownNames::read(own).unwrap_or_default()),
        None => Ok(KnownNames::default()),
    }
}

/// The file that contrib/auditd/dmns-audit.conf names.
const PLUGIN: &str = "/var/log/audit/dmns-audit.json";

/// Checks that the words in the place of logs are files: a name may have been meant for one of `instead`.
fn exist(input: &Input, instead: &[&'static str]) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    for path in input.files.iter().chain(&input.file) {
        let text = path.to_string_lossy();
        let about = path.metadata();
        let is_device = about.is_ok_and(|about| about.file_type().is_block_device());
        if text == "-" || path.exists() && !is_device {
            continue;
        }
        let options = args::meant_for(&text, is_device, instead);
        if options.is_empty() {
            continue;
        }
        let options: Vec<String> = options
            .iter()
            .map(|option| format!("{option} {text}"))
            .collect();
        let what = match is_device {
            true => format!("{text} is a device, no log"),
            false => format!("there is no file {text} here"),
        };
        let message = format!("{what}; did you mean {}?", options.join(", or "));
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(())
}

fn run_report(report: &Report, terminal: Terminal, out: &mut dyn Write) -> io::Result<ExitCode> {
    let common = match report {
        Report::Virt(args) => &args.common,
        Report::Dm(args) => &args.common,
        Report::Ns(args) => &args.common,
    };
    match report {
        Report::Virt(_) => exist(&common.input, &["--vm"])?,
        Report::Dm(_) => exist(&common.input, &["--device"])?,
        Report::Ns(_) => exist(&common.input, &["--container"])?,
    }
    let options = Options {
        all_events: common.all_events,
        proof: common.proof,
        json: common.format == ReportFormat::Json,
        ..options(&common.input, terminal)?
    };
    let page_options = html::options(&options);
    let ask = match report {
        Report::Virt(args) => virt::VirtOptions {
            vm: args.vm.clone(),
            uuid: args.uuid.clone(),
            active: args.active,
            show_uuid: args.show_uuid,
            layers: args.layers,
            summary: args.summary,
        },
        Report::Dm(_) | Report::Ns(_) => virt::VirtOptions::default(),
    };
    let every = virt::VirtOptions::default();
    let every_namespace = ns::NsOptions::default();
    let mut read = Reading::new(open(&common.input)?);
    // Whether it can be written is known before a long log is read.
    let to_stdout = common.html.as_deref() == Some(Path::new("-"));
    let file: Option<Box<dyn Write>> = match &common.html {
        // In place of the report.
        Some(_) if to_stdout => Some(Box::new(io::sink())),
        Some(path) => Some(Box::new(File::create(path).map_err(at(path))?)),
        None => None,
    };
    let mut page = file.map(|file| (file, Page::new(&page_options, &every, &every_namespace)));
    let mut matched = true;
    match report {
        Report::Virt(_) => {
            let mut report = virt::Report::new(&options, &ask);
            read.all(&mut report, page.as_mut().map(|(_, page)| page))?;
            if !to_stdout && read.is_understood() {
                matched = report.end(out)?;
            }
        }
        Report::Dm(args) => {
            let ask = dm::DmOptions {
                device: args.device.clone(),
                active: args.active,
                files: args.show_files,
                names: names(args.names.as_deref(), &options)?,
            };
            page = page.map(|(file, page)| (file, page.with_files(&ask)));
            let mut report = dm::Report::new(&options).only(ask);
            read.all(&mut report, page.as_mut().map(|(_, page)| page))?;
            if !to_stdout && read.is_understood() {
                matched = report.end(out)?;
            }
        }
        Report::Ns(args) => {
            let ask = ns::NsOptions {
                container: args.container.clone(),
                tree: args.tree,
                active: args.active,
                by: args.by.clone(),
                program: args.program.clone(),
                summary: args.summary,
            };
            let mut report = ns::Report::new(&options, &ask);
            read.all(&mut report, page.as_mut().map(|(_, page)| page))?;
            if !to_stdout && read.is_understood() {
                matched = report.end(out)?;
            }
        }
    }
    read.print_remarks();
    remark_host(&read.log, common.input.host.as_deref());
    match page {
        Some((_, page)) if to_stdout => page.write(read.log.names(), out)?,
        Some((file, page)) => {
            let path = common.html.as_deref().unwrap_or(Path::new("-"));
            page.write(read.log.names(), &mut BufWriter::new(file))
                .map_err(at(path))?;
        }
        None => {}
    }
    Ok(match (read.whole, matched) {
        (false, _) => ExitCode::from(2),
        (true, false) => ExitCode::from(1),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Reads a log for a report, and for a page if there is one.
struct Reading {
    log: Log,
    /// Everything could be read.
    whole: bool,
    unread: Unread,
}

impl Reading {
    fn new(log: Log) -> Self {
        Self {
            log,
            whole: true,
            unread: Unread::default(),
        }
    }

    fn all(&mut self, report: &mut impl Collector, page: Option<&mut Page<'_>>) -> io::Result<()> {
        let problem = |problem| {
            eprintln!("dmns-audit: {problem}");
            self.whole = false;
        };
        self.unread = match page {
            Some(page) => report::collect(&mut self.log, &mut Tee(report, page), problem)?,
            None => report::collect(&mut self.log, report, problem)?,
        };
        Ok(())
    }

    /// Returns whether there is anything to report. If not, the error has been printed.
    fn is_understood(&self) -> bool {
        self.whole || self.log.has_records()
    }

    /// Prints the lines of the log that could not be read.
    fn print_remarks(&self) {
        remarks(&self.log, &self.unread);
    }
}

/// Prints remarks on `log` that limit the numbers of a report.
fn remarks(log: &Log, unread: &Unread) {
    if let Some(first) = log.losses().first() {
        let (name, line, what) = (log.name(first.file), first.line, log.losses().describe());
        eprintln!(
            "dmns-audit: {name}:{line}: the log itself says that records are missing ({what}): every count is a lower bound"
        );
    }
    if let Some(early) = log.early() {
        let (name, line) = (log.name(early.first.file), early.first.line);
        eprintln!("dmns-audit: {name}:{line}: {}", early.describe());
    }
    if let Some(repeated) = log.repeated() {
        let (name, line) = (log.name(repeated.first.file), repeated.first.line);
        eprintln!(
            "dmns-audit: {}, the first is {name}:{line}",
            repeated.describe()
        );
    }
    if let Some(taken) = log.taken_hosts() {
        eprintln!("dmns-audit: {taken}");
    }
    if let Some(first) = unread.first {
        let lines = match unread.lines {
            1 => "1 line is no record".to_owned(),
            lines => format!("{lines} lines are no records, the first"),
        };
        let (name, line) = (log.name(first.file), first.line);
        eprintln!("dmns-audit: {lines}: {name}:{line}; `dmns-audit check` has more");
    }
}

/// Prints what `--host` is for, where no record needs it.
fn remark_host(log: &Log, host: Option<&str>) {
    if let Some(host) = host.filter(|_| log.names_hosts()) {
        eprintln!(
            "dmns-audit: --host names the host of records that name none, and each record of this log names its own: with --json, \
             jq 'select(.node == \"{host}\")' selects a host"
        );
    }
}

/// Returns the options that all readers of logs have.
fn options(common: &Input, terminal: Terminal) -> io::Result<Options> {
    let clock = Clock::local();
    let now = clock.now();
    let time = |text: &Option<String>, option: &str, bound: Bound| match text {
        Some(text) => when::parse(text, bound, &now).map(Some).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{option}: {error}"))
        }),
        None => Ok(None),
    };
    let window = Window {
        start: time(&common.start, "--start", Bound::Start)?,
        end: time(&common.end, "--end", Bound::End)?,
    };
    if let (Some(start), Some(end)) = (&common.start, &common.end) {
        if window.start > window.end {
            let message = format!("--start {start} is later than --end {end}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    }
    Ok(Options {
        window,
        terminal,
        clock: clock.fitting(terminal.width),
        users: Users::default(),
        // A log that is named may be of another machine, or of another time.
        machine: (common.files.is_empty() && common.file.is_empty() && !common.stdin)
            .then(|| PathBuf::from("/")),
        ..Options::default()
    })
}

fn open(common: &Input) -> io::Result<Log> {
    if common.journal {
        return Log::journal();
    }
    Log::of_host(&common.files(), common.host.as_deref())
}

fn run_locate(args: &Locate, terminal: &Terminal, out: &mut dyn Write) -> io::Result<ExitCode> {
    let wrong = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    let stack = Stack::of_machine();
    let mut sectors = Vec::new();
    for text in &args.sectors {
        match text.as_str() {
            "-" => {
                for word in io::read_to_string(io::stdin())?.split_whitespace() {
                    sectors.extend(locate::sectors(word).map_err(wrong)?);
                }
            }
            text => sectors.extend(locate::sectors(text).map_err(wrong)?),
        }
    }
    if sectors.is_empty() {
        return Err(wrong("standard input has no sector".to_owned()));
    }
    let device = stack.number(&args.device)?;
    let mut questions = Vec::new();
    for sector in sectors {
        let Some(target) = &args.target else {
            questions.push((device.clone(), sector));
            continue;
        };
        let found = stack.of_record(target, &device, sector);
        if found.is_empty() {
            return Err(wrong(format!(
                "no mapping with the target {target} has sector {sector} of {}",
                args.device
            )));
        }
        questions.extend(found);
    }
    let limit = (args.time_limit > 0).then(|| Duration::from_secs(args.time_limit));
    let effort = Effort::new(limit);
    let mut answers = locate::locate(&stack, &questions, &effort);
    if args.inside {
        locate::inside::add(&stack, &mut answers, &effort);
    }
    match args.format {
        ReportFormat::Text => locate::show::text(&answers, terminal, out)?,
        ReportFormat::Json => locate::show::json(&answers, out)?,
    }
    let all = answers.iter().all(locate::answer::Answer::is_known);
    Ok(match all {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

fn run_scrub(args: &Scrub, terminal: &Terminal, out: &mut dyn Write) -> io::Result<ExitCode> {
    let options = scrub::ScrubOptions {
        rate: args.rate,
        limit: (args.time_limit.filter(|seconds| *seconds > 0)).map(Duration::from_secs),
        restart: args.restart,
        state: args.state.clone(),
        json: args.format == ReportFormat::Json,
        stop: watch::stop_on_signals()?,
    };
    let (mut failed, mut bad, mut whole) = (false, false, true);
    for device in &args.devices {
        match scrub::scrub(device, &options, terminal, out) {
            Ok(outcome) => {
                bad |= outcome.bad > 0;
                whole &= outcome.whole;
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
            Err(error) => {
                out.flush()?;
                eprintln!("dmns-audit: {error}");
                failed = true;
            }
        }
        out.flush()?;
    }
    Ok(ExitCode::from(match (failed, bad, whole) {
        (true, ..) => 2,
        (_, true, _) => 1,
        (.., false) => 3,
        _ => 0,
    }))
}

fn run_select(args: &Select, out: &mut dyn Write) -> io::Result<()> {
    let task = match &args.what {
        What::Exclude { container } => select::Task::Select(Mode::Exclude, container.clone()),
        What::Only { container } => select::Task::Select(Mode::Only, container.clone()),
        What::List => select::Task::List,
        What::Clear { container } => select::Task::Clear(container.clone()),
    };
    let ask = select::SelectOptions {
        control: args.control.clone(),
        state: args.state.clone(),
    };
    select::run(&ask, &task, out)
}

/// Watches. Returns also whether only some events were asked for.
fn run_watch(
    args: &Watch,
    terminal: Terminal,
    out: &mut dyn Write,
) -> io::Result<(watch::Watched, bool)> {
    let file = args.plugin.as_ref().or(args.output.as_ref());
    let options = Options {
        json: args.plugin.is_some() && args.format != WatchFormat::Ecs
            || args.format == WatchFormat::Json,
        proof: args.proof,
        terminal: if file.is_some() {
            Terminal::FILE
        } else {
            terminal
        },
        clock: Clock::local(),
        ..Options::default()
    };
    let ask = watch::WatchOptions {
        count: args.count,
        records: args.records,
        ecs: args.format == WatchFormat::Ecs,
        stop: watch::stop_on_signals()?,
    };
    let source = match () {
        () if args.journal => watch::plugin::journal()?,
        () if args.stdin || args.plugin.is_some() => watch::plugin::start()?,
        () => watch::netlink::start()?,
    };
    let root = Path::new("/");
    let sinks = watch::Sinks {
        // What comes by a pipe may be of another time, or another machine.
        devices: (!args.stdin).then(|| watch::devices::Devices::at(root)),
        metrics: args
            .metrics
            .as_ref()
            .map(|path| watch::metrics::Metrics::new(path, root)),
        files: match args.files {
            true => Some(watch::files::Files::start()?),
            false => None,
        },
    };
    let filter = Filter::new(
        args.only.clone(),
        args.container.clone(),
        args.device.clone(),
    );
    let filtered = !filter.is_empty();
    let watched = match file {
        Some(path) => {
            let file = watch::appended::Appended::open(path).map_err(at(path))?;
            watch::watch(
                &source,
                &options,
                &ask,
                sinks,
                filter,
                &mut BufWriter::new(Named(file, path)),
            )
        }
        None => watch::watch(&source, &options, &ask, sinks, filter, out),
    };
    Ok((watched?, filtered))
}
