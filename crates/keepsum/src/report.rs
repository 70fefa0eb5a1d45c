//! What operations report: the documents that `--json` prints. Fields are only ever added.

use std::fmt;

use archive::directory::{Described, Proof};
use archive::manifest::Manifest;
use backup_core::check::CheckReport;
use backup_core::record::RecordKey;
use backup_core::target::NotCarried;
use lthash::LtHash;
use remote::tree::{FileLoss, Loss};
use serde::Serialize;

use crate::Error;

/// A database and its logical proof, null where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseReport {
    /// The database's name.
    pub name: String,
    /// How many records it has.
    pub records: Option<u64>,
    /// The bytes of their root keys, keys and values.
    pub bytes: Option<u64>,
    /// The checksum of their LtHash, 64 hexadecimal digits.
    pub lthash: Option<String>,
}

/// What `backup` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupReport {
    /// The new snapshot's id.
    pub snapshot: String,
    /// `records` or `files`.
    pub shape: &'static str,
    /// Where in the source's history it stands.
    pub position: String,
    /// `physical` or `logical`.
    pub proof: &'static str,
    /// `source`, `store` or `repository`, where the proof is logical.
    pub proved_from: Option<&'static str>,
    /// The databases.
    pub databases: Vec<DatabaseReport>,
    /// The checksum of the sum of all LtHashes.
    pub global_lthash: Option<String>,
    /// Bytes written to the repository.
    pub uploaded_bytes: u64,
    /// Bytes of content that the repository had already.
    pub reused_bytes: u64,
    /// How long it took.
    pub elapsed_seconds: f64,
    /// How exact the point in time is, in words.
    pub consistency: String,
    /// How long writers were held up, where they were.
    pub pause_seconds: Option<f64>,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
    /// Sentences on what is unusual in the store itself, kept with the snapshot.
    pub unusual: Vec<String>,
}

/// What `restore --if-missing` says where a store is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlreadyThere {
    /// The store.
    pub target: String,
    /// Always true: nothing was restored, and nothing touched.
    pub already_there: bool,
}

impl AlreadyThere {
    /// For the store at a location.
    pub fn new(target: &impl ToString) -> Self {
        Self { target: target.to_string(), already_there: true }
    }
}

/// What `hash` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HashReport {
    /// The databases.
    pub databases: Vec<DatabaseReport>,
    /// The checksum of the sum of all LtHashes.
    pub global_lthash: Option<String>,
    /// Where in the source's history it was read.
    pub position: String,
}

/// A snapshot, as `snapshots` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotReport {
    /// Its id.
    pub snapshot: String,
    /// When it was taken, RFC 3339 in UTC.
    pub created: String,
    /// What it was taken from.
    pub source: String,
    /// `records` or `files`; `damaged` where the manifest, which says the rest, cannot be read.
    pub shape: &'static str,
    /// The databases; empty for files whose engine was not asked, and in a list of the catalog alone.
    pub databases: Vec<DatabaseReport>,
    /// The host that took it.
    pub host: String,
    /// Its label.
    pub label: Option<String>,
    /// The name of its source, if it has one.
    pub name: Option<String>,
    /// When it was taken, in milliseconds of Unix time.
    pub created_ms: u64,
    /// The number of the catalog entry that brought it, which is the order of snapshots.
    pub entry: u64,
    /// The size of the store as it holds it, in bytes.
    pub bytes: u64,
    /// The bytes that its backup wrote to the repository.
    pub added_bytes: u64,
    /// Whether its time lies ahead of this host's clock.
    pub ahead_of_clock: bool,
    /// Whether its time is before that of the snapshot before it, of the same source.
    pub clock_ran_backward: bool,
}

/// A source of snapshots, as it is told to whoever must choose one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceReport {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The host that took the last snapshot of it.
    pub host: String,
    /// Where it was on that host.
    pub source: String,
    /// How many snapshots of it there are.
    pub snapshots: usize,
    /// When the last one was taken, RFC 3339 in UTC.
    pub newest: String,
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, source, snapshots, newest } = self;
        let count = if *snapshots == 1 { "1 snapshot, of" } else { "the newest of" };
        let count = if *snapshots == 1 {
            count.to_owned()
        } else {
            format!("{snapshots} snapshots, {count}")
        };
        match name {
            Some(name) => write!(f, "{name:?} (last {source} of host {host}; {count} {newest})"),
            None => write!(f, "{source} of host {host} ({count} {newest})"),
        }
    }
}

