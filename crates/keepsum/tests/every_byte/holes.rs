//! Files of some pieces, of which one or more are lost: what is left comes into a folder of files, with zeros
//! where bytes are lost, and into no engine's own target.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::staging::SIDECAR;
use backup_core::target::Existing;
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::report::{LossReport, RestoreReport};
use keepsum::restore::RestoreOptions;
use keepsum::salvage::salvage;
use keepsum::{Error, ExitCode, Repository, RepositoryLocation, SnapshotSpec, StoreLocation};
use rusqlite::Connection;
use testkit::contents::Contents;
use testkit::transfer::transfer;

use crate::salvage::assert_left;
use crate::sound::{files_below, host};

/// A piece of a file that changes, in bytes.
const PIECE: u64 = 1 << 20;

/// A repository on a disk with one snapshot of files.
struct Ground {
    folder: tempfile::TempDir,
    engine: &'static str,
    /// All files of the snapshot as they should be.
    wanted: BTreeMap<PathBuf, Vec<u8>>,
}

impl Ground {
    /// Backs up what is made at a path.
    async fn new(engine: &'static str, make: impl AsyncFnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Self { folder, engine, wanted: BTreeMap::new() };
        let context = Context::default();
        let repository = Repository::init(&ground.location(), &host(), &context).await.unwrap();
        let source = ground.path("source");
        make(&source).await;
        let location: StoreLocation = format!("{engine}:{}", source.display()).parse().unwrap();
        let source = location.source(&SourceOptions::default()).unwrap();
        let options = BackupOptions { shape: Some(ShapeChoice::Files), ..BackupOptions::default() };
        backup(&repository, source.as_ref(), &options).await.unwrap();
        let (target, report) = ground.left().await;
        assert_eq!(report.unwrap().losses, []);
        ground.wanted = files_below(&target);
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn location(&self) -> RepositoryLocation {
        RepositoryLocation::parse(self.path("repo").to_str().unwrap()).unwrap()
    }

    /// Salvages into a free place of an engine.
    async fn salvage(
        &self,
        engine: &str,
        context: &Context,
    ) -> (PathBuf, Result<RestoreReport, Error>) {
        let into = self.path("into");
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        let path = into.join("store");
        let target: StoreLocation = format!("{engine}:{}", path.display()).parse().unwrap();
        let repository =
            Repository::open(&self.location(), &host(), &Context::default()).await.unwrap();
        let repository = repository.with_context(context);
        let (spec, options) = (SnapshotSpec::latest(), RestoreOptions::default());
        let target = target.target().unwrap();
        let salvaged = salvage(&repository, &spec, target.as_ref(), &options).await;
        (path, salvaged)
    }

    async fn left(&self) -> (PathBuf, Result<RestoreReport, Error>) {
        self.salvage("files", &Context::default()).await
    }

    fn objects(&self) -> Vec<PathBuf> {
        let objects = self.path("repo/objects");
        files_below(&objects).into_keys().map(|name| objects.join(name)).collect()
    }

    /// Salvages without some objects, and looks at every byte. None where nothing can be found.
    async fn without(&self, gone: &[PathBuf]) -> Option<Found> {
        let hidden: Vec<_> =
            gone.iter().map(|object| (object, fs::read(object).unwrap())).collect();
        for object in gone {
            fs::remove_file(object).unwrap();
        }
        let (path, salvaged) = self.left().await;
        let what = format!("{} without {gone:?}", self.engine);
        let found = match salvaged {
            Ok(report) => {
                let left = files_below(&path);
                assert_left(&report.losses, &self.wanted, &left, &what);
                assert_eq!((report.proved, report.salvaged), (None, true), "{what}");
                assert!(left.contains_key(Path::new(SIDECAR)), "{what}");
                let sidecar = fs::read_to_string(path.join(SIDECAR)).unwrap();
                assert!(sidecar.contains("salvaged: not proved"), "{what}: {sidecar}");
                if !report.losses.is_empty() && self.engine != "files" {
                    self.assert_refused(&what).await;
                    // It was made before that.
                    self.left().await.1.unwrap();
                }
                Some(Found { path, left, report })
            }
            Err(error) => {
                assert_eq!(error.exit_code(), ExitCode::Damaged, "{what}: {error}");
                assert!(!path.exists(), "{what}");
                None
            }
        };
        for (object, bytes) in hidden {
            fs::write(object, bytes).unwrap();
        }
        found
    }

    /// The engine's own target takes no files with holes, and names what does.
    async fn assert_refused(&self, what: &str) {
        let (path, refused) = self.salvage(self.engine, &Context::default()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Refused, "{what}: {error}");
        assert!(error.to_string().contains("files:FOLDER"), "{what}: {error}");
        let there = files_below(path.parent().unwrap());
        assert!(there.is_empty(), "{what}: {:?}", there.keys());
    }

    /// What is left without each object in turn.
    async fn without_each(&self) -> Vec<(PathBuf, Found)> {
        let mut found = Vec::new();
        for object in self.objects() {
            if let Some(without) = self.without(std::slice::from_ref(&object)).await {
                found.push((object, without));
            }
        }
        found
    }
}

struct Found {
    path: PathBuf,
    left: BTreeMap<PathBuf, Vec<u8>>,
    report: RestoreReport,
}

impl Found {
    fn losses(&self) -> &[LossReport] {
        &self.report.losses
    }

