// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Times: what `--start` and `--end` may say, and how a report says them.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use std::fs;

/// The start or the end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `--start`: a day means its first second.
    Start,
    /// `--end`: a day means its last second.
    End,
}

/// The words that are times.
pub const WORDS: &str = "now, recent, boot, today, yesterday, last-night, this-week, last-week, week-ago, this-month, last-month, this-year, last-year, a day of the week";

/// Returns whether `word` may follow another one in a time: `last night`, `2 days ago`, `last 24 hours`.
pub fn is_word(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    matches!(word.as_str(), "night" | "month" | "year" | "ago")
        || span(&word).is_some()
        || weekday(&word).is_some()
}

/// Returns a unit of time.
fn span(word: &str) -> Option<Span> {
    let word = match word.len() {
        0..=2 => word,
        _ => word.strip_suffix('s').unwrap_or(word),
    };
    Some(match word {
        "s" | "sec" | "second" => Span::new().seconds(1),
        "m" | "min" | "minute" => Span::new().minutes(1),
        "h" | "hr" | "hour" => Span::new().hours(1),
        "d" | "day" => Span::new().hours(24),
        "w" | "week" => Span::new().hours(7 * 24),
        "month" | "M" => Span::new().months(1),
        "y" | "yr" | "year" => Span::new().years(1),
        _ => return None,
    })
}

/// Returns the day of the week that `word` names: `monday`, `mon`.
fn weekday(word: &str) -> Option<Weekday> {
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let is = |name: &str| word == name || word == &name[..3];
    days.into_iter()
        .find_map(|(name, day)| is(name).then_some(day))
}

/// Returns the time that is a distance before `now`: `-1h`, `1h30m`, `2 days ago`, `an hour ago`, `last 24 hours`.
fn distance(text: &str, now: &Zoned) -> Option<Zoned> {
    let text = text.replace('-', " ");
    let rest = text.trim();
    let rest = rest.strip_suffix("ago").unwrap_or(rest);
    let rest = rest
        .strip_prefix("last ")
        .or_else(|| rest.strip_prefix("past "))
        .unwrap_or(rest);
    let mut rest = rest.trim();
    if let Some(word) = rest.strip_prefix("an ").or_else(|| rest.strip_prefix("a ")) {
        return now.checked_sub(span(word.trim())?).ok();
    }
    let mut time = None;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, after) = after.split_at(letters);
        let part = span(word)?.checked_mul(number.parse().ok()?).ok()?;
        time = Some(time.as_ref().unwrap_or(now).checked_sub(part).ok()?);
        rest = after.trim_start();
    }
    time
}

/// Reads a whole moment: `2026-11-21T04:17:59.123Z`, as JSON has it, with a space for the `T`, and with any offset.
fn moment(text: &str) -> Option<i64> {
    let text = match text.strip_suffix(" UTC") {
        Some(text) => format!("{text}Z"),
        None => text.to_owned(),
    };
    text.parse::<Timestamp>().ok().map(|time| time.as_second())
}

/// From when to when records count, in seconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first second.
    pub start: Option<i64>,
    /// The last second.
    pub end: Option<i64>,
}

impl Window {
    /// Returns whether a record of this second is in the period.
    pub fn has(&self, seconds: u64) -> bool {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.start.is_none_or(|start| seconds >= start) && self.end.is_none_or(|end| seconds <= end)
    }
}

/// Returns `text` in small letters, except the `M` of `-1M`, which is a month.
fn lower(text: &str) -> String {
    let mut lower = text.to_ascii_lowercase().into_bytes();
    let text = text.as_bytes();
    for at in 1..text.len() {
        let ends = !text.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
        if text[at] == b'M' && text[at - 1].is_ascii_digit() && ends {
            lower[at] = b'M';
        }
    }
    String::from_utf8_lossy(&lower).into_owned()
}

