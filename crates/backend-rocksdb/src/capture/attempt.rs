//! One try of a capture.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use backup_core::ownership::Owners;
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::source::{FileInfo, FileNature};
use backup_core::staging::SIDECAR;
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};

use super::Whereabouts;
use super::place::Placer;
use super::search::Search;
use crate::format::file_name::{self, CURRENT, FileKind, IDENTITY};
use crate::format::manifest::{LiveState, Unreadable};
use crate::format::options::{self, OptionsFile};
use crate::format::table::TableProperties;
use crate::format::version_edit::Table;

/// The longest CURRENT that is read, in bytes; a whole one has 16 to 30.
pub(super) const MAX_CURRENT: u64 = 8192;

/// How often the MANIFEST of an open database is read before an error counts.
const READINGS: u32 = 20;

/// Files that programs keep among RocksDB's and without which they do not open the database, or take it for one
/// of another version: rocksdict's kinds of keys, and the version of Substrate and OpenEthereum.
const NEEDED: [&str; 2] = ["rocksdict-config.json", "db_version"];

/// How many names of files that were left out are shown.
const SHOWN: usize = 5;

/// What one try found, and what is in the scratch folder now.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) live: LiveState,
    pub(super) options: OptionsFile,
    pub(super) files: Vec<FileInfo>,
    /// The numbers of the logs, oldest first.
    pub(super) wals: Vec<u64>,
    pub(super) notes: Vec<String>,
    /// What a program may not find in a copy of the files.
    pub(super) unusual: Vec<String>,
}

/// What is compared before and after.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    current: Vec<u8>,
    manifest: (String, u64),
}

/// Collects the files of one try. What is missing or wrong counts only if nothing changed.
struct Collector<'a> {
    store: &'a Whereabouts,
    placer: &'a mut Placer,
    context: &'a Context,
    files: Vec<FileInfo>,
    owners: Owners,
    notes: Vec<String>,
    unusual: Vec<String>,
    problem: Option<Error>,
    /// A file went away while it was copied: it was given up before, and only now removed.
    changed: bool,
}

impl Attempt {
    /// Tries once; None where the store changed meanwhile.
    pub(super) fn make(
        store: &Whereabouts,
        placer: &mut Placer,
        context: &Context,
    ) -> Result<Option<Self>> {
        let Some(before) = Reading::take(&store.folder)? else { return Ok(None) };
        let mut collector = Collector {
            store,
            placer,
            context,
            files: Vec::new(),
            owners: store.owners()?,
            notes: Vec::new(),
            unusual: Vec::new(),
            problem: None,
            changed: false,
        };
        let collected = collector.collect(&before)?;
        let Collector { mut files, notes, unusual, problem, changed, .. } = collector;
        if changed || Reading::take(&store.folder)?.as_ref() != Some(&before) {
            return Ok(None);
        }
        match (problem, collected) {
            (Some(problem), _) => Err(problem),
            (None, None) => Ok(None),
            (None, Some((live, options, wals))) => {
                files.sort_by(|a, b| a.path.cmp(&b.path));
                Ok(Some(Self { live, options, files, wals, notes, unusual }))
            }
        }
    }
}

impl Reading {
    /// Reads CURRENT, and the length of the MANIFEST it names. None where that has just gone.
    fn take(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(CURRENT);
        let mut current = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(MAX_CURRENT)
                    .read_to_end(&mut current)
                    .map_err(Error::io("read", &path))?;
            }
            Err(error) => return Err(Error::io("open", &path)(error)),
        }
        let Some(name) = file_name::manifest_of(&current) else {
            return Err(Error::damaged(
                path.display().to_string(),
                "it does not name a MANIFEST; the database is encrypted, or this is no RocksDB \
                 database",
            ));
        };
        match fs::metadata(folder.join(&name)) {
            Ok(found) => Ok(Some(Self { current, manifest: (name, found.len()) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match fs::read(&path) {
                    // The engine names a new MANIFEST and then removes the old one.
                    Ok(now) if now != current => Ok(None),
                    _ => Err(Error::damaged(
                        path.display().to_string(),
                        format!("it names {name}, which does not exist"),
                    )),
                }
            }
            Err(error) => Err(Error::io("look at", folder.join(&name))(error)),
        }
    }
}

