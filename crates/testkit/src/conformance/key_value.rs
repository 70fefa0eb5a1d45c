//! Key-value stores: databases, openings, reads, batches, limits.

use std::sync::Arc;

use backup_core::kv::{Access, PairStream, WriteBatch};
use backup_core::{Error, KeyValueDatabase, KeyValueStore, Partition, Result};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;

use super::sample::{self, FIRST, KEYS};
use super::{Abilities, Check, Place, Subject, check};
use crate::beside::beside;
use crate::contents::{Contents, contents};

pub(super) const CHECKS: &[Check] = &[
    check("key_value::databases_are_made_and_listed", Abilities::stores, databases),
    check("key_value::a_name_is_taken_once", Abilities::stores, taken),
    check("key_value::what_is_not_there_is_not_found", Abilities::stores, not_found),
    check("key_value::a_deleted_database_is_empty_again", several, deleted),
    check("key_value::openings_exclude_each_other", Abilities::stores, exclusion),
    check("key_value::an_open_database_is_not_deleted", several, delete_open),
    check("key_value::root_keys_are_listed", partitioned, root_keys),
    check("key_value::partitions_are_apart", partitioned, apart),
    check("key_value::get_what_was_put", Abilities::stores, get),
    check("key_value::multi_get_keeps_the_order", Abilities::stores, multi_get),
    check("key_value::scan_prefix_in_order", Abilities::stores, scan_prefix),
    check("key_value::scan_prefix_is_of_one_moment", Abilities::stores, scan_moment),
    check("key_value::delete_prefix_and_nothing_else", Abilities::stores, delete_prefix),
    check("key_value::operations_in_their_order", Abilities::stores, in_order),
    check("key_value::batches_are_atomic", Abilities::stores, atomic),
    check("key_value::an_empty_batch_is_no_error", Abilities::stores, empty_batch),
    check("key_value::limits_are_enforced", Abilities::stores, limits),
    check("key_value::the_longest_key_is_taken", Abilities::stores, longest_key),
    check("key_value::other_handles_see_what_was_written", Abilities::stores, other_handles),
    check("key_value::snapshots_see_what_was_written", Abilities::stores_records, snapshots),
];

fn several(can: &Abilities) -> bool {
    can.store && can.source.databases
}

fn partitioned(can: &Abilities) -> bool {
    can.store && can.source.partitions
}

pub(super) fn store_of(place: &dyn Place) -> Result<Arc<dyn KeyValueStore>> {
    Ok(place.store()?.expect("a place that had a store has one"))
}

/// The first database, made where it is not there.
pub(super) fn first(store: &dyn KeyValueStore) -> Result<Arc<dyn KeyValueDatabase>> {
    async {
        if !store.databases().await?.iter().any(|name| name == FIRST) {
            store.create(FIRST).await?;
        }
        store.database(FIRST).await
    }
    .block_on()
}

/// A shared opening of the first database's empty root key, in a place of its own.
fn partition(subject: &Subject<'_>) -> Result<(Box<dyn Place>, Arc<dyn Partition>)> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let partition = database.open(b"", Access::Shared).block_on()?;
    Ok((place, partition))
}

/// A batch that puts one value under each key.
fn puts(keys: &[&[u8]], value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.put(*key, value);
    }
    batch
}

fn collect(pairs: PairStream) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    pairs.try_collect().block_on()
}

fn scan_keys(partition: &dyn Partition, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
    Ok(collect(partition.scan_prefix(prefix))?.into_iter().map(|(key, _)| key).collect())
}

fn is_in_use<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::InUse { .. }))
}

fn databases(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let store = store_of(place.as_ref())?;
    first(store.as_ref())?;
    let mut expected: Vec<_> = sample::databases(subject.abilities.source).to_vec();
    for name in &expected[1..] {
        store.create(name).block_on()?;
    }
    expected.sort_unstable();
    assert_eq!(store.databases().block_on()?, expected, "all names, sorted");
    for name in expected {
        assert_eq!(store.database(name).block_on()?.root_keys().block_on()?, [] as [Vec<u8>; 0]);
    }
    Ok(())
}

fn taken(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let store = store_of(place.as_ref())?;
    let partition = first(store.as_ref())?.open(b"", Access::Shared).block_on()?;
    partition.write_batch(puts(&[b"kept"], b"value")).block_on()?;
    let again = store.create(FIRST).block_on();
    assert!(matches!(again, Err(Error::Invalid { .. })), "a name that is taken: {again:?}");
    let unnamed = store.create("").block_on();
    let refused = matches!(unnamed, Err(Error::Invalid { .. } | Error::Unsupported { .. }));
    assert!(refused, "a database without a name: {unnamed:?}");
    assert_eq!(partition.get(b"kept").block_on()?.as_deref(), Some(&b"value"[..]));
    Ok(())
}

