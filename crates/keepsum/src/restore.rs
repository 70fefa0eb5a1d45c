//! `restore`: a snapshot becomes a store, proved before it replaces anything.

mod planning;

use archive::directory::{Described, Proof};
use archive::manifest::{Manifest, Shape};
use backup_core::Target;
use backup_core::check::CheckLevel;
use backup_core::integrity::DatabaseSum;
use backup_core::progress::Context;
use backup_core::source::{DatabaseInfo, FileInfo, Layout, Order, View};
use backup_core::target::{Content, Existing, Origin, Restore, RestorePlan, Restored};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use remote::tree::{FileContent, OpenRecords, file_contents, open_database, open_databases, scan};
use remote::{Objects, Repository};

use self::planning::{How, Plan, make_plan};
pub(crate) use self::planning::{chosen, empty_report, takes_no_records};
use crate::built::{self, Expected};
use crate::pages::PagesPlaced;
use crate::report::{DatabaseReport, NotCarriedReport, RestoreReport, global_word};
use crate::scratch::Scratch;
use crate::selector::SnapshotSpec;
use crate::{Engines, Error, ExitCode, Result, snapshots, sums, time};

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Replace a store that is there; the old one is kept aside.
    pub replace: bool,
    /// The layout in the target; by default the one the source had.
    pub layout: Option<Layout>,
    /// Only this database.
    pub database: Option<String>,
    /// Under this name.
    pub rename: Option<String>,
    /// How much the target's engine checks before the store is put in place, where that is to decide; see
    /// [`backup_core::check`]. Where nobody asks, what SQLite's quick check says is told.
    pub check: Option<CheckLevel>,
    /// Refuse a restore that cannot carry all that the snapshot has around its records.
    pub strict: bool,
    /// The engines that read the records of a snapshot of files; those of this build, unless told otherwise.
    pub engines: Engines,
}

/// Says what a restore would do, and writes nothing.
pub async fn plan(
    repository: &Repository,
    spec: &SnapshotSpec,
    target: &dyn Target,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let plan = make_plan(repository, spec, target, options).await?;
    Ok(plan.report(target))
}

/// Restores a snapshot into `target`.
///
/// The store is built beside the target, proved against the snapshot, made durable, and only then
/// put in place. Any error before that leaves what was there untouched.
pub async fn restore(
    repository: &Repository,
    spec: &SnapshotSpec,
    target: &dyn Target,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let (host, context) = (repository.host(), repository.context());
    let started = host.clock.now_ms();
    let plan = make_plan(repository, spec, target, options).await?;
    let mut report = plan.report(target);
    report.dry_run = false;
    let into = Restoring { target, options, context };
    let brought = plan.bring(repository, &into, &mut report).await;
    snapshots::explained(repository, plan.manifest.id, brought).await?;
    report.elapsed_seconds = time::seconds_since(started, host);
    Ok(report)
}

impl Plan {
    /// Reads the snapshot, and builds, proves and publishes the store.
    async fn bring(
        &self,
        repository: &Repository,
        into: &Restoring<'_>,
        report: &mut RestoreReport,
    ) -> Result<()> {
        match &self.how {
            How::Records { layout, databases } => {
                let made = into.records(repository, &self.manifest, *layout, databases).await?;
                report.not_carried = made.not_carried;
                report.finished(made.restored, "logical");
            }
            How::Files { files } => {
                let kept = into.files(repository, &self.manifest, files).await?;
                report.finished(kept, "physical");
            }
            How::Scratch => {
                let (manifest, engines) = (&self.manifest, &into.options.engines);
                into.refuse_early().await?;
                let beside = into.target.beside()?;
                let scratch =
                    Scratch::fill(repository, manifest, engines, beside.as_deref(), into.context)
                        .await?;
                let origin = origin(&self.manifest);
                let converted = into.convert(scratch.source(), &origin).await?;
                prove_converted(&self.held, &converted.databases)?;
                report.databases = converted.databases;
                report.global_lthash = converted.global_lthash;
                report.bytes = converted.bytes;
                report.not_carried = converted.made.not_carried;
                report.finished(converted.made.restored, "logical");
            }
        }
        Ok(())
    }
}