type Collected = (LiveState, OptionsFile, Vec<u64>);

impl Collector<'_> {
    fn collect(&mut self, reading: &Reading) -> Result<Option<Collected>> {
        let (name, bytes) = &reading.manifest;
        let Some(stamp) = self.placer.growing(&self.store.folder.join(name), name)? else {
            return Ok(None);
        };
        // What was appended since the reading shows in the second one.
        if stamp.bytes != *bytes {
            return Ok(None);
        }
        self.list(name, stamp, None, FileNature::Changing)?;
        let Some(live) = self.live_state(name)? else { return Ok(None) };
        let options = self.options()?;
        self.immutable_files(&live, &options)?;
        self.note_unlisted(&live)?;
        let wals = self.wals(&live, &options)?;
        self.unlisted_blobs(&options)?;
        self.small_file(IDENTITY)?;
        self.small_file(CURRENT)?;
        self.strangers()?;
        Ok(Some((live, options, wals)))
    }

    fn live_state(&mut self, name: &str) -> Result<Option<LiveState>> {
        let path = self.placer.folder().join(name);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        match LiveState::read(io::BufReader::with_capacity(1 << 16, file)) {
            Ok(live) => Ok(Some(live)),
            Err(Unreadable::Io(error)) => Err(Error::io("read", path)(error)),
            Err(Unreadable::Damaged { records, reason }) => {
                let manifest = self.store.folder.join(name).display().to_string();
                let detail = format!("after {records} records: {reason}");
                self.problem = Some(Error::damaged(manifest, detail));
                Ok(None)
            }
        }
    }

    fn immutable_files(&mut self, live: &LiveState, options: &OptionsFile) -> Result<()> {
        for family in live.families.values() {
            let mut search = Search::new(options);
            for table in family.tables.values() {
                self.context.check()?;
                let names = [file_name::table(table.number), file_name::old_table(table.number)];
                let found = self.immutable(&names, table.bytes, identity(table))?;
                search.note(found, &names[0], table.path_id);
            }
            for (number, bytes) in family.blobs() {
                self.context.check()?;
                let name = file_name::blob(number);
                let found = self.immutable(std::slice::from_ref(&name), bytes, None)?;
                search.note(found, &name, 0);
            }
            if let Some(problem) = search.problem(&self.store.folder, &family.shown_name()) {
                self.problem.get_or_insert(problem);
            }
        }
        Ok(())
    }

    /// Places a file under the first of `names` that is found, in the first folder that has it; whether there
    /// is one.
    fn immutable(
        &mut self,
        names: &[String],
        bytes: u64,
        identity: Option<Vec<u8>>,
    ) -> Result<bool> {
        for folder in self.folders() {
            for name in names {
                let path = folder.join(name);
                let Some(stamp) = self.placer.immutable(&path, name)? else { continue };
                if stamp.bytes != bytes {
                    let detail =
                        format!("it is {} bytes long, and the MANIFEST says {bytes}", stamp.bytes);
                    let problem = Error::damaged(path.display().to_string(), detail);
                    self.problem.get_or_insert(problem);
                }
                return self.list(name, stamp, identity, FileNature::Immutable).map(|()| true);
            }
        }
        Ok(false)
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.store.folder.clone()];
        folders.extend(self.store.also.iter().cloned());
        folders
    }

    /// Copies the newest OPTIONS file.
    fn options(&mut self) -> Result<OptionsFile> {
        let Some((number, path)) = newest_options(&self.store.folder)? else {
            self.notes.push("the database has no OPTIONS file; default options are assumed".into());
            return Ok(OptionsFile::default());
        };
        let name = format!("OPTIONS-{number:06}");
        let Some(stamp) = self.placer.growing(&path, &name)? else {
            self.changed = true;
            return Ok(OptionsFile::default());
        };
        self.list(&name, stamp, None, FileNature::Changing)?;
        let copy = self.placer.folder().join(&name);
        parse_options(&copy).map_err(Error::io("read", &copy))
    }

    /// Copies the logs that hold writes no table has, the newest first: what is then missing at
    /// the end of one is missing in none before it.
    fn wals(&mut self, live: &LiveState, options: &OptionsFile) -> Result<Vec<u64>> {
        let mut found = BTreeMap::new();
        for folder in self.wal_folders(live, options)? {
            for (kind, path) in listed(&folder)? {
                if let FileKind::Wal(number) = kind
                    && live.needs_wal(number)
                {
                    found.entry(number).or_insert(path);
                }
            }
        }
        for (number, path) in found.iter().rev() {
            self.context.check()?;
            let name = format!("{number:06}.log");
            match self.placer.growing(path, &name)? {
                Some(stamp) => self.list(&name, stamp, None, FileNature::Changing)?,
                None => self.changed = true,
            }
        }
        for (number, synced) in &live.tracked_wals {
            let held =
                self.files.iter().find(|file| file.path.as_str() == format!("{number:06}.log"));
            let bytes = held.map_or(0, |file| file.bytes);
            if live.needs_wal(*number) && (held.is_none() || bytes < *synced) {
                self.problem.get_or_insert(Error::damaged(
                    format!("the log {number:06}.log of {}", self.store.folder.display()),
                    format!("it has {bytes} bytes, and the MANIFEST says {synced} at least"),
                ));
            }
        }
        Ok(found.into_keys().collect())
    }

    /// The folders that logs are in: the store's, what OPTIONS says, and those the caller named.
    fn wal_folders(&mut self, live: &LiveState, options: &OptionsFile) -> Result<Vec<PathBuf>> {
        let mut folders = self.folders();
        if let Some(named) = &self.store.wal_dir {
            self.note_logs(&format!("{} (wal_dir)", named.display()));
            folders.push(named.clone());
            return Ok(folders);
        }
        let Some(named) = options.database_value("wal_dir").filter(|named| !named.is_empty())
        else {
            return Ok(folders);
        };
        let found = Path::new(named).is_absolute().then(|| fs::canonicalize(named).ok()).flatten();
        match found {
            Some(folder) if folder == self.store.folder => {}
            // A store that was moved or copied still names its old place; the logs there belong to
            // the database that is there now.
            Some(folder) if fs::exists(folder.join(CURRENT)).unwrap_or(true) => {
                self.take_logs_beside(named, "where another database is", live, &mut folders)?;
            }
            Some(folder) => {
                self.note_logs(&format!("{named} (wal_dir)"));
                folders.push(folder);
            }
            None => self.take_logs_beside(named, "which is not there", live, &mut folders)?,
        }
        Ok(folders)
    }

    /// Takes the logs from where the store is now. `named` is where OPTIONS says that they are, and `but` why they
    /// are not taken from there.
    fn take_logs_beside(
        &mut self,
        named: &str,
        but: &str,
        live: &LiveState,
        folders: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let Some(beside) = self.logs_beside(named, live, folders)? else {
            self.problem.get_or_insert(Error::unsupported(
                format!("copying {}", self.store.folder.display()),
                format!(
                    "OPTIONS says that its logs are in {named} (wal_dir), {but}, and none are in the \
                     store's folder or beside it; say where the logs are"
                ),
            ));
            return Ok(());
        };
        match beside.first() {
            Some(folder) => {
                let place = folder.display();
                self.note_logs(&format!("{place}; OPTIONS names {named} (wal_dir), {but}"));
            }
            None => self.unusual.push(format!(
                "OPTIONS says that the logs are in {named} (wal_dir), {but}; they were taken from where \
                 the store is"
            )),
        }
        folders.extend(beside);
        Ok(())
    }

    /// Says that the logs come from a folder of their own, which a restore does not make.
    fn note_logs(&mut self, place: &str) {
        self.unusual.push(format!(
            "the logs were taken from {place}; a files restore puts them into the store's folder: open the \
             restored store without wal_dir, or move the logs there first"
        ));
    }

    /// Where the logs are if not where OPTIONS says, which is a path of the host that wrote it: in the folders
    /// that are looked in anyway, else under the name that OPTIONS gives in the store's folder or beside it.
    /// None where there are no logs.
    fn logs_beside(
        &self,
        named: &str,
        live: &LiveState,
        folders: &[PathBuf],
    ) -> Result<Option<Vec<PathBuf>>> {
        for folder in folders {
            if has_logs(folder, live)? {
                return Ok(Some(Vec::new()));
            }
        }
        let Some(name) = Path::new(named).file_name() else { return Ok(None) };
        let store = &self.store.folder;
        for folder in [Some(store.as_path()), store.parent()].into_iter().flatten() {
            let folder = folder.join(name);
            let is_free = folder.is_dir() && !fs::exists(folder.join(CURRENT)).unwrap_or(true);
            if is_free && has_logs(&folder, live)? {
                return Ok(Some(vec![folder]));
            }
        }
        Ok(None)
    }

    /// Where blobs are written before the tables that refer to them, the MANIFEST does not list the
    /// newest; the logs, which are copied already, refer to them.
    fn unlisted_blobs(&mut self, options: &OptionsFile) -> Result<()> {
        let direct = |family: &crate::format::options::FamilyOptions| {
            family.value("enable_blob_direct_write") == Some("true")
        };
        if !options.families.values().any(direct) {
            return Ok(());
        }
        for (kind, path) in listed(&self.store.folder)? {
            let FileKind::Blob(number) = kind else { continue };
            let name = file_name::blob(number);
            if self.files.iter().any(|file| file.path.as_str() == name) {
                continue;
            }
            if let Some(stamp) = self.placer.growing(&path, &name)? {
                self.list(&name, stamp, None, FileNature::Changing)?;
            }
        }
        Ok(())
    }

    /// Says which tables the MANIFEST knows nothing of. One that is given up is removed soon; one with a number
    /// that the MANIFEST does not know to be given away shows that the MANIFEST is not the newest one.
    fn note_unlisted(&mut self, live: &LiveState) -> Result<()> {
        let mut unlisted = Vec::new();
        for (kind, path) in listed(&self.store.folder)? {
            let FileKind::Table(number) = kind else { continue };
            if number >= live.next_file && is_whole_table(&path) {
                unlisted.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        if !unlisted.is_empty() {
            self.unusual.push(format!(
                "tables that the MANIFEST does not list, so left out: {}; if no process had the database \
                 open, the MANIFEST has lost its newest entries",
                some_of(unlisted)
            ));
        }
        Ok(())
    }

    /// Copies the files in the store's folder that are not RocksDB's and that were asked for or are needed, and
    /// says which are left out.
    fn strangers(&mut self) -> Result<()> {
        let mut left_out = Vec::new();
        let folder = &self.store.in_use;
        for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let name = entry.map_err(Error::io("list", folder))?.file_name();
            let name = name.to_string_lossy().into_owned();
            let ours = name == SIDECAR || name.contains(".keepsum-");
            if !ours && name != "archive" && FileKind::of(&name).is_none() {
                self.stranger(name, &mut left_out)?;
            }
        }
        if !left_out.is_empty() {
            let rest = some_of(left_out);
            self.unusual.push(format!("not RocksDB's files, so left out: {rest}"));
        }
        Ok(())
    }

    /// Copies a file, or what is in a folder, as far as it was asked for.
    fn stranger(&mut self, name: String, left_out: &mut Vec<String>) -> Result<()> {
        self.context.check()?;
        let path = self.store.in_use.join(&name);
        let below = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() && !self.store.include.is_empty() => true,
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("look at", path)(error)),
        };
        if below {
            for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
                let entry = entry.map_err(Error::io("list", &path))?;
                let entry = entry.file_name().to_string_lossy().into_owned();
                self.stranger(format!("{name}/{entry}"), left_out)?;
            }
            return Ok(());
        }
        let is_wanted = NEEDED.contains(&name.as_str()) || self.store.include.is_match(&name);
        if !is_wanted || !path.is_file() {
            left_out.push(name);
            return Ok(());
        }
        match self.placer.growing(&path, &name)? {
            Some(stamp) => self.list(&name, stamp, None, FileNature::Changing),
            None => Ok(()),
        }
    }

    /// Copies a file that may be absent and is replaced as a whole.
    fn small_file(&mut self, name: &str) -> Result<()> {
        match self.placer.growing(&self.store.folder.join(name), name)? {
            Some(stamp) => self.list(name, stamp, None, FileNature::Changing),
            None => Ok(()),
        }
    }

    fn list(
        &mut self,
        name: &str,
        stamp: Stamp,
        identity: Option<Vec<u8>>,
        nature: FileNature,
    ) -> Result<()> {
        let path = FilePath::new(name)?;
        let Stamp { bytes, mode, owner, .. } = stamp;
        let owner = self.owners.of_file(owner);
        self.files.push(FileInfo { path, bytes, identity, mode, owner, nature });
        Ok(())
    }
}