fn not_found(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let store = store_of(place.as_ref())?;
    first(store.as_ref())?;
    let opened = store.database("nobody made this").block_on().map(drop);
    assert!(matches!(opened, Err(Error::NotFound { .. })), "opened: {opened:?}");
    let deleted = store.delete("nobody made this").block_on();
    assert!(matches!(deleted, Err(Error::NotFound { .. })), "deleted: {deleted:?}");
    Ok(())
}

fn deleted(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let store = store_of(place.as_ref())?;
    store.create("short-lived").block_on()?;
    let database = store.database("short-lived").block_on()?;
    let partition = database.open(b"", Access::Shared).block_on()?;
    partition.write_batch(puts(KEYS, b"old")).block_on()?;
    drop(partition);
    store.delete("short-lived").block_on()?;
    assert!(!store.databases().block_on()?.iter().any(|name| name == "short-lived"));
    let opened = database.open(b"", Access::Shared).block_on().map(drop);
    assert!(matches!(opened, Err(Error::NotFound { .. })), "opened after the delete: {opened:?}");
    store.create("short-lived").block_on()?;
    let partition =
        store.database("short-lived").block_on()?.open(b"", Access::Shared).block_on()?;
    assert_eq!(collect(partition.scan_prefix(b""))?, [], "made again, it has nothing of the old");
    Ok(())
}

fn exclusion(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let open = |access| database.open(b"", access).block_on();
    let shared = (open(Access::Shared)?, open(Access::Shared)?);
    assert!(is_in_use(&open(Access::Exclusive)), "exclusive beside two shared");
    drop(shared.0);
    assert!(is_in_use(&open(Access::Exclusive)), "exclusive beside one shared");
    drop(shared.1);
    let exclusive = open(Access::Exclusive)?;
    assert!(is_in_use(&open(Access::Shared)), "shared beside exclusive");
    assert!(is_in_use(&open(Access::Exclusive)), "exclusive beside exclusive");
    let elsewhere = first(store_of(place.as_ref())?.as_ref())?.open(b"", Access::Shared).block_on();
    assert!(is_in_use(&elsewhere), "shared beside exclusive, through another handle");
    if subject.abilities.source.partitions {
        let beside = database.open(b"another", Access::Exclusive).block_on()?;
        beside.write_batch(puts(&[b"a"], b"b")).block_on()?;
    }
    drop(exclusive);
    open(Access::Exclusive)?.write_batch(puts(&[b"a"], b"b")).block_on()
}

fn delete_open(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let store = store_of(place.as_ref())?;
    store.create("held").block_on()?;
    let partition = store.database("held").block_on()?.open(b"", Access::Shared).block_on()?;
    let deleted = store.delete("held").block_on();
    assert!(is_in_use(&deleted), "deleted while a partition is open: {deleted:?}");
    partition.write_batch(puts(&[b"a"], b"b")).block_on()?;
    drop(partition);
    store.delete("held").block_on()
}

fn root_keys(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let mut expected = sample::root_keys(subject.abilities.source).to_vec();
    for root_key in expected.iter().rev() {
        let partition = database.open(root_key, Access::Shared).block_on()?;
        partition.write_batch(puts(&[b"", b"\xff\xff"], b"value")).block_on()?;
    }
    expected.sort_unstable();
    assert_eq!(database.root_keys().block_on()?, expected, "root keys with records, sorted");
    let opened = database.open(b"no records", Access::Shared).block_on()?;
    assert_eq!(database.root_keys().block_on()?, expected, "opening a partition makes no record");
    drop(opened);
    let partition = database.open(b"a", Access::Shared).block_on()?;
    let mut batch = WriteBatch::new();
    batch.delete_prefix("");
    partition.write_batch(batch).block_on()?;
    expected.retain(|root_key| *root_key != b"a");
    assert_eq!(database.root_keys().block_on()?, expected, "a partition without records is gone");
    Ok(())
}

