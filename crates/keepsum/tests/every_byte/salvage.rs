//! What is whole of a damaged snapshot comes back, and what does not is listed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use backup_core::check::CheckLevel;
use backup_core::record::RecordKey;
use backup_core::staging::SIDECAR;
use keepsum::location::SourceOptions;
use keepsum::report::{LossReport, RestoreReport};
use keepsum::restore::RestoreOptions;
use keepsum::salvage::salvage;
use keepsum::{Error, ExitCode, SnapshotSpec, StoreLocation};
use testkit::contents::contents;

use crate::sound::{FILES, MEMORY, ROCKSDB, ROCKSDB_FILES, Sound, files_below};

async fn try_salvage(
    sound: &Sound,
    target: &StoreLocation,
    options: &RestoreOptions,
) -> Result<RestoreReport, Error> {
    let repository = sound.open().await?;
    let target = target.target()?;
    salvage(&repository, &SnapshotSpec::latest(), target.as_ref(), options).await
}

fn clear(target: &StoreLocation) {
    let folder = target.path().parent().unwrap();
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
}

fn assert_marked(target: &StoreLocation, what: &str) {
    let told = fs::read_to_string(target.path().join(SIDECAR)).unwrap();
    assert!(told.lines().any(|line| line.starts_with("salvaged")), "{what}: {told}");
}

/// Whether a record is in a range that is said to be lost.
fn is_lost(loss: &LossReport, database: &str, at: &RecordKey) -> bool {
    if let (Some(first), Some(last)) = (&loss.database, &loss.last_database) {
        return (first.as_str()..=last.as_str()).contains(&database);
    }
    let place = [hex::encode(&at.root_key), hex::encode(&at.key)];
    let (Some(first), Some(last)) = (&loss.first, &loss.last) else { return false };
    loss.database.as_deref() == Some(database) && *first <= place && place <= *last
}

#[tokio::test]
async fn every_record_comes_back_or_is_listed_as_lost() {
    let (mut tried, mut with_losses) = (0, 0);
    for case in [MEMORY, ROCKSDB] {
        let sound = Sound::new(case).await;
        let needed = sound.needed().await;
        let target = sound.target();
        let source = sound.source().source(&SourceOptions::default()).unwrap();
        let wanted = contents(source.as_ref()).await.unwrap();
        for (path, bytes) in sound.objects() {
            sound.remove(&path);
            let what = format!("{case:?}: {path}");
            clear(&target);
            let report = match try_salvage(&sound, &target, &RestoreOptions::default()).await {
                Ok(report) => report,
                Err(error) => {
                    // Without its manifest nothing of a snapshot can be found.
                    assert_eq!(error.exit_code(), ExitCode::Damaged, "{what}: {error}");
                    assert!(error.to_string().contains("keepsum snapshots"), "{what}: {error}");
                    assert!(!target.path().exists(), "{what}");
                    sound.write(&path, &bytes);
                    continue;
                }
            };
            assert_eq!((report.proved, report.salvaged), (None, true), "{what}");
            assert_eq!(report.losses.is_empty(), !needed.contains(&path), "{what}: {report:?}");
            assert!(
                report.losses.iter().all(|loss| loss.why.contains(&path)),
                "{what}: {report:?}"
            );
            assert_marked(&target, &what);
            let source = target.source(&SourceOptions::default()).unwrap();
            let found = contents(source.as_ref()).await.unwrap();
            let mut lost: BTreeMap<&str, u64> = BTreeMap::new();
            for (database, records) in &wanted.databases {
                for (at, value) in records {
                    let is_there = found.databases.get(database).and_then(|d| d.get(at));
                    let told = report.losses.iter().any(|loss| is_lost(loss, database, at));
                    assert_eq!(is_there, (!told).then_some(value), "{what}: {database} {at:?}");
                    *lost.entry(database).or_default() += u64::from(told);
                }
            }
            let told: u64 = report.losses.iter().filter_map(|loss| loss.records).sum();
            // Of databases that are lost with all they were, nothing tells how many records they had.
            let all_told = report.losses.iter().all(|loss| loss.records.is_some());
            let lost = lost.values().sum::<u64>();
            assert!(told == lost || (!all_told && told < lost), "{what}: {told} of {lost}");
            tried += 1;
            with_losses += usize::from(lost > 0);
            sound.write(&path, &bytes);
        }
    }
    println!("{tried} snapshots of records salvaged, {with_losses} with losses");
    assert!(tried >= 10 && with_losses >= 6, "{tried} {with_losses}");
}

/// Which bytes of a file are said to be lost. None where nobody says that any is.
pub(crate) fn told(losses: &[LossReport], path: &str, length: usize) -> Option<Vec<bool>> {
    let own = losses.iter().filter(|loss| loss.path.as_deref() == Some(path));
    let own: Vec<_> = own.filter(|loss| loss.last_path.is_none()).collect();
    let mut told = vec![false; length];
    for loss in &own {
        let at = |number: u64| usize::try_from(number).unwrap();
        let start = at(loss.offset.unwrap());
        told[start..loss.bytes.map_or(length, |bytes| start + at(bytes))].fill(true);
    }
    let unnamed = losses.iter().any(|loss| {
        let (Some(first), Some(last)) = (&loss.path, &loss.last_path) else { return false };
        (first.as_str()..=last.as_str()).contains(&path)
    });
    match (own.is_empty(), unnamed) {
        (true, false) => None,
        (true, true) => Some(vec![true; length]),
        _ => Some(told),
    }
}

