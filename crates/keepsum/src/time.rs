//! Times as people read them: RFC 3339 in UTC.

use std::time::Duration;

use remote::Host;

/// The seconds from `started`, in milliseconds of Unix time, to now.
pub(crate) fn seconds_since(started: u64, host: &Host) -> f64 {
    Duration::from_millis(host.clock.now_ms().saturating_sub(started)).as_secs_f64()
}

/// `2026-11-21T12:31:29Z`, from milliseconds of Unix time.
pub(crate) fn rfc3339(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same, with milliseconds; without them where they are the last ones of their second, which is what a
/// time without them means.
pub(crate) fn to_the_millisecond(milliseconds: u64) -> String {
    let seconds = rfc3339(milliseconds);
    match (milliseconds % 1000, seconds.strip_suffix('Z')) {
        (part, Some(before)) if part != 999 => format!("{before}.{part:03}Z"),
        _ => seconds,
    }
}

/// Milliseconds of Unix time from `YYYY-MM-DD`, optionally followed by `THH:MM[:SS[.mmm]]` and `Z`. A
/// time that is not given in full means its end: `@2026-11-21` is the last snapshot of that day.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date: Vec<&str> = date.split('-').collect();
    let &[year, month, day] = date.as_slice() else { return None };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let clock: Vec<&str> = time.map(|time| time.split(':').collect()).unwrap_or_default();
    let (hour, minute, (second, part)) = match *clock.as_slice() {
        [] => (23, 59, (59, 999)),
        [hour, minute] => (number(hour, 2)?, number(minute, 2)?, (59, 999)),
        [hour, minute, second] => (number(hour, 2)?, number(minute, 2)?, seconds(second)?),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + part)
}

/// Seconds and milliseconds. What is not given of the latter is their end: `.5` is `.599`.
fn seconds(text: &str) -> Option<(u64, u64)> {
    let (second, part) = text.split_once('.').map_or((text, None), |(s, part)| (s, Some(part)));
    let part = match part {
        None => 999,
        Some(part) if (1..=3).contains(&part.len()) => number(&format!("{part:9<3}"), 3)?,
        Some(_) => return None,
    };
    Some((number(second, 2)?, part))
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let right = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// Days since 1970 of a date of the Gregorian calendar; none if there is no such day.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let full_years = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<u64>();
    let full_months = (1..month).map(|month| month_days(year, month)).sum::<u64>();
    (day <= month_days(year, month)).then(|| full_years + full_months + day - 1)
}

/// The date, days after 1970 began.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let mut month = 1;
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, rfc3339, to_the_millisecond};

    #[test]
    fn known_times_are_written_and_read() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_262_400_000), "2026-11-21T12:00:00Z");
        assert_eq!(parse("2026-11-21T12:00:00Z"), Some(1_795_262_400_999));
        assert_eq!(parse("2000-02-29"), Some(951_868_799_999));
        assert_eq!(parse("2026-11-21T12:00:00.25Z"), Some(1_795_262_400_259));
        assert_eq!(parse("2026-11-21T12:00:00.007"), Some(1_795_262_400_007));
    }

    #[test]
    fn a_written_time_is_read_back() {
        for day in (0..40_000_u64).step_by(17) {
            let time = (day * 86_400 + 4711) * 1000;
            assert_eq!(parse(&rfc3339(time)), Some(time + 999), "day {day}");
            for part in [0, 1, 98, 500, 998, 999] {
                let written = to_the_millisecond(time + part);
                assert_eq!(parse(&written), Some(time + part), "{written}");
            }
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "1900-01-01",
            "2026-01-01T24:00",
            "x",
            "2026-01-01T12:00:00.",
            "2026-01-01T12:00:00.1234",
            "2026-01-01T12:00.5",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
