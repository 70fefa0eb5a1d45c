//! Cutting records into ranges of similar size, by questions that a search answers.
//!
//! SQLite does not tell how many rows lie between two keys. So ranges are halved in the space of keys, all
//! that are worth it, until there are several for each reader; whether one is worth it is seen from its
//! first rows. Then neighbours are joined. Keys that are spread evenly, by a hash or a counter, give even
//! ranges; others uneven ones, which costs time and never a record.

use backup_core::Result;
use backup_core::record::RecordKey;

/// How many rows of a range are looked at; one with fewer is not halved.
pub(crate) const LOOK: u32 = 256;

/// How many ranges there are for each reader before neighbours are joined.
const RANGES_PER_PART: usize = 8;

/// How many ranges are enough: beyond, questions cost more than even ranges save.
const ENOUGH_RANGES: usize = 1024;

/// The most bytes of a cut: keys that differ only beyond them are not cut apart.
const CUT_BYTES: usize = 256;

/// What is asked of a table.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// The first record at or after a place.
    From(RecordKey),
    /// The last record before a place.
    Before(RecordKey),
    /// The last record.
    Last,
    /// The record so many rows after a place.
    Skip(RecordKey, u32),
}

/// A range from one record on, and before another; the last one ends with the last record.
#[derive(Debug, Clone)]
struct Range {
    from: RecordKey,
    to: RecordKey,
    size: Size,
}

/// What is known of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// It was not looked at yet.
    Unknown,
    /// It has few rows.
    Small,
    /// It has many, and cannot be halved.
    Whole,
}

/// Keys that cut a table into at most `parts` ranges.
pub(crate) fn splits(
    parts: usize,
    mut ask: impl FnMut(Question) -> Result<Option<RecordKey>>,
) -> Result<Vec<RecordKey>> {
    if parts < 2 {
        return Ok(Vec::new());
    }
    let first = ask(Question::From(RecordKey::default()))?;
    let (Some(from), Some(to)) = (first, ask(Question::Last)?) else {
        return Ok(Vec::new());
    };
    let wanted = parts.saturating_mul(RANGES_PER_PART).min(ENOUGH_RANGES);
    let mut ranges = vec![Range { from, to, size: Size::Unknown }];
    while ranges.len() < wanted {
        let before = ranges.len();
        ranges = halve_all(ranges, &mut ask)?;
        if ranges.len() == before {
            break;
        }
    }
    Ok(joined(&ranges, parts))
}

/// The beginnings of ranges that cut off about as many large ones each.
fn joined(ranges: &[Range], parts: usize) -> Vec<RecordKey> {
    let large = |range: &Range| usize::from(range.size != Size::Small);
    let total: usize = ranges.iter().map(large).sum();
    let mut cuts = Vec::new();
    let (mut before, mut next) = (0, 1);
    for range in ranges {
        if next < parts && before > 0 && before * parts >= total * next {
            cuts.push(range.from.clone());
            next = before * parts / total + 1;
        }
        before += large(range);
    }
    cuts
}

/// Halves each range that has many rows.
fn halve_all(
    ranges: Vec<Range>,
    ask: &mut impl FnMut(Question) -> Result<Option<RecordKey>>,
) -> Result<Vec<Range>> {
    let mut halved = Vec::with_capacity(ranges.len() * 2);
    for mut range in ranges {
        if range.size == Size::Unknown {
            let beyond = ask(Question::Skip(range.from.clone(), LOOK))?;
            if beyond.is_none_or(|beyond| beyond >= range.to) {
                range.size = Size::Small;
            } else if let Some(cut) = middle_record(&range, ask)? {
                let upper = Range { from: cut.clone(), ..range.clone() };
                halved.push(Range { to: cut, ..range });
                halved.push(upper);
                continue;
            } else {
                range.size = Size::Whole;
            }
        }
        halved.push(range);
    }
    Ok(halved)
}

/// A record inside a range, near the middle of the space that its records take up.
fn middle_record(
    range: &Range,
    ask: &mut impl FnMut(Question) -> Result<Option<RecordKey>>,
) -> Result<Option<RecordKey>> {
    if let Some(middle) = middle(&range.from, &range.to)
        && let Some(found) = ask(Question::From(middle))?
        && found < range.to
    {
        return Ok(Some(found));
    }
    // The upper half has no record: then between the first and the last one of the lower half.
    let Some(last) = ask(Question::Before(range.to.clone()))? else { return Ok(None) };
    match middle(&range.from, &last) {
        Some(middle) => ask(Question::From(middle)),
        None => Ok(None),
    }
}