/// Reads a time: a word of [`WORDS`], a distance from now, a date, a time of day, a date and a time of day, or a
/// moment as an event, JSON or a record has it.
///
/// Dates are `2026-11-21`, `11/21/2026`, `11/21/26` or `21.11.2026`; times are `18:00`, `18:00:00`, `18:00:00.123`,
/// `6pm` or `6:30pm`; `@1795227208` is seconds since 1970.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn parse(text: &str, bound: Bound, now: &Zoned) -> Result<i64, String> {
    let explain = || {
        format!(
            "'{text}' is no time: a word ({WORDS}), a distance (-1h, \"2 days ago\"), a date (2026-11-21 or 11/21/2026), \
             a time of day (18:00 or 18:00:00), both, or @SECONDS expected"
        )
    };
    if let Some(seconds) = text.strip_prefix('@') {
        return since_1970(seconds).ok_or_else(explain);
    }
    if let Some(seconds) = moment(text) {
        return Ok(seconds);
    }
    let lower = lower(text.trim());
    if let Some(time) = distance(&lower, now) {
        return Ok(time.timestamp().as_second());
    }
    let lower = match lower.strip_prefix("last ") {
        Some(word) => format!("last-{word}"),
        None => lower,
    };
    // The T between date and time: letters are before and after any other one.
    let spaced: String = lower
        .char_indices()
        .map(|(at, letter)| match letter {
            't' if lower[..at].ends_with(|c: char| c.is_ascii_digit()) => ' ',
            letter => letter,
        })
        .collect();
    let mut parts = spaced.split(' ').filter(|part| !part.is_empty());
    let (first, second) = (parts.next().ok_or_else(explain)?, parts.next());
    if parts.next().is_some() {
        return Err(explain());
    }
    if let (Some(time), None) = (time_of_day(first), second) {
        return seconds(now.date(), time, now.time_zone());
    }
    // These are moments, not days.
    if second.is_none() {
        let moment = match first {
            "now" => Some(now.clone()),
            "recent" => now.checked_sub(SignedDuration::from_mins(10)).ok(),
            "boot" => Some(booted(now)?),
            "today" if bound == Bound::End => Some(now.clone()),
            "last-hour" if bound == Bound::Start => {
                now.checked_sub(SignedDuration::from_hours(1)).ok()
            }
            "last-hour" => Some(now.clone()),
            _ => None,
        };
        if let Some(moment) = moment {
            return Ok(moment.timestamp().as_second());
        }
    }
    let today = now.date();
    let before = |span: Span| today.checked_sub(span).map_err(|_| explain());
    let date = match first {
        "now" | "today" => today,
        "recent" => before(Span::new())?,
        "boot" => booted(now)?.date(),
        "yesterday" => before(Span::new().days(1))?,
        "this-week" => {
            let days = today.weekday().to_sunday_zero_offset();
            before(Span::new().days(days))?
        }
        "week-ago" => before(Span::new().days(7))?,
        // From six in the evening to six in the morning.
        "last-night" if second.is_none() => {
            let (days, hour) = match bound {
                Bound::Start => (1, 18),
                Bound::End => (0, 6),
            };
            let at = before(Span::new().days(days))?;
            let at = seconds(at, Time::constant(hour, 0, 0, 0), now.time_zone())?;
            return Ok(at.min(now.timestamp().as_second()));
        }
        "last-week" => {
            let days = today.weekday().to_sunday_zero_offset();
            match bound {
                Bound::Start => before(Span::new().days(i64::from(days) + 7))?,
                Bound::End => before(Span::new().days(i64::from(days) + 1))?,
            }
        }
        "last-month" => {
            let last = today.first_of_month().yesterday().map_err(|_| explain())?;
            match bound {
                Bound::Start => last.first_of_month(),
                Bound::End => last,
            }
        }
        "this-month" => today.first_of_month(),
        "this-year" => today.first_of_year(),
        "last-year" => {
            let last = today.first_of_year().yesterday().map_err(|_| explain())?;
            match bound {
                Bound::Start => last.first_of_year(),
                Bound::End => last,
            }
        }
        word => match weekday(word.strip_prefix("last-").unwrap_or(word)) {
            // The last one that has begun; with `last`, not today.
            Some(day) => {
                let days = match today.weekday().since(day) {
                    0 if word.starts_with("last-") => 7,
                    days => days,
                };
                before(Span::new().days(days))?
            }
            None => self::date(word).ok_or_else(explain)?,
        },
    };
    // A period that has not ended has no last second, so as an end it means its beginning.
    let begins = matches!(first, "this-week" | "this-month" | "this-year");
    let time = match (second, bound) {
        (Some(time), _) => time_of_day(time).ok_or_else(explain)?,
        (None, Bound::End) if !begins => Time::constant(23, 59, 59, 0),
        (None, _) => Time::midnight(),
    };
    seconds(date, time, now.time_zone())
}