impl RestoreReport {
    fn finished(&mut self, restored: Restored, proved: &'static str) {
        self.proved = Some(proved);
        self.kept_aside = restored.kept_aside.map(|path| path.display().to_string());
        self.notes.extend(restored.notes);
        self.check = Some(restored.check.into());
    }
}

/// Where to restore into, and how.
pub(crate) struct Restoring<'a> {
    pub(crate) target: &'a dyn Target,
    pub(crate) options: &'a RestoreOptions,
    pub(crate) context: &'a Context,
}

/// What a conversion brought.
pub(crate) struct Converted {
    pub(crate) databases: Vec<DatabaseReport>,
    pub(crate) global_lthash: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) made: Made,
    /// What is unusual in the source.
    pub(crate) unusual: Vec<String>,
}

/// A store of records that was proved and published.
pub(crate) struct Made {
    pub(crate) restored: Restored,
    pub(crate) not_carried: Vec<NotCarriedReport>,
}

impl Restoring<'_> {
    /// Refuses what is there before anything is fetched, where the restore itself begins only after that.
    async fn refuse_early(&self) -> Result<()> {
        if self.options.replace || !self.target.is_occupied().await? {
            return Ok(());
        }
        let path = self.target.describe().place().into();
        Err(backup_core::Error::Occupied { path }.into())
    }

    async fn begin(&self, content: Content, origin: Origin) -> Result<Box<dyn Restore>> {
        let existing = if self.options.replace { Existing::KeepAside } else { Existing::Refuse };
        Ok(self
            .target
            .begin(
                RestorePlan { content, existing, check: self.options.check, origin },
                self.context,
            )
            .await?)
    }

    async fn records(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        layout: Layout,
        databases: &[(Described, String)],
    ) -> Result<Made> {
        let infos = databases.iter().map(|(database, name)| described(database, name)).collect();
        let content = Content::Records { layout, databases: infos };
        let mut restore = self.begin(content, origin(manifest)).await?;
        let proofs = databases.iter().filter_map(|(database, _)| database.proof);
        self.context.phase("restoring records", Some(proofs.map(|proof| proof.bytes).sum()));
        let (objects, directory) = (repository.objects(), manifest.directory());
        let mut opened = match &self.options.database {
            None => open_databases(objects, directory),
            Some(name) => {
                let one = open_database(objects, directory, name).await?;
                stream::iter(one.map(Ok)).boxed()
            }
        };
        let mut total = DatabaseSum::default();
        for (number, (database, _)) in databases.iter().enumerate() {
            let found = opened.try_next().await?.filter(|found| found.described == *database);
            let records = found.ok_or_else(|| changed(database))?.records;
            let sum = self.load(objects, number, database, records, restore.as_mut()).await?;
            prove_database(database, &sum)?;
            total.add(&sum);
        }
        if self.options.database.is_none() {
            prove_total(manifest, &total)?;
        }
        drop(opened);
        let expected: Vec<_> =
            databases.iter().map(|(one, name)| Expected::of(one, name)).collect();
        self.publish_proved(restore, &expected).await
    }

    /// Loads a database, and returns the sum of what was read.
    async fn load(
        &self,
        objects: &Objects,
        number: usize,
        database: &Described,
        records: OpenRecords,
        into: &mut dyn Restore,
    ) -> Result<DatabaseSum> {
        let tree = match records {
            OpenRecords::Here(batch, sum) => {
                self.context.check()?;
                self.context.advance(sum.bytes, sum.records);
                if !batch.is_empty() {
                    into.load(number, batch).await?;
                }
                return Ok(sum);
            }
            OpenRecords::Tree(tree) => tree,
        };
        let mut sum = DatabaseSum::default();
        let mut batches = scan(objects, &tree, &database.tag, None);
        while let Some((batch, part)) = batches.try_next().await? {
            self.context.check()?;
            sum.add(&part);
            let (bytes, begun) = sums::counted(&batch);
            self.context.advance(bytes, begun);
            if !batch.is_empty() {
                into.load(number, batch).await?;
            }
        }
        Ok(sum)
    }

    /// Publishes a store of records once it holds what it must.
    pub(crate) async fn publish_proved(
        &self,
        restore: Box<dyn Restore>,
        expected: &[Expected],
    ) -> Result<Made> {
        self.context.phase("completing the new store", None);
        let built = restore.complete().await?;
        let not_carried: Vec<_> = built.not_carried().iter().map(NotCarriedReport::of).collect();
        if self.options.strict
            && let Some(first) = not_carried.first()
        {
            return Err(first.refused(not_carried.len()));
        }
        built::prove(built.as_ref(), expected, self.context).await?;
        self.context.phase("publishing", None);
        Ok(Made { restored: built.publish().await?, not_carried })
    }

    async fn files(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        files: &[FileInfo],
    ) -> Result<Restored> {
        let engine = manifest.source.engine.clone();
        let content = Content::Files { engine, files: files.to_vec() };
        let mut restore = self.begin(content, origin(manifest)).await?;
        self.context.phase("restoring files", Some(files.iter().map(|file| file.bytes).sum()));
        let left_over = match self.place(repository, manifest, restore.as_mut()).await {
            // Damage does not pass, and a snapshot that is gone does not come back.
            Err(error) if error.exit_code() == ExitCode::Failed => {
                restore.interrupt();
                return Err(error);
            }
            placed => placed?,
        };
        self.context.phase("publishing", None);
        let mut restored = restore.complete().await?.publish().await?;
        if left_over > 0 {
            restored.notes.push(format!(
                "{left_over} bytes were there from a restore that was interrupted, and not fetched again"
            ));
        }
        Ok(restored)
    }

    /// Places the files; returns how many bytes of them were there from a restore that was interrupted.
    async fn place(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        restore: &mut dyn Restore,
    ) -> Result<u64> {
        let Shape::Files { tree: Some(tree), .. } = &manifest.shape else { return Ok(0) };
        let (mut left_over, mut pages) = (0, PagesPlaced::of(manifest));
        let mut contents = file_contents(repository.objects(), tree, restore.left_over());
        while let Some(content) = contents.try_next().await? {
            self.context.check()?;
            let FileContent { file, offset, bytes, was_there } = content;
            let length = bytes.len() as u64;
            left_over += if was_there { length } else { 0 };
            self.context.advance(length, 0);
            if let Some(pages) = &mut pages {
                pages.add(offset, &bytes).await?;
            }
            restore.place(file, offset, bytes).await?;
        }
        pages.map_or(Ok(()), PagesPlaced::prove)?;
        Ok(left_over)
    }

    /// Copies the records of a source, summing them on the way.
    pub(crate) async fn convert(
        &self,
        source: &dyn backup_core::Source,
        origin: &Origin,
    ) -> Result<Converted> {
        let snapshot = source.snapshot(View::Records, self.context).await?;
        let info = snapshot.info().clone();
        let Some(records) = snapshot.records() else {
            let what =
                format!("a {} store has no records that can be read", source.describe().engine);
            return Err(Error::Refused { what, instead: "back up the files".into() });
        };
        let layout = self.options.layout.unwrap_or(info.layout);
        let content = Content::Records { layout, databases: info.databases.clone() };
        let ownership = origin.ownership.clone().or_else(|| info.ownership.clone());
        let origin = Origin { ownership, ..origin.clone() };
        let mut restore = self.begin(content, origin).await?;
        let bytes = info.databases.iter().map(|database| database.estimated_bytes).sum();
        self.context.phase("converting records", bytes);
        let mut expected = Vec::with_capacity(info.databases.len());
        let mut total = DatabaseSum::default();
        for (number, database) in info.databases.iter().enumerate() {
            let mut summer = backup_core::integrity::Summer::new(database.name.as_bytes());
            let mut batches = records.scan(number, None);
            while let Some(batch) = batches.try_next().await? {
                self.context.check()?;
                let (bytes, begun) = sums::counted(&batch);
                self.context.advance(bytes, begun);
                let (next, batch) = sums::summed(summer, batch).await?;
                summer = next;
                restore.load(number, batch).await?;
            }
            let (name, tag) = (database.name.clone(), database.name.clone().into_bytes());
            let sum = summer.finish()?;
            expected.push(Expected { name, tag, proof: Proof::of(&sum) });
            total.add(&sum);
        }
        let made = self.publish_proved(restore, &expected).await?;
        Ok(Converted {
            databases: DatabaseReport::sorted(
                expected.iter().map(|one| DatabaseReport::new(&one.name, Some(&one.proof))),
            ),
            global_lthash: global_word(Some(&total.lthash)),
            bytes: total.bytes,
            made,
            unusual: info.unusual,
        })
    }
}

