//! A power cut after every operation of a salvage of files with a hole: all that is left of them is there, marked,
//! or nothing is.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use backup_core::staging::MARK;
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::restore::RestoreOptions;
use keepsum::salvage::salvage;
use testkit::crash::{Survival, Volume};
use testkit::faults::{Ran, Shim};

use crate::place::{Place, shown};

const PIECE: usize = 1 << 20;

/// Files of which one lost a piece in its middle or at one of its ends.
async fn prepare(place: &Place) {
    place.init().await;
    fs::create_dir_all(place.path("source/deep")).unwrap();
    fs::write(place.path("source/long"), testkit::noise(1, 2 * PIECE + 5000)).unwrap();
    fs::write(place.path("source/deep/short"), b"short").unwrap();
    fs::write(place.path("source/empty"), b"").unwrap();
    let source = place.store("files:source").source(&SourceOptions::default()).unwrap();
    let options = BackupOptions { shape: Some(ShapeChoice::Files), ..BackupOptions::default() };
    let repository = place.repository().await;
    backup(&repository, source.as_ref(), &options).await.unwrap();
    let objects = files_below(&place.path("repo/objects"));
    let piece = objects.iter().find(|(_, bytes)| bytes.len() > PIECE).unwrap().0;
    fs::remove_file(place.path("repo/objects").join(piece)).unwrap();
    fs::create_dir(place.path("tmp")).unwrap();
}

/// The files below a folder, but for the mark that a crash while it was put in place may leave there.
fn files_below(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = testkit::tree::tree(root).unwrap();
    let files = entries.into_iter().filter(|(path, _)| root.join(path).is_file());
    let files = files.filter(|(path, _)| *path != Path::new(MARK));
    files.map(|(path, _)| (path.clone(), fs::read(root.join(&path)).unwrap())).collect()
}

#[tokio::test]
async fn a_salvage_of_files_with_a_hole_cut_off() {
    let Some(shim) = Shim::compile() else { return };
    let place = Place::new();
    prepare(&place).await;
    let mut volume = Volume::read(&place.home()).unwrap();
    let journal = place.beside("journal");
    let (location, target) = (place.store("files:target"), place.path("target"));
    let args = ["restore", "latest", &location.to_string(), "--salvage"].map(str::to_owned);
    let mut command = place.command(&args);
    shim.load(&mut command, &place.home(), &journal);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    let done = files_below(&target);
    assert_eq!(done[Path::new("long")].len(), 2 * PIECE + 5000);
    assert!(done[Path::new("long")].windows(PIECE).any(|part| part.iter().all(|byte| *byte == 0)));
    let ran = Ran::read(&journal, &place.home()).unwrap();
    let (mut seen, mut there, mut absent) = (HashSet::new(), 0, 0);
    for number in 0..=ran.ops.len() {
        if let Some(op) = number.checked_sub(1).map(|last| &ran.ops[last]) {
            volume.apply(op);
        }
        for survival in [Survival::Synced, Survival::Everything, Survival::Some(0)] {
            let left = volume.after_crash(survival);
            if !seen.insert(left.fingerprint()) {
                continue;
            }
            place.reset(&left);
            let what = format!("cut off after operation {number}, {survival:?} of the unsynced");
            if target.exists() {
                assert!(files_below(&target) == done, "{what}: the target is between");
                there += 1;
                continue;
            }
            let (spec, options) = ("latest".parse().unwrap(), RestoreOptions::default());
            let (repository, into) = (place.repository().await, location.target().unwrap());
            let again = salvage(&repository, &spec, into.as_ref(), &options).await;
            let report = again.unwrap_or_else(|error| panic!("{what}: the same again: {error}"));
            assert_eq!(report.losses.len(), 1, "{what}");
            assert!(files_below(&target) == done, "{what}: the target after the same again");
            let hidden = place.names().into_iter().filter(|name| name.starts_with('.'));
            assert_eq!(hidden.collect::<Vec<_>>(), [""; 0], "{what}");
            absent += 1;
        }
    }
    place.reset(&volume.after_crash(Survival::Synced));
    assert!(files_below(&target) == done, "it said that it was done");
    println!(
        "{} operations; after a crash {absent} states without it, {there} with it",
        ran.ops.len()
    );
    assert!(absent > 10 && there > 0, "{absent} {there}");
}
