// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit watch`: what happens, as it happens.
//!
//! - [`netlink`]: records from the kernel.
//! - [`plugin`]: records from auditd.
//! - [`events`]: puts records of one event together.
//! - [`containers`]: which container an event happened in.
//! - [`devices`]: what a device is called, and what lies above it.
//! - [`tell`]: an event in a sentence, or JSON.
//! - [`ecs`]: an event as the Elastic Common Schema has it.
//! - [`metrics`]: figures for Prometheus.
//! - [`guest`]: a record of a guest in a sentence.

pub mod containers;
pub mod devices;
pub mod ecs;
pub mod events;
pub mod guest;
pub mod metrics;
pub mod netlink;
pub mod plugin;
pub mod tell;

use crate::record::loss::Loss;
use crate::report::Options;
use containers::Containers;
use devices::Devices;
use events::{Event, Events};
use metrics::Metrics;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long is waited for a record before events that nothing ends are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long nothing comes when, after a signal, there is no more on its way.
const SILENCE: Duration = Duration::from_millis(200);

/// For how long after a signal what is on its way is still taken.
const LAST_CALL: Duration = Duration::from_secs(2);

/// How many messages a source may be ahead.
const AHEAD: usize = 8192;

/// What a source brings.
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

/// How much, and until when.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// End after so many events.
    pub count: Option<u64>,
    /// Write an event's records beneath it. JSON always has them.
    pub records: bool,
    /// As the Elastic Common Schema has it.
    pub ecs: bool,
    /// End when this is set; what is pending is printed first.
    pub stop: Arc<AtomicBool>,
}

/// What is done with each record beside printing it.
#[derive(Debug, Default)]
pub struct Beside {
    /// Where devices are looked up: where records come as they are emitted.
    pub devices: Option<Devices>,
    /// Where figures are kept.
    pub metrics: Option<Metrics>,
}

impl Beside {
    /// A record came. Returns the device that it names.
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

/// What SIGINT and SIGTERM set, with which auditd ends its plugins. A second signal ends the process at once.
///
/// # Errors
///
/// Where signals cannot be caught.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Prints what `source` brings, until it ends, or as `ask` says. Returns how many lines of it were no records.
///
/// # Errors
///
/// Where `out` cannot be written to, or the source fails.
pub fn watch(
    source: &Receiver<Message>,
    options: &Options,
    ask: &Ask,
    mut beside: Beside,
    out: &mut dyn Write,
) -> io::Result<u64> {
    let mut events = Events::default();
    let mut containers = Containers::default();
    let mut last_call = None;
    let mut unread = 0;
    let mut left = ask.count.unwrap_or(u64::MAX);
    let mut tell = |event: &Event, out: &mut dyn Write| -> io::Result<bool> {
        let told = containers.look(event);
        let shown = left > 0
            && match ask.ecs {
                true => ecs::event(event, &told, options, out)?,
                false => tell::event(event, &told, options, out)?,
            };
        if shown {
            left -= 1;
            if ask.records && !options.json && !ask.ecs {
                tell::records(event, options, out)?;
            }
        }
        Ok(left == 0)
    };
    loop {
        let stops = ask.stop.load(Ordering::Relaxed);
        if stops {
            last_call.get_or_insert_with(|| Instant::now() + LAST_CALL);
        }
        let message = match last_call {
            Some(last_call) if Instant::now() > last_call => Err(RecvTimeoutError::Disconnected),
            Some(_) => source.recv_timeout(SILENCE),
            None => source.recv_timeout(TICK),
        };
        let now = Instant::now();
        if let Some(metrics) = &mut beside.metrics {
            metrics.tick(now)?;
        }
        let whole = match message {
            Ok(Message::Record(line)) => {
                let device = beside.record(&line, now);
                let mut whole = events.record(&line, device, now);
                whole.extend(events.quiet(now));
                whole
            }
            Ok(Message::Missed(number)) => {
                if let Some(metrics) = &mut beside.metrics {
                    metrics.missed(number);
                }
                match ask.ecs {
                    true => ecs::missed(number, out)?,
                    false => tell::missed(number, options, out)?,
                }
                out.flush()?;
                continue;
            }
            Ok(Message::Lost(loss)) => {
                match ask.ecs {
                    true => ecs::lost(loss, out)?,
                    false => tell::lost(loss, options, out)?,
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
                    tell(&event, out)?;
                }
                out.flush()?;
                return Err(error);
            }
            Err(RecvTimeoutError::Timeout) if !stops => events.quiet(now),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                for event in events.all() {
                    tell(&event, out)?;
                }
                if let Some(metrics) = &mut beside.metrics {
                    metrics.write(now)?;
                }
                return out.flush().map(|()| unread);
            }
        };
        if whole.is_empty() {
            continue;
        }
        for event in whole {
            if tell(&event, out)? {
                return out.flush().map(|()| unread);
            }
        }
        // A person may be watching.
        out.flush()?;
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
        let ask = Ask {
            count,
            records: true,
            ..Ask::default()
        };
        watch(&source, &options, &ask, Beside::default(), &mut out).expect("no error");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_signal_ends_it_when_what_is_on_its_way_was_told() {
        let (sender, source) = mpsc::sync_channel(AHEAD);
        let log = include_str!("../../tests/logs/dm.log");
        for line in log.lines() {
            let message = Message::Record(line.as_bytes().to_vec());
            sender.send(message).expect("sent");
        }
        let ask = Ask::default();
        ask.stop.store(true, Ordering::Relaxed);
        let mut out = Vec::new();
        watch(
            &source,
            &Options::default(),
            &ask,
            Beside::default(),
            &mut out,
        )
        .expect("no error");
        let told = String::from_utf8(out).expect("text");
        let all = watched(log, false, None);
        let sentences = all.lines().filter(|line| line.contains(" dm  "));
        assert_eq!(told.lines().count(), sentences.count(), "{told}");
        drop(sender);
    }

    #[test]
    fn events_are_told_as_they_come() {
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
        let told = watched(log, false, Some(3));
        assert_eq!(
            told.lines().filter(|line| line.contains(" dm ")).count(),
            3,
            "{told}"
        );
        assert!(told.contains("missed 7 records"), "{told}");
    }
}
