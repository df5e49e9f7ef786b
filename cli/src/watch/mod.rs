// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit watch`: what happens, as it happens.
//!
//! - [`netlink`]: records from the kernel.
//! - [`plugin`]: records from auditd.
//! - [`events`]: puts records of one event together.
//! - [`containers`]: which container an event happened in.
//! - [`devices`]: what a device is called, and what lies above it.
//! - [`files`]: the file at a corrupt sector.
//! - [`filter`]: selects events.
//! - [`print`]: an event in a sentence, or JSON.
//! - [`ecs`]: an event as the Elastic Common Schema has it.
//! - [`metrics`]: figures for Prometheus.
//! - [`guest`]: a record of a guest in a sentence.
//! - [`appended`]: the file of `--output` and `--plugin`.

pub mod appended;
pub mod containers;
pub mod devices;
pub mod ecs;
pub mod events;
pub mod files;
pub mod filter;
pub mod guest;
pub mod metrics;
pub mod netlink;
pub mod plugin;
pub mod print;

use crate::record::loss::Loss;
use crate::report::Options;
use containers::Containers;
use devices::Devices;
use events::{Event, Events};
use files::Files;
use filter::Filter;
use metrics::Metrics;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Interval at which timeouts of events are checked.
const TICK: Duration = Duration::from_millis(100);

/// Idle time after a signal that ends the program.
const SILENCE: Duration = Duration::from_millis(200);

/// For how long after a signal what is on its way is still taken.
const LAST_CALL: Duration = Duration::from_secs(2);

/// Maximum number of queued messages of a source.
const AHEAD: usize = 8192;

/// A message of a source.
#[derive(Debug)]
pub enum Message {
    /// A record, as a log has it.
    Record(Vec<u8>),
    /// So many records were lost, for they were not read in time.
    Missed(u64),
    /// The log says that records are missing.
    Lost(Loss),
    /// The source ends, and so many of its lines are no records.
    Unread(u64),
    /// The source is broken.
    Failed(io::Error),
}

/// Options of `watch`.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// End after so many events.
    pub count: Option<u64>,
    /// Write an event's records below it. JSON always has them.
    pub records: bool,
    /// Print the fields of the Elastic Common Schema.
    pub ecs: bool,
    /// End when this is set; what is pending is printed first.
    pub stop: Arc<AtomicBool>,
}

/// The result of [`watch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The number of events that were printed.
    pub printed: u64,
    /// The number of lines that are no records.
    pub unread: u64,
}

/// Consumers of each record, in addition to the printer.
#[derive(Debug, Default)]
pub struct Sinks {
    /// Looks up devices, if records arrive as they are emitted.
    pub devices: Option<Devices>,
    /// The metrics.
    pub metrics: Option<Metrics>,
    /// Looks up the files of corrupt sectors.
    pub files: Option<Files>,
}

impl Sinks {
    /// Takes a record. Returns the device that it names.
    fn record(&mut self, line: &[u8], now: Instant) -> Option<devices::Device> {
        let device = self
            .devices
            .as_mut()
            .and_then(|devices| devices.of(line, now));
        if let Some(metrics) = &mut self.metrics {
            metrics.record(line, device.as_ref());
        }
        device
    }
}

/// Returns a flag that SIGINT and SIGTERM set; auditd ends its plugins so. A second signal ends the process at once.
///
/// # Errors
///
/// Fails if signals cannot be caught.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Prints the events of `source` that pass `filter`, until it ends, or as `watch_options` says.
///
/// # Errors
///
/// Fails if `out` cannot be written to, or the source fails.
pub fn watch(
    source: &Receiver<Message>,
    options: &Options,
    watch_options: &WatchOptions,
    mut sinks: Sinks,
    mut filter: Filter,
    out: &mut dyn Write,
) -> io::Result<Watched> {
    let mut events = Events::default();
    let mut containers = Containers::default();
    let mut last_call = None;
    let mut unread = 0;
    let most = watch_options.count.unwrap_or(u64::MAX);
    let mut left = most;
    let mut files = sinks.files.take();
    let mut print_event =
        |event: &Event, files: &mut Option<Files>, out: &mut dyn Write| -> io::Result<bool> {
            let context = containers.classify(event);
            let passes = filter.passes(event, &context);
            let shown = left > 0
                && passes
                && match watch_options.ecs {
                    true => ecs::event(event, &context, options, out)?,
                    false => print::event(event, &context, options, out)?,
                };
            if shown {
                left -= 1;
                if let Some(files) = files {
                    files.ask(event);
                }
                if watch_options.records && !options.json && !watch_options.ecs {
                    print::records(event, options, out)?;
                }
            }
            Ok(left == 0)
        };
    let has_ended = 'source: loop {
        let stops = watch_options.stop.load(Ordering::Relaxed);
        if stops {
            last_call.get_or_insert_with(|| Instant::now() + LAST_CALL);
        }
        let message = match last_call {
            Some(last_call) if Instant::now() > last_call => Err(RecvTimeoutError::Disconnected),
            Some(_) => source.recv_timeout(SILENCE),
            None => source.recv_timeout(TICK),
        };
        let now = Instant::now();
        if let Some(metrics) = &mut sinks.metrics {
            metrics.tick(now)?;
        }
        print_files(
            &mut files,
            &mut sinks.metrics,
            options,
            watch_options.ecs,
            out,
        )?;
        let whole = match message {
            Ok(Message::Record(line)) => {
                let device = sinks.record(&line, now);
                let mut whole = events.record(&line, device, now);
                whole.extend(events.quiet(now));
                whole
            }
            Ok(Message::Missed(number)) => {
                if let Some(metrics) = &mut sinks.metrics {
                    metrics.missed(number);
                }
                match watch_options.ecs {
                    true => ecs::missed(number, out)?,
                    false => print::missed(number, options, out)?,
                }
                out.flush()?;
                continue;
            }
            Ok(Message::Lost(loss)) => {
                match watch_options.ecs {
                    true => ecs::lost(loss, out)?,
                    false => print::lost(loss, options, out)?,
                }
                out.flush()?;
                continue;
            }
            Ok(Message::Unread(lines)) => {
                unread = lines;
                continue;
            }
            Ok(Message::Failed(error)) => {
                // What came before it is printed.
                for event in events.all() {
                    print_event(&event, &mut files, out)?;
                }
                out.flush()?;
                return Err(error);
            }
            Err(RecvTimeoutError::Timeout) if !stops => events.quiet(now),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                for event in events.all() {
                    print_event(&event, &mut files, out)?;
                }
                break 'source true;
            }
        };
        if whole.is_empty() {
            continue;
        }
        for event in whole {
            if print_event(&event, &mut files, out)? {
                break 'source false;
            }
        }
        // A person may be watching.
        out.flush()?;
    };
    wait_for_files(
        &mut files,
        &mut sinks.metrics,
        options,
        watch_options.ecs,
        out,
    )?;
    if let Some(metrics) = sinks.metrics.as_mut().filter(|_| has_ended) {
        metrics.write(Instant::now())?;
    }
    out.flush()?;
    Ok(Watched {
        printed: most - left,
        unread,
    })
}