    fn notes(&self) -> String {
        self.report.notes.join("\n")
    }

    /// The one stretch that is lost of one file.
    fn hole(&self) -> Option<(&str, u64, u64)> {
        match self.losses() {
            [loss] if loss.last_path.is_none() => {
                Some((loss.path.as_deref()?, loss.offset?, loss.bytes?))
            }
            _ => None,
        }
    }
}

/// Rows of a few pages each, the number of a row in all its bytes.
const ROWS: i64 = 400;

fn make_sqlite(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB); BEGIN").unwrap();
    for id in 0..ROWS {
        let body = testkit::noise(id.cast_unsigned(), 9000);
        connection.execute("INSERT INTO t VALUES (?1, ?2)", (id, body)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    drop(connection);
    fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap();
}

/// The rows of a database that can be read, each as it was written.
fn rows_of(database: &Path) -> usize {
    let connection = Connection::open(database).unwrap();
    let read = |id: i64| {
        let sql = "SELECT body FROM t WHERE id = ?1";
        connection.query_row(sql, [id], |row| row.get::<_, Vec<u8>>(0)).ok()
    };
    let whole =
        |id: &i64| read(*id).is_some_and(|body| body == testkit::noise(id.cast_unsigned(), 9000));
    (0..ROWS).filter(whole).count()
}

/// One lost piece of a database of some MB took all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_database_comes_back_around_what_is_lost() {
    let ground = Ground::new("sqlite", async |path| make_sqlite(path)).await;
    let source = fs::read(ground.path("source")).unwrap();
    let (name, whole) = ground.wanted.iter().find(|(name, _)| !name.ends_with(SIDECAR)).unwrap();
    assert!(*whole == source);
    let length = source.len() as u64;
    assert!(length > 3 * PIECE && !length.is_multiple_of(PIECE), "{length}");
    let mut holes = Vec::new();
    for (object, found) in ground.without_each().await {
        let Some((path, start, bytes)) = found.hole() else { continue };
        assert_eq!(Path::new(path), name);
        assert_eq!(found.report.bytes, length - bytes);
        holes.push((start, bytes));
        let notes = found.notes();
        assert!(notes.contains(".recover") && notes.contains(path), "{notes}");
        // The folder holds what the last one without an object left, so it is made once more.
        let found = ground.without(&[object]).await.unwrap();
        let database = found.path.join(path);
        let mode = fs::metadata(&database).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        if start == PIECE {
            let lost = usize::try_from(bytes / 9000).unwrap() + 10;
            let there = rows_of(&database);
            let all = usize::try_from(ROWS).unwrap();
            assert!((all - lost..all).contains(&there), "{there} rows");
            recovers(&ground.path("source"), &database, there);
        }
    }
    holes.sort_unstable();
    let piece = |at: u64| (at * PIECE, PIECE.min(length - at * PIECE));
    assert_eq!(holes, (0..=length / PIECE).map(piece).collect::<Vec<_>>());
}

/// SQLite's shell finds as many rows as can be read where they are. Debian's is made without what `.recover`
/// needs, so it is tried on the sound database first.
fn recovers(sound: &Path, database: &Path, rows: usize) {
    let Some(shell) = testkit::program::named("KEEPSUM_SQLITE3") else { return };
    let folder = database.parent().unwrap();
    let recover = |from: &Path| {
        let said = Command::new(&shell).arg(from).arg(".recover").output().unwrap();
        said.status.success().then_some(said.stdout)
    };
    if recover(sound).is_none() {
        eprintln!("skipped: {} cannot .recover a sound database", shell.display());
        return;
    }
    let (script, new) = (folder.join("script"), folder.join("new.db"));
    fs::write(&script, recover(database).expect("it recovers a sound one")).unwrap();
    let read = format!(".read '{}'", script.display());
    let made = Command::new(&shell).arg(&new).arg(read).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(rows_of(&new) >= rows, "{} of {rows}", rows_of(&new));
}

/// A table of RocksDB is cut into large pieces; the rest of the folder is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_rocksdb_comes_back_around_what_is_lost() {
    let ground = Ground::new("rocksdb", async |path| {
        let mut contents = Contents::new();
        for number in 0..18_u32 {
            let value = testkit::noise(number.into(), 1 << 20);
            contents.put("default", b"", &number.to_be_bytes(), value);
        }
        let store: StoreLocation = format!("rocksdb:{}", path.display()).parse().unwrap();
        let target = store.target().unwrap();
        transfer(&contents, target.as_ref(), Existing::Refuse).await.unwrap();
    })
    .await;
    let mut holes = Vec::new();
    for (_, found) in ground.without_each().await {
        let Some((path, start, bytes)) = found.hole() else { continue };
        assert_eq!(Path::new(path).extension().unwrap(), "sst");
        assert_eq!(found.left.len(), ground.wanted.len(), "every file is there");
        assert!(found.notes().contains("ldb repair"), "{}", found.notes());
        holes.push((start, bytes));
    }
    holes.sort_unstable();
    assert_eq!(holes.iter().map(|(start, _)| start >> 20).collect::<Vec<_>>(), [0, 8, 16]);
}

