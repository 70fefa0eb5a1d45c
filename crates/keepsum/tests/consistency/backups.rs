//! Backups of a store that is being written, each restored, proved and checked.

use backup_core::Source;
use backup_core::progress::Context;
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{Host, Repository, RepositoryLocation, SnapshotSpec, StoreLocation};
use testkit::contents::{Contents, contents};

/// Backs up `source` `rounds` times, restores each snapshot into a RocksDB store of its own, and
/// checks what is there. Returns the contents of all of them.
pub(crate) async fn back_up_and_check(
    source: &dyn Source,
    shape: ShapeChoice,
    rounds: u32,
    check: impl Fn(&Contents) -> Result<(), String>,
) -> Vec<Contents> {
    let (host, context) = (Host::system("test"), Context::default());
    let location = RepositoryLocation::memory();
    let repository = Repository::init(&location, &host, &context).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..rounds {
        let options = BackupOptions { shape: Some(shape), ..BackupOptions::default() };
        let report = backup(&repository, source, &options).await.unwrap();
        let spec: SnapshotSpec = report.snapshot.parse().unwrap();
        let path = folder.path().join(format!("restored-{round}"));
        let target: StoreLocation = format!("rocksdb:{}", path.display()).parse().unwrap();
        let options = RestoreOptions::default();
        let into = target.target().unwrap();
        restore(&repository, &spec, into.as_ref(), &options).await.unwrap();
        let restored = target.source(&SourceOptions::default()).unwrap();
        let found = contents(restored.as_ref()).await.unwrap();
        if let Err(why) = check(&found) {
            panic!("backup {round} of the {shape:?} shape is of no one moment: {why}");
        }
        all.push(found);
    }
    let found = verify(&repository, Level::Full).await.unwrap();
    assert_eq!(found.findings, []);
    all
}
