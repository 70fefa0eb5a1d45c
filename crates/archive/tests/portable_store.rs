//! Portable files as stores: what is refused, what is kept as it was, and what a person is told.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use archive::portable::{PortableSource, PortableTarget, file_name};
use backup_core::disk::{Access, Disk, DiskFile, LocalDisk};
use backup_core::kv::{Operation, WriteBatch};
use backup_core::progress::Context;
use backup_core::record::{MAX_WHOLE_VALUE, Record, RecordBatch, RecordKey};
use backup_core::source::{DatabaseInfo, Layout, View};
use backup_core::target::{Content, Existing, RestorePlan, Restored};
use backup_core::{Error, RestoreExt, Result, Snapshot, Source, Target};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;
use tempfile::TempDir;
use testkit::conformance::{self, Factory, Place, Writer};
use testkit::contents::{Contents, contents, snapshot_contents};
use testkit::matrix;
use testkit::transfer::{origin, transfer};

type Map = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// So little memory that everything is spilled and merged.
const LITTLE: usize = 1 << 10;

/// Places for portable stores of one form.
struct Portable(&'static str);

struct PortablePlace {
    folder: TempDir,
    name: &'static str,
}

impl PortablePlace {
    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }
}

impl Factory for Portable {
    fn name(&self) -> &'static str {
        self.0
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        let folder = tempfile::tempdir().map_err(Error::io("make", "a scratch folder"))?;
        Ok(Box::new(PortablePlace { folder, name: self.0 }))
    }
}

impl Place for PortablePlace {
    fn source(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(PortableSource::new(&self.path(), std::env::temp_dir())?.with_memory(64 << 10)))
    }

    fn target(&self) -> Option<Arc<dyn Target>> {
        Some(Arc::new(PortableTarget::new(&self.path()).unwrap().with_memory(64 << 10)))
    }

    fn writer(&self) -> Result<Option<Box<dyn Writer>>> {
        let scratch = self.folder.path().join(".written");
        Ok(Some(Box::new(Replacing { store: self.path(), scratch })))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        let beside = self.folder.path().join(format!("{}.keepsum", self.name));
        let inside = self.path().join("KEEPSUM_RESTORED");
        Ok(fs::read_to_string(beside).or_else(|_| fs::read_to_string(inside)).ok())
    }

    fn untouched(&self) -> Option<PathBuf> {
        Some(self.folder.path().to_owned())
    }
}

/// A program that replaces a portable file with each batch, as one would with what it keeps.
struct Replacing {
    store: PathBuf,
    scratch: PathBuf,
}

impl Writer for Replacing {
    fn write(&self, database: &str, root_key: &[u8], batch: WriteBatch) -> Result<()> {
        let path = if self.store.is_dir() {
            self.store.join(file_name(database)?)
        } else {
            self.store.clone()
        };
        let mut map: Map = bcs::from_bytes(&fs::read(&path).unwrap()).unwrap();
        let partition = map.entry(root_key.to_vec()).or_default();
        for operation in batch.operations {
            match operation {
                Operation::Put { key, value } => drop(partition.insert(key, value)),
                Operation::Delete { key } => drop(partition.remove(&key)),
                Operation::DeletePrefix { prefix } => {
                    partition.retain(|key, _| !key.starts_with(&prefix));
                }
            }
        }
        fs::write(&self.scratch, bcs::to_bytes(&map).unwrap()).unwrap();
        fs::rename(&self.scratch, &path).map_err(Error::io("replace", path))
    }
}

#[test]
fn a_file_conforms() {
    conformance::run(&Portable("store.bcs"));
}

#[test]
fn a_folder_conforms() {
    conformance::run(&Portable("store"));
}

#[test]
fn any_store_comes_through_folders() {
    matrix::pair(&Portable("store"), &Portable("store"), 30);
}

/// A folder with a store named `x.bcs` of one database.
fn stored(contents: &Contents) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bcs");
    transfer(contents, &PortableTarget::new(&path).unwrap(), Existing::Refuse).block_on().unwrap();
    (folder, path)
}

fn plain(keys: &[&str]) -> Contents {
    let mut contents = Contents::new();
    contents.add_database("default");
    for key in keys {
        contents.put("default", b"", key.as_bytes(), *key);
    }
    contents
}