/// Each file is as it was where nothing is said to be lost, and zeros where something is. One that is not
/// there is said to be lost as a whole.
pub(crate) fn assert_left(
    losses: &[LossReport],
    wanted: &BTreeMap<PathBuf, Vec<u8>>,
    found: &BTreeMap<PathBuf, Vec<u8>>,
    what: &str,
) {
    for (name, content) in wanted.iter().filter(|(name, _)| !name.ends_with(SIDECAR)) {
        let name = name.to_str().unwrap();
        let told = told(losses, name, content.len());
        let Some(left) = found.get(Path::new(name)) else {
            let whole = told.is_some_and(|told| !told.contains(&false));
            assert!(whole, "{what}: {name} is not there and not listed: {losses:?}");
            continue;
        };
        let told = told.unwrap_or_else(|| vec![false; content.len()]);
        let bytes = content.iter().zip(&told).map(|(byte, told)| if *told { 0 } else { *byte });
        assert!(bytes.eq(left.iter().copied()), "{what}: {name}: {losses:?}");
    }
    let strange = found.keys().find(|name| !wanted.contains_key(*name));
    assert_eq!(strange, None, "{what}");
}

#[tokio::test]
async fn every_byte_of_a_file_comes_back_or_is_listed_as_lost() {
    let mut with_losses = 0;
    for case in [FILES, ROCKSDB_FILES] {
        let sound = Sound::new(case).await;
        let needed = sound.needed().await;
        let target: StoreLocation =
            format!("files:{}", sound.path("into/store").display()).parse().unwrap();
        let wanted = {
            clear(&target);
            try_salvage(&sound, &target, &RestoreOptions::default()).await.unwrap();
            files_below(target.path())
        };
        assert!(wanted.len() >= 5, "{case:?}: {:?}", wanted.keys());
        for (path, bytes) in sound.objects() {
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 1;
            for damaged in [None, Some(flipped)] {
                match &damaged {
                    Some(flipped) => sound.write(&path, flipped),
                    None => sound.remove(&path),
                }
                let what = format!("{case:?}: {path}, flipped: {}", damaged.is_some());
                clear(&target);
                if let Ok(report) = try_salvage(&sound, &target, &RestoreOptions::default()).await {
                    let losses = &report.losses;
                    assert_eq!(losses.is_empty(), !needed.contains(&path), "{what}: {report:?}");
                    assert!(losses.iter().all(|loss| loss.why.contains(&path)), "{what}");
                    assert_eq!(report.proved, None, "{what}");
                    assert_marked(&target, &what);
                    assert_left(losses, &wanted, &files_below(target.path()), &what);
                    with_losses += usize::from(!losses.is_empty());
                }
                sound.write(&path, &bytes);
            }
        }
    }
    assert!(with_losses >= 4, "{with_losses}");
}

/// Files of an engine without some of them are no store of it: nothing is made, and it says what can be.
#[tokio::test]
async fn an_engine_does_not_get_some_of_its_files() {
    let sound = Sound::new(ROCKSDB_FILES).await;
    let target = sound.target();
    clear(&target);
    let whole = try_salvage(&sound, &target, &RestoreOptions::default()).await.unwrap();
    assert_eq!((whole.losses.len(), whole.proved), (0, None));
    assert_marked(&target, "whole");
    let mut refused = 0;
    for path in sound.needed().await {
        sound.remove(&path);
        clear(&target);
        let error = try_salvage(&sound, &target, &RestoreOptions::default()).await.unwrap_err();
        refused += usize::from(error.exit_code() == ExitCode::Refused);
        assert!(!target.path().exists(), "{path}: {error}");
        sound.repair();
    }
    assert!(refused >= 1);
}

#[tokio::test]
async fn a_salvaged_store_replaces_nothing_and_proves_nothing() {
    let sound = Sound::new(MEMORY).await;
    let target = sound.target();
    for options in [
        RestoreOptions { replace: true, ..RestoreOptions::default() },
        RestoreOptions { check: Some(CheckLevel::Quick), ..RestoreOptions::default() },
    ] {
        clear(&target);
        let error = try_salvage(&sound, &target, &options).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage, "{error}");
        assert!(!target.path().exists());
    }
    clear(&target);
    fs::create_dir(target.path()).unwrap();
    fs::write(target.path().join("old.bcs"), b"what was there").unwrap();
    let error = try_salvage(&sound, &target, &RestoreOptions::default()).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Refused, "{error}");
    assert_eq!(fs::read(target.path().join("old.bcs")).unwrap(), b"what was there");
}