/// A snapshot in full, as `show` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShowReport {
    /// What `snapshots` lists.
    #[serde(flatten)]
    pub summary: SnapshotReport,
    /// The user's sentence.
    pub description: Option<String>,
    /// Where in the source's history it stands.
    pub position: String,
    /// How exact that is, in words.
    pub consistency: String,
    /// `plain` or `partitioned`.
    pub layout: &'static str,
    /// `physical` or `logical`.
    pub proof: &'static str,
    /// `source`, `store` or `repository`, where the proof is logical.
    pub proved_from: Option<&'static str>,
    /// The checksum of the sum of all LtHashes.
    pub global_lthash: Option<String>,
    /// The number of files, in the files shape.
    pub files: Option<u64>,
    /// Their bytes.
    pub files_bytes: Option<u64>,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
    /// Sentences on what is unusual in the store itself, kept with the snapshot.
    pub unusual: Vec<String>,
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// `list` or `full`.
    pub level: &'static str,
    /// What is wrong; empty where all is well.
    pub findings: Vec<Finding>,
    /// How many objects were looked at.
    pub objects_checked: u64,
    /// How many bytes were read.
    pub bytes_read: u64,
    /// Objects that nothing live reaches: no damage. A collection removes them, or a backup that is
    /// under way is going to refer to them.
    pub unreached_objects: u64,
    /// Their stored bytes.
    pub unreached_bytes: u64,
    /// How many damaged objects the repository lists, so that the next backup stores them anew; null
    /// where the lists were left as they are.
    pub listed_damaged: Option<u64>,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `missing`, `damaged`, `history`, ….
    pub kind: &'static str,
    /// The object, entry or file.
    pub what: String,
    /// What was expected, what was found, and which snapshot it breaks.
    pub detail: String,
}

/// What `diff` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffReport {
    /// The databases of either side.
    pub databases: Vec<DatabaseDiff>,
    /// Whether nothing differs.
    pub equal: bool,
}

/// How a database differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseDiff {
    /// Its name.
    pub name: String,
    /// Records that only the second side has.
    pub added: u64,
    /// Records that only the first side has.
    pub removed: u64,
    /// Records whose values differ.
    pub changed: u64,
    /// The records that differ, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<RecordDiff>>,
}

/// A record that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordDiff {
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// The root key in hexadecimal.
    pub root_key: String,
    /// The key in hexadecimal.
    pub key: String,
}

/// What `restore`, `convert`, `export` did, or would do with `--dry-run`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreReport {
    /// The snapshot, or the location it was converted from.
    pub snapshot: String,
    /// The target's location.
    pub target: String,
    /// `records` or `files`.
    pub shape: &'static str,
    /// `physical` or `logical`; null for a dry run.
    pub proved: Option<&'static str>,
    /// The databases that were restored.
    pub databases: Vec<DatabaseReport>,
    /// The checksum of the sum of all LtHashes.
    pub global_lthash: Option<String>,
    /// The number of files, in the files shape.
    pub files: Option<u64>,
    /// Bytes of records or files.
    pub bytes: u64,
    /// Where the store that was there before is now.
    pub kept_aside: Option<String>,
    /// Whether this only says what would be done.
    pub dry_run: bool,
    /// How long it took.
    pub elapsed_seconds: f64,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
    /// What the new store could not get around its records, though the snapshot has it.
    pub not_carried: Vec<NotCarriedReport>,
    /// Sentences on what is unusual in the store itself, kept since it was backed up.
    pub unusual: Vec<String>,
    /// What the target's engine said of the store before it was put in place; null for a dry run.
    pub check: Option<Check>,
    /// Whether only what is whole was asked for. Such a store is never proved.
    pub salvaged: bool,
    /// What of a salvaged snapshot is lost.
    pub losses: Vec<LossReport>,
}

/// Something around a snapshot's records that the new store could not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCarriedReport {
    /// What it is, in the engine's words.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it could not be made.
    pub why: String,
}

impl NotCarriedReport {
    pub(crate) fn of(part: &NotCarried) -> Self {
        let NotCarried { kind, name, why, .. } = part;
        Self { kind: kind.clone(), name: name.clone(), why: why.clone() }
    }

    /// The refusal of a restore that must carry all, where this is the first of `parts` that it cannot.
    pub(crate) fn refused(&self, parts: usize) -> Error {
        let Self { kind, name, why } = self;
        let more = match parts {
            0 | 1 => String::new(),
            parts => format!(", and {} more", parts - 1),
        };
        Error::Refused {
            what: format!("the new store cannot get the {kind} {name:?} ({why}){more}"),
            instead: "restore it not strictly; the report then lists what is left out".into(),
        }
    }
}

/// What an engine said of a store that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How much was looked at: `none`, `quick` or `full`.
    pub level: &'static str,
    /// `ok`, `findings`, `not_possible` or `not_done`.
    pub result: &'static str,
    /// The engine's own words: what it found, or why it could not look.
    pub findings: Vec<String>,
}

impl From<CheckReport> for Check {
    fn from(report: CheckReport) -> Self {
        let (level, result) = (report.level.word(), report.result.word());
        Self { level, result, findings: report.findings }
    }
}

