//! Every stored byte, flipped.

use std::collections::BTreeMap;

use keepsum::verify::Level;

use crate::sound::{CASES, Case, Sound, assert_named};

/// Every so many flips, a restore is tried too: it reads the same objects by the same calls.
const RESTORE_EVERY: usize = 199;

/// What was tried in one repository.
#[derive(Debug, Default)]
struct Tried {
    flips: usize,
    /// How many of them the level `list` found as well.
    found_by_list: usize,
    restores: usize,
    restores_refused: usize,
}

/// Every byte of every file of the repository: one bit of it, another one from byte to byte.
async fn every_byte(case: Case) -> Tried {
    let sound = Sound::new(case).await;
    let needed = sound.needed().await;
    assert!(needed.len() >= 2, "{needed:?}");
    let mut tried = Tried::default();
    let mut by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for (path, bytes) in sound.stored() {
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            sound.write(&path, &damaged);
            let what = format!("{case:?}: byte {at} of {path}");
            assert_named(&sound.verify(Level::Full).await, &path, &what);
            tried.flips += 1;
            if tried.flips.is_multiple_of(RESTORE_EVERY) {
                let is_object = path.starts_with("objects/");
                let restored = sound.restores(&what).await;
                assert_eq!(restored, is_object && !needed.contains(&path), "{what}");
                tried.restores += 1;
                tried.restores_refused += usize::from(!restored);
                let listed = sound.verify(Level::List).await;
                tried.found_by_list += usize::from(!listed.findings.is_empty());
            }
        }
        *by_kind.entry(path.split('/').next().unwrap().to_owned()).or_default() += bytes.len();
        sound.write(&path, &bytes);
    }
    println!("{case:?}: {tried:?}, bytes flipped: {by_kind:?}");
    tried
}

#[tokio::test]
async fn every_flipped_byte_is_found_and_named() {
    let mut all = Tried::default();
    for case in CASES {
        let tried = every_byte(case).await;
        assert!(tried.flips > 2_000, "{tried:?}");
        assert!(tried.restores_refused > 5, "{tried:?}");
        all.flips += tried.flips;
        all.restores += tried.restores;
        all.restores_refused += tried.restores_refused;
        all.found_by_list += tried.found_by_list;
    }
    println!("all: {all:?}");
    assert!(all.flips > 50_000 && all.restores_refused > 150, "{all:?}");
}