/// Prints the files that were found meanwhile.
fn print_files(
    files: &mut Option<Files>,
    metrics: &mut Option<Metrics>,
    options: &Options,
    ecs: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(files) = files else { return Ok(()) };
    let found = files.found();
    let dropped = std::mem::take(&mut files.dropped);
    for located in &found {
        if let Some(metrics) = metrics {
            metrics.located(located);
        }
        match ecs {
            true => ecs::located(located, options, out)?,
            false => print::located(located, options, out)?,
        }
    }
    if dropped > 0 && !ecs {
        print::not_located(dropped, options, out)?;
    }
    match found.is_empty() {
        true => Ok(()),
        false => out.flush(),
    }
}

/// Waits at the end for files that are looked up, for a while.
fn wait_for_files(
    files: &mut Option<Files>,
    metrics: &mut Option<Metrics>,
    options: &Options,
    ecs: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let end = Instant::now() + LAST_CALL;
    loop {
        print_files(files, metrics, options, ecs, out)?;
        let busy = files.as_ref().is_some_and(Files::is_busy);
        if !busy || Instant::now() > end {
            return Ok(());
        }
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn watched(log: &str, json: bool, count: Option<u64>) -> String {
        let (sender, source) = mpsc::sync_channel(AHEAD);
        for (i, line) in log.lines().enumerate() {
            if i == 3 {
                sender.send(Message::Missed(7)).expect("sent");
            }
            sender
                .send(Message::Record(line.as_bytes().to_vec()))
                .expect("sent");
        }
        drop(sender);
        let options = Options {
            json,
            ..Options::default()
        };
        let mut out = Vec::new();
        let watch_options = WatchOptions {
            count,
            records: true,
            ..WatchOptions::default()
        };
        watch(
            &source,
            &options,
            &watch_options,
            Sinks::default(),
            Filter::default(),
            &mut out,
        )
        .expect("no error");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_signal_ends_it_when_pending_events_are_printed() {
        let (sender, source) = mpsc::sync_channel(AHEAD);
        let log = include_str!("../../tests/logs/dm.log");
        for line in log.lines() {
            let message = Message::Record(line.as_bytes().to_vec());
            sender.send(message).expect("sent");
        }
        let watch_options = WatchOptions::default();
        watch_options.stop.store(true, Ordering::Relaxed);
        let mut out = Vec::new();
        watch(
            &source,
            &Options::default(),
            &watch_options,
            Sinks::default(),
            Filter::default(),
            &mut out,
        )
        .expect("no error");
        let printed = String::from_utf8(out).expect("text");
        let all = watched(log, false, None);
        let sentences = all.lines().filter(|line| line.contains(" dm  "));
        assert_eq!(printed.lines().count(), sentences.count(), "{printed}");
        drop(sender);
    }

    #[test]
    fn events_are_printed_as_they_come() {
        let logs = concat!(
            include_str!("../../tests/logs/dm.log"),
            include_str!("../../tests/logs/ns.log"),
            include_str!("../../tests/logs/virt.log")
        );
        insta::assert_snapshot!("text", watched(logs, false, None));
        insta::assert_snapshot!("json", watched(logs, true, None));
    }

    #[test]
    fn it_ends_after_as_many_events_as_were_asked_for() {
        let log = include_str!("../../tests/logs/dm.log");
        let printed = watched(log, false, Some(3));
        assert_eq!(
            printed.lines().filter(|line| line.contains(" dm ")).count(),
            3,
            "{printed}"
        );
        assert!(printed.contains("missed 7 records"), "{printed}");
    }
}
