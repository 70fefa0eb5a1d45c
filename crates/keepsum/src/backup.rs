//! `backup`: a source goes into the repository as a snapshot.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use archive::catalog::SourceId;
use archive::directory::{Directory, Proof};
use archive::limits::{MAX_DATABASES, MAX_NOTES};
use archive::manifest::{Manifest, PageProof, ProvedFrom, Shape, ShapeKind, SnapshotId};
use archive::node::Tree;
use archive::object::ObjectRef;
use backup_core::progress::Context;
use backup_core::source::{Files, Snapshot, SnapshotInfo, StoreDescription, View};
use backup_core::{ErrorKind, Source};
use futures_util::future;
use remote::tree::{DirectoryWritten, ReadingAll, SoFar, keep, write_databases, write_files};
use remote::{Committed, Head, Host, Repository, Root, Session};

use crate::checkpoint::{CheckpointEvery, Kept, Pace, Saving};
use crate::pages::PagesRead;
use crate::parents::{MAX_CANDIDATES, finished, own_pins, unfinished};
use crate::report::{BackupReport, DatabaseReport, global_word, proof_word};
use crate::selector::without_last_slash;
use crate::sums;
use crate::{Error, Result, time};

/// How many snapshots and interrupted backups a backup builds on.
const MAX_PARENTS: usize = 3;

/// How many of them are interrupted backups at most: a snapshot covers what they had not reached.
const MAX_INTERRUPTED: usize = 2;

/// How often a backup starts over when a collection took away what it had reused or stored, and at least
/// where a source changed while it was read.
const ATTEMPTS: u32 = 5;

/// How often it starts over at most, whatever the clock says.
const MOST_ATTEMPTS: u32 = 2000;

/// A shape that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeChoice {
    /// Portable records.
    Records,
    /// The engine's own files.
    Files,
}

/// A proof that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProofChoice {
    /// What the shape gives at no extra cost.
    #[default]
    Physical,
    /// The LtHash as well, for one scan more in the files shape.
    Logical,
}

/// How to back up.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// The shape; by default the fastest exact one that the source has.
    pub shape: Option<ShapeChoice>,
    /// The proof.
    pub proof: ProofChoice,
    /// The name of the source, by which it is known wherever it is; without one, it is known by host and
    /// location.
    pub name: Option<String>,
    /// A word for the snapshot.
    pub label: Option<String>,
    /// A sentence for the snapshot.
    pub description: Option<String>,
    /// Reuse nothing that is stored already.
    pub fresh: bool,
    /// When to make a checkpoint, so that an interrupted backup goes on from there.
    pub checkpoint_every: CheckpointEvery,
}