pub(crate) fn described(database: &Described, name: &str) -> DatabaseInfo {
    DatabaseInfo {
        name: name.to_owned(),
        order: Order::Key,
        settings: database.settings.clone(),
        estimated_records: database.proof.map(|proof| proof.records),
        estimated_bytes: database.proof.map(|proof| proof.bytes),
    }
}

/// What the restored store says of where it came from.
pub(crate) fn origin(manifest: &Manifest) -> Origin {
    Origin {
        snapshot: manifest.id.to_string(),
        position: manifest.position.to_string(),
        taken: time::rfc3339(manifest.created_ms),
        salvaged: false,
        ownership: manifest.ownership.clone(),
    }
}

fn prove_database(database: &Described, found: &DatabaseSum) -> Result<()> {
    let found = Proof::of(found);
    if database.proof == Some(found) {
        return Ok(());
    }
    let say = |proof: &Proof| format!("{} records with LtHash {}", proof.records, proof.checksum);
    let expected = database.proof.as_ref().map_or_else(|| "no proof".to_owned(), say);
    let detail =
        format!("the snapshot has {expected}, but {} were read; nothing was replaced", say(&found));
    Err(Error::NotProved { database: database.name.clone(), detail })
}

/// All databases together must have the sum that the manifest says.
fn prove_total(manifest: &Manifest, found: &DatabaseSum) -> Result<()> {
    if manifest.sum.as_ref() == Some(found) {
        return Ok(());
    }
    let found = found.lthash.checksum();
    let detail = format!(
        "all databases together have the LtHash {found}, but the snapshot has another; nothing was replaced"
    );
    Err(Error::NotProved { database: "(all)".into(), detail })
}

/// A directory that is read twice says the same: its objects never change.
pub(crate) fn changed(database: &Described) -> Error {
    let detail = "its entry in the snapshot changed while it was read; nothing was replaced".into();
    Error::NotProved { database: database.name.clone(), detail }
}

/// A conversion of a files snapshot that carries a logical proof must agree with it.
fn prove_converted(held: &[Described], found: &[DatabaseReport]) -> Result<()> {
    let proved = held.iter().filter(|database| database.proof.is_some());
    for expected in proved.map(|one| DatabaseReport::new(&one.name, one.proof.as_ref())) {
        // Both are sorted by name.
        let at = found.binary_search_by(|one| one.name.cmp(&expected.name));
        if at.is_ok_and(|at| found[at] == expected) {
            continue;
        }
        {
            let detail = "its records are not those that the snapshot was proved with".into();
            return Err(Error::NotProved { database: expected.name, detail });
        }
    }
    Ok(())
}