fn source(path: &Path) -> PortableSource {
    PortableSource::new(path, std::env::temp_dir()).unwrap().with_memory(LITTLE)
}

fn snapshot(path: &Path) -> Result<Box<dyn Snapshot>> {
    source(path).snapshot(View::Records, &Context::default()).block_on()
}

/// The error of a snapshot that must not be given.
#[track_caller]
fn refused(path: &Path) -> Error {
    match snapshot(path) {
        Err(error) => error,
        Ok(snapshot) => panic!("a snapshot was given: {:?}", snapshot.info()),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_what_bcs_writes() {
    let (_folder, path) = stored(&plain(&["a", "b"]));
    let map: Map = [(vec![], ["a", "b"].map(|key| (key.into(), key.into())).into())].into();
    assert_eq!(fs::read(path).unwrap(), bcs::to_bytes(&map).unwrap());
}

#[test]
fn a_store_tells_what_it_holds() {
    let mut expected = plain(&["a"]);
    expected.put("default", b"root", b"key", "value");
    let (_folder, path) = stored(&expected);
    let snapshot = snapshot(&path).unwrap();
    let info = snapshot.info();
    assert_eq!(info.layout, Layout::Partitioned);
    assert_eq!(info.notes, [""; 0]);
    let [database] = &info.databases[..] else { panic!("{:?}", info.databases) };
    assert_eq!(database.name, "default");
    assert_eq!((database.estimated_records, database.estimated_bytes), (Some(2), Some(14)));
    let described = source(&path).describe();
    assert_eq!(described.location, format!("memory:{}", path.display()));
}

#[test]
fn a_file_takes_one_database_of_any_name_and_says_that_it_forgets_it() {
    let mut expected = Contents::new();
    expected.put("accounts", b"", b"key", "value");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bcs");
    let target = PortableTarget::new(&path).unwrap();
    let Restored { notes, .. } = transfer(&expected, &target, Existing::Refuse).block_on().unwrap();
    assert!(matches!(&notes[..], [note] if note.contains("\"accounts\"")), "{notes:?}");
    let found = contents(&source(&path)).block_on().unwrap();
    assert_eq!(found.databases["default"], expected.databases["accounts"]);
}

#[test]
fn several_databases_need_a_folder() {
    let mut expected = plain(&["a"]);
    expected.put("accounts/x", b"", b"key", "value");
    expected.add_database("empty");
    let folder = tempfile::tempdir().unwrap();
    let target = PortableTarget::new(&folder.path().join("x.bcs")).unwrap();
    let error = transfer(&expected, &target, Existing::Refuse).block_on().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("2 databases") || text.contains("3 databases"), "{text}");
    assert!(text.contains("x.bcs") && text.contains("name a folder"), "{text}");
    assert_eq!(names(folder.path()), [""; 0], "nothing is left");

    let path = folder.path().join("store");
    let target = PortableTarget::new(&path).unwrap();
    transfer(&expected, &target, Existing::Refuse).block_on().unwrap();
    let found = names(&path);
    assert_eq!(found, ["KEEPSUM_RESTORED", "accounts%2Fx.bcs", "default.bcs", "empty.bcs"]);
    assert_eq!(fs::read(path.join("empty.bcs")).unwrap(), [0]);
    expected.assert_same(&contents(&source(&path)).block_on().unwrap(), "the folder");
}

#[test]
fn a_file_cut_in_half_is_refused_by_name_and_byte() {
    let (_folder, path) = stored(&plain(&["a", "b", "c"]));
    let bytes = fs::read(&path).unwrap();
    for end in 0..bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        let error = refused(&path);
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("x.bcs") && text.contains(&format!("at byte {end},")), "{text}");
        assert!(!text.contains('\n') && text.contains("use another copy"), "{text}");
    }
}

#[test]
fn one_damaged_file_of_a_folder_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.bcs"), [0]).unwrap();
    fs::write(folder.path().join("bad.bcs"), [0, 0]).unwrap();
    let error = refused(folder.path());
    assert!(matches!(&error, Error::Damaged { what, .. } if what.contains("bad.bcs")), "{error:?}");
}

