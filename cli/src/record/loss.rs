// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads the losses that a log announces.

use super::place::Place;
use memchr::memmem;

/// A message that records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The kind of loss.
    pub what: What,
    /// The number of records, if the message has it.
    pub records: Option<u64>,
}

/// A kind of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The kernel's log did not get them. Each message has its own number.
    Suppressed,
    /// The kernel counts all that it lost since it came up.
    Lost,
    /// The kernel's queue was full, or its rate limit was met.
    Refused,
    /// auditd, a plugin of it, or the system's log left some out.
    Dropped,
    /// auditd could not write or rotate its log.
    Unwritten,
}

impl What {
    /// Returns a description, as the end of a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Suppressed => "not printed by the kernel",
            Self::Lost => "lost in the kernel (audit_lost=)",
            Self::Refused => "refused by the kernel's queue or rate limit",
            Self::Dropped => "dropped on the way to this log",
            Self::Unwritten => "not written by auditd",
        }
    }
}

impl Loss {
    /// `4217 records lost in the kernel (audit_lost=)`
    pub fn describe(self) -> String {
        described(self.what, 1, self.records.unwrap_or(0))
    }
}

fn described(what: What, messages: u64, records: u64) -> String {
    match (records, messages) {
        (0, 1) => format!("records {}", what.describe()),
        (0, n) => format!("records {} ({n} messages)", what.describe()),
        (1, _) => format!("1 record {}", what.describe()),
        (n, _) => format!("{n} records {}", what.describe()),
    }
}