/// A part of a snapshot that could not be salvaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossReport {
    /// The database whose records are lost; for databases that are lost with all they were, the first
    /// of them.
    pub database: Option<String>,
    /// The last of the databases that are lost with all they were.
    pub last_database: Option<String>,
    /// The file that is lost as a whole or in part; for files that are not known by name, the first
    /// of them.
    pub path: Option<String>,
    /// The last of the files that are not known by name. A file among them that has losses of its own
    /// has lost no more than those say.
    pub last_path: Option<String>,
    /// Where in the file the lost bytes begin; for files that are not known by name, in the first of
    /// them.
    pub offset: Option<u64>,
    /// The root key and key of the first lost record, in hexadecimal.
    pub first: Option<[String; 2]>,
    /// The root key and key of the last lost record, in hexadecimal.
    pub last: Option<[String; 2]>,
    /// How many records are lost.
    pub records: Option<u64>,
    /// How many bytes are lost; null where nothing tells.
    pub bytes: Option<u64>,
    /// What is damaged or missing.
    pub why: String,
}

/// What `status` shows of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// Where it is.
    pub repository: String,
    /// Its id.
    pub id: String,
    /// The number of its newest catalog entry.
    pub catalog_entry: u64,
    /// How many snapshots are live.
    pub snapshots: usize,
    /// When the newest was taken.
    pub newest: Option<String>,
    /// Backups under way, or interrupted.
    pub pins: Vec<PinReport>,
    /// The number of stored objects.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
}

/// A backup under way, or interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinReport {
    /// The host that backs up.
    pub host: String,
    /// What it backs up.
    pub source: String,
    /// Since when.
    pub since: String,
    /// The name of what it backs up, if it has one.
    pub name: Option<String>,
}

impl LossReport {
    fn nothing(why: String) -> Self {
        Self {
            database: None,
            last_database: None,
            path: None,
            last_path: None,
            offset: None,
            first: None,
            last: None,
            records: None,
            bytes: None,
            why,
        }
    }

    /// Records of a database.
    pub(crate) fn of_records(database: &str, loss: &Loss) -> Self {
        let place = |at: &RecordKey| [hex::encode(&at.root_key), hex::encode(&at.key)];
        Self {
            database: Some(database.to_owned()),
            first: Some(place(&loss.first)),
            last: Some(place(&loss.last)),
            records: Some(loss.records),
            bytes: Some(loss.bytes),
            ..Self::nothing(loss.explain())
        }
    }

    /// Databases of which only the first and the last name are known.
    pub(crate) fn of_databases(loss: &Loss) -> Self {
        let name = |at: &RecordKey| Some(String::from_utf8_lossy(&at.key).into_owned());
        let (database, last_database) = (name(&loss.first), name(&loss.last));
        Self { database, last_database, ..Self::nothing(loss.explain()) }
    }

    /// Files that are not known one by one.
    pub(crate) fn of_files(loss: &Loss) -> Self {
        let path = |at: &RecordKey| Some(String::from_utf8_lossy(&at.root_key).into_owned());
        let (path, last_path) = (path(&loss.first), path(&loss.last));
        let offset = <[u8; 8]>::try_from(loss.first.key.as_slice()).ok().map(u64::from_be_bytes);
        let bytes = Some(loss.bytes);
        Self { path, last_path, offset, bytes, ..Self::nothing(loss.explain()) }
    }

    /// A stretch of a file.
    pub(crate) fn of_file(path: &str, loss: &FileLoss) -> Self {
        let (start, end) = (loss.range.start, loss.range.end);
        let why = match loss.more {
            0 => loss.why.clone(),
            more => format!("{}; and {more} more", loss.why),
        };
        Self {
            path: Some(path.to_owned()),
            offset: Some(start),
            bytes: (end != u64::MAX).then(|| end.saturating_sub(start)),
            ..Self::nothing(why)
        }
    }
}

impl DatabaseReport {
    /// A database with its proof, where there is one.
    pub fn new(name: impl Into<String>, proof: Option<&Proof>) -> Self {
        Self {
            name: name.into(),
            records: proof.map(|proof| proof.records),
            bytes: proof.map(|proof| proof.bytes),
            lthash: proof.map(|proof| proof.checksum.to_string()),
        }
    }

    /// The databases of a store, sorted by name, as every report has them.
    pub(crate) fn sorted(databases: impl Iterator<Item = Self>) -> Vec<Self> {
        let mut databases: Vec<Self> = databases.collect();
        databases.sort_by(|a, b| a.name.cmp(&b.name));
        databases
    }

    /// The databases of a snapshot.
    pub fn of_snapshot(databases: &[Described]) -> Vec<Self> {
        let report = |database: &Described| Self::new(&database.name, database.proof.as_ref());
        databases.iter().map(report).collect()
    }
}

/// `logical` where a manifest has LtHashes, else `physical`.
pub(crate) fn proof_word(manifest: &Manifest) -> &'static str {
    if manifest.proved_from.is_some() { "logical" } else { "physical" }
}

/// The checksum of a global LtHash, in hexadecimal.
pub(crate) fn global_word(lthash: Option<&LtHash>) -> Option<String> {
    lthash.map(|lthash| lthash.checksum().to_string())
}