/// A place above `from`, and below `to`, about half way.
fn middle(from: &RecordKey, to: &RecordKey) -> Option<RecordKey> {
    let middle = if from.root_key == to.root_key {
        RecordKey { root_key: from.root_key.clone(), key: half_way(&from.key, &to.key) }
    } else {
        RecordKey { root_key: half_way(&from.root_key, &to.root_key), key: Vec::new() }
    };
    (*from < middle && middle < *to).then_some(middle)
}

/// Half of the sum of two byte strings, read as fractions.
fn half_way(from: &[u8], to: &[u8]) -> Vec<u8> {
    let length = from.len().max(to.len()).min(CUT_BYTES) + 1;
    let digit = |bytes: &[u8], place: usize| u16::from(bytes.get(place).copied().unwrap_or(0));
    let mut sum = vec![0_u16; length];
    let mut carry = 0;
    for (place, slot) in sum.iter_mut().enumerate().rev() {
        let added = digit(from, place) + digit(to, place) + carry;
        (*slot, carry) = (added & 0xff, added >> 8);
    }
    // The carry is the digit before the point; halving moves each digit's last bit to the next.
    let halved = sum.iter().map(|slot| {
        let (value, odd) = ((carry << 8 | slot) >> 1, slot & 1);
        carry = odd;
        u8::try_from(value).unwrap_or(u8::MAX)
    });
    let mut half: Vec<u8> = halved.collect();
    while half.pop_if(|last| *last == 0).is_some() {}
    half
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Answers as a table of these keys does.
    fn asked(keys: &BTreeSet<RecordKey>, question: &Question) -> Option<RecordKey> {
        match question {
            Question::Last => keys.last().cloned(),
            Question::From(place) => keys.range(place..).next().cloned(),
            Question::Before(place) => keys.range(..place).next_back().cloned(),
            Question::Skip(place, rows) => keys.range(place..).nth(*rows as usize).cloned(),
        }
    }

    /// How many keys lie in each range.
    fn ranges(keys: &BTreeSet<RecordKey>, parts: usize) -> Vec<usize> {
        let cuts = splits(parts, |question| Ok(asked(keys, &question))).unwrap();
        assert!(cuts.is_sorted() && cuts.len() < parts.max(1), "{cuts:?}");
        assert!(cuts.iter().all(|cut| keys.contains(cut)));
        backup_core::source::ranges_between(cuts)
            .map(|(from, to)| {
                let from = from.unwrap_or_default();
                keys.range(from..).take_while(|at| to.as_ref().is_none_or(|to| *at < to)).count()
            })
            .collect()
    }

    fn numbers(count: u32) -> BTreeSet<RecordKey> {
        (0..count).map(|number| RecordKey::new(b"", &number.to_be_bytes())).collect()
    }

    #[test]
    fn keys_in_a_row_give_even_ranges() {
        for parts in [2, 3, 8] {
            let found = ranges(&numbers(100_000), parts);
            assert_eq!(found.len(), parts);
            let (least, most) = (found.iter().min().unwrap(), found.iter().max().unwrap());
            assert!(most < &(least * 2), "{found:?}");
        }
    }

    #[test]
    fn a_few_keys_far_away_do_not_hide_the_others() {
        let mut keys = numbers(100_000);
        keys.insert(RecordKey::new(b"", b"zzz"));
        keys.insert(RecordKey::new(b"far away", b""));
        let found = ranges(&keys, 4);
        assert_eq!(found.len(), 4);
        assert!(found.iter().max().unwrap() < &50_000, "{found:?}");
    }

    #[test]
    fn root_keys_are_cut_too() {
        let pair = |number: u32| RecordKey::new(&number.to_be_bytes(), b"only");
        let found = ranges(&(0..100_000).map(pair).collect(), 4);
        assert_eq!(found.len(), 4);
        assert!(found.iter().max().unwrap() < &50_000, "{found:?}");
    }

    #[test]
    fn little_is_not_cut() {
        for count in [0, 1, 2, 200] {
            assert_eq!(ranges(&numbers(count), 8), [count as usize]);
        }
        assert_eq!(ranges(&numbers(100_000), 1), [100_000]);
        assert_eq!(ranges(&numbers(100_000), 0), [100_000]);
    }

    #[test]
    fn half_way_lies_between() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"", b"\x01"),
            (b"a", b"b"),
            (b"\xfe", b"\xff\xff"),
            (b"", b"\xff"),
            (b"a", b"a\x01"),
        ];
        for (from, to) in cases {
            let half = half_way(from, to);
            assert!(from < half.as_slice() && half.as_slice() < to, "{from:?} {half:?} {to:?}");
        }
        assert_eq!(half_way(b"\x80", b"\xc0"), b"\xa0");
    }
}