/// A few names, and how many more there are.
fn some_of(mut names: Vec<String>) -> String {
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", names[..names.len().min(SHOWN)].join(", "))
}

/// Whether a folder has a log that can hold writes no table has.
fn has_logs(folder: &Path, live: &LiveState) -> Result<bool> {
    let needed = |(kind, _): &(FileKind, PathBuf)| matches!(kind, FileKind::Wal(number) if live.needs_wal(*number));
    Ok(listed(folder)?.iter().any(needed))
}

/// Whether a file ends as a table does.
fn is_whole_table(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    file.metadata().is_ok_and(|found| TableProperties::read(&file, found.len()).is_ok())
}

/// RocksDB's unique id of a table, which stands for database, session and file number; and what
/// tells apart two copies of one external file, in which a sequence number was written in place.
fn identity(table: &Table) -> Option<Vec<u8>> {
    let mut identity = table.unique_id?.to_vec();
    for part in [table.bytes, table.number, table.smallest_sequence, table.largest_sequence] {
        identity.extend(part.to_le_bytes());
    }
    Some(identity)
}

/// RocksDB's files in a folder.
pub(super) fn listed(folder: &Path) -> Result<Vec<(FileKind, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        if let Some(kind) = entry.file_name().to_str().and_then(FileKind::of) {
            found.push((kind, entry.path()));
        }
    }
    Ok(found)
}

