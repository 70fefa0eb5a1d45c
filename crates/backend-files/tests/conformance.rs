//! A folder of files on the suite of every backend, quiet and not.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, Permissions};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend_files::{FilesSource, FilesTarget, Quiesce};
use backup_core::kv::{Operation, WriteBatch};
use backup_core::position::Position;
use backup_core::staging::SIDECAR;
use backup_core::{Error, Result, Source, Target};
use tempfile::TempDir;
use testkit::conformance::{self, Factory, Place, Writer};
use testkit::contents::Contents;

/// Places whose source is made quiet, or is not.
struct Files {
    quiet: bool,
}

struct FilesPlace {
    above: TempDir,
    quiet: bool,
}

/// Nobody writes in these tests while a snapshot is taken.
struct NobodyWrites;

impl Quiesce for NobodyWrites {
    fn pause(&self) -> Result<Position> {
        Ok(Position::Log(42))
    }

    fn resume(&self) -> Result<()> {
        Ok(())
    }
}

impl Factory for Files {
    fn name(&self) -> &'static str {
        if self.quiet { "files made quiet" } else { "files left alone" }
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        let above = tempfile::tempdir().map_err(Error::io("create", "a scratch folder"))?;
        Ok(Box::new(FilesPlace { above, quiet: self.quiet }))
    }
}

impl FilesPlace {
    fn folder(&self) -> PathBuf {
        self.above.path().join("store")
    }
}

impl Place for FilesPlace {
    fn source(&self) -> Result<Arc<dyn Source>> {
        let source = FilesSource::folder(self.folder());
        if self.quiet {
            let clock = Arc::new(|| Duration::ZERO);
            return Ok(Arc::new(source.quiesce(Arc::new(NobodyWrites), clock)));
        }
        Ok(Arc::new(source))
    }

    fn target(&self) -> Option<Arc<dyn Target>> {
        Some(Arc::new(FilesTarget::new(self.folder())))
    }

    /// One file a record.
    fn fill(&self, contents: &Contents) -> Result<()> {
        for (database, records) in &contents.databases {
            for (at, value) in records {
                put(&self.folder(), database, &at.root_key, &at.key, value)?;
            }
        }
        Ok(())
    }

    fn writer(&self) -> Result<Option<Box<dyn Writer>>> {
        Ok(Some(Box::new(FolderWriter(self.folder()))))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        Ok(fs::read_to_string(self.folder().join(SIDECAR)).ok())
    }

    fn untouched(&self) -> Option<PathBuf> {
        Some(self.folder())
    }
}

struct FolderWriter(PathBuf);

impl Writer for FolderWriter {
    fn write(&self, database: &str, root_key: &[u8], batch: WriteBatch) -> Result<()> {
        for operation in batch.operations {
            if let Operation::Put { key, value } = operation {
                put(&self.0, database, root_key, &key, &value)?;
            }
        }
        Ok(())
    }
}

/// Writes a record's file, over the one that is there.
fn put(folder: &Path, database: &str, root_key: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
    // Keys are too long for names.
    let mut hasher = DefaultHasher::new();
    (root_key, key).hash(&mut hasher);
    let folder = folder.join(database);
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let name = hasher.finish();
    let path = folder.join(format!("{name:016x}"));
    fs::write(&path, value).map_err(Error::io("write", &path))?;
    let mode = if name.is_multiple_of(2) { 0o640 } else { 0o755 };
    fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(Error::io("chmod", &path))
}

#[test]
fn conforms_when_quiet() {
    conformance::run(&Files { quiet: true });
}

#[test]
fn conforms_when_left_alone() {
    conformance::run(&Files { quiet: false });
}
