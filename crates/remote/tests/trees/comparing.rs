//! Comparing trees, held against the comparison of the maps that they were made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use archive::directory::Content;
use archive::node::Tree;
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use remote::Repository;
use remote::tree::{DiffTotals, Difference, RecordsWritten, compare};

use crate::listed::{Map, repository, store, synthetic};

type Named = BTreeSet<(RecordKey, u8)>;

fn expected(old: &Map, new: &Map) -> Named {
    let gone = old.keys().filter(|key| !new.contains_key(key)).map(|key| (key.clone(), 0));
    let came = new.keys().filter(|key| !old.contains_key(key)).map(|key| (key.clone(), 1));
    let changed = |(key, value): &(&RecordKey, &Vec<u8>)| new.get(key).is_some_and(|v| v != *value);
    let changed = old.iter().filter(changed).map(|(key, _)| (key.clone(), 2));
    gone.chain(came).chain(changed).collect()
}

async fn check(
    repository: &Repository,
    old: (&Map, &RecordsWritten),
    new: (&Map, &RecordsWritten),
) {
    let context = Context::default();
    let mut named = Named::new();
    let mut each = |difference, at: &RecordKey| {
        let kind = match difference {
            Difference::Removed => 0,
            Difference::Added => 1,
            Difference::Changed => 2,
        };
        assert!(named.insert((at.clone(), kind)), "a record is named twice");
    };
    let held = |tree: &Tree| Content::Tree(Box::new(tree.clone()));
    let (one, other) = (old.1.tree.as_ref().map(held), new.1.tree.as_ref().map(held));
    let (one, other) = (one.as_ref(), other.as_ref());
    let objects = repository.objects();
    let totals = compare(objects, one, other, Some(&mut each), &context).await.unwrap();
    let expected = expected(old.0, new.0);
    assert_eq!(named, expected);
    let count = |kind| expected.iter().filter(|(_, found)| *found == kind).count() as u64;
    let counted = DiffTotals { removed: count(0), added: count(1), changed: count(2) };
    assert_eq!(totals, counted);
    // Counting without names may leave unread what lies outside the other's range.
    assert_eq!(compare(objects, one, other, None, &context).await.unwrap(), counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_differ_as_their_records_do() {
    let repository = repository().await;
    let old = synthetic(25_000, 6);
    let (id, old_written) = store(&repository, &Arc::new(old.clone()), Vec::new(), &[]).await;
    let keys: Vec<RecordKey> = old.keys().cloned().collect();
    let edits: [fn(&mut Map, &[RecordKey]); 6] = [
        |_, _| {},
        |map, keys| drop(map.remove(&keys[0])),
        |map, keys| drop(map.insert(keys[17].clone(), b"changed".to_vec())),
        |map, keys| keys[5_000..15_000].iter().for_each(|key| drop(map.remove(key))),
        |map, _| map.extend(super::listed::synthetic(27_000, 6)),
        |map, _| map.clear(),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let mut new = old.clone();
        edit(&mut new, &keys);
        // Once on top of the old tree, once as a stranger with equal content.
        let parents = [(id, old_written.tree.clone().unwrap())];
        for parents in [&parents[..], &[]] {
            let (_, written) =
                store(&repository, &Arc::new(new.clone()), Vec::new(), parents).await;
            check(&repository, (&old, &old_written), (&new, &written)).await;
            check(&repository, (&new, &written), (&old, &old_written)).await;
        }
        assert!(number < edits.len());
    }
}

/// A stranger with equal content is seen to be equal at the root, without reading a leaf.
#[tokio::test(flavor = "multi_thread")]
async fn equal_content_is_equal_at_the_root() {
    let repository = repository().await;
    let records = Arc::new(synthetic(10_000, 7));
    let (_, one) = store(&repository, &records, Vec::new(), &[]).await;
    let (_, other) = store(&repository, &records, Vec::new(), &[]).await;
    let (one, other) = (one.tree.unwrap().root, other.tree.unwrap().root);
    assert_ne!(one.object, other.object, "each session names its own");
    assert_eq!((one.checksum, one.first, one.last), (other.checksum, other.first, other.last));
}
