//! What `verify` lists as damaged, the next backup stores anew.

use archive::catalog::Change;
use backup_core::progress::Context;
use keepsum::report::VerifyReport;
use keepsum::verify::{Level, verify_and_list};
use remote::Decision;

use crate::sound::{CASES, ROCKSDB, Sound};

async fn list_damage(sound: &Sound, level: Level) -> VerifyReport {
    let repository = sound.open().await.unwrap();
    verify_and_list(&repository, level).await.unwrap()
}

async fn head_number(sound: &Sound) -> u64 {
    sound.open().await.unwrap().head().await.unwrap().number
}

/// The number of files below `objects/`.
async fn objects(sound: &Sound) -> usize {
    let repository = sound.open().await.unwrap();
    repository.objects().list(&Context::default()).await.unwrap().len()
}

/// Takes all snapshots but one out of the catalog, as a collection's `forget` does.
async fn forget_others(sound: &Sound, kept: &str) {
    let repository = sound.open().await.unwrap();
    let head = repository.head().await.unwrap();
    let others = head.state.snapshots.keys().filter(|id| id.to_string() != kept);
    let changes: Vec<Change> = others.copied().map(Change::Forget).collect();
    let decide = move |_: &_, _: &[_]| Ok(Decision::Commit(changes.clone()));
    repository.catalog().commit(&head, decide).await.unwrap();
}

#[tokio::test]
async fn each_object_that_is_damaged_heals_with_the_next_backup() {
    let (mut healed, mut stored_anew) = (0, 0);
    for case in CASES {
        let sound = Sound::new(case).await;
        // The list of damaged objects is removed, and so are half of the others.
        let removed =
            |number: usize, path: &String| number.is_multiple_of(2) || *path == sound.list;
        for (number, (path, bytes)) in sound.objects().iter().enumerate() {
            let what = format!("{case:?}: {path}");
            if removed(number, path) {
                sound.remove(path);
            } else {
                let mut flipped = bytes.clone();
                flipped[bytes.len() / 2] ^= 4;
                sound.write(path, &flipped);
            }
            let found = list_damage(&sound, Level::Full).await;
            assert!(found.findings.iter().any(|finding| finding.what == *path), "{what}");
            // A damaged list of damaged objects is replaced, and named by none.
            let expected = u64::from(*path != sound.list);
            assert!(found.listed_damaged.is_some_and(|n| n >= expected), "{what}: {found:?}");
            // The same finding is not committed twice.
            let number = head_number(&sound).await;
            list_damage(&sound, Level::Full).await;
            list_damage(&sound, Level::List).await;
            assert_eq!(head_number(&sound).await, number, "{what}");

            let count = objects(&sound).await;
            let taken = sound.back_up().await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let added = objects(&sound).await - count;
            // It, the nodes above it, and the manifest.
            assert!((1..=4).contains(&added), "{what}: {added} objects");
            assert!(sound.restores(&what).await, "{what}");
            let after = sound.verify(Level::Full).await;
            let breaks =
                |finding: &&keepsum::report::Finding| finding.detail.contains(&taken.snapshot);
            assert_eq!(after.findings.iter().find(breaks), None, "{what}");

            // Once nothing live reaches what was damaged, nothing is found and the list ends.
            forget_others(&sound, &taken.snapshot).await;
            let last = list_damage(&sound, Level::Full).await;
            assert_eq!(
                (last.findings.len(), last.listed_damaged),
                (0, Some(0)),
                "{what}: {last:?}"
            );
            let head = sound.open().await.unwrap().head().await.unwrap();
            assert!(head.state.damaged.is_empty(), "{what}");
            healed += 1;
            stored_anew += added;
            sound.repair();
        }
    }
    println!("{healed} damaged objects healed; {stored_anew} objects stored anew");
    assert!(healed >= 25, "{healed}");
}

/// The level `list` does not read leaves, so it takes nothing off a list.
#[tokio::test]
async fn a_look_that_reads_less_ends_no_list() {
    let sound = Sound::new(ROCKSDB).await;
    let needed = sound.needed().await;
    let (path, bytes) = sound.objects().into_iter().find(|(p, _)| needed.contains(p)).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 1] ^= 1;
    sound.write(&path, &flipped);
    let full = list_damage(&sound, Level::Full).await;
    assert_eq!(full.listed_damaged, Some(1));
    // As if only a reader's disk had been at fault.
    sound.write(&path, &bytes);
    let listed = list_damage(&sound, Level::List).await;
    assert_eq!((listed.findings.len(), listed.listed_damaged), (0, Some(1)));
    let whole = list_damage(&sound, Level::Full).await;
    assert_eq!((whole.findings.len(), whole.listed_damaged), (0, Some(0)));
}