fn newest_options(folder: &Path) -> Result<Option<(u64, PathBuf)>> {
    let numbered = listed(folder)?.into_iter().filter_map(|(kind, path)| match kind {
        FileKind::Options(number) => Some((number, path)),
        _ => None,
    });
    Ok(numbered.max())
}

fn parse_options(path: &Path) -> io::Result<OptionsFile> {
    let mut text = Vec::new();
    File::open(path)?.take(options::MAX_BYTES).read_to_end(&mut text)?;
    Ok(OptionsFile::parse(&String::from_utf8_lossy(&text)))
}

/// The options of a database that this process has open, as far as they can be had.
pub(crate) fn read_options(folder: &Path) -> OptionsFile {
    let newest = newest_options(folder).ok().flatten();
    newest.and_then(|(_, path)| parse_options(&path).ok()).unwrap_or_default()
}

/// What the MANIFEST of a database says that this process has open, now.
pub(crate) fn read_live_state(folder: &Path) -> Result<LiveState> {
    let mut last = None;
    for _ in 0..READINGS {
        let Some(reading) = Reading::take(folder)? else { continue };
        let path = folder.join(&reading.manifest.0);
        let read = File::open(&path).map_err(Unreadable::Io).and_then(|file| {
            LiveState::read(io::BufReader::with_capacity(1 << 16, file.take(reading.manifest.1)))
        });
        match read {
            Ok(live) => return Ok(live),
            Err(Unreadable::Io(error)) => last = Some(Error::io("read", path)(error)),
            Err(Unreadable::Damaged { records, reason }) => {
                let detail = format!("after {records} records: {reason}");
                last = Some(Error::damaged(path.display().to_string(), detail));
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::InUse {
        what: format!("the database {}", folder.display()),
        hint: "it began new MANIFEST files while it was read; try again".into(),
    }))
}
