//! The tools that other tests rely on.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use backup_core::Source;
use backup_core::progress::Context;
use backup_core::record::{MAX_WHOLE_VALUE, Record, RecordBatch, RecordKey};
use backup_core::source::{Capabilities, View};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{TestCaseError, TestRunner};
use testkit::beside::beside;
use testkit::contents::{Contents, contents, sums};
use testkit::filler::Filler;
use testkit::generate::store;
use testkit::{noise, seed};

const ALL: Capabilities = Capabilities {
    records: true,
    files: true,
    load_records: true,
    place_files: true,
    partitions: true,
    databases: true,
    point_in_time: true,
};

fn two() -> Contents {
    let mut contents = Contents::new();
    contents.put("default", b"root", b"key", "value");
    contents.put("other", b"", b"", "");
    contents
}

#[test]
fn differences_are_named() {
    let expected = two();
    assert_eq!(expected.difference(&two()), None);
    let mut found = two();
    found.put("default", b"root", b"key", vec![7; 1000]);
    let line = expected.difference(&found).unwrap();
    assert!(line.contains("(0x726f6f74, 0x6b6579): expected 0x76616c7565"), "{line}");
    assert!(line.ends_with("… of 1000 bytes") && line.len() < 200, "{line}");
    let mut found = two();
    found.put("default", b"", b"extra", "");
    assert!(expected.difference(&found).unwrap().contains("should not be"));
    let mut found = two();
    found.databases.remove("other");
    assert!(expected.difference(&found).unwrap().contains("expected databases"));
    let mut found = two();
    found.databases.get_mut("other").unwrap().clear();
    assert!(expected.difference(&found).unwrap().contains("is missing"));
}

/// An engine may have a database that nobody made; an empty one that somebody made must be there.
#[test]
fn only_an_empty_default_may_be_there_or_not() {
    let mut with = two();
    with.databases.remove("default");
    let without = with.clone();
    with.add_database("default");
    assert_eq!(with.difference(&without), None);
    with.add_database("made");
    assert!(with.difference(&without).is_some());
}

#[test]
fn contents_are_a_source_of_themselves() {
    let mut expected = two();
    expected.put("default", b"", b"long", noise(1, MAX_WHOLE_VALUE + 5));
    let found = contents(&expected).block_on().unwrap();
    expected.assert_same(&found, "what was read back");
    assert_eq!(sums(&expected).block_on().unwrap(), expected.sums().unwrap());
}

#[test]
#[should_panic(expected = "a store: database \"default\"")]
fn a_difference_fails_the_test() {
    let mut other = two();
    other.put("default", b"root", b"key", "other");
    other.assert_same(&two(), "a store");
}

#[test]
fn noise_is_the_same_for_the_same_seed() {
    assert_eq!(noise(1, 100), noise(1, 100));
    assert_ne!(noise(1, 100), noise(2, 100));
    assert_eq!(noise(1, 100)[..13], noise(1, 13)[..]);
    assert!(noise(0, 0).is_empty());
}

/// What a filler gives from a cut on is the rest of what it gives.
#[test]
fn a_filler_is_the_same_from_anywhere() {
    let long = MAX_WHOLE_VALUE + 1;
    for (partitions, records, value_bytes) in [(1, 2000, 700), (50, 30, 0), (1, 3, long)] {
        let filler = Filler { seed: 5, databases: 2, partitions, records, value_bytes };
        let whole = contents(&filler).block_on().unwrap();
        let snapshot = filler.snapshot(View::Records, &Context::default()).block_on().unwrap();
        let reader = snapshot.records().unwrap();
        let cuts = reader.splits(1, 4).block_on().unwrap();
        assert!(!cuts.is_empty() && cuts.is_sorted());
        for cut in cuts {
            let batches: Vec<_> = reader.scan(1, Some(&cut)).try_collect().block_on().unwrap();
            let starts = batches.iter().flat_map(RecordBatch::iter);
            let found: Vec<_> = starts
                .filter(Record::starts_value)
                .map(|record| RecordKey::new(record.root_key, record.key))
                .collect();
            let expected: Vec<_> =
                whole.databases["database-1"].range(cut..).map(|(at, _)| at.clone()).collect();
            assert_eq!(found, expected);
        }
    }
}

/// The stores of a few hundred cases hold what has gone wrong before.
#[test]
fn generated_stores_hold_what_they_should() {
    let mut runner = TestRunner::deterministic();
    let stores: Vec<Contents> =
        (0..300).map(|_| store(ALL).new_tree(&mut runner).unwrap().current()).collect();
    let any = |test: &dyn Fn(&RecordKey, &Vec<u8>) -> bool| {
        let databases = stores.iter().flat_map(|store| store.databases.values());
        databases.flatten().any(|(at, value)| test(at, value))
    };
    assert!(any(&|_, value| value.is_empty()), "an empty value");
    assert!(any(&|at, _| at.key.is_empty()), "an empty key");
    assert!(any(&|at, _| at.root_key.is_empty()) && any(&|at, _| !at.root_key.is_empty()));
    assert!(any(&|at, _| at.key.len() > 100 && at.key.iter().all(|byte| *byte == 0xff)), "a run");
    assert!(any(&|at, _| at.key.len() == 128) && any(&|at, _| at.key.len() == 16_384));
    assert!(any(&|_, value| value.len() > MAX_WHOLE_VALUE), "a value in parts");
    assert!(stores.iter().any(|store| store.databases.len() > 2), "several databases");
    assert!(stores.iter().any(|store| store.databases.values().any(BTreeMap::is_empty)));
    assert!(stores.iter().any(|store| store.records() > 1000), "thousands of partitions");
}

#[test]
fn a_backend_without_partitions_gets_none() {
    let mut runner = TestRunner::deterministic();
    let can = Capabilities { partitions: false, databases: false, ..ALL };
    for _ in 0..50 {
        let generated = store(can).new_tree(&mut runner).unwrap().current();
        assert!(generated.databases.keys().all(|name| name == "default"));
        assert!(generated.databases.values().flatten().all(|(at, _)| at.root_key.is_empty()));
    }
}

#[test]
fn a_failing_case_prints_its_seed_and_is_shrunk() {
    let failing = || {
        seed::check(200, &(0_u32..1000), |value| {
            if value < 17 { Ok(()) } else { Err(TestCaseError::fail("too large")) }
        });
    };
    let panic = catch_unwind(failing).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("KEEPSUM_SEED=") && text.ends_with("that fails: 17"), "{text}");
}

/// A test that panics must end the work beside it, or it would never fail.
#[test]
fn work_beside_a_test_ends_with_it() {
    let mut rounds = 0;
    let work = |round| {
        rounds = round;
        Ok(())
    };
    assert_eq!(beside(work, || Ok(7)).unwrap(), 7);
    assert!(rounds > 0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        beside::<()>(|_| Ok(()), || panic!("as this test wants"))
    }));
    assert!(panicked.is_err());
}