#[test]
fn a_file_that_is_replaced_is_read_as_it_was() {
    // One in key order, read from the file itself, and one that is sorted first.
    for keys in [&["a", "b"][..], &["aa", "b"]] {
        let (folder, path) = stored(&plain(keys));
        let snapshot = snapshot(&path).unwrap();
        let other = folder.path().join("other.bcs");
        fs::write(&other, [0]).unwrap();
        fs::rename(&other, &path).unwrap();
        let found = snapshot_contents(snapshot.as_ref()).block_on().unwrap();
        plain(keys).assert_same(&found, "the snapshot of a file that was replaced");
        assert_eq!(contents(&source(&path)).block_on().unwrap().records(), 0);
    }
}

#[test]
fn a_file_that_is_written_in_place_is_found_out() {
    for keys in [&["a", "b"][..], &["aa", "b"]] {
        let (_folder, path) = stored(&plain(keys));
        let bytes = fs::read(&path).unwrap();
        let snapshot = snapshot(&path).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let later = modified + Duration::from_secs(1);
        // Its length tells, or its time, which a coarse clock may not have moved by itself.
        for (change, time) in [(&[0][..], modified), (&bytes, later)] {
            fs::write(&path, change).unwrap();
            set_modified(&path, time);
            let error = snapshot_contents(snapshot.as_ref()).block_on().unwrap_err();
            assert!(matches!(error, Error::InUse { .. }), "{error:?}");
            assert!(error.to_string().contains("x.bcs"), "{error}");
        }
    }
}

fn set_modified(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A program replaces one file after the other with the number of its round, all of one length and
/// time: at any one moment the numbers fall at most once, and by one.
#[test]
fn files_that_are_replaced_while_they_are_opened_are_of_one_moment() {
    const FILES: usize = 100;
    const SNAPSHOTS: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let scratch = folder.path().join("scratch");
    let write_round = |round: u64| {
        for file in 0..FILES {
            let value = round.to_be_bytes().to_vec();
            let map: Map = [(vec![], [(b"round".to_vec(), value)].into())].into();
            fs::write(&scratch, bcs::to_bytes(&map).unwrap()).unwrap();
            set_modified(&scratch, SystemTime::UNIX_EPOCH);
            fs::rename(&scratch, store.join(format!("{file:02}.bcs"))).unwrap();
        }
    };
    write_round(0);
    let stop = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                write_round(round);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let take = |_| snapshot_contents(snapshot(&store)?.as_ref()).block_on();
        let taken: Vec<_> = (0..SNAPSHOTS).map(take).collect();
        stop.store(true, Ordering::Relaxed);
        taken
    });
    let mut given = 0;
    for outcome in taken {
        match outcome {
            Ok(found) => {
                let number = |value: &Vec<u8>| u64::from_be_bytes(value[..].try_into().unwrap());
                let values = found.databases.values().flat_map(|records| records.values());
                let numbers: Vec<u64> = values.map(number).collect();
                let falling = numbers.is_sorted_by(|one, next| one >= next);
                let of_one_moment = falling && numbers[0] - numbers[FILES - 1] <= 1;
                assert!(of_one_moment, "no moment had these rounds: {numbers:?}");
                given += 1;
            }
            // A machine that is busy with other things may leave no quiet moment.
            Err(error) => assert!(matches!(error, Error::InUse { .. }), "{error:?}"),
        }
    }
    assert!(given > 0, "not one snapshot of {SNAPSHOTS} found a quiet moment");
}

#[test]
fn what_is_no_store_has_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.bcs");
    let error = refused(&missing);
    assert!(
        matches!(&error, Error::NotFound { what, hint } if what.contains("missing.bcs")
        && hint.contains("name a .bcs file")),
        "{error:?}"
    );
    let error = refused(folder.path());
    assert!(matches!(error, Error::NotFound { .. }), "an empty folder: {error:?}");

    fs::create_dir(folder.path().join("x.bcs")).unwrap();
    let error = refused(folder.path());
    assert!(matches!(&error, Error::Invalid { detail, .. } if detail.contains("is not a file")));
    fs::remove_dir(folder.path().join("x.bcs")).unwrap();

    fs::write(folder.path().join("%zz.bcs"), [0]).unwrap();
    let error = refused(folder.path());
    assert!(matches!(&error, Error::Invalid { what, .. } if what.contains("%zz.bcs")), "{error:?}");
    fs::remove_file(folder.path().join("%zz.bcs")).unwrap();

    fs::write(folder.path().join("a.bcs"), [0]).unwrap();
    fs::write(folder.path().join("%61.bcs"), [0]).unwrap();
    let error = refused(folder.path());
    assert!(
        matches!(&error, Error::Invalid { detail, .. } if detail.contains("\"a\"")),
        "{error:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.bcs");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(matches!(refused(&pipe), Error::Invalid { .. }));
}

