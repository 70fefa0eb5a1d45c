//! `restore`: a snapshot becomes a store, proved before it replaces anything.

use archive::manifest::{Manifest, ManifestDatabase, Shape};
use backup_core::Target;
use backup_core::check::CheckLevel;
use backup_core::integrity::DatabaseSum;
use backup_core::progress::Context;
use backup_core::source::{DatabaseInfo, FileInfo, Layout, Order, View};
use backup_core::target::{Content, Existing, Origin, Restore, RestorePlan, Restored};
use futures_util::TryStreamExt;
use remote::tree::{FileContent, file_contents, files_of, scan};
use remote::{Host, Repository};

use crate::built::{self, Expected};
use crate::pages::PagesPlaced;
use crate::report::{DatabaseReport, NotCarriedReport, RestoreReport, global_word};
use crate::scratch::Scratch;
use crate::selector::SnapshotSpec;
use crate::{Error, ExitCode, Result, StoreLocation, snapshots, sums, time};

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
}

/// What a restore is going to do.
struct Plan {
    manifest: Manifest,
    how: How,
}

enum How {
    /// Load these databases of the snapshot, each under this name.
    Records { layout: Layout, databases: Vec<(ManifestDatabase, String)> },
    /// Place the files.
    Files { files: Vec<FileInfo> },
    /// Place the files in a scratch folder, and convert from there.
    Scratch,
}

/// Says what a restore would do, and writes nothing.
pub async fn plan(
    repository: &Repository,
    spec: &SnapshotSpec,
    target: &StoreLocation,
    options: &RestoreOptions,
    _context: &Context,
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
    target: &StoreLocation,
    options: &RestoreOptions,
    host: &Host,
    context: &Context,
) -> Result<RestoreReport> {
    let started = host.clock.now_ms();
    let plan = make_plan(repository, spec, target, options).await?;
    let mut report = plan.report(target);
    report.dry_run = false;
    let into = Into { target: target.target()?, options, context };
    let brought = plan.bring(repository, target, &into, &mut report).await;
    snapshots::explained(repository, plan.manifest.id, brought).await?;
    report.elapsed_seconds = time::seconds_since(started, host);
    Ok(report)
}

async fn make_plan(
    repository: &Repository,
    spec: &SnapshotSpec,
    target: &StoreLocation,
    options: &RestoreOptions,
) -> Result<Plan> {
    let manifest = snapshots::find(repository, spec).await?;
    let can = target.target()?.capabilities();
    let same_engine = manifest.source.engine == target.engine();
    let part = options.database.is_some() || options.rename.is_some();
    let how = match &manifest.shape {
        Shape::Records if can.load_records => {
            let layout = options.layout.unwrap_or(manifest.layout);
            How::Records { layout, databases: chosen(&manifest, options)? }
        }
        Shape::Records => return Err(takes_no_records(&manifest, target)),
        Shape::Files { .. }
            if same_engine && can.place_files && !part && options.layout.is_none() =>
        {
            let files = files_of(repository.objects(), &manifest.shape).await.map_err(Error::from);
            How::Files { files: snapshots::explained(repository, manifest.id, files).await? }
        }
        Shape::Files { .. }
            if can.load_records && Scratch::can_read(&manifest.source.engine) && !part =>
        {
            How::Scratch
        }
        Shape::Files { .. } => return Err(no_files_into(&manifest, target, part)),
    };
    Ok(Plan { manifest, how })
}

pub(crate) fn takes_no_records(manifest: &Manifest, target: &StoreLocation) -> Error {
    let (id, engine) = (manifest.id, target.engine());
    Error::Refused {
        what: format!("snapshot {id} holds records, and a {engine} store takes files only"),
        instead: "restore it into rocksdb:PATH, memory:FILE.bcs or memory:FOLDER".into(),
    }
}

