//! Where stores are: `rocksdb:PATH`, `memory:FILE.bcs`, `memory:FOLDER`, `files:PATH`.

use std::fmt;
use std::path::{Path, PathBuf};
#[cfg(feature = "files")]
use std::sync::Arc;

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
    Files,
}

/// How the files of `files:PATH` are chosen and made quiet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceOptions {
    /// Only files that one of these globs matches; all where there are none.
    pub include: Vec<String>,
    /// No files that one of these globs matches.
    pub exclude: Vec<String>,
    /// A command that makes the store quiet and lets it go on.
    pub quiesce: Option<String>,
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

const FORMS: &str = "write rocksdb:PATH, memory:FILE.bcs, memory:FOLDER or files:PATH";

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
            Engine::Files => "files",
        }
    }

    /// The store as a source.
    ///
    /// # Errors
    /// [`Error::Usage`] for an engine that this build does not have; whatever the backend says of
    /// the path.
    pub fn source(&self, options: &SourceOptions) -> Result<Box<dyn Source>> {
        if self.engine != Engine::Files && *options != SourceOptions::default() {
            let what = "--include, --exclude and --quiesce".into();
            return Err(Error::Usage { what, detail: "go together with files:PATH".into() });
        }
        match self.engine {
            Engine::Memory => Ok(Box::new(PortableSource::new(&self.path, std::env::temp_dir())?)),
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => Ok(Box::new(backend_rocksdb::RocksSource::path(&self.path)?)),
            #[cfg(feature = "files")]
            Engine::Files => options.files_source(&self.path),
            #[cfg(not(feature = "rocksdb"))]
            Engine::Rocksdb => Err(self.not_built()),
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
            #[cfg(feature = "files")]
            Engine::Files => Ok(Box::new(backend_files::FilesTarget::new(&self.path))),
            #[cfg(not(feature = "rocksdb"))]
            Engine::Rocksdb => Err(self.not_built()),
            #[cfg(not(feature = "files"))]
            Engine::Files => Err(self.not_built()),
        }
    }

    /// Whether this build reads the records in this engine's files.
    pub(crate) fn reads_records_of_files(&self) -> bool {
        self.engine == Engine::Rocksdb && cfg!(feature = "rocksdb")
    }

    #[cfg(not(all(feature = "rocksdb", feature = "files")))]
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
            "files" => Engine::Files,
            "sqlite" | "scylla" => {
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
