//! `restore --salvage`: what is whole of a damaged snapshot, and a list of what is not.
//!
//! The store that comes of it is marked and never called proved.

mod files;

use archive::directory::{Described, Proof};
use archive::manifest::{Manifest, Shape};
use archive::node::Tree;
use backup_core::Target;
use backup_core::check::CheckLevel;
use backup_core::integrity::Summer;
use backup_core::progress::Context;
use backup_core::target::{Content, Existing, Origin, RestorePlan, Restored};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use remote::Repository;
use remote::tree::{
    FileSurvey, Loss, Salvaged, SalvagedDatabase, StoredDatabase, SurveyedFile, left_contents,
    salvage_databases, salvage_records, survey_files,
};

use crate::built::{self, Expected};
use crate::report::{DatabaseReport, LossReport, NotCarriedReport, RestoreReport};
use crate::restore::{self, RestoreOptions};
use crate::selector::SnapshotSpec;
use crate::{Error, Result, snapshots, sums, time};

/// The engine whose target takes the files of any other.
const ANY_FILES: &str = "files";

/// Restores what is whole of a snapshot into `target`, where nothing may be yet.
///
/// What is lost is in the report: by database with the first and the last key, by file with the range of
/// bytes. A file of which anything is left keeps its length and has zeros where bytes are lost; such files are
/// no store, so they go into a folder of files alone. Where nothing is lost, the store is what
/// [`restore`](restore::restore) makes of it, not proved.
///
/// # Errors
/// [`Error::Usage`] with `replace` or `check`: a salvaged store never replaces another and proves
/// nothing. [`Error::NothingToSalvage`] where the snapshot's manifest is damaged.
pub async fn salvage(
    repository: &Repository,
    spec: &SnapshotSpec,
    target: &dyn Target,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let (host, context) = (repository.host(), repository.context());
    let started = host.clock.now_ms();
    check_options(options)?;
    let manifest = match snapshots::find(repository, spec).await {
        Err(Error::Remote(source)) if source.is_damage() => {
            return Err(Error::NothingToSalvage { snapshot: spec.to_string(), source });
        }
        found => found?,
    };
    let mut report = restore::empty_report(&manifest, target);
    report.salvaged = true;
    let salvaging = Salvaging { repository, manifest: &manifest, target, options, context };
    let restored = match &manifest.shape {
        Shape::Records => salvaging.records(&mut report).await?,
        Shape::Files { tree, .. } => salvaging.files(tree.as_ref(), &mut report).await?,
    };
    report.notes.extend(restored.notes);
    report.check = Some(restored.check.into());
    report.notes.push(match report.losses.len() {
        0 => "nothing is lost; the store is not proved and not checked by its engine: an ordinary restore does \
              both"
            .to_owned(),
        losses => format!(
            "{} lost; the store is what is left, not proved and not checked by its engine",
            parts_are(losses)
        ),
    });
    report.elapsed_seconds = time::seconds_since(started, host);
    Ok(report)
}

fn check_options(options: &RestoreOptions) -> Result<()> {
    let refuse =
        |detail: &str| Err(Error::Usage { what: "a salvage".into(), detail: detail.into() });
    if options.replace {
        return refuse("it never replaces a store; name a target that is free");
    }
    if options.check.is_some_and(|level| level != CheckLevel::None) {
        return refuse("it proves nothing, and no check of it is possible; ask for none");
    }
    Ok(())
}

fn parts_are(losses: usize) -> String {
    if losses == 1 { "one part is".to_owned() } else { format!("{losses} parts are") }
}

struct Salvaging<'a> {
    repository: &'a Repository,
    manifest: &'a Manifest,
    target: &'a dyn Target,
    options: &'a RestoreOptions,
    context: &'a Context,
}