fn no_files_into(manifest: &Manifest, target: &StoreLocation, part: bool) -> Error {
    let engine = &manifest.source.engine;
    let what = if part {
        format!(
            "snapshot {} holds the files of a {engine} store, not single databases",
            manifest.id
        )
    } else {
        let into = target.engine();
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
    options: &RestoreOptions,
) -> Result<Vec<(ManifestDatabase, String)>> {
    let Some(name) = &options.database else {
        if options.rename.is_some() {
            let detail = "goes together with --database".into();
            return Err(Error::Usage { what: "--as".into(), detail });
        }
        let all = manifest.databases.iter();
        return Ok(all.map(|database| (database.clone(), database.name.clone())).collect());
    };
    let Some(database) = manifest.databases.iter().find(|database| database.name == *name) else {
        let names: Vec<&str> = manifest.databases.iter().map(|d| d.name.as_str()).collect();
        return Err(Error::Usage {
            what: format!("the database {name:?}"),
            detail: format!("is not in snapshot {}; it has {}", manifest.id, names.join(", ")),
        });
    };
    let named = options.rename.clone().unwrap_or_else(|| name.clone());
    Ok(vec![(database.clone(), named)])
}

impl Plan {
    fn report(&self, target: &StoreLocation) -> RestoreReport {
        let manifest = &self.manifest;
        let mut report = RestoreReport {
            databases: DatabaseReport::of_manifest(manifest),
            global_lthash: global_word(manifest.proved_from.and_then(|_| manifest.global())),
            bytes: manifest.databases.iter().filter_map(|d| Some(d.sum.as_ref()?.bytes)).sum(),
            dry_run: true,
            ..empty_report(manifest, target)
        };
        match &self.how {
            How::Records { databases, .. } => {
                let named = |(database, name): &(ManifestDatabase, String)| {
                    DatabaseReport::new(name.clone(), database.sum.as_ref())
                };
                report.databases = databases.iter().map(named).collect();
                let sums = || databases.iter().filter_map(|(d, _)| d.sum.as_ref());
                report.bytes = sums().map(|sum| sum.bytes).sum();
                report.global_lthash = global_word(Some(sums().map(|sum| &sum.lthash).sum()));
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
pub(crate) fn empty_report(manifest: &Manifest, target: &StoreLocation) -> RestoreReport {
    RestoreReport {
        snapshot: manifest.id.to_string(),
        target: target.to_string(),
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

impl Plan {
    /// Reads the snapshot, and builds, proves and publishes the store.
    async fn bring(
        &self,
        repository: &Repository,
        target: &StoreLocation,
        into: &Into<'_>,
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
                let scratch =
                    Scratch::fill(repository, &self.manifest, target, into.context).await?;
                let origin = origin(&self.manifest);
                let converted = into.convert(scratch.source(), &origin).await?;
                prove_converted(&self.manifest, &converted.databases)?;
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
pub(crate) struct Into<'a> {
    pub(crate) target: Box<dyn Target>,
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

impl Into<'_> {
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
        databases: &[(ManifestDatabase, String)],
    ) -> Result<Made> {
        let infos = databases.iter().map(|(database, name)| described(database, name)).collect();
        let content = Content::Records { layout, databases: infos };
        let mut restore = self.begin(content, origin(manifest)).await?;
        let total = databases.iter().filter_map(|(d, _)| d.sum.as_ref()).map(|sum| sum.bytes).sum();
        self.context.phase("restoring records", Some(total));
        let mut expected = Vec::with_capacity(databases.len());
        for (number, (database, name)) in databases.iter().enumerate() {
            let mut sum = DatabaseSum::default();
            if let Some(tree) = &database.tree {
                let mut batches = scan(repository.objects(), tree, &database.tag, None);
                while let Some((batch, part)) = batches.try_next().await? {
                    self.context.check()?;
                    sum.add(&part);
                    let (bytes, begun) = sums::counted(&batch);
                    self.context.advance(bytes, begun);
                    if !batch.is_empty() {
                        restore.load(number, batch).await?;
                    }
                }
            }
            prove_database(database, &sum)?;
            expected.push(Expected { name: name.clone(), tag: database.tag.clone(), sum });
        }
        self.publish_proved(restore, &expected).await
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
            return Err(Error::Refused { what, instead: "back it up with --files".into() });
        };
        let layout = self.options.layout.unwrap_or(info.layout);
        let content = Content::Records { layout, databases: info.databases.clone() };
        let ownership = origin.ownership.clone().or_else(|| info.ownership.clone());
        let origin = Origin { ownership, ..origin.clone() };
        let mut restore = self.begin(content, origin).await?;
        let bytes = info.databases.iter().map(|database| database.estimated_bytes).sum();
        self.context.phase("converting records", bytes);
        let mut expected = Vec::with_capacity(info.databases.len());
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
            expected.push(Expected { name, tag, sum: summer.finish()? });
        }
        let made = self.publish_proved(restore, &expected).await?;
        Ok(Converted {
            databases: DatabaseReport::sorted(
                expected.iter().map(|one| DatabaseReport::new(&one.name, Some(&one.sum))),
            ),
            global_lthash: global_word(Some(expected.iter().map(|one| &one.sum.lthash).sum())),
            bytes: expected.iter().map(|one| one.sum.bytes).sum(),
            made,
            unusual: info.unusual,
        })
    }
}

pub(crate) fn described(database: &ManifestDatabase, name: &str) -> DatabaseInfo {
    DatabaseInfo {
        name: name.to_owned(),
        order: Order::Key,
        settings: database.settings.clone(),
        estimated_records: database.sum.as_ref().map(|sum| sum.records),
        estimated_bytes: database.sum.as_ref().map(|sum| sum.bytes),
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

fn prove_database(database: &ManifestDatabase, found: &DatabaseSum) -> Result<()> {
    let expected = database.sum.clone().unwrap_or_default();
    if expected == *found {
        return Ok(());
    }
    let say = |sum: &DatabaseSum| {
        format!("{} records with LtHash {}", sum.records, sum.lthash.checksum())
    };
    let detail = format!(
        "the snapshot has {}, read were {}; nothing was replaced",
        say(&expected),
        say(found)
    );
    Err(Error::NotProved { database: database.name.clone(), detail })
}

/// A conversion of a files snapshot that carries a logical proof must agree with it.
fn prove_converted(manifest: &Manifest, found: &[DatabaseReport]) -> Result<()> {
    if manifest.proved_from.is_none() {
        return Ok(());
    }
    for expected in DatabaseReport::of_manifest(manifest) {
        if !found.contains(&expected) {
            let detail = "its records are not those that the snapshot was proved with".into();
            return Err(Error::NotProved { database: expected.name, detail });
        }
    }
    Ok(())
}