/// What is done to one partition is seen in no other, however near its root key is.
fn apart(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let all = sample::root_keys(subject.abilities.source);
    let open = |root_key: &&'static [u8]| database.open(root_key, Access::Shared).block_on();
    let partitions: Vec<_> = all.iter().map(open).collect::<Result<_>>()?;
    for (root_key, partition) in all.iter().zip(&partitions) {
        partition.write_batch(puts(KEYS, root_key)).block_on()?;
    }
    for emptied in 0..all.len() {
        let mut batch = WriteBatch::new();
        batch.delete_prefix("");
        partitions[emptied].write_batch(batch).block_on()?;
        for (index, partition) in partitions.iter().enumerate() {
            let found = collect(partition.scan_prefix(b""))?;
            let expected = if index <= emptied { 0 } else { KEYS.len() };
            assert_eq!(found.len(), expected, "{:?} after {:?}", all[index], all[emptied]);
            assert!(found.iter().all(|(_, value)| value == all[index]), "{:?}", all[index]);
        }
    }
    Ok(())
}

fn get(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    for (number, key) in (0_u8..).zip(KEYS) {
        assert_eq!(partition.get(key).block_on()?, None, "{key:?} before it was put");
        partition.write_batch(puts(&[key], &vec![number; number.into()])).block_on()?;
    }
    for (number, key) in (0_u8..).zip(KEYS) {
        let expected = vec![number; number.into()];
        assert_eq!(partition.get(key).block_on()?, Some(expected), "{key:?}");
    }
    partition.write_batch(puts(&[b"a"], b"overwritten")).block_on()?;
    assert_eq!(partition.get(b"a").block_on()?.as_deref(), Some(&b"overwritten"[..]));
    assert_eq!(partition.get(b"a\x00\x00").block_on()?, None);
    let mut batch = WriteBatch::new();
    batch.delete("a");
    batch.delete("was never there");
    partition.write_batch(batch).block_on()?;
    assert_eq!(partition.get(b"a").block_on()?, None, "a deleted key");
    Ok(())
}

fn multi_get(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    let mut batch = puts(&[b"a"], b"1");
    batch.put("b", "");
    partition.write_batch(batch).block_on()?;
    let asked = ["b", "missing", "a", "b", ""].map(|key| key.as_bytes().to_vec());
    let found = partition.multi_get(&asked).block_on()?;
    let expected =
        [Some(&b""[..]), None, Some(b"1"), Some(b""), None].map(|value| value.map(<[u8]>::to_vec));
    assert_eq!(found, expected, "the values of {asked:?}");
    assert_eq!(partition.multi_get(&[]).block_on()?, []);
    Ok(())
}

