//! Sizes, times, numbers, ids and foreign names as people read them.

use std::borrow::Cow;
use std::fmt;

/// The shortest id that is printed, in hexadecimal digits.
const SHORT_ID: usize = 12;

/// A size in bytes: `512 B`, `1.5 KiB`, `20.0 GiB`.
pub(crate) struct Bytes(pub(crate) u64);

/// Bytes a second: `1.5 MiB/s`.
pub(crate) struct Rate(pub(crate) f64);

/// A duration in seconds: `0.02 s`, `4.3 s`, `50 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) struct Seconds(pub(crate) f64);

/// A number with its thousands apart: `1,234,567`.
pub(crate) struct Number(pub(crate) u64);

#[expect(clippy::cast_precision_loss, reason = "sizes are shown with one decimal")]
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        f.pad(&binary(self.0 as f64))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", binary(self.0)))
    }
}

/// A size from KiB on, in the largest unit that it fills.
fn binary(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 is one of the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and saturating is right for a time that long"
        )]
        let whole = seconds.round() as u64;
        let text = match whole {
            _ if seconds < 0.995 => format!("{seconds:.2} s"),
            _ if seconds < 9.95 => format!("{seconds:.1} s"),
            0..=59 => format!("{whole} s"),
            60..=3599 => format!("{} min {} s", whole / 60, whole % 60),
            _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A foreign name with nothing in it that would steer a terminal or end the line.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    // Bidirectional overrides can show one name as another.
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// The number of digits by which all `ids` can be told apart, and never few.
pub(crate) fn id_digits<'a>(ids: impl IntoIterator<Item = &'a str>) -> usize {
    let mut ids: Vec<&str> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let shared =
        |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    ids.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or(0).max(SHORT_ID)
}

/// The first digits of an id or checksum.
pub(crate) fn short(id: &str, digits: usize) -> &str {
    id.get(..digits).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_they_fill() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (20 << 30, "20.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(Rate(1_572_864.0).to_string(), "1.5 MiB/s");
        assert_eq!(Rate(0.0).to_string(), "0.0 KiB/s");
    }

    #[test]
    fn times_have_two_digits_or_two_units() {
        let cases = [
            (0.0, "0.00 s"),
            (0.994, "0.99 s"),
            (0.996, "1.0 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (59.9, "1 min 0 s"),
            (3599.7, "1 h 0 min"),
            (7500.0, "2 h 5 min"),
            (f64::NAN, "0.00 s"),
            (-1.0, "0.00 s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Seconds(seconds).to_string(), text, "{seconds}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Number(number).to_string(), text);
        }
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(printable("plain — name"), "plain — name");
        assert_eq!(printable("a\u{1b}[2Jb\nc"), r"a\u{1b}[2Jb\nc");
        assert_eq!(printable("x\u{202e}y"), r"x\u{202e}y");
    }

    #[test]
    fn ids_are_as_long_as_it_takes_to_tell_them_apart() {
        assert_eq!(id_digits([]), 12);
        assert_eq!(id_digits(["aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaab", "b"]), 16);
        assert_eq!(id_digits(["same", "same"]), 12);
        assert_eq!(short("0123456789abcdef", 12), "0123456789ab");
        assert_eq!(short("ab", 12), "ab");
    }
}