fn make_files(path: &Path) {
    fs::create_dir_all(path.join("deep")).unwrap();
    fs::write(path.join("a"), testkit::noise(1, (3 << 20) + 5)).unwrap();
    fs::write(path.join("deep/b"), testkit::noise(2, (2 << 20) + 5)).unwrap();
    fs::write(path.join("c"), b"short").unwrap();
    fs::write(path.join("empty"), b"").unwrap();
}

/// A file of which nothing is left is listed and not made; pieces that are lost side by side are one stretch.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_which_nothing_is_left_is_not_made() {
    let ground = Ground::new("files", async |path| make_files(path)).await;
    let mut of_a = BTreeMap::new();
    let mut tree = Vec::new();
    for (object, found) in ground.without_each().await {
        match found.hole() {
            Some(("a", start, _)) => drop(of_a.insert(start, object)),
            Some(_) => {}
            None if found.losses().is_empty() => {}
            None => tree.push(object),
        }
    }
    let of_a: Vec<PathBuf> = of_a.into_values().collect();
    assert_eq!(of_a.len(), 3, "the last bytes are in the leaf");
    let found = ground.without(&of_a[..2]).await.unwrap();
    assert_eq!(found.hole(), Some(("a", 0, 2 << 20)), "{:?}", found.losses());
    assert!(found.losses()[0].why.contains("and 1 more"), "{:?}", found.losses());
    // The five bytes in the leaf are all that is left.
    let found = ground.without(&of_a).await.unwrap();
    assert_eq!(found.hole(), Some(("a", 0, 3 << 20)));
    assert_eq!((found.report.files, found.report.bytes), (Some(4), 5 + 5 + 5 + (2 << 20)));
    // Without the leaf nothing is known but where the files were.
    for object in tree {
        let found = ground.without(&[object]).await.unwrap();
        assert_eq!((found.report.files, found.left.len()), (Some(0), 1), "{:?}", found.left.keys());
        let [loss] = found.losses() else { panic!("{:?}", found.losses()) };
        assert_eq!((loss.path.as_deref(), loss.last_path.as_deref()), (Some("a"), Some("empty")));
    }
}

/// Cancels when files are placed.
struct Cancelling(Arc<OnceLock<Context>>);

impl ProgressSink for Cancelling {
    fn event(&self, event: &Event) {
        if let (Event::Advanced { .. }, Some(context)) = (event, self.0.get()) {
            context.cancel();
        }
    }
}

/// A salvage that is cancelled leaves nothing where it built.
#[tokio::test(flavor = "multi_thread")]
async fn a_salvage_that_is_cancelled_leaves_nothing() {
    let ground = Ground::new("files", async |path| make_files(path)).await;
    let itself = Arc::new(OnceLock::new());
    let context = Context::new(Arc::new(Cancelling(Arc::clone(&itself))));
    itself.set(context.clone()).unwrap();
    let (path, salvaged) = ground.salvage("files", &context).await;
    assert!(matches!(salvaged, Err(Error::Core(backup_core::Error::Cancelled))), "{salvaged:?}");
    let there: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert!(there.is_empty(), "{there:?}");
}