fn scan_prefix(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    partition.write_batch(puts(KEYS, b"value")).block_on()?;
    let mut sorted = KEYS.to_vec();
    sorted.sort_unstable();
    for prefix in
        [&b""[..], b"\x00", b"a", b"a\xff", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff", b"c"]
    {
        let mut expected = sorted.clone();
        expected.retain(|key| key.starts_with(prefix));
        assert_eq!(scan_keys(partition.as_ref(), prefix)?, expected, "the prefix {prefix:?}");
    }
    Ok(())
}

fn scan_moment(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    let keys: Vec<[u8; 4]> = (0..20_000_u32).map(u32::to_be_bytes).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
    partition.write_batch(puts(&keys, &[1; 100])).block_on()?;
    let mut pairs = partition.scan_prefix(b"");
    let (_, value) = pairs.try_next().block_on()?.expect("there are records");
    partition.write_batch(puts(&keys, &[2; 100])).block_on()?;
    let rest = collect(pairs)?;
    assert_eq!(rest.len() + 1, keys.len(), "each key once");
    let same = rest.iter().all(|(_, other)| *other == value);
    assert!(same, "a scan saw one batch in part");
    Ok(())
}

fn delete_prefix(subject: &Subject<'_>) -> Result<()> {
    for prefix in
        [&b""[..], b"\x00", b"a", b"a\xff", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff", b"c"]
    {
        let (_place, partition) = partition(subject)?;
        partition.write_batch(puts(KEYS, b"value")).block_on()?;
        let mut batch = WriteBatch::new();
        batch.delete_prefix(prefix);
        partition.write_batch(batch).block_on()?;
        let mut expected = KEYS.to_vec();
        expected.retain(|key| !key.starts_with(prefix));
        expected.sort_unstable();
        assert_eq!(scan_keys(partition.as_ref(), b"")?, expected, "without the prefix {prefix:?}");
    }
    Ok(())
}

fn in_order(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    let mut batch = puts(&[b"ab", b"b"], b"first");
    batch.delete_prefix("a");
    batch.put("ac", "after the prefix");
    batch.delete("b");
    batch.put("b", "after the delete");
    batch.put("b", "twice");
    batch.put("c", "");
    batch.delete("c");
    partition.write_batch(batch).block_on()?;
    let expected = [("ac", "after the prefix"), ("b", "twice")]
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
    assert_eq!(collect(partition.scan_prefix(b""))?, expected);
    Ok(())
}

/// Readers beside a writer see each batch whole or not at all.
fn atomic(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    let write = |round: u64| {
        let mut batch = WriteBatch::new();
        batch.delete_prefix("");
        (0..50_u8).for_each(|key| batch.put([key], round.to_be_bytes()));
        partition.write_batch(batch).block_on()
    };
    write(0)?;
    beside(write, || {
        (0..300).try_for_each(|_| {
            let found = collect(partition.scan_prefix(b""))?;
            assert_eq!(found.len(), 50, "a batch was seen in part");
            let same = found.iter().all(|(_, value)| *value == found[0].1);
            assert!(same, "two batches were seen in part");
            Ok(())
        })
    })
}

fn empty_batch(subject: &Subject<'_>) -> Result<()> {
    let (_place, partition) = partition(subject)?;
    partition.write_batch(WriteBatch::new()).block_on()?;
    assert_eq!(collect(partition.scan_prefix(b""))?, []);
    Ok(())
}

/// One byte above a limit refuses the whole batch. Limits that no test's memory reaches are left.
fn limits(subject: &Subject<'_>) -> Result<()> {
    const REACHABLE: u64 = 64 << 20;
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let partition = database.open(b"", Access::Shared).block_on()?;
    let limits = database.limits();
    let above = |limit: u64| {
        let length = usize::try_from(limit + 1).ok().filter(|_| limit < REACHABLE);
        length.map(|length| vec![7; length])
    };
    let mut too_large = Vec::new();
    if let Some(key) = above(limits.key) {
        too_large.push((key, Vec::new()));
        let root_key =
            database.open(&above(limits.key).unwrap_or_default(), Access::Shared).block_on();
        let refused = matches!(root_key, Err(Error::Limit { .. } | Error::Unsupported { .. }));
        assert!(refused, "a root key above the limit was opened");
    }
    if let Some(value) = above(limits.value.min(limits.batch)) {
        too_large.push((b"key".to_vec(), value));
    }
    assert!(!too_large.is_empty(), "a key above 64 MiB cannot travel; the limit is {limits:?}");
    for (key, value) in too_large {
        let mut batch = puts(&[b"in the same batch"], b"value");
        batch.put(key, value);
        let written = partition.write_batch(batch).block_on();
        assert!(matches!(written, Err(Error::Limit { .. })), "above {limits:?}: {written:?}");
    }
    assert_eq!(collect(partition.scan_prefix(b""))?, [], "a refused batch wrote something");
    Ok(())
}

fn longest_key(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let partition = database.open(b"", Access::Shared).block_on()?;
    let longest = database.limits().key.min(backup_core::record::MAX_KEY_BYTES as u64);
    let key = vec![0xff; usize::try_from(longest).expect("bounded by MAX_KEY_BYTES")];
    partition.write_batch(puts(&[&key], b"value")).block_on()?;
    assert_eq!(partition.get(&key).block_on()?.as_deref(), Some(&b"value"[..]));
    assert_eq!(scan_keys(partition.as_ref(), &key[..key.len() - 1])?, [key]);
    Ok(())
}

fn other_handles(subject: &Subject<'_>) -> Result<()> {
    let (place, one) = partition(subject)?;
    let other = first(store_of(place.as_ref())?.as_ref())?.open(b"", Access::Shared).block_on()?;
    for round in 0..100_u8 {
        one.write_batch(puts(&[b"key"], &[round])).block_on()?;
        assert_eq!(other.get(b"key").block_on()?, Some(vec![round]));
    }
    Ok(())
}

fn snapshots(subject: &Subject<'_>) -> Result<()> {
    let can = subject.abilities.source;
    let place = subject.place()?;
    let store = store_of(place.as_ref())?;
    first(store.as_ref())?;
    let mut expected = Contents::new();
    for name in sample::databases(can) {
        if *name != FIRST {
            store.create(name).block_on()?;
        }
        for root_key in sample::root_keys(can) {
            let database = store.database(name).block_on()?;
            let partition = database.open(root_key, Access::Shared).block_on()?;
            partition.write_batch(puts(KEYS, name.as_bytes())).block_on()?;
            for key in KEYS {
                expected.put(name, root_key, key, *name);
            }
        }
    }
    let found = contents(place.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "what was written, in a snapshot");
    Ok(())
}
