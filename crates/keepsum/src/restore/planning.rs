//! What a restore is going to do: into which shape of the target a snapshot goes, and which databases of it.

use archive::directory::Described;
use archive::manifest::{Manifest, Shape};
use backup_core::Target;
use backup_core::source::{FileInfo, Layout};
use remote::Repository;
use remote::tree::files_of;

use super::RestoreOptions;
use crate::report::{DatabaseReport, RestoreReport, global_word};
use crate::selector::SnapshotSpec;
use crate::{Error, Result, snapshots};

/// What a restore is going to do.
pub(super) struct Plan {
    pub(super) manifest: Manifest,
    /// The databases of the snapshot.
    pub(super) held: Vec<Described>,
    /// What a person should know of it.
    notes: Vec<String>,
    pub(super) how: How,
}

pub(super) enum How {
    /// Load these databases of the snapshot, each under this name.
    Records { layout: Layout, databases: Vec<(Described, String)> },
    /// Place the files.
    Files { files: Vec<FileInfo> },
    /// Place the files in a scratch folder, and convert from there.
    Scratch,
}

pub(super) async fn make_plan(
    repository: &Repository,
    spec: &SnapshotSpec,
    target: &dyn Target,
    options: &RestoreOptions,
) -> Result<Plan> {
    let manifest = snapshots::find(repository, spec).await?;
    let can = target.capabilities();
    let same_engine = manifest.source.engine == target.describe().engine;
    let part = options.database.is_some() || options.rename.is_some();
    let as_they_are = same_engine && can.place_files && !part && options.layout.is_none();
    let is_placed = as_they_are && manifest.shape != Shape::Records;
    let (held, notes) = match snapshots::databases(repository, &manifest).await {
        // Files are proved by themselves; what names the databases in them is not needed to place them.
        Err(Error::Remote(error)) if is_placed && error.is_damage() => {
            (Vec::new(), vec![format!("the list of its databases cannot be read: {error}")])
        }
        held => (held?, Vec::new()),
    };
    let how = match &manifest.shape {
        Shape::Records if can.load_records => {
            let layout = options.layout.unwrap_or(manifest.layout);
            How::Records { layout, databases: chosen(&manifest, &held, options)? }
        }
        Shape::Records => return Err(takes_no_records(&manifest, target)),
        Shape::Files { .. } if as_they_are => {
            let files = files_of(repository.objects(), &manifest.shape).await.map_err(Error::from);
            How::Files { files: snapshots::explained(repository, manifest.id, files).await? }
        }
        Shape::Files { .. }
            if can.load_records
                && options.engines.find(&manifest.source.engine).is_some()
                && !part =>
        {
            How::Scratch
        }
        Shape::Files { .. } => return Err(no_files_into(&manifest, target, part)),
    };
    Ok(Plan { manifest, held, notes, how })
}

pub(crate) fn takes_no_records(manifest: &Manifest, target: &dyn Target) -> Error {
    let (id, engine) = (manifest.id, target.describe().engine);
    Error::Refused {
        what: format!("snapshot {id} holds records, and a {engine} store takes files only"),
        instead: "restore it into rocksdb:PATH, memory:FILE.bcs or memory:FOLDER".into(),
    }
}

fn no_files_into(manifest: &Manifest, target: &dyn Target, part: bool) -> Error {
    let engine = &manifest.source.engine;
    let what = if part {
        format!(
            "snapshot {} holds the files of a {engine} store, not single databases",
            manifest.id
        )
    } else {
        let into = target.describe().engine;
        format!(
            "snapshot {} holds the files of a {engine} store, and {into} cannot take them",
            manifest.id
        )
    };
    Error::Refused { what, instead: format!("restore it whole into {engine}:PATH") }
}

/// The databases to restore, with the names they get.
pub(crate) fn chosen(
    manifest: &Manifest,
    held: &[Described],
    options: &RestoreOptions,
) -> Result<Vec<(Described, String)>> {
    let Some(name) = &options.database else {
        if options.rename.is_some() {
            let detail = "is of one database; choose a database".into();
            return Err(Error::Usage { what: "another name".into(), detail });
        }
        let all = held.iter();
        return Ok(all.map(|database| (database.clone(), database.name.clone())).collect());
    };
    let Some(database) = held.iter().find(|database| database.name == *name) else {
        let names = names_of(held);
        return Err(Error::Usage {
            what: format!("the database {name:?}"),
            detail: format!("is not in snapshot {}; it has {names}", manifest.id),
        });
    };
    let named = options.rename.clone().unwrap_or_else(|| name.clone());
    Ok(vec![(database.clone(), named)])
}

/// As many names of databases as fit a line, and how many more there are.
fn names_of(held: &[Described]) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = held.iter().take(SHOWN).map(|one| one.name.as_str()).collect();
    let names = names.join(", ");
    match held.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{names}, and {} more", count - SHOWN),
        _ => names,
    }
}

impl Plan {
    pub(super) fn report(&self, target: &dyn Target) -> RestoreReport {
        let manifest = &self.manifest;
        let mut report = RestoreReport {
            databases: DatabaseReport::of_snapshot(&self.held),
            global_lthash: global_word(manifest.global()),
            bytes: manifest.sum.as_ref().map_or(0, |sum| sum.bytes),
            dry_run: true,
            notes: self.notes.clone(),
            ..empty_report(manifest, target)
        };
        match &self.how {
            How::Records { databases, .. } => {
                let named = |(database, name): &(Described, String)| {
                    DatabaseReport::new(name.clone(), database.proof.as_ref())
                };
                report.databases = databases.iter().map(named).collect();
                if databases.len() < self.held.len() {
                    // Of a part of them, the sum is known once it was read.
                    let bytes = databases.iter().filter_map(|(database, _)| database.proof);
                    report.bytes = bytes.map(|proof| proof.bytes).sum();
                    report.global_lthash = match report.databases.as_slice() {
                        [only] => only.lthash.clone(),
                        _ => None,
                    };
                }
            }
            How::Files { files } => {
                report.files = Some(files.len() as u64);
                report.bytes = files.iter().map(|file| file.bytes).sum();
            }
            How::Scratch => {
                report.notes.push("the files go through a scratch folder beside the target".into());
            }
        }
        report
    }
}

/// The report of a restore that has not brought anything yet.
pub(crate) fn empty_report(manifest: &Manifest, target: &dyn Target) -> RestoreReport {
    RestoreReport {
        snapshot: manifest.id.to_string(),
        target: target.describe().location,
        shape: manifest.shape.word(),
        proved: None,
        databases: Vec::new(),
        global_lthash: None,
        files: None,
        bytes: 0,
        kept_aside: None,
        dry_run: false,
        elapsed_seconds: 0.0,
        notes: Vec::new(),
        unusual: manifest.unusual.clone(),
        check: None,
        not_carried: Vec::new(),
        salvaged: false,
        losses: Vec::new(),
    }
}
