//! Where stores are: `sqlite:FILE`, `rocksdb:PATH`, `memory:FILE.bcs`, `memory:FOLDER`, `files:PATH`.

use std::fmt;
use std::path::{Path, PathBuf};
#[cfg(any(feature = "files", feature = "sqlite"))]
use std::sync::Arc;
use std::time::Duration;

use archive::portable::{PortableSource, PortableTarget};
use backup_core::{Source, Target};

use crate::{Error, Result};

/// A store's location, as the command takes it for SOURCE and TARGET.
///
/// ```
/// use keepsum::StoreLocation;
/// let location: StoreLocation = "memory:/tmp/copy.bcs".parse()?;
/// assert_eq!(location.engine(), "memory");
/// # Ok::<(), keepsum::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    engine: Engine,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Memory,
    Rocksdb,
    Sqlite,
    Files,
}

/// How a store is read: which files of `files:PATH`, and what the writers of `sqlite:FILE` bear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceOptions {
    /// Only files that one of these globs matches; all where there are none. Of a RocksDB folder, the files
    /// that are not RocksDB's and that are copied as well.
    pub include: Vec<String>,
    /// No files that one of these globs matches.
    pub exclude: Vec<String>,
    /// A command that makes the store quiet and lets it go on.
    pub quiesce: Option<String>,
    /// The writers of a SQLite database in rollback-journal mode wait until it is read.
    pub block_writers: bool,
    /// Where scratch copies of a SQLite database are made.
    pub scratch: Option<PathBuf>,
    /// How long programs that are in the way of a snapshot are waited for, in all; as long as the engine
    /// says, where nothing is said.
    pub wait: Option<Duration>,
    /// Where the write-ahead logs of a RocksDB store are, whatever its OPTIONS say.
    pub wal_dir: Option<PathBuf>,
    /// Further folders with files of a RocksDB store: its `db_paths` and `cf_paths`.
    pub also_in: Vec<PathBuf>,
}

#[cfg(feature = "files")]
impl SourceOptions {
    fn files_source(&self, path: &Path) -> Result<Box<dyn Source>> {
        let mut source = backend_files::FilesSource::folder(path);
        for pattern in &self.include {
            source = source.include(pattern)?;
        }
        for pattern in &self.exclude {
            source = source.exclude(pattern)?;
        }
        if let Some(command) = &self.quiesce {
            #[expect(
                clippy::disallowed_methods,
                reason = "how long a pause takes is only measured"
            )]
            let start = std::time::Instant::now();
            let owner = backend_files::QuiesceCommand::new(command, path);
            source = source.quiesce(Arc::new(owner), Arc::new(move || start.elapsed()));
        }
        Ok(Box::new(source))
    }
}

#[cfg(feature = "rocksdb")]
impl SourceOptions {
    fn rocksdb_source(&self, path: &Path) -> Result<Box<dyn Source>> {
        let mut source = backend_rocksdb::RocksSource::path(path)?;
        for pattern in &self.include {
            source = source.include(pattern)?;
        }
        for folder in &self.also_in {
            source = source.also_in(folder);
        }
        if let Some(folder) = &self.wal_dir {
            source = source.wal_dir(folder);
        }
        Ok(Box::new(source))
    }
}

#[cfg(feature = "sqlite")]
impl SourceOptions {
    fn sqlite_source(&self, path: &Path) -> Result<Box<dyn Source>> {
        #[expect(
            clippy::disallowed_methods,
            reason = "whether a file was changed just now is asked of the clock it was changed by"
        )]
        let clock = || std::time::SystemTime::now();
        let mut source = backend_sqlite::SqliteSource::path(path)?.with_clock(Arc::new(clock));
        if self.block_writers {
            source = source.block_writers();
        }
        if let Some(folder) = &self.scratch {
            source = source.scratch_in(folder);
        }
        if let Some(total) = self.wait {
            source = source.wait_for(total);
        }
        Ok(Box::new(source))
    }
}