/// Backs up `source` into `repository`.
///
/// The source is one of the repository's host. Nothing is visible before the snapshot is committed. Where it ends early, cancelled or failed, it makes a
/// checkpoint of what it stored, in bounded time, and says in a note what was kept: the next backup of the
/// source goes on from there.
pub async fn backup(
    repository: &Repository,
    source: &dyn Source,
    options: &BackupOptions,
) -> Result<BackupReport> {
    let (host, context) = (repository.host(), repository.context());
    let started = host.clock.now_ms();
    if options.name.as_deref() == Some("") {
        let detail = "is empty; give it a word, or leave it out".into();
        return Err(Error::Usage { what: "the name of the source".into(), detail });
    }
    let view = view(source, options)?;
    let mut described = source.describe();
    described.location = without_last_slash(described.location);
    let mut attempt = 0;
    let mut tries = Tries { patience: source.patience(), since: None };
    let mut taken = None;
    loop {
        attempt += 1;
        let snapshot = match &mut taken {
            Some(snapshot) => snapshot,
            none => {
                context.phase("taking a snapshot", None);
                match source.snapshot(view, context).await.map_err(Error::from) {
                    Ok(snapshot) => none.insert(snapshot),
                    Err(error) if error.is_change() && tries.go_on(attempt, host) => {
                        tell_of(attempt, &error, context);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let taking =
            Taking { repository, snapshot: snapshot.as_ref(), view, options, host, context };
        match Box::pin(taking.store(described.clone(), started)).await {
            Err(Ended { error, .. }) if error.is_change() && tries.go_on(attempt, host) => {
                tell_of(attempt, &error, context);
                taken = None;
            }
            Err(Ended { error: Error::Remote(remote::Error::StartOver { why }), .. })
                if attempt < ATTEMPTS =>
            {
                context.note(format!("starting over: {why}"));
            }
            Err(Ended { error, kept }) => {
                if let Some(kept) = kept {
                    context.note(kept.to_string());
                }
                return Err(error);
            }
            Ok(stored) => {
                let elapsed = time::seconds_since(started, host);
                return Ok(report(&stored, elapsed, snapshot.info()));
            }
        }
    }
}

/// Says once that a source is read anew.
fn tell_of(attempt: u32, error: &Error, context: &Context) {
    if attempt == 1 {
        context.note(format!("starting over, as often as it takes: {error}"));
    }
}

/// For how long a source is tried that changes while it is read.
struct Tries {
    patience: Duration,
    /// When it changed for the first time, by the host's clock.
    since: Option<u64>,
}

impl Tries {
    /// Whether to try again: a few times at least, and for as long as the source asks for.
    fn go_on(&mut self, attempt: u32, host: &Host) -> bool {
        let now = host.clock.now_ms();
        let since = *self.since.get_or_insert(now);
        let passed = Duration::from_millis(now.saturating_sub(since));
        attempt < ATTEMPTS || (attempt < MOST_ATTEMPTS && passed < self.patience)
    }
}

/// The shape and proof that are wanted, as far as the source can give them.
fn view(source: &dyn Source, options: &BackupOptions) -> Result<View> {
    let can = source.capabilities();
    let fastest = if can.files { ShapeChoice::Files } else { ShapeChoice::Records };
    let shape = options.shape.unwrap_or(fastest);
    let engine = source.describe().engine;
    match (shape, options.proof) {
        (ShapeChoice::Records, _) if can.records => Ok(View::Records),
        (ShapeChoice::Files, ProofChoice::Physical) if can.files => Ok(View::Files),
        (ShapeChoice::Files, ProofChoice::Logical) if can.files && can.records => Ok(View::Both),
        (ShapeChoice::Records, _) => Err(Error::Refused {
            what: format!("a {engine} store has no records that can be read"),
            instead: "back up the files".into(),
        }),
        (ShapeChoice::Files, _) if !can.files => Err(Error::Refused {
            what: format!("a {engine} store has no files that can be copied"),
            instead: "back up the records".into(),
        }),
        (ShapeChoice::Files, _) => Err(Error::Refused {
            what: format!("a logical proof needs records, and a {engine} store has none"),
            instead: "leave out the logical proof; every file is proved physically".into(),
        }),
    }
}

/// The names of databases, with their proofs.
type Proofs = Vec<(String, Option<Proof>)>;

/// A snapshot that is live.
struct Stored {
    manifest: Manifest,
    databases: Proofs,
    committed: Committed,
}

/// One attempt to store a snapshot.
struct Taking<'a> {
    repository: &'a Repository,
    snapshot: &'a dyn Snapshot,
    view: View,
    options: &'a BackupOptions,
    host: &'a Host,
    context: &'a Context,
}

/// An attempt that ended early.
struct Ended {
    error: Error,
    /// What of it is kept; unknown where it had not begun.
    kept: Option<Kept>,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self { error, kept: None }
    }
}

impl From<remote::Error> for Ended {
    fn from(error: remote::Error) -> Self {
        Error::from(error).into()
    }
}

impl Taking<'_> {
    async fn store(&self, source: StoreDescription, started: u64) -> Result<Stored, Ended> {
        let head = self.repository.head().await?;
        let of = self.source_id(&source);
        let (roots, parents) = self.parents(&head, &of).await?;
        let session = Session::begin(self.repository, &head, &of, &roots).await?;
        let session = Arc::new(session.ending(own_pins(&head.state, &of)));
        let pace = Pace::new(self.options.checkpoint_every, &session);
        let stored = match self.fill(&session, &pace, &parents, source, started).await {
            Ok((manifest, databases)) => {
                self.context.phase("committing", None);
                let committed = commit(&session, &pace, &manifest).await;
                committed.map(|committed| Stored { manifest, databases, committed })
            }
            Err(error) => {
                session.end_early().await;
                Err(error)
            }
        };
        match stored {
            Ok(stored) => Ok(stored),
            Err(error) => {
                let earlier = roots.iter().any(|root| matches!(root, Root::Pin(_)));
                let kept = pace.kept(&session, earlier).await;
                Err(Ended { error, kept: Some(kept) })
            }
        }
    }

    /// What is built on: of interrupted backups those that came farthest, and then snapshots.
    async fn parents(&self, head: &Head, of: &SourceId) -> Result<(Vec<Root>, Vec<Manifest>)> {
        if self.options.fresh {
            return Ok((Vec::new(), Vec::new()));
        }
        // A backup pins what it builds on, too.
        let mut seen: HashSet<ObjectRef> =
            head.state.snapshots.values().map(|snapshot| snapshot.manifest).collect();
        let mut interrupted: Vec<(Root, Manifest)> = Vec::new();
        for (root, reference) in unfinished(&head.state, of) {
            if interrupted.len() < MAX_CANDIDATES && seen.insert(reference) {
                interrupted.extend(self.parent(root, &reference).await?);
            }
        }
        interrupted.sort_by_key(|(_, manifest)| Reverse(manifest.bytes()));
        interrupted.truncate(MAX_INTERRUPTED);
        let mut parents = interrupted;
        for (root, reference) in finished(&head.state, of, self.shape()) {
            if parents.len() == MAX_PARENTS {
                break;
            }
            parents.extend(self.parent(root, &reference).await?);
        }
        Ok(parents.into_iter().unzip())
    }

    /// A root with its manifest, where something can be reused of it.
    async fn parent(&self, root: Root, reference: &ObjectRef) -> Result<Option<(Root, Manifest)>> {
        match self.repository.manifest(reference).await {
            Ok(manifest) => {
                let alike = manifest.shape.kind() == self.shape();
                Ok(alike.then_some((root, manifest)))
            }
            Err(error) if error.is_damage() && !self.is_live(&root).await? => {
                let why = "the interrupted backup or snapshot whose data this backup reuses was removed meanwhile".to_owned();
                Err(remote::Error::StartOver { why }.into())
            }
            // `verify` reports it. A backup without it is larger, and as good.
            Err(error) if error.is_damage() => {
                self.context.note(format!(
                    "an earlier snapshot is damaged, so this backup reuses nothing of it: {error}"
                ));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The shape of the new snapshot.
    fn shape(&self) -> ShapeKind {
        if self.view.files() { ShapeKind::Files } else { ShapeKind::Records }
    }

    /// What `source` is to the repository.
    fn source_id(&self, source: &StoreDescription) -> SourceId {
        SourceId {
            name: self.options.name.clone(),
            host: self.host.name.clone(),
            location: source.location.clone(),
            engine: source.engine.clone(),
        }
    }

    /// Whether a snapshot or pin is live still.
    async fn is_live(&self, root: &Root) -> Result<bool> {
        Ok(root.manifest(&self.repository.head().await?.state).is_some())
    }

    /// Stores the content, and says in a manifest what it is.
    async fn fill(
        &self,
        session: &Arc<Session>,
        pace: &Pace,
        parents: &[Manifest],
        source: StoreDescription,
        started: u64,
    ) -> Result<(Manifest, Proofs)> {
        self.check_databases()?;
        let info = self.snapshot.info();
        let mut manifest = Manifest {
            id: SnapshotId(self.host.random()?),
            created_ms: started,
            name: self.options.name.clone(),
            host: self.host.name.clone(),
            source,
            label: self.options.label.clone(),
            description: self.options.description.clone(),
            position: info.position.clone(),
            consistency: info.consistency,
            layout: info.layout,
            ownership: info.ownership.clone(),
            databases: None,
            sum: None,
            shape: Shape::Records,
            proved_from: None,
            notes: kept_notes(&info.notes),
            unusual: kept_notes(&info.unusual),
            pages: None,
        };
        manifest.proved_from = self.snapshot.records().is_some().then_some(ProvedFrom::Source);
        let written = if self.view.files() {
            let files = self.snapshot.files().ok_or_else(|| missing("files"))?;
            self.begin_files(files);
            self.copy_and_prove(session, pace, parents, files, &mut manifest).await?
        } else {
            self.records(session, pace, parents, &manifest).await?
        };
        (manifest.databases, manifest.sum) = (written.tree, written.sum);
        Ok((manifest, written.databases))
    }

    /// Refuses a store with more databases than a snapshot holds, before anything of them is read.
    fn check_databases(&self) -> Result<()> {
        let count = self.snapshot.info().databases.len() as u64;
        if count <= MAX_DATABASES {
            return Ok(());
        }
        let what =
            format!("the store has {count} databases, and a snapshot holds up to {MAX_DATABASES}");
        let instead = "split it into several stores, or back up its files without reading records";
        Err(Error::Refused { what, instead: instead.into() })
    }

    /// Says what is read: files alone, or records as well.
    fn begin_files(&self, files: &dyn Files) {
        let of_files = files.list().iter().map(|file| file.bytes).sum();
        let of_records = sums::estimate(&self.snapshot.info().databases);
        if self.view.records() {
            let both = of_records.map(|bytes| bytes.saturating_add(of_files));
            self.context.phase("copying files and summing records", both);
        } else {
            self.context.phase("copying files", Some(of_files));
        }
    }

    /// Copies the files and reads the records beside. Where one fails, the other stops at its next safe place,
    /// so that the copy can make its checkpoint.
    async fn copy_and_prove(
        &self,
        session: &Arc<Session>,
        pace: &Pace,
        parents: &[Manifest],
        files: &dyn Files,
        manifest: &mut Manifest,
    ) -> Result<DirectoryWritten> {
        // The manifest of a checkpoint has no proof yet.
        let mut began = Manifest { proved_from: None, ..manifest.clone() };
        let with_sums = manifest.proved_from.is_some();
        let before = parents.iter().map(Manifest::directory);
        let before: Vec<Directory<'_>> =
            before.filter(|parent| parent.holding.is_summed() == with_sums).collect();
        let both = self.context.part();
        let copied = async {
            let copied = self.files(session, pace, parents, files, &began, &both).await;
            copied.inspect_err(|_| both.cancel())
        };
        let proved = async {
            let proved = sums::prove_databases(session, self.snapshot, &before, &both).await;
            proved.inspect_err(|_| both.cancel())
        };
        match future::join(copied, proved).await {
            (Ok((shape, pages)), Ok(proved)) => {
                (manifest.shape, manifest.pages) = (shape, pages);
                Ok(proved)
            }
            // The one that was only stopped has nothing to say.
            (Err(copy), Err(proof)) => {
                Err(if copy.kind() == ErrorKind::Cancelled { proof } else { copy })
            }
            (Err(error), Ok(_)) => Err(error),
            (Ok((shape, _)), Err(error)) => {
                began.shape = shape;
                keep_after(session, &error, &Saving::new(session, pace, &began), SoFar::Finished)
                    .await;
                Err(error)
            }
        }
    }

    async fn files(
        &self,
        session: &Session,
        pace: &Pace,
        parents: &[Manifest],
        files: &dyn Files,
        manifest: &Manifest,
        context: &Context,
    ) -> Result<(Shape, Option<PageProof>)> {
        let trees: Vec<Tree> = parents.iter().filter_map(files_tree).cloned().collect();
        let saving = Saving::new(session, pace, manifest);
        let paged = PagesRead::of(files);
        let files = paged.as_ref().map_or(files, |paged| paged as &dyn Files);
        let written = write_files(session, files, &trees, &saving, context).await?;
        let (count, bytes) = (written.count, written.bytes);
        let shape = Shape::Files { tree: written.tree.clone(), count, bytes };
        let Some(paged) = paged else { return Ok((shape, None)) };
        match paged.proof(&shape, parents, self.host).await {
            Ok(proof) => Ok((shape, Some(proof))),
            Err(error) => {
                keep_after(session, &error, &saving, SoFar::Files(written)).await;
                Err(error)
            }
        }
    }

    async fn records(
        &self,
        session: &Arc<Session>,
        pace: &Pace,
        parents: &[Manifest],
        manifest: &Manifest,
    ) -> Result<DirectoryWritten> {
        let records = self.snapshot.records().ok_or_else(|| missing("records"))?;
        let databases = &self.snapshot.info().databases;
        self.context.phase("reading records", sums::estimate(databases));
        let before: Vec<Directory<'_>> = parents.iter().map(Manifest::directory).collect();
        let saving = Saving::new(session, pace, manifest);
        let reading = ReadingAll { records, databases, readers: sums::readers() };
        Ok(write_databases(session, reading, &before, &saving, self.context).await?)
    }
}

/// Makes the snapshot live. Where that fails, all that it holds is kept by a checkpoint.
async fn commit(session: &Session, pace: &Pace, manifest: &Manifest) -> Result<Committed> {
    match session.commit(manifest).await {
        Ok(committed) => Ok(committed),
        Err(error) => {
            let error = error.into();
            // Its trees are finished already.
            keep_after(session, &error, &Saving::new(session, pace, manifest), SoFar::Finished)
                .await;
            Err(error)
        }
    }
}

/// Makes a checkpoint of what was stored before an error, unless the work starts over after it.
async fn keep_after(session: &Session, error: &Error, saving: &Saving<'_>, so_far: SoFar) {
    if !error.starts_over() {
        keep(session, saving, future::ready(Ok(Some(so_far)))).await;
    }
}

fn files_tree(manifest: &Manifest) -> Option<&Tree> {
    match &manifest.shape {
        Shape::Files { tree, .. } => tree.as_ref(),
        Shape::Records => None,
    }
}

/// As many notes as a manifest holds.
fn kept_notes(notes: &[String]) -> Vec<String> {
    if notes.len() <= MAX_NOTES {
        return notes.to_vec();
    }
    let (kept, dropped) = notes.split_at(MAX_NOTES - 1);
    let rest = format!("{} more notes are not kept", dropped.len());
    kept.iter().cloned().chain([rest]).collect()
}

fn missing(what: &str) -> Error {
    Error::Core(backup_core::Error::invalid(
        "the source",
        format!("gave a snapshot without {what}"),
    ))
}

fn report(stored: &Stored, elapsed_seconds: f64, info: &SnapshotInfo) -> BackupReport {
    let Stored { manifest, databases, committed: stored } = stored;
    let named = databases.iter().map(|(name, proof)| DatabaseReport::new(name, proof.as_ref()));
    BackupReport {
        snapshot: manifest.id.to_string(),
        shape: manifest.shape.word(),
        position: manifest.position.to_string(),
        proof: proof_word(manifest),
        proved_from: manifest.proved_from.map(ProvedFrom::word),
        databases: named.collect(),
        global_lthash: global_word(manifest.global()),
        uploaded_bytes: stored.uploaded_bytes,
        reused_bytes: stored.reused_bytes,
        elapsed_seconds,
        consistency: manifest.consistency.to_string(),
        pause_seconds: info.pause.map(|pause| pause.as_secs_f64()),
        notes: manifest.notes.clone(),
        unusual: manifest.unusual.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_notes_than_a_manifest_holds_are_counted() {
        let notes = |count: usize| (0..count).map(|n| format!("note {n}")).collect::<Vec<_>>();
        assert_eq!(kept_notes(&notes(MAX_NOTES)), notes(MAX_NOTES));
        let kept = kept_notes(&notes(MAX_NOTES + 5));
        assert_eq!(kept.len(), MAX_NOTES);
        assert_eq!(kept[..MAX_NOTES - 1], notes(MAX_NOTES - 1));
        assert_eq!(kept[MAX_NOTES - 1], "6 more notes are not kept");
    }
}
