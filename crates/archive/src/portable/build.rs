//! Portable files being built beside their target.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::disk::{Disk, DiskFile};
use backup_core::progress::Context;
use backup_core::record::RecordBatch;
use backup_core::staging::{BuiltStore, Form, Staging};
use backup_core::target::{Existing, Origin, Restored, each_once};
use backup_core::{Error, Result};

use super::built::BuiltFiles;
use super::{FILE_DATABASE, PortableWriter, file_name, refused};

/// The permission bits of a portable file.
const MODE: u32 = 0o644;

/// What a build needs to know.
pub(super) struct Building<'a> {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: &'a Path,
    pub(super) form: Form,
    pub(super) existing: Existing,
    /// The databases' names, in the order they will come.
    pub(super) databases: Vec<String>,
    pub(super) memory: usize,
    pub(super) context: Context,
}

/// A portable store that is built, database by database, and published at once. Blocking.
#[derive(Debug)]
pub(super) struct Build {
    staging: Staging,
    /// The databases that may come.
    names: Vec<String>,
    /// The files to write, in the order of the databases.
    files: Vec<PathBuf>,
    notes: Vec<String>,
    /// The database whose records are taken; the files of those before it are written.
    current: usize,
    writer: PortableWriter,
    memory: usize,
    context: Context,
}

impl Build {
    /// # Errors
    /// [`Error::Unsupported`] for a file and several databases; those of [`Staging::begin`].
    pub(super) fn begin(building: Building<'_>) -> Result<Self> {
        let Building { disk, path, form, existing, databases, memory, context } = building;
        let (in_folder, notes) = match form {
            Form::File { .. } => (Vec::new(), one_database(path, &databases)?),
            Form::Folder { .. } => (file_names(&databases)?, Vec::new()),
        };
        let staging = Staging::begin(disk, path, form, existing)?;
        let folder = staging.folder();
        let files = match form {
            Form::File { .. } => vec![staging.file()],
            Form::Folder { .. } => in_folder.iter().map(|name| folder.join(name)).collect(),
        };
        let writer = PortableWriter::new(folder, memory, &context);
        Ok(Self { staging, names: databases, files, notes, current: 0, writer, memory, context })
    }

    /// Takes records of a database, in any order; databases come in the order they were named.
    pub(super) fn load(&mut self, database: usize, batch: &RecordBatch) -> Result<()> {
        if database < self.current || database >= self.names.len() {
            let detail = "is not in the plan, or another one after it was begun already";
            return Err(Error::invalid(format!("database number {database} of a restore"), detail));
        }
        self.write_until(database)?;
        let path = &self.files[database];
        self.writer.push(batch).map_err(|error| refused(path, error))
    }

    /// Writes what is left, and publishes all.
    pub(super) fn finish(mut self, origin: &Origin) -> Result<Restored> {
        self.write_until(self.files.len())?;
        self.context.check()?;
        let mut restored = self.staging.publish(origin)?;
        restored.notes.extend(self.notes);
        Ok(restored)
    }

    /// Writes what is left.
    pub(super) fn complete(mut self, origin: Origin) -> Result<BuiltStore> {
        self.write_until(self.files.len())?;
        self.context.check()?;
        let Self { staging, names, files, notes, context, .. } = self;
        let built = BuiltStore::new(staging, origin, &context).with_notes(notes);
        let files: Vec<_> = names.into_iter().zip(files).collect();
        Ok(built.read_by(move || Ok(Box::new(BuiltFiles::open(&files, &context)?))))
    }

    /// Writes the files of the databases before `database`.
    fn write_until(&mut self, database: usize) -> Result<()> {
        while self.current < database {
            let next = PortableWriter::new(self.staging.folder(), self.memory, &self.context);
            let writer = std::mem::replace(&mut self.writer, next);
            let path = &self.files[self.current];
            let file = self.staging.disk().create_file(path, MODE)?;
            let contents = writer.finish(DiskWriter { file, offset: 0 }, path);
            let contents = contents.map_err(|error| refused(path, error))?;
            tracing::debug!(path = %path.display(), records = contents.records, "wrote a portable file");
            self.current += 1;
        }
        Ok(())
    }
}

/// What a person should know of a plan that fits a file.
fn one_database(path: &Path, databases: &[String]) -> Result<Vec<String>> {
    match databases {
        [name] if name == FILE_DATABASE => Ok(Vec::new()),
        [name] => Ok(vec![format!(
            "a file does not keep the name of database {name:?}: it is read back as \
             {FILE_DATABASE:?}"
        )]),
        [] => Ok(vec![format!(
            "the store has no database; a file always has one, {FILE_DATABASE:?}, now empty"
        )]),
        _ => {
            let what =
                format!("writing {} databases into the file {}", databases.len(), path.display());
            let why = "a file holds one; name a folder, whose name does not end in .bcs";
            Err(Error::unsupported(what, why))
        }
    }
}

fn file_names(databases: &[String]) -> Result<Vec<String>> {
    each_once(databases.iter().map(String::as_str))?;
    databases.iter().map(|database| file_name(database)).collect()
}

/// Writes a file of a [`Disk`] from its beginning to its end.
struct DiskWriter {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl Write for DiskWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.offset, bytes).map_err(io::Error::other)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