/// A fixed now, in UTC, for what must not depend on the day.
pub fn fixed(seconds: i64) -> Zoned {
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(TimeZone::UTC)
}

fn seconds(date: Date, time: Time, zone: &TimeZone) -> Result<i64, String> {
    date.to_datetime(time)
        .to_zoned(zone.clone())
        .map(|zoned| zoned.timestamp().as_second())
        .map_err(|error| error.to_string())
}

/// Reads `1795227208`, `1795227208.123` or `1795227208.123:45`, as records have it.
fn since_1970(text: &str) -> Option<i64> {
    let text = text.split(':').next()?;
    let (seconds, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    seconds.parse().ok().filter(|_| digits)
}

/// `18:00`, `18:00:00`, `18:00:00.123`, `6pm` or `6:30pm`.
fn time_of_day(text: &str) -> Option<Time> {
    let forms = ["%H:%M:%S%.f", "%H:%M", "%I:%M%p", "%I%p"];
    forms
        .iter()
        .find_map(|form| Time::strptime(form, text).ok())
}

/// `2026-11-21`, `11/21/2026`, `11/21/26`, `21.11.2026`.
fn date(text: &str) -> Option<Date> {
    // A year of two digits first, or it would be one of antiquity.
    let forms = [
        "%y-%m-%d", "%Y-%m-%d", "%m/%d/%y", "%m/%d/%Y", "%d.%m.%y", "%d.%m.%Y",
    ];
    forms
        .iter()
        .find_map(|form| Date::strptime(form, text).ok())
}

/// Returns the boot time of this machine.
fn booted(now: &Zoned) -> Result<Zoned, String> {
    let explain = |error: &dyn std::fmt::Display| format!("boot: /proc/uptime: {error}");
    let text = fs::read_to_string("/proc/uptime").map_err(|error| explain(&error))?;
    let uptime = text
        .split(['.', ' '])
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .ok_or_else(|| explain(&"no number in it"))?;
    now.checked_sub(SignedDuration::from_secs(uptime))
        .map_err(|error| explain(&error))
}

/// Writes times.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    compact: bool,
}

/// This system's time zone, where nothing but `/etc/localtime` says it: to find its name too, which is not needed, all
/// zones there are would be listed.
fn localtime() -> Option<TimeZone> {
    if std::env::var_os("TZ").is_some() {
        return None;
    }
    let zone = fs::read("/etc/localtime").ok()?;
    TimeZone::tzif("localtime", &zone).ok()
}

impl Clock {
    /// In this system's time zone, or `$TZ`.
    pub fn local() -> Self {
        Self {
            zone: localtime().unwrap_or_else(TimeZone::system),
            compact: false,
        }
    }

    /// In UTC.
    pub fn utc() -> Self {
        Self {
            zone: TimeZone::UTC,
            compact: false,
        }
    }

    /// Returns the present time.
    pub fn now(&self) -> Zoned {
        Timestamp::now().to_zoned(self.zone.clone())
    }

    /// Length of a compact time: `26-11-21 04:17`.
    pub const COMPACT: usize = 14;

    /// Returns the clock for a terminal of `width` columns: on a narrow one, full times are compact.
    pub fn fitting(self, width: Option<usize>) -> Self {
        let compact = width.is_some_and(|width| width < 112);
        Self { compact, ..self }
    }

    fn zoned(&self, seconds: u64) -> Zoned {
        i64::try_from(seconds)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or(Timestamp::MAX)
            .to_zoned(self.zone.clone())
    }

