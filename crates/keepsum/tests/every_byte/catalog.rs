//! Every entry of the catalog, and `keepsum.json`: removed, replaced by another one, cut short.

use keepsum::ExitCode;
use keepsum::verify::Level;

use crate::sound::{MEMORY, Sound, assert_named};

/// Entries, by path, with their bytes.
fn entries(sound: &Sound) -> Vec<(String, Vec<u8>)> {
    sound.stored().into_iter().filter(|(path, _)| path.starts_with("catalog/")).collect()
}

/// `verify` names the entry, or says that the catalog is an older one than this host saw; a restore fails.
async fn assert_found(sound: &Sound, path: &str, newest: bool, what: &str) {
    for level in [Level::List, Level::Full] {
        let report = sound.verify(level).await;
        if newest && report.findings.iter().any(|finding| finding.kind == "history") {
            continue;
        }
        assert_named(&report, path, what);
    }
    assert!(!sound.restores(what).await, "{what}");
}

#[tokio::test]
async fn every_entry_that_is_removed_or_replaced_is_found() {
    let mut sound = Sound::new(MEMORY).await;
    sound.remembers = true;
    sound.open().await.unwrap().head().await.unwrap();
    let entries = entries(&sound);
    assert!(entries.len() >= 5, "{}", entries.len());
    let newest = &entries.last().unwrap().0;
    let mut tried = 0;
    for (path, bytes) in &entries {
        sound.remove(path);
        assert_found(&sound, path, path == newest, &format!("{path} removed")).await;
        tried += 1;
        for (other, others) in entries.iter().filter(|(other, _)| other != path) {
            sound.write(path, others);
            let what = format!("{path} replaced by {other}");
            assert_found(&sound, path, false, &what).await;
            tried += 1;
        }
        for length in [0, 4, bytes.len() / 2, bytes.len() - 1] {
            sound.write(path, &bytes[..length]);
            assert_found(&sound, path, false, &format!("{path} cut to {length}")).await;
            tried += 1;
        }
        sound.write(path, bytes);
    }
    assert_eq!(sound.verify(Level::Full).await.findings, []);
    println!("{tried} entries removed, replaced or cut, all found");
}

/// Without its `keepsum.json` a repository is damaged, and not nothing: `verify` failed with exit code 1.
#[tokio::test]
async fn a_lost_descriptor_is_found_and_named() {
    let sound = Sound::new(MEMORY).await;
    let (path, bytes) = sound.stored().into_iter().find(|(p, _)| p == "keepsum.json").unwrap();
    for length in 0..bytes.len() {
        sound.write(&path, &bytes[..length]);
        assert_named(&sound.verify(Level::List).await, &path, &format!("cut to {length}"));
    }
    sound.remove(&path);
    assert_named(&sound.verify(Level::List).await, &path, "removed");
    assert!(!sound.restores("without keepsum.json").await);
    let error = keepsum::Error::from(sound.open().await.unwrap_err());
    assert_eq!(error.exit_code(), ExitCode::Damaged, "{error}");
    sound.write(&path, &bytes);
    assert_eq!(sound.verify(Level::Full).await.findings, []);
}