/// A phrase of a message, and what it says. The number of records stands in it, where `number` says
/// how.
struct Phrase(&'static [u8], What, Number);

/// The position of the number in a message.
enum Number {
    None,
    /// Before the phrase.
    Before,
    /// After it.
    After,
}

/// Source: C, `kernel/audit.c` and `lib/ratelimit.c`; audit-userspace `auditd-event.c`, `queue.c`;
/// systemd `journald-kmsg.c`, `journald-rate-limit.c`; rsyslog `imuxsock.c`, `imjournal.c`.
const PHRASES: [Phrase; 20] = [
    Phrase(b" callbacks suppressed", What::Suppressed, Number::Before),
    Phrase(b"audit_lost=", What::Lost, Number::After),
    Phrase(
        b"audit: backlog limit exceeded",
        What::Refused,
        Number::None,
    ),
    Phrase(b"audit_backlog_limit=", What::Refused, Number::None),
    Phrase(b"audit: rate limit exceeded", What::Refused, Number::None),
    Phrase(
        b"audit: printk limit exceeded",
        What::Suppressed,
        Number::None,
    ),
    Phrase(b"queue overflow", What::Refused, Number::None),
    Phrase(b"audit: out of memory", What::Refused, Number::None),
    Phrase(b"audit: error in audit_", What::Refused, Number::None),
    Phrase(b"dropping event", What::Dropped, Number::None),
    Phrase(b"event lost", What::Dropped, Number::None),
    Phrase(b"some messages lost", What::Dropped, Number::None),
    Phrase(b"kernel messages", What::Dropped, Number::Before),
    Phrase(b"imuxsock lost ", What::Dropped, Number::After),
    Phrase(
        b"begin to drop messages due to rate-limiting",
        What::Dropped,
        Number::None,
    ),
    Phrase(b"due to rate-limiting", What::Dropped, Number::Before),
    Phrase(
        b"Audit daemon has no space left",
        What::Unwritten,
        Number::None,
    ),
    Phrase(
        b"Audit daemon is suspending logging",
        What::Unwritten,
        Number::None,
    ),
    Phrase(
        b"Audit daemon is low on disk space for logging",
        What::Unwritten,
        Number::None,
    ),
    Phrase(
        b"Audit daemon detected an error writing",
        What::Unwritten,
        Number::None,
    ),
];

/// Returns the loss that the message `line`, which is no record, announces. `None` if it announces
/// none.
pub fn of_message(line: &[u8]) -> Option<Loss> {
    // Each phrase has one of these.
    let hint = [
        &b"audit"[..],
        b"suppress",
        b"lost",
        b"kernel messages",
        b"rate-limit",
        b"event",
        b"Audit",
    ];
    if !hint.iter().any(|part| memmem::find(line, part).is_some()) {
        return None;
    }
    PHRASES.iter().find_map(|Phrase(text, what, number)| {
        let at = memmem::find(line, text)?;
        let records = match number {
            Number::None => None,
            Number::Before => Some(before(&line[..at])?),
            Number::After => Some(number_of(&line[at + text.len()..])?),
        };
        // The kernel's settings and counters are no loss by themselves.
        let counts = match *text {
            b"audit_backlog_limit=" => memmem::find(line, b"audit_backlog=").is_some(),
            b"kernel messages" => memmem::find(line, b"Missed ").is_some(),
            b" callbacks suppressed" => {
                memmem::find(line, b"kauditd").is_some() || memmem::find(line, b"audit").is_some()
            }
            _ => true,
        };
        (counts && records != Some(0)).then_some(Loss {
            what: *what,
            records,
        })
    })
}

/// Returns whether a record called `name` may be one of auditd's own.
#[inline]
pub fn may_be_record(name: &[u8]) -> bool {
    matches!(
        name,
        [b'D', b'A', b'E', b'M', ..] | [b'1', b'2', ..] | [b'U', b'N', ..]
    )
}

/// Returns the loss that a record of auditd's own announces. `name` is its type, `body` its fields.
pub fn of_record(name: &[u8], body: &[u8]) -> Option<Loss> {
    let has = |text: &str| memmem::find(body, text.as_bytes()).is_some();
    let what = match name {
        b"DAEMON_ERR" | b"1209" | b"UNKNOWN[1209]" => What::Unwritten,
        b"DAEMON_ABORT" | b"1202" | b"UNKNOWN[1202]" => What::Unwritten,
        b"DAEMON_ROTATE" | b"1205" | b"UNKNOWN[1205]" | b"DAEMON_RESUME" | b"1206"
        | b"UNKNOWN[1206]"
            if has("failed") || has("error") || has("res=0") =>
        {
            What::Unwritten
        }
        _ if name.starts_with(b"DAEMON_")
            && (has("no space left")
                || has("suspend")
                || has("overflow")
                || has("disk full")
                || has("disk-full")) =>
        {
            What::Unwritten
        }
        _ => return None,
    };
    Some(Loss {
        what,
        records: None,
    })
}

/// Returns the number at the end of `text`.
fn before(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_end();
    let word = text
        .rsplit(|&b| b == b' ')
        .find(|word| !word.is_empty() && word.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Returns the number that `text` begins with.
fn number_of(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// All losses that a log announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The number of messages of each kind, the records that these count, and the place of the
    /// first.
    found: Vec<(What, u64, u64, Place)>,
    /// The last value of the kernel's counter, which begins anew with it.
    counter: u64,
}

impl Losses {
    /// Adds what stands at `place`.
    pub fn add(&mut self, loss: Loss, place: Place) {
        let at = match self.found.iter().position(|(what, ..)| *what == loss.what) {
            Some(at) => at,
            None => {
                self.found.push((loss.what, 0, 0, place));
                self.found.len() - 1
            }
        };
        let (what, messages, records, _) = &mut self.found[at];
        *messages += 1;
        match (what, loss.records) {
            (What::Lost, Some(counter)) => {
                *records += counter.checked_sub(self.counter).unwrap_or(counter);
                self.counter = counter;
            }
            (_, number) => *records += number.unwrap_or(0),
        }
    }

    /// Returns whether the log announces no loss.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the place of the first message.
    pub fn first(&self) -> Option<Place> {
        self.found.iter().map(|(.., place)| *place).min()
    }

    /// `1912 records not printed by the kernel, 4217 records lost in the kernel (audit_lost=)`
    pub fn describe(&self) -> String {
        let part = |(what, messages, records, _): &(What, u64, u64, _)| {
            described(*what, *messages, *records)
        };
        let parts: Vec<_> = self.found.iter().map(part).collect();
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_that_records_are_missing_is_understood() {
        for (line, what, records) in [
            (
                "[   22.0] kauditd_printk_skb: 1912 callbacks suppressed",
                What::Suppressed,
                Some(1912),
            ),
            (
                "[   23.0] audit: audit_backlog=65 > audit_backlog_limit=64",
                What::Refused,
                None,
            ),
            (
                "[   23.0] audit: audit_lost=4217 audit_rate_limit=0 audit_backlog_limit=64",
                What::Lost,
                Some(4217),
            ),
            (
                "Nov 21 04:17:59 a kernel: audit: backlog limit exceeded",
                What::Refused,
                None,
            ),
            ("audit: kauditd hold queue overflow", What::Refused, None),
            (
                "Nov 21 04:17:59 a systemd-journald[3]: Missed 31 kernel messages",
                What::Dropped,
                Some(31),
            ),
            (
                "Nov 21 04:17:59 a rsyslogd: imuxsock lost 12 messages from pid 5 due to rate-limiting",
                What::Dropped,
                Some(12),
            ),
            (
                "Nov 21 04:17:59 a auditd[4]: queue to plugins is full, dropping event",
                What::Dropped,
                None,
            ),
        ] {
            let found = of_message(line.as_bytes());
            assert_eq!(found, Some(Loss { what, records }), "{line}");
        }
        for line in [
            "",
            "[    0.0] audit: initializing netlink subsys (disabled)",
            "[    0.0] audit: audit_lost=0 audit_backlog_limit=64",
            "[    0.0] net_ratelimit: 12 callbacks suppressed",
            "Nov 21 04:17:59 a kernel: Linux version",
            "Nov 21 04:17:59 a kernel: audit_backlog_limit=8192 on the command line",
        ] {
            assert_eq!(of_message(line.as_bytes()), None, "{line}");
        }
        assert!(of_record(b"DAEMON_ERR", b"op=rotate res=failed").is_some());
        assert!(of_record(b"DAEMON_ROTATE", b"op=rotate-logs res=success").is_none());
        assert!(of_record(b"DAEMON_START", b"op=start res=success").is_none());
    }

    #[test]
    fn the_kernels_counter_is_no_sum() {
        let place = |line| Place { file: 0, line };
        let mut losses = Losses::default();
        for (line, records) in [(4, 10), (5, 25), (6, 3)] {
            let what = What::Lost;
            losses.add(
                Loss {
                    what,
                    records: Some(records),
                },
                place(line),
            );
        }
        assert_eq!(
            losses.describe(),
            "28 records lost in the kernel (audit_lost=)"
        );
        assert_eq!(losses.first(), Some(place(4)));
    }
}