    /// `2026-11-21 04:17:59`, or [compact](Self::fitting).
    pub fn full(&self, seconds: u64) -> String {
        if self.compact {
            return self.zoned(seconds).strftime("%y-%m-%d %H:%M").to_string();
        }
        self.zoned(seconds)
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    /// `Tue Jan 24 16:28`, as auvirt has it.
    pub fn short(&self, seconds: u64) -> String {
        self.zoned(seconds).strftime("%a %b %e %H:%M").to_string()
    }

    /// `2026-11-21T04:17:59.123+01:00`
    pub fn iso(&self, seconds: u64, millis: u16) -> String {
        let zoned = self.zoned(seconds);
        let offset = match zoned.offset().is_zero() {
            true => "Z".to_owned(),
            false => zoned.strftime("%:z").to_string(),
        };
        format!(
            "{}.{millis:03}{offset}",
            zoned.strftime("%Y-%m-%dT%H:%M:%S")
        )
    }
}

/// Times, remembered by the minute: those of a report are near each other, and to look a time zone up takes longer
/// than all the rest of a row.
#[derive(Clone, Debug, Default)]
pub struct Times {
    known: Vec<Option<Minute>>,
}

/// A minute, and how it is written.
#[derive(Clone, Debug)]
struct Minute {
    number: u64,
    short: String,
    full: Option<Full>,
}

#[derive(Clone, Debug)]
struct Full {
    text: String,
    /// Its seconds are the last two digits, and are those of the count.
    counts: bool,
}

impl Full {
    /// Returns the text of the minute `number`.
    fn of(clock: &Clock, number: u64) -> Self {
        let first = clock.full(number * 60);
        let last = clock.full((number * 60).saturating_add(59));
        let minute = first.strip_suffix("00");
        let counts = !clock.compact && minute.is_some() && minute == last.strip_suffix("59");
        Self {
            text: first,
            counts,
        }
    }
}

impl Times {
    fn minute(&mut self, clock: &Clock, seconds: u64) -> &mut Minute {
        const PLACES: u64 = 256;
        if self.known.is_empty() {
            self.known.resize(PLACES as usize, None);
        }
        let number = seconds / 60;
        let place = &mut self.known[(number % PLACES) as usize];
        if place.as_ref().is_some_and(|known| known.number != number) {
            *place = None;
        }
        place.get_or_insert_with(|| Minute {
            number,
            short: clock.short(seconds),
            full: None,
        })
    }

    /// Returns [`Clock::short`], cached.
    pub fn short(&mut self, clock: &Clock, seconds: u64) -> &str {
        &self.minute(clock, seconds).short
    }

    /// `16:28`: the end of the same.
    pub fn hour(&mut self, clock: &Clock, seconds: u64) -> &str {
        let short = self.short(clock, seconds);
        &short[short.len() - "16:28".len()..]
    }

    /// Returns [`Clock::full`], cached.
    pub fn full(&mut self, clock: &Clock, seconds: u64) -> &str {
        let minute = self.minute(clock, seconds);
        let full = minute
            .full
            .get_or_insert_with(|| Full::of(clock, seconds / 60));
        if full.counts {
            let at = full.text.len() - "00".len();
            full.text.truncate(at);
            full.text.push_str(two_digits(&mut [0; 2], seconds % 60));
        } else {
            full.text = clock.full(seconds);
        }
        &full.text
    }
}

/// Seconds; shown as `(03:16)` or `(2+03:16)`: days, hours and minutes, as auvirt has it.
#[derive(Clone, Copy, Debug)]
pub struct Duration(pub u64);

impl Duration {
    /// Calls `part` with each part of the text. Each row of a report may have one, so no formatter is used.
    pub fn show(self, mut part: impl FnMut(&str)) {
        part("(");
        let days = self.0 / 86400;
        if days > 0 {
            part(itoa::Buffer::new().format(days));
            part("+");
        }
        part(two_digits(&mut [0; 2], self.0 / 3600 % 24));
        part(":");
        part(two_digits(&mut [0; 2], self.0 / 60 % 60));
        part(")");
    }
}

/// `number`, which is below 100, as two digits.
fn two_digits(digits: &mut [u8; 2], number: u64) -> &str {
    *digits = [number / 10, number % 10].map(|digit| b'0' + digit as u8);
    std::str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_that_are_remembered_are_the_same(
            seconds in prop::collection::vec(prop_oneof![0u64..40_000, any::<u64>(), 253_402_207_000u64..253_402_207_300], 1..20),
            zone in prop_oneof![Just(0), Just(3600), Just(-16200), -80_000i32..80_000],
            compact: bool,
        ) {
            let zone = TimeZone::fixed(Offset::from_seconds(zone).expect("an offset"));
            let clock = Clock { zone, compact };
            let mut times = Times::default();
            for seconds in seconds {
                prop_assert_eq!(times.full(&clock, seconds), clock.full(seconds));
            }
        }
    }