#[test]
fn a_folder_that_a_restore_left_empty_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let target = PortableTarget::new(&path).unwrap();
    transfer(&Contents::new(), &target, Existing::Refuse).block_on().unwrap();
    assert_eq!(names(&path), ["KEEPSUM_RESTORED"]);
    assert_eq!(snapshot(&path).unwrap().info().databases, []);
}

#[test]
fn what_is_left_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.bcs"), [2, 1, b'x', 0, 1, b'y', 0]).unwrap();
    fs::write(folder.path().join("a.bcs.keepsum"), "a sidecar").unwrap();
    fs::write(folder.path().join("readme.txt"), "text").unwrap();
    let snapshot = snapshot(folder.path()).unwrap();
    let info = snapshot.info();
    assert_eq!(info.databases.len(), 1);
    assert_eq!(info.layout, Layout::Plain, "root keys without records are no partitions");
    let [other, empty] = &info.notes[..] else { panic!("{:?}", info.notes) };
    assert!(other.contains("readme.txt") && other.contains("left out"), "{other}");
    assert!(empty.contains("a.bcs") && empty.contains("2 root keys"), "{empty}");
}

#[test]
fn a_scan_begins_anywhere_in_either_order() {
    let long = "v".repeat(MAX_WHOLE_VALUE + 10);
    for keys in [&["a", "b", "c", "d"][..], &["aaa", "bb", "c", "cc"]] {
        let mut expected = plain(keys);
        expected.put("default", b"", keys[1].as_bytes(), long.as_str());
        let (_folder, path) = stored(&expected);
        let snapshot = snapshot(&path).unwrap();
        let records = snapshot.records().unwrap();
        assert_eq!(records.splits(0, 4).block_on().unwrap(), []);
        for (skipped, key) in keys.iter().enumerate() {
            let from = RecordKey::new(b"", key.as_bytes());
            let batches: Vec<RecordBatch> =
                records.scan(0, Some(&from)).try_collect().block_on().unwrap();
            assert!(batches.iter().all(|batch| !batch.is_empty()));
            let found: Vec<Vec<u8>> = batches
                .iter()
                .flat_map(RecordBatch::iter)
                .filter(Record::starts_value)
                .map(|record| record.key.to_vec())
                .collect();
            assert_eq!(found, keys[skipped..].iter().map(|key| key.as_bytes()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_spill_folder_that_is_not_there_is_named() {
    let (folder, path) = stored(&plain(&["aa", "b"]));
    let spill = folder.path().join("no spill");
    let source = PortableSource::new(&path, &spill).unwrap();
    let error = contents(&source).block_on().unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == spill), "{error:?}");
}

#[test]
fn an_existing_file_is_kept_aside_when_asked() {
    let (folder, path) = stored(&plain(&["old"]));
    let before = fs::read(&path).unwrap();
    let target = PortableTarget::new(&path).unwrap();
    let refused = transfer(&plain(&["new"]), &target, Existing::Refuse).block_on();
    assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let done = transfer(&plain(&["new"]), &target, Existing::KeepAside).block_on().unwrap();
    assert_eq!(fs::read(done.kept_aside.unwrap()).unwrap(), before);
    plain(&["new"]).assert_same(&contents(&source(&path)).block_on().unwrap(), "the new file");
    let stray: Vec<_> =
        names(folder.path()).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(stray, [""; 0]);
}

#[test]
fn a_name_too_long_for_a_file_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let target = PortableTarget::new(&folder.path().join("store")).unwrap();
    let databases = vec![DatabaseInfo::new("ä".repeat(100))];
    let content = Content::Records { layout: Layout::Plain, databases };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    let error = target.begin(plan, &Context::default()).block_on().err().unwrap();
    assert!(matches!(error, Error::Limit { found: 604, limit: 255, .. }), "{error:?}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_restore_that_is_cancelled_at_its_end_is_not_published() {
    for databases in [vec![], vec![DatabaseInfo::new("default")]] {
        let folder = tempfile::tempdir().unwrap();
        let target = PortableTarget::new(&folder.path().join("store")).unwrap();
        let wanted = Content::Records { layout: Layout::Plain, databases };
        let plan = RestorePlan {
            content: wanted,
            existing: Existing::Refuse,
            check: None,
            origin: origin(),
        };
        let context = Context::default();
        let restore = target.begin(plan, &context).block_on().unwrap();
        context.cancel();
        let finished = restore.finish().block_on();
        assert!(matches!(finished, Err(Error::Cancelled)), "{finished:?}");
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

/// A disk whose operation number `left` fails, as a full one would.
#[derive(Debug)]
struct FailingDisk {
    left: Arc<AtomicUsize>,
}

impl FailingDisk {
    fn step(left: &AtomicUsize, path: &Path) -> Result<()> {
        let spent =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match spent {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::io("write to", path)(std::io::ErrorKind::StorageFull.into())),
        }
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    left: Arc<AtomicUsize>,
}

impl DiskFile for FailingFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        FailingDisk::step(&self.left, &self.path)?;
        self.file.write_at(offset, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        FailingDisk::step(&self.left, &self.path)?;
        self.file.sync()
    }
}

impl Disk for FailingDisk {
    fn create_folder(&self, path: &Path) -> Result<()> {
        Self::step(&self.left, path)?;
        LocalDisk.create_folder(path)
    }

    fn create_private_folder(&self, path: &Path) -> Result<()> {
        Self::step(&self.left, path)?;
        LocalDisk.create_private_folder(path)
    }

    fn set_access(&self, path: &Path, access: Access) -> Result<()> {
        Self::step(&self.left, path)?;
        LocalDisk.set_access(path, access)
    }

    fn create_file(&self, path: &Path, mode: u32) -> Result<Box<dyn DiskFile>> {
        Self::step(&self.left, path)?;
        let file = LocalDisk.create_file(path, mode)?;
        Ok(Box::new(FailingFile { file, path: path.to_owned(), left: self.left.clone() }))
    }

    fn open_file(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        LocalDisk.open_file(path)
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        Self::step(&self.left, path)?;
        LocalDisk.sync_folder(path)
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        Self::step(&self.left, path)?;
        LocalDisk.sync_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        Self::step(&self.left, from)?;
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        Self::step(&self.left, one)?;
        LocalDisk.exchange(one, other)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        LocalDisk.remove(path)
    }
}

/// Whichever file operation fails, the target holds the old store or the new one, or nothing with
/// the old one aside; and the same restore again succeeds.
#[test]
fn a_disk_that_fails_at_any_step_leaves_a_store_whole() {
    for name in ["x.bcs", "store"] {
        let mut failures = 0;
        for step in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            let target = PortableTarget::new(&path).unwrap();
            transfer(&plain(&["old"]), &target, Existing::Refuse).block_on().unwrap();
            let left = Arc::new(AtomicUsize::new(step));
            let failing = target.clone().with_disk(Arc::new(FailingDisk { left }));
            let new = plain(&["new", "newer"]);
            let outcome = transfer(&new, &failing, Existing::KeepAside).block_on();
            if outcome.is_ok() {
                new.assert_same(&contents(&source(&path)).block_on().unwrap(), "no step failed");
                break;
            }
            failures += 1;
            let error = outcome.unwrap_err();
            let full = matches!(&error, Error::Io { source, .. }
                if source.kind() == std::io::ErrorKind::StorageFull);
            assert!(full, "{name}, step {step}: {error:?}");
            match contents(&source(&path)).block_on() {
                Ok(found) => assert!(found == plain(&["old"]) || found == new, "step {step}"),
                Err(Error::NotFound { .. }) => {
                    let aside = names(folder.path()).into_iter().any(|name| name.contains("-old"));
                    assert!(aside, "{name}, step {step}: the old store is nowhere");
                }
                Err(error) => panic!("{name}, step {step}: {error:?}"),
            }
            transfer(&new, &target, Existing::KeepAside).block_on().unwrap();
            new.assert_same(&contents(&source(&path)).block_on().unwrap(), "the restore again");
        }
        assert!(failures > 5, "{name}: only {failures} steps");
    }
}