impl Salvaging<'_> {
    fn plan(&self, content: Content) -> RestorePlan {
        let origin = Origin { salvaged: true, ..restore::origin(self.manifest) };
        RestorePlan { content, existing: Existing::Refuse, check: Some(CheckLevel::None), origin }
    }

    async fn records(&self, report: &mut RestoreReport) -> Result<Restored> {
        let target = self.target;
        if !target.capabilities().load_records {
            return Err(restore::takes_no_records(self.manifest, self.target));
        }
        let layout = self.options.layout.unwrap_or(self.manifest.layout);
        let held = self.find(report).await?;
        let databases = restore::chosen(self.manifest, &held, self.options)?;
        let infos = databases.iter().map(|(database, name)| restore::described(database, name));
        let content = Content::Records { layout, databases: infos.collect() };
        let mut into = target.begin(self.plan(content), self.context).await?;
        self.context.phase("salvaging records", None);
        let mut expected = Vec::with_capacity(databases.len());
        let mut stored = self.databases();
        for (number, (database, name)) in databases.iter().enumerate() {
            let found = loop {
                match stored.try_next().await? {
                    Some(SalvagedDatabase::Known(found)) => {
                        if found.database.described.name == database.name {
                            break found;
                        }
                    }
                    Some(SalvagedDatabase::Lost(_)) => {}
                    None => return Err(restore::changed(database)),
                }
            };
            let sum = self.database(number, &found, into.as_mut(), report).await?;
            let proof = Proof::of(&sum);
            report.bytes += sum.bytes;
            report.databases.push(DatabaseReport::new(name.clone(), Some(&proof)));
            expected.push(Expected { name: name.clone(), tag: database.tag.clone(), proof });
        }
        drop(stored);
        let built = into.complete().await?;
        report.not_carried = built.not_carried().iter().map(NotCarriedReport::of).collect();
        // What is whole must not be lost on its way, though the store is not proved by it.
        built::prove(built.as_ref(), &expected, self.context).await?;
        Ok(built.publish().await?)
    }

    fn databases(&self) -> BoxStream<'static, remote::Result<SalvagedDatabase>> {
        salvage_databases(self.repository.objects(), self.manifest.directory())
    }

    /// What the databases are that can be found. Those that cannot are lost.
    async fn find(&self, report: &mut RestoreReport) -> Result<Vec<Described>> {
        let (mut found, mut stored) = (Vec::new(), self.databases());
        let mut damage = None;
        while let Some(next) = stored.try_next().await? {
            match next {
                SalvagedDatabase::Known(stored) => found.push(stored.database.described),
                SalvagedDatabase::Lost(loss) if self.wants(&loss) => {
                    report.losses.push(LossReport::of_databases(&loss));
                    damage = Some(loss.why);
                }
                SalvagedDatabase::Lost(_) => {}
            }
        }
        match damage {
            Some(source) if found.is_empty() => {
                let snapshot = self.manifest.id.to_string();
                Err(Error::NothingToSalvage { snapshot, source })
            }
            _ => Ok(found),
        }
    }

    /// Whether a database that was asked for may be among these.
    fn wants(&self, loss: &Loss) -> bool {
        let may_be = |name: &String| {
            (loss.first.key.as_slice()..=loss.last.key.as_slice()).contains(&name.as_bytes())
        };
        self.options.database.as_ref().is_none_or(may_be)
    }

    async fn database(
        &self,
        number: usize,
        stored: &StoredDatabase,
        into: &mut dyn backup_core::Restore,
        report: &mut RestoreReport,
    ) -> Result<backup_core::integrity::DatabaseSum> {
        let database = &stored.database.described;
        let mut summer = Summer::new(&database.tag);
        let mut parts = salvage_records(self.repository.objects(), stored);
        while let Some(part) = parts.try_next().await? {
            self.context.check()?;
            match part {
                Salvaged::Lost(loss) => {
                    report.losses.push(LossReport::of_records(&database.name, &loss));
                }
                Salvaged::Records(batch) if batch.is_empty() => {}
                Salvaged::Records(batch) => {
                    let (bytes, begun) = sums::counted(&batch);
                    self.context.advance(bytes, begun);
                    let (next, batch) = sums::summed(summer, batch).await?;
                    summer = next;
                    into.load(number, batch).await?;
                }
            }
        }
        Ok(summer.finish()?)
    }

    async fn files(&self, tree: Option<&Tree>, report: &mut RestoreReport) -> Result<Restored> {
        let engine = self.engine()?;
        self.context.phase("reading files", None);
        let objects = self.repository.objects();
        let survey = match tree {
            Some(tree) => survey_files(objects, tree, self.context).await?,
            None => FileSurvey::default(),
        };
        report.files = Some(survey.files.len() as u64);
        report.bytes = survey.files.iter().map(SurveyedFile::left).sum();
        report.losses.extend(files::losses(&survey));
        if !report.losses.is_empty() && engine != ANY_FILES {
            return Err(Error::Refused {
                what: format!(
                    "{} lost of snapshot {}, and without that its files are no {engine} store",
                    parts_are(report.losses.len()),
                    self.manifest.id
                ),
                instead: "salvage what is left into files:FOLDER, with zeros where bytes are lost"
                    .into(),
            });
        }
        let (engine_of_source, target) = (&self.manifest.source.engine, self.target.describe());
        report.notes.extend(files::notes(&survey, engine_of_source, target.place().as_ref()));
        let plan = survey.files.iter().map(|file| file.info.clone()).collect();
        let content = Content::Files { engine: engine.to_owned(), files: plan };
        let target = self.target;
        let mut into = target.begin(self.plan(content), self.context).await?;
        self.context.phase("salvaging files", Some(report.bytes));
        let mut holes = files::Holes::of(&survey.files);
        if let Some(tree) = tree {
            let mut contents = left_contents(objects, tree, survey.files);
            while let Some((file, offset, bytes)) = contents.try_next().await? {
                self.context.check()?;
                self.context.advance(bytes.len() as u64, 0);
                while let Some((file, hole)) = holes.before(file, offset) {
                    into.leave_out(file, hole).await?;
                }
                into.place(file, offset, bytes).await?;
            }
        }
        for (file, hole) in holes {
            into.leave_out(file, hole).await?;
        }
        Ok(into.complete().await?.publish().await?)
    }

    /// The engine as which the target takes the files: its own, or a plain folder.
    fn engine(&self) -> Result<&str> {
        let engine = self.manifest.source.engine.as_str();
        let part = self.options.database.is_some() || self.options.rename.is_some();
        if !part && self.options.layout.is_none() {
            let takes = self.target.describe().engine;
            if takes == ANY_FILES {
                return Ok(ANY_FILES);
            }
            if takes == engine {
                return Ok(engine);
            }
        }
        let what = format!("snapshot {} holds the files of a {engine} store", self.manifest.id);
        Err(Error::Refused { what, instead: "salvage them into files:FOLDER".into() })
    }
}