    fn now() -> Zoned {
        // 2026-11-21 04:17:59
        fixed(1_795_234_679)
    }

    fn parsed(text: &str, bound: Bound) -> Result<String, String> {
        parse(text, bound, &now()).map(|seconds| Clock::utc().full(seconds as u64))
    }

    #[test]
    fn this_system_has_one_time_zone() {
        let system = TimeZone::system();
        if let Some(zone) = localtime() {
            for seconds in (0..4_000_000_000).step_by(3_333_333) {
                let time = Timestamp::from_second(seconds).expect("a time");
                let local = |zone: &TimeZone| zone.to_datetime(time);
                assert_eq!(local(&zone), local(&system), "{seconds}");
            }
        }
    }

    #[test]
    fn words_and_dates_are_times() {
        for (text, start, end) in [
            ("now", "2026-11-21 04:17:59", "2026-11-21 04:17:59"),
            ("recent", "2026-11-21 04:07:59", "2026-11-21 04:07:59"),
            ("today", "2026-11-21 00:00:00", "2026-11-21 04:17:59"),
            ("today 03:00", "2026-11-21 03:00:00", "2026-11-21 03:00:00"),
            ("yesterday", "2026-11-20 00:00:00", "2026-11-20 23:59:59"),
            ("this-week", "2026-11-15 00:00:00", "2026-11-15 00:00:00"),
            ("week-ago", "2026-11-14 00:00:00", "2026-11-14 23:59:59"),
            ("this-month", "2026-11-01 00:00:00", "2026-11-01 00:00:00"),
            ("this-year", "2026-01-01 00:00:00", "2026-01-01 00:00:00"),
            ("01/25/2012", "2012-01-25 00:00:00", "2012-01-25 23:59:59"),
            (
                "01/25/12 12:00:01",
                "2012-01-25 12:00:01",
                "2012-01-25 12:00:01",
            ),
            ("25.01.2012", "2012-01-25 00:00:00", "2012-01-25 23:59:59"),
            (
                "2012-01-25T12:00",
                "2012-01-25 12:00:00",
                "2012-01-25 12:00:00",
            ),
            ("18:00", "2026-11-21 18:00:00", "2026-11-21 18:00:00"),
            ("@86400", "1970-01-02 00:00:00", "1970-01-02 00:00:00"),
            ("-1h", "2026-11-21 03:17:59", "2026-11-21 03:17:59"),
            ("-1h30m", "2026-11-21 02:47:59", "2026-11-21 02:47:59"),
            ("1 hour ago", "2026-11-21 03:17:59", "2026-11-21 03:17:59"),
            ("an hour ago", "2026-11-21 03:17:59", "2026-11-21 03:17:59"),
            ("2 days ago", "2026-11-19 04:17:59", "2026-11-19 04:17:59"),
            ("3h ago", "2026-11-21 01:17:59", "2026-11-21 01:17:59"),
            ("2-weeks-ago", "2026-11-07 04:17:59", "2026-11-07 04:17:59"),
            ("last night", "2026-11-20 18:00:00", "2026-11-21 04:17:59"),
            ("last-week", "2026-11-08 00:00:00", "2026-11-14 23:59:59"),
            ("last month", "2026-10-01 00:00:00", "2026-10-31 23:59:59"),
            ("last-hour", "2026-11-21 03:17:59", "2026-11-21 04:17:59"),
            ("Yesterday", "2026-11-20 00:00:00", "2026-11-20 23:59:59"),
            // As other tools take them.
            ("2h", "2026-11-21 02:17:59", "2026-11-21 02:17:59"),
            ("90 minutes", "2026-11-21 02:47:59", "2026-11-21 02:47:59"),
            (
                "last 24 hours",
                "2026-11-20 04:17:59",
                "2026-11-20 04:17:59",
            ),
            ("2 months ago", "2026-09-21 04:17:59", "2026-09-21 04:17:59"),
            ("-1M", "2026-10-21 04:17:59", "2026-10-21 04:17:59"),
            ("a year ago", "2025-11-21 04:17:59", "2025-11-21 04:17:59"),
            ("last year", "2025-01-01 00:00:00", "2025-12-31 23:59:59"),
            // 2026-11-21 is a Saturday.
            ("friday", "2026-11-20 00:00:00", "2026-11-20 23:59:59"),
            ("Sun", "2026-11-15 00:00:00", "2026-11-15 23:59:59"),
            ("saturday", "2026-11-21 00:00:00", "2026-11-21 23:59:59"),
            (
                "last saturday",
                "2026-11-14 00:00:00",
                "2026-11-14 23:59:59",
            ),
            (
                "tuesday 10:00",
                "2026-11-17 10:00:00",
                "2026-11-17 10:00:00",
            ),
            ("2am", "2026-11-21 02:00:00", "2026-11-21 02:00:00"),
            (
                "yesterday 6:30PM",
                "2026-11-20 18:30:00",
                "2026-11-20 18:30:00",
            ),
        ] {
            assert_eq!(parsed(text, Bound::Start).as_deref(), Ok(start), "{text}");
            assert_eq!(parsed(text, Bound::End).as_deref(), Ok(end), "{text}");
        }
        assert!(parsed("boot", Bound::Start).is_ok());
    }