impl SourceOptions {
    /// Checks that what is asked goes together with the engine.
    fn check(&self, engine: Engine) -> Result<()> {
        let refuse = |what: &str, detail: &str| {
            Err(Error::Usage { what: what.into(), detail: detail.into() })
        };
        let of_files = !self.exclude.is_empty() || self.quiesce.is_some();
        if of_files && engine != Engine::Files {
            return refuse("--exclude and --quiesce", "go together with files:PATH");
        }
        if !self.include.is_empty() && !matches!(engine, Engine::Files | Engine::Rocksdb) {
            return refuse("--include", "goes together with files:PATH and rocksdb:PATH");
        }
        if (self.wal_dir.is_some() || !self.also_in.is_empty()) && engine != Engine::Rocksdb {
            let what = "--wal-dir, --db-path and --cf-path";
            return refuse(what, "go together with rocksdb:PATH");
        }
        if (self.block_writers || self.scratch.is_some()) && engine != Engine::Sqlite {
            return refuse("--block-writers and --scratch", "go together with sqlite:FILE");
        }
        Ok(())
    }
}

const FORMS: &str = "write sqlite:FILE, rocksdb:PATH, memory:FILE.bcs, memory:FOLDER or files:PATH";

impl StoreLocation {
    /// The portable file or folder at `path`.
    pub fn portable(path: impl Into<PathBuf>) -> Self {
        Self { engine: Engine::Memory, path: path.into() }
    }

    /// The engine's name.
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Memory => "memory",
            Engine::Rocksdb => "rocksdb",
            Engine::Sqlite => "sqlite",
            Engine::Files => "files",
        }
    }

    /// The store as a source.
    ///
    /// # Errors
    /// [`Error::Usage`] for an engine that this build does not have; whatever the backend says of
    /// the path.
    pub fn source(&self, options: &SourceOptions) -> Result<Box<dyn Source>> {
        options.check(self.engine)?;
        match self.engine {
            Engine::Memory => Ok(Box::new(PortableSource::new(&self.path, std::env::temp_dir())?)),
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => options.rocksdb_source(&self.path),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => options.sqlite_source(&self.path),
            #[cfg(feature = "files")]
            Engine::Files => options.files_source(&self.path),
            #[cfg(not(feature = "rocksdb"))]
            Engine::Rocksdb => Err(self.not_built()),
            #[cfg(not(feature = "sqlite"))]
            Engine::Sqlite => Err(self.not_built()),
            #[cfg(not(feature = "files"))]
            Engine::Files => Err(self.not_built()),
        }
    }

    /// The store as a target.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn target(&self) -> Result<Box<dyn Target>> {
        match self.engine {
            Engine::Memory => Ok(Box::new(PortableTarget::new(&self.path)?)),
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => Ok(Box::new(backend_rocksdb::RocksTarget::path(&self.path)?)),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => Ok(Box::new(backend_sqlite::SqliteTarget::path(&self.path)?)),
            #[cfg(feature = "files")]
            Engine::Files => Ok(Box::new(backend_files::FilesTarget::new(&self.path))),
            #[cfg(not(feature = "rocksdb"))]
            Engine::Rocksdb => Err(self.not_built()),
            #[cfg(not(feature = "sqlite"))]
            Engine::Sqlite => Err(self.not_built()),
            #[cfg(not(feature = "files"))]
            Engine::Files => Err(self.not_built()),
        }
    }

    #[cfg(not(all(feature = "rocksdb", feature = "sqlite", feature = "files")))]
    fn not_built(&self) -> Error {
        let detail = format!("needs a keepsum that was built with the feature {}", self.engine());
        Error::Usage { what: format!("the store {self}"), detail }
    }

    /// The path of the file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::str::FromStr for StoreLocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |detail: String| Error::Usage { what: format!("the store {text:?}"), detail };
        let Some((scheme, path)) = text.split_once(':') else {
            return Err(wrong(format!("has no engine; {FORMS}")));
        };
        let engine = match scheme {
            "memory" => Engine::Memory,
            "rocksdb" => Engine::Rocksdb,
            "sqlite" => Engine::Sqlite,
            "files" => Engine::Files,
            "scylla" => {
                return Err(wrong(format!("{scheme} is not supported by this version; {FORMS}")));
            }
            _ => return Err(wrong(format!("{scheme:?} is no engine; {FORMS}"))),
        };
        if path.is_empty() {
            return Err(wrong(format!("has no path; {FORMS}")));
        }
        Ok(Self { engine, path: path.into() })
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine(), self.path.display())
    }
}
