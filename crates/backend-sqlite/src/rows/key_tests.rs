use super::*;

fn key(part: &Part<'_>, collation: Collation) -> Vec<u8> {
    let mut key = Vec::new();
    push(&mut key, part, collation);
    key
}

fn text(text: &str) -> Part<'_> {
    Part::Text(text.as_bytes().into())
}

/// Reads a key of one column, all of it.
fn taken(mut key: &[u8], collation: Collation) -> Taken {
    let found = take(&mut key, collation);
    assert!(key.is_empty(), "{key:?} is left behind {found:?}");
    found
}

const NUMBERS: &[Part<'static>] = &[
    Part::Real(f64::NEG_INFINITY),
    Part::Real(f64::MIN),
    Part::Real(-9_223_372_036_854_777_856.0),
    Part::Integer(i64::MIN),
    Part::Integer(i64::MIN + 1),
    Part::Real(-9_223_372_036_854_774_784.0),
    Part::Integer(-9_007_199_254_740_993),
    Part::Integer(-9_007_199_254_740_992),
    Part::Real(-1.5),
    Part::Integer(-1),
    Part::Real(-5e-324),
    Part::Integer(0),
    Part::Real(5e-324),
    Part::Integer(1),
    Part::Real(1.5),
    Part::Integer(9_007_199_254_740_991),
    Part::Real(9_007_199_254_740_992.0),
    Part::Integer(9_007_199_254_740_993),
    Part::Integer(9_007_199_254_740_994),
    Part::Integer(i64::MAX - 1024),
    Part::Integer(i64::MAX - 1),
    Part::Integer(i64::MAX),
    Part::Real(9_223_372_036_854_775_808.0),
    Part::Real(f64::MAX),
    Part::Real(f64::INFINITY),
];

#[test]
fn integers_and_reals_are_in_one_order() {
    let keys: Vec<_> = NUMBERS.iter().map(|part| key(part, Collation::Binary)).collect();
    assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
    let same = [
        (Part::Integer(5), Part::Real(5.0)),
        (Part::Integer(0), Part::Real(-0.0)),
        (Part::Integer(i64::MIN), Part::Real(-9_223_372_036_854_775_808.0)),
    ];
    for (one, other) in same {
        assert_eq!(key(&one, Collation::Binary), key(&other, Collation::Binary));
    }
}

#[test]
fn numbers_are_read_back_as_equal_ones() {
    for part in NUMBERS {
        let bytes = key(part, Collation::Binary);
        let Taken::Whole(found) = taken(&bytes, Collation::Binary) else { panic!("{part:?}") };
        assert_eq!(key(&found, Collation::Binary), bytes, "{part:?} and {found:?}");
    }
}

#[test]
fn classes_come_in_sqlites_order_and_what_goes_on_after_what_ends() {
    let blob = |bytes: &'static [u8]| Part::Blob(bytes.into());
    let rising = [
        Part::Null,
        Part::Real(f64::NEG_INFINITY),
        Part::Integer(1),
        text(""),
        text("\0"),
        text("\0\0"),
        text("\0a"),
        text("a"),
        text("a\0"),
        text("ab"),
        blob(b""),
        blob(b"\0"),
        blob(b"\0\xff"),
        blob(b"\xff"),
        blob(b"\xff\xff"),
    ];
    let keys: Vec<_> = rising.iter().map(|part| key(part, Collation::Binary)).collect();
    assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
    for (part, bytes) in rising.iter().zip(&keys) {
        let Taken::Whole(found) = taken(bytes, Collation::Binary) else { panic!("{part:?}") };
        assert_eq!(key(&found, Collation::Binary), *bytes);
    }
}