    /// What an event, an object, a record and `journalctl` show can be pasted.
    #[test]
    fn a_time_that_is_printed_is_a_time() {
        let clock = Clock::utc();
        let second = 1_795_234_679;
        let berlin = Clock {
            zone: TimeZone::fixed(Offset::from_hours(1).expect("an offset")),
            compact: false,
        };
        for text in [
            clock.iso(second, 123),
            berlin.iso(second, 123),
            clock.full(second),
            format!("{}.123", clock.full(second)),
            format!("{} UTC", clock.full(second)),
            format!("@{second}"),
            format!("@{second}.123"),
            format!("@{second}.123:45"),
        ] {
            let read = parse(&text, Bound::Start, &now());
            assert_eq!(read, Ok(second as i64), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_is() {
        for text in [
            "",
            "tomorrow",
            "13/45/2012",
            "2026-11-21 25:00",
            "1:2:3:4",
            "@x",
            "today now x",
            "-1",
            "-1x",
            "ago",
            "1 ago",
            "h ago",
            "+1h",
            "1 2h",
            "-99999999999999999999h",
            "-9000000000000000000w",
            "last",
            "last someday",
            "25pm",
            "2026-11-21T04:17:59+99:00",
            "@1795234679.x",
            "@.5",
        ] {
            let refused = parsed(text, Bound::Start).expect_err(text);
            assert!(
                refused.contains("this-week") && refused.contains(text),
                "{refused}"
            );
        }
    }

    #[test]
    fn times_are_written_as_auvirt_does() {
        let clock = Clock::utc();
        assert_eq!(clock.short(1328292445), "Fri Feb  3 18:07");
        let mut times = Times::default();
        for _ in 0..2 {
            assert_eq!(times.short(&clock, 1328292445), "Fri Feb  3 18:07");
            assert_eq!(times.hour(&clock, 1328292445), "18:07");
            assert_eq!(times.hour(&clock, 1328292445 + 256 * 60), "22:23");
        }
        assert_eq!(clock.iso(1328292445, 7), "2012-02-03T18:07:25.007Z");
        let shown = |seconds| {
            let mut text = String::new();
            Duration(seconds).show(|part| text.push_str(part));
            text
        };
        assert_eq!(shown(3 * 3600 + 16 * 60 + 59), "(03:16)");
        assert_eq!(shown(2 * 86400 + 60), "(2+00:01)");
        assert_eq!(clock.full(u64::MAX).len(), 19);
        let narrow = clock.fitting(Some(80));
        assert_eq!(narrow.full(1328292445), "12-02-03 18:07");
        assert_eq!(narrow.full(1328292445).len(), Clock::COMPACT);
    }
}
