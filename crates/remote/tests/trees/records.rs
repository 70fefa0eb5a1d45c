//! Trees of records.

use std::sync::Arc;

use backup_core::integrity::Summer;
use backup_core::progress::Context;
use backup_core::record::{MAX_WHOLE_VALUE, RecordBatch, RecordKey, parts};
use backup_core::source::BatchStream;
use backup_core::{Error, Records};
use futures_util::{StreamExt, stream};
use remote::tree::{Found, Reading, TreeReader, Unsaved, write_records};
use remote::{Root, Session};

use crate::listed::{
    Map, database, read_all, repository, source, store, stored_objects, synthetic,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_back_with_its_sum() {
    let repository = repository().await;
    let records = Arc::new(synthetic(30_000, 1));
    let (_, written) = store(&repository, &records, Vec::new(), &[]).await;
    let tree = written.tree.unwrap();
    let (found, sum) = read_all(&repository, &tree, None).await;
    assert_eq!(found, *records);
    assert_eq!(sum, written.sum);
    let mut summer = Summer::new(b"default");
    for (at, value) in records.iter() {
        for part in parts(&at.root_key, &at.key, value) {
            summer.add_record(&part).unwrap();
        }
    }
    assert_eq!(summer.finish().unwrap(), written.sum);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_has_no_tree_and_the_identity() {
    let repository = repository().await;
    let (_, written) = store(&repository, &Arc::new(Map::new()), Vec::new(), &[]).await;
    assert_eq!(written.tree, None);
    assert!(written.sum.lthash.is_identity());
}

/// A boundary must not depend on where a parallel reader began, or equal content would be stored
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_leave_no_trace_in_the_tree() {
    let repository = repository().await;
    let records = Arc::new(synthetic(40_000, 2));
    let (id, whole) = store(&repository, &records, Vec::new(), &[]).await;
    let keys: Vec<RecordKey> = records.keys().cloned().collect();
    let seed = testkit::seed::seed();
    for round in 0..6_u64 {
        let mut cuts: Vec<RecordKey> = (0..3 + round)
            .map(|cut| {
                let drawn = testkit::noise(seed ^ (round << 32) ^ cut, 8);
                let number = u64::from_le_bytes(drawn.try_into().unwrap());
                let mut key = keys[usize::try_from(number).unwrap() % keys.len()].clone();
                // Some cuts are not keys that there are.
                if number % 3 == 0 {
                    key.key.push(0);
                }
                key
            })
            .collect();
        cuts.sort();
        cuts.dedup();
        // Two cuts in one leaf: a range with nothing in it.
        cuts.push(keys[keys.len() - 1].clone());
        cuts.sort();
        cuts.dedup();
        let parents = [(id, whole.tree.clone().unwrap())];
        let (_, again) = store(&repository, &records, cuts, &parents).await;
        assert_eq!(again, whole, "seed {seed}, round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_begins_where_it_is_asked_to() {
    let repository = repository().await;
    let records = Arc::new(synthetic(20_000, 3));
    let (_, written) = store(&repository, &records, Vec::new(), &[]).await;
    let tree = written.tree.unwrap();
    for number in [0, 1, 777, 19_999] {
        let from = records.keys().nth(number).unwrap();
        let (found, _) = read_all(&repository, &tree, Some(from)).await;
        assert_eq!(found.len(), records.len() - number);
        assert_eq!(found.first_key_value().unwrap().0, from);
    }
}

/// The promise of content-defined leaves: one record costs its leaf and the path to it.
#[tokio::test(flavor = "multi_thread")]
async fn one_record_more_stores_at_most_three_leaves_and_their_path() {
    let repository = repository().await;
    let mut records = synthetic(60_000, 4);
    let (id, before) = store(&repository, &Arc::new(records.clone()), Vec::new(), &[]).await;
    let parent = before.tree.unwrap();
    for number in 0..10_u64 {
        let key = RecordKey::new(b"", &testkit::noise(1_000_000 + number, 16));
        records.insert(key.clone(), vec![1; 200]);
        let objects = stored_objects(&repository).await;
        let parents = [(id, parent.clone())];
        let (_, after) = store(&repository, &Arc::new(records.clone()), Vec::new(), &parents).await;
        let more = stored_objects(&repository).await - objects;
        // The manifest, the directory, the path, and three leaves.
        let allowed = 2 + usize::from(parent.levels) + 1 + 3;
        assert!(more <= allowed, "{more} objects were stored, {allowed} may be");
        assert_ne!(after.sum, before.sum);
        records.remove(&key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_values_go_into_pieces_that_are_reused() {
    let repository = repository().await;
    let mut records = synthetic(2_000, 5);
    for (number, length) in
        [MAX_WHOLE_VALUE, MAX_WHOLE_VALUE + 1, 3 * MAX_WHOLE_VALUE + 5].into_iter().enumerate()
    {
        let key = RecordKey::new(b"", format!("long {number}").as_bytes());
        records.insert(key, testkit::noise(99, length));
    }
    let (id, written) = store(&repository, &Arc::new(records.clone()), Vec::new(), &[]).await;
    let tree = written.tree.clone().unwrap();
    assert_eq!(tree.root.pieces, 2 + 4);
    let (found, sum) = read_all(&repository, &tree, None).await;
    assert_eq!((found == records, sum), (true, written.sum.clone()));
    // A value that keeps its beginning keeps the pieces of it.
    let long = RecordKey::new(b"", b"long 2");
    records.get_mut(&long).unwrap().push(1);
    let objects = stored_objects(&repository).await;
    let (_, after) =
        store(&repository, &Arc::new(records.clone()), Vec::new(), &[(id, tree)]).await;
    let more = stored_objects(&repository).await - objects;
    assert!(more <= 2 + 1 + 3, "{more} objects were stored");
    let (found, _) = read_all(&repository, &after.tree.unwrap(), None).await;
    assert!(found == records);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_found_alone() {
    let repository = repository().await;
    let mut records = synthetic(3_000, 9);
    let long = RecordKey::new(b"", b"long");
    records.insert(long.clone(), testkit::noise(1, MAX_WHOLE_VALUE + 1));
    let (_, written) = store(&repository, &Arc::new(records.clone()), Vec::new(), &[]).await;
    let mut reader = TreeReader::new(repository.objects().clone(), written.tree.unwrap());
    for (at, value) in &records {
        match reader.get(at).await.unwrap().unwrap() {
            Found::Inline(found) => assert_eq!(found, *value),
            pieces @ Found::Pieces(_) => {
                assert_eq!((at, pieces.total()), (&long, value.len() as u64));
            }
        }
        let absent = RecordKey::new(&at.root_key, &[&at.key[..], b"~"].concat());
        assert_eq!(reader.get(&absent).await.unwrap().is_some(), records.contains_key(&absent));
    }
}

/// A leaf that is not what refers to it is read once, and not again for each record that is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_was_found_damaged_is_not_read_again() {
    let repository = repository().await;
    let records = Arc::new(synthetic(20, 9));
    let (_, written) = store(&repository, &records, Vec::new(), &[]).await;
    let mut tree = written.tree.unwrap();
    assert_eq!(tree.levels, 0, "one leaf");
    tree.root.records += 1;
    let mut reader = TreeReader::new(repository.objects().clone(), tree);
    let mut said = Vec::new();
    for at in records.keys().take(3) {
        let error = reader.get(at).await.unwrap_err();
        assert!(error.is_damage(), "{error}");
        said.push(format!("{error:?}"));
    }
    assert!(!said[0].contains("found damaged before"), "{said:?}");
    assert!(said[1..].iter().all(|said| said.contains("found damaged before")), "{said:?}");
}

/// A source that gives records out of order would give a tree that nothing finds them in.
#[tokio::test(flavor = "multi_thread")]
async fn records_out_of_order_or_twice_are_refused() {
    const DESCENDING: &[&[u8]] = &[b"b", b"a"];
    const TWICE: &[&[u8]] = &[b"a", b"a"];
    struct Unsorted(&'static [&'static [u8]]);
    #[async_trait::async_trait]
    impl Records for Unsorted {
        async fn splits(&self, _: usize, _: usize) -> backup_core::Result<Vec<RecordKey>> {
            Ok(Vec::new())
        }
        fn scan(&self, _: usize, _: Option<&RecordKey>) -> BatchStream {
            let mut batch = RecordBatch::new();
            for key in self.0 {
                batch.push(backup_core::record::Record::whole(b"", key, b"")).unwrap();
            }
            stream::iter([Ok::<_, Error>(batch)]).boxed()
        }
    }
    let repository = repository().await;
    let head = repository.head().await.unwrap();
    for keys in [DESCENDING, TWICE] {
        let session =
            Arc::new(Session::begin(&repository, &head, &source(), &[] as &[Root]).await.unwrap());
        let (unsorted, info) = (Unsorted(keys), database());
        let reading = Reading { records: &unsorted, number: 0, database: &info, readers: 1 };
        let refused = write_records(&session, reading, &[], &Unsaved, &Context::default()).await;
        assert!(matches!(refused, Err(remote::Error::Format { .. })), "{refused:?}");
    }
}