#[test]
fn text_is_as_its_collation_sees_it() {
    let same = [
        (Collation::NoCase, "aBC", "AbC"),
        (Collation::NoCase, "a\0bc", "A\0xy"),
        (Collation::RTrim, "a  ", "a"),
        (Collation::RTrim, "   ", ""),
    ];
    for (collation, one, other) in same {
        assert_eq!(key(&text(one), collation), key(&text(other), collation), "{one:?}");
        let bytes = key(&text(one), collation);
        let Taken::Whole(found) = taken(&bytes, collation) else { panic!("{one:?}") };
        assert_eq!(key(&found, collation), bytes, "{found:?}");
    }
    // Only ASCII is folded, and only what comes before a zero byte is looked at.
    let rising = ["a", "a\0", "A\0z", "a\0aa", "ab", "Ä", "ä"];
    let keys: Vec<_> = rising.iter().map(|found| key(&text(found), Collation::NoCase)).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert!(keys.windows(2).filter(|pair| pair[0] == pair[1]).count() == 0, "{keys:?}");
}

#[test]
fn rowids_rise_over_zero() {
    let rowids = [i64::MIN, -2, -1, 0, 1, i64::MAX];
    let keys = rowids.map(|number| {
        let mut key = Vec::new();
        push_rowid(&mut key, number);
        assert_eq!(rowid(&key), Some(number));
        assert_eq!(take_rowid(&mut key.as_slice()), number);
        key
    });
    assert!(keys.is_sorted_by(|one, next| one < next));
    assert_eq!(rowid(b"1234567"), None);
    assert_eq!(take_rowid(&mut &b""[..]), i64::MIN);
}

#[test]
fn the_beginning_of_a_key_is_a_lower_bound() {
    let prefix = |bytes: &'static [u8]| Taken::AtLeast(Part::Blob(bytes.into()));
    assert_eq!(taken(b"", Collation::Binary), Taken::Nothing);
    assert_eq!(taken(b"\x00", Collation::Binary), Taken::Nothing);
    assert_eq!(taken(b"\x05", Collation::NoCase), Taken::Nothing);
    assert_eq!(taken(b"\x06", Collation::Binary), Taken::Beyond);
    let number = |number| Taken::AtLeast(Part::Integer(number));
    assert_eq!(taken(b"\x02\x80\0", Collation::Binary), number(0));
    assert_eq!(taken(b"\x02\xc0\x08", Collation::Binary), number(3));
    assert_eq!(taken(b"\x02", Collation::Binary), Taken::Nothing);
    // 2.0 and 255 are not 257, which is written in another way.
    let number = taken(b"\x02\xc0\0\0\0\0\0\0\0\0\xff", Collation::Binary);
    assert_eq!(number, Taken::AtLeast(Part::Real(2.0)));
    assert_eq!(taken(b"\x04ab", Collation::Binary), prefix(b"ab"));
    assert_eq!(taken(b"\x04ab\0", Collation::Binary), prefix(b"ab"));
    assert_eq!(taken(b"\x04ab\0\x7f", Collation::Binary), prefix(b"ab"));
    assert_eq!(taken(b"\x03ab\0\xff\xff", Collation::NoCase), Taken::AtLeast(text("ab")));
    // A length that nobody should take memory for.
    let long = b"\x03ab\0\xff\xff\xff\xff\xff";
    assert_eq!(taken(long, Collation::NoCase), Taken::AtLeast(text("ab")));
}

#[test]
fn a_column_in_a_form_that_no_key_has_is_a_lower_bound() {
    let bound = |key, collation| match taken(key, collation) {
        Taken::AtLeast(part) => part,
        other => panic!("{other:?}"),
    };
    assert_eq!(bound(b"\x03abCd\0\0", Collation::NoCase), text("ab["));
    assert_eq!(bound(b"\x03abCd", Collation::NoCase), text("ab["));
    assert_eq!(bound(b"\x03A\0\xff\0\0\0\x02", Collation::NoCase), text("["));
    assert_eq!(bound(b"\x03A \0\0", Collation::RTrim), text("A "));
    let zero = b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff\0\0";
    assert_eq!(bound(zero, Collation::Binary), Part::Integer(0));
    assert_eq!(taken(b"\x03AB\0\0", Collation::Binary), Taken::Whole(text("AB")));
}
