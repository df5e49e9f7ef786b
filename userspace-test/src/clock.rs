// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Measures the run time of a guest, for timeouts that do not depend on the load of this machine.
//! While QEMU waits for a processor, its guest's time does not pass.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The time of one guest.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The file with QEMU's process id.
    pidfile: PathBuf,
    /// The last known waiting time: QEMU's threads end before it does.
    waited: Cell<Duration>,
}

impl Clock {
    /// Starts the time of a guest.
    pub(crate) fn starts(pidfile: PathBuf) -> Self {
        Self {
            started: Instant::now(),
            pidfile,
            waited: Cell::default(),
        }
    }

    /// Returns the run time: the elapsed time without the time that QEMU [waited](Self::waited).
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed().saturating_sub(self.waited())
    }

    /// Returns the time that QEMU waited for a processor: the longest of its threads, of which one
    /// emulates the guest's. Zero if the kernel does not report it.
    pub(crate) fn waited(&self) -> Duration {
        let pid = fs::read_to_string(&self.pidfile).unwrap_or_default();
        let tasks = fs::read_dir(format!("/proc/{}/task", pid.trim()));
        let delays = tasks
            .into_iter()
            .flatten()
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|schedstat| run_delay(&schedstat));
        self.waited
            .set(delays.fold(self.waited.get(), Duration::max));
        self.waited.get()
    }
}

/// Returns the second number of `/proc/PID/task/TID/schedstat`: nanoseconds that it has waited for
/// a processor, so far.
fn run_delay(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split(' ').nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_second_number_is_how_long_a_task_waited() {
        let waited = run_delay("406625081453 489724537034 10315759\n");
        assert_eq!(waited, Some(Duration::from_nanos(489_724_537_034)));
        assert_eq!(run_delay(""), None);
    }

    /// Two on one processor.
    #[test]
    fn what_waits_for_a_processor_does_not_get_older() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::starts(folder.path().join("pid"));
        assert_eq!(clock.waited(), Duration::ZERO, "nothing runs");
        let status = fs::read_to_string("/proc/self/status").expect("read");
        let allowed = status.split_once("Cpus_allowed_list:").expect("a list").1;
        let first = allowed.trim_start().split([',', '-', '\n']).next();
        let busy = || {
            Command::new("taskset")
                .args(["-c", first.expect("a processor")])
                .args(["sh", "-c", "while :; do :; done"])
                .spawn()
        };
        let mut all = [busy(), busy()].map(|busy| busy.expect("started"));
        fs::write(&clock.pidfile, format!("{}\n", all[0].id())).expect("written");
        let ages =
            std::iter::repeat_with(|| (clock.waited(), clock.age(), clock.started.elapsed()));
        let mut ages = ages.take_while(|(.., passed)| *passed < Duration::from_secs(60));
        let waits = ages.find(|(waited, ..)| *waited > Duration::from_millis(1));
        for busy in &mut all {
            busy.kill()
                .and_then(|()| busy.wait().map(drop))
                .expect("ended");
        }
        let (waited, age, passed) = waits.expect("one of them waits");
        assert!(age < passed, "{waited:?} {passed:?} {age:?}");
        assert!(clock.waited() >= waited, "it has ended");
    }
}
